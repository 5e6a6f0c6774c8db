package compact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"
)

// Compactor rewrites packs. Its fields are set before the first Run; runs may
// overlap.
type Compactor struct {
	Store  Store
	Mender Mender // of Mend and MendPages
	Leases Leases
	Blocks *blockstore.Store
	// Domain returns the row of a domain as it is stored.
	Domain func(ctx context.Context, id string) (blockstore.Domain, error)
	Keys   Keys
	// Collect frees what is dead, and returns the bytes of it; nil: gc's own duty does.
	Collect func(ctx context.Context) (int64, error)
	// Free returns how many bytes may be written; nil: any number.
	Free func() (int64, error)
	// Tight returns how many bytes may be written when Free says that there is no room, since
	// more of them come back; nil: none.
	Tight func() int64
	Owner string // names this node in leases
	Now   func() time.Time
	// PackBytes is about how long packs become; 0 is 128 MiB.
	PackBytes int64
	Metrics   *Metrics // nil: nothing is counted
}

// Keys opens and changes the keys of domains, with an error while they can't be used.
// keyring.Ring implements it.
type Keys interface {
	// Open returns a domain and its keys.
	Open(ctx context.Context, id string) (blockstore.Domain, *frame.Keys, error)
	// Rotate makes a new data key and has all older ones go; if some are to go already,
	// nothing changes.
	Rotate(ctx context.Context, id string) (blockstore.Domain, error)
	// Retiring returns the domains that have data keys that are to go.
	Retiring(ctx context.Context) ([]string, error)
	// Drop drops those of a domain, once no frame is under them.
	Drop(ctx context.Context, id string) (blockstore.Domain, error)
}

// Leases keeps leases alive. work.Store does.
type Leases interface {
	Renew(ctx context.Context, l work.Lease, now time.Time, p work.Progress) (work.Lease, error)
}

func (c *Compactor) packBytes() int64 {
	if c.PackBytes == 0 {
		return 128 << 20
	}
	return c.PackBytes
}

// Report says what a run did.
type Report struct {
	Packs      int64 // rewritten
	NewPacks   int64
	Blocks     int64 // that moved
	Compressed int64 // of them: blocks that were not compressed before
	Encrypted  int64 // of them: blocks that are under another data key now
	// Freed is the bytes of the packs that nothing lies in any more, less those of
	// the new ones: what comes back once gc has removed them. It includes what was
	// dead before, if the run has freed that.
	Freed int64
	// Damaged names the frames that could not be copied, at most 100. They stay
	// where they are.
	Damaged []string
	// Locked names the domains whose key can't be used, and why: nothing of them was
	// compressed or encrypted anew.
	Locked []string
	// Dropped names the domains of which data keys that were to go have gone.
	Dropped []string
	// Stopped says why the run ended early; empty: it did not.
	Stopped string
}

// Log logs what was done, and what was not and why.
func (r Report) Log(ctx context.Context, log *slog.Logger) {
	if r.Packs > 0 {
		log.InfoContext(ctx, "rewrote packs", "packs", r.Packs, "into", r.NewPacks, "blocks", r.Blocks, "compressed", r.Compressed, "encrypted", r.Encrypted, "bytes", r.Freed)
	}
	for _, text := range r.Damaged {
		log.ErrorContext(ctx, "a frame is damaged: it stays where it is", "damage", text)
	}
	for _, text := range r.Locked {
		log.InfoContext(ctx, "packs were neither compressed nor encrypted anew", "reason", text)
	}
	for _, domain := range r.Dropped {
		log.InfoContext(ctx, "dropped old data keys, under which nothing is any more", "domain", domain)
	}
	if r.Stopped != "" {
		log.WarnContext(ctx, "stopped rewriting packs", "reason", r.Stopped)
	}
}

// maxDamaged bounds Report.Damaged.
const maxDamaged = 100

func (r *Report) damaged(format string, a ...any) {
	if len(r.Damaged) < maxDamaged {
		r.Damaged = append(r.Damaged, fmt.Sprintf(format, a...))
	}
}

// locked names a domain whose key can't be used, once.
func (r *Report) locked(domain string, err error) {
	name := "domain " + domain + ": "
	if !slices.ContainsFunc(r.Locked, func(text string) bool { return strings.HasPrefix(text, name) }) {
		r.Locked = append(r.Locked, name+err.Error())
	}
}

// Progress is how far a run is, in bytes of the packs that it has chosen.
type Progress struct{ Done, Total int64 }

// Run rewrites what is worth it, calling progress now and then (nil: nobody asks). It
// may stop anywhere and be run again; a Report comes with an error too. Damage is not
// an error: it is in the Report.
func (c *Compactor) Run(ctx context.Context, e Effort, progress func(Progress)) (Report, error) {
	r := &run{Compactor: c, effort: e, tell: progress, pace: work.Pace{Rate: e.Rate, Now: c.Now}}
	freed, err := r.collect(ctx)
	r.report.Freed += freed
	if err == nil {
		err = r.all(ctx)
	}
	if err == nil && r.report.Packs > 0 {
		_, err = r.collect(ctx) // which is counted already
	}
	if err == nil {
		err = r.drop(ctx)
	}
	c.Metrics.ran(r.report)
	if err != nil {
		err = fmt.Errorf("compact: %w", err)
	}
	return r.report, err
}

// Plan returns what Run would rewrite, without doing it.
func (c *Compactor) Plan(ctx context.Context, e Effort) (Plan, error) {
	r := &run{Compactor: c, effort: e}
	queues, err := r.choose(ctx)
	if err != nil {
		return Plan{}, fmt.Errorf("compact: %w", err)
	}
	var p Plan
	for _, q := range queues {
		for _, pack := range q.packs {
			live, err := c.Store.Live(ctx, pack.File.ID)
			if err != nil {
				return Plan{}, fmt.Errorf("compact: %w", err)
			}
			if len(live) == 0 {
				continue
			}
			p.Packs++
			p.Bytes += pack.Bytes
			p.Dead += max(0, pack.Bytes-spanned(live)-blockstore.PackOverhead(int(pack.Entries)))
			if q.usable && !pack.Compressed {
				p.Uncompressed += spanned(live)
			}
		}
	}
	return p, nil
}

// Plan is what a run would do.
type Plan struct {
	Packs        int64 // that would be rewritten
	Bytes        int64 // of them
	Dead         int64 // of Bytes: would come back at least
	Uncompressed int64 // of Bytes: would be compressed, and how far shows only then
}

// spanned returns the bytes of frames.
func spanned(blocks []blockstore.Placement) (n int64) {
	for _, b := range blocks {
		n += int64(b.Len) * blockstore.Align
	}
	return n
}

// run is one run.
type run struct {
	*Compactor
	effort Effort
	tell   func(Progress)
	pace   work.Pace

	report   Report
	progress Progress
	bench    *bench
	tight    int64 // bytes that a step may write for want of room; 0: there is room
	passed   bool  // packs were left alone for want of room
}

// queue is the packs of a domain that are to be rewritten.
type queue struct {
	domain string
	usable bool // its keys are
	packs  []Pack
}

// packsAtOnce is how many packs are asked for at a time.
const packsAtOnce = 1024

// choose returns what is to be rewritten.
func (r *run) choose(ctx context.Context) (queues []queue, err error) {
	worth := r.worth(r.effort)
	var all []Pack
	for after := blockstore.FileID(0); ; {
		some, err := r.Store.Packs(ctx, worth, after, packsAtOnce)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if len(some) < packsAtOnce {
			break
		}
		after = some[len(some)-1].File.ID
	}
	groups := byDomain(all)
	for _, domain := range slices.Sorted(maps.Keys(groups)) {
		if r.effort.Outdated != "" && r.effort.Outdated != domain {
			continue
		}
		_, _, err := r.Keys.Open(ctx, domain)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			r.report.locked(domain, err)
		}
		q := queue{domain, err == nil, worth.choose(groups[domain], r.effort, err == nil)}
		if len(q.packs) > 0 {
			queues = append(queues, q)
		}
	}
	return queues, nil
}

func (r *run) all(ctx context.Context) error {
	queues, err := r.choose(ctx)
	if err != nil || len(queues) == 0 {
		return err
	}
	for _, q := range queues {
		for _, p := range q.packs {
			r.progress.Total += p.Bytes
		}
	}
	if r.bench, err = newBench(max(1, r.effort.Workers)); err != nil {
		return err
	}
	for _, q := range queues {
		for len(q.packs) > 0 && r.report.Stopped == "" {
			if err := r.step(ctx, &q); err != nil {
				return err
			}
		}
	}
	if r.passed && r.report.Stopped == "" {
		r.report.Stopped = noRoom
	}
	return nil
}

// did counts bytes of packs that are dealt with.
func (r *run) did(n int64) {
	r.progress.Done += n
	if r.tell != nil {
		r.tell(r.progress)
	}
}

// collect frees what is dead, if that is not left to gc's duty.
func (r *run) collect(ctx context.Context) (int64, error) {
	if !r.effort.Wait || r.Collect == nil {
		return 0, nil
	}
	return r.Collect(ctx)
}

// Handlers returns the handler of the periodic duty.
func (c *Compactor) Handlers(every time.Duration, rate int64) map[work.Kind]work.Handler {
	return map[work.Kind]work.Handler{work.Compact: {Every: every, Do: func(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
		r, err := c.Run(ctx, Gentle(rate), nil)
		r.Log(ctx, h.Log)
		return next, false, err
	}}}
}

// room reports whether there is room for a step, freeing what is dead if need be. On a full
// disk a step takes what is worth most.
func (r *run) room(ctx context.Context, q *queue) (bool, error) {
	if r.Free == nil {
		return true, nil
	}
	need := int64(0)
	for _, p := range q.packs {
		need = min(need+p.Bytes, 2*r.packBytes())
	}
	for _, last := range []bool{false, true} {
		free, err := r.Free()
		if err != nil || free > need {
			r.tight = 0
			return err == nil, err
		}
		if last || r.Collect == nil {
			break
		}
		if _, err := r.Collect(ctx); err != nil {
			return false, err
		}
	}
	if r.squeeze(q) {
		return true, nil
	}
	r.report.Stopped = noRoom
	return false, nil
}

// squeeze leaves those packs in a queue that can be rewritten without room, and give some
// back, the smallest first: what a step frees is room for the next one. It returns false if
// there are none.
func (r *run) squeeze(q *queue) bool {
	if r.Tight == nil {
		return false
	}
	r.tight = r.Tight()
	q.packs = slices.DeleteFunc(q.packs, func(p Pack) bool {
		no := p.Dead == 0 || p.left() > r.tight
		r.passed = r.passed || no
		return no
	})
	slices.SortStableFunc(q.packs, func(a, b Pack) int { return cmp.Compare(a.left(), b.left()) })
	return len(q.packs) > 0
}

// left is about how many bytes of a pack are not dead.
func (p Pack) left() int64 { return p.Bytes * (p.Entries - p.Dead) / max(1, p.Entries) }

// stepBytes is how long the pack of a step becomes at most.
func (r *run) stepBytes() int64 {
	if r.tight > 0 {
		return min(r.tight, r.packBytes())
	}
	return r.packBytes()
}

// keep keeps a lease alive until ctx ends, and ends it when the lease is lost.
func (c *Compactor) keep(ctx context.Context, cancel context.CancelCauseFunc, l work.Lease) {
	beat := time.NewTicker(work.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		renewed, err := c.Leases.Renew(ctx, l, c.Now(), work.Progress{})
		switch {
		case err == nil:
			l = renewed
		case errors.Is(err, work.ErrLost), c.Now().After(l.Until):
			cancel(work.ErrLost)
			return
		}
	}
}
