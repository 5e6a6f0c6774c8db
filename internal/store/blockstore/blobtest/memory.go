package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// Memory is a back end in memory. It may be used concurrently.
type Memory struct {
	mu       sync.Mutex
	files    map[string]*memoryFile
	aside    map[string]time.Time // of files, by name
	identity string
}

// memoryFile is guarded by its Memory's mu.
type memoryFile struct {
	in     *Memory
	name   string
	data   []byte
	closed bool
}

var _ Backend = (*Memory)(nil)

// NewMemory returns a back end without files.
func NewMemory() *Memory {
	return &Memory{files: map[string]*memoryFile{}, aside: map[string]time.Time{}}
}

// Create implements blockstore.Backend.
func (m *Memory) Create(ctx context.Context, name string, size int64) (blockstore.Writer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] != nil {
		return nil, fmt.Errorf("creating %s: it exists", name)
	}
	m.files[name] = &memoryFile{in: m, name: name, data: make([]byte, 0, min(size, 8<<20))}
	return m.files[name], ctx.Err()
}

// ReadAt implements blockstore.Backend.
func (m *Memory) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	m.mu.Lock()
	f := m.there(name)
	m.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case f == nil || !f.isClosed():
		return 0, fmt.Errorf("%w: %s", blockstore.ErrNotExist, name)
	}
	return bytes.NewReader(f.data).ReadAt(p, off) // a closed file never changes: Edit puts another in its place
}

// Remove implements blockstore.Backend.
func (m *Memory) Remove(ctx context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.there(name) != nil {
		delete(m.files, name)
	}
	return ctx.Err()
}

// List implements blockstore.Backend.
func (m *Memory) List(ctx context.Context, fn func(blockstore.Entry) error) error {
	for _, name := range m.Names() {
		m.mu.Lock()
		f, e := m.there(name), blockstore.Entry{Name: name}
		if f != nil && f.closed {
			e.Bytes, e.Closed = int64(len(f.data)), true
		}
		m.mu.Unlock()
		if f == nil {
			continue // removed meanwhile
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// there returns a file that is not set aside, or nil. It needs mu.
func (m *Memory) there(name string) *memoryFile {
	if _, aside := m.aside[name]; aside {
		return nil
	}
	return m.files[name]
}

// SetAside implements blockstore.Quarantine.
func (m *Memory) SetAside(ctx context.Context, name string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.there(name); f != nil && f.closed && ctx.Err() == nil {
		m.aside[name] = at
	}
	return ctx.Err()
}

// Purge implements blockstore.Quarantine.
func (m *Memory) Purge(ctx context.Context, before time.Time) (p blockstore.Purged, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, at := range m.aside {
		if at.Before(before) && ctx.Err() == nil {
			p.Files++
			p.Bytes += int64(len(m.files[name].data))
			delete(m.files, name)
			delete(m.aside, name)
		}
	}
	return p, ctx.Err()
}

// EachAside implements blockstore.Aside.
func (m *Memory) EachAside(ctx context.Context, fn func(string) error) error {
	for _, name := range m.AsideNames() {
		if err := fn(name); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// BringBack implements blockstore.Aside.
func (m *Memory) BringBack(ctx context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() == nil {
		delete(m.aside, name)
	}
	return ctx.Err()
}

// AsideNames returns the names of the files that are set aside, in their order.
func (m *Memory) AsideNames() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.aside))
}

// Identity implements blockstore.Identified.
func (m *Memory) Identity(ctx context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.identity, ctx.Err()
}

// SetIdentity implements blockstore.Identified.
func (m *Memory) SetIdentity(ctx context.Context, id string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.identity == "" && ctx.Err() == nil {
		m.identity = id
	}
	return m.identity, ctx.Err()
}

// Names returns the names of all files that are not set aside, in their order.
func (m *Memory) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.files {
		if m.there(name) != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Edit lets fn change a closed file's bytes, as damage would.
func (m *Memory) Edit(name string, fn func(data []byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := *m.files[name]
	f.data = fn(bytes.Clone(f.data))
	m.files[name] = &f
}

func (f *memoryFile) isClosed() bool {
	f.in.mu.Lock()
	defer f.in.mu.Unlock()
	return f.closed
}

func (f *memoryFile) WriteAt(ctx context.Context, bufs [][]byte, off int64) error {
	if !blockstore.Aligned(bufs, off) {
		return errors.New("misaligned write")
	}
	f.in.mu.Lock()
	defer f.in.mu.Unlock()
	if f.closed {
		return errors.New("writing to a closed file")
	}
	for _, p := range bufs {
		f.grow(off + int64(len(p)))
		off += int64(copy(f.data[off:], p))
	}
	return ctx.Err()
}

func (f *memoryFile) Close(ctx context.Context, size int64) error {
	f.in.mu.Lock()
	defer f.in.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.in.files[f.name] != f {
		return fmt.Errorf("closing %s: %w: it was removed", f.name, blockstore.ErrNotExist)
	}
	f.grow(size)
	f.data = f.data[:size]
	f.closed = true
	return nil
}

// grow makes the file at least size bytes long. Its memory may come with bytes
// behind its length: they are zeros, as nothing ever shortens an open file.
func (f *memoryFile) grow(size int64) {
	if size > int64(cap(f.data)) {
		f.data = append(make([]byte, 0, 2*size), f.data...)
	}
	f.data = f.data[:max(size, int64(len(f.data)))]
}

func (f *memoryFile) Abort() error {
	f.in.mu.Lock()
	defer f.in.mu.Unlock()
	if !f.closed && f.in.files[f.name] == f {
		delete(f.in.files, f.name)
	}
	return nil
}
