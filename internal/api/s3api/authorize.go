package s3api

import (
	"context"
	"errors"
	"maps"
	"net/http"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/imports/bucketpolicy"
	"github.com/diskport/diskport/internal/imports/objects"
)

// guardOf reads what a bucket itself says about who may use it.
func (c *call) guardOf(ctx context.Context, b objects.Bucket) (*bucketpolicy.Guard, error) {
	if c.guard != nil && c.guard.Bucket.Name == b.Name {
		return c.guard, nil
	}
	g, err := c.judge.Of(ctx, b)
	c.guard = g
	return g, err
}

// allow returns an error unless the caller may do action (without "s3:") to a bucket
// or, if there is a key, to an object in it. with is what policies may ask about the
// request.
func (c *call) allow(ctx context.Context, b objects.Bucket, key, action string, with policy.Context) error {
	g, err := c.guardOf(ctx, b)
	if err != nil {
		return err
	}
	err = g.Allow(ctx, c.Principal, bucketpolicy.Ask{Action: "s3:" + action, Key: key, Context: with})
	if refused, ok := errors.AsType[*bucketpolicy.DeniedError](err); ok {
		f := accessDenied()
		if refused.Own {
			f.message = refused.Error()
		}
		return f
	}
	return err
}

// authorize returns an error unless the caller may do all that op takes.
func (c *call) authorize(ctx context.Context, op operation) error {
	with := c.keys()
	switch {
	case op.on == service:
		return c.alone(ctx, op.action, with, "*")
	case op.name == "CreateBucket":
		return c.authorizeCreation(ctx, with)
	case op.name == "DeleteObjects":
		return nil // each key by itself
	}
	for _, action := range c.actions(op) {
		if err := c.allow(ctx, c.bucket, c.key, action, with); err != nil {
			return err
		}
	}
	if op.sub == "policy" && c.Principal.Account != c.bucket.Account {
		return methodNotAllowed(op.method, "BUCKETPOLICY") // whoever else may do everything may not let others in
	}
	return nil
}

// actions returns what op needs to be allowed on what it addresses.
func (c *call) actions(op operation) []string {
	version := c.query.Get("versionId")
	all := []string{op.permission(version)}
	switch op.name {
	case "GetObjectAttributes":
		if version != "" {
			return append(all, "GetObjectVersion")
		}
		return append(all, "GetObject")
	case "PutObject", "CopyObject", "CreateMultipartUpload":
		if c.header.Get("X-Amz-Tagging") != "" {
			all = append(all, "PutObjectTagging")
		}
		if c.header.Get("X-Amz-Acl") != "" {
			all = append(all, "PutObjectAcl")
		}
	}
	return all
}

func (c *call) authorizeCreation(ctx context.Context, with policy.Context) error {
	in, err := c.creation()
	if err != nil {
		c.unread = err
	}
	if in.LocationConstraint != "" {
		with.Set("s3:LocationConstraint", in.LocationConstraint)
	}
	actions := []string{"CreateBucket"}
	if c.header.Get("X-Amz-Object-Ownership") != "" {
		actions = append(actions, "PutBucketOwnershipControls")
	}
	if len(in.Tags) > 0 {
		actions = append(actions, "PutBucketTagging")
	}
	for _, action := range actions {
		if err := c.alone(ctx, action, with, c.judge.ARN(c.target.bucket, "")); err != nil {
			return err
		}
	}
	return nil
}

// alone asks the caller's policies alone: there is no bucket yet.
func (c *call) alone(ctx context.Context, action string, with policy.Context, resource string) error {
	if c.Principal.Kind == iam.Anonymous {
		return accessDenied()
	}
	err := c.Authorize(ctx, "s3:"+action, with, resource)
	if refused, ok := errors.AsType[*iam.DeniedError](err); ok {
		return fail(http.StatusForbidden, "AccessDenied", refused.Error())
	}
	return err
}

// mayAlone reports whether the caller's own policies allow op on a bucket that does
// not exist.
func (c *call) mayAlone(ctx context.Context, op operation) bool {
	return op.name == "DeleteObjects" || c.alone(ctx, op.permission(c.query.Get("versionId")), c.keys(), c.judge.ARN(c.target.bucket, c.key)) == nil
}

// missingObject returns why there is no object to answer with. Who may not list the
// bucket, where keys begin like that of the object, is not told whether there is one.
func (c *call) missingObject(ctx context.Context) error {
	with := c.keys()
	with.Set("s3:prefix", c.key)
	if err := c.allow(ctx, c.bucket, "", "ListBucket", with); err != nil {
		return accessDenied()
	}
	if version := c.query.Get("versionId"); errors.Is(c.missing, objects.ErrNoSuchVersion) {
		return noSuchVersion(c.key, version)
	}
	return noSuchKey(c.key)
}

// allowDeletion is allow for one key of many. What policies may ask about the object
// is read only if there are any that apply to the caller.
func (c *call) allowDeletion(ctx context.Context, d objects.Deletion, with policy.Context) error {
	g, err := c.guardOf(ctx, c.bucket)
	if err != nil {
		return err
	}
	if !g.Bare(c.Principal) {
		o, err := c.opts.Objects.Object(ctx, c.bucket.Name, d.Key, d.Version)
		if err != nil && !isMissing(err) {
			return err
		}
		with = maps.Clone(with)
		tagSet(o.Tags).addTo(with, "s3:ExistingObjectTag/", "")
		if d.Version != "" {
			with.Set("s3:VersionId", d.Version)
		}
	}
	action := "DeleteObject"
	if d.Version != "" {
		action = "DeleteObjectVersion"
	}
	return c.allow(ctx, c.bucket, d.Key, action, with)
}
