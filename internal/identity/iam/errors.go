package iam

import (
	"errors"
	"fmt"
)

// What can go wrong. Match with errors.Is; those about an entity come inside an
// *EntityError.
var (
	// ErrUnknownKey: nobody has the access key, it is inactive, or it and the
	// session token do not belong together.
	ErrUnknownKey = errors.New("unknown access key")
	// ErrExpiredToken: the session token was valid once.
	ErrExpiredToken = errors.New("expired session token")
	// ErrNotFound: there is no such entity.
	ErrNotFound = errors.New("not found")
	// ErrExists: there is one already; names differ by more than case.
	ErrExists = errors.New("already exists")
	// ErrRemoved: there was such an account, and its id is never given again.
	ErrRemoved = errors.New("was removed, and its id is never given again, since ciphertexts, shares and policies may name it still: choose another id")
	// ErrInUse: it can't be deleted while something hangs on it.
	ErrInUse = errors.New("in use")
	// ErrTooMany: a quota on what one entity has.
	ErrTooMany = errors.New("too many")
	// ErrVersions: a managed policy can't be deleted while it has versions
	// beside the one in force.
	ErrVersions = errors.New("has versions")
	// ErrRootAssumes: root wants to be in a role.
	ErrRootAssumes = errors.New("roles may not be assumed by root accounts")
	// ErrSessionAsks: a session wants a session token.
	ErrSessionAsks = errors.New("no session token for a session")
)

// What an EntityError may be about.
const (
	KindAccount    = "account"
	KindKey        = "access key"
	KindUser       = "user"
	KindRole       = "role"
	KindManaged    = "managed policy"
	KindVersion    = "policy version"
	KindAttachment = "attached policy"
)

// EntityError says which entity a sentinel is about.
type EntityError struct {
	Kind string // KindUser, …, or what Owner.PolicyKind returns
	Name string // or id of a key, or ARN of a managed policy
	Err  error
}

func (e *EntityError) Error() string { return fmt.Sprintf("iam: %s %s: %v", e.Kind, e.Name, e.Err) }

// Unwrap returns the sentinel.
func (e *EntityError) Unwrap() error { return e.Err }

// ValidationError reports a parameter that breaks a rule. Its text may be shown.
type ValidationError struct{ Message string }

func (e *ValidationError) Error() string { return e.Message }

// LimitError reports a quota that is reached. Its text may be shown.
type LimitError struct{ Message string }

func (e *LimitError) Error() string { return e.Message }
