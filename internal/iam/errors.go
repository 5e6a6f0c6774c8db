package iam

import (
	"errors"
	"fmt"
)

// What can go wrong. Match with errors.Is; those about an entity come inside an
// *EntityError.
var (
	// ErrUnknownKey: nobody has the access key, or it and the session token
	// do not belong together.
	ErrUnknownKey = errors.New("unknown access key")
	// ErrExpiredToken: the session token was valid once.
	ErrExpiredToken = errors.New("expired session token")
	// ErrNotFound: there is no such entity.
	ErrNotFound = errors.New("not found")
	// ErrExists: there is one already; names differ by more than case.
	ErrExists = errors.New("already exists")
	// ErrInUse: it can't be deleted while something hangs on it.
	ErrInUse = errors.New("in use")
)

// What an EntityError may be about.
const (
	kindRole       = "role"
	kindRolePolicy = "role policy"
)

// EntityError says which entity a sentinel is about.
type EntityError struct {
	Kind string // "role" or "role policy"
	Name string
	Err  error
}

func (e *EntityError) Error() string { return fmt.Sprintf("iam: %s %s: %v", e.Kind, e.Name, e.Err) }

// Unwrap returns the sentinel.
func (e *EntityError) Unwrap() error { return e.Err }

// RoleError wraps a sentinel about a role. Stores return it.
func RoleError(name string, err error) error { return &EntityError{kindRole, name, err} }

// PolicyError wraps a sentinel about an inline policy. Stores return it.
func PolicyError(name string, err error) error { return &EntityError{kindRolePolicy, name, err} }

// ValidationError: a parameter breaks a rule. Its text may be shown.
type ValidationError struct{ Message string }

func (e *ValidationError) Error() string { return e.Message }

// LimitError: a quota is reached. Its text may be shown.
type LimitError struct{ Message string }

func (e *LimitError) Error() string { return e.Message }
