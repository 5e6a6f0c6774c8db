package kms

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
)

// PolicyName is the name of a key's one policy.
const PolicyName = "default"

// maxPolicy is the largest key policy, in bytes.
const maxPolicy = 32768

// defaultPolicy leaves access to the key to its account's identity policies.
func defaultPolicy(r Ref) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow",`+
		`"Principal":{"AWS":"arn:%s:iam::%s:root"},"Action":"kms:*","Resource":"*"}]}`, awsid.Partition(r.Region), r.Account)
}

// KeyPolicy is a policy to be set on a key.
type KeyPolicy struct {
	Document string
	Bypass   bool // allow a policy that locks the caller out
}

// SetPolicy replaces a key's policy. Unless p.Bypass is set, the caller must still
// have the right to set a policy afterwards.
func (s *Service) SetPolicy(ctx context.Context, c Caller, k Key, p KeyPolicy) error {
	bound, err := s.bind(ctx, c, k, p)
	if err != nil {
		return err
	}
	return s.change(ctx, k.Ref, func(k *Key) error {
		k.Policy = bound
		return nil
	})
}

// PolicyOf returns a key's policy with the current ARNs of the principals that it
// names.
func (s *Service) PolicyOf(ctx context.Context, k Key) (string, error) {
	return s.opts.Principals.ShowPrincipals(ctx, k.Policy)
}

// bind checks a policy and returns it as it is to be stored: without white space,
// and with the unique ids of the principals that it names.
func (s *Service) bind(ctx context.Context, c Caller, k Key, p KeyPolicy) (string, error) {
	if len(p.Document) > maxPolicy {
		return "", failed(ErrMalformedPolicy, "Policy is longer than %d bytes", maxPolicy)
	}
	_, bound, err := policy.Accept(p.Document, policy.Resource)
	if err == nil {
		bound, err = s.opts.Principals.BindPrincipals(ctx, bound)
	}
	if syntax, ok := errors.AsType[*policy.SyntaxError](err); ok {
		if syntax.Principal != "" {
			return "", failed(ErrMalformedPolicy, "Policy contains a statement with one or more invalid principals.")
		}
		return "", failed(ErrMalformedPolicy, "%s", syntax)
	}
	if err != nil {
		return "", err
	}
	return bound, s.leavesCaller(ctx, c, k, bound, p)
}

// leavesCaller refuses a policy under which the caller could not set another,
// unless p.Bypass is set.
func (s *Service) leavesCaller(ctx context.Context, c Caller, k Key, bound string, p KeyPolicy) error {
	d, err := policy.Parse(bound, policy.Resource)
	if err != nil {
		return err
	}
	verdict, err := iam.Decide(ctx, c.Principal, iam.Access{Action: "kms:PutKeyPolicy", Resource: k.ARN(), Policy: d, Context: c.about(k, "", nil)})
	if err != nil {
		return denial(err)
	}
	if !p.Bypass && !allowed(verdict.Own, verdict.Resource, true) {
		return failed(ErrMalformedPolicy, "The new key policy will not allow you to update the key policy in the future.")
	}
	return nil
}
