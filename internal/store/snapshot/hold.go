package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// Hold keeps a root, and everything under it, alive until a time; or every file.
type Hold struct {
	ID    int64
	Root  blockstore.FileID // 0: of every file
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
	// TakeAll holds every file of the service, those of its S3 included: none that was
	// closed before is removed until a time, whatever becomes of what it holds. Rows go
	// as ever. It is for who copies the rows as they are at one moment after it, and
	// then the files that these name.
	TakeAll(ctx context.Context, until time.Time, why string) (Hold, error)
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
	_, release = s.keep(ctx, hold)
	return release, nil
}

// HeldFiles is a hold of every file, which is extended until it is released.
type HeldFiles struct {
	shelf   *Shelf
	hold    Hold
	ctx     context.Context
	release func()
}

// HoldAll holds every file until Release is called.
func (s *Shelf) HoldAll(ctx context.Context, why string) (*HeldFiles, error) {
	hold, err := s.Holds.TakeAll(ctx, s.Now().Add(HoldFor), why)
	if err != nil {
		return nil, fmt.Errorf("holding all files: %w", err)
	}
	h := &HeldFiles{shelf: s, hold: hold}
	h.ctx, h.release = s.keep(ctx, hold)
	return h, nil
}

// Context returns a context that is done when the hold is known to be lost, with
// ErrHoldLost as its cause.
func (h *HeldFiles) Context() context.Context { return h.ctx }

// Still returns nil if everything has been held up to now, else ErrHoldLost, or what kept
// the answer from being found.
func (h *HeldFiles) Still(ctx context.Context) error {
	_, err := h.shelf.Holds.Extend(ctx, h.hold, h.shelf.Now().Add(HoldFor))
	return err
}

// Release ends the hold. It may be called again.
func (h *HeldFiles) Release() { h.release() }

// keep extends a hold until release is called.
func (s *Shelf) keep(ctx context.Context, hold Hold) (held context.Context, release func()) {
	keep, stop := context.WithCancelCause(ctx)
	var kept sync.WaitGroup
	kept.Go(func() { s.extend(keep, stop, hold) })
	return keep, sync.OnceFunc(func() {
		stop(nil)
		kept.Wait()
		_ = s.Holds.Release(context.WithoutCancel(ctx), hold) // if this fails, it lapses
	})
}

// extend extends a hold until ctx ends or the hold is lost, of which it tells lost.
func (s *Shelf) extend(ctx context.Context, lost context.CancelCauseFunc, h Hold) {
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
			lost(err)
			return
		}
	}
}
