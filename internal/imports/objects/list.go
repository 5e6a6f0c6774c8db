package objects

import (
	"context"
	"errors"
)

// ListQuery asks for a page of a bucket's objects, in the order of the bytes of their
// keys.
type ListQuery struct {
	Bucket    string
	Prefix    string
	Delimiter string // keys that have it behind the prefix are folded up to it
	After     string // begin behind this key, or this folded prefix with all that it folds
	Limit     int    // at least 1; objects and folded prefixes together
}

// ListPage is a page of objects and folded prefixes, each in order.
type ListPage struct {
	Objects   []Object
	Prefixes  []string // S3's common prefixes
	Truncated bool     // there is more, behind Last
	Last      string   // the last key or folded prefix of the page; After of the next
}

// VersionQuery asks for a page of a bucket's versions and delete markers: by key, and
// those of one key with the newest first.
type VersionQuery struct {
	Bucket       string
	Prefix       string
	Delimiter    string
	After        string // as in ListQuery
	AfterVersion string // of the key After: begin behind this version; empty: behind all of them
	Limit        int
}

// VersionPage is a page of versions.
type VersionPage struct {
	Versions    []Object // delete markers among them
	Prefixes    []string
	Truncated   bool
	Last        string // key or folded prefix
	LastVersion string // empty if Last is a folded prefix
}

// List returns a page of objects. ErrNoSuchBucket.
func (s *Service) List(ctx context.Context, q ListQuery) (ListPage, error) {
	return ListPage{}, errors.ErrUnsupported
}

// Versions returns a page of versions. ErrNoSuchBucket.
func (s *Service) Versions(ctx context.Context, q VersionQuery) (VersionPage, error) {
	return VersionPage{}, errors.ErrUnsupported
}
