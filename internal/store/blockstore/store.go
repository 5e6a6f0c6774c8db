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
	// KeyBlocks is how many blocks a data key encrypts at most; 0 is 2^30. AES-256-GCM is
	// good for 2^32 random nonces.
	KeyBlocks int64
	// NewFileID returns an ID that was never used; nil means one of 63 random bits.
	NewFileID func() FileID
}

// Store writes and reads the files of the block store. It may be used
// concurrently.
type Store struct {
	Catalog Catalog
	Backend Backend
	Slots   *Slots
	// Keys opens keys anew when those that a caller brought are out of date; nil: they
	// never are.
	Keys DomainKeys

	group     int
	keyBlocks int64
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
	if o.KeyBlocks == 0 {
		o.KeyBlocks = 1 << 30
	}
	if o.NewFileID == nil {
		o.NewFileID = randomFileID
	}
	slots := int(min(o.PackBytes-headerSize, maxPackUnits*Align-headerSize) / frame.Size)
	return &Store{
		Catalog: c, Backend: b, Slots: s,
		group:     o.Group,
		keyBlocks: o.KeyBlocks,
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

// create starts a file of about size bytes: first its row, then the file, then a look at
// the lease, then the first byte (rule 1 of the ordering invariant). If the lease was lost
// in between, gc may have found nothing to remove, and have forgotten the row: the file would
// be closed without one. Once the lease was held while the file is there, gc removes the file
// before its row.
func (s *Store) create(ctx context.Context, l work.Lease, f File, size int64, u KeyUse) (File, Writer, error) {
	f.ID = s.newFileID()
	if err := s.Catalog.CreateFile(ctx, l, f, u); err != nil {
		return File{}, nil, fmt.Errorf("entering %s: %w", f.Name(), err)
	}
	w, err := s.Backend.Create(ctx, f.Name(), size)
	if err != nil {
		return File{}, nil, fmt.Errorf("creating %s: %w", f.Name(), err)
	}
	if err := s.Catalog.CheckLease(ctx, l); err != nil {
		_ = w.Abort() // one that stays is never closed, so gc removes it, with a row or without
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
	payload, digest, err := s.Open(ctx, k, at, framed, plain, id)
	if err != nil {
		return nil, block.Digest{}, fmt.Errorf("%s, at %d: %w", at.File.Name(), int64(at.Off)*Align, err)
	}
	return payload, digest, nil
}

// Neighbour is a block that is read together with others, and what came of it.
type Neighbour struct {
	Placement

	Plain  []byte // verified against ID
	Digest block.Digest
	Err    error // of this frame alone; it says where that lies
}

// GetNear reads blocks whose frames lie near each other in a file, in ascending order,
// with one read, and opens each as Get does. Plaintexts lie in room, which has
// frame.Size bytes for each block. Frames that don't fill it without a gap come to
// stage first, which has room for all that is read, gaps included. The error is that
// of the read, and then nothing is known of any block.
//
// For reads past the page cache the addresses of room and stage are aligned to Align.
func (s *Store) GetNear(ctx context.Context, k *frame.Keys, f File, near []Neighbour, room, stage []byte) error {
	size, dense, err := extent(near)
	switch {
	case err != nil:
	case len(room) < len(near)*frame.Size:
		err = fmt.Errorf("blockstore: reading %d blocks into %d bytes", len(near), len(room))
	case !dense && len(stage) < size:
		err = fmt.Errorf("blockstore: reading %d bytes of frames into %d", size, len(stage))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	read := room
	if !dense {
		read = stage
	}
	first := near[0].Off
	if err := s.ReadAt(ctx, f, read[:size], int64(first)*Align); err != nil {
		return err
	}
	for i := range near {
		n := &near[i]
		at, end := int(n.Off-first)*Align, int(n.end()-first)*Align
		framed, plain := read[at:end:end], room[i*frame.Size:(i+1)*frame.Size]
		if !dense && len(framed) == frame.Size { // it is opened in place
			framed = plain[:copy(plain, framed)]
		}
		if n.Plain, n.Digest, n.Err = s.Open(ctx, k, Location{f, n.Span}, framed, plain[:block.Size:block.Size], n.ID); n.Err != nil {
			n.Err = fmt.Errorf("%s, at %d: %w", f.Name(), int64(n.Off)*Align, n.Err)
		}
	}
	return nil
}

// extent returns the bytes from the first frame to the end of the last, and whether
// these are frames of frame.Size bytes, one behind the other.
func extent(near []Neighbour) (size int, dense bool, err error) {
	if len(near) == 0 {
		return 0, false, errors.New("blockstore: a read of no blocks")
	}
	dense = true
	for i, n := range near {
		if err := n.Check(); err != nil {
			return 0, false, err
		}
		if i > 0 && n.Off < near[i-1].end() {
			return 0, false, fmt.Errorf("blockstore: the frame at %d begins before the end of that at %d", n.Off, near[i-1].Off)
		}
		dense = dense && int(n.Len)*Align == frame.Size && (i == 0 || near[i-1].Before(n.Span))
	}
	return int(near[len(near)-1].end()-near[0].Off) * Align, dense, nil
}

// ReadUpTo reads as much of p from a closed file as that has, and returns how much.
func (s *Store) ReadUpTo(ctx context.Context, f File, p []byte, off int64) (int, error) {
	n, err := s.Backend.ReadAt(ctx, f.Name(), p, off)
	if n < len(p) && err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("reading %d bytes of %s at %d: %w", len(p), f.Name(), off, err)
	}
	return n, nil
}

// ReadAt fills p from a closed file. When the file ends before p is full, the error
// wraps ErrTruncated.
func (s *Store) ReadAt(ctx context.Context, f File, p []byte, off int64) error {
	n, err := s.Backend.ReadAt(ctx, f.Name(), p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = ErrTruncated
	}
	return fmt.Errorf("reading %d bytes of %s at %d: %w", len(p), f.Name(), off, err)
}

// Reader returns a closed file for reading, for as long as ctx lasts.
func (s *Store) Reader(ctx context.Context, f File) io.ReaderAt {
	return fileReader{ctx, s.Backend, f.Name()}
}

type fileReader struct {
	ctx  context.Context // of who reads
	b    Backend
	name string
}

// ReadAt implements io.ReaderAt.
func (r fileReader) ReadAt(p []byte, off int64) (int, error) {
	return r.b.ReadAt(r.ctx, r.name, p, off)
}
