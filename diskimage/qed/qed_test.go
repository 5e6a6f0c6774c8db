package qed_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
	"github.com/diskport/diskport/diskimage/qed"
)

var opener imagetest.Opener = func(r io.ReaderAt, size int64, limits diskimage.Limits) (diskimage.RunDisk, error) {
	d, err := qed.Open(r, size, qed.Options{Limits: limits})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// spec returns a disk of clusters, the last one cut by the disk's end, and its
// contents.
func spec(cluster, cut int64) (imagetest.QED, []byte) {
	size := 9*cluster - cut
	want := imagetest.Mixed(int(9*cluster), uint64(cluster))
	q := imagetest.QED{Size: size, Cluster: cluster, Clusters: map[int64][]byte{}, Zeros: []int64{3, 7}}
	for i := range int64(9) {
		part := want[i*cluster : (i+1)*cluster]
		if i == 2 || i == 3 || i == 7 {
			clear(part)
			continue
		}
		q.Clusters[i] = part
	}
	return q, want[:size]
}

func TestClusters(t *testing.T) {
	for _, cluster := range []int64{4 << 10, 64 << 10, 1 << 20} {
		for _, table := range []int64{1, 2, 4} {
			q, want := spec(cluster, cluster-512)
			q.Table, q.Reverse = table, table == 2
			if err := imagetest.Check(opener.Must(t, q.Build().Bytes), bytes.NewReader(want)); err != nil {
				t.Errorf("clusters of %d bytes, tables of %d: %v", cluster, table, err)
			}
		}
	}
}

// Disks of several L2 tables, of which some are absent.
func TestManyTables(t *testing.T) {
	const cluster, perTable = 4096, 512
	want := make([]byte, 7*perTable*cluster-512)
	q := imagetest.QED{Size: int64(len(want)), Clusters: map[int64][]byte{}, Zeros: []int64{6 * perTable}}
	for n := int64(0); n < int64(len(want)/cluster); n += 1 + n*n%97 {
		if t := n / perTable; t == 2 || t == 3 || n == 6*perTable {
			continue
		}
		q.Clusters[n] = imagetest.Mixed(cluster, uint64(n))
		copy(want[n*cluster:], q.Clusters[n])
	}
	imagetest.Run(t, opener.Must(t, q.Build().Bytes), bytes.NewReader(want))
}

// An object that ends before its last cluster does is cut.
func TestCutObject(t *testing.T) {
	q, _ := spec(4096, 0)
	image := q.Build()
	for _, missing := range []int{1, 512, 4095, 4096} {
		d := opener.Must(t, image.Bytes[:len(image.Bytes)-missing])
		imagetest.WantFault(t, imagetest.Walk(d), diskimage.Truncated, fmt.Sprintf("L2 table 0 at offset %#x: entry 8", image.Entries[8]))
	}
}

func TestDescribe(t *testing.T) {
	q, _ := spec(4096, 0)
	got := opener.Must(t, q.Build().Bytes).(*qed.Image).Describe()
	want := diskimage.Description{Format: "qed", Variant: "tables of 1 clusters", VirtualSize: 9 * 4096, UnitSize: 4096}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWalkAllocatesNothingPerCluster(t *testing.T) {
	q := imagetest.QED{Size: 4000 * 4096, Clusters: map[int64][]byte{}}
	for i := range int64(2000) {
		q.Clusters[2*i] = []byte{1}
	}
	image := q.Build().Bytes
	if n, allocs := imagetest.WalkAllocations(t, opener.Must(t, image), image); n != 4000 || allocs > 20 {
		t.Errorf("%v allocations for %d runs, want 4000 runs and no allocation each", allocs, n)
	}
}

// A 64 TiB disk whose one L2 table is there and empty is one hole. The table is
// 1 GiB, and read in pages.
func TestEmptyAtMaximum(t *testing.T) {
	head := imagetest.QED{Size: 64 << 40}.Build().Bytes[:64]
	src := imagetest.Patches{
		{Off: 0, Data: head}, imagetest.LE32(clusterSize, 64<<20), imagetest.LE32(tableSize, 16),
		imagetest.LE64(l1Offset, 64<<20), imagetest.LE64(64<<20, 2<<30),
	}
	d, err := opener(src, 4<<30, diskimage.Limits{})
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
	q, _ := spec(4096, 0)
	image := q.Build().Bytes
	if n := opener.OpenReads(t, image); n != 2 {
		t.Errorf("%d reads, want the header and the table", n)
	}
}

func TestFailingSource(t *testing.T) {
	q, _ := spec(4096, 0)
	image := q.Build()
	opener.Broken(t, image.Bytes, 0, image.L1)
}

func FuzzOpen(f *testing.F) {
	q, _ := spec(4096, 512)
	q.Clusters = map[int64][]byte{0: {1}, 1: {2}, 8: {3}}
	empty := imagetest.QED{Size: 1 << 20}
	imagetest.Fuzz(f, func(image []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		return opener(bytes.NewReader(image), int64(len(image)), limits)
	}, q.Build().Bytes, empty.Build().Bytes)
}

// qemu-img's images of 64 MiB of data and an odd size hold what was put in. It
// can't open the images that it writes with tables of one cluster.
func TestQemuImg(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	want := imagetest.Mixed(112<<20+3*512, 14)
	clear(want[10<<20 : 17<<20])
	if n := imagetest.DataBytes(want); n < 64<<20 {
		t.Fatalf("%d bytes of data, want 64 MiB", n)
	}
	source := imagetest.NewQemuSource(t, want)
	for _, options := range []string{
		"", "-S 0", "-o cluster_size=4k,table_size=2", "-o cluster_size=4k,table_size=16",
		"-o cluster_size=1M,table_size=2", "-o cluster_size=4M,table_size=2",
	} {
		t.Run(options, func(t *testing.T) { source.Same(t, opener, "qed", options, want) })
	}
	t.Run("fixture", func(t *testing.T) {
		q, want := spec(64<<10, 512)
		q.Table = 2
		imagetest.QemuReads(t, "qed", q.Build().Bytes, want)
	})
}

// Any size will do: less than a cluster, a sector more, an odd number of
// sectors.
func TestQemuSizes(t *testing.T) {
	sandboxtest.Outside(t)
	for _, size := range []int{512, 4096 - 512, 1<<20 + 512, 33<<20 - 512} {
		want := imagetest.Mixed(size, uint64(size))
		imagetest.NewQemuSource(t, want).Same(t, opener, "qed", "", want)
	}
}
