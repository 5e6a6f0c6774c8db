package qcow2

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const (
	format = "qcow2"
	magic  = "QFI\xfb"
	sector = 512

	headerV2, headerV3 = 72, 104 // bytes

	minClusterBits, maxClusterBits = 9, 21
	minExtendedBits                = 14
	subclusters                    = 32

	// maxL1 bounds the L1 table in bytes, as qemu does. It maps 128 GiB with the
	// smallest clusters, 2 PiB with the usual 64 KiB.
	maxL1     = 32 << 20
	entrySize = 8 // of an L1 entry, and of an L2 entry that is not extended
)

// Incompatible features.
const (
	dirty uint64 = 1 << iota
	corrupt
	externalData
	otherCompression
	extendedL2

	known = dirty | corrupt | externalData | otherCompression | extendedL2
)

// compression is how clusters are compressed.
type compression uint8

const (
	deflate compression = iota
	zstandard
)

// header is the header without its extensions.
type header struct {
	part          bounded.Part // from the object's start, as much as was read
	version       uint32
	backingOffset uint64
	backingLength uint32
	clusterBits   uint32
	size          uint64
	encryption    uint32
	l1Entries     uint32
	l1Offset      uint64
	incompatible  uint64
	length        uint32
	compression   compression
}

// parseHeader parses the header. It checks the fields that say how to read it:
// magic, version and lengths.
func parseHeader(p bounded.Part) (header, error) {
	h := header{part: p}
	if !strings.HasPrefix(string(p.Data), magic) {
		return h, p.Fault(diskimage.NotFormat, "does not begin with %q", magic)
	}
	if len(p.Data) < headerV2 {
		return h, p.Fault(diskimage.Truncated, "%d bytes of %d", len(p.Data), headerV2)
	}
	be := binary.BigEndian
	h.version = be.Uint32(p.Data[4:])
	h.backingOffset = be.Uint64(p.Data[8:])
	h.backingLength = be.Uint32(p.Data[16:])
	h.clusterBits = be.Uint32(p.Data[20:])
	h.size = be.Uint64(p.Data[24:])
	h.encryption = be.Uint32(p.Data[32:])
	h.l1Entries = be.Uint32(p.Data[36:])
	h.l1Offset = be.Uint64(p.Data[40:])
	h.length = headerV2
	if h.version != 2 && h.version != 3 {
		return h, h.fault(diskimage.Unsupported, "version", 4, uint64(h.version), "neither 2 nor 3")
	}
	if h.clusterBits < minClusterBits || h.clusterBits > maxClusterBits {
		return h, h.fault(diskimage.Malformed, "cluster bits", 20, uint64(h.clusterBits), "not from %d to %d", minClusterBits, maxClusterBits)
	}
	if h.version == 3 {
		return h, h.parseV3()
	}
	return h, nil
}

func (h *header) parseV3() error {
	data, be := h.part.Data, binary.BigEndian
	if len(data) < headerV3 {
		return h.part.Fault(diskimage.Truncated, "%d bytes of %d", len(data), headerV3)
	}
	h.incompatible = be.Uint64(data[72:])
	h.length = be.Uint32(data[100:])
	if h.length < headerV3 || h.length%8 != 0 || int64(h.length) > h.cluster() {
		return h.fault(diskimage.Malformed, "header length", 100, uint64(h.length), "not a multiple of 8 from %d to a cluster", headerV3)
	}
	if int(h.length) > len(data) {
		return h.fault(diskimage.Truncated, "header length", 100, uint64(h.length), "more than the %d bytes there are", len(data))
	}
	if h.length > headerV3 {
		h.compression = compression(data[headerV3])
	}
	return nil
}

func (h header) cluster() int64 { return 1 << h.clusterBits }

func (h header) extended() bool { return h.incompatible&extendedL2 != 0 }

// l2Entry returns the bytes of an L2 entry.
func (h header) l2Entry() int64 {
	if h.extended() {
		return 2 * entrySize
	}
	return entrySize
}

// span returns the bytes of the disk that an L2 table maps.
func (h header) span() int64 { return h.cluster() / h.l2Entry() * h.cluster() }

// validate refuses what is not read here, then what makes no sense, and returns
// the size of the disk in bytes, which is whole sectors.
func (h header) validate(x extensions, limits diskimage.Limits) (int64, error) {
	if err := h.refuse(x); err != nil {
		return 0, err
	}
	if err := h.checkFeatures(x); err != nil {
		return 0, err
	}
	size, err := h.part.VirtualSize(bounded.Field{Name: "size", At: 24, Value: h.size}, 1, limits)
	if err != nil {
		return 0, err
	}
	size = (size + sector - 1) / sector * sector
	return size, h.checkL1(size)
}

// refuse reports features that make the disk depend on more than this object.
func (h header) refuse(x extensions) error {
	switch {
	case h.backingOffset != 0 || h.backingLength != 0:
		return h.fault(diskimage.External, "backing file", 8, h.backingOffset, "the disk needs the backing file %s, which is not read", h.backingName())
	case x.backingFormat != nil:
		return x.backingFormat.Fault(diskimage.External, "the disk needs a backing file of format %s, which is not read", x.backingFormat.text())
	case h.incompatible&externalData != 0 && x.dataFile == nil:
		return h.fault(diskimage.External, "incompatible features", 72, h.incompatible, "the data are in an external data file, which is not read")
	case x.dataFile != nil:
		return x.dataFile.Fault(diskimage.External, "the data are in the external data file %s, which is not read", x.dataFile.text())
	case h.encryption == 1:
		return h.fault(diskimage.Unsupported, "encryption", 32, 1, "encrypted with AES")
	case h.encryption == 2 || h.encryption == 0 && x.luks != nil:
		return h.fault(diskimage.Unsupported, "encryption", 32, uint64(h.encryption), "encrypted with LUKS")
	case h.encryption != 0:
		return h.fault(diskimage.Unsupported, "encryption", 32, uint64(h.encryption), "encrypted in an unknown way")
	}
	return nil
}

// backingName is the name for an error. It is never looked up.
func (h header) backingName() string {
	data := h.part.Data
	if h.backingOffset < headerV2 || h.backingOffset > uint64(len(data)) {
		return `""`
	}
	name := data[h.backingOffset:]
	name = name[:min(uint64(len(name)), uint64(h.backingLength))]
	return fmt.Sprintf("%q", bounded.Printable(string(name)))
}

func (h header) checkFeatures(x extensions) error {
	fault := func(c diskimage.Class, reason string, args ...any) error {
		return h.fault(c, "incompatible features", 72, h.incompatible, reason, args...)
	}
	if unknown := h.incompatible &^ known; unknown != 0 {
		return fault(diskimage.Unsupported, "unknown: %s", x.names(unknown))
	}
	if h.incompatible&corrupt != 0 {
		return fault(diskimage.Malformed, "the image is marked as corrupt")
	}
	if h.extended() && h.clusterBits < minExtendedBits {
		return h.fault(diskimage.Malformed, "cluster bits", 20, uint64(h.clusterBits), "less than %d with extended L2 entries", minExtendedBits)
	}
	if (h.incompatible&otherCompression != 0) != (h.compression != deflate) {
		return h.fault(diskimage.Malformed, "compression type", headerV3, uint64(h.compression), "at odds with the incompatible features %#x", h.incompatible)
	}
	if h.compression > zstandard {
		return h.fault(diskimage.Unsupported, "compression type", headerV3, uint64(h.compression), "neither deflate nor zstd")
	}
	return nil
}

// checkL1 checks where the L1 table is said to be, for a disk of size bytes.
func (h header) checkL1(size int64) error {
	need := (size + h.span() - 1) / h.span()
	switch {
	case int64(h.l1Entries) < need:
		return h.fault(diskimage.Malformed, "L1 entries", 36, uint64(h.l1Entries), "the disk needs %d", need)
	case h.l1Entries > maxL1/entrySize:
		return h.fault(diskimage.Limit, "L1 entries", 36, uint64(h.l1Entries), "more than %d", maxL1/entrySize)
	case h.l1Offset%uint64(h.cluster()) != 0:
		return h.fault(diskimage.Malformed, "L1 offset", 40, h.l1Offset, "not a multiple of the cluster size %d", h.cluster())
	case h.l1Offset == 0:
		return h.fault(diskimage.Malformed, "L1 offset", 40, 0, "inside the header")
	case h.l1Offset > 1<<56:
		return h.fault(diskimage.Malformed, "L1 offset", 40, h.l1Offset, "larger than any object")
	}
	return nil
}

func (h header) fault(c diskimage.Class, field string, at int64, value uint64, reason string, args ...any) error {
	return h.part.FieldFault(c, bounded.Field{Name: field, At: at, Value: value}, reason, args...)
}
