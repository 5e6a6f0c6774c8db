package ebsapi

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/diskport/diskport/internal/store/snapshot"
)

// keptOpen is how many snapshots stay open between requests: a client reads one
// snapshot, or two that it compares, in thousands of requests, and opening
// reads the root. Each holds its root and a few pages, some MiB.
const keptOpen = 8

// library is Snapshots over the package's own reader.
type library struct {
	snapshot.Store
	lib *snapshot.Library

	mu   sync.Mutex // guards open
	open []*opened  // most recently used first
}

type opened struct {
	id     string
	once   sync.Once
	blocks *snapshot.Blocks
	err    error
}

// Library returns the Snapshots of a store of records and the library that
// reads them. It is safe for concurrent use.
func Library(records snapshot.Store, lib *snapshot.Library) Snapshots {
	return &library{Store: records, lib: lib}
}

// Open returns the snapshot that r, read just now, says is there. A completed
// snapshot never changes and its id is not used again, so what was opened for
// an earlier request is as good, as long as its key may be used.
func (l *library) Open(ctx context.Context, r snapshot.Record) (Blocks, error) {
	if _, err := l.lib.Keys(ctx, r.Domain); err != nil {
		return nil, err
	}
	o := l.entry(r.ID)
	o.once.Do(func() {
		// Others may be waiting for it: it is not this request's alone.
		o.blocks, o.err = l.lib.Open(context.WithoutCancel(ctx), r)
	})
	if o.err != nil {
		l.forget(o)
		return nil, o.err
	}
	return reader{o.blocks}, nil
}

func (l *library) entry(id string) *opened {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.open, func(o *opened) bool { return o.id == id })
	o := &opened{id: id}
	if i >= 0 {
		o = l.open[i]
		l.open = slices.Delete(l.open, i, i+1)
	}
	l.open = slices.Insert(l.open, 0, o)
	if len(l.open) > keptOpen {
		l.open = slices.Delete(l.open, keptOpen, len(l.open))
	}
	return o
}

func (l *library) forget(gone *opened) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, func(o *opened) bool { return o == gone })
}

type reader struct{ *snapshot.Blocks }

// Diff implements Blocks; later comes from the same library.
func (r reader) Diff(ctx context.Context, later Blocks, from int64) iter.Seq2[snapshot.Change, error] {
	return snapshot.Diff(ctx, r.Blocks, later.(reader).Blocks, from)
}
