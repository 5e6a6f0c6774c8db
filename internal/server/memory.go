package server

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/wake"
)

// trimEvery is how long the memory of blocks in flight stays when nobody uses it.
const trimEvery = time.Minute

// trimMemory gives back what a busy time has left, until ctx ends.
func (a *App) trimMemory(ctx context.Context) {
	for range wake.Every(ctx, trimEvery) {
		a.parts.library.Store.Slots.Trim()
		for _, trim := range a.trims {
			trim()
		}
	}
}
