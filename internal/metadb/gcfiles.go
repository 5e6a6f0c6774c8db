package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
)

// TakeFiles implements gc.Files.
func (g Garbage) TakeFiles(ctx context.Context, pass int64, after blockstore.FileID, limit int) (ids []blockstore.FileID, err error) {
	err = g.db.free(ctx, "take files", func(q querier) error {
		ids, err = all(ctx, q, column[blockstore.FileID], `
			SELECT c.file FROM file_candidates c WHERE c.file > $1
			UNION SELECT f.id FROM files f WHERE f.id > $1 AND `+abandoned+`
			ORDER BY 1 LIMIT $2`, after, limit)
		if err != nil {
			return err
		}
		_, err = execIn(ctx, q, args(ids), `UPDATE file_candidates SET taken = $1 WHERE file IN (?)`, pass)
		return err
	})
	return ids, err
}

// Look implements gc.Files.
func (g Garbage) Look(ctx context.Context, ids []blockstore.FileID) (facts map[blockstore.FileID]gc.FileFacts, err error) {
	err = g.db.view(ctx, "look at files", func(q querier) (err error) {
		if facts, err = factsOf(ctx, q, ids); err != nil {
			return err
		}
		return keepClosed(ctx, q, facts)
	})
	return facts, err
}

// factsOf is Look without a hold of all files.
func factsOf(ctx context.Context, q querier, ids []blockstore.FileID) (map[blockstore.FileID]gc.FileFacts, error) {
	rows, err := allIn(ctx, q, scanFacts, args(ids), `
			SELECT f.id, f.kind, f.domain, f.bytes, CASE WHEN f.state = 'open' THEN 1 ELSE 0 END, f.entries, f.dead, COALESCE(c.expanded, 0),
				CASE WHEN `+abandoned+` THEN 0 ELSE 1 END
			FROM files f LEFT JOIN file_candidates c ON c.file = f.id WHERE f.id IN (?)`)
	if err != nil {
		return nil, err
	}
	facts := make(map[blockstore.FileID]gc.FileFacts, len(rows))
	for _, f := range rows {
		facts[f.File.ID] = f
	}
	return facts, addNames(ctx, q, ids, facts)
}

// keepClosed notes of closed files that a hold of all files keeps them.
func keepClosed(ctx context.Context, q querier, facts map[blockstore.FileID]gc.FileFacts) error {
	_, held, err := one(ctx, q, column[int64], `SELECT id FROM holds WHERE root = 0 LIMIT 1`)
	if err != nil || !held {
		return err
	}
	for id, f := range facts {
		f.Kept = f.Kept || f.Row && !f.Open
		facts[id] = f
	}
	return nil
}

func scanFacts(s scanner) (f gc.FileFacts, err error) {
	var open, expanded, leased int64
	err = s.Scan(&f.File.ID, &f.File.Kind, &f.File.Domain, &f.Bytes, &open, &f.Entries, &f.Dead, &expanded, &leased)
	f.Row, f.Open, f.Expanded = true, open != 0, expanded != 0
	f.Leased = f.Open && leased != 0
	return f, err
}

// namers are the columns that name files. Those with kept name roots that a draft
// or a hold keeps alive, whether or not there still is a snapshot.
var namers = []struct {
	kept bool
	stmt string
}{
	{false, `SELECT DISTINCT file FROM blocks WHERE file IN (?)`},
	{false, `SELECT DISTINCT file FROM pages WHERE file IN (?)`},
	{false, `SELECT DISTINCT root FROM snapshots WHERE root IN (?)`},
	{true, `SELECT DISTINCT base FROM drafts WHERE base IN (?)`},
	{true, `SELECT DISTINCT root FROM holds WHERE root IN (?)`},
}

// addNames adds to the facts about files what names them.
func addNames(ctx context.Context, q querier, ids []blockstore.FileID, facts map[blockstore.FileID]gc.FileFacts) error {
	for _, n := range namers {
		named, err := allIn(ctx, q, column[blockstore.FileID], args(ids), n.stmt)
		if err != nil {
			return err
		}
		for _, id := range named {
			f := facts[id]
			f.File.ID = id
			f.Named, f.Kept = f.Named || !n.kept, f.Kept || n.kept
			facts[id] = f
		}
	}
	return nil
}

// SettleFiles implements gc.Files.
func (g Garbage) SettleFiles(ctx context.Context, pass int64, ids []blockstore.FileID) error {
	return g.db.free(ctx, "settle files", func(q querier) error {
		_, err := execIn(ctx, q, args(ids), `DELETE FROM file_candidates WHERE taken = $1 AND file IN (?)`, pass)
		return err
	})
}

// ForgetFiles implements gc.Files.
func (g Garbage) ForgetFiles(ctx context.Context, ids []blockstore.FileID) error {
	return g.db.free(ctx, "forget files", func(q querier) error {
		if _, err := execIn(ctx, q, args(ids), `DELETE FROM file_candidates WHERE file IN (?)`); err != nil {
			return err
		}
		_, err := execIn(ctx, q, args(ids), `DELETE FROM files WHERE id IN (?)`)
		return err
	})
}

// FilesWithRows implements gc.Files.
func (g Garbage) FilesWithRows(ctx context.Context, ids []blockstore.FileID) (rows map[blockstore.FileID]bool, err error) {
	err = g.db.view(ctx, "look up files", func(q querier) error {
		rows, err = filesWithRows(ctx, q, ids)
		return err
	})
	return rows, err
}

func filesWithRows(ctx context.Context, q querier, ids []blockstore.FileID) (map[blockstore.FileID]bool, error) {
	there, err := allIn(ctx, q, column[blockstore.FileID], args(ids), `SELECT id FROM files WHERE id IN (?)`)
	rows := make(map[blockstore.FileID]bool, len(there))
	for _, id := range there {
		rows[id] = true
	}
	return rows, err
}
