package imagetest

import (
	"errors"
	"io"
	"sync"

	"github.com/diskport/diskport/diskimage"
)

// ErrQuota is the error of writing more than a Scratch's quota.
var ErrQuota = errors.New("quota exceeded")

// Scratch is scratch space in memory. It counts the bytes written, and the files
// that are not closed.
type Scratch struct {
	Quota int64 // bytes written to all files; 0 means no limit

	mu      sync.Mutex
	written int64
	open    int
}

// Create implements diskimage.Scratch.
func (s *Scratch) Create() (diskimage.ScratchFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	return &scratchFile{scratch: s, pages: map[int64][]byte{}}, nil
}

// Open returns the number of files that were created and not closed.
func (s *Scratch) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// Written returns the bytes written to all files.
func (s *Scratch) Written() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}

const scratchPage = 4 << 10

// scratchFile holds the pages that have been written.
type scratchFile struct {
	scratch *Scratch
	mu      sync.RWMutex
	pages   map[int64][]byte
	size    int64
	closed  bool
}

func (f *scratchFile) WriteAt(p []byte, off int64) (int, error) {
	f.scratch.mu.Lock()
	f.scratch.written += int64(len(p))
	over := f.scratch.Quota > 0 && f.scratch.written > f.scratch.Quota
	f.scratch.mu.Unlock()
	if over {
		return 0, ErrQuota
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for n < len(p) {
		at := off + int64(n)
		page := f.pages[at/scratchPage]
		if page == nil {
			page = make([]byte, scratchPage)
			f.pages[at/scratchPage] = page
		}
		n += copy(page[at%scratchPage:], p[n:])
	}
	f.size = max(f.size, off+int64(n))
	return n, nil
}

func (f *scratchFile) ReadAt(p []byte, off int64) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return 0, errors.New("the scratch file is closed")
	}
	n := 0
	for n < len(p) && off+int64(n) < f.size {
		at := off + int64(n)
		part := p[n:min(int64(len(p)), int64(n)+scratchPage-at%scratchPage)]
		part = part[:min(int64(len(part)), f.size-at)]
		if page := f.pages[at/scratchPage]; page != nil {
			copy(part, page[at%scratchPage:])
		} else {
			clear(part)
		}
		n += len(part)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *scratchFile) Close() error {
	f.scratch.mu.Lock()
	defer f.scratch.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errors.New("the scratch file is closed already")
	}
	f.closed = true
	f.scratch.open--
	return nil
}
