package outbox

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/work"
)

// Retention is how long an event waits to be told.
const (
	Retention   = 7 * 24 * time.Hour
	forgetEvery = time.Hour
)

// Handlers returns what a runner does with the units of the outbox: forgetting
// events that were not told in time, which m counts.
func Handlers(s Store, now func() time.Time, m *Metrics) map[work.Kind]work.Handler {
	forget := func(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
		n, err := s.Forget(ctx, now().Add(-Retention))
		if m.forgot(n); err == nil && n > 0 {
			h.Log.Info("forgot events that were not told in time", "events", n)
		}
		return next, false, err
	}
	return map[work.Kind]work.Handler{work.Outbox: {Do: forget, Every: forgetEvery}}
}
