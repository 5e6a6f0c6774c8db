package vhd

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// TailSize is how many bytes at the end of an object are searched for a footer. It
// is enough for one that is followed by 64 KiB of padding.
const TailSize = 128 << 10

// FindFooter returns where in an object of size bytes, whose last bytes are tail
// (TailSize of them, or all), the footer begins. It is the end of an image, but old
// versions of Virtual PC wrote 511 bytes of it, and an object may be padded behind
// it: with zeros or, for a fixed disk whose footer says that everything before it
// is the disk, with anything.
func FindFooter(tail []byte, size int64) (off int64, ok bool) {
	start := size - int64(len(tail))
	last := start + int64(len(bytes.TrimRight(tail, "\x00"))) - 1
	for _, off := range []int64{size - footerSize, size - footerSize + 1, last / sector * sector} {
		if off >= start && off >= 0 && bytes.HasPrefix(tail[off-start:], []byte(footerMagic)) {
			return off, true
		}
	}
	for end := int(last + 1 - start); ; { // the magic does not end in a zero
		i := bytes.LastIndex(tail[:end], []byte(footerMagic))
		if i < 0 {
			return 0, false
		}
		if off := start + int64(i); isFixed(tail[i:], off) {
			return off, true
		}
		end = i
	}
}

// isFixed reports whether p, at an offset in an object, begins with the footer of a
// fixed disk that is everything before it, up to whole sectors. The footer of a
// disk inside the guest's disk is not.
func isFixed(p []byte, off int64) bool {
	if len(p) < 64 || diskType(binary.BigEndian.Uint32(p[60:])) != fixed {
		return false
	}
	size := binary.BigEndian.Uint64(p[48:])
	return size <= uint64(off) && uint64(off)-size < sector
}

// footers are the two places of an image's footer; either may be nil.
type footers struct {
	head, tail *footer
	behind     int64 // bytes behind the tail, when they are not all zeros
}

// readFooters finds the footers of src without judging them.
func readFooters(src bounded.Source) (footers, error) {
	var found footers
	first, err := src.Part("footer copy", 0, min(footerSize, src.Size))
	if err != nil {
		return found, err
	}
	if bytes.HasPrefix(first.Data, []byte(footerMagic)) {
		if len(first.Data) < footerSize {
			return found, first.Fault(diskimage.Truncated, "%d bytes of %d", len(first.Data), footerSize)
		}
		f := parseFooter(first)
		found.head = &f
	}
	n := min(TailSize, src.Size)
	tail, err := src.Part("end of the object", src.Size-n, n)
	if err != nil {
		return found, err
	}
	off, ok := FindFooter(tail.Data, src.Size)
	if ok && (off > 0 || found.head == nil) {
		data := make([]byte, footerSize) // the 511-byte one ends in a zero
		copy(data, tail.Data[off-tail.Off:])
		if behind := tail.Data[min(int64(len(tail.Data)), off-tail.Off+footerSize):]; len(bytes.Trim(behind, "\x00")) > 0 {
			found.behind = int64(len(behind))
		}
		f := parseFooter(src.NewPart("footer", off, data))
		found.tail = &f
	}
	if found.head == nil && found.tail == nil {
		return found, tail.Fault(diskimage.NotFormat, "no %q there nor at the start", footerMagic)
	}
	return found, nil
}

// leftOut warns of bytes that are not part of the image.
func (f footers) leftOut() []string {
	if f.behind == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d bytes behind the footer are left out", f.behind)}
}

// choose returns the footer to use, and warnings. A footer may be missing, because
// the object was cut or padded, if the other is good; one that is there must be
// right.
func (f footers) choose() (*footer, []string, error) {
	switch {
	case f.tail == nil:
		if f.head.kind == fixed {
			return nil, nil, f.head.part.Fault(diskimage.Truncated, "a fixed disk without a footer at the end")
		}
		return f.head, []string{"the footer at the end is missing; its copy was used"}, nil
	case f.tail.kind == fixed && (f.head == nil || !f.head.intact()):
		return f.tail, f.leftOut(), nil // a head then is the guest's data
	case f.head == nil:
		fault := f.tail.part.Fault(diskimage.Malformed, "its copy at the start is missing")
		fault.Err = diskimage.ErrFootersDiffer
		return nil, nil, fault
	case !f.head.intact():
		return f.head, nil, nil // validate says what is wrong
	case !f.tail.intact():
		return f.tail, nil, nil
	case !bytes.Equal(f.head.part.Data, f.tail.part.Data):
		fault := f.tail.part.Fault(diskimage.Malformed, "not the same as its copy at the start")
		fault.Err = diskimage.ErrFootersDiffer
		return nil, nil, fault
	}
	return f.head, nil, nil
}
