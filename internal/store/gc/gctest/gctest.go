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
	// Draft makes a pending snapshot in a domain.
	Draft func(t *testing.T, id, domain string)
	// Finish is the event that ends a range of the draft (step 4 of the ordering
	// invariant).
	Finish func(l work.Lease, draft string, packs []blockstore.ClosedPack, pages []snapshot.PagePlace) error
	// Append is the event that ends an append to the draft (step 4).
	Append func(l work.Lease, draft string, packs []blockstore.ClosedPack, blocks []snapshot.DraftBlock) error
	// Begins makes a pending snapshot that begins as another.
	Begins func(t *testing.T, id, base string)
	Holds  snapshot.Holds
	// Publish completes the draft (step 5).
	Publish func(l work.Lease, draft string, root blockstore.File) error
	// Drop removes a snapshot or draft.
	Drop func(t *testing.T, id string)
	// Slices makes Publish and Drop let go of n of the rows that named something for a
	// draft; LetGo lets go of the next n, and reports whether there may be more.
	Slices func(n int64)
	LetGo  func(t *testing.T, id string) (left bool)
	// Break damages rows: it makes them what no event would.
	Break Breaks
}

// Breaks is the ways to damage rows. The functions fail the test themselves.
type Breaks struct {
	LoseFile  func(t *testing.T, id blockstore.FileID)
	OpenFile  func(t *testing.T, id blockstore.FileID) // its row says that it was never closed
	Renumber  func(t *testing.T, id, to blockstore.FileID)
	LoseBlock func(t *testing.T, id block.ID)
	LosePage  func(t *testing.T, id snapshot.PageID)
	SetRoot   func(t *testing.T, snapshot string, root blockstore.FileID)
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
		"RemovedMeanwhile":              removedMeanwhile,
		"OpenFiles":                     openFiles,
		"FilesWithoutRows":              filesWithoutRows,
		"ClosedFilesWithoutRows":        closedFilesWithoutRows,
		"AnotherDatabase":               anotherDatabase,
		"AtRest":                        atRest,
		"WhatStaysIsNotTouched":         whatStaysIsNotTouched,
		"AClaimThatCameToNothing":       aClaimThatCameToNothing,
		"Losers":                        losers,
		"DamagedRowsOfFiles":            damagedRowsOfFiles,
		"DamagedRowsInFiles":            damagedRowsInFiles,
		"AnotherRoot":                   anotherRoot,
		"ARottenRoot":                   aRottenRoot,
		"ARottenPage":                   aRottenPage,
		"AMissingPage":                  aMissingPage,
		"DamageThatStands":              damageThatStands,
		"ARottenRootIsDeleted":          aRottenRootIsDeleted,
		"ARottenPageIsDeleted":          aRottenPageIsDeleted,
		"AHealedBlock":                  aHealedBlock,
		"Holds":                         holdsKeep,
		"AHoldFromTheFuture":            aHoldFromTheFuture,
		"AHoldOfAllFiles":               aHoldOfAllFiles,
		"AHoldOfAllFilesMeanwhile":      aHoldOfAllFilesMeanwhile,
		"AHeldPageOfOthers":             aHeldPageOfOthers,
		"AReaderMeanwhile":              aReaderMeanwhile,
		"CancelledWhileWaiting":         cancelledWhileWaiting,
		"StoppedAnywhere":               stoppedAnywhere,
		"StoppedWhileCondemned":         stoppedWhileCondemned,
		"AppendsStay":                   appendsStay,
		"AnAppendMeanwhile":             anAppendMeanwhile,
		"AHoldMeanwhile":                aHoldMeanwhile,
		"LetGoInSlices":                 letGoInSlices,
		"LetGoMeanwhile":                letGoMeanwhile,
		"LeavingsOfASnapshot":           leavingsOfASnapshot,
		"ASliceMeanwhile":               aSliceMeanwhile,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			fn(t, &world{
				Bench: b, store: &hooked{Store: b.Store}, files: files{}, aside: map[string]time.Time{},
				roots: map[blockstore.FileID]root{}, pages: map[snapshot.PageID][]block.ID{}, rotten: map[any]bool{},
			})
		})
	}
}

// world is a bench with its files and what is written in them.
type world struct {
	Bench
	store  *hooked
	files  files
	aside  map[string]time.Time
	roots  map[blockstore.FileID]root
	pages  map[snapshot.PageID][]block.ID
	rotten map[any]bool // roots by file and pages by id that can't be read
	domain string       // of what is made from now on
	last   blockstore.FileID
	ahead  time.Duration // of the clock
	lag    time.Duration // of the time by which leases lapse and things age, behind the clock
	window int           // of the collector
}

type root struct {
	domain string
	pages  []snapshot.PageID
}

func (w *world) behind() time.Time { return time.Now().Add(w.ahead - w.lag) }

var errRotten = errors.New("rotten")

func (w *world) collector() *gc.Collector {
	return &gc.Collector{
		Store: w.store, Backend: backend{w.files, w.aside}, Aside: backend{w.files, w.aside}, Poll: time.Microsecond, Window: w.window,
		Now: func() time.Time { return time.Now().Add(w.ahead) }, Lapsed: w.behind, Aged: w.behind,
		Pages: func(_ context.Context, f blockstore.File, fn func([]snapshot.PageID) error) (string, error) {
			r, ok := w.roots[f.ID]
			if _, there := w.files[f.Name()]; !ok || !there || w.rotten[f.ID] {
				return "", errRotten
			}
			return r.domain, fn(r.pages)
		},
		Blocks: func(_ context.Context, p snapshot.PagePlace) ([]block.ID, error) {
			if w.rotten[p.ID] {
				return nil, errRotten
			}
			return w.pages[p.ID], nil
		},
	}
}

// run does a cycle of gc and compares its report.
func (w *world) run(t *testing.T, want gc.Report) {
	t.Helper()
	w.store.waited = 0
	got, err := w.collector().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if w.store.before != nil {
		t.Error("what was to happen meanwhile did not")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("report (-want +got):\n%s", d)
	}
}

func blockID(name string) (id block.ID) { copy(id[:], "block "+name); return id }

func pageID(names []string) (id snapshot.PageID) { copy(id[:], fmt.Sprint("page ", names)); return id }

// create makes a file of the lease, with its row.
func (w *world) create(t *testing.T, l work.Lease, k blockstore.FileKind) blockstore.File {
	t.Helper()
	w.last++
	f := blockstore.File{ID: w.last, Kind: k, Domain: w.domain}
	if err := w.Catalog.CreateFile(t.Context(), l, f, blockstore.KeyUse{}); err != nil {
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
		packs[0].Blocks = append(packs[0].Blocks, blockstore.Placement{ID: blockID(name), Span: blockstore.Span{Off: uint32(i) + 1, Len: 1}})
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
	w.Draft(t, id, w.domain)
	if err := w.finishPage(t, w.Begin(t), id, stored, named...); err != nil {
		t.Fatal(err)
	}
}

// publish completes a draft, whose only page names these blocks.
func (w *world) publish(t *testing.T, id string, blocks ...string) blockstore.File {
	t.Helper()
	l := w.Begin(t)
	f := w.create(t, l, blockstore.RootFile)
	w.roots[f.ID] = root{w.domain, []snapshot.PageID{pageID(blocks)}}
	if err := w.Publish(l, id, f); err != nil {
		t.Fatal(err)
	}
	return f
}

func (w *world) snapshot(t *testing.T, id string, stored []string, named ...string) blockstore.File {
	t.Helper()
	w.draft(t, id, stored, named...)
	return w.publish(t, id, slices.Concat(stored, named)...)
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

// files is the names of files, and whether they are closed.
type files map[string]bool

// backend is a gc.Backend of names.
type backend struct {
	files files
	aside map[string]time.Time
}

// Remove implements gc.Backend.
func (b backend) Remove(_ context.Context, name string) error { delete(b.files, name); return nil }

// SetAside implements blockstore.Quarantine.
func (b backend) SetAside(_ context.Context, name string, at time.Time) error {
	if b.files[name] {
		delete(b.files, name)
		b.aside[name] = at
	}
	return nil
}

// EachAside implements blockstore.Aside.
func (b backend) EachAside(_ context.Context, fn func(string) error) error {
	for name := range maps.Clone(b.aside) {
		if err := fn(name); err != nil {
			return err
		}
	}
	return nil
}

// BringBack implements blockstore.Aside.
func (b backend) BringBack(_ context.Context, name string) error {
	if _, there := b.files[name]; !there {
		if _, ok := b.aside[name]; ok {
			b.files[name] = true
			delete(b.aside, name)
		}
	}
	return nil
}

// Purge implements blockstore.Quarantine.
func (b backend) Purge(_ context.Context, before time.Time) (p blockstore.Purged, err error) {
	maps.DeleteFunc(b.aside, func(_ string, at time.Time) bool {
		if at.Before(before) {
			p.Files++
		}
		return at.Before(before)
	})
	return p, nil
}

// List implements blockstore.Lister.
func (b backend) List(_ context.Context, fn func(blockstore.Entry) error) error {
	for name, closed := range maps.Clone(b.files) {
		if err := fn(blockstore.Entry{Name: name, Closed: closed}); err != nil {
			return err
		}
	}
	return nil
}
