package metadb

import (
	"cmp"
	"context"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/footprint"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Footprints is the footprint.Store of a DB.
type Footprints struct{ db *DB }

var _ footprint.Store = Footprints{}

// Footprints returns what references blocks.
func (db *DB) Footprints() Footprints { return Footprints{db} }

// Keepers implements footprint.Store.
func (s Footprints) Keepers(ctx context.Context, root blockstore.FileID) (k footprint.Keepers, err error) {
	err = s.db.view(ctx, "look for what keeps a root", func(q querier) error {
		k = footprint.Keepers{}
		for _, part := range []struct {
			stmt string
			args []any
			dest *int64
		}{
			{`SELECT COALESCE(SUM(bytes), 0) FROM files WHERE id = $1`, []any{root}, &k.Bytes},
			{`SELECT COUNT(*) FROM holds WHERE root = $1 AND until = $2`, []any{root, int64(endless)}, &k.Volumes},
			{`SELECT COUNT(*) FROM drafts WHERE base = $1`, []any{root}, &k.Drafts},
		} {
			n, _, err := one(ctx, q, column[int64], part.stmt, part.args...)
			if err != nil {
				return err
			}
			*part.dest = n
		}
		return nil
	})
	return k, err
}

// RangePages implements footprint.Store.
func (s Footprints) RangePages(ctx context.Context, domain, except string, fn func([]snapshot.PageID) error) error {
	return eachNaming(ctx, s.db, namings[0], domain, except, fn)
}

// DraftBlocks implements footprint.Store.
func (s Footprints) DraftBlocks(ctx context.Context, domain, except string, fn func([]block.ID) error) error {
	return eachNaming(ctx, s.db, namings[1], domain, except, fn)
}

// eachNaming calls fn with what the rows of a table name for the snapshots of a domain,
// and for those that have no row any more.
func eachNaming[H ~[32]byte](ctx context.Context, db *DB, n naming, domain, except string, fn func([]H) error) error {
	for id := ""; ; {
		var next, of string
		var more, known bool
		err := db.view(ctx, "look for snapshots that are being made", func(q querier) (err error) {
			next, more, err = one(ctx, q, column[string], `SELECT snapshot FROM `+n.table+` WHERE snapshot > $1 ORDER BY snapshot LIMIT 1`, id)
			if err == nil && more {
				of, known, err = one(ctx, q, column[string], `SELECT domain FROM snapshots WHERE id = $1`, next)
			}
			return err
		})
		if err != nil || !more {
			return err
		}
		id = next
		if id == except || known && of != domain {
			continue
		}
		if err := eachNamed(ctx, db, n, id, fn); err != nil {
			return err
		}
	}
}

// eachNamed calls fn with what the rows of a table name for one snapshot.
func eachNamed[H ~[32]byte](ctx context.Context, db *DB, n naming, id string, fn func([]H) error) error {
	at := int64(-1) // the last row seen
	scan := func(s scanner) (h H, err error) {
		var named hash
		err = s.Scan(&at, &named)
		return H(named), err
	}
	for {
		var some []H
		err := db.ask(ctx, "read what "+id+" names", func(q querier) (err error) {
			some, err = all(ctx, q, scan, `
				SELECT `+n.order+`, `+n.names+` FROM `+n.table+` WHERE snapshot = $1 AND `+n.order+` > $2 ORDER BY `+n.order+` LIMIT $3`, id, at, gcBatch)
			return err
		})
		if err != nil || len(some) == 0 {
			return err
		}
		if err := fn(some); err != nil {
			return err
		}
	}
}

// foreignRoot is true for a root in column r that a snapshot of another domain than $2
// has.
func foreignRoot(r string) string {
	return `EXISTS (SELECT 1 FROM snapshots o WHERE o.root = ` + r + ` AND o.domain <> $2)`
}

// Roots implements footprint.Store.
func (s Footprints) Roots(ctx context.Context, domain string, except blockstore.FileID) ([]footprint.Root, error) {
	roots := map[blockstore.FileID]footprint.Root{}
	scan := func(s scanner) (struct{}, error) {
		var r footprint.Root
		err := s.Scan(&r.File.ID, &r.Bytes, &r.Snapshot)
		r.File.Kind = blockstore.RootFile
		r.Snapshot = cmp.Or(roots[r.File.ID].Snapshot, r.Snapshot)
		roots[r.File.ID] = r
		return struct{}{}, err
	}
	err := s.db.view(ctx, "read roots", func(q querier) error {
		clear(roots)
		for _, stmt := range []string{
			`SELECT s.root, COALESCE(f.bytes, 0), s.id FROM snapshots s LEFT JOIN files f ON f.id = s.root
				WHERE s.root <> 0 AND s.root <> $1 AND s.domain = $2`,
			`SELECT DISTINCT d.base, COALESCE(f.bytes, 0), '' FROM drafts d LEFT JOIN files f ON f.id = d.base
				WHERE d.base <> 0 AND d.base <> $1 AND NOT ` + foreignRoot(`d.base`),
			`SELECT DISTINCT h.root, COALESCE(f.bytes, 0), '' FROM holds h LEFT JOIN files f ON f.id = h.root
				WHERE h.root <> 0 AND h.root <> $1 AND NOT ` + foreignRoot(`h.root`),
			`SELECT f.id, f.bytes, '' FROM files f
				WHERE f.kind = 'root' AND f.state = 'closed' AND f.dead = 0 AND f.id <> $1 AND NOT ` + foreignRoot(`f.id`),
		} {
			if _, err := all(ctx, q, scan, stmt, except, domain); err != nil {
				return err
			}
		}
		return nil
	})
	list := make([]footprint.Root, 0, len(roots))
	for _, id := range sortedKeys(roots) {
		list = append(list, roots[id])
	}
	return list, err
}

// LocatePages implements footprint.Store.
func (s Footprints) LocatePages(ctx context.Context, ids []snapshot.PageID) (map[snapshot.PageID]snapshot.PagePlace, error) {
	return s.db.Snapshots().LocatePages(ctx, ids)
}
