package vdi

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

// Image is a VDI image. It may be used concurrently.
type Image struct {
	*blockmap.Disk
	desc diskimage.Description
}

var (
	_ diskimage.RunDisk   = (*Image)(nil)
	_ diskimage.Describer = (*Image)(nil)
)

// Open reads the header and the block map of the image of size bytes in r, and
// refuses it unless every block lies in it and no two are the same.
func Open(r io.ReaderAt, size int64, opts Options) (*Image, error) {
	src := bounded.Source{Format: format, R: r, Size: size}
	if err := src.NotEmpty(); err != nil {
		return nil, err
	}
	part, err := src.Part("header", 0, min(size, headerEnd))
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
	finder, err := newBlockFinder(src, head, virtual, opts.Limits.WithDefaults())
	if err != nil {
		return nil, err
	}
	return &Image{blockmap.New(format, virtual, finder), diskimage.Description{
		Format: format, Variant: head.kind.String(), VirtualSize: virtual,
		UnitSize: int64(head.block), Creator: head.creator,
	}}, nil
}

// Describe implements diskimage.Describer.
func (i *Image) Describe() diskimage.Description {
	d := i.desc
	d.Warnings = slices.Clone(d.Warnings)
	return d
}
