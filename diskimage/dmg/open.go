package dmg

import (
	"fmt"
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

// Image is a DMG. It may be used concurrently.
type Image struct {
	*blockmap.Disk
	desc diskimage.Description
}

var (
	_ diskimage.RunDisk   = (*Image)(nil)
	_ diskimage.Describer = (*Image)(nil)
)

// Open reads the trailer and the property list of the image of size bytes in r,
// which may have a quarter of Limits.MetadataBytes. By default that is enough for
// 75 GiB in chunks of 256 KiB, or 300 GiB in those of 1 MiB.
func Open(r io.ReaderAt, size int64, opts Options) (*Image, error) {
	src := bounded.Source{Format: format, R: r, Size: size}
	if err := src.NotEmpty(); err != nil {
		return nil, err
	}
	limits := opts.Limits.WithDefaults()
	t, err := readTrailer(src)
	if err != nil {
		return nil, err
	}
	virtual, err := t.validate(limits)
	if err != nil {
		return nil, err
	}
	text := make([]byte, t.listLen)
	if err := src.ReadFull("property list", text, int64(t.list)); err != nil {
		return nil, err
	}
	list := src.NewPart("property list", int64(t.list), text)
	chunks := &chunkList{trailer: t, size: virtual, kinds: map[uint32]bool{}}
	if err := readTables(list, chunks.add); err != nil {
		return nil, err
	}
	if err := chunks.finish(list); err != nil {
		return nil, err
	}
	desc := diskimage.Description{Format: format, Variant: chunks.variant(), VirtualSize: virtual, UnitSize: chunks.largest}
	if t.behind > 0 {
		desc.Warnings = []string{fmt.Sprintf("%d bytes behind the trailer are left out", t.behind)}
	}
	return &Image{blockmap.New(format, virtual, newChunkFinder(src, virtual, chunks.all)), desc}, nil
}

// Describe implements diskimage.Describer.
func (i *Image) Describe() diskimage.Description {
	d := i.desc
	d.Warnings = slices.Clone(d.Warnings)
	return d
}
