package metadb

import (
	osexec "os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/verify"
)

// postgresTool runs one of PostgreSQL's own tools, of the newest version that is installed.
func postgresTool(t *testing.T, name string, args ...string) {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		t.Fatalf("there is no %s: %v", name, err)
	}
	if out, err := osexec.Command(slices.Max(found), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// TestADumpAndItsFiles does what docs/backup.md says of PostgreSQL: all files are held, the database is
// dumped, then the files are copied, while others delete, rewrite packs and collect
// garbage. Restored, everything reads as it did at the dump.
func TestADumpAndItsFiles(t *testing.T) {
	ctx := t.Context()
	from := postgres.New(t)
	r := newVerifyRig(t, open(t, from), frame.AES256GCM)
	r.complete()
	hold, err := r.shelf.HoldAll(ctx, "backup")
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Release()
	dump := filepath.Join(t.TempDir(), "dump")
	postgresTool(t, "pg_dump", "--format=custom", "--file", dump, from)
	records := slices.Clone(r.records)
	r.snapshot("snap-0000000000000000d", 1, map[int64]int{3: 300})
	must(t, r.db, func(q querier) error {
		if _, err := exec(ctx, q, `DELETE FROM snapshots WHERE id = $1`, records[0].ID); err != nil {
			return err
		}
		_, err := exec(ctx, q, `INSERT INTO page_candidates (id) SELECT id FROM pages`)
		if err == nil {
			_, err = exec(ctx, q, `INSERT INTO block_candidates (id) SELECT id FROM blocks`)
		}
		return err
	})
	r.rotate()
	r.run(compact.Thorough(0))
	r.collect()
	if err := hold.Still(ctx); err != nil {
		t.Fatal(err)
	}
	files := blobtest.NewMemory()
	for _, name := range r.backend.Names() {
		w, err := files.Create(ctx, name, 0)
		if err != nil {
			t.Fatal(err)
		}
		var all []byte
		size := 0
		r.backend.Edit(name, func(p []byte) []byte {
			size = len(p)
			all = blockstore.AlignedBytes((size + blockstore.Align - 1) / blockstore.Align * blockstore.Align)
			copy(all, p)
			return p
		})
		if err := w.WriteAt(ctx, [][]byte{all}, 0); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(ctx, int64(size)); err != nil {
			t.Fatal(err)
		}
	}
	hold.Release()

	to := postgres.New(t)
	postgresTool(t, "pg_restore", "--clean", "--if-exists", "--no-owner", "--dbname", to, dump)
	restored := newVerifyRig(t, open(t, to), frame.AES256GCM)
	restored.backend, restored.store.Backend = files, files
	restored.records, restored.disks = records, r.disks
	if failed := restored.readAll(); len(failed) > 0 {
		t.Errorf("restored: %v", failed)
	}
	found, _ := restored.verify()
	for _, f := range found {
		if f.Part != verify.Stray { // what was written after the dump
			t.Errorf("restored: %v", f)
		}
	}
}
