package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
)

// Directories below the data directory.
const (
	bucketsDir = "s3"
	metaDir    = "s3-meta"
	pinsDir    = "pins"
)

// Names of the gateway's attributes.
const (
	etagAttr = "etag"
	aclAttr  = "acl"
)

// GatewayStore is the embedded S3's layout on disk. It works without a running Gateway.
// All methods may be called concurrently.
type GatewayStore struct {
	dir  string   // absolute data directory
	root *os.Root // the same; nothing reached through it lies outside
	meta meta.MetadataStorer
	attr bool // attributes lie on the files and not in side-car files
}

// OpenGatewayStore prepares the layout below the data directory dir, making what is
// missing. It fails where hard links don't work, and falls back to side-car
// files where extended attributes don't. The caller closes it after the
// Gateway that serves it.
func OpenGatewayStore(dir string) (*GatewayStore, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("making %s absolute: %w", dir, err)
	}
	for _, d := range []string{bucketsDir, pinsDir} {
		if err := os.MkdirAll(filepath.Join(abs, d), 0o700); err != nil {
			return nil, fmt.Errorf("making the object store: %w", err)
		}
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, fmt.Errorf("opening the object store: %w", err)
	}
	s := &GatewayStore{dir: abs, root: root}
	if err := s.probe(); err != nil {
		root.Close()
		return nil, err
	}
	return s, nil
}

// Close releases the directory. Opened pins stay readable.
func (s *GatewayStore) Close() error { return s.root.Close() }

// BucketOwner returns the account that made the bucket, or ErrNoSuchBucket.
func (s *GatewayStore) BucketOwner(_ context.Context, bucket string) (account string, err error) {
	if !validBucket(bucket) {
		return "", fmt.Errorf("bucket %q: %w", bucket, ErrNoSuchBucket)
	}
	info, err := s.root.Lstat(filepath.Join(bucketsDir, bucket))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return "", fmt.Errorf("bucket %q: %w", bucket, ErrNoSuchBucket)
	}
	if err != nil {
		return "", fmt.Errorf("bucket %q: %w", bucket, err)
	}
	raw, err := s.attribute(nil, bucket, "", aclAttr)
	if errors.Is(err, meta.ErrNoSuchKey) || errors.Is(err, fs.ErrNotExist) {
		// It is being made or removed, and has no owner.
		return "", fmt.Errorf("bucket %q: %w", bucket, ErrNoSuchBucket)
	}
	if err != nil {
		return "", fmt.Errorf("reading the owner of bucket %q: %w", bucket, err)
	}
	acl, err := auth.ParseACL(raw)
	if err != nil {
		return "", fmt.Errorf("reading the owner of bucket %q: %w", bucket, err)
	}
	return acl.Owner, nil
}

// Buckets returns the names of an account's buckets, sorted.
func (s *GatewayStore) Buckets(ctx context.Context, account string) (names []string, err error) {
	entries, err := fs.ReadDir(s.root.FS(), bucketsDir)
	if err != nil {
		return nil, fmt.Errorf("listing buckets: %w", err)
	}
	for _, e := range entries {
		owner, err := s.BucketOwner(ctx, e.Name())
		if errors.Is(err, ErrNoSuchBucket) { // the gateway's own folder, or gone by now
			continue
		}
		if err != nil {
			return nil, err
		}
		if owner == account {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// HasBucket reports whether the account has a bucket of the name.
func (s *GatewayStore) HasBucket(account, bucket string) bool {
	owner, err := s.BucketOwner(context.Background(), bucket) // which needs nothing of it
	return err == nil && owner == account
}

// attribute reads one of the gateway's attributes: of f when attributes lie on
// files and f is not nil, else of the object (or the bucket, with key empty).
func (s *GatewayStore) attribute(f *os.File, bucket, key, name string) ([]byte, error) {
	if s.attr {
		bucket = filepath.Join(s.dir, bucketsDir, bucket)
	}
	return s.meta.RetrieveAttribute(f, bucket, key, name)
}
