package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

const (
	// windowBlocks is how many consecutive blocks a scan looks at together, 8 MiB of
	// the volume: several workers fill a pack at a time, so blocks lie in it in
	// another order than on the volume.
	windowBlocks = 16
	// passBlocks is how many blocks one read has at most: 4 MiB when they are not
	// compressed. Of a longer one only one worker would open the frames.
	passBlocks = 8
	// passBytes is the most that one read fetches into the place where plaintexts lie,
	// stageBytes the most of a read with frames that are compressed, or with gaps: as
	// many as 8 that were compressed to a half.
	passBytes  = passBlocks * frame.Size
	stageBytes = 2 << 20
	// maxGap is how many bytes between two frames are read with them instead of
	// reading twice.
	maxGap = 128 << 10
)

// window is some blocks of a snapshot on their way from its packs to a reader, with
// the memory for them. One goroutine plans it, others may read its passes, one looks
// at what came of it.
type window struct {
	blocks []Block
	found  []found // of blocks
	passes []pass
	near   []blockstore.Neighbour // of all passes
	keys   *frame.Keys
	room   []byte // aligned; frame.Size for each of near
	unread sync.WaitGroup
}

// found is what came of a block.
type found struct {
	at     blockstore.Location
	plain  []byte
	digest block.Digest
	err    error
	near   int // its index in window.near
}

// pass is what one read fetches: the neighbours [first, end) of a window.
type pass struct {
	w          *window
	file       blockstore.File
	first, end int
	staged     bool // its frames come to a stage first
}

// plan looks up where the blocks of a window lie and cuts that into passes. What goes
// wrong with a block is its error.
func (b *Blocks) plan(ctx context.Context, w *window) {
	w.found = slices.Grow(w.found[:0], len(w.blocks))[:len(w.blocks)]
	order := make([]int, 0, len(w.blocks))
	for i, x := range w.blocks {
		f := &w.found[i]
		*f = found{}
		if f.at, f.err = b.locateAt(ctx, x.Index); f.err == nil {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(i, j int) int {
		x, y := w.found[i].at, w.found[j].at
		return cmp.Or(cmp.Compare(x.File.ID, y.File.ID), cmp.Compare(x.Off, y.Off))
	})
	w.passes, w.near = w.passes[:0], w.near[:0]
	for k, i := range order {
		f := &w.found[i]
		// Equal blocks are one. That they lie at one place does not make them equal: a
		// row may be wrong, and each frame is proven to be that of one block.
		if k > 0 && w.found[order[k-1]].at == f.at && w.blocks[order[k-1]].ID == w.blocks[i].ID {
			f.near = len(w.near) - 1
			continue
		}
		if k == 0 || !w.join(f.at) {
			n := len(w.near)
			w.passes = append(w.passes, pass{w: w, file: f.at.File, first: n, end: n + 1, staged: compressed(f.at.Span)})
		}
		f.near = len(w.near)
		w.near = append(w.near, blockstore.Neighbour{Placement: blockstore.Placement{ID: w.blocks[i].ID, Span: f.at.Span}})
	}
	w.unread.Add(len(w.passes))
}

// locateAt returns where the block at an index lies.
func (b *Blocks) locateAt(ctx context.Context, index int64) (at blockstore.Location, err error) {
	p, id, err := b.find(ctx, index)
	if err == nil {
		at, err = b.locate(ctx, p, id)
	}
	if err != nil {
		err = fmt.Errorf("%s, block %d: %w", b.rec.ID, index, err)
	}
	return at, err
}

// join adds a frame to the last pass, unless it does not lie near enough or the pass
// would get too long.
func (w *window) join(at blockstore.Location) bool {
	p, last := &w.passes[len(w.passes)-1], w.near[len(w.near)-1]
	end := int64(last.Off) + int64(last.Len)
	gap := (int64(at.Off) - end) * blockstore.Align
	size := (int64(at.Off) + int64(at.Len) - int64(w.near[p.first].Off)) * blockstore.Align
	staged, most := p.staged || gap > 0 || compressed(at.Span), int64(passBytes)
	if staged {
		most = stageBytes
	}
	if p.file != at.File || p.end-p.first == passBlocks || gap < 0 || gap > maxGap || size > most {
		return false
	}
	p.end++
	p.staged = staged
	return true
}

// compressed reports whether a frame is shorter than one of a block as it is.
func compressed(s blockstore.Span) bool { return int64(s.Len)*blockstore.Align < frame.Size }

// stage is room for the frames of one pass. It is made when it is needed first.
type stage struct{ buf []byte }

func (s *stage) bytes() []byte {
	if s.buf == nil {
		s.buf = blockstore.AlignedBytes(stageBytes)
	}
	return s.buf
}

// do reads a pass.
func (b *Blocks) do(ctx context.Context, p pass, s *stage) {
	w := p.w
	defer w.unread.Done()
	near := w.near[p.first:p.end]
	room := w.room[p.first*frame.Size : p.end*frame.Size]
	var staged []byte
	if p.staged {
		staged = s.bytes()
	}
	if err := b.lib.Store.GetNear(ctx, w.keys, p.file, near, room, staged); err != nil {
		for i := range near {
			near[i].Err = err
		}
	}
}

// gather hands what was read to the blocks. One that went wrong is looked for once
// more, by itself: it may have been moved meanwhile; else it is marked.
func (b *Blocks) gather(ctx context.Context, w *window) {
	w.unread.Wait()
	for i := range w.found {
		f := &w.found[i]
		if f.err != nil {
			continue
		}
		n := &w.near[f.near]
		if n.Err != nil && ctx.Err() == nil && !errors.Is(n.Err, blockstore.ErrUnavailable) {
			room := w.room[f.near*frame.Size : (f.near+1)*frame.Size]
			n.Plain, n.Digest, n.Err = b.Get(ctx, w.blocks[i].Index, room)
		}
		f.plain, f.digest, f.err = n.Plain, n.Digest, n.Err
	}
}
