package vhdx

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const (
	format = "vhdx"
	kib    = 1 << 10
	mib    = 1 << 20

	fileMagic     = "vhdxfile"
	headerMagic   = "head"
	headerSize    = 4 * kib
	regionMagic   = "regi"
	regionSize    = 64 * kib // of a region table
	metadataMagic = "metadata"
	metadataSize  = 64 * kib // of the metadata table; items lie behind it
	maxEntries    = 2047     // of a region or metadata table

	// metadataAhead is how much of the metadata region is read at once: in all
	// known images the items follow the table.
	metadataAhead = 128 * kib

	logSector = 4 * kib
)

// Fixed places.
const (
	header1 = 64 * kib
	header2 = 128 * kib
	region1 = 192 * kib
	region2 = 256 * kib
	// firstFree is where everything else begins, which is found through them.
	firstFree = 1 * mib
)

// guid is a GUID as it lies in the file: the first three groups little-endian.
type guid [16]byte

func (g guid) String() string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(g[:]), le.Uint16(g[4:]), le.Uint16(g[6:]), g[8:10], g[10:])
}

// parseGUID returns the GUID written as s, which must be well-formed.
func parseGUID(s string) guid {
	p, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil {
		panic(err)
	}
	for _, group := range [][]byte{p[0:4], p[4:6], p[6:8]} {
		slices.Reverse(group)
	}
	return guid(p)
}

// The regions and metadata items of the specification (2.2.3.2, 2.6.2).
var (
	batRegion      = parseGUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
	metadataRegion = parseGUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")

	fileParameters = parseGUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
	virtualSize    = parseGUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
	diskID         = parseGUID("beca12ab-b2e6-4523-93ef-c309e000c746")
	logicalSector  = parseGUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
	physicalSector = parseGUID("cda348c7-445d-4471-9cc9-e9885251c556")
	parentLocator  = parseGUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
)

// checksum is the CRC-32C of p with the four bytes at 4 taken as zero.
func checksum(p []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // made once, by hash/crc32
	sum := crc32.Update(0, table, p[:4])
	sum = crc32.Update(sum, table, make([]byte, 4))
	return crc32.Update(sum, table, p[8:])
}

// intact reports whether p begins with magic and holds its own checksum.
func intact(p []byte, magic string) bool {
	return bytes.HasPrefix(p, []byte(magic)) && binary.LittleEndian.Uint32(p[4:]) == checksum(p)
}

// header is the valid one of the two headers.
type header struct {
	part       bounded.Part
	sequence   uint64
	logGUID    guid
	logVersion uint16
	version    uint16
	logLength  uint32
	logOffset  uint64
}

func parseHeader(p bounded.Part) header {
	le := binary.LittleEndian
	return header{
		part:       p,
		sequence:   le.Uint64(p.Data[8:]),
		logGUID:    guid(p.Data[48:64]),
		logVersion: le.Uint16(p.Data[64:]),
		version:    le.Uint16(p.Data[66:]),
		logLength:  le.Uint32(p.Data[68:]),
		logOffset:  le.Uint64(p.Data[72:]),
	}
}

// validate checks the fields and that the log, used or not, lies in the object.
func (h header) validate(src bounded.Source) error {
	switch {
	case h.version != 1:
		return h.fault(diskimage.Unsupported, "version", 66, uint64(h.version), "want 1")
	case h.logVersion != 0:
		return h.fault(diskimage.Unsupported, "log version", 64, uint64(h.logVersion), "want 0")
	case h.logLength%mib != 0 || h.dirty() && h.logLength == 0:
		return h.fault(diskimage.Malformed, "log length", 68, uint64(h.logLength), "not a multiple of 1 MiB")
	case h.logLength > 0 && (h.logOffset%mib != 0 || h.logOffset < firstFree || h.logOffset > math.MaxInt64):
		return h.fault(diskimage.Malformed, "log offset", 72, h.logOffset, "not a multiple of 1 MiB from 1 MiB on")
	}
	if h.logLength == 0 {
		return nil
	}
	return src.Check("log", int64(h.logOffset), int64(h.logLength))
}

// log returns where the log is; an empty region when there is none.
func (h header) log() region {
	if h.logLength == 0 {
		return region{}
	}
	return region{"log", int64(h.logOffset), int64(h.logOffset) + int64(h.logLength)}
}

// dirty reports whether the log is in use.
func (h header) dirty() bool { return h.logGUID != guid{} }

func (h header) fault(c diskimage.Class, field string, at int64, value uint64, reason string, args ...any) error {
	return h.part.FieldFault(c, bounded.Field{Name: field, At: at, Value: value}, reason, args...)
}

// readHeader returns the current header (2.2.2): the valid one, or of two valid
// ones the one with the higher sequence. Disk2vhd writes two equal ones.
func readHeader(src bounded.Source) (header, error) {
	var valid []header
	for i, off := range []int64{header1, header2} {
		p, err := src.Part(fmt.Sprintf("header %d", i+1), off, headerSize)
		if err != nil {
			return header{}, err
		}
		if intact(p.Data, headerMagic) {
			valid = append(valid, parseHeader(p))
		}
	}
	switch {
	case len(valid) == 0:
		return header{}, src.NewPart("headers", header1, nil).Fault(diskimage.Malformed, "neither has a valid checksum")
	case len(valid) == 1 || valid[0].sequence > valid[1].sequence:
		return valid[0], nil
	case valid[0].sequence < valid[1].sequence:
		return valid[1], nil
	case !bytes.Equal(valid[0].part.Data[8:80], valid[1].part.Data[8:80]):
		return header{}, valid[1].fault(diskimage.Malformed, "sequence", 8, valid[1].sequence, "the same as header 1's, which differs")
	}
	return valid[0], nil
}

// region is a range of the object, in bytes.
type region struct {
	name     string
	off, end int64
}

func (r region) overlaps(off, end int64) bool { return off < r.end && r.off < end }

// utf16Text decodes little-endian UTF-16 up to the first NUL, for descriptions.
func utf16Text(p []byte) string {
	var units []uint16
	for i := 0; i+1 < len(p); i += 2 {
		u := binary.LittleEndian.Uint16(p[i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return bounded.Printable(string(utf16.Decode(units)))
}
