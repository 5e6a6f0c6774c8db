package ec2api

import (
	"context"
	"errors"
	"strings"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

// authorize asks for each grant on each resource: policies may depend on the tags
// that a resource has.
func (c call) authorize(ctx context.Context, grants []grant) error {
	for _, g := range grants {
		for _, arn := range g.resources {
			with, err := c.withTags(ctx, g.context, arn)
			if err != nil {
				return err
			}
			if err := c.Authorize(ctx, g.action, with, arn); err != nil {
				return err
			}
		}
	}
	return nil
}

// withTags adds the tags of one resource of the account to the context for
// policies.
func (c call) withTags(ctx context.Context, with policy.Context, arn string) (policy.Context, error) {
	if c.Principal.Kind == iam.Root { // policies do not apply to it
		return with, nil
	}
	tags, err := c.tagsOf(ctx, arn[strings.LastIndex(arn, "/")+1:])
	return iam.WithResourceTags(with, "ec2:ResourceTag/", tags), err
}

// tagsOf returns the tags of a resource of the account; none if the account has no
// such resource.
func (c call) tagsOf(ctx context.Context, id string) (tag.Set, error) {
	switch {
	case awsid.IsSnapshot(id):
		r, err := c.ownSnapshot(ctx, id)
		if err != nil { // it may be another account's, which alone sees its tags
			return nil, unless(err, snapshot.ErrNotFound)
		}
		return r.Tags, nil
	case awsid.IsTask(id):
		t, err := c.Tasks.Task(ctx, c.account(), id)
		return t.Tags, unless(err, importtask.ErrNotFound)
	case awsid.IsImage(id):
		images, err := c.Images.List(ctx, c.account(), image.Filter{IDs: []string{id}}, listing.Place{}, 1)
		if err != nil || len(images) == 0 {
			return nil, err
		}
		return images[0].Tags, nil
	}
	return nil, nil
}

// unless returns err unless it is a sentinel.
func unless(err, sentinel error) error {
	if errors.Is(err, sentinel) {
		return nil
	}
	return err
}
