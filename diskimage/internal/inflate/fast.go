package inflate

import "encoding/binary"

// Room that fast needs: a round reads at most 16 bytes, and writes three
// pairs of literals and a match, the last word of which may stick out.
const (
	inRoom  = 16
	outRoom = 6 + 258 + 32
)

// fast decodes symbols while there is room on both sides. done means the end of
// the block. See table.go for what e holds.
func (d *Decoder) fast() (done bool, err error) {
	src, dst, in, out := d.src, d.dst, d.in, d.out
	lit, dist := &d.lit, &d.dist
	bb, nb := d.bits, d.nbits
	inEnd, outEnd := len(src)-inRoom, len(dst)-outRoom
	for in <= inEnd && out <= outEnd {
		bb |= binary.LittleEndian.Uint64(src[in:]) << (nb & 63)
		in += int(^nb >> 3 & 7)
		nb |= 56
		e := lit[bb&(1<<litBits-1)]
		if e&isLit != 0 {
			binary.LittleEndian.PutUint16(dst[out:], uint16(e>>shiftValue))
			out += int(e >> shiftCount & maskCount)
			bb >>= e & maskTotal
			nb -= uint(e)
			e = lit[bb&(1<<litBits-1)]
			if e&isLit != 0 {
				binary.LittleEndian.PutUint16(dst[out:], uint16(e>>shiftValue))
				out += int(e >> shiftCount & maskCount)
				bb >>= e & maskTotal
				nb -= uint(e)
				e = lit[bb&(1<<litBits-1)]
				if e&isLit != 0 {
					binary.LittleEndian.PutUint16(dst[out:], uint16(e>>shiftValue))
					out += int(e >> shiftCount & maskCount)
					bb >>= e & maskTotal
					nb -= uint(e)
					continue
				}
			}
			bb |= binary.LittleEndian.Uint64(src[in:]) << (nb & 63)
			in += int(^nb >> 3 & 7)
			nb |= 56
		}
		if e&flagRare != 0 {
			if e&flagLink != 0 {
				bb >>= e & maskTotal
				nb -= uint(e)
				e = lit[(uint64(e>>shiftValue&maskLink)+bb&(1<<(e>>shiftCode&maskCode)-1))&(litSize-1)]
			}
			if e&isLit != 0 {
				dst[out] = byte(e >> shiftValue)
				out++
				bb >>= e & maskTotal
				nb -= uint(e)
				continue
			}
			if e&flagRare != 0 {
				bb >>= e & maskTotal
				nb -= uint(e)
				if done = e&flagEnd != 0; !done {
					err = ErrCorrupt
				}
				break
			}
		}
		length := int(e>>shiftValue) + int(bb>>(e>>shiftCode&maskCode)&(1<<(e>>shiftExtra&maskExtra)-1))
		bb >>= e & maskTotal
		nb -= uint(e)

		e = dist[bb&(1<<distBits-1)]
		if e&flagRare != 0 {
			if e&flagLink != 0 {
				bb >>= e & maskTotal
				nb -= uint(e)
				e = dist[(uint64(e>>shiftValue&maskLink)+bb&(1<<(e>>shiftCode&maskCode)-1))&(distSize-1)]
			}
			if e&flagRare != 0 {
				err = ErrCorrupt
				break
			}
		}
		off := int(e>>shiftValue) + int(bb>>(e>>shiftCode&maskCode)&(1<<(e>>shiftExtra&maskExtra)-1))
		bb >>= e & maskTotal
		nb -= uint(e)
		if off > out {
			err = ErrCorrupt
			break
		}
		copyFast(dst[out-off:out+length+32], off, length)
		out += length
	}
	nb &= 63
	d.in, d.out, d.bits, d.nbits = in, out, bb&(1<<nb-1), nb
	return done, err
}

func copyFast(b []byte, off, length int) {
	if off >= 8 {
		for i := 0; i < length; i += 8 {
			binary.LittleEndian.PutUint64(b[off+i:], binary.LittleEndian.Uint64(b[i:]))
		}
		return
	}
	for i := 0; i < length; i++ {
		b[off+i] = b[i]
	}
}
