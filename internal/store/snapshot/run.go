package snapshot

import (
	"context"
	"fmt"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

// runFrames is how many uncompressed frames fit into one read of neighbours: 2 MiB.
// More of them would not make a disk faster.
const runFrames = 4

// maxRun is how many blocks one read has at most; when they are compressed, more of
// them fit than a caller wants at once.
const maxRun = 32

// runBuffer is the memory of a reader of many blocks. It must not be used
// concurrently.
type runBuffer struct {
	buf []byte
	run []blockstore.Placement
}

func newRunBuffer() *runBuffer { return &runBuffer{buf: make([]byte, (runFrames+1)*frame.Size)} }

// each reads some blocks of the snapshot and calls fn with each, in their order, as
// Get returns it: neighbours in a pack with one read. The plaintext is valid until fn
// returns. An error of fn ends the call and is returned.
func (b *Blocks) each(ctx context.Context, some []Block, m *runBuffer, fn func(Block, []byte, block.Digest) error) error {
	for len(some) > 0 {
		file, err := b.neighbours(ctx, some, m)
		if err != nil {
			return err
		}
		n := len(m.run)
		if n > 1 {
			err = b.readRun(ctx, file, some[:n], m, fn)
		} else {
			err = b.readOne(ctx, some[0], m, fn)
		}
		if err != nil {
			return err
		}
		some = some[n:]
	}
	return nil
}

// neighbours finds out how many of the first blocks lie one behind the other in a
// file, and where.
func (b *Blocks) neighbours(ctx context.Context, some []Block, m *runBuffer) (f blockstore.File, err error) {
	m.run = m.run[:0]
	size := 0
	for _, x := range some[:min(len(some), maxRun)] {
		p, id, err := b.find(ctx, x.Index)
		if err != nil {
			return f, err
		}
		at, err := b.locate(ctx, p, id)
		if err != nil {
			return f, fmt.Errorf("%s, block %d: %w", b.rec.ID, x.Index, err)
		}
		size += int(at.Len) * blockstore.Align
		if n := len(m.run); n > 0 && (at.File != f || !m.run[n-1].Before(at.Span) || size > runFrames*frame.Size) {
			break
		}
		f = at.File
		m.run = append(m.run, blockstore.Placement{ID: id, Span: at.Span})
	}
	return f, nil
}

// readRun reads neighbours. What goes wrong with one of them is left to readOne, which
// looks for it again and marks it.
func (b *Blocks) readRun(ctx context.Context, f blockstore.File, some []Block, m *runBuffer, fn func(Block, []byte, block.Digest) error) error {
	done := 0
	var ferr error // of fn
	err := b.lib.Store.GetRun(ctx, b.keys, f, m.run, m.buf, func(i int, plain []byte, d block.Digest, err error) error {
		if err == nil {
			if ferr = fn(some[i], plain, d); ferr == nil {
				done++
			}
			err = ferr
		}
		return err
	})
	if ferr != nil || ctx.Err() != nil {
		return err
	}
	for _, x := range some[done:] {
		if err := b.readOne(ctx, x, m, fn); err != nil {
			return err
		}
	}
	return nil
}

func (b *Blocks) readOne(ctx context.Context, x Block, m *runBuffer, fn func(Block, []byte, block.Digest) error) error {
	plain, digest, err := b.Get(ctx, x.Index, m.buf[:frame.Size])
	if err != nil {
		return err
	}
	return fn(x, plain, digest)
}
