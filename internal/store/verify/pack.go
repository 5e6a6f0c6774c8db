package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

// pack checks a pack: header, trailer, frames, and the rows of its blocks.
func (r *run) pack(ctx context.Context, c Contents, size int64) error {
	f, reader := c.Row.File, r.store.Reader(ctx, c.Row.File)
	x, err := blockstore.ReadPackHeader(reader)
	switch {
	case err == nil:
		err = r.headerFits(ctx, f, x)
	case errors.Is(err, blockstore.ErrNotExist):
		return r.missing(ctx, f.ID, err) // it was there a moment ago
	case ctx.Err() == nil && !errors.Is(err, blockstore.ErrUnavailable):
		r.needs.pack(f.ID)
		err = r.found(inFile(Header, f, 0, err))
	}
	if err != nil {
		return err
	}
	if x.Domain.ID != "" {
		f.Domain = x.Domain.ID // what the frames are encrypted for
	}
	frames, terr := blockstore.ReadPackTrailer(reader, size, f.ID)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(terr, blockstore.ErrUnavailable):
		return terr
	case errors.Is(terr, blockstore.ErrNotExist):
		return r.missing(ctx, f.ID, terr)
	case terr != nil:
		r.needs.pack(f.ID)
		if err := r.found(inFile(Trailer, f, max(0, size-blockstore.Align), terr)); err != nil {
			return err
		}
		frames = fromRows(c.Blocks)
	}
	keys, err := r.keys(ctx, f.Domain)
	if err != nil {
		return err
	}
	p := &packRun{run: r, c: c, file: f, rows: map[block.ID]BlockRow{}}
	for _, b := range c.Blocks {
		p.rows[b.ID] = b
	}
	if terr == nil {
		if err := p.compare(ctx, frames); err != nil {
			return err
		}
		if err := p.lost(ctx, frames); err != nil {
			return err
		}
	}
	if err := r.did(ctx, blockstore.PackOverhead(len(frames))); err != nil {
		return err
	}
	return r.frames(ctx, f, keys, frames, func(fr *opened) error { return p.frame(ctx, fr) })
}

// headerFits checks a header against the rows of the pack and its domain.
func (r *run) headerFits(ctx context.Context, f blockstore.File, x blockstore.PackIndex) error {
	if x.File.ID != f.ID {
		return r.found(inFile(Header, f, 0, fmt.Errorf("its header is that of %s", x.File.Name())).advised(restoreFile))
	}
	if x.File != f {
		r.needs.file(f.ID)
		return r.found(inFile(Row, f, 0, fmt.Errorf("its header is in domain %s, its row says %s", x.File.Domain, f.Domain)))
	}
	d, err := r.domainOf(ctx, x.Domain.ID)
	switch {
	case err != nil:
		return err
	case d == nil:
		r.needs.domain(x.Domain.ID)
		return r.found(inFile(Row, f, -1, fmt.Errorf("domain %s, which its header names, has no row", x.Domain.ID)).advised(enterDomain))
	case d.told || d.Account == x.Domain.Account && d.KMSKey == x.Domain.KMSKey:
		return nil
	default:
		d.told = true
		r.needs.domain(d.ID)
		err = fmt.Errorf("the row of domain %s has account %q and KMS key %q, the header of a pack %q and %q", d.ID, d.Account, d.KMSKey, x.Domain.Account, x.Domain.KMSKey)
	}
	return r.found(inFile(Row, f, -1, err).advised(repairDomain))
}

// fromRows returns where the frames of a pack lie whose trailer can't be read.
func fromRows(rows []BlockRow) (frames []blockstore.Placement) {
	for _, b := range rows {
		if b.Check() == nil {
			frames = append(frames, b.Placement)
		}
	}
	slices.SortFunc(frames, func(a, b blockstore.Placement) int { return cmp.Compare(a.Off, b.Off) })
	return frames
}

// packRun is the check of one pack.
type packRun struct {
	*run
	c      Contents
	file   blockstore.File
	rows   map[block.ID]BlockRow
	oldest bool // a frame under an older data key than the row says was found
}

// compare checks the rows of a pack's blocks against its trailer.
func (p *packRun) compare(ctx context.Context, frames []blockstore.Placement) error {
	written := make(map[blockstore.Placement]bool, len(frames))
	for _, fr := range frames {
		written[fr] = true
	}
	var doubtful []block.ID
	for id, b := range p.rows {
		if !written[b.Placement] {
			doubtful = append(doubtful, id)
		}
	}
	slices.SortFunc(doubtful, func(a, b block.ID) int { return slices.Compare(a[:], b[:]) })
	now, err := p.Store.Places(ctx, doubtful)
	if err != nil {
		return err
	}
	for _, id := range doubtful {
		at := blockstore.Location{File: p.c.Row.File, Span: p.rows[id].Span}
		if now[id].Location != at {
			continue // it was moved meanwhile
		}
		err := errors.New("its row says that it lies here, where no such frame is")
		p.unreadable(id, err.Error())
		p.needs.oddBlock(id)
		if err := p.found(ofBlock(Row, id, at, err)); err != nil {
			return err
		}
		if err := p.Store.MarkDamaged(ctx, id, at); err != nil {
			return err
		}
	}
	return nil
}

// lost notes frames of a pack that lacks rows of its blocks whose blocks have none anywhere, so
// that a repair enters those that are whole again.
func (p *packRun) lost(ctx context.Context, frames []blockstore.Placement) error {
	if p.needs == nil || !lacksRows(p.c) {
		return nil
	}
	var ids []block.ID
	for _, fr := range frames {
		if _, ok := p.rows[fr.ID]; !ok {
			ids = append(ids, fr.ID)
		}
	}
	known, err := p.Store.Places(ctx, ids)
	for _, id := range ids {
		if _, ok := known[id]; !ok && err == nil {
			p.needs.block(id)
		}
	}
	return err
}

// frame deals with a frame that was read.
func (p *packRun) frame(ctx context.Context, fr *opened) error {
	at := blockstore.Location{File: p.file, Span: fr.Span}
	row, live := p.rows[fr.ID]
	live = live && row.Span == fr.Span
	p.summary.Blocks++
	if fr.err != nil {
		return p.damaged(ctx, fr, at, live)
	}
	if int64(fr.key) < p.c.Row.OldestKey && !p.oldest {
		p.oldest = true
		err := fmt.Errorf("the row of the pack says that no frame is under a data key below %d, this one is under %d", p.c.Row.OldestKey, fr.key)
		if err := p.found(ofBlock(Row, fr.ID, at, err)); err != nil {
			return err
		}
	}
	if live && row.Damaged && fr.proven {
		p.summary.Healed++
		return p.Store.ClearDamage(ctx, fr.ID, at)
	}
	return nil
}

// damaged deals with a frame that can't be read.
func (p *packRun) damaged(ctx context.Context, fr *opened, at blockstore.Location, live bool) error {
	if errors.Is(fr.err, blockstore.ErrUnavailable) {
		return fr.err
	}
	if live { // unless it was moved meanwhile
		now, err := p.Store.Places(ctx, []block.ID{fr.ID})
		if err != nil {
			return err
		}
		live = now[fr.ID].File.ID == at.File.ID && now[fr.ID].Span == at.Span
	}
	if !live && errors.Is(fr.err, blockstore.ErrNotExist) {
		return nil // the pack was removed meanwhile
	}
	f := ofBlock(Frame, fr.ID, at, fr.err)
	f.Harmless = !live
	if err := p.found(f); err != nil || !live {
		return err
	}
	p.unreadable(fr.ID, fr.err.Error())
	if !errors.Is(fr.err, frame.ErrCorrupt) && !errors.Is(fr.err, blockstore.ErrTruncated) && !errors.Is(fr.err, blockstore.ErrNotExist) {
		return nil // it may be read the next time
	}
	return p.Store.MarkDamaged(ctx, fr.ID, at)
}

// chunkBytes is how much of a pack is read at a time.
const chunkBytes = 8 * frame.Size

// bench is the memory of a run: one chunk is opened while the next is read.
type bench struct {
	bufs   [2][]byte
	plain  [][]byte // of each worker
	frames [2][]opened
}

func newBench(workers int) *bench {
	b := &bench{}
	for range workers {
		b.plain = append(b.plain, make([]byte, block.Size))
	}
	return b
}

// opened is a frame that was read.
type opened struct {
	blockstore.Placement
	data   []byte
	key    uint32 // number of its data key
	proven bool   // it was opened, and is its block
	err    error
}

// frames reads frames of a pack, which are ascending, and calls fn with each. Without keys
// they are only compared with their checksums.
func (r *run) frames(ctx context.Context, f blockstore.File, keys *frame.Keys, all []blockstore.Placement, fn func(*opened) error) error {
	var reading sync.WaitGroup
	defer reading.Wait()
	load := func(side int, some []blockstore.Placement) {
		reading.Go(func() { r.load(ctx, side, f, some) })
	}
	some, rest := cutChunk(all)
	load(0, some)
	for side := 0; len(some) > 0; side = 1 - side {
		reading.Wait()
		next, after := cutChunk(rest)
		load(1-side, next)
		frames := r.bench.frames[side]
		r.open(ctx, f, keys, frames)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for i := range frames {
			if err := fn(&frames[i]); err != nil {
				return err
			}
		}
		first, last := some[0], some[len(some)-1]
		if err := r.did(ctx, int64(last.Off+last.Len-first.Off)*blockstore.Align); err != nil {
			return err
		}
		some, rest = next, after
	}
	return nil
}

// cutChunk returns the first frames, as many as a chunk has room for, and the others.
func cutChunk(all []blockstore.Placement) (some, rest []blockstore.Placement) {
	n := 0
	for n < len(all) && int64(all[n].Off)+int64(all[n].Len)-int64(all[0].Off) <= chunkBytes/blockstore.Align && all[n].Off >= all[0].Off {
		n++
	}
	return all[:n], all[n:]
}

// load reads a chunk. If that fails, some of its frames may be readable.
func (r *run) load(ctx context.Context, side int, f blockstore.File, some []blockstore.Placement) {
	b := r.bench
	b.frames[side] = b.frames[side][:0]
	if len(some) == 0 {
		return
	}
	if b.bufs[side] == nil {
		b.bufs[side] = blockstore.AlignedBytes(chunkBytes)
	}
	first, last := some[0].Off, some[len(some)-1]
	buf := b.bufs[side][:int64(last.Off+last.Len-first)*blockstore.Align]
	err := r.store.ReadAt(ctx, f, buf, int64(first)*blockstore.Align)
	for _, p := range some {
		at := int64(p.Off-first) * blockstore.Align
		fr := opened{Placement: p, data: buf[at : at+int64(p.Len)*blockstore.Align]}
		if fr.err = err; err != nil && !errors.Is(err, blockstore.ErrUnavailable) {
			fr.err = r.store.ReadAt(ctx, f, fr.data, int64(p.Off)*blockstore.Align)
		}
		b.frames[side] = append(b.frames[side], fr)
	}
}

// open opens frames.
func (r *run) open(ctx context.Context, f blockstore.File, keys *frame.Keys, frames []opened) {
	var next atomic.Int64
	var working sync.WaitGroup
	for _, plain := range r.bench.plain {
		working.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(frames)); i = next.Add(1) - 1 {
				r.openFrame(ctx, f, keys, &frames[i], plain)
			}
		})
	}
	working.Wait()
}

func (r *run) openFrame(ctx context.Context, f blockstore.File, keys *frame.Keys, fr *opened, plain []byte) {
	if fr.err != nil {
		return
	}
	info, err := frame.Inspect(fr.data)
	if err == nil && info.ID != fr.ID {
		err = fmt.Errorf("%w: frame of another block", frame.ErrCorrupt)
	}
	fr.key, fr.err = info.Key, err
	if err != nil || keys == nil {
		return
	}
	_, _, err = r.store.Open(ctx, keys, blockstore.Location{File: f, Span: fr.Span}, fr.data, plain, fr.ID)
	if fr.proven = err == nil; !isLocked(err) {
		fr.err = err
	}
}
