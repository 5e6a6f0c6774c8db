package qcow2

import (
	"fmt"
	"io"
	"slices"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/blockmap"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// headRead is how much of the start is read at once: header and extensions,
// which take a few hundred bytes.
const headRead = 64 << 10

// Options are the options of Open. The zero value is useful.
type Options struct {
	Limits diskimage.Limits
}

// Image is a qcow2 image. It may be used concurrently.
type Image struct {
	*blockmap.Disk
	desc   diskimage.Description
	finder *clusterFinder
}

var (
	_ diskimage.RunDisk   = (*Image)(nil)
	_ diskimage.Describer = (*Image)(nil)
)

// Open reads the header and the L1 table of the image of size bytes in r. It
// refuses an image whose disk is not all in it, and one whose tables do not lie
// in it or overlap. Where an L2 table's clusters lie is checked when it is used.
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
	ext, err := head.readExtensions(src)
	if err != nil {
		return nil, err
	}
	virtual, err := head.validate(ext, opts.Limits)
	if err != nil {
		return nil, err
	}
	finder, err := newClusterFinder(src, head, virtual, opts.Limits.WithDefaults())
	if err != nil {
		return nil, err
	}
	return &Image{blockmap.New(format, virtual, finder), head.describe(virtual), finder}, nil
}

func (h header) describe(virtual int64) diskimage.Description {
	d := diskimage.Description{
		Format: format, Variant: fmt.Sprintf("version %d", h.version),
		VirtualSize: virtual, UnitSize: h.cluster(),
	}
	if h.compression == zstandard {
		d.Variant += ", zstd"
	}
	if h.extended() {
		d.Variant += ", extended L2"
	}
	if h.incompatible&dirty != 0 {
		d.Warnings = append(d.Warnings, "the image was not closed cleanly")
	}
	return d
}

// Describe implements diskimage.Describer. Whether the object ends inside a
// cluster is known once that cluster was read or walked.
func (i *Image) Describe() diskimage.Description {
	d := i.desc
	d.Warnings = slices.Clone(d.Warnings)
	if i.finder.short.Load() {
		d.Warnings = append(d.Warnings, "the object ends inside its last cluster; the rest of that reads as zeros")
	}
	return d
}
