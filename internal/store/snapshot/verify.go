package snapshot

import (
	"context"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// Reading is what came of reading a block of a snapshot, or of a page, which stands for
// all of its blocks.
type Reading struct {
	Page    int64
	PageID  PageID
	OfPage  bool                // the page can't be read; else it is about Block
	Missing int                 // of a page: how many blocks it names
	Block                       // of a block
	At      blockstore.Location // of a block: where it lies; zero if that is not known
	Err     error               // nil: it was read and proven
}

// Check reads every block that the snapshot has, and calls fn with what came of each,
// ascending, and at the end with the pages that can't be read. Blocks found damaged are marked,
// as by Get. Only an error of fn or ctx, or that the domain's keys can't be used, ends it.
func (b *Blocks) Check(ctx context.Context, fn func(Reading) error) error {
	var lost []Reading // written by the goroutine that plans, read when it has ended
	blocks := func(yield func(Block, error) bool) {
		for _, e := range b.root.pages {
			p, err := b.page(ctx, e)
			if ctx.Err() != nil {
				yield(Block{}, ctx.Err())
				return
			}
			if err != nil {
				lost = append(lost, Reading{Page: e.index, PageID: e.id, OfPage: true, Missing: e.blocks, Err: err})
				continue
			}
			for i, rank := range p.from(0) {
				if !yield(Block{e.index*PageBlocks + int64(i), p.ids[rank]}, nil) {
					return
				}
			}
		}
	}
	err := b.scan(ctx, blocks, func(x Block, f *found) error {
		if f.err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		return fn(Reading{Page: x.Index / PageBlocks, Block: x, At: f.at, Err: f.err})
	})
	for _, r := range lost {
		if err != nil {
			break
		}
		err = fn(r)
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
