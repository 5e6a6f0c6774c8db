// Package source turns the location of an image, as a caller of ImportSnapshot
// gives it, into pinned bytes that can be read at random.
//
//	Resolve  where it lies: bucket and key, Url, handed-over file   location.go
//	Pin      these bytes, whatever becomes of their name            opener.go
//	Open     the pinned bytes for reading, on each range            opener.go
//	Release  when the task ends
//
// Three kinds of bytes can be pinned: an object of the embedded S3 (a row that names
// its bytes, package objects), a file that the process itself hands over (its size, time
// and inode; handover.go), and an object of one foreign S3 that is configured
// (its ETag and version, which every read is conditional on).
//
//	foreign.go    which one, whose credentials, pinning
//	remote.go     reading at random: retries, conditions, small reads together
//	transport.go  what may be dialled: the configured endpoint, and nothing else
//
// A Url only names an object: one of our own S3, or one of the foreign S3. Any
// other is refused before anything is dialled.
package source

import (
	"errors"
	"fmt"
)

// Errors to branch on. Others are internal ones.
var (
	// ErrLocation: not the location of an S3 object, or one that is not read here.
	ErrLocation = errors.New("invalid S3 source location")
	// ErrNotFound: the bucket, object or file is not there.
	ErrNotFound = errors.New("source not found")
	// ErrNoAccess: policies do not allow it, or the presigned Url is no
	// valid permission to read it.
	ErrNoAccess = errors.New("no access to the source")
	// ErrNoRanges is an ErrNoAccess that no permission helps against: the S3, or what is
	// between, answers another range of bytes than was asked for, or everything.
	ErrNoRanges = fmt.Errorf("%w: the S3 does not serve ranges of bytes", ErrNoAccess)
	// ErrKey: the object is encrypted under a KMS key that can't be used. It wraps a
	// *keyring.Error.
	ErrKey = errors.New("the key of the source can't be used")
	// ErrRegion: the object lies in another region.
	ErrRegion = errors.New("source in another region")
	// ErrChanged: the bytes are no longer those that were pinned.
	ErrChanged = errors.New("the file changed while it was imported")
	// ErrOrphaned: the process that had the handed-over file open has ended.
	ErrOrphaned = errors.New("the process that had the file open has ended")
	// ErrRole: the foreign S3 does not let us act in the service role.
	ErrRole = errors.New("the service role may not be assumed")
	// ErrUnavailable: the foreign S3 did not answer, after retries.
	// Its errors are *UnavailableErrors.
	ErrUnavailable = errors.New("the S3 of the source is not available")
)

// UnavailableError is the ErrUnavailable of a foreign S3, or of the STS where roles for it
// are assumed.
type UnavailableError struct {
	What string // it does, in words that name no address
	Err  error
}

func (e *UnavailableError) Error() string { return fmt.Sprintf("%v: %v", ErrUnavailable, e.Err) }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// Is makes it an ErrUnavailable.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }
