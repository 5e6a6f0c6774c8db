package metadb

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/steady"
)

func TestClockState(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		c := fresh(t).Clock()
		if s, err := c.ClockState(t.Context()); err != nil || s != (steady.State{}) {
			t.Errorf("before any was saved: %+v, %v", s, err)
		}
		for _, want := range []steady.State{
			{Wall: time.Date(2026, 11, 29, 21, 0, 0, 5000, time.UTC), Older: steady.Jump{Ahead: 31 * 24 * time.Hour, Run: time.Microsecond}, Newer: steady.Jump{Ahead: time.Hour, Run: time.Second}},
			{Wall: time.Date(2026, 11, 29, 22, 0, 0, 0, time.UTC)},
		} {
			if err := c.SaveClockState(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			got, err := c.ClockState(t.Context())
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v, (-want +got):\n%s", err, diff)
			}
		}
	})
}
