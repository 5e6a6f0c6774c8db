package snapshot

import (
	"cmp"
	"context"

	"github.com/diskport/diskport/internal/awsid"
)

// Defaults is what an account has set for new snapshots in a region.
type Defaults struct {
	Encrypt bool
	KMSKey  string // ARN; empty: alias/aws/ebs
}

// EncryptionRequest is what a call asks for about the encryption of a new snapshot.
type EncryptionRequest struct {
	Encrypted bool
	Key       string // any identifier of a key; empty: the default key
}

// Encryption returns how a new snapshot is encrypted when r is asked for, or nil
// when it is not encrypted.
func (d Defaults) Encryption(r EncryptionRequest) *Encryption {
	if !r.Encrypted && !d.Encrypt {
		return nil
	}
	return &Encryption{Key: cmp.Or(r.Key, d.KMSKey)}
}

// DefaultsStore keeps what each account has set for its new snapshots in a region.
// Every method is one transaction, and all may be called concurrently.
type DefaultsStore interface {
	// Defaults returns the zero value of what was never set.
	Defaults(ctx context.Context, home awsid.Home) (Defaults, error)
	// EnableEncryption makes new snapshots encrypted whether or not a call asks for
	// it; DisableEncryption leaves it to the call. Neither touches the default key,
	// or snapshots that exist.
	EnableEncryption(ctx context.Context, home awsid.Home) error
	DisableEncryption(ctx context.Context, home awsid.Home) error
	// SetDefaultKey sets the key for snapshots that are encrypted without naming one.
	// An empty ARN resets it to alias/aws/ebs.
	SetDefaultKey(ctx context.Context, home awsid.Home, arn string) error
}
