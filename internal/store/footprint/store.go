package footprint

import (
	"context"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Store is the part of the catalog that says what references blocks; Measurer is its
// only caller. Methods with fn call it outside of transactions, with a batch at a
// time; an error of fn ends the call and is returned. All may be called concurrently.
// The suite is footprinttest; it runs on every engine.
type Store interface {
	// Keepers returns what keeps a root alive besides its own snapshot.
	Keepers(ctx context.Context, root blockstore.FileID) (Keepers, error)
	// RangePages calls fn with the pages that are registered for pending snapshots of
	// a domain, and for snapshots of which no domain is known, besides the snapshot
	// named except.
	RangePages(ctx context.Context, domain, except string, fn func([]snapshot.PageID) error) error
	// DraftBlocks is RangePages for the blocks that appends registered.
	DraftBlocks(ctx context.Context, domain, except string, fn func([]block.ID) error) error
	// Roots returns, as they are at one moment, the closed roots of a domain that a
	// snapshot, a draft or a hold names, or that were not let go, besides except; and
	// those of which no domain is known.
	Roots(ctx context.Context, domain string, except blockstore.FileID) ([]Root, error)
	// LocatePages is that of snapshot.Records.
	LocatePages(ctx context.Context, ids []snapshot.PageID) (map[snapshot.PageID]snapshot.PagePlace, error)
}

// Keepers is what keeps a root alive besides its own snapshot.
type Keepers struct {
	Bytes   int64 // of the root's file
	Volumes int64 // that were made from the snapshot
	Drafts  int64 // that begin as it
}

// Root is a root that names blocks.
type Root struct {
	File     blockstore.File
	Bytes    int64  // of the file
	Snapshot string // whose it is; empty: none that still exists
}
