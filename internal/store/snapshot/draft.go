package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/work"
)

// Draft is a pending snapshot that clients write, or that is copied.
type Draft struct {
	Record
	Token  string // client token; empty: none
	Digest string // of the request, for telling replays from clashes
	// Base is the root that it begins as; 0: none. The draft holds it, whatever
	// becomes of the snapshot that it is the root of.
	Base    blockstore.FileID
	Timeout time.Duration // it ends without a write for so long; 0: a copy
	Want    *Expected     // set once it is complete
	Copied  bool          // what it inherits from another domain is there
	Refused string        // why it fails from the start; empty: it does not
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
	// Digest is kept for the LINEAR checksum of a complete draft, no longer.
	Digest block.Digest
	// Inherited says that the block is the base's, copied from another domain.
	Inherited bool
}

// Appended is what an append made durable.
type Appended struct {
	Packs    []blockstore.ClosedPack
	Blocks   []DraftBlock // an index at most once
	Progress int          // percent, as the client says; 0: unknown
}

// Manifest is the durable manifest of a draft.
type Manifest struct {
	PagesFile  blockstore.File // zero when there are no new pages
	PagesBytes int64
	Pages      []PagePlace // those in it
	Root       Root
}

// DraftStore is everything that happens to drafts. Every method is one event and
// one transaction; what is done under a lease checks it (work.ErrLost).
type DraftStore interface {
	// Start stores d, pending, with its tags. baseID, when given, is a completed
	// snapshot whose root d begins as. When the account has a snapshot of the same
	// Token, Start returns that one and created is false. With d.Want, d is
	// complete at once; with d.Refused it is no draft but failed. ErrTooMany when the account has limit drafts of the kind
	// (copies, or others), ErrNotFound when there is no such base.
	Start(ctx context.Context, d Draft, baseID string, limit int) (stored Draft, created bool, err error)
	// ByToken returns the account's snapshot that a client token made, whatever
	// became of it. ErrNotFound.
	ByToken(ctx context.Context, account, token string) (Draft, error)
	// Draft returns a pending draft. ErrNotFound, ErrNotPending.
	Draft(ctx context.Context, id string) (Draft, error)
	// BeginAppend returns the lease of a new Append unit, held until `until`.
	BeginAppend(ctx context.Context, d Draft, owner string, until time.Time) (work.Lease, error)
	// EndAppend gives up an append.
	EndAppend(ctx context.Context, l work.Lease) error
	// Append is step 4 of the ordering invariant for a draft: check the lease;
	// packs become closed; block rows are inserted; the draft names them. The
	// last block of an index counts; an inherited one never displaces a written
	// one. ErrNotPending when the draft ended meanwhile or, for written blocks,
	// is complete.
	Append(ctx context.Context, l work.Lease, a Appended) error
	// Complete takes what the writer says, after which nothing can be written, and
	// makes the Complete unit. It succeeds again on a draft that is complete.
	Complete(ctx context.Context, account, id string, want Expected) error
	// DraftBlocks returns at most limit blocks with indexes above after, ascending.
	DraftBlocks(ctx context.Context, id string, after int64, limit int) ([]DraftBlock, error)
	// Split puts units that copy a complete draft's base, one for each of so many
	// ranges, in the place of the lease's unit.
	Split(ctx context.Context, l work.Lease, ranges int) error
	// Copied ends the lease's Copy unit. With the last of them the draft is Copied,
	// and its Complete unit comes to be, leased to the caller (ok).
	Copied(ctx context.Context, l work.Lease) (next work.Lease, ok bool, err error)
	// Publish makes the lease's draft completed: step 5 of the ordering invariant.
	Publish(ctx context.Context, l work.Lease, m Manifest) error
	// Reject makes the lease's draft failed.
	Reject(ctx context.Context, l work.Lease, message string) error
	// ExpireDrafts makes drafts failed whose timeout is over, and forgets appends
	// whose lease has lapsed.
	ExpireDrafts(ctx context.Context) (n int, err error)
}

// ErrNotPending reports a draft that can't be written any more.
var ErrNotPending = errors.New("snapshot: not pending")

// ErrTooMany reports that an account has as many drafts as it may have.
var ErrTooMany = errors.New("snapshot: too many drafts")

// ErrTokenReused reports a client token that stood for another request.
var ErrTokenReused = errors.New("snapshot: client token stands for another request")

// ErrConflict reports a block that is being written with other content.
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
