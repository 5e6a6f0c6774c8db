package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/diskport/diskport/diskimage"
)

// localFile is an open file that knows its holes. Reading is by offset everywhere,
// so that nobody minds where looking for holes leaves the file's position.
type localFile struct {
	*os.File
	info os.FileInfo
	size int64 // bytes
}

var _ diskimage.SparseReaderAt = (*localFile)(nil)

// openLocal opens a file.
func openLocal(path string) (*localFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &localFile{f, info, info.Size()}, nil
}

// NextData implements diskimage.SparseReaderAt. Where the file system does not
// know its holes, all is data.
func (f *localFile) NextData(off int64) (start, end int64, err error) {
	const seekData, seekHole = 3, 4 // of lseek(2)
	if off >= f.size {
		return f.size, f.size, nil
	}
	start, err = f.Seek(off, seekData)
	switch {
	case errors.Is(err, syscall.ENXIO): // a hole up to the end
		return f.size, f.size, nil
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOTSUP):
		return off, f.size, nil
	case err != nil:
		return 0, 0, fmt.Errorf("looking for data at %d: %w", off, err)
	}
	if end, err = f.Seek(start, seekHole); err != nil {
		return 0, 0, fmt.Errorf("looking for a hole at %d: %w", start, err)
	}
	return min(start, f.size), min(end, f.size), nil
}
