package importtask_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/work"
)

// many is a store of n unfinished tasks.
type many struct {
	importtask.Lists // its other methods are not called here
	n                int
	err              error
}

func (m many) Unfinished(_ context.Context, after string, limit int) (ids []string, err error) {
	for i := range m.n {
		if id := fmt.Sprintf("task-%05d", i); id > after && len(ids) < limit {
			ids = append(ids, id)
		}
	}
	return ids, m.err
}

// pinned are pins, named after their tasks.
type pinned []string

func (p *pinned) Sweep(_ context.Context, keep func(string) bool) error {
	*p = slices.DeleteFunc(*p, func(id string) bool { return !keep(id) })
	return nil
}

func TestSweepKeepsThePinsOfUnfinishedTasks(t *testing.T) {
	for _, n := range []int{0, 1, listing.Page, 2*listing.Page + 1} {
		pins, want := pinned{"task-ended", "orphan"}, pinned{}
		for i := range n {
			want = append(want, fmt.Sprintf("task-%05d", i))
		}
		pins = append(pins, want...)
		if err := importtask.SweepPins(t.Context(), many{n: n}, &pins); err != nil || !slices.Equal(pins, want) {
			t.Errorf("of %d tasks: %d pins are left, %v", n, len(pins), err)
		}
	}
}

func TestSweepReleasesNothingWithoutKnowing(t *testing.T) {
	boom := errors.New("boom")
	pins := pinned{"task-00000"}
	if err := importtask.SweepPins(t.Context(), many{n: 1, err: boom}, &pins); !errors.Is(err, boom) || len(pins) != 1 {
		t.Errorf("got %v, %d pins are left", err, len(pins))
	}
}

// TestRetainReleasesPinsWithoutATask, once it has seen them twice: an import that is being
// accepted has a pin before it has a task.
func TestRetainReleasesPinsWithoutATask(t *testing.T) {
	e := newEngine(t, disk(1))
	e.accept()
	pins := pinned{taskID, "orphan"}
	e.Sources = sweeping{e.object, &pins}
	round := func(more ...string) {
		t.Helper()
		pins = append(pins, more...)
		if _, _, err := e.Handlers()[work.Retain].Do(t.Context(), &work.Held{Log: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
	}
	round()
	if !slices.Equal(pins, pinned{taskID, "orphan"}) {
		t.Fatalf("after one round there are %q", pins)
	}
	round("newer")
	if !slices.Equal(pins, pinned{taskID, "newer"}) {
		t.Fatalf("after two rounds there are %q", pins)
	}
	round()
	if !slices.Equal(pins, pinned{taskID}) {
		t.Fatalf("after three rounds there are %q", pins)
	}
}

// sweeping are sources with some pins.
type sweeping struct {
	*object
	pins *pinned
}

func (s sweeping) Sweep(ctx context.Context, keep func(string) bool) error {
	return s.pins.Sweep(ctx, keep)
}
