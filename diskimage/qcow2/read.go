package qcow2

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// clusterFinder finds the clusters of a disk and expands compressed ones.
type clusterFinder struct {
	*tables
	unit  int64       // bytes that an entry speaks of: a cluster or a sub-cluster
	short atomic.Bool // the object's end was met inside a cluster

	expanders expanders
}

func newClusterFinder(src bounded.Source, head header, size int64, limits diskimage.Limits) (*clusterFinder, error) {
	t, err := newTables(src, head, size, limits)
	if err != nil {
		return nil, err
	}
	f := &clusterFinder{tables: t, unit: head.cluster()}
	if head.extended() {
		f.unit /= subclusters
	}
	return f, nil
}

// place says where a unit of the disk is, and how many bytes n from there on are
// alike and in the same cluster.
type place struct {
	kind diskimage.Kind
	host int64 // in the object, of data
	n    int64

	sectors int64 // of a compressed cluster, after the first; -1 when it is not
}

// Find implements blockmap.Finder.
func (f *clusterFinder) Find(off, end int64) (diskimage.Run, error) {
	span := f.span()
	i := off / span
	at, absent, err := f.l2(i, (end+span-1)/span)
	if err != nil {
		return diskimage.Run{}, err
	}
	if at == 0 {
		return f.run(i*span, absent*span, diskimage.Hole), nil
	}
	entries, err := f.load(i, at)
	if err != nil {
		return diskimage.Run{}, err
	}
	l2 := l2Table{f, i, at, entries}
	first, err := l2.place(off)
	if err != nil {
		return diskimage.Run{}, err
	}
	if first.sectors >= 0 {
		return f.coded(off&^(f.cluster()-1), first), nil
	}
	start := off &^ (f.unit - 1)
	run := f.run(start, l2.extend(first, start, min(end, (i+1)*span)), first.kind)
	if first.kind != diskimage.Data {
		return run, nil
	}
	run.Src, run.SrcOff = f.src.R, first.host
	return f.plain(l2, run, off)
}

// run returns the part of a range that lies on the disk.
func (f *clusterFinder) run(off, n int64, kind diskimage.Kind) diskimage.Run {
	return diskimage.Run{Off: off, Len: min(n, f.size-off), Kind: kind}
}

// plain returns the part of a run of data that holds off and is all stored or,
// behind the object's end, all missing. Old writers leave out zeros at the end of
// the last cluster, but they write sectors: an object that ends inside one was cut.
func (f *clusterFinder) plain(l2 l2Table, run diskimage.Run, off int64) (diskimage.Run, error) {
	run.SrcLen = run.Len
	left := f.src.Size - run.SrcOff // bytes of the object from the run on
	switch {
	case left >= run.Len:
		return run, nil
	case f.src.Size%sector != 0:
		last := max(off, run.Off+max(left, 0)) // the first byte that is missing
		return run, l2.fault(last, diskimage.Truncated, "its cluster ends past the end of the object (%#x)", f.src.Size)
	case off-run.Off < left:
		run.Len, run.SrcLen = left, left
		return run, nil
	}
	f.short.Store(true)
	start := max(left, 0)
	return diskimage.Run{Off: run.Off + start, Len: run.Len - start, Kind: diskimage.Hole}, nil
}

// coded returns the run of the compressed cluster at off. The object may end in its
// last sector, which may also hold a part of another stream.
func (f *clusterFinder) coded(off int64, p place) diskimage.Run {
	run := f.run(off, p.n, diskimage.Data)
	run.Coded, run.Src, run.SrcOff = true, f.src.R, p.host
	run.SrcLen = min((p.sectors+1)*sector-p.host%sector, f.src.Size-p.host)
	return run
}

// l2Table is an L2 table being looked into.
type l2Table struct {
	*clusterFinder
	number, at int64
	entries    []byte
}

// extend returns how many bytes from off, where first is, lie in a row, below end.
// A fault behind them is found when it is looked up.
func (l l2Table) extend(first place, off, end int64) int64 {
	n := first.n
	for off+n < end {
		next, err := l.place(off + n)
		if err != nil || next.kind != first.kind || next.sectors >= 0 {
			break
		}
		if next.kind == diskimage.Data && (next.host != first.host+n || next.host >= l.src.Size) {
			break
		}
		n += next.n
	}
	return n
}

// place returns where the unit that holds off is.
func (l l2Table) place(off int64) (place, error) {
	e := l.entry(off)
	p := place{host: int64(e & offsetMask), n: l.cluster(), sectors: -1}
	switch {
	case e&compressBit != 0:
		p.kind, p.host = diskimage.Data, l.stream(e)
		p.sectors = int64(e &^ (copiedBit | compressBit) >> (70 - l.clusterBits))
		return p, nil
	case e&reservedInL2 != 0:
		return p, l.fault(off, diskimage.Malformed, "reserved bits are set")
	case p.host%l.cluster() != 0:
		return p, l.fault(off, diskimage.Malformed, "not a multiple of the cluster size %d", l.cluster())
	case l.extended():
		return l.subcluster(p, off, e)
	case e&zeroBit != 0 && l.version == 2:
		return p, l.fault(off, diskimage.Malformed, "the zero bit is set, which version 2 does not have")
	case e&zeroBit != 0:
		p.kind = diskimage.Zero
	case p.host != 0:
		p.kind = diskimage.Data
	}
	return p, nil
}

// subcluster narrows p, a cluster, to the sub-clusters from off on that are
// alike.
func (l l2Table) subcluster(p place, off int64, e uint64) (place, error) {
	bitmap := binary.BigEndian.Uint64(l.entries[l.index(off)*l.l2Entry()+entrySize:])
	stored, zero := uint32(bitmap), uint32(bitmap>>32)
	switch {
	case e&zeroBit != 0:
		return p, l.fault(off, diskimage.Malformed, "the zero bit is set in an extended entry")
	case stored&zero != 0:
		return p, l.fault(off, diskimage.Malformed, "sub-clusters are both stored and zero (%#x)", bitmap)
	case stored != 0 && p.host == 0:
		return p, l.fault(off, diskimage.Malformed, "sub-clusters are stored (%#x) in no cluster", bitmap)
	}
	i := off & (l.cluster() - 1) / l.unit
	unlike := zero | stored // of an unallocated one
	switch {
	case stored>>i&1 == 1:
		p.kind, unlike = diskimage.Data, ^stored
	case zero>>i&1 == 1:
		p.kind, unlike = diskimage.Zero, ^zero
	}
	p.host += i * l.unit
	p.n = min(int64(bits.TrailingZeros32(unlike>>i)), subclusters-i) * l.unit
	return p, nil
}

func (l l2Table) index(off int64) int64 { return off % l.span() / l.cluster() }

func (l l2Table) entry(off int64) uint64 {
	return binary.BigEndian.Uint64(l.entries[l.index(off)*l.l2Entry():])
}

// fault reports the entry that maps off.
func (l l2Table) fault(off int64, c diskimage.Class, reason string, args ...any) error {
	return l.l2Fault(l.number, l.at, l.index(off), l.entry(off), c, reason, args...)
}
