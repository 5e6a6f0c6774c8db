package gc

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// window is the candidates that a pass deals with.
type window struct {
	pass    int64
	pages   map[snapshot.PageID]bool // true: referenced
	blocks  map[block.ID]bool        // likewise
	bad     map[snapshot.PageID]bool // of pages: can't be read
	domains map[string]bool          // whose blocks are in doubt; "": all
	lost    bool                     // all pages are in doubt
}

func newWindow(pass int64) *window {
	return &window{
		pass: pass, pages: map[snapshot.PageID]bool{}, blocks: map[block.ID]bool{},
		bad: map[snapshot.PageID]bool{}, domains: map[string]bool{},
	}
}

// takePages adds candidates above after, with the blocks that they name, until there
// are about limit of these. more is false when there are no further ones.
func (c *Collector) takePages(ctx context.Context, w *window, after *snapshot.PageID, limit int) (more bool, err error) {
	n := max(1, limit/snapshot.PageBlocks)
	pages, err := c.Store.TakePages(ctx, w.pass, *after, n)
	for _, p := range pages {
		*after = p.ID
		w.pages[p.ID] = false
		blocks, err := c.Blocks(ctx, p)
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case err != nil:
			there, lerr := c.Store.LocatePages(ctx, []snapshot.PageID{p.ID})
			if lerr != nil {
				return false, lerr
			}
			if _, ok := there[p.ID]; !ok { // another cycle has removed it
				delete(w.pages, p.ID)
				continue
			}
			w.bad[p.ID] = true
		}
		for _, id := range blocks {
			w.blocks[id] = false
		}
	}
	return len(pages) == n, err
}

// takeBlocks adds at most limit candidates above after.
func (c *Collector) takeBlocks(ctx context.Context, w *window, after *block.ID, limit int) (more bool, err error) {
	blocks, err := c.Store.TakeBlocks(ctx, w.pass, *after, limit)
	for _, id := range blocks {
		*after = id
		w.blocks[id] = false
	}
	return len(blocks) == limit, err
}

// unread reports whether one of the pages can't be read.
func (w *window) unread(pages []snapshot.PageID) bool {
	return slices.ContainsFunc(pages, func(id snapshot.PageID) bool { return w.bad[id] })
}

// unreferenced returns what marking did not find to be referenced.
func (w *window) unreferenced() ([]snapshot.PageID, []block.ID) {
	return keysOf(w.pages, false), keysOf(w.blocks, false)
}

func (w *window) referenced() ([]snapshot.PageID, []block.ID) {
	return keysOf(w.pages, true), keysOf(w.blocks, true)
}

func keysOf[K comparable](m map[K]bool, v bool) (keys []K) {
	for k, is := range m {
		if is == v {
			keys = append(keys, k)
		}
	}
	return keys
}

// doubt returns what must not be freed.
func (w *window) doubt() Doubt {
	return Doubt{Pages: w.lost, Blocks: w.domains[""], Domains: slices.Sorted(maps.Keys(w.domains))}
}

// walk is one walk for the marking of a window.
type walk struct {
	c    *Collector
	w    *window
	seen map[snapshot.PageID]struct{}

	found   Report          // what is damaged
	domains map[string]bool // as in window
	lost    bool            // likewise
}

// maxWalks is how often a marking looks whether what it takes for damaged is.
const maxWalks = 3

// mark walks everything that is referenced, and marks those of it that are in the
// window. What can't be read may be what another cycle has just removed, since its
// snapshot was deleted after this walk had read the roots: then the next walk does not
// meet it. What the walk before met too is damaged, or the last one of an earlier marking, so
// that damage that stands costs no further walk.
func (c *Collector) mark(ctx context.Context, w *window, r *Report) error {
	var m *walk
	known := c.damage.Load()
	for range maxWalks {
		m = &walk{c: c, w: w, seen: map[snapshot.PageID]struct{}{}, domains: map[string]bool{}}
		if err := m.all(ctx); err != nil {
			return err
		}
		if known != nil && !slices.ContainsFunc(m.found.Damaged, func(text string) bool { return !slices.Contains(*known, text) }) {
			break
		}
		if known = &m.found.Damaged; len(*known) == 0 {
			break
		}
	}
	c.damage.Store(&m.found.Damaged)
	for _, text := range m.found.Damaged {
		r.damaged("%s", text)
	}
	w.lost = w.lost || m.lost
	maps.Copy(w.domains, m.domains)
	return nil
}

// all walks drafts first, then roots.
func (m *walk) all(ctx context.Context) error {
	err := m.c.Store.RangePages(ctx, func(pages []RangePage) error {
		byDomain := map[string][]snapshot.PageID{}
		for _, p := range pages {
			byDomain[p.Domain] = append(byDomain[p.Domain], p.ID)
		}
		for domain, ids := range byDomain {
			if err := m.markPages(ctx, domain, ids); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := m.c.Store.DraftBlocks(ctx, func(ids []block.ID) error { m.markBlocks(ids); return nil }); err != nil {
		return err
	}
	return m.c.Store.Roots(ctx, func(root Root) error { return m.markRoot(ctx, root) })
}

func (m *walk) markRoot(ctx context.Context, root Root) error {
	if !root.Named {
		m.found.damaged("%s: no snapshot names it, and none that did was deleted", root.File.Name())
	}
	var pages []snapshot.PageID
	domain, err := m.c.Pages(ctx, root.File, func(ids []snapshot.PageID) error {
		pages = append(pages, ids...)
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, blockstore.ErrUnavailable):
		return err
	case err != nil:
		m.found.damaged("%s: %v", root.File.Name(), err)
		// A root that no row names would matter only if two things were damaged, so it
		// casts no doubt on anything: only its own row may be wrong.
		if root.Named {
			m.lost = true
			m.domains[root.Domain] = true
		}
		return nil
	}
	return m.markPages(ctx, domain, pages)
}

// markPages marks pages and what they name, unless this walk has marked them
// already.
func (m *walk) markPages(ctx context.Context, domain string, ids []snapshot.PageID) error {
	var fresh []snapshot.PageID
	for _, id := range ids {
		if _, ok := m.seen[id]; ok {
			continue
		}
		m.seen[id] = struct{}{}
		fresh = append(fresh, id)
		if _, ok := m.w.pages[id]; ok {
			m.w.pages[id] = true
		}
	}
	for some := range slices.Chunk(fresh, batch) {
		at, err := m.c.Store.LocatePages(ctx, some)
		if err != nil {
			return err
		}
		for _, id := range some {
			if err := m.markPage(ctx, domain, id, at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *walk) markPage(ctx context.Context, domain string, id snapshot.PageID, at map[snapshot.PageID]snapshot.PagePlace) error {
	place, ok := at[id]
	if !ok {
		m.found.damaged("page %x of domain %q: it is named, but has no row", id, domain)
		m.domains[domain] = true
		return nil
	}
	ids, err := m.c.Blocks(ctx, place)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, blockstore.ErrUnavailable):
		return err
	case err != nil:
		m.found.damaged("page %x of domain %q: %v", id, domain, err)
		m.domains[domain] = true
	}
	m.markBlocks(ids)
	return nil
}

func (m *walk) markBlocks(ids []block.ID) {
	for _, id := range ids {
		if _, ok := m.w.blocks[id]; ok {
			m.w.blocks[id] = true
		}
	}
}
