package compact

import (
	"context"
	"errors"
	"time"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Store is the part of the catalog that compaction uses; Compactor is its only
// caller. Every method is one transaction, and all may be called concurrently, from
// any node. The suite is compacttest; it runs on every engine.
type Store interface {
	// Packs returns at most limit closed packs with ids above after, ascending, in
	// which something lives, and that are worth a look: more than DeadPercent of
	// their blocks are dead, they are shorter than Small bytes, they have not
	// been compressed, or they may have frames under data keys that are to go.
	Packs(ctx context.Context, w Worth, after blockstore.FileID, limit int) ([]Pack, error)
	// Live returns the blocks that lie in a file and are not damaged, in the order
	// of their frames.
	Live(ctx context.Context, file blockstore.FileID) ([]blockstore.Placement, error)
	// Begin leases to owner, until a time, the unit that rewrites packs of the
	// domain. There is one at a time: ErrBusy.
	Begin(ctx context.Context, domain, owner string, until time.Time) (work.Lease, error)
	// Move is the event that ends a step: it checks the lease, closes the new pack,
	// makes those blocks lie in it that still lie where they were read, and ends
	// the unit. It returns how many moved. Condemned blocks stay condemned, and
	// those that were deleted meanwhile stay deleted.
	Move(ctx context.Context, l work.Lease, m Moved) (int64, error)
	// End ends the unit without an effect. Ending a lost lease succeeds.
	End(ctx context.Context, l work.Lease) error
}

// Mender is the part of the catalog that Mend uses. The suite is compacttest.
type Mender interface {
	// Mend is the event that ends a unit of Begin with what was written anew: it checks the
	// lease, closes the files, and makes those blocks lie in the pack that can't be read where they
	// lie, or have no row, and all of the pages in the pages file. All become candidates of
	// gc, which finds out whether anything needs them. It returns how many blocks lie in the pack.
	Mend(ctx context.Context, l work.Lease, m Mended) (int64, error)
}

// Mended is what was written anew.
type Mended struct {
	Pack       *blockstore.ClosedPack // nil: none
	PagesFile  blockstore.File        // zero without pages
	PagesBytes int64
	Pages      []snapshot.PagePlace
}

// ErrBusy reports a domain whose packs are being rewritten.
var ErrBusy = errors.New("compact: packs of the domain are being rewritten")

// Worth says which packs are worth a look.
type Worth struct {
	DeadPercent int   // more than this many of a hundred blocks
	Small       int64 // bytes
}

// Pack is a closed pack.
type Pack struct {
	File          blockstore.File
	Created       time.Time
	Bytes         int64
	Entries, Dead int64 // blocks that it was written with, and those of them that were let go
	Compressed    bool  // its frames have been compressed where that helps
	Outdated      bool  // it may have frames under data keys that are to go
	// Entered is set if the row was made from the file (verify.Entries). A database that is
	// older than a pack may have made data keys of its own, so those in the pack's header may be others
	// than the domain has under the same numbers.
	Entered bool
}

// Moved is what a step has written.
type Moved struct {
	Pack       blockstore.ClosedPack
	Compressed bool
	// From is where each block of Pack lay when it was read, in the same order.
	From []blockstore.Location
	// OldestKey is the lowest number of a data key that a frame of Pack is under.
	OldestKey uint32
}
