package importtask

import "fmt"

// State is a task's state, in the only four words that AWS's clients know.
type State string

// The states. Failure and cancellation both go through Deleting to Deleted.
const (
	Active    State = "active"
	Completed State = "completed"
	Deleting  State = "deleting"
	Deleted   State = "deleted"
)

// States returns all states.
func States() []State { return []State{Active, Completed, Deleting, Deleted} }

// Phase is what an Active task is doing; clients see it as statusMessage.
type Phase string

// The phases.
const (
	Waiting    Phase = "pending"
	Validating Phase = "validating"
	Validated  Phase = "validated"
	Converting Phase = "downloading/converting"
	Completing Phase = "completing"
)

// Event is something that happens to a task.
type Event string

// The events.
const (
	EventSplit     Event = "split"
	EventPlanned   Event = "planned"
	EventSliceDone Event = "slice done"
	EventRangeDone Event = "range done"
	EventPublished Event = "published"
	EventFailed    Event = "failed"
	EventCancelled Event = "cancelled"
	EventCleanedUp Event = "cleaned up"
)

// transitions is the whole state machine. Every other transition is refused.
var transitions = map[State]map[Event]State{
	Active: {
		EventSplit:     Active,
		EventPlanned:   Active,
		EventSliceDone: Active,
		EventRangeDone: Active,
		EventPublished: Completed,
		EventFailed:    Deleting,
		EventCancelled: Deleting,
	},
	Deleting: {
		EventCancelled: Deleting,
		EventFailed:    Deleting,
		EventCleanedUp: Deleted,
	},
}

// TransitionError reports an event that a task's state does not allow.
type TransitionError struct {
	State State
	Event Event
}

func (e *TransitionError) Error() string {
	return fmt.Sprintf("importtask: a task that is %s cannot be %s", e.State, e.Event)
}

// Next returns the state after an event.
func Next(s State, e Event) (State, error) {
	if n, ok := transitions[s][e]; ok {
		return n, nil
	}
	return s, &TransitionError{s, e}
}
