package diskimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// chunk is how much Compare and CopyTo read at once: large enough that a read
// from an object store is worth its round trip.
const chunk = 1 << 20

// Difference is the first difference that Compare found.
type Difference struct {
	Off  int64 // of the first differing byte
	A, B byte  // that byte on each disk
}

func (d *Difference) Error() string {
	return fmt.Sprintf("disks differ at byte %d (%#x): %#02x and %#02x", d.Off, d.Off, d.A, d.B)
}

// ErrSizesDiffer is what Compare's error wraps when the sizes differ.
var ErrSizesDiffer = errors.New("disk sizes differ")

// Compare returns nil when a and b have the same size and contents, a *Difference
// for the first byte that differs, and any error of reading. It does not read
// ranges in which neither disk holds data.
func Compare(ctx context.Context, a, b Disk) error {
	if a.Size() != b.Size() {
		return fmt.Errorf("comparing disks of %d and %d bytes: %w", a.Size(), b.Size(), ErrSizesDiffer)
	}
	nextA, nextB := dataSeeker{disk: a}, dataSeeker{disk: b}
	bufA, bufB := make([]byte, chunk), make([]byte, chunk)
	for off := int64(0); ; {
		ea, err := nextA.from(off)
		if err != nil {
			return fmt.Errorf("comparing disks: walking the first: %w", err)
		}
		eb, err := nextB.from(off)
		if err != nil {
			return fmt.Errorf("comparing disks: walking the second: %w", err)
		}
		e := ea
		if eb.Off < ea.Off {
			e = eb
		}
		if e.Len == 0 {
			return ctx.Err()
		}
		off = max(off, e.Off)
		n := min(e.Off+e.Len-off, chunk)
		if err := compareRange(ctx, a, b, off, bufA[:n], bufB[:n]); err != nil {
			return err
		}
		off += n
	}
}

func compareRange(ctx context.Context, a, b Disk, off int64, pa, pb []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := readFull(a, pa, off); err != nil {
		return fmt.Errorf("comparing disks: reading the first: %w", err)
	}
	if err := readFull(b, pb, off); err != nil {
		return fmt.Errorf("comparing disks: reading the second: %w", err)
	}
	if bytes.Equal(pa, pb) {
		return nil
	}
	i := 0
	for pa[i] == pb[i] {
		i++
	}
	return &Difference{Off: off + int64(i), A: pa[i], B: pb[i]}
}

// dataSeeker finds the Data extents of a disk in ascending order.
type dataSeeker struct {
	disk Disk
	last Extent // ends behind the last offset asked for, or is empty at Size
}

// from returns the first Data extent that ends behind off, or an empty one at the
// disk's end when there is none. off must not decrease between calls.
func (s *dataSeeker) from(off int64) (Extent, error) {
	size := s.disk.Size()
	if off < s.last.Off+s.last.Len || (s.last.Off == size && size > 0) {
		return s.last, nil
	}
	s.last = Extent{Off: size}
	for e, err := range s.disk.Extents(off, size-off) {
		if err != nil {
			return Extent{}, err
		}
		if e.Kind == Data {
			s.last = e
			break
		}
	}
	return s.last, nil
}

// readFull fills p, or returns an error that is not io.EOF.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("offset %#x: %w", off, err)
}
