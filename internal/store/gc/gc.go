package gc

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Collector frees garbage. Its fields are set before the first Run.
type Collector struct {
	Store   Store
	Backend Backend
	Aside   blockstore.Aside // of the same back end
	// Pages calls fn with the ids of the pages under a root, a batch at a time, and
	// returns the domain of its blocks. It fails, without a call of fn, when the root
	// can't be read.
	Pages func(ctx context.Context, root blockstore.File, fn func([]snapshot.PageID) error) (domain string, err error)
	// Blocks returns the ids of the blocks that a page names.
	Blocks func(ctx context.Context, page snapshot.PagePlace) ([]block.ID, error)
	Now    func() time.Time
	Lapsed func() time.Time // by which leases and holds lapse, which may be behind Now; nil: Now
	Aged   func() time.Time // by which what was set aside is purged, likewise; nil: Now
	Older  bool             // the database is older than the store: it may know closed files as open
	Poll   time.Duration    // between looks at the units in flight; 0: a second
	Keep   time.Duration    // of files that are set aside; 0: 30 days
	Window int              // blocks of the candidates that are dealt with at a time; 0: 262,144, which take 16 MiB
	// ListEvery is how often all files are looked through for those without rows;
	// 0: once a day. The first cycle of a process always does it.
	ListEvery time.Duration
	Metrics   *Metrics // nil: nothing is counted

	listed atomic.Int64             // when they were last, in nanoseconds
	damage atomic.Pointer[[]string] // what the last marking found damaged
	cycles sync.RWMutex             // read-locked by each cycle
}

// Backend is what gc needs of the blockstore.Backend.
type Backend interface {
	blockstore.Lister
	blockstore.Quarantine
	Remove(ctx context.Context, name string) error
}

// Report says what was freed, and what was not and why.
type Report struct {
	Blocks int64
	Pages  int64
	Files  int64
	Bytes  int64 // of closed files
	// Aside names the files without rows that were set aside.
	Aside  []string
	Purged blockstore.Purged // of those set aside long ago
	// Damaged names what is damaged, at most 100 of it. It was kept, with
	// everything that may depend on it.
	Damaged []string
	// Implausible says why files without rows were left alone; empty: they were not.
	Implausible string
}

// Log logs what was done, and what was not and why.
func (r Report) Log(ctx context.Context, log *slog.Logger) {
	log.InfoContext(ctx, "collected garbage", "blocks", r.Blocks, "pages", r.Pages, "files", r.Files, "bytes", r.Bytes)
	for _, text := range r.Damaged {
		log.ErrorContext(ctx, "the store is damaged: kept what it concerns", "damage", text)
	}
	if len(r.Aside) > 0 {
		log.WarnContext(ctx, "set files aside that the database does not know", "files", r.Aside)
	}
	if r.Purged.Files > 0 {
		log.InfoContext(ctx, "removed files that were set aside long ago", "files", r.Purged.Files, "bytes", r.Purged.Bytes)
	}
	if r.Implausible != "" {
		log.ErrorContext(ctx, "files in the store were left alone", "reason", r.Implausible)
	}
}

// maxDamaged bounds Report.Damaged.
const maxDamaged = 100

func (r *Report) damaged(format string, a ...any) {
	if text := fmt.Sprintf(format, a...); len(r.Damaged) < maxDamaged && !slices.Contains(r.Damaged, text) {
		r.Damaged = append(r.Damaged, text)
	}
}

// Run does one cycle. It may stop anywhere and be run again; a Report comes with an
// error too, and says what was freed until then. Damage is not an error: it is in
// the Report.
func (c *Collector) Run(ctx context.Context) (Report, error) {
	var r Report
	if err := c.until(ctx, c.cycles.TryRLock); err != nil {
		return r, fmt.Errorf("gc: %w", err)
	}
	defer c.cycles.RUnlock()
	err := c.collect(ctx, &r)
	c.Metrics.ran(r, c.Now().Unix(), err)
	if err != nil {
		return r, fmt.Errorf("gc: %w", err)
	}
	return r, nil
}

// Between runs fn while no cycle of this Collector does. Rows of roots that no draft
// announced may be entered then: a cycle that read the roots before would delete what only
// they name. There is no other Collector whose cycles would have to be waited for: a
// process locks its data directory, or is the only one at a shared database.
func (c *Collector) Between(ctx context.Context, fn func() error) error {
	if err := c.until(ctx, c.cycles.TryLock); err != nil {
		return err
	}
	defer c.cycles.Unlock()
	return fn()
}

// until waits until try succeeds.
func (c *Collector) until(ctx context.Context, try func() bool) error {
	for !try() {
		if err := work.Pause(ctx, cmp.Or(c.Poll, time.Second)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Collector) collect(ctx context.Context, r *Report) error {
	// Leases that have lapsed are lost from here on, and their open files are dead.
	if _, err := c.Store.InFlight(ctx, c.by(c.Lapsed)); err != nil {
		return err
	}
	pending, err := c.Store.Pending(ctx)
	if err != nil {
		return err
	}
	if pending {
		if err := c.expand(ctx); err != nil {
			return err
		}
		if err := c.free(ctx, r); err != nil {
			return err
		}
		if err := c.removeDead(ctx, r); err != nil {
			return err
		}
	}
	return c.lookThrough(ctx, r)
}

// by returns the time by a clock, or by Now.
func (c *Collector) by(clock func() time.Time) time.Time {
	if clock == nil {
		clock = c.Now
	}
	return clock()
}

// expand makes the pages under roots that were let go candidates.
func (c *Collector) expand(ctx context.Context) error {
	after := blockstore.FileID(0)
	for {
		roots, err := c.Store.ReleasedRoots(ctx, after, batch)
		if err != nil || len(roots) == 0 {
			return err
		}
		for _, root := range roots {
			var failed error // of the store
			_, err := c.Pages(ctx, root, func(ids []snapshot.PageID) error {
				failed = c.Store.NotePages(ctx, ids)
				return failed
			})
			switch {
			case failed != nil:
				return failed
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				facts, lerr := c.Store.Look(ctx, []blockstore.FileID{root.ID})
				if lerr != nil {
					return lerr
				}
				if err = nil; facts[root.ID].Row { // else another cycle has removed it
					err = c.Store.SuspectPages(ctx) // whatever was under it
				}
			}
			if err == nil {
				err = c.Store.Expanded(ctx, root.ID)
			}
			if err != nil {
				return err
			}
			after = root.ID
		}
	}
}

// free deletes the rows of candidates that nothing references, window by window.
func (c *Collector) free(ctx context.Context, r *Report) error {
	limit := c.Window
	if limit == 0 {
		limit = 1 << 18
	}
	var page snapshot.PageID
	var id block.ID
	for pages, blocks := true, true; pages || blocks; {
		pass, err := c.Store.NextPass(ctx)
		if err != nil {
			return err
		}
		w := newWindow(pass)
		if pages {
			if pages, err = c.takePages(ctx, w, &page, limit); err != nil {
				return err
			}
		}
		if blocks {
			if blocks, err = c.takeBlocks(ctx, w, &id, max(limit-len(w.blocks), 1)); err != nil {
				return err
			}
		}
		if len(w.pages)+len(w.blocks) == 0 {
			return nil
		}
		if err := c.freeWindow(ctx, w, r); err != nil {
			return err
		}
	}
	return nil
}

// freeWindow deletes what is in a window and not referenced.
func (c *Collector) freeWindow(ctx context.Context, w *window, r *Report) error {
	if err := c.mark(ctx, w, r); err != nil {
		return err
	}
	if err := c.settle(ctx, w); err != nil {
		return err
	}
	pages, blocks := w.unreferenced()
	if len(pages)+len(blocks) == 0 {
		return nil
	}
	if err := c.Store.Condemn(ctx, w.pass, pages, blocks, w.doubt()); err != nil {
		return err
	}
	if err := c.wait(ctx); err != nil {
		return err
	}
	failpoint.At("gc: has waited")
	if err := c.mark(ctx, w, r); err != nil {
		return err
	}
	failpoint.At("gc: has marked")
	pages, blocks = w.unreferenced()
	if err := c.orphan(ctx, w, pages, blocks); err != nil {
		return err
	}
	freed, err := c.Store.DeleteCondemned(ctx, w.pass, pages, blocks, w.doubt())
	r.Blocks += freed.Blocks
	r.Pages += freed.Pages
	if err != nil {
		return err
	}
	if err := c.Store.Spare(ctx, w.pass); err != nil {
		return err
	}
	return c.settle(ctx, w)
}

// orphan makes the blocks of pages that are about to be deleted candidates of their
// own. They may outlive the pages; and another pass may have settled them, because
// it found that these pages reference them.
func (c *Collector) orphan(ctx context.Context, w *window, pages []snapshot.PageID, blocks []block.ID) error {
	if err := c.Store.NoteBlocks(ctx, w.pass, blocks); err != nil || w.lost || !w.unread(pages) {
		return err
	}
	return c.Store.SuspectBlocks(ctx) // which ones can't be told
}

// settle takes what is referenced out of the candidates.
func (c *Collector) settle(ctx context.Context, w *window) error {
	pages, blocks := w.referenced()
	if len(pages)+len(blocks) == 0 {
		return nil
	}
	return c.Store.Settle(ctx, w.pass, pages, blocks)
}

// wait returns when every lease that is held now has ended.
func (c *Collector) wait(ctx context.Context) error {
	waiting, err := c.Store.InFlight(ctx, c.by(c.Lapsed))
	for err == nil && len(waiting) > 0 {
		if err := work.Pause(ctx, cmp.Or(c.Poll, time.Second)); err != nil {
			return err
		}
		var held []Fence
		held, err = c.Store.InFlight(ctx, c.by(c.Lapsed))
		waiting = slices.DeleteFunc(waiting, func(f Fence) bool { return !slices.Contains(held, f) })
	}
	return err
}
