package iam

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/tag"
)

// AccessKey is a long-lived key as it is stored: the secret is sealed.
type AccessKey struct {
	ID      string
	Account string
	Sealed  []byte // bound to ID and Account
	Created time.Time
}

// Role is a role without its policies.
type Role struct {
	Account     string
	Name        string
	Path        string // "/" or "/a/b/"
	ID          string // AROA…
	Trust       string // policy document as given
	Description string
	MaxSession  time.Duration
	Created     time.Time
	Tags        tag.Set
}

// Policy is an inline policy: its name and its document as given.
type Policy struct{ Name, Document string }

// Store keeps what the Service decides on. Every method is one transaction,
// seen by all nodes when it returns, and may be called concurrently. Entities
// belong to an account and are invisible to others. Times are kept to the
// microsecond. Its laws are checked by iamtest.
type Store interface {
	KeyStore
	RoleStore
	PolicyStore
}

// KeyStore keeps access keys.
type KeyStore interface {
	// SetRootKey makes k the only root key of its account. A key of that id
	// keeps its time. It fails with ErrExists if another account has one.
	SetRootKey(ctx context.Context, k AccessKey) error
	// AccessKey returns a key, or ErrUnknownKey.
	AccessKey(ctx context.Context, id string) (AccessKey, error)
}

// RoleStore keeps roles. Errors about one are *EntityError.
type RoleStore interface {
	// CreateRole fails with ErrExists if the account has a role whose name
	// differs by no more than case.
	CreateRole(ctx context.Context, r Role) error
	// Roles returns the roles of those names, or all when none is given, sorted
	// by name (byte by byte). A name without a role is left out.
	Roles(ctx context.Context, account string, names ...string) ([]Role, error)
	// ChangeRole applies change to a role, alone at that time. change may run
	// more than once; it must not alter account, name, path or id, and its
	// error is returned. It fails with ErrNotFound.
	ChangeRole(ctx context.Context, account, name string, change func(*Role) error) error
	// DeleteRole fails with ErrNotFound, or with ErrInUse while the role has
	// inline policies.
	DeleteRole(ctx context.Context, account, name string) error
}

// PolicyStore keeps the inline policies of roles. Errors are *EntityError: a
// missing role is the role's ErrNotFound, a missing policy the policy's.
type PolicyStore interface {
	// PutRolePolicy adds or replaces a policy.
	PutRolePolicy(ctx context.Context, account, role string, p Policy) error
	// RolePolicies returns a role's policies, sorted by name (byte by byte).
	RolePolicies(ctx context.Context, account, role string) ([]Policy, error)
	// DeleteRolePolicy removes a policy.
	DeleteRolePolicy(ctx context.Context, account, role, name string) error
}
