package ingest

import (
	"context"

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
	// Gather has plain data read a window at a time, as coded data is, instead of a block at a
	// time to where it stays: each read is a request to a server.
	Gather bool
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
	at := make(chan int64, windowsAtOnce)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(at)
		return opts.Workers.find(gctx, d, first, end, at)
	})
	for range cap(opts.Workers.turns) {
		g.Go(func() error {
			for at := range at {
				if err := opts.Workers.do(gctx, job{d, w, opts.Gather, opts.Progress}, at, min(windowBlocks, end-at)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// windowsAtOnce is how many windows are looked for at a time.
const windowsAtOnce = 256

// find sends the first blocks of the windows that hold Data to at, in ascending order: a
// disk may be nearly empty for millions of windows.
func (ws *Workers) find(ctx context.Context, d diskimage.Disk, first, end int64, at chan<- int64) error {
	for first < end {
		found, err := limited(ctx, ws, "looking for data of the disk", func(ctx context.Context) (windows, error) {
			return nextWindows(ctx, d, first, end)
		})
		if err != nil {
			return err
		}
		for _, start := range found.starts {
			select {
			case at <- start:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		first = found.next
	}
	return nil
}

// windows are windows with Data, by their first blocks, and where to look for more.
type windows struct {
	starts []int64
	next   int64
}

// nextWindows finds the next windows, the first of which would begin at from.
func nextWindows(ctx context.Context, d diskimage.Disk, from, end int64) (windows, error) {
	found := windows{next: from}
	off, n := from*block.Size, 0
	for run, err := range runs(d, off, min(end*block.Size, d.Size())-off) {
		if n++; err == nil && n%1024 == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return found, err
		}
		if run.Kind != diskimage.Data {
			continue
		}
		lo, hi := max(run.Off, off)/block.Size, min((run.Off+run.Len-1)/block.Size, end-1)
		for at := max(from+(lo-from)/windowBlocks*windowBlocks, found.next); at <= hi; at += windowBlocks {
			if len(found.starts) == windowsAtOnce {
				return found, nil
			}
			found.starts, found.next = append(found.starts, at), at+windowBlocks
		}
	}
	found.next = end
	return found, nil
}
