package gctest

import (
	"testing"

	"github.com/diskport/diskport/internal/store/gc"
)

// letGoInSlices: a row that waits for its turn keeps what it names, and no more.
func letGoInSlices(t *testing.T, w *world) {
	w.Draft(t, "1", "")
	for i, name := range []string{"a", "b", "c"} {
		w.appendTo(t, "1", i, []string{name})
	}
	w.Slices(1)
	w.Drop(t, "1")
	w.run(t, gc.Report{Blocks: 1, Files: 1, Bytes: 1000})
	w.alive(t, "abc", "b", "c")
	for left := true; left; {
		left = w.LetGo(t, "1")
	}
	w.run(t, gc.Report{Blocks: 2, Files: 2, Bytes: 2000})
	w.alive(t, "abc")
}

// letGoMeanwhile: a row's turn comes at any step of a cycle; the next one finds what
// it named.
func letGoMeanwhile(t *testing.T, w *world) {
	w.Slices(1)
	for _, at := range []string{"TakeBlocks", "DraftBlocks", "Roots", "Settle", "Condemn", "InFlight", "DeleteCondemned"} {
		w.Draft(t, at, "")
		w.appendTo(t, at, 0, []string{"g"})
		w.appendTo(t, at, 1, []string{"x"})
		w.Drop(t, at)
		if at == "Settle" { // something has to be found referenced
			w.Draft(t, "keeps", "")
			w.appendTo(t, "keeps", 0, nil, "g")
		}
		w.store.once(at, 1, func() { w.LetGo(t, at) })
		var freed int64
		for range 2 {
			r, err := w.collector().Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			freed += r.Blocks
		}
		if at == "Settle" {
			w.alive(t, "gx", "g")
			w.Drop(t, "keeps")
			w.run(t, gc.Report{Blocks: 1, Files: 1, Bytes: 1000})
			continue
		}
		if w.alive(t, "gx"); freed != 2 {
			t.Errorf("let go at %s: freed %d blocks, want 2", at, freed)
		}
	}
}

// leavingsOfASnapshot: rows of a draft that was published wait for their turn when its
// snapshot is deleted, and a cycle that meets them takes what they name for referenced.
func leavingsOfASnapshot(t *testing.T, w *world) {
	w.draft(t, "1", []string{"d", "e"})
	w.appendTo(t, "1", 0, nil, "d")
	w.appendTo(t, "1", 1, nil, "e")
	w.Slices(1)
	w.publish(t, "1", "d", "e")
	w.run(t, gc.Report{})
	w.Drop(t, "1")
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 2, Bytes: 110})
	w.alive(t, "de", "e")
	for left := true; left; {
		left = w.LetGo(t, "1")
	}
	w.run(t, gc.Report{Blocks: 1, Files: 1, Bytes: 1000})
	w.alive(t, "de")
}

// aSliceMeanwhile: gc waits for the slice of a range that was in flight and relies on
// a block, not for those behind it; what slices registered stays until the draft ends.
func aSliceMeanwhile(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a", "b"})
	w.Draft(t, "2", "")
	l := w.Begin(t)
	w.claim(t, "a", true)
	w.Drop(t, "1")
	w.store.once("InFlight", 3, func() {
		if err := w.finishPage(t, l, "2", nil, "a"); err != nil {
			t.Error(err)
		}
		w.Begin(t) // the next slice, which goes on
	})
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 2, Bytes: 110})
	w.alive(t, "ab", "a")
	w.Drop(t, "2")
	w.alive(t, "ab", "a")
}
