package main

import (
	"fmt"
	"os"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
)

// image is a disk image in a local file.
type image struct {
	diskimage.Disk
	file *os.File
	size int64 // of the file, in bytes
}

// openImage opens a local file as a disk image of the format, or of the one
// that it is found to have. The caller closes it.
func openImage(path, format string) (*image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close() // nothing was written
		return nil, err
	}
	disk, err := detect.Open(f, info.Size(), detect.Options{Format: format})
	if err != nil {
		f.Close() // nothing was written
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return &image{disk, f, info.Size()}, nil
}

func (i *image) close() { _ = i.file.Close() } // nothing was written

// describe returns what the image says of itself.
func (i *image) describe() diskimage.Description {
	if d, ok := i.Disk.(diskimage.Describer); ok {
		return d.Describe()
	}
	return diskimage.Description{Format: "raw", VirtualSize: i.Size()}
}
