package vdi_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
	"github.com/diskport/diskport/diskimage/vdi"
)

var opener imagetest.Opener = func(r io.ReaderAt, size int64, limits diskimage.Limits) (diskimage.RunDisk, error) {
	d, err := vdi.Open(r, size, vdi.Options{Limits: limits})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// spec returns a dynamic disk of blocks, the last one cut by the disk's end,
// and its contents.
func spec(block, cut int64) (imagetest.VDI, []byte) {
	size := 9*block - cut
	want := imagetest.Mixed(int(9*block), uint64(block))
	v := imagetest.VDI{Size: size, BlockSize: block, Blocks: map[int64][]byte{}, Discarded: []int64{3, 7}}
	for i := range int64(9) {
		part := want[i*block : (i+1)*block]
		if i == 2 || i == 3 || i == 7 {
			clear(part)
			continue
		}
		v.Blocks[i] = part
	}
	return v, want[:size]
}

func TestBlocks(t *testing.T) {
	for _, block := range []int64{512, 4096, 64 << 10} {
		for name, set := range map[string]func(*imagetest.VDI){
			"qemu's":     func(*imagetest.VDI) {},
			"reversed":   func(v *imagetest.VDI) { v.Reverse = true },
			"extra":      func(v *imagetest.VDI) { v.Extra = 24 },
			"VirtualBox": func(v *imagetest.VDI) { v.Map = 1 << 20 },
		} {
			v, want := spec(block, block-512)
			set(&v)
			if err := imagetest.Check(opener.Must(t, v.Build()), bytes.NewReader(want)); err != nil {
				t.Errorf("%s, blocks of %d bytes: %v", name, block, err)
			}
		}
	}
}

// A disk need not be whole sectors: the rest of the last one is stored.
func TestOddSize(t *testing.T) {
	v := imagetest.VDI{Size: 1000, BlockSize: 4096, Blocks: map[int64][]byte{0: bytes.Repeat([]byte{1}, 1000)}}
	want := append(bytes.Repeat([]byte{1}, 1000), make([]byte, 24)...)
	imagetest.Run(t, opener.Must(t, v.Build()), bytes.NewReader(want))
}

// An object that ends before the disk does, inside its last block, was cut. The
// part of that block behind the disk's end may be missing.
func TestCutObject(t *testing.T) {
	v, want := spec(4096, 0)
	image := v.Build()
	for _, missing := range []int{1, 511, 512, 4095, 4096} {
		_, err := opener.Image(image[:len(image)-missing])
		imagetest.WantFault(t, err, diskimage.Truncated, "block map at offset 0x220: entry 8")
	}
	v.Size -= 512
	image = v.Build()
	imagetest.Run(t, opener.Must(t, image[:len(image)-512]), bytes.NewReader(want[:v.Size]))
	_, err := opener.Image(image[:len(image)-513])
	imagetest.WantFault(t, err, diskimage.Truncated, "3584 bytes from")
}

func TestDescribe(t *testing.T) {
	for _, fixed := range []bool{false, true} {
		v, _ := spec(4096, 0)
		v.Fixed = fixed
		got := opener.Must(t, v.Build()).(*vdi.Image).Describe()
		variant := "dynamic"
		if fixed {
			variant = "fixed"
		}
		want := diskimage.Description{Format: "vdi", Variant: variant, VirtualSize: 9 * 4096, UnitSize: 4096, Creator: "a fixture of Diskport"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestWalkAllocatesNothingPerBlock(t *testing.T) {
	v := imagetest.VDI{Size: 4000 * 4096, BlockSize: 4096, Blocks: map[int64][]byte{}}
	for i := range int64(2000) {
		v.Blocks[2*i] = []byte{1}
	}
	image := v.Build()
	if n, allocs := imagetest.WalkAllocations(t, opener.Must(t, image), image); n != 4000 || allocs > 20 {
		t.Errorf("%v allocations for %d runs, want 4000 runs and no allocation each", allocs, n)
	}
}

// A 64 TiB disk that holds nothing is one hole. Its map is 64 MiB.
func TestEmptyAtMaximum(t *testing.T) {
	head := imagetest.VDI{Size: 1 << 20}.Build()
	src := imagetest.Patches{{Off: 0, Data: head[:512]}, imagetest.LE64(diskSize, 64<<40),
		imagetest.LE32(blockSize, 4<<20), imagetest.LE32(blockCount, 16<<20), imagetest.LE32(dataOffset, 512<<20)}
	d, err := opener(allOnes{src}, 512<<20, diskimage.Limits{})
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
	if n != 1 {
		t.Errorf("got %d extents, want one hole", n)
	}
}

// allOnes is a source whose bytes from 512 on are ones.
type allOnes struct{ io.ReaderAt }

func (a allOnes) ReadAt(p []byte, off int64) (int, error) {
	if off < 512 {
		return a.ReaderAt.ReadAt(p, off)
	}
	p[0] = 0xff
	for n := 1; n < len(p); n *= 2 {
		copy(p[n:], p[:n])
	}
	return len(p), nil
}

func TestOpenReadsTwice(t *testing.T) {
	v, _ := spec(4096, 0)
	image := v.Build()
	if n := opener.OpenReads(t, image); n != 2 {
		t.Errorf("%d reads, want the header and the table", n)
	}
}

func TestFailingSource(t *testing.T) {
	v, _ := spec(4096, 0)
	opener.Broken(t, v.Build(), 0, imagetest.VDIMap)
}

func FuzzOpen(f *testing.F) {
	dynamic, _ := spec(512, 512)
	extra := imagetest.VDI{Size: 2048, BlockSize: 1024, Blocks: map[int64][]byte{1: {1}}, Extra: 8}
	empty := imagetest.VDI{Size: 1 << 20}
	imagetest.Fuzz(f, func(image []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		return opener(bytes.NewReader(image), int64(len(image)), limits)
	}, dynamic.Build(), extra.Build(), empty.Build())
}

// qemu-img's images of 64 MiB of data and an odd size hold what was put in.
func TestQemuImg(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	want := imagetest.Mixed(104<<20+3*512, 12)
	clear(want[10<<20 : 17<<20])
	if n := imagetest.DataBytes(want); n < 64<<20 {
		t.Fatalf("%d bytes of data, want 64 MiB", n)
	}
	source := imagetest.NewQemuSource(t, want)
	for _, options := range []string{"", "-o static=on", "-S 0"} {
		t.Run(options, func(t *testing.T) { source.Same(t, opener, "vdi", options, want) })
	}
	t.Run("fixture", func(t *testing.T) {
		v, want := spec(1<<20, 512)
		imagetest.QemuReads(t, "vdi", v.Build(), want)
	})
}

// Any size will do: less than a cluster, a sector more, an odd number of
// sectors.
func TestQemuSizes(t *testing.T) {
	sandboxtest.Outside(t)
	for _, size := range []int{512, 4096 - 512, 1<<20 + 512, 33<<20 - 512} {
		want := imagetest.Mixed(size, uint64(size))
		imagetest.NewQemuSource(t, want).Same(t, opener, "vdi", "", want)
	}
}
