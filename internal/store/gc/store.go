package gc

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Store is the part of the catalog that gc uses; Collector is its only caller.
// Events of other stores add candidates in their own transactions; here a pass
// takes them, finds out which are referenced, and deletes the others. A pass is a
// number that marks what one cycle has taken and condemned, so that two cycles
// never delete on each other's word.
//
// A method that changes rows takes as many transactions as it needs for its list,
// and may stop anywhere and be run again. All may be called concurrently, from any
// node. The suite is gctest; it runs on every engine.
type Store interface {
	Released
	Candidates
	References
	Condemned
	Files
}

// Released is the roots that were let go: where the candidates among pages come
// from.
type Released interface {
	// ReleasedRoots returns at most limit roots with ids above after, ascending,
	// that were let go, that no snapshot, draft or hold names, and that are not
	// expanded yet.
	ReleasedRoots(ctx context.Context, after blockstore.FileID, limit int) ([]blockstore.File, error)
	// NotePages makes pages candidates.
	NotePages(ctx context.Context, ids []snapshot.PageID) error
	// Expanded notes that all pages under a root have been made candidates, so that
	// the root is not returned again and its file may go.
	Expanded(ctx context.Context, root blockstore.FileID) error
	// SuspectPages makes all pages candidates. It is for a root that was let go and
	// can't be read: any page may have been under it.
	SuspectPages(ctx context.Context) error
	// SuspectBlocks makes all blocks candidates, for a page that goes and can't be
	// read.
	SuspectBlocks(ctx context.Context) error
}

// Candidates are the pages and blocks that may be garbage.
type Candidates interface {
	// Pending reports whether a cycle has anything to do: whether there is a
	// candidate, not counting those that only a draft or a hold keeps.
	Pending(ctx context.Context) (bool, error)
	// TakePages takes for the pass, and returns, at most limit candidates with ids
	// above after, ascending. Candidates without a row are dropped. An event that
	// lets go of one again takes it back from the pass.
	TakePages(ctx context.Context, pass int64, after snapshot.PageID, limit int) ([]snapshot.PagePlace, error)
	// TakeBlocks is TakePages for blocks.
	TakeBlocks(ctx context.Context, pass int64, after block.ID, limit int) ([]block.ID, error)
	// NoteBlocks makes blocks candidates that the pass has taken, unless another one has
	// deleted them meanwhile.
	NoteBlocks(ctx context.Context, pass int64, ids []block.ID) error
	// Settle removes pages and blocks from the candidates, because they were found
	// referenced; those that were let go again since the pass took them stay. What a pass
	// that was stopped has condemned of them is not condemned any more.
	Settle(ctx context.Context, pass int64, pages []snapshot.PageID, blocks []block.ID) error
}

// References is where marking starts, and the units that may add to it. The methods
// with fn call it outside of transactions, with a batch at a time; an error of fn
// ends the call and is returned.
type References interface {
	// RangePages calls fn with the pages that finished ranges registered for snapshots
	// that are pending.
	RangePages(ctx context.Context, fn func([]RangePage) error) error
	// DraftBlocks calls fn with the blocks that appends registered for drafts.
	DraftBlocks(ctx context.Context, fn func([]block.ID) error) error
	// Roots calls fn with the root of every snapshot, draft's base and hold, and
	// with roots that were not let go although none of these names them, which is
	// damage. All of them are read at one moment: a draft or a reader takes a hold
	// of a snapshot's root, and read one after the other both could be missed.
	Roots(ctx context.Context, fn func(Root) error) error
	// LocatePages is that of snapshot.Records.
	LocatePages(ctx context.Context, ids []snapshot.PageID) (map[snapshot.PageID]snapshot.PagePlace, error)
	// InFlight returns the leases that are held at now by units that may add
	// references. It ends for good all leases and holds that have lapsed, so that a
	// unit that is not in the answer can't finish any more, even if its worker
	// still runs. One that would last for longer than a day more was taken by a clock
	// that ran ahead: it is shortened, and whoever is alive extends it.
	InFlight(ctx context.Context, now time.Time) ([]Fence, error)
}

// RangePage is a page of a pending snapshot.
type RangePage struct {
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

// Condemned is the pages and blocks that gc is about to delete. A dedupe hit takes
// back the condemnation of its block (blockstore.Catalog.Claim).
type Condemned interface {
	// NextPass returns a number that no pass had before, above 0.
	NextPass(ctx context.Context) (int64, error)
	// Condemn condemns pages and blocks, except those in doubt, in the name of the pass. It
	// leaves pages alone that another pass has taken since: they are in the hands of that one,
	// which may have found a reference, and has then taken them out of the candidates.
	Condemn(ctx context.Context, pass int64, pages []snapshot.PageID, blocks []block.ID, d Doubt) error
	// DeleteCondemned deletes those of the pages and blocks that are still condemned
	// by the pass and not in doubt, and their candidates, and reports how many.
	// Their files count them as dead and become candidates. Between Condemn and this
	// call gc must have waited for every unit in flight, and have marked again.
	DeleteCondemned(ctx context.Context, pass int64, pages []snapshot.PageID, blocks []block.ID, d Doubt) (Report, error)
	// Spare un-condemns everything that the pass still condemns.
	Spare(ctx context.Context, pass int64) error
}

// Doubt is what can't be freed because a root or page that can't be read may
// reference it.
type Doubt struct {
	Pages   bool     // all pages
	Blocks  bool     // all blocks
	Domains []string // the blocks of these
}

// Files is the part of the catalog about files.
type Files interface {
	// TakeFiles returns at most limit files that may be garbage, with ids above
	// after, ascending, and takes for the pass those that are candidates. Files
	// that were never closed and whose lease is lost are among them without being
	// candidates.
	TakeFiles(ctx context.Context, pass int64, after blockstore.FileID, limit int) ([]blockstore.FileID, error)
	// Look returns what is known about files, at one moment. Files that no row
	// names are absent.
	Look(ctx context.Context, ids []blockstore.FileID) (map[blockstore.FileID]FileFacts, error)
	// SettleFiles is Settle for files.
	SettleFiles(ctx context.Context, pass int64, ids []blockstore.FileID) error
	// ForgetFiles deletes the rows of files, which the back end has removed before.
	ForgetFiles(ctx context.Context, ids []blockstore.FileID) error
	// FilesWithRows returns those of the files that have a row of their own.
	FilesWithRows(ctx context.Context, ids []blockstore.FileID) (map[blockstore.FileID]bool, error)
}

// FileFacts is what rows say about a file. gc believes it only where two facts
// agree; see the package comment.
type FileFacts struct {
	File  blockstore.File
	Row   bool  // there is a row of its own; without one, only Named and Kept are known
	Bytes int64 // 0 for one that was never closed
	// Open: it was not closed. Leased: its unit may still close it.
	Open, Leased bool
	// Entries is how many blocks or pages it was closed with, 1 for a root; Dead is
	// how many of them were let go.
	Entries, Dead int64
	Expanded      bool // a root: the pages under it are candidates
	Named         bool // by a block, page or snapshot
	Kept          bool // by a draft that begins as it, or a hold, which may be one of all closed files
}
