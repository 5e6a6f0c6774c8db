package snapshot

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/tag"
)

// State is a snapshot's state, in AWS's words.
type State string

// The states.
const (
	Pending   State = "pending"
	Completed State = "completed"
	Failed    State = "error"
)

// Record is what is known of a snapshot besides its blocks.
type Record struct {
	ID          string // "snap-0" + 16 hex
	Account     string
	Region      string // that it was made in
	Domain      string // dedupe domain of its blocks
	Task        string // import task that makes or made it; may be empty
	Description string // the caller's; empty: GeneratedDescription is shown
	SourceName  string // of the file that was imported, for people; empty: none that is known
	State       State
	VolumeSize  int64 // GiB
	VirtualSize int64 // bytes of the imported disk; the rest of the volume is zero
	Progress    int   // percent, of a pending one
	StartedAt   time.Time
	CompletedAt time.Time // zero until completed
	Root        blockstore.File
	Blocks      int64 // blocks in the manifest
	Added       int64 // bytes that making it added to the store, before any were compressed
	Tags        tag.Set

	Volume     string   // that it is of; empty: none that is known
	Parent     string   // snapshot that it was started from; may be empty
	Lineage    string   // the first of its parents, or itself
	KMSKey     string   // ARN of its domain's key; empty: not encrypted
	DataKey    string   // id of its data key, for clients to show; empty: not encrypted
	Message    string   // why it is in error
	SharedWith []string // accounts that may use it, or Everybody; only Store.Get fills it in
	Tier       Tier
	TierSince  time.Time // zero: since it exists
}

// Home returns where the snapshot belongs.
func (r Record) Home() awsid.Home { return awsid.Home{Account: r.Account, Region: r.Region} }

// Everybody makes a snapshot public, when it is among the accounts that it is
// shared with.
const Everybody = "all"

// Tier is where AWS would keep a snapshot. Here it is only noted, for clients to
// read back; blocks stay where they are.
type Tier string

// The tiers.
const (
	Standard Tier = "standard"
	Archive  Tier = "archive"
)

// ReadableBy reports whether an account may read the blocks: its owner, and
// accounts that it is shared with by name. Public ones are not readable.
func (r Record) ReadableBy(account string) bool {
	return r.Account == account || slices.Contains(r.SharedWith, account)
}

// UsableBy reports whether an account may see and copy the snapshot.
func (r Record) UsableBy(account string) bool {
	return r.ReadableBy(account) || slices.Contains(r.SharedWith, Everybody)
}

const generated = "Created by AWS-VMImport service for "

// GeneratedDescription is the description that AWS gives the snapshot of a task.
func (r Record) GeneratedDescription() string { return generated + r.ImportTask() }

// ImportTask returns the task that clients know: of a disk of a machine image that is
// being imported, that is the image's.
func (r Record) ImportTask() string {
	task, _, _ := strings.Cut(r.Task, "/")
	return task
}

// TaskOf returns the task whose snapshot has a generated description; ok is false
// of other texts.
func TaskOf(description string) (task string, ok bool) {
	task, ok = strings.CutPrefix(description, generated)
	return task, ok && task != ""
}

// PageID names a manifest page by its content: a MAC of its bytes under the
// service-wide page key.
type PageID [32]byte

// PagePlace is a durable manifest page: where a unit of work wrote it and which
// page of the volume it is.
type PagePlace struct {
	Page   int64 // index: the page's first block / PageBlocks
	ID     PageID
	File   blockstore.FileID // a PagesFile
	Off    int64             // bytes
	Len    int64             // bytes
	Blocks int               // blocks it names
}

// ErrNotFound reports a snapshot that does not exist, or belongs to another account or
// region.
var ErrNotFound = errors.New("snapshot: not found")

// InUseError reports a snapshot that an image is made of.
type InUseError struct{ Image string }

func (e *InUseError) Error() string { return "snapshot: in use by " + e.Image }

// ErrPending reports a snapshot that cannot be deleted yet, because the import that
// makes it is still running.
var ErrPending = errors.New("snapshot: pending")

// Store keeps the records of snapshots. Records are created and completed by the events
// of importtask.Store and DraftStore; this interface reads, shares and deletes them.
// Every method is one transaction, and all may be called concurrently. The suite is
// snapshottest; it runs on every engine.
type Store interface {
	Records
	Changes
}

// Records reads.
type Records interface {
	// Get returns a snapshot of a region, of any account and in any state, with its
	// tags and with whom it is shared; whether the caller may see it is for the caller
	// to check (Record.ReadableBy). ErrNotFound.
	Get(ctx context.Context, region, id string) (Record, error)
	// List returns at most limit snapshots of the region that the account may use and
	// that match f: its own, those of others that are shared with it, and public ones.
	// They are in order of start, then id, beginning behind after. Those of others come
	// without tags, and none says with whom it is shared. However many snapshots and
	// shares there are, only about limit rows are read.
	List(ctx context.Context, home awsid.Home, f Filter, after listing.Place, limit int) ([]Record, error)
	// Owned counts the account's snapshots in all regions, including pending and failed
	// ones.
	Owned(ctx context.Context, account string) (int, error)
	// LocatePages returns where manifest pages lie. Pages that do not exist are absent
	// from the answer; that is no error.
	LocatePages(ctx context.Context, ids []PageID) (map[PageID]PagePlace, error)
}

// Changes are what an account can do to its own snapshots in a region. Both are checked
// in the transaction that makes the change: a snapshot of another account or region is
// ErrNotFound, as one that does not exist.
type Changes interface {
	// Share lets the accounts in add use a snapshot, and those in remove no longer.
	// Adding an account that has it, or removing one that has not, is no error.
	// ErrTooManyShares when it would be shared with more than MaxShares; then nothing
	// changes.
	Share(ctx context.Context, home awsid.Home, id string, add, remove []string) error
	// Unshare makes a snapshot private.
	Unshare(ctx context.Context, home awsid.Home, id string) error
	// SetTier moves a completed snapshot to a storage tier.
	SetTier(ctx context.Context, home awsid.Home, id string, t Tier) error
	// Delete removes a snapshot. Once it has returned, the snapshot is gone for every
	// reader that does not hold its root; its blocks are garbage that gc frees later.
	// ErrPending while an import makes it, *InUseError while an image is made of it.
	Delete(ctx context.Context, home awsid.Home, id string) error
}

// Filter narrows a list of snapshots. A nil field matches all of them.
type Filter struct {
	IDs          []string
	Owners       []string // accounts
	RestorableBy []string // accounts, or Everybody: that own it, or that it is shared with
	States       []State
	Descriptions []string // the caller's, or the generated one
}

// MaxShares is the most accounts that a snapshot can be shared with.
const MaxShares = 1000

// ErrTooManyShares reports a snapshot that would be shared with more than MaxShares
// accounts.
var ErrTooManyShares = errors.New("snapshot: shared with too many accounts")

// Block is one entry of a manifest.
type Block struct {
	Index int64
	ID    block.ID
}
