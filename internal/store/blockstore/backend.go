package blockstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/diskport/diskport/internal/space"
)

// Backend keeps the bytes of the store's files, by name. It is what a new place for
// blocks (a directory, a bucket) implements, and knows nothing of blocks, packs or
// the catalog; Store is its only writer, gc removes through it. Implementations are
// blobdir (a local directory), blobs3 (a bucket) and blobtest.Memory; the suite that each
// of them passes is blobtest.
//
// The life of a file: Create starts it, one Writer fills it, Close makes it
// durable, and from then on it never changes until Remove. Nothing of a file can be
// read before it is closed, so a reader never sees half of one. A name is used once
// in the life of a store: the caller guarantees that, and a Backend may rely on it,
// for instance to keep what it has read.
//
// Every implementation is also Identified, which ties a store to its database, and
// Quarantine, which sets files aside; these are interfaces of their own because
// most users need only one of the three.
//
// All methods may be called concurrently, on any names. A Backend may keep files
// open between reads, but not beyond Remove. Errors wrap ErrNotExist, ErrFull and
// ErrUnavailable where these apply, and name the file.
type Backend interface {
	// Create starts a file. size is about how many bytes it will have, a hint for
	// reserving space; more or fewer may be written. If there is a file of that name,
	// it fails, or Close of one of the two does. The caller owns the Writer and ends it
	// with Close or Abort.
	Create(ctx context.Context, name string, size int64) (Writer, error)
	// ReadAt reads len(p) bytes at off of a closed file, as io.ReaderAt does: when
	// it returns fewer, it returns an error too, which is io.EOF at the file's end.
	// ErrNotExist if there is no closed file of that name.
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	// Remove deletes a file, closed or not. Reads that are under way end as if the
	// file were still there; its space is free when Remove has returned and they
	// have ended. Removing a file that does not exist succeeds, so that a removal
	// that was cut off can be repeated. A file that was removed while it was open can't
	// be closed any more, even if its Close has begun.
	Remove(ctx context.Context, name string) error
	// List calls fn for every file, closed or not, in no order. Files that are
	// created or removed meanwhile, or shortly before, may be listed or not. Of an open
	// file that another process writes it may know only once something of it is stored.
	// An error of fn ends the listing and is returned.
	List(ctx context.Context, fn func(Entry) error) error
}

// Entry is a file as List finds it.
type Entry struct {
	Name   string
	Bytes  int64 // of a closed file; what an open one has is not said
	Closed bool
}

// Quarantine is a back end that can set files aside instead of removing them. gc
// does so with closed files that no row of the database names, because they may be
// all that is left of a lost database. Every Backend is one; the suite is blobtest.
// All methods may be called concurrently.
type Quarantine interface {
	// SetAside takes a closed file out of the store and notes the time. From then
	// on it is neither listed nor read. Setting aside a file that does not exist
	// succeeds.
	SetAside(ctx context.Context, name string, at time.Time) error
	// Purge removes for good the files that were set aside before a time.
	Purge(ctx context.Context, before time.Time) (Purged, error)
}

// Aside is a back end that brings back what it has set aside: for the rebuilding of a
// database. Every Quarantine is one; the suite is blobtest. All methods may be called concurrently.
type Aside interface {
	// EachAside calls fn with the names of the files that are set aside, in no order; with
	// one that was set aside several times, as often. An error of fn ends it and is returned.
	EachAside(ctx context.Context, fn func(name string) error) error
	// BringBack puts the file back that was set aside last under a name. It does nothing if
	// there is a file of that name in the store, or none set aside.
	BringBack(ctx context.Context, name string) error
}

// Purged is what Purge removed.
type Purged struct{ Files, Bytes int64 }

// Writer is a file that is being written. It belongs to the unit of work that
// created it. It ends with Close or Abort, after which every call but Abort fails.
// A Writer that neither of them ended, because the process died, leaves an open
// file, which gc removes once the lease of the unit has lapsed.
type Writer interface {
	// WriteAt writes bufs one after the other at off. No byte is written twice; calls
	// may be concurrent. Offsets, lengths and the memory of bufs must be
	// aligned to Align, else WriteAt fails. bufs belong to the caller again when it
	// returns.
	WriteAt(ctx context.Context, bufs [][]byte, off int64) error
	// Close cuts the file to size bytes and makes it durable together with its
	// name: when Close returns nil, the file survives a loss of power, and can be
	// read. After an error the file is not there, and Abort drops what was written.
	// It fails if the file was removed meanwhile.
	// No WriteAt may be running.
	Close(ctx context.Context, size int64) error
	// Abort drops the file. After a successful Close it does nothing, so it can be
	// deferred.
	Abort() error
}

// Align is what O_DIRECT asks of offsets, lengths and addresses, in bytes.
const Align = 4096

// ErrNotExist reports a file that a Backend does not have.
var ErrNotExist = errors.New("blockstore: no such file")

// ErrTruncated reports a file that ends before what is to be read. It is an
// io.ErrUnexpectedEOF; not every one of these is damage: connections end so too.
var ErrTruncated = fmt.Errorf("blockstore: the file is too short: %w", io.ErrUnexpectedEOF)

// ErrUnavailable reports a back end elsewhere that does not answer, or refuses to: it says
// nothing of the file, and the same may succeed later.
var ErrUnavailable = errors.New("blockstore: the store does not answer")

// ErrFull reports that there is no space left for what was to be written. It is a
// space.ErrFull.
var ErrFull = fmt.Errorf("blockstore: %w", space.ErrFull)
