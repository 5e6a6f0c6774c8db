package metadb

import (
	"context"
	"slices"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// ReleasedRoots implements gc.Released.
func (g Garbage) ReleasedRoots(ctx context.Context, after blockstore.FileID, limit int) (roots []blockstore.File, err error) {
	scan := func(s scanner) (f blockstore.File, err error) {
		err = s.Scan(&f.ID, &f.Kind)
		return f, err
	}
	err = g.db.ask(ctx, "look for roots that were let go", func(q querier) error {
		roots, err = all(ctx, q, scan, `
			SELECT f.id, f.kind FROM file_candidates c JOIN files f ON f.id = c.file
			WHERE c.file > $1 AND c.expanded = 0 AND f.kind = 'root' AND f.state = 'closed' AND f.dead >= f.entries
				AND NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.root = f.id)
				AND NOT EXISTS (SELECT 1 FROM drafts d WHERE d.base = f.id)
				AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.root = f.id)
			ORDER BY c.file LIMIT $2`, after, limit)
		return err
	})
	return roots, err
}

// NotePages implements gc.Released.
func (g Garbage) NotePages(ctx context.Context, ids []snapshot.PageID) error {
	return g.each(ctx, "note pages", hashes(ids), func(q querier, ids []any) error {
		return insert(ctx, q, rowsOf(ids), `INSERT INTO page_candidates (id) VALUES (?)`+notePages)
	})
}

// rowsOf returns a row for each key: the key, then the values.
func rowsOf(keys []any, values ...any) [][]any {
	rows := make([][]any, len(keys))
	for i, k := range keys {
		rows[i] = append([]any{k}, values...)
	}
	return rows
}

// Expanded implements gc.Released.
func (g Garbage) Expanded(ctx context.Context, root blockstore.FileID) error {
	return g.db.unset(ctx, "expand a root", func(q querier) error {
		_, err := exec(ctx, q, `UPDATE file_candidates SET expanded = 1 WHERE file = $1`, root)
		return err
	})
}

// SuspectPages implements gc.Released.
func (g Garbage) SuspectPages(ctx context.Context) error { return g.suspect(ctx, "pages") }

// SuspectBlocks implements gc.Released.
func (g Garbage) SuspectBlocks(ctx context.Context) error { return g.suspect(ctx, "blocks") }

func (g Garbage) suspect(ctx context.Context, table string) error {
	for last := []byte{}; ; {
		ids, err := g.some(ctx, `SELECT id FROM `+table+` WHERE id > $1 ORDER BY id LIMIT $2`, last, gcBatch)
		if err != nil || len(ids) == 0 {
			return err
		}
		err = g.db.free(ctx, "suspect "+table, func(q querier) error {
			return insert(ctx, q, rowsOf(hashes(ids)), `INSERT INTO `+candidatesOf[table]+` (id) VALUES (?)`+notePages)
		})
		if err != nil {
			return err
		}
		last = ids[len(ids)-1][:]
	}
}

// Pending implements gc.Candidates.
func (g Garbage) Pending(ctx context.Context) (pending bool, err error) {
	err = g.db.view(ctx, "look for candidates", func(q querier) error {
		for _, stmt := range []string{
			`SELECT 1 FROM page_candidates LIMIT 1`,
			`SELECT 1 FROM block_candidates LIMIT 1`,
			`SELECT 1 FROM file_candidates c
			WHERE NOT EXISTS (SELECT 1 FROM drafts d WHERE d.base = c.file)
				AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.root = c.file) LIMIT 1`,
			`SELECT 1 FROM files f WHERE ` + abandoned + ` LIMIT 1`,
		} {
			if _, pending, err = one(ctx, q, column[int64], stmt); err != nil || pending {
				return err
			}
		}
		return nil
	})
	return pending, err
}

// abandoned is the condition on files f that were not closed and can't be closed
// any more.
const abandoned = `f.state = 'open' AND NOT EXISTS (SELECT 1 FROM units u WHERE u.id = f.unit AND u.attempt = f.attempt AND u.owner <> '')`

// TakePages implements gc.Candidates.
func (g Garbage) TakePages(ctx context.Context, pass int64, after snapshot.PageID, limit int) (pages []snapshot.PagePlace, err error) {
	ids, err := g.take(ctx, "pages", pass, hash(after), limit)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	err = g.db.view(ctx, "read candidates", func(q querier) error {
		pages, err = allIn(ctx, q, scanPage, hashes(ids), `SELECT id, file, off, len, blocks FROM pages WHERE id IN (?)`)
		return err
	})
	// The rows of a chunk come in any order.
	slices.SortFunc(pages, func(a, b snapshot.PagePlace) int { return compareHashes(a.ID, b.ID) })
	return pages, err
}

// TakeBlocks implements gc.Candidates.
func (g Garbage) TakeBlocks(ctx context.Context, pass int64, after block.ID, limit int) (ids []block.ID, err error) {
	taken, err := g.take(ctx, "blocks", pass, hash(after), limit)
	for _, id := range taken {
		ids = append(ids, block.ID(id))
	}
	return ids, err
}

// take takes candidates for the pass, and drops those without a row: if such a page
// or block is stored again, it becomes a candidate again when that is let go.
func (g Garbage) take(ctx context.Context, table string, pass int64, after hash, limit int) (taken []hash, err error) {
	candidates := candidatesOf[table]
	for len(taken) < limit {
		var there []hash
		n := 0
		err := g.db.free(ctx, "take "+table, func(q querier) error {
			ids, err := all(ctx, q, column[hash], `SELECT id FROM `+candidates+` WHERE id > $1 ORDER BY id LIMIT $2`, after[:], min(gcBatch, limit-len(taken)))
			if n = len(ids); err != nil || n == 0 {
				return err
			}
			keys := hashes(ids)
			if _, err := execIn(ctx, q, keys, `
				DELETE FROM `+candidates+` WHERE id IN (?) AND NOT EXISTS (SELECT 1 FROM `+table+` t WHERE t.id = `+candidates+`.id)`); err != nil {
				return err
			}
			there, err = allIn(ctx, q, column[hash], keys, `UPDATE `+candidates+` SET taken = $1 WHERE id IN (?) RETURNING id`, pass)
			after = ids[n-1]
			return err
		})
		if err != nil || n == 0 {
			return taken, err
		}
		slices.SortFunc(there, compareHashes)
		taken = append(taken, there...)
	}
	return taken, nil
}

// NoteBlocks implements gc.Candidates.
func (g Garbage) NoteBlocks(ctx context.Context, pass int64, ids []block.ID) error {
	return g.each(ctx, "note blocks", hashes(ids), func(q querier, ids []any) error {
		_, err := execIn(ctx, q, ids, `
			INSERT INTO block_candidates (id, taken) SELECT id, CAST($1 AS BIGINT) FROM blocks WHERE id IN (?)
			ON CONFLICT (id) DO UPDATE SET taken = excluded.taken`, pass)
		return err
	})
}

// Settle implements gc.Candidates.
func (g Garbage) Settle(ctx context.Context, pass int64, pages []snapshot.PageID, blocks []block.ID) error {
	if err := g.settle(ctx, "pages", pass, hashes(pages)); err != nil {
		return err
	}
	return g.settle(ctx, "blocks", pass, hashes(blocks))
}

func (g Garbage) settle(ctx context.Context, table string, pass int64, ids []any) error {
	return g.each(ctx, "settle "+table, ids, func(q querier, ids []any) error {
		if _, err := execIn(ctx, q, ids, `DELETE FROM `+candidatesOf[table]+` WHERE taken = $1 AND id IN (?)`, pass); err != nil {
			return err
		}
		_, err := execIn(ctx, q, ids, `UPDATE `+table+` SET condemned = 0 WHERE condemned <> 0 AND id IN (?)`)
		return err
	})
}
