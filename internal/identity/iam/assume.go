package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/identity/policy"
)

// The service principal and the external id with which imports assume the service
// role.
const (
	ImportService    = "vmie.amazonaws.com"
	ImportExternalID = "vmimport"
)

const assumeRole = "sts:AssumeRole"

// ServiceCall is a service's request to assume a role.
type ServiceCall struct {
	Account    string // of the role, on whose behalf the service acts
	Role       string // name, without path
	Service    string // principal, such as ImportService
	ExternalID string
	SourceARN  string // ARN of what the service works on
}

// AssumeServiceRole returns a principal that acts as the role, with the permissions
// of the role's policies, if the role's trust policy admits the service. Everything
// is read anew. It fails with ErrNotFound if there is no such role, and with
// *DeniedError if the trust policy does not admit the service.
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

// serviceContext returns the condition keys for a service's call that a trust
// policy may test.
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
