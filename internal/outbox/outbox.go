// Package outbox holds the events that the service has to tell the outside world:
// for webhooks, and for an audit of effects.
//
// An event's transaction adds a row for it, so that what is told is exactly what
// happened, even if the process ends in between: nothing is told that was rolled
// back, and nothing that happened is lost. Rows are numbered in the order in which
// their transactions committed. The sender reads them oldest first, and removes
// them once they are told; a row that is not told is removed after its retention.
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
	SnapshotDeleted   Kind = "snapshot.deleted"
)

// Event is something that happened to a resource.
type Event struct {
	ID       int64 // grows in the order of commits
	Kind     Kind
	Account  string
	Region   string // of the resource
	Resource string // id of a task or snapshot
	Detail   Detail
	At       time.Time
}

// Detail is what else an event says. Fields that do not concern its kind are empty.
// It is stored as JSON: fields may be added, and never change their meaning.
type Detail struct {
	Snapshot string   `json:"snapshot,omitempty"` // that an import made
	Source   string   `json:"source,omitempty"`   // snapshot that this one began as
	Reason   string   `json:"reason,omitempty"`   // why it failed: a class, for programs
	Message  string   `json:"message,omitempty"`  // why it failed: AWS's words
	Added    []string `json:"added,omitempty"`    // accounts that may use it from now on
	Removed  []string `json:"removed,omitempty"`  // accounts that no longer may
	Image    string   `json:"image,omitempty"`    // that an import made
}

// Store keeps the events until they are told. Rows are added by the transactions of
// other stores, in the same database. Every method is one transaction, and all may
// be called concurrently. The suite is outboxtest.
type Store interface {
	// Pending returns at most limit events, oldest first. They stay pending: a
	// sender that dies before it calls Told sends them again, so receivers must
	// expect repetitions.
	Pending(ctx context.Context, limit int) ([]Event, error)
	// Told removes events that have been told. Those that are gone already are no
	// error.
	Told(ctx context.Context, ids ...int64) error
	// Forget removes the events that happened before a time and were never told,
	// and returns how many there were.
	Forget(ctx context.Context, before time.Time) (n int, err error)
}
