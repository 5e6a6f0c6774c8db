package metadb

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// benchEngines are the engines that benchmarks run on, each with what makes the DSN of a
// database of the benchmark's own.
var benchEngines = []struct {
	name string
	open func(b *testing.B) string
}{
	{"sqlite", func(b *testing.B) string {
		path := filepath.Join(b.TempDir(), "m.db")
		if err := os.WriteFile(path, migrated, 0o600); err != nil {
			b.Fatal(err)
		}
		return path
	}},
	{"postgres", func(b *testing.B) string { return postgres.New(b) }},
}

// BenchmarkListPage reads pages of 100, with tags, out of 100,000 tasks and 100,000
// snapshots of one account: the first, one in the middle, the last. Another account
// shares a thousand snapshots with it, each of them with 900 other accounts too.
//
//	go test ./internal/metadb -run '^$' -bench ListPage
func BenchmarkListPage(b *testing.B) {
	const n = 100_000
	for _, engine := range benchEngines {
		b.Run(engine.name, func(b *testing.B) {
			db := open(b, engine.open(b))
			fill(b, db, owner, n)
			fill(b, db, neighbour, 1000)
			shareWidely(b, db)
			if engine.name == "postgres" { // PostgreSQL does so by itself before long; SQLite never does
				must(b, db, func(q querier) error {
					_, err := exec(b.Context(), q, `ANALYZE`)
					return err
				})
			}
			for _, at := range []struct {
				name  string
				after int64
			}{{"first", 0}, {"middle", n / 2}, {"last", n - 101}} {
				all := reads(b.Context(), db, listing.Place{Created: at.after, ID: fmt.Sprintf("snap-0%s%010d", owner[:6], at.after)})
				for _, name := range slices.Sorted(maps.Keys(all)) {
					b.Run(name+"/"+at.name, func(b *testing.B) {
						for b.Loop() {
							if _, err := all[name](); err != nil {
								b.Fatal(err)
							}
						}
					})
				}
			}
		})
	}
}

// shareWidely shares the neighbour's snapshots with everybody, with the owner of the
// many, and with 900 more.
func shareWidely(b *testing.B, db *DB) {
	others := []string{owner, snapshot.Everybody}
	for i := range 900 {
		others = append(others, fmt.Sprintf("9%011d", i))
	}
	for i := range 1000 {
		if err := db.Snapshots().Share(b.Context(), of(neighbour), fmt.Sprintf("snap-0%s%010d", neighbour[:6], i), others, nil); err != nil {
			b.Fatal(err)
		}
	}
}
