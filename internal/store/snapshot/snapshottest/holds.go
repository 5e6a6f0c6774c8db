package snapshottest

import (
	"testing"
	"time"

	"github.com/diskport/diskport/internal/store/snapshot"
)

// holds: only what exists and is completed can be held; holds of one root are
// independent of each other and of the snapshot.
func holds(t *testing.T, b Bench) {
	b.Add(t, record(one, snapshot.Completed))
	b.Add(t, record(two, snapshot.Pending))
	until := start.Add(time.Hour)
	for _, id := range []string{two, "snap-0ffffffffffffffff"} {
		_, err := b.Holds.Take(t.Context(), id, until, "test")
		fails(t, "a hold of "+id, err, snapshot.ErrNotFound)
	}
	take := func() snapshot.Hold {
		t.Helper()
		h, err := b.Holds.Take(t.Context(), one, until, "test")
		if err != nil {
			t.Fatal(err)
		}
		if h.Root != record(one, snapshot.Completed).Root.ID || !h.Until.Equal(until) || h.Why != "test" {
			t.Errorf("hold %+v", h)
		}
		return h
	}
	first, second := take(), take()
	if first.ID == second.ID {
		t.Errorf("two holds are %d", first.ID)
	}
	must(t, b.Store.Delete(t.Context(), of("a"), one))
	_, err := b.Holds.Take(t.Context(), one, until, "test")
	fails(t, "a hold of what was deleted", err, snapshot.ErrNotFound)
	must(t, b.Holds.Release(t.Context(), first))
	must(t, b.Holds.Release(t.Context(), first))
	_, err = b.Holds.Extend(t.Context(), first, until)
	fails(t, "extending what was released", err, snapshot.ErrHoldLost)
	later, err := b.Holds.Extend(t.Context(), second, until.Add(time.Hour))
	if err != nil || !later.Until.Equal(until.Add(time.Hour)) || later.ID != second.ID {
		t.Errorf("extended: %+v, %v", later, err)
	}
	must(t, b.Holds.Release(t.Context(), later))
}

// holdsOfAll lapse, and are extended and released, as others are.
func holdsOfAll(t *testing.T, b Bench) {
	until := start.Add(time.Hour)
	all, err := b.Holds.TakeAll(t.Context(), until, "test")
	if err != nil || all.Root != 0 || !all.Until.Equal(until) || all.Why != "test" {
		t.Fatalf("hold %+v, %v", all, err)
	}
	later, err := b.Holds.Extend(t.Context(), all, until.Add(time.Hour))
	if err != nil || !later.Until.Equal(until.Add(time.Hour)) || later.ID != all.ID {
		t.Errorf("extended: %+v, %v", later, err)
	}
	must(t, b.Holds.Release(t.Context(), later))
	_, err = b.Holds.Extend(t.Context(), all, until)
	fails(t, "extending what was released", err, snapshot.ErrHoldLost)
}
