package metadb

import (
	"cmp"
	"context"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
)

// managedText returns the columns of a policy that are JSON.
func managedText(m iam.Managed) (tags, versions string, err error) {
	tags, errTags := policyTags.text(m.Tags)
	versions, errVersions := policyVersions.text(m.Versions)
	return tags, versions, cmp.Or(errTags, errVersions)
}

// CreatePolicy implements iam.ManagedStore.
func (s IAM) CreatePolicy(ctx context.Context, m iam.Managed, most int) error {
	tags, versions, err := managedText(m)
	if err != nil {
		return err
	}
	return s.change(ctx, "create policy "+m.Name, func(q querier) error {
		if err := lockAccount(ctx, q, m.Account); err != nil {
			return err
		}
		n, err := exec(ctx, q, `
			INSERT INTO iam_managed_policies (account, name_key, name, path, id, description, created, updated, tags, versions, in_force, last)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (account, name_key) DO NOTHING`,
			m.Account, strings.ToLower(m.Name), m.Name, m.Path, m.ID, m.Description, micros(m.Created), micros(m.Updated),
			tags, versions, m.Default, m.Last)
		if err == nil && n == 0 {
			err = &iam.EntityError{Kind: iam.KindManaged, Name: m.Name, Err: iam.ErrExists}
		}
		if err == nil {
			err = tooMany(ctx, q, `SELECT COUNT(*) FROM iam_managed_policies WHERE account = $1`, iam.Owner{Account: m.Account, Kind: iam.KindManaged, Name: m.Name}, most)
		}
		return err
	})
}

const selectManaged = `
	SELECT account, name, path, id, description, created, updated, tags, versions, in_force, last,
		(SELECT COUNT(*) FROM iam_attachments a WHERE a.policy = p.id), (SELECT COUNT(*) FROM iam_boundaries b WHERE b.policy = p.id)
	FROM iam_managed_policies p WHERE account = $1`

func scanManaged(s scanner) (m iam.Managed, err error) {
	var created, updated int64
	var tags, versions string
	err = s.Scan(&m.Account, &m.Name, &m.Path, &m.ID, &m.Description, &created, &updated, &tags, &versions, &m.Default, &m.Last, &m.Attachments, &m.Boundaries)
	if err != nil {
		return m, err
	}
	m.Created, m.Updated = fromMicros(created), fromMicros(updated)
	return m, cmp.Or(policyTags.read(tags, &m.Tags), policyVersions.read(versions, &m.Versions))
}

// ManagedPolicies implements iam.ManagedStore.
func (s IAM) ManagedPolicies(ctx context.Context, account string, names ...string) (list []iam.Managed, err error) {
	err = s.db.view(ctx, "get policies of account "+account, func(q querier) error {
		list, err = named(ctx, q, scanManaged, selectManaged, account, names)
		return err
	})
	return byName(list, func(m iam.Managed) string { return m.Name }), err
}

// lockManaged keeps other transactions from changing, deleting or attaching a
// policy, and returns its id.
func lockManaged(ctx context.Context, q querier, account, name string) (id string, err error) {
	n, err := exec(ctx, q, `UPDATE iam_managed_policies SET name = name WHERE account = $1 AND name = $2`, account, name)
	switch {
	case err != nil:
		return "", err
	case n == 0:
		return "", missing(iam.KindManaged, name)
	}
	id, _, err = one(ctx, q, column[string], `SELECT id FROM iam_managed_policies WHERE account = $1 AND name = $2`, account, name)
	return id, err
}

// ChangePolicy implements iam.ManagedStore.
func (s IAM) ChangePolicy(ctx context.Context, account, name string, change func(*iam.Managed) error) error {
	return s.change(ctx, "change policy "+name, func(q querier) error {
		id, err := lockManaged(ctx, q, account, name)
		if err != nil {
			return err
		}
		m, _, err := one(ctx, q, scanManaged, selectManaged+` AND id = $2`, account, id)
		if err != nil {
			return err
		}
		if err := change(&m); err != nil {
			return err
		}
		tags, versions, err := managedText(m)
		if err != nil {
			return err
		}
		_, err = exec(ctx, q, `UPDATE iam_managed_policies SET updated = $1, tags = $2, versions = $3, in_force = $4, last = $5 WHERE id = $6`,
			micros(m.Updated), tags, versions, m.Default, m.Last, id)
		return err
	})
}

// DeletePolicy implements iam.ManagedStore.
func (s IAM) DeletePolicy(ctx context.Context, account, name string) error {
	return s.remove(ctx, "delete policy "+name, func(q querier) error {
		id, err := lockManaged(ctx, q, account, name)
		if err != nil {
			return err
		}
		_, attached, err := one(ctx, q, column[string], `
			SELECT owner FROM iam_attachments WHERE policy = $1 UNION ALL SELECT owner FROM iam_boundaries WHERE policy = $1`, id)
		switch {
		case err != nil:
			return err
		case attached:
			return &iam.EntityError{Kind: iam.KindManaged, Name: name, Err: iam.ErrInUse}
		}
		_, err = exec(ctx, q, `DELETE FROM iam_managed_policies WHERE id = $1`, id)
		return err
	})
}
