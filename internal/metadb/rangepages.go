package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/store/snapshot"
)

// addRangePages names pages as pages of a pending snapshot. The primary key makes
// sure that no two ranges name the same page.
func addRangePages(ctx context.Context, q querier, id string, pages []snapshot.PagePlace) error {
	rows := make([][]any, len(pages))
	for i, p := range pages {
		rows[i] = []any{id, p.Page, p.ID[:], p.Blocks}
	}
	return insert(ctx, q, rows, `INSERT INTO range_pages (snapshot, page, page_id, blocks) VALUES (?)`)
}

// RangePages implements importtask.RangePages.
func (t Tasks) RangePages(ctx context.Context, snapshotID string) (pages []snapshot.PagePlace, err error) {
	scan := func(s scanner) (p snapshot.PagePlace, err error) {
		err = s.Scan(&p.Page, (*hash)(&p.ID), &p.File, &p.Off, &p.Len, &p.Blocks)
		return p, err
	}
	err = t.db.view(ctx, "read draft pages of "+snapshotID, func(q querier) error {
		pages, err = all(ctx, q, scan, `
			SELECT d.page, p.id, p.file, p.off, p.len, d.blocks
			FROM range_pages d JOIN pages p ON p.id = d.page_id WHERE d.snapshot = $1 ORDER BY d.page`, snapshotID)
		return err
	})
	return pages, err
}
