package objects

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/tag"
)

// PieceID names a piece: a file that is written once. It is never used again.
type PieceID int64

// ContentID names an immutable sequence of ranges of pieces, which are the bytes of
// objects, parts and pins. It is never used again.
type ContentID int64

// Content is what a ContentID names.
type Content struct {
	Size       int64  // bytes
	Account    string // that stored it first, whose data key it is encrypted with
	Encryption Encryption
	Extents    []Extent // in order, one after the other
}

// Extent is a range of a piece.
type Extent struct {
	Piece     PieceID
	Skip, Len int64 // bytes
}

// Range returns the extents of a range of the content, which must lie in it.
func (c Content) Range(off, n int64) []Extent {
	var out []Extent
	for _, e := range c.Extents {
		if off >= e.Len {
			off -= e.Len
			continue
		}
		if n <= 0 {
			break
		}
		e.Skip, e.Len = e.Skip+off, min(e.Len-off, n)
		n, off = n-e.Len, 0
		out = append(out, e)
	}
	return out
}

// Change is what an event needs besides what is asked for.
type Change struct {
	At    time.Time
	Quota int64 // bytes that an account may store; 0: no limit
	All   int64 // bytes that all accounts together may store; 0: no limit
}

// Store keeps buckets, objects and what belongs to them. Each method is one event and
// one transaction. Package objectstest has its suite, package metadb implements it.
type Store interface {
	BucketStore
	BucketSettings
	ObjectStore
	ObjectLists
	UploadStore
	UploadLists
	PinStore
	PieceStore
	PieceProofs
}

// BucketStore are the events of buckets.
type BucketStore interface {
	// CreateBucket fails with *BucketExistsError.
	CreateBucket(ctx context.Context, b Bucket) error
	// Bucket fails with ErrNoSuchBucket.
	Bucket(ctx context.Context, name string) (Bucket, error)
	// DeleteBucket drops settings and unfinished uploads too. ErrNoSuchBucket,
	// ErrBucketNotEmpty.
	DeleteBucket(ctx context.Context, name string) error
	// Buckets returns a page in the order of names.
	Buckets(ctx context.Context, q BucketQuery) ([]Bucket, error)
	// OwnedBuckets counts the buckets of an account.
	OwnedBuckets(ctx context.Context, account string) (int, error)
}

// BucketSettings are the settings of buckets. All fail with ErrNoSuchBucket.
type BucketSettings interface {
	SetVersioning(ctx context.Context, bucket string, v Versioning) error
	// Setting fails with ErrNoSuchSetting.
	Setting(ctx context.Context, bucket, name string) (document []byte, err error)
	SetSetting(ctx context.Context, bucket string, s Setting) error
	DeleteSetting(ctx context.Context, bucket, name string) error
}

// ObjectStore are the events of objects. What is no longer named by any object, part or
// pin is let go in the same transaction.
type ObjectStore interface {
	// Put makes p.Piece the bytes of an object. ErrNoSuchBucket, ErrQuota, and what
	// Conditions.Check fails with.
	Put(ctx context.Context, p Put, c Change) (Object, error)
	// Copy fails as Put does, and with ErrNoSuchObject if the source's content is gone.
	Copy(ctx context.Context, p Copy, c Change) (Object, error)
	// Object returns a version, or the latest one, which may be a delete marker.
	// ErrNoSuchBucket, ErrNoSuchObject, ErrNoSuchVersion.
	Object(ctx context.Context, bucket, key, version string) (Object, error)
	// Delete answers each deletion in its place; Deleted.Err is what Conditions.Check
	// fails with. ErrNoSuchBucket.
	Delete(ctx context.Context, bucket string, all []Deletion, c Change) ([]Deleted, error)
	// SetTags fails as Object does, and with ErrNoSuchObject for a delete marker.
	SetTags(ctx context.Context, bucket, key, version string, tags tag.Set) (Object, error)
}

// KeyRange is a run of keys in a bucket: from First on, or behind After if that is not
// empty, of those that begin with Prefix.
type KeyRange struct {
	Bucket       string
	Prefix       string
	First, After string
	// AfterItem continues within the key After, behind this version or upload; empty:
	// behind all of them.
	AfterItem string
	// Delimiter, for objects alone: of the keys that have it behind Prefix and are alike up
	// to there, only the first is returned, and the others are skipped without being
	// read.
	Delimiter string
	Limit     int
}

// ObjectLists read without changing anything. They fail with ErrNoSuchBucket.
type ObjectLists interface {
	// Objects returns the latest versions that are no delete markers, in the order of
	// the bytes of their keys.
	Objects(ctx context.Context, r KeyRange) ([]Object, error)
	// Versions returns all versions, by key, the newest of a key first.
	Versions(ctx context.Context, r KeyRange) ([]Object, error)
	// ObjectParts returns the parts that a content was put together of.
	ObjectParts(ctx context.Context, id ContentID, after, limit int) ([]Part, error)
	// Content returns what an id names, or ErrNoSuchObject.
	Content(ctx context.Context, id ContentID) (Content, error)
	// Usage returns the bytes that an account is charged with.
	Usage(ctx context.Context, account string) (int64, error)
}

// NewPart is a part to be stored: a piece, or a range of a content.
type NewPart struct {
	Bucket, Key, Upload string
	Part                Part
	Piece               PieceID   // 0: of Source
	Proof               string    // that of the piece
	Source              ContentID //
	Off                 int64     // bytes into Source; the length is Part.Size
	DataKey             []byte    // that it is encrypted with, wrapped
}

// UploadStore are the events of multipart uploads. All but CreateUpload fail with
// ErrNoSuchUpload.
type UploadStore interface {
	// CreateUpload fails with ErrNoSuchBucket; it sets Account. The ids of later uploads
	// are greater, and made of lower-case letters and digits.
	CreateUpload(ctx context.Context, u Upload) (Upload, error)
	Upload(ctx context.Context, bucket, key, id string) (Upload, error)
	// PutPart replaces a part of that number. ErrQuota; ErrNoSuchObject if Source is gone;
	// ErrEncryption if DataKey is not the upload's.
	PutPart(ctx context.Context, p NewPart, c Change) error
	// CompleteUpload makes an object of what Assemble says, and answers a repeated
	// completion as the first. ErrQuota, and what Assemble and Conditions.Check fail with.
	CompleteUpload(ctx context.Context, p Completion, c Change) (Object, error)
	AbortUpload(ctx context.Context, bucket, key, id string) error
}

// UploadLists read lists of uploads.
type UploadLists interface {
	// Uploads returns unfinished uploads by key, and those of a key as they began.
	// ErrNoSuchBucket.
	Uploads(ctx context.Context, r KeyRange) ([]Upload, error)
	// Parts fails with ErrNoSuchUpload.
	Parts(ctx context.Context, bucket, key, id string, after, limit int) ([]Part, error)
	// ExpireUploads aborts uploads that began before a time. ErrNoSuchBucket.
	ExpireUploads(ctx context.Context, bucket, prefix string, before time.Time, limit int) (int, error)
	// ForgetCompletions forgets the completions before a time: a repetition of them
	// fails with ErrNoSuchUpload from then on.
	ForgetCompletions(ctx context.Context, before time.Time) error
}

// PinStore are the events of pins.
type PinStore interface {
	// Pin fails as Object does, with ErrNoSuchObject for a delete marker, and with
	// ErrPinned.
	Pin(ctx context.Context, bucket, key, version, id string) (Pin, error)
	// Pinned returns a pin, or ErrNoSuchPin.
	Pinned(ctx context.Context, id string) (Pin, error)
	// Release succeeds if there is no such pin.
	Release(ctx context.Context, id string) error
	Pins(ctx context.Context) ([]string, error)
}

// Known is what the rows say of a piece.
type Known struct {
	Row   bool // it has one of its own
	Named bool // a content names it: it is part of an object, an upload or a pin
}

// PieceStore are the rows of pieces. A piece is open from AddPieces until an event
// makes a content of it, or its writer lets it go; it is garbage once no content names
// it and no living writer has it open, and stays garbage.
type PieceStore interface {
	// AddPieces notes ids that a writer may use from now on.
	AddPieces(ctx context.Context, writer int64, ids []PieceID) error
	// DropPieces lets go of open pieces. Those that a content names stay.
	DropPieces(ctx context.Context, ids []PieceID) error
	// Garbage condemns pieces that are garbage, if writer is the only living one, and
	// returns at most limit condemned ones with ids above after, in order. While all files
	// are held (snapshot.Holds) there are none.
	Garbage(ctx context.Context, writer int64, after PieceID, limit int) ([]PieceID, error)
	// ForgetPieces deletes the rows of condemned pieces whose files are gone.
	ForgetPieces(ctx context.Context, ids []PieceID) error
	// KnownPieces returns those of ids that have a row, or that a content names.
	KnownPieces(ctx context.Context, ids []PieceID) (map[PieceID]Known, error)
}
