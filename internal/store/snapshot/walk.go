package snapshot

import (
	"context"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// RootPages calls fn with the ids of the pages under a root, a batch at a time, and
// returns the domain of its blocks. It is for gc, which knows roots by their files
// alone and needs no key of a domain.
func (l *Library) RootPages(ctx context.Context, f blockstore.File, fn func([]PageID) error) (domain string, err error) {
	r, err := l.loneRoot(ctx, f)
	if err != nil {
		return "", err
	}
	ids := make([]PageID, 0, 256)
	for i, p := range r.pages {
		if ids = append(ids, p.id); len(ids) < cap(ids) && i < len(r.pages)-1 {
			continue
		}
		if err := fn(ids); err != nil {
			return "", err
		}
		ids = ids[:0]
	}
	return r.domain, nil
}

// PageBlocks returns the ids of the blocks that a page names, for gc.
func (l *Library) PageBlocks(ctx context.Context, at PagePlace) ([]block.ID, error) {
	p, err := l.page(ctx, at, at.Blocks)
	if err != nil {
		return nil, err
	}
	return p.ids, nil
}
