package wake

import (
	"context"
	"iter"
	"time"
)

// Every yields once in a period until ctx ends, for what is done now and then whatever
// happens. What takes longer than a period is not caught up with.
func Every(ctx context.Context, period time.Duration) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case at := <-tick.C:
				if !yield(at) {
					return
				}
			}
		}
	}
}
