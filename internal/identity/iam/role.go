package iam

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/tag"
)

// Bounds of a role's longest session.
const (
	minSession = time.Hour
	maxSession = 12 * time.Hour
)

// RoleSpec describes a role to create.
type RoleSpec struct {
	Name        string
	Path        string // empty means "/"
	Trust       string
	Description string
	MaxSession  time.Duration // 0 means an hour
	Tags        []tag.Tag
	Boundary    string // ARN of a managed policy, or empty
}

func (r RoleSpec) validate() error {
	const bound = "1 validation error detected: Value at 'maxSessionDuration' failed to satisfy constraint: Member must have value "
	switch {
	case r.MaxSession < minSession:
		return &ValidationError{bound + "greater than or equal to 3600"}
	case r.MaxSession > maxSession:
		return &ValidationError{bound + "less than or equal to 43200"}
	}
	return cmp.Or(checkRole(r.Name), checkPath(r.Path), checkDescription(r.Description), checkTrust(r.Trust), checkTags(r.Tags))
}

// CreateRole creates a role.
func (s *Service) CreateRole(ctx context.Context, account string, spec RoleSpec) (Role, error) {
	spec.Path = cmp.Or(spec.Path, "/")
	spec.MaxSession = cmp.Or(spec.MaxSession, minSession)
	if err := spec.validate(); err != nil {
		return Role{}, err
	}
	trust, err := acceptTrust(spec.Trust)
	if err != nil {
		return Role{}, err
	}
	tags, err := tag.Set(nil).Merge(spec.Tags)
	if err != nil {
		return Role{}, err
	}
	if err := s.checkBoundary(ctx, account, spec.Boundary); err != nil {
		return Role{}, err
	}
	bound, err := s.BindPrincipals(ctx, trust)
	if err != nil {
		return Role{}, err
	}
	r := Role{
		Account: account, Name: spec.Name, Path: spec.Path, ID: s.newID("AROA"), Trust: bound,
		Description: spec.Description, MaxSession: spec.MaxSession, Created: s.stamp(), Tags: tags, Boundary: spec.Boundary,
	}
	err = quota(scope(spec.Boundary, s.opts.Store.CreateRole(ctx, r, maxRoles)), maxRoles, "RolesPerAccount")
	r.Trust = trust
	return r, err
}

// GetRole returns a role.
func (s *Service) GetRole(ctx context.Context, account, name string) (Role, error) {
	r, err := s.role(ctx, account, name)
	if err != nil {
		return Role{}, err
	}
	r.Trust, err = s.ShowPrincipals(ctx, r.Trust)
	return r, err
}

// role returns a role as it is stored.
func (s *Service) role(ctx context.Context, account, name string) (Role, error) {
	if err := checkRole(name); err != nil {
		return Role{}, err
	}
	found, err := s.opts.Store.Roles(ctx, account, name)
	return get(KindRole, name, found, err)
}

// ListRoles returns the roles whose path begins with prefix, sorted by name.
func (s *Service) ListRoles(ctx context.Context, account, prefix string) ([]Role, error) {
	all, err := s.opts.Store.Roles(ctx, account)
	if err != nil {
		return nil, err
	}
	var list []Role
	for _, r := range all {
		if strings.HasPrefix(r.Path, prefix) {
			list = append(list, r)
		}
	}
	for i := range list {
		if list[i].Trust, err = s.ShowPrincipals(ctx, list[i].Trust); err != nil {
			return nil, err
		}
	}
	return list, err
}

// DeleteRole removes a role. It fails with ErrInUse while it has policies.
func (s *Service) DeleteRole(ctx context.Context, account, name string) error {
	if err := checkRole(name); err != nil {
		return err
	}
	return s.opts.Store.DeleteRole(ctx, account, name)
}

func (s *Service) change(ctx context.Context, account, name string, change func(*Role) error) error {
	if err := checkRole(name); err != nil {
		return err
	}
	return s.opts.Store.ChangeRole(ctx, account, name, change)
}

// UpdateAssumeRolePolicy replaces a role's trust policy.
func (s *Service) UpdateAssumeRolePolicy(ctx context.Context, account, name, trust string) error {
	trust, err := acceptTrust(trust)
	if err != nil {
		return err
	}
	bound, err := s.BindPrincipals(ctx, trust)
	if err != nil {
		return err
	}
	return s.change(ctx, account, name, func(r *Role) error {
		r.Trust = bound
		return nil
	})
}

// RoleUpdate is what UpdateRole changes. Fields that are nil stay as they are.
type RoleUpdate struct {
	Description *string
	MaxSession  *time.Duration
}

// UpdateRole changes a role's description and the length of its longest session.
func (s *Service) UpdateRole(ctx context.Context, account, name string, u RoleUpdate) error {
	return s.change(ctx, account, name, func(r *Role) error {
		if u.Description != nil {
			r.Description = *u.Description
		}
		if u.MaxSession != nil {
			r.MaxSession = *u.MaxSession
		}
		return RoleSpec{Name: r.Name, Path: r.Path, Trust: r.Trust, Description: r.Description, MaxSession: r.MaxSession}.validate()
	})
}

// TagRole adds tags, and replaces the values of tags that the role has already.
func (s *Service) TagRole(ctx context.Context, account, name string, tags []tag.Tag) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	return s.change(ctx, account, name, func(r *Role) (err error) {
		r.Tags, err = merge(r.Tags, tags)
		return err
	})
}

// UntagRole removes tags. A key that the role has no tag for is not an error.
func (s *Service) UntagRole(ctx context.Context, account, name string, keys []string) error {
	return s.change(ctx, account, name, func(r *Role) error {
		r.Tags = without(r.Tags, keys)
		return nil
	})
}
