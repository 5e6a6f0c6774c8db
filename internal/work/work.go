// Package work hands out units of work under leases, and does them.
//
// A unit is a row: something to be done for a task (plan it, ingest a range of it,
// publish it, clean up after it) or a periodic duty. A Runner claims a unit under a
// lease and keeps the lease alive by heartbeats while a domain's job runs; the job
// finishes the unit in the same transaction that makes its effect visible. That
// transaction checks the lease, so a worker that lost it can do no harm: the lease
// is the fence that the block store's ordering invariant stands on.
//
// Claims and failures are counted separately. A failure is an error that a job
// returned; the unit is tried again a few times. A claim that ended in neither
// success, failure nor a hand-back killed its process, or outlived it; a unit that
// is claimed over and over without getting further than before is poison, and is
// failed as such. Restarts, lost leases and hand-backs do not count as failures. Nor
// does waiting for something that returns by itself: room on the disk.
//
// Units are inserted and finished by the events of the domains that own them
// (importtask.Store, snapshot.DraftStore); this package claims them, keeps their
// leases alive and hands them back.
package work

import (
	"context"
	"errors"
	"time"

	"github.com/diskport/diskport/internal/wake"
)

// Kind says what a unit asks for.
type Kind string

// The kinds of units.
const (
	Plan     Kind = "plan"     // open the image, cut it into ranges
	Survey   Kind = "survey"   // plan an image whose tables take long to read
	Unpack   Kind = "unpack"   // plan an image that has to be unpacked first, or unpack it once more for its ranges
	Range    Kind = "range"    // ingest a run of manifest pages
	Publish  Kind = "publish"  // write the root, make the snapshot visible
	Cleanup  Kind = "cleanup"  // drop what a failed or cancelled task left
	Append   Kind = "append"   // add blocks to a draft: held by the request that writes them, never claimed
	Complete Kind = "complete" // check a draft that is complete, write its manifest, publish it
	Copy     Kind = "copy"     // bring the blocks of another domain into a draft that is complete
	LetGo    Kind = "let go"   // drop the rows that a snapshot which has ended, or an account, leaves behind when there are many
	Expire   Kind = "expire"   // periodic: fail drafts that have not been written to in time
	GC       Kind = "gc"       // periodic
	Compact  Kind = "compact"  // periodic: rewrite packs that are worth it
	Scrub    Kind = "scrub"    // periodic: read everything that the store keeps
	Rewrite  Kind = "rewrite"  // rewrite packs of a domain: held by who does it, never claimed
	Retain   Kind = "retain"   // periodic: forget tasks after their retention
	Purge    Kind = "purge"    // periodic: destroy KMS keys whose waiting period is over
	Outbox   Kind = "outbox"   // periodic: forget events that were not told in time
	Tell     Kind = "tell"     // periodic: tell the receiver of events
)

// Due returns the topic that is woken when there may be units of a kind to claim. Whoever
// made them wakes it, after the commit.
func Due(k Kind) wake.Topic { return wake.Topic("due " + k) }

// Unit is one thing to do.
type Unit struct {
	ID      int64
	Account string
	Kind    Kind
	Task    string // import task id, or snapshot id of a draft; empty for periodic duties
	Range   int    // index of the range within its task
	// Done is how much of it earlier leases have finished for good, in a measure of
	// its kind's own.
	Done int64
	// Trace is the span that made it, in the form of span.Parent; empty: none is recorded.
	Trace string
}

// Lease is the right to do a unit until Until. Attempt grows with every claim of
// the unit; (ID, Attempt) is the fence that effects are checked against.
type Lease struct {
	Unit
	Owner    string // node that holds it
	Attempt  int64
	Until    time.Time
	Claims   int           // since the unit last made progress, this one included
	Failures int           // tries that ended in an error
	Waits    int           // tries that ended in waiting, in a row
	Waited   time.Duration // how long these waits were
	// Reached is how far earlier claims have got (Progress.Done) with what is to do.
	Reached int64
}

// Timing of leases. The units of a node that dies can be claimed again after
// LeaseFor.
const (
	LeaseFor  = 10 * time.Second
	Heartbeat = 3 * time.Second
)

// MaxPause is the longest that a unit may be told to wait. A unit that is not
// due for longer was put off by a clock that ran ahead: it is due now.
const MaxPause = 24 * time.Hour

// Skew is how far the clocks of nodes may be apart. A unit that was claimed further
// ahead of now was put off by a clock that has been set back since: it is due.
const Skew = time.Minute

// ErrLost reports that a lease is no longer held: it lapsed and was claimed
// again, or its unit is gone because the task was cancelled or finished.
var ErrLost = errors.New("work: lease lost")

// ErrNoDatabase reports a database that did not answer, or stopped doing so. Whether a
// transaction that was about to be committed was, is not known then. Errors of all stores
// wrap it.
var ErrNoDatabase = errors.New("the database does not answer")

// Store keeps the units of work; Runner is its only caller. Units are added and
// finished by the events of domain stores, in the same database, and never here.
// Every method is one transaction, and all may be called concurrently, from any
// node: of several nodes that claim at once, each gets another unit. The suite is
// worktest; it runs on every engine.
type Store interface {
	// Claim leases to a claimer the next unit of one of its kinds that is due at now
	// and not leased, or whose lease has lapsed. The account with the fewest leased
	// units of these kinds comes first. Accounts with equally few take turns: the next
	// is the one behind c.After, and the first one is behind the last; so one that has
	// little to do waits for one unit of each of the others at most, however many they
	// have queued. Of an account the oldest unit comes first. The claim is counted in
	// the lease. While a task has an Unpack unit its Range units wait, and so do further
	// Unpack units while one is leased; both are for the node that keeps what the image was
	// unpacked into, if there is one (Affinities). ok is false when there is no such unit, and
	// with every error: one that was claimed all the same can be claimed once its lease has lapsed.
	Claim(ctx context.Context, c Claimer, now time.Time) (l Lease, ok bool, err error)
	// Renew extends the lease to LeaseFor after now and stores how far the unit is, unless
	// an earlier claim got further; it returns the lease as it is then. When the unit is
	// further than at any claim before, its claims are counted anew. ErrLost when the lease
	// is not held any more: then the job must stop. It may fail with ErrNoDatabase when the
	// lease has lapsed, and does so wherever there are other nodes to claim the unit.
	Renew(ctx context.Context, l Lease, now time.Time, p Progress) (Lease, error)
	// Release hands the unit back without a verdict, because the service stops or
	// the unit belongs into another lane. It is due again at notBefore, as a unit
	// of kind. Claims and failures are counted anew, since the caller has not died of
	// it; but in another lane they are those from before this claim, since it may still
	// be what the unit does there that its process dies of. Releasing a lost lease
	// succeeds.
	Release(ctx context.Context, l Lease, kind Kind, notBefore time.Time) error
	// Retry hands back a unit that failed and may succeed later. It is due again at
	// notBefore; the failure counts, and its cause is kept for people to see.
	// Retrying a lost lease succeeds.
	Retry(ctx context.Context, l Lease, cause string, notBefore time.Time) error
	// Wait is Retry for a unit that did not fail but found something missing, which
	// is kept for people to see until the unit is claimed again. It is due again a pause
	// after now. The wait counts, and how long it is.
	Wait(ctx context.Context, l Lease, missing string, now time.Time, pause time.Duration) error
}

// Affinities say which node has the image of a task unpacked, so that the Range and Unpack
// units of the task stay with it: anywhere else the image would be unpacked once more. They
// are leases of their own, so those of a node that has died, or that has given up the
// image, keep the units from others for LeaseFor at most. Its suite is worktest too.
type Affinities interface {
	// Keep says, until LeaseFor after now, that the owner has the images of the tasks
	// unpacked, and returns those of which no other node is keeping it.
	Keep(ctx context.Context, owner string, now time.Time, tasks ...string) (kept []string, err error)
	// Drop says that the owner has the images of the tasks no more.
	Drop(ctx context.Context, owner string, now time.Time, tasks ...string) error
}

// Agenda tells when there will be something to do that no event tells of: a lease has
// lapsed, a pause is over. Its suite is worktest too.
type Agenda interface {
	// Next returns, for each of the kinds that has units which become claimable after a
	// time, or were made after it, when the first of them does. A unit that was claimable
	// by then is left out: claimers have been woken for it. It is one look.
	Next(ctx context.Context, after time.Time, kinds ...Kind) ([]Appointment, error)
}

// Appointment is when the next unit of a kind becomes claimable.
type Appointment struct {
	Kind Kind
	At   time.Time
}

// Claimer is who asks for a unit.
type Claimer struct {
	Owner string // the node, in the lease
	Kinds []Kind // that it does; none: there is nothing for it
	After string // the account that it served last; empty: none yet
}

// Progress is how far a unit is.
type Progress struct {
	Done int64  // in a measure of the job's own; grows with what is done
	Data []byte // live counts, as the unit's domain encodes them; nil: none
}

// Starter prepares the units when a node starts, before its Runner runs. Every
// method is one transaction. Its suite is worktest too.
type Starter interface {
	// Ensure makes a unit for each of the periodic duties that has none yet.
	Ensure(ctx context.Context, duties ...Kind) error
	// ExpireAll makes every lease lapse. It is for a store that only one process
	// uses: when that starts, the processes that held leases are dead, and waiting
	// for the leases to lapse would only cost time.
	ExpireAll(ctx context.Context) error
}

// Resumer has units that wait look again at once, when what they wait for is back. Its
// suite is worktest too.
type Resumer interface {
	// Resume makes all units that wait (Store.Wait) due at now. Of their last wait counts
	// what is over.
	Resume(ctx context.Context, now time.Time) error
}

// Queue is the units of a kind.
type Queue struct {
	Kind    Kind
	Due     int64     // that could be claimed now
	Later   int64     // that are put off: they failed, wait for something, or are a duty
	Leased  int64     // that are being done
	Waiting time.Time // since when the first of those that are due has been; zero: none is
}

// Queues tells how much work there is. Its suite is worktest too.
type Queues interface {
	// Queues returns the queue of each kind that has units, in the order of kinds. It is
	// one look.
	Queues(ctx context.Context, now time.Time) ([]Queue, error)
}
