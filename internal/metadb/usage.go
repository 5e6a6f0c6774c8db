package metadb

import (
	"context"
	"fmt"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Usage returns what the store holds and takes. It reads the rows of all blocks.
func (s Snapshots) Usage(ctx context.Context) (u snapshot.Usage, err error) {
	err = s.db.view(ctx, "add up what the store takes", func(q querier) error {
		u = snapshot.Usage{}
		for _, part := range []struct {
			stmt string
			args []any
			dest []any
		}{
			{`SELECT COUNT(*), COALESCE(SUM(CASE WHEN virtual_bytes = 0 THEN volume_gib * 1073741824 ELSE virtual_bytes END), 0),
				COALESCE(SUM(blocks), 0) * $1 FROM snapshots WHERE state = 'completed'`,
				[]any{block.Size}, []any{&u.Snapshots, &u.Virtual, &u.Data}},
			{`SELECT COUNT(*), COALESCE(SUM(CASE WHEN len < $1 THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN damaged <> 0 THEN 1 ELSE 0 END), 0),
				COALESCE(SUM(len), 0) * $2 FROM blocks`,
				[]any{frame.Size / blockstore.Align, blockstore.Align}, []any{&u.Blocks, &u.Compressed, &u.Damaged, &u.Frames}},
			{`SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM files WHERE kind = 'pack' AND state = 'closed'`,
				nil, []any{&u.Packs, &u.PackBytes}},
			{`SELECT COALESCE(SUM(bytes), 0) FROM files WHERE kind <> 'pack' AND state = 'closed'`,
				nil, []any{&u.Manifests}},
		} {
			row := func(s scanner) (struct{}, error) { return struct{}{}, s.Scan(part.dest...) }
			if _, _, err := one(ctx, q, row, part.stmt, part.args...); err != nil {
				return err
			}
		}
		overhead, err := packOverhead(ctx, q)
		u.Dead = max(0, u.PackBytes-u.Frames-overhead)
		return err
	})
	return u, err
}

// packOverhead returns the bytes of all packs besides frames.
func packOverhead(ctx context.Context, q querier) (n int64, err error) {
	entries, err := all(ctx, q, column[int], `SELECT entries FROM files WHERE kind = 'pack' AND state = 'closed'`)
	if err != nil {
		return 0, fmt.Errorf("reading packs: %w", err)
	}
	for _, e := range entries {
		n += blockstore.PackOverhead(e)
	}
	return n, nil
}
