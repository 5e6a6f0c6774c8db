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
	pinned := map[string]bool{} // a pin has the id of its task
	after := ""
	for {
		ids, err := tasks.Unfinished(ctx, after, listing.Page)
		if err != nil {
			return err
		}
		for _, id := range ids {
			pinned[id] = true
		}
		if len(ids) < listing.Page {
			break
		}
		after = ids[len(ids)-1]
	}
	return pins.Sweep(ctx, func(id string) bool { return pinned[id] })
}
