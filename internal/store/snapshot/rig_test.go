package snapshot

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"
)

// index is a PageIndex in memory.
type index struct {
	mu    sync.Mutex
	pages map[PageID]PagePlace
	asked int // pages asked for
}

func (x *index) LocatePages(_ context.Context, ids []PageID) (map[PageID]PagePlace, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	found := map[PageID]PagePlace{}
	for _, id := range ids {
		x.asked++
		if at, ok := x.pages[id]; ok {
			found[id] = at
		}
	}
	return found, nil
}

// rig is a library in memory and what stands around it.
type rig struct {
	t       testing.TB
	lib     *Library
	backend *blobtest.Memory
	catalog *blobtest.Catalog
	journal *blobtest.Journal
	index   *index
	keys    map[string]*frame.Keys
	lease   work.Lease
}

func newRig(t testing.TB) *rig {
	t.Helper()
	slots, err := blockstore.NewSlots(12 * frame.Size)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewPageKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, backend: blobtest.NewMemory(), catalog: blobtest.NewCatalog(), journal: &blobtest.Journal{},
		index: &index{pages: map[PageID]PagePlace{}}, keys: map[string]*frame.Keys{},
		lease: work.Lease{Unit: work.Unit{ID: 1}, Attempt: 1},
	}
	for domain, c := range map[string]frame.Cipher{"dom-plain": frame.None, "dom-encrypted": frame.AES256GCM} {
		if r.keys[domain], err = frame.NewKeys(c); err != nil {
			t.Fatal(err)
		}
	}
	store := blockstore.NewStore(r.journal.Catalog(r.catalog), r.journal.Backend(r.backend), slots,
		blockstore.Options{Group: 2, PackBytes: 4*frame.Size + 8192})
	t.Cleanup(func() {
		if err := slots.Close(); err != nil {
			t.Error(err)
		}
	})
	keys := func(_ context.Context, domain string) (*frame.Keys, error) { return r.keys[domain], nil }
	r.lib = &Library{Store: store, Index: r.index, PageKey: key, Keys: keys}
	return r
}

func (r *rig) rng(domain string, first, pages int64) Range {
	return Range{First: first, Pages: pages, Domain: blockstore.Domain{ID: domain}, Keys: r.keys[domain]}
}

// contents says which blocks there are: index to what fills its block.
type contents map[int64]byte

// fill fills a block with what: blocks of equal what are equal.
func fill(p []byte, what byte) {
	clear(p)
	binary.LittleEndian.PutUint64(p, 0x0101010101010101*uint64(what))
	p[len(p)-1] = what
}

func (r *rig) put(w *RangeWriter, c contents) error {
	for _, i := range slices.Backward(slices.Sorted(maps.Keys(c))) {
		s, err := w.Slot(r.t.Context())
		if err != nil {
			return err
		}
		fill(s.Payload(), c[i])
		if err := w.Put(r.t.Context(), i, s); err != nil {
			return err
		}
	}
	return nil
}

// finished does what the event that finishes a range does.
func (r *rig) finished(w Written) {
	r.catalog.Insert(w.Packs...)
	r.index.mu.Lock()
	defer r.index.mu.Unlock()
	for _, p := range w.Pages {
		if _, ok := r.index.pages[p.ID]; !ok {
			r.index.pages[p.ID] = p
		}
	}
}

// write makes a draft of c in one range, and returns its pages.
func (r *rig) write(domain string, pages int64, c contents) Written {
	r.t.Helper()
	w := r.lib.NewRangeWriter(r.t.Context(), r.lease, r.rng(domain, 0, pages))
	defer w.Abort()
	if err := r.put(w, c); err != nil {
		r.t.Fatal(err)
	}
	out, err := w.Finish(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	r.finished(out)
	return out
}

// snapshot makes a completed snapshot of c on a volume of gib GiB.
func (r *rig) snapshot(id, domain string, gib int64, c contents) Record {
	r.t.Helper()
	out := r.write(domain, pagesOf(gib*block.PerGiB), c)
	rec := Record{ID: id, Domain: domain, VolumeSize: gib}
	root, err := r.lib.WriteRoot(r.t.Context(), r.lease, rec, out.Pages)
	if err != nil {
		r.t.Fatal(err)
	}
	rec.Root, rec.Blocks = root.File, root.Blocks
	return rec
}

func (r *rig) open(rec Record) *Blocks {
	r.t.Helper()
	b, err := r.lib.Open(r.t.Context(), rec)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}
