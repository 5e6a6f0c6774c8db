package importtasktest

import (
	"errors"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// slice ends the next slice of the lease's range, and returns what it held.
func (b Bench) slice(t *testing.T, l work.Lease, done int64, blocks ...string) importtask.RangeResult {
	t.Helper()
	r := b.result(t, l, blocks...)
	if err := b.Tasks.FinishSlice(t.Context(), l, r, done); err != nil {
		t.Fatal(err)
	}
	return r
}

func aRangeInSlices(t *testing.T, b Bench) {
	l := b.planned(t, 1, 1)[0]
	if _, err := b.Work.Renew(t.Context(), l, time.Now(), work.Progress{Done: 90, Data: []byte(`{"done":90}`)}); err != nil {
		t.Fatal(err)
	}
	first := b.slice(t, l, 2, "a", "b")
	v := b.see(t, 1, "a", "c")
	same(t, "what the first slice counted", counts, v.Task.Counts) // what was reported of it is in it
	same(t, "its blocks", map[block.ID]blockstore.Location{blockID("a"): {File: first.Packs[0].File, Span: spanOf(0)}}, v.Blocks)
	same(t, "its pages", first.Pages, v.Draft)
	if v.Task.RangesLeft != 1 || v.Task.State != importtask.Active {
		t.Errorf("after a slice: %+v", v.Task)
	}
	wantError(t, "the same slice again", b.Tasks.FinishSlice(t.Context(), l, first, 2), work.ErrLost)
	same(t, "after the same slice again", v, b.see(t, 1, "a", "c"))

	l = b.claim(t, work.Range) // at once
	if l.Done != 2 || l.Claims != 1 || l.Range != 0 {
		t.Errorf("the rest of the range is %+v, want it from page 2 on", l)
	}
	second := b.slice(t, l, 3, "c", "d")
	l = b.claim(t, work.Range)
	if l.Done != 3 {
		t.Errorf("the rest of the range is %+v, want it from page 3 on", l)
	}
	third := b.result(t, l, "a", "e")
	l, ok := b.finish(t, l, third)
	if !ok || l.Kind != work.Publish {
		t.Fatalf("after the last slice: %+v, %v", l, ok)
	}
	pages := []snapshot.PagePlace{first.Pages[0], second.Pages[0], third.Pages[0]}
	same(t, "pages of all slices", pages, b.see(t, 1).Draft)
	if err := b.publish(t, l, 6); err != nil {
		t.Fatal(err)
	}
	checkCompleted(t, b, 1, 6, 3)
}

// aRangeGoesOn: what a slice registered stays when the attempt behind it dies. What that
// attempt reported is shown until there is more, but does not count.
func aRangeGoesOn(t *testing.T, b Bench) {
	b.slice(t, b.planned(t, 1, 1)[0], 5, "a", "b")
	dead := b.claim(t, work.Range)
	late := b.result(t, dead, "x", "y")
	if _, err := b.Work.Renew(t.Context(), dead, time.Now(), work.Progress{Done: 50, Data: []byte(`{"done":50}`)}); err != nil {
		t.Fatal(err)
	}
	if err := b.Starter.ExpireAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	shown := counts
	shown.Add(importtask.Counts{Done: 50})
	same(t, "after a crash", shown, b.get(t, taskID(1)).Counts)
	l := b.claim(t, work.Range)
	if l.Done != 5 || l.Attempt == dead.Attempt {
		t.Errorf("claimed again: %+v", l)
	}
	before := b.see(t, 1, "x")
	wantError(t, "a slice of the dead attempt", b.Tasks.FinishSlice(t.Context(), dead, late, 7), work.ErrLost)
	same(t, "after a slice of the dead attempt", before, b.see(t, 1, "x"))
	l, _ = b.finish(t, l, b.result(t, l, "x", "y"))
	if err := b.publish(t, l, 4); err != nil {
		t.Fatal(err)
	}
	checkCompleted(t, b, 1, 4, 2)
}

func aSliceIsRefused(t *testing.T, b Bench) {
	l := b.planned(t, 1, 1)[0]
	b.slice(t, l, 5, "a")
	l = b.claim(t, work.Range)
	before := b.see(t, 1, "x")
	miscounted := b.result(t, l, "x")
	miscounted.Counts.Data = 2
	for _, c := range []struct {
		name string
		r    importtask.RangeResult
		done int64
	}{
		{"it does nothing", b.result(t, l, "x"), 5},
		{"it goes back", b.result(t, l, "x"), 4},
		{"its pages name fewer blocks than it counts", miscounted, 6},
	} {
		if err := b.Tasks.FinishSlice(t.Context(), l, c.r, c.done); err == nil || errors.Is(err, work.ErrLost) {
			t.Errorf("%s: got %v, want an error that is not a lost lease", c.name, err)
		}
		same(t, c.name, before, b.see(t, 1, "x"))
	}
	if _, _, err := b.Tasks.FinishRange(t.Context(), l, miscounted); err == nil {
		t.Error("a range was finished whose pages name fewer blocks than it counts")
	}
	b.slice(t, l, 6, "x") // the lease is still good
}

// slicesAreCleanedUp: a task may end between two slices.
func slicesAreCleanedUp(t *testing.T, b Bench) {
	b.slice(t, b.planned(t, 1, 1)[0], 1, "a")
	b.slice(t, b.claim(t, work.Range), 2, "b")
	if _, err := b.Tasks.Cancel(t.Context(), home, taskID(1), failure); err != nil {
		t.Fatal(err)
	}
	if err := b.Tasks.CleanedUp(t.Context(), b.claim(t, work.Cleanup)); err != nil {
		t.Fatal(err)
	}
	if v := b.see(t, 1); len(v.Draft) != 0 || v.Task.State != importtask.Deleted {
		t.Errorf("after its end: %+v", v)
	}
	b.noUnits(t)
}
