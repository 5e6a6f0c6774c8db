package vmdk

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

// Image is a monolithicSparse or streamOptimized disk. It may be used
// concurrently.
type Image struct {
	*blockmap.Disk
	desc   diskimage.Description
	grains *grainFinder
}

var (
	_ diskimage.RunDisk   = (*Image)(nil)
	_ diskimage.Describer = (*Image)(nil)
)

// Open reads the header, the descriptor, the footer of a stream that has it, and
// the grain directory of the image of size bytes in r. Grain tables are read and
// checked when they are needed.
func Open(r io.ReaderAt, size int64, opts Options) (*Image, error) {
	src := bounded.Source{Format: format, R: r, Size: size}
	if err := src.NotEmpty(); err != nil {
		return nil, err
	}
	start, err := src.Part("header", 0, min(size, sector))
	if err != nil {
		return nil, err
	}
	if err := recognize(src, start); err != nil {
		return nil, err
	}
	head := parseHeader(start)
	if err := head.validateKind(); err != nil {
		return nil, err
	}
	text, variant, err := readDescriptor(src, head)
	if err != nil {
		return nil, err
	}
	virtual, err := head.validate(size, opts.Limits)
	if err != nil {
		return nil, err
	}
	if err := text.validateExtents(head.capacity); err != nil {
		return nil, err
	}
	img := &Image{desc: diskimage.Description{
		Format: format, Variant: variant, VirtualSize: virtual, UnitSize: head.grainBytes(), Creator: text.creator(),
	}}
	if head.unclean {
		img.warn("the writer did not close the image")
	}
	if head.version == maxVersion && !head.compressed() {
		img.warn("version 3: changed blocks are tracked in another file")
	}
	if img.grains, err = newGrainFinder(src, head, virtual, opts.Limits.WithDefaults()); err != nil {
		return nil, err
	}
	img.Disk = blockmap.New(format, virtual, img.grains)
	return img, nil
}

func (i *Image) warn(text string) { i.desc.Warnings = append(i.desc.Warnings, text) }

// Describe is diskimage.Describer's. How many redundant tables differ is known
// once the disk was read or walked.
func (i *Image) Describe() diskimage.Description {
	d := i.desc
	d.Warnings = slices.Clone(d.Warnings)
	if n := len(i.grains.substitutes); n > 0 {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%d entries of the grain directory are wrong; the redundant one's are used", n))
	}
	if n := i.grains.differing.Load(); n > 0 {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%d grain tables differ from their redundant copies, which are not used", n))
	}
	return d
}

// recognize refuses what is not a sparse image, by name where it is something
// else of VMware's.
func recognize(src bounded.Source, start bounded.Part) error {
	has := func(magic string) bool {
		return len(start.Data) >= len(magic) && string(start.Data[:len(magic)]) == magic
	}
	switch {
	case has(magic) && len(start.Data) < sector:
		return start.Fault(diskimage.Truncated, "the object ends in it")
	case has(magic):
		return nil
	case has("COWD"):
		return start.Fault(diskimage.Unsupported, "a COWD (vmfsSparse) image, which is not read")
	case has("\xbe\xba\xfe\xca\x00\x00\x00\x00"):
		return start.Fault(diskimage.Unsupported, "a seSparse image, which is not read")
	}
	part, err := src.Part("descriptor", 0, min(src.Size, maxDescriptor))
	if err != nil {
		return err
	}
	if !isDescriptor(part.Data) {
		return start.Fault(diskimage.NotFormat, "neither a sparse header nor a descriptor")
	}
	text, err := parseDescriptor(part)
	if err != nil {
		return err
	}
	kind, err := text.validateKind()
	if err != nil {
		return err
	}
	return part.Fault(diskimage.Malformed, "it says %s, but stands alone", kind)
}

// readDescriptor reads the embedded descriptor and returns it with the disk's
// type, which must be the header's.
func readDescriptor(src bounded.Source, head header) (descriptor, string, error) {
	if err := head.validateDescriptor(); err != nil {
		return descriptor{}, "", err
	}
	part, err := src.Part("descriptor", byteOffset(head.descriptor), int64(head.descLen)*sector)
	if err != nil {
		return descriptor{}, "", err
	}
	if lastNonZero(part.Data) < 0 {
		return descriptor{}, "", head.noDescriptor()
	}
	text, err := parseDescriptor(part)
	if err != nil {
		return descriptor{}, "", err
	}
	kind, err := text.validateKind()
	if err != nil {
		return descriptor{}, "", err
	}
	if (kind == streamType) != head.compressed() {
		return descriptor{}, "", text.fault(diskimage.Malformed, "createType", 0, "%s, but the header's flags are %#x", kind, head.flags)
	}
	return text, kind, nil
}
