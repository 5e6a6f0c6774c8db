package detect

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/ova"
	"github.com/diskport/diskport/diskimage/wrap"
)

// container reports whether a format holds an image rather than being one.
func (f *format) container() bool {
	switch f.name {
	case "gzip", "xz", "zstd", "bzip2", "ova":
		return true
	}
	return false
}

// contained is an image that was in a container.
type contained struct {
	image
	container string
	warnings  []string
	scratch   io.Closer // nil without
}

// Describe implements diskimage.Describer.
func (c *contained) Describe() diskimage.Description {
	d := c.image.Describe()
	if d.Container != "" { // gzip in an OVA
		d.Container = "/" + d.Container
	}
	d.Container = c.container + d.Container
	d.Warnings = append(slices.Clone(c.warnings), d.Warnings...)
	return d
}

// Close gives the scratch room back.
func (c *contained) Close() error {
	if c.scratch == nil {
		return nil
	}
	return c.scratch.Close()
}

// inner opens f, which was in a container under a name, as an image.
func (in input) inner(f diskimage.File, name, container string) (image, error) {
	in.r, in.size, in.opts.Name = f.R, f.Size, name
	in.inside = strings.TrimPrefix(in.inside+"/"+container, "/")
	d, err := in.open(in)
	if err != nil {
		return nil, fmt.Errorf("inside %s: %w", container, err)
	}
	return d.(image), nil // all that open returns are
}

// openPacked returns the openFunc that unpacks a compressed object and opens its
// contents.
func openPacked(name string) openFunc {
	return func(in input) (image, error) {
		c, err := wrap.Open(name, in.r, in.size, wrap.Options{
			Limits: in.opts.Limits, Scratch: in.opts.Scratch, Interrupted: in.opts.Interrupted,
		})
		if err != nil {
			return nil, err
		}
		d, err := in.inner(diskimage.File{R: c, Size: c.Size()}, unpackedName(in.opts.Name), name)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return &contained{image: d, container: name, warnings: c.Warnings(), scratch: c}, nil
	}
}

// isDisk reports whether a member of a tar archive is a disk: an image, or a raw
// disk by its name or what is on it.
func isDisk(name string, f diskimage.File) bool {
	if f.Size == 0 {
		return false
	}
	found, seen, err := recognise(f.R, f.Size)
	if err != nil || len(found) > 1 {
		return false
	}
	if len(found) == 1 && found[0].name != rawFormat.name {
		return found[0].open != nil && !found[0].container()
	}
	switch strings.ToLower(path.Ext(name)) {
	case ".raw", ".img", ".iso", ".dd", ".bin":
		return true
	}
	return seen.disk() != "" && promised(name) == nil
}

// Contents returns what an OVA, or another tar archive, says of the machine in it, and ok
// false of an object that is none. Options.Member takes the names of its disks. It does not
// look into compressed objects.
func Contents(r io.ReaderAt, size int64) (c ova.Contents, ok bool, err error) {
	found, err := Sniff(r, size)
	if err != nil || found.Format != "ova" {
		return c, false, err
	}
	c, err = ova.List(r, size, ova.Options{IsDisk: isDisk})
	return c, err == nil, err
}

// openOVA opens the disk of an OVA.
func openOVA(in input) (image, error) {
	found, err := ova.Find(in.r, in.size, ova.Options{Member: in.opts.Member, Interrupted: in.opts.Interrupted, IsDisk: in.isDisk})
	if err != nil {
		return nil, err
	}
	if err := in.unused(); err != nil { // its own members are the only files
		return nil, err
	}
	in.opts.With = found.With
	container := "tar"
	if found.OVF {
		container = "ova"
	}
	var d image
	if found.Gzip {
		in.r, in.size = found.File.R, found.File.Size
		in.inside, in.opts.Name = container, found.Name+".gz"
		d, err = openPacked("gzip")(in)
	} else {
		d, err = in.inner(found.File, found.Name, container)
	}
	if err != nil {
		return nil, err
	}
	c := &contained{image: d, container: container, warnings: found.Warnings}
	c.scratch, _ = d.(io.Closer)
	if found.Capacity > 0 && found.Capacity < d.Size() {
		err := fault("ova", diskimage.Malformed, "the OVF gives the disk %d bytes, the disk's own header %d", found.Capacity, d.Size())
		return nil, errors.Join(err, c.Close())
	}
	if found.Capacity > d.Size() {
		c.warnings = append(c.warnings, fmt.Sprintf("the OVF gives the disk %d bytes, more than the disk's own header, %d", found.Capacity, d.Size()))
	}
	return c, nil
}
