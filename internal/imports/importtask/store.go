package importtask

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Store is everything that happens to tasks. Service calls Tasks, Lists and Cancel
// for clients; the jobs of Engine call the rest.
//
// Every method is one event and one transaction, even where it touches units of
// work, the catalog and snapshot records: all of its effects are there when it
// returns nil, and none of them when it returns an error. All may be called
// concurrently, from any node. An event that takes a work.Lease finishes the unit:
// it checks the lease in its own transaction and returns work.ErrLost when it is
// not held any more, so that a worker that was thought dead can change nothing. It
// may return the lease of the unit that follows, so that a small import is done
// without another claim.
//
// The suite is importtasktest; it runs on every engine.
type Store interface {
	Tasks
	ImageTasks
	Lists
	Progress
	Disks
	Endings
}

// Tasks creates and reads single tasks.
type Tasks interface {
	// Create stores an Active task with its tags and its Plan unit. When the
	// account already has a task with the same Token in the region, in any state,
	// Create returns that one, and created is false; the caller compares the
	// RequestDigest to tell a replay from a reuse of the token. ErrTooMany when the
	// account has limit Active tasks in the region; that does not concern a replay.
	Create(ctx context.Context, t Task, limit int) (stored Task, created bool, err error)
	// ByToken returns the task with a client token. ErrNotFound.
	ByToken(ctx context.Context, home awsid.Home, token string) (Task, error)
	// Get returns one task, in any state. ErrNotFound, also of a task of another
	// account or region.
	Get(ctx context.Context, home awsid.Home, id string) (Task, error)
	// OfUnit returns the task that a unit of work belongs to, in whatever region.
	// ErrNotFound.
	OfUnit(ctx context.Context, u work.Unit) (Task, error)
	// Active counts the Active tasks, as Create does for its limit.
	Active(ctx context.Context, home awsid.Home) (int, error)
}

// ImageTasks creates and reads imports of machine images. Their disks are no tasks to
// Tasks.Get and Lists.List.
type ImageTasks interface {
	// CreateImage is Tasks.Create for an image, with its disks: each of them gets its Plan
	// unit; an image of given snapshots alone gets its Publish unit. Tokens are those of
	// images alone, limits those of both kinds of tasks, and an image counts once.
	CreateImage(ctx context.Context, t ImageTask, limit int) (stored ImageTask, created bool, err error)
	// ImageByToken returns the image's task with a client token. ErrNotFound.
	ImageByToken(ctx context.Context, home awsid.Home, token string) (ImageTask, error)
	// GetImage returns one image's task, in any state. ErrNotFound, also of one of another
	// account or region.
	GetImage(ctx context.Context, home awsid.Home, id string) (ImageTask, error)
	// ListImages is Lists.List for images.
	ListImages(ctx context.Context, home awsid.Home, f Filter, after listing.Place, limit int) ([]ImageTask, error)
}

// Lists lists and counts tasks. No method reads more rows than it is asked for,
// however many tasks there are.
type Lists interface {
	// List returns at most limit of the tasks of an account and region that match f,
	// in order of creation, then id, beginning behind after.
	List(ctx context.Context, home awsid.Home, f Filter, after listing.Place, limit int) ([]Task, error)
	// Unfinished returns at most limit ids of tasks of all accounts that have not
	// ended, those of disks of images among them, in order of id, beginning behind
	// after. Their pins must stay.
	Unfinished(ctx context.Context, after string, limit int) ([]string, error)
	// Owned counts the account's tasks of both kinds in all regions that have not ended.
	Owned(ctx context.Context, account string) (int, error)
}

// Stages tells what is being imported. Its suite is importtasktest too.
type Stages interface {
	// Stages counts the tasks that have not ended, those of an image's disks among them, by
	// state and phase. It reads rows of units and of their tasks alone.
	Stages(ctx context.Context) ([]Stage, error)
}

// Stage is how many tasks are in a state and phase.
type Stage struct {
	State State
	Phase Phase
	Tasks int64
}

// Filter narrows a list of tasks. A nil field matches all of them.
type Filter struct {
	IDs    []string
	States []State
}

// Progress is the events of a task on its way to success.
type Progress interface {
	// SetPhase notes what the lease's task is doing, or all disks of the lease's image,
	// and its format once that is known, for clients to see. It does not finish the unit.
	SetPhase(ctx context.Context, l work.Lease, p Phase, format string) error
	// Planned stores the plan, creates the snapshot as pending, and replaces the
	// Plan unit by one Range unit for each range, or by the Publish unit if there are
	// none and no other disk of the image is left. It returns the lease of the first of
	// these; ok is false if there is none.
	Planned(ctx context.Context, l work.Lease, p Plan) (next work.Lease, ok bool, err error)
	// FinishSlice is step 4 of the ordering invariant for a part of a range, so that
	// a large range is registered by many small transactions: it checks the lease,
	// closes the packs and the pages file, inserts the rows of the blocks (on conflict
	// the first stays and is un-condemned, unless it was found damaged) and of the
	// pages (on conflict the row moves to the page that was written now), names the
	// pages as pages of the draft, and adds the counts. The unit is given back, to be
	// gone on with at page done of its range (work.Unit.Done), which is above l.Done:
	// whatever happens afterwards, what r holds is not ingested again. All files of r
	// must be durable before the call; their blocks exist once it has returned nil.
	FinishSlice(ctx context.Context, l work.Lease, r RangeResult, done int64) error
	// FinishRange is FinishSlice for the last slice of a range: it ends the unit. When
	// it was the last range, of all disks of an image, the Publish unit of the task or
	// image is made and leased to the caller; only then is ok true.
	FinishRange(ctx context.Context, l work.Lease, r RangeResult) (next work.Lease, ok bool, err error)
	// Publish is step 5 of the ordering invariant: it completes the snapshot and
	// the task together. The root must be durable before the call. Of many pages of the
	// draft some rows are left for a LetGo unit (snapshot.Leavings). With the lease of an
	// image it completes the snapshots of all its disks, with the root of each, and
	// registers the image; *image.NoSnapshotError when a given snapshot can't be used.
	Publish(ctx context.Context, l work.Lease, p Published) error
}

// Disks is the events and reads that concern disks of images alone.
type Disks interface {
	// ImageOfUnit returns the image's task that a unit of work belongs to, itself or with
	// one of its disks. ErrNotFound.
	ImageOfUnit(ctx context.Context, u work.Unit) (ImageTask, error)
	// Split notes that the source of the lease's task is an OVA with these disks: the task
	// becomes that of the first of them, and the others get tasks with the same source and
	// Plan units. It does not finish the unit. *DisksError when the image would have more
	// than MaxDisks.
	Split(ctx context.Context, l work.Lease, m Machine, members []string) error
}

// Endings is the events of a task that does not succeed, and the end of every task.
type Endings interface {
	// Fail moves the lease's task to Deleting, with f. Its other units are removed,
	// so that their workers find their leases lost, and a Cleanup unit is made,
	// whose lease is returned. A disk's failure is that of its image, with all its disks.
	Fail(ctx context.Context, l work.Lease, f Failure) (work.Lease, error)
	// Cancel is Fail without a lease, at the wish of the owner of the task, or of an
	// image's: the Cleanup
	// unit is left to be claimed. It returns the state that the task was in before.
	// Cancelling a task that is Deleting succeeds and changes nothing. ErrNotFound;
	// *TransitionError for a task that has ended.
	Cancel(ctx context.Context, home awsid.Home, id string, f Failure) (previous State, err error)
	// CleanedUp moves the lease's task, or image, from Deleting to Deleted. The record of
	// the snapshot and the pages of the draft are removed (of many pages the rest by a LetGo
	// unit), for each disk; what was written for them is garbage, which gc frees. Given
	// snapshots are left alone.
	CleanedUp(ctx context.Context, l work.Lease) error
	// Forget removes the tasks of both kinds that ended before t, with their tags and tokens, some in
	// a transaction, and returns how many there were.
	Forget(ctx context.Context, t time.Time) (n int, err error)
}

// Plan is the result of a Plan unit.
type Plan struct {
	Format   string // canonical upper case
	Virtual  int64  // bytes
	Ranges   []Range
	Warnings []string
	Snapshot snapshot.Record // pending
	KMSKey   string          // its ARN; empty: not encrypted
}

// RangeResult is what ingesting a slice of a range made durable. It may hold nothing.
// Counts.Data is the number of blocks that Pages name.
type RangeResult struct {
	Packs      []blockstore.ClosedPack
	PagesFile  blockstore.File // zero when there are no pages
	PagesBytes int64
	Pages      []snapshot.PagePlace
	Counts     Counts
}

// Published names the durable roots: one, or one for each disk of an image.
type Published struct {
	Roots []Root
	Image *image.Image // to be registered; nil: the task imports a snapshot alone
}

// Root is the durable root of a task's snapshot.
type Root struct {
	Task   string
	File   blockstore.File
	Bytes  int64
	Blocks int64 // entries under the root; Publish compares them with what the ranges counted
}

// RangePages reads the pages that the ranges of an import registered, for its root.
type RangePages interface {
	RangePages(ctx context.Context, snapshotID string) ([]snapshot.PagePlace, error)
}
