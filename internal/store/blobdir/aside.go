package blobdir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

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
	return errors.Join(syncDir(filepath.Dir(to)), syncDir(filepath.Dir(path)))
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
	d.forget(folder)
	p.Files += found.Files
	p.Bytes += found.Bytes
	return nil
}
