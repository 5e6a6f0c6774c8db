package qed

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const (
	format = "qed"
	magic  = "QED\x00"
	sector = 512

	headerSize = 64
	entrySize  = 8

	minCluster, maxCluster = 4 << 10, 64 << 20
	maxTable               = 16 // clusters
)

// Features.
const (
	backingFile uint64 = 1 << iota
	needCheck
	backingRaw

	known = backingFile | needCheck | backingRaw
)

// header is the header.
type header struct {
	part          bounded.Part // from the object's start, as much as was read
	clusterSize   uint32
	tableClusters uint32
	headClusters  uint32
	features      uint64
	l1Offset      uint64
	size          uint64
	backingOffset uint32
	backingLength uint32
}

// parseHeader parses the header, which must be whole.
func parseHeader(p bounded.Part) (header, error) {
	if !strings.HasPrefix(string(p.Data), magic) {
		return header{}, p.Fault(diskimage.NotFormat, "does not begin with %q", magic)
	}
	if len(p.Data) < headerSize {
		return header{}, p.Fault(diskimage.Truncated, "%d bytes of %d", len(p.Data), headerSize)
	}
	le := binary.LittleEndian
	return header{
		part:          p,
		clusterSize:   le.Uint32(p.Data[4:]),
		tableClusters: le.Uint32(p.Data[8:]),
		headClusters:  le.Uint32(p.Data[12:]),
		features:      le.Uint64(p.Data[16:]),
		l1Offset:      le.Uint64(p.Data[40:]),
		size:          le.Uint64(p.Data[48:]),
		backingOffset: le.Uint32(p.Data[56:]),
		backingLength: le.Uint32(p.Data[60:]),
	}, nil
}

func (h header) cluster() int64 { return int64(h.clusterSize) }

// table returns the bytes of a table.
func (h header) table() int64 { return int64(h.tableClusters) * h.cluster() }

// head returns the bytes of the header's clusters.
func (h header) head() int64 { return int64(h.headClusters) * h.cluster() }

// span returns the bytes of the disk that an L2 table maps.
func (h header) span() int64 { return h.table() / entrySize * h.cluster() }

// tables returns how many L2 tables a disk of size bytes has.
func (h header) tables(size int64) int64 { return (size + h.span() - 1) / h.span() }

// validate refuses what is not read here, then what makes no sense, and returns
// the size of the disk in bytes.
func (h header) validate(limits diskimage.Limits) (int64, error) {
	if h.features&backingFile != 0 {
		return 0, h.fault(diskimage.External, "features", 16, h.features, "the disk needs the backing file %s, which is not read", h.backingName())
	}
	if unknown := h.features &^ known; unknown != 0 {
		return 0, h.fault(diskimage.Unsupported, "features", 16, h.features, "%#x are unknown", unknown)
	}
	switch c, t := h.clusterSize, h.tableClusters; {
	case c < minCluster || c > maxCluster || c&(c-1) != 0:
		return 0, h.fault(diskimage.Malformed, "cluster size", 4, uint64(c), "not a power of two from %d to %d", minCluster, maxCluster)
	case t == 0 || t > maxTable || t&(t-1) != 0:
		return 0, h.fault(diskimage.Malformed, "table size", 8, uint64(t), "not a power of two from 1 to %d", maxTable)
	case h.headClusters == 0:
		return 0, h.fault(diskimage.Malformed, "header size", 12, 0, "no cluster for the header")
	}
	size, err := h.part.VirtualSize(bounded.Field{Name: "image size", At: 48, Value: h.size}, sector, limits)
	if err != nil {
		return 0, err
	}
	switch {
	case h.tables(size) > h.table()/entrySize:
		return 0, h.fault(diskimage.Malformed, "image size", 48, h.size, "more than the tables can map")
	case h.l1Offset%uint64(h.cluster()) != 0 || h.l1Offset > 1<<62:
		return 0, h.fault(diskimage.Malformed, "L1 offset", 40, h.l1Offset, "no multiple of the cluster size %d", h.cluster())
	case int64(h.l1Offset) < h.head():
		return 0, h.fault(diskimage.Malformed, "L1 offset", 40, h.l1Offset, "inside the header, which ends at %#x", h.head())
	}
	return size, nil
}

// backingName is the name for an error. It is never looked up.
func (h header) backingName() string {
	name := h.part.Data[min(int64(h.backingOffset), int64(len(h.part.Data))):]
	name = name[:min(int64(len(name)), int64(h.backingLength))]
	return fmt.Sprintf("%q", bounded.Printable(string(name)))
}

func (h header) fault(c diskimage.Class, field string, at int64, value uint64, reason string, args ...any) error {
	return h.part.FieldFault(c, bounded.Field{Name: field, At: at, Value: value}, reason, args...)
}
