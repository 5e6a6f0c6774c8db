package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/span"
	"github.com/diskport/diskport/internal/wake"
)

// Job does one unit. It returns the lease of the unit that follows when its event
// handed one over (ok). ctx ends when the lease is lost or the runner stops for
// good; what a job returns after that is ignored.
type Job func(ctx context.Context, h *Held) (next Lease, ok bool, err error)

// Handler does the units of one kind. The domain that the kind belongs to brings
// it.
type Handler struct {
	Do Job
	// Final reports whether an error will be the same at the next try; nil: no
	// error is final.
	Final func(err error) bool
	// Missing returns what an error finds missing that returns by itself; ok is false
	// for any other error. The unit then waits, and fails for good only after
	// MaxWait. Nil: no unit waits.
	Missing func(err error) (what string, ok bool)
	// Away reports whether an error says that something elsewhere does not answer, which
	// is given longer to come back than other failures. ErrNoDatabase is such an error for
	// every kind. Nil: no other one is.
	Away func(err error) bool
	// Tell returns what the owner of the unit's task is told of an error: neither paths of
	// this machine nor secrets. Nil: all of it, of a unit that has no task to be shown in.
	Tell func(err error) string
	// Fail ends a unit that failed for good: with a final error, too often, by a
	// panic, or as poison. It returns the lease of the unit that follows, as a Job
	// does. Nil: the unit is tried for ever, with pauses that grow.
	Fail func(ctx context.Context, l Lease, cause error) (next Lease, ok bool, err error)
	// Every makes the kind a periodic duty, which is due again this long after it
	// was done. Its job must be one that may stop anywhere and be run again, so a
	// runner that stops does not wait for it.
	Every time.Duration
}

// tries is how often a unit that fails with an error is tried, after some failures. More
// than MaxFailures are of what did not answer: another error then may be what is left of
// that, and not the last of so many of its own.
func (h Handler) tries(failures int, err error) int {
	if failures >= MaxFailures || errors.Is(err, ErrNoDatabase) || h.Away != nil && h.Away(err) {
		return MaxTries
	}
	return MaxFailures
}

func (h Handler) tell(err error) string {
	if h.Tell == nil {
		return err.Error()
	}
	return h.Tell(err)
}

func (h Handler) missing(err error) (what string, ok bool) {
	if h.Missing == nil {
		return "", false
	}
	return h.Missing(err)
}

// Limits on trying.
const (
	// MaxFailures is after how many failures, none of them final, a unit fails for
	// good.
	MaxFailures = 5
	// MaxTries is MaxFailures for what does not answer: the pauses between the tries add
	// up to an hour.
	MaxTries = 65
	// MaxClaims is how often a unit is claimed without getting further.
	MaxClaims = 20
	// MaxWait is how long a unit looks for what is missing. Only the time counts for which
	// it has waited: what is missing may return, and be gone once the unit is claimed.
	MaxWait = time.Hour
)

// PoisonError reports a unit that was claimed MaxClaims times and never got
// further: the process that does it dies of it.
type PoisonError struct {
	Unit   Unit
	Claims int
}

func (e *PoisonError) Error() string {
	return fmt.Sprintf("work: the %s of %s was begun %d times and got no further: what it does ends the process", e.Unit.Kind, e.Unit.Task, e.Claims)
}

// Runner claims units of work and does them: claim, heartbeat, finish. A lost
// lease cancels the job. Its fields are set before Run.
type Runner struct {
	Owner    string // names this node in leases
	Store    Store
	Handlers map[Kind]Handler
	// Lanes are the claimers: each claims units of its kinds, one at a time, so
	// that short units never wait for long ones.
	Lanes [][]Kind
	// Bus wakes idle claimers (wake.Work, Due), and jobs whose units may have been taken
	// away (wake.Units).
	Bus    *wake.Bus
	Agenda Agenda // wakes claimers when units become due; nil: they poll alone
	Log    *slog.Logger
	Now    func() time.Time
	Poll   time.Duration // how long a claimer sleeps when nothing wakes it
	Grace  time.Duration // how long running jobs may go on after Run's ctx ends

	Metrics *Metrics     // nil: nothing is counted
	Tracer  *span.Tracer // goes on with the traces of units; nil: it does not
}

// Run works until ctx ends. Then it claims nothing more, gives running jobs
// Grace to finish, cancels the rest and gives their leases back.
func (r *Runner) Run(ctx context.Context) error {
	jobs, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var claimers sync.WaitGroup
	for _, kinds := range r.Lanes {
		claimers.Go(func() { r.claim(ctx, jobs, kinds) })
	}
	if r.Agenda != nil {
		claimers.Go(func() { r.watch(ctx) })
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

// Step claims one unit of the kinds and does it, with those that it hands over. It
// returns false when there was none. It is for callers that control the order of
// events: tests, and a simulation.
func (r *Runner) Step(ctx context.Context, kinds ...Kind) (bool, error) {
	l, ok, err := r.Store.Claim(ctx, Claimer{Owner: r.Owner, Kinds: kinds}, r.Now())
	if err == nil && ok {
		r.chain(ctx, ctx, l)
	}
	return ok, err
}

// claim takes units of the kinds and does them until ctx ends.
func (r *Runner) claim(ctx, jobs context.Context, kinds []Kind) {
	c, topics := Claimer{Owner: r.Owner, Kinds: kinds}, []wake.Topic{wake.Work}
	for _, k := range kinds {
		topics = append(topics, Due(k))
	}
	failed := false
	for ctx.Err() == nil {
		woken, stop := r.Bus.Wait(topics...) // before looking, so that no wake is missed
		l, ok, err := r.Store.Claim(ctx, c, r.Now())
		if err != nil && ctx.Err() == nil && !failed { // once for all that follow
			r.Log.Error("claiming work; it is tried again", logkey.Error, err)
		}
		failed = err != nil
		if ok {
			stop()
			c.After = l.Account
			r.chain(ctx, jobs, l)
			continue
		}
		pause := r.Poll
		if failed {
			pause = min(pause, afterFault)
		}
		poll := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-woken:
		case <-poll.C:
		}
		poll.Stop()
		stop()
	}
}

// afterFault is how long a runner waits before it asks a store again that did not answer.
const afterFault = 2 * time.Second

// putOff is the topic, of this node alone, that is woken when it has put a unit off.
const putOff wake.Topic = "put off"

// watch wakes the claimers of this node when units become due of which no event tells:
// those of a node that has died, whose leases lapse, and those that were put off. It looks
// at least once in the time that a lease lasts, so what is leased after a look does not
// lapse before the next one.
func (r *Runner) watch(ctx context.Context) {
	var kinds []Kind
	for _, lane := range r.Lanes {
		kinds = append(kinds, lane...)
	}
	after := r.Now()
	for ctx.Err() == nil {
		changed, stop := r.Bus.Wait(putOff)
		now := r.Now()
		if now.Before(after) { // the clock was set back
			after = now
		}
		next, err := r.Agenda.Next(ctx, after, kinds...)
		pause, due := LeaseFor, []wake.Topic(nil)
		for _, a := range next {
			if a.At.After(now) {
				pause = min(pause, a.At.Sub(now))
			} else {
				due = append(due, Due(a.Kind))
			}
		}
		if err != nil {
			pause = afterFault
		}
		if len(due) > 0 {
			after = now
			r.Bus.Deliver(due...)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
		stop()
	}
}

// chain does l and the units that are handed over by it. Periodic duties end with
// ctx, since they may stop anywhere.
func (r *Runner) chain(ctx, jobs context.Context, l Lease) {
	if r.Handlers[l.Kind].Every > 0 {
		jobs = ctx
	}
	for {
		next, ok := r.do(jobs, l)
		if !ok {
			return
		}
		if ctx.Err() != nil {
			r.giveBack(next)
			return
		}
		l = next
	}
}

// do runs one job under its lease, deals with its end and counts it.
func (r *Runner) do(jobs context.Context, l Lease) (next Lease, ok bool) {
	began := r.Now()
	next, ok, how := r.tryUnit(jobs, l)
	r.Metrics.ended(l.Kind, how, r.Now().Sub(began))
	return next, ok
}

func (r *Runner) tryUnit(jobs context.Context, l Lease) (next Lease, ok bool, how end) {
	log := r.logOf(l)
	jobs, traced := r.trace(jobs, l)
	ctx, cancel := context.WithCancelCause(jobs)
	defer cancel(nil)
	h := &Held{Lease: l, Log: log, cancel: cancel}
	var beats sync.WaitGroup
	beats.Go(func() { r.heartbeat(ctx, h) })
	handler := r.Handlers[l.Kind]
	err := Guard(func() (err error) {
		if l.Claims > MaxClaims {
			return &PoisonError{l.Unit, l.Claims}
		}
		next, ok, err = handler.Do(ctx, h)
		return err
	})
	traced.End(err)
	if ok && next.Trace == "" {
		next.Trace = span.Parent(ctx)
	}
	isLost := errors.Is(err, ErrLost) || errors.Is(context.Cause(ctx), ErrLost)
	stopped := jobs.Err() != nil
	cancel(nil)
	beats.Wait()
	switch {
	case err == nil && handler.Every > 0:
		r.release(l, handler.Every)
		return Lease{}, false, done
	case err == nil:
		return next, ok, done
	case isLost:
		log.Info("lease lost; dropping what was done")
		return Lease{}, false, lost
	case stopped:
		r.giveBack(l)
		return Lease{}, false, handedBack
	case r.waits(handler, l, err, log):
		return Lease{}, false, waiting
	}
	return r.failed(jobs, handler, l, err, log)
}

// logOf returns a log whose lines say what unit they are about.
func (r *Runner) logOf(l Lease) *slog.Logger {
	log := r.Log.With(logkey.Task, l.Task, logkey.Account, l.Account, logkey.Unit, l.ID, logkey.Kind, l.Kind, "attempt", l.Attempt)
	if strings.HasPrefix(l.Task, "snap-") { // a draft
		log = log.With(logkey.Snapshot, l.Task)
	}
	return log
}

// trace begins the span of a unit.
func (r *Runner) trace(ctx context.Context, l Lease) (context.Context, span.Span) {
	ctx, s := r.Tracer.Continue(ctx, l.Trace, string(l.Kind))
	s.Number(span.Unit, l.ID)
	s.Text(span.Task, l.Task)
	s.Text(span.Account, l.Account)
	s.Number("diskport.attempt", l.Attempt)
	if l.Kind == Range || l.Kind == Copy {
		s.Number("diskport.range", int64(l.Range))
	}
	return ctx, s
}

// waits hands back a unit that found something missing, unless it has waited for too
// long. It returns false if the unit failed.
func (r *Runner) waits(handler Handler, l Lease, cause error, log *slog.Logger) bool {
	missing, ok := handler.missing(cause)
	if !ok || l.Waited >= MaxWait {
		return false
	}
	if l.Waits == 0 {
		log.Warn("a unit of work waits", "missing", missing, logkey.Error, cause)
	}
	n := l.Waits + 1
	pause := time.Duration(min(n*n, 15)) * time.Second
	r.handBack(l, func(ctx context.Context) error { return r.Store.Wait(ctx, l, missing, r.Now(), pause) })
	return true
}

// failed ends a unit, or hands it back when trying again may help.
func (r *Runner) failed(jobs context.Context, handler Handler, l Lease, cause error, log *slog.Logger) (next Lease, ok bool, how end) {
	args := []any{logkey.Error, cause}
	if panicked := (*PanicError)(nil); errors.As(cause, &panicked) {
		args = append(args, "stack", string(panicked.Stack))
	}
	if handler.Fail == nil || !r.final(handler, l, cause) {
		log.Error("a unit of work failed; it is tried again", args...)
		r.retry(handler, l, cause)
		return Lease{}, false, retried
	}
	log.Warn("a unit of work failed for good", args...)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(jobs), LeaseFor)
	defer cancel()
	next, ok, err := handler.Fail(ctx, l, cause)
	if err != nil && !errors.Is(err, ErrLost) {
		log.Error("recording a failure; it is tried again", logkey.Error, err)
		r.retry(handler, l, cause)
		return Lease{}, false, retried
	}
	return next, ok && err == nil, failed
}

// final reports whether a unit that failed is not to be tried again.
func (r *Runner) final(handler Handler, l Lease, err error) bool {
	if l.Failures+1 >= handler.tries(l.Failures, err) || handler.Final != nil && handler.Final(err) {
		return true
	}
	if _, ok := handler.missing(err); ok {
		return true // it has waited for as long as it may
	}
	var panicked *PanicError
	var poison *PoisonError
	var stuck *StuckError
	return errors.As(err, &panicked) || errors.As(err, &poison) || errors.As(err, &stuck)
}

// retry hands a unit back after a failure. The pauses grow; a unit that is poison
// and can't be ended waits longest.
func (r *Runner) retry(handler Handler, l Lease, cause error) {
	n := l.Failures + 1
	pause := time.Duration(min(n*n, 60)) * time.Second
	if poison := (*PoisonError)(nil); errors.As(cause, &poison) {
		pause = time.Hour
	}
	told := handler.tell(cause)
	r.handBack(l, func(ctx context.Context) error { return r.Store.Retry(ctx, l, told, r.Now().Add(pause)) })
}

// handBack tells the store what became of a unit, until it answers or the lease has
// lapsed: what made the unit fail may be the database, and what the store is not told,
// people don't see.
func (r *Runner) handBack(l Lease, tell func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), LeaseFor)
	defer cancel()
	for {
		err := tell(ctx)
		if err == nil {
			r.Bus.Deliver(putOff)
			return
		}
		if Pause(ctx, time.Second) != nil {
			r.logOf(l).Error("giving a lease back", logkey.Error, err)
			return
		}
	}
}

// giveBack hands a unit to whichever node claims it.
func (r *Runner) giveBack(l Lease) {
	r.release(l, 0)
	r.Bus.Wake(Due(l.Kind))
}

// release hands a unit back, even while the service stops.
func (r *Runner) release(l Lease, after time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), LeaseFor)
	defer cancel()
	if err := r.Store.Release(ctx, l, l.Kind, r.Now().Add(after)); err != nil {
		r.logOf(l).Error("giving a lease back", logkey.Error, err)
		return
	}
	r.Bus.Deliver(putOff)
}

// heartbeat keeps the lease alive until ctx ends. A lost lease cancels the job, and so does
// one that may have lapsed, by this node's own clock, because it could not be renewed: the
// unit may be another node's by then.
func (r *Runner) heartbeat(ctx context.Context, h *Held) {
	beat := time.NewTicker(Heartbeat)
	defer beat.Stop()
	l := h.Lease
	lapse := time.NewTimer(r.left(l))
	defer lapse.Stop()
	taken, leave := r.Bus.Wait(wake.Units(h.Task))
	defer func() { leave() }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-lapse.C:
			h.Log.Warn("the lease could not be renewed in time", "lease until", l.Until)
			h.cancel(ErrLost)
			return
		case <-beat.C:
		case <-taken:
			leave()
			taken, leave = r.Bus.Wait(wake.Units(h.Task))
		}
		p, heard := h.progress()
		renewed, err := r.Store.Renew(ctx, l, r.Now(), p)
		switch {
		case err == nil:
			l = renewed
			lapse.Reset(r.left(l))
			heard()
		case errors.Is(err, ErrLost):
			h.cancel(ErrLost)
			return
		case ctx.Err() == nil:
			h.Log.Warn("renewing the lease", logkey.Error, err)
		}
	}
}

// left is how long a lease that was just taken or renewed lasts. What a timer measures
// from here on goes by a clock that nobody sets. When the lease ends can't be told by a
// clock that differs from the one it was given by; a heartbeat finds out.
func (r *Runner) left(l Lease) time.Duration {
	if d := l.Until.Sub(r.Now()); d > 0 && d < LeaseFor {
		return d
	}
	return LeaseFor
}
