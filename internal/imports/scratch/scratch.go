// Package scratch gives decoders room on disk for data that can't be read at random
// where it is: the contents of compressed objects. Its files never have names, so
// that nothing is left of them however the process ends.
package scratch

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/diskport/diskport/diskimage"
)

// Dir is a diskimage.Scratch in a folder. It may be used concurrently.
type Dir struct {
	Path string // made when it is not there
	// Free returns the bytes that files may still take; nil: as many as the file
	// system has.
	Free func() (int64, error)
}

var _ diskimage.Scratch = Dir{}

// FullError reports that there is no room for the contents of an object.
type FullError struct{ Dir string }

func (e *FullError) Error() string { return "scratch: no space left in " + e.Dir }

// Create implements diskimage.Scratch.
func (d Dir) Create() (diskimage.ScratchFile, error) {
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	f, err := os.CreateTemp(d.Path, "image-*")
	if err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("scratch: %w", err)
	}
	return file{f, d}, nil
}

type file struct {
	*os.File
	dir Dir
}

// WriteAt checks the room before each write, since others use it too.
func (f file) WriteAt(p []byte, off int64) (int, error) {
	if f.dir.Free != nil {
		free, err := f.dir.Free()
		if err != nil {
			return 0, err
		}
		if free < int64(len(p)) {
			return 0, &FullError{f.dir.Path}
		}
	}
	n, err := f.File.WriteAt(p, off)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = &FullError{f.dir.Path}
	}
	return n, err
}
