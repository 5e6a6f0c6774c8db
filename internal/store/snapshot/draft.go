package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/work"
)

// Draft is a pending snapshot that clients write, or that is copied.
type Draft struct {
	Record
	Token  string // client token; empty: none
	Digest string // of the request, for telling replays from clashes
	// Base is the root that it begins as; 0: none. The draft keeps this root alive
	// even if the snapshot that it belongs to is deleted.
	Base    blockstore.FileID
	Timeout time.Duration // without a write for this long it fails; 0: a copy
	Want    *Expected     // set once it is complete
	// CopyOf is the snapshot that this is a copy of, in CopyRegion; empty: it is none.
	CopyOf, CopyRegion string
	Copied             bool   // all that it inherits from another domain has been copied
	Refused            string // why it is failed from the start; empty: it is not
}

// Expected is what the writer of a draft says it has written.
type Expected struct {
	Blocks   int64 // negative: not said
	Checksum []byte
}

// DraftBlock is a block of a draft.
type DraftBlock struct {
	Index int64
	ID    block.ID
	// Digest is kept only for checking the LINEAR checksum of a complete draft.
	Digest block.Digest
	// Inherited says that the block was copied from the base, which is in another
	// domain.
	Inherited bool
}

// Appended is what an append made durable.
type Appended struct {
	Packs    []blockstore.ClosedPack
	Blocks   []DraftBlock // an index at most once
	Progress int          // percent, as the client says; 0: unknown
}

// NewPages is a file of durable pages of a draft's manifest.
type NewPages struct {
	File  blockstore.File // zero when there are no pages
	Bytes int64
	Pages []PagePlace
}

// Manifest is the durable manifest of a draft.
type Manifest struct {
	New    NewPages // those that were not added before
	Stored int64    // bytes of all pages files that were written for it
	Root   Root
}

// DraftStore is everything that happens to drafts, from the call that starts one to the
// unit that publishes it or fails it. Every method is one event and one transaction: its
// effects on the draft, the catalog and the units of work are there together when it
// returns nil, and none of them is when it returns an error. All may be called
// concurrently, from any node. A method that takes a work.Lease checks it in its own
// transaction and returns work.ErrLost when it is not held any more, so that a worker
// that was thought dead can change nothing. The suite is snapshottest.
type DraftStore interface {
	DraftRecords
	Appends
	Settling
	Leavings
}

// DraftRecords starts drafts and finds them.
type DraftRecords interface {
	// Start stores d, pending, with its tags. baseID, when given, is the completed
	// snapshot whose root d begins as, of any region. When the account already has a
	// snapshot with the same Token in the region of d, Start returns that one, and
	// created is false; the caller compares the Digest to tell a replay from a clash.
	// When d.Want is set, d is complete at once; when d.Refused is set, it is stored as
	// failed and is not a draft. ErrTooMany when the account has limit drafts of its kind
	// in the region (copies are one kind, all others the other); ErrNotFound when there
	// is no such base.
	Start(ctx context.Context, d Draft, baseID string, limit int) (stored Draft, created bool, err error)
	// ByToken returns the snapshot that was started with a client token, in whatever
	// state it is now. ErrNotFound.
	ByToken(ctx context.Context, home awsid.Home, token string) (Draft, error)
	// Draft returns a pending draft, of any account and region. ErrNotFound, ErrNotPending.
	Draft(ctx context.Context, id string) (Draft, error)
	// Complete stores what the writer says it has written and makes the Complete unit;
	// from then on nothing can be written. Completing a draft again succeeds and changes
	// nothing, since clients repeat the call. ErrNotFound, ErrNotPending.
	Complete(ctx context.Context, home awsid.Home, id string, want Expected) error
}

// Appends makes blocks that clients write durable. An append is a unit of work of its
// own, never queued and never retried: its lease tells gc that its pack is being written.
type Appends interface {
	// BeginAppend makes an Append unit for the draft, leased to owner until the time
	// until.
	BeginAppend(ctx context.Context, d Draft, owner string, until time.Time) (work.Lease, error)
	// EndAppend gives up an append; what it wrote is garbage. It returns nil, too, when
	// the lease is lost already.
	EndAppend(ctx context.Context, l work.Lease) error
	// Append is step 4 of the ordering invariant for a draft: it checks the lease, closes
	// the packs, inserts the rows of the blocks, names the blocks in the draft, and ends
	// the unit. Once it has returned nil, the client may be told that its data is stored.
	// The block that came last at an index counts, except that an inherited block never
	// displaces a written one. ErrNotPending when the draft has ended meanwhile or, for
	// written blocks, is complete.
	Append(ctx context.Context, l work.Lease, a Appended) error
	// DraftBlocks returns at most limit blocks with an index above after, ascending.
	DraftBlocks(ctx context.Context, id string, after int64, limit int) ([]DraftBlock, error)
}

// Settling turns a complete draft into a snapshot, or fails it.
type Settling interface {
	// Split replaces the lease's Complete unit by as many Copy units as there are ranges:
	// each copies one range of the base's blocks from another domain.
	Split(ctx context.Context, l work.Lease, ranges int) error
	// Copied ends the lease's Copy unit. When it was the last, the draft becomes Copied
	// and gets its Complete unit back, which is leased to the caller; only then is ok
	// true.
	Copied(ctx context.Context, l work.Lease) (next work.Lease, ok bool, err error)
	// AddPages registers a part of the manifest of the lease's draft and names the pages
	// as pages of the draft, so that Publish need not register all of a large manifest at
	// once. The file must be durable before the call. A page that an earlier attempt added
	// at the same place is replaced.
	AddPages(ctx context.Context, l work.Lease, p NewPages) error
	// Publish is step 5 of the ordering invariant: the lease's draft becomes a completed
	// snapshot with manifest m, whose files must be durable before the call. Of a large
	// draft some rows are left for a LetGo unit.
	Publish(ctx context.Context, l work.Lease, m Manifest) error
	// Reject fails the lease's draft, with a message that its owner sees.
	Reject(ctx context.Context, l work.Lease, message string) error
}

// Leavings ends drafts that clients leave, and lets go of what snapshots that were
// pending leave behind. An event that ends a draft or an import lets go of so many of
// the rows that named its pages and blocks as one transaction can without keeping
// others waiting; for the rest it makes a LetGo unit. Until the turn of a row comes, it
// keeps what it names from gc, and that is all it does.
type Leavings interface {
	// ExpireDrafts fails the drafts that at now have gone without a write for their
	// Timeout, each in a transaction of its own, and forgets the units whose lease has
	// lapsed and which nobody claims: appends, and rewritings of packs. It returns how many
	// drafts it failed.
	ExpireDrafts(ctx context.Context, now time.Time) (n int, err error)
	// LetGo lets go of some more rows of the lease's snapshot, or removes some of an
	// account that was removed. When none are left it ends the unit; else left is true,
	// and the lease is still held.
	LetGo(ctx context.Context, l work.Lease) (left bool, err error)
}

// ErrNotPending reports a draft that can't be written any more.
var ErrNotPending = errors.New("snapshot: not pending")

// ErrTooMany reports an account that has as many drafts of a kind as it may have.
var ErrTooMany = errors.New("snapshot: too many drafts")

// ErrTokenReused reports a client token that stood for another request.
var ErrTokenReused = errors.New("snapshot: client token stands for another request")

// ErrConflict reports that another call is writing the same block with other
// content.
var ErrConflict = errors.New("snapshot: the block is being written with other content")

// ErrParentLarger reports a parent on a larger volume.
var ErrParentLarger = errors.New("snapshot: the parent's volume is larger")

// ChecksumError reports data that is not what its checksum says.
type ChecksumError struct{ Computed, Expected block.Digest }

func (e *ChecksumError) Error() string {
	return "snapshot: data has checksum " + e.Computed.Base64() + ", not " + e.Expected.Base64()
}

// BeyondError reports an index that the volume does not have.
type BeyondError struct{ Index int64 }

func (e *BeyondError) Error() string {
	return fmt.Sprintf("snapshot: no block %d on the volume", e.Index)
}
