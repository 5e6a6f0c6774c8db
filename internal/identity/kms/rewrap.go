package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Rewrap wraps all versions of a key's material anew, under what Options.Wrapper wraps with now. A key that
// is gone, or has no material, is left alone.
func (s *Service) Rewrap(ctx context.Context, r Ref) error {
	err := s.opts.Store.ChangeKey(ctx, r, func(k *Key) error {
		k.Rotations = slices.Clone(k.Rotations)
		for version := 1; version <= k.Version() && k.Wrapped != nil; version++ {
			wrapped, err := s.rewrapped(*k, version)
			if err != nil {
				return err
			}
			if version == 1 {
				k.Wrapped = wrapped
			} else {
				k.Rotations[version-2].Wrapped = wrapped
			}
		}
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// rewrapped returns a version of a key's material, wrapped anew.
func (s *Service) rewrapped(k Key, version int) ([]byte, error) {
	plain, err := s.opts.Wrapper.Unwrap(k.wrapped(version), k.purpose(version))
	if err != nil {
		return nil, fmt.Errorf("kms: wrapping the material of %s, version %d, anew: %w", k.ARN(), version, err)
	}
	defer clear(plain)
	return s.opts.Wrapper.Wrap(plain, k.purpose(version)), nil
}
