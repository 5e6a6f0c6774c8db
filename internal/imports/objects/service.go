package objects

import (
	"context"
	"errors"
	"time"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// Files keeps the files of pieces. A blobdir.Dir of its own is one.
type Files interface {
	blockstore.Backend
}

// Options are what a Service is made of. Store and Files are required.
type Options struct {
	Store Store
	Files Files
	Aside blockstore.Quarantine // where files without a row go; usually Files

	Free  func() (int64, error) // bytes that may still be written; nil: no limit
	Quota int64                 // bytes that an account may store; 0: no limit
	Keys  DataKeys              // nil: nothing can be encrypted
	Now   func() time.Time      // nil: the system's clock
}

// Service is the embedded S3's objects: names in the database, bytes in files. All
// methods may be called concurrently. At most one Service at a time may use a Store
// and Files.
type Service struct {
	opts  Options
	store Store
}

// New returns a Service. Run sweeps for it.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{opts: o, store: o.Store}
}

// Run frees what is no longer named, when something may have been let go and once in a
// while, until ctx ends. The owner of the Service runs it.
func (s *Service) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Swept is what a sweep did.
type Swept struct {
	Removed int // pieces
	Aside   int // files without a row
}

// Sweep frees the files that no object, part or pin names.
func (s *Service) Sweep(ctx context.Context) (Swept, error) { return Swept{}, errors.ErrUnsupported }

// now returns the time as stores keep it.
func (s *Service) now() time.Time { return s.opts.Now().UTC().Truncate(time.Microsecond) }

func (s *Service) change() Change { return Change{At: s.now(), Quota: s.opts.Quota} }

// wake tells Run that something may have been let go.
func (s *Service) wake() {}

// settle lets go of a piece unless an event has made a content of it.
func (s *Service) settle(p Piece) {}
