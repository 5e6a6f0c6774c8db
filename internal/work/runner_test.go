package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskport/diskport/internal/wake"
)

// queue is a Store over a list, enough for a runner.
type queue struct {
	mu       sync.Mutex // guards all
	free     []Lease
	gone     map[int64]bool
	released []Lease
	retried  []Lease
	pauses   []time.Duration // of retries
	missing  []string
	after    []string // of claims that found a unit
	causes   []string // of retries
	away     int      // retries that the store does not answer
	flaps    bool     // units that wait are resumed once a tenth of it is over
	renewed  []Progress
	silent   bool // it does not answer
	claims   int  // asked for
}

func (q *queue) Claim(_ context.Context, c Claimer, now time.Time) (Lease, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.claims++
	if q.silent {
		return Lease{}, false, ErrNoDatabase
	}
	for i, l := range q.free {
		if slices.Contains(c.Kinds, l.Kind) {
			q.free = slices.Delete(q.free, i, i+1)
			q.after = append(q.after, c.After)
			l.Owner, l.Until = c.Owner, now.Add(LeaseFor)
			l.Attempt++
			l.Claims++
			return l, true, nil
		}
	}
	return Lease{}, false, nil
}

func (q *queue) Renew(_ context.Context, l Lease, now time.Time, p Progress) (Lease, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.silent {
		return l, ErrNoDatabase
	}
	if q.gone[l.ID] {
		return l, ErrLost
	}
	q.renewed = append(q.renewed, p)
	l.Until = now.Add(LeaseFor)
	return l, nil
}

func (q *queue) Release(_ context.Context, l Lease, _ Kind, _ time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.released = append(q.released, l)
	return nil
}

func (q *queue) Retry(_ context.Context, l Lease, cause string, notBefore time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.away > 0 {
		q.away--
		return ErrNoDatabase
	}
	q.causes = append(q.causes, cause)
	q.pauses = append(q.pauses, time.Until(notBefore))
	l.Failures, l.Claims = l.Failures+1, 0
	q.retried = append(q.retried, l)
	return nil
}

func (q *queue) Wait(_ context.Context, l Lease, missing string, _ time.Time, pause time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pauses = append(q.pauses, pause)
	q.missing = append(q.missing, missing)
	l.Waits, l.Claims = l.Waits+1, 0
	if q.flaps { // what is missing is back for a moment
		pause /= 10
	}
	l.Waited += pause
	q.retried = append(q.retried, l)
	return nil
}

// retry makes failed units due.
func (q *queue) retry() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free, q.retried = append(q.free, q.retried...), nil
}

func (q *queue) set(change func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change()
}

func (q *queue) lose(id int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gone = map[int64]bool{id: true}
}

func unit(id int64, k Kind) Lease {
	return Lease{Unit: Unit{ID: id, Kind: k, Task: "import-snap-1"}, Until: time.Now().Add(LeaseFor)}
}

func jobs(do map[Kind]Job) map[Kind]Handler {
	handlers := map[Kind]Handler{}
	for k, job := range do {
		handlers[k] = Handler{Do: job}
	}
	return handlers
}

func newRunner(q *queue, handlers map[Kind]Handler) *Runner {
	return &Runner{
		Owner: "node", Store: q, Handlers: handlers,
		Lanes: [][]Kind{{Plan, Publish, Cleanup}, {Range}, {GC}}, Bus: &wake.Bus{},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Now: time.Now, Poll: time.Minute, Grace: 10 * time.Second,
	}
}

// start runs a runner over q in the bubble; the returned function stops it and
// waits.
func start(t *testing.T, q *queue, handlers map[Kind]Handler) (r *Runner, stop func()) {
	t.Helper()
	r = newRunner(q, handlers)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func TestRunnerFollowsTheChainWithoutClaiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{free: []Lease{unit(1, Plan)}}
		var did []Kind
		job := func(next ...Lease) Job {
			return func(_ context.Context, h *Held) (Lease, bool, error) {
				did = append(did, h.Kind)
				if len(next) == 0 {
					return Lease{}, false, nil
				}
				return next[0], true, nil
			}
		}
		_, stop := start(t, q, jobs(map[Kind]Job{Plan: job(unit(2, Range)), Range: job(unit(3, Publish)), Publish: job()}))
		synctest.Wait()
		stop()
		if want := []Kind{Plan, Range, Publish}; !slices.Equal(did, want) {
			t.Errorf("did %v, want %v", did, want)
		}
	})
}

// untilLost is a job that goes on until its context ends, and says why it did.
func untilLost(cause *error) Job {
	return func(ctx context.Context, _ *Held) (Lease, bool, error) {
		<-ctx.Done()
		*cause = context.Cause(ctx)
		return Lease{}, false, ctx.Err()
	}
}

func TestALostLeaseCancelsItsJob(t *testing.T) {
	for _, c := range []struct {
		name string
		wait func(*Runner)
	}{
		{"at the next heartbeat", func(*Runner) { time.Sleep(Heartbeat) }},
		{"at once when it is woken, from whatever node", func(r *Runner) { r.Bus.Deliver(wake.Units("import-snap-1")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &queue{free: []Lease{unit(1, Range)}}
				var cause error
				r, stop := start(t, q, jobs(map[Kind]Job{Range: untilLost(&cause)}))
				time.Sleep(2*Heartbeat + time.Second)
				synctest.Wait()
				if len(q.renewed) != 2 {
					t.Errorf("renewed %d times in two heartbeats", len(q.renewed))
				}
				q.lose(1)
				c.wait(r)
				synctest.Wait()
				if !errors.Is(cause, ErrLost) {
					t.Errorf("the job's context ended with %v, want %v", cause, ErrLost)
				}
				stop()
				if len(q.released)+len(q.retried) != 0 {
					t.Errorf("a lost lease was released %d times and retried %d times", len(q.released), len(q.retried))
				}
			})
		})
	}
}

// TestHeldLeasesAreLeftAlone: a cancellation makes a cleanup at once, which
// may be under way when this node hears of the cancellation.
func TestHeldLeasesAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{free: []Lease{unit(1, Range), unit(2, Cleanup)}}
		var cause error
		cleaned := false
		r, stop := start(t, q, jobs(map[Kind]Job{
			Range: untilLost(&cause),
			Cleanup: func(ctx context.Context, _ *Held) (Lease, bool, error) {
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
					cleaned = true
				}
				return Lease{}, false, ctx.Err()
			},
		}))
		synctest.Wait()
		q.lose(1)
		r.Bus.Wake(wake.Units("import-snap-1"))
		synctest.Wait()
		if !errors.Is(cause, ErrLost) {
			t.Errorf("the lost unit's job ended with %v", cause)
		}
		time.Sleep(time.Second)
		stop()
		if !cleaned {
			t.Error("the cleanup was cancelled")
		}
	})
}

// TestANodeThatIsCutOff stops its job when its lease may have lapsed, whatever others have
// done meanwhile, and works again once the store answers.
func TestANodeThatIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{free: []Lease{unit(1, Range)}}
		began := time.Now()
		var stopped time.Duration
		done := make(chan struct{}, 1)
		_, stop := start(t, q, jobs(map[Kind]Job{
			Range: func(ctx context.Context, _ *Held) (Lease, bool, error) {
				<-ctx.Done()
				stopped = time.Since(began)
				return Lease{}, false, ctx.Err()
			},
			GC: func(context.Context, *Held) (Lease, bool, error) { done <- struct{}{}; return Lease{}, false, nil },
		}))
		time.Sleep(Heartbeat + time.Second)
		q.set(func() { q.silent = true })
		time.Sleep(time.Hour)
		synctest.Wait()
		if stopped != Heartbeat+LeaseFor {
			t.Errorf("the job went on for %v, want %v from its last heartbeat", stopped, LeaseFor)
		}
		if len(q.released)+len(q.retried) != 0 {
			t.Error("what may be another node's was handed back")
		}
		q.set(func() { q.silent, q.free = false, []Lease{unit(2, GC)} })
		back := time.Now()
		<-done
		if took := time.Since(back); took > afterFault {
			t.Errorf("it took %v to work again", took)
		}
		stop()
	})
}

// TestAJumpOfTheClock neither ends a job nor lets one go on: between heartbeats the lease
// goes by a clock that nobody sets.
func TestAJumpOfTheClock(t *testing.T) {
	for _, jump := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			q := &queue{free: []Lease{unit(1, Range)}}
			r := newRunner(q, nil)
			var set atomic.Int64
			r.Now = func() time.Time { return time.Now().Add(time.Duration(set.Load())) }
			var cause error
			began := time.Now()
			var took time.Duration
			r.Handlers = jobs(map[Kind]Job{Range: func(ctx context.Context, _ *Held) (Lease, bool, error) {
				<-ctx.Done()
				cause, took = context.Cause(ctx), time.Since(began)
				return Lease{}, false, ctx.Err()
			}})
			go func() {
				time.Sleep(Heartbeat + time.Second)
				set.Store(int64(jump))
				time.Sleep(time.Minute)
				q.set(func() { q.silent = true })
			}()
			if _, err := r.Step(t.Context(), Range); err != nil {
				t.Fatal(err)
			}
			// The last heartbeat is at 63 s.
			if want := 63*time.Second + LeaseFor; !errors.Is(cause, ErrLost) || took != want {
				t.Errorf("a jump of %v: the job ended after %v with %v, want %v after %v", jump, took, cause, ErrLost, want)
			}
		})
	}
}

// told is the Reporter of a job that makes progress.
type told struct {
	done  int64
	heard int64
}

func (r *told) Progress() Progress { r.done++; return Progress{Done: r.done, Data: []byte("x")} }
func (r *told) Heard()             { r.heard = r.done }

func TestHeartbeatsTellHowFarTheUnitIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{free: []Lease{unit(1, Range)}}
		var rep told
		_, stop := start(t, q, jobs(map[Kind]Job{Range: func(ctx context.Context, h *Held) (Lease, bool, error) {
			h.Report(&rep)
			time.Sleep(3*Heartbeat + time.Second)
			return Lease{}, false, nil
		}}))
		time.Sleep(4 * Heartbeat)
		stop()
		if len(q.renewed) != 3 || q.renewed[2].Done != 3 || string(q.renewed[2].Data) != "x" || rep.heard != 3 {
			t.Errorf("renewed with %+v, heard %d", q.renewed, rep.heard)
		}
	})
}

func TestRunnerStops(t *testing.T) {
	for _, c := range []struct {
		name     string
		kind     Kind
		takes    time.Duration
		stops    time.Duration
		released int
	}{
		{"a job that ends within the grace is finished", Range, 5 * time.Second, 5 * time.Second, 0},
		{"a longer one is cancelled and given back", Range, time.Hour, 10 * time.Second, 1},
		{"a duty is left off at once", GC, time.Hour, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &queue{free: []Lease{unit(1, c.kind), unit(2, c.kind)}}
				do := func(ctx context.Context, _ *Held) (Lease, bool, error) {
					select {
					case <-ctx.Done():
						return Lease{}, false, ctx.Err()
					case <-time.After(c.takes):
						return Lease{}, false, nil
					}
				}
				_, stop := start(t, q, map[Kind]Handler{Range: {Do: do}, GC: {Do: do, Every: time.Hour}})
				synctest.Wait()
				begin := time.Now()
				stop()
				if took := time.Since(begin); took != c.stops {
					t.Errorf("stopping took %v, want %v", took, c.stops)
				}
				if len(q.released) != c.released || len(q.retried) != 0 {
					t.Errorf("released %d leases, want %d; retried %d", len(q.released), c.released, len(q.retried))
				}
				if len(q.free) != 1 {
					t.Errorf("%d units unclaimed, want the second one", len(q.free))
				}
			})
		})
	}
}

func TestADutyIsDueAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{free: []Lease{unit(1, GC)}}
		r := newRunner(q, map[Kind]Handler{GC: {Every: time.Hour, Do: func(context.Context, *Held) (Lease, bool, error) {
			return Lease{}, false, nil
		}}})
		if ok, err := r.Step(t.Context(), GC); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if len(q.released) != 1 {
			t.Errorf("released %d times, want once", len(q.released))
		}
	})
}

var errFire = errors.New("the disk is on fire")

// failing is a handler of job that notes the errors that it is told to fail with.
func failing(job Job, told *[]error) Handler {
	return Handler{
		Do:    job,
		Final: func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
		Fail: func(_ context.Context, l Lease, cause error) (Lease, bool, error) {
			*told = append(*told, cause)
			l.Kind, l.Claims = Cleanup, 1 // another unit
			return l, true, nil
		},
	}
}

func TestFailures(t *testing.T) {
	returning := func(err error) Job {
		return func(context.Context, *Held) (Lease, bool, error) { return Lease{}, false, err }
	}
	for _, c := range []struct {
		name  string
		lease Lease
		job   Job
		tries int
	}{
		{"one that may go away is tried again", unit(1, Range), returning(errFire), MaxFailures},
		{"one that stays is not", unit(1, Range), returning(fmt.Errorf("reading: %w", io.ErrUnexpectedEOF)), 1},
		{"a panic is not", unit(1, Range), func(context.Context, *Held) (Lease, bool, error) { panic("boom") }, 1},
		{"poison is not even begun", Lease{Unit: unit(1, Range).Unit, Claims: MaxClaims}, returning(nil), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &queue{free: []Lease{c.lease}}
				var told []error
				cleaned, tries := 0, 0
				r := newRunner(q, map[Kind]Handler{
					Range: failing(c.job, &told),
					Cleanup: {Do: func(context.Context, *Held) (Lease, bool, error) {
						cleaned++
						return Lease{}, false, nil
					}},
				})
				for ; len(q.free) > 0; tries++ {
					if _, err := r.Step(t.Context(), Range); err != nil {
						t.Fatal(err)
					}
					q.retry()
				}
				if tries != c.tries || len(told) != 1 || cleaned != 1 {
					t.Errorf("%d tries, failed with %v, cleaned up %d times; want %d tries and one end", tries, told, cleaned, c.tries)
				}
				if !slices.IsSorted(q.pauses) {
					t.Errorf("pauses %v do not grow", q.pauses)
				}
			})
		})
	}
}

// TestMissing: a unit that finds something missing waits, much longer than one that
// fails, and not for ever; that what is missing returns for a moment costs it nothing.
func TestMissing(t *testing.T) {
	for name, flaps := range map[string]bool{"all the time": false, "now and then": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &queue{free: []Lease{unit(1, Range)}, flaps: flaps}
				var told []error
				var waited time.Duration
				h := failing(func(_ context.Context, h *Held) (Lease, bool, error) {
					waited = h.Waited
					return Lease{}, false, errFire
				}, &told)
				h.Missing = func(err error) (string, bool) { return "water", errors.Is(err, errFire) }
				r := newRunner(q, map[Kind]Handler{Range: h, Cleanup: {Do: func(context.Context, *Held) (Lease, bool, error) { return Lease{}, false, nil }}})
				for len(q.free) > 0 {
					if _, err := r.Step(t.Context(), Range); err != nil {
						t.Fatal(err)
					}
					q.retry()
				}
				if len(told) != 1 || waited < MaxWait || waited > MaxWait+time.Minute {
					t.Errorf("it waited for %v, and failed with %v; want an hour and one end", waited, told)
				}
				if got := slices.Compact(q.missing); !slices.Equal(got, []string{"water"}) {
					t.Errorf("waited for %q", got)
				}
				if !slices.IsSorted(q.pauses) || q.pauses[0] > time.Second {
					t.Errorf("pauses %v do not grow from a second", q.pauses)
				}
			})
		})
	}
}

// agenda is an Agenda over a list.
type agenda struct {
	mu    sync.Mutex
	next  []Appointment
	looks int
}

func (a *agenda) Next(_ context.Context, after time.Time, _ ...Kind) (due []Appointment, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.looks++
	for _, n := range a.next {
		if n.At.After(after) {
			due = append(due, n)
		}
	}
	return due, nil
}

func (a *agenda) add(k Kind, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next = append(a.next, Appointment{k, at})
}

// TestTheAgendaWakesClaimers at the moment at which a unit becomes due, which nobody tells
// of: not before, not long after, and those of its kind alone.
func TestTheAgendaWakesClaimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, a := &queue{}, &agenda{}
		began := time.Now()
		var did []time.Duration
		r := newRunner(q, jobs(map[Kind]Job{Range: func(context.Context, *Held) (Lease, bool, error) {
			did = append(did, time.Since(began))
			return Lease{}, false, nil
		}}))
		r.Poll, r.Agenda = 24*time.Hour, a
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		for _, c := range []struct{ after, due time.Duration }{
			{time.Second, LeaseFor},                           // a lease that was taken just after a look
			{3 * LeaseFor, 0},                                 // one that nobody woke for
			{time.Minute, time.Hour},                          // far off
			{3*time.Hour + time.Second, 24 * 365 * time.Hour}, // never, while this runs
		} {
			time.Sleep(time.Until(began.Add(c.after)))
			a.add(Range, time.Now().Add(c.due))
			id := int64(len(q.after) + 1)
			time.AfterFunc(c.due-time.Microsecond, func() { q.set(func() { q.free = append(q.free, unit(id, Range)) }) })
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(did) != 3 || did[0] != time.Second+LeaseFor || did[1] < 3*LeaseFor || did[1] > 4*LeaseFor || did[2] != time.Minute+time.Hour {
			t.Errorf("units were done after %v", did)
		}
		if idle := time.Since(began) / LeaseFor; a.looks > int(idle)+20 || q.claims > 20 {
			t.Errorf("it looked %d times and claimed %d times within %v", a.looks, q.claims, time.Since(began))
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestTheAgendaAfterTheClockWasSetBack is kept as ever.
func TestTheAgendaAfterTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, a := &queue{}, &agenda{}
		var ahead atomic.Int64
		ahead.Store(int64(time.Hour))
		began, did := time.Now(), time.Duration(0)
		r := newRunner(q, jobs(map[Kind]Job{Range: func(context.Context, *Held) (Lease, bool, error) {
			did = time.Since(began)
			return Lease{}, false, nil
		}}))
		r.Poll, r.Agenda = 24*time.Hour, a
		r.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		ahead.Store(0)
		a.add(Range, began.Add(time.Minute))
		time.AfterFunc(time.Minute-time.Microsecond, func() { q.set(func() { q.free = append(q.free, unit(1, Range)) }) })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if did != time.Minute {
			t.Errorf("a unit that was due after a minute was done after %v", did)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestWhatIsPutOffHereIsDueInTime although it was not on the agenda at the last look.
func TestWhatIsPutOffHereIsDueInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, a := &queue{free: []Lease{unit(1, Range)}}, &agenda{}
		began, tries := time.Now(), 0
		done := make(chan time.Duration, 1)
		r := newRunner(q, jobs(map[Kind]Job{Range: func(context.Context, *Held) (Lease, bool, error) {
			if tries++; tries == 1 {
				a.add(Range, time.Now().Add(time.Second)) // what Retry will say
				time.AfterFunc(time.Second-time.Microsecond, q.retry)
				return Lease{}, false, errFire
			}
			done <- time.Since(began)
			return Lease{}, false, nil
		}}))
		r.Poll, r.Agenda = 24*time.Hour, a
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		if took := <-done; took != time.Second {
			t.Errorf("it was tried again after %v, want a second", took)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestALaneRemembersWhoseTurnItWas: each claim says whose unit the lane did before.
func TestALaneRemembersWhoseTurnItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{}
		for i, account := range []string{"a", "b", "c"} {
			l := unit(int64(i+1), Range)
			l.Account = account
			q.free = append(q.free, l)
		}
		_, stop := start(t, q, jobs(map[Kind]Job{Range: func(context.Context, *Held) (Lease, bool, error) { return Lease{}, false, nil }}))
		synctest.Wait()
		stop()
		if want := []string{"", "a", "b"}; !slices.Equal(q.after, want) {
			t.Errorf("claimed after %q, want %q", q.after, want)
		}
	})
}

func TestPanicsAreNamed(t *testing.T) {
	var told []error
	q := &queue{free: []Lease{unit(1, Range)}}
	r := newRunner(q, map[Kind]Handler{
		Range:   failing(func(context.Context, *Held) (Lease, bool, error) { panic("boom") }, &told),
		Cleanup: {Do: func(context.Context, *Held) (Lease, bool, error) { panic("boom again") }},
	})
	if _, err := r.Step(t.Context(), Range); err != nil {
		t.Fatal(err)
	}
	var panicked *PanicError
	if len(told) != 1 || !errors.As(told[0], &panicked) || panicked.Value != "boom" || len(panicked.Stack) == 0 {
		t.Errorf("told %v, want the panic with its stack", told)
	}
	if len(q.retried) != 1 || q.retried[0].Kind != Cleanup {
		t.Errorf("retried %+v; a kind whose failure cannot be recorded is tried again", q.retried)
	}
}

// TestPoisonThatCannotEndWaits: a duty or cleanup that kills the process has no
// task to fail, so it is left alone for long.
func TestPoisonThatCannotEndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{free: []Lease{{Unit: unit(1, Cleanup).Unit, Claims: MaxClaims}}}
		r := newRunner(q, jobs(map[Kind]Job{Cleanup: func(context.Context, *Held) (Lease, bool, error) {
			t.Error("it was begun once more")
			return Lease{}, false, nil
		}}))
		if _, err := r.Step(t.Context(), Cleanup); err != nil {
			t.Fatal(err)
		}
		if len(q.pauses) != 1 || q.pauses[0] < time.Hour {
			t.Errorf("pauses %v, want an hour", q.pauses)
		}
	})
}

func TestAFailureThatIsNotRecordedIsTriedAgain(t *testing.T) {
	q := &queue{free: []Lease{unit(1, Range)}}
	r := newRunner(q, map[Kind]Handler{Range: {
		Do:    func(context.Context, *Held) (Lease, bool, error) { return Lease{}, false, errFire },
		Final: func(error) bool { return true },
		Fail: func(context.Context, Lease, error) (Lease, bool, error) {
			return Lease{}, true, errors.New("the database does not answer")
		},
	}})
	if _, err := r.Step(t.Context(), Range); err != nil {
		t.Fatal(err)
	}
	if len(q.retried) != 1 {
		t.Errorf("retried %d times, want once", len(q.retried))
	}
}

// TestWhatDoesNotAnswer is given an hour to come back, and its owner is told what it is.
func TestWhatDoesNotAnswer(t *testing.T) {
	errSilent := errors.New("dialling 192.0.2.1")
	for name, err := range map[string]error{"elsewhere": errSilent, "the database": fmt.Errorf("claiming: %w", ErrNoDatabase)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &queue{free: []Lease{unit(1, Range)}}
				var told []error
				h := failing(func(context.Context, *Held) (Lease, bool, error) { return Lease{}, false, err }, &told)
				h.Away = func(err error) bool { return errors.Is(err, errSilent) }
				h.Tell = func(error) string { return "no answer" }
				r := newRunner(q, map[Kind]Handler{Range: h, Cleanup: {Do: func(context.Context, *Held) (Lease, bool, error) { return Lease{}, false, nil }}})
				for len(q.free) > 0 {
					if _, err := r.Step(t.Context(), Range); err != nil {
						t.Fatal(err)
					}
					q.retry()
				}
				var took time.Duration
				for _, p := range q.pauses {
					took += p
				}
				if len(q.pauses) != MaxTries-1 || len(told) != 1 || took < 50*time.Minute || took > 70*time.Minute {
					t.Errorf("tried again %d times in %v, and failed with %v; want an hour, and one end", len(q.pauses), took, told)
				}
				if got := slices.Compact(q.causes); !slices.Equal(got, []string{"no answer"}) {
					t.Errorf("people are told %q", got)
				}
			})
		})
	}
}

// TestAfterWhatDidNotAnswer: another error soon after is not the last one that a unit may
// have.
func TestAfterWhatDidNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{free: []Lease{unit(1, Range)}}
		var told []error
		tries := 0
		r := newRunner(q, map[Kind]Handler{Range: failing(func(context.Context, *Held) (Lease, bool, error) {
			switch tries++; {
			case tries <= MaxFailures+3:
				return Lease{}, false, ErrNoDatabase
			case tries <= MaxFailures+5:
				return Lease{}, false, errFire
			}
			return Lease{}, false, nil
		}, &told), Cleanup: {Do: func(context.Context, *Held) (Lease, bool, error) { return Lease{}, false, nil }}})
		for len(q.free) > 0 {
			if _, err := r.Step(t.Context(), Range); err != nil {
				t.Fatal(err)
			}
			q.retry()
		}
		if tries != MaxFailures+6 || len(told) != 0 {
			t.Errorf("tried %d times, and failed with %v", tries, told)
		}
	})
}

// TestAFailureIsToldWhenTheStoreIsBack: what made a unit fail may be the database.
func TestAFailureIsToldWhenTheStoreIsBack(t *testing.T) {
	for _, c := range []struct{ away, want int }{{3, 1}, {100, 0}} {
		synctest.Test(t, func(t *testing.T) {
			q := &queue{free: []Lease{unit(1, Range)}, away: c.away}
			r := newRunner(q, jobs(map[Kind]Job{Range: func(context.Context, *Held) (Lease, bool, error) { return Lease{}, false, ErrNoDatabase }}))
			began := time.Now()
			if _, err := r.Step(t.Context(), Range); err != nil {
				t.Fatal(err)
			}
			if len(q.retried) != c.want || time.Since(began) > LeaseFor {
				t.Errorf("away %d times: told %d times after %v, want %d", c.away, len(q.retried), time.Since(began), c.want)
			}
		})
	}
}

// TestWithin: a step that does not return is left, one that is told to stop is waited for,
// and a panic is an error.
func TestWithin(t *testing.T) {
	type step = func(ctx context.Context, over chan struct{}) (int, error)
	for _, c := range []struct {
		name  string
		step  step
		value int
		ok    func(error) bool
		took  time.Duration
	}{
		{"one that returns", func(context.Context, chan struct{}) (int, error) { return 7, nil }, 7, func(err error) bool { return err == nil }, 0},
		{"one that fails", func(context.Context, chan struct{}) (int, error) { return 0, errFire }, 0, func(err error) bool { return errors.Is(err, errFire) }, 0},
		{"one that panics", func(context.Context, chan struct{}) (int, error) { panic("boom") }, 0, func(err error) bool { _, ok := errors.AsType[*PanicError](err); return ok }, 0},
		{"one that is told to stop", func(ctx context.Context, _ chan struct{}) (int, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			return 0, ctx.Err()
		}, 0, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, time.Minute + time.Second},
		{"one that does not stop", func(_ context.Context, over chan struct{}) (int, error) { <-over; return 7, nil }, 0,
			func(err error) bool { _, ok := errors.AsType[*StuckError](err); return ok }, time.Minute + leaveAfter},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				over, began := make(chan struct{}), time.Now()
				value, err := Within(ctx, nil, "looking", func() (int, error) { return c.step(ctx, over) })
				if took := time.Since(began); value != c.value || !c.ok(err) || took != c.took {
					t.Errorf("%d, %v after %v; want %d after %v", value, err, took, c.value, c.took)
				}
				close(over)
			})
		})
	}
}

// TestStraysAreBounded: nothing more that may not return begins while too much has not, and
// what returns after all gives its place back.
func TestStraysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 3
		strays, over := NewStrays(most), make(chan struct{})
		look := func(over chan struct{}) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := Within(ctx, strays, "looking", func() (int, error) { <-over; return 0, nil })
			return err
		}
		for i := range most {
			if err := look(over); !errors.As(err, new(*StuckError)) || strays.Now() != i+1 {
				t.Fatalf("%v, and %d strays; want to be stuck, and %d", err, strays.Now(), i+1)
			}
		}
		began, begun := time.Now(), false
		_, err := Within(t.Context(), strays, "looking", func() (int, error) { begun = true; return 0, nil })
		full, ok := errors.AsType[*StraysError](err)
		if !ok || full.Now != most || full.Most != most || begun || time.Since(began) != 0 {
			t.Errorf("%v; begun: %t; want it to be refused at once", err, begun)
		}
		over <- struct{}{} // to one of them
		synctest.Wait()
		closed := make(chan struct{})
		close(closed)
		if err := look(closed); err != nil || strays.Now() != most-1 {
			t.Errorf("after one has returned: %v, and %d strays", err, strays.Now())
		}
		close(over)
		synctest.Wait()
		if strays.Now() != 0 {
			t.Errorf("%d strays are left", strays.Now())
		}
	})
}
