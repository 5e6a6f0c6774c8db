package ova

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// Options are the options of Find. The zero value is useful.
type Options struct {
	// Member chooses the disk: the name of its file, or its id in the OVF. It is
	// needed only when there are several.
	Member string
	// Interrupted, if set, is called now and then while digests are computed; an
	// error ends that with it. Give it a context's Err.
	Interrupted func() error
	// IsDisk reports whether a member of an archive without an OVF is a disk. It
	// is needed for those.
	IsDisk func(name string, f diskimage.File) bool
}

// Disk is the chosen disk's file.
type Disk struct {
	Name     string
	OVF      bool // the archive has one, and is an OVA
	File     diskimage.File
	Gzip     bool                      // the file is the image in gzip
	Capacity int64                     // bytes that the OVF gives the disk; 0 when it does not say
	With     map[string]diskimage.File // the other files of the OVF, for an image of several
	Warnings []string
}

// ChoiceError reports an OVA that holds several disks, or not the one asked for.
// The FormatError that Find returns wraps it.
type ChoiceError struct {
	Asked string   // Options.Member
	Disks []string // names of the files, printable
}

func (e *ChoiceError) Error() string {
	if len(e.Disks) == 0 {
		return "it holds no disk"
	}
	s := fmt.Sprintf("it holds %d disks", len(e.Disks))
	if e.Asked != "" {
		s = fmt.Sprintf("it holds no disk %q", bounded.Printable(e.Asked))
	}
	const most = 10 // a longer list would not be read
	var quoted []string
	for _, name := range e.Disks[:min(len(e.Disks), most)] {
		quoted = append(quoted, strconv.Quote(name))
	}
	s += "; choose one: " + strings.Join(quoted, ", ")
	if more := len(e.Disks) - len(quoted); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// Find reads the archive, its OVF and its manifest, and returns the disk.
func Find(r io.ReaderAt, size int64, opts Options) (*Disk, error) {
	a, e, digests, err := read(r, size)
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return a.withoutOVF(digests, opts)
	}
	return a.choose(e, digests, opts)
}

// read reads the archive, its manifest, and its OVF, which is nil where there is none.
func read(r io.ReaderAt, size int64) (*archive, *envelope, *manifest, error) {
	src := bounded.Source{Format: format, R: r, Size: size}
	if err := src.NotEmpty(); err != nil {
		return nil, nil, nil, err
	}
	a, err := readArchive(src)
	if err != nil {
		return nil, nil, nil, err
	}
	ovf, err := a.only(".ovf")
	if err != nil {
		return nil, nil, nil, err
	}
	digests, err := a.manifest()
	if err != nil || ovf == nil {
		return a, nil, digests, err
	}
	part, err := a.text(*ovf, "OVF", maxOVF)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := digests.verify(ovf.name, a.open(*ovf), nil); err != nil {
		return nil, nil, nil, err
	}
	e, err := parseOVF(part)
	if err != nil {
		return nil, nil, nil, err
	}
	e.folder = strings.TrimSuffix(ovf.name, path.Base(ovf.name))
	return a, e, digests, nil
}

// withoutOVF returns the disk of an archive that has no OVF: the only one, or the
// one that was asked for.
func (a *archive) withoutOVF(digests *manifest, opts Options) (*Disk, error) {
	names, err := a.loose(opts)
	if err != nil {
		return nil, err
	}
	choice := &ChoiceError{Asked: opts.Member}
	var chosen []member
	for _, name := range names {
		choice.Disks = append(choice.Disks, bounded.Printable(name))
		if opts.Member == "" || opts.Member == name {
			chosen = append(chosen, a.members[name])
		}
	}
	if len(chosen) != 1 {
		f := a.src.NewPart("archive", 0, nil).Fault(diskimage.Unsupported, "no single disk")
		f.Err = choice
		return nil, f
	}
	m := chosen[0]
	disk := &Disk{Name: m.name, File: a.open(m), Warnings: a.warnings}
	return disk, digests.verify(m.name, disk.File, opts.Interrupted)
}

// loose returns the names of the disks of an archive that has no OVF, of which there is
// one at least.
func (a *archive) loose(opts Options) (names []string, err error) {
	part := a.src.NewPart("archive", 0, nil)
	if _, ok := a.members["ova.xml"]; ok {
		return nil, part.Fault(diskimage.Unsupported, "an XVA, which is not read")
	}
	for _, name := range slices.Sorted(maps.Keys(a.members)) {
		if opts.IsDisk != nil && opts.IsDisk(name, a.open(a.members[name])) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, part.Fault(diskimage.Unsupported, "a tar archive without an OVF and without a disk that is read; unpack it (tar x) and import the disk by itself")
	}
	return names, nil
}

// only returns the only member whose name has the suffix, nil for none.
func (a *archive) only(suffix string) (*member, error) {
	var found *member
	for _, name := range slices.Sorted(maps.Keys(a.members)) {
		if !strings.HasSuffix(strings.ToLower(name), suffix) {
			continue
		}
		m := a.members[name]
		if found != nil {
			return nil, a.src.NewPart("archive", m.off, nil).Fault(diskimage.Malformed, "two members are called *%s", suffix)
		}
		found = &m
	}
	return found, nil
}

func (a *archive) manifest() (*manifest, error) {
	m, err := a.only(".mf")
	if err != nil || m == nil {
		return nil, err
	}
	part, err := a.text(*m, "manifest", bounded.MaxPart)
	if err != nil {
		return nil, err
	}
	return parseManifest(part)
}

// text reads a whole member of at most most bytes.
func (a *archive) text(m member, name string, most int64) (bounded.Part, error) {
	if m.size > most {
		return bounded.Part{}, a.src.NewPart(name, m.off, nil).Fault(diskimage.Limit, "%d bytes, more than %d", m.size, most)
	}
	data := make([]byte, m.size)
	err := a.src.ReadFull(name, data, m.off)
	return a.src.NewPart(name, m.off, data), err
}

// choose returns the disk asked for, or the only one.
func (a *archive) choose(e *envelope, digests *manifest, opts Options) (*Disk, error) {
	choice := &ChoiceError{Asked: opts.Member}
	var chosen []diskRef
	for _, d := range e.disks {
		if d.file == "" {
			continue
		}
		name := e.files[d.file].href
		choice.Disks = append(choice.Disks, bounded.Printable(name))
		if opts.Member == "" || opts.Member == name || opts.Member == d.id {
			chosen = append(chosen, d)
		}
	}
	if len(chosen) != 1 {
		f := e.part.Fault(diskimage.Unsupported, "no single disk")
		f.Err = choice
		return nil, f
	}
	files, ref, err := a.file(e, chosen[0])
	if err != nil {
		return nil, err
	}
	disk := &Disk{Name: e.folder + ref.href, OVF: true, File: a.join(files), Gzip: ref.compression == "gzip", Warnings: append(a.warnings, e.warnings...)}
	if disk.Capacity, err = e.capacity(chosen[0]); err != nil {
		return nil, err
	}
	if disk.With, err = a.others(e, disk, digests, opts); err != nil {
		return nil, err
	}
	if len(files) > 1 {
		for _, m := range files {
			if err := digests.verify(m.name, a.open(m), opts.Interrupted); err != nil {
				return nil, err
			}
		}
	}
	return disk, digests.verify(disk.Name, disk.File, opts.Interrupted)
}

// open returns a member's contents, which know their holes when the archive does.
func (a *archive) open(m member) diskimage.File {
	if m.isSparse {
		return diskimage.File{R: sparseFile{a.src.R, m.sparse, m.size}, Size: m.size}
	}
	r := io.NewSectionReader(a.src.R, m.off, m.size)
	if s, ok := a.src.R.(diskimage.SparseReaderAt); ok {
		return diskimage.File{R: section{r, s, m.off}, Size: m.size}
	}
	return diskimage.File{R: r, Size: m.size}
}

// join returns the contents of a file that lies in the archive in pieces.
func (a *archive) join(files []member) diskimage.File {
	if len(files) == 1 {
		return a.open(files[0])
	}
	var all pieces
	size := int64(0)
	for _, m := range files {
		all = append(all, a.open(m))
		size += m.size
	}
	return diskimage.File{R: all, Size: size}
}

// file returns the members that a disk's file consists of, mostly one.
func (a *archive) file(e *envelope, d diskRef) ([]member, fileRef, error) {
	ref, ok := e.files[d.file]
	m, present := a.members[e.folder+ref.href]
	files := []member{m}
	switch {
	case d.parent != "":
		return nil, ref, e.attribute(diskimage.External, "parentRef", d.parent, "another disk that this one builds upon")
	case !ok:
		return nil, ref, e.attribute(diskimage.Malformed, "fileRef", d.file, "the id of no file")
	case ref.compression != "" && ref.compression != "identity" && ref.compression != "gzip":
		return nil, ref, e.attribute(diskimage.Unsupported, "compression", ref.compression, "not known")
	case !present && ref.chunk != "" && inside(ref.href):
		var err error
		if files, err = a.chunks(e, ref); err != nil {
			return nil, ref, err
		}
	case !present && !inside(ref.href):
		return nil, ref, e.attribute(diskimage.External, "href", ref.href, "not a file of the archive")
	case !present:
		return nil, ref, e.attribute(diskimage.Malformed, "href", ref.href, "not in the archive")
	}
	total := int64(0)
	for _, m := range files {
		total += m.size
	}
	if size, err := strconv.ParseInt(ref.size, 10, 64); ref.size != "" && (err != nil || size != total) {
		return nil, ref, e.attribute(diskimage.Malformed, "size", ref.size, fmt.Sprintf("but the file has %d bytes", total))
	}
	return files, ref, nil
}

// chunks returns the pieces of a file: name.000000000 and so on, of chunkSize bytes
// each but the last.
func (a *archive) chunks(e *envelope, ref fileRef) ([]member, error) {
	n, err := strconv.ParseInt(ref.chunk, 10, 64)
	if err != nil || n <= 0 {
		return nil, e.attribute(diskimage.Malformed, "chunkSize", ref.chunk, "no size of a file")
	}
	var all []member
	for {
		m, ok := a.members[fmt.Sprintf("%s%s.%09d", e.folder, ref.href, len(all))]
		if !ok {
			break
		}
		if k := len(all); k > 0 && all[k-1].size != n || m.size > n {
			return nil, e.attribute(diskimage.Malformed, "chunkSize", ref.chunk, fmt.Sprintf("but %q, or the one before it, is of another size", bounded.Printable(m.name)))
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		return nil, e.attribute(diskimage.Malformed, "href", ref.href, "in pieces, of which none is in the archive")
	}
	return all, nil
}

// maxDescriptor is the largest disk file that may be a text that names others.
const maxDescriptor = 64 << 10

// others returns the other files that the OVF lists, verified, for a disk that
// may name them.
func (a *archive) others(e *envelope, disk *Disk, digests *manifest, opts Options) (map[string]diskimage.File, error) {
	if disk.File.Size > maxDescriptor {
		return nil, nil
	}
	files := map[string]diskimage.File{}
	for _, ref := range e.files {
		m, ok := a.members[e.folder+ref.href]
		if !ok || m.name == disk.Name || ref.compression == "gzip" {
			continue
		}
		files[ref.href] = a.open(m)
		if err := digests.verify(m.name, files[ref.href], opts.Interrupted); err != nil {
			return nil, err
		}
	}
	return files, nil
}
