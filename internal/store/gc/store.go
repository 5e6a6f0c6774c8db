package gc

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Store is the catalog as gc sees it. The suite is gctest; it runs on every engine.
type Store interface {
	Marks
	References
	Condemned
	Files
}

// Marks says what is referenced. Every method is one transaction.
type Marks interface {
	// NextPass returns a number that no pass over the references had before, above 0.
	NextPass(ctx context.Context) (int64, error)
	// MarkPages marks pages with the pass, un-condemns them, and returns those that
	// did not have the mark before. An unknown page is an error, ErrNoPage: what it
	// references cannot be known.
	MarkPages(ctx context.Context, pass int64, ids []snapshot.PageID) ([]snapshot.PagePlace, error)
	// MarkBlocks marks blocks with the pass and un-condemns them. Unknown ones
	// are for verify to report.
	MarkBlocks(ctx context.Context, pass int64, ids []block.ID) error
	// SpareBlocks un-condemns blocks.
	SpareBlocks(ctx context.Context, ids []block.ID) error
}

// References is where marking starts, and who may be adding to it. The methods
// that call fn do so outside of transactions, some at a time.
type References interface {
	// Drafts calls fn with the pages that finished ranges registered for snapshots
	// that are pending.
	Drafts(ctx context.Context, fn func([]snapshot.PageID) error) error
	// DraftBlocks calls fn with the blocks that appends registered for drafts.
	DraftBlocks(ctx context.Context, fn func([]block.ID) error) error
	// Roots calls fn with the roots of completed snapshots and of whatever else
	// holds one, such as a draft that began as a snapshot that was deleted
	// meanwhile. All of them are read at one moment: a hold is taken of a root.
	Roots(ctx context.Context, fn func(blockstore.File) error) error
	// InFlight returns the leases held at now by units that may add references.
	// Those that have lapsed it takes away for good, so that what is not in the
	// answer can finish no more.
	InFlight(ctx context.Context, now time.Time) ([]Fence, error)
}

// Fence names a lease: an attempt at a unit of work.
type Fence struct{ Unit, Attempt int64 }

// Condemned is what gc is about to delete: blocks and pages. Its methods take many
// transactions and may be left off anywhere.
type Condemned interface {
	// Condemn condemns what does not have the mark of the pass, in its name, and
	// returns how many blocks and pages are condemned by it.
	Condemn(ctx context.Context, pass int64) (int64, error)
	// DeleteCondemned deletes what the pass condemned and still is condemned by it.
	DeleteCondemned(ctx context.Context, pass int64) (Report, error)
}

// Files is the files' side of the catalog.
type Files interface {
	// DeadFiles returns at most limit files above after, in the order of their ids,
	// that can never be of use again: closed ones without a block, page or snapshot
	// in them, and open ones whose lease is lost.
	DeadFiles(ctx context.Context, after blockstore.FileID, limit int) ([]DeadFile, error)
	// ForgetFiles deletes the rows of files.
	ForgetFiles(ctx context.Context, ids []blockstore.FileID) error
	// KnownFiles returns which of the files have a row.
	KnownFiles(ctx context.Context, ids []blockstore.FileID) (map[blockstore.FileID]bool, error)
}

// DeadFile is a file to remove.
type DeadFile struct {
	blockstore.File
	Bytes int64 // 0 for one that was never closed
}
