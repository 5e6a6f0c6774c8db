package dmg_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/dmg"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
)

var open imagetest.Opener = func(r io.ReaderAt, size int64, limits diskimage.Limits) (diskimage.RunDisk, error) {
	d, err := dmg.Open(r, size, dmg.Options{Limits: limits})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// codec is a way to store chunks.
type codec struct {
	kind    uint32
	tool    string // that packs; empty: the builder does
	variant string
}

var codecs = map[string]codec{
	"raw": {1, "", "UDRO"}, "zlib": {0, "", "UDZO"}, "bzip2": {0x80000006, "bzip2", "UDBZ"}, "xz": {0x80000008, "xz", "ULMO"},
}

// spec returns a disk of 20 chunks and a bit, and its contents.
func (c codec) spec(t testing.TB) (imagetest.DMG, []byte) {
	t.Helper()
	const chunk = 64 << 10
	want := imagetest.Mixed(20*chunk+512, 13)
	d := imagetest.DMG{Size: int64(len(want)), Chunk: chunk, Type: c.kind, Chunks: map[int64][]byte{}, Zeroed: []int64{7, 8}}
	if c.tool != "" {
		d.Pack = func(p []byte) []byte { return imagetest.Pack(t, p, c.tool) }
	}
	for i := int64(0); i*chunk < d.Size; i++ {
		part := want[i*chunk : min(d.Size, (i+1)*chunk)]
		if i%5 == 3 || i == 7 || i == 8 {
			clear(part)
		} else {
			d.Chunks[i] = part
		}
	}
	return d, want
}

func TestCodecs(t *testing.T) {
	sandboxtest.Outside(t)
	for name, c := range codecs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, want := c.spec(t)
			disk := open.Must(t, d.Build())
			imagetest.Run(t, disk, bytes.NewReader(want))
			got := disk.(diskimage.Describer).Describe()
			unit := int64(64 << 10)
			if name == "raw" {
				unit = 0
			}
			if got.Format != "dmg" || got.Variant != c.variant || got.VirtualSize != d.Size || got.UnitSize != unit || len(got.Warnings) > 0 {
				t.Errorf("described as %+v", got)
			}
		})
	}
}

// Tables may come in any order, begin anywhere, and say where their data begin.
func TestTables(t *testing.T) {
	d, want := codecs["zlib"].spec(t)
	d.Tables, d.Before = 4, 1000
	d.Change = func(t *imagetest.DMGTable) {
		t.Base = t.Chunks[0].Offset
		for i := range t.Chunks {
			t.Chunks[i].Offset -= t.Base
		}
		last := len(t.Chunks) - 1
		t.Chunks[0], t.Chunks[last] = t.Chunks[last], t.Chunks[0]
	}
	imagetest.Run(t, open.Must(t, d.Build()), bytes.NewReader(want))
}

func TestKinds(t *testing.T) {
	d, _ := codecs["zlib"].spec(t)
	sum := map[diskimage.Kind]int64{}
	for e, err := range open.Must(t, d.Build()).Extents(0, d.Size) {
		if err != nil {
			t.Fatal(err)
		}
		sum[e.Kind] += e.Len
	}
	if sum[diskimage.Zero] != 2<<16 || sum[diskimage.Hole] != 3<<16 {
		t.Errorf("got %v", sum)
	}
}

// The trailer is found before padding, and before anything else where the property
// list is where it says.
func TestPadding(t *testing.T) {
	imagetest.Volume(t)
	d, want := codecs["zlib"].spec(t)
	image := d.Build()
	for _, pad := range [][]byte{make([]byte, 1), make([]byte, 511), make([]byte, 512), make([]byte, 65536), bytes.Repeat([]byte("x"), 511)} {
		imagetest.Run(t, open.Must(t, append(bytes.Clone(image), pad...)), bytes.NewReader(want))
	}
	behind := bytes.Repeat([]byte("x"), 512)
	got := open.Must(t, append(bytes.Clone(image), behind...))
	imagetest.Run(t, got, bytes.NewReader(want))
	if w := got.(diskimage.Describer).Describe().Warnings; len(w) != 1 {
		t.Errorf("warnings %q, want one", w)
	}
	_, err := open.Image(append(append(bytes.Repeat([]byte("x"), 100), image...), behind...))
	imagetest.WantFault(t, err, diskimage.NotFormat, "no trailer")
}

func TestFailingSource(t *testing.T) {
	d, _ := codecs["zlib"].spec(t)
	image := d.Build()
	open.Broken(t, image, 0, int64(len(image)-600))
	if n := open.OpenReads(t, image); n > 3 {
		t.Errorf("opening took %d reads", n)
	}
}

// Expanding zlib allocates nothing.
func TestAllocations(t *testing.T) {
	imagetest.Volume(t)
	d := imagetest.DMG{Size: 200 * 4096, Chunk: 4096, Chunks: map[int64][]byte{}}
	for i := range int64(200) {
		d.Chunks[i] = imagetest.Mixed(4096, uint64(i))
	}
	image := d.Build()
	runs, n := imagetest.WalkAllocations(t, open.Must(t, image), image)
	if runs < 200 || n > float64(runs)/10 {
		t.Errorf("%v allocations for %d runs", n, runs)
	}
}

// The property list may have a quarter of the budget: in the default one that is
// 16 times as many chunks as here.
func TestManyChunks(t *testing.T) {
	imagetest.Volume(t)
	d := imagetest.DMG{Size: 4 << 30}
	for _, size := range []int64{4 << 30, 8 << 30} {
		d.Size = size
		image := d.Build()
		disk, err := open(bytes.NewReader(image), int64(len(image)), diskimage.Limits{MetadataBytes: 4 << 20})
		if size > 4<<30 {
			imagetest.WantFault(t, err, diskimage.Limit, "property list")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for e, err := range disk.Extents(0, d.Size) {
			if err != nil || e.Kind != diskimage.Hole || e.Len != d.Size {
				t.Errorf("got %+v, %v", e, err)
			}
		}
	}
}

// qemu-img reads the same, except for codecs that need a module of its own.
func TestQemuReads(t *testing.T) {
	sandboxtest.Outside(t)
	for _, name := range []string{"raw", "zlib"} {
		d, want := codecs[name].spec(t)
		d.Tables = 3
		imagetest.QemuReads(t, "dmg", d.Build(), want)
	}
}

func TestDecodeMisused(t *testing.T) {
	d, _ := codecs["zlib"].spec(t)
	disk := open.Must(t, d.Build())
	var fault *diskimage.FormatError
	for r, err := range disk.Runs(0, d.Size) {
		if err != nil || !r.Coded {
			continue
		}
		if err := disk.Decode(r, make([]byte, r.Len-1), make([]byte, r.SrcLen)); err == nil || errors.As(err, &fault) {
			t.Fatalf("too little room: got %v", err)
		}
	}
}
