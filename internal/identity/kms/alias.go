package kms

import (
	"context"
	"strings"
)

// Quotas, as AWS has them.
const (
	maxAliases   = 50  // for each key
	maxAliasName = 256 // characters
)

const aliasPrefix = "alias/"

// checkAlias refuses malformed names, and names that only the service may use.
func checkAlias(name string) error {
	const form = `^[a-zA-Z0-9:/_-]+$`
	switch {
	case len(name) > maxAliasName:
		return tooLong("aliasName", name, maxAliasName)
	case !strings.HasPrefix(name, aliasPrefix):
		return failed(ErrValidation, "Alias must start with the prefix \"alias/\". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html")
	case strings.HasPrefix(name, ManagedPrefix):
		return failed(ErrReserved, "Alias names that begin with %s are reserved.", ManagedPrefix)
	case name == aliasPrefix:
		return failed(ErrValidation, "Invalid identifier")
	case strings.Contains(name, ":"):
		return failed(ErrValidation, "%s contains invalid characters for an alias", name)
	case !aliasName.MatchString(name):
		return failed(ErrValidation, "1 validation error detected: Value '%s' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", name, form)
	}
	return nil
}

// NamedAlias returns an alias in the caller's account, without a target.
func (c Caller) NamedAlias(name string) Alias {
	return Alias{Account: c.Principal.Account, Region: c.Region, Name: name}
}

// CreateAlias gives another name to a key of the same account and region.
func (s *Service) CreateAlias(ctx context.Context, a Alias, k Key) error {
	if err := checkAlias(a.Name); err != nil {
		return err
	}
	if err := k.alive(); err != nil {
		return err
	}
	a.Target, a.Created = k.ID, s.now()
	a.Updated = a.Created
	return s.opts.Store.CreateAlias(ctx, a, maxAliases)
}

// UpdateAlias points an alias at another key, which must be of the same kind.
func (s *Service) UpdateAlias(ctx context.Context, a Alias, k Key) error {
	before, err := s.Alias(ctx, a)
	if err != nil {
		return err
	}
	if err := k.alive(); err != nil {
		return err
	}
	old, err := s.opts.Store.Key(ctx, before.Key())
	if err != nil {
		return err
	}
	if (old.Spec == Symmetric) != (k.Spec == Symmetric) || old.Usage != k.Usage {
		return failed(ErrValidation, "The alias %s can only be associated with a key of the same type and usage.", a.Name)
	}
	a.Target, a.Updated = k.ID, s.now()
	return s.opts.Store.MoveAlias(ctx, a, maxAliases)
}

// Alias returns a stored alias if clients may change it.
func (s *Service) Alias(ctx context.Context, a Alias) (Alias, error) {
	if err := checkAlias(a.Name); err != nil {
		return Alias{}, err
	}
	found, err := s.opts.Store.Aliases(ctx, a.Account, a.Region, a.Name)
	if err == nil && len(found) == 0 {
		err = NoAlias(a)
	}
	if err != nil {
		return Alias{}, err
	}
	return found[0], nil
}

// DeleteAlias deletes an alias. The key stays.
func (s *Service) DeleteAlias(ctx context.Context, a Alias) error {
	if err := checkAlias(a.Name); err != nil {
		return err
	}
	return s.opts.Store.DeleteAlias(ctx, a)
}

// AliasesOf returns the aliases of one key, sorted by name.
func (s *Service) AliasesOf(ctx context.Context, r Ref) ([]Alias, error) {
	all, err := s.opts.Store.Aliases(ctx, r.Account, r.Region)
	var list []Alias
	for _, a := range all {
		if a.Target == r.ID {
			list = append(list, a)
		}
	}
	return list, err
}
