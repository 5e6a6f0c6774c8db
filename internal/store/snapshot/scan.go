package snapshot

import (
	"cmp"
	"context"
	"iter"
	"sync"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

// A scan has scanWindows in memory: one is handed out while the other is read by
// scanWorkers, one of which hashes while another waits for the disk.
const (
	scanWindows = 2
	scanWorkers = 2
)

// ScanBytes is the most memory that one Scan takes.
const ScanBytes = scanWindows*windowBlocks*frame.Size + scanWorkers*stageBytes

// Scan reads the blocks that the snapshot has from an index on, and calls fn with each,
// ascending, in the caller's goroutine, as Get returns it. It reads ahead: neighbours
// in a pack with one read, several of these at a time. What it reads is not kept for
// other readers. The plaintext is valid until fn returns, which must not change it.
//
// The first error, of a block or of fn, ends the scan and is returned; the blocks
// before it have been handed out. The domain's keys are asked for again and again, so
// a scan ends soon after they can't be used any more.
func (b *Blocks) Scan(ctx context.Context, from int64, fn func(Block, []byte, block.Digest) error) error {
	return b.scan(ctx, b.From(ctx, from), func(x Block, f *found) error {
		if f.err != nil {
			return f.err
		}
		return fn(x, f.plain, f.digest)
	})
}

// scan reads blocks and calls fn with what came of each. An error of blocks ends it when
// those before have been handed out.
func (b *Blocks) scan(ctx context.Context, blocks iter.Seq2[Block, error], fn func(Block, *found) error) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &scan{b: b, blocks: blocks, free: make(chan *window, scanWindows), read: make(chan *window, scanWindows), passes: make(chan pass, scanWindows*windowBlocks)}
	var windows [scanWindows]*window
	for i := range windows {
		windows[i] = b.lib.window(&b.lib.wide, windowBlocks)
		s.free <- windows[i]
	}
	var readers sync.WaitGroup
	var planned error
	readers.Go(func() { planned = s.plan(ctx) })
	for range scanWorkers {
		readers.Go(func() { s.work(ctx) })
	}
	err := s.handOut(ctx, fn)
	cancel()
	readers.Wait()
	for _, w := range windows {
		b.lib.wide.Put(w)
	}
	return cmp.Or(err, planned)
}

// scan is one Scan. Windows go from free to read and back; the passes of a window are
// on their way to the workers before it is in read. No channel is ever full.
type scan struct {
	b      *Blocks
	blocks iter.Seq2[Block, error]
	free   chan *window
	read   chan *window
	passes chan pass
}

// plan fills windows with the blocks, until ctx ends.
func (s *scan) plan(ctx context.Context) error {
	defer close(s.read)
	defer close(s.passes)
	var w *window
	for x, err := range s.blocks {
		if w == nil {
			select {
			case w = <-s.free:
				w.blocks = w.blocks[:0]
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err == nil {
			w.blocks = append(w.blocks, x)
		}
		if err == nil && len(w.blocks) < cap(w.blocks) {
			continue
		}
		if err := cmp.Or(s.send(ctx, w), err); err != nil {
			return err
		}
		w = nil
	}
	if w == nil {
		return nil
	}
	return s.send(ctx, w)
}

// send has a window read.
func (s *scan) send(ctx context.Context, w *window) (err error) {
	if w.keys, err = s.b.lib.Keys(ctx, s.b.rec.Domain); err != nil {
		return err
	}
	s.b.plan(ctx, w)
	for _, p := range w.passes {
		s.passes <- p
	}
	s.read <- w
	return nil
}

// work reads passes.
func (s *scan) work(ctx context.Context) {
	room := s.b.lib.stage()
	defer s.b.lib.stages.Put(room)
	for p := range s.passes {
		s.b.do(ctx, p, room)
	}
}

// handOut calls fn with what has been read.
func (s *scan) handOut(ctx context.Context, fn func(Block, *found) error) error {
	for w := range s.read {
		if err := s.b.handOut(ctx, w, fn); err != nil {
			return err
		}
		s.free <- w
	}
	return nil
}

// each reads some blocks of the snapshot and calls fn with each, in their order, as
// Scan does, in the caller's goroutine alone.
func (b *Blocks) each(ctx context.Context, some []Block, fn func(Block, []byte, block.Digest) error) (err error) {
	w, room := b.lib.window(&b.lib.narrow, passBlocks), b.lib.stage()
	defer b.lib.narrow.Put(w)
	defer b.lib.stages.Put(room)
	for len(some) > 0 {
		n := min(len(some), cap(w.blocks))
		w.blocks = append(w.blocks[:0], some[:n]...)
		if w.keys, err = b.lib.Keys(ctx, b.rec.Domain); err != nil {
			return err
		}
		b.plan(ctx, w)
		for _, p := range w.passes {
			b.do(ctx, p, room)
		}
		if err := b.handOut(ctx, w, func(x Block, f *found) error {
			if f.err != nil {
				return f.err
			}
			return fn(x, f.plain, f.digest)
		}); err != nil {
			return err
		}
		some = some[n:]
	}
	return nil
}

// handOut calls fn with what came of the blocks of a window, in their order, once they
// are read.
func (b *Blocks) handOut(ctx context.Context, w *window, fn func(Block, *found) error) error {
	b.gather(ctx, w)
	for i := range w.found {
		if err := fn(w.blocks[i], &w.found[i]); err != nil {
			return err
		}
	}
	return nil
}

// window returns a window of n blocks, for the pool.
func (l *Library) window(pool interface{ Get() any }, n int) *window {
	if w, ok := pool.Get().(*window); ok {
		return w
	}
	return &window{blocks: make([]Block, 0, n), room: blockstore.AlignedBytes(n * frame.Size)}
}

func (l *Library) stage() *stage {
	if s, ok := l.stages.Get().(*stage); ok {
		return s
	}
	return &stage{}
}
