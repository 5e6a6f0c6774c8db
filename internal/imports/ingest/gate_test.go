package ingest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// slow is a sink that takes its time with a block.
type slow struct {
	takes               time.Duration
	slots               []*blockstore.Slot
	put, returned, lost int
}

func (s *slow) Slot(context.Context) (*blockstore.Slot, error) {
	next := s.slots[0]
	s.slots = s.slots[1:]
	return next, nil
}

func (s *slow) Put(context.Context, int64, *blockstore.Slot) error {
	time.Sleep(s.takes)
	s.put++
	return nil
}

func (s *slow) Return(*blockstore.Slot) { s.returned++ }

func (s *slow) Lose(*blockstore.Slot) { s.lost++ }

// TestAGateThatIsLeft: whoever leaves a window waits for the block that is getting through,
// and time goes on meanwhile; after it nothing gets through.
func TestAGateThatIsLeft(t *testing.T) {
	pool, err := blockstore.NewSlots(4 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	slot := func(t *testing.T) *blockstore.Slot {
		t.Helper()
		s, err := pool.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pool.Put(s) })
		return s
	}
	t.Run("while a block gets through", func(t *testing.T) {
		sink := &slow{takes: time.Hour, slots: []*blockstore.Slot{slot(t)}}
		synctest.Test(t, func(t *testing.T) {
			g := &gate{sink: sink}
			s, err := g.Slot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			put := make(chan error, 1)
			go func() { put <- g.Put(t.Context(), 0, s) }()
			synctest.Wait()
			began := time.Now()
			g.leave()
			if took := time.Since(began); took != time.Hour || sink.put != 1 {
				t.Errorf("it was left after %v, with %d blocks put", took, sink.put)
			}
			if err := <-put; err != nil {
				t.Error(err)
			}
		})
		if sink.lost+sink.returned != 0 {
			t.Errorf("a slot that was put was lost or returned: %+v", sink)
		}
	})
	t.Run("while a slot is written to", func(t *testing.T) {
		sink := &slow{slots: []*blockstore.Slot{slot(t), slot(t)}}
		g := &gate{sink: sink}
		s, err := g.Slot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		g.leave()
		if sink.lost != 1 {
			t.Errorf("%d slots were lost", sink.lost)
		}
		if err := g.Put(t.Context(), 0, s); !errors.Is(err, errLeft) || sink.put != 0 {
			t.Errorf("putting it gives %v", err)
		}
		g.Return(s)
		if sink.returned != 0 {
			t.Error("a slot that was lost was returned")
		}
		if _, err := g.Slot(t.Context()); !errors.Is(err, errLeft) || sink.returned != 1 {
			t.Errorf("another slot: %v, %d returned", err, sink.returned)
		}
	})
}
