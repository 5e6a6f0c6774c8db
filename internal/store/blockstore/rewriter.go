package blockstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"
)

// rewriteBuffer is the bytes of one write of a Rewriter.
const rewriteBuffer = 4 << 20

// Rewriter writes one pack of frames that are ready: copies of those of other packs,
// or such that were compressed. It must not be used concurrently.
type Rewriter struct {
	store *Store
	pack  *pack
	buf   []byte // aligned
	fill  int    // bytes of buf
	off   int64  // of buf in the pack
	ended bool
}

// NewRewriter starts a pack of about size bytes for the unit of the lease. It ends
// with Finish or Abort. With keys, which belong to the domain, at most n blocks will be
// encrypted into it, under those that Keys returns; without, frames are only copied, and
// the domain is as it is stored now, so that the pack's header has the keys of all.
func (s *Store) NewRewriter(ctx context.Context, l work.Lease, d Domain, k *frame.Keys, size int64, n int) (*Rewriter, error) {
	p, _, err := s.startPack(ctx, l, domainKeys{domain: d, keys: k, copies: true}, size, n)
	if err != nil {
		if p != nil {
			p.drop(context.WithoutCancel(ctx), s.Backend)
		}
		return nil, err
	}
	return &Rewriter{store: s, pack: p, buf: AlignedBytes(rewriteBuffer), off: headerSize}, nil
}

// Keys returns the keys that blocks are to be encrypted under; nil: none are.
func (w *Rewriter) Keys() *frame.Keys { return w.pack.keys }

// ErrPackFull reports a frame for which a pack has no room left.
var ErrPackFull = errors.New("blockstore: the pack is full")

// Add appends the frame of a block, which it copies, and returns where that lies.
func (w *Rewriter) Add(ctx context.Context, id block.ID, framed []byte) (Location, error) {
	at := Span{w.pack.end, uint32(len(framed) / Align)}
	switch {
	case at.end() > maxPackUnits:
		return Location{}, ErrPackFull
	case len(framed)%Align != 0 || at.Check() != nil:
		return Location{}, fmt.Errorf("blockstore: a frame of %d bytes", len(framed))
	}
	if w.fill+len(framed) > len(w.buf) {
		if err := w.flush(ctx); err != nil {
			return Location{}, err
		}
	}
	w.fill += copy(w.buf[w.fill:], framed)
	w.pack.add(id, len(framed))
	return Location{w.pack.file, at}, nil
}

// Size returns the bytes of the pack so far, without its trailer.
func (w *Rewriter) Size() int64 { return int64(w.pack.end) * Align }

func (w *Rewriter) flush(ctx context.Context) error {
	if w.fill == 0 {
		return nil
	}
	if err := w.pack.w.WriteAt(ctx, [][]byte{w.buf[:w.fill]}, w.off); err != nil {
		return fmt.Errorf("writing %s: %w", w.pack.file.Name(), err)
	}
	w.off, w.fill = w.off+int64(w.fill), 0
	return nil
}

// Finish makes the pack durable and returns it.
func (w *Rewriter) Finish(ctx context.Context) (ClosedPack, error) {
	if err := w.flush(ctx); err != nil {
		return ClosedPack{}, err
	}
	if err := w.pack.close(ctx); err != nil {
		return ClosedPack{}, err
	}
	w.ended = true
	return ClosedPack{File: w.pack.file, Bytes: w.pack.bytes, Blocks: w.pack.blocks}, nil
}

// Abort drops the pack. After Finish it does nothing. A file that it can't remove has
// a row, so gc finds it.
func (w *Rewriter) Abort(ctx context.Context) {
	if !w.ended {
		w.ended = true
		w.pack.drop(context.WithoutCancel(ctx), w.store.Backend)
	}
}
