package snapshot

import (
	"context"
	"fmt"
	"iter"

	"golang.org/x/sync/errgroup"

	"github.com/diskport/diskport/internal/block"
)

// verifyReaders is how many blocks are read at a time.
const verifyReaders = 3

// Verify reads every block of a completed snapshot and checks it against its ID,
// calling progress now and then with how many blocks were read, and of how many. An
// error says what is damaged. The snapshot may be deleted meanwhile: it is held.
func (s *Shelf) Verify(ctx context.Context, rec Record, progress func(done, total int64)) error {
	blocks, release, err := s.OpenHeld(ctx, rec, "verify")
	if err != nil {
		return err
	}
	defer release()
	batches := make(chan []Block, verifyReaders)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(batches)
		done := int64(0)
		for some, err := range blocks.batches(gctx) {
			if err != nil {
				return err
			}
			select {
			case batches <- some:
			case <-gctx.Done():
				return gctx.Err()
			}
			done += int64(len(some))
			progress(done, blocks.Count())
		}
		if done != blocks.Count() {
			return fmt.Errorf("snapshot %s: its pages name %d blocks, its root %d", rec.ID, done, blocks.Count())
		}
		return nil
	})
	for range verifyReaders {
		g.Go(func() error { return blocks.prove(gctx, batches) })
	}
	return g.Wait()
}

// batches returns the blocks of the snapshot, as many at a time as one read may have.
func (b *Blocks) batches(ctx context.Context) iter.Seq2[[]Block, error] {
	return func(yield func([]Block, error) bool) {
		var some []Block
		for x, err := range b.From(ctx, 0) {
			if err != nil {
				yield(nil, err)
				return
			}
			if some = append(some, x); len(some) == maxRun {
				if !yield(some, nil) {
					return
				}
				some = nil
			}
		}
		if len(some) > 0 {
			yield(some, nil)
		}
	}
}

// prove reads the blocks of the batches; every read proves its block.
func (b *Blocks) prove(ctx context.Context, batches <-chan []Block) error {
	m := newRunBuffer()
	for some := range batches {
		// An error names snapshot and block.
		if err := b.each(ctx, some, m, func(Block, []byte, block.Digest) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}
