// Package simulate runs several whole nodes in one process, in virtual time: their runners
// with lanes, heartbeats and hand-overs, imports, drafts, gc and compaction, over one database
// and one block store, while clients act and things go wrong. A seed is a schedule: what clients
// do, and which nodes are killed, frozen, cut off or have a clock that is off, when the
// database restarts and the store fails (schedule_test.go). What is left is compared with what
// clients were told (check_test.go).
//
// The statements are the service's own, on SQLite in memory (database_test.go); blocks lie in the
// back end in memory of package blobtest, behind a node's way to it (files_test.go). Nothing of
// a node is rewritten: node_test.go wires its parts as package server does
// (docs/adr/0014-simulated-nodes.md).
//
// A goroutine that waits in virtual time must not hold a mutex that another one of its node
// waits for: virtual time would stand still. So ranges have one worker, and a draft one writer.
//
// A schedule that fails prints its trace; to repeat it:
//
//	go test ./e2e/simulate -run TestSchedules -schedule SEED
package simulate

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	schedules    = flag.Int("schedules", 20, "how many schedules TestSchedules runs")
	scheduleSeed = flag.Uint64("schedule", 0, "the seed of the one schedule that TestSchedules runs; 0: all from -schedule-from on")
	scheduleFrom = flag.Uint64("schedule-from", 1, "the seed of the first schedule")
	repeats      = flag.Int("repeats", 1, "how often each schedule runs; more: it is said how many took the same course each time")
)

// TestMain has goroutines run one at a time, on one thread: so a seed nearly always repeats. What
// runs many schedules runs several processes (scripts/simulate).
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400) // blocks are large, and gone at once
	os.Exit(m.Run())
}

// outcome is what came of a schedule.
type outcome struct {
	failed []string
	trace  []string
	tally  map[string]int64
}

// maxPrinted is how many lines of a trace are printed at most.
const maxPrinted = 3000

// TestSchedules runs random schedules.
func TestSchedules(t *testing.T) {
	seeds := make(chan uint64, *schedules)
	for i := range *schedules {
		seeds <- *scheduleFrom + uint64(i)
	}
	if *scheduleSeed != 0 {
		seeds = make(chan uint64, 1)
		seeds <- *scheduleSeed
	}
	close(seeds)
	began := time.Now()
	total, longest, same := map[string]int64{}, int64(0), 0
	e, err := newEngine(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.close() }()
	for seed := range seeds {
		outs := make([]outcome, *repeats)
		for i := range outs {
			outs[i] = runSchedule(t, seed, e)
		}
		if *repeats > 1 {
			t.Logf("schedule %d: %s", seed, parted(outs))
		}
		for what, n := range outs[0].tally {
			total[what] += n
		}
		longest = max(longest, outs[0].tally["longest takeover, ms"])
		if !slices.ContainsFunc(outs, func(o outcome) bool { return !slices.Equal(o.trace, outs[0].trace) }) {
			same++
		}
	}
	delete(total, "longest takeover, ms")
	hours := float64(total["virtual seconds of nodes"]) / 3600
	delete(total, "virtual seconds of nodes")
	t.Logf("%.0f node-hours in %v; the longest takeover took %v", hours, time.Since(began).Round(time.Second), time.Duration(longest)*time.Millisecond)
	for _, what := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%8d %s", total[what], what)
	}
	if *repeats > 1 {
		t.Logf("%d schedules took the same course %d times", same, *repeats)
	}
}

// parted says where the courses of a schedule part.
func parted(outs []outcome) string {
	for i, line := range outs[0].trace {
		for _, o := range outs[1:] {
			if i >= len(o.trace) || o.trace[i] != line {
				return fmt.Sprintf("of %d lines the first %d are the same; then:\n%s\n%s", len(outs[0].trace), i,
					strings.Join(outs[0].trace[i:min(i+3, len(outs[0].trace))], "\n"), strings.Join(o.trace[min(i, len(o.trace)):min(i+3, len(o.trace))], "\n"))
			}
		}
	}
	return "the same course each time"
}

// runSchedule runs the schedule of a seed.
func runSchedule(t *testing.T, seed uint64, e *engine) (out outcome) {
	t.Run(fmt.Sprint(seed), func(t *testing.T) {
		synctest.Test(t, func(*testing.T) { out = newWorld(newSchedule(seed), e).run() })
		if err := e.reset(); err != nil {
			t.Fatal(err)
		}
		trace := strings.Join(out.trace[:min(len(out.trace), maxPrinted)], "\n\t")
		switch {
		case len(out.failed) > 0:
			t.Errorf("go test ./e2e/simulate -run TestSchedules -schedule %d\n%s\n\t%s", seed, strings.Join(out.failed, "\n"), trace)
		case *scheduleSeed != 0:
			t.Logf("it does not fail:\n\t%s", trace)
		}
	})
	return out
}
