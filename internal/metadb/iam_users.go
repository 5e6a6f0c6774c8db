package metadb

import (
	"context"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
)

const selectUsers = `SELECT account, name, path, id, created, tags,
	COALESCE((SELECT b.arn FROM iam_boundaries b WHERE b.owner = iam_users.id), '') FROM iam_users WHERE account = $1`

func scanUser(s scanner) (u iam.UserInfo, err error) {
	var created int64
	var tags string
	if err := s.Scan(&u.Account, &u.Name, &u.Path, &u.ID, &created, &tags, &u.Boundary); err != nil {
		return u, err
	}
	u.Created = fromMicros(created)
	return u, userTags.read(tags, &u.Tags)
}

// CreateUser implements iam.UserStore.
func (s IAM) CreateUser(ctx context.Context, u iam.UserInfo, most int) error {
	tags, err := userTags.text(u.Tags)
	if err != nil {
		return err
	}
	return s.change(ctx, "create user "+u.Name, func(q querier) error {
		if err := lockAccount(ctx, q, u.Account); err != nil {
			return err
		}
		n, err := exec(ctx, q, `
			INSERT INTO iam_users (account, name_key, name, path, id, created, tags) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (account, name_key) DO NOTHING`,
			u.Account, strings.ToLower(u.Name), u.Name, u.Path, u.ID, micros(u.Created), tags)
		if err == nil && n == 0 {
			err = &iam.EntityError{Kind: iam.KindUser, Name: u.Name, Err: iam.ErrExists}
		}
		if err == nil {
			err = tooMany(ctx, q, `SELECT COUNT(*) FROM iam_users WHERE account = $1`, iam.Owner{Account: u.Account, Kind: iam.KindUser, Name: u.Name}, most)
		}
		if err != nil {
			return err
		}
		return setBoundary(ctx, q, u.Account, u.ID, u.Boundary)
	})
}

// tooMany fails with iam.ErrTooMany, about what was just inserted, if the account, which is locked,
// has more than most of its kind.
func tooMany(ctx context.Context, q querier, count string, o iam.Owner, most int) error {
	n, _, err := one(ctx, q, column[int], count, o.Account)
	if err == nil && n > most {
		err = &iam.EntityError{Kind: o.Kind, Name: o.Name, Err: iam.ErrTooMany}
	}
	return err
}

// Users implements iam.UserStore.
func (s IAM) Users(ctx context.Context, account string, names ...string) (list []iam.UserInfo, err error) {
	err = s.db.view(ctx, "get users of account "+account, func(q querier) error {
		list, err = named(ctx, q, scanUser, selectUsers, account, names)
		return err
	})
	return byName(list, func(u iam.UserInfo) string { return u.Name }), err
}

// named returns the rows of those names, or all. stmt has the account as $1.
func named[T any](ctx context.Context, q querier, scan func(scanner) (T, error), stmt, account string, names []string) ([]T, error) {
	if len(names) == 0 {
		return all(ctx, q, scan, stmt, account)
	}
	return allIn(ctx, q, scan, args(names), stmt+` AND name IN (?)`, account)
}

// ChangeUser implements iam.UserStore.
func (s IAM) ChangeUser(ctx context.Context, account, name string, change func(*iam.UserInfo) error) error {
	return s.change(ctx, "change user "+name, func(q querier) error {
		if err := lockAccount(ctx, q, account); err != nil { // the new name must stay free
			return err
		}
		if _, err := lockOwner(ctx, q, iam.UserOwner(account, name)); err != nil {
			return err
		}
		u, _, err := one(ctx, q, scanUser, selectUsers+` AND name = $2`, account, name)
		if err != nil {
			return err
		}
		before := u.Boundary
		if err := change(&u); err != nil {
			return err
		}
		tags, err := userTags.text(u.Tags)
		if err != nil {
			return err
		}
		n, err := exec(ctx, q, `
			UPDATE iam_users SET name_key = $1, name = $2, path = $3, tags = $4 WHERE id = $5
			AND NOT EXISTS (SELECT 1 FROM iam_users o WHERE o.account = $6 AND o.name_key = $1 AND o.id <> $5)`,
			strings.ToLower(u.Name), u.Name, u.Path, tags, u.ID, account)
		if err == nil && n == 0 {
			err = &iam.EntityError{Kind: iam.KindUser, Name: u.Name, Err: iam.ErrExists}
		}
		if err != nil || u.Boundary == before {
			return err
		}
		return setBoundary(ctx, q, account, u.ID, u.Boundary)
	})
}

// DeleteUser implements iam.UserStore.
func (s IAM) DeleteUser(ctx context.Context, account, name string) error {
	return s.remove(ctx, "delete user "+name, func(q querier) error {
		id, err := lockOwner(ctx, q, iam.UserOwner(account, name))
		if err != nil {
			return err
		}
		_, hasKeys, err := one(ctx, q, column[string], `SELECT id FROM iam_keys WHERE user_id = $1`, id)
		if err == nil && hasKeys {
			err = &iam.EntityError{Kind: iam.KindUser, Name: name, Err: iam.ErrInUse}
		}
		if err != nil {
			return err
		}
		return dropOwner(ctx, q, iam.UserOwner(account, name), id)
	})
}

// AddKey implements iam.UserKeyStore.
func (s IAM) AddKey(ctx context.Context, k iam.AccessKey, most int) error {
	return s.change(ctx, "add a key to user "+k.User, func(q querier) error {
		id, err := lockOwner(ctx, q, iam.UserOwner(k.Account, k.User))
		if err != nil {
			return err
		}
		present, err := all(ctx, q, column[string], `SELECT id FROM iam_keys WHERE user_id = $1`, id)
		if err != nil {
			return err
		}
		if len(present) >= most {
			return &iam.EntityError{Kind: iam.KindUser, Name: k.User, Err: iam.ErrTooMany}
		}
		return addKey(ctx, q, k, id)
	})
}

// Keys implements iam.UserKeyStore.
func (s IAM) Keys(ctx context.Context, account, user string) (list []iam.AccessKey, err error) {
	err = s.db.view(ctx, "get keys of user "+user, func(q querier) error {
		id, err := ownerID(ctx, q, iam.UserOwner(account, user))
		if err != nil {
			return err
		}
		list, err = all(ctx, q, scanKey, selectAccessKeys+` WHERE k.user_id = $1`, id)
		return err
	})
	return byName(list, func(k iam.AccessKey) string { return k.ID }), err
}

// DeleteKey implements iam.UserKeyStore.
func (s IAM) DeleteKey(ctx context.Context, account, user, id string) error {
	return s.remove(ctx, "delete access key "+id, func(q querier) error {
		owner, err := lockOwner(ctx, q, iam.UserOwner(account, user))
		if err != nil {
			return err
		}
		n, err := exec(ctx, q, `DELETE FROM iam_keys WHERE user_id = $1 AND id = $2`, owner, id)
		if err == nil && n == 0 {
			err = missing(iam.KindKey, id)
		}
		return err
	})
}

// Entities implements iam.EntityStore.
func (s IAM) Entities(ctx context.Context, ids ...string) (list []iam.Entity, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = s.db.view(ctx, "find users and roles", func(q querier) error {
		list = nil
		for _, kind := range []string{iam.KindUser, iam.KindRole} {
			scan := func(s scanner) (e iam.Entity, err error) {
				e.Kind = kind
				err = s.Scan(&e.Account, &e.Name, &e.Path, &e.ID)
				return e, err
			}
			found, err := allIn(ctx, q, scan, args(ids), `SELECT account, name, path, id FROM `+ownerTables[kind]+` WHERE id IN (?)`)
			if err != nil {
				return err
			}
			list = append(list, found...)
		}
		return nil
	})
	return byName(list, func(e iam.Entity) string { return e.ID }), err
}
