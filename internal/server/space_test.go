package server

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/work"
)

// TestAStartThatChangesNothingWritesNothing: such a start succeeds on a disk that is
// full.
func TestAStartThatChangesNothingWritesNothing(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"with keys from the environment": func(*Config) {},
		"with keys of its own":           func(c *Config) { c.RootAccessKeyID, c.RootSecretAccessKey = "", "" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t.TempDir())
			change(&cfg)
			start := func() map[string]string {
				a, err := New(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				if err := a.Close(); err != nil {
					t.Fatal(err)
				}
				return files(t, cfg.Data)
			}
			start()
			before := start() // the first one makes everything
			if diff := cmp.Diff(before, start()); diff != "" {
				t.Errorf("a start that changes nothing (-before +after):\n%s", diff)
			}
		})
	}
}

// files returns what a data directory holds, apart from the name of the process that
// holds its lock: contents, when they were written, and in which file.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "lock" {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		found[path] = fmt.Sprintf("%x at %v, %d bytes", sha256.Sum256(b), st.ModTime(), st.Size())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestHealth(t *testing.T) {
	s := run(t, config(t.TempDir()))
	status, body := answer(t, s.request(t, "", http.MethodGet, "/-/health", "", nil))
	var h health
	if err := json.Unmarshal([]byte(body), &h); err != nil || status != 200 {
		t.Fatalf("%d, %s: %v", status, body, err)
	}
	if h.Status != "ok" || h.Space.FreeBytes <= 0 || h.Space.LeastBytes <= 0 || h.Space.BallastBytes != h.Space.LeastBytes || h.Space.NeededBytes != 0 {
		t.Errorf("health of an idle service: %s", body)
	}
	if h.Database != "ok" || h.Services["ec2"] != "available" || h.Services["kms"] != "available" {
		t.Errorf("services of an idle service: %s", body)
	}
	if h.Decoders.LeftBehind != 0 || h.Decoders.MostLeftBehind < 2*writesInFlight {
		t.Errorf("decoders of an idle service: %s", body)
	}
}

// TestHealthOfAServiceThatLooksIntoNoImage since too many decoders do not come to an end.
func TestHealthOfAServiceThatLooksIntoNoImage(t *testing.T) {
	guard, err := space.NewGuard(space.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	a := &App{space: guard, strays: work.NewStrays(0)}
	answer := httptest.NewRecorder()
	a.health(answer, nil)
	var h health
	if err := json.Unmarshal(answer.Body.Bytes(), &h); err != nil || h.Status != "stuck" {
		t.Errorf("%s: %v", answer.Body, err)
	}
}

// spentDisk is a disk with nothing free.
type spentDisk struct{}

func (spentDisk) Room(string) (free, total int64, err error) { return 0, 1 << 40, nil }
func (spentDisk) Ballast(string) (int64, error)              { return 0, nil }
func (spentDisk) SetBallast(string, int64) error             { return nil }

// TestGarbageIsCollectedWhileTheDiskIsFull without waiting for gc's duty.
func TestGarbageIsCollectedWhileTheDiskIsFull(t *testing.T) {
	a, err := New(t.Context(), config(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	garbage := a.data.file("blocks/" + blockstore.File{ID: 1, Kind: blockstore.PackFile}.Name() + ".open")
	if err := errors.Join(os.MkdirAll(filepath.Dir(garbage), 0o700), os.WriteFile(garbage, []byte("half a pack"), 0o600)); err != nil {
		t.Fatal(err)
	}
	there := func() bool { _, err := os.Stat(garbage); return err == nil }
	if err := a.collectIfFull(t.Context()); err != nil || !there() {
		t.Errorf("with room: %v, garbage there: %t", err, there())
	}
	if a.space, err = space.NewGuard(space.Options{Dir: a.data.path, Disk: spentDisk{}}); err != nil {
		t.Fatal(err)
	}
	if err := a.collectIfFull(t.Context()); err != nil || there() {
		t.Errorf("without room: %v, garbage there: %t", err, there())
	}
}
