package vhdx

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// regions are the places of the image's parts.
type regions struct {
	bat, metadata region
	all           []region // these, the log, and unknown ones, by offset
	warnings      []string
}

// readRegions reads the first region table, or the second when the first is
// damaged, and checks that no region lies on another or on the log.
func readRegions(src bounded.Source, log region) (regions, error) {
	var r regions
	p, err := src.Part("region table 1", region1, regionSize)
	if err != nil {
		return r, err
	}
	if !intact(p.Data, regionMagic) {
		if p, err = src.Part("region table 2", region2, regionSize); err != nil {
			return r, err
		}
		if !intact(p.Data, regionMagic) {
			return r, p.Fault(diskimage.Malformed, "neither it nor table 1 has a valid checksum")
		}
		r.warnings = append(r.warnings, "region table 1 is damaged; its copy was used")
	}
	if err := r.parse(src, p); err != nil {
		return r, err
	}
	if r.bat.end == 0 || r.metadata.end == 0 {
		return r, p.Fault(diskimage.Malformed, "has no region for the block allocation table or none for metadata")
	}
	if log.end > 0 {
		r.all = append(r.all, log)
	}
	slices.SortFunc(r.all, func(a, b region) int { return cmp.Compare(a.off, b.off) })
	for i := 1; i < len(r.all); i++ {
		if a, b := r.all[i-1], r.all[i]; a.overlaps(b.off, b.end) {
			return r, p.Fault(diskimage.Malformed, "the %s at %#x overlaps the %s at %#x", b.name, b.off, a.name, a.off)
		}
	}
	return r, nil
}

func (r *regions) parse(src bounded.Source, p bounded.Part) error {
	le := binary.LittleEndian
	count := le.Uint32(p.Data[8:])
	if count > maxEntries {
		return p.FieldFault(diskimage.Limit, bounded.Field{Name: "entry count", At: 8, Value: uint64(count)}, "more than %d", maxEntries)
	}
	for i := range int64(count) {
		at := 16 + 32*i
		e := p.Data[at : at+32]
		id, off, length := guid(e[:16]), le.Uint64(e[16:]), le.Uint32(e[24:])
		name := fmt.Sprintf("entry %d", i)
		field := bounded.Field{Name: name, At: at + 16, Value: off}
		reg := region{"region " + id.String(), int64(off), int64(off) + int64(length)}
		var known *region
		switch {
		case id == batRegion:
			reg.name, known = "block allocation table", &r.bat
		case id == metadataRegion:
			reg.name, known = "metadata region", &r.metadata
		case le.Uint32(e[28:])&1 == 1:
			field = bounded.Field{Name: name, At: at, Value: le.Uint64(e)}
			return p.FieldFault(diskimage.Unsupported, field, "the unknown region %v is required", id)
		}
		if off < firstFree || off > math.MaxInt64 || off%mib != 0 {
			return p.FieldFault(diskimage.Malformed, field, "the %s does not begin with a whole MiB from 1 MiB on", reg.name)
		}
		if length == 0 || length%mib != 0 {
			field = bounded.Field{Name: name, At: at + 24, Value: uint64(length)}
			return p.FieldFault(diskimage.Malformed, field, "the %s is not made of whole MiB", reg.name)
		}
		if err := src.Check(reg.name, reg.off, int64(length)); err != nil {
			return err
		}
		if known != nil {
			if known.end > 0 {
				return p.FieldFault(diskimage.Malformed, field, "a second %s", reg.name)
			}
			*known = reg
		}
		r.all = append(r.all, reg)
	}
	return nil
}
