package hostile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

// huge is an object of any size: a start, tables whose entries are computed, an
// end, and zeros in between.
type huge struct {
	name   string
	size   int64 // bytes of the object
	disk   int64 // bytes of the disk
	start  []byte
	tables []entries
	end    []byte // last bytes of the object

	mu  sync.Mutex
	big int // largest read
}

// entries are a table in an object.
type entries struct {
	off, count int64
	width      int64 // bytes of an entry
	big        bool  // order of bytes
	entry      func(i int64) uint64
}

// ReadAt computes the contents.
func (h *huge) ReadAt(p []byte, off int64) (int, error) {
	h.mu.Lock()
	h.big = max(h.big, len(p))
	h.mu.Unlock()
	clear(p)
	if off < int64(len(h.start)) {
		copy(p, h.start[off:])
	}
	for _, t := range h.tables {
		t.fill(p, off)
	}
	if at := h.size - int64(len(h.end)); off+int64(len(p)) > at {
		copy(p[max(0, at-off):], h.end[max(0, off-at):])
	}
	return len(p), nil
}

// fill writes the part of the table that lies in p, which holds the bytes from off
// on.
func (t entries) fill(p []byte, off int64) {
	lo, hi := max(off, t.off), min(off+int64(len(p)), t.off+t.count*t.width)
	var b [8]byte
	for at := lo; at < hi; {
		i, in := (at-t.off)/t.width, (at-t.off)%t.width
		switch {
		case t.big && t.width == 4:
			binary.BigEndian.PutUint32(b[:], uint32(t.entry(i)))
		case t.big:
			binary.BigEndian.PutUint64(b[:], t.entry(i))
		default:
			binary.LittleEndian.PutUint64(b[:], t.entry(i))
		}
		at += int64(copy(p[at-off:hi-off], b[in:t.width]))
	}
}

// linear are entries that begin with first and grow by step.
func linear(first, step int64) func(int64) uint64 {
	return func(i int64) uint64 { return uint64(first + i*step) }
}

// huges returns images of the largest disks that formats can express, up to 64 TiB,
// with every block stored.
func huges() []*huge {
	return []*huge{hugeVHD(), hugeVHDX(), hugeVMDK(), hugeQcow2(), hugeVDI(), hugeQED(), hugeParallels()}
}

func hugeVHD() *huge {
	const disk, block = 2040 * gib, 2 * mib
	const count, first = disk / block, 8 * mib
	image := imagetest.VHD{Size: disk, BlockSize: block}.Build()
	h := &huge{name: "vhd", disk: disk, size: first + count*(block+512) + 512, start: image[:1536], end: image[len(image)-512:]}
	h.tables = []entries{{1536, count, 4, true, linear(first/512, block/512+1)}}
	// The bitmaps are clear except for the first blocks, whose sectors are all ones.
	ones := linear(-1, 0)
	for i := range int64(64) {
		h.tables = append(h.tables, entries{first + i*(block+512), 64, 8, true, ones})
	}
	return h
}

func hugeVHDX() *huge {
	const disk, block, chunk = 64 * tib, 32 * mib, 128
	const count = disk / block
	const table = (count + count/chunk) * 8 / mib * mib
	const first = imagetest.VHDXTable + table + mib
	image := imagetest.VHDX{Size: block, BlockSize: block}.Build()
	imagetest.Patches{
		imagetest.LE64(imagetest.VHDXMetadata+64*kib+16, disk), imagetest.LE32(imagetest.VHDXRegions1+16+24, table+mib),
	}.Apply(image)
	copy(image[imagetest.VHDXRegions2:], image[imagetest.VHDXRegions1:][:64*kib])
	imagetest.SumVHDXImage(image)
	return &huge{name: "vhdx", disk: disk, size: first + count*block, start: image[:imagetest.VHDXTable], tables: []entries{
		{imagetest.VHDXTable, count + count/chunk - 1, 8, false, func(i int64) uint64 {
			if i%(chunk+1) == chunk {
				return 0 // an entry for a bitmap
			}
			return uint64(first+(i-i/(chunk+1))*block) | 6
		}},
	}}
}

func hugeVMDK() *huge {
	const disk, grain = 1900 * gib, 64 * kib
	const tables, first = disk / grain / 512, 512 * mib
	v := imagetest.VMDK{Size: grain, Descriptor: imagetest.VMDKDescriptor("monolithicSparse", fmt.Sprintf("RW %d SPARSE \"x\"", disk/512))}
	start := v.Build().Bytes[:21*512]
	imagetest.Patches{
		imagetest.LE32(vmdkFlags, 1), imagetest.LE64(vmdkCapacity, disk/512), imagetest.LE64(48, 0),
		imagetest.LE64(vmdkDirectory, mib/512), imagetest.LE64(vmdkOverhead, first/512),
	}.Apply(start)
	return &huge{name: "vmdk", disk: disk, size: first + disk, start: start, tables: []entries{
		{mib, tables, 4, false, linear(2*mib/512, 4)},
		{2 * mib, tables * 512, 4, false, linear(first/512, grain/512)},
	}}
}

func hugeQcow2() *huge {
	const disk, cluster = 64 * tib, 64 * kib
	const tables = disk / cluster * 8 / cluster
	const l2, first = 16 * mib, 16*mib + tables*cluster
	start := imagetest.Qcow2{Size: disk}.Build().Bytes[:cluster]
	imagetest.Patches{imagetest.BE32(36, tables), imagetest.BE64(40, mib)}.Apply(start)
	return &huge{name: "qcow2", disk: disk, size: first + disk, start: start, tables: []entries{
		{mib, tables, 8, true, linear(l2, cluster)}, {l2, disk / cluster, 8, true, linear(first, cluster)},
	}}
}

func hugeVDI() *huge {
	const disk, block = 64 * tib, 16 * mib
	const count, first = disk / block, 128 * mib
	start := imagetest.VDI{Size: block, BlockSize: block}.Build()[:512]
	imagetest.Patches{
		imagetest.LE64(368, disk), imagetest.LE32(384, count), imagetest.LE32(388, count), imagetest.LE32(344, first),
	}.Apply(start)
	return &huge{name: "vdi", disk: disk, size: first + disk, start: start, tables: []entries{{512, count, 4, false, linear(0, 1)}}}
}

func hugeQED() *huge {
	const disk, cluster, table = 64 * tib, 64 * kib, 4 * 64 * kib
	const per = table / 8
	const tables = disk / cluster / per
	const l2, first = mib, mib + tables*table
	start := imagetest.QED{Size: disk, Cluster: cluster, Table: 4}.Build().Bytes[:cluster]
	return &huge{name: "qed", disk: disk, size: first + disk, start: start, tables: []entries{
		{cluster, tables, 8, false, linear(l2, table)}, {l2, disk / cluster, 8, false, linear(first, cluster)},
	}}
}

func hugeParallels() *huge {
	const disk, cluster = 64 * tib, 16 * mib
	const count, first = disk / cluster, 128 * mib
	start := imagetest.Parallels{Size: cluster, Tracks: cluster / 512}.Build()[:64]
	imagetest.Patches{imagetest.LE32(32, count), imagetest.LE64(36, disk/512), imagetest.LE32(48, first/512)}.Apply(start)
	return &huge{name: "parallels", disk: disk, size: first + disk, start: start, tables: []entries{{64, count, 4, false, linear(first/cluster, 1)}}}
}

// live returns the bytes in use on the heap.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The largest disks can be opened, read and walked in the memory that one image may
// take, however large their tables are.
func TestHugeDisks(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	for _, h := range huges() {
		t.Run(h.name, func(t *testing.T) {
			before := live()
			d, err := openFrom(h, h.size, nil)
			if err != nil {
				t.Fatal(err)
			}
			if d.Size() != h.disk || d.Describe().Format != h.name {
				t.Errorf("opened as %s of %d bytes, want %d", d.Describe().Format, d.Size(), h.disk)
			}
			// Reads in many places, so that many tables would be kept, if that were
			// possible.
			p := make([]byte, 4*kib)
			for i := range int64(300) {
				if _, err := d.ReadAt(p, h.disk/300*i&^511); err != nil {
					t.Fatal(err)
				}
			}
			for _, off := range []int64{0, h.disk / 2, h.disk - 8*gib} {
				for e, err := range d.Extents(off, 8*gib) {
					if err != nil || e.Len == 0 {
						t.Fatalf("got %+v, %v", e, err)
					}
				}
			}
			if used := live() - before; used > diskimage.DefaultMetadataBytes+8*mib {
				t.Errorf("%d MiB are in use", used>>20)
			}
			if h.big > mib {
				t.Errorf("a read of %d bytes", h.big)
			}
			runtime.KeepAlive(d)
		})
	}
}

// peakReader records the peak of memory in use while it is read.
type peakReader struct {
	io.ReaderAt
	n    *atomic.Int64
	peak *atomic.Int64
}

func (r peakReader) ReadAt(p []byte, off int64) (int, error) {
	if r.n.Add(1)%64 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		for now := int64(m.HeapAlloc); ; {
			if old := r.peak.Load(); now <= old || r.peak.CompareAndSwap(old, now) {
				break
			}
		}
	}
	return r.ReaderAt.ReadAt(p, off)
}

// Many images that were made to cause much work are read at once, and refused
// within a common limit on memory.
func TestManyAtOnce(t *testing.T) {
	q := imagetest.Qcow2{Size: 1 * tib, ClusterBits: 16, Clusters: map[int64]imagetest.Qcow2Cluster{0: {Data: []byte{7}, Compress: true}}}
	image := q.Build()
	table := image.Bytes[image.L2[0]:][:64*kib]
	for i := range len(table) / 8 {
		copy(table[8*i:], table[:8])
	}
	for name, object := range map[string][]byte{"107 200 times case 22": amplified(false), "107 200 times case 93": image.Bytes} {
		t.Run(name, func(t *testing.T) {
			const imports, workers, ceiling = 200, 16, 256 * mib
			var n, peak, refused atomic.Int64
			before := live()
			next := make(chan struct{}, imports)
			for range imports {
				next <- struct{}{}
			}
			close(next)
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					for range next {
						d, err := openFrom(peakReader{bytes.NewReader(object), &n, &peak}, int64(len(object)), nil)
						if err == nil {
							err = imagetest.Walk(d)
						}
						var fault *diskimage.FormatError
						if errors.As(err, &fault) && (strings.Contains(err.Error(), "amplification") || strings.Contains(err.Error(), "overlaps")) {
							refused.Add(1)
						}
					}
				})
			}
			wg.Wait()
			if refused.Load() != imports {
				t.Errorf("%d of %d were refused", refused.Load(), imports)
			}
			if used := peak.Load() - before; used > ceiling || peak.Load() == 0 {
				t.Errorf("%d MiB were in use, want at most %d", used>>20, ceiling>>20)
			}
		})
	}
}
