package vhd

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/blockmap"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// Options are the options of Open. The zero value is useful.
type Options struct {
	Limits diskimage.Limits
}

// Image is a fixed or dynamic VHD. It may be used concurrently.
type Image struct {
	*blockmap.Disk
	reads  *blockmap.Disk // the same disk, for ReadAt
	desc   diskimage.Description
	blocks *blockFinder // nil when fixed
}

var (
	_ diskimage.RunDisk   = (*Image)(nil)
	_ diskimage.Describer = (*Image)(nil)
)

// Open reads the footers, the dynamic header and the block allocation table of
// the image of size bytes in r, and refuses it unless every block lies in it
// and none overlaps another.
func Open(r io.ReaderAt, size int64, opts Options) (*Image, error) {
	src := bounded.Source{Format: format, R: r, Size: size}
	if err := src.NotEmpty(); err != nil {
		return nil, err
	}
	found, err := readFooters(src)
	if err != nil {
		return nil, err
	}
	foot, warnings, err := found.choose()
	if err != nil {
		return nil, err
	}
	virtual, err := foot.validate(opts.Limits)
	if err != nil {
		return nil, err
	}
	if foot.saved {
		warnings = append(warnings, "the disk belongs to a saved machine state, which is not read")
	}
	img := &Image{desc: diskimage.Description{
		Format: format, VirtualSize: virtual, Creator: foot.creator, Warnings: warnings,
	}}
	if foot.kind == fixed {
		err = img.openFixed(src, foot)
	} else {
		end := size
		if found.tail != nil {
			end = found.tail.part.Off
		}
		err = img.openDynamic(src, foot, end, opts.Limits.WithDefaults())
	}
	if err != nil {
		return nil, err
	}
	return img, nil
}

// openFixed checks that the data end at the footer. Some writers pad them with
// zeros.
func (i *Image) openFixed(src bounded.Source, foot *footer) error {
	size := i.desc.VirtualSize
	extra := foot.part.Off - size
	if extra < 0 {
		return foot.fault(diskimage.Truncated, "current size", 48, foot.size, "only %d bytes lie before the footer", foot.part.Off)
	}
	padding, err := src.Part("data behind the disk's end", size, min(extra, bounded.MaxPart))
	if err != nil {
		return err
	}
	if extra > bounded.MaxPart || len(bytes.Trim(padding.Data, "\x00")) > 0 {
		return foot.fault(diskimage.Malformed, "current size", 48, foot.size, "%d bytes lie before the footer", foot.part.Off)
	}
	i.desc.Variant = "fixed"
	i.Disk = blockmap.New(format, size, fixedFinder{src.R, size})
	i.reads = i.Disk
	return nil
}

// openDynamic reads the dynamic header and checks the table; blocks end at end.
func (i *Image) openDynamic(src bounded.Source, foot *footer, end int64, limits diskimage.Limits) error {
	switch {
	case foot.dataOffset < footerSize || foot.dataOffset > math.MaxInt64:
		return foot.fault(diskimage.Malformed, "data offset", 16, foot.dataOffset, "not between the footers")
	case foot.dataOffset > uint64(end):
		return foot.fault(diskimage.Truncated, "data offset", 16, foot.dataOffset, "the dynamic header begins past the end of the object (%#x)", end)
	}
	part, err := src.Part("dynamic header", int64(foot.dataOffset), headerSize)
	if err != nil {
		return err
	}
	head := parseHeader(part)
	if foot.kind == differencing {
		return foot.fault(diskimage.External, "disk type", 60, uint64(foot.kind), "differencing disk of parent %q, which is not read", head.parent)
	}
	if err := head.validate(i.desc.VirtualSize); err != nil {
		return err
	}
	if head.hasParent {
		i.desc.Warnings = append(i.desc.Warnings, "a dynamic disk that names a parent; it is read without one")
	}
	if i.blocks, err = newBlockFinder(src, head, i.desc.VirtualSize, end, limits); err != nil {
		return err
	}
	i.desc.Variant, i.desc.UnitSize = "dynamic", int64(head.blockSize)
	i.Disk = blockmap.New(format, i.desc.VirtualSize, i.blocks)
	i.reads = blockmap.New(format, i.desc.VirtualSize, exactFinder{i.blocks})
	return nil
}

// ReadAt implements io.ReaderAt.
func (i *Image) ReadAt(p []byte, off int64) (int, error) { return i.reads.ReadAt(p, off) }

// Describe implements diskimage.Describer. Whether sectors are marked absent inside
// stored blocks is known once they were read or walked.
func (i *Image) Describe() diskimage.Description {
	d := i.desc
	d.Warnings = slices.Clone(d.Warnings)
	if i.blocks != nil {
		if n := i.blocks.partial.count(); n > 0 {
			d.Warnings = append(d.Warnings, fmt.Sprintf("%d blocks have sectors marked as absent; they read as zeros", n))
		}
	}
	return d
}
