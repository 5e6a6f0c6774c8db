package vhdx_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/vhdx"
)

const mib = 1 << 20

func open(image []byte) (*vhdx.Image, error) {
	return vhdx.Open(bytes.NewReader(image), int64(len(image)), vhdx.Options{})
}

func mustOpen(t testing.TB, image []byte) *vhdx.Image {
	t.Helper()
	d, err := open(image)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// spec returns a disk of 7 blocks of 1 MiB with every state, the last block cut
// by the disk's end, and its contents.
func spec() (imagetest.VHDX, []byte) {
	size := int64(7*mib - 3*4096)
	want := imagetest.Mixed(7*mib, 4)
	v := imagetest.VHDX{
		Size: size, BlockSize: mib, Blocks: map[int64][]byte{},
		// Not present, zero, and unmapped with the place of its old data.
		States: map[int64]uint64{1: 0, 2: 2, 4: 3 | 4*mib},
	}
	for i := range int64(7) {
		if part := want[i*mib : (i+1)*mib]; i == 1 || i == 2 || i == 4 {
			clear(part)
		} else {
			v.Blocks[i] = part
		}
	}
	return v, want[:size]
}

func TestDynamic(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		v, want := spec()
		v.Reverse = reverse
		imagetest.Run(t, mustOpen(t, v.Build()), bytes.NewReader(want))
	}
}

func TestSectorsOf4096(t *testing.T) {
	v, want := spec()
	v.Sector = 4096
	imagetest.Run(t, mustOpen(t, v.Build()), bytes.NewReader(want))
}

func TestKinds(t *testing.T) {
	v, _ := spec()
	var got []diskimage.Kind
	for e, err := range mustOpen(t, v.Build()).Extents(0, v.Size) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Kind)
	}
	want := []diskimage.Kind{diskimage.Data, diskimage.Hole, diskimage.Zero, diskimage.Data, diskimage.Hole, diskimage.Data}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("extent %d is a %v, want a %v", i, got[i], want[i])
		}
	}
}

// A disk of several chunks: with blocks of 256 MiB a chunk has 16, and the
// entries between chunks hold garbage, as qemu before 8.0 left there.
func TestChunks(t *testing.T) {
	v := imagetest.VHDX{Size: 50 * 256 * mib, BlockSize: 256 * mib, States: map[int64]uint64{15: 2, 16: 2, 31: 2, 33: 2, 49: 2}}
	image := v.Build()
	for _, chunk := range []int{16, 33, 50} {
		binary.LittleEndian.PutUint64(image[imagetest.VHDXTable+8*chunk:], 0x7f<<20|6)
	}
	d := mustOpen(t, image)
	var got []int64
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == diskimage.Zero {
			for b := e.Off; b < e.Off+e.Len; b += v.BlockSize {
				got = append(got, b/v.BlockSize)
			}
		}
	}
	if want := []int64{15, 16, 31, 33, 49}; len(got) != len(want) || got[1] != 16 || got[2] != 31 || got[3] != 33 || got[4] != 49 {
		t.Errorf("zero blocks are %v, want %v", got, want)
	}
	imagetest.Run(t, d, imagetest.Zeros{})
}

func TestFixedIsOneRun(t *testing.T) {
	v := imagetest.VHDX{Size: 5 * mib, BlockSize: mib, Flags: 1, Blocks: map[int64][]byte{}}
	want := imagetest.Mixed(5*mib, 8)
	for i := range int64(5) {
		v.Blocks[i] = want[i*mib : (i+1)*mib]
	}
	d := mustOpen(t, v.Build())
	n := 0
	for _, err := range d.Runs(0, d.Size()) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != 1 {
		t.Errorf("got %d runs, want 1", n)
	}
	if got := d.Describe().Variant; got != "fixed" {
		t.Errorf("variant is %q", got)
	}
}

func TestDescribe(t *testing.T) {
	v, _ := spec()
	got := mustOpen(t, v.Build()).Describe()
	if got.Format != "vhdx" || got.Variant != "dynamic" || got.VirtualSize != v.Size || got.UnitSize != mib ||
		got.Creator != "imagetest" || len(got.Warnings) != 0 {
		t.Errorf("got %+v", got)
	}
}

// An empty disk of 64 TiB in blocks of 1 MiB has a table of 513 MiB. Its holes
// are walked page by page in bounded memory.
func TestEmptyAtMaximum(t *testing.T) {
	image := imagetest.VHDX{Size: mib, BlockSize: mib}.Build()
	const table = 513 * mib
	imagetest.Patches{
		imagetest.LE64(imagetest.VHDXMetadata+64<<10+16, 64<<40),
		imagetest.LE32(imagetest.VHDXRegions1+16+24, table),
	}.Apply(image)
	imagetest.SumVHDXImage(image)
	src := imagetest.Patches{{Off: 0, Data: image}}
	d, err := vhdx.Open(src, imagetest.VHDXTable+table, vhdx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for e, err := range d.Extents(0, d.Size()) {
		if n++; err != nil || e.Kind != diskimage.Hole {
			t.Fatalf("got %+v, %v", e, err)
		}
	}
	if n != 1 {
		t.Errorf("got %d extents, want one hole", n)
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	if mem.HeapAlloc > 128<<20 {
		t.Errorf("%d bytes live after the walk, with 64 MiB for tables", mem.HeapAlloc)
	}
	runtime.KeepAlive(d)
}

func TestTableLargerThanTheBudget(t *testing.T) {
	v := imagetest.VHDX{Size: 1 << 40, BlockSize: mib, States: map[int64]uint64{1<<20 - 1: 2}}
	image := v.Build() // a table of 8 MiB
	d, err := vhdx.Open(bytes.NewReader(image), int64(len(image)), vhdx.Options{Limits: diskimage.Limits{MetadataBytes: 256 << 10}})
	if err != nil {
		t.Fatal(err)
	}
	imagetest.Run(t, d, imagetest.Zeros{})
}

func TestFailingSource(t *testing.T) {
	v, _ := spec()
	image := v.Build()
	broken := errors.New("input/output error")
	for _, from := range []int64{0, imagetest.VHDXHeader1, imagetest.VHDXRegions1, imagetest.VHDXMetadata, imagetest.VHDXTable} {
		for want, fault := range map[error]error{broken: broken, io.ErrUnexpectedEOF: nil} {
			src := &imagetest.Faulty{R: bytes.NewReader(image), From: from, Err: fault}
			if _, err := vhdx.Open(src, int64(len(image)), vhdx.Options{}); !errors.Is(err, want) {
				t.Errorf("reads from %#x failing: got %v, want %v", from, err, want)
			}
		}
	}
	src := &imagetest.Faulty{R: bytes.NewReader(image), From: math.MaxInt64, Err: broken}
	d, err := vhdx.Open(src, int64(len(image)), vhdx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	src.From = 0
	if _, err := d.ReadAt(make([]byte, 10), 0); !errors.Is(err, broken) {
		t.Errorf("reading: got %v", err)
	}
}

// refused checks that an image is refused, as class, with an error that holds
// text.
func refused(t *testing.T, image []byte, class diskimage.Class, text string) {
	t.Helper()
	refusedAt(t, bytes.NewReader(image), int64(len(image)), class, text)
}

func refusedAt(t *testing.T, r io.ReaderAt, size int64, class diskimage.Class, text string) {
	t.Helper()
	_, err := vhdx.Open(r, size, vhdx.Options{})
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) || fault.Class != class || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %v with %q", err, class, text)
	}
}
