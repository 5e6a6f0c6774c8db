package vmdk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
	"github.com/diskport/diskport/diskimage/internal/inflate"
)

// grainFinder finds the grains of a disk and expands compressed ones.
type grainFinder struct {
	*directory
	src        bounded.Source
	size       int64 // of the disk; all in bytes
	grain      int64
	span       int64 // of the disk that a table maps
	compressed bool
	zeroed     bool // the entry 1 means zeros

	verdicts  *bounded.Verdicts // on the tables
	grains    *bounded.Layout   // of plain grains
	stored    atomic.Int64      // compressed grains that the tables seen so far point at
	most      int64             // how many of them the object has room for
	differing atomic.Int64      // tables unlike their redundant copies

	pool sync.Pool // of *expander
}

// expander is what expanding a grain needs.
type expander struct {
	inflate.Decoder
	whole []byte // for the last grain, which the disk's end may cut
}

func newGrainFinder(src bounded.Source, head header, size int64, limits diskimage.Limits) (*grainFinder, error) {
	cache := bounded.NewCache(src, limits.MetadataBytes/2)
	dir, err := newDirectory(src, cache, head, limits)
	if err != nil {
		return nil, err
	}
	f := &grainFinder{
		directory: dir, src: src, size: size,
		grain: head.grainBytes(), span: head.grainBytes() * int64(head.tableCount),
		compressed: head.compressed(), zeroed: head.flags&flagZeroed != 0,
		verdicts: bounded.NewVerdicts(head.tables()),
		grains:   bounded.NewLayout(src.Size, head.grainBytes(), sector, limits.MetadataBytes/4),
		most:     src.Size/sector + 1, // the last one may be cut
		pool:     sync.Pool{New: func() any { return new(expander) }},
	}
	f.grains.Beside = dir.tables
	if m := f.grains.Reserve("the metadata, which the header says are there", 0, byteOffset(head.overhead)); m != nil {
		return nil, head.fault(m.Class, "overhead", 64, head.overhead, "%s", m.Reason)
	}
	return f, nil
}

// Find implements blockmap.Finder.
func (f *grainFinder) Find(off, _ int64) (diskimage.Run, error) {
	t := off / f.span
	at, absent, err := f.directory.table(t)
	if err != nil {
		return diskimage.Run{}, err
	}
	if at == 0 {
		return diskimage.Run{Off: t * f.span, Len: min(absent*f.span, f.size-t*f.span)}, nil
	}
	entries, err := f.load(t, at)
	if err != nil {
		return diskimage.Run{}, err
	}
	i := off % f.span / f.grain
	run := diskimage.Run{Off: t*f.span + i*f.grain}
	e, n := entryAt(entries, i), int64(1)
	switch {
	case e == 0:
		n = stretch(entries, i, 0)
	case e == 1 && f.zeroed:
		run.Kind, n = diskimage.Zero, stretch(entries, i, 0)
	default:
		run.Kind, run.Src, run.SrcOff = diskimage.Data, f.src.R, int64(e)*sector
		if !f.compressed {
			n = stretch(entries, i, uint32(f.grain/sector))
		}
	}
	run.Len = min(n*f.grain, f.size-run.Off)
	if run.Kind != diskimage.Data {
		return run, nil
	}
	run.Coded, run.SrcLen = f.compressed, run.Len
	if f.compressed {
		run.SrcLen = f.recordBound(entries, i, at)
	}
	return run, nil
}

// load returns the entries of table t, at a sector, which are checked when they
// are seen first.
func (f *grainFinder) load(t int64, at uint32) ([]byte, error) {
	entries, err := f.entries.table(t, at)
	if err != nil {
		return nil, err
	}
	if !f.verdicts.Passed(t) {
		if err := f.verdicts.Check(t, func() error { return f.check(t, at, entries) }); err != nil {
			return nil, err
		}
	}
	// Grains that share their bytes would turn a small object into much work.
	if n := f.stored.Load(); n > f.most {
		return nil, f.tablePart(t, at).Fault(diskimage.Limit, "amplification: %d grains so far, the object has room for %d", n, f.most)
	}
	return entries, nil
}

// check checks where the grains of table t, at a sector, lie. Only the start of a
// record is checked: its length, and which grain it belongs to, are known when it
// is read.
func (f *grainFinder) check(t int64, at uint32, entries []byte) error {
	if err := f.compareCopy(t, at, entries); err != nil {
		return err
	}
	left := f.size - t*f.span // of the disk, from the table's first grain on
	for i := int64(0); i < count(entries) && i*f.grain < left; i++ {
		e := entryAt(entries, i)
		if e == 0 || e == 1 && f.zeroed {
			continue
		}
		var m *bounded.Misfit
		if off := int64(e) * sector; f.compressed {
			f.stored.Add(1)
			m = f.tables.Check(off, markerData+1)
		} else {
			m = f.grains.Take(off, min(f.grain, left-i*f.grain))
		}
		if m != nil {
			field := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: uint64(e)}
			return f.tablePart(t, at).FieldFault(m.Class, field, "%s", m.Reason)
		}
	}
	return nil
}

// compareCopy counts table t if the redundant copy is different. Which of the two
// is right cannot be told; VMware and qemu use this one.
func (f *grainFinder) compareCopy(t int64, at uint32, entries []byte) error {
	if f.backup == nil {
		return nil
	}
	other, err := f.backup.sector(t)
	if err != nil || other == at {
		return err
	}
	if other != 0 && f.misplaced(other) == "" {
		copied, err := f.backup.table(t, other)
		if err != nil {
			return err
		}
		if bytes.Equal(copied, entries) {
			return nil
		}
	}
	f.differing.Add(1)
	return nil
}

// recordBound returns how many bytes the record of entry i's grain can have: up
// to the next grain of the table, the table itself or what a grain may grow to.
func (f *grainFinder) recordBound(entries []byte, i int64, at uint32) int64 {
	e, next := entryAt(entries, i), uint32(math.MaxUint32)
	if at > e {
		next = at
	}
	if i+1 < count(entries) && entryAt(entries, i+1) > e {
		next = min(next, entryAt(entries, i+1)) // the order of every known writer
	} else {
		for k := range count(entries) {
			if other := entryAt(entries, k); other > e {
				next = min(next, other)
			}
		}
	}
	most := (markerData + f.maxStream() + sector - 1) / sector * sector
	return min(most, int64(next-e)*sector, f.src.Size-int64(e)*sector)
}

// maxStream is how long the stream of an incompressible grain may be: twice the
// grain's size. The longest ones seen have 26 bytes more than the grain.
func (f *grainFinder) maxStream() int64 { return 2*f.grain + 64 }

// Decode implements blockmap.Decoder.
func (f *grainFinder) Decode(run diskimage.Run, dst, src []byte) error {
	if int64(len(dst)) != run.Len {
		return fmt.Errorf("vmdk: expanding disk offset %#x: %d bytes of room for %d", run.Off, len(dst), run.Len)
	}
	stream, err := f.record(run, src)
	if err != nil {
		return err
	}
	x := f.pool.Get().(*expander)
	defer f.pool.Put(x)
	if run.Len == f.grain {
		_, _, err = x.InflateZlib(dst, stream)
	} else {
		err = x.lastGrain(dst, stream, f.grain)
	}
	if err == nil {
		return nil
	}
	fault := f.recordPart(run).Fault(diskimage.Malformed, "expanding a grain of %d bytes", f.grain)
	fault.Err = err
	if errors.Is(err, inflate.ErrShort) || errors.Is(err, inflate.ErrLong) {
		fault.Err = diskimage.ErrInflatedLength
	}
	return fault
}

// record returns the zlib stream of a grain after checking its marker.
func (f *grainFinder) record(run diskimage.Run, src []byte) ([]byte, error) {
	p := f.recordPart(run)
	if len(src) <= markerData {
		return nil, p.Fault(diskimage.Truncated, "the object ends in its marker")
	}
	lba, size := binary.LittleEndian.Uint64(src), int64(binary.LittleEndian.Uint32(src[8:]))
	switch {
	case size == 0:
		return nil, p.FieldFault(diskimage.Malformed, bounded.Field{Name: "size", At: 8}, "a grain table points at it, but it is no grain")
	case lba != uint64(run.Off)/sector:
		return nil, p.FieldFault(diskimage.Malformed, bounded.Field{Name: "LBA", Value: lba}, "a grain table says %#x", run.Off/sector)
	case size > f.maxStream():
		return nil, p.FieldFault(diskimage.Malformed, bounded.Field{Name: "size", At: 8, Value: uint64(size)}, "more than a grain can need, %d", f.maxStream())
	case size > int64(len(src)-markerData) && run.SrcOff+run.SrcLen == f.src.Size:
		return nil, p.FieldFault(diskimage.Truncated, bounded.Field{Name: "size", At: 8, Value: uint64(size)}, "the object ends before")
	case size > int64(len(src)-markerData):
		return nil, p.FieldFault(diskimage.Malformed, bounded.Field{Name: "size", At: 8, Value: uint64(size)}, "the next record begins before")
	}
	return src[markerData : markerData+size], nil
}

// lastGrain expands a grain that the disk's end cuts to len(dst). It is whole in
// most images, and may be anything from dst's length on.
func (x *expander) lastGrain(dst, stream []byte, grain int64) error {
	if int64(len(x.whole)) != grain {
		x.whole = make([]byte, grain)
	}
	n, _, err := x.InflateZlib(x.whole, stream)
	if errors.Is(err, inflate.ErrShort) && n >= len(dst) {
		_, _, err = x.InflateZlib(x.whole[:n], stream) // for the checksum
	}
	copy(dst, x.whole)
	return err
}

func (f *grainFinder) tablePart(t int64, at uint32) bounded.Part {
	return f.src.NewPart(fmt.Sprintf("grain table %d", t), int64(at)*sector, nil)
}

func (f *grainFinder) recordPart(run diskimage.Run) bounded.Part {
	return f.src.NewPart("grain record", run.SrcOff, nil)
}

func count(entries []byte) int64 { return int64(len(entries)) / entrySize }

func entryAt(entries []byte, i int64) uint32 {
	return binary.LittleEndian.Uint32(entries[i*entrySize:])
}

// stretch counts the entries from i on of which each is the one before plus
// step.
func stretch(entries []byte, i int64, step uint32) int64 {
	n := int64(1)
	for want := entryAt(entries, i) + step; i+n < count(entries) && entryAt(entries, i+n) == want; n++ {
		want += step
	}
	return n
}
