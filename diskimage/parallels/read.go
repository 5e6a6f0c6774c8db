package parallels

import (
	"encoding/binary"
	"fmt"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/blockmap"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// clusterFinder finds the clusters of a disk.
type clusterFinder struct {
	src     bounded.Source
	table   *bounded.Table
	size    int64 // of the disk, bytes
	cluster int64 // bytes
	unit    int64 // bytes that an entry counts in
	tail    blockmap.Tail
}

// newClusterFinder describes the table behind head and checks its entries.
func newClusterFinder(src bounded.Source, head header, size int64, limits diskimage.Limits) (*clusterFinder, error) {
	cluster := head.cluster()
	cache := bounded.NewCache(src, limits.MetadataBytes/2) // the other half is for checkTable
	table, err := bounded.NewTable(cache, "block allocation table", headerSize, (size+cluster-1)/cluster, entrySize)
	if err != nil {
		return nil, err
	}
	if used := src.Size / cluster / 8; used > limits.MetadataBytes/2 {
		return nil, head.fault(diskimage.Limit, "tracks", 28, uint64(head.tracks), "so small that %d bytes are needed to keep the clusters apart", used)
	}
	f := &clusterFinder{
		src: src, table: table, size: size, cluster: cluster, unit: head.entryUnit(),
		tail: blockmap.Tail{Size: src.Size, Unit: cluster},
	}
	return f, f.checkTable()
}

// checkTable checks every entry: its cluster in the object behind the table, and
// no two beginning within the same cluster, so that together they are no more
// than the object.
func (f *clusterFinder) checkTable() error {
	seen := bounded.NewBitset(f.src.Size/f.cluster + 1)
	end := f.table.Offset(f.table.Count())
	for i := int64(0); i < f.table.Count(); {
		page, err := f.table.From(i)
		if err != nil {
			return err
		}
		for n := int64(0); len(page) > 0; page, i = page[n*entrySize:], i+n {
			n = 1
			entry := binary.LittleEndian.Uint32(page)
			if entry == 0 {
				n = bounded.StretchLE32(page, 0, int64(len(page)))
				continue
			}
			if err := f.checkEntry(i, entry, end); err != nil {
				return err
			}
			if !seen.Add(int64(entry) * f.unit / f.cluster) {
				return f.fault(i, entry, diskimage.Malformed, "overlaps the cluster of another entry")
			}
		}
	}
	return nil
}

// checkEntry checks that a cluster begins behind the table's end and in the
// object.
func (f *clusterFinder) checkEntry(i int64, entry uint32, end int64) error {
	switch off := int64(entry) * f.unit; {
	case off < end:
		return f.fault(i, entry, diskimage.Malformed, "points into the header or the table")
	case off >= f.src.Size:
		return f.fault(i, entry, diskimage.Truncated, "its cluster begins past the end of the object (%#x)", f.src.Size)
	}
	return nil
}

// Find implements blockmap.Finder.
func (f *clusterFinder) Find(off, end int64) (diskimage.Run, error) {
	i := off / f.cluster
	page, err := f.table.From(i)
	if err != nil {
		return diskimage.Run{}, err
	}
	run := diskimage.Run{Off: i * f.cluster}
	entry, step := binary.LittleEndian.Uint32(page), uint32(0)
	if entry != 0 {
		run.Kind, run.Src, run.SrcOff = diskimage.Data, f.src.R, int64(entry)*f.unit
		step = uint32(f.cluster / f.unit)
	}
	n := bounded.StretchLE32(page, step, (end-run.Off+f.cluster-1)/f.cluster)
	run.Len = min(n*f.cluster, f.size-run.Off)
	if entry == 0 {
		return run, nil
	}
	cut, ok := f.tail.Cut(run, off, run.SrcOff)
	if !ok {
		return run, f.fault(i, entry, diskimage.Truncated, "its cluster begins past the end of the object (%#x)", f.src.Size)
	}
	return cut, nil
}

func (f *clusterFinder) fault(i int64, entry uint32, c diskimage.Class, reason string, args ...any) error {
	part := f.src.NewPart("block allocation table", f.table.Offset(0), nil)
	field := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: uint64(entry)}
	return part.FieldFault(c, field, reason, args...)
}
