package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/policy"
)

// What imports present when they assume the service role.
const (
	ImportService    = "vmie.amazonaws.com"
	ImportExternalID = "vmimport"
)

// ServiceCall is a service that wants to act in a role.
type ServiceCall struct {
	Account    string // the role's, and the one on whose behalf the service acts
	Role       string // name, without path
	Service    string // principal, such as ImportService
	ExternalID string
	SourceARN  string // of what the service works on
}

// AssumeServiceRole returns the role as a principal, bound by its policies, if
// its trust policy lets the service in. It reads everything anew. Without the
// role it fails with ErrNotFound, and with a *DeniedError if the trust policy
// says no.
func (s *Service) AssumeServiceRole(ctx context.Context, call ServiceCall) (Principal, error) {
	role, err := s.GetRole(ctx, call.Account, call.Role)
	if _, impossible := errors.AsType[*ValidationError](err); impossible {
		err = RoleError(call.Role, ErrNotFound) // no role can have this name
	}
	if err != nil {
		return Principal{}, err
	}
	if err := s.checkTrust(role, call); err != nil {
		return Principal{}, err
	}
	documents, err := s.documents(ctx, role)
	if err != nil {
		return Principal{}, err
	}
	session := cmp.Or(call.ExternalID, "service")
	return Principal{
		Account:  role.Account,
		ARN:      "arn:" + s.opts.Partition + ":sts::" + role.Account + ":assumed-role/" + role.Name + "/" + session,
		Kind:     RoleSession,
		ID:       role.ID + ":" + session,
		Name:     role.Name,
		source:   s.ARN(role),
		policies: documents,
	}, nil
}

func (s *Service) checkTrust(role Role, call ServiceCall) error {
	trust, err := policy.Parse(role.Trust, policy.Trust)
	if err != nil {
		return fmt.Errorf("iam: trust policy of role %s: %w", role.Name, err)
	}
	c := Origin{Time: s.opts.Now(), Secure: true}.Context()
	for key, value := range map[string]string{
		"sts:ExternalId": call.ExternalID, "aws:SourceAccount": call.Account, "aws:SourceArn": call.SourceARN,
		"aws:PrincipalServiceName": call.Service, "aws:PrincipalIsAWSService": "true",
	} {
		if value != "" {
			c.Set(key, value)
		}
	}
	const action = "sts:AssumeRole"
	decision := trust.Evaluate(policy.Request{
		Caller: policy.Caller{Service: call.Service}, Action: action, Resource: s.ARN(role), Context: c,
	})
	if decision != policy.Allow {
		return &DeniedError{call.Service, action, s.ARN(role), decision == policy.Deny}
	}
	return nil
}

// documents parses a role's policies. They were valid when they were stored; if
// one no longer is, the role can do nothing rather than too much.
func (s *Service) documents(ctx context.Context, role Role) ([]policy.Document, error) {
	list, err := s.opts.Store.RolePolicies(ctx, role.Account, role.Name)
	var out []policy.Document
	for _, p := range list {
		d, errParse := policy.Parse(p.Document, policy.Identity)
		if errParse != nil {
			return nil, fmt.Errorf("iam: policy %s of role %s: %w", p.Name, role.Name, errParse)
		}
		out = append(out, d)
	}
	return out, err
}
