package blockstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/diskport/diskport/internal/block"
)

// Sizes of the parts of a pack, in bytes; see the package comment.
const (
	headerSize   = Align
	headFixed    = 24 // bytes of the header before what varies
	entrySize    = len(block.ID{}) + 8
	footSize     = 24 // bytes of the trailer behind what varies
	crcSize      = 4
	packVersion  = 2
	maxPackUnits = 1 << 16 // 256 MiB, without the trailer
)

// MaxPackBytes is how long a pack may be, without its trailer.
const MaxPackBytes = maxPackUnits * Align

var (
	headerMagic  = []byte("DPPK")
	trailerMagic = []byte("DPPT")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
)

// ErrBadPack reports a file that is not a whole pack.
var ErrBadPack = errors.New("blockstore: not a pack")

func trailerSize(n int) int { return alignUp(n*entrySize + footSize) }

// PackOverhead returns the bytes of a pack of n blocks besides their frames.
func PackOverhead(n int) int64 { return headerSize + int64(trailerSize(n)) }

// encodeHeader returns the header of a pack.
func encodeHeader(f File, d Domain) ([]byte, error) {
	h := AlignedBytes(headerSize)
	copy(h, headerMagic)
	binary.LittleEndian.PutUint16(h[4:], packVersion)
	binary.LittleEndian.PutUint64(h[8:], uint64(f.ID))
	binary.LittleEndian.PutUint32(h[16:], Align)
	w := bytes.NewBuffer(h[:headFixed])
	for _, s := range []string{d.ID, d.Account, d.KMSKey, string(d.WrappedKeys)} {
		if len(s) > headerSize-crcSize-w.Len()-2 {
			return nil, fmt.Errorf("encoding the header of %s: domain %s does not fit", f.Name(), d.ID)
		}
		_ = binary.Write(w, binary.LittleEndian, uint16(len(s)))
		w.WriteString(s)
	}
	putCRC(h)
	return h, nil
}

// encodeTrailer returns the trailer of a pack.
func encodeTrailer(f File, blocks []Placement) []byte {
	t := AlignedBytes(trailerSize(len(blocks)))
	for i, p := range blocks {
		e := t[i*entrySize:]
		copy(e, p.ID[:])
		binary.LittleEndian.PutUint32(e[len(p.ID):], p.Off)
		binary.LittleEndian.PutUint32(e[len(p.ID)+4:], p.Len)
	}
	foot := t[len(t)-footSize:]
	copy(foot, trailerMagic)
	binary.LittleEndian.PutUint16(foot[4:], packVersion)
	binary.LittleEndian.PutUint64(foot[8:], uint64(f.ID))
	binary.LittleEndian.PutUint32(foot[16:], uint32(len(blocks)))
	putCRC(t)
	return t
}

// putCRC fills the last bytes of p with the checksum of those before.
func putCRC(p []byte) {
	end := len(p) - crcSize
	binary.LittleEndian.PutUint32(p[end:], crc32.Checksum(p[:end], castagnoli))
}

// PackIndex is what a pack says about itself.
type PackIndex struct {
	File   File
	Domain Domain
	Blocks []Placement // in order of their frames
}

// ReadPackIndex reads the header and trailer of a pack of size bytes: what the
// catalog can be rebuilt from. Errors of r pass through, others wrap ErrBadPack. It
// does not look at the frames.
func ReadPackIndex(r io.ReaderAt, size int64) (PackIndex, error) {
	if err := checkPackSize(size); err != nil {
		return PackIndex{}, err
	}
	x, err := ReadPackHeader(r)
	if err != nil {
		return PackIndex{}, err
	}
	x.Blocks, err = ReadPackTrailer(r, size, x.File.ID)
	return x, err
}

// ReadPackHeader reads the header of a pack; its errors are those of ReadPackIndex.
func ReadPackHeader(r io.ReaderAt) (PackIndex, error) {
	header := make([]byte, headerSize)
	if _, err := r.ReadAt(header, 0); err != nil {
		return PackIndex{}, fmt.Errorf("reading a pack's header: %w", err)
	}
	return parseHeader(header)
}

// ReadPackTrailer reads the trailer of the pack of size bytes that is the file, and
// returns its blocks, in order of their frames. Its errors are those of ReadPackIndex.
func ReadPackTrailer(r io.ReaderAt, size int64, id FileID) ([]Placement, error) {
	if err := checkPackSize(size); err != nil {
		return nil, err
	}
	last, err := readEnd(r, size, Align)
	if err != nil {
		return nil, err
	}
	n, err := parseFoot(last, id)
	if err != nil {
		return nil, err
	}
	// Every frame has a unit at least, which bounds what is read.
	if int64(n) > (size-headerSize)/Align-1 || int64(trailerSize(int(n))) > size-headerSize {
		return nil, fmt.Errorf("%w: %d blocks in %d bytes", ErrBadPack, n, size)
	}
	trailer, err := readEnd(r, size, trailerSize(int(n)))
	if err != nil {
		return nil, err
	}
	return parseTrailer(trailer, int(n), (size-int64(len(trailer)))/Align)
}

func checkPackSize(size int64) error {
	if size < headerSize+Align || size%Align != 0 {
		return fmt.Errorf("%w: no pack has %d bytes", ErrBadPack, size)
	}
	return nil
}

// readEnd reads the last n bytes of a pack of size bytes.
func readEnd(r io.ReaderAt, size int64, n int) ([]byte, error) {
	p := make([]byte, n)
	if k, err := r.ReadAt(p, size-int64(n)); k < n {
		return nil, fmt.Errorf("reading a pack's trailer: %w", err)
	}
	return p, nil
}

func parseHeader(h []byte) (PackIndex, error) {
	switch {
	case !bytes.Equal(h[:4], headerMagic):
		return PackIndex{}, fmt.Errorf("%w: no %s", ErrBadPack, headerMagic)
	case !crcFits(h):
		return PackIndex{}, fmt.Errorf("%w: checksum of %s", ErrBadPack, headerMagic)
	}
	if err := checkVersion(h[4:]); err != nil {
		return PackIndex{}, err
	}
	if unit := binary.LittleEndian.Uint32(h[16:]); unit != Align {
		return PackIndex{}, fmt.Errorf("%w: units of %d bytes", ErrBadPack, unit)
	}
	rest, bad := h[headFixed:len(h)-crcSize], false
	next := func() []byte {
		if bad = bad || len(rest) < 2 || len(rest)-2 < int(binary.LittleEndian.Uint16(rest)); bad {
			return nil
		}
		n := 2 + int(binary.LittleEndian.Uint16(rest))
		s := rest[2:n]
		rest = rest[n:]
		return s
	}
	d := Domain{ID: string(next()), Account: string(next()), KMSKey: string(next()), WrappedKeys: next()}
	if bad {
		return PackIndex{}, fmt.Errorf("%w: header ends too soon", ErrBadPack)
	}
	return PackIndex{File: File{ID: FileID(binary.LittleEndian.Uint64(h[8:])), Kind: PackFile, Domain: d.ID}, Domain: d}, nil
}

// parseFoot returns how many blocks the trailer that ends with p lists. The checksum
// is not checked yet.
func parseFoot(p []byte, id FileID) (n uint32, err error) {
	foot := p[len(p)-footSize:]
	if !bytes.Equal(foot[:4], trailerMagic) {
		return 0, fmt.Errorf("%w: no %s", ErrBadPack, trailerMagic)
	}
	if err := checkVersion(foot[4:]); err != nil {
		return 0, err
	}
	if got := FileID(binary.LittleEndian.Uint64(foot[8:])); got != id {
		return 0, fmt.Errorf("%w: trailer of file %x, want %x", ErrBadPack, got, id)
	}
	return binary.LittleEndian.Uint32(foot[16:]), nil
}

// parseTrailer returns the n blocks of a pack whose trailer begins at a unit. Frames
// lie one behind the other, without gaps.
func parseTrailer(t []byte, n int, at int64) ([]Placement, error) {
	if !crcFits(t) {
		return nil, fmt.Errorf("%w: checksum of %s", ErrBadPack, trailerMagic)
	}
	blocks := make([]Placement, n)
	next := uint32(headerSize / Align)
	for i := range blocks {
		e, b := t[i*entrySize:], &blocks[i]
		copy(b.ID[:], e)
		b.Span = Span{binary.LittleEndian.Uint32(e[len(b.ID):]), binary.LittleEndian.Uint32(e[len(b.ID)+4:])}
		if err := b.Check(); err != nil || b.Off != next {
			return nil, fmt.Errorf("%w: frame %d is at %d, of %d units", ErrBadPack, i, b.Off, b.Len)
		}
		next = b.end()
	}
	if int64(next) != at {
		return nil, fmt.Errorf("%w: frames end at %d, the trailer begins at %d", ErrBadPack, next, at)
	}
	return blocks, nil
}

// checkVersion checks the version that p begins with.
func checkVersion(p []byte) error {
	switch v := binary.LittleEndian.Uint16(p); v {
	case packVersion:
		return nil
	case 1:
		return fmt.Errorf("%w: pack version 1, which was never released: import what it holds again", ErrBadPack)
	default:
		return fmt.Errorf("%w: pack version %d, which is not known here", ErrBadPack, v)
	}
}

// crcFits reports whether p ends with its checksum.
func crcFits(p []byte) bool {
	end := len(p) - crcSize
	return binary.LittleEndian.Uint32(p[end:]) == crc32.Checksum(p[:end], castagnoli)
}
