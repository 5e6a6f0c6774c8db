package blockstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"
)

// Options are the options of a Store. The zero value is useful.
type Options struct {
	// Group is how many blocks are looked up, framed and written together; 0 is
	// 8, with which a write is 4 MiB.
	Group int
	// PackBytes is about how long packs become; 0 is 128 MiB.
	PackBytes int64
	// NewFileID returns an ID that was never used; nil means one of 63 random bits.
	NewFileID func() FileID
}

// Store writes and reads the files of the block store. It may be used
// concurrently.
type Store struct {
	Catalog Catalog
	Backend Backend
	Slots   *Slots

	group     int
	packSlots int
	newFileID func() FileID
	frames    sync.Pool // of *[]byte: room for a compressed frame that is being read
}

// NewStore returns a store over its parts, which the caller still owns and closes.
func NewStore(c Catalog, b Backend, s *Slots, o Options) *Store {
	if o.Group == 0 {
		o.Group = 8
	}
	if o.PackBytes == 0 {
		o.PackBytes = 128 << 20
	}
	if o.NewFileID == nil {
		o.NewFileID = randomFileID
	}
	slots := int(min(o.PackBytes-headerSize, maxPackUnits*Align-headerSize) / frame.Size)
	return &Store{
		Catalog: c, Backend: b, Slots: s,
		group:     o.Group,
		packSlots: max(slots-slots%o.Group, o.Group), // whole groups
		newFileID: o.NewFileID,
		frames:    sync.Pool{New: func() any { b := make([]byte, frame.Size); return &b }},
	}
}

func randomFileID() FileID {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	return FileID(binary.LittleEndian.Uint64(b[:]) >> 1)
}

// create starts a file of about size bytes: first its row, then its first byte
// (rule 1 of the ordering invariant).
func (s *Store) create(ctx context.Context, l work.Lease, f File, size int64) (File, Writer, error) {
	f.ID = s.newFileID()
	if err := s.Catalog.CreateFile(ctx, l, f); err != nil {
		return File{}, nil, fmt.Errorf("entering %s: %w", f.Name(), err)
	}
	w, err := s.Backend.Create(ctx, f.Name(), size)
	if err != nil {
		return File{}, nil, fmt.Errorf("creating %s: %w", f.Name(), err)
	}
	return f, w, nil
}

// Get reads block id from where it lies into buf, frame.Size bytes, and returns its
// plaintext, which lies in buf, and its digest. The plaintext has been verified
// against id. ErrNotExist means that the block has been moved since it was located:
// locate it again.
func (s *Store) Get(ctx context.Context, k *frame.Keys, id block.ID, at Location, buf []byte) ([]byte, block.Digest, error) {
	if len(buf) != frame.Size {
		return nil, block.Digest{}, fmt.Errorf("blockstore: reading a block into %d bytes", len(buf))
	}
	if err := at.Check(); err != nil {
		return nil, block.Digest{}, fmt.Errorf("%s: %w", at.File.Name(), err)
	}
	framed, plain := buf, []byte(nil)
	if n := int(at.Len) * Align; n < frame.Size { // it is compressed
		room := s.frames.Get().(*[]byte)
		defer s.frames.Put(room)
		framed, plain = (*room)[:n], buf[:block.Size]
	}
	if err := s.ReadAt(ctx, at.File, framed, int64(at.Off)*Align); err != nil {
		return nil, block.Digest{}, err
	}
	payload, digest, err := k.Open(framed, plain, id)
	if err != nil {
		return nil, block.Digest{}, fmt.Errorf("%s, at %d: %w", at.File.Name(), int64(at.Off)*Align, err)
	}
	return payload, digest, nil
}

// GetRun reads blocks whose frames lie one behind the other in a file, all with one
// read, and calls fn with each as Get would return it. What fn is given lies in buf,
// which has room for the frames and one more of frame.Size bytes, until fn returns.
// An error of fn ends the call and is returned.
func (s *Store) GetRun(ctx context.Context, k *frame.Keys, f File, run []Placement, buf []byte, fn func(i int, plain []byte, d block.Digest, err error) error) error {
	size, err := runSize(run)
	if err == nil && len(buf) < size+frame.Size {
		err = fmt.Errorf("blockstore: reading %d bytes of blocks into %d", size, len(buf))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	frames, plain := buf[:size], buf[size:size+block.Size]
	if err := s.ReadAt(ctx, f, frames, int64(run[0].Off)*Align); err != nil {
		return err
	}
	for i, b := range run {
		n := int(b.Len) * Align
		payload, digest, err := k.Open(frames[:n:n], plain, b.ID)
		if err != nil {
			err = fmt.Errorf("%s, at %d: %w", f.Name(), int64(b.Off)*Align, err)
		}
		if err := fn(i, payload, digest, err); err != nil {
			return err
		}
		frames = frames[n:]
	}
	return nil
}

// runSize returns the bytes of frames that lie one behind the other.
func runSize(run []Placement) (size int, err error) {
	if len(run) == 0 {
		return 0, errors.New("blockstore: a run of no blocks")
	}
	for i, b := range run {
		if err := b.Check(); err != nil {
			return 0, err
		}
		if i > 0 && !run[i-1].Before(b.Span) {
			return 0, fmt.Errorf("blockstore: no frame at %d follows that at %d", b.Off, run[i-1].Off)
		}
		size += int(b.Len) * Align
	}
	return size, nil
}

// ReadAt fills p from a closed file. When the file ends before p is full, the error
// wraps io.ErrUnexpectedEOF.
func (s *Store) ReadAt(ctx context.Context, f File, p []byte, off int64) error {
	n, err := s.Backend.ReadAt(ctx, f.Name(), p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes of %s at %d: %w", len(p), f.Name(), off, err)
}
