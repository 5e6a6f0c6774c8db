package ova

import (
	"fmt"
	"io"
	"maps"
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
}

// Disk is the chosen disk's file.
type Disk struct {
	Name     string
	File     diskimage.File
	Gzip     bool                      // the file is the image in gzip
	Capacity int64                     // bytes that the OVF gives the disk; 0 when it does not say
	With     map[string]diskimage.File // the other files of the OVF, for an image of several
	Warnings []string
}

// ChoiceError says that an OVA holds several disks, or not the one asked for.
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
	const most = 10 // of a thousand names nobody reads the rest
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
	src := bounded.Source{Format: format, R: r, Size: size}
	if err := src.NotEmpty(); err != nil {
		return nil, err
	}
	a, err := readArchive(src)
	if err != nil {
		return nil, err
	}
	ovf, err := a.only(".ovf")
	if err != nil {
		return nil, err
	}
	if ovf == nil {
		return nil, a.noOVF()
	}
	digests, err := a.manifest()
	if err != nil {
		return nil, err
	}
	part, err := a.text(*ovf, "OVF", maxOVF)
	if err != nil {
		return nil, err
	}
	if err := digests.verify(a, *ovf, nil); err != nil {
		return nil, err
	}
	e, err := parseOVF(part)
	if err != nil {
		return nil, err
	}
	return a.choose(e, digests, opts)
}

func (a *archive) noOVF() error {
	what := "a tar archive without an OVF"
	if _, ok := a.members["ova.xml"]; ok {
		what = "an XVA, which is not read"
	}
	return a.src.NewPart("archive", 0, nil).Fault(diskimage.Unsupported, "%s", what)
}

// only returns the one member whose name ends so, nil for none.
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

// text reads a whole member of at most so many bytes.
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
	m, ref, err := a.file(e, chosen[0])
	if err != nil {
		return nil, err
	}
	disk := &Disk{Name: m.name, File: a.open(m), Gzip: ref.compression == "gzip", Warnings: a.warnings}
	if disk.Capacity, err = e.capacity(chosen[0]); err != nil {
		return nil, err
	}
	if disk.With, err = a.others(e, m, digests, opts); err != nil {
		return nil, err
	}
	return disk, digests.verify(a, m, opts.Interrupted)
}

func (a *archive) open(m member) diskimage.File {
	return diskimage.File{R: io.NewSectionReader(a.src.R, m.off, m.size), Size: m.size}
}

// file returns the member of a disk.
func (a *archive) file(e *envelope, d diskRef) (member, fileRef, error) {
	ref, ok := e.files[d.file]
	m, present := a.members[ref.href]
	size, err := strconv.ParseInt(ref.size, 10, 64)
	switch {
	case d.parent != "":
		return m, ref, e.attribute(diskimage.External, "parentRef", d.parent, "another disk that this one builds upon")
	case !ok:
		return m, ref, e.attribute(diskimage.Malformed, "fileRef", d.file, "the id of no file")
	case ref.chunk != "":
		return m, ref, e.attribute(diskimage.Unsupported, "chunkSize", ref.chunk, "for a file in pieces, which is not read")
	case ref.compression != "" && ref.compression != "identity" && ref.compression != "gzip":
		return m, ref, e.attribute(diskimage.Unsupported, "compression", ref.compression, "not known")
	case !present && !plain(ref.href):
		return m, ref, e.attribute(diskimage.External, "href", ref.href, "not a file of the archive")
	case !present:
		return m, ref, e.attribute(diskimage.Malformed, "href", ref.href, "not in the archive")
	case ref.size != "" && (err != nil || size != m.size):
		return m, ref, e.attribute(diskimage.Malformed, "size", ref.size, fmt.Sprintf("but the file has %d bytes", m.size))
	}
	return m, ref, nil
}

// maxDescriptor is the largest disk file that may be a text that names others.
const maxDescriptor = 64 << 10

// others returns the other files that the OVF lists, verified, for a disk that
// may name them.
func (a *archive) others(e *envelope, disk member, digests *manifest, opts Options) (map[string]diskimage.File, error) {
	if disk.size > maxDescriptor {
		return nil, nil
	}
	files := map[string]diskimage.File{}
	for _, ref := range e.files {
		m, ok := a.members[ref.href]
		if !ok || m.name == disk.name || ref.compression == "gzip" {
			continue
		}
		if err := digests.verify(a, m, opts.Interrupted); err != nil {
			return nil, err
		}
		files[m.name] = a.open(m)
	}
	return files, nil
}
