package snapshot

import (
	"cmp"
	"context"
)

// Defaults is what an account has set for new snapshots in a region.
type Defaults struct {
	Encrypt bool
	KMSKey  string // ARN; empty: alias/aws/ebs
}

// Encryption returns how a new snapshot is encrypted, by what is asked for it; nil:
// not. Without a key the default one is meant.
func (d Defaults) Encryption(asked bool, key string) *Encryption {
	if !asked && !d.Encrypt {
		return nil
	}
	return &Encryption{Key: cmp.Or(key, d.KMSKey)}
}

// DefaultsStore keeps accounts' defaults. Every method is one transaction.
type DefaultsStore interface {
	// Defaults returns zeros for what was never set.
	Defaults(ctx context.Context, account, region string) (Defaults, error)
	SetEncrypt(ctx context.Context, account, region string, on bool) error
	// SetDefaultKey sets the key; empty resets it.
	SetDefaultKey(ctx context.Context, account, region, arn string) error
}
