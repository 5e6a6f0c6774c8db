package vhdx

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

// Image is a fixed or dynamic VHDX. It may be used concurrently.
type Image struct {
	*blockmap.Disk
	desc diskimage.Description
}

var (
	_ diskimage.RunDisk   = (*Image)(nil)
	_ diskimage.Describer = (*Image)(nil)
)

// Open reads all metadata of the image of size bytes in r, replays its log in
// memory, and refuses it unless every payload block lies in it and on nothing
// else.
func Open(r io.ReaderAt, size int64, opts Options) (*Image, error) {
	limits := opts.Limits.WithDefaults()
	src := bounded.Source{Format: format, R: r, Size: size}
	early := src.Ahead(0, region2+regionSize)
	creator, err := readFileID(early)
	if err != nil {
		return nil, err
	}
	head, err := readHeader(early)
	if err != nil {
		return nil, err
	}
	if err := head.validate(src); err != nil {
		return nil, err
	}
	desc := diskimage.Description{Format: format, Variant: "dynamic", Creator: creator}
	if head.dirty() {
		if src, err = replay(src, head, limits); err != nil {
			return nil, err
		}
		early = src.Ahead(region1, region2+regionSize-region1)
		desc.Warnings = append(desc.Warnings, "the image was not closed cleanly; its log was replayed")
	}
	regs, err := readRegions(early, head.log())
	if err != nil {
		return nil, err
	}
	meta, err := readMetadata(src.Ahead(regs.metadata.off, metadataAhead), regs.metadata, limits)
	if err != nil {
		return nil, err
	}
	finder, err := newFinder(src, regs, meta, limits)
	if err != nil {
		return nil, err
	}
	if meta.fixed {
		desc.Variant = "fixed"
	}
	desc.VirtualSize, desc.UnitSize = meta.size, meta.blockSize
	desc.Warnings = append(desc.Warnings, regs.warnings...)
	return &Image{blockmap.New(format, meta.size, finder), desc}, nil
}

// readFileID checks the magic and returns the creator.
func readFileID(src bounded.Source) (string, error) {
	if err := src.NotEmpty(); err != nil {
		return "", err
	}
	p, err := src.Part("file identifier", 0, min(src.Size, 8+512))
	if err != nil {
		return "", err
	}
	if len(p.Data) < 8 || string(p.Data[:8]) != fileMagic {
		return "", p.Fault(diskimage.NotFormat, "does not begin with %q", fileMagic)
	}
	return utf16Text(p.Data[8:]), nil
}

// Describe implements diskimage.Describer.
func (i *Image) Describe() diskimage.Description {
	d := i.desc
	d.Warnings = slices.Clone(d.Warnings)
	return d
}
