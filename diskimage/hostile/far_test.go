package hostile_test

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
)

// far is a source that counts its reads: each would be a ranged GET and take about
// 20 ms, whatever its length.
type far struct {
	io.ReaderAt
	mu    sync.Mutex
	reads []request
}

type request struct{ off, n int64 }

func (f *far) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	f.reads = append(f.reads, request{off, int64(len(p))})
	f.mu.Unlock()
	return f.ReaderAt.ReadAt(p, off)
}

// count returns the number of reads since the last call, and their bytes.
func (f *far) count() (reads int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.reads {
		bytes += r.n
	}
	reads, f.reads = len(f.reads), nil
	return reads, bytes
}

// Limits for reading from far away.
const (
	mostToOpen = 8       // reads: both ends for detection, headers, the table or its root
	window     = 4 * mib // largest request of data, as an import makes them
	gap        = 64 * kib
)

// requests returns the reads that fetch all data of a disk in the order of the
// object. Runs that lie close together become one read.
func requests(t *testing.T, d diskimage.RunDisk) []request {
	t.Helper()
	var all []request
	for r, err := range d.Runs(0, d.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == diskimage.Data {
			n := r.Len
			if r.Coded {
				n = r.SrcLen
			}
			all = append(all, request{r.SrcOff, n})
		}
	}
	slices.SortFunc(all, func(a, b request) int { return cmp.Compare(a.off, b.off) })
	var joined []request
	for _, r := range all {
		for r.n > 0 {
			part := request{r.off, min(r.n, window)}
			r = request{r.off + part.n, r.n - part.n}
			if k := len(joined) - 1; k >= 0 {
				last := &joined[k]
				if end := max(last.off+last.n, part.off+part.n); part.off <= last.off+last.n+gap && end-last.off <= window {
					last.n = end - last.off
					continue
				}
			}
			joined = append(joined, part)
		}
	}
	return joined
}

// farAway checks the reads with which an object is opened and read.
func farAway(t *testing.T, s specimen) {
	t.Helper()
	src := &far{ReaderAt: bytes.NewReader(s.object)}
	d, err := openFrom(src, int64(len(s.object)), s.with)
	if err != nil {
		t.Fatal(err)
	}
	opened, openedBytes := src.count()
	most := mostToOpen
	if d.Describe().Container == "ova" {
		most *= 2 // also for the headers of its members, and the description
	}
	if opened > most || openedBytes > 4*mib {
		t.Errorf("opening takes %d reads of %d bytes, want at most %d", opened, openedBytes, most)
	}
	data := requests(t, d)
	walked, walkedBytes := src.count()
	bytes := int64(0)
	for _, r := range data {
		bytes += r.n
	}
	// A table of 1 MiB or less is one read. In the format with the smallest tables
	// there is one for each 32 MiB of disk.
	if most := 2 + int(d.Size()/(32*mib))*2; walked > most {
		t.Errorf("walking the tables takes %d reads of %d bytes, want at most %d", walked, walkedBytes, most)
	}
	// Two requests together may be larger than the window, so they can't always be
	// joined.
	if most := 2 + 2*bytes/window; int64(len(data)) > most {
		t.Errorf("the data are %d requests of %d bytes, want at most %d", len(data), bytes, most)
	}
}

// A disk of 6 MiB far away is opened with a handful of reads, walked with one read
// for each table, and read in the order of the object with few large reads.
func TestFarAway(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	guest := imagetest.Mixed(6*mib, 5)
	for name, object := range holding(guest) {
		t.Run(name, func(t *testing.T) { farAway(t, specimen{name: name, object: object}) })
	}
	t.Run("ova", func(t *testing.T) {
		v := imagetest.VMDK{Size: mib, Layout: imagetest.VMDKOvftool, Grains: map[int64][]byte{0: guest[:64*kib]}}
		object := imagetest.Tar(imagetest.Member{Name: "vm.ovf", Data: imagetest.OVF("disk1.vmdk")}, imagetest.Member{Name: "disk1.vmdk", Data: v.Build().Bytes})
		src := &far{ReaderAt: bytes.NewReader(object)}
		if _, err := openFrom(src, int64(len(object)), nil); err != nil {
			t.Fatal(err)
		}
		// The archive's headers and its description, besides the disk itself.
		if n, _ := src.count(); n > 2*mostToOpen {
			t.Errorf("opening takes %d reads, want at most %d", n, 2*mostToOpen)
		}
	})
	packed, err := packedOnes([]specimen{{name: "raw", object: guest, want: guest}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range packed {
		t.Run(s.name, func(t *testing.T) { farPacked(t, s) })
	}
}

// The same holds for real images.
func TestFarCorpus(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	for _, s := range corpus(t) {
		t.Run(s.name, func(t *testing.T) { farAway(t, s) })
	}
}

// farPacked checks that a compressed object is read forwards, once, in large
// pieces.
func farPacked(t *testing.T, s specimen) {
	t.Helper()
	const unit = 256 * kib
	src := &far{ReaderAt: bytes.NewReader(s.object)}
	d, err := detect.Open(src, int64(len(s.object)), detect.Options{Scratch: &imagetest.Scratch{}})
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := d.(io.Closer); ok {
		defer c.Close() // scratch room in memory
	}
	n, bytes := src.count()
	if most := 8 + len(s.object)/unit; n > most || bytes > int64(len(s.object))+mib {
		t.Errorf("%d bytes take %d reads of %d bytes, want at most %d", len(s.object), n, bytes, most)
	}
}
