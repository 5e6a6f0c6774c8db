package iamapi

import (
	"context"
	"errors"
	"strings"

	"github.com/diskport/diskport/internal/awshttp"
	"github.com/diskport/diskport/internal/ec2query"
	"github.com/diskport/diskport/internal/iam"
)

// protocol is one of the two services that this edge serves.
type protocol struct {
	version     string
	space       string // of the answers
	actions     map[string]action
	unsupported string
}

var protocols = map[string]protocol{
	awshttp.IAM: {"2010-05-08", "https://iam.amazonaws.com/doc/2010-05-08/", iamActions, iamUnsupported},
	awshttp.STS: {"2011-06-15", "https://sts.amazonaws.com/doc/2011-06-15/", stsActions, stsUnsupported},
}

// knows reports whether AWS has an action that this service has not.
func (p protocol) knows(name string) bool {
	for known := range strings.FieldsSeq(p.unsupported) {
		if known == name {
			return true
		}
	}
	return false
}

// action answers one request: what goes into its Result element, or nil.
type action func(ctx context.Context, c call) (any, error)

// on makes an action of its parts, in the order that all share: decode,
// authorise, handle. about returns the ARN that the permission is for.
func on[R any](permission string, about func(ctx context.Context, c call, r R) (string, error), handle func(ctx context.Context, c call, r R) (any, error)) action {
	return func(ctx context.Context, c call) (any, error) {
		var r R
		if err := ec2query.Decode(c.Form, &r); err != nil {
			return nil, err
		}
		resource, err := about(ctx, c, r)
		if err != nil {
			return nil, err
		}
		if err := iam.Authorize(c.Principal, permission, c.context, resource); err != nil {
			return nil, err
		}
		return handle(ctx, c, r)
	}
}

// allRoles is the resource of actions on every role.
func allRoles[R any](_ context.Context, c call, _ R) (string, error) {
	return c.opts.Service.RoleARN(c.Principal.Account, ""), nil
}

// named is implemented by requests about one role.
type named interface{ role() string }

// theRole is the resource of actions on a role: its ARN with the path, or
// without one where there is no such role, which nobody may learn who may not
// act on it.
func theRole[R named](ctx context.Context, c call, r R) (string, error) {
	role, err := c.opts.Service.GetRole(ctx, c.Principal.Account, r.role())
	switch {
	case errors.Is(err, iam.ErrNotFound):
		return c.opts.Service.RoleARN(c.Principal.Account, r.role()), nil
	case err != nil:
		return "", err
	}
	return c.opts.Service.ARN(role), nil
}
