package diskimage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/raw"
)

// open returns data as a disk whose holes are its 64 KiB units of zeros.
func open(t testing.TB, data []byte) diskimage.Disk {
	t.Helper()
	d, err := raw.Open(imagetest.Sparse{Bytes: data, Unit: 64 << 10}, int64(len(data)), raw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCompare(t *testing.T) {
	data := imagetest.Mixed(5<<20+512, 1)
	clear(data[1<<20 : 2<<20])
	dense, err := raw.Open(bytes.NewReader(data), int64(len(data)), raw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := diskimage.Compare(t.Context(), open(t, data), dense); err != nil {
		t.Errorf("equal disks, one sparse: %v", err)
	}
	for _, off := range []int{0, 1, 1 << 20, 1<<20 + 99, 3<<20 + 1, len(data) - 1} {
		other := bytes.Clone(data)
		other[off] ^= 0x80
		for name, pair := range map[string][2]diskimage.Disk{
			"a, b": {open(t, data), open(t, other)},
			"b, a": {open(t, other), open(t, data)},
		} {
			var diff *diskimage.Difference
			err := diskimage.Compare(t.Context(), pair[0], pair[1])
			if !errors.As(err, &diff) || diff.Off != int64(off) || diff.A^diff.B != 0x80 {
				t.Errorf("%s: difference at %d: got %v", name, off, err)
			}
		}
	}
	if err := diskimage.Compare(t.Context(), dense, open(t, data[:1<<20])); !errors.Is(err, diskimage.ErrSizesDiffer) {
		t.Errorf("sizes differ: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := diskimage.Compare(ctx, dense, dense); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestCompareReadsNoHoles(t *testing.T) {
	huge := func() diskimage.Disk {
		d, err := raw.Open(hollow{}, 64<<40, raw.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if err := diskimage.Compare(t.Context(), huge(), huge()); err != nil {
		t.Error(err)
	}
}

// hollow is a source that is one hole; reading it is an error.
type hollow struct{}

func (hollow) ReadAt([]byte, int64) (int, error) { return 0, errors.New("read a hole") }

func (hollow) NextData(off int64) (start, end int64, err error) {
	return max(off, 64<<40), max(off, 64<<40), nil
}

func TestCopyTo(t *testing.T) {
	data := imagetest.Mixed(3<<20+512, 2)
	clear(data[1<<20 : 2<<20])
	data[1<<20+5000] = 1
	dst := &recorder{data: make([]byte, len(data))}
	var last int64
	opts := diskimage.CopyOptions{Progress: func(off int64) {
		if off <= last && off != int64(len(data)) {
			t.Errorf("progress went from %d to %d", last, off)
		}
		last = off
	}}
	if err := diskimage.CopyTo(t.Context(), dst, open(t, data), opts); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(dst.data, data) {
		t.Error("contents differ")
	}
	if last != int64(len(data)) {
		t.Errorf("last progress is %d, want %d", last, len(data))
	}
	if dst.zeros > 0 {
		t.Errorf("%d units of 4 KiB zeros were written", dst.zeros)
	}

	broken := errors.New("no space left")
	if err := diskimage.CopyTo(t.Context(), &recorder{err: broken}, open(t, data), opts); !errors.Is(err, broken) {
		t.Errorf("failing writer: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := diskimage.CopyTo(ctx, dst, open(t, data), opts); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

// recorder is a destination in memory that counts whole units of zeros.
type recorder struct {
	data  []byte
	zeros int
	err   error
}

func (r *recorder) WriteAt(p []byte, off int64) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	for at := 0; at+4096 <= len(p); at += 4096 {
		if bytes.Equal(p[at:at+4096], make([]byte, 4096)) {
			r.zeros++
		}
	}
	return copy(r.data[off:], p), nil
}

func ExampleDisk() {
	data := make([]byte, 1<<20)
	copy(data[512<<10:], "something to keep")
	d, err := raw.Open(imagetest.Sparse{Bytes: data, Unit: 64 << 10}, int64(len(data)), raw.Options{})
	if err != nil {
		panic(err)
	}
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%7d %7d %v\n", e.Off, e.Len, e.Kind)
	}
	// Output:
	//       0  524288 hole
	//  524288   65536 data
	//  589824  458752 hole
}

// Two images hold the same disk, or differ first at a byte.
func ExampleCompare() {
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	b[4096] = 7
	disk := func(p []byte) diskimage.Disk {
		d, err := raw.Open(bytes.NewReader(p), int64(len(p)), raw.Options{})
		if err != nil {
			panic(err)
		}
		return d
	}
	fmt.Println(diskimage.Compare(context.Background(), disk(a), disk(b)))
	// Output: disks differ at byte 4096 (0x1000): 0x00 and 0x07
}
