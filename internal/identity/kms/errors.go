package kms

import (
	"errors"
	"fmt"
)

// The errors of this package. They are wrapped in an *Error, whose text may be
// shown to the client.
var (
	ErrNotFound          = errors.New("kms: not found")
	ErrExists            = errors.New("kms: already exists")
	ErrDenied            = errors.New("kms: access denied")
	ErrDisabled          = errors.New("kms: disabled")
	ErrState             = errors.New("kms: invalid state")
	ErrUsage             = errors.New("kms: invalid key usage")
	ErrInvalidARN        = errors.New("kms: invalid ARN")
	ErrReserved          = errors.New("kms: reserved name")
	ErrInvalidCiphertext = errors.New("kms: invalid ciphertext")
	ErrIncorrectKey      = errors.New("kms: incorrect key")
	ErrMalformedPolicy   = errors.New("kms: malformed policy document")
	ErrInvalidGrantID    = errors.New("kms: invalid grant id")
	ErrInvalidGrantToken = errors.New("kms: invalid grant token")
	ErrValidation        = errors.New("kms: validation")
	ErrUnsupported       = errors.New("kms: unsupported operation")
	ErrLimit             = errors.New("kms: limit exceeded")
)

// Error says what is wrong, and with which key, alias or parameter.
type Error struct {
	Err     error  // one of the sentinels
	Message string // may be shown to the client
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the sentinel.
func (e *Error) Unwrap() error { return e.Err }

func failed(err error, format string, args ...any) error {
	return &Error{err, fmt.Sprintf(format, args...)}
}

// NoKey returns the error for a key that does not exist. Stores return it.
func NoKey(r Ref) error { return failed(ErrNotFound, "Key '%s' does not exist", r.ARN()) }

// NoAlias returns the error for an alias that does not exist. Stores return it.
func NoAlias(a Alias) error { return failed(ErrNotFound, "Alias %s is not found.", a.ARN()) }

// AliasExists returns the error for an alias that exists already. Stores return it.
func AliasExists(a Alias) error {
	return failed(ErrExists, "An alias with the name %s already exists", a.ARN())
}

// TooManyAliases returns the error for an alias of a key that has most already. Stores return it.
func TooManyAliases(most int) error {
	return failed(ErrLimit, "A key can have no more than %d aliases", most)
}

// NoGrant returns the error for a grant that does not exist. Stores return it.
func NoGrant(id string) error { return failed(ErrNotFound, "Grant ID %.64s not found", id) }
