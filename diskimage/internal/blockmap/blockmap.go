// Package blockmap turns the lookup of a block-table format into a disk, so
// that reading, extents and runs cannot disagree: all three ask the same
// Finder.
package blockmap

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"sync"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// Finder is the lookup of a format. It is called concurrently.
type Finder interface {
	// Find returns a run that contains off, inside the disk. The run may begin
	// before off and end anywhere; the caller does not need what lies at or behind
	// end, so there is no use in looking for more there. A coded run is the whole
	// unit. Neighbouring runs need not be merged, since that is done here; but a
	// Finder that merges the entries of one page of its table is far faster.
	Find(off, end int64) (diskimage.Run, error)
}

// Decoder is implemented by Finders of formats with coded runs.
type Decoder interface {
	// Decode implements diskimage.RunDisk.
	Decode(run diskimage.Run, dst, src []byte) error
}

// Disk is a diskimage.RunDisk over a Finder. Formats embed it.
type Disk struct {
	format string
	size   int64
	finder Finder

	mu   sync.Mutex // guards last
	last unit
}

var _ diskimage.RunDisk = (*Disk)(nil)

// unit is a decoded coded run. Readers share data, so it is never changed.
type unit struct {
	off  int64
	data []byte
}

// New returns the disk of size bytes that f describes.
func New(format string, size int64, f Finder) *Disk {
	return &Disk{format: format, size: size, finder: f}
}

// Size returns the virtual size in bytes.
func (d *Disk) Size() int64 { return d.size }

// Runs implements diskimage.RunDisk. Adjacent plain runs are merged.
func (d *Disk) Runs(off, n int64) iter.Seq2[diskimage.Run, error] {
	return func(yield func(diskimage.Run, error) bool) {
		var held diskimage.Run
		for r, err := range d.walk(off, n) {
			if err != nil {
				if held.Len == 0 || yield(held, nil) {
					yield(diskimage.Run{}, err)
				}
				return
			}
			if extends(held, r) {
				held.Len += r.Len
				held.SrcLen += r.SrcLen
				continue
			}
			if held.Len > 0 && !yield(held, nil) {
				return
			}
			held = r
		}
		if held.Len > 0 {
			yield(held, nil)
		}
	}
}

// extends reports whether r continues the plain run held.
func extends(held, r diskimage.Run) bool {
	switch {
	case held.Len == 0 || held.Kind != r.Kind || held.Coded || r.Coded:
		return false
	case held.Kind != diskimage.Data:
		return true
	}
	return held.SrcOff+held.Len == r.SrcOff && same(held.Src, r.Src)
}

// same compares sources without a panic on those that cannot be compared.
func same(a, b io.ReaderAt) bool {
	return reflect.ValueOf(a).Comparable() && a == b
}

// Extents implements diskimage.Disk.
func (d *Disk) Extents(off, n int64) iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		off, end := d.clip(off, n)
		held := diskimage.Extent{Off: off}
		for r, err := range d.walk(off, end-off) {
			if err != nil {
				if held.Len == 0 || yield(held, nil) {
					yield(diskimage.Extent{}, err)
				}
				return
			}
			if held.Len > 0 && held.Kind != r.Kind {
				if !yield(held, nil) {
					return
				}
				held = diskimage.Extent{Off: held.Off + held.Len}
			}
			held.Kind = r.Kind
			held.Len = min(r.Off+r.Len, end) - held.Off
		}
		if held.Len > 0 {
			yield(held, nil)
		}
	}
}

// ReadAt implements io.ReaderAt. Runs of data are read in place; of coded units the
// last one decoded is kept, so that small sequential reads decode each once.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("reading at a negative offset")
	}
	if off >= d.size {
		return 0, io.EOF
	}
	want := len(p)
	p = p[:min(int64(want), d.size-off)]
	done := 0
	for r, err := range d.walk(off, int64(len(p))) {
		if err != nil {
			return done, err
		}
		part := p[done:min(r.Off+r.Len-off, int64(len(p)))]
		if err := d.read(r, part, off+int64(done)); err != nil {
			return done, err
		}
		done += len(part)
	}
	if len(p) < want {
		return len(p), io.EOF
	}
	return want, nil
}

// read fills p, which begins at off and lies inside r.
func (d *Disk) read(r diskimage.Run, p []byte, off int64) error {
	switch {
	case r.Kind != diskimage.Data:
		clear(p)
		return nil
	case r.Coded:
		return d.readCoded(r, p, off)
	}
	at := r.SrcOff + off - r.Off
	if err := bounded.ReadFull(r.Src, p, at); err != nil {
		return fmt.Errorf("%s: reading data of disk offset %#x at offset %#x: %w", d.format, off, at, err)
	}
	return nil
}

func (d *Disk) readCoded(r diskimage.Run, p []byte, off int64) error {
	if int64(len(p)) == r.Len {
		return d.decode(r, p)
	}
	d.mu.Lock()
	u := d.last
	d.mu.Unlock()
	if u.data == nil || u.off != r.Off {
		u = unit{r.Off, make([]byte, r.Len)}
		if err := d.decode(r, u.data); err != nil {
			return err
		}
		d.mu.Lock()
		d.last = u
		d.mu.Unlock()
	}
	copy(p, u.data[off-r.Off:])
	return nil
}

func (d *Disk) decode(r diskimage.Run, dst []byte) error {
	src := make([]byte, r.SrcLen)
	if err := bounded.ReadFull(r.Src, src, r.SrcOff); err != nil {
		return fmt.Errorf("%s: reading data of disk offset %#x at offset %#x: %w", d.format, r.Off, r.SrcOff, err)
	}
	return d.Decode(r, dst, src)
}

// Decode implements diskimage.RunDisk.
func (d *Disk) Decode(run diskimage.Run, dst, src []byte) error {
	dec, ok := d.finder.(Decoder)
	if !ok || !run.Coded {
		return fmt.Errorf("%s: decoding disk offset %#x: the run is not coded", d.format, run.Off)
	}
	return dec.Decode(run, dst, src)
}

// walk yields the runs of the query as found: plain ones cut to it, coded ones
// whole.
func (d *Disk) walk(off, n int64) iter.Seq2[diskimage.Run, error] {
	return func(yield func(diskimage.Run, error) bool) {
		off, end := d.clip(off, n)
		for off < end {
			r, err := d.finder.Find(off, end)
			if err == nil && (r.Off > off || r.Len <= off-r.Off || r.Len > d.size-r.Off) {
				err = fmt.Errorf("%s: the run found for disk offset %#x is [%#x, +%#x)", d.format, off, r.Off, r.Len)
			}
			if err != nil {
				yield(diskimage.Run{}, err)
				return
			}
			if !r.Coded {
				r = cut(r, off, end)
			}
			if !yield(r, nil) {
				return
			}
			off = r.Off + r.Len
		}
	}
}

// clip returns the part of a query that lies on the disk.
func (d *Disk) clip(off, n int64) (start, end int64) {
	if off < 0 && n > 0 {
		off, n = 0, off+n
	}
	if n <= 0 || off >= d.size {
		return off, off
	}
	return off, off + min(n, d.size-off)
}

// cut returns the part of a plain run inside [off, end).
func cut(r diskimage.Run, off, end int64) diskimage.Run {
	end = min(end, r.Off+r.Len)
	if r.Kind == diskimage.Data {
		r.SrcOff += off - r.Off
		r.SrcLen = end - off
	}
	r.Off, r.Len = off, end-off
	return r
}
