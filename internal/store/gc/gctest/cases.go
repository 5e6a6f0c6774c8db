package gctest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

func freesDeleted(t *testing.T, w *world) {
	w.run(t, gc.Report{})
	w.snapshot(t, "1", []string{"a", "b"})
	w.snapshot(t, "2", []string{"c"}, "b")
	w.snapshot(t, "3", []string{"d"}, "c")
	w.snapshot(t, "4", []string{"d"}, "c") // the page and d are 3's already
	w.run(t, gc.Report{Files: 2, Bytes: 1100})
	w.Drop(t, "1")
	w.Drop(t, "3")
	w.alive(t, "abcd", "a", "b", "c", "d")
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 10 + 100 + 10}) // a and its page; b keeps its pack
	w.alive(t, "abcd", "b", "c", "d")
	w.Drop(t, "2")
	w.Drop(t, "4")
	w.run(t, gc.Report{Blocks: 3, Pages: 2, Files: 7, Bytes: 2*10 + 2*100 + 3*1000})
	w.alive(t, "abcd")
	if len(w.files) != 0 {
		t.Errorf("files left: %v", w.files)
	}
}

func draftsStay(t *testing.T, w *world) {
	w.draft(t, "1", []string{"a", "b"})
	w.run(t, gc.Report{})
	w.run(t, gc.Report{})
	w.alive(t, "ab", "a", "b")
	w.Drop(t, "1")
	w.run(t, gc.Report{Blocks: 2, Pages: 1, Files: 2, Bytes: 1100})
	w.alive(t, "ab")
}

func manyRows(t *testing.T, w *world) {
	const n = 2500 // more than a batch of any kind
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint(i))
	}
	w.snapshot(t, "1", names)
	w.run(t, gc.Report{})
	w.Drop(t, "1")
	w.snapshot(t, "2", []string{"x"}, names[7], names[2000])
	w.run(t, gc.Report{Blocks: n - 2, Pages: 1, Files: 2, Bytes: 110})
}

// waitsForUnits: a unit that relied on a block before it was condemned finishes
// while gc waits.
func waitsForUnits(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a", "b"})
	w.Draft(t, "2", "")
	l := w.Begin(t)
	w.claim(t, "a", true)
	w.Drop(t, "1")
	w.store.once("InFlight", 3, func() {
		if err := w.finishPage(t, l, "2", nil, "a"); err != nil {
			t.Error(err)
		}
	})
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 2, Bytes: 110})
	w.alive(t, "ab", "a")
}

// claim asks for a dedupe hit.
func (w *world) claim(t *testing.T, name string, want bool) {
	t.Helper()
	got, err := w.Catalog.Claim(t.Context(), []block.ID{blockID(name)})
	if err != nil || (len(got) == 1) != want {
		t.Errorf("claim %s: %v, %v, want a hit: %v", name, got, err, want)
	}
}

// lapsedLeasesAreLost: a worker that sleeps past its lease, even one that was not
// claimed again, must not finish after gc has stopped waiting for it.
func lapsedLeasesAreLost(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	w.Draft(t, "2", "")
	l := w.Begin(t)
	w.claim(t, "a", true)
	pack := w.create(t, l, blockstore.PackFile)
	w.Drop(t, "1")
	w.ahead = 1000 * time.Hour
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 4, Bytes: 1110})
	if w.files[pack.Name()] {
		t.Errorf("the open file of a lost lease is still there")
	}
	page := snapshot.PagePlace{ID: snapshot.PageID{1}, File: 1}
	if err := w.Finish(l, "2", nil, []snapshot.PagePlace{page}); !errors.Is(err, work.ErrLost) {
		t.Errorf("finish: got %v, want %v", err, work.ErrLost)
	}
}

// aDedupeHitMeanwhile: a unit that begins while gc runs is not waited for, and
// what it relies on stays.
func aDedupeHitMeanwhile(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a", "b", "c"})
	w.Drop(t, "1")
	w.Draft(t, "2", "")
	var early, late work.Lease
	w.store.once("InFlight", 2, func() { // they are condemned
		early = w.Begin(t)
		w.claim(t, "a", true)
		w.store.once("InFlight", 1, func() {
			if err := w.finishPage(t, early, "2", nil, "a"); err != nil {
				t.Error(err)
			}
			w.store.once("DeleteCondemned", 1, func() {
				late = w.Begin(t)
				w.claim(t, "b", true)
			})
		})
	})
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 2, Bytes: 110})
	w.alive(t, "abc", "a", "b")
	w.claim(t, "c", false)
	w.Draft(t, "3", "")
	if err := w.finishPage(t, late, "3", nil, "b"); err != nil {
		t.Error(err)
	}
	w.run(t, gc.Report{})
	w.alive(t, "abc", "a", "b")
}

// aPageAgainMeanwhile: what is about to be deleted is imported once more.
func aPageAgainMeanwhile(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a", "b"})
	w.Drop(t, "1")
	w.Draft(t, "2", "")
	w.store.once("DeleteCondemned", 1, func() {
		l := w.Begin(t)
		w.claim(t, "a", true)
		if err := w.finishPage(t, l, "2", []string{"a", "b"}); err != nil {
			t.Error(err)
		}
	})
	w.run(t, gc.Report{Files: 3, Bytes: 10 + 1000 + 100}) // its own copies are dead
	w.alive(t, "ab", "a", "b")
	w.run(t, gc.Report{})
	w.alive(t, "ab", "a", "b")
}

// aPublicationMeanwhile: a draft becomes a snapshot between two steps of marking.
func aPublicationMeanwhile(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"x"})
	for i, at := range []string{"Drafts", "Roots", "LocatePages", "DraftBlocks", "DeleteCondemned"} {
		nth := 2 // the passes that decide
		if at == "DeleteCondemned" {
			nth = 1
		}
		w.snapshot(t, fmt.Sprint("garbage ", i), []string{fmt.Sprint("y", i)})
		w.Drop(t, fmt.Sprint("garbage ", i))
		id, name := fmt.Sprint("draft ", i), string(rune('a'+i))
		w.draft(t, id, []string{name}, "x")
		w.store.once(at, nth, func() { w.publish(t, id, name, "x") })
		w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110})
	}
	w.alive(t, "xabcde", "x", "a", "b", "c", "d", "e")
}

// aCycleMeanwhile: another node does a whole cycle between two steps of this one,
// and a unit begins after that.
func aCycleMeanwhile(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"x"})
	for i, at := range []string{
		"InFlight", "Pending", "ReleasedRoots", "NotePages", "Expanded", "TakePages", "TakeBlocks", "Drafts", "Roots", "NoteBlocks", "Condemn",
		"DeleteCondemned", "Spare", "TakeFiles", "Look", "ForgetFiles", "FilesWithRows",
	} {
		name := string(rune('a' + i))
		w.snapshot(t, "garbage", []string{name})
		w.Drop(t, "garbage")
		w.draft(t, "draft "+name, []string{"d" + name}, "x")
		var other gc.Report
		w.store.once(at, 1, func() {
			var err error
			if other, err = w.collector().Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
		mine, err := w.collector().Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if mine.Blocks+other.Blocks != 1 || mine.Pages+other.Pages != 1 {
			t.Errorf("at %s: reports %+v and %+v", at, mine, other)
		}
		w.alive(t, "x"+name, "x")
		if at, err := w.Catalog.Locate(t.Context(), []block.ID{blockID("d" + name)}); err != nil || len(at) != 1 {
			t.Errorf("the draft's block: %v, %v", at, err)
		}
	}
}

func openFiles(t *testing.T, w *world) {
	held := w.create(t, w.Begin(t), blockstore.PackFile)
	w.Draft(t, "1", "")
	done := w.Begin(t)
	forgotten := w.create(t, done, blockstore.PackFile)
	if err := w.finishPage(t, done, "1", []string{"a"}); err != nil {
		t.Fatal(err)
	}
	w.run(t, gc.Report{Files: 1})
	if w.files[forgotten.Name()] || !w.files[held.Name()] {
		t.Errorf("files %v: want the held one's alone", w.files)
	}
	w.alive(t, "a", "a")
}

// filesWithoutRows: files that were never closed are garbage.
func filesWithoutRows(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	for i := range 600 { // more than a batch
		w.files[blockstore.File{ID: blockstore.FileID(1<<41 + i), Kind: blockstore.PagesFile}.Name()] = false
	}
	foreign := []string{"lost+found", "pack/00/zz", "pack/01/0000000000000002", "README", "pack/00/ffffffffffffff00", "other/01/0000000000000001", ""}
	for _, name := range foreign {
		w.files[name] = true
	}
	w.run(t, gc.Report{Files: 600})
	for _, name := range foreign {
		if !w.files[name] {
			t.Errorf("%q is not ours, but gone", name)
		}
		delete(w.files, name)
	}
	if len(w.files) != 3 {
		t.Errorf("files %v, want the snapshot's three", w.files)
	}
	w.alive(t, "a", "a")
}

// closedFilesWithoutRows may be all that is left of something.
func closedFilesWithoutRows(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	lost := []string{
		blockstore.File{ID: 1 << 40, Kind: blockstore.PackFile}.Name(), blockstore.File{ID: 1<<40 + 1, Kind: blockstore.RootFile}.Name(),
	}
	for _, name := range lost {
		w.files[name] = true
	}
	w.run(t, gc.Report{Aside: lost})
	if len(w.files) != 3 || len(w.aside) != 2 {
		t.Errorf("files %v, aside %v", w.files, w.aside)
	}
	w.ahead = 29 * 24 * time.Hour
	w.run(t, gc.Report{})
	w.ahead, w.lag = 31*24*time.Hour, 2*24*time.Hour // it is not believed that they lay there for so long
	w.run(t, gc.Report{})
	w.lag = 0
	w.run(t, gc.Report{Purged: blockstore.Purged{Files: 2}})
	w.alive(t, "a", "a")
}

// anotherDatabase: when the database can't be the one that the store was written
// with, the files that it does not know are left alone.
func anotherDatabase(t *testing.T, w *world) {
	for _, c := range []struct{ known, unknown int }{{0, 1}, {1, 3}, {20, 17}} {
		for range c.known {
			w.snapshot(t, fmt.Sprint("snapshot ", len(w.files)), []string{fmt.Sprint("block ", len(w.files))})
		}
		for i := range c.unknown {
			w.files[blockstore.File{ID: blockstore.FileID(1<<41 + i), Kind: blockstore.PackFile}.Name()] = true
		}
		w.files[blockstore.File{ID: 1 << 42, Kind: blockstore.PackFile}.Name()] = false // another service writes it
		before := maps.Clone(w.files)
		r, err := w.collector().Run(t.Context())
		if err != nil || r.Implausible == "" || len(r.Aside) != 0 {
			t.Errorf("%+v: report %+v, %v", c, r, err)
		}
		if d := cmp.Diff(before, w.files); d != "" {
			t.Errorf("%+v: files (-before +after):\n%s", c, d)
		}
	}
}

func cancelledWhileWaiting(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	w.Drop(t, "1")
	w.Begin(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.store.once("InFlight", 3, cancel)
	if _, err := w.collector().Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	w.alive(t, "a", "a")
}

// stoppedAnywhere fails each call of a cycle in turn. Nothing that is referenced is
// lost, and the next cycle does the rest.
func stoppedAnywhere(t *testing.T, w *world) {
	stop := errors.New("stopped")
	w.snapshot(t, "1", []string{"a"})
	w.draft(t, "2", []string{"b"}, "a")
	for n, done := 0, false; !done; n++ {
		w.snapshot(t, "garbage", []string{"g"}, "a")
		w.Drop(t, "garbage")
		calls := 0
		w.store.before = func(string) error {
			if calls++; calls > n {
				return stop
			}
			return nil
		}
		_, err := w.collector().Run(t.Context())
		if done = err == nil; !done && !errors.Is(err, stop) {
			t.Fatal(err)
		}
		w.store.before = nil
		at, err := w.Catalog.Locate(t.Context(), []block.ID{blockID("a"), blockID("b")})
		if err != nil || len(at) != 2 {
			t.Fatalf("stopped at call %d: %v, %v", n, at, err)
		}
		if _, err := w.collector().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.alive(t, "abg", "a", "b")
		if len(w.files) != 5 {
			t.Errorf("stopped at call %d: files %v, want the five in use", n, w.files)
		}
	}
}

// stoppedWhileCondemned: a cycle is stopped after a unit that it waited for has registered
// what was condemned. The next one, which finds it referenced, takes that back: no pass
// holds anything against it any more.
func stoppedWhileCondemned(t *testing.T, w *world) {
	stop := errors.New("stopped")
	w.snapshot(t, "1", []string{"a"})
	w.Draft(t, "2", "")
	l := w.Begin(t)
	w.claim(t, "a", true)
	w.Drop(t, "1")
	waits := 0
	w.store.before = func(method string) error {
		if method == "InFlight" {
			waits++
		}
		if method == "InFlight" && waits == 3 {
			return w.finishPage(t, l, "2", nil, "a")
		}
		if method == "DeleteCondemned" {
			return stop
		}
		return nil
	}
	if _, err := w.collector().Run(t.Context()); !errors.Is(err, stop) {
		t.Fatalf("the cycle ended with %v, want %v", err, stop)
	}
	w.store.before = nil
	stopped, err := w.Store.NextPass(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.run(t, gc.Report{Files: 2, Bytes: 110})
	for pass := int64(1); pass < stopped; pass++ {
		freed, err := w.Store.DeleteCondemned(t.Context(), pass, w.store.pages, w.store.blocks, gc.Doubt{})
		if err != nil || freed.Blocks+freed.Pages > 0 {
			t.Errorf("pass %d, which was stopped, could still delete %+v, %v", pass, freed, err)
		}
	}
	w.alive(t, "a", "a")
}

// removedMeanwhile: what another cycle has removed, because it was deleted after this one had
// read what is named, is not damage.
func removedMeanwhile(t *testing.T, w *world) {
	for _, at := range []string{"LocatePages", "Roots", "TakePages", "ReleasedRoots"} {
		for nth := range 3 {
			w.snapshot(t, "garbage", []string{"g"})
			w.snapshot(t, "1", []string{"a"})
			w.snapshot(t, "2", []string{"b"})
			w.Drop(t, "garbage")
			w.store.once(at, nth+1, func() {
				w.Drop(t, "1")
				w.Drop(t, "2")
				if _, err := w.collector().Run(t.Context()); err != nil {
					t.Error(err)
				}
			})
			w.store.waited = 0
			r, err := w.collector().Run(t.Context())
			if err != nil || len(r.Damaged) > 0 {
				t.Errorf("before call %d of %s: %v, damaged are %q", nth+1, at, err, r.Damaged)
			}
			w.store.before = nil // it may have had fewer calls
			for _, name := range []string{"1", "2"} {
				w.Drop(t, name)
			}
			if _, err := w.collector().Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.alive(t, "abg")
}
