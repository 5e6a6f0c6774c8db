package vhd

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// fixedFinder finds the one run of a fixed disk.
type fixedFinder struct {
	src  io.ReaderAt
	size int64
}

// Find implements blockmap.Finder.
func (f fixedFinder) Find(int64, int64) (diskimage.Run, error) {
	return diskimage.Run{Len: f.size, Kind: diskimage.Data, Src: f.src, SrcLen: f.size}, nil
}

// maxWhole is the largest block that is a coded run with its bitmap, so that both
// come in one read. Bitmaps of larger ones are read first: they are few, and a
// coded run is decoded in one piece.
const maxWhole = 2 << 20

// blockFinder finds the runs of a dynamic disk: blocks are data as a whole, and
// coded unless all their sectors are known to be present.
type blockFinder struct {
	src   bounded.Source
	cache *bounded.Cache
	table *bounded.Table
	size  int64 // of the disk
	block int64 // bytes

	// What is known of the blocks' bitmaps. Nearly all are full, and asking the
	// set spares reading them again.
	full, partial bitset
	scratch       sync.Pool // of *[]byte, a bitmap long
}

// newBlockFinder describes the table that head points to and checks its entries.
func newBlockFinder(src bounded.Source, head header, size, end int64, limits diskimage.Limits) (*blockFinder, error) {
	cache := bounded.NewCache(src, limits.MetadataBytes/2) // the other half is for the layout
	block := int64(head.blockSize)
	count := blocks(size, block)
	if head.tableOffset > math.MaxInt64 {
		return nil, head.fault(diskimage.Malformed, "table offset", 16, head.tableOffset, "the block allocation table lies past any object")
	}
	off := int64(head.tableOffset)
	table, err := bounded.NewTable(cache, "block allocation table", off, count, entrySize)
	if err != nil {
		return nil, err
	}
	f := &blockFinder{
		src: src, cache: cache, table: table, size: size, block: block,
		full: newBitset(count), partial: newBitset(count),
	}
	f.scratch.New = func() any { b := make([]byte, bitmapSize(block)); return &b }
	layout := bounded.NewLayout(src.Size, bitmapSize(block)+block, sector, limits.MetadataBytes/2)
	if m := layout.Reserve("the footer's copy", 0, footerSize); m != nil {
		return nil, head.part.Fault(m.Class, "%s", m.Reason)
	}
	if m := layout.Reserve("the footer", end, src.Size-end); m != nil {
		return nil, head.part.Fault(m.Class, "%s", m.Reason)
	}
	if m := layout.Reserve("the dynamic header", head.part.Off, headerSize); m != nil {
		return nil, head.part.Fault(m.Class, "%s", m.Reason)
	}
	if m := layout.Reserve("the block allocation table", off, count*entrySize); m != nil {
		return nil, head.fault(m.Class, "table offset", 16, head.tableOffset, "%s", m.Reason)
	}
	return f, f.checkTable(layout)
}

// checkTable checks every entry. The last block of a disk may be cut where the
// disk ends.
func (f *blockFinder) checkTable(layout *bounded.Layout) error {
	for i := int64(0); i < f.table.Count(); {
		page, err := f.table.From(i)
		if err != nil {
			return err
		}
		for ; len(page) > 0; page, i = page[entrySize:], i+1 {
			entry := binary.BigEndian.Uint32(page)
			if entry == absent {
				continue
			}
			n := bitmapSize(f.block) + min(f.block, f.size-i*f.block)
			if m := layout.Take(int64(entry)*sector, n); m != nil {
				return f.entryFault(i, entry, m.Class, "%s", m.Reason)
			}
		}
	}
	return nil
}

func (f *blockFinder) entryFault(i int64, entry uint32, c diskimage.Class, reason string, args ...any) error {
	part := f.src.NewPart("block allocation table", f.table.Offset(0), nil)
	field := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: uint64(entry)}
	return part.FieldFault(c, field, reason, args...)
}

// Find implements blockmap.Finder: a stretch of absent blocks, or a block.
func (f *blockFinder) Find(off, end int64) (diskimage.Run, error) {
	return f.find(off, end, f.block > maxWhole)
}

// exactFinder finds what blockFinder does, but divides blocks into stretches of
// sectors that are alike, by their bitmaps, so that a small read does not read a
// whole block.
type exactFinder struct{ *blockFinder }

// Find implements blockmap.Finder.
func (f exactFinder) Find(off, end int64) (diskimage.Run, error) { return f.find(off, end, true) }

func (f *blockFinder) find(off, end int64, exact bool) (diskimage.Run, error) {
	i := off / f.block
	page, err := f.table.From(i)
	if err != nil {
		return diskimage.Run{}, err
	}
	entry := binary.BigEndian.Uint32(page)
	if entry == absent {
		n := absentBlocks(page, blocks(end, f.block)-i)
		return diskimage.Run{Off: i * f.block, Len: min(n*f.block, f.size-i*f.block)}, nil
	}
	at := int64(entry) * sector
	if !exact && !f.full.has(i) {
		n := min(f.block, f.size-i*f.block)
		return diskimage.Run{
			Off: i * f.block, Len: n, Kind: diskimage.Data, Coded: true,
			Src: f.src.R, SrcOff: at, SrcLen: bitmapSize(f.block) + n,
		}, nil
	}
	first := (off - i*f.block) / sector
	n, set, err := f.alike(i, at, first)
	if err != nil {
		return diskimage.Run{}, err
	}
	run := diskimage.Run{Off: i*f.block + first*sector, Len: n * sector}
	if set {
		run.Kind, run.Src = diskimage.Data, f.src.R
		run.SrcOff, run.SrcLen = at+bitmapSize(f.block)+first*sector, run.Len
	}
	return run, nil
}

// Decode implements blockmap.Decoder: it returns the block's data, with zeros for
// absent sectors.
func (f *blockFinder) Decode(run diskimage.Run, dst, src []byte) error {
	n, sectors, i := bitmapSize(f.block), int64(len(dst))/sector, run.Off/f.block
	if int64(len(dst)) != run.Len || int64(len(src)) != n+run.Len || i < 0 || i >= f.table.Count() {
		return fmt.Errorf("%s: decoding the block at disk offset %#x: %d bytes out of %d", format, run.Off, len(dst), len(src))
	}
	copy(dst, src[n:])
	known := &f.full
	for at := int64(0); at < sectors; {
		alike, set := stretch(src[:n], at, sectors)
		if !set {
			clear(dst[at*sector : (at+alike)*sector])
			known = &f.partial
		}
		at += alike
	}
	known.set(i)
	return nil
}

// absentBlocks counts the absent entries at the start of page, up to limit.
func absentBlocks(page []byte, limit int64) int64 {
	n := int64(1)
	for n < limit && n*entrySize < int64(len(page)) && binary.BigEndian.Uint32(page[n*entrySize:]) == absent {
		n++
	}
	return n
}

// alike returns how many sectors from first on, of block i at offset at, are
// all present (set) or all absent.
func (f *blockFinder) alike(i, at, first int64) (n int64, set bool, err error) {
	sectors := min(f.block, f.size-i*f.block) / sector
	if f.full.has(i) {
		return sectors - first, true, nil
	}
	if !f.partial.has(i) {
		buf := f.scratch.Get().(*[]byte)
		defer f.scratch.Put(buf)
		if err := f.src.ReadFull("sector bitmap", *buf, at); err != nil {
			return 0, false, err
		}
		if n, set := stretch(*buf, 0, sectors); set && n == sectors {
			f.full.set(i)
			return sectors - first, true, nil
		}
		f.partial.set(i)
	}
	bitmap, err := f.cache.Get("sector bitmap", at, bitmapSize(f.block))
	if err != nil {
		return 0, false, err
	}
	n, set = stretch(bitmap, first, sectors)
	return n, set, nil
}

// stretch counts the equal bits of bitmap from first on, below end, and says
// which they are. Bitmaps are whole sectors, so there are always 8 bytes to
// look at.
func stretch(bitmap []byte, first, end int64) (n int64, set bool) {
	word := func(i int64) uint64 { return binary.BigEndian.Uint64(bitmap[i/64*8:]) }
	set = word(first)<<(first%64)>>63 == 1
	for i := first; i < end; {
		w := word(i)
		if set {
			w = ^w // now a one bit ends the stretch
		}
		k := int64(bits.LeadingZeros64(w << (i % 64)))
		if left := 64 - i%64; k < left {
			return min(i+k, end) - first, set
		}
		i += 64 - i%64
	}
	return end - first, set
}

// bitset is a set of block numbers for concurrent use.
type bitset []atomic.Uint64

func newBitset(n int64) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(i int64) bool { return b[i/64].Load()>>(i%64)&1 == 1 }

func (b bitset) set(i int64) { b[i/64].Or(1 << (i % 64)) }

func (b bitset) count() int {
	n := 0
	for i := range b {
		n += bits.OnesCount64(b[i].Load())
	}
	return n
}
