package blobdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskport/diskport/internal/durable"
	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/store/blockstore"

	"golang.org/x/sys/unix"
)

// openSuffix marks files that are not closed.
const openSuffix = ".open"

// Dir is a directory of files. It may be used concurrently.
type Dir struct {
	root        string
	direct      bool // O_DIRECT works
	preallocate bool
	pwritev     func(fd int, bufs [][]byte, off int64) (int, error) // unix.Pwritev; tests fail it
	readers     *readers
	folders     durable.Folders
}

var (
	_ blockstore.Backend    = (*Dir)(nil)
	_ blockstore.Identified = (*Dir)(nil)
	_ blockstore.Quarantine = (*Dir)(nil)
	_ blockstore.Aside      = (*Dir)(nil)
)

// New returns the back end in the directory root, which it creates; ErrFormat if that
// holds a store of another format, of which nothing is changed. Close it after use.
func New(root string) (*Dir, error) {
	d := &Dir{root: root, pwritev: unix.Pwritev, readers: newReaders(defaultOpenFiles)}
	d.folders.Made = func() { failpoint.At("a folder of the store: made") }
	if _, err := d.identity(); err != nil {
		return nil, err
	}
	if err := d.ensure(root); err != nil {
		return nil, fmt.Errorf("opening block directory: %w", err)
	}
	if err := d.removeCutOff(); err != nil {
		return nil, fmt.Errorf("opening block directory: %w", err)
	}
	if err := d.probe(); err != nil {
		return nil, fmt.Errorf("probing block directory %s: %w", root, err)
	}
	return d, nil
}

// String returns the directory.
func (d *Dir) String() string { return d.root }

// Direct reports whether files are written past the page cache.
func (d *Dir) Direct() bool { return d.direct }

// What the names of files are made from that are there for a moment.
const (
	probes     = ".probe*"
	identities = ".identity*"
)

// removeCutOff removes such files that processes left which died in that moment.
func (d *Dir) removeCutOff() error {
	entries, err := os.ReadDir(d.root)
	for _, e := range entries {
		for _, names := range []string{probes, identities} {
			if ok, _ := filepath.Match(names, e.Name()); ok {
				err = errors.Join(err, removeIfThere(filepath.Join(d.root, e.Name())))
			}
		}
	}
	return err
}

// probe finds out what the file system can do.
func (d *Dir) probe() error {
	f, err := os.CreateTemp(d.root, probes)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	var st unix.Statfs_t
	if err := errors.Join(f.Close(), unix.Statfs(d.root, &st)); err != nil {
		return err
	}
	// On a tmpfs preallocating takes the memory and clears it.
	d.preallocate = st.Type != unix.TMPFS_MAGIC
	d.direct, err = probeDirect(f.Name())
	return err
}

// probeDirect reports whether O_DIRECT works: a file system may refuse it when
// a file is opened or when it is written.
func probeDirect(name string) (bool, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|unix.O_DIRECT, 0)
	if err == nil {
		_, err = f.WriteAt(blockstore.AlignedBytes(blockstore.Align), 0)
		err = errors.Join(err, f.Close())
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return false, nil
	}
	return err == nil, wrapFull(err)
}

// ensure makes a directory and those above it, and makes their names durable.
func (d *Dir) ensure(dir string) error { return wrapFull(d.folders.Ensure(dir)) }

// reserved reports whether files may not have the name.
func reserved(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return first == identityName || first == asideName
}

// path returns where a file is kept.
func (d *Dir) path(name string) (string, error) {
	if !filepath.IsLocal(name) || filepath.Clean(name) != name || strings.HasSuffix(name, openSuffix) || reserved(name) {
		return "", fmt.Errorf("blobdir: %q is no name", name)
	}
	return filepath.Join(d.root, name), nil
}

// Close closes the files that are open for reading. No ReadAt may be running.
func (d *Dir) Close() error {
	if err := d.readers.close(); err != nil {
		return fmt.Errorf("blobdir: closing: %w", err)
	}
	return nil
}

// ReadAt implements blockstore.Backend.
func (d *Dir) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	path, err := d.path(name)
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err := d.readers.readAt(path, p, off)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", blockstore.ErrNotExist, err)
	}
	return n, err
}

// Remove implements blockstore.Backend.
func (d *Dir) Remove(ctx context.Context, name string) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// In this order: an open one that is being closed meanwhile has its other name by then.
	err = errors.Join(removeIfThere(path+openSuffix), removeIfThere(path))
	d.readers.drop(path)
	failpoint.File(path, "removed")
	if err == nil {
		// Its row goes next. A file that came back after a power cut would have none.
		err = durable.SyncFolder(filepath.Dir(path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // there never was such a folder
	}
	return err
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// List implements blockstore.Backend.
func (d *Dir) List(ctx context.Context, fn func(blockstore.Entry) error) error {
	return filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != d.root {
			return nil // removed meanwhile
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		switch {
		case path == filepath.Join(d.root, asideName) && e.IsDir():
			return fs.SkipDir
		case e.IsDir(), strings.HasPrefix(e.Name(), "."), path == filepath.Join(d.root, identityName):
			return nil
		}
		return d.list(path, e, fn)
	})
}

// list calls fn for the file at path, unless it has been removed.
func (d *Dir) list(path string, e fs.DirEntry, fn func(blockstore.Entry) error) error {
	name, err := filepath.Rel(d.root, path)
	if err != nil {
		return err
	}
	name, open := strings.CutSuffix(name, openSuffix)
	if open {
		return fn(blockstore.Entry{Name: name})
	}
	st, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return fn(blockstore.Entry{Name: name, Bytes: st.Size(), Closed: true})
}
