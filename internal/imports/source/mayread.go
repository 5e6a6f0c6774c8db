package source

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/imports/bucketpolicy"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/store/keyring"
)

// getObject is the action of reading a source.
const getObject = "s3:GetObject"

// MayRead returns nil if who may read the object at loc, as far as its policies and
// those of a bucket of the embedded S3 say, else ErrNoAccess. with is what policies
// may ask about the request; it is not modified.
func (o *Opener) MayRead(ctx context.Context, who iam.Principal, loc Location, with policy.Context) error {
	err := o.mayRead(ctx, who, loc, with)
	_, refused := errors.AsType[*iam.DeniedError](err)
	if _, byBucket := errors.AsType[*bucketpolicy.DeniedError](err); refused || byBucket {
		return fmt.Errorf("%w: %w", ErrNoAccess, err)
	}
	return err
}

func (o *Opener) mayRead(ctx context.Context, who iam.Principal, loc Location, with policy.Context) error {
	if loc.Kind == Embedded {
		b, err := o.Objects.Bucket(ctx, loc.Bucket)
		if err == nil {
			return o.mayReadOwn(ctx, who, b, loc, with)
		}
		if !errors.Is(err, objects.ErrNoSuchBucket) {
			return err
		}
	}
	return iam.Authorize(ctx, who, getObject, with, "arn:"+awsid.Partition(o.Region)+":s3:::"+loc.Bucket+"/"+loc.Key)
}

// mayReadOwn asks as the S3 edge does: with the bucket's policy, and with what
// policies may ask about the object.
func (o *Opener) mayReadOwn(ctx context.Context, who iam.Principal, b objects.Bucket, loc Location, with policy.Context) error {
	g, err := o.Buckets.Of(ctx, b)
	if err != nil {
		return err
	}
	full := maps.Clone(with)
	if full == nil {
		full = policy.Context{}
	}
	found, err := o.judged(ctx, loc)
	if err != nil {
		return err
	}
	for _, t := range found.Tags {
		full.Add("s3:ExistingObjectTag/"+t.Key, t.Value)
	}
	return g.Allow(ctx, who, bucketpolicy.Ask{Action: getObject, Key: loc.Key, Context: full})
}

// MayDecrypt returns nil if who may use the key under which the object at loc is
// encrypted, or if it is not encrypted under a key of a KMS here; else ErrNoAccess. What
// state the key is in shows when the object is opened.
func (o *Opener) MayDecrypt(ctx context.Context, who iam.Principal, loc Location, with policy.Context) error {
	if loc.Kind != Embedded || o.Encryption == nil {
		return nil
	}
	found, err := o.judged(ctx, loc)
	if err != nil || !found.Encryption.Encrypted() {
		return err // if there is none, Pin says so
	}
	err = o.Encryption.MayDecrypt(ctx, kms.Caller{Principal: who, Context: with}, found.Encryption)
	if bad, ok := errors.AsType[*keyring.Error](err); ok && bad.Reason == keyring.Denied {
		return fmt.Errorf("%w: %w", ErrNoAccess, err)
	} else if ok {
		return nil
	}
	return err
}
