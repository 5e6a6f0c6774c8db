package server

import (
	"errors"
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// newApp returns a service that is not running.
func newApp(t *testing.T, cfg Config) *App {
	t.Helper()
	a, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// told returns the kinds of the events of a service, in their order.
func (a *App) told(t *testing.T) (kinds []outbox.Kind) {
	t.Helper()
	events, err := a.parts.db.Outbox().Pending(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// TestADiskThatIsNearlyFullIsToldOnce: until it has room again, over restarts too.
func TestADiskThatIsNearlyFullIsToldOnce(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.Reserve = 100 << 20
	a := newApp(t, cfg)
	full := errors.New("full")
	var want []outbox.Kind
	for _, step := range []struct {
		state space.State
		tells outbox.Kind
	}{
		{space.State{Free: 1000 << 20}, ""},
		{space.State{Free: 200 << 20}, ""},
		{space.State{Free: 199 << 20}, outbox.DiskNearlyFull},
		{space.State{Free: 10 << 20, Mark: 64 << 20, Full: full}, ""},
		{space.State{Free: 249 << 20}, ""},
		{space.State{Free: 250 << 20}, outbox.DiskHasRoom},
		{space.State{Free: 250 << 20}, ""},
		{space.State{Free: 1000 << 20, Full: full}, outbox.DiskNearlyFull},
		{space.State{Free: 1000 << 20, Mark: 600 << 20}, ""},
		{space.State{Free: 1000 << 20, Mark: 300 << 20}, outbox.DiskHasRoom},
	} {
		if kind := a.roomOf(step.state); kind != "" {
			if err := a.tellDisk(t.Context(), kind, step.state); err != nil {
				t.Fatal(err)
			}
		}
		if step.tells != "" {
			want = append(want, step.tells)
		}
		if got := a.told(t); !slices.Equal(got, want) {
			t.Fatalf("%+v: told %q, want %q", step.state, got, want)
		}
	}
}

// TestAReadThatComesTooLateIsNoDamage: the files of a deleted snapshot are gone.
func TestAReadThatComesTooLateIsNoDamage(t *testing.T) {
	a := newApp(t, config(t.TempDir()))
	a.damaged(t.Context(), snapshot.Record{ID: "snap-0123456789abcdef0", Account: "000000000000", Region: "us-east-1"}, errors.New("its root is gone"))
	if got := a.told(t); len(got) != 0 {
		t.Errorf("told %q", got)
	}
}
