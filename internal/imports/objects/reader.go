package objects

import (
	"context"
	"errors"
	"io"

	"github.com/diskport/diskport/diskimage"
)

// Reader reads the bytes of an object, whatever becomes of the object meanwhile. All
// methods but Close may be called concurrently.
type Reader struct{}

var (
	_ diskimage.SparseReaderAt = (*Reader)(nil)
	_ io.Closer                = (*Reader)(nil)
)

// Open opens an object that Object returned. The caller closes the Reader. ErrNoSuchObject
// if its bytes are gone, ErrKeyNeeded if it is encrypted and its key can't be used.
func (s *Service) Open(ctx context.Context, o Object) (*Reader, error) {
	return nil, errors.ErrUnsupported
}

// ReadAt follows io.ReaderAt. ErrDamaged.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) { return 0, errors.ErrUnsupported }

// Size returns the size in bytes.
func (r *Reader) Size() int64 { return 0 }

// NextData implements diskimage.SparseReaderAt.
func (r *Reader) NextData(off int64) (start, end int64, err error) {
	return 0, 0, errors.ErrUnsupported
}

// CopyRange writes n bytes from off to w, by sendfile where w is a connection or an
// http.ResponseWriter over one and the bytes are not encrypted.
func (r *Reader) CopyRange(w io.Writer, off, n int64) (int64, error) {
	return 0, errors.ErrUnsupported
}

// Check fails with ErrDamaged unless all files are there with their sizes.
func (r *Reader) Check() error { return errors.ErrUnsupported }

// Close lets go of the bytes.
func (r *Reader) Close() error { return nil }

// Hash reads a range of an object for its MD5 and its checksums.
func (s *Service) Hash(ctx context.Context, o Object, off, n int64, algorithms ...Algorithm) (Piece, error) {
	return Piece{}, errors.ErrUnsupported
}
