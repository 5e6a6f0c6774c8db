package vdi

import (
	"encoding/binary"
	"fmt"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// blockFinder finds the blocks of a disk.
type blockFinder struct {
	src   bounded.Source
	table *bounded.Table
	head  header
	size  int64 // of the disk, bytes
	block int64
}

// newBlockFinder describes the map that head points to and checks its entries.
func newBlockFinder(src bounded.Source, head header, size int64, limits diskimage.Limits) (*blockFinder, error) {
	block := int64(head.block)
	cache := bounded.NewCache(src, limits.MetadataBytes)
	table, err := bounded.NewTable(cache, "block map", int64(head.mapOffset), (size+block-1)/block, entrySize)
	if err != nil {
		return nil, err
	}
	f := &blockFinder{src: src, table: table, head: head, size: size, block: block}
	layout := bounded.NewLayout(src.Size, int64(head.extra)+block, 1, limits.MetadataBytes/2)
	if m := layout.Reserve("the header", 0, headerEnd); m != nil {
		return nil, head.part.Fault(m.Class, "%s", m.Reason)
	}
	if m := layout.Reserve("the block map", int64(head.mapOffset), table.Count()*entrySize); m != nil {
		return nil, head.fault(m.Class, "map offset", 340, uint64(head.mapOffset), "%s", m.Reason)
	}
	return f, f.checkMap(layout)
}

// checkMap checks every entry. Only the disk's end may cut a block: all writers
// store them whole.
func (f *blockFinder) checkMap(layout *bounded.Layout) error {
	for i := int64(0); i < f.table.Count(); {
		page, err := f.table.From(i)
		if err != nil {
			return err
		}
		for n := int64(0); len(page) > 0; page, i = page[n*entrySize:], i+n {
			n = 1
			entry := binary.LittleEndian.Uint32(page)
			if entry == absent || entry == discarded {
				n = bounded.StretchLE32(page, 0, int64(len(page)))
				continue
			}
			if entry >= f.head.allocated {
				return f.fault(i, entry, diskimage.Malformed, "only %d blocks are stored", f.head.allocated)
			}
			extra := int64(f.head.extra)
			if m := layout.Take(f.place(entry)-extra, extra+min(f.block, f.size-i*f.block)); m != nil {
				return f.fault(i, entry, m.Class, "%s", m.Reason)
			}
		}
	}
	return nil
}

// place returns where the data of a stored block begin in the object.
func (f *blockFinder) place(index uint32) int64 {
	extra := int64(f.head.extra)
	return int64(f.head.dataOffset) + int64(index)*(extra+f.block) + extra
}

// Find implements blockmap.Finder.
func (f *blockFinder) Find(off, end int64) (diskimage.Run, error) {
	i := off / f.block
	page, err := f.table.From(i)
	if err != nil {
		return diskimage.Run{}, err
	}
	entry, step := binary.LittleEndian.Uint32(page), uint32(0)
	run := diskimage.Run{Off: i * f.block}
	switch entry {
	case absent:
		run.Kind = diskimage.Hole
	case discarded:
		run.Kind = diskimage.Zero
	default:
		run.Kind, run.Src, run.SrcOff, step = diskimage.Data, f.src.R, f.place(entry), 1
	}
	n := int64(1)
	if step == 0 || f.head.extra == 0 {
		n = bounded.StretchLE32(page, step, (end-run.Off+f.block-1)/f.block)
	}
	run.Len = min(n*f.block, f.size-run.Off)
	if run.Kind == diskimage.Data {
		run.SrcLen = run.Len
	}
	return run, nil
}

func (f *blockFinder) fault(i int64, entry uint32, c diskimage.Class, reason string, args ...any) error {
	part := f.src.NewPart("block map", f.table.Offset(0), nil)
	field := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: uint64(entry)}
	return part.FieldFault(c, field, reason, args...)
}
