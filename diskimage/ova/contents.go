package ova

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// Contents is what an archive says of the machine in it.
type Contents struct {
	// Disks are the names of the disks' files, in the order of the OVF, or by name where
	// there is none. Options.Member takes each of them.
	Disks    []string
	Empty    int      // disks that the OVF has without a file, to be created empty
	Firmware Firmware // that starts the machine
	Guest    string   // what it runs, as it was written: "ubuntu64Guest"; empty: not said
}

// Firmware is the kind of firmware that starts a machine.
type Firmware string

// The kinds of firmware.
const (
	Unsaid Firmware = ""
	BIOS   Firmware = "bios"
	EFI    Firmware = "efi"
)

// maxFileName is the longest name of a disk's file, in bytes, that List returns.
const maxFileName = 1024

// List returns the disks that Find can find. It reads the archive, its OVF and its
// manifest, and nothing of the disks.
func List(r io.ReaderAt, size int64, opts Options) (Contents, error) {
	a, e, _, err := read(r, size)
	if err != nil {
		return Contents{}, err
	}
	if e == nil {
		names, err := a.loose(opts)
		return Contents{Disks: names}, err
	}
	c := Contents{Guest: bounded.Printable(e.guest), Firmware: firmware(e.firmware)}
	for _, d := range e.disks {
		if d.file == "" {
			c.Empty++
			continue
		}
		name := e.files[d.file].href
		switch {
		case slices.Contains(c.Disks, name):
			return Contents{}, e.attribute(diskimage.Unsupported, "fileRef", d.file, "the file of two disks")
		case len(name) > maxFileName:
			return Contents{}, e.attribute(diskimage.Limit, "href", name, "too long a name")
		}
		c.Disks = append(c.Disks, name)
	}
	if len(c.Disks) == 0 {
		f := e.part.Fault(diskimage.Unsupported, "no disk")
		f.Err = &ChoiceError{}
		return Contents{}, f
	}
	return c, nil
}

// firmware reads VMware's and VirtualBox's spellings; it takes those that are not known as
// nothing said.
func firmware(s string) Firmware {
	switch s = strings.ToLower(s); {
	case s == "bios":
		return BIOS
	case strings.HasPrefix(s, "efi"): // efi32 and efi64 too
		return EFI
	}
	return Unsaid
}

// DiskFiles returns the names of the disks' files that an OVF outside of an archive refers
// to, in its order: an exported machine in a folder. They are as the OVF has them, and may
// have folders; it is for the caller to decide which of them to open.
func DiskFiles(ovf []byte) ([]string, error) {
	if len(ovf) > maxOVF {
		return nil, fmt.Errorf("ova: an OVF of %d bytes, of which there may be %d", len(ovf), maxOVF)
	}
	e, err := parseOVF(bounded.Source{Format: format, Size: int64(len(ovf))}.NewPart("OVF", 0, ovf))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range e.disks {
		f, ok := e.files[d.file]
		switch {
		case d.file == "": // to be created empty
			continue
		case !ok:
			return nil, e.attribute(diskimage.Malformed, "fileRef", d.file, "the id of no file")
		case f.chunk != "":
			return nil, e.attribute(diskimage.Unsupported, "chunkSize", f.chunk, "a file in pieces")
		case len(f.href) > maxFileName:
			return nil, e.attribute(diskimage.Limit, "href", f.href, "too long a name")
		case slices.Contains(names, f.href):
			return nil, e.attribute(diskimage.Unsupported, "fileRef", d.file, "the file of two disks")
		}
		names = append(names, f.href)
	}
	return names, nil
}
