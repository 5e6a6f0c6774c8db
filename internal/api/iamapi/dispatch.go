package iamapi

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// protocol is one of the two services that this edge serves.
type protocol struct {
	version     string
	space       string // XML name space of responses
	actions     map[string]action
	unsupported string
}

var protocols = map[string]protocol{
	awshttp.IAM: {"2010-05-08", "https://iam.amazonaws.com/doc/2010-05-08/", iamActions, iamUnsupported},
	awshttp.STS: {"2011-06-15", "https://sts.amazonaws.com/doc/2011-06-15/", stsActions, stsUnsupported},
}

// knows reports whether AWS has an action that is not built here.
func (p protocol) knows(name string) bool {
	for known := range strings.FieldsSeq(p.unsupported) {
		if known == name {
			return true
		}
	}
	return false
}

// action answers one request. It returns the content of the Result element, or nil.
type action func(ctx context.Context, c call) (any, error)

// subject is what a permission must cover.
type subject struct {
	arn      string
	tags     tag.Set // the tags that it has now
	boundary string  // ARN of its permissions boundary, or empty
	then     string  // ARN that it would get, for which the permission is needed too; empty: unchanged
}

// tagging names the permission that is needed to create something with tags,
// besides the permission to create it.
var tagging = map[string]string{
	"iam:CreateUser": "iam:TagUser", "iam:CreateRole": "iam:TagRole", "iam:CreatePolicy": "iam:TagPolicy",
	"iam:CreateInstanceProfile": "iam:TagInstanceProfile",
}

// bounded are the permissions about users and roles for which iam:PermissionsBoundary
// tells of the boundary that they have. For those that set one it tells of that.
var bounded = map[string]bool{
	"iam:AttachUserPolicy": true, "iam:DetachUserPolicy": true, "iam:PutUserPolicy": true, "iam:DeleteUserPolicy": true,
	"iam:DeleteUserPermissionsBoundary": true,
	"iam:AttachRolePolicy":              true, "iam:DetachRolePolicy": true, "iam:PutRolePolicy": true, "iam:DeleteRolePolicy": true,
	"iam:DeleteRolePermissionsBoundary": true,
}

// on builds an action from its parts. All actions have the same order: decode,
// authorise, handle. about returns the subject of the permission.
func on[R any](permission string, about func(ctx context.Context, c call, r R) (subject, error), handle func(ctx context.Context, c call, r R) (any, error)) action {
	return func(ctx context.Context, c call) (any, error) {
		var r R
		if err := ec2query.Decode(c.Form, &r); err != nil {
			return nil, err
		}
		what, err := about(ctx, c, r)
		if err != nil {
			return nil, err
		}
		if err := c.authorize(ctx, permission, r, what); err != nil {
			return nil, err
		}
		return handle(ctx, c, r)
	}
}

// authorize checks a permission, and the others that the request needs.
func (c call) authorize(ctx context.Context, permission string, r any, what subject) error {
	with, resources := keys(permission, r, what), []string{what.arn}
	if what.then != "" {
		resources = append(resources, what.then)
	}
	if err := c.Authorize(ctx, permission, with, resources...); err != nil {
		return err
	}
	if r, ok := r.(interface{ givesTags() []tag.Tag }); ok && tagging[permission] != "" && len(r.givesTags()) > 0 {
		return c.Authorize(ctx, tagging[permission], with, what.arn)
	}
	return nil
}

// keys returns the condition keys about a request and its subject.
func keys(permission string, r any, what subject) policy.Context {
	c := policy.Context{}
	d := iam.Details{ResourceTags: what.tags}
	if r, ok := r.(interface{ givesTags() []tag.Tag }); ok {
		d.RequestTags = r.givesTags()
	}
	if r, ok := r.(interface{ dropsTags() []string }); ok {
		d.TagKeys = r.dropsTags()
	}
	d.AddTo(c)
	for _, t := range what.tags {
		c.Add("iam:ResourceTag/"+t.Key, t.Value)
	}
	if r, ok := r.(interface{ attaches() string }); ok {
		c.Set("iam:PolicyARN", r.attaches())
	}
	if r, ok := r.(interface{ bounds() string }); ok && r.bounds() != "" {
		c.Set("iam:PermissionsBoundary", r.bounds())
	}
	if bounded[permission] && what.boundary != "" {
		c.Set("iam:PermissionsBoundary", what.boundary)
	}
	return c
}

// all returns the subject of actions on every entity of a kind ("role").
func all[R any](kind string) func(context.Context, call, R) (subject, error) {
	return func(_ context.Context, c call, _ R) (subject, error) {
		return subject{arn: c.opts.Service.EntityARN(c.Principal.Account, kind, "/", "")}, nil
	}
}

// Actions returns the names of the actions that are built of a service (awshttp.IAM
// or awshttp.STS), sorted.
func Actions(service string) []string {
	return slices.Sorted(maps.Keys(protocols[service].actions))
}
