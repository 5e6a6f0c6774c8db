package source

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/diskport/diskport/internal/imports/objects"
)

// Handovers are the files that this process hands over to its own service, one at a
// time, so that they need not be uploaded. No request can name a file: only the
// token that Register returned, once, inside this process.
type Handovers struct {
	process string // names this process in pins

	mu    sync.Mutex // guards paths
	paths map[string]string
}

// NewHandovers returns the registry of this process.
func NewHandovers() *Handovers {
	return &Handovers{process: rand.Text(), paths: map[string]string{}}
}

// Register returns a Url that stands for the file at path for one import. path must
// be absolute, since the working directory is not the user's.
func (h *Handovers) Register(path string) (url string, err error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("handing over %s: the path is not absolute", path)
	}
	token := rand.Text()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.paths[token] = path
	return "diskport:" + token, nil
}

// known reports whether the token can be taken.
func (h *Handovers) known(token string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.paths[token] != ""
}

// take returns the path that a token stands for, once.
func (h *Handovers) take(token string) (path string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	path, ok = h.paths[token]
	delete(h.paths, token)
	return path, ok
}

// pin notes the present state of the file.
func (h *Handovers) pin(id, token string) (Pin, error) {
	path, ok := h.take(token)
	if !ok {
		return Pin{}, ErrNotFound
	}
	f, identity, err := openLocal(path)
	if err != nil {
		return Pin{}, err
	}
	if err := f.Close(); err != nil {
		return Pin{}, err
	}
	return Pin{Kind: Handover, ID: id, Path: path, Process: h.process, Size: identity.size, Modified: identity.modified, Inode: identity.inode}, nil
}

// open opens a pinned file if it is the one that was pinned.
func (h *Handovers) open(p Pin) (Object, error) {
	if p.Process != h.process {
		return nil, ErrOrphaned
	}
	f, found, err := openLocal(p.Path)
	if err != nil {
		return nil, err
	}
	if want := (identity{p.Size, p.Modified, p.Inode}); found != want {
		return nil, errors.Join(ErrChanged, f.Close())
	}
	return object{objects.NewFile(f, p.Size, p.modTime())}, nil
}

// identity is what distinguishes a file from what replaced or changed it.
type identity struct {
	size     int64 // bytes
	modified int64 // Unix nanoseconds
	inode    string
}

func openLocal(path string) (*os.File, identity, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // opening a pipe would wait
		return nil, identity{}, fmt.Errorf("%w: %s is not a regular file", ErrLocation, path)
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, identity{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, identity{}, fmt.Errorf("%w: %w", ErrNoAccess, err)
	case err != nil:
		return nil, identity{}, err
	}
	if info, err = f.Stat(); err != nil {
		return nil, identity{}, errors.Join(err, f.Close())
	}
	return f, identity{info.Size(), info.ModTime().UnixNano(), inodeOf(info)}, nil
}

func inodeOf(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
