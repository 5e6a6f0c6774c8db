package iamapi

import (
	"context"

	"github.com/diskport/diskport/internal/iam"
)

type rolePolicyIn struct {
	onRole
	PolicyName string
}

type putRolePolicyIn struct {
	rolePolicyIn
	PolicyDocument string
}

func putRolePolicy(ctx context.Context, c call, r putRolePolicyIn) (any, error) {
	return nil, c.opts.Service.PutRolePolicy(ctx, c.Principal.Account, r.RoleName, iam.Policy{Name: r.PolicyName, Document: r.PolicyDocument})
}

func getRolePolicy(ctx context.Context, c call, r rolePolicyIn) (any, error) {
	p, err := c.opts.Service.GetRolePolicy(ctx, c.Principal.Account, r.RoleName, r.PolicyName)
	return struct{ RoleName, PolicyName, PolicyDocument string }{r.RoleName, p.Name, escaped(p.Document)}, err
}

func deleteRolePolicy(ctx context.Context, c call, r rolePolicyIn) (any, error) {
	return nil, c.opts.Service.DeleteRolePolicy(ctx, c.Principal.Account, r.RoleName, r.PolicyName)
}

func listRolePolicies(ctx context.Context, c call, r listIn) (any, error) {
	list, err := c.opts.Service.ListRolePolicies(ctx, c.Principal.Account, r.RoleName)
	if err != nil {
		return nil, err
	}
	list, cut, err := page(r.paging, list, func(p iam.Policy) string { return p.Name })
	out := struct {
		PolicyNames members[string]
		pageXML
	}{pageXML: cut}
	for _, p := range list {
		out.PolicyNames = append(out.PolicyNames, p.Name)
	}
	return out, err
}

// listAttachedRolePolicies answers for managed policies, of which no role can
// have any yet. Who destroys a role asks first.
func listAttachedRolePolicies(ctx context.Context, c call, r listIn) (any, error) {
	_, err := c.opts.Service.GetRole(ctx, c.Principal.Account, r.RoleName)
	return struct {
		AttachedPolicies members[string]
		pageXML
	}{}, err
}

// listInstanceProfiles answers for instance profiles, which belong to machines
// and so are none of this service's. Who destroys a role asks first.
func listInstanceProfiles(ctx context.Context, c call, r listIn) (any, error) {
	_, err := c.opts.Service.GetRole(ctx, c.Principal.Account, r.RoleName)
	return struct {
		InstanceProfiles members[string]
		pageXML
	}{}, err
}
