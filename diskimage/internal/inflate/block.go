package inflate

import "encoding/binary"

// Limits of RFC 1951, section 3.2.7.
const (
	maxLit  = 286 // literal and length codes of a dynamic block
	maxDist = 30  // distance codes
	maxPre  = 19  // codes of the code lengths
	maxLen  = 15  // bits of a code
)

// refill reads whole bytes until at least 48 bits are there or src ends.
func (d *Decoder) refill() {
	for d.nbits < 56 && d.in < len(d.src) {
		d.bits |= uint64(d.src[d.in]) << d.nbits
		d.in++
		d.nbits += 8
	}
}

// take returns the next n bits, n <= 16.
func (d *Decoder) take(n uint) (uint, error) {
	if d.nbits < n {
		d.refill()
		if d.nbits < n {
			return 0, ErrTruncated
		}
	}
	v := uint(d.bits) & (1<<n - 1)
	d.drop(n)
	return v, nil
}

func (d *Decoder) drop(n uint) {
	d.bits >>= n
	d.nbits -= n
}

// stored copies a stored block: the rest of the byte is skipped, then come the
// length, its complement and the bytes.
func (d *Decoder) stored() error {
	d.in -= int(d.nbits / 8)
	d.bits, d.nbits = 0, 0
	src := d.src[d.in:]
	if len(src) < 4 {
		return ErrTruncated
	}
	n, inv := binary.LittleEndian.Uint16(src), binary.LittleEndian.Uint16(src[2:])
	if n != ^inv {
		return ErrCorrupt
	}
	src = src[4:]
	room := d.dst[d.out:]
	done := copy(room, src[:min(int(n), len(src))])
	d.in += 4 + done
	d.out += done
	switch {
	case done == int(n):
		return nil
	case done == len(room):
		return ErrLong
	}
	return ErrTruncated
}

// fixedCodes loads the codes of section 3.2.6, unless they are there.
func (d *Decoder) fixedCodes() {
	if d.fixed {
		return
	}
	var lens [288]uint8
	for i := range lens {
		switch {
		case i < 144:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		default:
			lens[i] = 8
		}
	}
	build(d.lit[:], litBits, lens[:], litEntries[:])
	for i := range 32 {
		lens[i] = 5
	}
	build(d.dist[:], distBits, lens[:32], distEntries[:])
	d.fixed = true
}

// preOrder is the order of the lengths of the code length codes.
var preOrder = [maxPre]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicCodes reads the codes of section 3.2.7.
func (d *Decoder) dynamicCodes() error {
	h, err := d.take(14)
	if err != nil {
		return err
	}
	nlit, ndist, npre := int(h&31)+257, int(h>>5&31)+1, int(h>>10)+4
	if nlit > maxLit || ndist > maxDist {
		return ErrCorrupt
	}
	var lens [maxPre]uint8
	for _, i := range preOrder[:npre] {
		n, err := d.take(3)
		if err != nil {
			return err
		}
		lens[i] = uint8(n)
	}
	if !build(d.pre[:], preBits, lens[:], preEntries[:]) {
		return ErrCorrupt
	}
	if err := d.codeLengths(d.lens[:nlit+ndist]); err != nil {
		return err
	}
	d.fixed = false
	if !build(d.lit[:], litBits, d.lens[:nlit], litEntries[:]) ||
		!build(d.dist[:], distBits, d.lens[nlit:nlit+ndist], distEntries[:]) {
		return ErrCorrupt
	}
	return nil
}

// codeLengths fills lens, which are run-length coded with the codes in d.pre.
func (d *Decoder) codeLengths(lens []uint8) error {
	for i := 0; i < len(lens); {
		d.refill()
		e := d.pre[d.bits&(preSize-1)]
		if e&flagRare != 0 {
			return ErrCorrupt
		}
		total, code := uint(e&maskTotal), uint(e>>shiftCode&maskCode)
		if total > d.nbits {
			return ErrTruncated
		}
		extra := int(d.bits >> code & (1<<(total-code) - 1))
		d.drop(total)
		sym := e >> shiftValue
		if sym < 16 {
			lens[i] = uint8(sym)
			i++
			continue
		}
		n, v := extra+3, uint8(0)
		switch {
		case sym == 18:
			n = extra + 11
		case sym == 16 && i == 0:
			return ErrCorrupt
		case sym == 16:
			v = lens[i-1]
		}
		if n > len(lens)-i {
			return ErrCorrupt
		}
		for ; n > 0; n-- {
			lens[i] = v
			i++
		}
	}
	return nil
}
