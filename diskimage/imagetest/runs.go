package imagetest

import (
	"errors"
	"fmt"
	"io"

	"github.com/diskport/diskport/diskimage"
)

// runs checks the runs of a range: they must be contiguous, none empty, cover the
// query, have the same kinds as its extents, and lead to the same bytes as ReadAt.
func (c *checker) runs(d diskimage.RunDisk, s span, extents []diskimage.Extent) error {
	end := min(s.off+s.n, c.size)
	next := s.off
	for r, err := range d.Runs(s.off, s.n) {
		if err != nil {
			return err
		}
		if err := c.place(r, next, end); err != nil {
			return err
		}
		if extents, err = matchKinds(extents, max(r.Off, s.off), min(r.Off+r.Len, end), r.Kind); err != nil {
			return fmt.Errorf("%v run [%#x, +%#x): %w", r.Kind, r.Off, r.Len, err)
		}
		if err := c.runContents(d, r); err != nil {
			return fmt.Errorf("%v run [%#x, +%#x): %w", r.Kind, r.Off, r.Len, err)
		}
		next = r.Off + r.Len
	}
	if next < end {
		return fmt.Errorf("end at %#x, not at %#x", next, end)
	}
	return nil
}

// place checks the position of a run: it must begin at next, and lie inside the
// query. A coded run may extend beyond the query, but not beyond the disk.
func (c *checker) place(r diskimage.Run, next, end int64) error {
	switch {
	case r.Len <= 0:
		return fmt.Errorf("%+v is empty", r)
	case r.Coded && (r.Off > next || r.Off+r.Len <= next || r.Off+r.Len > c.size):
		return fmt.Errorf("coded run [%#x, +%#x) does not hold %#x or leaves the disk", r.Off, r.Len, next)
	case !r.Coded && (r.Off != next || r.Off+r.Len > end):
		return fmt.Errorf("run [%#x, +%#x) is not at %#x or ends past %#x", r.Off, r.Len, next, end)
	case r.Coded && r.Kind != diskimage.Data:
		return fmt.Errorf("coded run at %#x is no data", r.Off)
	}
	return nil
}

// matchKinds checks that the extents from off to end are all of one kind, and
// returns the extents that extend beyond end.
func matchKinds(extents []diskimage.Extent, off, end int64, kind diskimage.Kind) ([]diskimage.Extent, error) {
	for off < end {
		if len(extents) == 0 {
			return nil, fmt.Errorf("no extent at %#x", off)
		}
		e := extents[0]
		if e.Kind != kind {
			return nil, fmt.Errorf("its extent is a %v", e.Kind)
		}
		off = e.Off + e.Len
		if off <= end {
			extents = extents[1:]
		}
	}
	return extents, nil
}

// runContents expands a run of data as an importer does, and compares it with
// ReadAt.
func (c *checker) runContents(d diskimage.RunDisk, r diskimage.Run) error {
	if r.Kind != diskimage.Data {
		return nil
	}
	if r.Coded {
		src, dst := sized(&c.src, r.SrcLen), sized(&c.dst, r.Len)
		if err := readFull(r.Src, src, r.SrcOff); err != nil {
			return err
		}
		if err := d.Decode(r, dst, src); err != nil {
			return err
		}
		return c.same(dst, r.Off)
	}
	for off := int64(0); off < r.Len; off += readUnit {
		p := sized(&c.src, min(readUnit, r.Len-off))
		if err := readFull(r.Src, p, r.SrcOff+off); err != nil {
			return err
		}
		if err := c.same(p, r.Off+off); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) same(p []byte, off int64) error {
	got, err := c.read(off, int64(len(p)))
	if err != nil {
		return err
	}
	if i := firstDifference(p, got); i >= 0 {
		return fmt.Errorf("leads to %#02x for byte %#x, ReadAt to %#02x", p[i], off+int64(i), got[i])
	}
	return nil
}

func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at %#x gave %d: %w", len(p), off, n, err)
}
