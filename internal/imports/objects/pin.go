package objects

import (
	"context"
	"errors"
	"time"
)

// Pin keeps the bytes that an object had when it was pinned.
type Pin struct {
	ID       string
	Size     int64  // bytes
	ETag     string // without its quotation marks
	Version  string // of the object that was pinned
	Modified time.Time
	Content  ContentID
}

// Pin keeps the present bytes of an object, or of a version, under the name id until
// Release. ErrNoSuchBucket, ErrNoSuchObject, ErrNoSuchVersion, ErrPinned.
func (s *Service) Pin(ctx context.Context, bucket, key, version, id string) (Pin, error) {
	return Pin{}, errors.ErrUnsupported
}

// OpenPin opens pinned bytes. The caller closes the Reader; releasing the pin meanwhile
// doesn't disturb it. ErrNoSuchPin, and what Open fails with.
func (s *Service) OpenPin(ctx context.Context, id string) (*Reader, error) {
	return nil, errors.ErrUnsupported
}

// Release drops a pin. Dropping one that doesn't exist succeeds.
func (s *Service) Release(ctx context.Context, id string) error { return errors.ErrUnsupported }

// Pins returns the ids of all pins, so that those without a task can be swept.
func (s *Service) Pins(ctx context.Context) ([]string, error) { return nil, errors.ErrUnsupported }
