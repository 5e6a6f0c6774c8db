package objects

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/holes"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// Reader reads the bytes of an object, whatever becomes of the object meanwhile. All
// methods but Close may be called concurrently.
type Reader struct {
	s       *Service
	ctx     context.Context // of its reads, which have none of their own
	content Content
	starts  []int64     // where the extents begin
	aead    cipher.AEAD // nil: not encrypted
	close   sync.Once
}

var (
	_ diskimage.SparseReaderAt = (*Reader)(nil)
	_ io.Closer                = (*Reader)(nil)
)

// Open opens an object that Object returned; ctx is that of all reads. The caller closes
// the Reader. ErrNoSuchObject if its bytes are gone, ErrKeyNeeded if it is encrypted
// and its key can't be used.
func (s *Service) Open(ctx context.Context, o Object) (*Reader, error) {
	r, err := s.openContent(ctx, o.Content)
	if err != nil {
		return nil, fmt.Errorf("opening %s/%s: %w", o.Bucket, o.Key, err)
	}
	return r, nil
}

func (s *Service) openContent(ctx context.Context, id ContentID) (*Reader, error) {
	r := &Reader{s: s, ctx: ctx}
	s.opening.RLock()
	c, err := s.store.Content(ctx, id)
	if err == nil {
		s.held.take(c)
	}
	s.opening.RUnlock()
	if err != nil {
		return nil, err
	}
	r.content, r.starts = c, make([]int64, len(c.Extents))
	var size int64
	for i, e := range c.Extents {
		r.starts[i] = size
		size += e.Len
	}
	if size != c.Size {
		err = fmt.Errorf("its pieces have %d bytes, not %d: %w", size, c.Size, ErrDamaged)
	}
	if err == nil && c.Encryption.Encrypted() {
		r.aead, err = s.cipherOf(ctx, c.Account, c.Encryption)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Size returns the size in bytes.
func (r *Reader) Size() int64 { return r.content.Size }

// Close lets go of the bytes. No other method may be running.
func (r *Reader) Close() error {
	r.close.Do(func() {
		if r.s.held.release(r.content) {
			r.s.wake()
		}
	})
	return nil
}

// at returns the index of the extent in which an offset of the object lies.
func (r *Reader) at(off int64) int {
	return sort.Search(len(r.starts), func(i int) bool { return r.starts[i] > off }) - 1
}

// ReadAt follows io.ReaderAt. ErrDamaged.
func (r *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("reading at %d: %w", off, ErrRange)
	}
	if off >= r.content.Size {
		return 0, io.EOF
	}
	for i := r.at(off); n < len(p) && i < len(r.content.Extents); i++ {
		e := r.content.Extents[i]
		within := off + int64(n) - r.starts[i]
		part := p[n:min(int64(len(p)), int64(n)+e.Len-within)]
		if err := r.readExtent(e, part, within); err != nil {
			return n, err
		}
		n += len(part)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readExtent reads all of p from an offset within an extent.
func (r *Reader) readExtent(e Extent, p []byte, off int64) error {
	if r.aead != nil {
		return r.decrypt(e, off, int64(len(p)), func(b []byte) error {
			p = p[copy(p, b):]
			return nil
		})
	}
	n, err := r.s.opts.Files.ReadAt(r.ctx, fileName(e.Piece), p, e.Skip+off)
	if n < len(p) {
		return damaged(e.Piece, err)
	}
	return nil
}

// damaged returns the error for a piece that can't be read as far as it was written.
func damaged(id PieceID, err error) error {
	if isEnd(err) || errors.Is(err, blockstore.ErrNotExist) {
		return fmt.Errorf("reading piece %s: %w: %w", fileName(id), ErrDamaged, err)
	}
	return fmt.Errorf("reading piece %s: %w", fileName(id), err)
}

// isEnd reports whether an error says that a file is at its end.
func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// NextData implements diskimage.SparseReaderAt.
func (r *Reader) NextData(off int64) (start, end int64, err error) {
	for i := max(0, r.at(off)); i < len(r.content.Extents) && off < r.content.Size; i++ {
		e, from := r.content.Extents[i], r.starts[i]
		if r.aead != nil {
			return max(off, from), from + e.Len, nil
		}
		f, err := r.s.opts.Files.Open(r.ctx, fileName(e.Piece))
		if err != nil {
			return 0, 0, damaged(e.Piece, err)
		}
		start, end, err := holes.Next(f, e.Skip+e.Len, e.Skip+max(0, off-from))
		if err := errors.Join(err, f.Close()); err != nil {
			return 0, 0, fmt.Errorf("looking for data in piece %s: %w", fileName(e.Piece), err)
		}
		if start < end {
			return from + start - e.Skip, from + end - e.Skip, nil
		}
	}
	return r.content.Size, r.content.Size, nil
}

// CopyRange writes n bytes from off to w, by sendfile where w is a connection or an
// http.ResponseWriter over one and the bytes are not encrypted. ErrRange, ErrDamaged.
func (r *Reader) CopyRange(w io.Writer, off, n int64) (written int64, err error) {
	if off < 0 || n < 0 || off > r.content.Size-n {
		return 0, fmt.Errorf("%d bytes at %d of %d: %w", n, off, r.content.Size, ErrRange)
	}
	for _, e := range r.content.Range(off, n) {
		c, err := r.copyExtent(w, e)
		written += c
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (r *Reader) copyExtent(w io.Writer, e Extent) (n int64, err error) {
	if r.aead != nil {
		err = r.decrypt(e, 0, e.Len, func(b []byte) error {
			c, err := w.Write(b)
			n += int64(c)
			return err
		})
		return n, err
	}
	f, err := r.s.opts.Files.Open(r.ctx, fileName(e.Piece))
	if err != nil {
		return 0, damaged(e.Piece, err)
	}
	defer f.Close()
	if _, err := f.Seek(e.Skip, io.SeekStart); err != nil {
		return 0, damaged(e.Piece, err)
	}
	n, err = io.Copy(w, io.LimitReader(f, e.Len))
	if err == nil && n < e.Len {
		err = damaged(e.Piece, io.ErrUnexpectedEOF)
	}
	return n, err
}

// Hash reads a range of an object for its MD5 and its checksums, which it returns as
// those of a piece that does not exist. What Open and CopyRange fail with.
func (s *Service) Hash(ctx context.Context, o Object, off, n int64, algorithms ...Algorithm) (Piece, error) {
	r, err := s.Open(ctx, o)
	if err != nil {
		return Piece{}, err
	}
	defer func() { _ = r.Close() }() // it was only read
	sums := newSums(algorithms).withMD5(&s.md5, n)
	defer sums.close()
	if _, err := r.CopyRange(sums, off, n); err != nil {
		return Piece{}, err
	}
	p := Piece{Size: n}
	sums.into(&p)
	return p, nil
}
