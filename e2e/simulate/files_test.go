package simulate

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
)

// store is the one block store that all nodes share. A listing of it may be behind.
type store struct {
	*blobtest.Memory
	behind time.Duration // how far a listing is

	mu      sync.Mutex // guards what follows
	closed  map[string]time.Time
	removed map[string]gone
}

// gone is a file that was removed.
type gone struct {
	at    time.Time
	entry blockstore.Entry
}

func newStore(behind time.Duration) *store {
	return &store{Memory: blobtest.NewMemory(), behind: behind, closed: map[string]time.Time{}, removed: map[string]gone{}}
}

// noteClosed notes that a file is there.
func (s *store) noteClosed(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed[name] = time.Now()
}

func (s *store) isClosed(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.closed[name]
	return ok
}

// Remove implements blockstore.Backend.
func (s *store) Remove(ctx context.Context, name string) error {
	s.mu.Lock()
	if at, ok := s.closed[name]; ok && time.Since(at) >= s.behind {
		s.removed[name] = gone{time.Now(), blockstore.Entry{Name: name, Bytes: blockstore.Align, Closed: true}}
	}
	delete(s.closed, name)
	s.mu.Unlock()
	return s.Memory.Remove(ctx, name)
}

// List implements blockstore.Backend: files appear late, and are still there when they are gone.
func (s *store) List(ctx context.Context, fn func(blockstore.Entry) error) error {
	if err := s.Memory.List(ctx, func(e blockstore.Entry) error {
		s.mu.Lock()
		at, ok := s.closed[e.Name]
		s.mu.Unlock()
		if ok && time.Since(at) < s.behind {
			return nil
		}
		return fn(e)
	}); err != nil {
		return err
	}
	s.mu.Lock()
	var late []blockstore.Entry
	for _, name := range slices.Sorted(maps.Keys(s.removed)) {
		if g := s.removed[name]; time.Since(g.at) < s.behind {
			late = append(late, g.entry)
		}
	}
	s.mu.Unlock()
	for _, e := range late {
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// files is a node's way to the store.
type files struct {
	*node
	*store
}

var _ blobtest.Backend = files{}

func kindOf(name string) string { kind, _, _ := strings.Cut(name, "/"); return kind }

// Create implements blockstore.Backend.
func (f files) Create(ctx context.Context, name string, size int64) (w blockstore.Writer, err error) {
	err = f.atStore(ctx, "create "+kindOf(name), func(ctx context.Context) error {
		w, err = f.store.Create(ctx, name, size)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &file{f, name, w}, nil
}

// ReadAt implements blockstore.Backend.
func (f files) ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error) {
	err = f.atStore(ctx, "read "+kindOf(name), func(ctx context.Context) error {
		n, err = f.store.ReadAt(ctx, name, p, off)
		return err
	})
	return n, err
}

// Remove implements blockstore.Backend.
func (f files) Remove(ctx context.Context, name string) error {
	return f.atStore(ctx, "remove "+kindOf(name), func(ctx context.Context) error { return f.store.Remove(ctx, name) })
}

// List implements blockstore.Backend.
func (f files) List(ctx context.Context, fn func(blockstore.Entry) error) error {
	var found []blockstore.Entry
	if err := f.atStore(ctx, "list", func(ctx context.Context) error {
		return f.store.List(ctx, func(e blockstore.Entry) error { found = append(found, e); return nil })
	}); err != nil {
		return err
	}
	for _, e := range found {
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// SetAside implements blockstore.Quarantine.
func (f files) SetAside(ctx context.Context, name string, at time.Time) error {
	return f.atStore(ctx, "set aside", func(ctx context.Context) error { return f.store.SetAside(ctx, name, at) })
}

// Purge implements blockstore.Quarantine.
func (f files) Purge(ctx context.Context, before time.Time) (p blockstore.Purged, err error) {
	err = f.atStore(ctx, "purge", func(ctx context.Context) error {
		p, err = f.store.Purge(ctx, before)
		return err
	})
	return p, err
}

// EachAside implements blockstore.Aside.
func (f files) EachAside(ctx context.Context, fn func(string) error) error {
	if err := f.atStore(ctx, "list what is aside", func(context.Context) error { return nil }); err != nil {
		return err
	}
	return f.store.EachAside(ctx, fn)
}

// BringBack implements blockstore.Aside.
func (f files) BringBack(ctx context.Context, name string) error {
	return f.atStore(ctx, "bring back", func(ctx context.Context) error { return f.store.BringBack(ctx, name) })
}

// Identity implements blockstore.Identified.
func (f files) Identity(ctx context.Context) (string, error) { return f.store.Identity(ctx) }

// SetIdentity implements blockstore.Identified.
func (f files) SetIdentity(ctx context.Context, id string) (string, error) {
	return f.store.SetIdentity(ctx, id)
}

// file is one that is being written.
type file struct {
	files files
	name  string
	blockstore.Writer
}

func (o *file) WriteAt(ctx context.Context, bufs [][]byte, off int64) error {
	return o.files.atStore(ctx, "write "+kindOf(o.name), func(ctx context.Context) error { return o.Writer.WriteAt(ctx, bufs, off) })
}

func (o *file) Close(ctx context.Context, size int64) error {
	return o.files.atStore(ctx, "close "+kindOf(o.name), func(ctx context.Context) error {
		err := o.Writer.Close(ctx, size)
		if err == nil {
			o.files.noteClosed(o.name)
		}
		return err
	})
}

// Abort drops the file, unless the node is dead: what it left stays open.
func (o *file) Abort() error {
	return o.files.atStore(context.Background(), "abort "+kindOf(o.name), func(context.Context) error { return o.Writer.Abort() })
}

// pins are the sources that are kept for imports, on a store that all nodes share.
type pins struct {
	mu   sync.Mutex // guards held
	held map[string]bool
}

// sources is a node's way to the images that can be imported: raw disks, whose layouts
// their keys are.
type sources struct{ *node }

// Resolve implements importtask.Sources.
func (sources) Resolve(_ context.Context, req source.Request) (source.Location, error) {
	return source.Location{Kind: source.Embedded, Bucket: req.Bucket, Key: req.Key}, nil
}

// MayRead implements importtask.Sources.
func (sources) MayRead(context.Context, iam.Principal, source.Location, policy.Context) error {
	return nil
}

// MayDecrypt implements importtask.Sources.
func (sources) MayDecrypt(context.Context, iam.Principal, source.Location, policy.Context) error {
	return nil
}

// Pin implements importtask.Sources.
func (s sources) Pin(ctx context.Context, id string, loc source.Location) (p source.Pin, err error) {
	err = s.atSource(ctx, "pin", func() error {
		s.world.pins.mu.Lock()
		defer s.world.pins.mu.Unlock()
		s.world.pins.held[id] = true
		p = source.Pin{Kind: loc.Kind, ID: id, Bucket: loc.Bucket, Key: loc.Key, Size: diskPages * pageBytes}
		return nil
	})
	return p, err
}

// Release implements importtask.Releaser.
func (s sources) Release(ctx context.Context, p source.Pin) error {
	return s.atSource(ctx, "release", func() error {
		s.world.pins.mu.Lock()
		defer s.world.pins.mu.Unlock()
		delete(s.world.pins.held, p.ID)
		return nil
	})
}

// Sweep implements importtask.PinSweeper.
func (s sources) Sweep(ctx context.Context, keep func(id string) bool) error {
	return s.atSource(ctx, "sweep pins", func() error {
		s.world.pins.mu.Lock()
		defer s.world.pins.mu.Unlock()
		for _, id := range slices.Sorted(maps.Keys(s.world.pins.held)) {
			if !keep(id) {
				delete(s.world.pins.held, id)
			}
		}
		return nil
	})
}

// Open implements importtask.Opener.
func (s sources) Open(ctx context.Context, p source.Pin) (source.Object, error) {
	l, err := parseLayout(p.Key)
	return &object{s, ctx, l, p.Size}, err
}

// object is a raw disk that knows its holes.
type object struct {
	sources
	ctx    context.Context // of whoever reads it
	layout layout
	size   int64
}

func (o *object) Size() int64  { return o.size }
func (o *object) Check() error { return nil }
func (o *object) Close() error { return nil }

// ReadAt implements io.ReaderAt.
func (o *object) ReadAt(p []byte, off int64) (n int, err error) {
	err = o.atSource(o.ctx, "read source", func() error {
		for n < len(p) && off < o.size {
			from := off % block.Size
			src := palette[max(0, o.layout.at(off/block.Size))][from:]
			c := copy(p[n:min(len(p), n+int(o.size-off))], src)
			n, off = n+c, off+int64(c)
		}
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

// NextData implements diskimage.SparseReaderAt.
func (o *object) NextData(off int64) (start, end int64, err error) {
	for _, index := range slices.Sorted(maps.Keys(o.layout)) {
		if at := index * block.Size; at+block.Size > off {
			return max(at, off), at + block.Size, nil
		}
	}
	return o.size, o.size, nil
}

// errSource is what a source that is away answers.
var errSource = fmt.Errorf("the simulator's source is away: %w", source.ErrUnavailable)

// errStore is what a block store that is away answers.
var errStore = fmt.Errorf("the simulator's block store answers 503: %w", blockstore.ErrUnavailable)
