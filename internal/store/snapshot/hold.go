package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// Hold keeps a root, and everything under it, alive until a time.
type Hold struct {
	ID    int64
	Root  blockstore.FileID
	Until time.Time
	Why   string // for people: what is reading
}

// Holds keeps alive what is being read, even when its snapshot is deleted
// meanwhile. A reader that takes long (an export, verify, a copy) takes a hold,
// extends it while it reads, and releases it; Shelf does so for it. gc never frees
// what a hold names, until the hold's time is over. Every method is one
// transaction, and all may be called concurrently. The suite is snapshottest.
type Holds interface {
	// Take holds the root of a completed snapshot until a time. The same
	// transaction checks that the snapshot exists, so gc, which reads roots and
	// holds at one moment, always sees one of the two. why says to people what is
	// reading. ErrNotFound.
	Take(ctx context.Context, snapshot string, until time.Time, why string) (Hold, error)
	// Extend moves the end of a hold and returns the new one. ErrHoldLost when gc
	// has ended it, which it may do once its time is over: then what it held may be
	// gone.
	Extend(ctx context.Context, h Hold, until time.Time) (Hold, error)
	// Release ends a hold. Releasing one that has ended already succeeds.
	Release(ctx context.Context, h Hold) error
}

// ErrHoldLost reports a hold that was not extended in time.
var ErrHoldLost = errors.New("snapshot: the hold has ended")

// HoldFor is how long a hold lasts. It is extended three times in that time.
const HoldFor = time.Minute

// Shelf opens snapshots for readers that take long.
type Shelf struct {
	Library *Library
	Holds   Holds
	Now     func() time.Time
}

// OpenHeld opens a completed snapshot and holds it until release is called, however
// long that takes; the snapshot can be deleted meanwhile without harm to the
// reader. After ctx has ended, or when the database can't be reached for a minute,
// the hold may lapse. Then reads may fail, but they never return anything other
// than the snapshot's blocks. why says to people what is reading.
func (s *Shelf) OpenHeld(ctx context.Context, rec Record, why string) (b *Blocks, release func(), err error) {
	if release, err = s.Hold(ctx, rec, why); err != nil {
		return nil, nil, err
	}
	if b, err = s.Library.Open(ctx, rec); err != nil {
		release()
		return nil, nil, err
	}
	return b, release, nil
}

// Hold holds a snapshot as OpenHeld does, for a reader that opens nothing, or opens
// it in another way.
func (s *Shelf) Hold(ctx context.Context, rec Record, why string) (release func(), err error) {
	hold, err := s.Holds.Take(ctx, rec.ID, s.Now().Add(HoldFor), why)
	if err != nil {
		return nil, fmt.Errorf("holding %s: %w", rec.ID, err)
	}
	keep, stop := context.WithCancel(ctx)
	var kept sync.WaitGroup
	kept.Go(func() { s.extend(keep, hold) })
	return sync.OnceFunc(func() {
		stop()
		kept.Wait()
		_ = s.Holds.Release(context.WithoutCancel(ctx), hold) // if this fails, it lapses
	}), nil
}

// extend extends a hold until ctx ends or the hold is lost.
func (s *Shelf) extend(ctx context.Context, h Hold) {
	t := time.NewTicker(HoldFor / 3)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		// Any other error may be gone by the next time.
		if _, err := s.Holds.Extend(ctx, h, s.Now().Add(HoldFor)); errors.Is(err, ErrHoldLost) {
			return
		}
	}
}
