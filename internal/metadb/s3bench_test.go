package metadb

import (
	"fmt"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/imports/objects"
)

// BenchmarkObjectPage reads pages of 1,000 out of 100,000 objects: the first, one in the
// middle, the last, and pages that fold: into 1,000 prefixes of 100 objects each, and into
// ten of 10,000.
//
//	go test ./internal/metadb -run '^$' -bench ObjectPage
func BenchmarkObjectPage(b *testing.B) {
	for _, engine := range benchEngines {
		b.Run(engine.name, func(b *testing.B) {
			db := open(b, engine.open(b))
			fillBucket(b, db)
			if engine.name == "postgres" {
				must(b, db, func(q querier) error {
					_, err := exec(b.Context(), q, `ANALYZE`)
					return err
				})
			}
			service := objects.New(objects.Options{Store: db.Objects()})
			b.Cleanup(func() { _ = service.Close() })
			for _, page := range []struct {
				name string
				q    objects.ListQuery
				want int
			}{
				{"first", objects.ListQuery{}, 1000},
				{"middle", objects.ListQuery{After: benchKey(50_000)}, 1000},
				{"last", objects.ListQuery{After: benchKey(98_999)}, 1000},
				{"prefix", objects.ListQuery{Prefix: "3/"}, 1000},
				{"tenPrefixes", objects.ListQuery{Delimiter: "/"}, 10},
				{"thousandPrefixes", objects.ListQuery{Delimiter: "."}, 1000},
				{"smallPrefixes", objects.ListQuery{Delimiter: "_"}, 1000},
			} {
				b.Run(page.name, func(b *testing.B) {
					page.q.Bucket, page.q.Limit = "b", 1000
					for b.Loop() {
						p, err := service.List(b.Context(), page.q)
						if err != nil || len(p.Objects)+len(p.Prefixes) != page.want {
							b.Fatalf("%d objects, %d prefixes: %v", len(p.Objects), len(p.Prefixes), err)
						}
					}
				})
			}
		})
	}
}

// benchKey returns the i-th of 100,000 keys: "3/30.300_07".
func benchKey(i int) string { return fmt.Sprintf("%d/%03d.%02d_%d", i/10_000, i/100, i/10%10, i%10) }

func fillBucket(b *testing.B, db *DB) {
	s := db.Objects()
	if err := s.CreateBucket(b.Context(), objects.Bucket{Name: "b", Account: "a", Created: time.Now()}); err != nil {
		b.Fatal(err)
	}
	must(b, db, func(q querier) error {
		bucket, err := bucket(b.Context(), q, "b")
		if err != nil {
			return err
		}
		rows := make([][]any, 100_000)
		for i := range rows {
			rows[i] = []any{
				bucket.id, []byte(benchKey(i)), 1, "null", 1, 0, 1, 1 << 20, "d41d8cd98f00b204e9800998ecf8427e", 1e15,
				"CRC32 FULL_OBJECT AAAAAA==", 0, `{"ContentType":"application/octet-stream"}`, "[]",
			}
		}
		return insert(b.Context(), q, rows, `INSERT INTO s3_objects (bucket, `+objectColumns+`, metadata, tags) VALUES (?)`)
	})
}
