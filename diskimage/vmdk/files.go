package vmdk

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/blockmap"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

const noAccess = "NOACCESS"

// piece is an extent line that was checked: a range of the disk, and where its
// data are.
type piece struct {
	line   extent
	off    int64 // on the disk; bytes, like all here
	size   int64
	start  int64 // of a flat one, in its file
	finder blockmap.Finder
}

func (p piece) flat() bool { return p.line.kind == kindFlat || p.line.kind == kindVMFS }

// openFiles opens a disk whose data are in the files that its descriptor names:
// those of opts.With, by their names, and no others.
func openFiles(text descriptor, kind createType, opts Options) (*Image, error) {
	pieces, size, err := text.pieces(kind, opts.Limits.WithDefaults())
	if err != nil {
		return nil, err
	}
	if err := text.given(pieces, opts.With); err != nil {
		return nil, err
	}
	if err := text.validateUse(pieces); err != nil {
		return nil, err
	}
	img := &Image{desc: diskimage.Description{
		Format: format, Variant: kind.name, VirtualSize: size, Creator: text.creator(),
	}}
	limits := opts.Limits.WithDefaults()
	if kind.kinds[0] == kindSparse || kind.kinds[0] == kindCOWD { // one budget for the tables of all
		limits.MetadataBytes /= int64(len(pieces))
	}
	for i := range pieces {
		if err := img.openPiece(text, &pieces[i], opts.With, limits); err != nil {
			return nil, err
		}
	}
	img.files = names(pieces)
	img.warnLonger(pieces, opts.With)
	img.Disk = blockmap.New(format, size, pieceFinder(pieces))
	return img, nil
}

// pieces checks the extent lines, each by itself, and returns them with the size
// of the disk.
func (d descriptor) pieces(kind createType, limits diskimage.Limits) ([]piece, int64, error) {
	var all []piece
	size := int64(0)
	for _, e := range d.extents {
		if e.sectors > uint64(limits.VirtualSize-size)/sector {
			return nil, 0, d.fault(diskimage.Limit, "extent", e.at, "the disk is larger than %d bytes", limits.VirtualSize)
		}
		p := piece{line: e, off: size, size: int64(e.sectors) * sector}
		if err := d.validatePiece(&p, kind); err != nil {
			return nil, 0, err
		}
		all = append(all, p)
		size += p.size
	}
	if size == 0 {
		return nil, 0, d.fault(diskimage.Malformed, "extents", 0, "there are none")
	}
	return all, size, nil
}

func (d descriptor) validatePiece(p *piece, kind createType) error {
	e := p.line
	switch {
	case e.access == noAccess:
		return d.fault(diskimage.Unsupported, "extent", e.at, "not to be accessed")
	case !slices.Contains(kind.kinds, e.kind):
		return d.fault(diskimage.Unsupported, "extent", e.at, "of type %s, which is not read in a %s disk", e.kind, kind.name)
	case e.kind == kindZero:
		return nil
	case !plainName(e.name):
		return d.fault(diskimage.External, "extent", e.at, "%q is not the name of a file beside this one", bounded.Printable(e.name))
	case !p.flat():
		return nil
	case e.start == "" && e.kind == kindVMFS:
		return nil
	}
	n, err := strconv.ParseInt(e.start, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/sector {
		return d.fault(diskimage.Malformed, "extent", e.at, "begins at sector %q of its file", bounded.Printable(e.start))
	}
	p.start = n * sector
	return nil
}

// plainName reports whether a name is that of a file and nothing else: no path,
// drive, address or option in any syntax that is known.
func plainName(name string) bool {
	const longest = 255
	bad := func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`/\:`, r) }
	return name != "" && len(name) <= longest && name != "." && name != ".." && !strings.ContainsFunc(name, bad)
}

// given checks that all the files are there.
func (d descriptor) given(pieces []piece, with map[string]diskimage.File) error {
	var missing diskimage.MissingFileError
	at := int64(0)
	for _, name := range names(pieces) {
		if _, ok := with[name]; ok {
			continue
		}
		if len(missing.Names) == 0 {
			at = pieces[slices.IndexFunc(pieces, func(p piece) bool { return p.line.name == name })].line.at
		}
		missing.Names = append(missing.Names, bounded.Printable(name))
	}
	if len(missing.Names) == 0 {
		return nil
	}
	f := d.fault(diskimage.External, "extent", at, "its data are in other files")
	f.Err = &missing
	return f
}

// names returns the names of the files, each once, in the order of the disk.
func names(pieces []piece) []string {
	var all []string
	seen := map[string]bool{}
	for _, p := range pieces {
		if name := p.line.name; p.line.kind != kindZero && !seen[name] {
			seen[name] = true
			all = append(all, name)
		}
	}
	return all
}

// validateUse checks that no byte of a file is used twice.
func (d descriptor) validateUse(pieces []piece) error {
	var used []piece
	for _, p := range pieces {
		if p.line.kind != kindZero {
			used = append(used, p)
		}
	}
	slices.SortStableFunc(used, func(a, b piece) int {
		if c := strings.Compare(a.line.name, b.line.name); c != 0 || a.start == b.start {
			return c
		}
		return int(min(1, max(-1, a.start-b.start)))
	})
	for i, p := range used {
		if i > 0 && p.line.name == used[i-1].line.name && (!p.flat() || p.start < used[i-1].start+used[i-1].size) {
			return d.fault(diskimage.Malformed, "extent", p.line.at, "another one holds the same bytes of %q", bounded.Printable(p.line.name))
		}
	}
	return nil
}

// warnLonger warns of flat files whose ends are not part of the disk: they may have
// been made larger, or be the wrong files.
func (i *Image) warnLonger(pieces []piece, with map[string]diskimage.File) {
	ends := map[string]int64{}
	for _, p := range pieces {
		if p.flat() {
			ends[p.line.name] = max(ends[p.line.name], p.start+p.size)
		}
	}
	for _, name := range i.files {
		if end, ok := ends[name]; ok && end < with[name].Size {
			i.warn(fmt.Sprintf("%q has %d bytes more than the disk uses", bounded.Printable(name), with[name].Size-end))
		}
	}
}

// openPiece finds out where the data of an extent are.
func (i *Image) openPiece(text descriptor, p *piece, with map[string]diskimage.File, limits diskimage.Limits) error {
	if p.line.kind == kindZero {
		p.finder = zeros(p.size)
		return nil
	}
	file := with[p.line.name]
	src := bounded.Source{Format: format, R: file.R, Size: file.Size, Name: bounded.Printable(p.line.name)}
	if p.flat() {
		if file.Size < p.start || file.Size-p.start < p.size {
			return text.fault(diskimage.Truncated, "extent", p.line.at, "ends at byte %d of %q, which has %d", p.start+p.size, src.Name, file.Size)
		}
		p.finder = newFlat(src, p.start, p.size)
		return nil
	}
	open := openSparseFile
	if p.line.kind == kindCOWD {
		open = openCOWD
	}
	head, grains, err := open(src, p.line.sectors, limits)
	if err != nil {
		return err
	}
	if head.unclean {
		i.warn(fmt.Sprintf("the writer did not close %q", src.Name))
	}
	i.desc.UnitSize = max(i.desc.UnitSize, grains.grain)
	i.grains = append(i.grains, grains)
	p.finder = grains
	return nil
}

// openSparseFile opens a file of a split disk, of which it holds a number of
// sectors.
func openSparseFile(src bounded.Source, sectors uint64, limits diskimage.Limits) (header, *grainFinder, error) {
	start, err := src.Part("header", 0, min(src.Size, sector))
	if err != nil {
		return header{}, nil, err
	}
	if len(start.Data) < sector || string(start.Data[:len(magic)]) != magic {
		return header{}, nil, start.Fault(diskimage.Malformed, "no sparse header, which the descriptor says is there")
	}
	head := parseHeader(start)
	if err := head.validateFile(src); err != nil {
		return head, nil, err
	}
	size, err := head.validate(src.Size, limits)
	if err != nil {
		return head, nil, err
	}
	if head.capacity != sectors {
		return head, nil, head.fault(diskimage.Malformed, "capacity", 12, head.capacity, "the descriptor says %#x", sectors)
	}
	grains, err := newGrainFinder(src, head, size, limits)
	return head, grains, err
}

// validateFile checks that a sparse image is one file of a split disk, rather
// than a disk by itself. VMware's have no descriptor, qemu's one of zeros.
func (h header) validateFile(src bounded.Source) error {
	if err := h.validateKind(); err != nil {
		return err
	}
	if h.compressed() {
		return h.fault(diskimage.Unsupported, "flags", 8, uint64(h.flags), "compressed grains in one file of several")
	}
	if h.descriptor == 0 {
		return nil
	}
	if err := h.validateDescriptor(); err != nil {
		return err
	}
	part, err := src.Part("descriptor", byteOffset(h.descriptor), int64(h.descLen)*sector)
	if err == nil && lastNonZero(part.Data) >= 0 {
		err = part.Fault(diskimage.Malformed, "there is one: this is a disk by itself, not one file of several")
	}
	return err
}
