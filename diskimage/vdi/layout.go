package vdi

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const (
	format    = "vdi"
	sector    = 512
	signature = 0xbeda107f
	version   = 0x00010001

	headerEnd = 456 // of the fields that are looked at
	entrySize = 4

	absent    = 0xffffffff // entry of a block that is not stored
	discarded = 0xfffffffe // and of one that was discarded

	// maxBlocks bounds the map to 256 MiB: 64 TiB in blocks of 1 MiB.
	maxBlocks = 64 << 20
	maxBlock  = 256 << 20
	maxExtra  = 1 << 20
)

// diskType is the header's type field.
type diskType uint32

const (
	dynamic      diskType = 1
	fixed        diskType = 2
	undo         diskType = 3
	differencing diskType = 4
)

// header is the preheader and the header.
type header struct {
	part       bounded.Part
	creator    string
	version    uint32
	kind       diskType
	mapOffset  uint32
	dataOffset uint32
	sector     uint32
	size       uint64
	block      uint32
	extra      uint32
	blocks     uint32
	allocated  uint32
	linked     bool
}

// parseHeader parses the header, which must be whole.
func parseHeader(p bounded.Part) (header, error) {
	le := binary.LittleEndian
	if len(p.Data) < 68 || le.Uint32(p.Data[64:]) != signature {
		return header{}, p.Fault(diskimage.NotFormat, "no %#x at 64", uint32(signature))
	}
	if len(p.Data) < headerEnd {
		return header{}, p.Fault(diskimage.Truncated, "%d bytes of %d", len(p.Data), headerEnd)
	}
	text, _, _ := strings.Cut(string(p.Data[:64]), "\x00")
	return header{
		part:       p,
		creator:    bounded.Printable(strings.Trim(text, "<> \n")),
		version:    le.Uint32(p.Data[68:]),
		kind:       diskType(le.Uint32(p.Data[76:])),
		mapOffset:  le.Uint32(p.Data[340:]),
		dataOffset: le.Uint32(p.Data[344:]),
		sector:     le.Uint32(p.Data[360:]),
		size:       le.Uint64(p.Data[368:]),
		block:      le.Uint32(p.Data[376:]),
		extra:      le.Uint32(p.Data[380:]),
		blocks:     le.Uint32(p.Data[384:]),
		allocated:  le.Uint32(p.Data[388:]),
		linked:     [32]byte(p.Data[424:456]) != [32]byte{},
	}, nil
}

// validate refuses what is not read here, then what makes no sense, and returns
// the size of the disk in bytes, which is whole sectors.
func (h header) validate(limits diskimage.Limits) (int64, error) {
	if h.version != version {
		return 0, h.fault(diskimage.Unsupported, "version", 68, uint64(h.version), "want %#x", version)
	}
	switch {
	case h.kind == undo || h.kind == differencing:
		return 0, h.fault(diskimage.External, "type", 76, uint64(h.kind), "%v disk, whose parent is not read", h.kind)
	case h.kind != dynamic && h.kind != fixed:
		return 0, h.fault(diskimage.Unsupported, "type", 76, uint64(h.kind), "neither dynamic nor fixed")
	case h.linked:
		return 0, h.part.Fault(diskimage.External, "it names a parent image, which is not read")
	}
	size, err := h.part.VirtualSize(bounded.Field{Name: "disk size", At: 368, Value: h.size}, 1, limits)
	if err != nil {
		return 0, err
	}
	size = (size + sector - 1) / sector * sector
	return size, h.checkGeometry(size)
}

// checkGeometry checks the fields against each other and the disk's size in
// bytes.
func (h header) checkGeometry(size int64) error {
	switch b := h.block; {
	case b < sector || b > maxBlock || b&(b-1) != 0:
		return h.fault(diskimage.Malformed, "block size", 376, uint64(b), "not a power of two from %d to %d", sector, maxBlock)
	case h.extra > maxExtra:
		return h.fault(diskimage.Malformed, "extra bytes of a block", 380, uint64(h.extra), "more than %d", maxExtra)
	case h.sector != sector:
		return h.fault(diskimage.Unsupported, "sector size", 360, uint64(h.sector), "not %d", sector)
	case h.blocks > maxBlocks:
		return h.fault(diskimage.Limit, "blocks", 384, uint64(h.blocks), "more than %d", maxBlocks)
	case h.allocated > h.blocks:
		return h.fault(diskimage.Malformed, "blocks stored", 388, uint64(h.allocated), "more than the %d of the disk", h.blocks)
	}
	need := (size + int64(h.block) - 1) / int64(h.block)
	mapEnd := int64(h.mapOffset) + need*entrySize
	switch {
	case int64(h.blocks) < need:
		return h.fault(diskimage.Malformed, "blocks", 384, uint64(h.blocks), "the disk has %d", need)
	case h.mapOffset < headerEnd:
		return h.fault(diskimage.Malformed, "map offset", 340, uint64(h.mapOffset), "inside the header")
	case int64(h.dataOffset) < mapEnd:
		return h.fault(diskimage.Malformed, "data offset", 344, uint64(h.dataOffset), "inside the map, which ends at %#x", mapEnd)
	}
	return nil
}

func (h header) fault(c diskimage.Class, field string, at int64, value uint64, reason string, args ...any) error {
	return h.part.FieldFault(c, bounded.Field{Name: field, At: at, Value: value}, reason, args...)
}

func (k diskType) String() string {
	switch k {
	case dynamic:
		return "dynamic"
	case fixed:
		return "fixed"
	case undo:
		return "undo"
	case differencing:
		return "differencing"
	}
	return fmt.Sprintf("type %d", uint32(k))
}
