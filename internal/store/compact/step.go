package compact

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"
)

// MaxMoved and MaxSources are how many blocks one transaction moves at most, and from
// how many packs, so that it keeps nobody waiting.
const (
	MaxMoved   = 4096
	MaxSources = 1024
)

// busyPause is how long a run waits before it looks again at a domain that another
// one is rewriting.
const busyPause = time.Second / 4

// step makes one new pack of the first packs in the queue, which it takes out.
func (r *run) step(ctx context.Context, q *queue) error {
	if len(q.packs) == 1 && r.worth(r.effort).alone(q.packs[0], q.usable) {
		q.packs = nil
		return nil
	}
	if ok, err := r.room(ctx, q); !ok {
		return err
	}
	l, err := r.Store.Begin(ctx, q.domain, r.Owner, r.Now().Add(work.LeaseFor))
	switch {
	case errors.Is(err, ErrBusy) && r.effort.Wait:
		return work.Pause(ctx, busyPause)
	case errors.Is(err, ErrBusy):
		q.packs = nil
		return nil
	case err != nil:
		return err
	}
	err = r.hold(ctx, l, func(ctx context.Context) error { return r.rewrite(ctx, l, q) })
	switch {
	case errors.Is(err, work.ErrLost):
		return nil // whoever has it now does the work; the packs that were taken are looked at the next time
	case errors.Is(err, blockstore.ErrFull):
		r.report.Stopped = noRoom
		return nil
	}
	return err
}

// hold runs fn while it keeps a lease, which fn ends with its event. If fn fails, the unit
// ends without an effect.
func (c *Compactor) hold(ctx context.Context, l work.Lease, fn func(context.Context) error) error {
	held, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var beats sync.WaitGroup
	beats.Go(func() { c.keep(held, cancel, l) })
	err := fn(held)
	if cause := context.Cause(held); err != nil && cause != nil {
		err = cause
	}
	cancel(nil)
	beats.Wait()
	if err != nil {
		_ = c.Store.End(context.WithoutCancel(ctx), l) // if this fails, it lapses
	}
	return err
}

// noRoom is why a run stops on a full disk.
const noRoom = "there is no room for a new pack: free some space and run it again"

// source is a pack that a step has taken.
type source struct {
	Pack
	live int64 // blocks that were to move
}

// output is the pack that a step writes.
type output struct {
	*blockstore.Rewriter
	domain     blockstore.Domain
	room       int // blocks that may still be encrypted
	sources    []source
	from       []blockstore.Location
	oldestKey  uint32 // that a frame is under
	oldest     uint32 // data key in the header
	newest     uint32 // data key in the header
	compressed int64
	encrypted  int64
}

// rewrite does a step under its lease.
func (r *run) rewrite(ctx context.Context, l work.Lease, q *queue) error {
	out := &output{}
	defer func() {
		if out.Rewriter != nil {
			out.Abort(ctx)
		}
	}()
	for len(q.packs) > 0 {
		p := q.packs[0]
		live, err := r.Store.Live(ctx, p.File.ID)
		if err != nil {
			return err
		}
		if out.Rewriter != nil && r.full(out, live) {
			break
		}
		if r.tight > 0 && spanned(live)+blockstore.PackOverhead(len(live)) > r.tight { // it is larger than it looked
			q.packs, r.passed = q.packs[1:], true
			continue
		}
		if len(live) == 0 {
			r.did(p.Bytes)
		} else if err := r.copyPack(ctx, l, q, live, out); err != nil {
			return err
		}
		q.packs = q.packs[1:]
	}
	if len(out.from) == 0 {
		return r.Store.End(ctx, l)
	}
	return r.move(ctx, l, q, out)
}

// full reports whether the new pack is long enough, or has no room for more blocks.
func (r *run) full(out *output, more []blockstore.Placement) bool {
	if r.tight > 0 && out.Size()+spanned(more)+blockstore.PackOverhead(len(out.from)+len(more)) > r.tight {
		return true
	}
	return out.Size() >= r.packBytes()/4*3 || len(out.from)+len(more) > MaxMoved || len(out.sources) == MaxSources ||
		out.Size()+spanned(more) > blockstore.MaxPackBytes || out.Keys() != nil && len(more) > out.room
}

// move makes the new pack durable and ends the step with its event.
func (r *run) move(ctx context.Context, l work.Lease, q *queue, out *output) error {
	closed, err := out.Finish(ctx)
	if err != nil {
		return err
	}
	m := Moved{Pack: closed, Compressed: q.usable, From: out.from, OldestKey: out.oldestKey}
	if !m.Compressed {
		m.Compressed = true
		for _, s := range out.sources {
			m.Compressed = m.Compressed && s.Compressed
		}
	}
	// The pack stays if the event fails, since it may have been committed; if it was
	// not, gc finds it by its row.
	moved, err := r.Store.Move(ctx, l, m)
	if err != nil {
		return err
	}
	r.report.NewPacks++
	r.report.Blocks += moved
	r.report.Compressed += out.compressed
	r.report.Encrypted += out.encrypted
	r.report.Freed -= closed.Bytes
	copied := map[blockstore.FileID]int64{}
	for _, at := range out.from {
		copied[at.File.ID]++
	}
	for _, s := range out.sources {
		r.report.Packs++
		if copied[s.File.ID] == s.live && s.live == s.Entries-s.Dead {
			r.report.Freed += s.Bytes
		}
	}
	return nil
}

// copyPack copies the live frames of the first pack of a queue to the new one, which
// it starts if there is none.
func (r *run) copyPack(ctx context.Context, l work.Lease, q *queue, live []blockstore.Placement, out *output) (err error) {
	if out.Rewriter == nil {
		if err := r.start(ctx, l, q, len(live), out); err != nil {
			return err
		}
	}
	p := q.packs[0]
	how := handling{store: r.Blocks, file: p.File, keys: out.Keys(), compress: !p.Compressed}
	switch {
	case p.Entered:
		how.retire = math.MaxUint32
	case out.domain.Retiring():
		how.retire = out.domain.Retire
	}
	if how.keys != nil {
		out.room -= len(live)
	}
	out.sources = append(out.sources, source{p, int64(len(live))})
	left := p.Bytes
	live = slices.DeleteFunc(live, func(b blockstore.Placement) bool {
		err := b.Check()
		if err != nil {
			r.report.damaged("block %s in %s: its row is wrong: %v", b.ID, p.File.Name(), err)
		}
		return err != nil
	})
	for len(live) > 0 {
		n := r.bench.take(live)
		read, err := r.copyFrames(ctx, p.File, live[:n], how, out)
		if err != nil {
			return err
		}
		if err := r.pace.Wait(ctx, read); err != nil {
			return err
		}
		live = live[n:]
		done := min(left, read)
		left -= done
		r.did(done)
	}
	r.did(left) // what is dead
	return nil
}

// start starts the new pack of a step, whose first source has n blocks to move.
func (r *run) start(ctx context.Context, l work.Lease, q *queue, n int, out *output) (err error) {
	var keys *frame.Keys
	if out.room = q.toEncrypt(n, 4*r.packBytes()); out.room > 0 {
		out.domain, keys, err = r.Keys.Open(ctx, q.domain)
	} else {
		out.domain, err = r.Domain(ctx, q.domain)
	}
	if err != nil {
		return err
	}
	out.oldestKey = math.MaxUint32
	if out.Rewriter, err = r.Blocks.NewRewriter(ctx, l, out.domain, keys, r.stepBytes(), out.room); err != nil {
		return err
	}
	out.oldest, out.newest = out.domain.Oldest, out.domain.Newest
	if keys = out.Keys(); keys != nil {
		out.oldest, out.newest = keys.Oldest(), keys.Newest()
	}
	return nil
}

// toEncrypt returns how many blocks a step may encrypt, of whose first source n are to
// move, when it takes its blocks from packs of about enough bytes.
func (q *queue) toEncrypt(n int, enough int64) int {
	if !q.usable || !slices.ContainsFunc(q.packs, func(p Pack) bool { return !p.Compressed || p.Outdated || p.Entered }) {
		return 0
	}
	all, bytes := 0, int64(0)
	for _, p := range q.packs {
		if bytes > enough {
			break
		}
		all, bytes = all+int(p.Entries-p.Dead), bytes+p.Bytes
	}
	return max(n, min(all, MaxMoved))
}

// copyFrames copies a few frames, and returns the bytes read and written.
func (r *run) copyFrames(ctx context.Context, f blockstore.File, some []blockstore.Placement, how handling, out *output) (n int64, err error) {
	frames, err := r.bench.read(ctx, r.Blocks, f, some)
	if err != nil {
		return 0, err
	}
	r.bench.each(frames, func(t *tool, fr *loaded) { t.rework(ctx, fr, how) })
	before := out.Size()
	for i := range frames {
		fr := &frames[i]
		n += int64(fr.Len) * blockstore.Align
		if fr.fatal != nil {
			return n, fr.fatal
		}
		if fr.err == nil {
			fr.err = out.has(fr.key)
		}
		if fr.err != nil {
			if err := r.leave(ctx, f, fr); err != nil {
				return n, err
			}
			continue
		}
		if _, err := out.Add(ctx, fr.ID, fr.data); err != nil {
			return n, err
		}
		out.from = append(out.from, blockstore.Location{File: f, Span: fr.Span})
		out.oldestKey = min(out.oldestKey, fr.key)
		if fr.compressed {
			out.compressed++
		}
		if fr.encrypted {
			out.encrypted++
		}
	}
	return n + out.Size() - before, nil
}

// has returns why frames under a data key can't be opened with the header of the new pack,
// or nil.
func (o *output) has(key uint32) error {
	switch {
	case key > o.newest:
		return errNewerKey
	case key < o.oldest:
		return errDroppedKey
	}
	return nil
}

// leave leaves a frame behind that could not be copied, and marks it if it is damaged.
func (r *run) leave(ctx context.Context, f blockstore.File, fr *loaded) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(fr.err, blockstore.ErrUnavailable) {
		return fr.err
	}
	at := blockstore.Location{File: f, Span: fr.Span}
	if errors.Is(fr.err, blockstore.ErrNotExist) && !r.stillThere(ctx, at, fr.ID) {
		return nil // it was moved meanwhile
	}
	r.report.damaged("block %s in %s at %d: %v", fr.ID, f.Name(), int64(fr.Off)*blockstore.Align, fr.err)
	if errors.Is(fr.err, frame.ErrCorrupt) || errors.Is(fr.err, blockstore.ErrTruncated) || errors.Is(fr.err, blockstore.ErrNotExist) {
		if err := r.Blocks.Catalog.MarkDamaged(ctx, fr.ID, at); err != nil {
			return fmt.Errorf("marking a damaged block: %w", err)
		}
	}
	return nil
}

// stillThere reports whether a block is still said to lie where it was not found.
func (r *run) stillThere(ctx context.Context, at blockstore.Location, id block.ID) bool {
	found, err := r.Blocks.Catalog.Locate(ctx, []block.ID{id})
	return err != nil || found[id] == at
}
