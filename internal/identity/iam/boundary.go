package iam

import (
	"context"
	"errors"
	"strings"
)

// PolicyName returns the name in the ARN of a managed policy of an account, or "" for
// one of AWS's own.
func PolicyName(arn string) string {
	if accountIn(arn) == awsAccount {
		return ""
	}
	return arn[strings.LastIndexByte(arn, '/')+1:]
}

// checkBoundary refuses what can't be a permissions boundary. An empty ARN means none.
func (s *Service) checkBoundary(ctx context.Context, account, arn string) error {
	if arn == "" {
		return nil
	}
	_, err := s.GetPolicy(ctx, account, arn)
	return scope(arn, err)
}

// scope turns the error about a missing policy into one about the boundary that it was
// to be.
func scope(arn string, err error) error {
	if e, ok := errors.AsType[*EntityError](err); ok && e.Kind == KindManaged && errors.Is(err, ErrNotFound) {
		return &EntityError{KindBoundary, shorten(arn), ErrNotFound}
	}
	return err
}

// PutBoundary makes a managed policy the permissions boundary of an owner, in place of
// another.
func (s *Service) PutBoundary(ctx context.Context, o Owner, arn string) error {
	if err := o.check(); err != nil {
		return err
	}
	if arn == "" {
		return &ARNError{arn}
	}
	if err := s.checkBoundary(ctx, o.Account, arn); err != nil {
		return err
	}
	return scope(arn, s.bound(ctx, o, arn))
}

// DeleteBoundary takes away an owner's permissions boundary. One that has none is left
// as it is.
func (s *Service) DeleteBoundary(ctx context.Context, o Owner) error {
	if err := o.check(); err != nil {
		return err
	}
	return s.bound(ctx, o, "")
}

func (s *Service) bound(ctx context.Context, o Owner, arn string) error {
	if o.Kind == KindUser {
		return s.opts.Store.ChangeUser(ctx, o.Account, o.Name, func(u *UserInfo) error {
			u.Boundary = arn
			return nil
		})
	}
	return s.opts.Store.ChangeRole(ctx, o.Account, o.Name, func(r *Role) error {
		r.Boundary = arn
		return nil
	})
}
