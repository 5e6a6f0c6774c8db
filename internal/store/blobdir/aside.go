package blobdir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/durable"
	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/store/blockstore"
)

const (
	asideName   = "quarantine"
	asideLayout = "20060102T150405Z" // of the folders in it, in UTC
)

// SetAside implements blockstore.Quarantine. The time is rounded up to a second, so
// that nothing is purged too early.
func (d *Dir) SetAside(ctx context.Context, name string, at time.Time) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	to := filepath.Join(d.root, asideName, at.Add(time.Second-1).UTC().Format(asideLayout), name)
	if err := d.ensure(filepath.Dir(to)); err != nil {
		return err
	}
	if err := os.Rename(path, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return wrapFull(err)
	}
	d.readers.drop(path)
	failpoint.File(path, "set aside")
	return errors.Join(durable.SyncFolder(filepath.Dir(to)), durable.SyncFolder(filepath.Dir(path)))
}

// EachAside implements blockstore.Aside.
func (d *Dir) EachAside(ctx context.Context, fn func(name string) error) error {
	root := filepath.Join(d.root, asideName)
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was purged meanwhile, or nothing was ever set aside
		}
		if err := errors.Join(err, ctx.Err()); err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		folder, name, _ := strings.Cut(name, string(filepath.Separator))
		if _, err := time.Parse(asideLayout, folder); err != nil || name == "" {
			return nil // people put it there
		}
		return fn(name)
	})
}

// BringBack implements blockstore.Aside. A hard link never replaces a file.
func (d *Dir) BringBack(ctx context.Context, name string) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	from, err := d.lastAside(name)
	if err != nil || from == "" {
		return err
	}
	if err := d.ensure(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Link(from, path); err != nil {
		if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return wrapFull(err)
	}
	if err := durable.SyncFolder(filepath.Dir(path)); err != nil {
		return err
	}
	failpoint.File(path, "brought back, and still aside")
	return errors.Join(removeIfThere(from), durable.SyncFolder(filepath.Dir(from)))
}

// lastAside returns where the file lies that was set aside last under a name; empty: nowhere.
func (d *Dir) lastAside(name string) (string, error) {
	root := filepath.Join(d.root, asideName)
	folders, err := os.ReadDir(root) // times are in the order of their names
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	for _, e := range slices.Backward(folders) {
		if _, err := time.Parse(asideLayout, e.Name()); err != nil {
			continue // people made it
		}
		path := filepath.Join(root, e.Name(), name)
		if _, err := os.Lstat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", err
}

// Purge implements blockstore.Quarantine. Anything in the folder under other names,
// which people put there, stays.
func (d *Dir) Purge(ctx context.Context, before time.Time) (p blockstore.Purged, err error) {
	root := filepath.Join(d.root, asideName)
	folders, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return p, ctx.Err()
	}
	if err != nil {
		return p, err
	}
	for _, e := range folders {
		at, err := time.Parse(asideLayout, e.Name())
		if err != nil || !at.Before(before) {
			continue
		}
		if err := d.purge(ctx, filepath.Join(root, e.Name()), &p); err != nil {
			return p, err
		}
	}
	return p, ctx.Err()
}

// purge removes a folder of the quarantine and counts the files in it.
func (d *Dir) purge(ctx context.Context, folder string, p *blockstore.Purged) error {
	var found blockstore.Purged
	err := filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		if err == nil {
			found.Files++
			found.Bytes += st.Size()
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	failpoint.At("quarantine: purged")
	d.folders.Forget(folder)
	p.Files += found.Files
	p.Bytes += found.Bytes
	return nil
}
