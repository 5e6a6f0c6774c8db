package importtasktest

import (
	"errors"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/work"
)

func finishingTakesOwnFilesOnly(t *testing.T, b Bench) {
	leases := b.planned(t, 1, 2)
	for name, spoil := range map[string]func(*importtask.RangeResult){
		"unknown pack":    func(r *importtask.RangeResult) { r.Packs[0].File.ID++ },
		"another's pack":  func(r *importtask.RangeResult) { r.Packs[0].File = b.file(t, leases[1], blockstore.PackFile) },
		"a pack twice":    func(r *importtask.RangeResult) { r.Packs = append(r.Packs, r.Packs[0]) },
		"another's pages": func(r *importtask.RangeResult) { r.PagesFile = b.file(t, leases[1], blockstore.PagesFile) },
		"a page twice": func(r *importtask.RangeResult) {
			again := r.Pages[0]
			again.ID[0]++
			r.Counts.Data++
			r.Pages = append(r.Pages, again)
		},
	} {
		r := b.result(t, leases[0], "x")
		spoil(&r)
		before := b.see(t, 1, "x")
		if _, _, err := b.Tasks.FinishRange(t.Context(), leases[0], r); err == nil || errors.Is(err, work.ErrLost) {
			t.Errorf("%s: got %v, want an error that is not a lost lease", name, err)
		}
		same(t, name, before, b.see(t, 1, "x"))
	}
	b.finish(t, leases[0], b.result(t, leases[0], "x")) // the lease is still good
}

func publishCountsBlocks(t *testing.T, b Bench) {
	l := b.planned(t, 1, 1)[0]
	l, _ = b.finish(t, l, b.result(t, l, "x", "y"))
	before := b.see(t, 1)
	for _, wrong := range []int64{0, 1, 3} {
		if err := b.publish(t, l, wrong); err == nil || errors.Is(err, work.ErrLost) {
			t.Errorf("%d blocks under the root: got %v, want an error that is not a lost lease", wrong, err)
		}
		same(t, "after a refused publication", before, b.see(t, 1))
	}
	if err := b.publish(t, l, 2); err != nil {
		t.Error(err)
	}
}

// lostLeasesChangeNothing walks the ways to lose a lease and tries each event
// that the lease allowed.
func lostLeasesChangeNothing(t *testing.T, b Bench) {
	losses := map[string]func(work.Lease){
		"claimed again": func(l work.Lease) {
			for again, ok := l, false; !ok || again.ID != l.ID; {
				var err error
				if again, ok, err = b.Work.Claim(t.Context(), work.Claimer{Owner: l.Owner, Kinds: []work.Kind{l.Kind}}, l.Until); err != nil || !ok {
					t.Fatal(ok, err)
				}
			}
		},
		"given back": func(l work.Lease) {
			if err := b.Work.Release(t.Context(), l, l.Kind, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		},
		"all expired": func(work.Lease) {
			if err := b.Starter.ExpireAll(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"task cancelled": func(l work.Lease) {
			if _, err := b.Tasks.Cancel(t.Context(), home, l.Task, importtask.Failure{}); err != nil {
				t.Fatal(err)
			}
		},
		"task failed and forgotten": func(l work.Lease) {
			cleanup, err := b.Tasks.Fail(t.Context(), l, importtask.Failure{})
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Tasks.CleanedUp(t.Context(), cleanup); err != nil {
				t.Fatal(err)
			}
		},
	}
	n := 0
	for how, lose := range losses {
		for _, kind := range []work.Kind{work.Plan, work.Range, work.Publish, work.Cleanup} {
			n++
			l := b.leaseOf(t, n, kind)
			if kind == work.Cleanup && (how == "task cancelled" || how == "task failed and forgotten") {
				continue // a Cleanup unit is not taken away by these
			}
			events := b.events(t, n, l)
			lose(l)
			before := b.see(t, n, "x")
			for what, do := range events {
				wantError(t, how+", "+what, do(), work.ErrLost)
				same(t, how+", "+what, before, b.see(t, n, "x"))
			}
		}
	}
}

// leaseOf brings task n to a unit of the kind and returns its lease.
func (b Bench) leaseOf(t *testing.T, n int, kind work.Kind) work.Lease {
	t.Helper()
	if kind == work.Plan {
		b.create(t, newTask(n))
		return b.claimOf(t, kind, n)
	}
	b.create(t, newTask(n))
	ranges := 1
	if kind == work.Publish {
		ranges = 0
	}
	l, _, err := b.Tasks.Planned(t.Context(), b.claimOf(t, work.Plan, n), plan(n, ranges))
	if err == nil && kind == work.Cleanup {
		l, err = b.Tasks.Fail(t.Context(), l, importtask.Failure{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// claimOf claims until it gets the unit of task n.
func (b Bench) claimOf(t *testing.T, kind work.Kind, n int) work.Lease {
	t.Helper()
	for {
		if l := b.claim(t, kind); l.Task == taskID(n) {
			return l
		}
	}
}

// events are those that a worker may try with the lease, prepared while it holds it.
func (b Bench) events(t *testing.T, n int, l work.Lease) map[string]func() error {
	t.Helper()
	ctx := t.Context()
	events := map[string]func() error{
		"Fail": func() error {
			_, err := b.Tasks.Fail(ctx, l, importtask.Failure{Message: "late"})
			return err
		},
		"SetPhase": func() error { return b.Tasks.SetPhase(ctx, l, importtask.Completing, "RAW") },
		"CreateFile": func() error {
			return b.Catalog.CreateFile(ctx, l, blockstore.File{ID: 12345, Kind: blockstore.PackFile}, blockstore.KeyUse{})
		},
	}
	switch l.Kind {
	case work.Plan:
		events["Planned"] = func() error { _, _, err := b.Tasks.Planned(ctx, l, plan(n+1000, 2)); return err }
	case work.Range:
		r := b.result(t, l, "x")
		events["FinishSlice"] = func() error { return b.Tasks.FinishSlice(ctx, l, r, l.Done+1) }
		events["FinishRange"] = func() error { _, _, err := b.Tasks.FinishRange(ctx, l, r); return err }
	case work.Publish:
		p := importtask.Published{Roots: []importtask.Root{b.root(t, l, l.Task, 0)}}
		events["Publish"] = func() error { return b.Tasks.Publish(ctx, l, p) }
	case work.Cleanup:
		events["CleanedUp"] = func() error { return b.Tasks.CleanedUp(ctx, l) }
	}
	return events
}

func eventsHappenOnce(t *testing.T, b Bench) {
	for i, kind := range []work.Kind{work.Plan, work.Range, work.Publish, work.Cleanup} {
		l := b.leaseOf(t, i, kind)
		for what, do := range b.events(t, i, l) {
			if what == "Fail" || what == "SetPhase" || what == "CreateFile" || what == "FinishSlice" {
				continue
			}
			if err := do(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			before := b.see(t, i, "x")
			wantError(t, what+" again", do(), work.ErrLost)
			same(t, what+" again", before, b.see(t, i, "x"))
		}
	}
}
