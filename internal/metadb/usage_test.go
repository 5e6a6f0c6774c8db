package metadb

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// TestUsageOfManyPacks: each pack and block counts once, however many transactions it
// takes, even a block whose file has lost its row.
func TestUsageOfManyPacks(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		for _, n := range []int{usagePacks - 1, usagePacks, 2*usagePacks + 1} { // packs that there are then
			want := snapshot.Usage{Manifests: 7}
			must(t, db, func(q querier) error {
				var files, blocks [][]any
				for i := range n {
					id := db.ids.Int63()
					files = append(files, []any{id, "pack", "d", fileClosed, 1, 1, 1 << 20, 1, 3})
					for j, units := range []int{1, frame.Size / blockstore.Align} { // the third is dead
						name := binary.BigEndian.AppendUint64(make([]byte, 24), uint64(2*i+j))
						blocks = append(blocks, []any{name, id, j, units, j * (i % 2)})
						want.Frames += int64(units) * blockstore.Align
					}
					want.Damaged += int64(i % 2)
				}
				lost := binary.BigEndian.AppendUint64(make([]byte, 24), 1<<40)
				blocks = append(blocks, []any{lost, int64(1<<63 - 1), 1, 2, 0})
				want.Frames += 2 * blockstore.Align
				files = append(files, []any{5, "pages", "", fileClosed, 1, 1, 7, 1, 1})
				if _, err := exec(t.Context(), q, `DELETE FROM blocks`); err != nil {
					return err
				}
				if _, err := exec(t.Context(), q, `DELETE FROM files`); err != nil {
					return err
				}
				if err := insert(t.Context(), q, files, `INSERT INTO files (id, kind, domain, state, unit, attempt, bytes, created, entries) VALUES (?)`); err != nil {
					return err
				}
				return insert(t.Context(), q, blocks, `INSERT INTO blocks (id, file, off, len, damaged) VALUES (?)`)
			})
			want.Packs, want.PackBytes = int64(n), int64(n)<<20
			want.Blocks, want.Compressed = int64(2*n+1), int64(n+1)
			want.Dead = want.PackBytes - want.Frames - int64(n)*blockstore.PackOverhead(3)
			got, err := db.Snapshots().Usage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%d packs (-want +got):\n%s", n, d)
			}
		}
	})
}
