package parallels_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
	"github.com/diskport/diskport/diskimage/parallels"
)

var opener imagetest.Opener = func(r io.ReaderAt, size int64, limits diskimage.Limits) (diskimage.RunDisk, error) {
	d, err := parallels.Open(r, size, parallels.Options{Limits: limits})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// spec returns a disk of clusters, the last one cut by the disk's end, and its
// contents.
func spec(tracks, cut int64, old bool) (imagetest.Parallels, []byte) {
	cluster := tracks * 512
	size := 9*cluster - cut
	want := imagetest.Mixed(int(9*cluster), uint64(cluster))
	p := imagetest.Parallels{Size: size, Tracks: tracks, Old: old, Clusters: map[int64][]byte{}}
	for i := range int64(9) {
		part := want[i*cluster : (i+1)*cluster]
		if i == 2 || i == 3 || i == 7 {
			clear(part)
			continue
		}
		p.Clusters[i] = part
	}
	return p, want[:size]
}

func TestClusters(t *testing.T) {
	for _, tracks := range []int64{1, 7, 63, 504, 512, 2048} {
		for _, old := range []bool{false, true} {
			for _, reverse := range []bool{false, true} {
				p, want := spec(tracks, (tracks-1)*512, old)
				p.Reverse = reverse
				if err := imagetest.Check(opener.Must(t, p.Build()), bytes.NewReader(want)); err != nil {
					t.Errorf("%d tracks, old %v, reverse %v: %v", tracks, old, reverse, err)
				}
			}
		}
	}
}

// An object that ends before the disk does, inside its last cluster, was cut. The
// part of that cluster behind the disk's end may be missing.
func TestCutObject(t *testing.T) {
	p, want := spec(7, 0, true)
	image := p.Build()
	for _, missing := range []int{1, 511, 512, 7*512 - 1, 7 * 512} {
		_, err := opener.Image(image[:len(image)-missing])
		imagetest.WantFault(t, err, diskimage.Truncated, "block allocation table at offset 0x60: entry 8")
	}
	p.Size -= 512
	image = p.Build()
	imagetest.Run(t, opener.Must(t, image[:len(image)-512]), bytes.NewReader(want[:p.Size]))
	_, err := opener.Image(image[:len(image)-513])
	imagetest.WantFault(t, err, diskimage.Truncated, "3072 bytes from")
}

// Entries of the earlier form count sectors: one that is off by any number of
// them overlaps a neighbour's cluster, or reaches past the end.
func TestOverlap(t *testing.T) {
	p, _ := spec(7, 0, true)
	for _, by := range []int{-6, -3, -1, 1, 3, 6} {
		image := p.Build()
		at := image[parallelsEntry(5):]
		binary.LittleEndian.PutUint32(at, uint32(int(binary.LittleEndian.Uint32(at))+by))
		_, err := opener.Image(image)
		imagetest.WantFault(t, err, diskimage.Malformed, "overlaps what another entry names")
	}
}

// parallelsEntry returns where entry i of the table is.
func parallelsEntry(i int) int { return imagetest.ParallelsTable + 4*i }

func TestDescribe(t *testing.T) {
	for variant, old := range map[string]bool{"WithoutFreeSpace": true, "WithouFreSpacExt": false} {
		p, _ := spec(63, 0, old)
		got := opener.Must(t, p.Build()).(*parallels.Image).Describe()
		want := diskimage.Description{Format: "parallels", Variant: variant, VirtualSize: 9 * 63 * 512, UnitSize: 63 * 512}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestWalkAllocatesNothingPerCluster(t *testing.T) {
	p := imagetest.Parallels{Size: 4000 * 4096, Tracks: 8, Clusters: map[int64][]byte{}}
	for i := range int64(2000) {
		p.Clusters[2*i] = []byte{1}
	}
	image := p.Build()
	if n, allocs := imagetest.WalkAllocations(t, opener.Must(t, image), image); n != 4000 || allocs > 20 {
		t.Errorf("%v allocations for %d runs, want 4000 runs and no allocation each", allocs, n)
	}
}

// A 64 TiB disk that holds nothing is one hole. Its table is 256 MiB.
func TestEmptyAtMaximum(t *testing.T) {
	head := imagetest.Parallels{Size: 1 << 20, Tracks: 2048}.Build()
	src := imagetest.Patches{{Off: 0, Data: head[:64]}, imagetest.LE32(entryCount, 64<<20), imagetest.LE64(sectorCount, 64<<40/512)}
	d, err := opener(src, 512<<20, diskimage.Limits{})
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

func TestOpenReadsTwice(t *testing.T) {
	p, _ := spec(8, 0, false)
	image := p.Build()
	if n := opener.OpenReads(t, image); n != 2 {
		t.Errorf("%d reads, want the header and the table", n)
	}
}

func TestFailingSource(t *testing.T) {
	p, _ := spec(8, 0, false)
	opener.Broken(t, p.Build(), 0, 65)
}

func FuzzOpen(f *testing.F) {
	old, _ := spec(3, 512, true)
	later, _ := spec(2, 512, false)
	empty := imagetest.Parallels{Size: 1 << 20, Tracks: 63}
	imagetest.Fuzz(f, func(image []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		return opener(bytes.NewReader(image), int64(len(image)), limits)
	}, old.Build(), later.Build(), empty.Build())
}

// qemu-img's images of 64 MiB of data and an odd size hold what was put in.
func TestQemuImg(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	want := imagetest.Mixed(104<<20+3*512, 13)
	clear(want[10<<20 : 17<<20])
	if n := imagetest.DataBytes(want); n < 64<<20 {
		t.Fatalf("%d bytes of data, want 64 MiB", n)
	}
	source := imagetest.NewQemuSource(t, want)
	for _, options := range []string{"", "-S 0", "-o cluster_size=2M", "-o cluster_size=512k", "-o cluster_size=64k", "-o preallocation=full"} {
		t.Run(options, func(t *testing.T) { source.Same(t, opener, "parallels", options, want) })
	}
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprintf("fixture, old %v", old), func(t *testing.T) {
			p, want := spec(63, 512, old)
			imagetest.QemuReads(t, "parallels", p.Build(), want)
		})
	}
}

// Any size will do: less than a cluster, a sector more, an odd number of
// sectors.
func TestQemuSizes(t *testing.T) {
	sandboxtest.Outside(t)
	for _, size := range []int{512, 4096 - 512, 1<<20 + 512, 33<<20 - 512} {
		want := imagetest.Mixed(size, uint64(size))
		imagetest.NewQemuSource(t, want).Same(t, opener, "parallels", "", want)
	}
}
