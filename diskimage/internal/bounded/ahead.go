package bounded

import (
	"io"
	"sync"
)

// Ahead returns a source that reads the n bytes at off, cut to the object, at once
// when the first of them is wanted: the small structures in them then cost one
// round trip instead of one each. It holds them for as long as it is used, so keep
// n small and do not read data through it.
func (s Source) Ahead(off, n int64) Source {
	n = min(n, s.Size-off)
	if off < 0 || n <= 0 || n > MaxPart {
		return s
	}
	s.R = &ahead{r: s.R, off: off, n: n}
	return s
}

type ahead struct {
	r      io.ReaderAt
	off, n int64
	once   sync.Once
	data   []byte // nil when it could not be read
}

// ReadAt reads what lies ahead from there. A range that it can't serve is read from
// the source, which returns the error.
func (a *ahead) ReadAt(p []byte, off int64) (int, error) {
	if off < a.off || off+int64(len(p)) > a.off+a.n {
		return a.r.ReadAt(p, off)
	}
	a.once.Do(func() {
		data := make([]byte, a.n)
		if ReadFull(a.r, data, a.off) == nil {
			a.data = data
		}
	})
	if a.data == nil {
		return a.r.ReadAt(p, off)
	}
	return copy(p, a.data[off-a.off:]), nil
}
