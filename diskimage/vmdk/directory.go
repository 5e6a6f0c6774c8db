package vmdk

import (
	"encoding/binary"
	"fmt"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// directory is a grain directory whose entries have been checked.
type directory struct {
	entries *tableList
	backup  *tableList // of the redundant directory; nil without
	// substitutes are the entries taken from the backup, by table number.
	substitutes map[int64]uint32
	tables      *bounded.Layout // of the grain tables
	tableBytes  int64           // of one
}

// maxSubstitutes bounds how damaged a directory may be and still be read.
const maxSubstitutes = 1024

// newDirectory reads the grain directory and checks that each table lies in the
// object, apart from the other structures and from the other tables.
func newDirectory(src bounded.Source, cache *bounded.Cache, head header, limits diskimage.Limits) (*directory, error) {
	at, err := locateDirectory(src, head)
	if err != nil {
		return nil, err
	}
	n := head.tables()
	d := &directory{
		substitutes: map[int64]uint32{},
		tables:      bounded.NewLayout(src.Size, head.tableBytes(), sector, limits.MetadataBytes/4),
		tableBytes:  head.tableBytes(),
	}
	if m := d.tables.Reserve("the header and descriptor", 0, byteOffset(head.descriptorEnd())); m != nil {
		return nil, head.part.Fault(m.Class, "%s", m.Reason)
	}
	if d.entries, err = d.open(src, cache, "grain directory", at, n); err != nil {
		return nil, err
	}
	if head.flags&flagRedundant != 0 && head.redundant != 0 {
		if d.backup, err = d.open(src, cache, "redundant grain directory", head.redundant, n); err != nil {
			return nil, err
		}
	}
	if err := d.check(src); err != nil {
		return nil, err
	}
	if d.backup != nil {
		if err := d.backup.findBatches(d.misplaced); err != nil {
			return nil, err
		}
	}
	return d, d.entries.findBatches(d.misplaced)
}

// open describes the directory of n entries at a sector and reserves its place.
func (d *directory) open(src bounded.Source, cache *bounded.Cache, name string, at uint64, n int64) (*tableList, error) {
	off := byteOffset(at)
	t, err := bounded.NewTable(cache, name, off, n, entrySize)
	if err != nil {
		return nil, err
	}
	if m := d.tables.Reserve("the "+name, off, n*entrySize); m != nil {
		return nil, src.NewPart(name, off, nil).Fault(m.Class, "%s", m.Reason)
	}
	return newTableList(t, cache, d.tableBytes), nil
}

// check walks the entries once, and those of the redundant directory with them:
// each is the other's copy.
func (d *directory) check(src bounded.Source) error {
	for i := int64(0); i < d.entries.Count(); i++ {
		at, err := d.entries.sector(i)
		if err != nil {
			return err
		}
		other := uint32(0)
		if d.backup != nil {
			if other, err = d.backup.sector(i); err != nil {
				return err
			}
		}
		if at == 0 && other == 0 {
			continue
		}
		if err := d.checkEntry(src, i, at, other); err != nil {
			return err
		}
	}
	return nil
}

// checkEntry gives grain table i its place: the one at a sector, or, where there
// is none or it can't be there, the copy at the other. An entry whose copy names a
// table was lost: writers set both.
func (d *directory) checkEntry(src bounded.Source, i int64, at, other uint32) error {
	wrong := &bounded.Misfit{Class: diskimage.Malformed, Reason: "no grain table"}
	if at != 0 {
		wrong = d.tables.Check(int64(at)*sector, d.tableBytes)
	}
	if wrong == nil {
		// When two tables overlap, nothing says which one is wrong.
		if m := d.tables.Take(int64(at)*sector, d.tableBytes); m != nil {
			return d.fault(src, m.Class, i, at, "%s", m.Reason)
		}
		if other != 0 && other != at {
			_ = d.tables.Take(int64(other)*sector, d.tableBytes) // this one isn't read, so it may be wrong
		}
		return nil
	}
	switch {
	case d.backup == nil:
		return d.fault(src, wrong.Class, i, at, "%s", wrong.Reason)
	case len(d.substitutes) == maxSubstitutes:
		return d.fault(src, wrong.Class, i, at, "%s; so are %d entries before it, for which the redundant directory was used", wrong.Reason, maxSubstitutes)
	case other == 0:
		return d.fault(src, wrong.Class, i, at, "%s, and the redundant directory names none", wrong.Reason)
	}
	if m := d.tables.Take(int64(other)*sector, d.tableBytes); m != nil {
		if at == 0 { // nothing says that this entry, rather than that one, is wrong
			return nil
		}
		return d.fault(src, wrong.Class, i, at, "%s, and the redundant entry (%#x): %s", wrong.Reason, other, m.Reason)
	}
	d.substitutes[i] = other
	return nil
}

// misplaced says why no grain table can be at a sector; empty if one can.
func (d *directory) misplaced(at uint32) string {
	if m := d.tables.Check(int64(at)*sector, d.tableBytes); m != nil {
		return m.Reason
	}
	return ""
}

// table returns the sector of grain table i, 0 for none, and then how many
// tables from i on are none.
func (d *directory) table(i int64) (at uint32, absent int64, err error) {
	if other, ok := d.substitutes[i]; ok {
		return other, 0, nil
	}
	page, err := d.entries.From(i)
	if err != nil {
		return 0, 0, err
	}
	if at = binary.LittleEndian.Uint32(page); at != 0 {
		return at, 0, nil
	}
	for len(page) > 0 && binary.LittleEndian.Uint32(page) == 0 {
		if _, ok := d.substitutes[i+absent]; ok {
			break
		}
		page, absent = page[entrySize:], absent+1
	}
	return 0, absent, nil
}

func (d *directory) fault(src bounded.Source, c diskimage.Class, i int64, at uint32, reason string, args ...any) error {
	f := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: uint64(at)}
	return src.NewPart("grain directory", d.entries.Offset(0), nil).FieldFault(c, f, reason, args...)
}
