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

// Errors to branch on.
var (
	// ErrNoSuchBucket: the bucket doesn't exist, or no bucket can have that name.
	ErrNoSuchBucket = errors.New("no such bucket")
	// ErrNoSuchObject: the object doesn't exist, is a directory object, or no
	// object can have that key.
	ErrNoSuchObject = errors.New("no such object")
	// ErrNoSuchPin: the pin was released or never made.
	ErrNoSuchPin = errors.New("no such pin")
	// ErrChanged: the pinned bytes are not those that were pinned.
	ErrChanged = errors.New("pinned object changed")
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

// Store is the embedded S3's layout on disk. It works without a running Gateway.
// All methods may be called concurrently.
type Store struct {
	dir  string   // absolute data directory
	root *os.Root // the same; nothing reached through it lies outside
	meta meta.MetadataStorer
	attr bool // attributes lie on the files and not in side-car files
}

// Open prepares the layout below the data directory dir, making what is
// missing. It fails where hard links don't work, and falls back to side-car
// files where extended attributes don't. The caller closes the Store after the
// Gateway that serves it.
func Open(dir string) (*Store, error) {
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
	s := &Store{dir: abs, root: root}
	if err := s.probe(); err != nil {
		root.Close()
		return nil, err
	}
	return s, nil
}

// Close releases the directory. Opened pins stay readable.
func (s *Store) Close() error { return s.root.Close() }

// BucketOwner returns the account that made the bucket, or ErrNoSuchBucket.
func (s *Store) BucketOwner(_ context.Context, bucket string) (account string, err error) {
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
func (s *Store) Buckets(ctx context.Context, account string) (names []string, err error) {
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
func (s *Store) HasBucket(account, bucket string) bool {
	owner, err := s.BucketOwner(context.Background(), bucket) // which needs nothing of it
	return err == nil && owner == account
}

// attribute reads one of the gateway's attributes: of f when attributes lie on
// files and f is not nil, else of the object (or the bucket, with key empty).
func (s *Store) attribute(f *os.File, bucket, key, name string) ([]byte, error) {
	if s.attr {
		bucket = filepath.Join(s.dir, bucketsDir, bucket)
	}
	return s.meta.RetrieveAttribute(f, bucket, key, name)
}
