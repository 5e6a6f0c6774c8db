package metadb

import (
	"context"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/identity/iam"
)

// CreateRole implements iam.RoleStore.
func (s IAM) CreateRole(ctx context.Context, r iam.Role, most int) error {
	tags, err := roleTags.text(r.Tags)
	if err != nil {
		return err
	}
	return s.change(ctx, "create role "+r.Name, func(q querier) error {
		if err := lockAccount(ctx, q, r.Account); err != nil {
			return err
		}
		n, err := exec(ctx, q, `
			INSERT INTO iam_roles (account, name_key, name, path, id, trust, description, max_session, created, tags)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (account, name_key) DO NOTHING`,
			r.Account, strings.ToLower(r.Name), r.Name, r.Path, r.ID, r.Trust, r.Description,
			r.MaxSession.Microseconds(), micros(r.Created), tags)
		if err == nil && n == 0 {
			err = &iam.EntityError{Kind: iam.KindRole, Name: r.Name, Err: iam.ErrExists}
		}
		if err == nil {
			err = tooMany(ctx, q, `SELECT COUNT(*) FROM iam_roles WHERE account = $1`, iam.Owner{Account: r.Account, Kind: iam.KindRole, Name: r.Name}, most)
		}
		if err != nil {
			return err
		}
		return setBoundary(ctx, q, r.Account, r.ID, r.Boundary)
	})
}

const selectRoles = `SELECT account, name, path, id, trust, description, max_session, created, tags,
	COALESCE((SELECT b.arn FROM iam_boundaries b WHERE b.owner = iam_roles.id), '') FROM iam_roles WHERE account = $1`

func scanRole(s scanner) (r iam.Role, err error) {
	var session, created int64
	var tags string
	if err := s.Scan(&r.Account, &r.Name, &r.Path, &r.ID, &r.Trust, &r.Description, &session, &created, &tags, &r.Boundary); err != nil {
		return r, err
	}
	r.MaxSession = time.Duration(session) * time.Microsecond
	r.Created = fromMicros(created)
	return r, roleTags.read(tags, &r.Tags)
}

// Roles implements iam.RoleStore.
func (s IAM) Roles(ctx context.Context, account string, names ...string) (list []iam.Role, err error) {
	err = s.db.view(ctx, "get roles of account "+account, func(q querier) error {
		list, err = named(ctx, q, scanRole, selectRoles, account, names)
		return err
	})
	return byName(list, func(r iam.Role) string { return r.Name }), err
}

// ChangeRole implements iam.RoleStore.
func (s IAM) ChangeRole(ctx context.Context, account, name string, change func(*iam.Role) error) error {
	return s.change(ctx, "change role "+name, func(q querier) error {
		if _, err := lockOwner(ctx, q, iam.RoleOwner(account, name)); err != nil {
			return err
		}
		r, _, err := one(ctx, q, scanRole, selectRoles+` AND name = $2`, account, name)
		if err != nil {
			return err
		}
		before := r.Boundary
		if err := change(&r); err != nil {
			return err
		}
		tags, err := roleTags.text(r.Tags)
		if err != nil {
			return err
		}
		_, err = exec(ctx, q, `
			UPDATE iam_roles SET trust = $1, description = $2, max_session = $3, tags = $4 WHERE account = $5 AND name = $6`,
			r.Trust, r.Description, r.MaxSession.Microseconds(), tags, account, name)
		if err != nil || r.Boundary == before {
			return err
		}
		return setBoundary(ctx, q, account, r.ID, r.Boundary)
	})
}

// DeleteRole implements iam.RoleStore.
func (s IAM) DeleteRole(ctx context.Context, account, name string) error {
	o := iam.RoleOwner(account, name)
	return s.remove(ctx, "delete role "+name, func(q querier) error {
		id, err := lockOwner(ctx, q, o)
		if err != nil {
			return err
		}
		return dropOwner(ctx, q, o, id)
	})
}
