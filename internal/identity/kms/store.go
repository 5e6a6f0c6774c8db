package kms

import (
	"context"
	"time"
)

// Store keeps keys, aliases and grants. Every method is one transaction, seen
// by all nodes when it returns, and may be called concurrently. Times are kept
// to the microsecond. The laws are checked by kmstest.
type Store interface {
	KeyStore
	AliasStore
	GrantStore
	Purger
}

// KeyStore keeps keys.
type KeyStore interface {
	// CreateKey stores a key and, unless its name is empty, an alias of it; if
	// the alias exists it stores nothing and fails with AliasExists.
	CreateKey(ctx context.Context, k Key, a Alias) error
	// Key returns a key, or NoKey.
	Key(ctx context.Context, r Ref) (Key, error)
	// Keys returns the keys of an account and region, sorted by id (byte by byte).
	Keys(ctx context.Context, account, region string) ([]Key, error)
	// Owned counts the account's own keys in all regions: not those that AWS
	// manages, nor those that Purge would delete now.
	Owned(ctx context.Context, account string, now time.Time) (int, error)
	// ChangeKey applies change to a key, alone at that time. change may run more
	// than once; it must not alter what the key is named by, and its error is
	// returned. It fails with NoKey.
	ChangeKey(ctx context.Context, r Ref, change func(*Key) error) error
}

// AliasStore keeps aliases.
type AliasStore interface {
	// CreateAlias fails with AliasExists, or with NoKey without the target.
	CreateAlias(ctx context.Context, a Alias) error
	// MoveAlias gives an alias another target and time of update. It fails with
	// NoAlias, or with NoKey without the target.
	MoveAlias(ctx context.Context, a Alias) error
	// DeleteAlias fails with NoAlias. Of a, only account, region and name count.
	DeleteAlias(ctx context.Context, a Alias) error
	// Aliases returns the aliases of those names, or all when none is given,
	// sorted by name (byte by byte). A name without an alias is left out.
	Aliases(ctx context.Context, account, region string, names ...string) ([]Alias, error)
}

// GrantStore keeps grants.
type GrantStore interface {
	// AddGrant stores a grant, unless the key has one of the same name, grantee
	// and content, which it returns instead. It fails with NoKey.
	AddGrant(ctx context.Context, g Grant) (Grant, error)
	// Grants returns the grants of a key, sorted by id (byte by byte).
	Grants(ctx context.Context, r Ref) ([]Grant, error)
	// DeleteGrant fails with NoGrant.
	DeleteGrant(ctx context.Context, r Ref, id string) error
}

// Purger removes what is past its end.
type Purger interface {
	// Purge deletes keys that are pending deletion and whose date is not after
	// now, with their material, aliases and grants, and returns how many.
	Purge(ctx context.Context, now time.Time) (int, error)
}
