package ingest

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// Sink takes the blocks of one range. snapshot.RangeWriter implements it. All
// methods may be called concurrently; a goroutine has one slot at a time, which it
// puts or returns.
type Sink interface {
	// Slot returns a buffer for one block, and waits while there is none. Its
	// contents are those of an earlier block.
	Slot(ctx context.Context) (*blockstore.Slot, error)
	// Put takes the slot as the block at index, even when it returns an error.
	// Every index is put at most once.
	Put(ctx context.Context, index int64, s *blockstore.Slot) error
	// Return gives back a slot that was not put.
	Return(s *blockstore.Slot)
	// Lose gives up a slot that is written to by what never ends, or may be: it is never
	// used again.
	Lose(s *blockstore.Slot)
}

// Options say how a range is ingested.
type Options struct {
	PageBytes int64    // as in PlanOptions
	Workers   *Workers // shared by the ranges of a node
	// Progress is called concurrently with what was done since the last call:
	// Source, Done and Zero.
	Progress func(Counts)
}

// windowBlocks is how many blocks a worker takes at a time: 4 MiB of disk, so that
// its reads are large and the last workers of a range end soon after each other.
const windowBlocks = 8

// Run ingests range r of d into w. When it returns, nothing is put into w any more, and no
// worker is left but those whose decoder does not come to an end, which is a
// *work.StuckError. A panic of the decoder is an error, a *work.PanicError.
func Run(ctx context.Context, d diskimage.Disk, r Range, w Sink, opts Options) error {
	first := r.First * opts.PageBytes / block.Size
	end := min((r.First+r.Pages)*opts.PageBytes/block.Size, block.Count(d.Size()))
	var next atomic.Int64
	next.Store(first)
	g, gctx := errgroup.WithContext(ctx)
	for range cap(opts.Workers.turns) {
		g.Go(func() error {
			for {
				at := next.Add(windowBlocks) - windowBlocks
				if at >= end {
					return nil
				}
				if err := opts.Workers.do(gctx, job{d, w, opts.Progress}, at, min(windowBlocks, end-at)); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
