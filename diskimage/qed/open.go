package qed

import (
	"fmt"
	"io"
	"slices"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/blockmap"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// headRead is how much of the start is read: the header, and the name of a
// backing file for the error.
const headRead = 4 << 10

// Options are the options of Open. The zero value is useful.
type Options struct {
	Limits diskimage.Limits
}

// Image is a QED image. It may be used concurrently.
type Image struct {
	*blockmap.Disk
	desc diskimage.Description
}

var (
	_ diskimage.RunDisk   = (*Image)(nil)
	_ diskimage.Describer = (*Image)(nil)
)

// Open reads the header and the L1 table of the image of size bytes in r, and
// refuses it unless every L2 table lies in it and none overlaps another. Where
// an L2 table's clusters lie is checked when it is used.
func Open(r io.ReaderAt, size int64, opts Options) (*Image, error) {
	src := bounded.Source{Format: format, R: r, Size: size}
	if err := src.NotEmpty(); err != nil {
		return nil, err
	}
	part, err := src.Part("header", 0, min(size, headRead))
	if err != nil {
		return nil, err
	}
	head, err := parseHeader(part)
	if err != nil {
		return nil, err
	}
	virtual, err := head.validate(opts.Limits)
	if err != nil {
		return nil, err
	}
	finder, err := newClusterFinder(src, head, virtual, opts.Limits.WithDefaults())
	if err != nil {
		return nil, err
	}
	desc := diskimage.Description{
		Format: format, Variant: fmt.Sprintf("tables of %d clusters", head.tableClusters),
		VirtualSize: virtual, UnitSize: head.cluster(),
	}
	if head.features&needCheck != 0 {
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
