// Package worktest is the suite that every work.Store passes.
package worktest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/work"
)

// Bench is a store under test without units.
type Bench struct {
	Store   work.Store
	Starter work.Starter
	Queues  work.Queues
	Resumer work.Resumer
	Agenda  work.Agenda
	Affine  work.Affinities
	// Add adds units that are not leased, each younger than the one before.
	Add func(t *testing.T, units ...work.Unit)
}

// Test runs the suite; open returns an empty bench.
func Test(t *testing.T, open func(t *testing.T) Bench) {
	for name, fn := range map[string]func(*testing.T, Bench){
		"ClaimsOnceUntilLapsed":    claimsOnceUntilLapsed,
		"ClaimsOnlyKindsAsked":     claimsOnlyKindsAsked,
		"LeastLoadedAccountFirst":  leastLoadedAccountFirst,
		"AccountsTakeTurns":        accountsTakeTurns,
		"LeasesOfOthersDoNotCount": leasesOfOthersDoNotCount,
		"OldestFirst":              oldestFirst,
		"RenewKeepsALease":         renewKeepsALease,
		"ALostLeaseDoesNothing":    aLostLeaseDoesNothing,
		"ReleasedUnitsWait":        releasedUnitsWait,
		"ExpireAllTakesLeasesAway": expireAllTakesLeasesAway,
		"ConcurrentClaimsDiffer":   concurrentClaimsDiffer,
		"LapsedClaimsCount":        lapsedClaimsCount,
		"ProgressForgetsClaims":    progressForgetsClaims,
		"HandBacksDoNotCount":      handBacksDoNotCount,
		"FailuresCountApart":       failuresCountApart,
		"WaitsCountApart":          waitsCountApart,
		"WhatWaitsIsResumed":       whatWaitsIsResumed,
		"AnotherLane":              anotherLane,
		"RangesWaitForUnpacking":   rangesWaitForUnpacking,
		"AClockThatRanAhead":       aClockThatRanAhead,
		"DutiesExistOnce":          dutiesExistOnce,
		"QueuesAreCounted":         queuesAreCounted,
		"TheAgenda":                theAgenda,
		"UnpackedImagesKeepUnits":  unpackedImagesKeepUnits,
		"WhatNodesUnpacked":        whatNodesUnpacked,
		"ReachedByEarlierClaims":   reachedByEarlierClaims,
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
	l, ok, err := b.Store.Claim(t.Context(), work.Claimer{Owner: owner, Kinds: kinds}, at)
	if err != nil || !ok || l.ID != want {
		t.Fatalf("claimed %+v, %v, %v, want unit %d", l, ok, err, want)
	}
	return l
}

func noClaim(t *testing.T, b Bench, at time.Time) {
	t.Helper()
	if l, ok, err := b.Store.Claim(t.Context(), work.Claimer{Owner: "idle", Kinds: kinds}, at); err != nil || ok {
		t.Fatalf("claimed %+v, %v, want nothing", l, err)
	}
}

func claimsOnceUntilLapsed(t *testing.T, b Bench) {
	noClaim(t, b, now)
	u := unit(1, "a")
	b.Add(t, u)
	got := claim(t, b, "one", now, 1)
	if want := (work.Lease{Unit: u, Owner: "one", Attempt: 1, Until: later, Claims: 1}); got != want {
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
		if l, ok, err := b.Store.Claim(t.Context(), work.Claimer{Owner: "one", Kinds: asked}, now); err != nil || ok {
			t.Errorf("claimed %+v, %v of kinds %v, want nothing", l, err, asked)
		}
	}
	if l, ok, err := b.Store.Claim(t.Context(), work.Claimer{Owner: "one", Kinds: []work.Kind{work.GC}}, now); err != nil || !ok || l.ID != 2 {
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

// accountsTakeTurns: two accounts that have much to do keep the two claimers of a lane
// busy. One that comes with a single unit waits for one unit of each, and so does one more.
func accountsTakeTurns(t *testing.T, b Bench) {
	var queued []work.Unit
	for i := range int64(20) {
		queued = append(queued, unit(1+i, "a"), unit(1000+i, "c"))
	}
	b.Add(t, queued...)
	lane := []*work.Claimer{{Owner: "one", Kinds: kinds}, {Owner: "two", Kinds: kinds}}
	var held [2]work.Lease
	next := func(i int) {
		t.Helper()
		l, ok, err := b.Store.Claim(t.Context(), *lane[i], now)
		if err != nil || !ok {
			t.Fatalf("claimed %+v, %v, %v", l, ok, err)
		}
		lane[i].After, held[i] = l.Account, l
	}
	end := func(i int) { // as if it were done
		t.Helper()
		if err := b.Store.Release(t.Context(), held[i], held[i].Kind, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	next(0)
	next(1)
	for turn := range 8 {
		if i := turn % 2; turn < 4 {
			end(i)
			next(i)
		}
	}
	for i, late := range []string{"b", "d"} {
		b.Add(t, unit(int64(5000+i), late))
		ended := 0
		for held[0].Account != late && held[1].Account != late {
			end(ended % 2)
			next(ended % 2)
			if ended++; ended > 3 {
				t.Fatalf("%s is still waiting after %d units of others, which are now %s's and %s's", late, ended, held[0].Account, held[1].Account)
			}
		}
	}

	// A lane with one claimer, which finds no account with more leases than others.
	end(0)
	end(1)
	b.Add(t, unit(6000, "e"))
	for ended := 0; held[0].Account != "e"; ended++ {
		next(0)
		end(0)
		if ended > 3 {
			t.Fatalf("e is still waiting after %d units of others", ended)
		}
	}
}

// leasesOfOthersDoNotCount: what an account has leased of kinds that a claimer does not do
// keeps it from nothing, or one that writes much would never import.
func leasesOfOthersDoNotCount(t *testing.T, b Bench) {
	for i := range 8 {
		b.Add(t, work.Unit{ID: int64(100 + i), Account: "a", Kind: work.Append, Task: fmt.Sprint("snap-", i)})
		if _, ok, err := b.Store.Claim(t.Context(), work.Claimer{Owner: "edge", Kinds: []work.Kind{work.Append}}, now); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	b.Add(t, unit(1, "a"), unit(2, "b"), unit(3, "b"))
	for _, want := range []int64{1, 2, 3} {
		claim(t, b, "one", now, want)
	}
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
	renewed, err := b.Store.Renew(t.Context(), l, at, work.Progress{Done: 1, Data: []byte(`{}`)})
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
	if _, err := b.Store.Renew(t.Context(), old, later, work.Progress{}); !errors.Is(err, work.ErrLost) {
		t.Errorf("renewing a lost lease: got %v, want %v", err, work.ErrLost)
	}
	if err := b.Store.Release(t.Context(), old, old.Kind, now); err != nil {
		t.Errorf("releasing a lost lease: %v", err)
	}
	noClaim(t, b, later)
	if _, err := b.Store.Renew(t.Context(), held, later, work.Progress{}); err != nil {
		t.Errorf("the lease that is held: %v", err)
	}
	unknown := held
	unknown.ID = 77
	if _, err := b.Store.Renew(t.Context(), unknown, later, work.Progress{}); !errors.Is(err, work.ErrLost) {
		t.Errorf("renewing a lease of no unit: got %v, want %v", err, work.ErrLost)
	}
}

func releasedUnitsWait(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"))
	l := claim(t, b, "one", now, 1)
	due := now.Add(time.Hour)
	if err := b.Store.Release(t.Context(), l, l.Kind, due); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Store.Renew(t.Context(), l, now, work.Progress{}); !errors.Is(err, work.ErrLost) {
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
	if err := b.Starter.ExpireAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Store.Renew(t.Context(), old, now, work.Progress{}); !errors.Is(err, work.ErrLost) {
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
				l, ok, err := b.Store.Claim(t.Context(), work.Claimer{Owner: string(rune('A' + w)), Kinds: kinds}, now)
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

func lapsedClaimsCount(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"))
	at := now
	for want := 1; want <= 3; want++ { // a node that dies, another that is stopped for long
		if l := claim(t, b, "one", at, 1); l.Claims != want || l.Failures != 0 {
			t.Errorf("claim %d: %d claims, %d failures", want, l.Claims, l.Failures)
		}
		at = at.Add(work.LeaseFor)
	}
	if err := b.Starter.ExpireAll(t.Context()); err != nil { // a restart
		t.Fatal(err)
	}
	if l := claim(t, b, "one", at, 1); l.Claims != 4 {
		t.Errorf("after a restart: %d claims, want 4", l.Claims)
	}
}

func progressForgetsClaims(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"))
	at := now
	renew := func(l work.Lease, done int64) {
		t.Helper()
		if _, err := b.Store.Renew(t.Context(), l, at, work.Progress{Done: done}); err != nil {
			t.Fatal(err)
		}
		at = at.Add(2 * work.LeaseFor)
	}
	l := claim(t, b, "one", at, 1)
	for _, c := range []struct {
		done int64 // how far the claim gets
		want int   // claims at the next one
	}{{100, 1}, {100, 2}, {99, 3}, {0, 4}, {101, 1}, {5, 2}} {
		renew(l, c.done)
		if l = claim(t, b, "one", at, 1); l.Claims != c.want {
			t.Errorf("after a claim that got to %d: %d claims, want %d", c.done, l.Claims, c.want)
		}
	}
}

func handBacksDoNotCount(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"))
	at := now
	for range 3 {
		claim(t, b, "dies", at, 1)
		at = at.Add(work.LeaseFor)
	}
	l := claim(t, b, "one", at, 1)
	if l.Claims != 4 {
		t.Errorf("%d claims, want 4", l.Claims)
	}
	if err := b.Store.Release(t.Context(), l, l.Kind, now); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l := claim(t, b, "one", now, 1)
		if l.Claims != 1 {
			t.Errorf("%d claims after hand-backs, want 1", l.Claims)
		}
		if err := b.Store.Release(t.Context(), l, l.Kind, now); err != nil {
			t.Fatal(err)
		}
	}
}

func failuresCountApart(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"))
	at := now
	claim(t, b, "one", at, 1)
	at = at.Add(work.LeaseFor) // that one lapses
	for want := range 3 {
		l := claim(t, b, "one", at, 1)
		if l.Failures != want {
			t.Errorf("%d failures, want %d", l.Failures, want)
		}
		if want > 0 && l.Claims != 1 {
			t.Errorf("%d claims: whoever reports a failure is alive", l.Claims)
		}
		due := at.Add(time.Minute)
		if err := b.Store.Retry(t.Context(), l, "it did not work", due); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Store.Renew(t.Context(), l, at, work.Progress{}); !errors.Is(err, work.ErrLost) {
			t.Errorf("renewing a lease that was given back: %v", err)
		}
		noClaim(t, b, due.Add(-time.Microsecond))
		at = due
	}
	l := claim(t, b, "one", at, 1)
	lost := l
	lost.Attempt--
	if err := b.Store.Retry(t.Context(), lost, "late", at); err != nil {
		t.Errorf("retrying under a lost lease: %v", err)
	}
	if _, err := b.Store.Renew(t.Context(), l, at, work.Progress{}); err != nil {
		t.Errorf("a lost lease took the one that is held: %v", err)
	}
}

func waitsCountApart(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"))
	at := now
	for want := range 3 {
		l := claim(t, b, "one", at, 1)
		if l.Waits != want || l.Failures != 0 || l.Claims != 1 {
			t.Errorf("%d waits, %d failures, %d claims; want %d, none, this one", l.Waits, l.Failures, l.Claims, want)
		}
		if l.Waited != time.Duration(want)*time.Minute {
			t.Errorf("it has waited for %v after %d waits of a minute", l.Waited, want)
		}
		due := at.Add(time.Minute)
		if err := b.Store.Wait(t.Context(), l, "space", at, time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Store.Renew(t.Context(), l, at, work.Progress{}); !errors.Is(err, work.ErrLost) {
			t.Errorf("renewing a lease that was given back: %v", err)
		}
		noClaim(t, b, due.Add(-time.Microsecond))
		at = due
	}
	l := claim(t, b, "one", at, 1)
	lost := l
	lost.Attempt--
	if err := b.Store.Wait(t.Context(), lost, "late", at, 0); err != nil {
		t.Errorf("waiting under a lost lease: %v", err)
	}
	if err := b.Store.Release(t.Context(), l, l.Kind, at); err != nil {
		t.Fatal(err)
	}
	if l = claim(t, b, "one", at, 1); l.Waits != 0 || l.Waited != 0 {
		t.Errorf("%d waits, %v, of a unit that was handed back, want none", l.Waits, l.Waited)
	}
	if err := b.Store.Wait(t.Context(), l, "space", at, 0); err != nil {
		t.Fatal(err)
	}
	if err := b.Store.Retry(t.Context(), claim(t, b, "one", at, 1), "a fault", at); err != nil {
		t.Fatal(err)
	}
	if l = claim(t, b, "one", at, 1); l.Waits != 0 || l.Waited != 0 || l.Failures != 1 {
		t.Errorf("%d waits in a row and %d failures after a failure, want none and 1", l.Waits, l.Failures)
	}
}

// whatWaitsIsResumed: of the wait that is over counts what has passed of it, so that what
// returns and is gone again does not use up the time that a unit has.
func whatWaitsIsResumed(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"), unit(2, "a"), unit(3, "a"))
	l := claim(t, b, "one", now, 1)
	if err := b.Store.Wait(t.Context(), l, "space", now, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := b.Store.Retry(t.Context(), claim(t, b, "one", now, 2), "a fault", now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	held := claim(t, b, "one", now, 3)
	for i, c := range []struct{ resumed, waited time.Duration }{
		{0, 0}, {time.Second, time.Second}, {time.Minute, 61 * time.Second}, {time.Hour, 121 * time.Second}, {-time.Hour, 121 * time.Second},
	} {
		if i > 0 {
			if err := b.Store.Wait(t.Context(), l, "space", now, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Resumer.Resume(t.Context(), now.Add(c.resumed)); err != nil {
			t.Fatal(err)
		}
		if c.resumed < 0 { // the clock was set back
			c.waited = l.Waited + time.Minute
		}
		if l = claim(t, b, "one", now, 1); l.Waits != i+1 || c.resumed >= 0 && l.Waited != c.waited || l.Waited > c.waited {
			t.Errorf("%d waits, %v of a unit that was resumed after %v, want %d, %v", l.Waits, l.Waited, c.resumed, i+1, c.waited)
		}
	}
	noClaim(t, b, now) // a failure has its pause
	if _, err := b.Store.Renew(t.Context(), held, now, work.Progress{}); err != nil {
		t.Errorf("a lease was lost: %v", err)
	}
}

func anotherLane(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"))
	l := claim(t, b, "one", now, 1)
	if err := b.Store.Release(t.Context(), l, work.Unpack, now); err != nil {
		t.Fatal(err)
	}
	noClaim(t, b, now)
	got, ok, err := b.Store.Claim(t.Context(), work.Claimer{Owner: "two", Kinds: []work.Kind{work.Unpack}}, now)
	if err != nil || !ok || got.ID != 1 || got.Kind != work.Unpack || got.Attempt != 2 {
		t.Errorf("claimed %+v, %v, %v of the other lane", got, ok, err)
	}
}

// rangesWaitForUnpacking: of a task that has something to unpack, one unit at a time is
// claimed; and whichever lane a unit kills the process in, its claims add up.
func rangesWaitForUnpacking(t *testing.T, b Bench) {
	of := func(id int64, task string) work.Unit {
		return work.Unit{ID: id, Account: "a", Kind: work.Range, Task: task, Range: int(id)}
	}
	b.Add(t, of(1, "t"), of(2, "t"), of(3, "t"), of(4, "other"))
	at := now
	pack := func(l work.Lease, kind work.Kind) {
		t.Helper()
		if err := b.Store.Release(t.Context(), l, kind, at); err != nil {
			t.Fatal(err)
		}
	}
	claimUnpack := func(want int64) (l work.Lease) {
		t.Helper()
		l, ok, err := b.Store.Claim(t.Context(), work.Claimer{Owner: "one", Kinds: []work.Kind{work.Unpack}}, at)
		if err != nil || ok != (want != 0) || l.ID != want {
			t.Fatalf("claimed %+v, %v, %v, want unit %d", l, ok, err, want)
		}
		return l
	}
	first, second := claim(t, b, "one", at, 1), claim(t, b, "one", at, 2)
	pack(first, work.Unpack)
	claim(t, b, "one", at, 4) // that of another task
	noClaim(t, b, at)         // unit 3 waits
	pack(second, work.Unpack)
	claimUnpack(1)
	claimUnpack(0) // unit 2 waits too
	at = at.Add(work.LeaseFor)
	l := claimUnpack(1) // the process died while it unpacked
	if l.Claims != 2 {
		t.Errorf("%d claims, want 2", l.Claims)
	}
	pack(l, work.Range)
	if l = claimUnpack(2); l.Claims != 1 {
		t.Errorf("%d claims, want 1", l.Claims)
	}
	noClaim(t, b, at.Add(-time.Microsecond)) // units 1 and 3
	pack(l, work.Range)
	l = claim(t, b, "one", at, 1)
	if l.Claims != 2 {
		t.Errorf("%d claims, want those from before it was unpacked, and this one", l.Claims)
	}
	if err := b.Store.Retry(t.Context(), l, "it did not work", at); err != nil {
		t.Fatal(err)
	}
	l = claim(t, b, "one", at, 1)
	pack(l, work.Unpack)
	if l = claimUnpack(1); l.Failures != 1 {
		t.Errorf("%d failures, want the one from the other lane", l.Failures)
	}
}

// aClockThatRanAhead put a unit off until long after now; set right, the clock
// finds it due.
func aClockThatRanAhead(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"))
	ahead := now.Add(1000 * time.Hour)
	l := claim(t, b, "one", ahead, 1)
	if err := b.Store.Release(t.Context(), l, l.Kind, ahead.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	l = claim(t, b, "one", now, 1)
	if err := b.Store.Release(t.Context(), l, l.Kind, now.Add(work.MaxPause)); err != nil {
		t.Fatal(err)
	}
	noClaim(t, b, now)
	// However little it was put off.
	back := now.Add(-2 * work.Skew)
	if l = claim(t, b, "one", back, 1); l.ID != 1 {
		t.Errorf("claimed %+v after the clock was set back", l)
	}
	if err := b.Store.Release(t.Context(), l, l.Kind, back.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	noClaim(t, b, back.Add(-work.Skew)) // the clock of another node
}

func dutiesExistOnce(t *testing.T, b Bench) {
	for range 2 {
		if err := b.Starter.Ensure(t.Context(), work.GC, work.Retain); err != nil {
			t.Fatal(err)
		}
	}
	for _, ok := range []bool{true, true, false} {
		if l, got, err := b.Store.Claim(t.Context(), work.Claimer{Owner: "one", Kinds: []work.Kind{work.GC, work.Retain}}, now.Add(time.Hour)); err != nil || got != ok {
			t.Errorf("claimed %+v, %v, %v; want one: %v", l, got, err, ok)
		}
	}
}

func queuesAreCounted(t *testing.T, b Bench) {
	if got, err := b.Queues.Queues(t.Context(), now); err != nil || len(got) != 0 {
		t.Errorf("without units there are %+v, %v", got, err)
	}
	b.Add(t, unit(1, "a"), unit(2, "a"), unit(3, "b"), unit(4, "b"), work.Unit{ID: 5, Kind: work.GC})
	claim(t, b, "one", now, 1)
	put := claim(t, b, "one", now, 3)
	if err := b.Store.Release(t.Context(), put, put.Kind, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	l, ok, err := b.Store.Claim(t.Context(), work.Claimer{Owner: "one", Kinds: []work.Kind{work.GC}}, now)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := b.Store.Retry(t.Context(), l, "in vain", now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		at     time.Time
		ranges work.Queue
		gc     work.Queue
	}{
		{now, work.Queue{Due: 2, Later: 1, Leased: 1}, work.Queue{Later: 1}},
		{now.Add(2 * time.Second), work.Queue{Due: 2, Later: 1, Leased: 1}, work.Queue{Due: 1}},
		{later, work.Queue{Due: 3, Later: 1}, work.Queue{Due: 1}},
	} {
		got, err := b.Queues.Queues(t.Context(), tt.at)
		if err != nil || len(got) != 2 {
			t.Fatalf("%+v, %v, want two kinds", got, err)
		}
		tt.gc.Kind, tt.ranges.Kind = work.GC, work.Range
		for i, want := range []work.Queue{tt.gc, tt.ranges} {
			if got[i].Waiting.IsZero() != (want.Due == 0) || got[i].Waiting.After(tt.at) {
				t.Errorf("at %v units of kind %s have waited since %v", tt.at, want.Kind, got[i].Waiting)
			}
			if want.Kind == work.GC && want.Due > 0 && !got[i].Waiting.Equal(now.Add(time.Second)) {
				t.Errorf("a unit that was put off has waited since %v", got[i].Waiting)
			}
			if got[i].Waiting = (time.Time{}); got[i] != want {
				t.Errorf("at %v there are %+v, want %+v", tt.at, got[i], want)
			}
		}
	}
}

// reachedByEarlierClaims: whoever claims a unit is told how far others have got with it,
// however they ended.
func reachedByEarlierClaims(t *testing.T, b Bench) {
	b.Add(t, unit(1, "a"))
	at := now
	l := claim(t, b, "one", at, 1)
	for _, c := range []struct {
		done, want int64
		end        func(work.Lease) error // nil: the node dies
	}{
		{7, 7, nil},
		{5, 7, nil},
		{9, 9, func(l work.Lease) error { return b.Store.Release(t.Context(), l, l.Kind, at) }},
		{2, 9, func(l work.Lease) error { return b.Store.Retry(t.Context(), l, "it did not work", at) }},
		{11, 11, func(l work.Lease) error { return b.Store.Wait(t.Context(), l, "space", at, 0) }},
		{12, 12, func(work.Lease) error { return b.Starter.ExpireAll(t.Context()) }},
	} {
		if _, err := b.Store.Renew(t.Context(), l, at, work.Progress{Done: c.done}); err != nil {
			t.Fatal(err)
		}
		at = at.Add(work.LeaseFor)
		if c.end != nil {
			if err := c.end(l); err != nil {
				t.Fatal(err)
			}
		}
		if l = claim(t, b, "one", at, 1); l.Reached != c.want {
			t.Errorf("after a claim that got to %d it is said to have reached %d, want %d", c.done, l.Reached, c.want)
		}
	}
}

// theAgenda names what nobody tells of, at the microsecond.
func theAgenda(t *testing.T, b Bench) {
	next := func(after time.Time, want ...work.Appointment) {
		t.Helper()
		got, err := b.Agenda.Next(t.Context(), after, work.Range, work.GC)
		if err != nil || !slices.EqualFunc(got, want, func(a, b work.Appointment) bool { return a.Kind == b.Kind && a.At.Equal(b.At) }) {
			t.Errorf("after %v there are %v, %v, want %v", after, got, err, want)
		}
	}
	next(now)
	b.Add(t, unit(1, "a"), unit(2, "a"), work.Unit{ID: 3, Kind: work.GC}, work.Unit{ID: 4, Kind: work.Cleanup, Task: "other"})
	made, err := b.Agenda.Next(t.Context(), time.Time{}, work.Range)
	if err != nil || len(made) != 1 || !made[0].At.Before(now) {
		t.Errorf("of units that were just made it says %v, %v", made, err)
	}
	next(now) // what is due has been told of
	l := claim(t, b, "one", now, 1)
	next(now, work.Appointment{Kind: work.Range, At: later}) // it may die
	next(later.Add(-time.Microsecond), work.Appointment{Kind: work.Range, At: later})
	next(later)
	if l, err = b.Store.Renew(t.Context(), l, now.Add(time.Second), work.Progress{}); err != nil {
		t.Fatal(err)
	}
	second := claim(t, b, "one", now, 2)
	next(now, work.Appointment{Kind: work.Range, At: later})
	if err := b.Store.Retry(t.Context(), second, "it did not work", now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	next(now, work.Appointment{Kind: work.Range, At: l.Until})
	next(l.Until, work.Appointment{Kind: work.Range, At: now.Add(time.Minute)})
	duty, ok, err := b.Store.Claim(t.Context(), work.Claimer{Owner: "one", Kinds: []work.Kind{work.GC}}, now)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := b.Store.Release(t.Context(), duty, work.GC, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	next(l.Until, work.Appointment{Kind: work.GC, At: now.Add(time.Hour)}, work.Appointment{Kind: work.Range, At: now.Add(time.Minute)})
	if _, err := b.Affine.Keep(t.Context(), "two", now.Add(time.Minute), l.Task); err != nil {
		t.Fatal(err)
	}
	next(l.Until, work.Appointment{Kind: work.GC, At: now.Add(time.Hour)}, work.Appointment{Kind: work.Range, At: now.Add(time.Minute + work.LeaseFor)})
}

// unpackedImagesKeepUnits: what a node has unpacked is read by that node, for as long as it
// says so.
func unpackedImagesKeepUnits(t *testing.T, b Bench) {
	of := func(id int64, task string, kind work.Kind) work.Unit {
		return work.Unit{ID: id, Account: "a", Kind: kind, Task: task, Range: int(id)}
	}
	both := []work.Kind{work.Range, work.Unpack, work.Publish}
	at := now
	try := func(owner string, want int64) work.Lease {
		t.Helper()
		l, ok, err := b.Store.Claim(t.Context(), work.Claimer{Owner: owner, Kinds: both}, at)
		if err != nil || ok != (want != 0) || l.ID != want {
			t.Fatalf("%s claimed %+v, %v, %v, want unit %d", owner, l, ok, err, want)
		}
		return l
	}
	keep := func(owner, task string) {
		t.Helper()
		if kept, err := b.Affine.Keep(t.Context(), owner, at, task); err != nil || len(kept) != 1 {
			t.Fatalf("%s keeps %q, %v", owner, kept, err)
		}
	}
	b.Add(t, of(1, "t", work.Range), of(2, "t", work.Range), of(3, "plain", work.Range), of(4, "t", work.Publish), of(5, "t", work.Range))
	keep("one", "t")
	for _, id := range []int64{3, 4} { // an image that every node can read, and the root, which needs none
		l := try("two", id)
		if err := b.Store.Release(t.Context(), l, l.Kind, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	try("two", 0)
	try("one", 1)
	at = at.Add(work.LeaseFor - time.Microsecond)
	try("two", 0)
	keep("one", "t") // and then it dies
	at = at.Add(work.LeaseFor)
	l := try("two", 1)
	if l.Attempt != 2 {
		t.Errorf("attempt %d, want the second", l.Attempt)
	}
	// It finds nothing unpacked, does that, and keeps the units in its turn.
	if err := b.Store.Release(t.Context(), l, work.Unpack, at); err != nil {
		t.Fatal(err)
	}
	l = try("two", 1)
	keep("two", "t")
	if err := b.Store.Release(t.Context(), l, work.Range, at); err != nil {
		t.Fatal(err)
	}
	try("two", 1)
	// Others that were to unpack it are for the node that has done so, too.
	if err := b.Store.Release(t.Context(), try("two", 2), work.Unpack, at); err != nil {
		t.Fatal(err)
	}
	try("one", 0)
	if err := b.Affine.Drop(t.Context(), "two", at, "t"); err != nil { // it has given the image up
		t.Fatal(err)
	}
	try("one", 2)
}

// whatNodesUnpacked: one node at a time keeps what it has unpacked.
func whatNodesUnpacked(t *testing.T, b Bench) {
	keep := func(owner string, at time.Time, want []string, tasks ...string) {
		t.Helper()
		got, err := b.Affine.Keep(t.Context(), owner, at, tasks...)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s keeps %q, %v, want %q", owner, got, err, want)
		}
	}
	keep("one", now, []string{"a", "b"}, "b", "a")
	keep("two", later.Add(-time.Microsecond), []string{"c"}, "c", "a")
	keep("one", later.Add(-time.Microsecond), []string{"a"}, "a")
	keep("two", later, []string{"b"}, "a", "b") // b has lapsed
	keep("one", later, []string{"a"}, "a", "b")
	if err := b.Affine.Drop(t.Context(), "one", later, "a", "b"); err != nil {
		t.Fatal(err)
	}
	keep("one", later, nil, "b") // which is not one's to drop
	keep("two", later, []string{"a", "b", "c"}, "a", "b", "c")
	// What dead nodes left goes with what others drop.
	if err := b.Affine.Drop(t.Context(), "one", later.Add(2*work.MaxPause)); err != nil {
		t.Fatal(err)
	}
	many := make([]string, 200)
	for i := range many {
		many[i] = fmt.Sprintf("task %03d", i)
	}
	keep("one", later, many, many...)
}
