package snapshot

import "context"

// Defaults is what an account has set for new snapshots in a region.
type Defaults struct {
	Encrypt bool
	KMSKey  string // ARN; empty: alias/aws/ebs
}

// DefaultsStore keeps accounts' defaults. Every method is one transaction.
type DefaultsStore interface {
	// Defaults returns zeros for what was never set.
	Defaults(ctx context.Context, account, region string) (Defaults, error)
	SetEncrypt(ctx context.Context, account, region string, on bool) error
	// SetDefaultKey sets the key; empty resets it.
	SetDefaultKey(ctx context.Context, account, region, arn string) error
}
