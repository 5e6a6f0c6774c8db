package server

import (
	"context"
	"time"
)

// trimEvery is how long the memory of blocks in flight stays when nobody uses it.
const trimEvery = time.Minute

// trimMemory gives back what a busy time has left, until ctx ends.
func (a *App) trimMemory(ctx context.Context) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.parts.library.Store.Slots.Trim()
		}
	}
}
