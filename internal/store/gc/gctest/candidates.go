package gctest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// atRest: when nothing was let go since the last cycle, gc asks that one question
// and no more. What is kept only by a draft or a hold is no reason to look.
func atRest(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a", "b"}, "c")
	w.draft(t, "2", []string{"c"}, "a")
	w.snapshot(t, "3", []string{"d"})
	w.Begins(t, "4", "3")
	w.Drop(t, "3")
	w.snapshot(t, "garbage", []string{"g"}, "a")
	w.Drop(t, "garbage")
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110})
	w.store.calls = nil
	w.run(t, gc.Report{})
	if d := cmp.Diff(map[string]int{"InFlight": 1, "Pending": 1, "FilesWithRows": 1}, w.store.calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

// whatStaysIsNotTouched: rows that stay are not written to, even when others go that
// name the same blocks.
func whatStaysIsNotTouched(t *testing.T, w *world) {
	w.window = 1 // several windows
	w.snapshot(t, "1", []string{"a", "b"})
	w.snapshot(t, "2", []string{"c"}, "a")
	w.snapshot(t, "3", nil, "a", "b") // the page of 1
	w.Drop(t, "2")
	w.Drop(t, "3")
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 5, Bytes: 2*10 + 2*100 + 1000})
	if d := cmp.Diff([]block.ID{blockID("c")}, w.store.blocks); d != "" {
		t.Errorf("condemned blocks (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]snapshot.PageID{pageID([]string{"c", "a"})}, w.store.pages); d != "" {
		t.Errorf("condemned pages (-want +got):\n%s", d)
	}
	w.alive(t, "abc", "a", "b")
}

// aClaimThatCameToNothing: a unit relied on garbage, so that it stayed, and then
// failed. No event will let go of that block again; it must not be forgotten.
func aClaimThatCameToNothing(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	w.Drop(t, "1")
	w.store.once("DeleteCondemned", 1, func() {
		w.Begin(t)
		w.claim(t, "a", true)
	})
	w.run(t, gc.Report{Pages: 1, Files: 2, Bytes: 110})
	w.alive(t, "a", "a")
	w.ahead = 1000 * time.Hour
	w.run(t, gc.Report{Blocks: 1, Files: 1, Bytes: 1000})
}

// losers: a pack goes when all blocks in it were let go, or were stored already.
func losers(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	w.draft(t, "2", []string{"a", "b"})
	w.Drop(t, "1")
	w.run(t, gc.Report{Pages: 1, Files: 2, Bytes: 110})
	w.alive(t, "ab", "a", "b")
	w.Drop(t, "2")
	w.run(t, gc.Report{Blocks: 2, Pages: 1, Files: 3, Bytes: 2100})
	w.alive(t, "ab")
}

// holdsKeep: what a reader holds stays until it lets go or does not extend its hold
// in time; then the hold is lost for good.
func holdsKeep(t *testing.T, w *world) {
	take := func(id string, until time.Duration) snapshot.Hold {
		t.Helper()
		h, err := w.Holds.Take(t.Context(), id, time.Now().Add(until), "test")
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	w.snapshot(t, "1", []string{"a"})
	lapses, released := take("1", time.Hour), take("1", 9*time.Hour)
	w.Drop(t, "1")
	if _, err := w.Holds.Take(t.Context(), "1", time.Now().Add(time.Hour), "test"); !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("a hold of what is deleted: got %v, want %v", err, snapshot.ErrNotFound)
	}
	w.run(t, gc.Report{})
	w.alive(t, "a", "a")
	w.ahead, w.lag = 2*time.Hour, time.Hour+time.Minute // a jump: whoever is alive will extend its hold
	w.run(t, gc.Report{})
	lapses, err := w.Holds.Extend(t.Context(), lapses, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	w.lag = 0
	w.run(t, gc.Report{})
	if _, err := w.Holds.Extend(t.Context(), lapses, time.Now().Add(9*time.Hour)); !errors.Is(err, snapshot.ErrHoldLost) {
		t.Errorf("extending a lost hold: got %v, want %v", err, snapshot.ErrHoldLost)
	}
	if released, err = w.Holds.Extend(t.Context(), released, time.Now().Add(20*time.Hour)); err != nil {
		t.Fatal(err)
	}
	w.ahead = 10 * time.Hour
	w.run(t, gc.Report{})
	w.alive(t, "a", "a")
	if err := w.Holds.Release(t.Context(), released); err != nil {
		t.Error(err)
	}
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110})
}

// aHoldFromTheFuture was taken by a clock that ran ahead; set right, it lapses all the
// same.
func aHoldFromTheFuture(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	if _, err := w.Holds.Take(t.Context(), "1", time.Now().Add(1000*24*time.Hour), "test"); err != nil {
		t.Fatal(err)
	}
	w.Drop(t, "1")
	w.run(t, gc.Report{})
	w.alive(t, "a", "a")
	w.ahead = 25 * time.Hour
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110})
}

// takeAll holds all files.
func (w *world) takeAll(t *testing.T) snapshot.Hold {
	t.Helper()
	h, err := w.Holds.TakeAll(t.Context(), time.Now().Add(time.Hour), "test")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// aHoldOfAllFiles keeps files, not rows; and lapses as any other.
func aHoldOfAllFiles(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	h := w.takeAll(t)
	w.Drop(t, "1")
	w.run(t, gc.Report{Blocks: 1, Pages: 1})
	if err := w.Holds.Release(t.Context(), h); err != nil {
		t.Error(err)
	}
	w.run(t, gc.Report{Files: 3, Bytes: 1110})
	w.snapshot(t, "2", []string{"b"})
	w.takeAll(t)
	w.Drop(t, "2")
	w.run(t, gc.Report{Blocks: 1, Pages: 1})
	w.ahead = 2 * time.Hour
	w.run(t, gc.Report{Files: 3, Bytes: 1110})
}

// aHoldOfAllFilesMeanwhile is taken while a cycle is about to remove files. What rows
// name then stays, though they let go of it before the file's turn comes.
func aHoldOfAllFilesMeanwhile(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	w.Drop(t, "1")
	var h snapshot.Hold
	w.store.once("TakeFiles", 1, func() { h = w.takeAll(t) })
	w.run(t, gc.Report{Blocks: 1, Pages: 1})
	if err := w.Holds.Release(t.Context(), h); err != nil {
		t.Error(err)
	}
	w.run(t, gc.Report{Files: 3, Bytes: 1110})
}

// aHeldPageOfOthers: a hold is marked from, even when a snapshot with the same page
// lets go of it.
func aHeldPageOfOthers(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	w.snapshot(t, "2", nil, "a") // the same page
	h, err := w.Holds.Take(t.Context(), "1", time.Now().Add(time.Hour), "test")
	if err != nil {
		t.Fatal(err)
	}
	w.run(t, gc.Report{Files: 1, Bytes: 100}) // 2's copy of the page
	w.Drop(t, "1")
	w.Drop(t, "2")
	w.run(t, gc.Report{Files: 1, Bytes: 10})
	w.alive(t, "a", "a")
	if err := w.Holds.Release(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110})
}

// aReaderMeanwhile: a reader takes a hold of a snapshot, which is then deleted, at
// any step of a cycle.
func aReaderMeanwhile(t *testing.T, w *world) {
	var holds []snapshot.Hold
	for i, at := range []string{"Pending", "ReleasedRoots", "Drafts", "Roots", "LocatePages", "Condemn", "InFlight", "DeleteCondemned", "TakeFiles"} {
		w.snapshot(t, "garbage", []string{"z"})
		w.Drop(t, "garbage")
		name := string(rune('a' + i))
		w.snapshot(t, name, []string{name})
		w.store.once(at, 1, func() {
			h, err := w.Holds.Take(t.Context(), name, time.Now().Add(time.Hour), "test")
			if err != nil {
				t.Error(err)
			}
			holds = append(holds, h)
			w.Drop(t, name)
		})
		w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110})
	}
	w.alive(t, "abcdefghi", "a", "b", "c", "d", "e", "f", "g", "h", "i")
	for _, h := range holds {
		if err := w.Holds.Release(t.Context(), h); err != nil {
			t.Error(err)
		}
	}
	w.run(t, gc.Report{Blocks: 9, Pages: 9, Files: 27, Bytes: 9 * 1110})
}

// garbage makes something that a cycle frees whatever else is wrong.
func (w *world) garbage(t *testing.T) (freed gc.Report) {
	t.Helper()
	was := w.domain
	w.domain = "dom-garbage"
	w.snapshot(t, "garbage", []string{"some garbage"})
	w.Drop(t, "garbage")
	w.domain = was
	return gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110}
}

// runDamaged does a cycle in which something is damaged, of each of which the report
// must speak, and compares the rest of it.
func (w *world) runDamaged(t *testing.T, want gc.Report, damaged ...string) {
	t.Helper()
	got, err := w.collector().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Damaged) != len(damaged) {
		t.Errorf("damaged: %q, want something of %q", got.Damaged, damaged)
	}
	for _, name := range damaged {
		if !slices.ContainsFunc(got.Damaged, func(text string) bool { return len(text) > len(name) && text[:len(name)] == name }) {
			t.Errorf("damaged: %q, want something of %s", got.Damaged, name)
		}
	}
	got.Damaged = nil
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("report (-want +got):\n%s", d)
	}
}

// damagedRowsOfFiles: whatever a file's own row says, what lies in it is named.
func damagedRowsOfFiles(t *testing.T, w *world) {
	for name, damage := range map[string]func(*testing.T, blockstore.FileID){
		"lost": w.Break.LoseFile, "opened": w.Break.OpenFile,
		"renumbered": func(t *testing.T, id blockstore.FileID) { w.Break.Renumber(t, id, id+1<<50) },
	} {
		for back, kind := range []blockstore.FileKind{blockstore.RootFile, blockstore.PagesFile, blockstore.PackFile} {
			root := w.snapshot(t, name+string(kind), []string{name + string(kind)})
			f := blockstore.File{ID: root.ID - blockstore.FileID(back), Kind: kind}
			files := len(w.files)
			freed := w.garbage(t)
			damage(t, f.ID)
			got, err := w.collector().Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(w.files) != files || got.Blocks != freed.Blocks || got.Files != freed.Files {
				t.Errorf("%s row of a %s: %d files of %d are left, report %+v", name, kind, len(w.files), files, got)
			}
			if !slices.ContainsFunc(got.Damaged, func(text string) bool { return text[:len(f.Name())] == f.Name() }) {
				t.Errorf("%s row of a %s: nothing is said of %s: %q", name, kind, f.Name(), got.Damaged)
			}
		}
	}
}

// damagedRowsInFiles: a file is not garbage because the rows of what lies in it are
// lost.
func damagedRowsInFiles(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	w.snapshot(t, "2", []string{"b", "c"})
	w.Break.LoseBlock(t, blockID("a"))
	w.Break.LoseBlock(t, blockID("b"))
	pack := blockstore.File{ID: 4, Kind: blockstore.PackFile}
	w.run(t, gc.Report{})
	w.Drop(t, "2")
	w.runDamaged(t, gc.Report{Blocks: 1, Pages: 1, Files: 2, Bytes: 110}, pack.Name())
	if len(w.files) != 4 {
		t.Errorf("files %v: want the four of which something is not accounted for", w.files)
	}
}

// anotherRoot: a snapshot's row names the root of another snapshot. Its own root, and
// what hangs on it, is not garbage; neither is the other's when that is deleted.
func anotherRoot(t *testing.T, w *world) {
	first := w.snapshot(t, "1", []string{"a"})
	second := w.snapshot(t, "2", []string{"b"})
	w.snapshot(t, "3", []string{"c"}, "a")
	w.Break.SetRoot(t, "1", second.ID)
	w.Drop(t, "3")
	w.runDamaged(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110}, first.Name())
	w.Drop(t, "2")
	w.runDamaged(t, gc.Report{}, second.Name())
	w.alive(t, "abc", "a", "b")
	w.Break.SetRoot(t, "1", first.ID)
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110})
	w.alive(t, "abc", "a")
}

// aHealedBlock: the pack that a damaged block has left goes with what else is in it.
func aHealedBlock(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	w.snapshot(t, "2", []string{"b", "c"})
	for name, at := range map[string]blockstore.Location{
		"a": {File: blockstore.File{ID: 1}, Span: blockstore.Span{Off: 1, Len: 1}}, "b": {File: blockstore.File{ID: 4}, Span: blockstore.Span{Off: 1, Len: 1}},
	} {
		if err := w.Catalog.MarkDamaged(t.Context(), blockID(name), at); err != nil {
			t.Fatal(err)
		}
	}
	w.draft(t, "3", []string{"a", "b"})
	w.run(t, gc.Report{Files: 1, Bytes: 1000})
	w.alive(t, "abc", "a", "b", "c")
	w.Drop(t, "2")
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110})
	w.alive(t, "abc", "a", "b")
}

// damagedDomain makes a snapshot "1" of a, b, something else to be freed in its
// domain, which shares a, and garbage in another domain.
func (w *world) damagedDomain(t *testing.T) (root blockstore.File) {
	t.Helper()
	w.domain = "dom-damaged"
	root = w.snapshot(t, "1", []string{"a", "b"})
	w.snapshot(t, "2", []string{"c"}, "a")
	w.Drop(t, "2")
	w.garbage(t)
	return root
}

// aRottenRoot: what may hang on it stays; everything else is freed.
func aRottenRoot(t *testing.T, w *world) {
	root := w.damagedDomain(t)
	w.rotten[root.ID] = true
	w.runDamaged(t, gc.Report{Blocks: 1, Files: 3, Bytes: 1020}, root.Name())
	w.alive(t, "abc", "a", "b", "c")
	w.rotten[root.ID] = false
	w.run(t, gc.Report{Blocks: 1, Pages: 2, Files: 3, Bytes: 1200})
	w.alive(t, "abc", "a", "b")
}

func aRottenPage(t *testing.T, w *world) {
	w.damagedDomain(t)
	page := pageID([]string{"a", "b"})
	w.rotten[page] = true
	w.runDamaged(t, gc.Report{Blocks: 1, Pages: 2, Files: 5, Bytes: 1220}, "page 70616765205b61206")
	w.alive(t, "abc", "a", "b", "c")
	w.rotten[page] = false
	w.run(t, gc.Report{Blocks: 1, Files: 1, Bytes: 1000})
	w.alive(t, "abc", "a", "b")
}

// aMissingPage: a page that a root names has lost its row. The blocks that it names
// stay, and so does the file that it lies in.
func aMissingPage(t *testing.T, w *world) {
	w.damagedDomain(t)
	w.Break.LosePage(t, pageID([]string{"a", "b"}))
	w.runDamaged(t, gc.Report{Blocks: 1, Pages: 2, Files: 5, Bytes: 1220}, "page 70616765205b61206")
	w.alive(t, "abc", "a", "b", "c")
	if len(w.files) != 4 {
		t.Errorf("files %v: want the three of the snapshot and the pack of c", w.files)
	}
}

// damageThatStands costs one more walk over everything when it is met first, and none after
// that, however many windows and cycles there are.
func damageThatStands(t *testing.T, w *world) {
	w.window = 1
	root := w.damagedDomain(t)
	w.rotten[root.ID] = true
	c := w.collector()
	for i, more := range []int{1, 0, 0} {
		w.garbage(t)
		walks, windows := w.store.calls["Roots"], w.store.calls["NextPass"]
		r, err := c.Run(t.Context())
		if err != nil || len(r.Damaged) != 1 {
			t.Fatalf("cycle %d: %v; damaged: %q", i, err, r.Damaged)
		}
		walks, windows = w.store.calls["Roots"]-walks, w.store.calls["NextPass"]-windows
		if windows < 2 || walks > windows+more {
			t.Errorf("cycle %d: %d walks for %d windows, want at most %d more", i, walks, windows, more)
		}
	}
	w.rotten[root.ID] = false
	if r, err := c.Run(t.Context()); err != nil || len(r.Damaged) != 0 {
		t.Errorf("mended: %v; damaged: %q", err, r.Damaged)
	}
}

// aRottenRootIsDeleted: nothing under it can be told any more, so all is looked at.
func aRottenRootIsDeleted(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	root := w.snapshot(t, "2", []string{"b"}, "a")
	w.rotten[root.ID] = true
	w.Drop(t, "2")
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110})
	w.alive(t, "ab", "a")
}

func aRottenPageIsDeleted(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a"})
	w.snapshot(t, "2", []string{"b"}, "a")
	w.rotten[pageID([]string{"b", "a"})] = true
	w.Drop(t, "2")
	w.run(t, gc.Report{Pages: 1, Files: 2, Bytes: 110})
	w.run(t, gc.Report{Blocks: 1, Files: 1, Bytes: 1000})
	w.alive(t, "ab", "a")
}
