package keyring

import (
	"context"

	"github.com/diskport/diskport/internal/identity/kms"
)

// Key is what a KMS says of a key, in AWS's words.
type Key struct {
	ARN     string
	Spec    string // SYMMETRIC_DEFAULT, …
	Usage   string // ENCRYPT_DECRYPT, …
	State   string // Enabled, …
	Managed bool   // by AWS
}

// Context is an encryption context.
type Context map[string]string

// Wish is what a caller wants to do with a key.
type Wish struct {
	Key     Key
	Actions []string // kms:Decrypt, …
	Context Context
}

// KMS is where keys live. Errors are *Error when they are about the key. All
// methods may be called concurrently.
type KMS interface {
	Directory
	DataKeys
}

// Directory tells what keys are, and who may use them.
type Directory interface {
	// Resolve returns the key that an identifier stands for, to who may see it:
	// key id, alias name, or the ARN of either.
	Resolve(ctx context.Context, who kms.Caller, identifier string) (Key, error)
	// State returns a key by its ARN, to the service itself. What it says may be
	// at most a minute old, where asking is expensive.
	State(ctx context.Context, arn string) (Key, error)
	// Permit returns nil if who may do all of that through EBS.
	Permit(ctx context.Context, who kms.Caller, w Wish) error
}

// DataKeys makes and opens data keys, as the service itself.
type DataKeys interface {
	// GenerateDataKey returns a data key of 32 bytes, in the clear and encrypted.
	GenerateDataKey(ctx context.Context, arn string, c Context) (plain, ciphertext []byte, err error)
	// GenerateDataKeyWithoutPlaintext returns an encrypted data key of 64 bytes.
	GenerateDataKeyWithoutPlaintext(ctx context.Context, arn string, c Context) (ciphertext []byte, err error)
	// Decrypt opens what either of them made.
	Decrypt(ctx context.Context, arn string, ciphertext []byte, c Context) (plain []byte, err error)
}

// usable returns nil for a key that can encrypt now, else an *Error.
func (k Key) usable() error {
	refuse := func(r Reason) error { return &Error{Key: k.ARN, Reason: r} }
	switch {
	case k.Spec != string(kms.Symmetric) || k.Usage != string(kms.EncryptDecrypt):
		return refuse(NotSymmetric)
	case k.State == string(kms.Enabled):
		return nil
	case k.State == string(kms.Disabled):
		return refuse(Disabled)
	case k.State == string(kms.PendingDeletion):
		return refuse(PendingDeletion)
	case k.State == string(kms.PendingImport):
		return refuse(PendingImport)
	}
	return refuse(InvalidState)
}
