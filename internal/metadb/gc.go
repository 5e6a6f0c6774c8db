package metadb

import (
	"context"
	"fmt"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Garbage is the gc.Store of a DB.
type Garbage struct{ db *DB }

var _ gc.Store = Garbage{}

// Garbage returns the catalog as gc sees it.
func (db *DB) Garbage() Garbage { return Garbage{db} }

// gcBatch is how many rows gc handles in one transaction: enough to be quick, few
// enough to let imports write in between.
const gcBatch = 1024

// NextPass implements gc.Marks.
func (g Garbage) NextPass(ctx context.Context) (pass int64, err error) {
	err = g.db.update(ctx, "number a pass of gc", func(q querier) error {
		pass, _, err = one(ctx, q, column[int64], `
			INSERT INTO counters (name, value) VALUES ('gc pass', 1)
			ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value`)
		return err
	})
	return pass, err
}

// MarkPages implements gc.Marks.
func (g Garbage) MarkPages(ctx context.Context, pass int64, ids []snapshot.PageID) (fresh []snapshot.PagePlace, err error) {
	keys := hashes(ids)
	err = g.db.update(ctx, "mark pages", func(q querier) error {
		there, err := allIn(ctx, q, column[hash], keys, `SELECT id FROM pages WHERE id IN (?)`)
		if err != nil {
			return err
		}
		if len(there) != len(keys) {
			return fmt.Errorf("%d of %d: %w", len(keys)-len(there), len(keys), gc.ErrNoPage)
		}
		fresh, err = allIn(ctx, q, scanPage, keys, `
			UPDATE pages SET mark = $1, condemned = 0 WHERE mark <> $1 AND id IN (?) RETURNING id, file, off, len, blocks`, pass)
		return err
	})
	return fresh, err
}

// MarkBlocks implements gc.Marks.
func (g Garbage) MarkBlocks(ctx context.Context, pass int64, ids []block.ID) error {
	return g.db.update(ctx, "mark blocks", func(q querier) error {
		_, err := execIn(ctx, q, hashes(ids), `
			UPDATE blocks SET mark = $1, condemned = 0 WHERE (mark <> $1 OR condemned <> 0) AND id IN (?)`, pass)
		return err
	})
}

// SpareBlocks implements gc.Marks.
func (g Garbage) SpareBlocks(ctx context.Context, ids []block.ID) error {
	_, err := g.db.Catalog().Claim(ctx, ids)
	return err
}

// Drafts implements gc.References.
func (g Garbage) Drafts(ctx context.Context, fn func([]snapshot.PageID) error) error {
	var at struct { // the last row seen
		snapshot string
		page     int64
	}
	at.page = -1
	scan := func(s scanner) (id snapshot.PageID, err error) {
		err = s.Scan(&at.snapshot, &at.page, (*hash)(&id))
		return id, err
	}
	for {
		var ids []snapshot.PageID
		err := g.db.view(ctx, "read drafts", func(q querier) (err error) {
			ids, err = all(ctx, q, scan, `
				SELECT snapshot, page, page_id FROM range_pages
				WHERE snapshot > $1 OR (snapshot = $1 AND page > $2) ORDER BY snapshot, page LIMIT $3`, at.snapshot, at.page, gcBatch)
			return err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := fn(ids); err != nil {
			return err
		}
	}
}

// DraftBlocks implements gc.References.
func (g Garbage) DraftBlocks(ctx context.Context, fn func([]block.ID) error) error {
	var at struct { // the last row seen
		snapshot string
		block    int64
	}
	at.block = -1
	scan := func(s scanner) (id block.ID, err error) {
		err = s.Scan(&at.snapshot, &at.block, (*hash)(&id))
		return id, err
	}
	for {
		var ids []block.ID
		err := g.db.view(ctx, "read blocks of drafts", func(q querier) (err error) {
			ids, err = all(ctx, q, scan, `
				SELECT snapshot, block, block_id FROM draft_blocks
				WHERE snapshot > $1 OR (snapshot = $1 AND block > $2) ORDER BY snapshot, block LIMIT $3`, at.snapshot, at.block, gcBatch)
			return err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := fn(ids); err != nil {
			return err
		}
	}
}

// Roots implements gc.References. It reads all of them at one moment: a draft that
// takes a hold of a root does so while the snapshot exists, so one of the two is
// seen whatever is deleted meanwhile. With 100,000 snapshots that is 1 MB.
func (g Garbage) Roots(ctx context.Context, fn func(blockstore.File) error) error {
	var roots []blockstore.FileID
	err := g.db.view(ctx, "read roots", func(q querier) (err error) {
		roots, err = all(ctx, q, column[blockstore.FileID], `
			SELECT root FROM snapshots WHERE root <> 0 UNION SELECT base FROM drafts WHERE base <> 0`)
		return err
	})
	for _, root := range roots {
		if err == nil {
			err = fn(blockstore.File{ID: root, Kind: blockstore.RootFile})
		}
	}
	return err
}

// InFlight implements gc.References. Periodic duties, gc's own among them, add
// no references.
func (g Garbage) InFlight(ctx context.Context, now time.Time) (held []gc.Fence, err error) {
	scan := func(s scanner) (f gc.Fence, err error) {
		err = s.Scan(&f.Unit, &f.Attempt)
		return f, err
	}
	err = g.db.update(ctx, "look for units in flight", func(q querier) error {
		if _, err := exec(ctx, q, `
			UPDATE units SET owner = '', lease_until = 0, progress = NULL WHERE owner <> '' AND lease_until <= $1`, micros(now)); err != nil {
			return err
		}
		held, err = all(ctx, q, scan, `
			SELECT id, attempt FROM units WHERE owner <> '' AND kind <> $1 AND kind <> $2 AND kind <> $3`, work.GC, work.Retain, work.Expire)
		return err
	})
	return held, err
}

// Condemn implements gc.Condemned.
func (g Garbage) Condemn(ctx context.Context, pass int64) (int64, error) {
	blocks, err := g.condemn(ctx, "blocks", pass)
	if err != nil {
		return blocks, err
	}
	pages, err := g.condemn(ctx, "pages", pass)
	return blocks + pages, err
}

func (g Garbage) condemn(ctx context.Context, table string, pass int64) (total int64, err error) {
	for last := []byte{}; ; {
		ids, err := g.some(ctx, `SELECT id FROM `+table+` WHERE id > $1 AND mark <> $2 ORDER BY id LIMIT $3`, last, pass, gcBatch)
		if err != nil || len(ids) == 0 {
			return total, err
		}
		var n int64
		err = g.db.update(ctx, "condemn "+table, func(q querier) (err error) {
			n, err = execIn(ctx, q, hashes(ids), `UPDATE `+table+` SET condemned = $1 WHERE mark <> $1 AND id IN (?)`, pass)
			return err
		})
		if err != nil {
			return total, err
		}
		total += n
		last = ids[len(ids)-1][:]
	}
}

// DeleteCondemned implements gc.Condemned.
func (g Garbage) DeleteCondemned(ctx context.Context, pass int64) (r gc.Report, err error) {
	if r.Blocks, err = g.deleteCondemned(ctx, "blocks", pass); err != nil {
		return r, err
	}
	r.Pages, err = g.deleteCondemned(ctx, "pages", pass)
	return r, err
}

func (g Garbage) deleteCondemned(ctx context.Context, table string, pass int64) (total int64, err error) {
	for {
		// "<> 0" lets both engines use the index of condemned rows.
		ids, err := g.some(ctx, `SELECT id FROM `+table+` WHERE condemned = $1 AND condemned <> 0 ORDER BY id LIMIT $2`, pass, gcBatch)
		if err != nil || len(ids) == 0 {
			return total, err
		}
		var n int64
		err = g.db.update(ctx, "delete "+table, func(q querier) (err error) {
			n, err = execIn(ctx, q, hashes(ids), `DELETE FROM `+table+` WHERE condemned = $1 AND id IN (?)`, pass)
			return err
		})
		if err != nil {
			return total, err
		}
		total += n
	}
}

// some returns a batch of ids.
func (g Garbage) some(ctx context.Context, stmt string, args ...any) (ids []hash, err error) {
	err = g.db.view(ctx, "look for garbage", func(q querier) error {
		ids, err = all(ctx, q, column[hash], stmt, args...)
		return err
	})
	return ids, err
}

// DeadFiles implements gc.Files.
func (g Garbage) DeadFiles(ctx context.Context, after blockstore.FileID, limit int) (dead []gc.DeadFile, err error) {
	scan := func(s scanner) (f gc.DeadFile, err error) {
		err = s.Scan(&f.ID, &f.Kind, &f.Domain, &f.Bytes)
		return f, err
	}
	err = g.db.view(ctx, "look for dead files", func(q querier) error {
		dead, err = all(ctx, q, scan, `
			SELECT f.id, f.kind, f.domain, f.bytes FROM files f
			WHERE f.id > $1 AND (
				f.state = $2
				AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.file = f.id)
				AND NOT EXISTS (SELECT 1 FROM pages p WHERE p.file = f.id)
				AND NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.root = f.id)
				AND NOT EXISTS (SELECT 1 FROM drafts d WHERE d.base = f.id)
				OR f.state = $3
				AND NOT EXISTS (SELECT 1 FROM units u WHERE u.id = f.unit AND u.attempt = f.attempt AND u.owner <> ''))
			ORDER BY f.id LIMIT $4`, after, fileClosed, fileOpen, limit)
		return err
	})
	return dead, err
}

// ForgetFiles implements gc.Files.
func (g Garbage) ForgetFiles(ctx context.Context, ids []blockstore.FileID) error {
	return g.db.update(ctx, "forget files", func(q querier) error {
		_, err := execIn(ctx, q, args(ids), `DELETE FROM files WHERE id IN (?)`)
		return err
	})
}

// KnownFiles implements gc.Files.
func (g Garbage) KnownFiles(ctx context.Context, ids []blockstore.FileID) (map[blockstore.FileID]bool, error) {
	known := make(map[blockstore.FileID]bool, len(ids))
	err := g.db.view(ctx, "look up files", func(q querier) error {
		there, err := allIn(ctx, q, column[blockstore.FileID], args(ids), `SELECT id FROM files WHERE id IN (?)`)
		for _, id := range there {
			known[id] = true
		}
		return err
	})
	return known, err
}
