package blobdir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/diskport/diskport/internal/durable"
	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/store/blockstore"

	"golang.org/x/sys/unix"
)

// file is a file that is not closed yet.
type file struct {
	dir  *Dir
	path string // once closed
	f    *os.File

	mu   sync.Mutex // guards done
	done bool       // closed or aborted
}

// Create implements blockstore.Backend.
func (d *Dir) Create(ctx context.Context, name string, size int64) (blockstore.Writer, error) {
	path, err := d.path(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.ensure(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("blobdir: %s: %w", name, os.ErrExist)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if d.direct {
		flags |= unix.O_DIRECT
	}
	f, err := os.OpenFile(path+openSuffix, flags, 0o600)
	if err != nil {
		return nil, wrapFull(err)
	}
	failpoint.File(path, "made")
	if d.preallocate && size > 0 {
		preallocate(f, size)
	}
	return &file{dir: d, path: path, f: f}, nil
}

// preallocate reserves the space of a file in one piece. The file gets its full
// length at once, so that writes need not take turns to extend it. Size is a hint:
// errors are ignored, since a lack of space shows when the file is written.
func preallocate(f *os.File, size int64) {
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		_ = f.Truncate(0) // give back what there was
	}
}

// WriteAt implements blockstore.Writer.
func (w *file) WriteAt(ctx context.Context, bufs [][]byte, off int64) error {
	if !blockstore.Aligned(bufs, off) {
		return fmt.Errorf("blobdir: misaligned write of %s at %d", w.path, off)
	}
	for len(bufs) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := w.dir.pwritev(int(w.f.Fd()), bufs, off)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = unix.EIO
		}
		if err != nil {
			return wrapFull(&os.PathError{Op: "pwritev", Path: w.f.Name(), Err: err})
		}
		bufs, off = skip(bufs, n), off+int64(n)
		failpoint.File(w.path, "written to")
	}
	return nil
}

// skip returns what is left of bufs after n bytes. It leaves bufs as it is.
func skip(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n == 0 {
		return bufs
	}
	rest := append([][]byte(nil), bufs...)
	rest[0] = rest[0][n:]
	return rest
}

// Close implements blockstore.Writer. The data is durable before the file has its
// name, and the name is before Close returns.
func (w *file) Close(ctx context.Context, size int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return fmt.Errorf("blobdir: closing %s: %w", w.path, os.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.f.Truncate(size); err != nil {
		return wrapFull(err)
	}
	failpoint.File(w.path, "trimmed")
	if err := w.f.Sync(); err != nil {
		return wrapFull(err)
	}
	failpoint.File(w.path, "durable, without its name")
	w.done = true
	if err := w.f.Close(); err != nil {
		return wrapFull(err)
	}
	if err := os.Rename(w.f.Name(), w.path); err != nil {
		return wrapFull(err)
	}
	failpoint.File(w.path, "named")
	if err := durable.SyncFolder(filepath.Dir(w.path)); err != nil {
		return wrapFull(err)
	}
	failpoint.File(w.path, "durable")
	return nil
}

// Abort implements blockstore.Writer.
func (w *file) Abort() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return nil
	}
	w.done = true
	return errors.Join(w.f.Close(), removeIfThere(w.f.Name()))
}

// wrapFull returns err as one that wraps blockstore.ErrFull if it says that space
// has run out.
func wrapFull(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", blockstore.ErrFull, err)
	}
	return err
}
