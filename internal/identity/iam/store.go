package iam

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/tag"
)

// AccessKey is a long-lived key as it is stored, with its secret wrapped.
type AccessKey struct {
	ID       string
	Account  string
	User     string // name; empty for the root key
	Wrapped  []byte // secret, bound to ID and Account
	Inactive bool
	Created  time.Time
	Used     KeyUse // zero: never
}

// KeyUse says when an access key was last used, and for which service and region.
type KeyUse struct {
	Time            time.Time
	Service, Region string
}

// UserInfo is a user without its keys and policies.
type UserInfo struct {
	Account string
	Name    string
	Path    string // "/" or "/a/b/"
	ID      string // AIDA…
	Created time.Time
	Tags    tag.Set
	// Boundary is the ARN of the managed policy that is the user's permissions
	// boundary, or empty.
	Boundary string
}

// Role is a role without its policies.
type Role struct {
	Account     string
	Name        string
	Path        string // "/" or "/a/b/"
	ID          string // AROA…
	Trust       string // policy document: stored with unique ids, shown with ARNs
	Description string
	MaxSession  time.Duration
	Created     time.Time
	Tags        tag.Set
	Boundary    string // as of a user
}

// InstanceProfile holds a role for an instance. Nothing runs here, so it only is what
// clients make and read.
type InstanceProfile struct {
	Account string
	Name    string
	Path    string // "/" or "/a/b/"
	ID      string // AIPA…
	Created time.Time
	Tags    tag.Set
	Role    string // name, or empty
}

// Owner names the user or role that policies belong to.
type Owner struct {
	Account string
	Kind    string // KindUser or KindRole
	Name    string
}

// UserOwner returns the Owner that stands for a user.
func UserOwner(account, name string) Owner { return Owner{account, KindUser, name} }

// RoleOwner returns the Owner that stands for a role.
func RoleOwner(account, name string) Owner { return Owner{account, KindRole, name} }

// PolicyKind returns the Kind of an EntityError about one of o's inline policies.
func (o Owner) PolicyKind() string { return o.Kind + " policy" }

// Policy is an inline policy: its name, and its document as the client gave it.
type Policy struct{ Name, Document string }

// Attached is a managed policy that is attached to an owner.
type Attached struct {
	ARN      string
	Document string // of the default version; empty for AWS's own policies
}

// Policies are all policies of one owner.
type Policies struct {
	Inline   []Policy   // sorted by name (byte by byte)
	Attached []Attached // sorted by ARN (byte by byte)
	Boundary *Attached  // the permissions boundary; nil: none
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
	Default     int       // number of the version that applies
	Last        int       // highest number ever assigned
	Attachments int       // how many owners it is attached to; computed by the store, ignored in writing
	Boundaries  int       // how many owners have it as their boundary; likewise
}

// Version is one version of a managed policy.
type Version struct {
	Number   int       `json:"Number"` // 1 is "v1"
	Document string    `json:"Document"`
	Created  time.Time `json:"Created"`
}

// Store keeps the entities that the Service bases its decisions on. Every method is
// one transaction, is visible to all nodes when it returns, and may be called
// concurrently. Entities belong to an account and are invisible to others. Times
// are kept to the microsecond. Lists are sorted by name (byte by byte), keys by id.
// The conformance suite is in iamtest.
//
// An error about an entity is an *EntityError with its kind and name. Names are
// unique without regard to case, but a lookup must give the exact case. A store may
// call a change function more than once. If it returns an error, nothing is changed
// and the method returns that error.
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
	ProfileStore
}

// AccountStore keeps accounts. An account exists while it has a root key.
type AccountStore interface {
	// SetRootKey makes k the only root key of its account, and creates the account
	// if there is none. If the account has a key of that id already, its creation
	// time stays. It fails with ErrExists if another account or a user has a key of
	// that id, and with ErrRemoved if the account was removed.
	SetRootKey(ctx context.Context, k AccessKey) error
	// AddAccount is SetRootKey for a new account: it fails with ErrExists if the
	// account has a root key.
	AddAccount(ctx context.Context, k AccessKey) error
	// RootKeys returns the root keys of all accounts, sorted by account.
	RootKeys(ctx context.Context) ([]AccessKey, error)
	// RemoveAccount removes an account with all its entities, and whatever else is
	// stored under its id: ended tasks, tags, settings, AWS managed keys, and
	// permissions that others gave it. Ciphertexts and policies that name the
	// account can't be found, and must never work for another one, so its id is
	// never given again. It fails with ErrNotFound, and with ErrInUse while the
	// account owns anything else in the store.
	RemoveAccount(ctx context.Context, account string) error
}

// KeyStore looks up access keys of users and roots, and notes their use.
type KeyStore interface {
	// AccessKey returns a key. It fails with ErrUnknownKey if there is none of that
	// id.
	AccessKey(ctx context.Context, id string) (AccessKey, error)
	// Generation returns a number, not 0, that is another one after each change of whatever
	// Lookup depends on: keys, users, roles and policies of any account. A key's Used is none
	// of that. It is 0 if the number was lost; then nothing may be kept.
	Generation(ctx context.Context) (int64, error)
	// ChangeKey applies change to a key of the account; only Inactive and Used may
	// change. It fails with ErrNotFound.
	ChangeKey(ctx context.Context, account, id string, change func(*AccessKey) error) error
}

// UserKeyStore keeps the access keys of users. Its methods fail with ErrNotFound:
// about the user if the user is missing, about the key if the key is.
type UserKeyStore interface {
	// AddKey adds a key to k.User. It fails with ErrTooMany if the user has most
	// keys already.
	AddKey(ctx context.Context, k AccessKey, most int) error
	// Keys returns a user's keys, sorted by id.
	Keys(ctx context.Context, account, user string) ([]AccessKey, error)
	// DeleteKey removes one of a user's keys.
	DeleteKey(ctx context.Context, account, user, id string) error
}

// UserStore keeps users. Where a user gets a boundary that is a policy of the account,
// its methods fail with ErrNotFound about the policy if that is missing.
type UserStore interface {
	// CreateUser stores a user. It fails with ErrExists, and with ErrTooMany if the account
	// has most users already.
	CreateUser(ctx context.Context, u UserInfo, most int) error
	// Users returns the users with the given names, or all of them if no name is
	// given. Names without a user are skipped.
	Users(ctx context.Context, account string, names ...string) ([]UserInfo, error)
	// ChangeUser applies change to a user; only name, path, tags and boundary may change. Keys
	// and policies stay with the user under a new name. It fails with ErrNotFound,
	// or with ErrExists if the new name is taken.
	ChangeUser(ctx context.Context, account, name string, change func(*UserInfo) error) error
	// DeleteUser removes a user. It fails with ErrNotFound, and with ErrInUse while
	// the user has keys or policies.
	DeleteUser(ctx context.Context, account, name string) error
}

// RoleStore keeps roles. Their boundaries are kept as those of users.
type RoleStore interface {
	// CreateRole stores a role. It fails with ErrExists, and with ErrTooMany if the account
	// has most roles already.
	CreateRole(ctx context.Context, r Role, most int) error
	// Roles returns the roles with the given names, or all of them if no name is
	// given. Names without a role are skipped.
	Roles(ctx context.Context, account string, names ...string) ([]Role, error)
	// ChangeRole applies change to a role; all but account, name, path and id may
	// change. It fails with ErrNotFound.
	ChangeRole(ctx context.Context, account, name string, change func(*Role) error) error
	// DeleteRole removes a role. It fails with ErrNotFound, with ErrInUse while the
	// role has policies, and with ErrInProfile while it is in an instance profile.
	DeleteRole(ctx context.Context, account, name string) error
}

// EntityStore finds users and roles by their unique ids, which never change.
type EntityStore interface {
	// Entities returns the users and roles with the given unique ids, in all
	// accounts, sorted by id. Ids without an entity are skipped.
	Entities(ctx context.Context, ids ...string) ([]Entity, error)
}

// InlineStore keeps the inline policies of users and roles. Its methods fail with
// ErrNotFound: about the owner if the owner is missing, about the policy if the
// policy is.
type InlineStore interface {
	// Policies returns all policies of an owner, inline and attached, as they were
	// at one moment.
	Policies(ctx context.Context, o Owner) (Policies, error)
	// PutInline adds a policy, or replaces the one of that name. It fails with what fits
	// returns of the owner's inline policies with other names, as they are at that moment.
	PutInline(ctx context.Context, o Owner, p Policy, fits func(others []Policy) error) error
	// DeleteInline removes a policy from its owner.
	DeleteInline(ctx context.Context, o Owner, name string) error
}

// AttachmentStore keeps which managed policies are attached to which owners.
type AttachmentStore interface {
	// Attach attaches a policy to an owner. policy is its name in the owner's
	// account, where it must exist, or empty for one of AWS's own. It fails with
	// ErrNotFound about the owner or the policy, and with ErrTooMany if the owner
	// has most policies already. Attaching a policy again changes nothing and
	// succeeds.
	Attach(ctx context.Context, o Owner, arn, policy string, most int) error
	// Detach detaches a policy. It fails with ErrNotFound: about the owner if the
	// owner is missing, about the attachment if the policy is not attached.
	Detach(ctx context.Context, o Owner, arn string) error
	// Owners returns the owners in the account that a policy is attached to: users,
	// then roles.
	Owners(ctx context.Context, account, arn string) ([]Owner, error)
	// Bounded returns the owners in the account whose boundary a policy is: users,
	// then roles.
	Bounded(ctx context.Context, account, arn string) ([]Owner, error)
}

// ManagedStore keeps the managed policies of accounts.
type ManagedStore interface {
	// CreatePolicy stores a policy. It fails with ErrExists, and with ErrTooMany if the account
	// has most policies already.
	CreatePolicy(ctx context.Context, m Managed, most int) error
	// ManagedPolicies returns the policies with the given names, or all of them if
	// no name is given. Names without a policy are skipped.
	ManagedPolicies(ctx context.Context, account string, names ...string) ([]Managed, error)
	// ChangePolicy applies change to a policy; only its tags, its versions and their
	// numbers, and the time of its update may change. It fails with ErrNotFound.
	ChangePolicy(ctx context.Context, account, name string, change func(*Managed) error) error
	// DeletePolicy removes a policy. It fails with ErrNotFound, and with ErrInUse
	// while it is attached, or is somebody's boundary.
	DeletePolicy(ctx context.Context, account, name string) error
}

// ProfileStore keeps instance profiles.
type ProfileStore interface {
	// CreateProfile stores a profile, which has no role. It fails with ErrExists, and with
	// ErrTooMany if the account has most profiles already.
	CreateProfile(ctx context.Context, p InstanceProfile, most int) error
	// Profiles returns the profiles with the given names, or all of them if no name
	// is given. Names without a profile are skipped.
	Profiles(ctx context.Context, account string, names ...string) ([]InstanceProfile, error)
	// ChangeProfile applies change to a profile; only its tags and role may change.
	// It fails with ErrNotFound about the profile, or about the role that it gets.
	ChangeProfile(ctx context.Context, account, name string, change func(*InstanceProfile) error) error
	// DeleteProfile removes a profile. It fails with ErrNotFound, and with ErrInUse
	// while it has a role.
	DeleteProfile(ctx context.Context, account, name string) error
}
