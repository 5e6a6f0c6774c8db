// Package holes finds the holes of files on this machine, for sources that know
// their holes (diskimage.SparseReaderAt).
package holes

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Whence values of lseek(2) for which package io has no names.
const (
	seekData = 3
	seekHole = 4
)

// Next returns the first range at or after off that may hold data, of a file of size
// bytes, as diskimage.SparseReaderAt says. Where the file system does not know its
// holes, everything is data. Next changes the position of the file, so all readers
// of it must read by offset; it may be called concurrently.
func Next(f *os.File, size, off int64) (start, end int64, err error) {
	if off >= size {
		return size, size, nil
	}
	start, err = f.Seek(off, seekData)
	switch {
	case errors.Is(err, syscall.ENXIO): // a hole up to the end
		return size, size, nil
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOTSUP):
		return off, size, nil
	case err != nil:
		return 0, 0, fmt.Errorf("looking for data at %d: %w", off, err)
	}
	if end, err = f.Seek(start, seekHole); err != nil {
		return 0, 0, fmt.Errorf("looking for a hole at %d: %w", start, err)
	}
	return min(start, size), min(end, size), nil
}
