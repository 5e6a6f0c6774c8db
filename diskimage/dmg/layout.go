package dmg

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const (
	format = "dmg"
	sector = 512

	trailerSize = 512
	trailerMark = "koly\x00\x00\x00\x04\x00\x00\x02\x00" // magic, version, size
	tableSize   = 204
	tableMagic  = "mish"
	chunkSize   = 40

	// maxChunk is the largest compressed chunk that is read, expanded: one is
	// decoded in one piece, so this bounds buffers. hdiutil makes them of 256 KiB
	// and 1 MiB.
	maxChunk = 4 << 20
)

// Types of chunks.
const (
	chunkZero    = 0
	chunkRaw     = 1
	chunkUnused  = 2
	chunkADC     = 0x80000004
	chunkZlib    = 0x80000005
	chunkBzip2   = 0x80000006
	chunkLZFSE   = 0x80000007
	chunkXz      = 0x80000008
	chunkComment = 0x7ffffffe
	chunkEnd     = 0xffffffff
)

// TailSize is how many bytes at the end of an object are searched for a trailer. It
// is enough for one that is followed by 64 KiB of padding.
const TailSize = 128 << 10

// FindTrailer returns where in an object of size bytes, whose last bytes are tail
// (TailSize of them, or all), the trailer begins. It may be cut, or padded: with
// zeros, or with anything when the property list is where it says.
func FindTrailer(tail []byte, size int64) (off int64, ok bool) {
	end := min(len(tail), len(bytes.TrimRight(tail, "\x00"))+1) // the mark ends in one zero
	i := bytes.LastIndex(tail[:end], []byte(trailerMark))
	if i < 0 {
		return 0, false
	}
	off = size - int64(len(tail)) + int64(i)
	behind := tail[min(len(tail), i+trailerSize):]
	if len(behind) >= trailerSize && len(bytes.TrimRight(behind, "\x00")) > 0 && !EndsList(tail, size, off) {
		return 0, false
	}
	return off, true
}

// EndsList reports whether the property list ends where the trailer at off says, as
// far as tail shows. That of a DMG inside an archive does not.
func EndsList(tail []byte, size, off int64) bool {
	start := size - int64(len(tail))
	p := tail[off-start:]
	if len(p) < trailerSize {
		return false
	}
	list, n := binary.BigEndian.Uint64(p[216:]), binary.BigEndian.Uint64(p[224:])
	if list > uint64(off) || n > uint64(off)-list || int64(list+n) < start {
		return false
	}
	return bytes.HasSuffix(bytes.TrimSpace(tail[:int64(list+n)-start]), []byte("</plist>"))
}

// Encrypted reports whether an object is an encrypted image, by its start or, of
// the first version, its end.
func Encrypted(head, tail []byte) bool {
	return bytes.HasPrefix(head, []byte("encrcdsa")) || bytes.HasSuffix(tail, []byte("cdsaencr"))
}

// trailer is what the trailer says.
type trailer struct {
	part     bounded.Part
	fork     uint64 // offset of the data fork; bytes
	resource uint64 // bytes of the resource fork
	segments uint32
	list     uint64 // offset of the property list
	listLen  uint64
	sectors  uint64
	behind   int64 // bytes behind it, when they are not all zeros
}

// readTrailer finds the trailer.
func readTrailer(src bounded.Source) (trailer, error) {
	head, err := src.Part("start of the object", 0, min(src.Size, sector))
	if err != nil {
		return trailer{}, err
	}
	n := min(TailSize, src.Size)
	tail, err := src.Part("end of the object", src.Size-n, n)
	if err != nil {
		return trailer{}, err
	}
	if Encrypted(head.Data, tail.Data) {
		return trailer{}, head.Fault(diskimage.Unsupported, "an encrypted image, which is not read")
	}
	off, ok := FindTrailer(tail.Data, src.Size)
	if !ok {
		return trailer{}, tail.Fault(diskimage.NotFormat, "no trailer")
	}
	p := src.NewPart("trailer", off, tail.Data[off-tail.Off:])
	if len(p.Data) < trailerSize {
		return trailer{}, p.Fault(diskimage.Truncated, "the object ends in it")
	}
	be := binary.BigEndian
	leftOut := int64(0)
	if behind := p.Data[trailerSize:]; len(bytes.Trim(behind, "\x00")) > 0 {
		leftOut = int64(len(behind))
	}
	return trailer{
		behind:   leftOut,
		part:     p,
		fork:     be.Uint64(p.Data[24:]),
		resource: be.Uint64(p.Data[48:]),
		segments: be.Uint32(p.Data[60:]),
		list:     be.Uint64(p.Data[216:]),
		listLen:  be.Uint64(p.Data[224:]),
		sectors:  be.Uint64(p.Data[492:]),
	}, nil
}

// validate checks the trailer and returns the size of the disk in bytes.
func (t trailer) validate(limits diskimage.Limits) (int64, error) {
	end := uint64(t.part.Off)
	switch {
	case t.segments > 1:
		return 0, t.fault(diskimage.External, "segments", 60, uint64(t.segments), "the other ones are other files")
	case t.listLen == 0 && t.resource > 0:
		return 0, t.fault(diskimage.Unsupported, "property list length", 224, t.listLen, "its tables are in a resource fork alone, which is not read")
	case t.listLen == 0:
		return 0, t.fault(diskimage.Malformed, "property list length", 224, t.listLen, "there are no tables")
	case t.listLen > uint64(limits.MetadataBytes)/4: // parsing takes several times as much
		return 0, t.fault(diskimage.Limit, "property list length", 224, t.listLen, "more than %d bytes", limits.MetadataBytes/4)
	case t.list > end || t.listLen > end-t.list:
		return 0, t.fault(diskimage.Malformed, "property list offset", 216, t.list, "does not end before the trailer")
	case t.fork > end:
		return 0, t.fault(diskimage.Malformed, "data fork offset", 24, t.fork, "behind the trailer")
	case t.sectors > math.MaxInt64/sector:
		return 0, t.fault(diskimage.Limit, "sectors", 492, t.sectors, "larger than %d bytes", limits.VirtualSize)
	}
	return t.part.VirtualSize(bounded.Field{Name: "sectors", At: 492, Value: t.sectors * sector}, sector, limits)
}

func (t trailer) fault(c diskimage.Class, field string, at int64, value uint64, reason string, args ...any) error {
	return t.part.FieldFault(c, bounded.Field{Name: field, At: at, Value: value}, reason, args...)
}
