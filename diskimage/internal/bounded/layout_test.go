package bounded_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

func wantMisfit(t *testing.T, m *bounded.Misfit, class diskimage.Class, text string) {
	t.Helper()
	if m == nil || m.Class != class || !strings.Contains(m.Reason, text) {
		t.Errorf("got %+v, want %v with %q", m, class, text)
	}
}

func TestLayout(t *testing.T) {
	l := bounded.NewLayout(10_000, 100, 10, 1<<20)
	wantMisfit(t, l.Reserve("the header", 9_990, 20), diskimage.Truncated, "20 bytes from 0x2706")
	wantMisfit(t, l.Reserve("the header", -1, 20), diskimage.Malformed, "no range")
	if m := l.Reserve("the header", 0, 50); m != nil {
		t.Fatal(m)
	}
	wantMisfit(t, l.Reserve("the table", 49, 20), diskimage.Malformed, "overlaps the header")
	if m := l.Reserve("the table", 50, 1); m != nil {
		t.Fatal(m)
	}
	wantMisfit(t, l.Take(0, 100), diskimage.Malformed, "points into the header")
	wantMisfit(t, l.Take(50, 100), diskimage.Malformed, "points into the table")
	wantMisfit(t, l.Take(65, 100), diskimage.Malformed, "not a multiple of 10")
	wantMisfit(t, l.Take(9_910, 100), diskimage.Truncated, "100 bytes from 0x26b6 on end past the end of the object (0x2710), which has 90")
	wantMisfit(t, l.Take(10_000, 100), diskimage.Truncated, "begins at 0x2710")
	wantMisfit(t, l.Take(1<<62, 100), diskimage.Truncated, "begins at")
	for _, off := range []int64{300, 400, 550, 660} {
		if m := l.Take(off, 100); m != nil {
			t.Errorf("at %d: %+v", off, m)
		}
	}
	for off, other := range map[int64]string{210: "0x12c", 300: "0x12c", 390: "0x12c", 460: "0x190", 490: "0x190", 640: "0x226", 750: "0x294", 570: "0x226"} {
		wantMisfit(t, l.Take(off, 100), diskimage.Malformed, "overlaps what another entry names, at offset "+other)
	}
	// The last unit of a disk may be stored only up to the end of the disk.
	if m := l.Take(960, 30); m != nil {
		t.Error(m)
	}
	wantMisfit(t, l.Take(980, 100), diskimage.Malformed, "overlaps")
	if m := l.Take(990, 100); m != nil {
		t.Error(m)
	}
}

// Where units begin at uneven distances, the answers are those of comparing each
// with all others.
func TestLayoutAgrees(t *testing.T) {
	const unit, align = 64, 8
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		l := bounded.NewLayout(1<<22, unit, align, 1<<20)
		var taken []int64
		for range 3000 {
			off := rnd.Int64N(1<<22/unit/int64(1+seed%4)) * unit
			if seed%2 == 1 {
				off += rnd.Int64N(unit/align) * align
			}
			free := off+unit <= 1<<22
			for _, other := range taken {
				free = free && (off+unit <= other || other+unit <= off)
			}
			m := l.Take(off, unit)
			if (m == nil) != free {
				t.Fatalf("seed %d, at %d: got %+v, free is %v", seed, off, m, free)
			}
			if free {
				taken = append(taken, off)
			}
		}
	}
}

// An image that is full of units costs at most a bit for each, and next to nothing
// once they are all there.
func TestLayoutMemory(t *testing.T) {
	l := bounded.NewLayout(1<<40, 512, 512, 64<<10)
	for i := range int64(1 << 20) {
		if m := l.Take(i*512, 512); m != nil {
			t.Fatalf("unit %d: %+v", i, m)
		}
	}
	wantMisfit(t, l.Take(512*12345, 512), diskimage.Malformed, "overlaps")
	var m *bounded.Misfit
	for i := int64(1 << 20); m == nil; i += 4096 {
		m = l.Take(i*512, 512)
	}
	wantMisfit(t, m, diskimage.Limit, "in 65536 bytes of memory")
}

// Units of one size keep clear of those of another beside them.
func TestLayoutsBeside(t *testing.T) {
	clusters, streams := bounded.NewLayout(1<<20, 512, 512, 1<<20), bounded.NewLayout(1<<20, 512, 1, 1<<20)
	clusters.Beside, streams.Beside = streams, clusters
	if m := clusters.Reserve("the header", 0, 512); m != nil {
		t.Fatal(m)
	}
	for _, m := range []*bounded.Misfit{clusters.Take(512, 512), streams.Share(1024), streams.Share(1100), streams.Share(1500)} {
		if m != nil {
			t.Error(m)
		}
	}
	wantMisfit(t, streams.Share(3), diskimage.Malformed, "points into the header")
	wantMisfit(t, streams.Share(1000), diskimage.Malformed, "overlaps")
	wantMisfit(t, streams.Share(1<<20), diskimage.Truncated, "begins at")
	wantMisfit(t, clusters.Take(1024, 512), diskimage.Malformed, "overlaps")
}

// A table is checked once, and its verdict stays; a source that fails leaves no
// verdict.
func TestVerdicts(t *testing.T) {
	v := bounded.NewVerdicts(3)
	fault := &diskimage.FormatError{Format: "x"}
	var mu sync.Mutex
	calls := map[int64]int{}
	check := func(i int64, err error) error {
		return v.Check(i, func() error {
			mu.Lock()
			defer mu.Unlock()
			calls[i]++
			return err
		})
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if check(0, nil) != nil || check(1, fault) == nil {
					t.Error("the verdict changed")
				}
				if check(2, bounded.ReadFull(strings.NewReader(""), make([]byte, 1), 0)) == nil {
					t.Error("a failing source passed")
				}
			}
		})
	}
	wg.Wait()
	if calls[0] != 1 || calls[1] != 1 || calls[2] != 80 || !v.Passed(0) || v.Passed(1) || v.Passed(2) {
		t.Errorf("calls %v", calls)
	}
}
