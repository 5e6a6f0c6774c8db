package vhdx

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// Payload block states (2.5.1.1) that are treated in their own way; all others,
// except present, are blocks that hold nothing.
const (
	stateMask    = 7
	stateZero    = 2
	stateInvalid = 4
	statePresent = 6
	statePartial = 7 // some sectors lie in a parent

	entrySize = 8
)

// finder finds the runs of a disk through its block allocation table.
type finder struct {
	src   bounded.Source
	table *bounded.Table
	size  int64 // of the disk
	block int64 // bytes
	count int64 // payload blocks
	ratio int64 // payload blocks of a chunk
}

// newFinder describes the table and checks its entries.
func newFinder(src bounded.Source, regs regions, m metadata, limits diskimage.Limits) (*finder, error) {
	f := &finder{
		src: src, size: m.size, block: m.blockSize,
		count: (m.size + m.blockSize - 1) / m.blockSize,
		ratio: (1 << 23) * m.sector / m.blockSize,
	}
	entries := f.index(f.count-1) + 1
	if room := (regs.bat.end - regs.bat.off) / entrySize; entries > room {
		p := src.NewPart(regs.bat.name, regs.bat.off, nil)
		return nil, p.Fault(diskimage.Malformed, "has room for %d entries, the disk needs %d", room, entries)
	}
	cache := bounded.NewCache(src, limits.MetadataBytes/2) // the other half is for the layout
	var err error
	if f.table, err = bounded.NewTable(cache, regs.bat.name, regs.bat.off, entries, entrySize); err != nil {
		return nil, err
	}
	layout := bounded.NewLayout(src.Size, m.blockSize, mib, limits.MetadataBytes/2)
	for _, r := range append([]region{{"headers", 0, firstFree}}, regs.all...) {
		if m := layout.Reserve("the "+r.name, r.off, r.end-r.off); m != nil {
			return nil, src.NewPart(r.name, r.off, nil).Fault(m.Class, "%s", m.Reason)
		}
	}
	return f, f.checkTable(layout)
}

// index returns where in the table the entry of payload block i is.
func (f *finder) index(i int64) int64 { return i + i/f.ratio }

// checkTable checks every entry: its state, and where its block lies. The last
// block of a disk may be cut where the disk ends.
func (f *finder) checkTable(layout *bounded.Layout) error {
	for i := int64(0); i < f.count; {
		if absent, err := f.absentFrom(i); err != nil {
			return err
		} else if absent > i {
			i = absent
			continue
		}
		page, err := f.table.From(f.index(i))
		if err != nil {
			return err
		}
		for s := (stretch{f: f, page: page, block: i}); s.next(); i++ {
			if s.entry == 0 {
				continue
			}
			kind, off, err := f.place(s.block, s.entry)
			if err != nil {
				return err
			}
			if kind != diskimage.Data {
				continue
			}
			if m := layout.Take(off, f.length(s.block)); m != nil {
				return f.entryFault(s.block, s.entry, m.Class, "%s", m.Reason)
			}
		}
	}
	return nil
}

// absentFrom returns up to which payload block, from i on, none is present because
// the page of the table is zeros; i itself when i's page is not all zeros.
func (f *finder) absentFrom(i int64) (int64, error) {
	n, err := f.table.Zeros(f.index(i))
	if err != nil || n == 0 {
		return i, err
	}
	entries := f.index(i) + n
	chunks, rest := entries/(f.ratio+1), entries%(f.ratio+1)
	return min(f.count, chunks*f.ratio+min(rest, f.ratio)), nil
}

// length returns how many bytes of payload block i the disk has.
func (f *finder) length(i int64) int64 { return min(f.block, f.size-i*f.block) }

// place returns what payload block i is and, for data, where it begins.
func (f *finder) place(i int64, entry uint64) (diskimage.Kind, int64, error) {
	switch entry & stateMask {
	case stateZero:
		return diskimage.Zero, 0, nil
	case statePresent:
	case statePartial:
		return 0, 0, f.entryFault(i, entry, diskimage.Malformed, "partially present in a disk without a parent")
	case stateInvalid:
		return 0, 0, f.entryFault(i, entry, diskimage.Malformed, "no such state")
	default:
		return diskimage.Hole, 0, nil
	}
	start := entry &^ (mib - 1)
	if start > math.MaxInt64 {
		return 0, 0, f.entryFault(i, entry, diskimage.Truncated, "its block begins past the end of any object")
	}
	return diskimage.Data, int64(start), nil
}

func (f *finder) entryFault(i int64, entry uint64, c diskimage.Class, reason string, args ...any) error {
	at := f.index(i) * entrySize
	p := f.src.NewPart("block allocation table", f.table.Offset(0), nil)
	return p.FieldFault(c, bounded.Field{Name: fmt.Sprintf("entry of block %d", i), At: at, Value: entry}, reason, args...)
}

// Find implements blockmap.Finder: the blocks from off on that make one run, as
// far as the page of the table that holds the first shows.
func (f *finder) Find(off, end int64) (diskimage.Run, error) {
	first := off / f.block
	if absent, err := f.absentFrom(first); err != nil || absent > first {
		return diskimage.Run{Off: first * f.block, Len: min(absent*f.block, f.size) - first*f.block}, err
	}
	page, err := f.table.From(f.index(first))
	if err != nil {
		return diskimage.Run{}, err
	}
	var run diskimage.Run
	for s := (stretch{f: f, page: page, block: first}); run.Off+run.Len < end && s.next(); {
		kind, at, err := f.place(s.block, s.entry)
		switch {
		case err != nil && run.Len == 0:
			return diskimage.Run{}, err
		case run.Len == 0:
			run = diskimage.Run{Off: s.block * f.block, Kind: kind, SrcOff: at}
		case err != nil || kind != run.Kind || kind == diskimage.Data && at != run.SrcOff+run.Len:
			return f.complete(run), nil
		}
		run.Len += f.length(s.block)
	}
	return f.complete(run), nil
}

// complete says where the bytes of a run of data are.
func (f *finder) complete(r diskimage.Run) diskimage.Run {
	if r.Kind == diskimage.Data {
		r.Src, r.SrcLen = f.src.R, r.Len
	}
	return r
}

// stretch walks the payload entries of a page; sector-bitmap entries between
// chunks are passed over.
type stretch struct {
	f     *finder
	page  []byte // from the next entry on
	begun bool
	block int64 // the current one's number
	left  int64 // payload entries before the next sector-bitmap entry
	entry uint64
}

// next moves to the next payload entry, and reports whether there is one.
func (s *stretch) next() bool {
	if !s.begun {
		s.begun, s.left = true, s.f.ratio-s.block%s.f.ratio
	} else {
		s.block++
		if s.left--; s.left == 0 && len(s.page) >= entrySize {
			s.page, s.left = s.page[entrySize:], s.f.ratio
		}
	}
	if s.block >= s.f.count || len(s.page) < entrySize {
		return false
	}
	s.entry, s.page = binary.LittleEndian.Uint64(s.page), s.page[entrySize:]
	return true
}
