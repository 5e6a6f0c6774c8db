package bounded

import "sync/atomic"

// Bitset is a set of small numbers: which tables were seen, which units are in
// use. It may be used concurrently.
type Bitset []atomic.Uint64

// NewBitset returns an empty set for the numbers below n. It takes n/8 bytes.
func NewBitset(n int64) Bitset { return make(Bitset, (n+63)/64) }

// Has reports whether i is in the set.
func (b Bitset) Has(i int64) bool { return b[i/64].Load()>>(i%64)&1 == 1 }

// Add puts i into the set and reports whether it was not in it.
func (b Bitset) Add(i int64) bool {
	bit := uint64(1) << (i % 64)
	return b[i/64].Or(bit)&bit == 0
}
