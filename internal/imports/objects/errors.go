package objects

import (
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/space"
)

// Errors to branch on. Those with more to say are types below.
var (
	// ErrNoSuchBucket: the bucket doesn't exist, or no bucket can have that name.
	ErrNoSuchBucket = errors.New("no such bucket")
	// ErrBucketName: no bucket may have that name.
	ErrBucketName = errors.New("invalid bucket name")
	// ErrBucketNotEmpty: the bucket holds objects, versions or delete markers.
	ErrBucketNotEmpty = errors.New("the bucket is not empty")
	// ErrNoSuchSetting: the bucket has no such setting.
	ErrNoSuchSetting = errors.New("no such setting of the bucket")
	// ErrKey: no object may have that key.
	ErrKey = errors.New("invalid object key")
	// ErrNoSuchObject: there is no object of that key, or a delete marker hides it.
	ErrNoSuchObject = errors.New("no such object")
	// ErrNoSuchVersion: the object has no such version.
	ErrNoSuchVersion = errors.New("no such version of the object")
	// ErrNoSuchUpload: there is no such unfinished upload; it may have been completed,
	// aborted or expired.
	ErrNoSuchUpload = errors.New("no such upload")
	// ErrPartNumber: a part's number is not from 1 to MaxParts.
	ErrPartNumber = errors.New("no such part number")
	// ErrPartOrder: the parts of a completion are not in ascending order, or there are
	// none.
	ErrPartOrder = errors.New("the parts are not in ascending order")
	// ErrTooLarge: the object would be larger than MaxObject.
	ErrTooLarge = errors.New("the object is too large")
	// ErrChecksum: what was sent does not have the checksum that was announced.
	ErrChecksum = errors.New("the checksum does not match")
	// ErrPrecondition: a condition of the request does not hold.
	ErrPrecondition = errors.New("a precondition failed")
	// ErrRange: a range of bytes does not lie within the object.
	ErrRange = errors.New("the range does not lie within the object")
	// ErrQuota: the account would store more than it may.
	ErrQuota = errors.New("the quota of the account is reached")
	// ErrAllQuota: all accounts together would store more than they may.
	ErrAllQuota = errors.New("the quota of all accounts together is reached")
	// ErrNoSpace: the disk would be fuller than the reserve allows, or is full.
	ErrNoSpace = space.ErrFull
	// ErrDamaged: the bytes of an object are not on disk as they were written.
	ErrDamaged = errors.New("object damaged on disk")
	// ErrNoSuchPin: the pin was released or never made.
	ErrNoSuchPin = errors.New("no such pin")
	// ErrPinned: there is a pin of that id.
	ErrPinned = errors.New("pin exists")
	// ErrChanged: the pinned bytes are not those that were pinned.
	ErrChanged = errors.New("pinned object changed")
	// ErrEncryption: source and target of a copy are encrypted with different keys, so
	// that the copy must be read and written.
	ErrEncryption = errors.New("source and target are encrypted differently")
	// ErrKeyNeeded: the object is encrypted, and the key that opens it can't be used.
	ErrKeyNeeded = errors.New("the object's key can't be used")
)

// BucketExistsError reports a bucket name that is taken.
type BucketExistsError struct{ Bucket Bucket }

func (e *BucketExistsError) Error() string {
	return fmt.Sprintf("bucket %s exists and belongs to account %s", e.Bucket.Name, e.Bucket.Account)
}

// PartError reports a part of a completion that the upload does not have, or not
// with that ETag or checksum.
type PartError struct {
	Number int
	ETag   string // as the request gave it
}

func (e *PartError) Error() string {
	return fmt.Sprintf("part %d with ETag %q was not uploaded", e.Number, e.ETag)
}

// SizeError reports parts that are not as large together as a completion says.
type SizeError struct{ Size, Want int64 } // bytes

func (e *SizeError) Error() string {
	return fmt.Sprintf("the parts have %d bytes, not %d", e.Size, e.Want)
}

// ChecksumTypeError reports a completion that asks for another type of checksum than
// the upload was begun with.
type ChecksumTypeError struct{ Type ChecksumType } // of the upload

func (e *ChecksumTypeError) Error() string {
	return fmt.Sprintf("the upload's checksum is of type %s", e.Type)
}

// SmallPartError reports a part that is smaller than all but the last may be.
type SmallPartError struct {
	Number    int
	ETag      string
	Size, Min int64 // bytes
}

func (e *SmallPartError) Error() string {
	return fmt.Sprintf("part %d has %d bytes, fewer than %d, and is not the last", e.Number, e.Size, e.Min)
}
