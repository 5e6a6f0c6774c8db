package inflate

import "encoding/binary"

// adler32 is the checksum of RFC 1950: a is one plus the sum of the bytes, b the
// sum of all values of a, both modulo 65521.
//
// Eight bytes are summed at a time, in the 16-bit lanes of two words: sum holds
// the bytes of each column, tri the sum of all values of sum, which weights the
// first of n rows n times. That is as long as a lane of tri cannot overflow:
// 255*(1+...+22) < 1<<16.
func adler32(p []byte) uint32 {
	const (
		mod   = 65521
		lanes = 0x00ff00ff00ff00ff
		rows  = 22
		step  = 8 * rows
	)
	a, b := uint64(1), uint64(0)
	for len(p) >= step {
		var sum0, sum1, tri0, tri1 uint64 // even and odd bytes
		q := (*[step]byte)(p)
		for i := 0; i < step; i += 16 {
			x, y := binary.LittleEndian.Uint64(q[i:i+8]), binary.LittleEndian.Uint64(q[i+8:i+16])
			sum0 += x & lanes
			sum1 += x >> 8 & lanes
			tri0 += sum0
			tri1 += sum1
			sum0 += y & lanes
			sum1 += y >> 8 & lanes
			tri0 += sum0
			tri1 += sum1
		}
		b += step*a + 8*(across(tri0)+across(tri1))
		// A byte in column j has 8*rows-j terms, not 8*rows as tri counts it.
		b -= 2*(sum0>>16&0xffff+sum0>>32&0xffff*2+sum0>>48*3) +
			sum1&0xffff + sum1>>16&0xffff*3 + sum1>>32&0xffff*5 + sum1>>48*7
		a += across(sum0) + across(sum1)
		p = p[step:]
		if b >= 1<<62 {
			a, b = a%mod, b%mod
		}
	}
	for _, c := range p {
		a += uint64(c)
		b += a
	}
	return uint32(b%mod<<16 | a%mod)
}

// across adds the four 16-bit lanes of x.
func across(x uint64) uint64 {
	x = x&0x0000ffff0000ffff + x>>16&0x0000ffff0000ffff
	return x&0xffffffff + x>>32
}
