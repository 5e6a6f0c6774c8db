// Package source turns the location of an image, as a caller of ImportSnapshot
// gives it, into pinned bytes that can be read at random.
//
//	Resolve  where it lies: bucket and key, Url, handed-over file   location.go
//	Pin      these bytes, whatever becomes of their name            opener.go
//	Open     the pinned bytes for reading, on each range            opener.go
//	Release  when the task ends
//
// Two kinds of bytes can be pinned so far: an object of the embedded S3 (a hard
// link, package objects) and a file that the process itself hands over (its
// size, time and inode; handover.go). Objects of a foreign S3 will be a third
// kind, pinned by ETag.
//
// Nothing here dials. A Url is a name: of an object of our own S3, or refused.
package source

import "errors"

// Errors to branch on. Others are internal ones.
var (
	// ErrLocation: not the location of an S3 object, or one that is not read here.
	ErrLocation = errors.New("invalid S3 source location")
	// ErrNotFound: the bucket, object or file is not there.
	ErrNotFound = errors.New("source not found")
	// ErrNoAccess: it belongs to another account, or the presigned Url is no
	// valid permission to read it.
	ErrNoAccess = errors.New("no access to the source")
	// ErrRegion: the object lies in another region.
	ErrRegion = errors.New("source in another region")
	// ErrChanged: the bytes are no longer those that were pinned.
	ErrChanged = errors.New("the file changed while it was imported")
	// ErrOrphaned: the process that handed the file over has ended.
	ErrOrphaned = errors.New("the process that handed the file over has ended")
)
