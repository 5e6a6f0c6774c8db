package work

import (
	"context"
	"time"
)

// Pace keeps what a job reads and writes within a rate. It must not be used
// concurrently.
type Pace struct {
	Rate int64 // bytes in a second; 0: any
	Now  func() time.Time

	next time.Time // when the next bytes are due
}

// Wait returns when n bytes that were read and written are within the rate.
func (p *Pace) Wait(ctx context.Context, n int64) error {
	if p.Rate <= 0 {
		return ctx.Err()
	}
	now := p.Now()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(float64(n) / float64(p.Rate) * float64(time.Second)))
	return Pause(ctx, p.next.Sub(now))
}
