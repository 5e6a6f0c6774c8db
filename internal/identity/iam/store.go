package iam

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/tag"
)

// AccessKey is a long-lived key as it is stored: the secret is wrapped.
type AccessKey struct {
	ID       string
	Account  string
	User     string // name; empty for the root key
	Wrapped  []byte // bound to ID and Account
	Inactive bool
	Created  time.Time
	Used     KeyUse // zero: never
}

// KeyUse is when, and for what, an access key was seen last.
type KeyUse struct {
	Time            time.Time
	Service, Region string
}

// UserInfo is a user without keys and policies.
type UserInfo struct {
	Account string
	Name    string
	Path    string // "/" or "/a/b/"
	ID      string // AIDA…
	Created time.Time
	Tags    tag.Set
}

// Role is a role without its policies.
type Role struct {
	Account     string
	Name        string
	Path        string // "/" or "/a/b/"
	ID          string // AROA…
	Trust       string // policy document: with unique ids where it is stored, with ARNs where it is shown
	Description string
	MaxSession  time.Duration
	Created     time.Time
	Tags        tag.Set
}

// Owner names what policies hang on.
type Owner struct {
	Account string
	Kind    string // KindUser or KindRole
	Name    string
}

// UserOwner is the Owner that a user is.
func UserOwner(account, name string) Owner { return Owner{account, KindUser, name} }

// RoleOwner is the Owner that a role is.
func RoleOwner(account, name string) Owner { return Owner{account, KindRole, name} }

// PolicyKind is what an EntityError about an inline policy of o has as kind.
func (o Owner) PolicyKind() string { return o.Kind + " policy" }

// Policy is an inline policy: its name and its document as given.
type Policy struct{ Name, Document string }

// Attached is a managed policy as its owner has it.
type Attached struct {
	ARN      string
	Document string // of the version in force; empty for AWS's own policies
}

// Policies are all policies of one owner.
type Policies struct {
	Inline   []Policy   // sorted by name (byte by byte)
	Attached []Attached // sorted by ARN (byte by byte)
}

// Managed is a managed policy of an account.
type Managed struct {
	Account     string
	Name        string
	Path        string
	ID          string // ANPA…
	Description string
	Created     time.Time
	Updated     time.Time
	Tags        tag.Set
	Versions    []Version // in rising order, at least one
	Default     int       // number of the version in force
	Last        int       // highest number that was ever given
	Attachments int       // how many owners have it; not changed by writing
}

// Version is one version of a managed policy.
type Version struct {
	Number   int       `json:"Number"` // 1 is "v1"
	Document string    `json:"Document"`
	Created  time.Time `json:"Created"`
}

// Store keeps what the Service decides on. Every method is one transaction,
// seen by all nodes when it returns, and may be called concurrently. Entities
// belong to an account and are invisible to others. Times are kept to the
// microsecond. Lists are sorted by name (byte by byte), keys by id. Its laws
// are checked by iamtest.
//
// Errors about an entity are *EntityError, with its kind and name. Names are
// unique without regard to case and found only with it. A function change may
// run more than once; its error is returned, and nothing has changed then.
type Store interface {
	AccountStore
	KeyStore
	UserKeyStore
	UserStore
	RoleStore
	EntityStore
	InlineStore
	AttachmentStore
	ManagedStore
}

// AccountStore keeps accounts. An account is there while it has a root key.
type AccountStore interface {
	// SetRootKey makes k the only root key of its account. A key of that id
	// keeps its time. It fails with ErrExists if another account or a user
	// has one, and with ErrRemoved if the account was removed.
	SetRootKey(ctx context.Context, k AccessKey) error
	// AddAccount is SetRootKey for an account that has no root key; it fails
	// with ErrExists if there is one.
	AddAccount(ctx context.Context, k AccessKey) error
	// RootKeys returns the root keys of all accounts, sorted by account.
	RootKeys(ctx context.Context) ([]AccessKey, error)
	// RemoveAccount removes an account, all its entities, and what else is left in
	// its name: ended tasks, tags, settings, keys that AWS manages, and others'
	// permissions for it. What can't be found, such as a ciphertext or a policy that
	// names it, must not open to another account, so its id stays taken. It fails with
	// ErrNotFound, or with ErrInUse while it owns anything else that lies in the
	// store.
	RemoveAccount(ctx context.Context, account string) error
}

// KeyStore finds access keys.
type KeyStore interface {
	// AccessKey returns a key, or ErrUnknownKey.
	AccessKey(ctx context.Context, id string) (AccessKey, error)
	// ChangeKey applies change to Inactive and Used of a key of the account. It
	// fails with ErrNotFound.
	ChangeKey(ctx context.Context, account, id string, change func(*AccessKey) error) error
}

// UserKeyStore keeps the access keys of users. A missing user is the user's
// ErrNotFound, a missing key the key's.
type UserKeyStore interface {
	// AddKey adds a key to k.User, which may have most; then it fails with
	// ErrTooMany.
	AddKey(ctx context.Context, k AccessKey, most int) error
	// Keys returns a user's keys.
	Keys(ctx context.Context, account, user string) ([]AccessKey, error)
	// DeleteKey removes a key of a user.
	DeleteKey(ctx context.Context, account, user, id string) error
}

// UserStore keeps users.
type UserStore interface {
	// CreateUser fails with ErrExists.
	CreateUser(ctx context.Context, u UserInfo) error
	// Users returns the users of those names, or all when none is given. A
	// name without a user is left out.
	Users(ctx context.Context, account string, names ...string) ([]UserInfo, error)
	// ChangeUser applies change to a user's name, path and tags. Keys and
	// policies follow the name. It fails with ErrNotFound, or ErrExists.
	ChangeUser(ctx context.Context, account, name string, change func(*UserInfo) error) error
	// DeleteUser fails with ErrNotFound, or with ErrInUse while the user has
	// keys or policies.
	DeleteUser(ctx context.Context, account, name string) error
}

// RoleStore keeps roles.
type RoleStore interface {
	// CreateRole fails with ErrExists.
	CreateRole(ctx context.Context, r Role) error
	// Roles returns the roles of those names, or all when none is given. A
	// name without a role is left out.
	Roles(ctx context.Context, account string, names ...string) ([]Role, error)
	// ChangeRole applies change to all of a role but account, name, path and
	// id. It fails with ErrNotFound.
	ChangeRole(ctx context.Context, account, name string, change func(*Role) error) error
	// DeleteRole fails with ErrNotFound, or with ErrInUse while the role has
	// policies.
	DeleteRole(ctx context.Context, account, name string) error
}

// EntityStore finds users and roles by what never changes.
type EntityStore interface {
	// Entities returns the users and roles with those unique ids, of all accounts,
	// sorted by id. An id without one is left out.
	Entities(ctx context.Context, ids ...string) ([]Entity, error)
}

// InlineStore keeps the policies of owners. A missing owner is his
// ErrNotFound, a missing policy the policy's.
type InlineStore interface {
	// Policies returns all policies of an owner, inline and attached, of one
	// moment.
	Policies(ctx context.Context, o Owner) (Policies, error)
	// PutInline adds or replaces a policy.
	PutInline(ctx context.Context, o Owner, p Policy) error
	// DeleteInline removes a policy.
	DeleteInline(ctx context.Context, o Owner, name string) error
}

// AttachmentStore keeps which managed policies hang on whom.
type AttachmentStore interface {
	// Attach hangs a policy on an owner, who may have most; then it fails with
	// ErrTooMany. policy is its name in the owner's account, which must have
	// it, or empty for AWS's own. What hangs there already may do so again.
	Attach(ctx context.Context, o Owner, arn, policy string, most int) error
	// Detach takes it off, or fails with the attachment's ErrNotFound.
	Detach(ctx context.Context, o Owner, arn string) error
	// Owners returns on whom in the account a policy hangs: users, then roles.
	Owners(ctx context.Context, account, arn string) ([]Owner, error)
}

// ManagedStore keeps the managed policies of accounts.
type ManagedStore interface {
	// CreatePolicy fails with ErrExists.
	CreatePolicy(ctx context.Context, m Managed) error
	// ManagedPolicies returns the policies of those names, or all when none is
	// given. A name without a policy is left out.
	ManagedPolicies(ctx context.Context, account string, names ...string) ([]Managed, error)
	// ChangePolicy applies change to tags, versions and their numbers, and to
	// the time of the update. It fails with ErrNotFound.
	ChangePolicy(ctx context.Context, account, name string, change func(*Managed) error) error
	// DeletePolicy fails with ErrNotFound, or with ErrInUse while it is
	// attached.
	DeletePolicy(ctx context.Context, account, name string) error
}
