// Package bucketpolicy decides who may use a bucket: it puts together what a caller's
// own policies allow, what the bucket's policy says, and what the bucket's public
// access block takes away.
//
// The S3 edge asks it for every request, and imports ask it before they read an
// object of the embedded S3, so that nobody gets through an import what S3 would
// refuse.
package bucketpolicy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/imports/objects"
)

// The settings of a bucket that this package reads.
const (
	Policy = "policy"            // JSON, with unique ids for principals
	Block  = "publicAccessBlock" // a PublicAccessBlock as JSON; null if it was deleted
)

// Settings has what is kept with buckets. objects.Service implements it.
type Settings interface {
	// Setting fails with objects.ErrNoSuchSetting.
	Setting(ctx context.Context, bucket, name string) (document []byte, err error)
}

// Judge decides about buckets. It may be used concurrently.
type Judge struct {
	settings  Settings
	partition string // of ARNs
	documents *policy.Cache
}

// New returns a Judge. partition is that of ARNs, such as "aws".
func New(settings Settings, partition string) *Judge {
	return &Judge{settings, partition, policy.NewCache()}
}

// ARN names a bucket or, if key is not empty, an object in it.
func (j *Judge) ARN(bucket, key string) string {
	arn := "arn:" + j.partition + ":s3:::" + bucket
	if key != "" {
		arn += "/" + key
	}
	return arn
}

// Guard is what a bucket itself says about who may use it, as of one moment.
type Guard struct {
	Bucket objects.Bucket

	judge   *Judge
	policy  policy.Document
	written bool // there is a policy
	public  bool // it lets everybody in
	block   PublicAccessBlock
}

// Of reads the policy of a bucket and what limits it.
func (j *Judge) Of(ctx context.Context, b objects.Bucket) (*Guard, error) {
	g := &Guard{Bucket: b, judge: j}
	text, err := j.settings.Setting(ctx, b.Name, Policy)
	if errors.Is(err, objects.ErrNoSuchSetting) {
		return g, nil
	}
	if err != nil {
		return nil, err
	}
	g.written = true
	if g.policy, err = j.documents.Parse(string(text), policy.Resource); err != nil {
		return nil, fmt.Errorf("reading the policy of bucket %s: %w", b.Name, err)
	}
	if g.public = IsPublic(text); g.public {
		block, err := j.BlockOf(ctx, b.Name)
		if err != nil {
			return nil, err
		}
		if block != nil {
			g.block = *block
		}
	}
	return g, nil
}

// PublicAccessBlock limits what ACLs and policies may let everybody do.
type PublicAccessBlock struct {
	BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets bool
}

// BlockOf returns the public access block of a bucket; nil if it was deleted. A new
// bucket's blocks everything.
func (j *Judge) BlockOf(ctx context.Context, bucket string) (*PublicAccessBlock, error) {
	block := &PublicAccessBlock{true, true, true, true}
	document, err := j.settings.Setting(ctx, bucket, Block)
	if errors.Is(err, objects.ErrNoSuchSetting) {
		return block, nil
	}
	if err == nil {
		err = json.Unmarshal(document, &block)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the public access block of bucket %s: %w", bucket, err)
	}
	return block, nil
}

// Ask is what somebody wants to do to a bucket.
type Ask struct {
	Action  string         // "s3:GetObject"
	Key     string         // of the object; empty: the bucket itself
	Context policy.Context // of the request, without what is known of the bucket; not modified
}

// DeniedError reports that a principal may not do something to a bucket. Its text is
// for the bucket's own account: to others, S3 does not say why.
type DeniedError struct {
	Principal, Action, Resource string
	Why                         string // "because …" or "with an explicit deny in …"
	Own                         bool   // the principal is of the bucket's account
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %q %s", e.Principal, e.Action, e.Resource, e.Why)
}

// Bare reports whether nothing but p's account decides what p may do here.
func (g *Guard) Bare(p iam.Principal) bool { return p.Kind == iam.Root && !g.written }

// Allow returns nil if p may do a, else a *DeniedError. It fails with ctx's error if
// ctx ends.
func (g *Guard) Allow(ctx context.Context, p iam.Principal, a Ask) error {
	full := maps.Clone(a.Context)
	if full == nil {
		full = policy.Context{}
	}
	full.Set("s3:ResourceAccount", g.Bucket.Account)
	full.Set("aws:ResourceAccount", g.Bucket.Account)
	access := iam.Access{Action: a.Action, Resource: g.judge.ARN(g.Bucket.Name, a.Key), Policy: g.policy, Context: full}
	own := p.Kind != iam.Anonymous && p.Account == g.Bucket.Account
	if own && p.Kind == iam.Root && aboutPolicy(a.Action) {
		access.Policy = policy.Document{} // or a mistake in it could never be mended
	}
	denied := func(why string) error {
		return &DeniedError{p.ARN, a.Action, access.Resource, why, own}
	}
	v, err := iam.Decide(ctx, p, access)
	if _, costly := errors.AsType[*iam.DeniedError](err); costly {
		return denied("because " + policy.ErrTooCostly.Error())
	}
	if err != nil {
		return err
	}
	if !own && g.public && g.block.RestrictPublicBuckets && v.Resource != policy.Deny {
		v.Resource = policy.NoMatch
	}
	if why := judge(p, own, v, a.Action); why != "" {
		return denied(why)
	}
	return nil
}

func aboutPolicy(action string) bool {
	return action == "s3:GetBucketPolicy" || action == "s3:PutBucketPolicy" || action == "s3:DeleteBucketPolicy"
}

// judge combines what p's policies and the bucket's say, as S3 does: within an
// account either may allow, across accounts both must. It returns why p may not, or
// "".
func judge(p iam.Principal, own bool, v iam.Verdict, action string) string {
	switch {
	case v.Resource == policy.Deny:
		return "with an explicit deny in a resource-based policy"
	case v.Own == policy.Deny:
		return v.By.Denied(action, policy.Deny)
	case p.Kind == iam.Anonymous && v.Resource == policy.Allow,
		own && v.Own == policy.Allow,
		own && v.Resource == policy.Allow && v.Beyond == "",
		!own && v.Own == policy.Allow && v.Resource != policy.NoMatch:
		return ""
	case v.Beyond != "":
		return v.Beyond.Denied(action, policy.NoMatch)
	}
	return v.By.Denied(action, policy.NoMatch)
}
