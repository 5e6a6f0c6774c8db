package iamapi

import (
	"context"
	"errors"
	"time"

	"github.com/diskport/diskport/internal/identity/iam"
)

// onRole names the role that a request is about. It is embedded in requests.
type onRole struct{ RoleName string }

func (r onRole) role() string { return r.RoleName }

func (r onRole) owner(c call) iam.Owner { return iam.RoleOwner(c.account(), r.RoleName) }

// theRole returns the subject of actions on a role: its ARN with the path. If there
// is no such role, the ARN has no path: callers who may not act on the role must
// not learn whether it exists.
func theRole[R interface{ role() string }](ctx context.Context, c call, r R) (subject, error) {
	role, err := c.opts.Service.GetRole(ctx, c.account(), r.role())
	switch {
	case errors.Is(err, iam.ErrNotFound):
		return subject{arn: c.opts.Service.RoleARN(c.account(), r.role())}, nil
	case err != nil:
		return subject{}, err
	}
	return subject{arn: c.opts.Service.ARN(role), tags: role.Tags, boundary: role.Boundary}, nil
}

type createRoleIn struct {
	onRole
	Path                     string
	AssumeRolePolicyDocument string
	Description              string
	MaxSessionDuration       *int64
	boundIn
	taggingIn
}

// roleXML is a role as sent to clients.
type roleXML struct {
	Path                     string
	RoleName                 string
	RoleId                   string
	Arn                      string
	CreateDate               stamp
	AssumeRolePolicyDocument string
	Description              string `xml:",omitempty"`
	MaxSessionDuration       int64  `xml:",omitempty"` // seconds
	// Absent in lists of roles, and if there is none.
	PermissionsBoundary *boundaryXML
	Tags                *members[tagXML]
}

func (c call) roleXML(r iam.Role) roleXML {
	return roleXML{
		Path: r.Path, RoleName: r.Name, RoleId: r.ID, Arn: c.opts.Service.ARN(r), CreateDate: stamp(r.Created),
		AssumeRolePolicyDocument: escaped(r.Trust), Description: r.Description,
		MaxSessionDuration: int64(r.MaxSession / time.Second),
	}
}

type roleOut struct{ Role roleXML }

// roleOut is a response with one role, its boundary and its tags.
func (c call) roleOut(r iam.Role) roleOut {
	x := c.roleXML(r)
	x.PermissionsBoundary, x.Tags = newBoundaryXML(r.Boundary), someTags(r.Tags)
	return roleOut{x}
}

func newRole(_ context.Context, c call, r createRoleIn) (subject, error) {
	return subject{arn: c.opts.Service.EntityARN(c.account(), "role", r.Path, r.RoleName)}, nil
}

func createRole(ctx context.Context, c call, r createRoleIn) (any, error) {
	spec := iam.RoleSpec{
		Name: r.RoleName, Path: r.Path, Trust: r.AssumeRolePolicyDocument, Description: r.Description, Tags: r.givesTags(),
		Boundary: r.PermissionsBoundary,
	}
	if d := seconds(r.MaxSessionDuration); d != nil {
		spec.MaxSession = *d
	}
	role, err := c.opts.Service.CreateRole(ctx, c.account(), spec)
	out := c.roleOut(role)
	out.Role.Description, out.Role.MaxSessionDuration = "", 0 // AWS leaves them out here
	return out, err
}

type roleIn struct{ onRole }

func getRole(ctx context.Context, c call, r roleIn) (any, error) {
	role, err := c.opts.Service.GetRole(ctx, c.account(), r.RoleName)
	return c.roleOut(role), err
}

type listRolesIn struct {
	paging
	PathPrefix string
}

func listRoles(ctx context.Context, c call, r listRolesIn) (any, error) {
	list, err := c.opts.Service.ListRoles(ctx, c.account(), r.PathPrefix)
	if err != nil {
		return nil, err
	}
	list, cut, err := page(r.paging, list, func(r iam.Role) string { return r.Name })
	return struct {
		Roles members[roleXML]
		pageXML
	}{convert(list, c.roleXML), cut}, err
}

func deleteRole(ctx context.Context, c call, r roleIn) (any, error) {
	return nil, c.opts.Service.DeleteRole(ctx, c.account(), r.RoleName)
}

type updateRoleIn struct {
	onRole
	Description        *string `ec2:"Description,empty"`
	MaxSessionDuration *int64
}

func updateRole(ctx context.Context, c call, r updateRoleIn) (any, error) {
	update := iam.RoleUpdate{Description: r.Description, MaxSession: seconds(r.MaxSessionDuration)}
	return struct{}{}, c.opts.Service.UpdateRole(ctx, c.account(), r.RoleName, update)
}

type describeRoleIn struct {
	onRole
	Description string
}

// updateRoleDescription is what there was before UpdateRole.
func updateRoleDescription(ctx context.Context, c call, r describeRoleIn) (any, error) {
	if err := c.opts.Service.UpdateRole(ctx, c.account(), r.RoleName, iam.RoleUpdate{Description: &r.Description}); err != nil {
		return nil, err
	}
	role, err := c.opts.Service.GetRole(ctx, c.account(), r.RoleName)
	return c.roleOut(role), err
}

type updateTrustIn struct {
	onRole
	PolicyDocument string
}

func updateTrust(ctx context.Context, c call, r updateTrustIn) (any, error) {
	return nil, c.opts.Service.UpdateAssumeRolePolicy(ctx, c.account(), r.RoleName, r.PolicyDocument)
}

type tagRoleIn struct {
	onRole
	taggingIn
}

func tagRole(ctx context.Context, c call, r tagRoleIn) (any, error) {
	return nil, c.opts.Service.TagRole(ctx, c.account(), r.RoleName, r.givesTags())
}

type untagRoleIn struct {
	onRole
	untaggingIn
}

func untagRole(ctx context.Context, c call, r untagRoleIn) (any, error) {
	return nil, c.opts.Service.UntagRole(ctx, c.account(), r.RoleName, r.TagKeys)
}

// roleList is a request for a list that belongs to a role.
type roleList struct {
	onRole
	paging
}

func listRoleTags(ctx context.Context, c call, r roleList) (any, error) {
	role, err := c.opts.Service.GetRole(ctx, c.account(), r.RoleName)
	if err != nil {
		return nil, err
	}
	return tagPage(r.paging, role.Tags)
}
