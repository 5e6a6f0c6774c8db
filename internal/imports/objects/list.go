package objects

import (
	"context"
	"strings"
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

// List returns a page of objects. ErrNoSuchBucket.
func (s *Service) List(ctx context.Context, q ListQuery) (ListPage, error) {
	p, err := fold(ctx, folding[Object]{
		KeyRange:  KeyRange{Bucket: q.Bucket, Prefix: q.Prefix, After: q.After, Limit: q.Limit},
		delimiter: q.Delimiter,
		read:      s.store.Objects,
		place:     func(o Object) (string, string) { return o.Key, "" },
		skips:     true,
	})
	return ListPage{Objects: p.items, Prefixes: p.prefixes, Truncated: p.truncated, Last: p.last}, err
}

// Versions returns a page of versions. ErrNoSuchBucket.
func (s *Service) Versions(ctx context.Context, q VersionQuery) (VersionPage, error) {
	p, err := fold(ctx, folding[Object]{
		KeyRange:  KeyRange{Bucket: q.Bucket, Prefix: q.Prefix, After: q.After, AfterItem: q.AfterVersion, Limit: q.Limit},
		delimiter: q.Delimiter,
		read:      s.store.Versions,
		place:     func(o Object) (string, string) { return o.Key, o.Version },
	})
	return VersionPage{Versions: p.items, Prefixes: p.prefixes, Truncated: p.truncated, Last: p.last, LastVersion: p.lastItem}, err
}

// Uploads returns a page of unfinished uploads. ErrNoSuchBucket.
func (s *Service) Uploads(ctx context.Context, q UploadQuery) (UploadPage, error) {
	p, err := fold(ctx, folding[Upload]{
		KeyRange:  KeyRange{Bucket: q.Bucket, Prefix: q.Prefix, After: q.After, AfterItem: q.AfterUpload, Limit: q.Limit},
		delimiter: q.Delimiter,
		read:      s.store.Uploads,
		place:     func(u Upload) (string, string) { return u.Key, u.ID },
	})
	return UploadPage{Uploads: p.items, Prefixes: p.prefixes, Truncated: p.truncated, Last: p.last, LastUpload: p.lastItem}, err
}

// folding is a list of items by key that is being read.
type folding[T any] struct {
	KeyRange  // what is read next; its Limit is that of the page
	delimiter string
	read      func(context.Context, KeyRange) ([]T, error)
	place     func(T) (key, item string)
	skips     bool // read heeds a Delimiter
}

// folded is a page of a list.
type folded[T any] struct {
	items          []T
	prefixes       []string
	truncated      bool
	last, lastItem string
}

// Reads of a list that folds: a few items at first, and more as long as nothing is
// folded, since what is folded was read in vain; all that the page has room for, once
// reads heed the delimiter.
const (
	firstRead = 64
	mostRead  = 1001
)

// fold reads a page of a list, folding keys into common prefixes. What a prefix folds is
// skipped, not read: the next read begins behind it, and heeds the delimiter by itself
// once anything was folded.
func fold[T any](ctx context.Context, f folding[T]) (page folded[T], err error) {
	limit := f.Limit
	page.last, page.lastItem = f.After, f.AfterItem
	if p, ok := f.prefixOf(f.After); ok && !f.beyond(p) {
		return page, nil
	}
	batch := mostRead
	if f.delimiter != "" {
		batch = firstRead
	}
	for {
		f.Limit = min(batch, limit-page.count()+1)
		items, err := f.read(ctx, f.KeyRange)
		if err != nil {
			return folded[T]{}, err
		}
		skipped, full := f.take(&page, items, limit)
		if full || len(items) < f.Limit {
			return page, nil
		}
		batch = f.next(batch, skipped)
		if p, ok := f.prefixOf(page.last); !ok || !f.folds(page, p) {
			f.First, f.After, f.AfterItem = "", page.last, page.lastItem
		} else if !f.beyond(p) {
			return page, nil
		}
	}
}

// next returns how much is read next, after a read of batch that has or has not folded
// items.
func (f *folding[T]) next(batch int, skipped bool) int {
	switch {
	case f.Delimiter != "": // what is folded is not read
		return mostRead
	case skipped && f.skips:
		f.Delimiter = f.delimiter
		return mostRead
	case skipped:
		return max(4, batch/4)
	}
	return min(2*batch, mostRead)
}

// count returns how many entries the page has.
func (p *folded[T]) count() int { return len(p.items) + len(p.prefixes) }

// folds reports whether the last entry of the page is the prefix p.
func (f *folding[T]) folds(page folded[T], p string) bool {
	return len(page.prefixes) > 0 && page.prefixes[len(page.prefixes)-1] == p && page.last == p && page.lastItem == ""
}

// take adds what was read to the page. It reports whether anything was read only to be
// folded, and whether the page is full and there is more.
func (f *folding[T]) take(page *folded[T], items []T, limit int) (skipped, full bool) {
	for _, item := range items {
		key, id := f.place(item)
		p, fold := f.prefixOf(key)
		if fold && f.folds(*page, p) {
			skipped = true
			continue
		}
		if page.count() == limit {
			page.truncated = true
			return skipped, true
		}
		if fold {
			page.prefixes = append(page.prefixes, p)
			page.last, page.lastItem = p, ""
			continue
		}
		page.items = append(page.items, item)
		page.last, page.lastItem = key, id
	}
	return skipped, false
}

// prefixOf returns the prefix that a key is folded into, if it is.
func (f *folding[T]) prefixOf(key string) (prefix string, ok bool) {
	if f.delimiter == "" || !strings.HasPrefix(key, f.Prefix) {
		return "", false
	}
	at := strings.Index(key[len(f.Prefix):], f.delimiter)
	if at < 0 {
		return "", false
	}
	return key[:len(f.Prefix)+at+len(f.delimiter)], true
}

// beyond makes the next read begin behind all keys with a prefix; false if there are
// none.
func (f *folding[T]) beyond(prefix string) bool {
	end := behind(prefix)
	f.First, f.After, f.AfterItem = end, "", ""
	return end != ""
}

// behind returns the first text behind all that begin with the prefix; empty if there is
// none. It need not be valid UTF-8.
func behind(prefix string) string {
	end := []byte(prefix)
	for len(end) > 0 {
		if end[len(end)-1]++; end[len(end)-1] != 0 {
			return string(end)
		}
		end = end[:len(end)-1]
	}
	return ""
}
