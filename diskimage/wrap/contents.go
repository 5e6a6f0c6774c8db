package wrap

import (
	"fmt"
	"io"
	"math/bits"
	"slices"
	"sync"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// holeUnit is the granularity in which holes are known, in bytes: at the largest
// size the list of them takes 32 MiB.
const holeUnit = 256 << 10

// Contents is the contents of a compressed object, in scratch room. It may be read
// concurrently, and knows its holes.
type Contents struct {
	file    diskimage.ScratchFile
	size    int64    // bytes
	written int64    // from here on nothing was written: zeros
	used    []uint64 // a bit for each holeUnit that was written to

	warnings []string

	close  sync.Once
	closed error
}

var _ diskimage.SparseReaderAt = (*Contents)(nil)

// Warnings says which bytes of the object were left out.
func (c *Contents) Warnings() []string { return slices.Clone(c.warnings) }

// Size returns how many bytes came out.
func (c *Contents) Size() int64 { return c.size }

// Close removes the scratch file.
func (c *Contents) Close() error {
	c.close.Do(func() {
		if err := c.file.Close(); err != nil {
			c.closed = fmt.Errorf("removing scratch space: %w", err)
		}
	})
	return c.closed
}

// ReadAt implements io.ReaderAt.
func (c *Contents) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= c.size {
		return 0, io.EOF
	}
	want := len(p)
	p = p[:min(int64(want), c.size-off)]
	stored := p[:max(0, min(int64(len(p)), c.written-off))]
	if len(stored) > 0 {
		if err := bounded.ReadFull(c.file, stored, off); err != nil {
			return 0, fmt.Errorf("reading scratch space at offset %#x: %w", off, err)
		}
	}
	clear(p[len(stored):])
	if len(p) < want {
		return len(p), io.EOF
	}
	return want, nil
}

// NextData implements diskimage.SparseReaderAt.
func (c *Contents) NextData(off int64) (start, end int64, err error) {
	i := c.next(off/holeUnit, 0)
	start = min(c.size, max(off, i*holeUnit))
	end = min(c.size, c.next(i, ^uint64(0))*holeUnit)
	return start, max(start, end), nil
}

// next returns the first unit from i on whose bit, turned by flip, is set. What
// lies behind the list was not written.
func (c *Contents) next(i int64, flip uint64) int64 {
	for w := i / 64; w < int64(len(c.used)); w++ {
		v := c.used[w] ^ flip
		if w == i/64 {
			v &= ^uint64(0) << (i % 64)
		}
		if v != 0 {
			return w*64 + int64(bits.TrailingZeros64(v))
		}
	}
	if flip != 0 {
		return max(i, int64(len(c.used))*64)
	}
	return (c.size + holeUnit - 1) / holeUnit
}

// spool writes to contents, and notes where.
type spool struct{ c *Contents }

func (s spool) WriteAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	for u := off / holeUnit; u*holeUnit < end; u++ {
		for int64(len(s.c.used)) <= u/64 {
			s.c.used = append(s.c.used, 0)
		}
		s.c.used[u/64] |= 1 << (u % 64)
	}
	s.c.written = max(s.c.written, end)
	return s.c.file.WriteAt(p, off)
}
