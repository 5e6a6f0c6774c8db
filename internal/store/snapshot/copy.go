package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/work"
)

// maxCopying is how many appends of a copy are under way at a time: while some wait
// for the disk, others read and frame.
const maxCopying = 4

// A copy is cut into ranges of about 1 GiB, a few seconds each, and into maxRanges at
// most: each is a unit, and all units of a copy are made by one transaction.
const (
	rangeBlocks = 2048
	maxRanges   = 256
)

// copyRange is a run of a base's pages that one unit copies.
type copyRange struct {
	first, end int64 // index of its first block, and of the first behind it
	before     int64 // blocks of the base before it
}

// copyRanges cuts a base, by its root alone, so that every unit cuts it alike.
func copyRanges(pages []rootPage) (ranges []copyRange) {
	var total, seen, in int64
	for _, p := range pages {
		total += int64(p.blocks)
	}
	most := max(rangeBlocks, (total+maxRanges-1)/maxRanges)
	for i, p := range pages {
		if in == 0 {
			ranges = append(ranges, copyRange{first: p.index * PageBlocks, before: seen})
		}
		seen, in = seen+int64(p.blocks), in+int64(p.blocks)
		if in >= most || i == len(pages)-1 {
			ranges[len(ranges)-1].end, in = (p.index+1)*PageBlocks, 0
		}
	}
	return ranges
}

// copyRange does a Copy unit. The last one hands over to the completion.
func (d *Drafts) copyRange(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	draft, err := d.pending(ctx, h.Task)
	if err != nil {
		return next, false, err
	}
	base, err := d.base(ctx, draft)
	if err != nil {
		return next, false, err
	}
	if base == nil {
		return next, false, fmt.Errorf("snapshot: %s has nothing to copy", draft.ID)
	}
	ranges := copyRanges(base.root.pages)
	if h.Range >= len(ranges) {
		return next, false, fmt.Errorf("snapshot: copying %s: no range %d of %d", draft.ID, h.Range, len(ranges))
	}
	r := ranges[h.Range]
	far := &reach{first: r.first}
	h.Report(far)
	if err := d.inherit(ctx, draft, base, r, far); err != nil {
		return next, false, err
	}
	return d.Store.Copied(ctx, h.Lease)
}

// reach is how far the copying of a range is: blocks of the volume, counted from its
// first. A range of a large disk may outlive many restarts.
type reach struct {
	first int64 // index

	mu   sync.Mutex // guards done
	done int64
}

var _ work.Reporter = (*reach)(nil)

// got notes that the block at an index has been copied.
func (r *reach) got(index int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = max(r.done, index-r.first+1)
}

// Progress implements work.Reporter.
func (r *reach) Progress() work.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return work.Progress{Done: r.done}
}

// Heard implements work.Reporter.
func (*reach) Heard() {}

// copied reports whether a draft has all that it inherits from a base in another
// domain. That its row says so is not enough: a block that is missing would read as
// zeros for ever after.
func (d *Drafts) copied(ctx context.Context, draft Draft, base *Blocks, foreign bool) (bool, error) {
	if !foreign || base.Count() == 0 {
		return true, nil
	}
	if !draft.Copied {
		return false, nil
	}
	for _, err := range d.missing(ctx, draft, base, copyRange{end: maxVolume}) {
		return false, err
	}
	return true, nil
}

// inherit copies those blocks of a range of the base that were not written over. It
// goes on where an earlier attempt stopped.
func (d *Drafts) inherit(ctx context.Context, draft Draft, base *Blocks, r copyRange, far *reach) error {
	copying, ctx := errgroup.WithContext(ctx)
	copying.SetLimit(maxCopying)
	var some []Block
	seen := r.before
	flush := func() {
		batch, at := some, seen
		copying.Go(func() error {
			err := d.copyBlocks(ctx, draft, base, batch, at)
			if err == nil {
				far.got(batch[len(batch)-1].Index)
			}
			return err
		})
		some = nil
	}
	var err error
	for b, berr := range d.missing(ctx, draft, base, r) {
		if err = berr; err != nil {
			break
		}
		seen++
		if some = append(some, b); len(some) == maxAppend {
			flush()
		}
	}
	if err == nil && len(some) > 0 {
		flush()
	}
	return cmp.Or(copying.Wait(), err) // the first to fail ends the other's context
}

// missing returns the blocks of a range of the base at whose index the draft has
// none.
func (d *Drafts) missing(ctx context.Context, draft Draft, base *Blocks, r copyRange) iter.Seq2[Block, error] {
	return func(yield func(Block, error) bool) {
		next, stop := iter.Pull2(d.blocks(ctx, draft.ID, r.first-1))
		defer stop()
		have, err, ok := next()
		for b, berr := range base.From(ctx, r.first) {
			if berr == nil && b.Index >= r.end {
				return
			}
			for berr == nil && ok && err == nil && have.Index < b.Index {
				have, err, ok = next()
			}
			if err := cmp.Or(berr, err); err != nil {
				yield(Block{}, err)
				return
			}
			if ok && have.Index == b.Index {
				continue
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

// copyBlocks appends blocks of the base to the draft. seen is how many of the
// base's blocks are dealt with once these are.
func (d *Drafts) copyBlocks(ctx context.Context, draft Draft, base *Blocks, some []Block, seen int64) error {
	ctx, cancel := context.WithTimeout(ctx, appendFor)
	defer cancel()
	to := &appending{blocks: map[int64]DraftBlock{}}
	if err := d.beginAppend(ctx, draft, to); err != nil {
		return err
	}
	percent := int(min(99, 100*seen/base.root.blocks))
	to.err = base.each(ctx, some, func(b Block, data []byte, digest block.Digest) error {
		return d.add(ctx, to, DraftBlock{Index: b.Index, Digest: digest, Inherited: true}, data, percent)
	})
	return d.endAppend(ctx, to)
}
