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

	mu   sync.RWMutex // held for reading while a block gets through; guards what follows
	left bool
	slot *blockstore.Slot // that the window has; nil: none
}

var errLeft = errors.New("ingest: the window was left behind")

// leave closes the gate. No block is getting through when it returns.
func (g *gate) leave() {
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
	if !g.taken() {
		return errLeft // the slot was lost
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.left { // in this moment
		g.sink.Return(s)
		return errLeft
	}
	return g.sink.Put(ctx, index, s)
}

// Return implements Sink.
func (g *gate) Return(s *blockstore.Slot) {
	if g.taken() {
		g.sink.Return(s)
	}
}

// Lose implements Sink.
func (g *gate) Lose(s *blockstore.Slot) { g.sink.Lose(s) }

// taken takes the window's slot from it, unless it was lost.
func (g *gate) taken() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slot = nil
	return !g.left
}
