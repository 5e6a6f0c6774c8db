package objects

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// Bucket is a named set of objects. Names are unique in the service.
type Bucket struct {
	Name       string
	Account    string // its owner; 12 digits
	Region     string // where it was made
	Created    time.Time
	Versioning Versioning
}

// Versioning says whether a bucket keeps the versions that are overwritten or
// deleted. Its text is stored, and is AWS's.
type Versioning string

// The states of versioning. A bucket never goes back to Unversioned.
const (
	Unversioned Versioning = ""
	Enabled     Versioning = "Enabled"
	Suspended   Versioning = "Suspended"
)

// Setting is a document that the edge keeps with a bucket: a policy, tags, rules of
// CORS. Its meaning is the edge's alone.
type Setting struct {
	Name     string
	Document []byte
}

// BucketQuery asks for a page of an account's buckets, in the order of their names.
type BucketQuery struct {
	Account string
	Region  string // empty: every region
	Prefix  string
	After   string // begin behind this name
	Limit   int    // at least 1
}

// ValidBucketName reports whether AWS lets a general purpose bucket have the name.
func ValidBucketName(name string) bool {
	if len(name) < 3 || len(name) > 63 || net.ParseIP(name) != nil {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || 0 < i && i < len(name)-1 && (c == '-' || c == '.')) {
			return false
		}
	}
	for _, pair := range []string{"..", ".-", "-."} {
		if strings.Contains(name, pair) {
			return false
		}
	}
	for _, prefix := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	for _, suffix := range []string{"-s3alias", "--ol-s3", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, suffix) {
			return false
		}
	}
	return true
}

// CreateBucket makes a bucket; Created is set here. *BucketExistsError, ErrBucketName.
func (s *Service) CreateBucket(ctx context.Context, b Bucket) (Bucket, error) {
	if !ValidBucketName(b.Name) {
		return Bucket{}, fmt.Errorf("bucket %q: %w", b.Name, ErrBucketName)
	}
	b.Created = s.now()
	return b, s.store.CreateBucket(ctx, b)
}

// Bucket returns a bucket, or ErrNoSuchBucket.
func (s *Service) Bucket(ctx context.Context, name string) (Bucket, error) {
	return s.store.Bucket(ctx, name)
}

// DeleteBucket removes a bucket with its settings, and aborts its unfinished
// uploads. ErrNoSuchBucket, ErrBucketNotEmpty.
func (s *Service) DeleteBucket(ctx context.Context, name string) error {
	defer s.wake()
	return s.store.DeleteBucket(ctx, name)
}

// Buckets returns a page of an account's buckets.
func (s *Service) Buckets(ctx context.Context, q BucketQuery) ([]Bucket, error) {
	return s.store.Buckets(ctx, q)
}

// OwnedBuckets returns how many buckets an account has.
func (s *Service) OwnedBuckets(ctx context.Context, account string) (int, error) {
	return s.store.OwnedBuckets(ctx, account)
}

// BucketOwner returns the account of a bucket, or ErrNoSuchBucket.
func (s *Service) BucketOwner(ctx context.Context, name string) (account string, err error) {
	b, err := s.store.Bucket(ctx, name)
	return b.Account, err
}

// SetVersioning turns versioning on or suspends it. ErrNoSuchBucket.
func (s *Service) SetVersioning(ctx context.Context, bucket string, v Versioning) error {
	if v != Enabled && v != Suspended {
		return fmt.Errorf("versioning of bucket %s can't become %q", bucket, v)
	}
	return s.store.SetVersioning(ctx, bucket, v)
}

// Setting returns the document of a setting. ErrNoSuchBucket, ErrNoSuchSetting.
func (s *Service) Setting(ctx context.Context, bucket, name string) ([]byte, error) {
	return s.store.Setting(ctx, bucket, name)
}

// SetSetting makes or replaces a setting. ErrNoSuchBucket.
func (s *Service) SetSetting(ctx context.Context, bucket string, setting Setting) error {
	return s.store.SetSetting(ctx, bucket, setting)
}

// DeleteSetting removes a setting, if there is one. ErrNoSuchBucket.
func (s *Service) DeleteSetting(ctx context.Context, bucket, name string) error {
	return s.store.DeleteSetting(ctx, bucket, name)
}
