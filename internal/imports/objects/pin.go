package objects

import (
	"context"
	"time"
)

// Pin keeps the bytes that an object had when it was pinned.
type Pin struct {
	ID       string
	Size     int64  // bytes
	ETag     string // without its quotation marks
	Version  string // of the object that was pinned
	Modified time.Time
	Content  ContentID // for the stores alone
}

// Pin keeps the present bytes of an object, or of a version, under the name id until
// Release. ErrNoSuchBucket, ErrNoSuchObject, ErrNoSuchVersion, ErrPinned.
func (s *Service) Pin(ctx context.Context, bucket, key, version, id string) (Pin, error) {
	return s.store.Pin(ctx, bucket, key, version, id)
}

// OpenPin opens pinned bytes; ctx is that of all reads. The caller closes the Reader;
// releasing the pin meanwhile doesn't disturb it. ErrNoSuchPin, and what Open fails
// with.
func (s *Service) OpenPin(ctx context.Context, id string) (*Reader, error) {
	p, err := s.store.Pinned(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.openContent(ctx, p.Content)
}

// Release drops a pin. Dropping one that doesn't exist succeeds.
func (s *Service) Release(ctx context.Context, id string) error {
	defer s.wake()
	return s.store.Release(ctx, id)
}

// Pins returns the ids of all pins, so that those without a task can be swept.
func (s *Service) Pins(ctx context.Context) ([]string, error) { return s.store.Pins(ctx) }
