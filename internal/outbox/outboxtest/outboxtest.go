// Package outboxtest is the suite that every outbox.Store passes.
package outboxtest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/outbox"
)

// Bench is a store under test, empty.
type Bench struct {
	Store      outbox.Store
	Backlog    outbox.Backlogs
	Conditions outbox.Conditions
	// Tell makes an event part of a transaction, which is committed unless fail is
	// an error.
	Tell func(t *testing.T, e outbox.Event, fail error) error
}

// Test runs the suite; open returns an empty bench.
func Test(t *testing.T, open func(t *testing.T) Bench) {
	for name, fn := range map[string]func(*testing.T, Bench){
		"OldestFirstUntilTold":     oldestFirstUntilTold,
		"RolledBackIsNotTold":      rolledBackIsNotTold,
		"ForgottenAfterItsTime":    forgottenAfterItsTime,
		"ConcurrentEventsDiffer":   concurrentEventsDiffer,
		"DetailsComeBackAsTheyAre": detailsComeBack,
		"ConditionsAreToldOnce":    conditionsAreToldOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, open(t))
		})
	}
}

var at = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

func event(resource string) outbox.Event {
	return outbox.Event{Kind: outbox.SnapshotDeleted, Account: "a", Resource: resource, At: at}
}

func tell(t *testing.T, b Bench, e outbox.Event) {
	t.Helper()
	if err := b.Tell(t, e, nil); err != nil {
		t.Fatal(err)
	}
}

// pending returns the events and the resources that they are about.
func pending(t *testing.T, b Bench, limit int) (events []outbox.Event, about []string) {
	t.Helper()
	events, err := b.Store.Pending(t.Context(), 0, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		about = append(about, e.Resource)
	}
	return events, about
}

func oldestFirstUntilTold(t *testing.T, b Bench) {
	for _, id := range []string{"one", "two", "three"} {
		tell(t, b, event(id))
	}
	events, about := pending(t, b, 2)
	if !slices.Equal(about, []string{"one", "two"}) || events[0].ID >= events[1].ID {
		t.Errorf("pending: %+v, want one and two", events)
	}
	if later, err := b.Store.Pending(t.Context(), events[1].ID, 10); err != nil || len(later) != 1 || later[0].Resource != "three" {
		t.Errorf("pending behind two: %+v, %v", later, err)
	}
	if n, oldest, err := b.Backlog.Backlog(t.Context()); n != 3 || !oldest.Equal(at) || err != nil {
		t.Errorf("the backlog is %d events since %v, %v", n, oldest, err)
	}
	for range 2 { // a sender may have died before it called Told
		if err := b.Store.Told(t.Context(), events[0].ID, events[1].ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, about = pending(t, b, 10); !slices.Equal(about, []string{"three"}) {
		t.Errorf("pending: %v, want three", about)
	}
	if err := b.Store.Told(t.Context()); err != nil {
		t.Errorf("telling nothing: %v", err)
	}
	if err := b.Store.Told(t.Context(), events[1].ID+1); err != nil {
		t.Fatal(err)
	}
	if n, oldest, err := b.Backlog.Backlog(t.Context()); n != 0 || !oldest.IsZero() || err != nil {
		t.Errorf("an empty backlog is %d events since %v, %v", n, oldest, err)
	}
}

func rolledBackIsNotTold(t *testing.T, b Bench) {
	fail := errors.New("no")
	if err := b.Tell(t, event("never"), fail); !errors.Is(err, fail) {
		t.Fatalf("got %v", err)
	}
	tell(t, b, event("one"))
	if _, about := pending(t, b, 10); !slices.Equal(about, []string{"one"}) {
		t.Errorf("pending: %v, want what was committed", about)
	}
}

func forgottenAfterItsTime(t *testing.T, b Bench) {
	late := event("late")
	late.At = at.Add(time.Hour)
	tell(t, b, event("old"))
	tell(t, b, late)
	if n, err := b.Store.Forget(t.Context(), at.Add(time.Minute)); n != 1 || err != nil {
		t.Errorf("forgot %d, %v, want 1", n, err)
	}
	if _, about := pending(t, b, 10); !slices.Equal(about, []string{"late"}) {
		t.Errorf("pending: %v, want late", about)
	}
}

func concurrentEventsDiffer(t *testing.T, b Bench) {
	const writers, each = 4, 5
	done := make(chan error)
	for range writers {
		go func() {
			var err error
			for range each {
				err = errors.Join(err, b.Tell(t, event("x"), nil))
			}
			done <- err
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	events, _ := pending(t, b, 100)
	ids := map[int64]bool{}
	for _, e := range events {
		ids[e.ID] = true
	}
	if len(ids) != writers*each {
		t.Errorf("%d events of %d have a number of their own", len(ids), writers*each)
	}
}

func detailsComeBack(t *testing.T, b Bench) {
	want := outbox.Event{
		Kind: outbox.SnapshotShared, Account: "a", Region: "eu-north-1", Resource: "snap-1", At: at,
		Detail: outbox.Detail{Snapshot: "s", CopyOf: "o", Reason: "r", Message: "m ü", Added: []string{"1"}, Removed: []string{"2", "3"}, Part: "p", Advice: "a", Free: 1 << 40},
	}
	tell(t, b, want)
	events, _ := pending(t, b, 10)
	if len(events) != 1 {
		t.Fatalf("pending: %+v", events)
	}
	want.ID = events[0].ID
	if diff := cmp.Diff(want, events[0]); diff != "" {
		t.Errorf("an event came back changed (-want +got):\n%s", diff)
	}
}

// conditionsAreToldOnce: a condition is told of when it begins, and again only if it has
// ended in between.
func conditionsAreToldOnce(t *testing.T, b Bench) {
	ctx, conditions := t.Context(), b.Conditions
	of := func(place string, minute int) outbox.Condition {
		return outbox.Condition{Topic: outbox.Damage, Place: place, Seen: at.Add(time.Duration(minute) * time.Minute)}
	}
	disk := outbox.Condition{Topic: outbox.Disk, Place: "x", Seen: at}
	for _, step := range []struct {
		name string
		do   func() error
		want []string // told so far
	}{
		{"x begins", func() error { return conditions.Begin(ctx, of("x", 0), event("x")) }, []string{"x"}},
		{"x stands", func() error { return conditions.Begin(ctx, of("x", 5), event("x")) }, []string{"x"}},
		{"the disk begins", func() error { return conditions.Begin(ctx, disk, event("disk")) }, []string{"x", "disk"}},
		{"y begins", func() error { return conditions.Begin(ctx, of("y", 1), event("y")) }, []string{"x", "disk", "y"}},
		{"y is not seen", func() error { return conditions.EndUnseen(ctx, outbox.Damage, of("", 5).Seen) }, []string{"x", "disk", "y"}},
		{"x was seen later before", func() error { return conditions.Begin(ctx, of("x", 2), event("x")) }, []string{"x", "disk", "y"}},
		{"y begins anew", func() error { return conditions.Begin(ctx, of("y", 6), event("y again")) }, []string{"x", "disk", "y", "y again"}},
		{"x ends", func() error { return conditions.End(ctx, of("x", 7), event("x ends")) }, []string{"x", "disk", "y", "y again", "x ends"}},
		{"x has ended", func() error { return conditions.End(ctx, of("x", 8), event("x ends")) }, []string{"x", "disk", "y", "y again", "x ends"}},
		{"the disk stands", func() error { return conditions.Begin(ctx, disk, event("disk")) }, []string{"x", "disk", "y", "y again", "x ends"}},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if _, about := pending(t, b, 10); !slices.Equal(about, step.want) {
			t.Errorf("%s: told of %q, want %q", step.name, about, step.want)
		}
	}
	for _, c := range []struct {
		at    outbox.Condition
		stood bool
		met   bool
	}{
		{disk, true, true}, {of("x", 8), false, false}, {of("y", 6), true, true}, {of("y", 65), true, true}, {of("y", 66), true, false}, {of("y", -60), true, false},
	} {
		seen, err := conditions.LastSeen(ctx, c.at)
		if err != nil || seen.IsZero() == c.stood {
			t.Errorf("%+v was last seen %v, %v", c.at, seen, err)
		}
		if met, err := outbox.Met(ctx, conditions, c.at); err != nil || met != c.met {
			t.Errorf("%+v: met %t, %v; it was seen %v", c.at, met, err, seen)
		}
	}
}
