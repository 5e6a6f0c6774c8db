package importtask

import (
	"errors"
	"testing"
)

func TestEveryStateAndEvent(t *testing.T) {
	states := []State{Active, Completed, Deleting, Deleted}
	events := []Event{EventPlanned, EventSliceDone, EventRangeDone, EventPublished, EventFailed, EventCancelled, EventCleanedUp}
	want := map[State]map[Event]State{
		Active:   {EventPlanned: Active, EventSliceDone: Active, EventRangeDone: Active, EventPublished: Completed, EventFailed: Deleting, EventCancelled: Deleting},
		Deleting: {EventFailed: Deleting, EventCancelled: Deleting, EventCleanedUp: Deleted},
	}
	for _, s := range states {
		for _, e := range events {
			next, err := Next(s, e)
			to, ok := want[s][e]
			var te *TransitionError
			switch {
			case ok && (err != nil || next != to):
				t.Errorf("Next(%s, %s) = %s, %v; want %s", s, e, next, err, to)
			case !ok && (!errors.As(err, &te) || te.State != s || te.Event != e):
				t.Errorf("Next(%s, %s) = %s, %v; want a TransitionError naming both", s, e, next, err)
			}
		}
	}
}
