package catalogtest_test

import (
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/store/blockstore/catalogtest"
	"github.com/diskport/diskport/internal/work"
)

func TestMemoryCatalog(t *testing.T) {
	catalogtest.Run(t, func(*testing.T) catalogtest.Fixture {
		c, unit := blobtest.NewCatalog(), int64(0)
		return catalogtest.Fixture{
			Catalog: c, Owner: c,
			Lease: func(testing.TB) work.Lease {
				unit++
				return work.Lease{Unit: work.Unit{ID: unit}, Attempt: 1}
			},
			Lose:     func(_ testing.TB, l work.Lease) { c.Lose(l) },
			Insert:   func(_ testing.TB, _ work.Lease, packs []blockstore.ClosedPack) { c.Insert(packs...) },
			Condemn:  func(_ testing.TB, ids []block.ID) { c.Condemn(ids...) },
			Sweep:    func(testing.TB) { c.Sweep() },
			LoseFile: func(_ testing.TB, id blockstore.FileID) { c.LoseFile(id) },
		}
	})
}
