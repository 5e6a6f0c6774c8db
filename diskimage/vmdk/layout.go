package vmdk

import (
	"encoding/binary"
	"math"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const (
	format = "vmdk"
	sector = 512

	magic      = "KDMV"
	maxVersion = 3
	lineEnds   = "\n \r\n"
	deflate    = 1
	atEnd      = math.MaxUint64 // grain directory: see the footer
	entrySize  = 4
	tableCount = 512 // entries of a grain table; COWD has its own

	minGrain = 8 // sectors; the specification says more than 8, 8 occurs
	// maxGrain is 64 MiB. All known writers use 64 KiB.
	maxGrain = 64 << 20 / sector
	// maxStreamGrain is 4 MiB: a compressed grain is decoded in one piece, so this
	// bounds buffers.
	maxStreamGrain = 4 << 20 / sector
	// maxDescriptor is 64 KiB: writers use up to 10, and a table of hundreds of
	// extents fits.
	maxDescriptor = 64 << 10
)

// Flags of the header.
const (
	flagLineEnds   = 1 << 0
	flagRedundant  = 1 << 1
	flagZeroed     = 1 << 2
	flagCompressed = 1 << 16
	flagMarkers    = 1 << 17
	flagsKnown     = 0xffff | flagCompressed | flagMarkers // the low half may grow
)

// Types of markers.
const (
	markerEnd       = 0
	markerTable     = 1
	markerDirectory = 2
	markerFooter    = 3
	markerData      = 12 // where a grain's stream begins
)

// header is the sparse header, or the footer.
type header struct {
	part        bounded.Part
	sectors     uint64 // that the header itself takes
	version     uint32
	flags       uint32
	capacity    uint64 // sectors, like all that follow
	grain       uint64
	descriptor  uint64
	descLen     uint64
	tableCount  uint32 // entries
	redundant   uint64
	directory   uint64
	overhead    uint64
	unclean     bool
	compression uint16
}

func parseHeader(p bounded.Part) header {
	le := binary.LittleEndian
	return header{
		part:        p,
		sectors:     1,
		version:     le.Uint32(p.Data[4:]),
		flags:       le.Uint32(p.Data[8:]),
		capacity:    le.Uint64(p.Data[12:]),
		grain:       le.Uint64(p.Data[20:]),
		descriptor:  le.Uint64(p.Data[28:]),
		descLen:     le.Uint64(p.Data[36:]),
		tableCount:  le.Uint32(p.Data[44:]),
		redundant:   le.Uint64(p.Data[48:]),
		directory:   le.Uint64(p.Data[56:]),
		overhead:    le.Uint64(p.Data[64:]),
		unclean:     p.Data[72] != 0,
		compression: le.Uint16(p.Data[77:]),
	}
}

func (h header) compressed() bool { return h.flags&flagCompressed != 0 }

// grainBytes returns the size of a grain in bytes.
func (h header) grainBytes() int64 { return int64(h.grain) * sector }

// tables returns how many grain tables the disk needs.
func (h header) tables() int64 {
	span := h.grain * uint64(h.tableCount)
	return int64((h.capacity + span - 1) / span)
}

// tableBytes returns the size of a grain table in bytes.
func (h header) tableBytes() int64 { return int64(h.tableCount) * entrySize }

// validateKind checks the fields that say whether this is an image that is
// supported.
func (h header) validateKind() error {
	switch {
	case h.flags&flagLineEnds != 0 && string(h.part.Data[73:77]) != lineEnds:
		return h.part.FieldFault(diskimage.Malformed, bounded.Field{Name: "line ends", At: 73, Value: uint64(binary.BigEndian.Uint32(h.part.Data[73:]))},
			"damaged by a transfer in text mode")
	case h.version < 1 || h.version > maxVersion:
		return h.fault(diskimage.Unsupported, "version", 4, uint64(h.version), "want 1 to %d", maxVersion)
	case h.flags&^flagsKnown != 0:
		return h.fault(diskimage.Unsupported, "flags", 8, uint64(h.flags), "unknown ones among them")
	case h.compressed() != (h.flags&flagMarkers != 0):
		return h.fault(diskimage.Unsupported, "flags", 8, uint64(h.flags), "compressed grains and markers only come together")
	case h.compressed() && h.compression != deflate:
		return h.fault(diskimage.Unsupported, "compression", 77, uint64(h.compression), "want %d, deflate", deflate)
	}
	return nil
}

// validate checks the geometry and returns the size of the disk in bytes.
func (h header) validate(size int64, limits diskimage.Limits) (int64, error) {
	switch {
	case h.grain < minGrain || h.grain > maxGrain || h.grain&(h.grain-1) != 0:
		return 0, h.fault(diskimage.Malformed, "grain size", 20, h.grain, "not a power of two from %d to %d sectors", minGrain, maxGrain)
	case h.compressed() && h.grain > maxStreamGrain:
		return 0, h.fault(diskimage.Limit, "grain size", 20, h.grain, "more than %d sectors, compressed", maxStreamGrain)
	case h.tableCount != tableCount:
		return 0, h.fault(diskimage.Malformed, "grain table entries", 44, uint64(h.tableCount), "want %d", tableCount)
	case h.capacity > math.MaxInt64/sector:
		return 0, h.fault(diskimage.Limit, "capacity", 12, h.capacity, "larger than %d bytes", limits.WithDefaults().VirtualSize)
	}
	virtual, err := h.part.VirtualSize(bounded.Field{Name: "capacity", At: 12, Value: h.capacity * sector}, sector, limits)
	if err != nil {
		return 0, err
	}
	switch {
	case h.overhead > uint64(size)/sector:
		return 0, h.fault(diskimage.Truncated, "overhead", 64, h.overhead, "past the end of the object (%#x)", size)
	case h.descriptorEnd() > h.overhead:
		return 0, h.fault(diskimage.Malformed, "overhead", 64, h.overhead, "the descriptor ends at sector %d", h.descriptorEnd())
	}
	return virtual, nil
}

// descriptorEnd returns the first sector that neither the header nor the
// descriptor fills, which validateDescriptor has bounded.
func (h header) descriptorEnd() uint64 {
	if h.descriptor == 0 {
		return h.sectors
	}
	return h.descriptor + h.descLen
}

// validateDescriptor checks where the embedded descriptor lies.
func (h header) validateDescriptor() error {
	switch {
	case h.descriptor == 0:
		return h.noDescriptor()
	case h.descriptor > math.MaxUint32:
		return h.fault(diskimage.Malformed, "descriptor", 28, h.descriptor, "no sector of an image")
	case h.descLen == 0 || h.descLen > maxDescriptor/sector:
		return h.fault(diskimage.Malformed, "descriptor size", 36, h.descLen, "not 1 to %d sectors", maxDescriptor/sector)
	}
	return nil
}

// noDescriptor reports an extent of a split disk. VMware's have no descriptor at
// all, qemu's an empty one.
func (h header) noDescriptor() error {
	return h.fault(diskimage.External, "descriptor", 28, h.descriptor, "none: this is one file of a disk of several; another, the descriptor, has to be opened")
}

func (h header) fault(c diskimage.Class, field string, at int64, value uint64, reason string, args ...any) error {
	return h.part.FieldFault(c, bounded.Field{Name: field, At: at, Value: value}, reason, args...)
}
