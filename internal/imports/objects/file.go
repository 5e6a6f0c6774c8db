package objects

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/holes"
)

// File is an open file that must not change while it is read: a pinned object,
// or an image that lies on this machine. All methods but Close may be called
// concurrently.
type File struct {
	f       *os.File
	size    int64 // bytes
	modTime time.Time
}

var _ diskimage.SparseReaderAt = (*File)(nil)

// ReadAt follows io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// Size returns the size in bytes that was pinned.
func (f *File) Size() int64 { return f.size }

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

// Check fails with ErrChanged when size or time of modification are not those that
// were pinned any more. Call it after reading, before what was read counts.
func (f *File) Check() error {
	info, err := f.f.Stat()
	if err != nil {
		return fmt.Errorf("checking the pinned bytes: %w", err)
	}
	if info.Size() != f.size || !info.ModTime().Equal(f.modTime) {
		return fmt.Errorf("%w: %d bytes of %s, not %d bytes of %s", ErrChanged,
			info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano), f.size, f.modTime.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

// NextData returns the first range at or after off that may hold data, as
// diskimage.SparseReaderAt says. Where the file system doesn't know its holes,
// everything is data.
func (f *File) NextData(off int64) (start, end int64, err error) {
	return holes.Next(f.f, f.size, off)
}

var _ io.Closer = (*File)(nil)

// NewFile makes a File of f, which it owns from now on, to be read as size
// bytes last modified at modTime.
func NewFile(f *os.File, size int64, modTime time.Time) *File {
	return &File{f: f, size: size, modTime: modTime}
}
