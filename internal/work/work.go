// Package work hands out units of work under leases.
//
// A unit is a row: something to be done for a task (plan it, ingest a range of
// it, publish it, clean up after it) or a periodic duty. A worker claims a unit
// under a lease, keeps it alive by heartbeats, and finishes it in the very
// transaction that has the unit's effect; that transaction checks the lease, so
// a worker that lost it cannot do harm. The lease is therefore the fence that
// the block store's ordering invariant stands on.
//
// Units are inserted and finished by the events of the domains that own them
// (see importtask.Store); this package claims, keeps alive and gives back.
package work

import (
	"context"
	"errors"
	"time"
)

// Kind says what a unit asks for.
type Kind string

// The kinds of units.
const (
	Plan     Kind = "plan"     // open the image, cut it into ranges
	Range    Kind = "range"    // ingest a run of manifest pages
	Publish  Kind = "publish"  // write the root, make the snapshot visible
	Cleanup  Kind = "cleanup"  // drop what a failed or cancelled task left
	Append   Kind = "append"   // add blocks to a draft: held by who answers the request, never claimed
	Complete Kind = "complete" // check a draft or copy that is complete, write its manifest
	Expire   Kind = "expire"   // periodic: end drafts that nobody writes to
	GC       Kind = "gc"       // periodic
	Retain   Kind = "retain"   // periodic: forget tasks after their retention
)

// Unit is one thing to do.
type Unit struct {
	ID      int64
	Account string
	Kind    Kind
	Task    string // import task id, or snapshot id of a draft; empty for periodic duties
	Range   int    // index of the range within its task
}

// Lease is the right to do a unit until Until. Attempt grows with every claim
// of the unit; (ID, Attempt) is the fence that effects are checked against.
type Lease struct {
	Unit
	Owner   string // node that holds it
	Attempt int64
	Until   time.Time
}

// Timing of leases: a node that dies is noticed after LeaseFor.
const (
	LeaseFor  = 10 * time.Second
	Heartbeat = 3 * time.Second
)

// ErrLost reports that a lease is no longer held: it lapsed and was claimed
// again, or its unit is gone because the task was cancelled or finished.
var ErrLost = errors.New("work: lease lost")

// Store keeps the units. Every method is one transaction.
type Store interface {
	// Claim leases the next unit of one of the kinds that is free at now (not
	// leased, or its lease has lapsed; NotBefore has passed), the least-loaded
	// account first, then the oldest. ok is false when there is none.
	Claim(ctx context.Context, owner string, kinds []Kind, now time.Time) (l Lease, ok bool, err error)
	// Renew extends the lease from now by LeaseFor and stores progress, the unit's live
	// counts as its owner encodes them. It returns ErrLost when the lease is gone.
	Renew(ctx context.Context, l Lease, now time.Time, progress []byte) (Lease, error)
	// Release gives the unit back, claimable from notBefore. Releasing a lost
	// lease is a success.
	Release(ctx context.Context, l Lease, notBefore time.Time) error
	// ExpireAll makes every lease lapse. Only for a store with one node, at start.
	ExpireAll(ctx context.Context) error
}
