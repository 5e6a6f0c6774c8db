package blockstore

import (
	"context"
	"sync"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"

	"golang.org/x/sync/errgroup"
)

// maxClosing is how many full packs of one writer are made durable at once,
// while decoding goes on. One would do for a disk that keeps up; a second
// bridges a slow fsync.
const maxClosing = 2

// Stats says what a PackWriter has done.
type Stats struct {
	Blocks       int64 // blocks added
	Deduplicated int64 // of them: stored already, or repeated in the same unit
	Stored       int64 // bytes of the packs
}

// PackWriter writes the packs of one unit of work in one domain. Add may be
// called concurrently; it works in the caller's goroutine.
//
// Blocks gather in a group; the call that completes a group looks its blocks up,
// frames and writes those that are new, and gives all slots back. A full pack is
// made durable in the background. The first error is final: every later call
// returns it.
type PackWriter struct {
	store *Store
	unit  context.Context // of of the unit of work: bounds what runs in the background
	lease work.Lease
	keys  *frame.Keys // for IDs; those that encrypt are the packs'
	slots int         // frames of a pack, at most

	mu      sync.Mutex // guards what follows
	pending *group
	seen    map[block.ID]struct{} // blocks of this unit; they exist once Finish succeeds
	stats   Stats
	err     error

	packs   packs
	closing errgroup.Group

	pressure chan struct{}  // a goroutine waits for a slot
	stop     func()         // ends the goroutine that listens to pressure; once
	relief   sync.WaitGroup // that goroutine
	finished bool           // Finish succeeded
	groups   sync.Pool      // of *group
}

// group is a few blocks that are looked up and written together.
type group struct {
	blocks  []pendingBlock
	ids     []block.ID
	bufs    [][]byte
	scratch []byte // for encrypting; nil without a cipher
}

type pendingBlock struct {
	id   block.ID
	slot *Slot
	sums frame.Sums // of the slot's payload, as far as they are known
}

// NewPackWriter returns a writer of packs for the unit of the lease. ctx is the
// unit's: when it is done, what runs in the background stops. domain and keys
// belong together; each pack takes newer ones if there are any. The writer ends with
// Finish or Abort.
func (s *Store) NewPackWriter(ctx context.Context, l work.Lease, d Domain, k *frame.Keys) *PackWriter {
	return s.newPackWriter(ctx, l, d, k, s.packSlots)
}

// NewSmallPackWriter is NewPackWriter for a unit that adds at most n blocks: it
// reserves no more space than for those.
func (s *Store) NewSmallPackWriter(ctx context.Context, l work.Lease, d Domain, k *frame.Keys, n int) *PackWriter {
	return s.newPackWriter(ctx, l, d, k, min(n, s.packSlots))
}

func (s *Store) newPackWriter(ctx context.Context, l work.Lease, d Domain, k *frame.Keys, slots int) *PackWriter {
	listen, stop := context.WithCancel(context.WithoutCancel(ctx))
	w := &PackWriter{
		store: s, unit: ctx, lease: l, keys: k, slots: slots,
		seen:     map[block.ID]struct{}{},
		pressure: make(chan struct{}, 1),
		stop:     stop,
	}
	w.groups.New = func() any { return w.newGroup() }
	w.packs.w, w.packs.with = w, domainKeys{domain: d, keys: k}
	w.closing.SetLimit(maxClosing)
	s.Slots.hold(w.pressure)
	w.relief.Go(func() { w.relieve(listen) })
	return w
}

func (w *PackWriter) newGroup() *group {
	g := &group{}
	if w.keys.Cipher() != frame.None {
		g.scratch = make([]byte, frame.ScratchSize)
	}
	return g
}

// Add stores the block in the slot's payload, all of which the caller has filled,
// and returns its ID. The slot passes to the writer, even when Add returns an
// error. The block is certain to be stored only when Finish succeeds.
func (w *PackWriter) Add(ctx context.Context, s *Slot) (block.ID, error) {
	return w.add(ctx, s, w.keys.Sum(s.Payload()))
}

// AddSummed is Add for a block whose digest is known.
func (w *PackWriter) AddSummed(ctx context.Context, s *Slot, d block.Digest) (block.ID, error) {
	return w.add(ctx, s, frame.Sums{Digest: d})
}

func (w *PackWriter) add(ctx context.Context, s *Slot, sums frame.Sums) (block.ID, error) {
	id := w.keys.BlockID(sums.Digest)
	full, repeated, err := w.join(pendingBlock{id, s, sums})
	if err != nil || repeated {
		w.store.Slots.Put(s)
		return id, err
	}
	if full != nil {
		err = w.write(ctx, full)
	}
	return id, err
}

// join adds a block to the pending group and returns the group when its time
// has come.
func (w *PackWriter) join(b pendingBlock) (full *group, repeated bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, false, w.err
	}
	w.stats.Blocks++
	if _, repeated = w.seen[b.id]; repeated {
		w.stats.Deduplicated++
		return nil, true, nil
	}
	w.seen[b.id] = struct{}{}
	if w.pending == nil {
		w.pending = w.groups.Get().(*group)
	}
	w.pending.blocks = append(w.pending.blocks, b)
	// A goroutine that waits for a slot has either counted itself before this line,
	// or tells relieve afterwards; so none waits for a group that no call will
	// complete.
	if len(w.pending.blocks) >= w.store.group || w.store.Slots.waiting.Load() > 0 {
		full, w.pending = w.pending, nil
	}
	return full, false, nil
}

// relieve writes the pending group whenever a goroutine waits for a slot.
func (w *PackWriter) relieve(ctx context.Context) {
	for {
		select {
		case <-w.pressure:
			_ = w.writePending(w.unit) // kept by fail
		case <-ctx.Done():
			return
		}
	}
}

// writePending writes the pending group before it is complete.
func (w *PackWriter) writePending(ctx context.Context) error {
	g := w.takePending()
	if g == nil {
		return w.failed()
	}
	return w.write(ctx, g)
}

func (w *PackWriter) takePending() *group {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.pending
	w.pending = nil
	return g
}

// write stores the new blocks of a group and gives its slots back.
func (w *PackWriter) write(ctx context.Context, g *group) error {
	err := w.failed()
	if err == nil {
		err = w.storeNew(ctx, g)
	}
	w.putBack(g)
	return w.fail(err)
}

// putBack gives back a group and the slots that are still in it.
func (w *PackWriter) putBack(g *group) {
	for _, b := range g.blocks {
		w.store.Slots.Put(b.slot)
	}
	g.blocks = g.blocks[:0]
	w.groups.Put(g)
}

// fail keeps the first error and returns it.
func (w *PackWriter) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	return w.err
}

func (w *PackWriter) failed() error { return w.fail(nil) }

// Stats returns what was done so far. Until Finish, Stored counts frames only.
func (w *PackWriter) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// Finish writes what is left, makes all packs durable, and returns them with what
// was done. No Add may be running. After an error it has aborted the writer itself:
// no pack is left.
func (w *PackWriter) Finish(ctx context.Context) ([]ClosedPack, Stats, error) {
	w.endRelief()
	err := w.writePending(ctx)
	if err == nil {
		w.packs.closeOpen()
	}
	if serr := w.closing.Wait(); err == nil {
		err = serr
	}
	if err != nil {
		w.Abort()
		return nil, Stats{}, err
	}
	w.finished = true
	closed := w.packs.closed()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Stored = 0 // now with headers and trailers
	for _, p := range closed {
		w.stats.Stored += p.Bytes
	}
	return closed, w.stats, nil
}

// Abort drops everything. After Finish it does nothing. No Add may be running. A
// file that it can't remove has a row, so gc finds it.
func (w *PackWriter) Abort() {
	if w.finished {
		return
	}
	w.finished = true
	w.endRelief()
	if g := w.takePending(); g != nil {
		w.putBack(g)
	}
	_ = w.closing.Wait()
	w.packs.drop(context.WithoutCancel(w.unit))
}

// endRelief stops listening to pressure.
func (w *PackWriter) endRelief() {
	w.store.Slots.unhold(w.pressure)
	w.stop()
	w.relief.Wait()
}
