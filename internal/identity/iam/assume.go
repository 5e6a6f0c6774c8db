package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/identity/policy"
)

// What imports present when they assume the service role.
const (
	ImportService    = "vmie.amazonaws.com"
	ImportExternalID = "vmimport"
)

const assumeRole = "sts:AssumeRole"

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
	role, err := s.role(ctx, call.Account, call.Role)
	if _, impossible := errors.AsType[*ValidationError](err); impossible {
		err = &EntityError{KindRole, shorten(call.Role), ErrNotFound} // no role can have this name
	}
	if err != nil {
		return Principal{}, err
	}
	trust, err := s.parseTrust(role)
	if err != nil {
		return Principal{}, err
	}
	service := Principal{Kind: ServicePrincipal, Name: call.Service}
	verdict, err := Decide(ctx, service, Access{Action: assumeRole, Resource: s.ARN(role), Policy: trust, Context: s.serviceContext(call)})
	if err != nil {
		return Principal{}, err
	}
	if verdict.Resource != policy.Allow {
		return Principal{}, &DeniedError{Principal: call.Service, Action: assumeRole, Resource: s.ARN(role), Explicit: verdict.Resource == policy.Deny}
	}
	return s.rolePrincipal(ctx, role, cmp.Or(call.ExternalID, "service"))
}

// serviceContext is what a trust policy may ask about a service's call.
func (s *Service) serviceContext(call ServiceCall) policy.Context {
	c := Origin{Time: s.opts.Now(), Secure: true}.Context()
	for key, value := range map[string]string{
		"sts:ExternalId": call.ExternalID, "aws:SourceAccount": call.Account, "aws:SourceArn": call.SourceARN,
		"aws:PrincipalServiceName": call.Service, "aws:PrincipalIsAWSService": "true",
	} {
		if value != "" {
			c.Set(key, value)
		}
	}
	return c
}

func (s *Service) parseTrust(role Role) (policy.Document, error) {
	trust, err := s.documents.Parse(role.Trust, policy.Trust)
	if err != nil {
		return trust, fmt.Errorf("iam: trust policy of role %s: %w", role.Name, err)
	}
	return trust, nil
}
