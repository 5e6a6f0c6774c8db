// Package outbox holds the events that the service has to tell the outside world:
// for webhooks, and for an audit of effects.
//
// An event's transaction adds a row for it, so that what is told is exactly what
// happened, even if the process ends in between: nothing is told that was rolled
// back, and nothing that happened is lost. Rows are numbered in the order in which
// their transactions committed. The sender reads them oldest first, and removes
// them once they are told; a row that is not told is removed after its retention.
// What is no event but stands for some time, such as damage, is told of when it begins.
package outbox

import (
	"context"
	"time"
)

// Kind says what happened.
type Kind string

// The kinds of events.
const (
	ImportCompleted   Kind = "import.completed"
	ImportFailed      Kind = "import.failed"
	ImportCancelled   Kind = "import.cancelled"
	SnapshotCompleted Kind = "snapshot.completed"
	SnapshotFailed    Kind = "snapshot.failed"
	SnapshotShared    Kind = "snapshot.shared"
	SnapshotUnshared  Kind = "snapshot.unshared"
	SnapshotDeleted   Kind = "snapshot.deleted"
	DamageFound       Kind = "damage.found" // of a snapshot, or of a file of the store
	DiskNearlyFull    Kind = "disk.nearly-full"
	DiskHasRoom       Kind = "disk.has-room" // again
)

// Event is something that happened to a resource.
type Event struct {
	ID       int64 // grows in the order of commits
	Kind     Kind
	Account  string // empty: the service itself
	Region   string // of the resource; empty: the service's own
	Resource string // id of a task or snapshot; of the store a file, or folder
	Detail   Detail
	At       time.Time
}

// Detail is what else an event says. Fields that do not concern its kind are empty.
// It is stored as JSON: fields may be added, and never change their meaning.
type Detail struct {
	Snapshot string   `json:"snapshot,omitempty"` // that an import made
	Reason   string   `json:"reason,omitempty"`   // why it failed: a class, for programs
	Message  string   `json:"message,omitempty"`  // why it failed: AWS's words
	Added    []string `json:"added,omitempty"`    // accounts that may use it from now on
	Removed  []string `json:"removed,omitempty"`  // accounts that no longer may
	Image    string   `json:"image,omitempty"`    // that an import made
	Part     string   `json:"part,omitempty"`     // of the store, that is damaged
	Advice   string   `json:"advice,omitempty"`   // what to do
	Free     int64    `json:"free,omitempty"`     // bytes, on a disk

	Started    time.Time `json:"started,omitzero"`     // the making of a snapshot
	CopyOf     string    `json:"copyOf,omitempty"`     // snapshot that this one is a copy of
	CopyRegion string    `json:"copyRegion,omitempty"` // where that is
	Volume     string    `json:"volume,omitempty"`     // that a snapshot is of
}

// Store keeps the events until they are told. Rows are added by the transactions of
// other stores, in the same database. Every method is one transaction, and all may
// be called concurrently. The suite is outboxtest.
type Store interface {
	// Pending returns at most limit events with numbers above after, oldest first. They
	// stay pending: a sender that dies before it calls Told sends them again, so
	// receivers must expect repetitions.
	Pending(ctx context.Context, after int64, limit int) ([]Event, error)
	// Told removes events that have been told. Those that are gone already are no
	// error.
	Told(ctx context.Context, ids ...int64) error
	// Forget removes the events that happened before a time and were never told,
	// and returns how many there were.
	Forget(ctx context.Context, before time.Time) (n int, err error)
}

// Backlogs tells how much there is to tell.
type Backlogs interface {
	// Backlog returns how many events are pending, and when the oldest of them happened;
	// the zero time if there is none.
	Backlog(ctx context.Context) (events int64, oldest time.Time, err error)
}

// Condition is something that stands until it is over. Topic and Place name it.
type Condition struct {
	Topic Topic
	Place string // a file or folder, or the id of a snapshot
	Seen  time.Time
}

// Topic is what conditions are about.
type Topic string

// The topics.
const (
	Damage Topic = "damage"
	Disk   Topic = "disk"
)

// metFor is for how long it need not be noted again that a condition stands.
const metFor = time.Hour

// Met reports whether a condition stands, and was seen shortly before c.Seen: whoever meets it
// then notes nothing, since any client may have it met any number of times.
func Met(ctx context.Context, store Conditions, c Condition) (bool, error) {
	seen, err := store.LastSeen(ctx, c)
	if err != nil || seen.IsZero() {
		return false, err
	}
	return c.Seen.Sub(seen).Abs() < metFor, nil
}

// Conditions keeps what stands, so that it is told of once, and not whenever somebody meets
// it. Every method is one transaction, and all may be called concurrently. The suite is
// outboxtest.
type Conditions interface {
	// Begin notes that a condition stands. An event is told of one that did not stand before.
	Begin(ctx context.Context, c Condition, e Event) error
	// End notes that a condition stands no more. An event is told of one that did.
	End(ctx context.Context, c Condition, e Event) error
	// LastSeen returns when a condition that stands was last seen; zero: it does not stand. It
	// changes nothing.
	LastSeen(ctx context.Context, c Condition) (time.Time, error)
	// EndUnseen ends the conditions of a topic that were last seen before a time. Nothing is
	// told.
	EndUnseen(ctx context.Context, t Topic, before time.Time) error
}
