package ebsapi

import (
	"context"
	"iter"

	"github.com/diskport/diskport/internal/cache"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// keptOpen is how many snapshots stay open between requests: a client reads one
// snapshot, or two that it compares, in thousands of requests, and opening
// reads the root. Each holds its root and a few pages, some MiB.
const keptOpen = 8

// library is Snapshots over the package's own reader.
type library struct {
	snapshot.Records
	lib  *snapshot.Library
	open *cache.Cache[string, *snapshot.Blocks] // by snapshot id
}

// Library returns the Snapshots of a store of records and the library that
// reads them. It is safe for concurrent use.
func Library(records snapshot.Records, lib *snapshot.Library) Snapshots {
	return &library{Records: records, lib: lib, open: cache.New[string, *snapshot.Blocks](keptOpen)}
}

// Open returns the snapshot of r, a record that was read just now. A completed
// snapshot never changes and its id is not used again, so one that was opened for
// an earlier request will do, as long as its key may be used.
func (l *library) Open(ctx context.Context, r snapshot.Record) (Blocks, error) {
	if _, err := l.lib.Keys(ctx, r.Domain); err != nil {
		return nil, err
	}
	blocks, err := l.open.Get(r.ID, func() (*snapshot.Blocks, error) {
		// Other requests may be waiting for it, so it must not end with this one.
		return l.lib.Open(context.WithoutCancel(ctx), r)
	})
	if err != nil {
		return nil, err
	}
	return reader{blocks}, nil
}

type reader struct{ *snapshot.Blocks }

// Diff implements Blocks; later comes from the same library.
func (r reader) Diff(ctx context.Context, later Blocks, from int64) iter.Seq2[snapshot.Change, error] {
	return snapshot.Diff(ctx, r.Blocks, later.(reader).Blocks, from)
}
