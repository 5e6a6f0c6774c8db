package metadb

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/diskport/diskport/internal/store/snapshot"
)

// addRangePages names pages as pages of a pending snapshot. The primary key makes
// sure that no two ranges name the same page.
func addRangePages(ctx context.Context, q querier, id string, pages []snapshot.PagePlace) error {
	return insertRangePages(ctx, q, id, pages, "")
}

func insertRangePages(ctx context.Context, q querier, id string, pages []snapshot.PagePlace, onConflict string) error {
	rows := make([][]any, len(pages))
	for i, p := range pages {
		rows[i] = []any{id, p.Page, p.ID[:], p.Blocks, spot(id, p.Page)}
	}
	return insert(ctx, q, rows, `INSERT INTO range_pages (snapshot, page, page_id, blocks, spot) VALUES (?)`+onConflict)
}

// spot is a sum over the key of a row that says what lies at a place in a pending snapshot. A root
// proves itself; before it is written, a bit that is turned over in such a key would put a
// page or block elsewhere, which nothing else tells. It is never 0.
func spot(id string, index int64) int64 {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(id), uint64(index)))
	return int64(binary.LittleEndian.Uint64(sum[:])>>1 | 1)
}

// atSpot fails with snapshot.ErrCorrupt unless a row has the key that it was written with; 0: an
// older version wrote it.
func atSpot(id string, index, stored int64) error {
	if stored == 0 || stored == spot(id, index) {
		return nil
	}
	return fmt.Errorf("%w: the row that says what lies at place %d of %s is not as it was written", snapshot.ErrCorrupt, index, id)
}

// replaceRangePages is addRangePages where an earlier attempt may have named pages. Of
// two that differ, the earlier one is let go.
func replaceRangePages(ctx context.Context, q querier, id string, pages []snapshot.PagePlace) error {
	at, indexes := map[int64]snapshot.PageID{}, make([]int64, len(pages))
	for i, p := range pages {
		at[p.Page], indexes[i] = p.ID, p.Page
	}
	var gone []snapshot.PageID
	scan := func(s scanner) (index int64, err error) {
		var old snapshot.PageID
		err = s.Scan(&index, (*hash)(&old))
		if old != at[index] {
			gone = append(gone, old)
		}
		return index, err
	}
	if _, err := allIn(ctx, q, scan, args(indexes), `SELECT page, page_id FROM range_pages WHERE snapshot = $1 AND page IN (?)`, id); err != nil {
		return err
	}
	if err := insert(ctx, q, rowsOf(hashes(gone)), `INSERT INTO page_candidates (id) VALUES (?)`+notePages); err != nil {
		return err
	}
	return insertRangePages(ctx, q, id, pages, ` ON CONFLICT (snapshot, page) DO UPDATE SET page_id = excluded.page_id, blocks = excluded.blocks`)
}

// RangePages implements importtask.RangePages.
func (t Tasks) RangePages(ctx context.Context, snapshotID string) (pages []snapshot.PagePlace, err error) {
	scan := func(s scanner) (p snapshot.PagePlace, err error) {
		var stored int64
		if err = s.Scan(&p.Page, (*hash)(&p.ID), &p.File, &p.Off, &p.Len, &p.Blocks, &stored); err == nil {
			err = atSpot(snapshotID, p.Page, stored)
		}
		return p, err
	}
	err = t.db.ask(ctx, "read draft pages of "+snapshotID, func(q querier) error {
		pages, err = all(ctx, q, scan, `
			SELECT d.page, p.id, p.file, p.off, p.len, d.blocks, d.spot
			FROM range_pages d JOIN pages p ON p.id = d.page_id WHERE d.snapshot = $1 ORDER BY d.page`, snapshotID)
		return err
	})
	return pages, err
}
