package snapshot

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// heldStore is Holds of one snapshot in memory.
type heldStore struct {
	mu                        sync.Mutex
	taken, extended, released int
	until                     time.Time
	fails                     error // extending
}

func (s *heldStore) Take(_ context.Context, _ string, until time.Time, why string) (Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken++
	s.until = until
	return Hold{ID: 1, Until: until, Why: why}, nil
}

func (s *heldStore) TakeAll(ctx context.Context, until time.Time, why string) (Hold, error) {
	return s.Take(ctx, "", until, why)
}

func (s *heldStore) Extend(_ context.Context, h Hold, until time.Time) (Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.extended++; s.fails != nil {
		return h, s.fails
	}
	s.until, h.Until = until, until
	return h, nil
}

func (s *heldStore) Release(context.Context, Hold) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released++
	return nil
}

func (s *heldStore) state() (extended, released int, left time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.extended, s.released, time.Until(s.until)
}

// TestHeldWhileOpen: a hold never has less than half its time left while its reader
// reads, and ends with it.
func TestHeldWhileOpen(t *testing.T) {
	r := newRig(t)
	rec := r.snapshot("snap-1", "dom-plain", 1, contents{3: 1})
	synctest.Test(t, func(t *testing.T) {
		holds := &heldStore{}
		shelf := &Shelf{Library: r.lib, Holds: holds, Now: time.Now}
		_, release, err := shelf.OpenHeld(t.Context(), rec, "test")
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if _, _, left := holds.state(); left < HoldFor/2 {
				t.Fatalf("%v of the hold are left", left)
			}
		}
		release()
		release()
		if extended, released, _ := holds.state(); extended < 30 || released != 1 {
			t.Errorf("extended %d times, released %d times", extended, released)
		}
	})
}

// TestLostHold: a hold that is lost is not extended any more, others are.
func TestLostHold(t *testing.T) {
	r := newRig(t)
	rec := r.snapshot("snap-1", "dom-plain", 1, contents{3: 1})
	for _, c := range []struct {
		fails error
		want  int
	}{{ErrHoldLost, 1}, {errors.New("no database"), 6}} {
		synctest.Test(t, func(t *testing.T) {
			holds := &heldStore{fails: c.fails}
			_, release, err := (&Shelf{Library: r.lib, Holds: holds, Now: time.Now}).OpenHeld(t.Context(), rec, "test")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(2*HoldFor + time.Second)
			synctest.Wait()
			if extended, _, _ := holds.state(); extended != c.want {
				t.Errorf("%v: tried to extend %d times, want %d", c.fails, extended, c.want)
			}
			release()
		})
	}
}

// TestNothingHeldAfterAFailure: a snapshot that can't be opened is not held.
func TestNothingHeldAfterAFailure(t *testing.T) {
	r := newRig(t)
	rec := r.snapshot("snap-1", "dom-plain", 1, contents{3: 1})
	if err := r.backend.Remove(t.Context(), rec.Root.Name()); err != nil {
		t.Fatal(err)
	}
	holds := &heldStore{}
	if _, _, err := (&Shelf{Library: r.lib, Holds: holds, Now: time.Now}).OpenHeld(t.Context(), rec, "test"); err == nil {
		t.Error("it opened")
	}
	if holds.taken != 1 || holds.released != 1 {
		t.Errorf("taken %d times, released %d times", holds.taken, holds.released)
	}
}

// TestAllHeld: whoever holds all files is told when the hold is lost.
func TestAllHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		holds := &heldStore{}
		shelf := &Shelf{Holds: holds, Now: time.Now}
		all, err := shelf.HoldAll(t.Context(), "test")
		if err != nil {
			t.Fatal(err)
		}
		held := all.Context()
		time.Sleep(10 * HoldFor)
		if _, _, left := holds.state(); left < HoldFor/2 || held.Err() != nil {
			t.Errorf("it has %v left, %v", left, held.Err())
		}
		if err := all.Still(t.Context()); err != nil {
			t.Error(err)
		}
		holds.mu.Lock()
		holds.fails = ErrHoldLost
		holds.mu.Unlock()
		if err := all.Still(t.Context()); !errors.Is(err, ErrHoldLost) {
			t.Errorf("got %v, want %v", err, ErrHoldLost)
		}
		<-held.Done()
		if err := context.Cause(held); !errors.Is(err, ErrHoldLost) {
			t.Errorf("got %v, want %v", err, ErrHoldLost)
		}
		all.Release()
		all.Release()
		if _, released, _ := holds.state(); released != 1 {
			t.Errorf("it was released %d times", released)
		}
	})
}
