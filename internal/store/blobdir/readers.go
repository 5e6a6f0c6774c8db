package blobdir

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// defaultOpenFiles is how many files stay open for reading.
const defaultOpenFiles = 64

// readers keeps open the files that were read last. A file that leaves while it is
// being read is closed by its last reader.
type readers struct {
	mu   sync.Mutex // guards what follows, and the fields of reader
	open *simplelru.LRU[string, *reader]
	idle []*reader // have left open and are not being read: to be closed outside mu
}

type reader struct {
	*os.File
	users int
	left  bool // is not in open any more
}

func newReaders(limit int) *readers {
	c := &readers{}
	c.open, _ = simplelru.NewLRU(limit, c.leave) // fails for limits below 1 only
	return c
}

// leave is called with mu held, for whatever reason a file leaves.
func (c *readers) leave(_ string, r *reader) {
	r.left = true
	if r.users == 0 {
		c.idle = append(c.idle, r)
	}
}

// readAt reads of the file at path, as os.File.ReadAt does.
func (c *readers) readAt(path string, p []byte, off int64) (int, error) {
	r, err := c.get(path)
	if err != nil {
		return 0, err
	}
	defer c.release(r)
	return r.ReadAt(p, off)
}

// get returns an open file, for release.
func (c *readers) get(path string) (*reader, error) {
	if r := c.find(path); r != nil {
		return r, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := c.add(path, &reader{File: f})
	// Remove may have run since the file was opened, and called drop before it was
	// added. Then it must not stay open, or its space would not be freed.
	if !samePlace(f, path) {
		c.drop(path)
	}
	return r, nil
}

// samePlace reports whether the open file still lies at path.
func samePlace(f *os.File, path string) bool {
	was, err1 := f.Stat()
	is, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(was, is)
}

func (c *readers) find(path string) *reader {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.open.Get(path)
	if !ok {
		return nil
	}
	r.users++
	return r
}

// add keeps r and returns it, or the reader that another caller has added first.
func (c *readers) add(path string, r *reader) *reader {
	c.mu.Lock()
	if first, ok := c.open.Get(path); ok {
		c.idle = append(c.idle, r)
		r = first
	} else {
		c.open.Add(path, r)
	}
	r.users++
	c.mu.Unlock()
	_ = c.closeIdle() // nothing was written through them
	return r
}

func (c *readers) release(r *reader) {
	c.mu.Lock()
	if r.users--; r.left && r.users == 0 {
		c.idle = append(c.idle, r)
	}
	c.mu.Unlock()
	_ = c.closeIdle()
}

// drop closes the file at path, once it is not being read any more.
func (c *readers) drop(path string) {
	c.mu.Lock()
	c.open.Remove(path)
	c.mu.Unlock()
	_ = c.closeIdle()
}

// close closes every file.
func (c *readers) close() error {
	c.mu.Lock()
	c.open.Purge()
	c.mu.Unlock()
	return c.closeIdle()
}

func (c *readers) closeIdle() error {
	c.mu.Lock()
	idle := c.idle
	c.idle = nil
	c.mu.Unlock()
	var errs []error
	for _, r := range idle {
		if err := r.Close(); !errors.Is(err, fs.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
