package importtask

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/work"
)

// Job does one unit of work. It returns the lease of the unit that follows when
// its event handed one over (ok). ctx ends when the lease is lost or the runner
// stops for good.
type Job func(ctx context.Context, h *Held) (next work.Lease, ok bool, err error)

// Held is a lease while its job runs.
type Held struct {
	work.Lease
	Log *slog.Logger

	cancel context.CancelCauseFunc

	mu     sync.Mutex    // guards what follows
	done   Counts        // so far, without what stored tells
	stored func() Counts // what became of the blocks so far; may be nil
	sent   Counts        // of both: what the store has heard of
}

// Count adds to what the unit has done so far; safe for concurrent use.
func (h *Held) Count(c Counts) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done.Add(c)
}

// Watch makes stored part of the unit's counts.
func (h *Held) Watch(stored func() Counts) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stored = stored
}

func (h *Held) counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sum()
}

// sum needs mu.
func (h *Held) sum() Counts {
	c := h.done
	if h.stored != nil {
		c.Add(h.stored())
	}
	return c
}

// unheard returns what the store has not heard of yet.
func (h *Held) unheard() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sum().Sub(h.sent)
}

func (h *Held) heard(c Counts) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent = c
}

// Runner claims units of work and does them: claim, heartbeat, finish. A lost
// lease cancels the job. Its fields are set before Run.
type Runner struct {
	Owner string // names this node in leases
	Work  work.Store
	Tasks Endings
	Jobs  map[work.Kind]Job
	// Lanes are the claimers: each claims units of its kinds, one at a time, so
	// that short units never wait behind long ones.
	Lanes [][]work.Kind
	Log   *slog.Logger
	Now   func() time.Time
	Poll  time.Duration // how long a claimer sleeps when nothing wakes it
	Grace time.Duration // how long running jobs may go on after Run's ctx ends

	mu    sync.Mutex // guards held, waker
	held  map[int64]*Held
	waker chan struct{}
}

// maxAttempts is how often a unit is tried when its failure may go away.
const maxAttempts = 5

// Run works until ctx ends. Then it claims nothing more, gives running jobs
// Grace to finish, cancels the rest and gives their leases back.
func (r *Runner) Run(ctx context.Context) error {
	jobs, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var claimers sync.WaitGroup
	for _, kinds := range r.Lanes {
		claimers.Go(func() { r.claim(ctx, jobs, kinds) })
	}
	<-ctx.Done()
	idle := make(chan struct{})
	go func() { claimers.Wait(); close(idle) }()
	grace := time.NewTimer(r.Grace)
	defer grace.Stop()
	select {
	case <-idle:
	case <-grace.C:
	}
	stop()
	<-idle
	return nil
}

// Wake makes idle claimers look for work at once.
func (r *Runner) Wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waker != nil {
		close(r.waker)
		r.waker = nil
	}
}

// Unheard returns what the task's units on this node have done since their last
// heartbeats: what to add to the store's counts for a live view.
func (r *Runner) Unheard(task string) (c Counts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.held {
		if h.Task == task {
			c.Add(h.unheard())
		}
	}
	return c
}

// Drop cancels the task's jobs on this node, whose leases are known to be gone,
// before a heartbeat would notice.
func (r *Runner) Drop(task string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.held {
		if h.Task == task {
			h.cancel(work.ErrLost)
		}
	}
}

func (r *Runner) asleep() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waker == nil {
		r.waker = make(chan struct{})
	}
	return r.waker
}

// claim takes units of the kinds and does them until ctx ends.
func (r *Runner) claim(ctx, jobs context.Context, kinds []work.Kind) {
	for ctx.Err() == nil {
		woken := r.asleep() // before the look, so that no wake is missed
		l, ok, err := r.Work.Claim(ctx, r.Owner, kinds, r.Now())
		if err != nil && ctx.Err() == nil {
			r.Log.Error("claiming work", "error", err)
		}
		if ok {
			r.chain(ctx, jobs, l)
			continue
		}
		poll := time.NewTimer(r.Poll)
		select {
		case <-ctx.Done():
		case <-woken:
		case <-poll.C:
		}
		poll.Stop()
	}
}

// chain does l and the units that are handed over by it. Periodic duties end with
// ctx: they can be left off anywhere.
func (r *Runner) chain(ctx, jobs context.Context, l work.Lease) {
	if l.Task == "" {
		jobs = ctx
	}
	for {
		next, ok := r.do(jobs, l)
		if !ok {
			return
		}
		if ctx.Err() != nil {
			r.giveBack(next, 0)
			return
		}
		l = next
	}
}

// do runs one job under its lease and deals with its end.
func (r *Runner) do(jobs context.Context, l work.Lease) (next work.Lease, ok bool) {
	log := r.Log.With("task", l.Task, "unit", l.ID, "kind", l.Kind, "attempt", l.Attempt)
	ctx, cancel := context.WithCancelCause(jobs)
	defer cancel(nil)
	h := &Held{Lease: l, Log: log, cancel: cancel}
	r.track(h, true)
	defer r.track(h, false)
	var beats sync.WaitGroup
	beats.Go(func() { r.heartbeat(ctx, cancel, h) })
	next, ok, err := r.Jobs[l.Kind](ctx, h)
	lost := errors.Is(err, work.ErrLost) || errors.Is(context.Cause(ctx), work.ErrLost)
	stopped := jobs.Err() != nil
	cancel(nil)
	beats.Wait()
	switch {
	case err == nil:
		return next, ok
	case lost:
		log.Info("lease lost; dropping what was done")
	case stopped:
		r.giveBack(l, 0)
	default:
		return r.failed(l, err, log)
	}
	return work.Lease{}, false
}

// failed ends the task, or gives the unit back when trying again may help.
func (r *Runner) failed(l work.Lease, err error, log *slog.Logger) (next work.Lease, ok bool) {
	f, final := FailureOf(err)
	if l.Task == "" || l.Kind == work.Cleanup || (!final && l.Attempt < maxAttempts) {
		log.Error("unit of work failed; trying again", "error", err)
		r.giveBack(l, time.Duration(min(l.Attempt*l.Attempt, 60))*time.Second)
		return next, false
	}
	log.Error("import failed", "error", err, "reason", f.Reason)
	ctx, cancel := context.WithTimeout(context.Background(), work.LeaseFor)
	defer cancel()
	next, err = r.Tasks.Fail(ctx, l, f)
	if err != nil {
		log.Error("recording the failure", "error", err)
		return next, false
	}
	return next, true
}

// giveBack releases a lease, also while the service stops.
func (r *Runner) giveBack(l work.Lease, after time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), work.LeaseFor)
	defer cancel()
	if err := r.Work.Release(ctx, l, r.Now().Add(after)); err != nil {
		r.Log.Error("giving a lease back", "unit", l.ID, "error", err)
	}
}

// heartbeat keeps the lease alive until ctx ends; a lost lease, or one that
// could not be renewed in time, cancels the job.
func (r *Runner) heartbeat(ctx context.Context, cancel context.CancelCauseFunc, h *Held) {
	beat := time.NewTicker(work.Heartbeat)
	defer beat.Stop()
	l := h.Lease
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		done := h.counts()
		progress, _ := json.Marshal(done) // plain numbers: cannot fail
		renewed, err := r.Work.Renew(ctx, l, r.Now(), progress)
		switch {
		case err == nil:
			l = renewed
			h.heard(done)
		case errors.Is(err, work.ErrLost), r.Now().After(l.Until):
			cancel(work.ErrLost)
			return
		case ctx.Err() == nil:
			h.Log.Warn("renewing the lease", "error", err)
		}
	}
}

func (r *Runner) track(h *Held, on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		r.held = map[int64]*Held{}
	}
	if on {
		r.held[h.ID] = h
	} else {
		delete(r.held, h.ID)
	}
}
