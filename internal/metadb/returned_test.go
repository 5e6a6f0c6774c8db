package metadb

import (
	"bytes"
	"context"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/frame"
)

// allocated returns the bytes that the file system has allocated for what lies in a
// directory.
func allocated(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		if err == nil {
			n += st.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSpaceIsReturned measures what the file system gets back of packs that are half dead,
// while a reader holds the half that lives, and all the rest once the reader has ended.
func TestSpaceIsReturned(t *testing.T) {
	const blocks = 16
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		ctx := t.Context()
		r := newVerifyRig(t, fresh(t), frame.None)
		root := fastDir(t)
		dir, err := blobdir.New(root)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		r.store.Backend, r.gc.Backend, r.gc.Aside = dir, dir, dir
		r.locked.Store(true) // frames are copied, and not compressed: what comes back is what was dead
		full := map[int64]int{}
		for i := range blocks {
			full[int64(i)] = i
		}
		half := map[int64]int{}
		for i, n := range full {
			if i%2 == 0 {
				half[i] = n
			}
		}
		whole, kept := r.snapshot("snap-whole", 1, full), r.snapshot("snap-kept", 1, half)
		before := allocated(t, root)
		b, release, err := r.shelf.OpenHeld(ctx, kept, "a reader")
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		drop := func(id string) {
			if err := r.db.Snapshots().Delete(ctx, of("111111111111"), id); err != nil {
				t.Fatal(err)
			}
		}
		drop(whole.ID)
		drop(kept.ID) // the reader goes on
		if _, err := r.gc.Run(ctx); err != nil {
			t.Fatal(err)
		}
		dead := allocated(t, root)
		if _, err := r.compact.Run(ctx, compact.Thorough(0), nil); err != nil {
			t.Fatal(err)
		}
		compacted := allocated(t, root)
		buf, want := make([]byte, frame.Size), make([]byte, block.Size)
		for i, n := range half {
			got, _, err := b.Get(context.WithoutCancel(ctx), i, buf)
			if little(want, n); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("block %d of what is held: %v", i, err)
			}
		}
		release()
		for range 2 {
			if _, err := r.gc.Run(ctx); err != nil {
				t.Fatal(err)
			}
		}
		after := allocated(t, root)
		t.Logf("allocated: %d bytes of packs before, %d with half of each dead, %d compacted while a reader holds the rest, %d after it", before, dead, compacted, after)
		const all, overhead = blocks * frame.Size, 64 * blockstore.Align // headers, trailers, pages and roots
		if before < all || dead < all || compacted < all/2 || compacted > all/2+overhead || after > overhead {
			t.Errorf("the blocks took %d bytes", all)
		}
	})
}
