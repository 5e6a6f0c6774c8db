package vmdk

import (
	"encoding/binary"
	"math"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// tailUnit is how much of the object's end is read at once in search of the
// footer. Most objects end within 1 KiB of it; some are padded, by GiBs at worst.
const tailUnit = 256 << 10

// locateDirectory returns the sector of the grain directory, from the header or
// from the footer of a stream.
func locateDirectory(src bounded.Source, head header) (uint64, error) {
	if head.directory != atEnd {
		return head.directory, nil
	}
	if !head.compressed() {
		return 0, head.fault(diskimage.Malformed, "grain directory", 56, head.directory, "only a stream has it at the end")
	}
	foot, err := readFooter(src)
	if err != nil {
		return 0, err
	}
	if err := foot.validateCopy(head); err != nil {
		return 0, err
	}
	return foot.directory, nil
}

// readFooter returns the footer: the last sector that is not all zeros, since the
// end of the stream is zeros. A stream that was cut does not have a footer there.
func readFooter(src bounded.Source) (header, error) {
	at, err := lastUsedSector(src)
	if err != nil {
		return header{}, err
	}
	cut := func(reason string) (header, error) {
		return header{}, src.NewPart("end of the stream", max(at, 0), nil).Fault(diskimage.Truncated,
			"%s: the header says that the grain directory is at the end", reason)
	}
	if at < 2*sector {
		return cut("nothing but the header is there")
	}
	// Marker, footer, and the end-of-stream marker after them.
	part, err := src.Part("footer", at-sector, 3*sector)
	if err != nil {
		return cut("no end-of-stream marker")
	}
	le := binary.LittleEndian
	val, size, kind := le.Uint64(part.Data), le.Uint32(part.Data[8:]), le.Uint32(part.Data[12:])
	if val != 1 || size != 0 || kind != markerFooter {
		return cut("no footer")
	}
	foot := src.NewPart("footer", at, part.Data[sector:2*sector])
	if string(foot.Data[:len(magic)]) != magic {
		return header{}, foot.Fault(diskimage.Malformed, "does not begin with %q", magic)
	}
	return parseHeader(foot), nil
}

// validateCopy checks that a footer equals the header, except for the directory,
// which only the footer knows.
func (h header) validateCopy(head header) error {
	for _, f := range []struct {
		name      string
		at        int64
		got, want uint64
	}{
		{"version", 4, uint64(h.version), uint64(head.version)},
		{"capacity", 12, h.capacity, head.capacity},
		{"grain size", 20, h.grain, head.grain},
		{"descriptor", 28, h.descriptor, head.descriptor},
		{"descriptor size", 36, h.descLen, head.descLen},
		{"grain table entries", 44, uint64(h.tableCount), uint64(head.tableCount)},
		{"compression", 77, uint64(h.compression), uint64(head.compression)},
	} {
		if f.got != f.want {
			return h.fault(diskimage.Malformed, f.name, f.at, f.got, "the header says %#x", f.want)
		}
	}
	if h.directory == atEnd {
		return h.fault(diskimage.Malformed, "grain directory", 56, h.directory, "the footer does not say where it is either")
	}
	return nil
}

// lastUsedSector returns the offset of the last sector that holds a byte other
// than zero, or -1.
func lastUsedSector(src bounded.Source) (int64, error) {
	buf := make([]byte, min(src.Size, tailUnit))
	for end := src.Size; end > 0; {
		start := (end - 1) / tailUnit * tailUnit
		p := buf[:end-start]
		if err := src.ReadFull("end of the stream", p, start); err != nil {
			return 0, err
		}
		if i := lastNonZero(p); i >= 0 {
			return (start + int64(i)) / sector * sector, nil
		}
		end = start
	}
	return -1, nil
}

func lastNonZero(p []byte) int {
	for len(p) >= 8 && binary.LittleEndian.Uint64(p[len(p)-8:]) == 0 {
		p = p[:len(p)-8]
	}
	i := len(p) - 1
	for i >= 0 && p[i] == 0 {
		i--
	}
	return i
}

// byteOffset returns the offset of a sector that an image names, or one beyond all
// objects if no object can reach it.
func byteOffset(s uint64) int64 {
	if s > math.MaxInt64/sector {
		return math.MaxInt64
	}
	return int64(s) * sector
}
