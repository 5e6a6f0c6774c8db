package vhdx

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// metadata is what the metadata region says of the disk.
type metadata struct {
	table     bounded.Part
	items     map[guid]bounded.Part
	blockSize int64
	size      int64
	sector    int64
	fixed     bool
	hasParent bool
}

// Flags of a metadata entry and of the file parameters (2.6.1.2, 2.6.2.1).
const (
	userItem       = 1
	requiredItem   = 4
	leaveAllocated = 1
	parentFlag     = 2
)

// itemSizes are the lengths of the known items; 0 is any.
func itemSizes() map[guid]uint32 {
	return map[guid]uint32{
		fileParameters: 8, virtualSize: 8, diskID: 16, logicalSector: 4, physicalSector: 4, parentLocator: 0,
	}
}

// readMetadata reads the region's items and checks their values.
func readMetadata(src bounded.Source, reg region, limits diskimage.Limits) (metadata, error) {
	table, err := src.Part("metadata table", reg.off, metadataSize)
	if err != nil {
		return metadata{}, err
	}
	m := metadata{table: table, items: map[guid]bounded.Part{}}
	if err := m.readItems(src, reg); err != nil {
		return m, err
	}
	for _, id := range []guid{fileParameters, virtualSize, logicalSector} {
		if _, ok := m.items[id]; !ok {
			return m, table.Fault(diskimage.Malformed, "has no item %v", id)
		}
	}
	return m, m.parse(limits)
}

// readItems reads the known items.
func (m *metadata) readItems(src bounded.Source, reg region) error {
	le := binary.LittleEndian
	p := m.table
	if string(p.Data[:8]) != metadataMagic {
		return p.Fault(diskimage.Malformed, "does not begin with %q", metadataMagic)
	}
	count := le.Uint16(p.Data[10:])
	if count > maxEntries {
		return p.FieldFault(diskimage.Limit, bounded.Field{Name: "entry count", At: 10, Value: uint64(count)}, "more than %d", maxEntries)
	}
	type key struct {
		id   guid
		user bool
	}
	seen, sizes := map[key]bool{}, itemSizes()
	for i := range int64(count) {
		at := 32 + 32*i
		e := p.Data[at : at+32]
		id, off, length, flags := guid(e[:16]), le.Uint32(e[16:]), le.Uint32(e[20:]), le.Uint32(e[24:])
		name := fmt.Sprintf("entry %d", i)
		field := bounded.Field{Name: name, At: at, Value: le.Uint64(e)} // of the identifier
		size, known := sizes[id]
		known = known && flags&userItem == 0
		k := key{id, flags&userItem != 0}
		switch {
		case seen[k]:
			return p.FieldFault(diskimage.Malformed, field, "a second item %v", id)
		case !known && flags&requiredItem != 0:
			return p.FieldFault(diskimage.Unsupported, field, "the unknown item %v is required", id)
		case length > 0 && (off < metadataSize || int64(off)+int64(length) > reg.end-reg.off):
			field = bounded.Field{Name: name, At: at + 16, Value: uint64(off)}
			return p.FieldFault(diskimage.Malformed, field, "item %v of %d bytes leaves the region", id, length)
		case known && size > 0 && length != size:
			field = bounded.Field{Name: name, At: at + 20, Value: uint64(length)}
			return p.FieldFault(diskimage.Malformed, field, "item %v of %d bytes, want %d", id, length, size)
		}
		seen[k] = true
		if !known {
			continue
		}
		item, err := src.Part("metadata item "+id.String(), reg.off+int64(off), int64(length))
		if err != nil {
			return err
		}
		m.items[id] = item
	}
	return nil
}

// parse checks the values.
func (m *metadata) parse(limits diskimage.Limits) (err error) {
	le := binary.LittleEndian
	params, sector := m.items[fileParameters], m.items[logicalSector]
	block := le.Uint32(params.Data)
	if block < mib || block > 256*mib || block&(block-1) != 0 {
		return params.FieldFault(diskimage.Malformed, bounded.Field{Name: "block size", Value: uint64(block)}, "not a power of two from 1 to 256 MiB")
	}
	m.blockSize = int64(block)
	if m.sector = int64(le.Uint32(sector.Data)); m.sector != 512 && m.sector != 4096 {
		return sector.FieldFault(diskimage.Malformed, bounded.Field{Name: "logical sector size", Value: uint64(m.sector)}, "neither 512 nor 4096")
	}
	size := m.items[virtualSize]
	field := bounded.Field{Name: "virtual disk size", Value: le.Uint64(size.Data)}
	if m.size, err = size.VirtualSize(field, uint64(m.sector), limits); err != nil {
		return err
	}
	flags := le.Uint32(params.Data[4:])
	m.fixed, m.hasParent = flags&leaveAllocated != 0, flags&parentFlag != 0
	if m.hasParent {
		field := bounded.Field{Name: "flags", At: 4, Value: uint64(flags)}
		return params.FieldFault(diskimage.External, field, "differencing disk of parent %s, which is not read", m.parent())
	}
	return nil
}

// parent names the parent for the error that refuses it; nothing is looked up.
func (m *metadata) parent() string {
	le := binary.LittleEndian
	p := m.items[parentLocator].Data
	if len(p) < 20 {
		return "(no locator)"
	}
	var names []string
	for i := 20; i+12 <= len(p) && len(names) < int(le.Uint16(p[18:])) && len(names) < 8; i += 12 {
		key, value := text(p, le.Uint32(p[i:]), le.Uint16(p[i+8:])), text(p, le.Uint32(p[i+4:]), le.Uint16(p[i+10:]))
		names = append(names, fmt.Sprintf("%s=%q", key, value))
	}
	return strings.Join(names, ", ")
}

// text returns the UTF-16 text of n bytes at off of p, or nothing.
func text(p []byte, off uint32, n uint16) string {
	if int64(off)+int64(n) > int64(len(p)) {
		return ""
	}
	return utf16Text(p[off : off+uint32(n)])
}
