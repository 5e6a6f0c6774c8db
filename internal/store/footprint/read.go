package footprint

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// readers is how many pages are read at a time.
const readers = 4

// errMissing reports a page that is named and not in the catalog.
var errMissing = errors.New("it is named, but not in the catalog")

// read reads pages, calls use with one at a time, and returns those that can't be read.
func (w *walk) read(ctx context.Context, ids []snapshot.PageID, use func(snapshot.PagePlace, []block.ID)) (bad map[snapshot.PageID]error, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	at, err := w.Store.LocatePages(ctx, ids)
	if err != nil {
		return nil, err
	}
	bad = map[snapshot.PageID]error{}
	var mu sync.Mutex // guards bad and what use changes
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for _, id := range ids {
		g.Go(func() error {
			blocks, err := w.page(gctx, id, at)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case gctx.Err() != nil:
				return gctx.Err()
			case err != nil:
				bad[id] = err
			default:
				use(at[id], blocks)
			}
			return nil
		})
	}
	return bad, g.Wait()
}

// page reads a page at its place. It may have been moved since it was located: then it
// is looked for once more. Wherever it lies, it is equally long.
func (w *walk) page(ctx context.Context, id snapshot.PageID, at map[snapshot.PageID]snapshot.PagePlace) ([]block.ID, error) {
	place, ok := at[id]
	if !ok {
		return nil, errMissing
	}
	blocks, err := w.Blocks(ctx, place)
	if !errors.Is(err, blockstore.ErrNotExist) {
		return blocks, err
	}
	found, lerr := w.Store.LocatePages(ctx, []snapshot.PageID{id})
	if lerr != nil {
		return nil, lerr
	}
	if place, ok = found[id]; !ok {
		return nil, errMissing
	}
	return w.Blocks(ctx, place)
}
