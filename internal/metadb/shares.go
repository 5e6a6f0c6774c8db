package metadb

import (
	"context"
	"slices"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// sharesOf returns the accounts that a snapshot is shared with, in order.
func sharesOf(ctx context.Context, q querier, id string) ([]string, error) {
	list, err := all(ctx, q, column[string], `SELECT grantee FROM snapshot_shares WHERE snapshot = $1`, id)
	slices.Sort(list)
	return list, err
}

func dropShares(ctx context.Context, q querier, id string) error {
	_, err := exec(ctx, q, `DELETE FROM snapshot_shares WHERE snapshot = $1`, id)
	return err
}

// Share implements snapshot.Changes.
func (s Snapshots) Share(ctx context.Context, home awsid.Home, id string, add, remove []string) error {
	return s.own(ctx, "share", home, id, func(q querier) error {
		if _, err := execIn(ctx, q, args(remove), `DELETE FROM snapshot_shares WHERE snapshot = $1 AND grantee IN (?)`, id); err != nil {
			return err
		}
		if err := addShares(ctx, q, home.Region, id, add); err != nil {
			return err
		}
		return s.tellShares(ctx, q, home, id, add, remove)
	})
}

// tellShares puts into the outbox who may use a snapshot from now on, and who no longer may.
func (s Snapshots) tellShares(ctx context.Context, q querier, home awsid.Home, id string, added, removed []string) error {
	told := outbox.Event{Kind: outbox.SnapshotShared, Account: home.Account, Region: home.Region, Resource: id, Detail: outbox.Detail{Added: added}}
	if len(added) > 0 {
		if err := s.db.tell(ctx, q, told); err != nil {
			return err
		}
	}
	if len(removed) == 0 {
		return nil
	}
	told.Kind, told.Detail = outbox.SnapshotUnshared, outbox.Detail{Removed: removed}
	return s.db.tell(ctx, q, told)
}

func addShares(ctx context.Context, q querier, region, id string, add []string) error {
	started, _, err := one(ctx, q, column[int64], `SELECT started FROM snapshots WHERE id = $1`, id)
	if err != nil || len(add) == 0 {
		return err
	}
	rows := [][]any{}
	for _, who := range slices.Compact(slices.Sorted(slices.Values(add))) {
		rows = append(rows, []any{id, who, region, started})
	}
	if err := insert(ctx, q, rows, `INSERT INTO snapshot_shares (snapshot, grantee, region, started) VALUES (?) ON CONFLICT DO NOTHING`); err != nil {
		return err
	}
	n, _, err := one(ctx, q, column[int], `SELECT COUNT(*) FROM snapshot_shares WHERE snapshot = $1`, id)
	if err == nil && n > snapshot.MaxShares {
		err = snapshot.ErrTooManyShares
	}
	return err
}

// Unshare implements snapshot.Changes.
func (s Snapshots) Unshare(ctx context.Context, home awsid.Home, id string) error {
	return s.own(ctx, "unshare", home, id, func(q querier) error {
		gone, err := sharesOf(ctx, q, id)
		if err != nil {
			return err
		}
		if err := dropShares(ctx, q, id); err != nil {
			return err
		}
		return s.tellShares(ctx, q, home, id, nil, gone)
	})
}

// SetTier implements snapshot.Changes.
func (s Snapshots) SetTier(ctx context.Context, home awsid.Home, id string, t snapshot.Tier) error {
	return s.own(ctx, "set the tier of", home, id, func(q querier) error {
		_, err := exec(ctx, q, `UPDATE snapshots SET tier = $1, tier_since = $2 WHERE id = $3`, t, micros(s.db.now()), id)
		return err
	})
}

// own runs fn with a snapshot of the account and region locked.
func (s Snapshots) own(ctx context.Context, what string, home awsid.Home, id string, fn func(querier) error) error {
	return s.db.update(ctx, what+" snapshot "+id, func(q querier) error {
		n, err := exec(ctx, q, `UPDATE snapshots SET account = account WHERE id = $1 AND account = $2 AND region = $3`, id, home.Account, home.Region)
		if err != nil {
			return err
		}
		if n == 0 {
			return snapshot.ErrNotFound
		}
		return fn(q)
	})
}
