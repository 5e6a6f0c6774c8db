package snapshot

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/diskport/diskport/internal/store/frame"
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
	indexes := make(chan int64, verifyReaders)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(indexes)
		done := int64(0)
		for b, err := range blocks.From(gctx, 0) {
			if err != nil {
				return err
			}
			select {
			case indexes <- b.Index:
			case <-gctx.Done():
				return gctx.Err()
			}
			done++
			progress(done, blocks.Count())
		}
		if done != blocks.Count() {
			return fmt.Errorf("snapshot %s: its pages name %d blocks, its root %d", rec.ID, done, blocks.Count())
		}
		return nil
	})
	for range verifyReaders {
		g.Go(func() error { return blocks.prove(gctx, indexes) })
	}
	return g.Wait()
}

// prove reads the blocks at the indexes; every read proves its block.
func (b *Blocks) prove(ctx context.Context, indexes <-chan int64) error {
	buf := make([]byte, frame.Size)
	for i := range indexes {
		if _, _, err := b.Get(ctx, i, buf); err != nil {
			return err // names snapshot and block
		}
	}
	return nil
}
