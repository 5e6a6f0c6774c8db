package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// What an event lets go becomes a candidate of gc in the event's own transaction.
// When a candidate is let go again, the pass that has taken it loses it (package
// gc).

const (
	noteFiles  = ` ON CONFLICT (file) DO UPDATE SET taken = 0, expanded = 0`
	notePages  = ` ON CONFLICT (id) DO UPDATE SET taken = 0`
	noteBlocks = notePages
)

// letGoOneOf notes both blocks where a draft already has one at the index of a new
// one. Marking finds the one that stays.
func letGoOneOf(ctx context.Context, q querier, id string, blocks []snapshot.DraftBlock) error {
	at := map[int64]block.ID{}
	indexes := make([]int64, len(blocks))
	for i, b := range blocks {
		at[b.Index], indexes[i] = b.ID, b.Index
	}
	var both []block.ID
	scan := func(s scanner) (index int64, err error) {
		var old block.ID
		err = s.Scan(&index, (*hash)(&old))
		if old != at[index] {
			both = append(both, old, at[index])
		}
		return index, err
	}
	_, err := allIn(ctx, q, scan, args(indexes), `SELECT block, block_id FROM draft_blocks WHERE snapshot = $1 AND block IN (?)`, id)
	if err != nil {
		return err
	}
	return insert(ctx, q, rowsOf(hashes(both)), `INSERT INTO block_candidates (id) VALUES (?)`+noteBlocks)
}

// letGoRoot notes a root, 0 for none, that its snapshot does not name any more.
func letGoRoot(ctx context.Context, q querier, root blockstore.FileID) error {
	if root == 0 {
		return nil
	}
	if _, err := exec(ctx, q, `UPDATE files SET dead = 1 WHERE id = $1`, root); err != nil {
		return err
	}
	return noteFile(ctx, q, root)
}

func noteFile(ctx context.Context, q querier, id blockstore.FileID) error {
	_, err := exec(ctx, q, `INSERT INTO file_candidates (file) VALUES ($1)`+noteFiles, id)
	return err
}

// countDead counts entries of files that were let go, and notes the files.
func countDead(ctx context.Context, q querier, dead map[blockstore.FileID]int64) error {
	for _, id := range sortedKeys(dead) {
		if _, err := exec(ctx, q, `UPDATE files SET dead = dead + $1 WHERE id = $2`, dead[id], id); err != nil {
			return err
		}
		if err := noteFile(ctx, q, id); err != nil {
			return err
		}
	}
	return nil
}

// countEntries notes how many blocks or pages a file was closed with, and counts
// those as dead that were stored elsewhere already. A file that has only such ones
// is a candidate.
func countEntries(ctx context.Context, q querier, id blockstore.FileID, entries int, table string) error {
	dead, _, err := one(ctx, q, column[int64], `
		UPDATE files SET entries = $1, dead = $1 - (SELECT COUNT(*) FROM `+table+` t WHERE t.file = files.id) WHERE id = $2 RETURNING dead`, entries, id)
	if err == nil && dead >= int64(entries) {
		err = noteFile(ctx, q, id)
	}
	return err
}
