package blockstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/frame"
)

// Sizes of the parts of a pack, in bytes; see the package comment.
const (
	headerSize   = Align
	headFixed    = 24 // bytes before what varies, in header and trailer
	crcSize      = 4
	packVersion  = 1
	maxPackSlots = 4096 // a trailer stays shorter than a frame
)

var (
	headerMagic  = []byte("DPPK")
	trailerMagic = []byte("DPPT")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
)

// ErrBadPack reports a file that is not a whole pack.
var ErrBadPack = errors.New("blockstore: not a pack")

// frameOffset returns where the frame of a slot is in its pack.
func frameOffset(slot int) int64 { return headerSize + int64(slot)*frame.Size }

func trailerSize(n int) int { return alignUp(headFixed + n*len(block.ID{}) + crcSize) }

// encodeHeader returns the header of a pack.
func encodeHeader(f File, d Domain) ([]byte, error) {
	h := AlignedBytes(headerSize)
	putHead(h, headerMagic, f.ID, frame.Size)
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
	putHead(t, trailerMagic, f.ID, uint32(len(blocks)))
	for _, p := range blocks {
		copy(t[headFixed+p.Slot*len(p.ID):], p.ID[:])
	}
	putCRC(t)
	return t
}

func putHead(p, magic []byte, id FileID, n uint32) {
	copy(p, magic)
	binary.LittleEndian.PutUint16(p[4:], packVersion)
	binary.LittleEndian.PutUint64(p[8:], uint64(id))
	binary.LittleEndian.PutUint32(p[16:], n)
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
	Blocks []Placement // in order of slots
}

// ReadPackIndex reads the header and trailer of a pack of size bytes: what the
// catalog can be rebuilt from. Errors of r pass through, others wrap
// ErrBadPack. It does not look at the frames.
func ReadPackIndex(r io.ReaderAt, size int64) (PackIndex, error) {
	n := (size - headerSize) / frame.Size
	if size < headerSize || n > maxPackSlots || size != frameOffset(int(n))+int64(trailerSize(int(n))) {
		return PackIndex{}, fmt.Errorf("%w: no pack has %d bytes", ErrBadPack, size)
	}
	header, trailer := make([]byte, headerSize), make([]byte, trailerSize(int(n)))
	if _, err := r.ReadAt(header, 0); err != nil {
		return PackIndex{}, fmt.Errorf("reading a pack's header: %w", err)
	}
	if k, err := r.ReadAt(trailer, frameOffset(int(n))); k < len(trailer) {
		return PackIndex{}, fmt.Errorf("reading a pack's trailer: %w", err)
	}
	x, err := parseHeader(header)
	if err != nil {
		return PackIndex{}, err
	}
	x.Blocks, err = parseTrailer(trailer, x.File.ID, int(n))
	return x, err
}

func parseHeader(h []byte) (PackIndex, error) {
	id, size, err := parseHead(h, headerMagic)
	if err != nil {
		return PackIndex{}, err
	}
	if size != frame.Size {
		return PackIndex{}, fmt.Errorf("%w: frames of %d bytes", ErrBadPack, size)
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
	return PackIndex{File: File{ID: id, Kind: PackFile, Domain: d.ID}, Domain: d}, nil
}

// parseTrailer returns the n blocks of the pack.
func parseTrailer(t []byte, id FileID, n int) ([]Placement, error) {
	gotID, gotN, err := parseHead(t, trailerMagic)
	if err != nil {
		return nil, err
	}
	if gotID != id || int(gotN) != n {
		return nil, fmt.Errorf("%w: trailer of %d blocks of file %x, want %d of %x", ErrBadPack, gotN, gotID, n, id)
	}
	blocks := make([]Placement, n)
	for i := range blocks {
		blocks[i].Slot = i
		copy(blocks[i].ID[:], t[headFixed+i*len(block.ID{}):])
	}
	return blocks, nil
}

// parseHead checks what header and trailer have in common.
func parseHead(p, magic []byte) (FileID, uint32, error) {
	end := len(p) - crcSize
	switch {
	case !bytes.Equal(p[:4], magic):
		return 0, 0, fmt.Errorf("%w: no %s", ErrBadPack, magic)
	case binary.LittleEndian.Uint32(p[end:]) != crc32.Checksum(p[:end], castagnoli):
		return 0, 0, fmt.Errorf("%w: checksum of %s", ErrBadPack, magic)
	case binary.LittleEndian.Uint16(p[4:]) != packVersion:
		return 0, 0, fmt.Errorf("%w: unknown version of %s", ErrBadPack, magic)
	}
	return FileID(binary.LittleEndian.Uint64(p[8:])), binary.LittleEndian.Uint32(p[16:]), nil
}
