// Package detect finds out what format an object has, by its content alone, and
// opens it as a disk.
//
// It is the only place where formats are told apart: the contents of a guest's disk
// are never probed, and no other package guesses. A new format is one row of the
// table in formats.go.
package detect

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
	"github.com/diskport/diskport/diskimage/raw"
)

// ErrUnknownFormat is what an error wraps when Options.Format names no format
// that can be opened.
var ErrUnknownFormat = errors.New("unknown image format")

// ErrUnusedFile is what an error wraps when Options.With holds a file that the
// image does not consist of.
var ErrUnusedFile = errors.New("file not used")

// Options are the options of Open. The zero value is useful.
type Options struct {
	// Format is what the image is declared to be: raw, vhd (or vpc), vhdx, vmdk,
	// and so on, in any case. Empty means whatever its content says.
	Format string
	// Name is the name of the object; it may be empty. Without Format, content is
	// refused that is not of the format that a name such as disk.vmdk promises.
	Name   string
	Limits diskimage.Limits
	// Scratch is where compressed objects are unpacked. Without it they are
	// refused.
	Scratch diskimage.Scratch
	// Member chooses the disk of an OVA that holds several: the name of its file.
	Member string
	// With are the other files of an image that consists of several, by name: all
	// of them besides the one that is opened, and no others. No other file is read,
	// whatever an image names. A disk in an OVA can only consist of members of the
	// OVA.
	With map[string]diskimage.File
	// Interrupted, if set, is called now and then while Open unpacks an object or
	// verifies digests, which may take long; an error ends it. Give it a
	// context's Err.
	Interrupted func() error
}

// image is what every decoder returns.
type image interface {
	diskimage.RunDisk
	diskimage.Describer
}

// input is an object that is being opened.
type input struct {
	r       io.ReaderAt
	size    int64
	opts    Options
	seen    probe           // of the object
	promise *format         // what its name promises; nil for nothing
	inside  string          // the container that the object was in; "" for none
	used    map[string]bool // the files of opts.With that the image consists of

	// open and isDisk are the functions of those names, which the table of formats
	// cannot refer to itself.
	open   func(input) (diskimage.Disk, error)
	isDisk func(name string, f diskimage.File) bool
}

// Match is what Sniff recognised.
type Match struct {
	Format    string // lower case: "vhd"; "raw" when nothing was recognised
	Title     string // for people: "VHD", "gzip"
	Supported bool   // Open can open it
}

// Sniff returns the format of the size bytes of r. Content that looks like two
// formats is an error that names both.
func Sniff(r io.ReaderAt, size int64) (Match, error) {
	found, _, err := recognise(r, size)
	if err != nil {
		return Match{}, err
	}
	f, err := single(found)
	if err != nil {
		return Match{}, err
	}
	return Match{Format: f.name, Title: f.title, Supported: f.open != nil}, nil
}

// Open opens the size bytes of r as a disk. A declared format must be that of the
// content, or of what is in it when it is a container. Raw is the exception: it
// takes the bytes as they are, with a warning (see diskimage.Describer) when they
// look like something else.
//
// Without a declared format the content decides. Formats that are known and not
// supported are refused by name rather than taken as raw, and so is (with a
// NotDiskError) content that is known to be something else, is text, or is not what
// its name promises. A raw disk that bears no sign of being one is taken with a
// warning.
//
// Containers are compressed objects, OVAs and other tar archives with one disk, and tar
// archives in compressed objects. They may hold any image, or a raw disk. A disk that is an
// io.Closer holds scratch room; the caller closes it when it is no longer read.
func Open(r io.ReaderAt, size int64, opts Options) (diskimage.Disk, error) {
	in := input{r: r, size: size, opts: opts, open: open, isDisk: isDisk, used: map[string]bool{}}
	d, err := open(in)
	if err != nil {
		return nil, err
	}
	if err := in.unused(); err != nil {
		if c, ok := d.(io.Closer); ok {
			err = errors.Join(err, c.Close())
		}
		return nil, err
	}
	return d, nil
}

// unused fails when a file was given that the image does not consist of: the image
// or the file may be the wrong one, or the descriptor may have been cut.
func (in input) unused() error {
	for _, name := range slices.Sorted(maps.Keys(in.opts.With)) {
		if !in.used[name] {
			err := fault("image", diskimage.Malformed, "the file %q was given, and is none of the image's", bounded.Printable(name))
			err.Err = ErrUnusedFile
			return err
		}
	}
	return nil
}

// open opens in with the declared format, or with the one that its content has.
func open(in input) (diskimage.Disk, error) {
	declared, err := byName(in.opts.Format)
	if err != nil {
		return nil, err
	}
	found, seen, err := recognise(in.r, in.size)
	if err != nil {
		return nil, err
	}
	in.seen, in.promise = seen, promised(in.opts.Name)
	switch {
	case declared == nil:
	case declared == &rawFormat:
		return in.declaredRaw(found)
	case in.inside != "" && declared.container():
		declared = nil // the one that the object was in
	}
	f, err := in.pick(declared, found)
	if err != nil {
		return nil, err
	}
	d, err := f.open(in)
	if err != nil {
		return nil, err
	}
	if p := in.promise; p != nil && p.name != f.name && !f.container() && f.name != rawFormat.name {
		return &contained{image: d, warnings: []string{fmt.Sprintf("the name promises %s, the content is %s", p.title, f.title)}}, nil
	}
	return d, nil
}

// pick returns the format to open the content as.
func (in input) pick(declared *format, found []*format) (*format, error) {
	if declared != nil {
		for _, f := range found {
			if f.name == declared.name && f.open != nil {
				return in.once(f)
			}
		}
	}
	f, err := single(found)
	switch {
	case declared != nil && (err != nil || declared.container() || !f.container()):
		return nil, fault(declared.name, diskimage.NotFormat, "declared %s, content looks like %s", declared.title, titles(found))
	case err != nil:
		return nil, err
	case f.open == nil:
		return nil, fault(f.name, diskimage.Unsupported, "%s is not supported", f.title)
	}
	return in.once(f)
}

// once refuses a container in a container.
func (in input) once(f *format) (*format, error) {
	if in.inside == "" || !f.container() || f.name == "ova" && slices.Contains([]string{"gzip", "xz", "zstd", "bzip2"}, in.inside) {
		return f, nil
	}
	return nil, fault(f.name, diskimage.Unsupported, "%s inside %s: only one container is opened, and a tar archive in a compressed object; unpack the outer one first", f.title, in.inside)
}

// declaredRaw opens the bytes as they are.
func (in input) declaredRaw(found []*format) (diskimage.Disk, error) {
	var warnings []string
	for _, f := range found {
		warnings = append(warnings, "declared raw, content looks like "+f.title)
	}
	d, err := raw.Open(in.r, in.size, raw.Options{Limits: in.opts.Limits, Warnings: warnings})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// single returns the one format found, raw when there is none.
func single(found []*format) (*format, error) {
	switch len(found) {
	case 0:
		return &rawFormat, nil
	case 1:
		return found[0], nil
	}
	return nil, fault("ambiguous", diskimage.Malformed, "content looks like %s; declare its format", titles(found))
}

func titles(found []*format) string {
	if len(found) == 0 {
		return rawFormat.title
	}
	var all []string
	for _, f := range found {
		all = append(all, f.title)
	}
	return strings.Join(all, " and ")
}

func fault(name string, c diskimage.Class, reason string, args ...any) *diskimage.FormatError {
	return bounded.Source{Format: name}.NewPart("object", 0, nil).Fault(c, reason, args...)
}

// byName returns the format that can be opened by the name, nil for none.
func byName(name string) (*format, error) {
	if name == "" {
		return nil, nil
	}
	lower := strings.ToLower(name)
	switch lower {
	case "vpc": // qemu's name of it
		lower = "vhd"
	case "tar": // an OVA without an OVF
		lower = "ova"
	}
	if lower == rawFormat.name {
		return &rawFormat, nil
	}
	for i := range formats {
		if f := &formats[i]; f.name == lower && f.open != nil {
			return f, nil
		}
	}
	return nil, fmt.Errorf("opening an image as %q: %w", bounded.Printable(name), ErrUnknownFormat)
}
