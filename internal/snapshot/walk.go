package snapshot

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/blockstore"
)

// RootPages calls fn with the ids of the pages under a root, some at a time. It
// is for gc, which knows roots by their files alone and needs no key of a domain.
func (l *Library) RootPages(ctx context.Context, f blockstore.File, fn func([]PageID) error) error {
	head := make([]byte, rootHead)
	if err := l.Store.ReadAt(ctx, f, head, 0); err != nil {
		return err
	}
	volume := int64(binary.LittleEndian.Uint64(head[8:])) // by itself: the MAC proves it below
	if volume < 0 || volume > maxVolume {
		return fmt.Errorf("%w: root of a volume of %d blocks", ErrCorrupt, volume)
	}
	r, err := l.root(ctx, f, head, volume)
	if err != nil {
		return err
	}
	ids := make([]PageID, 0, 256)
	for i, p := range r.pages {
		if ids = append(ids, p.id); len(ids) < cap(ids) && i < len(r.pages)-1 {
			continue
		}
		if err := fn(ids); err != nil {
			return err
		}
		ids = ids[:0]
	}
	return nil
}

// PageBlocks returns the ids of the blocks that a page names, for gc.
func (l *Library) PageBlocks(ctx context.Context, at PagePlace) ([]block.ID, error) {
	p, err := l.page(ctx, at, at.Blocks)
	if err != nil {
		return nil, err
	}
	return p.ids, nil
}
