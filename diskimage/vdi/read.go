package vdi

import (
	"encoding/binary"
	"fmt"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/blockmap"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// blockFinder finds the blocks of a disk.
type blockFinder struct {
	src   bounded.Source
	table *bounded.Table
	head  header
	size  int64 // of the disk, bytes
	block int64
	tail  blockmap.Tail
}

// newBlockFinder describes the map that head points to and checks its entries.
func newBlockFinder(src bounded.Source, head header, size int64, limits diskimage.Limits) (*blockFinder, error) {
	block := int64(head.block)
	cache := bounded.NewCache(src, limits.MetadataBytes)
	table, err := bounded.NewTable(cache, "block map", int64(head.mapOffset), (size+block-1)/block, entrySize)
	if err != nil {
		return nil, err
	}
	f := &blockFinder{
		src: src, table: table, head: head, size: size, block: block,
		tail: blockmap.Tail{Size: src.Size, Unit: block},
	}
	return f, f.checkMap()
}

// checkMap checks every entry: its block in the object, and of no other. Data
// that several blocks share would be no work to store and much to read.
func (f *blockFinder) checkMap() error {
	seen := bounded.NewBitset(int64(f.head.allocated))
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
			if err := f.checkEntry(i, entry); err != nil {
				return err
			}
			if !seen.Add(int64(entry)) {
				return f.fault(i, entry, diskimage.Malformed, "the block of another entry")
			}
		}
	}
	return nil
}

func (f *blockFinder) checkEntry(i int64, entry uint32) error {
	switch {
	case entry >= f.head.allocated:
		return f.fault(i, entry, diskimage.Malformed, "only %d blocks are stored", f.head.allocated)
	case f.place(entry) >= f.src.Size:
		return f.fault(i, entry, diskimage.Truncated, "its block begins past the end of the object (%#x)", f.src.Size)
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
	if run.Kind != diskimage.Data {
		return run, nil
	}
	cut, ok := f.tail.Cut(run, off, run.SrcOff)
	if !ok {
		return run, f.fault(off/f.block, entry, diskimage.Truncated, "its block begins past the end of the object (%#x)", f.src.Size)
	}
	return cut, nil
}

func (f *blockFinder) fault(i int64, entry uint32, c diskimage.Class, reason string, args ...any) error {
	part := f.src.NewPart("block map", f.table.Offset(0), nil)
	field := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: uint64(entry)}
	return part.FieldFault(c, field, reason, args...)
}
