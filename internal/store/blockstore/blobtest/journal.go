package blobtest

import (
	"context"
	"slices"
	"sync"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/work"
)

// Step is something that was done to a back end or a catalog.
type Step struct {
	Op   string // "row", "check", "locate", "claim"; "create", "write", "close", "abort", "remove"
	Name string // of the file, where the step has one
}

// Journal records the steps done through what it wraps, once they are done and
// have succeeded. It may be used concurrently.
type Journal struct {
	// Before, if set, runs before each step: it counts, waits, or makes the step
	// fail with its error.
	Before func(Step) error

	mu    sync.Mutex
	steps []Step
}

// Note enters a step.
func (j *Journal) Note(op, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steps = append(j.steps, Step{op, name})
}

// Steps returns what was done, in order.
func (j *Journal) Steps() []Step {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.steps)
}

// do runs a step between Before and Note.
func (j *Journal) do(op, name string, run func() error) error {
	if j.Before != nil {
		if err := j.Before(Step{op, name}); err != nil {
			return err
		}
	}
	if err := run(); err != nil {
		return err
	}
	j.Note(op, name)
	return nil
}

// Backend returns b with its steps recorded. Reading and setting aside are no
// steps.
func (j *Journal) Backend(b Backend) Backend { return journalBackend{b, j} }

type journalBackend struct {
	Backend
	j *Journal
}

func (b journalBackend) Create(ctx context.Context, name string, size int64) (w blockstore.Writer, err error) {
	err = b.j.do("create", name, func() error {
		w, err = b.Backend.Create(ctx, name, size)
		return err
	})
	return journalWriter{w, name, b.j}, err
}

func (b journalBackend) Remove(ctx context.Context, name string) error {
	return b.j.do("remove", name, func() error { return b.Backend.Remove(ctx, name) })
}

type journalWriter struct {
	w    blockstore.Writer
	name string
	j    *Journal
}

func (w journalWriter) WriteAt(ctx context.Context, bufs [][]byte, off int64) error {
	return w.j.do("write", w.name, func() error { return w.w.WriteAt(ctx, bufs, off) })
}

func (w journalWriter) Close(ctx context.Context, size int64) error {
	return w.j.do("close", w.name, func() error { return w.w.Close(ctx, size) })
}

func (w journalWriter) Abort() error { return w.j.do("abort", w.name, w.w.Abort) }

// Catalog returns c with its steps recorded.
func (j *Journal) Catalog(c blockstore.Catalog) blockstore.Catalog { return journalCatalog{c, j} }

type journalCatalog struct {
	blockstore.Catalog
	j *Journal
}

func (c journalCatalog) CreateFile(ctx context.Context, l work.Lease, f blockstore.File, u blockstore.KeyUse) error {
	return c.j.do("row", f.Name(), func() error { return c.Catalog.CreateFile(ctx, l, f, u) })
}

func (c journalCatalog) CheckLease(ctx context.Context, l work.Lease) error {
	return c.j.do("check", "", func() error { return c.Catalog.CheckLease(ctx, l) })
}

func (c journalCatalog) Locate(ctx context.Context, ids []block.ID) (at map[block.ID]blockstore.Location, err error) {
	err = c.j.do("locate", "", func() error {
		at, err = c.Catalog.Locate(ctx, ids)
		return err
	})
	return at, err
}

func (c journalCatalog) Claim(ctx context.Context, ids []block.ID) (claimed []block.ID, err error) {
	err = c.j.do("claim", "", func() error {
		claimed, err = c.Catalog.Claim(ctx, ids)
		return err
	})
	return claimed, err
}
