// Package worktest is the suite that every work.Store passes.
package worktest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/work"
)

// Bench is a store under test without units.
type Bench struct {
	Store work.Store
	// Add makes units exist that nobody holds, each younger than the one before.
	Add func(t *testing.T, units ...work.Unit)
}

// Test runs the suite; open returns an empty bench.
func Test(t *testing.T, open func(t *testing.T) Bench) {
	for name, fn := range map[string]func(*testing.T, Bench){
		"ClaimsOnceUntilLapsed":    claimsOnceUntilLapsed,
		"ClaimsOnlyKindsAsked":     claimsOnlyKindsAsked,
		"LeastLoadedAccountFirst":  leastLoadedAccountFirst,
		"OldestFirst":              oldestFirst,
		"RenewKeepsALease":         renewKeepsALease,
		"ALostLeaseDoesNothing":    aLostLeaseDoesNothing,
		"ReleasedUnitsWait":        releasedUnitsWait,
		"ExpireAllTakesLeasesAway": expireAllTakesLeasesAway,
		"ConcurrentClaimsDiffer":   concurrentClaimsDiffer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, open(t))
		})
	}
}

var (
	now   = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	later = now.Add(work.LeaseFor)
	kinds = []work.Kind{work.Plan, work.Range, work.Publish}
)

func unit(id int64, account string) work.Unit {
	return work.Unit{ID: id, Account: account, Kind: work.Range, Task: "task of " + account, Range: int(id)}
}

// claim claims a unit and fails the test if it is not the one wanted.
func claim(t *testing.T, b Bench, owner string, at time.Time, want int64) work.Lease {
	t.Helper()
	l, ok, err := b.Store.Claim(t.Context(), owner, kinds, at)
	if err != nil || !ok || l.ID != want {
		t.Fatalf("claimed %+v, %v, %v, want unit %d", l, ok, err, want)
	}
	return l
}

func noClaim(t *testing.T, b Bench, at time.Time) {
	t.Helper()
	if l, ok, err := b.Store.Claim(t.Context(), "idle", kinds, at); err != nil || ok {
		t.Fatalf("claimed %+v, %v, want nothing", l, err)
	}
}

func claimsOnceUntilLapsed(t *testing.T, b Bench) {
	noClaim(t, b, now)
	u := unit(1, "a")
	b.Add(t, u)
	got := claim(t, b, "one", now, 1)
	if want := (work.Lease{Unit: u, Owner: "one", Attempt: 1, Until: later}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	noClaim(t, b, later.Add(-time.Microsecond))
	got = claim(t, b, "two", later, 1)
	if got.Owner != "two" || got.Attempt != 2 {
		t.Errorf("got %+v, want the second attempt, by two", got)
	}
}

func claimsOnlyKindsAsked(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"), work.Unit{ID: 2, Kind: work.GC})
	for _, asked := range [][]work.Kind{nil, {work.Plan, work.Retain}} {
		if l, ok, err := b.Store.Claim(t.Context(), "one", asked, now); err != nil || ok {
			t.Errorf("claimed %+v, %v of kinds %v, want nothing", l, err, asked)
		}
	}
	if l, ok, err := b.Store.Claim(t.Context(), "one", []work.Kind{work.GC}, now); err != nil || !ok || l.ID != 2 {
		t.Errorf("claimed %+v, %v, %v, want unit 2", l, ok, err)
	}
}

func leastLoadedAccountFirst(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"), unit(2, "a"), unit(3, "a"), unit(4, "b"), unit(5, "b"), unit(6, "c"))
	for _, want := range []int64{1, 4, 6, 2, 5, 3} {
		claim(t, b, "one", now, want)
	}
	noClaim(t, b, now)
}

func oldestFirst(t *testing.T, b Bench) {
	b.Add(t, unit(9, "a"), unit(5, "a"), unit(7, "a"))
	for _, want := range []int64{9, 5, 7} {
		claim(t, b, "one", now, want)
	}
}

func renewKeepsALease(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"))
	l := claim(t, b, "one", now, 1)
	at := now.Add(work.Heartbeat)
	renewed, err := b.Store.Renew(t.Context(), l, at, []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	l.Until = at.Add(work.LeaseFor)
	if renewed != l {
		t.Errorf("got %+v, want %+v", renewed, l)
	}
	noClaim(t, b, later)
	claim(t, b, "two", l.Until, 1)
}

func aLostLeaseDoesNothing(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"))
	old := claim(t, b, "one", now, 1)
	held := claim(t, b, "one", later, 1) // the same node, another attempt
	if _, err := b.Store.Renew(t.Context(), old, later, nil); !errors.Is(err, work.ErrLost) {
		t.Errorf("renewing a lost lease: got %v, want %v", err, work.ErrLost)
	}
	if err := b.Store.Release(t.Context(), old, now); err != nil {
		t.Errorf("releasing a lost lease: %v", err)
	}
	noClaim(t, b, later)
	if _, err := b.Store.Renew(t.Context(), held, later, nil); err != nil {
		t.Errorf("the lease that is held: %v", err)
	}
	unknown := held
	unknown.ID = 77
	if _, err := b.Store.Renew(t.Context(), unknown, later, nil); !errors.Is(err, work.ErrLost) {
		t.Errorf("renewing a lease of no unit: got %v, want %v", err, work.ErrLost)
	}
}

func releasedUnitsWait(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"))
	l := claim(t, b, "one", now, 1)
	due := now.Add(time.Hour)
	if err := b.Store.Release(t.Context(), l, due); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Store.Renew(t.Context(), l, now, nil); !errors.Is(err, work.ErrLost) {
		t.Errorf("renewing a released lease: got %v, want %v", err, work.ErrLost)
	}
	noClaim(t, b, due.Add(-time.Microsecond))
	if l := claim(t, b, "one", due, 1); l.Attempt != 2 {
		t.Errorf("attempt %d, want 2", l.Attempt)
	}
}

func expireAllTakesLeasesAway(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"), unit(2, "a"))
	old := claim(t, b, "dead", now, 1)
	if err := b.Store.ExpireAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Store.Renew(t.Context(), old, now, nil); !errors.Is(err, work.ErrLost) {
		t.Errorf("renewing an expired lease: got %v, want %v", err, work.ErrLost)
	}
	if l := claim(t, b, "dead", now, 1); l.Attempt != 2 {
		t.Errorf("attempt %d, want 2", l.Attempt)
	}
	claim(t, b, "dead", now, 2)
}

func concurrentClaimsDiffer(t *testing.T, b Bench) {
	const units, workers = 24, 8
	var all []work.Unit
	for i := range units {
		all = append(all, unit(int64(i+1), string(rune('a'+i%3))))
	}
	b.Add(t, all...)
	var mu sync.Mutex
	var claimed []int64 // guarded by mu
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for {
				l, ok, err := b.Store.Claim(t.Context(), string(rune('A'+w)), kinds, now)
				if err != nil {
					t.Error(err)
				}
				if err != nil || !ok {
					return
				}
				mu.Lock()
				claimed = append(claimed, l.ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(claimed)
	if len(claimed) != units || len(slices.Compact(claimed)) != units {
		t.Errorf("claimed %v, want each of %d units once", claimed, units)
	}
}
