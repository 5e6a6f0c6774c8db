package vhdx

import (
	"io"
	"slices"
	"sort"

	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// overlay is the object with the log's changes laid over it. After it is built
// it may be read concurrently.
type overlay struct {
	base     io.ReaderAt
	baseSize int64 // bytes of the object
	size     int64 // bytes with what the log appended
	changes  []change
}

// change is a changed range; changes are sorted and apart. data is nil for
// zeros: a range of zeros costs the same whatever its length.
type change struct {
	off, end int64
	data     []byte
}

// put lays c over the changes so far.
func (o *overlay) put(c change) {
	first := o.search(c.off)
	last := first
	for last < len(o.changes) && o.changes[last].off < c.end {
		last++
	}
	var with []change
	if first < last && o.changes[first].off < c.off {
		with = append(with, o.changes[first].cut(o.changes[first].off, c.off))
	}
	with = append(with, c)
	if first < last && o.changes[last-1].end > c.end {
		with = append(with, o.changes[last-1].cut(c.end, o.changes[last-1].end))
	}
	o.changes = slices.Replace(o.changes, first, last, with...)
}

// cut returns the part of c in [off, end).
func (c change) cut(off, end int64) change {
	if c.data == nil {
		return change{off: off, end: end}
	}
	return change{off, end, c.data[off-c.off : end-c.off]}
}

// search returns the index of the first change that ends behind off.
func (o *overlay) search(off int64) int {
	return sort.Search(len(o.changes), func(i int) bool { return o.changes[i].end > off })
}

// ReadAt implements io.ReaderAt.
func (o *overlay) ReadAt(p []byte, off int64) (int, error) {
	if off >= o.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), o.size-off))
	if err := o.readBase(p[:n], off); err != nil {
		return 0, err
	}
	end := off + int64(n)
	for _, c := range o.changes[o.search(off):] {
		if c.off >= end {
			break
		}
		c = c.cut(max(c.off, off), min(c.end, end))
		part := p[c.off-off : c.end-off]
		clear(part)
		copy(part, c.data)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readBase fills p from the object, and with zeros behind its end.
func (o *overlay) readBase(p []byte, off int64) error {
	stored := int(max(0, min(int64(len(p)), o.baseSize-off)))
	clear(p[stored:])
	return bounded.ReadFull(o.base, p[:stored], off)
}
