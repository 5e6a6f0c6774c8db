package torture

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/diskport/diskport/e2e/smalldisk"
	"github.com/diskport/diskport/internal/failpoint"
)

var fills = flag.Int("fills", 30, "how often the disk is filled")

// diskMiB is the size of the disk that is filled.
const diskMiB = 192

// fillsInARow is how often the disk is filled before the world is looked at.
const fillsInARow = 20

// fillsShare is what part of the budget is for fills.
const fillsShare = 4

// How long the service may take to come to the point at which the disk is to be full, and
// for how long it is.
const (
	untilPoint = 300 * time.Millisecond
	fullFor    = 150 * time.Millisecond
)

// TestFills fills the disk of a service at points and at any time, to the last byte or nearly
// so, under load. It is not restarted for that: when there is room again it goes on, and nothing
// is lost or left behind.
func TestFills(t *testing.T) {
	disk := smalldisk.On(t, diskMiB, fmt.Sprintf("-seed=%d", *seed), fmt.Sprintf("-fills=%d", *fills), fmt.Sprintf("-budget=%v", *budget), "-keep="+*keep, "-program="+program)
	if disk == nil {
		return
	}
	t.Logf("seed %d", *seed)
	seen, data := newPoints(t), filepath.Join(disk.Dir, "data")
	defer keepData(t, data)
	w := newWorld(makeImages(t, allDisks))
	w.fills = true
	a := arm{seen: seen.path, hold: filepath.Join(t.TempDir(), "hold")}
	s := serve(t, data, a)
	w.prepare(t, s)
	f := &filler{w, disk, s, seen, rand.New(rand.NewPCG(*seed, 3))}
	n, atPoints := 0, 0
	begun := time.Now()
	inTime := func() bool { return *budget == 0 || time.Since(begun) < *budget/fillsShare }
	for n < *fills && inTime() && f.well(t) {
		w.paused.Store(false)
		over := make(chan struct{})
		go func() { w.load(s, uint64(n), math.MaxInt64-1, nil); close(over) }()
		for range fillsInARow {
			if n == *fills || !inTime() || !f.well(t) {
				break
			}
			if n++; f.fill(t) {
				atPoints++
			}
		}
		w.paused.Store(true)
		<-over
		if f.well(t) {
			caller{w, s, s.ctx, f.rng}.rest(t)
			s.connect(aws.NopRetryer{})
		}
	}
	t.Logf("%d fills, %d of them at %d of %d points; %d imports, %d drafts, %d copies", n, atPoints, len(seen.hit), len(seen.list(t)), len(w.imports), len(w.drafts), len(w.copies))
	if f.well(t) {
		// What a pin took whose task was never made, and whose release found no room either, is
		// let go within two hours, or by the next start.
		caller{w, s, s.ctx, f.rng}.rest(t)
		s.stop(t)
		s = serve(t, data, arm{})
		if s.endpoint == "" {
			t.Fatalf("the service did not start: %v\n%s", s.err, s.tail())
		}
		caller{w, s, s.ctx, f.rng}.settle(t)
	}
	for _, what := range w.broken {
		t.Error(what)
	}
	if t.Failed() {
		s.kill(t)
		t.Logf("the service said:\n%s", s.tail())
	}
}

// filler fills the disk under a service.
type filler struct {
	*world
	disk *smalldisk.Disk
	s    *service
	seen *points
	rng  *rand.Rand
}

// well reports whether nothing is wrong yet, and the service runs.
func (f *filler) well(t *testing.T) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.s.ctx.Err() != nil && t.Context().Err() == nil {
		f.broken = append(f.broken, "the service ended on a full disk")
	}
	return len(f.broken) == 0 && !t.Failed()
}

// fill fills the disk, mostly while the service is held at a point, looks at the service, and
// makes room again. It returns true if the disk was filled at a point.
func (f *filler) fill(t *testing.T) (atPoint bool) {
	t.Helper()
	name := ""
	if f.rng.IntN(4) > 0 {
		name = f.seen.pick(t, f.rng)
		atPoint = f.hold(t, name)
	} else {
		time.Sleep(time.Duration(f.rng.Int64N(int64(fullFor))))
	}
	leave := []int64{0, 0, 4096, f.rng.Int64N(64 << 10), f.rng.Int64N(1 << 20), f.rng.Int64N(32 << 20)}
	f.disk.Fill(t, leave[f.rng.IntN(len(leave))])
	if atPoint {
		f.seen.hit[name]++
		f.letGo(t)
	}
	end := time.Now().Add(time.Duration(f.rng.Int64N(int64(fullFor))))
	greedy := f.rng.IntN(3) == 0 // it takes what the service lets go
	for time.Now().Before(end) && f.well(t) {
		if err := f.read(); err != nil {
			f.wrong("reading on a full disk: %v", err)
		}
		if greedy {
			f.disk.Fill(t, 0)
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.disk.Empty(t)
	return atPoint
}

// hold has whoever comes to a point next wait there, if somebody comes there soon.
func (f *filler) hold(t *testing.T, point string) bool {
	t.Helper()
	f.aim.Store(&point)
	defer f.aim.Store(nil)
	file := f.s.armed.hold
	if err := errors.Join(os.WriteFile(file+".new", []byte(point), 0o600), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(untilPoint); time.Now().Before(end) && f.s.ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(file + failpoint.Held); err == nil {
			return true
		}
	}
	if err := os.Remove(file); err == nil {
		return false
	}
	return f.s.ctx.Err() == nil // somebody came at the last moment
}

func (f *filler) letGo(t *testing.T) {
	t.Helper()
	if err := os.Remove(f.s.armed.hold + failpoint.Held); err != nil {
		t.Fatal(err)
	}
}

// read reads a snapshot, whatever the disk has room for.
func (f *filler) read() error {
	sn := f.take(f.rng, func(*snap) bool { return true })
	if sn == nil {
		return nil
	}
	defer f.world.release(sn)
	return caller{f.world, f.s, f.s.ctx, f.rng}.compareBlocks(sn)
}
