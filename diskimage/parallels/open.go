package parallels

import (
	"io"
	"slices"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/blockmap"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// Options are the options of Open. The zero value is useful.
type Options struct {
	Limits diskimage.Limits
}

// Image is a Parallels disk. It may be used concurrently.
type Image struct {
	*blockmap.Disk
	desc diskimage.Description
}

var (
	_ diskimage.RunDisk   = (*Image)(nil)
	_ diskimage.Describer = (*Image)(nil)
)

// Open reads the header and the block allocation table of the image of size
// bytes in r, and refuses it unless every cluster lies in it and no two overlap.
func Open(r io.ReaderAt, size int64, opts Options) (*Image, error) {
	src := bounded.Source{Format: format, R: r, Size: size}
	if err := src.NotEmpty(); err != nil {
		return nil, err
	}
	part, err := src.Part("header", 0, min(size, headerSize))
	if err != nil {
		return nil, err
	}
	head, err := parseHeader(part)
	if err != nil {
		return nil, err
	}
	virtual, err := head.validate(size, opts.Limits)
	if err != nil {
		return nil, err
	}
	finder, err := newClusterFinder(src, head, virtual, opts.Limits.WithDefaults())
	if err != nil {
		return nil, err
	}
	desc := diskimage.Description{Format: format, Variant: head.magic, VirtualSize: virtual, UnitSize: head.cluster()}
	if head.inUse == inUse {
		desc.Warnings = append(desc.Warnings, "the image was not closed cleanly")
	}
	return &Image{blockmap.New(format, virtual, finder), desc}, nil
}

// Describe implements diskimage.Describer.
func (i *Image) Describe() diskimage.Description {
	d := i.desc
	d.Warnings = slices.Clone(d.Warnings)
	return d
}
