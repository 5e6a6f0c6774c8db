package metadb

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// BenchmarkRegister registers ranges of a new image in a database with 256k
// blocks, at once and in slices. It reports the longest transaction, and the longest
// that the heartbeat of another unit had to wait.
func BenchmarkRegister(b *testing.B) {
	for _, c := range []struct {
		name          string
		blocks, slice int
	}{
		{"2TiB/at-once", 16 << 10, 16 << 10},
		{"2TiB/slices", 16 << 10, 4 << 10},
		{"64TiB/at-once", 512 << 10, 512 << 10},
		{"64TiB/slices", 512 << 10, 4 << 10},
	} {
		b.Run(c.name, func(b *testing.B) {
			db := open(b, b.TempDir()+"/m.db")
			random := rand.New(rand.NewPCG(1, 2))
			l := db.leased(work.Lease{Owner: "n"}, work.Range, 0)
			l.Task = "t"
			other := db.leased(work.Lease{Owner: "n"}, work.Range, 1)
			must(b, db, func(q querier) error {
				if err := insertTask(b.Context(), q, importtask.Task{ID: "t", Account: "a"}, time.Now()); err != nil {
					return err
				}
				return db.addUnits(b.Context(), q, other)
			})
			for range 64 {
				must(b, db, func(q querier) error {
					return addBlocks(b.Context(), q, []blockstore.ClosedPack{randomPack(random, 1, 4<<10)})
				})
			}
			var longest, waited time.Duration
			for b.Loop() {
				beats := beat(b, db, other)
				for done := 0; done < c.blocks; done += c.slice {
					unit := db.leased(l, work.Range, 0)
					must(b, db, func(q querier) error { return db.addUnits(b.Context(), q, unit) })
					r := randomSlice(b, db, random, unit, done, c.slice)
					at := time.Now()
					err := db.eventOf(b.Context(), unit, importtask.EventRangeDone, finishUnit, func(q querier, task taskRow) error {
						return register(b.Context(), q, unit, task, r, 0)
					})
					if err != nil {
						b.Fatal(err)
					}
					longest = max(longest, time.Since(at))
				}
				waited = max(waited, beats())
				must(b, db, func(q querier) error {
					_, err := exec(b.Context(), q, `DELETE FROM range_pages`)
					return err
				})
			}
			b.ReportMetric(float64(longest.Milliseconds()), "ms/longest")
			b.ReportMetric(float64(waited.Milliseconds()), "ms/heartbeat")
		})
	}
}

// beat renews a lease over and over until the function that it returns is called, which
// returns how long the slowest took.
func beat(b *testing.B, db *DB, l work.Lease) (stop func() time.Duration) {
	over, slowest := make(chan struct{}), make(chan time.Duration)
	go func() {
		var most time.Duration
		for {
			select {
			case <-over:
				slowest <- most
				return
			default:
			}
			at := time.Now()
			if _, err := db.Work().Renew(b.Context(), l, at, work.Progress{}); err != nil {
				b.Error(err)
			}
			most = max(most, time.Since(at))
		}
	}()
	return func() time.Duration { close(over); return <-slowest }
}

func randomPack(random *rand.Rand, file blockstore.FileID, n int) blockstore.ClosedPack {
	p := blockstore.ClosedPack{File: blockstore.File{ID: file, Kind: blockstore.PackFile}}
	for i := range n {
		p.Blocks = append(p.Blocks, blockstore.Placement{ID: block.ID(randomID(random)), Span: blockstore.Span{Off: uint32(i) + 1, Len: 1}})
	}
	return p
}

func randomID(random *rand.Rand) (id [32]byte) {
	for i := 0; i < len(id); i += 8 {
		binary.LittleEndian.PutUint64(id[i:], random.Uint64())
	}
	return id
}

// randomSlice is a slice of new blocks, with packs of 255 as an import writes them.
func randomSlice(b *testing.B, db *DB, random *rand.Rand, l work.Lease, first, n int) importtask.RangeResult {
	b.Helper()
	const inPack = 255
	var r importtask.RangeResult
	file := func(kind blockstore.FileKind) blockstore.File {
		f := blockstore.File{ID: blockstore.FileID(db.ids.Int63()), Kind: kind}
		if err := db.Catalog().CreateFile(b.Context(), l, f, blockstore.KeyUse{}); err != nil {
			b.Fatal(fmt.Errorf("create a file: %w", err))
		}
		return f
	}
	for left := n; left > 0; left -= inPack {
		r.Packs = append(r.Packs, randomPack(random, file(blockstore.PackFile).ID, min(left, inPack)))
	}
	r.PagesFile = file(blockstore.PagesFile)
	for i := 0; i < n; i += snapshot.PageBlocks {
		r.Pages = append(r.Pages, snapshot.PagePlace{
			Page: int64(first+i) / snapshot.PageBlocks, ID: randomID(random), File: r.PagesFile.ID, Blocks: min(n, snapshot.PageBlocks),
		})
	}
	r.Counts.Data = int64(n)
	return r
}
