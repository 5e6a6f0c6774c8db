package footprint

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// walk is one measurement.
type walk struct {
	Config
	rec      snapshot.Record
	progress func(done, total int64)
	sample   *sample
	own      map[snapshot.PageID]*ownPage
	seen     map[snapshot.PageID]struct{} // pages of others that were read, at most as many as Sample
	damaged  []string
}

// ownPage is a page of the snapshot.
type ownPage struct {
	bytes  int64 // 0: it can't be read
	shared bool
}

// batch is how many pages are dealt with at a time.
const batch = 256

// gather reads the snapshot's own pages.
func (w *walk) gather(ctx context.Context) error {
	domain, err := w.Pages(ctx, w.rec.Root, func(ids []snapshot.PageID) error {
		var fresh []snapshot.PageID
		for _, id := range ids {
			if w.own[id] == nil {
				w.own[id] = &ownPage{}
				fresh = append(fresh, id)
			}
		}
		bad, err := w.read(ctx, fresh, func(at snapshot.PagePlace, ids []block.ID) {
			w.own[at.ID].bytes = at.Len
			for _, id := range ids {
				w.sample.add(id)
			}
		})
		w.note(w.rec.ID, bad)
		return err
	})
	if err == nil && domain != w.rec.Domain {
		err = fmt.Errorf("its root is of domain %q, its row of %q", domain, w.rec.Domain)
	}
	return err
}

// pending looks at what snapshots that are being made name.
func (w *walk) pending(ctx context.Context) error {
	if err := w.Store.RangePages(ctx, w.rec.Domain, w.rec.ID, func(ids []snapshot.PageID) error {
		bad, err := w.named(ctx, ids)
		if err == nil && len(bad) > 0 {
			bad, err = w.stillPending(ctx, bad)
		}
		w.note("a snapshot that is being made", bad)
		return err
	}); err != nil {
		return err
	}
	return w.Store.DraftBlocks(ctx, w.rec.Domain, w.rec.ID, func(ids []block.ID) error {
		w.sample.share(ids)
		return nil
	})
}

// stillPending returns those of the pages that can't be read that are named as before:
// the others were deleted meanwhile.
func (w *walk) stillPending(ctx context.Context, bad map[snapshot.PageID]error) (map[snapshot.PageID]error, error) {
	still := map[snapshot.PageID]error{}
	err := w.Store.RangePages(ctx, w.rec.Domain, w.rec.ID, func(ids []snapshot.PageID) error {
		for _, id := range ids {
			if err, ok := bad[id]; ok {
				still[id] = err
			}
		}
		return nil
	})
	return still, err
}

// roots looks at what the domain's other roots name.
func (w *walk) roots(ctx context.Context) error {
	roots, err := w.Store.Roots(ctx, w.rec.Domain, w.rec.Root.ID)
	if err != nil {
		return err
	}
	var done, total int64
	for _, r := range roots {
		total += r.pages()
	}
	for _, r := range roots {
		if err := w.root(ctx, r, func(pages int64) { w.progress(done+min(pages, r.pages()), total) }); err != nil {
			return err
		}
		done += r.pages()
	}
	w.progress(total, total)
	return nil
}

// pages returns about how many pages are under a root: each takes 44 bytes of it.
func (r Root) pages() int64 { return (r.Bytes + 43) / 44 }

// root looks at what another root names, and calls progress with how many pages of it
// have been dealt with.
func (w *walk) root(ctx context.Context, r Root, progress func(pages int64)) error {
	bad := map[snapshot.PageID]error{}
	var failed error // of the store
	pages := int64(0)
	domain, err := w.Pages(ctx, r.File, func(ids []snapshot.PageID) error {
		var some map[snapshot.PageID]error
		some, failed = w.named(ctx, ids)
		maps.Copy(bad, some)
		pages += int64(len(ids))
		progress(pages)
		return failed
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failed != nil:
		return failed
	case err == nil && (domain != w.rec.Domain || len(bad) == 0):
		return nil
	}
	roots, serr := w.Store.Roots(ctx, w.rec.Domain, w.rec.Root.ID)
	if serr != nil || !slices.ContainsFunc(roots, func(now Root) bool { return now.File.ID == r.File.ID }) {
		return serr // it was deleted meanwhile
	}
	whose := r.Snapshot
	if whose == "" {
		whose = r.File.Name()
	}
	if err != nil {
		w.say("%s: %v", whose, err)
	}
	w.note(whose, bad)
	return nil
}

// named notes that something else names pages, and returns those that can't be read.
func (w *walk) named(ctx context.Context, ids []snapshot.PageID) (bad map[snapshot.PageID]error, err error) {
	var fresh []snapshot.PageID
	for _, id := range ids {
		if p := w.own[id]; p != nil {
			p.shared = true
			continue
		}
		if _, ok := w.seen[id]; ok {
			continue
		}
		if len(w.seen) < w.Sample {
			w.seen[id] = struct{}{}
		}
		fresh = append(fresh, id)
	}
	return w.read(ctx, fresh, func(_ snapshot.PagePlace, ids []block.ID) { w.sample.share(ids) })
}

// again reads the pages that the snapshot shares: their blocks are shared.
func (w *walk) again(ctx context.Context) error {
	var shared []snapshot.PageID
	for id, p := range w.own {
		if p.shared && p.bytes > 0 {
			shared = append(shared, id)
		}
	}
	for some := range slices.Chunk(shared, batch) {
		bad, err := w.read(ctx, some, func(_ snapshot.PagePlace, ids []block.ID) { w.sample.share(ids) })
		w.note(w.rec.ID, bad)
		if err != nil {
			return err
		}
	}
	return nil
}

// locateBatch is how many blocks are looked up at a time.
const locateBatch = 4096

// locate looks up how long the frames of the gathered blocks are.
func (w *walk) locate(ctx context.Context) error {
	missing, wrong := 0, 0
	for ids := range slices.Chunk(w.sample.ids(), locateBatch) {
		at, err := w.Locate(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			switch place, ok := at[id]; {
			case !ok:
				missing++
			case place.Check() != nil:
				wrong++
			default:
				w.sample.measure(id, place.Len)
			}
		}
	}
	if wrong > 0 {
		w.say("%s: %d of the %d blocks that were looked up lie, says the catalog, where no frame can", w.rec.ID, wrong, len(w.sample.blocks))
	}
	if missing > 0 {
		w.say("%s: %d of the %d blocks that were looked up are not in the catalog", w.rec.ID, missing, len(w.sample.blocks))
	}
	return nil
}

// maxDamaged bounds Footprint.Damaged.
const maxDamaged = 100

// note notes pages that can't be read.
func (w *walk) note(whose string, bad map[snapshot.PageID]error) {
	for id, err := range bad {
		w.say("%s: page %x: %v", whose, id[:8], err)
	}
}

func (w *walk) say(format string, a ...any) {
	if len(w.damaged) < maxDamaged {
		w.damaged = append(w.damaged, fmt.Sprintf(format, a...))
	}
}
