package objects

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
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

// PartAlgorithm returns the algorithm of the checksums that parts get whatever their client
// gives.
func (u Upload) PartAlgorithm() Algorithm { return cmp.Or(u.Algorithm, DefaultChecksum) }

// Part is a part of an unfinished upload, or of an object that was uploaded in parts.
type Part struct {
	Number   int       // 1 to MaxParts
	Off      int64     // bytes before it, of an object's part
	Size     int64     // bytes
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
	Checksum            Checksum // that the object must have; without a Value or a Type: any
	Size                int64    // that the object must have, if it is not negative
	If                  Conditions
}

// CompletedPart is a part as a completion names it.
type CompletedPart struct {
	Number   int
	ETag     string
	Checksum string // as S3 shows it; empty: not named
}

// CreateUpload begins an upload; ID, Account and Created are set here.
// ErrNoSuchBucket, ErrKey.
func (s *Service) CreateUpload(ctx context.Context, u Upload) (Upload, error) {
	if !ValidKey(u.Key) {
		return Upload{}, fmt.Errorf("beginning an upload to bucket %s: %w", u.Bucket, ErrKey)
	}
	u.Created = s.now()
	u.ID = newUploadID(u.Created)
	return s.store.CreateUpload(ctx, u)
}

// newUploadID returns an id that is greater than those of earlier uploads.
func newUploadID(at time.Time) string {
	var random [24]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process instead
	return fmt.Sprintf("%016x%x", at.UnixMicro(), random)
}

// Upload returns an unfinished upload of that bucket and key. ErrNoSuchBucket,
// ErrNoSuchUpload.
func (s *Service) Upload(ctx context.Context, bucket, key, id string) (Upload, error) {
	return s.store.Upload(ctx, bucket, key, id)
}

// PutPart stores a part, replacing that of the same number. The piece belongs to the
// store from now on, whatever happens. ErrNoSuchUpload, ErrPartNumber, ErrQuota, and
// ErrEncryption if the piece is not encrypted as the upload says.
func (s *Service) PutPart(ctx context.Context, p PartPut) (Part, error) {
	change := s.change()
	part := Part{Number: p.Number, Size: p.Piece.Size, ETag: p.Piece.ETag(), Modified: change.At, Checksum: p.Checksum}
	err := validNumber(p.Number)
	if err == nil {
		err = s.store.PutPart(ctx, NewPart{
			Bucket: p.Bucket, Key: p.Key, Upload: p.Upload, Part: part, Piece: p.Piece.ID, Proof: p.Piece.Proof(), DataKey: p.Piece.dataKey,
		}, change)
	}
	s.stored(p.Piece, err)
	return part, err
}

func validNumber(n int) error {
	if n < 1 || n > MaxParts {
		return fmt.Errorf("part %d: %w", n, ErrPartNumber)
	}
	return nil
}

// CopyPart stores a part whose bytes are those of an object's range. Nothing is
// written; the range is read once, for the part's ETag and checksum. The upload and the
// source must be encrypted alike, with one data key or none: else ErrEncryption.
// ErrNoSuchUpload, ErrNoSuchObject, ErrPartNumber, ErrRange, ErrQuota.
func (s *Service) CopyPart(ctx context.Context, p PartCopy) (Part, error) {
	defer s.wake()
	if err := validNumber(p.Number); err != nil {
		return Part{}, err
	}
	u, err := s.store.Upload(ctx, p.Bucket, p.Key, p.Upload)
	if err != nil {
		return Part{}, err
	}
	if !bytes.Equal(u.Encryption.DataKey, p.Source.Encryption.DataKey) {
		return Part{}, ErrEncryption // before it is read
	}
	if p.Len < 0 {
		p.Len = p.Source.Size - p.Off
	}
	sums, err := s.Hash(ctx, p.Source, p.Off, p.Len, u.PartAlgorithm())
	if err != nil {
		return Part{}, err
	}
	change := s.change()
	part := Part{Number: p.Number, Size: p.Len, ETag: sums.ETag(), Modified: change.At, Checksum: sums.Checksum(u.PartAlgorithm())}
	return part, s.store.PutPart(ctx, NewPart{
		Bucket: p.Bucket, Key: p.Key, Upload: p.Upload, Part: part, Source: p.Source.Content, Off: p.Off, DataKey: p.Source.Encryption.DataKey,
	}, change)
}

// CompleteUpload makes an object of the parts that are named and drops the others.
// A completion that is repeated, with the same parts, answers the same for as long as
// completions are remembered. It fails as Put does, and with ErrNoSuchUpload,
// *PartError, ErrPartOrder, *SmallPartError, ErrTooLarge, *SizeError, ErrChecksum,
// *ChecksumTypeError.
func (s *Service) CompleteUpload(ctx context.Context, c Completion) (Object, error) {
	defer s.wake()
	return s.store.CompleteUpload(ctx, c, s.change())
}

// AbortUpload drops an upload with its parts, or fails with ErrNoSuchUpload.
func (s *Service) AbortUpload(ctx context.Context, bucket, key, id string) error {
	defer s.wake()
	return s.store.AbortUpload(ctx, bucket, key, id)
}

// UploadParts returns a page of an upload's parts in the order of their numbers,
// behind a number. ErrNoSuchUpload.
func (s *Service) UploadParts(ctx context.Context, bucket, key, id string, after, limit int) ([]Part, error) {
	return s.store.Parts(ctx, bucket, key, id, after, limit)
}

// ExpireUploads aborts the uploads of a bucket whose keys have the prefix and that
// began before a time, at most limit of them, and returns how many. ErrNoSuchBucket.
func (s *Service) ExpireUploads(ctx context.Context, bucket, prefix string, before time.Time, limit int) (int, error) {
	defer s.wake()
	return s.store.ExpireUploads(ctx, bucket, prefix, before, limit)
}
