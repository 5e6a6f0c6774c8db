package snapshot

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/diskport/diskport/internal/block"
)

// BenchmarkPages writes the pages of a range of 8 GiB, whose blocks are all different, to
// memory.
//
//	go test ./internal/store/snapshot -run '^$' -bench .
func BenchmarkPages(b *testing.B) {
	const pages = 16
	r := newRig(b)
	random := rand.New(rand.NewPCG(1, 2))
	entries := make([]Block, pages*PageBlocks)
	for i := range entries {
		entries[i].Index = int64(i)
		for at := 0; at < len(entries[i].ID); at += 8 {
			binary.LittleEndian.PutUint64(entries[i].ID[at:], random.Uint64())
		}
	}
	b.SetBytes(int64(len(entries) * len(block.ID{})))
	b.ReportAllocs()
	for b.Loop() {
		w := r.lib.newPageWriter(r.lease, 0)
		for i := range int64(pages) {
			if err := w.write(b.Context(), i, entries[i*PageBlocks:(i+1)*PageBlocks]); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.added(b.Context()); err != nil {
			b.Fatal(err)
		}
		w.remove(b.Context())
	}
}

// BenchmarkScan reads a snapshot from end to end, as an export does, out of memory.
func BenchmarkScan(b *testing.B) {
	const blocks = 200
	for _, domain := range []string{"dom-plain", "dom-encrypted"} {
		for _, compressed := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/compressed=%t", domain, compressed), func(b *testing.B) {
				r := newRig(b)
				all := r.open(r.snapshot("snap-1", domain, 1, row(blocks)))
				if compressed {
					r.compress(all)
				}
				b.SetBytes(blocks * block.Size)
				b.ReportAllocs()
				for b.Loop() {
					n := 0
					err := all.Scan(b.Context(), 0, func(Block, []byte, block.Digest) error { n++; return nil })
					if err != nil || n != blocks {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}
