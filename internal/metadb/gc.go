package metadb

import (
	"cmp"
	"context"
	"slices"
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

// NextPass implements gc.Condemned.
func (g Garbage) NextPass(ctx context.Context) (pass int64, err error) {
	err = g.db.unset(ctx, "number a pass of gc", func(q querier) error {
		pass, _, err = one(ctx, q, column[int64], `
			INSERT INTO counters (name, value) VALUES ('gc pass', 1)
			ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value`)
		return err
	})
	return pass, err
}

// RangePages implements gc.References.
func (g Garbage) RangePages(ctx context.Context, fn func([]gc.RangePage) error) error {
	var at struct { // the last row seen
		snapshot string
		page     int64
	}
	at.page = -1
	scan := func(s scanner) (p gc.RangePage, err error) {
		err = s.Scan(&at.snapshot, &at.page, (*hash)(&p.ID), &p.Domain)
		return p, err
	}
	for {
		var pages []gc.RangePage
		err := g.db.ask(ctx, "read drafts", func(q querier) (err error) {
			pages, err = all(ctx, q, scan, `
				SELECT r.snapshot, r.page, r.page_id, COALESCE(s.domain, '') FROM range_pages r LEFT JOIN snapshots s ON s.id = r.snapshot
				WHERE r.snapshot > $1 OR (r.snapshot = $1 AND r.page > $2) ORDER BY r.snapshot, r.page LIMIT $3`, at.snapshot, at.page, gcBatch)
			return err
		})
		if err != nil || len(pages) == 0 {
			return err
		}
		if err := fn(pages); err != nil {
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
		err := g.db.ask(ctx, "read blocks of drafts", func(q querier) (err error) {
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

// Roots implements gc.References. It reads all roots at one moment: a draft or a
// reader takes its hold of a root while the snapshot exists, so one of the two is
// seen even if the snapshot is deleted meanwhile. For 100,000 snapshots that takes
// 10 MB.
func (g Garbage) Roots(ctx context.Context, fn func(gc.Root) error) error {
	roots := map[blockstore.FileID]gc.Root{}
	err := g.db.view(ctx, "read roots", func(q querier) error {
		for _, from := range []struct {
			named bool
			stmt  string
		}{
			{true, `SELECT root, domain FROM snapshots WHERE root <> 0`},
			{true, `SELECT base, '' FROM drafts WHERE base <> 0`},
			{true, `SELECT root, '' FROM holds WHERE root <> 0`},
			{false, `SELECT id, '' FROM files WHERE kind = 'root' AND state = 'closed' AND dead = 0`},
		} {
			found, err := all(ctx, q, scanRoot, from.stmt)
			if err != nil {
				return err
			}
			for _, r := range found {
				old := roots[r.File.ID]
				r.Named = from.named || old.Named
				r.Domain = cmp.Or(old.Domain, r.Domain)
				roots[r.File.ID] = r
			}
		}
		return nil
	})
	for _, id := range sortedKeys(roots) {
		if err == nil {
			err = fn(roots[id])
		}
	}
	return err
}

func scanRoot(s scanner) (r gc.Root, err error) {
	r.File.Kind = blockstore.RootFile
	err = s.Scan(&r.File.ID, &r.Domain)
	return r, err
}

// LocatePages implements gc.References.
func (g Garbage) LocatePages(ctx context.Context, ids []snapshot.PageID) (map[snapshot.PageID]snapshot.PagePlace, error) {
	return g.db.Snapshots().LocatePages(ctx, ids)
}

// unreferring are the kinds of units that add no references: periodic duties, gc's own
// among them, the rewriting of packs, plans, unpacking and letting go. They may take hours.
var unreferring = []work.Kind{
	work.GC, work.Scrub, work.Compact, work.Rewrite, work.Retain, work.Expire, work.Purge, work.Outbox, work.Tell, work.Unpack, work.Plan, work.Survey, work.LetGo,
}

// InFlight implements gc.References.
func (g Garbage) InFlight(ctx context.Context, now time.Time) (held []gc.Fence, err error) {
	scan := func(s scanner) (f gc.Fence, err error) {
		err = s.Scan(&f.Unit, &f.Attempt)
		return f, err
	}
	err = g.db.free(ctx, "look for units in flight", func(q querier) error {
		if _, err := exec(ctx, q, `
			UPDATE units SET owner = '' WHERE owner <> '' AND lease_until <= $1`, micros(now)); err != nil {
			return err
		}
		if _, err := exec(ctx, q, `
			DELETE FROM holds WHERE until <= $1 AND NOT EXISTS (SELECT 1 FROM volumes v WHERE v.hold = holds.id)`, micros(now)); err != nil {
			return err
		}
		most := micros(now.Add(work.MaxPause))
		if _, err := exec(ctx, q, `UPDATE units SET lease_until = $1 WHERE lease_until > $1`, most); err != nil {
			return err
		}
		// Nobody extends the hold of a volume, which lasts as long as that.
		if _, err := exec(ctx, q, `UPDATE holds SET until = $1 WHERE until > $1 AND until < $2`, most, int64(endless)); err != nil {
			return err
		}
		held, err = all(ctx, q, scan, listed(`
			SELECT id, attempt FROM units WHERE owner <> '' AND kind NOT IN (?)`, 0, len(unreferring)), args(unreferring)...)
		return err
	})
	return held, err
}

// Condemn implements gc.Condemned. Blocks of pages become candidates only when the pages are
// deleted, so whose they are can't be told of them. A block that stays condemned although it is
// referenced is as safe as any other: the pass that condemned it has ended.
func (g Garbage) Condemn(ctx context.Context, pass int64, pages []snapshot.PageID, blocks []block.ID, d gc.Doubt) error {
	if !d.Pages {
		if err := g.each(ctx, "condemn pages", hashes(pages), func(q querier, ids []any) error {
			_, err := execIn(ctx, q, ids, `
				UPDATE pages SET condemned = $1 WHERE id IN (?)
					AND EXISTS (SELECT 1 FROM page_candidates c WHERE c.id = pages.id AND c.taken = $1)`, pass)
			return err
		}); err != nil {
			return err
		}
	}
	if d.Blocks {
		return nil
	}
	where, domains := certain(d, 1)
	return g.each(ctx, "condemn blocks", hashes(blocks), func(q querier, ids []any) error {
		_, err := execIn(ctx, q, ids, `UPDATE blocks SET condemned = $1 WHERE id IN (?)`+where, slices.Concat([]any{pass}, domains)...)
		return err
	})
}

// certain returns a condition on blocks, that their domain is known and not in
// doubt, and its arguments. Its placeholders are numbered from n+1 on.
func certain(d gc.Doubt, n int) (where string, domains []any) {
	if len(d.Domains) == 0 {
		return "", nil
	}
	return listed(` AND EXISTS (SELECT 1 FROM files f WHERE f.id = blocks.file AND f.domain NOT IN (?))`, n, len(d.Domains)), args(d.Domains)
}

// each runs fn on the ids, a batch in a transaction.
func (g Garbage) each(ctx context.Context, what string, ids []any, fn func(q querier, ids []any) error) error {
	for some := range slices.Chunk(ids, gcBatch) {
		if err := g.db.free(ctx, what, func(q querier) error { return fn(q, some) }); err != nil {
			return err
		}
	}
	return nil
}

// DeleteCondemned implements gc.Condemned.
func (g Garbage) DeleteCondemned(ctx context.Context, pass int64, pages []snapshot.PageID, blocks []block.ID, d gc.Doubt) (r gc.Report, err error) {
	if !d.Pages {
		if r.Pages, err = g.deleteCondemned(ctx, "pages", hashes(pages), "", pass); err != nil {
			return r, err
		}
	}
	if !d.Blocks {
		where, domains := certain(d, 1)
		r.Blocks, err = g.deleteCondemned(ctx, "blocks", hashes(blocks), where, slices.Concat([]any{pass}, domains)...)
	}
	return r, err
}

// deleteCondemned deletes rows that the pass, the first of values, condemned.
func (g Garbage) deleteCondemned(ctx context.Context, table string, ids []any, where string, values ...any) (total int64, err error) {
	var n int64
	for some := range slices.Chunk(ids, gcBatch) {
		err := g.db.free(ctx, "delete "+table, func(q querier) error {
			deleted, err := allIn(ctx, q, scanInFile, some, `DELETE FROM `+table+` WHERE condemned = $1 AND id IN (?)`+where+` RETURNING id, file`, values...)
			if err != nil {
				return err
			}
			dead, keys := map[blockstore.FileID]int64{}, make([]any, len(deleted))
			for i := range deleted {
				dead[deleted[i].file]++
				keys[i] = deleted[i].id[:]
			}
			n = int64(len(deleted))
			if _, err := execIn(ctx, q, keys, `DELETE FROM `+candidatesOf[table]+` WHERE id IN (?)`); err != nil {
				return err
			}
			return countDead(ctx, q, dead)
		})
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// candidatesOf names the tables of candidates.
var candidatesOf = map[string]string{"pages": "page_candidates", "blocks": "block_candidates"}

// Spare implements gc.Condemned.
func (g Garbage) Spare(ctx context.Context, pass int64) error {
	for _, table := range []string{"pages", "blocks"} {
		for {
			// "<> 0" lets both engines use the index of condemned rows.
			ids, err := g.some(ctx, `SELECT id FROM `+table+` WHERE condemned = $1 AND condemned <> 0 ORDER BY id LIMIT $2`, pass, gcBatch)
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				break
			}
			if err := g.each(ctx, "spare "+table, hashes(ids), func(q querier, ids []any) error {
				_, err := execIn(ctx, q, ids, `UPDATE `+table+` SET condemned = 0 WHERE condemned = $1 AND id IN (?)`, pass)
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// some returns a batch of ids.
func (g Garbage) some(ctx context.Context, stmt string, args ...any) (ids []hash, err error) {
	err = g.db.ask(ctx, "look for garbage", func(q querier) error {
		ids, err = all(ctx, q, column[hash], stmt, args...)
		return err
	})
	return ids, err
}
