package blockstore

import (
	"context"
	"errors"
	"io"
)

// Backend keeps the bytes of files by name. Implementations: blobdir (a local
// directory) and blobs3. It knows nothing of blocks or the catalog. The suite
// is blobtest.
type Backend interface {
	// Create starts a file of about size bytes (a hint for preallocation). The
	// name must not exist. Nothing can be read from it until it is closed.
	Create(ctx context.Context, name string, size int64) (Writer, error)
	// Open opens a closed file for reading; ErrNotExist if there is none.
	Open(ctx context.Context, name string) (Reader, error)
	// Remove deletes the file, closed or not. A file that is not there is a success.
	Remove(ctx context.Context, name string) error
	// List calls fn with the name of every file, closed or not, in no order.
	List(ctx context.Context, fn func(name string) error) error
}

// Writer is a file being written by one unit of work.
type Writer interface {
	// WriteAt writes bufs one after the other at off. Calls may be concurrent
	// when their ranges do not overlap. Offsets, lengths and the memory of bufs
	// are aligned to Align.
	WriteAt(ctx context.Context, bufs [][]byte, off int64) error
	// Close makes the file, size bytes long, durable together with its name. After
	// that nobody changes it.
	Close(ctx context.Context, size int64) error
	// Abort drops the file. After Close it does nothing.
	Abort() error
}

// Reader is a closed file.
type Reader interface {
	io.ReaderAt
	io.Closer
}

// Align is what O_DIRECT asks of offsets, lengths and addresses, in bytes.
const Align = 4096

// ErrNotExist reports a file that a Backend does not have.
var ErrNotExist = errors.New("blockstore: no such file")

// ErrFull reports that there is no space left for what was to be written.
var ErrFull = errors.New("blockstore: no space left")
