package blockstore

import (
	"context"
	"fmt"
	"sync"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"
)

// storeNew stores those blocks of a group that are new.
func (w *PackWriter) storeNew(ctx context.Context, g *group) error {
	if err := w.dropKnown(ctx, g); err != nil {
		return err
	}
	if len(g.blocks) == 0 {
		return nil
	}
	// The row of the pack counts what is encrypted, so it comes first.
	p, at, err := w.packs.reserve(ctx, g.blocks)
	if err != nil {
		return err
	}
	defer p.writing.Done()
	// An error is kept before writing.Done is called, so that the pack is not closed.
	g.bufs = g.bufs[:0]
	for _, b := range g.blocks {
		if err := p.keys.FrameSummed(b.slot.frame, b.id, b.sums, g.scratch); err != nil {
			return w.fail(err)
		}
		g.bufs = append(g.bufs, b.slot.frame)
	}
	if err := p.w.WriteAt(ctx, g.bufs, at); err != nil {
		return w.fail(fmt.Errorf("writing %s: %w", p.file.Name(), err))
	}
	w.mu.Lock()
	w.stats.Stored += int64(len(g.bufs)) * frame.Size
	w.mu.Unlock()
	return nil
}

// dropKnown takes those blocks out of a group that are stored already. Locating is
// cheap and finds most of them; only what Claim returns is protected, and counts
// (rule 6 of the ordering invariant).
func (w *PackWriter) dropKnown(ctx context.Context, g *group) error {
	g.ids = g.ids[:0]
	for _, b := range g.blocks {
		g.ids = append(g.ids, b.id)
	}
	found, err := w.store.Catalog.Locate(ctx, g.ids)
	if err != nil {
		return fmt.Errorf("locating blocks: %w", err)
	}
	if len(found) == 0 {
		return nil
	}
	g.ids = g.ids[:0]
	for id := range found {
		g.ids = append(g.ids, id)
	}
	claimed, err := w.store.Catalog.Claim(ctx, g.ids)
	if err != nil {
		return fmt.Errorf("claiming blocks: %w", err)
	}
	w.drop(g, claimed)
	return nil
}

func (w *PackWriter) drop(g *group, claimed []block.ID) {
	isClaimed := make(map[block.ID]bool, len(claimed))
	for _, id := range claimed {
		isClaimed[id] = true
	}
	kept := g.blocks[:0]
	for _, b := range g.blocks {
		if isClaimed[b.id] {
			w.store.Slots.Put(b.slot)
		} else {
			kept = append(kept, b)
		}
	}
	w.mu.Lock()
	w.stats.Deduplicated += int64(len(g.blocks) - len(kept))
	w.mu.Unlock()
	g.blocks = kept
}

// packs are the packs of one writer: at most one that is being filled, and those
// that came before it.
type packs struct {
	w *PackWriter

	// mu guards what follows. It is held while a pack is started, because whoever
	// needs a pack meanwhile needs that one.
	mu   sync.Mutex
	with domainKeys // of the next pack
	open *pack
	all  []*pack
}

// pack is one pack.
type pack struct {
	file    File
	w       Writer
	keys    *frame.Keys    // that its frames are encrypted under, and its header has; nil: they are copied
	blocks  []Placement    // guarded by packs.mu while the pack is open
	end     uint32         // units written or reserved; guarded likewise
	writing sync.WaitGroup // writes of frames
	bytes   int64          // once closed; 0 before
}

// reserve returns the pack that all of the blocks are to be written to, and where in
// it. The caller calls writing.Done when it has written them.
func (ps *packs) reserve(ctx context.Context, blocks []pendingBlock) (p *pack, off int64, err error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.open != nil && len(ps.open.blocks)+len(blocks) > ps.w.slots {
		ps.close()
	}
	if ps.open == nil {
		if ps.open, err = ps.start(ctx, max(ps.w.slots, len(blocks))); err != nil {
			return nil, 0, err
		}
	}
	p = ps.open
	off = int64(p.end) * Align
	for _, b := range blocks {
		p.add(b.id, frame.Size)
	}
	p.writing.Add(1)
	return p, off, nil
}

// add enters a frame of size bytes, which is to be written behind the others.
func (p *pack) add(id block.ID, size int) {
	at := Span{p.end, uint32(size / Align)}
	p.blocks = append(p.blocks, Placement{id, at})
	p.end = at.end()
}

// start starts a pack of at most n blocks and writes its header. It needs mu.
func (ps *packs) start(ctx context.Context, n int) (p *pack, err error) {
	size := headerSize + int64(n)*frame.Size + int64(trailerSize(n))
	p, ps.with, err = ps.w.store.startPack(ctx, ps.w.lease, ps.with, size, n)
	if p != nil {
		ps.all = append(ps.all, p)
	}
	return p, err
}

// startPack creates a pack of about size bytes, into which at most n blocks will be
// encrypted, and writes its header, which has the keys of its frames. It returns the keys
// that are to be used: those given, or newer ones. There may be a pack with an error too,
// which is to be dropped.
func (s *Store) startPack(ctx context.Context, l work.Lease, k domainKeys, size int64, n int) (*pack, domainKeys, error) {
	var f File
	var w Writer
	k, err := s.renewing(ctx, k, func(k domainKeys) (err error) {
		f, w, err = s.create(ctx, l, File{Kind: PackFile, Domain: k.domain.ID}, size, s.use(k, n))
		return err
	})
	if err != nil {
		return nil, k, err
	}
	p := &pack{file: f, w: w, keys: k.keys, end: headerSize / Align}
	header, err := encodeHeader(f, k.domain)
	if err != nil {
		return p, k, err
	}
	if err := w.WriteAt(ctx, [][]byte{header}, 0); err != nil {
		return p, k, fmt.Errorf("writing %s: %w", f.Name(), err)
	}
	return p, k, nil
}

// drop removes the pack.
func (p *pack) drop(ctx context.Context, b Backend) {
	_ = p.w.Abort() // Remove and gc come after it
	_ = b.Remove(ctx, p.file.Name())
}

// closeOpen closes the open pack, if there is one.
func (ps *packs) closeOpen() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.open != nil {
		ps.close()
	}
}

// close hands the open pack to a goroutine that closes it, and waits when there
// are too many already. It needs mu.
func (ps *packs) close() {
	p := ps.open
	ps.open = nil
	ps.w.closing.Go(func() error {
		p.writing.Wait()
		if err := ps.w.failed(); err != nil {
			return err
		}
		return ps.w.fail(p.close(ps.w.unit))
	})
}

// close writes the trailer and makes the pack durable.
func (p *pack) close(ctx context.Context) error {
	trailer, at := encodeTrailer(p.file, p.blocks), int64(p.end)*Align
	if err := p.w.WriteAt(ctx, [][]byte{trailer}, at); err != nil {
		return fmt.Errorf("writing %s: %w", p.file.Name(), err)
	}
	size := at + int64(len(trailer))
	if err := p.w.Close(ctx, size); err != nil {
		return fmt.Errorf("closing %s: %w", p.file.Name(), err)
	}
	p.bytes = size
	return nil
}

// closed returns the packs, all of which must be closed.
func (ps *packs) closed() []ClosedPack {
	var out []ClosedPack
	for _, p := range ps.all {
		out = append(out, ClosedPack{File: p.file, Bytes: p.bytes, Blocks: p.blocks})
	}
	return out
}

// drop removes every pack. No row names their blocks, since only Finish returns the
// packs.
func (ps *packs) drop(ctx context.Context) {
	for _, p := range ps.all {
		p.drop(ctx, ps.w.store.Backend)
	}
}
