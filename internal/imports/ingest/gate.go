package ingest

import (
	"context"
	"errors"
	"sync"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// gate is what a window puts its blocks through. Once the window was left behind, because
// its decoder does not come to an end, nothing gets through any more, and the slot that
// it still writes to is replaced by another one.
type gate struct {
	sink Sink

	passing sync.WaitGroup // blocks that are getting through

	mu   sync.Mutex // guards what follows
	left bool
	slot *blockstore.Slot // that the window has; nil: none
}

var errLeft = errors.New("ingest: the window was left behind")

// leave closes the gate. No block is getting through when it returns.
func (g *gate) leave() {
	g.close()
	g.passing.Wait()
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left = true
	if g.slot != nil {
		g.sink.Lose(g.slot)
	}
}

// Slot implements Sink.
func (g *gate) Slot(ctx context.Context) (*blockstore.Slot, error) {
	s, err := g.sink.Slot(ctx)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left {
		g.sink.Return(s)
		return nil, errLeft
	}
	g.slot = s
	return s, nil
}

// Put implements Sink.
func (g *gate) Put(ctx context.Context, index int64, s *blockstore.Slot) error {
	if !g.enter() {
		return errLeft // the slot was lost
	}
	defer g.passing.Done()
	return g.sink.Put(ctx, index, s)
}

// enter lets the window's slot get through, unless it was lost.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left {
		return false
	}
	g.slot = nil
	g.passing.Add(1)
	return true
}

// Return implements Sink.
func (g *gate) Return(s *blockstore.Slot) {
	if g.enter() {
		defer g.passing.Done()
		g.sink.Return(s)
	}
}

// Lose implements Sink.
func (g *gate) Lose(s *blockstore.Slot) { g.sink.Lose(s) }
