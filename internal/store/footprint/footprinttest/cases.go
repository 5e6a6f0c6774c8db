package footprinttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/footprint"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
)

func alone(t *testing.T, w *world) {
	// A block that it names twice is stored once.
	rec := w.snapshot(t, "1", []string{"a", "bbb"}, []string{"a", "cc"})
	w.expect(t, rec, footprint.Footprint{Blocks: 3, UniqueBlocks: 3, Unique: frameBytes("a", "bbb", "cc") + 2*pageBytes + rootBytes})
	w.Draft(t, "empty", w.domain)
	w.expect(t, w.publish(t, "empty"), footprint.Footprint{Unique: rootBytes})
}

func blocksInCommon(t *testing.T, w *world) {
	one := w.snapshot(t, "1", []string{"a", "bbb"}, []string{"cc"})
	two := w.snapshot(t, "2", []string{"cc", "dddd"})
	w.expect(t, one, footprint.Footprint{
		Blocks: 3, UniqueBlocks: 2, Shared: frameBytes("cc"), Unique: frameBytes("a", "bbb") + 2*pageBytes + rootBytes,
	})
	w.expect(t, two, footprint.Footprint{Blocks: 2, UniqueBlocks: 1, Shared: frameBytes("cc"), Unique: frameBytes("dddd") + pageBytes + rootBytes})
	w.Drop(t, "1")
	w.expect(t, two, footprint.Footprint{Blocks: 2, UniqueBlocks: 2, Unique: frameBytes("cc", "dddd") + pageBytes + rootBytes})
}

func pagesInCommon(t *testing.T, w *world) {
	common := []string{"a", "bb"}
	// One block of the common page is on a page of its own, too.
	one := w.snapshot(t, "1", common, []string{"a", "ccc"})
	w.snapshot(t, "2", []string{"dddd"}, common)
	w.expect(t, one, footprint.Footprint{
		Blocks: 3, UniqueBlocks: 1, Shared: frameBytes("a", "bb") + pageBytes, Unique: frameBytes("ccc") + pageBytes + rootBytes,
	})
}

func anotherDomain(t *testing.T, w *world) {
	one := w.snapshot(t, "1", []string{"a"})
	w.domain = "e"
	// They could not name the same block, so nothing of them is read.
	w.snapshot(t, "2", []string{"a", "b"})
	w.draft(t, "3", []string{"a", "c"})
	w.rotten[pageID([]string{"a", "b"})], w.rotten[pageID([]string{"a", "c"})] = errRotten, errRotten
	w.Draft(t, "4", "e")
	w.append(t, "4", "a")
	w.Begins(t, "5", "2")
	w.expect(t, one, footprint.Footprint{Blocks: 1, UniqueBlocks: 1, Unique: frameBytes("a") + pageBytes + rootBytes})
}

func aPendingSnapshot(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a", "bb"})
	w.draft(t, "2", []string{"bb", "ccc"})
	w.expect(t, rec, footprint.Footprint{Blocks: 2, UniqueBlocks: 1, Shared: frameBytes("bb"), Unique: frameBytes("a") + pageBytes + rootBytes})
	w.draft(t, "3", []string{"a", "bb"})
	w.expect(t, rec, footprint.Footprint{Blocks: 2, Shared: frameBytes("a", "bb") + pageBytes, Unique: rootBytes})
}

func appendsToADraft(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a", "bb"})
	w.Draft(t, "2", w.domain)
	w.append(t, "2", "bb")
	w.expect(t, rec, footprint.Footprint{Blocks: 2, UniqueBlocks: 1, Shared: frameBytes("bb"), Unique: frameBytes("a") + pageBytes + rootBytes})
}

func aDraftThatBeginsAsIt(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a", "bb"})
	w.Begins(t, "2", "1")
	w.expect(t, rec, footprint.Footprint{Blocks: 2, Shared: frameBytes("a", "bb") + pageBytes + rootBytes, Drafts: 1})
	// What it began as is gone, and kept: it shares with others.
	other := w.snapshot(t, "3", []string{"bb"})
	w.Drop(t, "1")
	w.expect(t, other, footprint.Footprint{Blocks: 1, Shared: frameBytes("bb"), Unique: pageBytes + rootBytes})
}

func aVolume(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a"})
	w.Volume(t, "1")
	w.Volume(t, "1")
	w.expect(t, rec, footprint.Footprint{Blocks: 1, Shared: frameBytes("a") + pageBytes + rootBytes, Volumes: 2})
	other := w.snapshot(t, "2", []string{"a", "bb"})
	w.Drop(t, "1")
	w.expect(t, other, footprint.Footprint{Blocks: 2, UniqueBlocks: 1, Shared: frameBytes("a"), Unique: frameBytes("bb") + pageBytes + rootBytes})
}

// holds: a reader only puts off what the deletion of its snapshot gives back; until
// then, others share with it.
func holds(t *testing.T, w *world) {
	one, two := w.snapshot(t, "1", []string{"a"}), w.snapshot(t, "2", []string{"a", "b"})
	h, err := w.Holds.Take(t.Context(), "1", time.Now().Add(time.Hour), "test")
	if err != nil {
		t.Fatal(err)
	}
	w.expect(t, one, footprint.Footprint{Blocks: 1, Shared: frameBytes("a"), Unique: pageBytes + rootBytes})
	w.Drop(t, "1")
	w.expect(t, two, footprint.Footprint{Blocks: 2, UniqueBlocks: 1, Shared: frameBytes("a"), Unique: frameBytes("b") + pageBytes + rootBytes})
	if err := w.Holds.Release(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	w.expect(t, two, footprint.Footprint{Blocks: 2, UniqueBlocks: 2, Unique: frameBytes("a", "b") + pageBytes + rootBytes})
}

// leavingsOfItself: the rows with which it was made are let go of in slices.
func leavingsOfItself(t *testing.T, w *world) {
	w.Slices(1)
	w.draft(t, "1", []string{"a"}, []string{"bb"})
	w.append(t, "1", "a", "bb")
	rec := w.publish(t, "1", []string{"a"}, []string{"bb"})
	want := footprint.Footprint{Blocks: 2, UniqueBlocks: 2, Unique: frameBytes("a", "bb") + 2*pageBytes + rootBytes}
	w.expect(t, rec, want)
	for w.LetGo(t, "1") {
	}
	w.expect(t, rec, want)
}

// leavingsOfOthers: until its turn comes, a row keeps what it names.
func leavingsOfOthers(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a", "bb"})
	w.Slices(1)
	w.draft(t, "2", []string{"c"}, []string{"bb"})
	w.Draft(t, "3", w.domain)
	w.append(t, "3", "dd", "a")
	w.Drop(t, "2")
	w.Drop(t, "3")
	w.expect(t, rec, footprint.Footprint{Blocks: 2, Shared: frameBytes("a", "bb"), Unique: pageBytes + rootBytes})
	for _, id := range []string{"2", "3"} {
		for w.LetGo(t, id) {
		}
	}
	w.expect(t, rec, footprint.Footprint{Blocks: 2, UniqueBlocks: 2, Unique: frameBytes("a", "bb") + pageBytes + rootBytes})
}

// names returns the damage that a page which fails so is.
func names(whose string, page []string, err error) string {
	id := pageID(page)
	return fmt.Sprintf("%s: page %x: %v", whose, id[:8], err)
}

func aRottenPage(t *testing.T, w *world) {
	bad := []string{"bb", "ccc"}
	rec := w.snapshot(t, "1", []string{"a"}, bad)
	w.rotten[pageID(bad)] = errRotten
	w.expect(t, rec, footprint.Footprint{
		Blocks: 1, UniqueBlocks: 1, Unique: frameBytes("a") + pageBytes + rootBytes, Damaged: []string{names("1", bad, errRotten)},
	})
}

func aRottenPageOfOthers(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a"})
	of, pending := []string{"b", "a"}, []string{"c", "a"}
	w.snapshot(t, "2", of, []string{"d"})
	w.draft(t, "3", pending)
	w.rotten[pageID(of)], w.rotten[pageID(pending)] = errRotten, errRotten
	w.expect(t, rec, footprint.Footprint{
		Blocks: 1, UniqueBlocks: 1, Unique: frameBytes("a") + pageBytes + rootBytes,
		Damaged: []string{names("a snapshot that is being made", pending, errRotten), names("2", of, errRotten)},
	})
}

func aRottenRoot(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a"})
	w.rotten[rec.Root.ID] = errRotten
	if _, err := w.measurer().Measure(t.Context(), rec, func(int64, int64) {}); !errors.Is(err, errRotten) {
		t.Errorf("got %v, want %v", err, errRotten)
	}
	delete(w.rotten, rec.Root.ID)
	w.roots[rec.Root.ID] = root{"e", nil}
	if _, err := w.measurer().Measure(t.Context(), rec, func(int64, int64) {}); err == nil || !strings.Contains(err.Error(), "domain") {
		t.Errorf("with a root of another domain: %v", err)
	}
}

func aRottenRootOfOthers(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a"})
	w.rotten[w.snapshot(t, "2", []string{"a"}).Root.ID] = errRotten
	w.expect(t, rec, footprint.Footprint{
		Blocks: 1, UniqueBlocks: 1, Unique: frameBytes("a") + pageBytes + rootBytes, Damaged: []string{"2: rotten"},
	})
}

func missingRows(t *testing.T, w *world) {
	lost := []string{"ccc"}
	rec := w.snapshot(t, "1", []string{"a", "bb"}, lost)
	w.Break.LoseBlock(t, blockID("bb"))
	w.Break.LosePage(t, pageID(lost))
	w.expect(t, rec, footprint.Footprint{
		Blocks: 2, UniqueBlocks: 2, Unique: frameBytes("a") + pageBytes + rootBytes,
		Damaged: []string{names("1", lost, errors.New("it is named, but not in the catalog")), "1: 1 of the 2 blocks that were looked up are not in the catalog"},
	})
}

// wrongLength is a catalog in which the row of a block has a length of its own.
type wrongLength struct {
	blockstore.Catalog
	id    block.ID
	units uint32
}

func (c wrongLength) Locate(ctx context.Context, ids []block.ID) (map[block.ID]blockstore.Location, error) {
	at, err := c.Catalog.Locate(ctx, ids)
	if l, ok := at[c.id]; ok {
		l.Len = c.units
		at[c.id] = l
	}
	return at, err
}

// aRottenRow: a length that no frame has is in none of the sums.
func aRottenRow(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a", "bb"})
	catalog := w.Catalog
	for _, units := range []uint32{0, frame.Size/blockstore.Align + 1, 1<<16 + 2, 1<<32 - 1} {
		w.Catalog = wrongLength{catalog, blockID("bb"), units}
		w.expect(t, rec, footprint.Footprint{
			Blocks: 2, UniqueBlocks: 2, Unique: frameBytes("a") + pageBytes + rootBytes,
			Damaged: []string{"1: 1 of the 2 blocks that were looked up lie, says the catalog, where no frame can"},
		})
	}
}

// aRootWithoutASnapshot: a row was lost, and gc marks from the root all the same.
func aRootWithoutASnapshot(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a"})
	w.snapshot(t, "2", []string{"a", "b"})
	w.Break.SetRoot(t, "2", 0)
	w.expect(t, rec, footprint.Footprint{Blocks: 1, Shared: frameBytes("a"), Unique: pageBytes + rootBytes})
}

func deletedMeanwhile(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a"})
	two, three := w.snapshot(t, "2", []string{"b"}), w.snapshot(t, "3", []string{"c"})
	w.onRoot = func(id blockstore.FileID) {
		switch id {
		case two.Root.ID: // its root is gone
			w.Drop(t, "2")
			delete(w.roots, id)
		case three.Root.ID: // its page is gone
			w.Drop(t, "3")
			w.Break.LosePage(t, pageID([]string{"c"}))
		}
	}
	w.expect(t, rec, footprint.Footprint{Blocks: 1, UniqueBlocks: 1, Unique: frameBytes("a") + pageBytes + rootBytes})
}

// leaving is a Store whose pending snapshots fail while their pages are located.
type leaving struct {
	footprint.Store
	leave func(snapshot.PageID)
}

// LocatePages implements footprint.Store.
func (s leaving) LocatePages(ctx context.Context, ids []snapshot.PageID) (map[snapshot.PageID]snapshot.PagePlace, error) {
	for _, id := range ids {
		s.leave(id)
	}
	return s.Store.LocatePages(ctx, ids)
}

func aPendingOneFailedMeanwhile(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a"})
	w.draft(t, "2", []string{"b"})
	w.Footprints = leaving{w.Footprints, func(id snapshot.PageID) {
		if id == pageID([]string{"b"}) {
			w.Drop(t, "2")
			w.Break.LosePage(t, id)
		}
	}}
	w.expect(t, rec, footprint.Footprint{Blocks: 1, UniqueBlocks: 1, Unique: frameBytes("a") + pageBytes + rootBytes})
}

// aPageMovesMeanwhile: the file that a page was located in is gone when it is read.
func aPageMovesMeanwhile(t *testing.T, w *world) {
	page := []string{"a", "b"}
	rec := w.snapshot(t, "1", []string{"a"})
	w.snapshot(t, "2", page)
	w.rotten[pageID(page)] = blockstore.ErrNotExist
	located := 0
	w.Footprints = leaving{w.Footprints, func(id snapshot.PageID) {
		if id == pageID(page) {
			if located++; located == 2 {
				delete(w.rotten, id)
			}
		}
	}}
	w.expect(t, rec, footprint.Footprint{Blocks: 1, Shared: frameBytes("a"), Unique: pageBytes + rootBytes})
}

// manyRows: more than a batch of any kind.
func manyRows(t *testing.T, w *world) {
	const n = 1500
	var all []string
	var pages [][]string
	for i := range n {
		all = append(all, fmt.Sprintf("%04d", i))
		pages = append(pages, []string{all[i], "page of its own"})
	}
	rec := w.snapshot(t, "1", all)
	w.draft(t, "2", pages[:n-1]...)
	w.Draft(t, "3", w.domain)
	w.append(t, "3", all[1:]...)
	w.expect(t, rec, footprint.Footprint{Blocks: n, Shared: frameBytes(all...), Unique: pageBytes + rootBytes})
	w.Drop(t, "2")
	w.expect(t, rec, footprint.Footprint{
		Blocks: n, UniqueBlocks: 1, Shared: frameBytes(all[1:]...), Unique: frameBytes(all[0]) + pageBytes + rootBytes,
	})
}

// estimates: a sample of a large snapshot says what it takes, within the margin.
func estimates(t *testing.T, w *world) {
	var all []string
	for i := range 1000 {
		all = append(all, fmt.Sprint(i))
	}
	one := w.snapshot(t, "1", all[:700])
	w.snapshot(t, "2", all[500:])
	exact := w.measure(t, one)
	if exact.Margin != 0 {
		t.Errorf("a margin of %d though nothing is estimated", exact.Margin)
	}
	for _, w.sample = range []int{300, 100, 50} {
		got := w.measure(t, one)
		if got.Margin <= 0 || got.Margin > exact.Stored {
			t.Errorf("of %d blocks: a margin of %d", w.sample, got.Margin)
		}
		for name, off := range map[string]int64{
			"stored": got.Stored - exact.Stored, "shared": got.Shared - exact.Shared, "unique": got.Unique - exact.Unique,
		} {
			if max(off, -off) > got.Margin {
				t.Errorf("of %d blocks: %s is off by %d, more than %d", w.sample, name, off, got.Margin)
			}
		}
	}
	w.sample = 700
	if got := w.measure(t, one); got.Margin != 0 || got.Unique != exact.Unique {
		t.Errorf("of as many blocks as there are: %+v, want %+v", got, exact)
	}
}

// cancelled: a measurement ends with its context, wherever it is, and the next one is
// not kept waiting.
func cancelled(t *testing.T, w *world) {
	rec := w.snapshot(t, "1", []string{"a"})
	other := w.snapshot(t, "2", []string{"a"})
	m := w.measurer()
	for _, at := range []blockstore.FileID{rec.Root.ID, other.Root.ID} {
		ctx, cancel := context.WithCancel(t.Context())
		w.onRoot = func(id blockstore.FileID) {
			if id != at {
				return
			}
			cancel()
			if _, err := m.Measure(ctx, rec, nil); !errors.Is(err, context.Canceled) { // its turn has not come
				t.Errorf("while another is measured: %v", err)
			}
		}
		if _, err := m.Measure(ctx, rec, func(int64, int64) {}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	}
	w.onRoot = nil
	f, err := m.Measure(t.Context(), rec, func(int64, int64) {})
	if err != nil || f.Shared != frameBytes("a")+pageBytes {
		t.Errorf("afterwards: %+v, %v", f, err)
	}
	w.Drop(t, "1")
	if roots, err := w.Footprints.Roots(t.Context(), w.domain, 0); err != nil || len(roots) != 1 || roots[0].Snapshot != "2" {
		t.Errorf("what was measured is held: %+v, %v", roots, err)
	}
}
