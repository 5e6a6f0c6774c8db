package importtask

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Store is everything that happens to tasks. Every method is one event and one
// transaction, also where it touches units of work, the catalog and snapshot
// records: those effects belong together or not at all. Events that finish a
// unit check its lease (work.ErrLost) and may hand the caller the lease of the
// unit that follows, so that a small import is one chain without a claim.
//
// The suite is importtasktest; it runs on every engine.
type Store interface {
	Tasks
	Lists
	Progress
	Endings
}

// Tasks creates and reads.
type Tasks interface {
	// Create stores an Active task with its tags and its Plan unit. When the
	// account has a task with the same Token it returns that one and created is
	// false, whatever its state; RequestDigest is for the caller to compare.
	// ErrTooMany when the account has limit Active tasks.
	Create(ctx context.Context, t Task, limit int) (stored Task, created bool, err error)
	// ByToken returns the account's task with the client token, or ErrNotFound.
	ByToken(ctx context.Context, account, token string) (Task, error)
	Get(ctx context.Context, account, id string) (Task, error)
	// Active counts the account's Active tasks, as Create does.
	Active(ctx context.Context, account string) (int, error)
}

// Lists looks tasks over. None of its methods reads more rows than it is asked
// for, however many tasks there are.
type Lists interface {
	// List returns at most limit of the account's tasks that f leaves, in order of
	// creation, then id, from behind after.
	List(ctx context.Context, account string, f Filter, after listing.Place, limit int) ([]Task, error)
	// Unfinished returns at most limit ids of tasks that have not ended, whichever
	// account's, in order of id, from behind after. Their pins must stay.
	Unfinished(ctx context.Context, after string, limit int) ([]string, error)
	// Owned counts the account's tasks that have not ended.
	Owned(ctx context.Context, account string) (int, error)
}

// Filter narrows a list of tasks. A nil field leaves all of them.
type Filter struct {
	IDs    []string
	States []State
}

// Progress is the way of a task that succeeds.
type Progress interface {
	// SetPhase shows what the lease's task is doing.
	SetPhase(ctx context.Context, l work.Lease, p Phase, format string) error
	// Planned records the plan, creates the snapshot as pending, and replaces
	// the Plan unit by one unit for each range, of which the first comes leased
	// to the caller; without ranges by the Publish unit, leased to the caller.
	Planned(ctx context.Context, l work.Lease, p Plan) (work.Lease, error)
	// FinishRange is step 4 of the ordering invariant: check the lease; packs and
	// pages file become closed; block rows are inserted (on conflict the first
	// stays and is un-condemned); pages are registered likewise, and named as
	// pages of the draft; counts are added; the unit is done. With the last
	// range the Publish unit comes to be, leased to the caller (ok).
	FinishRange(ctx context.Context, l work.Lease, r RangeResult) (next work.Lease, ok bool, err error)
	// Publish makes the snapshot and the task completed: step 5.
	Publish(ctx context.Context, l work.Lease, p Published) error
}

// Endings is every other way.
type Endings interface {
	// Fail moves the lease's task to Deleting with f; its other units vanish (so
	// that their workers find their leases lost) and a Cleanup unit comes to be,
	// leased to the caller.
	Fail(ctx context.Context, l work.Lease, f Failure) (work.Lease, error)
	// Cancel is Fail from outside: it returns the state before. Cancelling a
	// task that is Deleting is a success; one that ended is a *TransitionError.
	Cancel(ctx context.Context, account, id string, f Failure) (previous State, err error)
	// CleanedUp moves the lease's task from Deleting to Deleted: the snapshot's
	// record and draft pages go, files that the task's units left open become
	// garbage.
	CleanedUp(ctx context.Context, l work.Lease) error
	// Forget removes tasks that ended before t, with their tags and tokens.
	Forget(ctx context.Context, t time.Time) (n int, err error)
}

// Plan is what planning found out.
type Plan struct {
	Format   string // canonical upper case
	Virtual  int64  // bytes
	Ranges   []Range
	Warnings []string
	Snapshot snapshot.Record // pending
	KMSKey   string          // its ARN; empty: not encrypted
}

// RangeResult is what ingesting one range made durable. All slices may be empty.
type RangeResult struct {
	Packs      []blockstore.ClosedPack
	PagesFile  blockstore.File // zero when there are no pages
	PagesBytes int64
	Pages      []snapshot.PagePlace
	Counts     Counts
}

// Published names the durable root.
type Published struct {
	Root      blockstore.File
	RootBytes int64
	Blocks    int64 // entries under the root; Publish compares them with the pages'
}

// RangePages reads what the ranges of a draft registered, in order of Page.
type RangePages interface {
	RangePages(ctx context.Context, snapshotID string) ([]snapshot.PagePlace, error)
}
