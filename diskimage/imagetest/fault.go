package imagetest

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
)

// Opener opens an image of size bytes, as a decoder's Open does with certain
// limits.
type Opener func(r io.ReaderAt, size int64, limits diskimage.Limits) (diskimage.RunDisk, error)

// Image opens an image in memory, with the default limits.
func (open Opener) Image(image []byte) (diskimage.RunDisk, error) {
	return open(bytes.NewReader(image), int64(len(image)), diskimage.Limits{})
}

// Must opens an image in memory, or fails t.
func (open Opener) Must(t testing.TB, image []byte) diskimage.RunDisk {
	t.Helper()
	d, err := open.Image(image)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// WantFault fails t unless err is a fault of an image, of the given class, whose
// text contains text.
func WantFault(t testing.TB, err error, class diskimage.Class, text string) {
	t.Helper()
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) || fault.Class != class || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %v with %q", err, class, text)
	}
}

// Walk reads the tables of a disk and its coded runs, as an import does.
func Walk(d diskimage.RunDisk) error {
	for r, err := range d.Runs(0, d.Size()) {
		if err != nil {
			return err
		}
		if !r.Coded {
			continue
		}
		src, dst := make([]byte, r.SrcLen), make([]byte, r.Len)
		if err := readFull(r.Src, src, r.SrcOff); err != nil {
			return err
		}
		if err := d.Decode(r, dst, src); err != nil {
			return err
		}
	}
	return nil
}

// Broken fails t unless errors of the source are returned: when opening the image,
// if the source fails from one of the offsets on; when reading and walking, if it
// fails everywhere after that.
func (open Opener) Broken(t testing.TB, image []byte, offsets ...int64) {
	t.Helper()
	broken := errors.New("input/output error")
	for _, from := range offsets {
		src := &Faulty{R: bytes.NewReader(image), From: from, Err: broken}
		if _, err := open(src, int64(len(image)), diskimage.Limits{}); !errors.Is(err, broken) {
			t.Errorf("opening, reads from %d failing: got %v", from, err)
		}
	}
	src := &Faulty{R: bytes.NewReader(image), From: math.MaxInt64, Err: broken}
	d, err := open(src, int64(len(image)), diskimage.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	src.From = 0
	if _, err := d.ReadAt(make([]byte, 10), 0); !errors.Is(err, broken) {
		t.Errorf("reading: got %v", err)
	}
}

// Cut fails t unless the image, truncated at every multiple of step bytes, is
// refused, reads as want, or reads with a warning. It also fails t unless the image
// reads as want with anything behind it.
func (open Opener) Cut(t testing.TB, image, want []byte, step int) {
	t.Helper()
	for n := 0; n < len(image); n += step {
		d, err := open.Image(image[:n])
		if err == nil {
			err = Walk(d)
		}
		var fault *diskimage.FormatError
		switch {
		case err != nil && !errors.As(err, &fault):
			t.Errorf("cut to %d bytes: %v", n, err)
		case err == nil && len(d.(diskimage.Describer).Describe().Warnings) == 0:
			if err := Check(d, bytes.NewReader(want)); err != nil {
				t.Errorf("cut to %d bytes: %v", n, err)
			}
		}
	}
	for _, pad := range [][]byte{make([]byte, 1), make([]byte, 511), make([]byte, 512), make([]byte, 65536), Mixed(3000, 1)} {
		d, err := open.Image(append(bytes.Clone(image), pad...))
		if err == nil {
			err = Check(d, bytes.NewReader(want))
		}
		if err != nil {
			t.Errorf("padded with %d bytes: %v", len(pad), err)
		}
	}
}

// WalkAllocations returns the number of runs of the disk of an image in memory, and
// the number of allocations of walking and decoding them.
func WalkAllocations(t testing.TB, d diskimage.RunDisk, image []byte) (runs int, allocations float64) {
	t.Helper()
	var dst []byte
	allocations = testing.AllocsPerRun(3, func() {
		runs = 0
		for r, err := range d.Runs(0, d.Size()) {
			if err == nil && r.Coded {
				err = d.Decode(r, sized(&dst, r.Len), image[r.SrcOff:r.SrcOff+r.SrcLen])
			}
			if err != nil {
				t.Fatal(err)
			}
			runs++
		}
	})
	return runs, allocations
}

// OpenReads returns the number of reads that opening an image in memory takes. Each
// is a round trip if the image is far away.
func (open Opener) OpenReads(t testing.TB, image []byte) int {
	t.Helper()
	n := 0
	src := &Faulty{R: bytes.NewReader(image), From: math.MaxInt64, Before: func(int64, int) { n++ }}
	if _, err := open(src, int64(len(image)), diskimage.Limits{}); err != nil {
		t.Fatal(err)
	}
	return n
}
