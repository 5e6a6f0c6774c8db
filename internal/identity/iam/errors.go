package iam

import (
	"errors"
	"fmt"
)

// The errors of this package. Match them with errors.Is; an error about an entity
// is wrapped in an *EntityError.
var (
	// ErrUnknownKey: the access key does not exist or is inactive, or the session
	// token does not belong to it.
	ErrUnknownKey = errors.New("unknown access key")
	// ErrExpiredToken: the session token was valid, but has expired.
	ErrExpiredToken = errors.New("expired session token")
	// ErrNotFound: there is no such entity.
	ErrNotFound = errors.New("not found")
	// ErrExists: there is one already. Names that differ only by case count as the
	// same.
	ErrExists = errors.New("already exists")
	// ErrRemoved: the account was removed, and its id is never given again. Every store fails so
	// instead of adding a resource to it.
	ErrRemoved = errors.New("was removed, and its id is never given again, since ciphertexts, shares and policies may name it still: choose another id")
	// ErrInUse: it can't be deleted while it has keys, policies, attachments or, for
	// an account, resources.
	ErrInUse = errors.New("in use")
	// ErrTooMany: the entity has as many as its quota allows.
	ErrTooMany = errors.New("too many")
	// ErrVersions: a managed policy can't be deleted while it has versions besides
	// the default one.
	ErrVersions = errors.New("has versions")
	// ErrInProfile: a role can't be deleted while it is in an instance profile.
	ErrInProfile = errors.New("in an instance profile")
	// ErrRootAssumes: root may not assume roles.
	ErrRootAssumes = errors.New("roles may not be assumed by root accounts")
	// ErrSessionAsks: a session may not ask for a session token.
	ErrSessionAsks = errors.New("no session token for a session")
)

// The kinds of entity that an EntityError may be about.
const (
	KindAccount    = "account"
	KindKey        = "access key"
	KindUser       = "user"
	KindRole       = "role"
	KindManaged    = "managed policy"
	KindVersion    = "policy version"
	KindAttachment = "attached policy"
	KindBoundary   = "permissions boundary"
	KindProfile    = "instance profile"
)

// EntityError names the entity that an error is about.
type EntityError struct {
	Kind string // KindUser, …, or the result of Owner.PolicyKind
	Name string // or the id of a key, or the ARN of a managed policy
	Err  error
}

func (e *EntityError) Error() string { return fmt.Sprintf("iam: %s %s: %v", e.Kind, e.Name, e.Err) }

// Unwrap returns the sentinel.
func (e *EntityError) Unwrap() error { return e.Err }

// ValidationError reports an invalid parameter. Its text may be shown to the
// client.
type ValidationError struct{ Message string }

func (e *ValidationError) Error() string { return e.Message }

// ARNError reports a text that is no ARN of a managed policy. It may be shown to the
// client.
type ARNError struct{ ARN string }

func (e *ARNError) Error() string { return "ARN " + e.ARN + " is not valid." }

// LimitError reports that a quota is reached. Its text may be shown to the client.
type LimitError struct{ Message string }

func (e *LimitError) Error() string { return e.Message }
