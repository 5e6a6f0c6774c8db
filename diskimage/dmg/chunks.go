package dmg

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sort"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// chunk is a range of the disk, up to the next chunk.
type chunk struct {
	off    int64 // on the disk
	src    int64 // in the object
	packed uint32
	kind   uint32 // a type of chunks; in an even number of bytes
}

// chunkList collects the chunks of all tables.
type chunkList struct {
	trailer trailer
	size    int64 // of the disk
	all     []chunk
	ends    []int64 // of the chunks on the disk, until they are sorted
	stored  int64   // bytes of the object that the chunks take
	largest int64   // bytes of a compressed one, expanded
	kinds   map[uint32]bool
}

// add takes the chunks of a table.
func (l *chunkList) add(p bounded.Part) error {
	be := binary.BigEndian
	if len(p.Data) < tableSize || string(p.Data[:4]) != tableMagic || be.Uint32(p.Data[4:]) != 1 {
		return p.Fault(diskimage.Malformed, "does not begin as one of version 1 does")
	}
	first, count, base := be.Uint64(p.Data[8:]), be.Uint64(p.Data[16:]), be.Uint64(p.Data[24:])
	n, runs := be.Uint32(p.Data[200:]), p.Data[tableSize:]
	switch {
	case int64(n) > int64(len(runs)/chunkSize):
		return p.Fault(diskimage.Malformed, "of %d chunks in %d bytes", n, len(p.Data))
	case first > l.trailer.sectors || count > l.trailer.sectors-first:
		return p.Fault(diskimage.Malformed, "for sectors %d to %d+%d of %d", first, first, count, l.trailer.sectors)
	case base > uint64(l.trailer.part.Off):
		return p.Fault(diskimage.Malformed, "of chunks that begin at %#x, behind the trailer", base)
	}
	for i := range n {
		r := run{Part: p, number: i, data: runs[i*chunkSize:][:chunkSize]}
		if r.kind() == chunkEnd {
			break
		}
		if err := l.addRun(r, first, count, base); err != nil {
			return err
		}
	}
	return nil
}

// run is a chunk as it is in a table.
type run struct {
	bounded.Part
	number uint32
	data   []byte
}

func (r run) kind() uint32 { return binary.BigEndian.Uint32(r.data) }

func (r run) fault(c diskimage.Class, reason string, args ...any) error {
	return r.Fault(c, "chunk %d "+reason, append([]any{r.number}, args...)...)
}

func (l *chunkList) addRun(r run, first, count, base uint64) error {
	be := binary.BigEndian
	at, n, src, packed := be.Uint64(r.data[8:]), be.Uint64(r.data[16:]), be.Uint64(r.data[24:]), be.Uint64(r.data[32:])
	stored, err := r.stored()
	switch {
	case err != nil:
		return err
	case n == 0 || r.kind() == chunkComment:
		return nil
	case at > count || n > count-at:
		return r.fault(diskimage.Malformed, "holds sectors %d to %d+%d of %d", at, at, n, count)
	}
	c := chunk{off: int64(first+at) * sector, kind: r.kind()}
	size := int64(n) * sector
	if stored {
		if c.src, c.packed, err = l.place(r, size, src, packed, base); err != nil {
			return err
		}
	}
	l.all, l.ends = append(l.all, c), append(l.ends, c.off+size)
	l.kinds[c.kind] = true
	return nil
}

// stored reports whether a chunk has bytes in the object, or that it cannot be
// read.
func (r run) stored() (bool, error) {
	switch kind := r.kind(); kind {
	case chunkZero, chunkUnused, chunkComment:
		return false, nil
	case chunkRaw, chunkZlib, chunkBzip2, chunkXz:
		return true, nil
	case chunkADC:
		return false, r.fault(diskimage.Unsupported, "is compressed with ADC, which is not read")
	case chunkLZFSE:
		return false, r.fault(diskimage.Unsupported, "is compressed with LZFSE, which is not read")
	default:
		return false, r.fault(diskimage.Unsupported, "is of type %#x, which is not known", kind)
	}
}

// place checks where the bytes of a chunk of size bytes on the disk lie.
func (l *chunkList) place(r run, size int64, src, packed, base uint64) (off int64, n uint32, err error) {
	start, end := l.trailer.fork, uint64(l.trailer.part.Off)
	coded := r.kind() != chunkRaw
	switch {
	case src > end || start+base+src > end || packed > end-start-base-src:
		return 0, 0, r.fault(diskimage.Malformed, "lies at %#x, %d bytes, not before the trailer (%#x)", start+base+min(src, end), packed, end)
	case !coded && packed != uint64(size):
		return 0, 0, r.fault(diskimage.Malformed, "has %d bytes for %d", packed, size)
	case coded && size > maxChunk:
		return 0, 0, r.fault(diskimage.Limit, "expands to %d bytes, more than %d", size, maxChunk)
	case coded && (packed == 0 || packed > uint64(2*size+4096)):
		return 0, 0, r.fault(diskimage.Malformed, "has %d bytes, compressed, for %d", packed, size)
	}
	// Chunks that share their bytes would make much work of a small object.
	if l.stored += int64(packed); l.stored > l.trailer.part.Off {
		return 0, 0, r.fault(diskimage.Limit, "and those before have %d bytes, more than there are: amplification", l.stored)
	}
	if coded {
		l.largest, n = max(l.largest, size), uint32(packed)
	}
	return int64(start + base + src), n, nil
}

// finish sorts the chunks and checks that they are the disk.
func (l *chunkList) finish(p bounded.Part) error {
	sort.Sort(l)
	next := int64(0)
	for i, c := range l.all {
		switch {
		case c.off < next:
			return p.Fault(diskimage.Malformed, "two chunks hold sector %d", c.off/sector)
		case c.off > next:
			return p.Fault(diskimage.Malformed, "no chunk holds sector %d", next/sector)
		}
		next = l.ends[i]
	}
	if next != l.size {
		return p.Fault(diskimage.Malformed, "no chunk holds sector %d", next/sector)
	}
	l.ends = nil
	l.all = slices.Clip(l.all)
	return nil
}

// sort.Interface by place on the disk.
func (l *chunkList) Len() int           { return len(l.all) }
func (l *chunkList) Less(i, j int) bool { return cmp.Less(l.all[i].off, l.all[j].off) }
func (l *chunkList) Swap(i, j int) {
	l.all[i], l.all[j] = l.all[j], l.all[i]
	l.ends[i], l.ends[j] = l.ends[j], l.ends[i]
}

// variant returns hdiutil's name for an image of the kinds.
func (l *chunkList) variant() string {
	switch {
	case l.kinds[chunkXz]:
		return "ULMO"
	case l.kinds[chunkBzip2]:
		return "UDBZ"
	case l.kinds[chunkZlib]:
		return "UDZO"
	}
	return "UDRO"
}
