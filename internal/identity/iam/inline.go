package iam

import (
	"cmp"
	"context"
	"fmt"

	"github.com/diskport/diskport/internal/identity/policy"
)

// PutInline adds an inline policy to an owner, or replaces it. It fails with
// *policy.SyntaxError if the document is not a valid policy.
func (s *Service) PutInline(ctx context.Context, o Owner, p Policy) error {
	if err := cmp.Or(o.check(), checkPolicy(p.Name), checkDocument(p.Document, policy.Identity)); err != nil {
		return err
	}
	most := maxRoleInline
	if o.Kind == KindUser {
		most = maxUserInline
	}
	var err error
	if _, p.Document, err = policy.Accept(p.Document, policy.Identity); err != nil {
		return err
	}
	return s.opts.Store.PutInline(ctx, o, p, func(others []Policy) error {
		total, size := weight(p.Document), len(p.Document)
		for _, other := range others {
			total += weight(other.Document)
			size += len(other.Document)
		}
		if total > most || size > maxBytes*most {
			return &LimitError{fmt.Sprintf("Maximum policy size of %d bytes exceeded for %s %s", most, o.Kind, o.Name)}
		}
		return nil
	})
}

// GetInline returns one inline policy.
func (s *Service) GetInline(ctx context.Context, o Owner, name string) (Policy, error) {
	all, err := s.PoliciesOf(ctx, o)
	if err != nil {
		return Policy{}, err
	}
	for _, p := range all.Inline {
		if p.Name == name {
			return p, nil
		}
	}
	return Policy{}, &EntityError{o.PolicyKind(), name, ErrNotFound}
}

// PoliciesOf returns all policies of an owner, inline and attached.
func (s *Service) PoliciesOf(ctx context.Context, o Owner) (Policies, error) {
	if err := o.check(); err != nil {
		return Policies{}, err
	}
	return s.opts.Store.Policies(ctx, o)
}

// DeleteInline removes an inline policy.
func (s *Service) DeleteInline(ctx context.Context, o Owner, name string) error {
	if err := cmp.Or(o.check(), checkPolicy(name)); err != nil {
		return err
	}
	return s.opts.Store.DeleteInline(ctx, o, name)
}

// policiesOf parses the policies of an owner. They were valid when they were
// stored; if one no longer is, the owner may do nothing rather than too much.
func (s *Service) policiesOf(ctx context.Context, o Owner) (p permissions, err error) {
	all, err := s.opts.Store.Policies(ctx, o)
	if err != nil {
		return permissions{}, err
	}
	add := func(to *[]policy.Document, name, text string) {
		if own, ok := s.awsPolicy(name); ok {
			text = own.Versions[0].Document
		}
		d, invalid := s.documents.Parse(text, policy.Identity)
		if invalid != nil {
			err = cmp.Or(err, fmt.Errorf("iam: policy %s of %s %s: %w", name, o.Kind, o.Name, invalid))
		}
		*to = append(*to, d)
	}
	for _, each := range all.Inline {
		add(&p.policies, each.Name, each.Document)
	}
	for _, a := range all.Attached {
		add(&p.policies, a.ARN, a.Document)
	}
	if all.Boundary != nil {
		p.bounded = true
		add(&p.boundary, all.Boundary.ARN, all.Boundary.Document)
	}
	return p, err
}
