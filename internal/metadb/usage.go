package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// usagePacks is how many packs one transaction of Usage looks at: some 100,000 blocks.
const usagePacks = 256

// Usage returns what the store holds and takes. It reads the rows of all blocks, those
// of some packs at a time, so that the log of a database that is written meanwhile does
// not grow for as long as that takes; what is written meanwhile may or may not count.
func (s Snapshots) Usage(ctx context.Context) (u snapshot.Usage, err error) {
	err = s.db.view(ctx, "add up what the snapshots hold", func(q querier) error {
		for _, part := range []struct {
			stmt string
			args []any
			dest []any
		}{
			{`SELECT COUNT(*), COALESCE(SUM(CASE WHEN virtual_bytes = 0 THEN volume_gib * 1073741824 ELSE virtual_bytes END), 0),
				COALESCE(SUM(blocks), 0) * $1 FROM snapshots WHERE state = 'completed'`,
				[]any{block.Size}, []any{&u.Snapshots, &u.Virtual, &u.Data}},
			{`SELECT COALESCE(SUM(bytes), 0) FROM files WHERE kind <> 'pack' AND state = 'closed'`,
				nil, []any{&u.Manifests}},
		} {
			if err := sums(ctx, q, part.dest, part.stmt, part.args...); err != nil {
				return err
			}
		}
		return nil
	})
	for after, more := blockstore.FileID(-1), true; err == nil && more; {
		err = s.db.view(ctx, "add up what packs take", func(q querier) (err error) {
			after, more, err = packsUsage(ctx, q, after, &u)
			return err
		})
	}
	u.Dead = max(0, u.Dead-u.Frames)
	return u, err
}

// sums reads the only row of a query.
func sums(ctx context.Context, q querier, dest []any, stmt string, args ...any) error {
	_, _, err := one(ctx, q, func(s scanner) (struct{}, error) { return struct{}{}, s.Scan(dest...) }, stmt, args...)
	return err
}

// packsUsage adds to u the next packs behind a file, and the blocks in them; to Dead all
// that has room for frames. Blocks in files that have no row are among those of their
// neighbours.
func packsUsage(ctx context.Context, q querier, after blockstore.FileID, u *snapshot.Usage) (last blockstore.FileID, more bool, err error) {
	last = after
	scan := func(s scanner) (bytes int64, err error) {
		var entries int
		err = s.Scan(&last, &bytes, &entries)
		u.PackBytes += bytes
		u.Dead += bytes - blockstore.PackOverhead(entries)
		return bytes, err
	}
	packs, err := all(ctx, q, scan, `
		SELECT id, bytes, entries FROM files WHERE kind = 'pack' AND state = 'closed' AND id > $1 ORDER BY id LIMIT $2`, after, usagePacks)
	if err != nil {
		return last, false, err
	}
	more = len(packs) == usagePacks
	to := blockstore.FileID(1<<63 - 1)
	if more {
		to = last
	}
	var blocks, compressed, damaged, frames int64
	err = sums(ctx, q, []any{&blocks, &compressed, &damaged, &frames}, `
		SELECT COUNT(*), COALESCE(SUM(CASE WHEN len < $1 THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN damaged <> 0 THEN 1 ELSE 0 END), 0),
			COALESCE(SUM(len), 0) * $2 FROM blocks WHERE file > $3 AND file <= $4`,
		frame.Size/blockstore.Align, blockstore.Align, after, to)
	u.Packs += int64(len(packs))
	u.Blocks += blocks
	u.Compressed += compressed
	u.Damaged += damaged
	u.Frames += frames
	return last, more, err
}
