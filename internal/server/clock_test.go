package server

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/steady"
)

// TestAClockThatJumpedPurgesNothing: what was set aside a month ago, by a clock that
// may have jumped, stays until the service has run for days. A restart does not help
// the clock.
func TestAClockThatJumpedPurgesNothing(t *testing.T) {
	const jump = 31 * 24 * time.Hour
	cfg := config(t.TempDir())
	old := filepath.Join(cfg.Data, "blocks", "quarantine", time.Now().Add(-jump).UTC().Format("20060102T150405Z"), "pack", "00")
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	cycle := func(s steady.State) (purged int64) {
		t.Helper()
		a, err := New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.parts.db.Clock().SaveClockState(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if a, err = New(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}()
		for name, clock := range map[string]func() time.Time{"gc": a.parts.gc.Aged, "drafts": a.parts.drafts.Aged} {
			if lag := time.Since(clock()).Round(time.Minute); lag != s.Newer.Ahead {
				t.Errorf("%s go by a clock that is %v behind, want %v", name, lag, s.Newer.Ahead)
			}
		}
		r, err := a.parts.gc.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r.Purged.Files
	}
	if err := os.WriteFile(filepath.Join(old, "0000000000000001"), []byte("all that is left"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := cycle(steady.State{Wall: time.Now(), Newer: steady.Jump{Ahead: jump}}); n != 0 {
		t.Errorf("after a jump %d files were purged", n)
	}
	if n := cycle(steady.State{Wall: time.Now()}); n != 1 {
		t.Errorf("after a month %d files were purged, want the one", n)
	}
}
