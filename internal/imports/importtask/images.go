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
	Strays  *work.Strays      // of the process; nil: there is no bound

	detect func(r io.ReaderAt, size int64, opts detect.Options) (diskimage.Disk, error) // detect.Open; tests replace it
}

// content says which disk of an object is meant.
type content struct {
	format string // in upper case; empty: what it is
	member string // of an OVA with several disks
}

// open opens a disk of a pinned object; ctx is that of its reads too. The caller closes
// both with closeImage. A decoder that does nothing for long is told to stop.
func (i Images) open(ctx context.Context, pin source.Pin, c content) (diskimage.Disk, source.Object, error) {
	object, err := i.Sources.Open(ctx, pin)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the source: %w", err)
	}
	if i.detect == nil {
		i.detect = detect.Open
	}
	opening, idle := newIdle(ctx)
	src := newReader(ctx, opening, object, idle)
	opts := detect.Options{
		Format: c.format, Member: c.member, Name: nameOf(pin), Limits: i.Limits, Interrupted: opening.Err,
	}
	if i.Scratch != nil {
		opts.Scratch = busyScratch{i.Scratch, idle}
	}
	d, err := work.Within(opening, i.Strays, "opening the image", func() (diskimage.Disk, error) {
		d, err := guarded(func() (diskimage.Disk, error) { return i.detect(src, object.Size(), opts) })
		if err == nil && opening.Err() != nil {
			closeDisk(d) // nobody waits for it any more, or will want it
			err = context.Cause(opening)
		}
		if err != nil { // also when the caller has left: then nobody else would close it
			err = errors.Join(err, object.Close())
		}
		return d, err
	})
	err = notStuck(src, closeUnlooked(object, idle.end(err)))
	if err != nil {
		return nil, nil, err
	}
	return d, src, nil
}

// closeUnlooked closes an object that was not looked into, since there are too many strays:
// what looks into one closes it itself, if need be.
func closeUnlooked(object source.Object, err error) error {
	if crowded := (*work.StraysError)(nil); errors.As(err, &crowded) {
		err = errors.Join(err, object.Close())
	}
	return err
}

// guarded is work.Guard for what returns a value.
func guarded[T any](fn func() (T, error)) (v T, err error) {
	err = work.Guard(func() (err error) {
		v, err = fn()
		return err
	})
	return v, err
}

// found is what an OVA says of the machine in it.
type found struct {
	ova.Contents
	ok bool // it is one
}

// contents returns what an OVA says of the machine in it, and whether the object is one
// and not to be taken as it is.
func (i Images) contents(ctx context.Context, pin source.Pin, format string) (ova.Contents, bool, error) {
	if format == "RAW" {
		return ova.Contents{}, false, nil
	}
	object, err := i.Sources.Open(ctx, pin)
	if err != nil {
		return ova.Contents{}, false, fmt.Errorf("opening the source: %w", err)
	}
	opening, idle := newIdle(ctx)
	src := newReader(ctx, opening, object, idle)
	f, err := work.Within(opening, i.Strays, "reading the OVA", func() (found, error) {
		f, err := guarded(func() (f found, err error) {
			f.Contents, f.ok, err = detect.Contents(src, object.Size())
			return f, err
		})
		return f, errors.Join(err, object.Close())
	})
	return f.Contents, f.ok, notStuck(src, closeUnlooked(object, idle.end(err)))
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
	closeDisk(d)
	_ = object.Close()
}

func closeDisk(d diskimage.Disk) {
	if c, ok := d.(io.Closer); ok {
		_ = c.Close()
	}
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
