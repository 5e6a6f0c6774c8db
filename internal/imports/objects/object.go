package objects

import (
	"bytes"
	"context"
	"crypto/cipher"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/diskport/diskport/internal/tag"
)

// MaxKey is the longest key, in bytes.
const MaxKey = 1024

// NullVersion is the version of what was stored while versioning was not enabled.
const NullVersion = "null"

// Object is one version of an object, or a delete marker. Of the objects in a list,
// Metadata, Tags and Encryption are not set.
type Object struct {
	Bucket, Key string
	Version     string // NullVersion, or an opaque id
	Latest      bool
	Marker      bool // a delete marker, which has no bytes and no ETag
	Account     string
	Size        int64     // bytes
	ETag        string    // without its quotation marks
	Modified    time.Time // in UTC, to the microsecond
	Checksum    Checksum  // zero: none
	Parts       int       // how many parts it was uploaded in; 0: not in parts
	Metadata    Metadata
	Tags        tag.Set
	Encryption  Encryption

	// Content is the row that names the bytes; for the stores alone.
	Content ContentID
}

// Metadata is what a client stores with an object for those that read it.
type Metadata struct {
	ContentType        string            `json:"ContentType,omitempty"`
	ContentEncoding    string            `json:"ContentEncoding,omitempty"`
	ContentDisposition string            `json:"ContentDisposition,omitempty"`
	ContentLanguage    string            `json:"ContentLanguage,omitempty"`
	CacheControl       string            `json:"CacheControl,omitempty"`
	Expires            string            `json:"Expires,omitempty"`
	Redirect           string            `json:"Redirect,omitempty"`     // x-amz-website-redirect-location
	StorageClass       string            `json:"StorageClass,omitempty"` // empty: STANDARD
	User               map[string]string `json:"User,omitempty"`         // x-amz-meta-…, names in lower case
}

// Encryption says how an object is encrypted, as its client asked. The zero value is
// what S3 calls AES256: not encrypted here, beyond what the disk does.
type Encryption struct {
	Algorithm string `json:"Algorithm,omitempty"` // "aws:kms" or empty
	Key       string `json:"Key,omitempty"`       // ARN of the KMS key
	Context   string `json:"Context,omitempty"`   // encryption context of the client, as JSON
	BucketKey bool   `json:"BucketKey,omitempty"` // shown only
	DataKey   []byte `json:"DataKey,omitempty"`   // wrapped under Key

	fresh cipher.AEAD // under the data key, where it was just made; else nil
}

// Encrypted reports whether the bytes on disk are encrypted.
func (e Encryption) Encrypted() bool { return len(e.DataKey) > 0 }

// Conditions are what a request asks of the present state of its object. They are
// decided in the transaction that changes it. The zero value is none.
type Conditions struct {
	Match     string    // the object's ETag, or "*": there is one; ErrNoSuchObject if there is none
	NoneMatch string    // not the object's ETag, or "*": there is none
	Modified  time.Time // when the object was modified, to the second
	Size      *int64    // how many bytes it has
}

// Put is an object to be stored.
type Put struct {
	Bucket, Key string
	Piece       Piece    // closed, and given to this Put alone
	ETag        string   // empty: the MD5 of the piece
	Checksum    Checksum // zero: none
	Metadata    Metadata
	Tags        tag.Set
	Encryption  Encryption // as the piece was written
	If          Conditions
}

// Copy is an object whose bytes are those of another.
type Copy struct {
	Source      Object // as Object returned it
	Bucket, Key string
	Checksum    Checksum // zero: none
	Metadata    Metadata
	Tags        tag.Set
	If          Conditions // on the object that is replaced
}

// Deletion asks for an object to be deleted.
type Deletion struct {
	Key     string
	Version string // empty: the object; else this version, for good
	If      Conditions
}

// Deleted says what a deletion did.
type Deleted struct {
	Key     string
	Version string // that was made (a delete marker) or is gone for good; empty: neither
	Marker  bool   // Version is that of a delete marker
	Err     error  // of DeleteMany: why this key was not deleted
}

// ValidKey reports whether an object may have the key. Any text is one.
func ValidKey(key string) bool {
	return key != "" && len(key) <= MaxKey && utf8.ValidString(key)
}

// Put stores an object, replacing the present one (or, with versioning, going on top
// of it). The piece belongs to the store from now on, whatever happens. It fails with
// ErrNoSuchBucket, ErrKey, ErrPrecondition, ErrNoSuchObject (Conditions.Match), ErrQuota,
// and ErrEncryption if the piece is not encrypted as it says.
func (s *Service) Put(ctx context.Context, p Put) (Object, error) {
	if p.ETag == "" {
		p.ETag = p.Piece.ETag()
	}
	o, err := s.put(ctx, p)
	s.stored(p.Piece, err)
	return o, err
}

func (s *Service) put(ctx context.Context, p Put) (Object, error) {
	if !ValidKey(p.Key) {
		return Object{}, fmt.Errorf("storing an object in bucket %s: %w", p.Bucket, ErrKey)
	}
	if !bytes.Equal(p.Piece.dataKey, p.Encryption.DataKey) {
		return Object{}, ErrEncryption
	}
	return s.store.Put(ctx, p, s.change())
}

// Copy stores an object whose bytes are those of another, without reading or writing
// any. The source must not be a delete marker, and how the copy is encrypted is the
// source's: to change that, read it and Put it. It fails as Put does, and with
// ErrNoSuchObject when the source has gone meanwhile.
func (s *Service) Copy(ctx context.Context, c Copy) (Object, error) {
	defer s.wake()
	if !ValidKey(c.Key) {
		return Object{}, fmt.Errorf("copying to bucket %s: %w", c.Bucket, ErrKey)
	}
	return s.store.Copy(ctx, c, s.change())
}

// Object returns an object: its latest version, or the one that is named. A latest
// version that is a delete marker is returned together with ErrNoSuchObject, so that
// an edge can show it; one that is named is returned without an error. Else
// ErrNoSuchBucket, ErrNoSuchObject, ErrNoSuchVersion.
func (s *Service) Object(ctx context.Context, bucket, key, version string) (Object, error) {
	o, err := s.store.Object(ctx, bucket, key, version)
	if err == nil && o.Marker && version == "" {
		err = fmt.Errorf("%s/%s is deleted: %w", bucket, key, ErrNoSuchObject)
	}
	return o, err
}

// Delete deletes an object. Deleting what does not exist succeeds, unless conditions
// say otherwise. ErrNoSuchBucket, ErrPrecondition, ErrNoSuchObject (Conditions.Match).
func (s *Service) Delete(ctx context.Context, bucket string, d Deletion) (Deleted, error) {
	defer s.wake()
	done, err := s.store.Delete(ctx, bucket, []Deletion{d}, s.change())
	if err != nil {
		return Deleted{}, err
	}
	return done[0], done[0].Err
}

// DeleteMany deletes several objects, each by itself: a condition that fails is told
// by Err of that key and hinders no other. ErrNoSuchBucket.
func (s *Service) DeleteMany(ctx context.Context, bucket string, all []Deletion) ([]Deleted, error) {
	defer s.wake()
	return s.store.Delete(ctx, bucket, all, s.change())
}

// SetTags replaces the tags of an object, or of the version that is named. Errors are
// those of Object.
func (s *Service) SetTags(ctx context.Context, bucket, key, version string, tags tag.Set) (Object, error) {
	return s.store.SetTags(ctx, bucket, key, version, tags)
}

// ObjectParts returns a page of the parts that an object was uploaded in, behind a
// part number.
func (s *Service) ObjectParts(ctx context.Context, o Object, after, limit int) ([]Part, error) {
	return s.store.ObjectParts(ctx, o.Content, after, limit)
}

// Usage returns how many bytes an account stores: objects with all versions, and
// parts of unfinished uploads.
func (s *Service) Usage(ctx context.Context, account string) (int64, error) {
	return s.store.Usage(ctx, account)
}
