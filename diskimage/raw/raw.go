// Package raw reads an object's bytes as a disk, as they are.
//
//	offset  bytes             content
//	0       size              the disk's first bytes
//	size    up to 511 zeros   not stored: a disk is whole sectors of 512 bytes
//
// There is no header, so only an empty object and one above the limit can be
// refused. Whether the bytes are of another format is a question for package
// detect.
package raw

import (
	"fmt"
	"io"
	"slices"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/blockmap"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const (
	format = "raw"
	sector = 512
)

// Options are the options of Open. The zero value is useful.
type Options struct {
	Limits   diskimage.Limits
	Warnings []string // for Describe: what the caller noticed about the bytes
}

// Image is a raw disk. It may be used concurrently.
type Image struct {
	*blockmap.Disk
	warnings []string
}

var (
	_ diskimage.RunDisk   = (*Image)(nil)
	_ diskimage.Describer = (*Image)(nil)
)

// Open returns the size bytes of r as a disk. If r is a
// diskimage.SparseReaderAt its holes are holes of the disk; otherwise all of it
// is data.
func Open(r io.ReaderAt, size int64, opts Options) (*Image, error) {
	src := bounded.Source{Format: format, R: r, Size: size}
	if err := src.NotEmpty(); err != nil {
		return nil, err
	}
	if limit := opts.Limits.WithDefaults().VirtualSize; size > limit {
		return nil, src.NewPart("object", 0, nil).Fault(diskimage.Limit, "%d bytes, more than %d", size, limit)
	}
	f := finder{src: r, size: size}
	f.sparse, _ = r.(diskimage.SparseReaderAt)
	padded := (size + sector - 1) / sector * sector
	return &Image{blockmap.New(format, padded, f), slices.Clone(opts.Warnings)}, nil
}

// Describe implements diskimage.Describer.
func (i *Image) Describe() diskimage.Description {
	return diskimage.Description{Format: format, VirtualSize: i.Size(), Warnings: slices.Clone(i.warnings)}
}

type finder struct {
	src    io.ReaderAt
	sparse diskimage.SparseReaderAt // nil when src does not know its holes
	size   int64                    // bytes of the object, without the padding
}

// Find implements blockmap.Finder.
func (f finder) Find(off, end int64) (diskimage.Run, error) {
	if off >= f.size {
		return diskimage.Run{Off: off, Len: end - off, Kind: diskimage.Hole}, nil
	}
	start, stop := int64(0), f.size
	if f.sparse != nil {
		var err error
		if start, stop, err = f.sparse.NextData(off); err != nil {
			return diskimage.Run{}, fmt.Errorf("raw: looking for data from offset %#x: %w", off, err)
		}
	}
	if start > off {
		return diskimage.Run{Off: off, Len: min(start, f.size) - off, Kind: diskimage.Hole}, nil
	}
	n := min(stop, f.size) - off
	return diskimage.Run{Off: off, Len: n, Kind: diskimage.Data, Src: f.src, SrcOff: off, SrcLen: n}, nil
}
