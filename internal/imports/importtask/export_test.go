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
