package metadb

import (
	"cmp"
	"context"
	"slices"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
)

// IAM is the iam.Store of a DB: accounts and keys in this file, users, roles,
// policies of owners and managed policies in one each beside it.
type IAM struct{ db *DB }

var _ iam.Store = IAM{}

// IAM returns the store of access keys, users, roles and policies.
func (db *DB) IAM() IAM { return IAM{db} }

func missing(kind, name string) error {
	return &iam.EntityError{Kind: kind, Name: name, Err: iam.ErrNotFound}
}

// byName sorts a list by name, in Go because the collations of databases differ.
func byName[T any](list []T, name func(T) string) []T {
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	return list
}

// SetRootKey implements iam.AccountStore.
func (s IAM) SetRootKey(ctx context.Context, k iam.AccessKey) error {
	return s.change(ctx, "set the root key of account "+k.Account, func(q querier) error {
		if err := lockAccount(ctx, q, k.Account); err != nil {
			return err
		}
		if _, err := exec(ctx, q, `DELETE FROM iam_keys WHERE account = $1 AND user_id = '' AND id <> $2`, k.Account, k.ID); err != nil {
			return err
		}
		n, err := exec(ctx, q, `
			INSERT INTO iam_keys (id, account, user_id, wrapped, created) VALUES ($1, $2, '', $3, $4)
			ON CONFLICT (id) DO UPDATE SET wrapped = excluded.wrapped, inactive = 0
			WHERE iam_keys.account = excluded.account AND iam_keys.user_id = ''`,
			k.ID, k.Account, k.Wrapped, micros(k.Created))
		if err == nil && n == 0 {
			err = &iam.EntityError{Kind: iam.KindKey, Name: k.ID, Err: iam.ErrExists}
		}
		return err
	})
}

// AddAccount implements iam.AccountStore.
func (s IAM) AddAccount(ctx context.Context, k iam.AccessKey) error {
	return s.change(ctx, "add account "+k.Account, func(q querier) error {
		if err := lockAccount(ctx, q, k.Account); err != nil {
			return err
		}
		_, taken, err := one(ctx, q, column[string], `SELECT id FROM iam_keys WHERE account = $1 AND user_id = ''`, k.Account)
		switch {
		case err != nil:
			return err
		case taken:
			return &iam.EntityError{Kind: iam.KindAccount, Name: k.Account, Err: iam.ErrExists}
		}
		return addKey(ctx, q, k, "")
	})
}

// neverRemoved fails with iam.ErrRemoved for the id of an account that was removed.
func neverRemoved(ctx context.Context, q querier, account string) error {
	_, removed, err := one(ctx, q, column[string], `SELECT account FROM removed_accounts WHERE account = $1`, account)
	if err == nil && removed {
		err = &iam.EntityError{Kind: iam.KindAccount, Name: account, Err: iam.ErrRemoved}
	}
	return err
}

// addKey adds a key of the user with an id, or of an account.
func addKey(ctx context.Context, q querier, k iam.AccessKey, userID string) error {
	n, err := exec(ctx, q, `
		INSERT INTO iam_keys (id, account, user_id, wrapped, inactive, created) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		k.ID, k.Account, userID, k.Wrapped, flag(k.Inactive), micros(k.Created))
	if err == nil && n == 0 {
		err = &iam.EntityError{Kind: iam.KindKey, Name: k.ID, Err: iam.ErrExists}
	}
	return err
}

// RootKeys implements iam.AccountStore.
func (s IAM) RootKeys(ctx context.Context) (list []iam.AccessKey, err error) {
	err = s.db.ask(ctx, "list accounts", func(q querier) error {
		list, err = all(ctx, q, scanKey, selectAccessKeys+` WHERE k.user_id = ''`)
		return err
	})
	return byName(list, func(k iam.AccessKey) string { return k.Account }), err
}

// RemoveAccount implements iam.AccountStore.
func (s IAM) RemoveAccount(ctx context.Context, account string) error {
	return s.remove(ctx, "remove account "+account, func(q querier) error {
		if err := queueForAccount(ctx, q, account); err != nil {
			return err
		}
		n, err := exec(ctx, q, `DELETE FROM iam_keys WHERE account = $1 AND user_id = ''`, account)
		if err != nil {
			return err
		}
		if n == 0 {
			return missing(iam.KindAccount, account)
		}
		if err := s.db.ownsNothing(ctx, q, account); err != nil {
			return err
		}
		for _, stmt := range []string{
			`DELETE FROM iam_keys WHERE account = $1`, `DELETE FROM iam_users WHERE account = $1`, `DELETE FROM iam_roles WHERE account = $1`,
		} {
			if _, err := exec(ctx, q, stmt, account); err != nil {
				return err
			}
		}
		if _, err := exec(ctx, q, `INSERT INTO removed_accounts (account, removed) VALUES ($1, $2)`, account, micros(s.db.now())); err != nil {
			return err
		}
		return s.db.letGoAccount(ctx, q, account)
	})
}

// ownsNothing fails with iam.ErrInUse while the account has anything that is not
// removed with it.
func (db *DB) ownsNothing(ctx context.Context, q querier, account string) error {
	n, _, err := one(ctx, q, column[int], `
		SELECT (SELECT COUNT(*) FROM snapshots WHERE account = $1) + (SELECT COUNT(*) FROM images WHERE account = $1)
			+ (SELECT COUNT(*) FROM volumes WHERE account = $1) + (SELECT COUNT(*) FROM s3_buckets WHERE account = $1)
			+ (SELECT COUNT(*) FROM tasks WHERE account = $1 AND ended = 0) + (SELECT COUNT(*) FROM kms_keys WHERE `+customersKey+`)`,
		account, kms.Customer, kms.PendingDeletion, micros(db.now()))
	if err == nil && n != 0 {
		err = &iam.EntityError{Kind: iam.KindAccount, Name: account, Err: iam.ErrInUse}
	}
	return err
}

const selectAccessKeys = `
	SELECT k.id, k.account, COALESCE(u.name, ''), k.wrapped, k.inactive, k.created, k.used, k.used_service, k.used_region
	FROM iam_keys k LEFT JOIN iam_users u ON u.id = k.user_id`

func scanKey(s scanner) (k iam.AccessKey, err error) {
	var created, used int64
	err = s.Scan(&k.ID, &k.Account, &k.User, &k.Wrapped, &k.Inactive, &created, &used, &k.Used.Service, &k.Used.Region)
	k.Created, k.Used.Time = fromMicros(created), fromMicros(used)
	return k, err
}

// generation is the counter of changes of identities.
const generation = "identities"

// Generation implements iam.KeyStore.
func (s IAM) Generation(ctx context.Context) (n int64, err error) {
	err = s.db.ask(ctx, "ask whether identities have changed", func(q querier) error {
		n, _, err = one(ctx, q, column[int64], `SELECT value FROM counters WHERE name = $1`, generation)
		return err
	})
	return n, err
}

// change is db.update for what Lookup depends on.
func (s IAM) change(ctx context.Context, what string, fn func(querier) error) error {
	return s.db.update(ctx, what, s.noting(ctx, fn))
}

// remove is change for what frees room.
func (s IAM) remove(ctx context.Context, what string, fn func(querier) error) error {
	return s.db.free(ctx, what, s.noting(ctx, fn))
}

func (s IAM) noting(ctx context.Context, fn func(querier) error) func(querier) error {
	return func(q querier) error {
		if err := fn(q); err != nil {
			return err
		}
		return s.note(ctx, q)
	}
}

// note makes it another generation. It goes by the time, so that a database that was put back
// to what it was an hour ago does not come to a number that a node has seen of another state.
func (s IAM) note(ctx context.Context, q querier) error {
	_, err := exec(ctx, q, `
		INSERT INTO counters (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = CASE WHEN counters.value < $2 THEN $2 ELSE counters.value + 1 END`, generation, micros(s.db.now()))
	return err
}

// AccessKey implements iam.KeyStore.
func (s IAM) AccessKey(ctx context.Context, id string) (k iam.AccessKey, err error) {
	err = s.db.ask(ctx, "get access key "+id, func(q querier) error {
		var ok bool
		k, ok, err = one(ctx, q, scanKey, selectAccessKeys+` WHERE k.id = $1`, id)
		if err == nil && !ok {
			err = iam.ErrUnknownKey
		}
		return err
	})
	return k, err
}

// ChangeKey implements iam.KeyStore.
func (s IAM) ChangeKey(ctx context.Context, account, id string, change func(*iam.AccessKey) error) error {
	return s.db.update(ctx, "change access key "+id, func(q querier) error {
		n, err := exec(ctx, q, `UPDATE iam_keys SET id = id WHERE account = $1 AND id = $2`, account, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return missing(iam.KindKey, id)
		}
		k, _, err := one(ctx, q, scanKey, selectAccessKeys+` WHERE k.id = $1`, id)
		if err != nil {
			return err
		}
		was := k.Inactive
		if err := change(&k); err != nil {
			return err
		}
		if k.Inactive != was {
			if err := s.note(ctx, q); err != nil {
				return err
			}
		}
		_, err = exec(ctx, q, `UPDATE iam_keys SET inactive = $1, used = $2, used_service = $3, used_region = $4 WHERE id = $5`,
			flag(k.Inactive), micros(k.Used.Time), k.Used.Service, k.Used.Region, id)
		return err
	})
}
