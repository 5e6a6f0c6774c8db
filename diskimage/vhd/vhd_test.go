package vhd_test

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/vhd"
)

func open(image []byte) (*vhd.Image, error) {
	return vhd.Open(bytes.NewReader(image), int64(len(image)), vhd.Options{})
}

func mustOpen(t testing.TB, image []byte) *vhd.Image {
	t.Helper()
	d, err := open(image)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// spec returns a dynamic disk of blocks, the last one cut by the disk's end,
// and its contents.
func spec(block int, cut int64) (imagetest.VHD, []byte) {
	size := int64(9*block) - cut
	want := imagetest.Mixed(9*block, uint64(block))
	v := imagetest.VHD{Size: size, BlockSize: block, Blocks: map[int64][]byte{}, Reverse: true}
	for i := range int64(9) {
		part := want[i*int64(block) : (i+1)*int64(block)]
		if i == 2 || i == 3 || i == 6 {
			clear(part)
			continue
		}
		v.Blocks[i] = part
	}
	return v, want[:size]
}

func TestDynamic(t *testing.T) {
	for _, block := range []int{512, 1024, 4096, 64 << 10, 512 << 10} {
		for _, cut := range []int64{0, int64(block) - 512} {
			v, want := spec(block, cut)
			d := mustOpen(t, v.Build())
			imagetest.Run(t, d, bytes.NewReader(want))
		}
	}
}

func TestFixed(t *testing.T) {
	want := imagetest.Mixed(300*512, 1)
	v := imagetest.VHD{Size: 300 * 512, Blocks: map[int64][]byte{0: want}}
	image := v.Build()
	padded := append(bytes.Clone(image), make([]byte, 65536)...)
	for name, image := range map[string][]byte{
		"whole": image, "511-byte footer": image[:len(image)-1],
		"1 zero": padded[:len(image)+1], "511 zeros": padded[:len(image)+511], "512 zeros": padded[:len(image)+512], "64 KiB of zeros": padded,
	} {
		d, err := open(image)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		imagetest.Run(t, d, bytes.NewReader(want))
	}
}

func TestBitmaps(t *testing.T) {
	v, want := spec(64<<10, 512) // 128 sectors a block
	v.Bitmaps = map[int64][]byte{
		0: {0x00, 0xff, 0x81},
		1: make([]byte, 16),
		4: {0x7f},
		8: bytes.Repeat([]byte{0xfe}, 16),
	}
	for i, bitmap := range v.Bitmaps {
		for s := range len(bitmap) * 8 {
			at := int(i)<<16 + s*512
			if bitmap[s/8]<<(s%8)&0x80 == 0 && at < len(want) {
				clear(want[at : at+512])
			}
		}
	}
	d := mustOpen(t, v.Build())
	imagetest.Run(t, d, bytes.NewReader(want))
	if w := d.Describe().Warnings; len(w) != 1 || !strings.Contains(w[0], "4 blocks") {
		t.Errorf("warnings: got %q, want one about 4 blocks", w)
	}
}

func TestDescribe(t *testing.T) {
	v, _ := spec(4096, 0)
	v.Creator = "d2v\x00"
	want := diskimage.Description{Format: "vhd", Variant: "dynamic", VirtualSize: 9 * 4096, UnitSize: 4096, Creator: "d2v"}
	got := mustOpen(t, v.Build()).Describe()
	if got.Format != want.Format || got.Variant != want.Variant || got.VirtualSize != want.VirtualSize ||
		got.UnitSize != want.UnitSize || got.Creator != want.Creator || len(got.Warnings) != 0 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWalkAllocatesNothingPerBlock(t *testing.T) {
	v := imagetest.VHD{Size: 4000 * 4096, BlockSize: 4096, Blocks: map[int64][]byte{}}
	for i := range int64(2000) {
		v.Blocks[2*i] = []byte{1}
	}
	d := mustOpen(t, v.Build())
	n := 0
	allocs := testing.AllocsPerRun(3, func() {
		n = 0
		for _, err := range d.Runs(0, d.Size()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
	})
	if n != 4000 || allocs > 20 {
		t.Errorf("%v allocations for %d runs, want 4000 runs and no allocation each", allocs, n)
	}
}

// A 2040 GiB disk that holds nothing is one hole, found fast in bounded memory.
func TestEmptyAtMaximum(t *testing.T) {
	v := imagetest.VHD{Size: 2040 << 30, BlockSize: 2 << 20}
	image := v.Build()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d := mustOpen(t, image)
	n := 0
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil || e.Kind != diskimage.Hole {
			t.Fatalf("got %+v, %v", e, err)
		}
		n++
	}
	runtime.ReadMemStats(&after)
	if n != 1 {
		t.Errorf("got %d extents, want one hole", n)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("allocated %d bytes", used)
	}
}

func TestFailingSource(t *testing.T) {
	v, _ := spec(4096, 0)
	image := v.Build()
	broken := errors.New("input/output error")
	for _, from := range []int64{0, 600, 1600, 5000} {
		src := &imagetest.Faulty{R: bytes.NewReader(image), From: from, Err: broken}
		if _, err := vhd.Open(src, int64(len(image)), vhd.Options{}); !errors.Is(err, broken) {
			t.Errorf("reads from %d failing: got %v", from, err)
		}
	}
	src := &imagetest.Faulty{R: bytes.NewReader(image), From: math.MaxInt64, Err: broken}
	d, err := vhd.Open(src, int64(len(image)), vhd.Options{})
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
