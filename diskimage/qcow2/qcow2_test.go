package qcow2_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/qcow2"
)

var opener imagetest.Opener = func(r io.ReaderAt, size int64, limits diskimage.Limits) (diskimage.RunDisk, error) {
	d, err := qcow2.Open(r, size, qcow2.Options{Limits: limits})
	if err != nil {
		return nil, err
	}
	return d, nil
}

func mustOpen(t testing.TB, image []byte) *qcow2.Image {
	t.Helper()
	return opener.Must(t, image).(*qcow2.Image)
}

// spec returns a disk of clusters, the last one cut by the disk's end, and its
// contents. Clusters are stored plain and compressed, marked as zeros with and
// without something stored, and absent.
func spec(clusterBits int, cut int64) (imagetest.Qcow2, []byte) {
	cluster := 1 << clusterBits
	size := int64(14*cluster) - cut
	want := imagetest.Mixed(14*cluster, uint64(clusterBits))
	q := imagetest.Qcow2{Size: size, ClusterBits: clusterBits, Clusters: map[int64]imagetest.Qcow2Cluster{}}
	for i := range int64(14) {
		part := want[i*int64(cluster) : (i+1)*int64(cluster)]
		switch i {
		case 2, 9:
			clear(part)
		case 3:
			clear(part)
			q.Clusters[i] = imagetest.Qcow2Cluster{Zero: true}
		case 4:
			q.Clusters[i] = imagetest.Qcow2Cluster{Zero: true, Data: bytes.Clone(part)}
			clear(part)
		default:
			q.Clusters[i] = imagetest.Qcow2Cluster{Data: part, Compress: i >= 6}
		}
	}
	return q, want[:size]
}

func TestClusters(t *testing.T) {
	imagetest.Volume(t)
	for _, bits := range []int{9, 10, 12, 15, 16} {
		for _, variant := range []struct {
			name string
			set  func(*imagetest.Qcow2)
		}{
			{"deflate", func(*imagetest.Qcow2) {}},
			{"zstd", func(q *imagetest.Qcow2) { q.Zstd = true }},
			{"reversed", func(q *imagetest.Qcow2) { q.Reverse = true }},
			{"version 2", func(q *imagetest.Qcow2) {
				q.Version = 2
				delete(q.Clusters, 3)
				delete(q.Clusters, 4)
			}},
		} {
			q, want := spec(bits, int64(bits%3)<<(bits-2)/512*512)
			variant.set(&q)
			d := mustOpen(t, q.Build().Bytes)
			if err := imagetest.Check(d, bytes.NewReader(want)); err != nil {
				t.Errorf("%s, %d cluster bits: %v", variant.name, bits, err)
			}
			if w := d.Describe().Warnings; len(w) > 0 {
				t.Errorf("%s, %d cluster bits: warnings: %q", variant.name, bits, w)
			}
		}
	}
}

// Sub-clusters are stored, zeros and neither, in clusters that are stored or
// not, beside compressed ones.
func TestExtended(t *testing.T) {
	for _, bits := range []int{14, 16} {
		q, want := spec(bits, 512)
		q.Extended, q.Zstd = true, bits == 16
		delete(q.Clusters, 3)
		delete(q.Clusters, 4)
		cluster := 1 << bits
		copy(want[11*cluster:], bytes.Repeat([]byte("compressible"), cluster/12))
		for n, bitmap := range map[int64]uint64{
			0: 0x00000000_0000ffff, 1: 0xf0f0f0f0_0f0f0f0f, 2: 0x00000000_00000000, 3: 0x0000ffff_00000000,
			4: 0xffffffff_00000000, 5: 0x7fff8000_00000001, 9: 0x00000001_00000000, 11: 0x80000000_00000001,
		} {
			c := q.Clusters[n]
			c.Bitmap = bitmap
			if q.Clusters[n] = c; c.Compress {
				continue // its bitmap is ignored
			}
			for i := range 32 {
				if bitmap>>i&1 == 0 {
					clear(want[int(n)*cluster+i*cluster/32:][:cluster/32])
				}
			}
		}
		imagetest.Run(t, mustOpen(t, q.Build().Bytes), bytes.NewReader(want))
	}
}

// Disks of several L2 tables, of which some are absent, some of nothing.
func TestManyTables(t *testing.T) {
	const cluster = 512
	want := make([]byte, 40*64*cluster-3*512)
	q := imagetest.Qcow2{Size: int64(len(want)), ClusterBits: 9, Clusters: map[int64]imagetest.Qcow2Cluster{}}
	for n := int64(0); n < int64(len(want)/cluster); n += 1 + n*n%97 {
		if n/64%5 == 3 {
			continue
		}
		data := imagetest.Mixed(cluster, uint64(n))
		copy(want[n*cluster:], data)
		q.Clusters[n] = imagetest.Qcow2Cluster{Data: data, Compress: n%2 == 0}
	}
	q.Clusters[30*64] = imagetest.Qcow2Cluster{}
	clear(want[30*64*cluster:][:cluster])
	imagetest.Run(t, mustOpen(t, q.Build().Bytes), bytes.NewReader(want))
}

// The object may end between two sectors of its last cluster: what is missing is
// zeros, and said. One that ends anywhere else was cut.
func TestCutObject(t *testing.T) {
	for _, extended := range []bool{false, true} {
		q, want := spec(14, 0)
		q.Extended = extended
		clear(want[3<<14:])
		for n := range q.Clusters {
			if n > 1 {
				delete(q.Clusters, n)
			}
		}
		image := q.Build()
		start := image.Stored[1]
		for _, left := range []int64{0, 1, 511, 513, 8000, 16383} {
			d := mustOpen(t, image.Bytes[:start+left])
			imagetest.WantFault(t, imagetest.Walk(d), diskimage.Truncated, fmt.Sprintf("L2 table 0 at offset %#x: entry 1", image.Entries[1]))
		}
		for _, left := range []int64{512, 1024, 8192, 16384 - 512} {
			wanted := bytes.Clone(want)
			clear(wanted[1<<14+left:])
			d := mustOpen(t, image.Bytes[:start+left])
			imagetest.Run(t, d, bytes.NewReader(wanted))
			if w := d.Describe().Warnings; len(w) != 1 || !strings.Contains(w[0], "ends inside") {
				t.Errorf("%d bytes left: warnings %q, want one", left, w)
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	q := imagetest.Qcow2{Size: 1<<30 - 1, Zstd: true, Extended: true, Header: func(p []byte) { p[79] |= 1 }}
	got := mustOpen(t, q.Build().Bytes).Describe()
	want := diskimage.Description{
		Format: "qcow2", Variant: "version 3, zstd, extended L2", VirtualSize: 1 << 30, UnitSize: 65536,
		Warnings: []string{"the image was not closed cleanly"},
	}
	if got.Format != want.Format || got.Variant != want.Variant || got.VirtualSize != want.VirtualSize ||
		got.UnitSize != want.UnitSize || got.Creator != "" || !slices.Equal(got.Warnings, want.Warnings) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	q = imagetest.Qcow2{Size: 512, Version: 2, ClusterBits: 12}
	if got := mustOpen(t, q.Build().Bytes).Describe(); got.Variant != "version 2" || got.UnitSize != 4096 {
		t.Errorf("got %+v, want version 2 of 4096 bytes", got)
	}
}

func TestAllocatesNothingPerCluster(t *testing.T) {
	for _, zstd := range []bool{false, true} {
		q := imagetest.Qcow2{Size: 4000 << 12, ClusterBits: 12, Zstd: zstd, Clusters: map[int64]imagetest.Qcow2Cluster{}}
		for i := range int64(2000) {
			q.Clusters[2*i] = imagetest.Qcow2Cluster{Data: []byte("a cluster of little"), Compress: i%2 == 0}
		}
		image := q.Build().Bytes
		n, allocs := imagetest.WalkAllocations(t, mustOpen(t, image), image)
		// With -race, the pools inside the zstd decoder forget now and then.
		if n != 4000 || allocs > float64(n)/4 {
			t.Errorf("zstd %v: %v allocations for %d runs, want 4000 runs and no allocation each", zstd, allocs, n)
		}
	}
}

// A 64 TiB disk that holds nothing is one hole, found fast in bounded memory.
func TestEmptyAtMaximum(t *testing.T) {
	image := imagetest.Qcow2{Size: 64 << 40}.Build().Bytes
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
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("allocated %d bytes", used)
	}
}

func TestOpenReadsTwice(t *testing.T) {
	q, _ := spec(12, 0)
	image := q.Build().Bytes
	if n := opener.OpenReads(t, image); n != 2 {
		t.Errorf("%d reads, want the header and the table", n)
	}
}

func TestFailingSource(t *testing.T) {
	q, _ := spec(12, 0)
	image := q.Build()
	opener.Broken(t, image.Bytes, 0, image.L1)
}
