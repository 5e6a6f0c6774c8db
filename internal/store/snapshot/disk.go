package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/block"
)

// disk is a snapshot as a diskimage.Disk.
type disk struct {
	ctx context.Context // of the task or request that the disk was opened for
	b   *Blocks
}

// Disk returns the volume as a disk, for as long as ctx lasts. Blocks that the
// snapshot does not have are holes. Reads are verified, and fail while the domain's
// keys can't be used. Blocks that are read in part stay in Library.Opened: for a client
// that reads 4 KiB at a time, each would otherwise be opened 128 times. Of those that
// are read whole, neighbours are one read.
func (b *Blocks) Disk(ctx context.Context) diskimage.Disk { return &disk{ctx, b} }

// Size returns the bytes of the volume.
func (d *disk) Size() int64 { return d.b.root.volume * block.Size }

// ReadAt implements io.ReaderAt.
func (d *disk) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("snapshot: reading at %d", off)
	}
	if off >= d.Size() {
		return 0, io.EOF
	}
	var end error
	if rest := d.Size() - off; int64(len(p)) > rest {
		p, end = p[:rest], io.EOF
	}
	if _, err := d.b.lib.Keys(d.ctx, d.b.rec.Domain); err != nil {
		return 0, err
	}
	for n < len(p) {
		m, err := d.read(p[n:], off+int64(n))
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, end
}

// read fills some of p, which is not empty: what is left of a block, or whole blocks.
func (d *disk) read(p []byte, off int64) (n int, err error) {
	index, skip := off/block.Size, off%block.Size
	if skip == 0 && len(p) >= block.Size {
		p = p[:len(p)/block.Size*block.Size]
		return len(p), d.readWhole(p, index)
	}
	p = p[:min(len(p), block.Size-int(skip))]
	return len(p), d.readPart(p, index, skip)
}

// readPart fills part with what is skip bytes into a block.
func (d *disk) readPart(part []byte, index, skip int64) error {
	id, err := d.b.ID(d.ctx, index)
	if err != nil {
		clear(part)
		return ignoreAbsent(err)
	}
	kept, err := d.b.keep(d.ctx, index, openedKey{d.b.rec.Domain, id})
	if err == nil {
		copy(part, kept.plain[skip:])
	}
	return err
}

// readWhole fills p with the blocks from an index on.
func (d *disk) readWhole(p []byte, index int64) error {
	var some []Block
	for x, err := range d.b.From(d.ctx, index) {
		if err != nil {
			return err
		}
		if x.Index >= index+int64(len(p)/block.Size) {
			break
		}
		some = append(some, x)
	}
	at := 0 // up to where p is filled
	err := d.b.each(d.ctx, some, func(x Block, plain []byte, _ block.Digest) error {
		begin := int(x.Index-index) * block.Size
		clear(p[at:begin])
		at = begin + copy(p[begin:], plain)
		return nil
	})
	clear(p[at:])
	return err
}

func ignoreAbsent(err error) error {
	if errors.Is(err, ErrAbsent) {
		return nil
	}
	return err
}

// Extents implements diskimage.Disk.
func (d *disk) Extents(off, n int64) iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		off = max(off, 0)
		end := d.Size()
		if n < end-off {
			end = off + n
		}
		if off >= end {
			return
		}
		at := off // up to where has been yielded
		for r, err := range d.b.runs(d.ctx, off/block.Size, block.Count(end)) {
			if err != nil {
				yield(diskimage.Extent{}, err)
				return
			}
			first, last := max(off, r.first*block.Size), min(end, r.end*block.Size)
			if first > at && !yield(diskimage.Extent{Off: at, Len: first - at, Kind: diskimage.Hole}, nil) {
				return
			}
			if !yield(diskimage.Extent{Off: first, Len: last - first, Kind: diskimage.Data}, nil) {
				return
			}
			at = last
		}
		if at < end {
			yield(diskimage.Extent{Off: at, Len: end - at, Kind: diskimage.Hole}, nil)
		}
	}
}

// run is the blocks [first, end) that the snapshot has, without a gap.
type run struct{ first, end int64 }

// runs returns the maximal runs within [first, end), ascending.
func (b *Blocks) runs(ctx context.Context, first, end int64) iter.Seq2[run, error] {
	return func(yield func(run, error) bool) {
		var held run
		for r, err := range b.pageRuns(ctx, first, end) {
			if err != nil {
				yield(run{}, err)
				return
			}
			if r.first == held.end && held.end > held.first {
				held.end = r.end
				continue
			}
			if held.end > held.first && !yield(held, nil) {
				return
			}
			held = r
		}
		if held.end > held.first {
			yield(held, nil)
		}
	}
}

// pageRuns is runs, cut at pages and inside them. A full page is not read.
func (b *Blocks) pageRuns(ctx context.Context, first, end int64) iter.Seq2[run, error] {
	return func(yield func(run, error) bool) {
		for _, e := range b.root.from(first / PageBlocks) {
			start := e.index * PageBlocks
			if start >= end {
				return
			}
			if e.blocks == PageBlocks {
				if !yield(run{max(start, first), min(start+PageBlocks, end)}, nil) {
					return
				}
				continue
			}
			p, err := b.page(ctx, e)
			if err != nil {
				yield(run{}, err)
				return
			}
			for i := range p.from(int(max(0, first-start))) {
				at := start + int64(i)
				if at >= end || !yield(run{at, at + 1}, nil) {
					return
				}
			}
		}
	}
}
