package diskimage

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// CopyOptions are the options of CopyTo. The zero value is useful.
type CopyOptions struct {
	// Progress, if set, is called with the disk offset up to which the copy is
	// done: after each chunk, and once with the disk's size.
	Progress func(off int64)
}

// zeroUnit is the granularity in which CopyTo leaves zeros out: the block size
// of common file systems.
const zeroUnit = 4 << 10

// CopyTo writes the contents of d to dst, which must read as zeros before: holes,
// and zeros among the data, are not written. It does not set the length of dst, so
// call Truncate(d.Size()) on a file first.
func CopyTo(ctx context.Context, dst io.WriterAt, d Disk, opts CopyOptions) error {
	if opts.Progress == nil {
		opts.Progress = func(int64) {}
	}
	buf := make([]byte, chunk)
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil {
			return fmt.Errorf("copying disk: %w", err)
		}
		if e.Kind != Data {
			continue
		}
		if err := copyExtent(ctx, dst, d, e, buf, opts.Progress); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	opts.Progress(d.Size())
	return nil
}

func copyExtent(ctx context.Context, dst io.WriterAt, d Disk, e Extent, buf []byte, progress func(int64)) error {
	for off, end := e.Off, e.Off+e.Len; off < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buf[:min(end-off, chunk)]
		if err := readFull(d, p, off); err != nil {
			return fmt.Errorf("copying disk: reading: %w", err)
		}
		if err := WriteSparse(dst, p, off); err != nil {
			return fmt.Errorf("copying disk: writing at offset %#x: %w", off, err)
		}
		off += int64(len(p))
		progress(off)
	}
	return nil
}

// WriteSparse writes p at off without its units of zeros (of 4 KiB, counted from
// the start of p), in as few writes as possible.
func WriteSparse(dst io.WriterAt, p []byte, off int64) error {
	for len(p) > 0 {
		skip := leading(p, true)
		p, off = p[skip:], off+int64(skip)
		n := leading(p, false)
		if n > 0 {
			if _, err := dst.WriteAt(p[:n], off); err != nil {
				return err
			}
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// leading counts the bytes of the units at the start of p that are (zero) or
// are not (!zero) all zeros.
func leading(p []byte, zero bool) int {
	n := 0
	for n < len(p) {
		unit := p[n:min(n+zeroUnit, len(p))]
		if isZero(unit) != zero {
			break
		}
		n += len(unit)
	}
	return n
}

// isZero compares p with itself, shifted by one: that runs at memory speed.
func isZero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}
