package bounded_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

func source(r io.ReaderAt, size int64) bounded.Source {
	return bounded.Source{Format: "test", R: r, Size: size}
}

func TestPartRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		off, n int64
		want   diskimage.Class
	}{
		{"behind the end", 1 << 41, 1, diskimage.Truncated},
		{"across the end", 1<<40 - 1, 2, diskimage.Truncated},
		{"a sum that overflows", math.MaxInt64, math.MaxInt64, diskimage.Truncated},
		{"a negative offset", -1, 1, diskimage.Malformed},
		{"a negative length", 0, -1, diskimage.Malformed},
		{"more than a structure has", 0, bounded.MaxPart + 1, diskimage.Limit},
	} {
		_, err := source(imagetest.Zeros{}, 1<<40).Part("thing", c.off, c.n)
		var fault *diskimage.FormatError
		if !errors.As(err, &fault) || fault.Class != c.want || fault.Offset != c.off {
			t.Errorf("%s: got %v, want a %v fault at %#x", c.name, err, c.want, c.off)
		}
	}
}

func TestShortSource(t *testing.T) {
	_, err := source(bytes.NewReader(make([]byte, 10)), 100).Part("thing", 0, 20)
	var fault *diskimage.FormatError
	if !errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &fault) {
		t.Errorf("got %v, want an unexpected EOF that is no fault of the image", err)
	}
}

func TestVirtualSize(t *testing.T) {
	p := source(nil, 0).NewPart("header", 1000, nil)
	for value, want := range map[uint64]diskimage.Class{
		0: diskimage.Malformed, 511: diskimage.Malformed, 1 << 46: 0, 1<<46 + 512: diskimage.Limit, math.MaxUint64: diskimage.Limit,
	} {
		size, err := p.VirtualSize(bounded.Field{Name: "size", At: 8, Value: value}, 512, diskimage.Limits{})
		var fault *diskimage.FormatError
		if want == 0 && (err != nil || uint64(size) != value) {
			t.Errorf("%d: got %d, %v", value, size, err)
		}
		if want != 0 && (!errors.As(err, &fault) || fault.Class != want || fault.Offset != 1008 || fault.Value != value) {
			t.Errorf("%d: got %v, want a %v fault at 1008", value, err, want)
		}
	}
}

func table(count int) []byte {
	p := make([]byte, count*4)
	for i := range count {
		binary.BigEndian.PutUint32(p[i*4:], uint32(i))
	}
	return p
}

func TestTable(t *testing.T) {
	const at, count = 100, 10_000
	object := append(make([]byte, at), table(count)...)
	var reads atomic.Int64
	src := &imagetest.Faulty{R: bytes.NewReader(object), From: math.MaxInt64, Before: func(_ int64, n int) {
		reads.Add(1)
		if n > 4096 {
			t.Errorf("read %d bytes at once with a budget of 16 KiB", n)
		}
	}}
	cache := bounded.NewCache(source(src, int64(len(object))), 16<<10)
	tab, err := bounded.NewTable(cache, "table", at, count, 4)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i := int64(0); i < count; i += 7 {
				p, err := tab.From(i)
				if err != nil || binary.BigEndian.Uint32(p) != uint32(i) {
					t.Errorf("entry %d: got %v, %v", i, p[:4], err)
					return
				}
			}
		})
	}
	wg.Wait()
	before := reads.Load()
	if before < 10 {
		t.Errorf("10 pages came in %d reads", before)
	}
	for range 100 {
		if _, err := tab.From(count - 1); err != nil {
			t.Fatal(err)
		}
	}
	if got := reads.Load() - before; got > 1 {
		t.Errorf("a page in the cache was read %d times", got)
	}
}

func TestZeros(t *testing.T) {
	const pages, perPage = 8, 1024
	object := make([]byte, pages*4096)
	object[3*4096+100] = 1
	cache := bounded.NewCache(source(bytes.NewReader(object), int64(len(object))), 16<<10)
	tab, err := bounded.NewTable(cache, "table", 0, pages*perPage-5, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ i, want int64 }{
		{0, perPage}, {1, perPage - 1}, {2*perPage + 1000, 24}, {3 * perPage, 0}, {3*perPage + 500, 0},
		{4 * perPage, perPage}, {7 * perPage, perPage - 5}, {0, perPage},
	} {
		if got, err := tab.Zeros(c.i); err != nil || got != c.want {
			t.Errorf("zeros from entry %d: got %d, %v, want %d", c.i, got, err, c.want)
		}
		p, err := tab.From(c.i)
		if err != nil || !bytes.Equal(p, object[c.i*4:c.i*4+int64(len(p))]) {
			t.Errorf("entries from %d differ, %v", c.i, err)
		}
	}
}

func TestTableBounds(t *testing.T) {
	cache := bounded.NewCache(source(imagetest.Zeros{}, 4096), 1<<20)
	for _, c := range []struct{ off, count int64 }{{0, 1025}, {4093, 1}, {5000, 0}, {0, math.MaxInt64}, {-4, 1}, {0, -1}} {
		if _, err := bounded.NewTable(cache, "table", c.off, c.count, 4); err == nil {
			t.Errorf("a table of %d entries at %d was taken", c.count, c.off)
		}
	}
	if _, err := bounded.NewTable(cache, "table", 0, 1024, 4); err != nil {
		t.Error(err)
	}
}

// TestCacheKeepsItsBudget: what was used last stays, as far as the bytes go, and
// zeros cost next to nothing.
func TestCacheKeepsItsBudget(t *testing.T) {
	const page, budget = 4096, 3*4096 + 2000 // three pages, and some for what an entry costs
	object := bytes.Repeat([]byte{1}, 4*page)
	object = append(object, make([]byte, 30*page)...)
	var zeros []int64
	for at := range int64(30) {
		zeros = append(zeros, 4+at)
	}
	for _, c := range []struct {
		name       string
		want, read []int64
	}{
		{"data", []int64{0, 1, 2, 0, 3, 0, 1}, []int64{0, 1, 2, 3, 1}}, // 3 drops 1, 1 drops 2
		{"zeros", slices.Concat(zeros, zeros), zeros},
	} {
		t.Run(c.name, func(t *testing.T) {
			var read []int64
			src := &imagetest.Faulty{R: bytes.NewReader(object), From: math.MaxInt64, Before: func(off int64, _ int) {
				read = append(read, off/page)
			}}
			cache := bounded.NewCache(source(src, int64(len(object))), budget)
			for _, at := range c.want {
				if p, err := cache.Get("page", at*page, page); err != nil || !bytes.Equal(p, object[at*page:(at+1)*page]) {
					t.Errorf("page %d: got %d bytes, %v", at, len(p), err)
				}
			}
			if !slices.Equal(read, c.read) {
				t.Errorf("wanted pages %d, read %d, not %d", c.want, read, c.read)
			}
		})
	}
}

func TestCacheTriesAgain(t *testing.T) {
	broken := errors.New("input/output error")
	src := &imagetest.Faulty{R: imagetest.Zeros{}, Err: broken}
	cache := bounded.NewCache(source(src, 4096), 1<<20)
	if _, err := cache.Get("page", 0, 512); !errors.Is(err, broken) {
		t.Errorf("got %v, want the source's error", err)
	}
	src.From = 4096
	if p, err := cache.Get("page", 0, 512); err != nil || len(p) != 512 {
		t.Errorf("after the fault: got %d bytes, %v", len(p), err)
	}
	if _, err := cache.Get("page", 4000, 1<<40); err == nil {
		t.Error("a page past the end was read")
	}
}

func TestStretchLE32(t *testing.T) {
	page := []byte{7, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 9, 0}
	for _, c := range []struct {
		from, limit int64
		step        uint32
		want        int64
	}{{0, 9, 0, 2}, {0, 1, 0, 1}, {0, 0, 0, 1}, {0, 9, 1, 1}, {1, 9, 1, 3}, {1, 2, 1, 2}, {3, 9, 0, 1}} {
		if got := bounded.StretchLE32(page[c.from*4:], c.step, c.limit); got != c.want {
			t.Errorf("from %d, step %d, limit %d: got %d, want %d", c.from, c.step, c.limit, got, c.want)
		}
	}
}
