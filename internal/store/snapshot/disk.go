package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/cache"
	"github.com/diskport/diskport/internal/store/frame"
)

// cachedBlocks is how many blocks a disk keeps that were read in part: for a client
// that reads 4 KiB at a time, each block would otherwise be opened 128 times. With
// 8, which take 4 MiB, as many such readers do not get in each other's way.
const cachedBlocks = 8

// disk is a snapshot as a diskimage.Disk.
type disk struct {
	ctx    context.Context // of the task or request that the disk was opened for
	b      *Blocks
	blocks *cache.Cache[int64, []byte] // nil: absent
}

// Disk returns the volume as a disk, for as long as ctx lasts. Blocks that the
// snapshot does not have are holes. Reads are verified; those of whole blocks take
// one slot of the store at a time.
func (b *Blocks) Disk(ctx context.Context) diskimage.Disk {
	return &disk{ctx: ctx, b: b, blocks: cache.New[int64, []byte](cachedBlocks)}
}

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
	if rest := d.Size() - off; int64(len(p)) > rest {
		p, err = p[:rest], io.EOF
	}
	for n < len(p) {
		index, skip := (off+int64(n))/block.Size, (off+int64(n))%block.Size
		part := p[n:min(len(p), n+block.Size-int(skip))]
		if err := d.read(part, index, skip); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, err
}

// read fills part with what is skip bytes into a block.
func (d *disk) read(part []byte, index, skip int64) error {
	if len(part) == block.Size {
		return d.readWhole(part, index)
	}
	data, err := d.blocks.Get(index, func() ([]byte, error) {
		// Looking up the block first saves the memory when it is not there.
		if _, err := d.b.ID(d.ctx, index); err != nil {
			return nil, ignoreAbsent(err)
		}
		payload, _, err := d.b.Get(d.ctx, index, make([]byte, frame.Size))
		return payload, err
	})
	if data == nil {
		clear(part)
	} else {
		copy(part, data[skip:])
	}
	return err
}

func (d *disk) readWhole(part []byte, index int64) error {
	if _, err := d.b.ID(d.ctx, index); err != nil {
		clear(part)
		return ignoreAbsent(err)
	}
	slots := d.b.lib.Store.Slots
	s, err := slots.Get(d.ctx)
	if err != nil {
		return err
	}
	defer slots.Put(s)
	payload, _, err := d.b.Get(d.ctx, index, s.Frame())
	copy(part, payload)
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
