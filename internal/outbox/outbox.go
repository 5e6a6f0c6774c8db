// Package outbox holds what the world is to learn of the service's events:
// webhooks, an audit of effects.
//
// An event's transaction adds a row for it, so what happened and what is told of
// it are the same, whatever ends the process: nothing is told that was rolled
// back, and nothing that happened is forgotten. Rows are numbered in the order in
// which their transactions committed. Whoever tells the world reads them oldest
// first and removes what has been told; what nobody told is forgotten in the end.
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
	Resource string // id of a task or snapshot
	Detail   Detail
	At       time.Time
}

// Detail is what an event has to say besides. Fields that do not concern its kind
// are empty. It is stored as JSON: fields are added and never change their meaning.
type Detail struct {
	Snapshot string   `json:"snapshot,omitempty"` // that an import made
	Source   string   `json:"source,omitempty"`   // snapshot that this one began as
	Reason   string   `json:"reason,omitempty"`   // why it failed: a class, for machines
	Message  string   `json:"message,omitempty"`  // why it failed: AWS's words
	Added    []string `json:"added,omitempty"`    // accounts that may use it from now on
	Removed  []string `json:"removed,omitempty"`  // accounts that no longer may
}

// Store keeps the events until they are told. Every method is one transaction. The
// suite is outboxtest.
type Store interface {
	// Pending returns at most limit events, oldest first.
	Pending(ctx context.Context, limit int) ([]Event, error)
	// Told removes events. Those that are not there any more are a success.
	Told(ctx context.Context, ids ...int64) error
	// Forget removes events that are older than a time, told or not.
	Forget(ctx context.Context, before time.Time) (n int, err error)
}
