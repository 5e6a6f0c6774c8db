package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// letGoRows is how many rows of an ended snapshot one transaction lets go of.
const letGoRows = 2048

// letGo lets go of the rows that named pages and blocks for a snapshot that was
// pending and has ended. Of a large one some are left, for a LetGo unit. Until their
// turn comes they keep what they name from gc, and that is all they do.
func (db *DB) letGo(ctx context.Context, q querier, account, id string) error {
	left, err := db.letGoSome(ctx, q, id)
	if err != nil || !left {
		return err
	}
	return db.addUnits(ctx, q, db.unit(work.Unit{Account: account, Kind: work.LetGo, Task: id}))
}

// naming is a table of rows that name something for a pending snapshot: the column
// that orders the rows, the one that names, and where that is noted.
type naming struct{ table, order, names, candidates string }

// namings are those of pages and of blocks.
var namings = []naming{
	{"range_pages", "page", "page_id", "page_candidates"},
	{"draft_blocks", "block", "block_id", "block_candidates"},
}

// letGoSome deletes the first rows that name something for a snapshot that has ended.
// What they named becomes a candidate of gc, unless the snapshot is completed: then
// its root names it, and whoever deletes the snapshot lets go of that. left reports
// whether there may be more rows.
func (db *DB) letGoSome(ctx context.Context, q querier, id string) (left bool, err error) {
	kept, err := exec(ctx, q, `UPDATE snapshots SET state = state WHERE id = $1 AND state = $2`, id, snapshot.Completed)
	if err != nil {
		return false, err
	}
	rows := db.letGoRows
	for _, n := range namings {
		last, more, err := lastOf(ctx, q, n.table, n.order, id, rows)
		if err != nil {
			return false, err
		}
		if kept == 0 {
			if _, err := exec(ctx, q, `
				INSERT INTO `+n.candidates+` (id) SELECT DISTINCT `+n.names+` FROM `+n.table+` WHERE snapshot = $1 AND `+n.order+` <= $2
				ORDER BY `+n.names+notePages, id, last); err != nil {
				return false, err
			}
		}
		deleted, err := exec(ctx, q, `DELETE FROM `+n.table+` WHERE snapshot = $1 AND `+n.order+` <= $2`, id, last)
		if err != nil {
			return false, err
		}
		if rows -= deleted; more || rows == 0 {
			return true, nil
		}
	}
	return false, nil
}

// lastOf returns the place of the last of the first n rows of a snapshot in a table,
// and whether there are as many.
func lastOf(ctx context.Context, q querier, table, order, id string, n int64) (last int64, full bool, err error) {
	scan := func(s scanner) (count int64, err error) {
		err = s.Scan(&last, &count)
		return count, err
	}
	count, _, err := one(ctx, q, scan, `
		SELECT COALESCE(MAX(x.at), -1), COUNT(*) FROM (SELECT `+order+` AS at FROM `+table+` WHERE snapshot = $1 ORDER BY `+order+` LIMIT $2) x`, id, n)
	return last, count == n, err
}

// leftovers are the rows that go with an account, when what gives access to it, its
// users with their keys and its roles, is gone already; each is how many rows there may
// be of a key. Its dedupe domains stay, since they may hold blocks that gc has not freed;
// no request can name them.
var leftovers = []struct {
	table, account, key string
	each                int64
}{
	{"iam_attachments", "account", "owner", 20},
	{"iam_inline_policies", "account", "owner", 64},
	{"iam_boundaries", "account", "owner", 1},
	{"iam_instance_profiles", "account", "id", 1},
	{"iam_managed_policies", "account", "id", 1},
	{"tasks", "account", "id", 1},
	{"image_tasks", "account", "id", 1},
	{"tags", "account", "resource", 50},
	{"snapshot_defaults", "account", "region", 1},
	{"snapshot_shares", "grantee", "snapshot", 1},
	{"kms_keys", "account", "id", 1},
	{"kms_aliases", "account", "name", 1},
	{"kms_grants", "account", "id", 1},
}

// letGoAccount removes what an account that is removed leaves. Of one that leaves much
// some is left, for a LetGo unit.
func (db *DB) letGoAccount(ctx context.Context, q querier, account string) error {
	left, err := db.letGoSomeOf(ctx, q, account)
	if err != nil || !left {
		return err
	}
	return db.addUnits(ctx, q, db.unit(work.Unit{Account: account, Kind: work.LetGo, Task: account}))
}

// letGoSomeOf removes some of the leftovers of an account, and reports whether there may
// be more.
func (db *DB) letGoSomeOf(ctx context.Context, q querier, account string) (left bool, err error) {
	rows := db.letGoRows
	for _, l := range leftovers {
		for n := int64(1); n > 0; rows -= n {
			if rows <= 0 {
				return true, nil
			}
			n, err = exec(ctx, q, `DELETE FROM `+l.table+` WHERE `+l.account+` = $1 AND `+l.key+` IN (
				SELECT DISTINCT `+l.key+` FROM `+l.table+` WHERE `+l.account+` = $1 ORDER BY `+l.key+` LIMIT $2)`, account, max(1, rows/l.each))
			if err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// LetGo implements snapshot.Leavings.
func (s Snapshots) LetGo(ctx context.Context, l work.Lease) (left bool, err error) {
	err = s.db.free(ctx, "let go of what "+l.Task+" left", func(q querier) error {
		n, err := exec(ctx, q, `UPDATE units SET claims = 0 WHERE id = $1 AND owner = $2 AND attempt = $3`, l.ID, l.Owner, l.Attempt) // it gets further
		if err := lostUnless(n, err); err != nil {
			return err
		}
		some := s.db.letGoSome
		if l.Task == l.Account { // it is the account that has ended
			some = s.db.letGoSomeOf
		}
		if left, err = some(ctx, q, l.Task); err != nil || left {
			return err
		}
		return finishUnit(ctx, q, l)
	})
	return left, err
}
