package inflate

import "encoding/binary"

// Room that a round of fast needs. It reads at most 7 bytes and then a word. It
// writes at most two literals and a match, whose copy may stick out by a chunk.
const (
	inRoom    = 16
	matchRoom = 258 + 2*16
	outRoom   = 2 + matchRoom
)

// fast decodes symbols while there is room on both sides. done means the end of
// the block. table.go tells what e holds.
//
// bb holds the coming bits, nb (modulo 64; what is above is garbage) how many of
// them are accounted for by in: above those, bb is zero or holds the right bits
// already. A word or'ed in makes that at least 56 bits, enough for three codes
// from the primary part or for a whole match (15+5+15+13).
//
//nolint:funlen // one loop with its state in registers; calls would spill it
func (d *Decoder) fast() (done bool, err error) {
	src, dst, in, out := d.src[:len(d.src):len(d.src)], d.dst[:len(d.dst):len(d.dst)], d.in, d.out
	lit, dist, bb, nb := &d.lit, &d.dist, d.bits, d.nbits
	for in+inRoom <= len(src) && out+outRoom <= len(dst) {
		bb |= binary.LittleEndian.Uint64(src[in:in+8]) << (nb & 63)
		in += int(^nb >> 3 & 7)
		nb |= 56
		e := lit[bb&(1<<litBits-1)]
		if e&flagLit != 0 {
			w := (*[3]byte)(dst[out : out+3])
			w[0] = byte(e >> shiftValue)
			bb, nb = bb>>(e&maskTotal), nb-uint(e)
			e = lit[bb&(1<<litBits-1)]
			if e&flagLit != 0 {
				w[1] = byte(e >> shiftValue)
				bb, nb = bb>>(e&maskTotal), nb-uint(e)
				e = lit[bb&(1<<litBits-1)]
				if e&flagLit != 0 {
					w[2] = byte(e >> shiftValue)
					bb, nb = bb>>(e&maskTotal), nb-uint(e)
					out += 3
					continue
				}
				out++
			}
			out++
			bb |= binary.LittleEndian.Uint64(src[in:in+8]) << (nb & 63)
			in += int(^nb >> 3 & 7)
			nb |= 56
		}
		if e&flagRare != 0 {
			if e&flagLink != 0 {
				bb, nb = bb>>(e&maskTotal), nb-uint(e)
				e = lit[follow(e, bb)&(litSize-1)]
			}
			if e&flagLit != 0 {
				dst[out] = byte(e >> shiftValue)
				bb, nb = bb>>(e&maskTotal), nb-uint(e)
				out++
				continue
			}
			if e&flagRare != 0 {
				bb, nb = bb>>(e&maskTotal), nb-uint(e)
				if done = e&flagEnd != 0; !done {
					err = ErrCorrupt
				}
				break
			}
		}
		length := int(e>>shiftValue) + extraBits(e, bb)
		bb, nb = bb>>(e&maskTotal), nb-uint(e)
		e = dist[bb&(1<<distBits-1)]
		if e&flagRare != 0 && e&flagLink != 0 {
			bb, nb = bb>>(e&maskTotal), nb-uint(e)
			e = dist[follow(e, bb)&(distSize-1)]
		}
		off := int(e>>shiftValue) + extraBits(e, bb)
		bb, nb = bb>>(e&maskTotal), nb-uint(e)
		if off > out || e&flagRare != 0 {
			err = ErrCorrupt
			break
		}
		to, from := (*[matchRoom]byte)(dst[out:out+matchRoom]), (*[matchRoom]byte)(dst[out-off:out-off+matchRoom])
		out += length
		if off < 16 {
			copyNear(to, from, off, length)
			continue
		}
		*(*[16]byte)(to[:]) = *(*[16]byte)(from[:])
		*(*[16]byte)(to[16:]) = *(*[16]byte)(from[16:]) // enough for most, and nothing to predict
		for i := 32; i < length && i <= matchRoom-16; i += 16 {
			*(*[16]byte)(to[i:]) = *(*[16]byte)(from[i:])
		}
	}
	nb &= 63
	d.in, d.out, d.bits, d.nbits = in, out, bb&(1<<nb-1), nb
	return done, err
}

// follow returns where the entry is that a link and the bits after it lead to.
func follow(link uint32, bb uint64) uint64 {
	return uint64(link>>shiftValue&maskStart) + bb&(1<<(link>>shiftCode&maskCode)-1)
}

// extraBits returns the bits after a code that add to its length or distance.
func extraBits(e uint32, bb uint64) int {
	return int(bb & (1<<(e&maskTotal) - 1) >> (e >> shiftCode & maskCode))
}

// overlap is, for a distance below 8, the least multiple of it that is not.
var overlap = [8]uint8{8, 8, 8, 9, 8, 10, 12, 14}

// copyNear copies a match whose distance is too short for chunks. Words reach
// as far as the distance, or a multiple of it: the same bytes come again there.
func copyNear(to, from *[matchRoom]byte, off, length int) {
	if off == 1 {
		v := uint64(from[0]) * 0x0101010101010101
		for i := 0; i < length && i <= matchRoom-8; i += 8 {
			binary.LittleEndian.PutUint64(to[i:], v)
		}
		return
	}
	i := 0
	if off < 8 {
		for wide := int(overlap[off&7]); i < wide-off; i++ {
			to[i] = from[i]
		}
	}
	for j := 0; i < length && i <= matchRoom-8 && j <= matchRoom-8; i, j = i+8, j+8 {
		binary.LittleEndian.PutUint64(to[i:], binary.LittleEndian.Uint64(from[j:]))
	}
}
