package xz

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"slices"
)

func le32(p []byte) uint32 { return binary.LittleEndian.Uint32(p) }

// newCheck returns the check of a type, nil when it is not known.
func newCheck(kind byte) hash.Hash {
	switch kind {
	case 0:
		return noCheck{}
	case 1:
		return reversed{crc32.NewIEEE()}
	case 4:
		return reversed{crc64.New(crc64.MakeTable(crc64.ECMA))}
	case 10:
		return sha256.New()
	}
	return nil
}

type noCheck struct{}

func (noCheck) Write(p []byte) (int, error) { return len(p), nil }
func (noCheck) Sum(p []byte) []byte         { return p }
func (noCheck) Reset()                      {}
func (noCheck) Size() int                   { return 0 }
func (noCheck) BlockSize() int              { return 1 }

// reversed returns a sum with its least byte first.
type reversed struct{ hash.Hash }

func (r reversed) Sum(p []byte) []byte {
	sum := r.Hash.Sum(nil)
	slices.Reverse(sum)
	return append(p, sum...)
}

// tally is the sizes of any number of blocks, in constant memory.
type tally struct {
	count uint64
	sum   hash.Hash
}

func newTally() tally { return tally{sum: sha256.New()} }

func (t *tally) add(unpadded, unpacked uint64) {
	t.count++
	var p [16]byte
	binary.LittleEndian.PutUint64(p[:], unpadded)
	binary.LittleEndian.PutUint64(p[8:], unpacked)
	t.sum.Write(p[:])
}

type blockHeader struct {
	packed, unpacked int64 // bytes; -1 when not said
	dictionary       int64 // bytes
}

// readBlockHeader reads what follows the header's first byte.
func readBlockHeader(in *counter, size byte) (blockHeader, error) {
	h := blockHeader{packed: -1, unpacked: -1}
	p := make([]byte, (int(size)+1)*4)
	p[0] = size
	if _, err := io.ReadFull(in, p[1:]); err != nil {
		return h, truncated(err)
	}
	body := p[:len(p)-4]
	if le32(p[len(p)-4:]) != crc32.ChecksumIEEE(body) {
		return h, fmt.Errorf("CRC of a block header: %w", ErrCorrupt)
	}
	flags, r := body[1], bytes.NewReader(body[2:])
	if flags&0x3c != 0 {
		return h, fmt.Errorf("block flags %#02x: %w", flags, ErrUnsupported)
	}
	for _, f := range []struct {
		bit  byte
		size *int64
	}{{0x40, &h.packed}, {0x80, &h.unpacked}} {
		if flags&f.bit == 0 {
			continue
		}
		v, err := varint(r)
		if err != nil {
			return h, err
		}
		*f.size = int64(v)
	}
	return h, h.filter(r, flags&3)
}

// filters are the names of those that are not read, by id.
var filters = map[uint64]string{
	3: "delta", 4: "BCJ for x86", 5: "BCJ for PowerPC", 6: "BCJ for IA-64", 7: "BCJ for ARM", 8: "BCJ for ARM Thumb",
	9: "BCJ for SPARC", 10: "BCJ for ARM64", 11: "BCJ for RISC-V",
}

// filter reads the one filter, and the padding; others in front of it are refused.
func (h *blockHeader) filter(r *bytes.Reader, others byte) error {
	const lzma2 = 0x21
	id, err := varint(r)
	if err != nil {
		return err
	}
	if id != lzma2 || others > 0 {
		name, ok := filters[id]
		if !ok {
			name = fmt.Sprintf("%#x", id)
		}
		return fmt.Errorf("filtered by %s: %w", name, ErrUnsupported)
	}
	n, err := varint(r)
	if err != nil {
		return err
	}
	bits, err := r.ReadByte()
	if err != nil || n != 1 || bits > 40 {
		return fmt.Errorf("properties of the filter: %w", ErrCorrupt)
	}
	h.dictionary = int64(2|bits&1) << (bits/2 + 11)
	if h.dictionary > MaxDictionary {
		return fmt.Errorf("a dictionary of %d bytes, more than %d: %w", h.dictionary, MaxDictionary, ErrLimit)
	}
	for r.Len() > 0 {
		if b, _ := r.ReadByte(); b != 0 {
			return fmt.Errorf("padding of a block header: %w", ErrCorrupt)
		}
	}
	return nil
}

// varint reads a number below 2^63.
func varint(r io.ByteReader) (uint64, error) {
	var v uint64
	for i := range 9 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, truncated(err)
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b&0x80 == 0 {
			if b == 0 && i > 0 {
				break
			}
			return v, nil
		}
	}
	return 0, fmt.Errorf("a number: %w", ErrCorrupt)
}

// summed counts and sums what is read byte by byte.
type summed struct {
	in  *counter
	sum hash.Hash32
	n   int64
	one [1]byte
}

func (s *summed) ReadByte() (byte, error) {
	b, err := s.in.ReadByte()
	if err == nil {
		s.n++
		s.one[0] = b
		s.sum.Write(s.one[:])
	}
	return b, err
}

// endStream reads the index, whose first byte was read, and the footer.
func (r *Reader) endStream() error {
	s := &summed{in: &r.in, sum: crc32.NewIEEE(), n: 1}
	s.sum.Write([]byte{0})
	count, err := varint(s)
	if err != nil {
		return err
	}
	if count != r.tally.count {
		return fmt.Errorf("the index lists %d blocks, there are %d: %w", count, r.tally.count, ErrCorrupt)
	}
	listed := newTally()
	for range count {
		unpadded, err := varint(s)
		if err != nil {
			return err
		}
		unpacked, err := varint(s)
		if err != nil {
			return err
		}
		listed.add(unpadded, unpacked)
	}
	for s.n%4 != 0 {
		if b, err := s.ReadByte(); err != nil {
			return truncated(err)
		} else if b != 0 {
			return fmt.Errorf("padding of the index: %w", ErrCorrupt)
		}
	}
	var p [4 + 12]byte
	if _, err := io.ReadFull(&r.in, p[:]); err != nil {
		return truncated(err)
	}
	foot := p[4:]
	switch {
	case le32(p[:]) != s.sum.Sum32() || !bytes.Equal(listed.sum.Sum(nil), r.tally.sum.Sum(nil)):
		return fmt.Errorf("index: %w", ErrCorrupt)
	case le32(foot) != crc32.ChecksumIEEE(foot[4:10]) || string(foot[10:]) != footerMagic ||
		(int64(le32(foot[4:]))+1)*4 != s.n+4 || [2]byte(foot[8:10]) != r.flags:
		return fmt.Errorf("stream footer: %w", ErrCorrupt)
	}
	return nil
}
