package importtask

import (
	"context"

	"github.com/diskport/diskport/internal/listing"
)

// PinSweeper releases the pins that keep doesn't keep. source.Opener implements it.
type PinSweeper interface {
	Sweep(ctx context.Context, keep func(id string) bool) error
}

// SweepPins releases pins that no unfinished task has: those of a process that died
// between pinning an object and creating its task, or between a task's end and the
// release. Call it before requests are served, or it would release the pins of
// imports that are about to create their task.
func SweepPins(ctx context.Context, tasks Lists, pins PinSweeper) error {
	pinned, err := unfinished(ctx, tasks)
	if err != nil {
		return err
	}
	return pins.Sweep(ctx, func(id string) bool { return pinned[id] })
}

// unfinished returns the ids of the tasks that have not ended, which those of their pins
// are.
func unfinished(ctx context.Context, tasks Lists) (map[string]bool, error) {
	ids := map[string]bool{}
	after := ""
	for {
		some, err := tasks.Unfinished(ctx, after, listing.Page)
		if err != nil {
			return nil, err
		}
		for _, id := range some {
			ids[id] = true
		}
		if len(some) < listing.Page {
			return ids, nil
		}
		after = some[len(some)-1]
	}
}

// orphans are the pins that had no task when they were last looked for. It must not be
// used concurrently.
type orphans struct{ seen map[string]bool }

// sweep releases pins that had no task before either: no import takes from one round to
// the next to create its task. They are left by an answer of the database that was lost.
func (o *orphans) sweep(ctx context.Context, tasks Lists, pins PinSweeper) error {
	pinned, err := unfinished(ctx, tasks)
	if err != nil {
		return err
	}
	alone := map[string]bool{}
	err = pins.Sweep(ctx, func(id string) bool {
		if pinned[id] {
			return true
		}
		alone[id] = true
		return !o.seen[id]
	})
	o.seen = alone
	return err
}
