package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/identity/iam"
)

// ownerTables says where each kind of owner of policies is kept.
var ownerTables = map[string]string{iam.KindUser: "iam_users", iam.KindRole: "iam_roles"}

// lockOwner keeps other transactions from changing an owner, its keys or its
// policies, and returns its id.
func lockOwner(ctx context.Context, q querier, o iam.Owner) (id string, err error) {
	n, err := exec(ctx, q, `UPDATE `+ownerTables[o.Kind]+` SET name = name WHERE account = $1 AND name = $2`, o.Account, o.Name)
	switch {
	case err != nil:
		return "", err
	case n == 0:
		return "", missing(o.Kind, o.Name)
	}
	return ownerID(ctx, q, o)
}

func ownerID(ctx context.Context, q querier, o iam.Owner) (id string, err error) {
	id, ok, err := one(ctx, q, column[string], `SELECT id FROM `+ownerTables[o.Kind]+` WHERE account = $1 AND name = $2`, o.Account, o.Name)
	if err == nil && !ok {
		err = missing(o.Kind, o.Name)
	}
	return id, err
}

// dropOwner deletes an owner that is locked, unless it has policies.
func dropOwner(ctx context.Context, q querier, o iam.Owner, id string) error {
	policies, err := all(ctx, q, column[string], `
		SELECT name FROM iam_inline_policies WHERE owner = $1 UNION ALL SELECT arn FROM iam_attachments WHERE owner = $1`, id)
	if err != nil {
		return err
	}
	if len(policies) > 0 {
		return &iam.EntityError{Kind: o.Kind, Name: o.Name, Err: iam.ErrInUse}
	}
	_, inProfile, err := one(ctx, q, column[string], `SELECT name FROM iam_instance_profiles WHERE role = $1`, id)
	switch {
	case err != nil:
		return err
	case inProfile:
		return &iam.EntityError{Kind: o.Kind, Name: o.Name, Err: iam.ErrInProfile}
	}
	if err := setBoundary(ctx, q, o.Account, id, ""); err != nil {
		return err
	}
	_, err = exec(ctx, q, `DELETE FROM `+ownerTables[o.Kind]+` WHERE id = $1`, id)
	return err
}

// Policies implements iam.InlineStore.
func (s IAM) Policies(ctx context.Context, o iam.Owner) (p iam.Policies, err error) {
	err = s.db.view(ctx, "get policies of "+o.Kind+" "+o.Name, func(q querier) error {
		id, err := ownerID(ctx, q, o)
		if err != nil {
			return err
		}
		p.Inline, err = all(ctx, q, scanPolicy, `SELECT name, document FROM iam_inline_policies WHERE account = $1 AND owner = $2`, o.Account, id)
		if err != nil {
			return err
		}
		p.Attached, err = all(ctx, q, scanAttached, `
			SELECT a.arn, COALESCE(p.versions, '[]'), COALESCE(p.in_force, 0)
			FROM iam_attachments a LEFT JOIN iam_managed_policies p ON p.id = a.policy WHERE a.owner = $1`, id)
		if err != nil {
			return err
		}
		boundary, bounded, err := one(ctx, q, scanAttached, `
			SELECT b.arn, COALESCE(p.versions, '[]'), COALESCE(p.in_force, 0)
			FROM iam_boundaries b LEFT JOIN iam_managed_policies p ON p.id = b.policy WHERE b.owner = $1`, id)
		if bounded {
			p.Boundary = &boundary
		}
		return err
	})
	byName(p.Inline, func(p iam.Policy) string { return p.Name })
	byName(p.Attached, func(a iam.Attached) string { return a.ARN })
	return p, err
}

func scanPolicy(s scanner) (p iam.Policy, err error) {
	err = s.Scan(&p.Name, &p.Document)
	return p, err
}

func scanAttached(s scanner) (a iam.Attached, err error) {
	var text string
	var inForce int
	if err := s.Scan(&a.ARN, &text, &inForce); err != nil {
		return a, err
	}
	var versions []iam.Version
	err = policyVersions.read(text, &versions)
	for _, v := range versions {
		if v.Number == inForce {
			a.Document = v.Document
		}
	}
	return a, err
}

// PutInline implements iam.InlineStore.
func (s IAM) PutInline(ctx context.Context, o iam.Owner, p iam.Policy, fits func([]iam.Policy) error) error {
	return s.change(ctx, "put policy of "+o.Kind+" "+o.Name, func(q querier) error {
		id, err := lockOwner(ctx, q, o)
		if err != nil {
			return err
		}
		others, err := all(ctx, q, scanPolicy, `SELECT name, document FROM iam_inline_policies WHERE account = $1 AND owner = $2 AND name <> $3`, o.Account, id, p.Name)
		if err == nil {
			err = fits(others)
		}
		if err != nil {
			return err
		}
		_, err = exec(ctx, q, `
			INSERT INTO iam_inline_policies (account, owner, name, document) VALUES ($1, $2, $3, $4)
			ON CONFLICT (account, owner, name) DO UPDATE SET document = excluded.document`,
			o.Account, id, p.Name, p.Document)
		return err
	})
}

// DeleteInline implements iam.InlineStore.
func (s IAM) DeleteInline(ctx context.Context, o iam.Owner, name string) error {
	return s.remove(ctx, "delete policy of "+o.Kind+" "+o.Name, func(q querier) error {
		id, err := lockOwner(ctx, q, o)
		if err != nil {
			return err
		}
		n, err := exec(ctx, q, `DELETE FROM iam_inline_policies WHERE account = $1 AND owner = $2 AND name = $3`, o.Account, id, name)
		if err == nil && n == 0 {
			err = missing(o.PolicyKind(), name)
		}
		return err
	})
}

// Attach implements iam.AttachmentStore. The owner is locked before the policy.
func (s IAM) Attach(ctx context.Context, o iam.Owner, arn, policy string, most int) error {
	return s.change(ctx, "attach a policy to "+o.Kind+" "+o.Name, func(q querier) error {
		id, err := lockOwner(ctx, q, o)
		if err != nil {
			return err
		}
		policyID := ""
		if policy != "" {
			if policyID, err = lockManaged(ctx, q, o.Account, policy); err != nil {
				return err
			}
		}
		others, err := all(ctx, q, column[string], `SELECT arn FROM iam_attachments WHERE owner = $1 AND arn <> $2`, id, arn)
		if err != nil {
			return err
		}
		if len(others) >= most {
			return &iam.EntityError{Kind: o.Kind, Name: o.Name, Err: iam.ErrTooMany}
		}
		_, err = exec(ctx, q, `
			INSERT INTO iam_attachments (account, owner, arn, policy) VALUES ($1, $2, $3, $4) ON CONFLICT (owner, arn) DO NOTHING`,
			o.Account, id, arn, policyID)
		return err
	})
}

// Detach implements iam.AttachmentStore.
func (s IAM) Detach(ctx context.Context, o iam.Owner, arn string) error {
	return s.change(ctx, "detach a policy from "+o.Kind+" "+o.Name, func(q querier) error {
		id, err := lockOwner(ctx, q, o)
		if err != nil {
			return err
		}
		n, err := exec(ctx, q, `DELETE FROM iam_attachments WHERE owner = $1 AND arn = $2`, id, arn)
		if err == nil && n == 0 {
			err = missing(iam.KindAttachment, arn)
		}
		return err
	})
}

// Owners implements iam.AttachmentStore.
func (s IAM) Owners(ctx context.Context, account, arn string) ([]iam.Owner, error) {
	return s.owners(ctx, "iam_attachments", account, arn)
}

// owners returns the owners that a table gives a policy to.
func (s IAM) owners(ctx context.Context, table, account, arn string) (list []iam.Owner, err error) {
	err = s.db.view(ctx, "list who has policy "+arn, func(q querier) error {
		list = nil
		for _, kind := range []string{iam.KindUser, iam.KindRole} {
			names, err := all(ctx, q, column[string], `
				SELECT o.name FROM `+table+` a JOIN `+ownerTables[kind]+` o ON o.id = a.owner
				WHERE a.account = $1 AND a.arn = $2`, account, arn)
			if err != nil {
				return err
			}
			for _, name := range byName(names, func(n string) string { return n }) {
				list = append(list, iam.Owner{Account: account, Kind: kind, Name: name})
			}
		}
		return nil
	})
	return list, err
}
