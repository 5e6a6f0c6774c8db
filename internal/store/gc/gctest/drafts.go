package gctest

import (
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// finishAppend ends the append that wrote stored blocks and names the named ones
// as well, at indexes from first on.
func (w *world) finishAppend(t *testing.T, l work.Lease, draft string, first int, stored []string, named ...string) error {
	t.Helper()
	var packs []blockstore.ClosedPack
	if len(stored) > 0 {
		packs = []blockstore.ClosedPack{{File: w.create(t, l, blockstore.PackFile), Bytes: 1000}}
	}
	for i, name := range stored {
		packs[0].Blocks = append(packs[0].Blocks, blockstore.Placement{ID: blockID(name), Span: blockstore.Span{Off: uint32(i) + 1, Len: 1}})
	}
	var blocks []snapshot.DraftBlock
	for i, name := range slices.Concat(stored, named) {
		blocks = append(blocks, snapshot.DraftBlock{Index: int64(first + i), ID: blockID(name)})
	}
	return w.Append(l, draft, packs, blocks)
}

func (w *world) appendTo(t *testing.T, draft string, first int, stored []string, named ...string) {
	t.Helper()
	if err := w.finishAppend(t, w.Begin(t), draft, first, stored, named...); err != nil {
		t.Fatal(err)
	}
}

// appendsStay: what appends registered is referenced, what they replaced is not.
func appendsStay(t *testing.T, w *world) {
	w.Draft(t, "1", "")
	w.appendTo(t, "1", 0, []string{"a", "b"})
	w.appendTo(t, "1", 1, []string{"c"})
	w.run(t, gc.Report{Blocks: 1})
	w.alive(t, "abc", "a", "c")
	w.Drop(t, "1")
	w.run(t, gc.Report{Blocks: 2, Files: 2, Bytes: 2000})
	w.alive(t, "abc")
}

// anAppendMeanwhile: an append that relied on a block before it was condemned is
// committed while gc waits, and one that began later at any of its steps.
func anAppendMeanwhile(t *testing.T, w *world) {
	w.snapshot(t, "1", []string{"a", "b"})
	w.Draft(t, "2", "")
	l := w.Begin(t)
	w.claim(t, "a", true)
	w.Drop(t, "1")
	w.store.once("InFlight", 3, func() {
		if err := w.finishAppend(t, l, "2", 7, nil, "a"); err != nil {
			t.Error(err)
		}
	})
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 2, Bytes: 110})
	for i, at := range []string{"DraftBlocks", "Roots", "Condemn", "DeleteCondemned"} {
		name := string(rune('p' + i))
		w.snapshot(t, name, []string{name})
		w.Drop(t, name)
		w.store.once(at, 1, func() {
			l := w.Begin(t)
			w.claim(t, name, true)
			if err := w.finishAppend(t, l, "2", i, nil, name); err != nil {
				t.Error(err)
			}
		})
		w.run(t, gc.Report{Pages: 1, Files: 2, Bytes: 110})
	}
	w.alive(t, "abpqrs", "a", "p", "q", "r", "s")
}

// aHoldMeanwhile: a snapshot is deleted after a draft began as it, at any step.
func aHoldMeanwhile(t *testing.T, w *world) {
	for i, at := range []string{"Drafts", "DraftBlocks", "Roots", "LocatePages", "Condemn", "DeleteCondemned"} {
		nth := 2 // the pass that decides
		if at == "DeleteCondemned" || at == "Condemn" {
			nth = 1
		}
		w.snapshot(t, "garbage", []string{"g"})
		w.Drop(t, "garbage")
		name := string(rune('a' + i))
		w.snapshot(t, name, []string{name})
		w.store.once(at, nth, func() {
			w.Begins(t, "0 holds "+name, name) // sorts before what it holds
			w.Drop(t, name)
		})
		w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110})
	}
	w.run(t, gc.Report{})
	w.alive(t, "abcdef", "a", "b", "c", "d", "e", "f")
	w.Drop(t, "0 holds a")
	w.run(t, gc.Report{Blocks: 1, Pages: 1, Files: 3, Bytes: 1110})
}
