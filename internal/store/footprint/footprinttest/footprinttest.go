// Package footprinttest is the suite that every footprint.Store passes: snapshots are
// measured on it that share what they have in all the ways there are, that are damaged,
// and while things happen.
package footprinttest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/footprint"
	"github.com/diskport/diskport/internal/store/gc/gctest"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Bench is an empty store under test, with the events that fill it.
type Bench struct {
	gctest.Bench
	Footprints footprint.Store
	// Volume makes a volume from a snapshot.
	Volume func(t *testing.T, snapshot string)
}

// Test runs the suite; open returns a fresh bench.
func Test(t *testing.T, open func(t *testing.T) Bench) {
	for name, fn := range map[string]func(*testing.T, *world){
		"Alone":                      alone,
		"BlocksInCommon":             blocksInCommon,
		"PagesInCommon":              pagesInCommon,
		"AnotherDomain":              anotherDomain,
		"APendingSnapshot":           aPendingSnapshot,
		"AppendsToADraft":            appendsToADraft,
		"ADraftThatBeginsAsIt":       aDraftThatBeginsAsIt,
		"AVolume":                    aVolume,
		"Holds":                      holds,
		"LeavingsOfItself":           leavingsOfItself,
		"LeavingsOfOthers":           leavingsOfOthers,
		"ARottenPage":                aRottenPage,
		"ARottenPageOfOthers":        aRottenPageOfOthers,
		"ARottenRoot":                aRottenRoot,
		"ARottenRootOfOthers":        aRottenRootOfOthers,
		"MissingRows":                missingRows,
		"ARottenRow":                 aRottenRow,
		"ARootWithoutASnapshot":      aRootWithoutASnapshot,
		"DeletedMeanwhile":           deletedMeanwhile,
		"APendingOneFailedMeanwhile": aPendingOneFailedMeanwhile,
		"APageMovesMeanwhile":        aPageMovesMeanwhile,
		"ManyRows":                   manyRows,
		"Estimates":                  estimates,
		"Cancelled":                  cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, &world{
				Bench: open(t), domain: "d", roots: map[blockstore.FileID]root{}, pages: map[snapshot.PageID][]block.ID{},
				stored: map[string]bool{}, rotten: map[any]error{},
			})
		})
	}
}

// world is a bench with what is written in its files.
type world struct {
	Bench
	domain string // of what is made from now on
	roots  map[blockstore.FileID]root
	pages  map[snapshot.PageID][]block.ID
	stored map[string]bool
	rotten map[any]error // of roots by file and pages by id: reading them fails
	last   blockstore.FileID
	sample int

	onRoot func(blockstore.FileID) // called before a root is read
}

type root struct {
	domain string
	pages  []snapshot.PageID
}

var errRotten = errors.New("rotten")

// rootBytes and pageBytes are what each takes on disk here.
const rootBytes, pageBytes = 10, 100

// frameBytes is what the frame of a block takes: as many units as its name is long.
func frameBytes(names ...string) (n int64) {
	for _, name := range names {
		n += int64(len(name)) * blockstore.Align
	}
	return n
}

func blockID(name string) block.ID { return block.ID(sha256.Sum256([]byte(name))) }

func pageID(names []string) snapshot.PageID {
	return snapshot.PageID(sha256.Sum256(fmt.Append(nil, "page ", names)))
}

func (w *world) create(t *testing.T, l work.Lease, k blockstore.FileKind) blockstore.File {
	t.Helper()
	w.last++
	f := blockstore.File{ID: w.last, Kind: k, Domain: w.domain}
	if err := w.Catalog.CreateFile(t.Context(), l, f, blockstore.KeyUse{}); err != nil {
		t.Fatal(err)
	}
	return f
}

// packs stores those of the blocks that are not stored yet.
func (w *world) packs(t *testing.T, l work.Lease, names []string) (packs []blockstore.ClosedPack) {
	t.Helper()
	off := uint32(1)
	for _, name := range names {
		if w.stored[name] {
			continue
		}
		w.stored[name] = true
		if packs == nil {
			packs = []blockstore.ClosedPack{{File: w.create(t, l, blockstore.PackFile), Bytes: 1000}}
		}
		n := uint32(len(name))
		packs[0].Blocks = append(packs[0].Blocks, blockstore.Placement{ID: blockID(name), Span: blockstore.Span{Off: off, Len: n}})
		off += n
	}
	return packs
}

// draft makes a pending snapshot whose pages name these blocks.
func (w *world) draft(t *testing.T, id string, pages ...[]string) {
	t.Helper()
	w.Draft(t, id, w.domain)
	l := w.Begin(t)
	packs := w.packs(t, l, slices.Concat(pages...))
	file := w.create(t, l, blockstore.PagesFile).ID
	var places []snapshot.PagePlace
	for i, names := range pages {
		p := snapshot.PagePlace{Page: int64(i), ID: pageID(names), File: file, Off: int64(i) * pageBytes, Len: pageBytes, Blocks: len(names)}
		places = append(places, p)
		w.pages[p.ID] = nil
		for _, name := range names {
			w.pages[p.ID] = append(w.pages[p.ID], blockID(name))
		}
	}
	if err := w.Finish(l, id, packs, places); err != nil {
		t.Fatal(err)
	}
}

// snapshot makes a completed snapshot, and returns its record.
func (w *world) snapshot(t *testing.T, id string, pages ...[]string) snapshot.Record {
	t.Helper()
	w.draft(t, id, pages...)
	return w.publish(t, id, pages...)
}

func (w *world) publish(t *testing.T, id string, pages ...[]string) snapshot.Record {
	t.Helper()
	l := w.Begin(t)
	f := w.create(t, l, blockstore.RootFile)
	r := root{domain: w.domain}
	for _, names := range pages {
		r.pages = append(r.pages, pageID(names))
	}
	w.roots[f.ID] = r
	if err := w.Publish(l, id, f); err != nil {
		t.Fatal(err)
	}
	return snapshot.Record{ID: id, Domain: w.domain, Root: f}
}

// append commits blocks of a draft.
func (w *world) append(t *testing.T, draft string, names ...string) {
	t.Helper()
	l := w.Begin(t)
	var blocks []snapshot.DraftBlock
	for i, name := range names {
		blocks = append(blocks, snapshot.DraftBlock{Index: int64(i), ID: blockID(name)})
	}
	if err := w.Append(l, draft, w.packs(t, l, names), blocks); err != nil {
		t.Fatal(err)
	}
}

func (w *world) measurer() *footprint.Measurer {
	shelf := &snapshot.Shelf{Holds: w.Holds, Now: time.Now}
	return footprint.New(footprint.Config{
		Store: w.Footprints, Locate: w.Catalog.Locate, Hold: shelf.Hold, Sample: w.sample,
		Pages: func(ctx context.Context, f blockstore.File, fn func([]snapshot.PageID) error) (string, error) {
			if w.onRoot != nil {
				w.onRoot(f.ID)
			}
			r, ok := w.roots[f.ID]
			if !ok {
				return "", blockstore.ErrNotExist
			}
			if err := errors.Join(w.rotten[f.ID], ctx.Err()); err != nil {
				return "", err
			}
			return r.domain, fn(r.pages)
		},
		Blocks: func(_ context.Context, p snapshot.PagePlace) ([]block.ID, error) {
			return w.pages[p.ID], w.rotten[p.ID]
		},
	})
}

// measure measures a snapshot, and checks that the progress ends.
func (w *world) measure(t *testing.T, rec snapshot.Record) footprint.Footprint {
	t.Helper()
	done, total := int64(0), int64(0)
	f, err := w.measurer().Measure(t.Context(), rec, func(d, n int64) {
		if d < done || d > n || total > 0 && n != total {
			t.Errorf("progress of %d of %d after %d of %d", d, n, done, total)
		}
		done, total = d, n
	})
	if err != nil {
		t.Fatal(err)
	}
	if done != total {
		t.Errorf("the progress ended with %d of %d", done, total)
	}
	return f
}

// expect measures a snapshot and compares. Stored is filled in.
func (w *world) expect(t *testing.T, rec snapshot.Record, want footprint.Footprint) {
	t.Helper()
	want.Stored = want.Shared + want.Unique
	if d := cmp.Diff(want, w.measure(t, rec)); d != "" {
		t.Errorf("footprint of %s (-want +got):\n%s", rec.ID, d)
	}
}
