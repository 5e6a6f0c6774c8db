package metadb

import (
	"context"
	"slices"

	"github.com/diskport/diskport/internal/store/snapshot"
)

// share is one row of whom snapshots are shared with.
type share struct{ snapshot, grantee string }

func scanShare(s scanner) (h share, err error) {
	err = s.Scan(&h.snapshot, &h.grantee)
	return h, err
}

// sharedWith returns whom one of the shares' snapshots is shared with, in order.
func sharedWith(shares []share, id string) []string {
	var out []string
	for _, h := range shares {
		if h.snapshot == id {
			out = append(out, h.grantee)
		}
	}
	slices.Sort(out)
	return out
}

func sharesOf(ctx context.Context, q querier, id string) ([]string, error) {
	shares, err := all(ctx, q, scanShare, `SELECT snapshot, grantee FROM snapshot_shares WHERE snapshot = $1`, id)
	return sharedWith(shares, id), err
}

func dropShares(ctx context.Context, q querier, id string) error {
	_, err := exec(ctx, q, `DELETE FROM snapshot_shares WHERE snapshot = $1`, id)
	return err
}

// ListShared implements snapshot.Store.
func (s Snapshots) ListShared(ctx context.Context, account string) (list []snapshot.Record, err error) {
	err = s.db.view(ctx, "list snapshots shared with account "+account, func(q querier) error {
		list, err = all(ctx, q, scanSnapshot, selectSnapshot+` WHERE s.account <> $1 AND s.id IN (
			SELECT snapshot FROM snapshot_shares WHERE grantee = $1 OR grantee = $2)`, account, snapshot.Everybody)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].SharedWith, err = sharesOf(ctx, q, list[i].ID); err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(list, inOrder)
	return list, err
}

// Share implements snapshot.Store.
func (s Snapshots) Share(ctx context.Context, account, id string, add, remove []string) error {
	return s.own(ctx, "share", account, id, func(q querier) error {
		if _, err := execIn(ctx, q, args(remove), `DELETE FROM snapshot_shares WHERE snapshot = $1 AND grantee IN (?)`, id); err != nil {
			return err
		}
		rows := [][]any{}
		for _, who := range slices.Compact(slices.Sorted(slices.Values(add))) {
			rows = append(rows, []any{id, who})
		}
		return insert(ctx, q, rows, `INSERT INTO snapshot_shares (snapshot, grantee) VALUES (?) ON CONFLICT DO NOTHING`)
	})
}

// Unshare implements snapshot.Store.
func (s Snapshots) Unshare(ctx context.Context, account, id string) error {
	return s.own(ctx, "unshare", account, id, func(q querier) error { return dropShares(ctx, q, id) })
}

// SetTier implements snapshot.Store.
func (s Snapshots) SetTier(ctx context.Context, account, id string, t snapshot.Tier) error {
	return s.own(ctx, "set the tier of", account, id, func(q querier) error {
		_, err := exec(ctx, q, `UPDATE snapshots SET tier = $1, tier_since = $2 WHERE id = $3`, t, micros(s.db.now()), id)
		return err
	})
}

// own runs fn with a snapshot of the account locked.
func (s Snapshots) own(ctx context.Context, what, account, id string, fn func(querier) error) error {
	return s.db.update(ctx, what+" snapshot "+id, func(q querier) error {
		n, err := exec(ctx, q, `UPDATE snapshots SET account = account WHERE id = $1 AND account = $2`, id, account)
		if err != nil {
			return err
		}
		if n == 0 {
			return snapshot.ErrNotFound
		}
		return fn(q)
	})
}
