package qed

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/blockmap"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// maxPage is how much of an L2 table, which may be 1 GiB, is read at once.
const maxPage = 1 << 20

// clusterFinder finds the clusters of a disk.
type clusterFinder struct {
	header
	src   bounded.Source
	cache *bounded.Cache
	l1    *bounded.Table
	size  int64         // of the disk, bytes
	used  []int64       // offsets of the L2 tables, ascending
	page  int64         // bytes of an L2 table that are read at once
	tail  blockmap.Tail // at the end of the last whole cluster: no writer leaves one cut

	// claimed is how many bytes the clusters of the pages seen so far have.
	// Clusters are apart, so that is no more than the object's, unless the image
	// was made to be much work.
	seen    bounded.Bitset // of pages
	claimed atomic.Int64
}

// newClusterFinder reads the L1 table and checks that each L2 table lies in the
// object, apart from the others.
func newClusterFinder(src bounded.Source, head header, size int64, limits diskimage.Limits) (*clusterFinder, error) {
	cache := bounded.NewCache(src, limits.MetadataBytes)
	l1, err := bounded.NewTable(cache, "L1 table", int64(head.l1Offset), head.tables(size), entrySize)
	if err != nil {
		return nil, err
	}
	f := &clusterFinder{
		header: head, src: src, cache: cache, l1: l1, size: size,
		page: min(head.table(), maxPage),
		tail: blockmap.Tail{Size: src.Size &^ (head.cluster() - 1), Unit: head.cluster()},
	}
	f.seen = bounded.NewBitset(head.tables(size) * (head.table() / f.page))
	return f, f.checkL1()
}

func (f *clusterFinder) checkL1() error {
	for i := int64(0); i < f.l1.Count(); {
		page, err := f.l1.From(i)
		if err != nil {
			return err
		}
		for ; len(page) > 0; page, i = page[entrySize:], i+1 {
			at := binary.LittleEndian.Uint64(page)
			if at == 0 {
				continue
			}
			if err := f.checkL1Entry(i, at); err != nil {
				return err
			}
			f.used = append(f.used, int64(at))
		}
	}
	slices.Sort(f.used)
	for i := 1; i < len(f.used); i++ {
		if f.used[i]-f.used[i-1] < f.table() {
			return f.src.NewPart("L2 table", f.used[i], nil).Fault(diskimage.Malformed, "overlaps the one at offset %#x", f.used[i-1])
		}
	}
	return nil
}

func (f *clusterFinder) checkL1Entry(i int64, at uint64) error {
	fault := func(c diskimage.Class, reason string, args ...any) error {
		field := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: at}
		return f.src.NewPart("L1 table", f.l1.Offset(0), nil).FieldFault(c, field, reason, args...)
	}
	switch {
	case at%uint64(f.cluster()) != 0:
		return fault(diskimage.Malformed, "not a multiple of the cluster size %d", f.cluster())
	case at > uint64(max(0, f.src.Size-f.table())):
		return fault(diskimage.Truncated, "the table ends past the end of the object (%#x)", f.src.Size)
	case f.overHead(int64(at), int64(at)+f.table()):
		return fault(diskimage.Malformed, "points into the header or the L1 table")
	}
	return nil
}

// overHead reports whether a range of the object touches the header or the L1
// table.
func (f *clusterFinder) overHead(off, end int64) bool {
	l1 := f.l1.Offset(0)
	return off < f.head() || off < l1+f.l1.Count()*entrySize && l1 < end
}

// overMetadata reports whether a range of the object touches any structure.
func (f *clusterFinder) overMetadata(off, end int64) bool {
	i, _ := slices.BinarySearch(f.used, off-f.table()+1)
	return i < len(f.used) && f.used[i] < end || f.overHead(off, end)
}

// Find implements blockmap.Finder.
func (f *clusterFinder) Find(off, end int64) (diskimage.Run, error) {
	t := off / f.span()
	l1, err := f.l1.From(t)
	if err != nil {
		return diskimage.Run{}, err
	}
	at := int64(binary.LittleEndian.Uint64(l1))
	if at == 0 {
		n := stretch(l1, 0, (end+f.span()-1)/f.span()-t)
		return diskimage.Run{Off: t * f.span(), Len: min(n*f.span(), f.size-t*f.span())}, nil
	}
	i := off % f.span() / f.cluster()
	entries, err := f.load(t, at, i)
	if err != nil {
		return diskimage.Run{}, err
	}
	run := diskimage.Run{Off: t*f.span() + i*f.cluster()}
	entry, step := binary.LittleEndian.Uint64(entries), uint64(0)
	switch entry {
	case 0:
	case 1:
		run.Kind = diskimage.Zero
	default:
		if err := f.checkEntry(t, at, i, entry); err != nil {
			return run, err
		}
		run.Kind, run.Src, run.SrcOff, step = diskimage.Data, f.src.R, int64(entry), uint64(f.cluster())
	}
	n := stretch(entries, step, (end-run.Off+f.cluster()-1)/f.cluster())
	run.Len = min(n*f.cluster(), f.size-run.Off)
	if run.Kind != diskimage.Data {
		return run, nil
	}
	cut, ok := f.tail.Cut(run, off, run.SrcOff)
	switch {
	case !ok:
		return run, f.entryFault(t, at, off%f.span()/f.cluster(), entry, diskimage.Truncated)
	case cut.Kind == diskimage.Data && f.overMetadata(cut.SrcOff, cut.SrcOff+cut.Len):
		return run, f.entryFault(t, at, i, entry, diskimage.Malformed)
	}
	return cut, nil
}

// load returns the entries of L2 table t, at an offset, from i to the end of a
// page, and counts what the page's claim when it is seen first.
func (f *clusterFinder) load(t, at, i int64) ([]byte, error) {
	number := i * entrySize / f.page // of the page, in the table
	page, err := f.cache.Get("L2 table", at+number*f.page, f.page)
	if err != nil {
		return nil, err
	}
	if k := t*(f.table()/f.page) + number; !f.seen.Has(k) && f.seen.Add(k) {
		n := f.size - t*f.span() - number*(f.page/entrySize)*f.cluster() // of the disk, that may be mapped
		f.claimed.Add(f.claim(page, n))
	}
	if n := f.claimed.Load(); n > f.src.Size {
		return nil, f.src.NewPart(l2Name(t), at, nil).Fault(diskimage.Limit,
			"amplification: the clusters so far take %d bytes, the object has %d", n, f.src.Size)
	}
	return page[i*entrySize-number*f.page:], nil
}

// claim returns how many bytes the clusters have that entries point at, of which
// n bytes of the disk are left.
func (f *clusterFinder) claim(entries []byte, n int64) int64 {
	sum := int64(0)
	for ; len(entries) > 0 && n > 0; entries, n = entries[entrySize:], n-f.cluster() {
		if binary.LittleEndian.Uint64(entries) > 1 {
			sum += f.cluster()
		}
	}
	return sum
}

// checkEntry checks the form of an entry that points at a cluster.
func (f *clusterFinder) checkEntry(t, at, i int64, entry uint64) error {
	switch {
	case entry%uint64(f.cluster()) != 0:
		return f.entryFault(t, at, i, entry, diskimage.Malformed)
	case entry >= uint64(f.tail.Size):
		return f.entryFault(t, at, i, entry, diskimage.Truncated)
	}
	return nil
}

// entryFault reports entry i of L2 table t at an offset.
func (f *clusterFinder) entryFault(t, at, i int64, entry uint64, c diskimage.Class) error {
	reason := "not a cluster of data: a multiple of the cluster size, outside the header and the tables"
	if c == diskimage.Truncated {
		reason = fmt.Sprintf("its cluster ends past the end of the object (%#x)", f.src.Size)
	}
	field := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: entry}
	return f.src.NewPart(l2Name(t), at, nil).FieldFault(c, field, "%s", reason)
}

func l2Name(t int64) string { return fmt.Sprintf("L2 table %d", t) }

// stretch counts the entries at the start of page, up to limit, of which each is
// the one before plus step.
func stretch(page []byte, step uint64, limit int64) int64 {
	limit = min(limit, int64(len(page))/entrySize)
	want := binary.LittleEndian.Uint64(page)
	n := int64(1)
	for ; n < limit; n++ {
		if want += step; binary.LittleEndian.Uint64(page[n*entrySize:]) != want {
			break
		}
	}
	return n
}
