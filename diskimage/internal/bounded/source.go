// Package bounded reads the structures of an untrusted image: every range is
// checked against the object before it is read or allocated, every fault is a
// diskimage.FormatError with its true offset, and tables are held in pages
// under one memory budget.
//
// Decoders use it in Open (Source, Part) and in their lookups (Table); package
// blockmap then turns a lookup into a Disk.
package bounded

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/diskport/diskport/diskimage"
)

// MaxPart is the largest structure that Part reads, in bytes. Nothing that a
// format keeps in one piece is larger; tables go through Table.
const MaxPart = 1 << 20

// Source is the object of an image that is decoded. It may be copied and used
// concurrently.
type Source struct {
	Format string // for errors; lower case
	R      io.ReaderAt
	Size   int64  // bytes of the object
	Name   string // of the object where an image has several, for errors; printable
}

// Part is one structure of an image, read whole.
type Part struct {
	Name string // "grain directory"
	Off  int64  // absolute, in the object
	Data []byte

	format string
}

// Part reads the n bytes at off as one structure. It refuses n above MaxPart
// and ranges outside the object before it allocates anything.
func (s Source) Part(name string, off, n int64) (Part, error) {
	if err := s.Check(name, off, n); err != nil {
		return Part{}, err
	}
	if n > MaxPart {
		return Part{}, s.fault(diskimage.Limit, name, off, "%d bytes, more than %d", n, MaxPart)
	}
	data := make([]byte, n)
	if err := s.ReadFull(name, data, off); err != nil {
		return Part{}, err
	}
	return s.NewPart(name, off, data), nil
}

// NewPart makes a Part of bytes that were read at off already.
func (s Source) NewPart(name string, off int64, data []byte) Part {
	return Part{Name: s.named(name), Off: off, Data: data, format: s.Format}
}

// named adds the object's name to that of a structure.
func (s Source) named(name string) string {
	if s.Name == "" {
		return name
	}
	return fmt.Sprintf("%s of %q", name, s.Name)
}

// Check reports a range that does not lie in the object: a Truncated fault when it
// ends behind the end, a Malformed one when it is not a range.
func (s Source) Check(name string, off, n int64) error {
	if off < 0 || n < 0 {
		return s.fault(diskimage.Malformed, name, off, "invalid range of %d bytes", n)
	}
	if off > s.Size || n > s.Size-off {
		return s.fault(diskimage.Truncated, name, off, "%d bytes end past the end of the object (%#x)", n, s.Size)
	}
	return nil
}

// NotEmpty reports an object without a byte: a fault that wraps
// diskimage.ErrEmpty.
func (s Source) NotEmpty() error {
	if s.Size > 0 {
		return nil
	}
	fault := s.NewPart("object", 0, nil).Fault(diskimage.NotFormat, "nothing to read")
	fault.Err = diskimage.ErrEmpty
	return fault
}

// ReadFull fills p from off. The name of what is read goes into errors. A
// failing source is an error of its own, not a fault of the image.
func (s Source) ReadFull(name string, p []byte, off int64) error {
	if err := s.Check(name, off, int64(len(p))); err != nil {
		return err
	}
	if err := ReadFull(s.R, p, off); err != nil {
		return fmt.Errorf("%s: reading %s at offset %#x: %w", s.Format, s.named(name), off, err)
	}
	return nil
}

func (s Source) fault(c diskimage.Class, name string, off int64, reason string, args ...any) error {
	return s.NewPart(name, off, nil).Fault(c, reason, args...)
}

// Fault returns a fault of the whole structure.
func (p Part) Fault(c diskimage.Class, reason string, args ...any) *diskimage.FormatError {
	return &diskimage.FormatError{
		Format: p.format, Structure: p.Name, Offset: p.Off,
		Reason: fmt.Sprintf(reason, args...), Class: c,
	}
}

// Field names a field of a structure and its offending value, for FieldFault.
type Field struct {
	Name  string
	At    int64 // bytes from the start of the structure
	Value uint64
}

// FieldFault returns a fault of one field.
func (p Part) FieldFault(c diskimage.Class, f Field, reason string, args ...any) *diskimage.FormatError {
	e := p.Fault(c, reason, args...)
	e.Field, e.Offset, e.Value, e.HasValue = f.Name, p.Off+f.At, f.Value, true
	return e
}

// VirtualSize checks the size in bytes that f holds: not zero, a multiple of
// sector bytes, within the limits.
func (p Part) VirtualSize(f Field, sector uint64, limits diskimage.Limits) (int64, error) {
	limit := limits.WithDefaults().VirtualSize
	switch {
	case f.Value == 0:
		return 0, p.FieldFault(diskimage.Malformed, f, "the disk is empty")
	case f.Value > uint64(limit):
		return 0, p.FieldFault(diskimage.Limit, f, "larger than %d bytes", limit)
	case f.Value%sector != 0:
		return 0, p.FieldFault(diskimage.Malformed, f, "not a multiple of %d bytes", sector)
	}
	return int64(f.Value), nil
}

// ReadFull fills p from off, or says why it could not: a source that ends
// early gives io.ErrUnexpectedEOF, never io.EOF.
func ReadFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// maxText is how much of a text found in an image goes into errors and
// descriptions: a name helps, ten thousand characters of it do not.
const maxText = 200

// Printable returns s for errors and descriptions: cut to maxText bytes, with
// everything but printable ASCII replaced, so that no name in an image can control
// a terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), maxText)])
}
