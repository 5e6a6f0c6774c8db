package vmdk

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/blockmap"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// Options are the options of Open. The zero value is useful.
type Options struct {
	Limits diskimage.Limits
	// With are the other files of a disk of several, by name. The one that is
	// opened is the descriptor.
	With map[string]diskimage.File
}

// Image is a disk. It may be used concurrently.
type Image struct {
	*blockmap.Disk
	desc   diskimage.Description
	grains []*grainFinder // of each sparse file
	files  []string
}

var (
	_ diskimage.RunDisk   = (*Image)(nil)
	_ diskimage.Describer = (*Image)(nil)
)

// Open reads the header, the descriptor, the footer of a stream that has it, and
// the grain directory of the image of size bytes in r, or a descriptor and the
// headers and directories of the files that it names. Grain tables are read and
// checked when they are needed. A fault of a file of opts.With names the file, and
// its offset is in that file.
func Open(r io.ReaderAt, size int64, opts Options) (*Image, error) {
	src := bounded.Source{Format: format, R: r, Size: size}
	if err := src.NotEmpty(); err != nil {
		return nil, err
	}
	start, err := src.Part("header", 0, min(size, sector))
	if err != nil {
		return nil, err
	}
	has := func(magic string) bool { return strings.HasPrefix(string(start.Data), magic) }
	switch {
	case has(magic) && size < sector:
		return nil, start.Fault(diskimage.Truncated, "the object ends in it")
	case has(magic):
		return openSparse(src, parseHeader(start), opts)
	case has(cowdMagic):
		return nil, start.Fault(diskimage.External, "a COWD (vmfsSparse) file: only its descriptor, which has to be opened, says whether it builds upon another")
	case has("\xbe\xba\xfe\xca\x00\x00\x00\x00"):
		return nil, start.Fault(diskimage.Unsupported, "a seSparse image, which is not read")
	}
	return openDescriptor(src, opts)
}

// Files returns the names of the files of Options.With that the disk consists of.
func (i *Image) Files() []string { return slices.Clone(i.files) }

// Describe implements diskimage.Describer. How many redundant tables differ is known
// once the disk was read or walked.
func (i *Image) Describe() diskimage.Description {
	d := i.desc
	d.Warnings = slices.Clone(d.Warnings)
	wrong, differing := 0, int64(0)
	for _, g := range i.grains {
		wrong += len(g.substitutes)
		differing += g.differing.Load()
	}
	if wrong > 0 {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%d entries of the grain directory are wrong; the redundant one's are used", wrong))
	}
	if differing > 0 {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%d grain tables differ from their redundant copies, which are not used", differing))
	}
	return d
}

func (i *Image) warn(text string) { i.desc.Warnings = append(i.desc.Warnings, text) }

// openSparse opens what begins with a sparse header.
func openSparse(src bounded.Source, head header, opts Options) (*Image, error) {
	if err := head.validateKind(); err != nil {
		return nil, err
	}
	text, kind, err := readDescriptor(src, head)
	if err != nil {
		return nil, err
	}
	if kind.inFiles() { // ESX: nothing but a descriptor
		return openFiles(text, kind, opts)
	}
	virtual, err := head.validate(src.Size, opts.Limits)
	if err != nil {
		return nil, err
	}
	if err := text.validateEmbedded(head.capacity); err != nil {
		return nil, err
	}
	img := &Image{desc: diskimage.Description{
		Format: format, Variant: kind.name, VirtualSize: virtual, UnitSize: head.grainBytes(), Creator: text.creator(),
	}}
	if text.assumed != "" {
		img.warn(text.assumed)
	}
	if head.unclean {
		img.warn("the writer did not close the image")
	}
	if head.version == maxVersion && !head.compressed() {
		img.warn("version 3: changed blocks are tracked in another file")
	}
	grains, err := newGrainFinder(src, head, virtual, opts.Limits.WithDefaults())
	if err != nil {
		return nil, err
	}
	img.grains = []*grainFinder{grains}
	img.Disk = blockmap.New(format, virtual, grains)
	return img, nil
}

// readDescriptor reads the embedded descriptor and returns it with the disk's
// type, which must be the header's.
func readDescriptor(src bounded.Source, head header) (descriptor, createType, error) {
	if err := head.validateDescriptor(); err != nil {
		return descriptor{}, createType{}, err
	}
	part, err := src.Part("descriptor", byteOffset(head.descriptor), int64(head.descLen)*sector)
	if err != nil {
		return descriptor{}, createType{}, err
	}
	if lastNonZero(part.Data) < 0 {
		return descriptor{}, createType{}, head.noDescriptor()
	}
	text, err := parseDescriptor(part)
	if err != nil {
		return text, createType{}, err
	}
	text.assumeType(head)
	kind, err := text.validateKind()
	switch {
	case err != nil:
		return text, kind, err
	case kind.inFiles() && head.capacity != 0:
		return text, kind, text.fault(diskimage.External, "createType", 0, "%s, whose data are in other files, but the header is that of a disk", kind.name)
	case !kind.inFiles() && (kind.name == streamType) != head.compressed():
		return text, kind, text.fault(diskimage.Malformed, "createType", 0, "%s, but the header's flags are %#x", kind.name, head.flags)
	}
	return text, kind, nil
}

// openDescriptor opens a descriptor that is an object of its own.
func openDescriptor(src bounded.Source, opts Options) (*Image, error) {
	part, err := src.Part("descriptor", 0, min(src.Size, maxDescriptor))
	if err != nil {
		return nil, err
	}
	if !isDescriptor(part.Data) {
		return nil, part.Fault(diskimage.NotFormat, "neither a sparse header nor a descriptor")
	}
	if src.Size > maxDescriptor && bytes.IndexByte(part.Data, 0) < 0 { // zeros behind are padding
		return nil, part.Fault(diskimage.Limit, "%d bytes, more than %d", src.Size, maxDescriptor)
	}
	text, err := parseDescriptor(part)
	if err != nil {
		return nil, err
	}
	kind, err := text.validateKind()
	if err != nil {
		return nil, err
	}
	if !kind.inFiles() {
		return nil, part.Fault(diskimage.Malformed, "it says %s, but stands alone", kind.name)
	}
	return openFiles(text, kind, opts)
}
