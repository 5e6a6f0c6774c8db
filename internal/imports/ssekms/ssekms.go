// Package ssekms is server-side encryption of objects under keys of a KMS, which S3 calls
// SSE-KMS: it says who may have an object encrypted or opened, and makes and opens the
// data keys.
//
// In the flow it stands between the embedded S3 and the KMS, embedded or external: s3api
// and source ask it about callers, package objects for data keys. What belongs to a key is
// bound to an encryption context, by which key policies and grants can tell objects apart:
// the ARN of the object or, with a bucket key, of its bucket, and what the client adds.
package ssekms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/store/keyring"
)

// Algorithm is the name of this encryption in S3.
const Algorithm = "aws:kms"

// ARNContext is the name in an encryption context that S3 adds.
const ARNContext = "aws:s3:arn"

// through is the service of AWS through which callers use keys here.
const through = "s3"

// Keys uses the keys of a KMS for objects. It may be used concurrently. Errors about a
// key are *keyring.Error.
type Keys struct{ KMS keyring.KMS }

var _ objects.DataKeys = Keys{}

// MayEncrypt returns e with the ARN of the key that e.Key names, which may be any form of
// identifier; empty means the key that AWS manages for S3 in the caller's account. It
// fails unless the caller may make data keys with it. The caller's region is the
// bucket's, where the key must be too.
func (k Keys) MayEncrypt(ctx context.Context, who kms.Caller, e objects.Encryption) (objects.Encryption, error) {
	with, err := contextOf(e)
	if err != nil {
		return e, err
	}
	if e.Key == "" {
		e.Key = kms.S3Alias
	}
	wish := keyring.Wish{Actions: []string{"kms:GenerateDataKey"}, Context: with}
	found, err := k.KMS.Resolve(ctx, who.Through(through), e.Key, wish)
	if err != nil {
		return e, err
	}
	if id, err := kms.ParseIdentifier(found.ARN); err != nil || id.Region != who.Region {
		return e, &keyring.Error{Key: e.Key, Reason: keyring.WrongRegion, Err: err} // a KMS elsewhere may know one region alone
	}
	e.Key = found.ARN
	return e, nil
}

// MayDecrypt returns an error unless the caller may open the data key of e.
func (k Keys) MayDecrypt(ctx context.Context, who kms.Caller, e objects.Encryption) error {
	with, err := contextOf(e)
	if err != nil {
		return err
	}
	id, err := kms.ParseIdentifier(e.Key)
	if err != nil {
		return &keyring.Error{Key: e.Key, Reason: keyring.Malformed, Err: err}
	}
	found, err := k.KMS.State(ctx, e.Key)
	if gone, ok := errors.AsType[*keyring.Error](err); ok && gone.Reason == keyring.NotFound && id.Account != who.Principal.Account {
		return &keyring.Error{Key: e.Key, Reason: keyring.Denied, Err: err} // as if there were one that the caller may not use
	}
	if err != nil {
		return err
	}
	return k.KMS.Permit(ctx, who.In(id.Region).Through(through), keyring.Wish{Key: found, Actions: []string{"kms:Decrypt"}, Context: with})
}

// NewDataKey implements objects.DataKeys.
func (k Keys) NewDataKey(ctx context.Context, _ string, e objects.Encryption) (key, wrapped []byte, err error) {
	with, err := contextOf(e)
	if err != nil {
		return nil, nil, err
	}
	return k.KMS.GenerateDataKey(ctx, e.Key, with)
}

// OpenDataKey implements objects.DataKeys.
func (k Keys) OpenDataKey(ctx context.Context, _ string, e objects.Encryption) ([]byte, error) {
	with, err := contextOf(e)
	if err != nil {
		return nil, err
	}
	return k.KMS.Decrypt(ctx, e.Key, e.DataKey, with)
}

// contextOf reads the encryption context of an object.
func contextOf(e objects.Encryption) (with keyring.Context, err error) {
	if err := json.Unmarshal([]byte(e.Context), &with); err != nil {
		return nil, fmt.Errorf("ssekms: reading an encryption context: %w", err)
	}
	return with, nil
}

// Context returns the encryption context of an object as objects.Encryption keeps it:
// what a client gave, and the ARN.
func Context(given map[string]string, arn string) string {
	full := maps.Clone(given)
	if full == nil {
		full = map[string]string{}
	}
	full[ARNContext] = arn
	text, _ := json.Marshal(full) // texts can be encoded, always
	return string(text)
}
