package vhd

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const (
	format = "vhd"
	sector = 512

	footerSize  = 512
	footerMagic = "conectix"
	headerSize  = 1024
	headerMagic = "cxsparse"
	version     = 0x00010000
	entrySize   = 4
	absent      = 0xffffffff // BAT entry of a block that is not stored

	// maxEntries bounds the BAT: 8 Mi blocks are 16 TiB of the usual 2 MiB,
	// eight times what sector numbers of 32 bits can reach.
	maxEntries = 8 << 20
	// maxBlock bounds the block, and so its bitmap (64 KiB). Writers use 512 KiB
	// and 2 MiB.
	maxBlock = 256 << 20
)

// diskType is the footer's type field.
type diskType uint32

const (
	fixed        diskType = 2
	dynamic      diskType = 3
	differencing diskType = 4
)

// footer is the footer, or its copy at the start.
type footer struct {
	part       bounded.Part
	version    uint32
	dataOffset uint64
	creator    string
	size       uint64 // "current size"
	kind       diskType
	checksum   uint32
	saved      bool
}

func parseFooter(p bounded.Part) footer {
	be := binary.BigEndian
	return footer{
		part:       p,
		version:    be.Uint32(p.Data[12:]),
		dataOffset: be.Uint64(p.Data[16:]),
		creator:    strings.TrimRight(bounded.Printable(string(p.Data[28:32])), "? "),
		size:       be.Uint64(p.Data[48:]),
		kind:       diskType(be.Uint32(p.Data[60:])),
		checksum:   be.Uint32(p.Data[64:]),
		saved:      p.Data[84] == 1,
	}
}

// intact reports whether the checksum holds.
func (f footer) intact() bool { return f.checksum == checksum(f.part.Data, 64) }

// validate checks what does not depend on the type and returns the disk's size.
func (f footer) validate(limits diskimage.Limits) (int64, error) {
	if !f.intact() {
		return 0, f.fault(diskimage.Malformed, "checksum", 64, uint64(f.checksum), "the content's is %#x", checksum(f.part.Data, 64))
	}
	if f.version != version {
		return 0, f.fault(diskimage.Unsupported, "version", 12, uint64(f.version), "want %#x", version)
	}
	if f.kind != fixed && f.kind != dynamic && f.kind != differencing {
		return 0, f.fault(diskimage.Unsupported, "disk type", 60, uint64(f.kind), "neither fixed nor dynamic")
	}
	return f.part.VirtualSize(bounded.Field{Name: "current size", At: 48, Value: f.size}, sector, limits)
}

func (f footer) fault(c diskimage.Class, field string, at int64, value uint64, reason string, args ...any) error {
	return f.part.FieldFault(c, bounded.Field{Name: field, At: at, Value: value}, reason, args...)
}

// header is the dynamic header.
type header struct {
	part        bounded.Part
	tableOffset uint64
	version     uint32
	entries     uint32
	blockSize   uint32
	checksum    uint32
	hasParent   bool
	parent      string
}

func parseHeader(p bounded.Part) header {
	be := binary.BigEndian
	return header{
		part:        p,
		tableOffset: be.Uint64(p.Data[16:]),
		version:     be.Uint32(p.Data[24:]),
		entries:     be.Uint32(p.Data[28:]),
		blockSize:   be.Uint32(p.Data[32:]),
		checksum:    be.Uint32(p.Data[36:]),
		hasParent:   [16]byte(p.Data[40:56]) != [16]byte{},
		parent:      utf16Text(p.Data[64:576]),
	}
}

// validate checks the fields against each other and the disk's size in bytes.
func (h header) validate(size int64) error {
	if string(h.part.Data[:8]) != headerMagic {
		return h.part.Fault(diskimage.Malformed, "does not begin with %q", headerMagic)
	}
	if want := checksum(h.part.Data, 36); h.checksum != want {
		return h.fault(diskimage.Malformed, "checksum", 36, uint64(h.checksum), "the content's is %#x", want)
	}
	if h.version != version {
		return h.fault(diskimage.Unsupported, "version", 24, uint64(h.version), "want %#x", version)
	}
	if b := h.blockSize; b < sector || b > maxBlock || b&(b-1) != 0 {
		return h.fault(diskimage.Malformed, "block size", 32, uint64(b), "not a power of two from %d to %d", sector, maxBlock)
	}
	if h.entries > maxEntries {
		return h.fault(diskimage.Limit, "table entries", 28, uint64(h.entries), "more than %d", maxEntries)
	}
	if need := blocks(size, int64(h.blockSize)); int64(h.entries) < need {
		return h.fault(diskimage.Malformed, "table entries", 28, uint64(h.entries), "the disk has %d blocks", need)
	}
	return nil
}

func (h header) fault(c diskimage.Class, field string, at int64, value uint64, reason string, args ...any) error {
	return h.part.FieldFault(c, bounded.Field{Name: field, At: at, Value: value}, reason, args...)
}

// checksum is the complement of the sum of p's bytes without the four at skip.
func checksum(p []byte, skip int) uint32 {
	var sum uint32
	for i, b := range p {
		if i < skip || i >= skip+4 {
			sum += uint32(b)
		}
	}
	return ^sum
}

// blocks returns how many blocks a disk of size bytes has.
func blocks(size, blockSize int64) int64 { return (size + blockSize - 1) / blockSize }

// bitmapSize returns the bytes of a block's sector bitmap, with its padding.
func bitmapSize(blockSize int64) int64 {
	bits := blockSize / sector
	return ((bits+7)/8 + sector - 1) / sector * sector
}

// utf16Text decodes big-endian UTF-16 up to the first NUL.
func utf16Text(p []byte) string {
	var units []uint16
	for i := 0; i+1 < len(p); i += 2 {
		u := binary.BigEndian.Uint16(p[i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return bounded.Printable(string(utf16.Decode(units)))
}
