package iamapi

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/iam"
	"github.com/diskport/diskport/internal/tag"
)

var iamActions = map[string]action{
	"CreateRole":                  on("iam:CreateRole", newRole, createRole),
	"GetRole":                     on("iam:GetRole", theRole, getRole),
	"ListRoles":                   on("iam:ListRoles", allRoles, listRoles),
	"DeleteRole":                  on("iam:DeleteRole", theRole, deleteRole),
	"UpdateRole":                  on("iam:UpdateRole", theRole, updateRole),
	"UpdateAssumeRolePolicy":      on("iam:UpdateAssumeRolePolicy", theRole, updateTrust),
	"TagRole":                     on("iam:TagRole", theRole, tagRole),
	"UntagRole":                   on("iam:UntagRole", theRole, untagRole),
	"ListRoleTags":                on("iam:ListRoleTags", theRole, listRoleTags),
	"PutRolePolicy":               on("iam:PutRolePolicy", theRole, putRolePolicy),
	"GetRolePolicy":               on("iam:GetRolePolicy", theRole, getRolePolicy),
	"ListRolePolicies":            on("iam:ListRolePolicies", theRole, listRolePolicies),
	"DeleteRolePolicy":            on("iam:DeleteRolePolicy", theRole, deleteRolePolicy),
	"ListAttachedRolePolicies":    on("iam:ListAttachedRolePolicies", theRole, listAttachedRolePolicies),
	"ListInstanceProfilesForRole": on("iam:ListInstanceProfilesForRole", theRole, listInstanceProfiles),
	"GetUser":                     on("iam:GetUser", theUser, getUser),
}

// onRole names the role that a request is about. It is embedded.
type onRole struct{ RoleName string }

func (r onRole) role() string { return r.RoleName }

type tagIn struct{ Key, Value string }

func tagsIn(in []tagIn) []tag.Tag {
	var out []tag.Tag
	for _, t := range in {
		out = append(out, tag.Tag(t))
	}
	return out
}

func seconds(n *int64) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * time.Second
	if *n < 0 || *n > 1e6 {
		d = -1 // out of every range, without an overflow
	}
	return &d
}

type createRoleIn struct {
	onRole
	Path                     string
	AssumeRolePolicyDocument string
	Description              string
	MaxSessionDuration       *int64
	Tags                     []tagIn `ec2:"Tags.member"`
}

type roleOut struct{ Role roleXML }

func newRole(_ context.Context, c call, r createRoleIn) (string, error) {
	role := iam.Role{Account: c.Principal.Account, Name: r.RoleName, Path: r.Path}
	if r.Path == "" {
		role.Path = "/"
	}
	return c.opts.Service.ARN(role), nil
}

func createRole(ctx context.Context, c call, r createRoleIn) (any, error) {
	spec := iam.RoleSpec{
		Name: r.RoleName, Path: r.Path, Trust: r.AssumeRolePolicyDocument, Description: r.Description, Tags: tagsIn(r.Tags),
	}
	if d := seconds(r.MaxSessionDuration); d != nil {
		spec.MaxSession = *d
	}
	role, err := c.opts.Service.CreateRole(ctx, c.Principal.Account, spec)
	return roleOut{c.taggedXML(role)}, err
}

type roleIn struct{ onRole }

func getRole(ctx context.Context, c call, r roleIn) (any, error) {
	role, err := c.opts.Service.GetRole(ctx, c.Principal.Account, r.RoleName)
	return roleOut{c.taggedXML(role)}, err
}

type listRolesIn struct {
	paging
	PathPrefix string
}

func listRoles(ctx context.Context, c call, r listRolesIn) (any, error) {
	list, err := c.opts.Service.ListRoles(ctx, c.Principal.Account, r.PathPrefix)
	if err != nil {
		return nil, err
	}
	list, cut, err := page(r.paging, list, func(r iam.Role) string { return r.Name })
	out := struct {
		Roles members[roleXML]
		pageXML
	}{pageXML: cut}
	for _, role := range list {
		out.Roles = append(out.Roles, c.roleXML(role))
	}
	return out, err
}

func deleteRole(ctx context.Context, c call, r roleIn) (any, error) {
	return nil, c.opts.Service.DeleteRole(ctx, c.Principal.Account, r.RoleName)
}

type updateRoleIn struct {
	onRole
	Description        *string `ec2:"Description,empty"`
	MaxSessionDuration *int64
}

func updateRole(ctx context.Context, c call, r updateRoleIn) (any, error) {
	update := iam.RoleUpdate{Description: r.Description, MaxSession: seconds(r.MaxSessionDuration)}
	return struct{}{}, c.opts.Service.UpdateRole(ctx, c.Principal.Account, r.RoleName, update)
}

type updateTrustIn struct {
	onRole
	PolicyDocument string
}

func updateTrust(ctx context.Context, c call, r updateTrustIn) (any, error) {
	return nil, c.opts.Service.UpdateAssumeRolePolicy(ctx, c.Principal.Account, r.RoleName, r.PolicyDocument)
}

type tagRoleIn struct {
	onRole
	Tags []tagIn `ec2:"Tags.member"`
}

func tagRole(ctx context.Context, c call, r tagRoleIn) (any, error) {
	return nil, c.opts.Service.TagRole(ctx, c.Principal.Account, r.RoleName, tagsIn(r.Tags))
}

type untagRoleIn struct {
	onRole
	TagKeys []string `ec2:"TagKeys.member"`
}

func untagRole(ctx context.Context, c call, r untagRoleIn) (any, error) {
	return nil, c.opts.Service.UntagRole(ctx, c.Principal.Account, r.RoleName, r.TagKeys)
}

// listIn asks for a list that belongs to a role.
type listIn struct {
	onRole
	paging
	PathPrefix string
}

func listRoleTags(ctx context.Context, c call, r listIn) (any, error) {
	role, err := c.opts.Service.GetRole(ctx, c.Principal.Account, r.RoleName)
	if err != nil {
		return nil, err
	}
	list, cut, err := page(r.paging, *tagsXML(role), func(t tagXML) string { return t.Key })
	return struct {
		Tags members[tagXML]
		pageXML
	}{list, cut}, err
}
