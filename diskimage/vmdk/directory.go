package vmdk

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// batch is how many grain tables are read at once where they lie one after the
// other, as in images whose tables were made in advance: 256 KiB, which map
// 4 GiB. A scattered table is a read of its own.
const batch = 128

// directory is a grain directory whose entries have been checked.
type directory struct {
	entries *bounded.Table
	backup  *bounded.Table // the redundant directory; nil without
	// substitutes are the entries taken from the backup, by table number.
	substitutes map[int64]uint32
	// batched are the batches of tables that lie one after the other.
	batched  bitset
	reserved []region // of the object, where no table and no grain may lie
	end      int64    // of the object
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
		batched:     newBitset((n + batch - 1) / batch),
		end:         src.Size,
	}
	if d.entries, err = d.open(src, cache, "grain directory", at, n); err != nil {
		return nil, err
	}
	if head.flags&flagRedundant != 0 && head.redundant != 0 {
		if d.backup, err = d.open(src, cache, "redundant grain directory", head.redundant, n); err != nil {
			return nil, err
		}
	}
	return d, d.check(src, limits)
}

// open describes the directory of n entries at a sector and reserves its place.
func (d *directory) open(src bounded.Source, cache *bounded.Cache, name string, at uint64, n int64) (*bounded.Table, error) {
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
	return t, nil
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
	d.findBatches(used)
	slices.Sort(used)
	for k := 1; k < len(used); k++ {
		if used[k]-used[k-1] < tableSector {
			return src.NewPart("grain table", int64(used[k])*sector, nil).Fault(diskimage.Malformed,
				"overlaps the one at offset %#x", int64(used[k-1])*sector)
		}
	}
	return nil
}

// misplaced says why no grain table can be at a sector, or nothing.
func (d *directory) misplaced(at uint32) string {
	start := int64(at) * sector
	if start+tableSize > d.end {
		return fmt.Sprintf("points past the end of the object (%#x)", d.end)
	}
	if other := overlapping(d.reserved, start, start+tableSize); other != "" {
		return "points into " + other
	}
	return ""
}

// substitute returns the redundant directory's entry i in place of at.
func (d *directory) substitute(src bounded.Source, i int64, at uint32, reason string) (uint32, error) {
	if d.backup == nil || len(d.substitutes) == maxSubstitutes {
		return 0, d.fault(src, diskimage.Malformed, i, at, "%s", reason)
	}
	page, err := d.backup.From(i)
	if err != nil {
		return 0, err
	}
	other := binary.LittleEndian.Uint32(page)
	if other == 0 || d.misplaced(other) != "" {
		return 0, d.fault(src, diskimage.Malformed, i, at, "%s, and so does the redundant entry (%#x)", reason, other)
	}
	d.substitutes[i] = other
	return other, nil
}

// findBatches notes which batches have all their tables in a row. used are the
// entries other than zero in the order of the directory, so this is simple only
// for directories without gaps; the others gain little from it.
func (d *directory) findBatches(used []uint32) {
	n := d.entries.Count()
	if int64(len(used)) != n || len(d.substitutes) > 0 {
		return
	}
	for b := int64(0); b*batch < n; b++ {
		part := used[b*batch : min(b*batch+batch, n)]
		if last := uint32(len(part) - 1); part[last]-part[0] == last*tableSector && slices.IsSorted(part) {
			d.batched.set(b)
		}
	}
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

// bitset is a set of numbers for concurrent use.
type bitset []atomic.Uint64

func newBitset(n int64) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(i int64) bool { return b[i/64].Load()>>(i%64)&1 == 1 }

// set adds i and reports whether it is new.
func (b bitset) set(i int64) bool { return b[i/64].Or(1<<(i%64))>>(i%64)&1 == 0 }
