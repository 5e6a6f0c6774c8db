package compact

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/work"
)

// pace keeps reading and writing within a rate.
type pace struct {
	rate int64 // bytes in a second; 0: any
	now  func() time.Time
	next time.Time // when the next bytes are due
}

// wait returns when n bytes that were read and written are within the rate.
func (p *pace) wait(ctx context.Context, n int64) error {
	if p.rate <= 0 {
		return ctx.Err()
	}
	now := p.now()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	return work.Pause(ctx, p.next.Sub(now))
}
