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
	Released
	Candidates
	References
	Condemned
	Files
}

// Released is the roots that were let go.
type Released interface {
	// ReleasedRoots returns at most limit roots above after, in the order of their
	// ids, that were let go, that no snapshot, draft or hold names, and that are not
	// expanded.
	ReleasedRoots(ctx context.Context, after blockstore.FileID, limit int) ([]blockstore.File, error)
	// NotePages makes pages candidates.
	NotePages(ctx context.Context, ids []snapshot.PageID) error
	// Expanded says that all pages under a root are candidates.
	Expanded(ctx context.Context, root blockstore.FileID) error
	// SuspectPages makes all pages candidates: those under a root that was let go
	// can't be told.
	SuspectPages(ctx context.Context) error
	// SuspectBlocks does the same with blocks.
	SuspectBlocks(ctx context.Context) error
}

// Candidates is what may be garbage.
type Candidates interface {
	// Pending reports whether there is a candidate that is not kept by a draft or a
	// hold alone.
	Pending(ctx context.Context) (bool, error)
	// TakePages returns at most limit candidates above after, in the order of their
	// ids, and takes them for the pass. Candidates that do not exist leave.
	TakePages(ctx context.Context, pass int64, after snapshot.PageID, limit int) ([]snapshot.PagePlace, error)
	// TakeBlocks is TakePages for blocks.
	TakeBlocks(ctx context.Context, pass int64, after block.ID, limit int) ([]block.ID, error)
	// NoteBlocks makes blocks candidates that the pass has taken.
	NoteBlocks(ctx context.Context, pass int64, ids []block.ID) error
	// Settle takes those out of the candidates that were not let go again since the
	// pass took them.
	Settle(ctx context.Context, pass int64, pages []snapshot.PageID, blocks []block.ID) error
}

// References is where marking starts, and who may be adding to it. The methods
// that call fn do so outside of transactions, some at a time.
type References interface {
	// Drafts calls fn with the pages that finished ranges registered for snapshots
	// that are pending.
	Drafts(ctx context.Context, fn func([]DraftPage) error) error
	// DraftBlocks calls fn with the blocks that appends registered for drafts.
	DraftBlocks(ctx context.Context, fn func([]block.ID) error) error
	// Roots calls fn with every root of a snapshot, a draft's base or a hold, and
	// with those that were not let go though none of these names them. All of them
	// are read at one moment: a hold is taken of a root.
	Roots(ctx context.Context, fn func(Root) error) error
	// LocatePages returns where pages lie. Unknown ones are absent.
	LocatePages(ctx context.Context, ids []snapshot.PageID) (map[snapshot.PageID]snapshot.PagePlace, error)
	// InFlight returns the leases held at now by units that may add references.
	// Leases and holds that have lapsed it takes away for good, so that what is not
	// in the answer can finish no more.
	InFlight(ctx context.Context, now time.Time) ([]Fence, error)
}

// DraftPage is a page of a draft.
type DraftPage struct {
	ID     snapshot.PageID
	Domain string // of its blocks; empty: not known
}

// Root is a root that is marked from.
type Root struct {
	File   blockstore.File
	Domain string // of its blocks; empty: not known
	Named  bool   // by a snapshot, a draft or a hold
}

// Fence names a lease: an attempt at a unit of work.
type Fence struct{ Unit, Attempt int64 }

// Condemned is what gc is about to delete: blocks and pages. Its methods take many
// transactions and may be left off anywhere.
type Condemned interface {
	// NextPass returns a number that no pass had before, above 0.
	NextPass(ctx context.Context) (int64, error)
	// Condemn condemns pages and blocks, but for those in doubt, in the name of the
	// pass.
	Condemn(ctx context.Context, pass int64, pages []snapshot.PageID, blocks []block.ID, d Doubt) error
	// DeleteCondemned deletes those of the pages and blocks that the pass condemned,
	// that still are condemned by it and not in doubt, and their candidates. The
	// files they lay in count them as dead and become candidates.
	DeleteCondemned(ctx context.Context, pass int64, pages []snapshot.PageID, blocks []block.ID, d Doubt) (Report, error)
	// Spare un-condemns whatever the pass still condemns.
	Spare(ctx context.Context, pass int64) error
}

// Doubt is what can't be freed because not all that is referenced is known.
type Doubt struct {
	Pages   bool     // all pages
	Blocks  bool     // all blocks
	Domains []string // the blocks of these
}

// Files is the files' side of the catalog.
type Files interface {
	// TakeFiles returns at most limit files above after, in the order of their ids,
	// that may be garbage, and takes those for the pass that are candidates.
	TakeFiles(ctx context.Context, pass int64, after blockstore.FileID, limit int) ([]blockstore.FileID, error)
	// Look returns what is known of files. Those without any row are absent.
	Look(ctx context.Context, ids []blockstore.FileID) (map[blockstore.FileID]FileFacts, error)
	// SettleFiles is Settle for files.
	SettleFiles(ctx context.Context, pass int64, ids []blockstore.FileID) error
	// ForgetFiles deletes the rows of files.
	ForgetFiles(ctx context.Context, ids []blockstore.FileID) error
	// FilesWithRows returns which of the files have a row of their own.
	FilesWithRows(ctx context.Context, ids []blockstore.FileID) (map[blockstore.FileID]bool, error)
}

// FileFacts is what rows say about a file.
type FileFacts struct {
	File  blockstore.File
	Row   bool  // there is a row of its own; without one, only what names it is said
	Bytes int64 // 0 for one that was never closed
	// Open says that it was not closed, Leased that its unit may still close it.
	Open, Leased bool
	// Entries is how many blocks or pages it was closed with, 1 for a root; Dead is
	// how many of them were let go.
	Entries, Dead int64
	Expanded      bool // a root: the pages under it are candidates
	Named         bool // by a block, page or snapshot
	Kept          bool // by a draft that begins as it, or a hold
}
