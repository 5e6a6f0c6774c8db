package server

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// TestEveryKindHasALane, and none that may be held for long is in the lane of one that
// is short.
func TestEveryKindHasALane(t *testing.T) {
	handlers := (&importtask.Engine{}).Handlers()
	maps.Copy(handlers, (&snapshot.Drafts{}).Handlers())
	maps.Copy(handlers, (&gc.Collector{}).Handlers(time.Hour))
	for kind := range handlers {
		if !slices.ContainsFunc(lanes, func(lane []work.Kind) bool { return slices.Contains(lane, kind) }) {
			t.Errorf("no lane takes %q", kind)
		}
	}
	for _, long := range []work.Kind{work.Range, work.Unpack, work.Survey, work.Copy, work.LetGo, work.GC} {
		for _, lane := range lanes {
			if slices.Contains(lane, long) && len(lane) > 1 {
				t.Errorf("%q may keep the others of its lane waiting: %q", long, lane)
			}
		}
	}
	for _, short := range []work.Kind{work.Publish, work.Cleanup, work.Complete} {
		if !slices.ContainsFunc(lanes, func(lane []work.Kind) bool { return slices.Contains(lane, short) && !slices.Contains(lane, work.Plan) }) {
			t.Errorf("%q always waits behind plans", short)
		}
	}
}
