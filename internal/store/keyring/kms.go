package keyring

import (
	"context"

	"github.com/diskport/diskport/internal/identity/kms"
)

// Key is what a KMS says about a key, in AWS's words.
type Key struct {
	ARN     string
	Spec    string // SYMMETRIC_DEFAULT, …
	Usage   string // ENCRYPT_DECRYPT, …
	State   string // Enabled, …
	Managed bool   // by AWS
}

// Context is an encryption context: what is encrypted under one can only be
// decrypted under an equal one.
type Context map[string]string

// Wish is what a caller wants to do with a key: all of the actions, under one
// encryption context.
type Wish struct {
	Key     Key
	Actions []string // kms:Decrypt, …
	Context Context
}

// KMS is the service that holds the keys that users manage: the embedded one, or
// one behind its API. Callers come through a service of AWS (kms.Caller.Through), which
// key policies may ask about: EBS for Ring, S3 for objects. Errors about a key, which its owner
// can mend, are *Error; all others are faults of the service, and a retry may
// succeed. All methods may be called concurrently.
type KMS interface {
	Directory
	DataKeys
}

// Directory finds keys, and checks who may use them.
type Directory interface {
	// Resolve returns the key that an identifier stands for: a key id, an alias
	// name, or the ARN of either. *Error if there is none, or if the caller may not
	// do all that the wish names, whose key is left open. The key may be in any state.
	Resolve(ctx context.Context, who kms.Caller, identifier string, w Wish) (Key, error)
	// State returns a key by its ARN. The service asks for itself, without a
	// caller, whenever it opens a domain. Where asking is expensive, the answer may
	// be up to a minute old; so that is how long a disabled key may still work.
	State(ctx context.Context, arn string) (Key, error)
	// Permit returns nil if the caller may do all that the wish names; else an *Error.
	Permit(ctx context.Context, who kms.Caller, w Wish) error
}

// DataKeys makes and opens data keys. The service calls it for itself; that a user
// may have a key used for them is checked before, by Permit.
type DataKeys interface {
	// GenerateDataKey returns a new data key of 32 bytes, in the clear and
	// encrypted under the key with the ARN.
	GenerateDataKey(ctx context.Context, arn string, c Context) (plain, ciphertext []byte, err error)
	// GenerateDataKeyWithoutPlaintext returns a new data key of 64 bytes, encrypted
	// only. It stands for a snapshot's own key, which EBS has and we show but do
	// not use.
	GenerateDataKeyWithoutPlaintext(ctx context.Context, arn string, c Context) (ciphertext []byte, err error)
	// Decrypt opens a ciphertext of either of them; arn and c must be those that it
	// was made with.
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
