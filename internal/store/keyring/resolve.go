package keyring

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/google/uuid"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// ebs is the service through which snapshots use keys.
const ebs = "ec2"

// The actions that a caller needs to see a key, and to use it for a snapshot besides.
var (
	seeing  = []string{"kms:DescribeKey"}
	writing = []string{"kms:GenerateDataKeyWithoutPlaintext", "kms:Decrypt", "kms:CreateGrant"}
	reading = []string{"kms:Decrypt"}
)

// Resolve returns the ARN of the key that an identifier of any of the four forms
// stands for; an empty one means alias/aws/ebs. It fails with an *Error if the
// caller may not see the key, or if the key can't encrypt in the caller's region
// now.
func (r *Ring) Resolve(ctx context.Context, who kms.Caller, identifier string) (string, error) {
	if r.KMS == nil {
		return "", errNoKMS
	}
	if identifier == "" {
		identifier = kms.EBSAlias
	}
	id, err := kms.ParseIdentifier(identifier)
	switch {
	case errors.Is(err, kms.ErrInvalidARN):
		return "", &Error{identifier, Malformed, err}
	case err != nil:
		return "", &Error{identifier, NotFound, err}
	case id.Region != "" && id.Region != who.Region:
		return "", &Error{Key: identifier, Reason: WrongRegion}
	}
	k, err := r.KMS.Resolve(ctx, who.Through(ebs), identifier, Wish{Actions: seeing})
	if err != nil {
		return "", err
	}
	if found, err := kms.ParseIdentifier(k.ARN); err != nil || found.Region != who.Region {
		return "", &Error{identifier, WrongRegion, err} // a KMS elsewhere may know one region alone
	}
	return k.ARN, k.usable()
}

// NewSnapshot returns the domain of a new snapshot's blocks, encrypted under the
// key that an identifier stands for, and the id of the snapshot's data key. It
// fails with an *Error if the caller may not encrypt under the key, or if the key
// is not usable.
func (r *Ring) NewSnapshot(ctx context.Context, who kms.Caller, identifier, snapshot string) (d blockstore.Domain, dataKey string, err error) {
	arn, err := r.Resolve(ctx, who, identifier)
	if err != nil {
		return d, "", err
	}
	if dataKey, err = r.SnapshotKey(ctx, who, arn, snapshot); err != nil {
		return d, "", err
	}
	d, _, err = r.Encrypted(ctx, who.Principal.Account, arn)
	return d, dataKey, err
}

// MayWrite returns nil if NewSnapshot would succeed; it changes nothing.
func (r *Ring) MayWrite(ctx context.Context, who kms.Caller, identifier, snapshot string) error {
	arn, err := r.Resolve(ctx, who, identifier)
	if err != nil {
		return err
	}
	return r.permit(ctx, who, arn, writing, snapshotContext(snapshot))
}

// IsManaged reports whether AWS manages a key.
func (r *Ring) IsManaged(ctx context.Context, keyARN string) (bool, error) {
	if r.KMS == nil {
		return false, errNoKMS
	}
	k, err := r.KMS.State(ctx, keyARN)
	if gone := (*Error)(nil); errors.As(err, &gone) {
		return false, nil // AWS never deletes its own
	}
	return k.Managed, err
}

// SnapshotKey makes the data key of one new snapshot and returns its id, which
// DescribeSnapshots shows as dataEncryptionKeyId. It fails with an *Error if the
// caller may not encrypt snapshots under the key. This check is its purpose; the
// blocks are encrypted under the keys of their domain.
func (r *Ring) SnapshotKey(ctx context.Context, who kms.Caller, keyARN, snapshot string) (id string, err error) {
	c := snapshotContext(snapshot)
	if err := r.permit(ctx, who, keyARN, writing, c); err != nil {
		return "", err
	}
	ciphertext, err := r.KMS.GenerateDataKeyWithoutPlaintext(ctx, keyARN, c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(ciphertext)
	return uuid.UUID(sum[:16]).String(), nil
}

// MayRead returns nil if the caller may read a snapshot that is encrypted under a
// key, else an *Error. Readers call it besides Keys, at each request.
func (r *Ring) MayRead(ctx context.Context, who kms.Caller, keyARN, snapshot string) error {
	return r.permit(ctx, who, keyARN, reading, snapshotContext(snapshot))
}

func (r *Ring) permit(ctx context.Context, who kms.Caller, keyARN string, actions []string, c Context) error {
	if r.KMS == nil {
		return errNoKMS
	}
	k, err := r.KMS.State(ctx, keyARN)
	if e, ok := errors.AsType[*Error](err); ok && e.Reason == NotFound {
		if id, _ := kms.ParseIdentifier(keyARN); id.Account != who.Principal.Account {
			return &Error{keyARN, Denied, err} // as if there were one that who may not use
		}
	}
	if err != nil {
		return err
	}
	// What state a key is in is told to who may use it.
	if err := r.KMS.Permit(ctx, who.Through(ebs), Wish{Key: k, Actions: actions, Context: c}); err != nil {
		return err
	}
	return k.usable()
}

func snapshotContext(id string) Context { return Context{"aws:ebs:id": id} }
