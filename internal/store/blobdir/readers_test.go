package blobdir_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
)

// opened returns the files below dir that this process has open, in any state.
func opened(t *testing.T, dir string) (paths []string) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if path, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && strings.HasPrefix(path, dir+"/") {
			paths = append(paths, path)
		}
	}
	return paths
}

// closed makes a closed file of one unit.
func closed(t *testing.T, d *blobdir.Dir, name string) {
	t.Helper()
	w := create(t, d, name, blockstore.Align)
	p := blockstore.AlignedBytes(blockstore.Align)
	if err := errors.Join(w.WriteAt(t.Context(), [][]byte{p}, 0), w.Close(t.Context(), blockstore.Align)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, d *blobdir.Dir, name string) error {
	t.Helper()
	_, err := d.ReadAt(t.Context(), name, make([]byte, 10), 5)
	return err
}

// TestRemoveGivesSpaceBack: a file that was read stays open for the next read;
// once it is removed nothing may keep it, or its space would not come back.
func TestRemoveGivesSpaceBack(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	closed(t, d, "pack/01/1")
	if err := read(t, d, "pack/01/1"); err != nil {
		t.Fatal(err)
	}
	if got := opened(t, dir); len(got) != 1 {
		t.Fatalf("open after a read: %q", got)
	}
	if err := d.Remove(t.Context(), "pack/01/1"); err != nil {
		t.Fatal(err)
	}
	if got := opened(t, dir); len(got) != 0 {
		t.Errorf("open after Remove: %q", got)
	}
	if err := read(t, d, "pack/01/1"); !errors.Is(err, blockstore.ErrNotExist) {
		t.Errorf("reading gave %v, want ErrNotExist", err)
	}
}

// TestFewFilesStayOpen reads more files than stay open from many goroutines while
// some of them are removed: in the end only as many stay open as may.
func TestFewFilesStayOpen(t *testing.T) {
	const files, readers, keep = 12, 4, 3
	dir := t.TempDir()
	d := open(t, dir)
	blobdir.Keep(d, keep)
	for i := range files {
		closed(t, d, fmt.Sprint("pack/01/", i))
	}
	var wg sync.WaitGroup
	for r := range readers {
		wg.Go(func() {
			for i := range 20 * files {
				name := fmt.Sprint("pack/01/", (i+r)%files)
				if err := read(t, d, name); err != nil && !errors.Is(err, blockstore.ErrNotExist) {
					t.Error(err)
				}
			}
		})
	}
	for i := range files / 2 {
		if err := d.Remove(t.Context(), fmt.Sprint("pack/01/", i)); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	got := opened(t, dir)
	if len(got) > keep {
		t.Errorf("%d files are open, want %d at most: %q", len(got), keep, got)
	}
	for _, path := range got {
		if strings.HasSuffix(path, "(deleted)") {
			t.Errorf("%s is open", path)
		}
	}
}

func TestBackendWithOneOpenFile(t *testing.T) {
	d := open(t, t.TempDir())
	blobdir.Keep(d, 1)
	blobtest.Run(t, d)
}
