package verify

import (
	"context"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Store is the catalog as a Verifier sees it. Values that no event can have written are
// returned as they are, or as ones that are as wrong: a damaged row is one finding and
// hides no other. The suite is verifytest; it runs on every engine.
type Store interface {
	Rows
	Engine
}

// Rows reads rows, damaged ones too. Every method is one transaction, and all may be called
// concurrently.
type Rows interface {
	// Files returns at most limit rows of files with ids above after, ascending.
	Files(ctx context.Context, after blockstore.FileID, limit int) ([]FileRow, error)
	// Contents returns what rows say lies in a file, at one moment; nothing of a file that
	// no row knows or names.
	Contents(ctx context.Context, id blockstore.FileID) (Contents, error)
	// Homeless returns at most limit files with ids above after, ascending, that have no
	// row, although blocks or pages are said to lie in them.
	Homeless(ctx context.Context, after blockstore.FileID, limit int) ([]blockstore.FileID, error)
	// Snapshots returns at most limit snapshots of all accounts and regions, in any state, with
	// ids above after, ascending by the bytes of their ids.
	Snapshots(ctx context.Context, after string, limit int) ([]snapshot.Record, error)
	// Places returns what rows say of blocks. Those without a row are absent.
	Places(ctx context.Context, ids []block.ID) (map[block.ID]Place, error)
}

// Engine is what else the database tells, and the marks on blocks. All methods may be
// called concurrently.
type Engine interface {
	// CheckEngine has the engine check its own structures, which takes long.
	CheckEngine(ctx context.Context) (EngineReport, error)
	// DomainRows returns all domains, by their ids.
	DomainRows(ctx context.Context) ([]blockstore.Domain, error)
	// FilesWithRows is that of gc.Files.
	FilesWithRows(ctx context.Context, ids []blockstore.FileID) (map[blockstore.FileID]bool, error)
	// MarkDamaged is that of blockstore.Catalog.
	MarkDamaged(ctx context.Context, id block.ID, at blockstore.Location) error
	// ClearDamage takes away the mark of a block that was read and proven at its place; if
	// it has been moved since, nothing changes.
	ClearDamage(ctx context.Context, id block.ID, at blockstore.Location) error
}

// EngineReport is what a database says about itself.
type EngineReport struct {
	Problems []string
	Notes    []string // what could not be checked, and how it could be
}

// FileRow is the row of a file.
type FileRow struct {
	blockstore.File
	State         string // "open", "closed"
	Bytes         int64
	Entries, Dead int64
	OldestKey     int64
}

// Contents is what rows say lies in a file.
type Contents struct {
	Row    FileRow
	HasRow bool
	Blocks []BlockRow // in no order
	Pages  []snapshot.PagePlace
	Roots  int64 // snapshots whose root it is
}

// BlockRow is what the row of a block says, besides its file.
type BlockRow struct {
	blockstore.Placement
	Damaged bool // it is marked
}

// Place is what the row of a block says.
type Place struct {
	blockstore.Location
	HasFile bool // its file has a row; else only the ID of that is known
	Damaged bool // it is marked
}

// Keys opens keys of domains. keyring.Ring implements it. An error about a KMS key that
// can't be used is its *keyring.Error.
type Keys interface {
	// Keys returns the keys of a domain, for reading its blocks.
	Keys(ctx context.Context, domain string) (*frame.Keys, error)
	// Unwrap returns the keys in a row, or in the header of a pack, whatever is in memory.
	Unwrap(ctx context.Context, row blockstore.Domain) (*frame.Keys, error)
	// Merge enters into the row of a domain the data keys that the header of a pack has
	// besides, and returns the row.
	Merge(ctx context.Context, header blockstore.Domain) (blockstore.Domain, error)
	// Forget has the row of a domain read anew.
	Forget(domain string)
}
