// Package imagetest tests disks: Check is the conformance suite that every Disk
// passes, whatever it reads from. The rest makes images for tests (from
// descriptions, and with qemu-img), deterministic contents, and sources that fail.
//
// Decoders, the snapshot view and the NBD server's disks all run Check in
// their own tests.
package imagetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/diskport/diskport/diskimage"
)

// What Check does in addition to walking the whole disk.
const (
	queries  = 32        // random unaligned ranges
	readers  = 4         // concurrent goroutines that repeat them
	maxQuery = 1 << 20   // bytes of a random range
	maxDense = 64 << 20  // a hole up to this size is read completely, a larger one only at its ends
	readUnit = 256 << 10 // bytes read at once
)

// Run fails t if Check fails.
func Run(t testing.TB, d diskimage.Disk, want io.ReaderAt) {
	t.Helper()
	if err := Check(d, want); err != nil {
		t.Errorf("%T: %v", d, err)
	}
}

// Check tests d against the laws of Disk (and of RunDisk if it is one), on the
// whole disk, on random unaligned ranges, and from concurrent readers. It compares
// d with want, which holds the disk's contents; if want is nil, only the laws are
// checked.
//
// A violation of a law is an error of this package. An error of the disk itself is
// wrapped, so that a fuzz target can distinguish a refused image from a broken
// decoder.
func Check(d diskimage.Disk, want io.ReaderAt) error {
	if d.Size() <= 0 {
		return fmt.Errorf("size is %d", d.Size())
	}
	c := checker{disk: d, want: want, size: d.Size()}
	spans := c.spans()
	if err := c.sequential(spans); err != nil {
		return err
	}
	return c.concurrent(spans)
}

type span struct{ off, n int64 }

// checker may be used by one goroutine at a time.
type checker struct {
	disk diskimage.Disk
	want io.ReaderAt
	size int64

	// Buffers for the results of ReadAt, for the wanted contents, and for the
	// contents of runs. They keep checking from being mostly allocation.
	got, wanted, src, dst []byte
}

// sized returns n bytes, in *buf if it is large enough.
func sized(buf *[]byte, n int64) []byte {
	if int64(cap(*buf)) < n {
		*buf = make([]byte, n)
	}
	return (*buf)[:n]
}

// spans returns ranges of a disk, the same ones for the same size: at random, near
// powers of two (where blocks begin), and across the end.
func (c *checker) spans() []span {
	rnd := rand.New(rand.NewPCG(uint64(c.size), 1))
	spans := []span{{0, 1}, {c.size - 1, 1}, {c.size - 1, 100}, {0, min(c.size, 513)}}
	for i := range queries {
		off := rnd.Int64N(c.size)
		if i%2 == 0 {
			unit := int64(1) << (9 + rnd.IntN(14))
			off = max(0, min(c.size-1, off/unit*unit+rnd.Int64N(7)-3))
		}
		spans = append(spans, span{off, 1 + rnd.Int64N(maxQuery>>rnd.IntN(12))})
	}
	return spans
}

// sequential checks the whole disk, its end, and the spans.
func (c *checker) sequential(spans []span) error {
	if err := c.query(span{0, c.size}); err != nil {
		return fmt.Errorf("whole disk: %w", err)
	}
	if err := c.ends(); err != nil {
		return err
	}
	for _, s := range spans {
		if err := c.query(s); err != nil {
			return fmt.Errorf("query [%#x, +%#x): %w", s.off, s.n, err)
		}
	}
	return nil
}

// query checks everything about one range.
func (c *checker) query(s span) error {
	extents, err := c.extents(s)
	if err != nil {
		return fmt.Errorf("extents: %w", err)
	}
	if r, ok := c.disk.(diskimage.RunDisk); ok {
		if err := c.runs(r, s, extents); err != nil {
			return fmt.Errorf("runs: %w", err)
		}
	}
	for _, e := range extents {
		if err := c.contents(e); err != nil {
			return err
		}
	}
	return nil
}

// extents returns the extents of a range, after checking the laws that can be
// checked without reading.
func (c *checker) extents(s span) ([]diskimage.Extent, error) {
	var all []diskimage.Extent
	next, end := s.off, min(s.off+s.n, c.size)
	for e, err := range c.disk.Extents(s.off, s.n) {
		if err != nil {
			return nil, err
		}
		switch {
		case e.Off != next:
			return nil, fmt.Errorf("%+v begins at %#x, not at %#x", e, e.Off, next)
		case e.Len <= 0:
			return nil, fmt.Errorf("%+v is empty", e)
		case e.Off+e.Len > end:
			return nil, fmt.Errorf("%+v ends past the query's end %#x", e, end)
		case e.Kind > diskimage.Data:
			return nil, fmt.Errorf("%+v has an invalid kind", e)
		case len(all) > 0 && all[len(all)-1].Kind == e.Kind:
			return nil, fmt.Errorf("%+v is of its neighbour's kind", e)
		}
		all, next = append(all, e), e.Off+e.Len
	}
	if next != end {
		return nil, fmt.Errorf("end at %#x, not at %#x", next, end)
	}
	return all, nil
}

// contents reads an extent. Unless it is data it must be zeros, and it must have
// the wanted contents.
func (c *checker) contents(e diskimage.Extent) error {
	parts := []span{{e.Off, e.Len}}
	if e.Kind != diskimage.Data && e.Len > maxDense {
		parts = []span{{e.Off, readUnit}, {e.Off + e.Len/2, readUnit}, {e.Off + e.Len - readUnit, readUnit}}
	}
	for _, p := range parts {
		for off, end := p.off, p.off+p.n; off < end; off += readUnit {
			got, err := c.read(off, min(readUnit, end-off))
			if err != nil {
				return err
			}
			if e.Kind != diskimage.Data && !isZero(got) {
				return fmt.Errorf("a %v is not zero between %#x and %#x", e.Kind, off, off+int64(len(got)))
			}
		}
	}
	return nil
}

// read reads a range inside the disk and compares it with the wanted contents. The
// result is valid until the next call of read.
func (c *checker) read(off, n int64) ([]byte, error) {
	got := sized(&c.got, n)
	if err := readFull(c.disk, got, off); err != nil {
		return nil, err
	}
	if c.want == nil {
		return got, nil
	}
	want := sized(&c.wanted, n)
	if err := readFull(c.want, want, off); err != nil {
		return nil, fmt.Errorf("what is wanted: %w", err)
	}
	if i := firstDifference(got, want); i >= 0 {
		return nil, fmt.Errorf("byte %#x is %#02x, want %#02x", off+int64(i), got[i], want[i])
	}
	return got, nil
}

// ends checks reading at the end of the disk.
func (c *checker) ends() error {
	p := make([]byte, 16)
	for _, off := range []int64{c.size, c.size + 1, c.size + 1<<40} {
		if n, err := c.disk.ReadAt(p, off); n != 0 || err != io.EOF {
			return fmt.Errorf("reading at %#x, past the end %#x, gave %d, %v", off, c.size, n, err)
		}
		for e, err := range c.disk.Extents(off, 16) {
			return fmt.Errorf("extents past the end: %+v, %v", e, err)
		}
	}
	tail := min(c.size, 8)
	if n, err := c.disk.ReadAt(p, c.size-tail); n != int(tail) || err != io.EOF {
		return fmt.Errorf("reading across the end gave %d, %v; want %d, EOF", n, err, tail)
	}
	for e, err := range c.disk.Extents(0, 0) {
		return fmt.Errorf("extents of an empty query: %+v, %v", e, err)
	}
	return nil
}

// concurrent repeats the queries from several goroutines at once, each in its own
// order.
func (c *checker) concurrent(spans []span) error {
	errs := make([]error, readers)
	var wg sync.WaitGroup
	for r := range readers {
		wg.Go(func() {
			c := checker{disk: c.disk, want: c.want, size: c.size}
			for i := range spans {
				s := spans[(i*(2*r+1)+r)%len(spans)]
				if err := c.query(s); err != nil {
					errs[r] = fmt.Errorf("concurrent query [%#x, +%#x): %w", s.off, s.n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// firstDifference returns the index of the first differing byte, or -1.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	i := 0
	for a[i] == b[i] {
		i++
	}
	return i
}
