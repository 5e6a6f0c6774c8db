package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"
)

// Range is a run of whole pages that one unit of work fills, and the domain
// that its blocks go to.
type Range struct {
	First  int64 // index of the first page
	Pages  int64
	Domain blockstore.Domain
	Keys   *frame.Keys // the domain's
}

// Written is what a unit of work has made durable.
type Written struct {
	Packs      []blockstore.ClosedPack
	PagesFile  blockstore.File // zero when there are no pages
	PagesBytes int64
	Pages      []PagePlace // ascending
	Stats      blockstore.Stats
}

// RangeWriter fills one range of a pending snapshot, or a slice of it. Slot, Put and
// Return may be called concurrently. It remembers 40 bytes for each block.
type RangeWriter struct {
	lib   *Library
	lease work.Lease
	rng   Range
	packs *blockstore.PackWriter
	pages *pageWriter

	mu      sync.Mutex // guards entries
	entries []Block
}

// NewRangeWriter starts filling a range for the unit of the lease. ctx is the
// unit's. The writer ends with Finish or Abort.
func (l *Library) NewRangeWriter(ctx context.Context, lease work.Lease, r Range) *RangeWriter {
	return &RangeWriter{
		lib: l, lease: lease, rng: r,
		packs: l.Store.NewPackWriter(ctx, lease, r.Domain, r.Keys), pages: l.newPageWriter(lease, 0),
	}
}

// Slot returns memory for one block, waiting until there is some. A goroutine
// puts or returns a slot before it asks for the next one.
func (w *RangeWriter) Slot(ctx context.Context) (*blockstore.Slot, error) {
	return w.lib.Store.Slots.Get(ctx)
}

// Return gives back a slot that is not put.
func (w *RangeWriter) Return(s *blockstore.Slot) { w.lib.Store.Slots.Put(s) }

// Lose gives up a slot that is never put or returned.
func (w *RangeWriter) Lose(s *blockstore.Slot) { w.lib.Store.Slots.Lose(s) }

// Put stores the block in the slot's payload as the volume's block at index. An
// index may be put only once. The slot passes to the writer, even when Put returns
// an error.
func (w *RangeWriter) Put(ctx context.Context, index int64, s *blockstore.Slot) error {
	if p := index / PageBlocks; index < 0 || p < w.rng.First || p >= w.rng.First+w.rng.Pages {
		w.Return(s)
		return fmt.Errorf("snapshot: block %d is not in pages [%d, +%d)", index, w.rng.First, w.rng.Pages)
	}
	id, err := w.packs.Add(ctx, s)
	if err != nil {
		return fmt.Errorf("storing block %d: %w", index, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries = append(w.entries, Block{index, id})
	return nil
}

// Stats says what was done with blocks so far.
func (w *RangeWriter) Stats() blockstore.Stats { return w.packs.Stats() }

// Finish writes what is left and the pages, and returns when everything is durable.
// No Put may be running. After an error it has aborted the writer itself: no file
// is left.
func (w *RangeWriter) Finish(ctx context.Context) (Written, error) {
	var out Written
	var perr error
	var wg sync.WaitGroup
	wg.Go(func() { out.Packs, out.Stats, perr = w.packs.Finish(ctx) })
	err := w.writePages(ctx, &out) // while the packs are finished
	wg.Wait()
	if err = errors.Join(err, perr); err != nil {
		w.drop(context.WithoutCancel(ctx), out.Packs)
		return Written{}, fmt.Errorf("finishing pages [%d, +%d): %w", w.rng.First, w.rng.Pages, err)
	}
	return out, nil
}

// writePages writes the pages that name blocks.
func (w *RangeWriter) writePages(ctx context.Context, out *Written) error {
	slices.SortFunc(w.entries, func(a, b Block) int { return cmp.Compare(a.Index, b.Index) })
	w.pages.size = min(w.rng.Pages, int64(len(w.entries))) * int64(pageSize(PageBlocks))
	for rest := w.entries; len(rest) > 0; {
		index := rest[0].Index / PageBlocks
		n := 1
		for n < len(rest) && rest[n].Index/PageBlocks == index {
			if rest[n].Index == rest[n-1].Index {
				return fmt.Errorf("snapshot: block %d was put twice", rest[n].Index)
			}
			n++
		}
		if err := w.pages.write(ctx, index, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	pages, err := w.pages.added(ctx)
	out.PagesFile, out.PagesBytes, out.Pages = pages.File, pages.Bytes, pages.Pages
	return err
}

// drop removes what a Finish that fails has made, which no caller knows of.
func (w *RangeWriter) drop(ctx context.Context, packs []blockstore.ClosedPack) {
	w.Abort()
	for _, p := range packs {
		_ = w.lib.Store.Backend.Remove(ctx, p.File.Name()) // if it stays, it has a row, so gc finds it
	}
	w.pages.remove(ctx)
}

// Abort drops everything. After Finish it does nothing. No Put may be running.
func (w *RangeWriter) Abort() {
	w.packs.Abort()
	w.pages.abort()
}
