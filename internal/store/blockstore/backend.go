package blockstore

import (
	"context"
	"errors"
	"time"
)

// Backend keeps the bytes of the store's files, by name. It knows nothing of
// blocks, packs or the catalog. Implementations are blobdir (a local directory)
// and blobtest.Memory; the suite that each of them passes is blobtest.
//
// The life of a file: Create starts it, one Writer fills it, Close makes it
// durable, and from then on it never changes until Remove. Nothing of a file can
// be read before it is closed, so nobody ever sees half of one. A name is used
// once in the life of a store; the caller sees to that, and a Backend may rely
// on it.
//
// A Backend also says whose store it keeps (Identified) and sets files aside
// (Quarantine); these are interfaces of their own, for those who need no more.
//
// All methods may be called concurrently, on any names. A Backend may keep files
// open between reads; that is its own affair, and Remove ends it. Errors wrap
// ErrNotExist and ErrFull where these apply, and name the file.
type Backend interface {
	// Create starts a file of about size bytes, a hint for setting space aside. It
	// fails if there is a file of that name, closed or not. The caller owns the
	// Writer and ends it with Close or Abort.
	Create(ctx context.Context, name string, size int64) (Writer, error)
	// ReadAt reads len(p) bytes at off of a closed file, as io.ReaderAt does: with
	// fewer bytes comes an error, io.EOF at the file's end. ErrNotExist if there is
	// no closed file of that name.
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	// Remove deletes a file, closed or not. Its space is free when Remove returns,
	// or when the reads that were under way have ended, which end as if the file
	// were still there. A file that is not there is a success.
	Remove(ctx context.Context, name string) error
	// List calls fn for every file, closed or not, in no order. Files that are
	// created or removed meanwhile may be missing or not. An error of fn ends it
	// and is returned.
	List(ctx context.Context, fn func(Entry) error) error
}

// Entry is a file as List finds it.
type Entry struct {
	Name   string
	Bytes  int64 // of a closed file; what an open one has is not said
	Closed bool
}

// Quarantine is a back end that can set files aside instead of removing them:
// files that nobody knows, which may be all that is left of a lost database.
// Every Backend is one; the suite is blobtest.
type Quarantine interface {
	// SetAside takes a closed file out of the store and notes when: it is neither
	// listed nor read any more. People can bring it back; the back end says how. A
	// file that is not there is a success.
	SetAside(ctx context.Context, name string, at time.Time) error
	// Purge removes the files for good that were set aside before a time.
	Purge(ctx context.Context, before time.Time) (Purged, error)
}

// Purged is what Purge removed.
type Purged struct{ Files, Bytes int64 }

// Writer is a file that is being written. Its owner is one unit of work; nobody
// else sees it. It ends with Close or Abort, after which every call but Abort
// fails.
type Writer interface {
	// WriteAt writes bufs one after the other at off. Calls may be concurrent when
	// their ranges do not overlap. Offsets, lengths and the memory of bufs are
	// aligned to Align; what is not, is refused. bufs stay the caller's.
	WriteAt(ctx context.Context, bufs [][]byte, off int64) error
	// Close cuts the file to size bytes and makes it durable together with its
	// name: when Close returns nil, the file is there after a loss of power. After
	// an error it can be aborted. No WriteAt may be running.
	Close(ctx context.Context, size int64) error
	// Abort drops the file. After Close it does nothing.
	Abort() error
}

// Align is what O_DIRECT asks of offsets, lengths and addresses, in bytes.
const Align = 4096

// ErrNotExist reports a file that a Backend does not have.
var ErrNotExist = errors.New("blockstore: no such file")

// ErrFull reports that there is no space left for what was to be written.
var ErrFull = errors.New("blockstore: no space left")
