package objects

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	md5simd "github.com/minio/md5-simd"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// Files keeps the files of pieces. A blobdir.Dir of its own is one. What lies between
// writes to a file reads as zeros.
type Files interface {
	blockstore.Backend
	// Open opens a closed file for reading. The caller closes it.
	Open(ctx context.Context, name string) (*os.File, error)
}

// Aside is where files go that no row names, and where they come back from.
type Aside interface {
	blockstore.Quarantine
	blockstore.Aside
}

// Options are what a Service is made of. Store, Files and Aside are required.
type Options struct {
	Store Store
	Files Files
	Aside Aside // where files without a row go; usually Files

	// Older says that the database is known to be older than the files: then pieces that
	// nothing names are set aside instead of removed, since it may have forgotten their
	// names.
	Older bool

	Free  func() (int64, error) // bytes that may still be written; nil: no limit
	Quota int64                 // bytes that an account may store; 0: no limit
	All   int64                 // bytes that all accounts together may store; 0: no limit
	Keys  DataKeys              // nil: nothing can be encrypted
	Now   func() time.Time      // nil: the system's clock
	Aged  func() time.Time      // for what must not happen too early; nil: Now
	Log   *slog.Logger          // nil: nothing is logged
}

// Service is the embedded S3's objects: names in the database, bytes in files. All
// methods may be called concurrently. At most one Service at a time may use a Store
// and Files.
type Service struct {
	opts    Options
	store   Store
	md5     hashers
	buffers buffers
	chunks  sync.Pool // of *chunkBuffer, for readers
	writer  int64     // names this Service in the rows of open pieces
	woken   chan struct{}

	mu      sync.Mutex // guards what follows
	ids     []PieceID  // that have rows and were not used yet
	lastID  PieceID    // that was given a row
	dropped []PieceID  // whose rows are to be let go

	// opening is held by those that read which pieces a content has, until they hold
	// them; a sweep takes it between condemning pieces and looking who holds them.
	opening sync.RWMutex
	held    holds
}

// Pieces are numbered in ranges of 1<<idBits. The upper bits of a range are random, so
// that no two writers, of whichever databases, ever give the same number.
const idBits = 24

// newRange returns the number before the first of a range.
func newRange() PieceID { return PieceID(awsid.Source{}.Int63()>>idBits) << idBits }

// New returns a Service. The caller closes it, and calls Run to have it sweep.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Aged == nil {
		o.Aged = o.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{opts: o, store: o.Store, md5: hashers{server: md5simd.NewServer()}, woken: make(chan struct{}, 1), held: newHolds()}
	s.chunks.New = func() any { return new(chunkBuffer) }
	s.writer, s.lastID = awsid.Source{}.Int63(), newRange()
	return s
}

// Close ends what the Service does by itself. No writer may be open.
func (s *Service) Close() error {
	s.md5.server.Close()
	return nil
}

// now returns the time as stores keep it.
func (s *Service) now() time.Time { return s.opts.Now().UTC().Truncate(time.Microsecond) }

func (s *Service) change() Change { return Change{At: s.now(), Quota: s.opts.Quota, All: s.opts.All} }

// wake tells Run that something may have been let go.
func (s *Service) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// idsAtOnce is how many pieces get a row in one transaction.
const idsAtOnce = 16

// pieceID returns a number that has a row of an open piece.
func (s *Service) pieceID(ctx context.Context) (PieceID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) == 0 {
		ids := make([]PieceID, idsAtOnce)
		for i := range ids {
			if s.lastID++; s.lastID&(1<<idBits-1) == 0 {
				s.lastID = newRange() + 1
			}
			ids[i] = s.lastID
		}
		if err := s.store.AddPieces(ctx, s.writer, ids); err != nil {
			return 0, err
		}
		s.ids = ids
	}
	id := s.ids[0]
	s.ids = s.ids[1:]
	return id, nil
}

// stored lets go of a piece if the event that was to name it failed, and wakes the
// sweep for what the event replaced. An event that failed may have happened
// nevertheless, where the database did not answer; then the piece stays.
func (s *Service) stored(p Piece, err error) {
	if err != nil {
		s.drop(p.ID)
		return
	}
	s.wake()
}

// drop lets go of an open piece. Its row follows with the next sweep.
func (s *Service) drop(id PieceID) {
	if id == 0 {
		return
	}
	s.mu.Lock()
	s.dropped = append(s.dropped, id)
	s.mu.Unlock()
	s.wake()
}

// takeDropped returns what was dropped since the last call.
func (s *Service) takeDropped() []PieceID {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := s.dropped
	s.dropped = nil
	return ids
}

// holds are the pieces that readers keep.
type holds struct {
	mu     sync.Mutex // guards what follows
	pieces map[PieceID]int
	wanted map[PieceID]bool // that a sweep would have removed
}

func newHolds() holds { return holds{pieces: map[PieceID]int{}, wanted: map[PieceID]bool{}} }

func (h *holds) take(c Content) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range c.Extents {
		h.pieces[e.Piece]++
	}
}

// release reports whether a sweep waits for any of what is free now.
func (h *holds) release(c Content) (wanted bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range c.Extents {
		if h.pieces[e.Piece]--; h.pieces[e.Piece] == 0 {
			wanted = wanted || h.wanted[e.Piece]
			delete(h.pieces, e.Piece)
			delete(h.wanted, e.Piece)
		}
	}
	return wanted
}

// without returns the ids that nobody holds, and notes that the others are wanted.
func (h *holds) without(ids []PieceID) []PieceID {
	h.mu.Lock()
	defer h.mu.Unlock()
	var free []PieceID
	for _, id := range ids {
		if h.pieces[id] == 0 {
			free = append(free, id)
		} else {
			h.wanted[id] = true
		}
	}
	return free
}
