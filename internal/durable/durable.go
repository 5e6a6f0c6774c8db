// Package durable makes names survive a power cut. A file that was synced is found again
// only if the folder that has its name was synced as well, and so on upwards.
package durable

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// SyncFolder makes the names in a folder durable.
func SyncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Folders makes folders, and remembers which are durable. The zero value is ready, and may
// be used concurrently.
type Folders struct {
	Made func() // called when a folder was made, and is not durable yet; nil: nothing is

	mu      sync.Mutex // guards what follows
	durable map[string]bool
}

// Ensure makes a folder and those above it, and makes their names durable. One that a
// process made before it died may not be durable, so each is synced once.
func (f *Folders) Ensure(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ensure(filepath.Clean(path))
}

func (f *Folders) ensure(path string) error {
	if f.durable[path] {
		return nil
	}
	parent := filepath.Dir(path)
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) && parent != path {
		if err := f.ensure(parent); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o700)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	made := err == nil
	if made && f.Made != nil {
		f.Made()
	}
	// This process may not be allowed to open what is above; then it has not made it
	// either.
	if err := SyncFolder(parent); err != nil && (made || !errors.Is(err, fs.ErrPermission)) {
		return err
	}
	if f.durable == nil {
		f.durable = map[string]bool{}
	}
	f.durable[path] = true
	return nil
}

// Forget drops what is known of a folder and those below it: they may not exist any more.
func (f *Folders) Forget(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.durable, func(dir string, _ bool) bool {
		return dir == path || strings.HasPrefix(dir, path+string(filepath.Separator))
	})
}
