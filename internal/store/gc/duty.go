package gc

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/work"
)

// Handlers returns the handler of gc's duty: it runs one cycle each time.
func (c *Collector) Handlers(every time.Duration) map[work.Kind]work.Handler {
	return map[work.Kind]work.Handler{work.GC: {Do: c.duty, Every: every}}
}

func (c *Collector) duty(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	r, err := c.Run(ctx)
	if err == nil {
		r.Log(ctx, h.Log)
	}
	return next, false, err
}
