package objects

import (
	"context"
	"errors"
	"time"

	"github.com/diskport/diskport/internal/tag"
)

// Limits of multipart uploads, as AWS's.
const (
	MaxParts = 10_000
	MinPart  = 5 << 20 // bytes of every part but the last
)

// Upload is an unfinished multipart upload.
type Upload struct {
	ID           string // opaque
	Bucket, Key  string
	Account      string    // of the bucket
	Initiator    string    // ARN of the principal that began it
	Created      time.Time //
	Algorithm    Algorithm // of the checksums of its parts; empty: none was asked for
	ChecksumType ChecksumType
	Metadata     Metadata
	Tags         tag.Set
	Encryption   Encryption
}

// Part is a part of an unfinished upload, or of an object that was uploaded in parts.
type Part struct {
	Number   int   // 1 to MaxParts
	Off      int64 // bytes before it, of an object's part
	Size     int64 // bytes
	ETag     string    // without its quotation marks; of an object's part: empty
	Modified time.Time // of an object's part: zero
	Checksum Checksum  // zero: none
}

// PartPut is a part to be stored.
type PartPut struct {
	Bucket, Key, Upload string
	Number              int
	Piece               Piece    // closed, and given to this PartPut alone
	Checksum            Checksum // zero: none
}

// PartCopy is a part whose bytes are those of a range of an object.
type PartCopy struct {
	Bucket, Key, Upload string
	Number              int
	Source              Object
	Off, Len            int64 // bytes; a Len of -1 means up to the end
}

// Completion asks for an upload to become an object.
type Completion struct {
	Bucket, Key, Upload string
	Parts               []CompletedPart
	Checksum            Checksum // that the object must have; without a Value: none in particular
	Size                int64    // that the object must have, if it is not negative
	If                  Conditions
}

// CompletedPart is a part as a completion names it.
type CompletedPart struct {
	Number   int
	ETag     string
	Checksum string // as S3 shows it; empty: not named
}

// UploadQuery asks for a page of a bucket's unfinished uploads: by key, and those of
// one key in the order of their beginning.
type UploadQuery struct {
	Bucket      string
	Prefix      string
	Delimiter   string
	After       string // key or folded prefix
	AfterUpload string // of the key After: begin behind this id; empty: behind all of them
	Limit       int
}

// UploadPage is a page of unfinished uploads.
type UploadPage struct {
	Uploads    []Upload
	Prefixes   []string
	Truncated  bool
	Last       string
	LastUpload string // empty if Last is a folded prefix
}

// CreateUpload begins an upload; ID, Account and Created are set here.
// ErrNoSuchBucket, ErrKey.
func (s *Service) CreateUpload(ctx context.Context, u Upload) (Upload, error) {
	return Upload{}, errors.ErrUnsupported
}

// Upload returns an unfinished upload of that bucket and key, or ErrNoSuchUpload.
func (s *Service) Upload(ctx context.Context, bucket, key, id string) (Upload, error) {
	return Upload{}, errors.ErrUnsupported
}

// PutPart stores a part, replacing that of the same number. The piece belongs to the
// store from now on, whatever happens. ErrNoSuchUpload, ErrQuota.
func (s *Service) PutPart(ctx context.Context, p PartPut) (Part, error) {
	return Part{}, errors.ErrUnsupported
}

// CopyPart stores a part whose bytes are those of an object's range. Nothing is
// written; the range is read once, for the part's ETag and checksum. ErrNoSuchUpload,
// ErrNoSuchObject, ErrRange, ErrQuota.
func (s *Service) CopyPart(ctx context.Context, p PartCopy) (Part, error) {
	return Part{}, errors.ErrUnsupported
}

// CompleteUpload makes an object of the parts that are named and drops the others.
// A completion that is repeated, with the same parts, answers the same for as long as
// completions are remembered. It fails as Put does, and with ErrNoSuchUpload,
// *PartError, ErrPartOrder, *SmallPartError, ErrChecksum (Checksum or Size).
func (s *Service) CompleteUpload(ctx context.Context, c Completion) (Object, error) {
	return Object{}, errors.ErrUnsupported
}

// AbortUpload drops an upload with its parts, or fails with ErrNoSuchUpload.
func (s *Service) AbortUpload(ctx context.Context, bucket, key, id string) error {
	return errors.ErrUnsupported
}

// UploadParts returns a page of an upload's parts in the order of their numbers,
// behind a number. ErrNoSuchUpload.
func (s *Service) UploadParts(ctx context.Context, bucket, key, id string, after, limit int) ([]Part, error) {
	return nil, errors.ErrUnsupported
}

// Uploads returns a page of unfinished uploads. ErrNoSuchBucket.
func (s *Service) Uploads(ctx context.Context, q UploadQuery) (UploadPage, error) {
	return UploadPage{}, errors.ErrUnsupported
}

// ExpireUploads aborts the uploads of a bucket whose keys have the prefix and that
// began before a time, at most limit of them, and returns how many. ErrNoSuchBucket.
func (s *Service) ExpireUploads(ctx context.Context, bucket, prefix string, before time.Time, limit int) (int, error) {
	return 0, errors.ErrUnsupported
}
