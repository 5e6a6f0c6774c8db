package space

import "context"

// Observer is told that growth is refused from now on (State.Full says why), or that
// it is allowed again (State.Full is nil). It may use the Guard, and it may need room:
// a change that it returns an error for is told again a little later.
type Observer func(ctx context.Context, s State) error

// maxUntold bounds the changes that an observer is still to be told of.
const maxUntold = 32

// watch is an observer, and what it has not been told yet.
type watch struct {
	observer Observer
	untold   []State
}

// Observe has o told of every change from now on, each once and in their order; and at
// once of growth that is refused already. Run does so, one call after the other. Should
// an observer fail for very long, the oldest two changes, which undo each other, are not
// told to it.
func (g *Guard) Observe(o Observer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := &watch{observer: o}
	g.watches = append(g.watches, w)
	if g.full != nil {
		w.add(g.state())
		g.wake()
	}
}

func (w *watch) add(s State) {
	if len(w.untold) == maxUntold {
		w.untold = w.untold[2:]
	}
	w.untold = append(w.untold, s)
}

// wake has Run tell what there is.
func (g *Guard) wake() {
	select {
	case g.changed <- struct{}{}:
	default: // it is awake
	}
}

// tell tells every observer what it has not been told, as far as it can take it.
func (g *Guard) tell(ctx context.Context) {
	g.mu.Lock()
	watches := g.watches
	g.mu.Unlock()
	for _, w := range watches {
		for ctx.Err() == nil {
			s, ok := g.next(w)
			if !ok || w.observer(ctx, s) != nil {
				break
			}
			g.told(w, s)
		}
	}
}

// next returns the oldest change that an observer has not been told.
func (g *Guard) next(w *watch) (s State, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(w.untold) == 0 {
		return s, false
	}
	return w.untold[0], true
}

// told forgets a change that an observer has been told, unless it was given up
// meanwhile.
func (g *Guard) told(w *watch, s State) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(w.untold) > 0 && w.untold[0] == s {
		w.untold = w.untold[1:]
	}
}
