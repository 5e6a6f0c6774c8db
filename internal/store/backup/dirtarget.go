package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/durable"
	"github.com/diskport/diskport/internal/failpoint"
)

// Dir is a directory as a target. It may be used concurrently.
type Dir struct {
	root    string
	folders durable.Folders
}

var _ Target = (*Dir)(nil)

// NewDir returns the target at a directory, which the first Put makes.
func NewDir(root string) *Dir { return &Dir{root: filepath.Clean(root)} }

const (
	lockName  = "lock"
	newPrefix = ".new-" // of files that are being written
	copyBytes = 1 << 20
)

// path returns where a file lies.
func (d *Dir) path(name string) (string, error) {
	if !filepath.IsLocal(name) || filepath.Clean(name) != name || hidden(name) {
		return "", fmt.Errorf("backup: %q is no name", name)
	}
	return filepath.Join(d.root, name), nil
}

// hidden reports whether a part of a name begins with a dot.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.Contains(name, "/.") }

// Put implements Target.
func (d *Dir) Put(ctx context.Context, name string, body io.Reader, _ int64) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := d.folders.Ensure(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), newPrefix+"*") // of mode 0600
	if err != nil {
		return err
	}
	sparse := &sparseFile{f: f}
	_, err = io.CopyBuffer(sparse, untilDone{ctx, body}, make([]byte, copyBytes))
	if err == nil {
		err = f.Truncate(sparse.size)
	}
	if err == nil {
		err = f.Sync()
	}
	// It is not read again soon, and what the service reads is better kept in memory.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	if err = errors.Join(err, f.Close()); err == nil {
		failpoint.At(step(name, "durable, without its name"))
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	failpoint.At(step(name, "named"))
	return durable.SyncFolder(filepath.Dir(path))
}

// step is the name of a fail point in the life of a file.
func step(name, what string) string {
	tree, _, _ := strings.Cut(name, "/")
	return "copy in " + tree + ": " + what
}

// sparseFile is a file that is written from front to back, with holes for zeros: objects
// are images of disks.
type sparseFile struct {
	f    *os.File
	size int64
}

func (s *sparseFile) Write(p []byte) (n int, err error) {
	if n = len(p); !block.IsZero(p) {
		n, err = s.f.WriteAt(p, s.size)
	}
	s.size += int64(n)
	return n, err
}

// untilDone is a reader that fails once a context has ended.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := context.Cause(u.ctx); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// Get implements Target.
func (d *Dir) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	path, err := d.path(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{untilDone{ctx, f}, f}, nil
}

// List implements Target.
func (d *Dir) List(ctx context.Context, fn func(Entry) error) error {
	return filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // there is nothing yet, or it was removed meanwhile
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		name, err := filepath.Rel(d.root, path)
		switch {
		case err != nil:
			return err
		case name == ".", name == lockName:
			return nil
		case hidden(name) && e.IsDir():
			return fs.SkipDir
		case hidden(name), !e.Type().IsRegular():
			return nil
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return fn(Entry{Name: filepath.ToSlash(name), Bytes: st.Size()})
	})
}

// Remove implements Target.
func (d *Dir) Remove(_ context.Context, name string) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	err = os.Remove(path)
	failpoint.At(step(name, "removed"))
	if err == nil {
		err = durable.SyncFolder(filepath.Dir(path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Lock implements Target. It removes what processes left that died while they wrote.
func (d *Dir) Lock(context.Context) (unlock func(), err error) {
	if err := d.folders.Ensure(d.root); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(d.root, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %s", ErrBusy, d.root)
	}
	if err == nil {
		err = d.RemoveCutOff()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// RemoveCutOff removes files that were never put in place, and what Scratch made, of processes
// that died. Nothing may be written there meanwhile.
func (d *Dir) RemoveCutOff() error {
	return filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasPrefix(e.Name(), newPrefix) {
			return err
		}
		if e.IsDir() {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			return fs.SkipDir
		}
		return os.Remove(path)
	})
}

// Scratch makes a folder in the directory for what is not part of a backup; the next Lock
// removes it, if its user does not.
func (d *Dir) Scratch() (string, error) {
	if err := d.folders.Ensure(d.root); err != nil {
		return "", err
	}
	return os.MkdirTemp(d.root, newPrefix+"*")
}

// String returns the directory.
func (d *Dir) String() string { return d.root }
