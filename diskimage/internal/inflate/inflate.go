package inflate

import (
	"encoding/binary"
	"errors"
)

// Faults. When one is returned, dst[:n] still holds what was decoded before it.
var (
	// ErrCorrupt: the stream is not valid DEFLATE.
	ErrCorrupt = errors.New("inflate: corrupt stream")
	// ErrTruncated: src ends before the stream does.
	ErrTruncated = errors.New("inflate: stream ends early")
	// ErrShort: the stream ended, validly, before dst was full.
	ErrShort = errors.New("inflate: output shorter than expected")
	// ErrLong: dst is full and the stream holds more.
	ErrLong = errors.New("inflate: output longer than expected")
	// ErrHeader: the zlib header is not one.
	ErrHeader = errors.New("inflate: bad zlib header")
	// ErrDictionary: the zlib stream needs a preset dictionary.
	ErrDictionary = errors.New("inflate: preset dictionary")
	// ErrChecksum: the Adler-32 of the output is not the recorded one.
	ErrChecksum = errors.New("inflate: checksum mismatch")
)

// Decoder holds the tables and the state of one expansion. The zero value is
// ready; it can be used again and again and then allocates nothing. It must not
// be used concurrently.
type Decoder struct {
	lit  [litSize]uint32
	dist [distSize]uint32
	pre  [preSize]uint32
	lens [maxLit + maxDist]uint8

	fixed bool // lit and dist hold the fixed codes

	src, dst []byte
	in, out  int    // next byte of src, of dst
	bits     uint64 // read ahead; the next bit is the lowest
	nbits    uint   // how many of bits are real; the rest are zero
}

// Inflate expands the bare DEFLATE stream at the start of src into dst. n is
// the number of bytes of dst that were decoded and consumed the number of bytes
// of src that the stream took. err is nil only if the stream is valid, complete
// and exactly len(dst) long. Bytes of src after the stream are ignored. Bytes of
// dst past n may have been overwritten with anything.
func (d *Decoder) Inflate(dst, src []byte) (n, consumed int, err error) {
	d.src, d.dst = src, dst
	d.in, d.out, d.bits, d.nbits = 0, 0, 0, 0
	err = d.stream()
	n, consumed = d.out, d.in-int(d.nbits/8)
	d.src, d.dst = nil, nil
	return n, consumed, err
}

// InflateZlib is Inflate for a stream in a zlib wrapper, whose checksum must
// match. consumed counts header and checksum.
func (d *Decoder) InflateZlib(dst, src []byte) (n, consumed int, err error) {
	const header, trailer = 2, 4
	if len(src) < header {
		return 0, 0, ErrTruncated
	}
	cmf, flg := src[0], src[1]
	if cmf&15 != 8 || cmf>>4 > 7 || (uint(cmf)<<8|uint(flg))%31 != 0 {
		return 0, 0, ErrHeader
	}
	if flg&0x20 != 0 {
		return 0, 0, ErrDictionary
	}
	n, consumed, err = d.Inflate(dst, src[header:])
	consumed += header
	if err != nil {
		return n, consumed, err
	}
	if len(src)-consumed < trailer {
		return n, consumed, ErrTruncated
	}
	if binary.BigEndian.Uint32(src[consumed:]) != adler32(dst) {
		return n, consumed, ErrChecksum
	}
	return n, consumed + trailer, nil
}

// stream decodes blocks until the last one.
func (d *Decoder) stream() error {
	for final := false; !final; {
		h, err := d.take(3)
		if err != nil {
			return err
		}
		final = h&1 != 0
		switch h >> 1 {
		case 0:
			err = d.stored()
		case 1:
			d.fixedCodes()
			err = d.symbols()
		case 2:
			if err = d.dynamicCodes(); err == nil {
				err = d.symbols()
			}
		default:
			err = ErrCorrupt
		}
		if err != nil {
			return err
		}
	}
	if d.out < len(d.dst) {
		return ErrShort
	}
	return nil
}
