package importtask_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// sql does to the database what no event does.
func (e *engine) sql(stmt string, want int64) {
	e.t.Helper()
	c, err := sql.Open("sqlite", "file:"+filepath.Join(e.dir, "db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		e.t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Exec(stmt)
	if err != nil {
		e.t.Fatal(err)
	}
	if n, _ := r.RowsAffected(); n != want {
		e.t.Fatalf("%s changed %d rows, want %d", stmt, n, want)
	}
}

// TestTheSameImportHealsWhatIsDamaged: what the first import stored is not what the
// second relies on when it can't be read any more, and both read right afterwards.
func TestTheSameImportHealsWhatIsDamaged(t *testing.T) {
	for name, damage := range map[string]func(*engine){
		"a manifest page": func(e *engine) {
			for _, name := range e.files.Names() {
				if f, _ := blockstore.ParseName(name); f.Kind == blockstore.PagesFile {
					e.files.Edit(name, func(b []byte) []byte { b[20] ^= 1; return b })
				}
			}
		},
		"the row of a pack": func(e *engine) { e.sql(`DELETE FROM files WHERE kind = 'pack'`, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			image := disk(8)
			e := newEngine(t, image)
			e.accept()
			e.step(everything...)
			first := e.task().SnapshotID
			damage(e)
			if _, ok := e.right(first, image); ok {
				t.Fatal("the damage does no harm")
			}
			const again = "import-snap-0123456789abcdef1"
			pin := source.Pin{Kind: source.Embedded, ID: again, Bucket: "images", Key: "disk", Size: int64(len(image))}
			if _, _, err := e.Store.Create(t.Context(), importtask.Task{ID: again, Account: account, Region: home.Region, Pin: pin.String(), RoleName: "vmimport"}, 10); err != nil {
				t.Fatal(err)
			}
			e.step(everything...)
			second, err := e.Store.Get(t.Context(), home, again)
			if err != nil {
				t.Fatal(err)
			}
			for which, id := range map[string]string{"first": first, "second": second.SnapshotID} {
				if why, ok := e.right(id, image); !ok {
					t.Errorf("the %s snapshot is not the image: %v", which, why)
				}
			}
		})
	}
}

// TestNothingIsCompletedOnTheWordOfOneRow: each of these rows said, alone, that
// everything was there.
func TestNothingIsCompletedOnTheWordOfOneRow(t *testing.T) {
	for name, harm := range map[string]func(*engine){
		"the ranges that are left": func(e *engine) { e.sql(`UPDATE tasks SET ranges_left = 1`, 1) },
		"the units of ranges": func(e *engine) {
			e.sql(`DELETE FROM units WHERE kind = 'range'`, 3)
			e.sql(`UPDATE tasks SET ranges_left = 0`, 1)
		},
		"the pages of a range": func(e *engine) {
			e.step(work.Range)
			e.sql(`DELETE FROM range_pages`, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			image := make([]byte, 3*snapshot.PageBlocks*block.Size)
			var filled []int64
			for page := range 3 {
				at := page * snapshot.PageBlocks * block.Size
				copy(image[at:], disk(3))
				image[at+9] = byte(page)
				filled = append(filled, int64(at), int64(at+block.Size), int64(at+2*block.Size))
			}
			e := newEngine(t, image)
			e.object.filled, e.Target = filled, 1<<20
			e.accept()
			e.step(work.Plan)
			harm(e)
			for e.step(everything...) {
			}
			if task := e.task(); task.State == importtask.Completed {
				t.Error("completed with blocks missing")
			}
		})
	}
}
