package iam

import (
	"cmp"
	"context"
	"fmt"

	"github.com/diskport/diskport/internal/policy"
)

func checkPolicy(name string) error { return checkName("policyName", name, maxPolicyName) }

// PutRolePolicy adds an inline policy to a role, or replaces it. The document
// must be one (*policy.SyntaxError).
func (s *Service) PutRolePolicy(ctx context.Context, account, role string, p Policy) error {
	if err := checkPolicy(p.Name); err != nil {
		return err
	}
	if _, err := policy.Parse(p.Document, policy.Identity); err != nil {
		return err
	}
	present, err := s.ListRolePolicies(ctx, account, role)
	if err != nil {
		return err
	}
	total := weight(p.Document)
	for _, other := range present {
		if other.Name != p.Name {
			total += weight(other.Document)
		}
	}
	if total > maxInline {
		return &LimitError{fmt.Sprintf("Maximum policy size of %d bytes exceeded for role %s", maxInline, role)}
	}
	return s.opts.Store.PutRolePolicy(ctx, account, role, p)
}

// GetRolePolicy returns one inline policy of a role.
func (s *Service) GetRolePolicy(ctx context.Context, account, role, name string) (Policy, error) {
	list, err := s.ListRolePolicies(ctx, account, role)
	if err != nil {
		return Policy{}, err
	}
	for _, p := range list {
		if p.Name == name {
			return p, nil
		}
	}
	return Policy{}, PolicyError(name, ErrNotFound)
}

// ListRolePolicies returns a role's inline policies, sorted by name.
func (s *Service) ListRolePolicies(ctx context.Context, account, role string) ([]Policy, error) {
	if err := checkRole(role); err != nil {
		return nil, err
	}
	return s.opts.Store.RolePolicies(ctx, account, role)
}

// DeleteRolePolicy removes an inline policy.
func (s *Service) DeleteRolePolicy(ctx context.Context, account, role, name string) error {
	if err := cmp.Or(checkRole(role), checkPolicy(name)); err != nil {
		return err
	}
	return s.opts.Store.DeleteRolePolicy(ctx, account, role, name)
}
