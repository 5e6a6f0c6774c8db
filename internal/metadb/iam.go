package metadb

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/iam"
)

// IAM is the iam.Store of a DB.
type IAM struct{ db *DB }

var _ iam.Store = IAM{}

// IAM returns the store of access keys, roles and policies.
func (db *DB) IAM() IAM { return IAM{db} }

// SetRootKey implements iam.KeyStore.
func (s IAM) SetRootKey(ctx context.Context, k iam.AccessKey) error {
	return s.db.update(ctx, "set the root key of account "+k.Account, func(q querier) error {
		if err := lockAccount(ctx, q, k.Account); err != nil {
			return err
		}
		if _, err := exec(ctx, q, `DELETE FROM iam_keys WHERE account = $1 AND user_name = '' AND id <> $2`, k.Account, k.ID); err != nil {
			return err
		}
		n, err := exec(ctx, q, `
			INSERT INTO iam_keys (id, account, user_name, sealed, created) VALUES ($1, $2, '', $3, $4)
			ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed
			WHERE iam_keys.account = excluded.account AND iam_keys.user_name = ''`,
			k.ID, k.Account, k.Sealed, micros(k.Created))
		if err == nil && n == 0 {
			err = iam.ErrExists
		}
		return err
	})
}

// AccessKey implements iam.KeyStore.
func (s IAM) AccessKey(ctx context.Context, id string) (k iam.AccessKey, err error) {
	err = s.db.view(ctx, "get access key "+id, func(q querier) error {
		var ok bool
		k, ok, err = one(ctx, q, scanKey, `SELECT id, account, sealed, created FROM iam_keys WHERE id = $1`, id)
		if err == nil && !ok {
			err = iam.ErrUnknownKey
		}
		return err
	})
	return k, err
}

func scanKey(s scanner) (k iam.AccessKey, err error) {
	var created int64
	err = s.Scan(&k.ID, &k.Account, &k.Sealed, &created)
	k.Created = fromMicros(created)
	return k, err
}

// CreateRole implements iam.RoleStore.
func (s IAM) CreateRole(ctx context.Context, r iam.Role) error {
	tags, err := json.Marshal(r.Tags)
	if err != nil {
		return fmt.Errorf("metadb: create role %s: %w", r.Name, err)
	}
	return s.db.update(ctx, "create role "+r.Name, func(q querier) error {
		n, err := exec(ctx, q, `
			INSERT INTO iam_roles (account, name_key, name, path, id, trust, description, max_session, created, tags)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (account, name_key) DO NOTHING`,
			r.Account, strings.ToLower(r.Name), r.Name, r.Path, r.ID, r.Trust, r.Description,
			r.MaxSession.Microseconds(), micros(r.Created), string(tags))
		if err == nil && n == 0 {
			err = iam.RoleError(r.Name, iam.ErrExists)
		}
		return err
	})
}

const selectRoles = `SELECT account, name, path, id, trust, description, max_session, created, tags FROM iam_roles WHERE account = $1`

func scanRole(s scanner) (r iam.Role, err error) {
	var session, created int64
	var tags string
	if err := s.Scan(&r.Account, &r.Name, &r.Path, &r.ID, &r.Trust, &r.Description, &session, &created, &tags); err != nil {
		return r, err
	}
	r.MaxSession = time.Duration(session) * time.Microsecond
	r.Created = fromMicros(created)
	return r, json.Unmarshal([]byte(tags), &r.Tags)
}

// Roles implements iam.RoleStore.
func (s IAM) Roles(ctx context.Context, account string, names ...string) (list []iam.Role, err error) {
	err = s.db.view(ctx, "get roles of account "+account, func(q querier) error {
		if len(names) == 0 {
			list, err = all(ctx, q, scanRole, selectRoles, account)
		} else {
			list, err = allIn(ctx, q, scanRole, args(names), selectRoles+` AND name IN (?)`, account)
		}
		return err
	})
	slices.SortFunc(list, func(a, b iam.Role) int { return cmp.Compare(a.Name, b.Name) })
	return list, err
}

// ChangeRole implements iam.RoleStore.
func (s IAM) ChangeRole(ctx context.Context, account, name string, change func(*iam.Role) error) error {
	return s.db.update(ctx, "change role "+name, func(q querier) error {
		if err := lockRole(ctx, q, account, name); err != nil {
			return err
		}
		r, _, err := one(ctx, q, scanRole, selectRoles+` AND name = $2`, account, name)
		if err != nil {
			return err
		}
		if err := change(&r); err != nil {
			return err
		}
		tags, err := json.Marshal(r.Tags)
		if err != nil {
			return err
		}
		_, err = exec(ctx, q, `
			UPDATE iam_roles SET trust = $1, description = $2, max_session = $3, tags = $4 WHERE account = $5 AND name = $6`,
			r.Trust, r.Description, r.MaxSession.Microseconds(), string(tags), account, name)
		return err
	})
}

// lockRole makes a transaction the only one that changes a role or its policies.
func lockRole(ctx context.Context, q querier, account, name string) error {
	n, err := exec(ctx, q, `UPDATE iam_roles SET name = name WHERE account = $1 AND name = $2`, account, name)
	if err == nil && n == 0 {
		err = iam.RoleError(name, iam.ErrNotFound)
	}
	return err
}

// DeleteRole implements iam.RoleStore.
func (s IAM) DeleteRole(ctx context.Context, account, name string) error {
	return s.db.update(ctx, "delete role "+name, func(q querier) error {
		if err := lockRole(ctx, q, account, name); err != nil {
			return err
		}
		policies, err := all(ctx, q, column[string], `SELECT name FROM iam_inline_policies WHERE account = $1 AND owner = $2`, account, roleOwner(name))
		if err != nil {
			return err
		}
		if len(policies) > 0 {
			return iam.RoleError(name, iam.ErrInUse)
		}
		_, err = exec(ctx, q, `DELETE FROM iam_roles WHERE account = $1 AND name = $2`, account, name)
		return err
	})
}

// roleOwner is how a role is named in the table of inline policies.
func roleOwner(name string) string { return "role/" + strings.ToLower(name) }

// PutRolePolicy implements iam.PolicyStore.
func (s IAM) PutRolePolicy(ctx context.Context, account, role string, p iam.Policy) error {
	return s.db.update(ctx, "put policy of role "+role, func(q querier) error {
		if err := lockRole(ctx, q, account, role); err != nil {
			return err
		}
		_, err := exec(ctx, q, `
			INSERT INTO iam_inline_policies (account, owner, name, document) VALUES ($1, $2, $3, $4)
			ON CONFLICT (account, owner, name) DO UPDATE SET document = excluded.document`,
			account, roleOwner(role), p.Name, p.Document)
		return err
	})
}

// RolePolicies implements iam.PolicyStore.
func (s IAM) RolePolicies(ctx context.Context, account, role string) (list []iam.Policy, err error) {
	err = s.db.view(ctx, "get policies of role "+role, func(q querier) error {
		_, ok, err := one(ctx, q, column[string], `SELECT name FROM iam_roles WHERE account = $1 AND name = $2`, account, role)
		if err != nil {
			return err
		}
		if !ok {
			return iam.RoleError(role, iam.ErrNotFound)
		}
		list, err = all(ctx, q, scanPolicy, `SELECT name, document FROM iam_inline_policies WHERE account = $1 AND owner = $2`, account, roleOwner(role))
		return err
	})
	slices.SortFunc(list, func(a, b iam.Policy) int { return cmp.Compare(a.Name, b.Name) })
	return list, err
}

func scanPolicy(s scanner) (p iam.Policy, err error) {
	err = s.Scan(&p.Name, &p.Document)
	return p, err
}

// DeleteRolePolicy implements iam.PolicyStore.
func (s IAM) DeleteRolePolicy(ctx context.Context, account, role, name string) error {
	return s.db.update(ctx, "delete policy of role "+role, func(q querier) error {
		if err := lockRole(ctx, q, account, role); err != nil {
			return err
		}
		n, err := exec(ctx, q, `DELETE FROM iam_inline_policies WHERE account = $1 AND owner = $2 AND name = $3`, account, roleOwner(role), name)
		if err == nil && n == 0 {
			err = iam.PolicyError(name, iam.ErrNotFound)
		}
		return err
	})
}
