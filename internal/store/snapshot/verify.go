package snapshot

import (
	"context"
	"fmt"

	"github.com/diskport/diskport/internal/block"
)

// Verify reads every block of a completed snapshot and checks it against its ID,
// calling progress now and then with how many blocks were read, and of how many. An
// error says what is damaged. The snapshot may be deleted meanwhile: it is held.
func (s *Shelf) Verify(ctx context.Context, rec Record, progress func(done, total int64)) error {
	done := int64(0)
	err := s.Scan(ctx, rec, "verify", 0, func(Block, []byte, block.Digest) error { // every read proves its block
		if done++; done%windowBlocks == 0 || done == rec.Blocks {
			progress(done, rec.Blocks)
		}
		return nil
	})
	if err == nil && done != rec.Blocks {
		err = fmt.Errorf("snapshot %s: its pages name %d blocks, its root %d", rec.ID, done, rec.Blocks)
	}
	return err
}

// Scan is Blocks.Scan of a completed snapshot, which may be deleted meanwhile: it is
// held. why says to people what is reading.
func (s *Shelf) Scan(ctx context.Context, rec Record, why string, from int64, fn func(Block, []byte, block.Digest) error) error {
	b, release, err := s.OpenHeld(ctx, rec, why)
	if err != nil {
		return err
	}
	defer release()
	return b.Scan(ctx, from, fn)
}
