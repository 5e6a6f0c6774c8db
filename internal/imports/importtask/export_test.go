package importtask

import (
	"context"
	"io"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
)

// SetLimit replaces the clock that ends a plan which takes too long: limit returns a
// context that ends by end.
func (e *Engine) SetLimit(limit func(d time.Duration, end func())) {
	e.after = func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		limit(d, func() { cancel(errSlow) })
		return ctx, func() { cancel(nil) }
	}
}

// SetDetect replaces what opens images.
func (e *Engine) SetDetect(open func(r io.ReaderAt, size int64, opts detect.Options) (diskimage.Disk, error)) {
	e.Images.detect = open
}

// KeepOnce is what Run does at each heartbeat; kept is what it returned before.
func (e *Engine) KeepOnce(ctx context.Context, kept []string) []string { return e.keep(ctx, kept) }

// LetGo is what Run does at its end.
func (e *Engine) LetGo(ctx context.Context, kept []string) { e.letGo(ctx, kept) }

// Unpacked returns the tasks whose images the node has unpacked.
func (e *Engine) Unpacked() []string { return e.disks.unpackedNow() }

// Meter returns what a node shows of a slice that an earlier claim has got some way with:
// told makes what it has done what the store was told of last.
func Meter(reached int64) (add func(Counts), told func(), unheard func() Counts) {
	live := &Live{}
	m := live.begin("task", reached, func() {})
	return m.add, func() { m.Progress(); m.Heard() }, func() Counts { return live.Unheard("task") }
}
