package inflate

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// randomCode returns the lengths of a complete code for n symbols, made by
// splitting a leaf again and again. Deep leaves are preferred, for subtables.
func randomCode(rnd *rand.Rand, n int) []uint8 {
	leaves := []uint8{1, 1}
	for len(leaves) < n {
		i := rnd.IntN(len(leaves))
		if j := rnd.IntN(len(leaves)); leaves[j] > leaves[i] {
			i = j
		}
		if leaves[i] < maxLen {
			leaves[i]++
			leaves = append(leaves, leaves[i])
		}
	}
	rnd.Shuffle(n, func(i, j int) { leaves[i], leaves[j] = leaves[j], leaves[i] })
	return leaves
}

// decodeOne walks a table with the bits of code.
func decodeOne(table []uint32, primary int, code uint64) uint32 {
	e := table[code&(1<<primary-1)]
	if e&flagRare != 0 && e&flagLink != 0 {
		e = table[follow(e, code>>primary)]
	}
	return e
}

func TestBuildCompleteCodes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 200 {
		for _, tt := range []struct {
			symbols, primary, size int
			entries                []uint32
		}{
			{2 + rnd.IntN(285), litBits, litSize, litEntries[:286]},
			{286, litBits, litSize, litEntries[:286]},
			{2 + rnd.IntN(29), distBits, distSize, distEntries[:30]},
			{30, distBits, distSize, distEntries[:30]},
		} {
			lens := randomCode(rnd, tt.symbols)
			table := make([]uint32, tt.size)
			if !build(table, tt.primary, lens, tt.entries) {
				t.Fatalf("complete code refused: %v", lens)
			}
			code := uint64(0) // canonical, first bit highest
			for n := 1; n <= maxLen; n++ {
				for sym, l := range lens {
					if int(l) != n {
						continue
					}
					var reversed uint64
					for b := range n {
						reversed |= code >> b & 1 << (n - 1 - b)
					}
					want, got := tt.entries[sym], decodeOne(table, tt.primary, reversed)
					if got>>shiftValue != want>>shiftValue || got&flagLit != want&flagLit {
						t.Fatalf("code %b of %d bits: entry %#x, want the value of %#x", code, n, got, want)
					}
					code++
				}
				code <<= 1
			}
		}
	}
}

func TestBuildOtherCodes(t *testing.T) {
	tests := []struct {
		name string
		lens []uint8
		want bool
	}{
		{"none", []uint8{0, 0, 0}, true},
		{"one of one bit", []uint8{0, 1, 0}, true},
		{"one of two bits", []uint8{0, 2, 0}, false},
		{"two of one bit", []uint8{1, 1}, true},
		{"three of one bit", []uint8{1, 1, 1}, false},
		{"incomplete", []uint8{1, 2}, false},
		{"over-subscribed", []uint8{1, 2, 2, 15}, false},
		{"longest", []uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := slices.Repeat([]uint32{0x5555}, litSize)
			if got := build(table, litBits, tt.lens, litEntries[:]); got != tt.want {
				t.Fatalf("build = %v, want %v", got, tt.want)
			}
			if tt.want && slices.Contains(table[:1<<litBits], 0x5555) {
				t.Error("an entry is not set")
			}
		})
	}
}
