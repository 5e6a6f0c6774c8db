package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// ErrNoPage reports a manifest that names a page that is not stored: gc frees
// nothing while it cannot know what is referenced.
var ErrNoPage = errors.New("gc: a manifest names a page that is not stored")

// Collector frees garbage.
type Collector struct {
	Store   Store
	Backend blockstore.Backend
	// Pages calls fn with the ids of the pages under a root, some at a time.
	Pages func(ctx context.Context, root blockstore.File, fn func([]snapshot.PageID) error) error
	// Blocks returns the ids of the blocks that a page names.
	Blocks func(ctx context.Context, page snapshot.PagePlace) ([]block.ID, error)
	Now    func() time.Time
	Poll   time.Duration // between looks at the units in flight; 0: a second
}

// Report says what was freed.
type Report struct {
	Blocks int64
	Pages  int64
	Files  int64
	Bytes  int64 // of closed files
}

// Run does one cycle. It can be left off anywhere and run again; what a cycle
// that failed freed is in its Report all the same.
func (c *Collector) Run(ctx context.Context) (Report, error) {
	var r Report
	if err := c.collect(ctx, &r); err != nil {
		return r, fmt.Errorf("gc: %w", err)
	}
	return r, nil
}

func (c *Collector) collect(ctx context.Context, r *Report) error {
	pass, err := c.Store.NextPass(ctx)
	if err != nil {
		return err
	}
	markBlocks := func(ids []block.ID) error { return c.Store.MarkBlocks(ctx, pass, ids) }
	if err := c.mark(ctx, pass, markBlocks); err != nil {
		return err
	}
	condemned, err := c.Store.Condemn(ctx, pass)
	if err != nil {
		return err
	}
	if condemned > 0 {
		if err := c.free(ctx, pass, r); err != nil {
			return err
		}
	}
	if err := c.removeDead(ctx, r); err != nil {
		return err
	}
	return c.removeUnknown(ctx, r)
}

// free deletes what the pass condemned, unless it is referenced after all.
func (c *Collector) free(ctx context.Context, pass int64, r *Report) error {
	if err := c.wait(ctx); err != nil {
		return err
	}
	again, err := c.Store.NextPass(ctx)
	if err != nil {
		return err
	}
	spare := func(ids []block.ID) error { return c.Store.SpareBlocks(ctx, ids) }
	if err := c.mark(ctx, again, spare); err != nil {
		return err
	}
	freed, err := c.Store.DeleteCondemned(ctx, pass)
	r.Blocks += freed.Blocks
	r.Pages += freed.Pages
	return err
}

// mark walks everything that is referenced: drafts first, then roots.
func (c *Collector) mark(ctx context.Context, pass int64, blocks func([]block.ID) error) error {
	pages := func(ids []snapshot.PageID) error {
		fresh, err := c.Store.MarkPages(ctx, pass, ids)
		if err != nil {
			return err
		}
		for _, p := range fresh {
			named, err := c.Blocks(ctx, p)
			if err != nil {
				return fmt.Errorf("read manifest page %x: %w", p.ID, err)
			}
			if err := blocks(named); err != nil {
				return err
			}
		}
		return nil
	}
	if err := c.Store.Drafts(ctx, pages); err != nil {
		return err
	}
	if err := c.Store.DraftBlocks(ctx, blocks); err != nil {
		return err
	}
	return c.Store.Roots(ctx, func(root blockstore.File) error {
		if err := c.Pages(ctx, root, pages); err != nil {
			return fmt.Errorf("read root %s: %w", root.Name(), err)
		}
		return nil
	})
}

// wait returns when none of the leases that are held now is held any more.
func (c *Collector) wait(ctx context.Context) error {
	waiting, err := c.Store.InFlight(ctx, c.Now())
	for err == nil && len(waiting) > 0 {
		if err := pause(ctx, c.Poll); err != nil {
			return err
		}
		var held []Fence
		held, err = c.Store.InFlight(ctx, c.Now())
		waiting = slices.DeleteFunc(waiting, func(f Fence) bool { return !slices.Contains(held, f) })
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		d = time.Second
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
