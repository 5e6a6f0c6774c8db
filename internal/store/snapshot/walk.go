package snapshot

import (
	"cmp"
	"context"
	"errors"

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

// Uses reports whether anything of what a root names, or the root, lies in one of some
// files. The error is that of a root or page that can't be read.
func (l *Library) Uses(ctx context.Context, root blockstore.File, files map[blockstore.FileID]bool) (uses bool, err error) {
	if files[root.ID] {
		return true, nil
	}
	_, err = l.RootPages(ctx, root, func(ids []PageID) error {
		at, err := l.Index.LocatePages(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			place, ok := at[id]
			if uses = uses || !ok || files[place.File]; uses {
				return errFound
			}
			if uses, err = l.pageUses(ctx, place, files); err != nil || uses {
				return cmp.Or(err, errFound)
			}
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return uses, err
}

// errFound ends a walk.
var errFound = errors.New("snapshot: found")

func (l *Library) pageUses(ctx context.Context, place PagePlace, files map[blockstore.FileID]bool) (bool, error) {
	ids, err := l.PageBlocks(ctx, place)
	if err != nil {
		return false, err
	}
	at, err := l.Store.Catalog.Locate(ctx, ids)
	for _, id := range ids {
		if where, ok := at[id]; err == nil && (!ok || files[where.File.ID]) {
			return true, nil
		}
	}
	return false, err
}
