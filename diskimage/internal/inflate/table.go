package inflate

import "math/bits"

// A table is indexed by the next bits of the stream. Codes longer than the
// primary part's index go on in a subtable in the same array. An entry:
//
//	bits 0-5    bits to drop: the code and its extra bits together
//	bit  7      flagLit: a literal
//	bits 8-13   bits of the code alone; of a link, the subtable's bits
//	bits 16-30  the literal; or the length or distance less its extra bits; or,
//	            of a link, where the subtable starts (up to bit 28)
//	bit  31     flagRare: no literal, length or distance, but a link (flagLink),
//	            the end of the block (flagEnd), or else no code at all
const (
	maskTotal  = 63
	flagLit    = 1 << 7
	shiftCode  = 8
	maskCode   = 63
	shiftValue = 16
	maskStart  = 1<<13 - 1
	flagEnd    = 1 << 29
	flagLink   = 1 << 30
	flagRare   = 1 << 31
)

// Index bits of the primary parts, tuned on an x86-64 server, and sizes of the
// tables: powers of two above the worst case (2342 and 592 entries), so that a
// mask replaces the bounds check.
const (
	litBits  = 11
	distBits = 9
	preBits  = 7
	litSize  = 4096
	distSize = 1024
	preSize  = 1 << preBits
)

// What each symbol decodes to; build adds the code's length.
var (
	litEntries  = newLitEntries()
	distEntries = newDistEntries()
	preEntries  = newPreEntries()
)

func newLitEntries() (t [288]uint32) {
	for i := range 256 {
		t[i] = uint32(i)<<shiftValue | flagLit
	}
	t[256] = flagRare | flagEnd
	base := uint32(3)
	for i := 257; i < 285; i++ {
		extra := uint32(max(0, (i-257)/4-1))
		t[i] = base<<shiftValue | extra
		base += 1 << extra
	}
	t[285] = 258 << shiftValue
	t[286], t[287] = flagRare, flagRare
	return t
}

func newDistEntries() (t [32]uint32) {
	base := uint32(1)
	for i := range maxDist {
		extra := uint32(max(0, i/2-1))
		t[i] = base<<shiftValue | extra
		base += 1 << extra
	}
	t[30], t[31] = flagRare, flagRare
	return t
}

func newPreEntries() (t [maxPre]uint32) {
	for i := range t {
		t[i] = uint32(i) << shiftValue
	}
	t[16] |= 2
	t[17] |= 3
	t[18] |= 7
	return t
}

// build fills table, whose primary part has 1<<primary entries, with the
// canonical code that lens describes. It reports false if that code is over- or
// under-subscribed. As in zlib, a single code of one bit is allowed, and so is
// no code at all: a stream that uses what is missing is corrupt.
func build(table []uint32, primary int, lens []uint8, entries []uint32) bool {
	var count [maxLen + 1]int
	for _, n := range lens {
		count[n]++
	}
	used := len(lens) - count[0]
	count[0] = 0
	var next [maxLen + 2]int // where the symbols of a length go in sorted
	left := 1                // codes not yet taken, of the current length
	for n := 1; n <= maxLen; n++ {
		left = left*2 - count[n]
		if left < 0 {
			return false
		}
		next[n+1] = next[n] + count[n]
	}
	if left > 0 && used > 0 && !(used == 1 && count[1] == 1) {
		return false
	}
	var sorted [288]uint16
	for sym, n := range lens {
		if n != 0 {
			sorted[next[n]] = uint16(sym)
			next[n]++
		}
	}
	rest, code := fillPrimary(table[:1<<primary], &count, sorted[:used], entries)
	fillSubtables(table, primary, &count, rest, entries, code)
	return true
}

// fillPrimary enters the codes that fit the primary part. Codes are stored with
// their first bit lowest, so the table for n bits is the one for n-1 bits twice,
// with the codes of n bits entered. It returns the symbols that did not fit and
// the code of the first of them.
func fillPrimary(table []uint32, count *[maxLen + 1]int, sorted []uint16, entries []uint32) ([]uint16, uint) {
	code := uint(0)
	table[0] = flagRare
	for n, size := 1, 1; size < len(table); n++ {
		copy(table[size:2*size], table[:size])
		size *= 2
		for _, sym := range sorted[:count[n]] {
			table[code] = withLen(entries[sym], n)
			code = increment(code, n)
		}
		sorted = sorted[count[n]:]
	}
	return sorted, code
}

// fillSubtables enters the codes longer than primary bits, a subtable for each
// distinct beginning.
func fillSubtables(table []uint32, primary int, count *[maxLen + 1]int, sorted []uint16, entries []uint32, code uint) {
	mask := uint(1)<<primary - 1
	end := uint(1) << primary
	var sub []uint32
	prefix := uint(1) << maxLen // of sub; none yet
	for n := primary + 1; len(sorted) > 0; n++ {
		for ; count[n] > 0; count[n]-- {
			if code&mask != prefix {
				prefix = code & mask
				size := subtableBits(count, n, primary)
				table[prefix] = flagRare | flagLink | uint32(end)<<shiftValue |
					uint32(size)<<shiftCode | uint32(primary)
				sub = table[end : end+1<<size]
				end += 1 << size
			}
			e := withLen(entries[sorted[0]], n-primary)
			for i := code >> primary; i < uint(len(sub)); i += 1 << (n - primary) {
				sub[i] = e
			}
			code = increment(code, n)
			sorted = sorted[1:]
		}
	}
}

// subtableBits returns how many bits index the subtable that starts with a code
// of n bits: as many as the longest code in it needs. count holds the codes not
// yet entered.
func subtableBits(count *[maxLen + 1]int, n, primary int) int {
	size := n - primary
	for used := count[n]; used < 1<<size && n < maxLen; size++ {
		n++
		used = used*2 + count[n]
	}
	return size
}

// withLen adds a code's length to a symbol's entry.
func withLen(e uint32, n int) uint32 { return e + uint32(n)*(1|1<<shiftCode) }

// increment adds one to a code of n bits whose first bit is the lowest. The code
// after the last is the last again.
func increment(code uint, n int) uint {
	zeros := ^code & (1<<n - 1)
	if zeros == 0 {
		return code
	}
	top := uint(1) << (bits.Len(zeros) - 1)
	return code&(top-1) | top
}
