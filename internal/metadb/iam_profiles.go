package metadb

import (
	"context"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
)

// CreateProfile implements iam.ProfileStore.
func (s IAM) CreateProfile(ctx context.Context, p iam.InstanceProfile, most int) error {
	tags, err := profileTags.text(p.Tags)
	if err != nil {
		return err
	}
	return s.change(ctx, "create instance profile "+p.Name, func(q querier) error {
		if err := lockAccount(ctx, q, p.Account); err != nil {
			return err
		}
		n, err := exec(ctx, q, `
			INSERT INTO iam_instance_profiles (account, name_key, name, path, id, created, tags, role)
			VALUES ($1, $2, $3, $4, $5, $6, $7, '') ON CONFLICT (account, name_key) DO NOTHING`,
			p.Account, strings.ToLower(p.Name), p.Name, p.Path, p.ID, micros(p.Created), tags)
		if err == nil && n == 0 {
			err = &iam.EntityError{Kind: iam.KindProfile, Name: p.Name, Err: iam.ErrExists}
		}
		if err == nil {
			err = tooMany(ctx, q, `SELECT COUNT(*) FROM iam_instance_profiles WHERE account = $1`, iam.Owner{Account: p.Account, Kind: iam.KindProfile, Name: p.Name}, most)
		}
		return err
	})
}

const selectProfiles = `SELECT account, name, path, id, created, tags,
	COALESCE((SELECT r.name FROM iam_roles r WHERE r.id = iam_instance_profiles.role), '') FROM iam_instance_profiles WHERE account = $1`

func scanProfile(s scanner) (p iam.InstanceProfile, err error) {
	var created int64
	var tags string
	if err := s.Scan(&p.Account, &p.Name, &p.Path, &p.ID, &created, &tags, &p.Role); err != nil {
		return p, err
	}
	p.Created = fromMicros(created)
	return p, profileTags.read(tags, &p.Tags)
}

// Profiles implements iam.ProfileStore.
func (s IAM) Profiles(ctx context.Context, account string, names ...string) (list []iam.InstanceProfile, err error) {
	err = s.db.view(ctx, "get instance profiles of account "+account, func(q querier) error {
		list, err = named(ctx, q, scanProfile, selectProfiles, account, names)
		return err
	})
	return byName(list, func(p iam.InstanceProfile) string { return p.Name }), err
}

// lockProfile keeps other transactions from changing a profile, and returns it.
func lockProfile(ctx context.Context, q querier, account, name string) (p iam.InstanceProfile, err error) {
	n, err := exec(ctx, q, `UPDATE iam_instance_profiles SET name = name WHERE account = $1 AND name = $2`, account, name)
	switch {
	case err != nil:
		return p, err
	case n == 0:
		return p, missing(iam.KindProfile, name)
	}
	p, _, err = one(ctx, q, scanProfile, selectProfiles+` AND name = $2`, account, name)
	return p, err
}

// ChangeProfile implements iam.ProfileStore. The role is locked after the profile;
// whoever deletes a role locks no profile.
func (s IAM) ChangeProfile(ctx context.Context, account, name string, change func(*iam.InstanceProfile) error) error {
	return s.change(ctx, "change instance profile "+name, func(q querier) error {
		p, err := lockProfile(ctx, q, account, name)
		if err != nil {
			return err
		}
		if err := change(&p); err != nil {
			return err
		}
		role := ""
		if p.Role != "" {
			if role, err = lockOwner(ctx, q, iam.RoleOwner(account, p.Role)); err != nil {
				return err
			}
		}
		tags, err := profileTags.text(p.Tags)
		if err != nil {
			return err
		}
		_, err = exec(ctx, q, `UPDATE iam_instance_profiles SET tags = $1, role = $2 WHERE id = $3`, tags, role, p.ID)
		return err
	})
}

// DeleteProfile implements iam.ProfileStore.
func (s IAM) DeleteProfile(ctx context.Context, account, name string) error {
	return s.remove(ctx, "delete instance profile "+name, func(q querier) error {
		p, err := lockProfile(ctx, q, account, name)
		switch {
		case err != nil:
			return err
		case p.Role != "":
			return &iam.EntityError{Kind: iam.KindProfile, Name: name, Err: iam.ErrInUse}
		}
		_, err = exec(ctx, q, `DELETE FROM iam_instance_profiles WHERE id = $1`, p.ID)
		return err
	})
}
