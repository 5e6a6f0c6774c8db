package importtask

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/ova"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/work"
)

// Opener opens pinned sources.
type Opener interface {
	Open(ctx context.Context, p source.Pin) (source.Object, error)
}

// Images opens the images of imports.
type Images struct {
	Sources Opener
	Limits  diskimage.Limits
	Scratch diskimage.Scratch // for unpacking compressed ones
	Strict  bool              // refuse what AWS refuses

	detect func(r io.ReaderAt, size int64, opts detect.Options) (diskimage.Disk, error) // detect.Open; tests replace it
}

// content says which disk of an object is meant.
type content struct {
	format string // in upper case; empty: what it is
	member string // of an OVA with several disks
}

// open opens a disk of a pinned object; ctx is that of its reads too. The caller closes
// both with closeImage.
func (i Images) open(ctx context.Context, pin source.Pin, c content) (d diskimage.Disk, object source.Object, err error) {
	object, err = i.Sources.Open(ctx, pin)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the source: %w", err)
	}
	if i.detect == nil {
		i.detect = detect.Open
	}
	err = work.Guard(func() (err error) { // without it a decoder that panics would leave the object open
		d, err = i.detect(object, object.Size(), detect.Options{Format: c.format, Member: c.member, Name: nameOf(pin), Limits: i.Limits, Scratch: i.Scratch, Interrupted: ctx.Err})
		return err
	})
	if err != nil {
		return nil, nil, errors.Join(err, object.Close())
	}
	return d, object, nil
}

// contents returns what an OVA says of the machine in it; ok is false when the object is
// none, or is to be taken as it is.
func (i Images) contents(ctx context.Context, pin source.Pin, format string) (c ova.Contents, ok bool, err error) {
	if format == "RAW" {
		return c, false, nil
	}
	object, err := i.Sources.Open(ctx, pin)
	if err != nil {
		return c, false, fmt.Errorf("opening the source: %w", err)
	}
	err = work.Guard(func() (err error) {
		c, ok, err = detect.Contents(object, object.Size())
		return err
	})
	return c, ok, errors.Join(err, object.Close())
}

// machineOf returns what the contents of an OVA say of the machine, in EC2's words.
func machineOf(c ova.Contents) Machine {
	m := Machine{Guest: c.Guest, Empty: c.Empty}
	switch c.Firmware {
	case ova.BIOS:
		m.BootMode = "legacy-bios"
	case ova.EFI:
		m.BootMode = "uefi"
	}
	// VMware's and VirtualBox's names of guests: ubuntu64Guest, arm-ubuntu-64, Debian_arm64,
	// Windows10_64. One without a number may be of 32 bits or older than the distinction.
	switch guest := strings.ToLower(c.Guest); {
	case strings.HasPrefix(guest, "arm-"), strings.HasSuffix(guest, "_arm64"):
		m.Architecture = "arm64"
	case strings.HasSuffix(guest, "64guest"), strings.HasSuffix(guest, "_64"):
		m.Architecture = "x86_64"
	}
	return m
}

// nameOf returns the name of the source's file, without folders.
func nameOf(pin source.Pin) string {
	if pin.Key != "" {
		return path.Base(pin.Key)
	}
	return path.Base(pin.Path)
}

// accept refuses an image that AWS does not take, if the service is to be strict. A
// disk of a machine image may come in an OVA.
func (i Images) accept(about diskimage.Description, inOVA bool) error {
	if !i.Strict {
		return nil
	}
	if inOVA && about.Container == "ova" {
		about.Container = ""
	}
	return asAWS(about)
}

// closeImage closes what open opened. Errors are ignored, since it was only read.
func closeImage(d diskimage.Disk, object source.Object) {
	if c, ok := d.(io.Closer); ok {
		_ = c.Close()
	}
	_ = object.Close()
}

// formatOf returns the format that opens the image again as it was found. Of raw
// bytes in a container it is the container's: declared as raw, the container itself
// would be taken for the disk.
func formatOf(about diskimage.Description) string {
	if container, _, _ := strings.Cut(about.Container, "/"); container != "" && about.Format == "raw" {
		return strings.ToUpper(container)
	}
	return strings.ToUpper(about.Format)
}

func describe(d diskimage.Disk) diskimage.Description {
	if x, ok := d.(diskimage.Describer); ok {
		return x.Describe()
	}
	return diskimage.Description{Format: "raw", VirtualSize: d.Size()}
}
