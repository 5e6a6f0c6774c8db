package torture

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"
	"time"
)

var cuts = flag.Int("cuts", 60, "how often the power is cut")

// TestCuts records the service under load, in two lives, and looks at what power cuts could
// have left of its directory: what a client was answered before the cut is there, and
// everything else is as after a kill.
func TestCuts(t *testing.T) {
	t.Logf("seed %d", *seed)
	dir := t.TempDir()
	data, trace := filepath.Join(dir, "disk", "data"), filepath.Join(dir, "trace")
	if err := os.Mkdir(filepath.Dir(data), 0o755); err != nil {
		t.Fatal(err)
	}
	w := record(t, data, trace)
	events, err := readTrace(trace, filepath.Dir(data))
	if err != nil {
		t.Fatal(err)
	}
	if len(events) < 1000 {
		t.Fatalf("%d events were recorded", len(events))
	}
	rng := rand.New(rand.NewPCG(*seed, 2))
	at := make([]int64, *cuts) // places in the recording
	for i := range at {
		e := events[rng.IntN(len(events))]
		at[i] = []int64{e.begin, e.end}[rng.IntN(2)]
	}
	slices.Sort(at)
	t.Logf("%d events, %d moments", len(events), len(w.moments))
	disk, next := newLostDisk(filepath.Dir(data)), 0
	for i, c := range at {
		for ; next < len(events) && events[next].end <= c; next++ {
			if err := disk.apply(events[next]); err != nil {
				t.Fatal(err)
			}
		}
		f := fates[i%len(fates)]
		t.Run(fmt.Sprintf("%d", i), func(t *testing.T) {
			t.Logf("cut at %d, behind event %d: %s", c, next, f.name)
			then := w.at(c)
			folder := filepath.Join(t.TempDir(), "disk")
			if err := disk.lay(folder, f, rng); err != nil {
				t.Fatal(err)
			}
			defer keepData(t, folder)
			s := serve(t, filepath.Join(folder, "data"), arm{})
			if s.endpoint == "" {
				t.Fatalf("the service did not start: %v\n%s", s.err, s.tail())
			}
			caller{then, s, s.ctx, rng}.settle(t, filepath.Join(folder, "data"))
			for _, what := range then.broken {
				t.Error(what)
			}
			if t.Failed() {
				t.Logf("the service said:\n%s", s.tail())
			}
		})
	}
}

// record records two lives of the service, which end in order: what a killed process was
// doing is not known.
func record(t *testing.T, data, trace string) *world {
	t.Helper()
	w := newWorld(makeImages(t, rand.NewChaCha8([32]byte{1})))
	w.clock = func() int64 {
		st, err := os.Stat(trace)
		if err != nil {
			return 0
		}
		return st.Size()
	}
	for life := range uint64(2) {
		s := serve(t, data, arm{}, recorder(trace)...)
		if life == 0 {
			w.prepare(t, s)
		}
		ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
		w.load(ctx, s, life)
		cancel()
		s.stop(t)
	}
	for _, what := range w.broken {
		t.Error(what)
	}
	return w
}

// at returns what clients knew at a place in the recording.
func (w *world) at(c int64) *world {
	i := sort.Search(len(w.moments), func(i int) bool { return w.moments[i].from > c })
	if i == 0 {
		return newWorld(w.images)
	}
	return w.moments[i-1].world.clone()
}
