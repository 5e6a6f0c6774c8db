package kms

import (
	"context"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"

	"github.com/diskport/diskport/internal/identity/iam"
)

const maxGrants = 50000 // for each key, as at AWS

var (
	principalARN = regexp.MustCompile(`^arn:[a-z-]+:(iam|sts)::[0-9]{12}:.+$`)
	grantName    = regexp.MustCompile(`^[a-zA-Z0-9:/_-]{0,256}$`)
)

func (g Grant) validate() error {
	switch {
	case len(g.Operations) == 0:
		return failed(ErrValidation, "1 validation error detected: Value at 'operations' failed to satisfy constraint: Member must not be null")
	case !principalARN.MatchString(g.Grantee):
		return failed(ErrInvalidARN, "ARN is not valid: the grantee principal must be an IAM or STS principal")
	case g.Retiring != "" && !principalARN.MatchString(g.Retiring):
		return failed(ErrInvalidARN, "ARN is not valid: the retiring principal must be an IAM or STS principal")
	case !grantName.MatchString(g.Name):
		return failed(ErrValidation, "1 validation error detected: Value at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$")
	case g.Equals != nil && g.Subset != nil:
		return failed(ErrValidation, "Grant constraints can have EncryptionContextEquals or EncryptionContextSubset, not both")
	}
	for _, operation := range g.Operations {
		if !slices.Contains(grantable, operation) {
			return failed(ErrUnsupported, "The grant operation %.64s is not supported.", operation)
		}
	}
	return nil
}

// CreateGrant adds a grant to an opened key. A caller whose right to do so comes
// from a grant can only make grants that allow no more than that one.
func (s *Service) CreateGrant(ctx context.Context, c Caller, a Access, g Grant) (Grant, error) {
	if err := g.validate(); err != nil {
		return Grant{}, err
	}
	if err := a.Key.stateError(); err != nil {
		return Grant{}, err
	}
	if a.Key.Spec != Symmetric {
		return Grant{}, failed(ErrValidation, "The grant's operations are not supported by a key of spec %s", a.Key.Spec)
	}
	if a.Grant != nil && !g.within(*a.Grant) {
		return Grant{}, c.denied("kms:CreateGrant", a.Key.ARN(), "because the grant would allow more than the one it is made by")
	}
	for _, who := range []*string{&g.Grantee, &g.Retiring} {
		if err := s.identify(ctx, who); err != nil {
			return Grant{}, err
		}
	}
	present, err := s.opts.Store.Grants(ctx, a.Key.Ref)
	if err != nil {
		return Grant{}, err
	}
	if len(present) >= maxGrants {
		return Grant{}, failed(ErrLimit, "A key can have no more than %d grants", maxGrants)
	}
	g.Key, g.ID, g.Issuer, g.Created = a.Key.Ref, hex.EncodeToString(s.random(32)), c.Principal.ARN, s.now()
	return s.opts.Store.AddGrant(ctx, g)
}

// identify replaces a principal's ARN with its unique id.
func (s *Service) identify(ctx context.Context, who *string) error {
	if *who == "" {
		return nil
	}
	id, err := s.opts.Principals.PrincipalID(ctx, *who)
	if err == nil && id == "" {
		err = failed(ErrInvalidARN, "ARN is not valid: there is no principal %.256s", *who)
	}
	*who = id
	return err
}

// Grantee returns the id by which stored grants name a principal, or "" if there is
// no such principal.
func (s *Service) Grantee(ctx context.Context, arn string) (string, error) {
	return s.opts.Principals.PrincipalID(ctx, arn)
}

// Shown returns a stored grant with the current ARNs of its principals.
func (s *Service) Shown(ctx context.Context, g Grant) (_ Grant, err error) {
	if g.Grantee, err = s.opts.Principals.PrincipalARN(ctx, g.Grantee); err != nil {
		return Grant{}, err
	}
	g.Retiring, err = s.opts.Principals.PrincipalARN(ctx, g.Retiring)
	return g, err
}

// Grants returns the grants of a key as they are stored, sorted by id.
func (s *Service) Grants(ctx context.Context, r Ref) ([]Grant, error) {
	return s.opts.Store.Grants(ctx, r)
}

// RetirableBy returns a page of the grants on keys of the caller's account and region
// that a principal may retire.
func (s *Service) RetirableBy(ctx context.Context, c Caller, arn, after string, limit int) ([]Grant, error) {
	if !principalARN.MatchString(arn) {
		return nil, failed(ErrInvalidARN, "ARN is not valid: the retiring principal must be an IAM or STS principal")
	}
	id, err := s.opts.Principals.PrincipalID(ctx, arn)
	if err != nil || id == "" {
		return nil, err
	}
	return s.opts.Store.Retirable(ctx, RetirableQuery{c.Principal.Account, c.Region, id, after, limit})
}

// RevokeGrant ends a grant.
func (s *Service) RevokeGrant(ctx context.Context, r Ref, id string) error {
	if !grantID.MatchString(id) {
		return failed(ErrInvalidGrantID, "The grant ID is invalid.")
	}
	return s.opts.Store.DeleteGrant(ctx, r, id)
}

// Retirable returns a grant if the caller may retire it: as its retiring principal,
// as its grantee if the grant includes RetireGrant, or with the permission of the
// key's account.
func (s *Service) Retirable(ctx context.Context, c Caller, r Ref, id string) (Grant, error) {
	if !grantID.MatchString(id) {
		return Grant{}, failed(ErrInvalidGrantID, "The grant ID is invalid.")
	}
	if r.Region != c.Region {
		return Grant{}, wrongRegion(r.Region)
	}
	list, err := s.opts.Store.Grants(ctx, r)
	if err != nil {
		return Grant{}, err
	}
	at := slices.IndexFunc(list, func(g Grant) bool { return g.ID == id })
	if at >= 0 && c.mayRetire(list[at]) {
		return list[at], nil
	}
	k := Key{Ref: r}
	if r.Account == c.Principal.Account { // the account's policies may have conditions on the key
		if found, err := s.Key(ctx, r); err == nil {
			k = found
		} else if !errors.Is(err, ErrNotFound) {
			return Grant{}, err
		}
	}
	if err := c.May(ctx, "kms:RetireGrant", r.ARN(), c.about(k, "", nil)); err != nil {
		return Grant{}, err
	}
	if at < 0 {
		return Grant{}, NoGrant(id)
	}
	return list[at], nil
}

func (c Caller) mayRetire(g Grant) bool {
	if c.Principal.Kind == iam.Root && c.Principal.Account == g.Key.Account {
		return true
	}
	return c.Principal.Named(g.Retiring) || slices.Contains(g.Operations, "RetireGrant") && c.Principal.Named(g.Grantee)
}
