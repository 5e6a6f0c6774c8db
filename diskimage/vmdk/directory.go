package vmdk

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// directory is a grain directory whose entries have been checked.
type directory struct {
	entries *tableList
	backup  *tableList // of the redundant directory; nil without
	// substitutes are the entries taken from the backup, by table number.
	substitutes map[int64]uint32
	reserved    []region // of the object, where no table and no grain may lie
	end         int64    // of the object
	tableBytes  int64    // of a grain table
}

// maxSubstitutes bounds how broken a directory is read.
const maxSubstitutes = 1024

// region is a range of the object.
type region struct {
	name       string
	start, end int64
}

// newDirectory reads the grain directory and checks that each table lies in the
// object, apart from the other structures and from the other tables.
func newDirectory(src bounded.Source, cache *bounded.Cache, head header, limits diskimage.Limits) (*directory, error) {
	at, err := locateDirectory(src, head)
	if err != nil {
		return nil, err
	}
	n := head.tables()
	d := &directory{
		reserved:    []region{{"the header and descriptor", 0, byteOffset(head.descriptorEnd())}},
		substitutes: map[int64]uint32{},
		end:         src.Size,
		tableBytes:  head.tableBytes(),
	}
	if d.entries, err = d.open(src, cache, "grain directory", at, n); err != nil {
		return nil, err
	}
	if head.flags&flagRedundant != 0 && head.redundant != 0 {
		if d.backup, err = d.open(src, cache, "redundant grain directory", head.redundant, n); err != nil {
			return nil, err
		}
	}
	if err := d.check(src, limits); err != nil {
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
	r := region{"the " + name, off, off + n*entrySize}
	if other := overlapping(d.reserved, r.start, r.end); other != "" {
		return nil, src.NewPart(name, off, nil).Fault(diskimage.Malformed, "overlaps %s", other)
	}
	d.reserved = append(d.reserved, r)
	return newTableList(t, cache, d.tableBytes), nil
}

// check walks the entries once.
func (d *directory) check(src bounded.Source, limits diskimage.Limits) error {
	var used []uint32
	for i := int64(0); i < d.entries.Count(); {
		page, err := d.entries.From(i)
		if err != nil {
			return err
		}
		for ; len(page) > 0; page, i = page[entrySize:], i+1 {
			at := binary.LittleEndian.Uint32(page)
			if at == 0 {
				continue
			}
			if reason := d.misplaced(at); reason != "" {
				if at, err = d.substitute(src, i, at, reason); err != nil {
					return err
				}
			}
			if int64(len(used)) >= limits.MetadataBytes/(2*entrySize) {
				return d.fault(src, diskimage.Limit, i, at, "more than %d grain tables", len(used))
			}
			used = append(used, at)
		}
	}
	slices.Sort(used)
	for k := 1; k < len(used); k++ {
		if int64(used[k]-used[k-1])*sector < d.tableBytes {
			return src.NewPart("grain table", int64(used[k])*sector, nil).Fault(diskimage.Malformed,
				"overlaps the one at offset %#x", int64(used[k-1])*sector)
		}
	}
	return nil
}

// misplaced says why no grain table can be at a sector, or nothing.
func (d *directory) misplaced(at uint32) string {
	start := int64(at) * sector
	if start+d.tableBytes > d.end {
		return fmt.Sprintf("points past the end of the object (%#x)", d.end)
	}
	if other := overlapping(d.reserved, start, start+d.tableBytes); other != "" {
		return "points into " + other
	}
	return ""
}

// substitute returns the redundant directory's entry i in place of at.
func (d *directory) substitute(src bounded.Source, i int64, at uint32, reason string) (uint32, error) {
	if d.backup == nil || len(d.substitutes) == maxSubstitutes {
		return 0, d.fault(src, diskimage.Malformed, i, at, "%s", reason)
	}
	other, err := d.backup.sector(i)
	if err != nil {
		return 0, err
	}
	if other == 0 || d.misplaced(other) != "" {
		return 0, d.fault(src, diskimage.Malformed, i, at, "%s, and so does the redundant entry (%#x)", reason, other)
	}
	d.substitutes[i] = other
	return other, nil
}

// table returns the sector of grain table i, 0 for none, and then how many
// tables from i on are none.
func (d *directory) table(i int64) (at uint32, absent int64, err error) {
	page, err := d.entries.From(i)
	if err != nil {
		return 0, 0, err
	}
	if at = binary.LittleEndian.Uint32(page); at != 0 {
		if other, ok := d.substitutes[i]; ok {
			at = other
		}
		return at, 0, nil
	}
	for len(page) > 0 && binary.LittleEndian.Uint32(page) == 0 {
		page, absent = page[entrySize:], absent+1
	}
	return 0, absent, nil
}

func (d *directory) fault(src bounded.Source, c diskimage.Class, i int64, at uint32, reason string, args ...any) error {
	f := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: uint64(at)}
	return src.NewPart("grain directory", d.entries.Offset(0), nil).FieldFault(c, f, reason, args...)
}

// overlapping returns the name of the region that [start, end) overlaps, if any.
func overlapping(regions []region, start, end int64) string {
	for _, r := range regions {
		if start < r.end && r.start < end {
			return r.name
		}
	}
	return ""
}
