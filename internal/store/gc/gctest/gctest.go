// Package gctest is the suite that every gc.Store passes: whole cycles of gc on
// it, with things happening in between, and with failures at every call.
package gctest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Bench is an empty store under test, with the events that fill it.
type Bench struct {
	Store   gc.Store
	Catalog blockstore.Catalog
	// Begin returns the lease of a new unit of work, held until long after now.
	Begin func(t *testing.T) work.Lease
	// Draft makes a pending snapshot.
	Draft func(t *testing.T, id string)
	// Finish is the event that ends a range of the draft (step 4 of the ordering
	// invariant).
	Finish func(l work.Lease, draft string, packs []blockstore.ClosedPack, pages []snapshot.PagePlace) error
	// Append is the event that ends an append to the draft (step 4).
	Append func(l work.Lease, draft string, packs []blockstore.ClosedPack, blocks []snapshot.DraftBlock) error
	// Hold makes a pending snapshot that begins as another.
	Hold func(t *testing.T, id, base string)
	// Publish completes the draft (step 5).
	Publish func(l work.Lease, draft string, root blockstore.File) error
	// Drop removes a snapshot or draft.
	Drop func(t *testing.T, id string)
}

// Test runs the suite; open returns a fresh bench.
func Test(t *testing.T, open func(t *testing.T) Bench) {
	for name, fn := range map[string]func(*testing.T, *world){
		"FreesWhatADeletedSnapshotHeld": freesDeleted,
		"DraftsStay":                    draftsStay,
		"ManyRows":                      manyRows,
		"WaitsForUnitsInFlight":         waitsForUnits,
		"LapsedLeasesAreLost":           lapsedLeasesAreLost,
		"ADedupeHitMeanwhile":           aDedupeHitMeanwhile,
		"APageAgainMeanwhile":           aPageAgainMeanwhile,
		"APublicationMeanwhile":         aPublicationMeanwhile,
		"ACycleMeanwhile":               aCycleMeanwhile,
		"OpenFiles":                     openFiles,
		"FilesWithoutRows":              filesWithoutRows,
		"AMissingPageStopsIt":           aMissingPageStopsIt,
		"CancelledWhileWaiting":         cancelledWhileWaiting,
		"StoppedAnywhere":               stoppedAnywhere,
		"AppendsStay":                   appendsStay,
		"AnAppendMeanwhile":             anAppendMeanwhile,
		"AHoldMeanwhile":                aHoldMeanwhile,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			fn(t, &world{
				Bench: b, store: &hooked{Store: b.Store}, files: files{},
				roots: map[blockstore.FileID][]snapshot.PageID{}, pages: map[snapshot.PageID][]block.ID{},
			})
		})
	}
}

// world is a bench with its files and what is written in them.
type world struct {
	Bench
	store *hooked
	files files
	roots map[blockstore.FileID][]snapshot.PageID
	pages map[snapshot.PageID][]block.ID
	last  blockstore.FileID
	ahead time.Duration // of the clock
}

func (w *world) collector() *gc.Collector {
	return &gc.Collector{
		Store: w.store, Backend: w.files, Poll: time.Microsecond,
		Now: func() time.Time { return time.Now().Add(w.ahead) },
		Pages: func(_ context.Context, root blockstore.File, fn func([]snapshot.PageID) error) error {
			return fn(w.roots[root.ID])
		},
		Blocks: func(_ context.Context, p snapshot.PagePlace) ([]block.ID, error) { return w.pages[p.ID], nil },
	}
}

// run does a cycle of gc and compares its report.
func (w *world) run(t *testing.T, want gc.Report) {
	t.Helper()
	// A unit that never ends would be waited for.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := w.collector().Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if w.store.before != nil {
		t.Error("what was to happen meanwhile did not")
	}
	if got != want {
		t.Errorf("report %+v, want %+v", got, want)
	}
}

func blockID(name string) (id block.ID) { copy(id[:], "block "+name); return id }

func pageID(names []string) (id snapshot.PageID) { copy(id[:], fmt.Sprint("page ", names)); return id }

// create makes a file of the lease, with its row.
func (w *world) create(t *testing.T, l work.Lease, k blockstore.FileKind) blockstore.File {
	t.Helper()
	w.last++
	f := blockstore.File{ID: w.last, Kind: k}
	if err := w.Catalog.CreateFile(t.Context(), l, f); err != nil {
		t.Fatal(err)
	}
	w.files[f.Name()] = true
	return f
}

// finishPage ends the unit that wrote stored blocks, 1,000 bytes of pack, and a
// page that names the named ones as well.
func (w *world) finishPage(t *testing.T, l work.Lease, draft string, stored []string, named ...string) error {
	t.Helper()
	var packs []blockstore.ClosedPack
	if len(stored) > 0 {
		packs = []blockstore.ClosedPack{{File: w.create(t, l, blockstore.PackFile), Bytes: 1000}}
	}
	for i, name := range stored {
		packs[0].Blocks = append(packs[0].Blocks, blockstore.Placement{ID: blockID(name), Slot: i})
	}
	all := slices.Concat(stored, named)
	p := snapshot.PagePlace{ID: pageID(all), File: w.create(t, l, blockstore.PagesFile).ID, Len: 100, Blocks: len(all)}
	for _, name := range all {
		w.pages[p.ID] = append(w.pages[p.ID], blockID(name))
	}
	return w.Finish(l, draft, packs, []snapshot.PagePlace{p})
}

// draft makes a draft with one finished range.
func (w *world) draft(t *testing.T, id string, stored []string, named ...string) {
	t.Helper()
	w.Draft(t, id)
	if err := w.finishPage(t, w.Begin(t), id, stored, named...); err != nil {
		t.Fatal(err)
	}
}

// publish completes a draft, whose only page names these blocks.
func (w *world) publish(t *testing.T, id string, blocks ...string) {
	t.Helper()
	l := w.Begin(t)
	root := w.create(t, l, blockstore.RootFile)
	w.roots[root.ID] = []snapshot.PageID{pageID(blocks)}
	if err := w.Publish(l, id, root); err != nil {
		t.Fatal(err)
	}
}

func (w *world) snapshot(t *testing.T, id string, stored []string, named ...string) {
	t.Helper()
	w.draft(t, id, stored, named...)
	w.publish(t, id, slices.Concat(stored, named)...)
}

// alive fails the test unless exactly these of the blocks exist, in files that do.
func (w *world) alive(t *testing.T, ask string, want ...string) {
	t.Helper()
	var ids []block.ID
	for _, c := range ask {
		ids = append(ids, blockID(string(c)))
	}
	at, err := w.Catalog.Locate(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range ask {
		if loc, ok := at[blockID(string(c))]; ok && w.files[loc.File.Name()] {
			got = append(got, string(c))
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("blocks (-want +got):\n%s", d)
	}
}

// files is a blockstore.Backend of names.
type files map[string]bool

// Create is not gc's.
func (files) Create(context.Context, string, int64) (blockstore.Writer, error) {
	return nil, errors.ErrUnsupported
}

// ReadAt is not gc's.
func (files) ReadAt(context.Context, string, []byte, int64) (int, error) {
	return 0, errors.ErrUnsupported
}

// Remove implements blockstore.Backend.
func (f files) Remove(_ context.Context, name string) error { delete(f, name); return nil }

// List implements blockstore.Backend.
func (f files) List(_ context.Context, fn func(blockstore.Entry) error) error {
	for _, name := range slices.Collect(maps.Keys(f)) {
		if err := fn(blockstore.Entry{Name: name, Closed: true}); err != nil {
			return err
		}
	}
	return nil
}
