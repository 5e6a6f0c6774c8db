package torture

import (
	"flag"
	"fmt"
	"maps"
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
	calls := map[string]int{}
	for _, e := range events {
		calls[e.call]++
	}
	t.Logf("%d events, %d moments: %v", len(events), len(w.moments), calls)
	for lane := range lanes {
		t.Run(fmt.Sprintf("lane %d", lane), func(t *testing.T) {
			t.Parallel()
			r := &recording{filepath.Dir(data), events, w, rand.New(rand.NewPCG(*seed, 2+uint64(lane))), tally{steps: w.tally.steps}}
			n := r.cut(t, (*cuts+lane)/lanes)
			t.Logf("seed %d: %d cuts of %d events; %v", *seed, n, len(events), r.tally)
		})
	}
}

// lanes is how many directories are looked at at the same time.
const lanes = 2

// recording is what a recorded service did, and what its clients knew.
type recording struct {
	root   string
	events []event
	world  *world
	rng    *rand.Rand
	tally  tally
}

// cut looks at n cuts, in the order of their places, and returns for how many there was time.
func (r *recording) cut(t *testing.T, n int) int {
	at := r.places(n)
	disk, next := newLostDisk(r.root), 0
	begun := time.Now()
	for i, c := range at {
		if *budget > 0 && time.Since(begun) > *budget {
			t.Logf("out of time: %d cuts are left", n-i)
			return i
		}
		for ; next < len(r.events) && r.events[next].end <= c; next++ {
			if err := disk.apply(r.events[next]); err != nil {
				t.Fatal(err)
			}
		}
		f := fates[i%len(fates)]
		t.Run(fmt.Sprintf("behind event %d, %s", next, f.name), func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "disk")
			if err := disk.lay(folder, f, r.rng); err != nil {
				t.Fatal(err)
			}
			defer keepData(t, folder)
			w := r.world.at(c)
			w.comeBack(t, filepath.Join(folder, "data"), r.rng)
			r.tally.add(w.tally)
		})
	}
	return n
}

// places returns n places in the recording, ascending. Nine of ten events are writes of the
// database's: of the places, half are at any event, and half at one of each call alike.
func (r *recording) places(n int) []int64 {
	kinds := map[string][]event{}
	for _, e := range r.events {
		kinds[e.call] = append(kinds[e.call], e)
	}
	calls := slices.Sorted(maps.Keys(kinds))
	at := make([]int64, n)
	for i := range at {
		some := r.events
		if i%2 == 0 {
			some = kinds[calls[r.rng.IntN(len(calls))]]
		}
		e := some[r.rng.IntN(len(some))]
		at[i] = []int64{e.begin, e.end}[r.rng.IntN(2)]
	}
	slices.Sort(at)
	return at
}

// comeBack starts a service on what was left, and looks whether all is there.
func (w *world) comeBack(t *testing.T, data string, rng *rand.Rand) {
	t.Helper()
	s := serve(t, data, arm{})
	if s.endpoint == "" {
		t.Fatalf("the service did not start: %v\n%s", s.err, s.tail())
	}
	caller{w, s, s.ctx, rng}.settle(t)
	for _, what := range w.broken {
		t.Error(what)
	}
	if t.Failed() {
		t.Logf("the service said:\n%s", s.tail())
	}
}

// recorded is how many times clients do something in each of two lives.
const recorded = 40

// record records two lives of the service, which end in order: what a killed process was
// doing is not known.
func record(t *testing.T, data, trace string) *world {
	t.Helper()
	w := newWorld(makeImages(t, fewDisks))
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
		w.load(s, life, recorded, nil)
		w.everything(s, life)
		s.stop(t)
	}
	for _, what := range w.broken {
		t.Error(what)
	}
	return w
}

// everything does each thing once more, so that a recording has it all.
func (w *world) everything(s *service, life uint64) {
	c := caller{w, s, s.ctx, rand.New(rand.NewPCG(*seed, 100+life))}
	for _, step := range steps {
		if err := step.do(c); err != nil && !isCode(err, busy...) {
			c.wrong("%v", err)
		}
	}
	w.tally.steps += int64(len(steps))
}

// at returns what clients knew at a place in the recording.
func (w *world) at(c int64) *world {
	i := sort.Search(len(w.moments), func(i int) bool { return w.moments[i].from > c })
	if i == 0 {
		return newWorld(w.images)
	}
	return w.moments[i-1].world.clone()
}
