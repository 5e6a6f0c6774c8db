package parallels

import (
	"encoding/binary"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const (
	format = "parallels"
	sector = 512

	magicSectors  = "WithoutFreeSpace" // entries are sectors
	magicClusters = "WithouFreSpacExt" // entries are clusters
	version       = 2
	inUse         = 0x746f6e59
	headerSize    = 64
	entrySize     = 4

	// maxEntries bounds the BAT to 256 MiB: 64 TiB in clusters of 1 MiB.
	maxEntries = 64 << 20
	// maxTracks bounds the cluster to 256 MiB.
	maxTracks = 512 << 10
)

// header is the header.
type header struct {
	part    bounded.Part
	magic   string
	version uint32
	tracks  uint32
	entries uint32
	sectors uint64
	inUse   uint32
	data    uint32 // sector
}

// parseHeader parses the header, which must be whole.
func parseHeader(p bounded.Part) (header, error) {
	text := string(p.Data)
	if !strings.HasPrefix(text, magicSectors) && !strings.HasPrefix(text, magicClusters) {
		return header{}, p.Fault(diskimage.NotFormat, "begins with neither %q nor %q", magicSectors, magicClusters)
	}
	if len(p.Data) < headerSize {
		return header{}, p.Fault(diskimage.Truncated, "%d bytes of %d", len(p.Data), headerSize)
	}
	le := binary.LittleEndian
	h := header{
		part:    p,
		magic:   text[:len(magicSectors)],
		version: le.Uint32(p.Data[16:]),
		tracks:  le.Uint32(p.Data[28:]),
		entries: le.Uint32(p.Data[32:]),
		sectors: le.Uint64(p.Data[36:]),
		inUse:   le.Uint32(p.Data[44:]),
		data:    le.Uint32(p.Data[48:]),
	}
	if h.magic == magicSectors {
		h.sectors &= 1<<32 - 1
	}
	return h, nil
}

// cluster returns the bytes of a cluster.
func (h header) cluster() int64 { return int64(h.tracks) * sector }

// entryUnit returns the bytes that an entry counts in.
func (h header) entryUnit() int64 {
	if h.magic == magicSectors {
		return sector
	}
	return h.cluster()
}

// validate checks the fields against each other and the object's size in bytes,
// and returns the size of the disk in bytes.
func (h header) validate(objectSize int64, limits diskimage.Limits) (int64, error) {
	limit := limits.WithDefaults().VirtualSize
	switch {
	case h.version != version:
		return 0, h.fault(diskimage.Unsupported, "version", 16, uint64(h.version), "want %d", version)
	case h.tracks == 0 || h.tracks > maxTracks:
		return 0, h.fault(diskimage.Malformed, "tracks", 28, uint64(h.tracks), "not from 1 to %d sectors", maxTracks)
	case h.sectors == 0:
		return 0, h.fault(diskimage.Malformed, "sectors", 36, 0, "the disk is empty")
	case h.sectors > uint64(limit)/sector:
		return 0, h.fault(diskimage.Limit, "sectors", 36, h.sectors, "more than %d bytes", limit)
	case h.entries > maxEntries:
		return 0, h.fault(diskimage.Limit, "entries", 32, uint64(h.entries), "more than %d", maxEntries)
	case int64(h.data)*sector > (objectSize+sector-1)/sector*sector:
		return 0, h.fault(diskimage.Truncated, "data offset", 48, uint64(h.data), "past the end of the object (%#x)", objectSize)
	}
	if need := (h.sectors + uint64(h.tracks) - 1) / uint64(h.tracks); uint64(h.entries) < need {
		return 0, h.fault(diskimage.Malformed, "entries", 32, uint64(h.entries), "the disk has %d clusters", need)
	}
	return int64(h.sectors) * sector, nil
}

func (h header) fault(c diskimage.Class, field string, at int64, value uint64, reason string, args ...any) error {
	return h.part.FieldFault(c, bounded.Field{Name: field, At: at, Value: value}, reason, args...)
}
