package iamapi

import (
	"context"
	"errors"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
)

// onProfile names the instance profile that a request is about. It is embedded in
// requests.
type onProfile struct{ InstanceProfileName string }

func (r onProfile) profile() string { return r.InstanceProfileName }

// theProfile is like theRole, for instance profiles.
func theProfile[R interface{ profile() string }](ctx context.Context, c call, r R) (subject, error) {
	p, err := c.opts.Service.GetProfile(ctx, c.account(), r.profile())
	switch {
	case errors.Is(err, iam.ErrNotFound):
		return subject{arn: c.opts.Service.EntityARN(c.account(), "instance-profile", "/", r.profile())}, nil
	case err != nil:
		return subject{}, err
	}
	return subject{arn: c.opts.Service.ARNOfProfile(p), tags: p.Tags}, nil
}

// profileXML is an instance profile as sent to clients.
type profileXML struct {
	Path                string
	InstanceProfileName string
	InstanceProfileId   string
	Arn                 string
	CreateDate          stamp
	Roles               members[roleXML]
	Tags                *members[tagXML]
}

// profileXML returns p with its role.
func (c call) profileXML(ctx context.Context, p iam.InstanceProfile) (profileXML, error) {
	x := profileXML{
		Path: p.Path, InstanceProfileName: p.Name, InstanceProfileId: p.ID, Arn: c.opts.Service.ARNOfProfile(p), CreateDate: stamp(p.Created),
	}
	if p.Role == "" {
		return x, nil
	}
	role, err := c.opts.Service.GetRole(ctx, p.Account, p.Role)
	if err == nil {
		r := c.roleXML(role)
		r.Description, r.MaxSessionDuration = "", 0 // not in here
		x.Roles = members[roleXML]{r}
	}
	return x, err
}

type profileOut struct{ InstanceProfile profileXML }

func (c call) profileOut(ctx context.Context, p iam.InstanceProfile, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	x, err := c.profileXML(ctx, p)
	x.Tags = someTags(p.Tags)
	return profileOut{x}, err
}

type createProfileIn struct {
	onProfile
	Path string
	taggingIn
}

func newProfile(_ context.Context, c call, r createProfileIn) (subject, error) {
	return subject{arn: c.opts.Service.EntityARN(c.account(), "instance-profile", r.Path, r.InstanceProfileName)}, nil
}

func createProfile(ctx context.Context, c call, r createProfileIn) (any, error) {
	p, err := c.opts.Service.CreateProfile(ctx, c.account(), iam.ProfileSpec{Name: r.InstanceProfileName, Path: r.Path, Tags: r.givesTags()})
	return c.profileOut(ctx, p, err)
}

type profileIn struct{ onProfile }

func getProfile(ctx context.Context, c call, r profileIn) (any, error) {
	p, err := c.opts.Service.GetProfile(ctx, c.account(), r.InstanceProfileName)
	return c.profileOut(ctx, p, err)
}

func deleteProfile(ctx context.Context, c call, r profileIn) (any, error) {
	return nil, c.opts.Service.DeleteProfile(ctx, c.account(), r.InstanceProfileName)
}

type listProfilesIn struct {
	paging
	PathPrefix string
}

func listProfiles(ctx context.Context, c call, r listProfilesIn) (any, error) {
	list, err := c.opts.Service.ListProfiles(ctx, c.account(), r.PathPrefix)
	return c.profilePage(ctx, r.paging, list, err)
}

func listProfilesForRole(ctx context.Context, c call, r roleList) (any, error) {
	list, err := c.opts.Service.ProfilesOf(ctx, c.account(), r.RoleName)
	return c.profilePage(ctx, r.paging, list, err)
}

func (c call) profilePage(ctx context.Context, p paging, list []iam.InstanceProfile, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	list, cut, err := page(p, list, func(p iam.InstanceProfile) string { return p.Name })
	if err != nil {
		return nil, err
	}
	var out members[profileXML]
	for _, each := range list {
		x, err := c.profileXML(ctx, each)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return struct {
		InstanceProfiles members[profileXML]
		pageXML
	}{out, cut}, nil
}

type profileRoleIn struct {
	onProfile
	RoleName string
}

// addRoleToProfile passes the role to EC2, for which the caller needs the permission,
// too.
func addRoleToProfile(ctx context.Context, c call, r profileRoleIn) (any, error) {
	what, err := theRole(ctx, c, onRole{r.RoleName})
	if err != nil {
		return nil, err
	}
	with := iam.WithResourceTags(policy.Context{}, "iam:ResourceTag/", what.tags)
	with.Set("iam:PassedToService", "ec2.amazonaws.com")
	if err := c.Authorize(ctx, "iam:PassRole", with, what.arn); err != nil {
		return nil, err
	}
	return nil, c.opts.Service.AddRole(ctx, c.account(), r.InstanceProfileName, r.RoleName)
}

func removeRoleFromProfile(ctx context.Context, c call, r profileRoleIn) (any, error) {
	return nil, c.opts.Service.RemoveRole(ctx, c.account(), r.InstanceProfileName, r.RoleName)
}

type tagProfileIn struct {
	onProfile
	taggingIn
}

func tagProfile(ctx context.Context, c call, r tagProfileIn) (any, error) {
	return nil, c.opts.Service.TagProfile(ctx, c.account(), r.InstanceProfileName, r.givesTags())
}

type untagProfileIn struct {
	onProfile
	untaggingIn
}

func untagProfile(ctx context.Context, c call, r untagProfileIn) (any, error) {
	return nil, c.opts.Service.UntagProfile(ctx, c.account(), r.InstanceProfileName, r.TagKeys)
}

type profileList struct {
	onProfile
	paging
}

func listProfileTags(ctx context.Context, c call, r profileList) (any, error) {
	p, err := c.opts.Service.GetProfile(ctx, c.account(), r.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	return tagPage(r.paging, p.Tags)
}
