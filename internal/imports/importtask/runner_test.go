package importtask

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskport/diskport/internal/work"
)

// queue is a work.Store and Endings over a list, enough for a runner.
type queue struct {
	mu       sync.Mutex // guards all
	free     []work.Lease
	gone     map[int64]bool
	released []work.Lease
	failed   []Failure
	renewed  int
}

func (q *queue) Claim(_ context.Context, owner string, kinds []work.Kind, now time.Time) (work.Lease, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, l := range q.free {
		if slices.Contains(kinds, l.Kind) {
			q.free = slices.Delete(q.free, i, i+1)
			l.Owner, l.Until = owner, now.Add(work.LeaseFor)
			l.Attempt++
			return l, true, nil
		}
	}
	return work.Lease{}, false, nil
}

func (q *queue) Renew(_ context.Context, l work.Lease, now time.Time, _ []byte) (work.Lease, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone[l.ID] {
		return l, work.ErrLost
	}
	q.renewed++
	l.Until = now.Add(work.LeaseFor)
	return l, nil
}

func (q *queue) Release(_ context.Context, l work.Lease, _ time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.released = append(q.released, l)
	return nil
}

func (q *queue) ExpireAll(context.Context) error { return nil }

func (q *queue) Fail(_ context.Context, l work.Lease, f Failure) (work.Lease, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failed = append(q.failed, f)
	l.Kind = work.Cleanup
	return l, nil
}

func (q *queue) Cancel(context.Context, string, string, Failure) (State, error) {
	return Active, nil
}
func (q *queue) CleanedUp(context.Context, work.Lease) error    { return nil }
func (q *queue) Forget(context.Context, time.Time) (int, error) { return 0, nil }
func unit(id int64, k work.Kind) work.Lease {
	return work.Lease{Unit: work.Unit{ID: id, Kind: k, Task: "import-snap-1"}}
}

// start runs a runner over q in the bubble; the returned function stops it and
// waits.
func start(t *testing.T, q *queue, jobs map[work.Kind]Job) (r *Runner, stop func()) {
	t.Helper()
	r = &Runner{
		Owner: "node", Work: q, Tasks: q, Jobs: jobs,
		Lanes: [][]work.Kind{{work.Plan, work.Publish, work.Cleanup}, {work.Range}},
		Log:   slog.New(slog.NewTextHandler(io.Discard, nil)),
		Now:   time.Now, Poll: time.Minute, Grace: 10 * time.Second,
	}
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
		q := &queue{free: []work.Lease{unit(1, work.Plan)}}
		var did []work.Kind
		job := func(next ...work.Lease) Job {
			return func(_ context.Context, h *Held) (work.Lease, bool, error) {
				did = append(did, h.Kind)
				if len(next) == 0 {
					return work.Lease{}, false, nil
				}
				return next[0], true, nil
			}
		}
		_, stop := start(t, q, map[work.Kind]Job{
			work.Plan: job(unit(2, work.Range)), work.Range: job(unit(3, work.Publish)), work.Publish: job(),
		})
		synctest.Wait()
		stop()
		if want := []work.Kind{work.Plan, work.Range, work.Publish}; !slices.Equal(did, want) {
			t.Errorf("did %v, want %v", did, want)
		}
	})
}

func TestRunnerCancelsTheJobOfALostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{free: []work.Lease{unit(1, work.Range)}, gone: map[int64]bool{}}
		var cause error
		_, stop := start(t, q, map[work.Kind]Job{work.Range: func(ctx context.Context, _ *Held) (work.Lease, bool, error) {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return work.Lease{}, false, ctx.Err()
		}})
		time.Sleep(2*work.Heartbeat + time.Second)
		q.mu.Lock()
		if q.renewed != 2 {
			t.Errorf("renewed %d times in two heartbeats", q.renewed)
		}
		q.gone[1] = true
		q.mu.Unlock()
		time.Sleep(work.Heartbeat)
		synctest.Wait()
		if !errors.Is(cause, work.ErrLost) {
			t.Errorf("the job's context ended with %v, want %v", cause, work.ErrLost)
		}
		stop()
		if len(q.released)+len(q.failed) != 0 {
			t.Errorf("a lost lease was released %d and failed %d times", len(q.released), len(q.failed))
		}
	})
}

func TestRunnerStops(t *testing.T) {
	for _, c := range []struct {
		name     string
		takes    time.Duration
		released int
	}{
		{"a job that ends within the grace is finished", 5 * time.Second, 0},
		{"a longer one is cancelled and given back", time.Hour, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &queue{free: []work.Lease{unit(1, work.Range), unit(2, work.Range)}}
				_, stop := start(t, q, map[work.Kind]Job{work.Range: func(ctx context.Context, _ *Held) (work.Lease, bool, error) {
					select {
					case <-ctx.Done():
						return work.Lease{}, false, ctx.Err()
					case <-time.After(c.takes):
						return work.Lease{}, false, nil
					}
				}})
				synctest.Wait()
				begin := time.Now()
				stop()
				if took := time.Since(begin); took > 10*time.Second {
					t.Errorf("stopping took %v", took)
				}
				if len(q.released) != c.released {
					t.Errorf("released %d leases, want %d", len(q.released), c.released)
				}
				if len(q.free) != 1 {
					t.Errorf("%d units unclaimed, want the second one", len(q.free))
				}
			})
		})
	}
}

func TestRunnerTriesAgainThenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := unit(1, work.Range)
		q := &queue{free: []work.Lease{l}}
		cleaned := 0
		r, stop := start(t, q, map[work.Kind]Job{
			work.Range: func(context.Context, *Held) (work.Lease, bool, error) {
				return work.Lease{}, false, errors.New("the disk is on fire")
			},
			work.Cleanup: func(context.Context, *Held) (work.Lease, bool, error) {
				cleaned++
				return work.Lease{}, false, nil
			},
		})
		for range maxAttempts {
			synctest.Wait()
			q.mu.Lock()
			q.free, q.released = append(q.free, q.released...), nil
			q.mu.Unlock()
			r.Wake()
		}
		synctest.Wait()
		stop()
		if len(q.failed) != 1 || q.failed[0].Reason != "internal" {
			t.Errorf("failures %+v, want one that is internal", q.failed)
		}
		if cleaned != 1 {
			t.Errorf("cleaned up %d times, want once", cleaned)
		}
	})
}
