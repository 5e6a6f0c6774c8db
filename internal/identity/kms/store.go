package kms

import (
	"context"
	"time"
)

// Store keeps keys, aliases and grants. Every method is one transaction, is visible
// to all nodes when it returns, and may be called concurrently. Times are kept to
// the microsecond. Errors about an entity are the *Error that NoKey, NoAlias,
// AliasExists or NoGrant makes. The conformance suite is in kmstest.
type Store interface {
	KeyStore
	AliasStore
	GrantStore
	RotationStore
	Purger
}

// KeyStore keeps keys, their material wrapped.
type KeyStore interface {
	// CreateKey stores a key and, unless its name is empty, an alias of it. If the
	// alias exists, it stores nothing and fails with AliasExists.
	CreateKey(ctx context.Context, k Key, a Alias) error
	// Key returns a key. It fails with NoKey.
	Key(ctx context.Context, r Ref) (Key, error)
	// Keys returns the keys of an account and region, sorted by id (byte by byte).
	Keys(ctx context.Context, account, region string) ([]Key, error)
	// Owned counts an account's own keys in all regions. Not counted are AWS managed
	// keys, and keys that Purge would delete now.
	Owned(ctx context.Context, account string, now time.Time) (int, error)
	// ChangeKey applies change to a key, which nobody else changes meanwhile. The
	// store may call change more than once; change must leave account, region and id
	// alone. If change returns an error, nothing is changed and ChangeKey returns
	// that error. It fails with NoKey.
	ChangeKey(ctx context.Context, r Ref, change func(*Key) error) error
}

// AliasStore keeps aliases.
type AliasStore interface {
	// CreateAlias stores an alias. It fails with AliasExists, with NoKey if the target does not
	// exist, and with TooManyAliases if that has most aliases already.
	CreateAlias(ctx context.Context, a Alias, most int) error
	// MoveAlias points an alias at another key and sets the time of its update. It
	// fails with NoAlias, and as CreateAlias does about the target.
	MoveAlias(ctx context.Context, a Alias, most int) error
	// DeleteAlias removes the alias with a's account, region and name; the rest of a
	// is ignored. It fails with NoAlias.
	DeleteAlias(ctx context.Context, a Alias) error
	// Aliases returns the aliases with the given names, or all of them if no name is
	// given, sorted by name (byte by byte). Names without an alias are skipped.
	Aliases(ctx context.Context, account, region string, names ...string) ([]Alias, error)
}

// GrantStore keeps grants.
type GrantStore interface {
	// AddGrant stores a grant and returns it. If the grant has a name, and the key
	// already has a grant of that name with the same grantee and content, it stores
	// nothing and returns the existing one. It fails with NoKey.
	AddGrant(ctx context.Context, g Grant) (Grant, error)
	// Grants returns the grants of a key, sorted by id (byte by byte).
	Grants(ctx context.Context, r Ref) ([]Grant, error)
	// Retirable returns at most q.Limit grants on keys of an account and region that have
	// a retiring principal, in order of their ids.
	Retirable(ctx context.Context, q RetirableQuery) ([]Grant, error)
	// DeleteGrant removes a grant. It fails with NoGrant.
	DeleteGrant(ctx context.Context, r Ref, id string) error
}

// RetirableQuery selects grants by their retiring principal.
type RetirableQuery struct {
	Account, Region string // of the keys
	Retiring        string // as grants are stored with it
	After           string // id; empty: from the first
	Limit           int
}

// RotationStore finds the keys to be rotated.
type RotationStore interface {
	// Overdue returns at most limit of the enabled keys whose next rotation is not after
	// now, the most overdue first.
	Overdue(ctx context.Context, now time.Time, limit int) ([]Ref, error)
}

// Purger deletes keys whose deletion date has come.
type Purger interface {
	// Purge deletes the keys pending deletion whose date is not after now, with
	// their material, aliases and grants, and returns how many there were.
	Purge(ctx context.Context, now time.Time) (int, error)
}
