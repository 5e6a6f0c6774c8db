package metadb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Packs is the compact.Store of a DB.
type Packs struct{ db *DB }

var (
	_ compact.Store  = Packs{}
	_ compact.Mender = Packs{}
)

// Packs returns the catalog as compaction sees it.
func (db *DB) Packs() Packs { return Packs{db} }

// Packs implements compact.Store.
func (p Packs) Packs(ctx context.Context, w compact.Worth, after blockstore.FileID, limit int) (packs []compact.Pack, err error) {
	scan := func(s scanner) (k compact.Pack, err error) {
		var created int64
		err = s.Scan(&k.File.ID, &k.File.Kind, &k.File.Domain, &created, &k.Bytes, &k.Entries, &k.Dead, &k.Compressed, &k.Outdated, &k.Entered)
		k.Created = fromMicros(created)
		return k, err
	}
	err = p.db.ask(ctx, "look for packs to rewrite", func(q querier) error {
		packs, err = all(ctx, q, scan, `
			SELECT f.id, f.kind, f.domain, f.created, f.bytes, f.entries, f.dead, f.compressed, CASE WHEN f.oldest_key < d.retire AND d.retire <= d.newest_key THEN 1 ELSE 0 END,
				CASE WHEN f.unit = 0 AND d.kms_key <> '' THEN 1 ELSE 0 END
			FROM files f LEFT JOIN domains d ON d.id = f.domain
			WHERE f.id > $1 AND f.kind = 'pack' AND f.state = 'closed' AND f.dead < f.entries
				AND (f.dead * 100 > f.entries * $2 OR f.bytes < $3 OR f.compressed = 0 OR f.oldest_key < d.retire AND d.retire <= d.newest_key)
			ORDER BY f.id LIMIT $4`, after, w.DeadPercent, w.Small, limit)
		return err
	})
	return packs, err
}

// Live implements compact.Store.
func (p Packs) Live(ctx context.Context, file blockstore.FileID) (live []blockstore.Placement, err error) {
	scan := func(s scanner) (b blockstore.Placement, err error) {
		err = s.Scan((*hash)(&b.ID), (*unsigned)(&b.Off), (*unsigned)(&b.Len))
		return b, err
	}
	err = p.db.ask(ctx, fmt.Sprintf("read the blocks of pack %d", file), func(q querier) error {
		live, err = all(ctx, q, scan, `SELECT id, off, len FROM blocks WHERE file = $1 AND damaged = 0`, file)
		return err
	})
	slices.SortFunc(live, func(a, b blockstore.Placement) int { return cmp.Compare(a.Off, b.Off) })
	return live, err
}

// Begin implements compact.Store. The unit is named by its domain, so a second one
// meets the first.
func (p Packs) Begin(ctx context.Context, domain, owner string, until time.Time) (l work.Lease, err error) {
	first := p.db.leased(work.Lease{Unit: work.Unit{Task: domain}, Owner: owner}, work.Rewrite, 0)
	first.Until = fromMicros(micros(until))
	scan := func(s scanner) (l work.Lease, err error) {
		l = first
		err = s.Scan(&l.ID, &l.Attempt)
		return l, err
	}
	err = p.db.unset(ctx, "begin to rewrite packs of "+domain, func(q querier) error {
		stmt := listed(insertUnits, 0, len(p.db.unitRows(ctx, first)[0])) + `
			ON CONFLICT (task, kind, range_index) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until,
				attempt = units.attempt + 1, progress = NULL
			WHERE units.lease_until <= excluded.created
			RETURNING id, attempt`
		var ok bool
		l, ok, err = one(ctx, q, scan, stmt, p.db.unitRows(ctx, first)[0]...)
		if err == nil && !ok {
			err = compact.ErrBusy
		}
		return err
	})
	return l, err
}

// Move implements compact.Store. A block that is condemned, deleted, marked as damaged
// or stored anew meanwhile has a row that says so: only the place of those that still
// lie where they were read is changed.
func (p Packs) Move(ctx context.Context, l work.Lease, m compact.Moved) (moved int64, err error) {
	if len(m.From) != len(m.Pack.Blocks) {
		return 0, fmt.Errorf("metadb: %d blocks were read from %d places", len(m.Pack.Blocks), len(m.From))
	}
	order := make([]int, len(m.From)) // rows are written in the order of their ids
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareHashes(m.Pack.Blocks[a].ID, m.Pack.Blocks[b].ID) })
	err = p.db.free(ctx, fmt.Sprintf("move blocks to pack %d", m.Pack.File.ID), func(q querier) error {
		if err := holdUnit(ctx, q, l); err != nil {
			return err
		}
		if err := closeFile(ctx, q, l, m.Pack.File.ID, m.Pack.Bytes); err != nil {
			return err
		}
		moved = 0
		left := map[blockstore.FileID]int64{}
		for _, i := range order {
			n, err := moveBlock(ctx, q, m.Pack.Blocks[i], m.Pack.File.ID, m.From[i])
			if err != nil {
				return err
			}
			if moved += n; n > 0 {
				left[m.From[i].File.ID] += n
			}
		}
		if err := countDead(ctx, q, left); err != nil {
			return err
		}
		if err := countEntries(ctx, q, m.Pack.File.ID, len(m.Pack.Blocks), "blocks"); err != nil {
			return err
		}
		if _, err := exec(ctx, q, `UPDATE files SET compressed = $1, oldest_key = $2 WHERE id = $3`, flag(m.Compressed), m.OldestKey, m.Pack.File.ID); err != nil {
			return err
		}
		return finishUnit(ctx, q, l)
	})
	return moved, err
}

// moveBlock makes a block lie in another file if it still lies where it was read.
func moveBlock(ctx context.Context, q querier, to blockstore.Placement, file blockstore.FileID, from blockstore.Location) (int64, error) {
	return exec(ctx, q, `
		UPDATE blocks SET file = $1, off = $2, len = $3 WHERE id = $4 AND file = $5 AND off = $6 AND damaged = 0`,
		file, to.Off, to.Len, to.ID[:], from.File.ID, from.Off)
}

// Mend implements compact.Mender.
func (p Packs) Mend(ctx context.Context, l work.Lease, m compact.Mended) (lying int64, err error) {
	r := importtask.RangeResult{PagesFile: m.PagesFile, PagesBytes: m.PagesBytes, Pages: m.Pages}
	var blocks []block.ID
	if m.Pack != nil {
		r.Packs = []blockstore.ClosedPack{*m.Pack}
		for _, b := range m.Pack.Blocks {
			blocks = append(blocks, b.ID)
		}
	}
	pages := make([]snapshot.PageID, len(m.Pages))
	for i, at := range m.Pages {
		pages[i] = at.ID
	}
	err = p.db.free(ctx, "mend blocks", func(q querier) error {
		if err := holdUnit(ctx, q, l); err != nil {
			return err
		}
		if err := store(ctx, q, l, r); err != nil {
			return err
		}
		// Those that had no row may have lost it to gc meanwhile.
		if err := insert(ctx, q, rowsOf(hashes(blocks)), `INSERT INTO block_candidates (id) VALUES (?)`+noteBlocks); err != nil {
			return err
		}
		if err := insert(ctx, q, rowsOf(hashes(pages)), `INSERT INTO page_candidates (id) VALUES (?)`+notePages); err != nil {
			return err
		}
		lying = 0
		if m.Pack != nil {
			if lying, _, err = one(ctx, q, column[int64], `SELECT COUNT(*) FROM blocks WHERE file = $1`, m.Pack.File.ID); err != nil {
				return err
			}
		}
		return finishUnit(ctx, q, l)
	})
	return lying, err
}

// End implements compact.Store.
func (p Packs) End(ctx context.Context, l work.Lease) error {
	return p.db.Snapshots().EndAppend(ctx, l)
}
