package metadb

import (
	"math/rand/v2"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// BenchmarkClaim8 looks eight blocks up, as an import does with every group, among 256k:
// new ones, and ones that are there.
//
//	go test ./internal/metadb -run '^$' -bench Claim8
func BenchmarkClaim8(b *testing.B) {
	const group = 8
	for _, engine := range benchEngines {
		db := open(b, engine.open(b))
		random := rand.New(rand.NewPCG(1, 2))
		var there []block.ID
		for i := range 64 {
			p := randomPack(random, blockstore.FileID(i+1), 4<<10)
			for _, at := range p.Blocks {
				there = append(there, at.ID)
			}
			must(b, db, func(q querier) error { return addBlocks(b.Context(), q, []blockstore.ClosedPack{p}) })
		}
		some := func() []block.ID {
			at := random.IntN(len(there) - group)
			return there[at : at+group]
		}
		for name, look := range map[string]func() (int, error){
			"new": func() (int, error) {
				ids := make([]block.ID, group)
				for i := range ids {
					ids[i] = randomID(random)
				}
				got, err := db.Catalog().Claim(b.Context(), ids)
				return group - len(got), err
			},
			"there": func() (int, error) {
				got, err := db.Catalog().Claim(b.Context(), some())
				return len(got), err
			},
		} {
			b.Run(engine.name+"/"+name, func(b *testing.B) {
				b.SetBytes(group * block.Size)
				b.ReportAllocs()
				for b.Loop() {
					if n, err := look(); err != nil || n != group {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}
