package backup

import (
	"context"
	"errors"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// The trees of files that a backup has, as folders of the data directory and the target.
const (
	Blocks  = "blocks"  // of the store
	Objects = "objects" // of the embedded S3
)

var trees = []string{Blocks, Objects}

// Database is what a backup needs of the database. The suite is backuptest.
type Database interface {
	// CopyTo writes the database, as it is at one moment between call and return, to a new
	// file. ErrByItsOwnTools.
	CopyTo(ctx context.Context, path string) error
	// OpenCopy opens such a file to be read. The caller closes it.
	OpenCopy(ctx context.Context, path string) (Copy, error)
}

// ErrByItsOwnTools reports a database that is a server of its own, and backed up by the
// tools that come with it.
var ErrByItsOwnTools = errors.New("backup: the database is a server of its own: it is backed up with its own tools")

// Copy is a database that was copied, which nothing changes any more.
type Copy interface {
	// Facts returns what a manifest says of the database.
	Facts(ctx context.Context) (Facts, error)
	// Needs calls fn with the files that the database needs, a batch at a time. What is
	// garbage is not among them. An error of fn ends the call and is returned.
	Needs(ctx context.Context, fn func([]Need) error) error
	// Pages returns where pages lie in a file of the store, ascending.
	Pages(ctx context.Context, file blockstore.FileID) ([]snapshot.PagePlace, error)
	Close() error
}

// Facts are about a database.
type Facts struct {
	Store  string // identity
	Schema int64
}

// Need is a file that a database needs.
type Need struct {
	Tree string
	Name string          // in the tree
	File blockstore.File // of the store; zero: of the embedded S3
	// Bytes is how long it is; of the embedded S3's about: a little more or less.
	Bytes int64
	// Spare is set for a file without which nothing is lost.
	Spare bool
}

// name returns the name in a target.
func (n Need) name() string { return n.Tree + "/" + n.Name }

// Reader reads the closed files of a tree. Every blockstore.Backend is one.
type Reader interface {
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
}

// Authority checks pages and roots. snapshot.PageKey is one.
type Authority interface {
	CheckPage(id snapshot.PageID, page []byte) error
	CheckRoot(root []byte) error
}
