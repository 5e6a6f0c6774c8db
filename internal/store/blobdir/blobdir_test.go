package blobdir_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, dir string) *blobdir.Dir {
	t.Helper()
	d, err := blobdir.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Names of folders may look like patterns.
func TestBackendInAnOddFolder(t *testing.T) {
	blobtest.Run(t, open(t, filepath.Join(t.TempDir(), "[a]*", "b")))
}

func TestBackend(t *testing.T) { blobtest.Run(t, open(t, filepath.Join(t.TempDir(), "a", "b"))) }

// TestFormats: a store of another format is refused by name, as is a damaged identity, and
// left as it is.
func TestFormats(t *testing.T) {
	for line, want := range map[string]string{
		"diskport store 1 0123456789abcdef0123456789abcdef\n": "a store of format 1",
		"diskport store 3 0123456789abcdef0123456789abcdef\n": "no format that is known",
		"diskport store 2 0123":                               "is damaged",
		"diskpord store 2 0123456789abcdef0123456789abcdef\n": "is damaged",
		"diskport store 2 0123456789abcdeg0123456789abcdef\n": "Remove it and start again",
		"": "is damaged",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "identity"), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := blobdir.New(dir); err == nil || errors.Is(err, blobdir.ErrFormat) != strings.Contains(want, "format") || !strings.Contains(err.Error(), want) {
			t.Errorf("identity %q: got %v, want %q", line, err, want)
		}
		if found, err := os.ReadDir(dir); err != nil || len(found) != 1 {
			t.Errorf("identity %q: %d files lie there now, %v", line, len(found), err)
		}
	}
}

// TestCutOffFilesGo: a process died while it looked what the file system can do, and while
// it gave the store its identity.
func TestCutOffFilesGo(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".probe123", ".identity456", ".mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != ".mine" {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestInMemory runs on a tmpfs: there is nothing to preallocate.
func TestInMemory(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "blobdir")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := open(t, dir)
	blobtest.Run(t, d)
	create(t, d, "pack/01/1", 1<<30)
	if st, err := os.Stat(filepath.Join(dir, "pack/01/1.open")); err != nil || st.Size() != 0 {
		t.Errorf("memory was preallocated: %v, %v", st, err)
	}
}

func TestBuffered(t *testing.T) {
	d := open(t, t.TempDir())
	blobdir.SetDirect(d, false)
	blobtest.Run(t, d)
}

// TestDirect proves that files are written with O_DIRECT where it works.
func TestDirect(t *testing.T) {
	d := open(t, t.TempDir())
	w := create(t, d, "pack/01/1", 1<<20)
	flags, err := unix.FcntlInt(blobdir.Fd(w), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := flags&unix.O_DIRECT != 0; got != d.Direct() {
		t.Errorf("O_DIRECT is %v, probed %v", got, d.Direct())
	}
}

func create(t *testing.T, d *blobdir.Dir, name string, size int64) blockstore.Writer {
	t.Helper()
	w, err := d.Create(t.Context(), name, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestShortWrites(t *testing.T) {
	d := open(t, t.TempDir())
	var calls atomic.Int32
	blobdir.SetPwritev(d, func(fd int, bufs [][]byte, off int64) (int, error) {
		if calls.Add(1)%3 == 0 {
			return 0, unix.EINTR
		}
		if len(bufs[0]) > blockstore.Align {
			return unix.Pwrite(fd, bufs[0][:blockstore.Align], off)
		}
		return unix.Pwritev(fd, bufs[:1], off)
	})
	blobtest.Run(t, d)
	if n := calls.Load(); n < 30 {
		t.Errorf("%d calls: writes were not short", n)
	}
}

func TestFull(t *testing.T) {
	for _, cause := range []error{unix.ENOSPC, unix.EDQUOT, unix.EIO} {
		d := open(t, t.TempDir())
		blobdir.SetPwritev(d, func(int, [][]byte, int64) (int, error) { return 0, cause })
		w := create(t, d, "pack/01/1", 1<<20)
		err := w.WriteAt(t.Context(), [][]byte{blockstore.AlignedBytes(blockstore.Align)}, 0)
		if want := cause != unix.EIO; errors.Is(err, blockstore.ErrFull) != want || !errors.Is(err, cause) {
			t.Errorf("%v: got %v, ErrFull wanted: %v", cause, err, want)
		}
	}
}

// TestFullDisk fills a file system of 1 MiB, for which it must be allowed to mount
// one. Elsewhere TestFull has to do.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("blobdir", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Logf("a file system can't be mounted here: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	d := open(t, dir)
	w := create(t, d, "pack/01/1", 4<<20)
	err := w.WriteAt(t.Context(), [][]byte{blockstore.AlignedBytes(4 << 20)}, 0)
	if !errors.Is(err, blockstore.ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
}

// TestPreallocationIsAHint asks for more than any disk has.
func TestPreallocationIsAHint(t *testing.T) {
	w := create(t, open(t, t.TempDir()), "pack/01/1", 1<<60)
	p := blockstore.AlignedBytes(blockstore.Align)
	if err := errors.Join(w.WriteAt(t.Context(), [][]byte{p}, 0), w.Close(t.Context(), blockstore.Align)); err != nil {
		t.Error(err)
	}
}

func TestCloseTrims(t *testing.T) {
	dir := t.TempDir()
	w := create(t, open(t, dir), "pack/01/1", 64<<20)
	p := blockstore.AlignedBytes(blockstore.Align)
	if err := errors.Join(w.WriteAt(t.Context(), [][]byte{p}, 0), w.Close(t.Context(), blockstore.Align)); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(dir, "pack/01/1"))
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Sys().(*syscall.Stat_t).Blocks * 512; got > 1<<20 || st.Size() != blockstore.Align {
		t.Errorf("a closed file of %d bytes takes %d", st.Size(), got)
	}
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v", st.Mode())
	}
}

func TestNames(t *testing.T) {
	d := open(t, t.TempDir())
	for _, name := range []string{"", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "pack/1.open", "identity", "quarantine/x"} {
		if _, err := d.Create(t.Context(), name, 0); err == nil {
			t.Errorf("%q was created", name)
		}
		if _, err := d.ReadAt(t.Context(), name, nil, 0); err == nil || errors.Is(err, blockstore.ErrNotExist) {
			t.Errorf("reading %q gave %v", name, err)
		}
		if err := d.Remove(t.Context(), name); err == nil {
			t.Errorf("%q was removed", name)
		}
	}
}

// TestLeftBehind: what a process left open is listed, not read, and can be
// removed by the next one.
func TestLeftBehind(t *testing.T) {
	dir := t.TempDir()
	create(t, open(t, dir), "pack/01/1", 1<<20)
	d := open(t, dir)
	var names []string
	if err := d.List(t.Context(), func(e blockstore.Entry) error { names = append(names, e.Name); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(names) != 1 || names[0] != "pack/01/1" {
		t.Errorf("list gives %q", names)
	}
	if _, err := d.ReadAt(t.Context(), "pack/01/1", make([]byte, 1), 0); !errors.Is(err, blockstore.ErrNotExist) {
		t.Errorf("reading gave %v, want ErrNotExist", err)
	}
	if err := d.Remove(context.Background(), "pack/01/1"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "pack/01/1.open")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
}
