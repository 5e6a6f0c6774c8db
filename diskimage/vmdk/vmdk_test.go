package vmdk_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
	"github.com/diskport/diskport/diskimage/vmdk"
)

var layouts = map[string]imagetest.VMDKLayout{
	"sparse": imagetest.VMDKSparse, "ovftool": imagetest.VMDKOvftool, "vmware-vdiskmanager": imagetest.VMDKDiskManager,
	"vmdktool": imagetest.VMDKTool, "qemu": imagetest.VMDKQemu, "padded": imagetest.VMDKPadded,
}

// spec returns a disk of two and a bit tables of 4 KiB grains, the last grain cut
// by the disk's end, and its contents. The second table is empty.
func spec(layout imagetest.VMDKLayout) (imagetest.VMDK, []byte) {
	const grain, tables = 4096, 2
	size := int64(tables*512*grain + 5*grain + 1536)
	want := imagetest.Mixed(int(size), 11)
	v := imagetest.VMDK{Size: size, Grain: grain, Layout: layout, Grains: map[int64][]byte{}}
	for n := int64(0); n*grain < size; n++ {
		part := want[n*grain : min(size, (n+1)*grain)]
		switch {
		case n/512 == 1 || n%64 > 20 || n%7 == 2:
			clear(part)
		default:
			v.Grains[n] = part
		}
	}
	return v, want
}

// small is spec's disk with few grains, for tests that only open and read it.
func small(layout imagetest.VMDKLayout) imagetest.VMDK {
	v := imagetest.VMDK{Size: (2*512+5)*4096 + 1536, Grain: 4096, Layout: layout, Grains: map[int64][]byte{}}
	for _, n := range []int64{0, 1, 3, 5, 6, 1025, 1029} {
		v.Grains[n] = imagetest.Mixed(4096, uint64(n))
	}
	return v
}

func mustOpen(t testing.TB, image []byte) *vmdk.Image {
	t.Helper()
	d, err := open(image)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLayouts(t *testing.T) {
	for name, layout := range layouts {
		for _, odd := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/odd=%v", name, odd), func(t *testing.T) {
				t.Parallel()
				v, want := spec(layout)
				v.Reverse, v.Cut = odd, odd
				imagetest.Run(t, mustOpen(t, v.Build().Bytes), bytes.NewReader(want))
			})
		}
	}
}

func TestGrainSizes(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	for _, grain := range []int64{4096, 64 << 10, 128 << 10} {
		for _, layout := range []imagetest.VMDKLayout{imagetest.VMDKSparse, imagetest.VMDKOvftool} {
			want := imagetest.Mixed(int(2*grain+512), uint64(grain))
			v := imagetest.VMDK{Size: int64(len(want)), Grain: grain, Layout: layout, Grains: map[int64][]byte{
				0: want[:grain], 1: want[grain : 2*grain], 2: want[2*grain:],
			}}
			imagetest.Run(t, mustOpen(t, v.Build().Bytes), bytes.NewReader(want))
		}
	}
}

func TestZeroedGrains(t *testing.T) {
	v, want := spec(imagetest.VMDKSparse)
	v.Zeroed = []int64{2, 9, 10, 11, 512, 513, 1023}
	for _, n := range v.Zeroed {
		delete(v.Grains, n)
		clear(want[n*4096 : (n+1)*4096])
	}
	d := mustOpen(t, v.Build().Bytes)
	imagetest.Run(t, d, bytes.NewReader(want))
	zero := int64(0)
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == diskimage.Zero {
			zero += e.Len
		}
	}
	if zero != 7*4096 {
		t.Errorf("%d bytes are marked as zeros, want %d", zero, 7*4096)
	}
}

func TestDescribe(t *testing.T) {
	v, _ := spec(imagetest.VMDKOvftool)
	got := fmt.Sprintf("%+v", mustOpen(t, v.Build().Bytes).Describe())
	want := fmt.Sprintf("%+v", diskimage.Description{
		Format: "vmdk", Variant: "streamOptimized", VirtualSize: v.Size, UnitSize: 4096, Creator: "virtualHWVersion 7",
	})
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct {
		name   string
		header func([]byte)
		image  func(*imagetest.VMDKImage)
		want   string
	}{
		{"not closed", func(h []byte) { h[72] = 1 }, nil, "did not close"},
		{"version 2", func(h []byte) { h[4] = 2 }, nil, ""},
		{"version 3", func(h []byte) { h[4] = 3 }, nil, "changed blocks"},
		{"redundant tables differ", nil, func(i *imagetest.VMDKImage) { i.Bytes[i.Copies[0]]++ }, "1 grain tables differ"},
		{"redundant table missing", nil, func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Redundant, 0) }, "1 grain tables differ"},
		{"entry past the end", nil, func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Directory, math.MaxUint32) }, "1 entries"},
		{"entry in the header", nil, func(i *imagetest.VMDKImage) { put32(i.Bytes, i.Directory+8, 3) }, "1 entries"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, want := spec(imagetest.VMDKSparse)
			v.Header = tt.header
			image := v.Build()
			if tt.image != nil {
				tt.image(image)
			}
			d := mustOpen(t, image.Bytes)
			imagetest.Run(t, d, bytes.NewReader(want))
			got := strings.Join(d.Describe().Warnings, "; ")
			if !strings.Contains(got, tt.want) || (tt.want == "") != (got == "") {
				t.Errorf("warnings: got %q, want %q", got, tt.want)
			}
		})
	}
}

// A table of the directory that is all zeros hides data that the redundant one
// still shows. The directory wins, with a warning.
func TestDirectoryWins(t *testing.T) {
	v, want := spec(imagetest.VMDKSparse)
	image := v.Build()
	clear(image.Bytes[image.Tables[0]:][:2048])
	clear(want[:512*4096])
	d := mustOpen(t, image.Bytes)
	imagetest.Run(t, d, bytes.NewReader(want))
	if w := d.Describe().Warnings; len(w) != 1 || !strings.Contains(w[0], "1 grain tables differ") {
		t.Errorf("warnings: got %q", w)
	}
}

// The bound of a record ends at the next record, not where the largest would.
func TestRecordBounds(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		v, _ := spec(imagetest.VMDKOvftool)
		v.Reverse = reverse
		image := v.Build()
		d := mustOpen(t, image.Bytes)
		for r, err := range d.Runs(0, d.Size()) {
			if err != nil {
				t.Fatal(err)
			}
			if !r.Coded {
				continue
			}
			size := int64(le32(image.Bytes, int(r.SrcOff)+8)) + 12
			// The last record of a table is followed by the table's marker.
			if most := (size+511)/512*512 + 512; r.SrcLen < size || r.SrcLen > most {
				t.Fatalf("reverse=%v: the record at %#x has %d bytes, the bound is %d", reverse, r.SrcOff, size, r.SrcLen)
			}
		}
	}
}

func TestNothingIsAllocatedPerGrain(t *testing.T) {
	v, _ := spec(imagetest.VMDKOvftool)
	image := v.Build()
	d := mustOpen(t, image.Bytes)
	dst := make([]byte, 4096)
	n := 0
	allocs := testing.AllocsPerRun(3, func() {
		n = 0
		for r, err := range d.Runs(0, d.Size()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if !r.Coded {
				continue
			}
			if err := d.Decode(r, dst[:r.Len], image.Bytes[r.SrcOff:r.SrcOff+r.SrcLen]); err != nil {
				t.Fatal(err)
			}
		}
	})
	// With -race, sync.Pool forgets a quarter of what it is given.
	if n < 100 || allocs > float64(n)/2 {
		t.Errorf("%v allocations for %d runs, want none each", allocs, n)
	}
}

// A disk of 2 TiB without tables is one hole, and so is one of 256 GiB with all of
// its 8192 tables in a row, and copies of them, which are read 128 at a time.
func TestEmptyAtMaximum(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	for _, v := range []imagetest.VMDK{
		{Size: 2 << 40, Layout: imagetest.VMDKOvftool}, {Size: 256 << 30, Layout: imagetest.VMDKSparse},
	} {
		image := v.Build().Bytes
		reads := 0
		src := &imagetest.Faulty{R: bytes.NewReader(image), From: math.MaxInt64, Before: func(int64, int) { reads++ }}
		before := heap()
		d, err := vmdk.Open(src, int64(len(image)), vmdk.Options{Limits: diskimage.Limits{MetadataBytes: 1 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for e, err := range d.Extents(0, d.Size()) {
			if err != nil || e.Kind != diskimage.Hole {
				t.Fatalf("got %+v, %v", e, err)
			}
			n++
		}
		if n != 1 || reads > 160 {
			t.Errorf("%d bytes: %d extents in %d reads, want one hole in at most 160", v.Size, n, reads)
		}
		if more := heap() - before; more > 2<<20 {
			t.Errorf("%d bytes: %d bytes more on the heap", v.Size, more)
		}
		runtime.KeepAlive(d)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestFailingSource(t *testing.T) {
	v, _ := spec(imagetest.VMDKQemu)
	image := v.Build().Bytes
	broken := errors.New("input/output error")
	for _, from := range []int64{0, 600, 22 * 512} {
		src := &imagetest.Faulty{R: bytes.NewReader(image), From: from, Err: broken}
		if _, err := vmdk.Open(src, int64(len(image)), vmdk.Options{}); !errors.Is(err, broken) {
			t.Errorf("reads from %d failing: got %v", from, err)
		}
	}
	src := &imagetest.Faulty{R: bytes.NewReader(image), From: math.MaxInt64, Err: broken}
	d, err := vmdk.Open(src, int64(len(image)), vmdk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	src.From = 0
	if _, err := d.ReadAt(make([]byte, 10), 0); !errors.Is(err, broken) {
		t.Errorf("reading: got %v", err)
	}
	for _, err := range d.Runs(0, d.Size()) {
		if err != nil && !errors.Is(err, broken) {
			t.Errorf("runs: got %v", err)
		}
	}
}
