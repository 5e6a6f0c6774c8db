package outbox

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/work"
)

// forgetful is a store in which some events have waited for too long.
type forgetful struct {
	Store
	old int
}

func (f forgetful) Forget(context.Context, time.Time) (int, error) { return f.old, nil }

// TestForgottenEventsAreCounted, so that somebody may be told.
func TestForgottenEventsAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	do := Handlers(forgetful{old: 3}, time.Now, NewMetrics(reg))[work.Outbox].Do
	if _, _, err := do(t.Context(), &work.Held{Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == "forgotten" && m.GetCounter().GetValue() == 3 {
				return
			}
		}
	}
	t.Errorf("they are not: %v", families)
}
