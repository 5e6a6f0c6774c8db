package parallels

import (
	"encoding/binary"
	"fmt"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// clusterFinder finds the clusters of a disk.
type clusterFinder struct {
	src     bounded.Source
	table   *bounded.Table
	size    int64 // of the disk, bytes
	cluster int64 // bytes
	unit    int64 // bytes that an entry counts in
}

// newClusterFinder describes the table behind head and checks its entries.
func newClusterFinder(src bounded.Source, head header, size int64, limits diskimage.Limits) (*clusterFinder, error) {
	cluster := head.cluster()
	cache := bounded.NewCache(src, limits.MetadataBytes/2) // the other half is for the layout
	table, err := bounded.NewTable(cache, "block allocation table", headerSize, (size+cluster-1)/cluster, entrySize)
	if err != nil {
		return nil, err
	}
	f := &clusterFinder{src: src, table: table, size: size, cluster: cluster, unit: head.entryUnit()}
	layout := bounded.NewLayout(src.Size, cluster, f.unit, limits.MetadataBytes/2)
	if m := layout.Reserve("the header or the table", 0, table.Offset(table.Count())); m != nil {
		return nil, head.part.Fault(m.Class, "%s", m.Reason)
	}
	return f, f.checkTable(layout)
}

// checkTable checks every entry. Only the disk's end may cut a cluster: all
// writers store them whole.
func (f *clusterFinder) checkTable(layout *bounded.Layout) error {
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
			if m := layout.Take(int64(entry)*f.unit, min(f.cluster, f.size-i*f.cluster)); m != nil {
				return f.fault(i, entry, m.Class, "%s", m.Reason)
			}
		}
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
	if run.Kind == diskimage.Data {
		run.SrcLen = run.Len
	}
	return run, nil
}

func (f *clusterFinder) fault(i int64, entry uint32, c diskimage.Class, reason string, args ...any) error {
	part := f.src.NewPart("block allocation table", f.table.Offset(0), nil)
	field := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: uint64(entry)}
	return part.FieldFault(c, field, reason, args...)
}
