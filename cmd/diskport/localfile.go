package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/holes"
)

// localFile is an open file that knows its holes. It is only read by offset, since
// looking for holes changes the file's position.
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
	size, err := f.Seek(0, io.SeekEnd) // of a block device too
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s can't be read at any place: %w", path, err), f.Close())
	}
	return &localFile{f, info, size}, nil
}

// NextData implements diskimage.SparseReaderAt.
func (f *localFile) NextData(off int64) (start, end int64, err error) {
	return holes.Next(f.File, f.size, off)
}
