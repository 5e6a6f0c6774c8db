package blockstore

import (
	"context"
	"fmt"

	"github.com/diskport/diskport/internal/work"
)

// streamBuffer is the bytes of one write of a Stream.
const streamBuffer = 1 << 20

// Stream writes one file from front to back, in pieces of any length. It is for
// files other than packs. It must not be used concurrently.
type Stream struct {
	file File
	w    Writer
	buf  []byte // aligned
	fill int    // bytes of buf
	off  int64  // bytes written before buf
}

// NewStream creates a file of about size bytes, with its row, for the unit of the
// lease. It ends with Close or Abort.
func (s *Store) NewStream(ctx context.Context, l work.Lease, kind FileKind, size int64) (*Stream, error) {
	f, w, err := s.create(ctx, l, File{Kind: kind}, size, KeyUse{})
	if err != nil {
		return nil, err
	}
	n := alignUp(int(min(max(size, 1), streamBuffer)))
	return &Stream{file: f, w: w, buf: AlignedBytes(n)}, nil
}

// File returns the file.
func (s *Stream) File() File { return s.file }

// Size returns the bytes written so far.
func (s *Stream) Size() int64 { return s.off + int64(s.fill) }

// Write appends p.
func (s *Stream) Write(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		if s.fill == len(s.buf) {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
		n := copy(s.buf[s.fill:], p)
		s.fill += n
		p = p[n:]
	}
	return nil
}

// flush writes buf, padded to Align; only the last one is not full.
func (s *Stream) flush(ctx context.Context) error {
	p := s.buf[:alignUp(s.fill)]
	clear(p[s.fill:])
	if err := s.w.WriteAt(ctx, [][]byte{p}, s.off); err != nil {
		return fmt.Errorf("writing %s: %w", s.file.Name(), err)
	}
	s.off, s.fill = s.off+int64(s.fill), 0
	return nil
}

// Close writes what is left and makes the file durable. It returns its size.
func (s *Stream) Close(ctx context.Context) (int64, error) {
	if err := s.flush(ctx); err != nil {
		return 0, err
	}
	if err := s.w.Close(ctx, s.off); err != nil {
		return 0, fmt.Errorf("closing %s: %w", s.file.Name(), err)
	}
	return s.off, nil
}

// Abort drops the file. After Close it does nothing.
func (s *Stream) Abort() error { return s.w.Abort() }
