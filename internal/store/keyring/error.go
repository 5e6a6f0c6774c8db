package keyring

import (
	"errors"
	"fmt"
)

// Reason says why a key can't be used, in words for programs.
type Reason string

// The reasons.
const (
	NotFound        Reason = "key-not-found"
	WrongRegion     Reason = "key-wrong-region" // not the caller's
	Malformed       Reason = "key-malformed"    // no identifier of a key
	Disabled        Reason = "key-disabled"
	PendingDeletion Reason = "key-pending-deletion"
	PendingImport   Reason = "key-pending-import"
	InvalidState    Reason = "key-invalid-state" // another state
	NotSymmetric    Reason = "key-not-symmetric"
	Denied          Reason = "key-access-denied"
	Broken          Reason = "key-ciphertext-invalid" // does not decrypt what it encrypted
)

// Error reports a key that the user has to do something about: a task fails with
// `ClientError: Given key ID is not accessible`, a read is refused. All other
// errors of this package are faults of the service, and a retry may succeed.
type Error struct {
	Key    string // as it was given, or its ARN
	Reason Reason
	Err    error // what the KMS said; nil when this package found the reason itself
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("keyring: key %.256s: %s", e.Key, e.Reason)
	}
	return fmt.Sprintf("keyring: key %.256s: %s: %v", e.Key, e.Reason, e.Err)
}

// Unwrap returns what the KMS said.
func (e *Error) Unwrap() error { return e.Err }

// ErrUnavailable reports an external KMS that did not answer, after retries.
var ErrUnavailable = errors.New("keyring: KMS unavailable")

var errNoKMS = errors.New("keyring: no KMS is configured")
