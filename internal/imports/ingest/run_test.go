package ingest

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/work"
)

// memory is a Sink that keeps blocks.
type memory struct {
	slots  *blockstore.Slots
	mu     sync.Mutex // guards blocks
	blocks map[int64][]byte
}

func newMemory(t *testing.T) *memory {
	t.Helper()
	s, err := blockstore.NewSlots(4 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &memory{slots: s, blocks: map[int64][]byte{}}
}

func (m *memory) Slot(ctx context.Context) (*blockstore.Slot, error) { return m.slots.Get(ctx) }
func (m *memory) Return(s *blockstore.Slot)                          { m.slots.Put(s) }
func (m *memory) Lose(s *blockstore.Slot)                            { m.slots.Lose(s) }
func (m *memory) Put(_ context.Context, index int64, s *blockstore.Slot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blocks[index] = bytes.Clone(s.Payload())
	m.slots.Put(s)
	return nil
}

var mask = bytes.Repeat([]byte{0x55}, 2<<20)

// coded is a disk whose units are stored in any order, each byte XORed with 0x55,
// and every fifth unit is a hole.
type coded struct {
	plain []byte
	unit  int
	order []int // order[i] is where unit i lies
	src   *bytes.Reader
}

func newCoded(size, unit int, seed uint64) *coded {
	noise := rand.NewChaCha8([32]byte{byte(seed >> 12)})
	r := rand.New(noise)
	d := &coded{plain: make([]byte, size), unit: unit}
	n := (size + unit - 1) / unit
	d.order = r.Perm(n)
	raw := make([]byte, n*unit)
	for i := range n {
		u := d.plain[i*unit : min((i+1)*unit, size)]
		if i%5 != 0 && i%11 != 0 {
			_, _ = noise.Read(u)
		}
		subtle.XORBytes(raw[d.order[i]*unit:], u, mask)
	}
	d.src = bytes.NewReader(raw)
	return d
}

func (d *coded) Size() int64                             { return int64(len(d.plain)) }
func (d *coded) ReadAt(p []byte, off int64) (int, error) { return 0, errors.New("not the fast path") }
func (d *coded) Extents(off, n int64) iter.Seq2[diskimage.Extent, error] {
	return func(func(diskimage.Extent, error) bool) {}
}
func (d *coded) Runs(off, n int64) iter.Seq2[diskimage.Run, error] {
	return func(yield func(diskimage.Run, error) bool) {
		for i := int(off) / d.unit; i*d.unit < int(off+n) && i < len(d.order); i++ {
			run := diskimage.Run{Off: int64(i * d.unit), Len: int64(min(d.unit, len(d.plain)-i*d.unit))}
			if i%5 != 0 {
				run.Kind, run.Coded, run.Src = diskimage.Data, true, d.src
				run.SrcOff, run.SrcLen = int64(d.order[i]*d.unit), int64(d.unit)
			}
			if !yield(run, nil) {
				return
			}
		}
	}
}
func (d *coded) Decode(r diskimage.Run, dst, src []byte) error {
	subtle.XORBytes(dst, src[:len(dst)], mask)
	return nil
}

func TestRunDecodesWholeCutAndLargeUnits(t *testing.T) {
	const page = 1 << 20
	for _, c := range []struct {
		name       string
		size, unit int
	}{
		{"small units", 3<<20 + 777, 64 << 10},
		{"tiny units", 1 << 20, 4 << 10},
		{"units of a block", 5 << 20, block.Size},
		{"units of several blocks", 7<<20 + 512, 2 << 20},
		{"units that straddle blocks", 3 << 20, 384 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newCoded(c.size, c.unit, uint64(c.unit))
			m := newMemory(t)
			ranges, err := Plan(t.Context(), d, PlanOptions{PageBytes: page, Target: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			var sum Counts
			for _, r := range ranges {
				var got Counts
				opts := Options{PageBytes: page, Workers: NewWorkers(3, nil), Progress: func(c Counts) { mu.Lock(); got.Add(c); mu.Unlock() }}
				if err := Run(t.Context(), d, r, m, opts); err != nil {
					t.Fatal(err)
				}
				if got.Done != r.Bytes {
					t.Errorf("range %+v: done %d of %d bytes", r, got.Done, r.Bytes)
				}
				sum.Add(got)
			}
			checkBlocks(t, m.blocks, d.plain)
			if sum.Source < int64(len(d.plain))/2 {
				t.Errorf("read %d source bytes of a disk of %d", sum.Source, len(d.plain))
			}
		})
	}
}

// plainDisk holds data in parts of it, which it counts the reads of.
type plainDisk struct {
	sparse
	plain []byte
	reads atomic.Int64
}

func (d *plainDisk) ReadAt(p []byte, off int64) (int, error) {
	d.reads.Add(1)
	return bytes.NewReader(d.plain).ReadAt(p, off)
}

// TestRunGathers: what lies in one window is read at once, if reads are requests.
func TestRunGathers(t *testing.T) {
	const size, page = 20*block.Size + 777, 8 * block.Size
	extents := []diskimage.Extent{
		{Off: 0, Len: 9*block.Size + 5, Kind: diskimage.Data},
		{Off: 10 * block.Size, Len: 100, Kind: diskimage.Data},
		{Off: 10*block.Size + 4096, Len: 1, Kind: diskimage.Data}, // read with what lies before it
		{Off: 15*block.Size - 1, Len: 2, Kind: diskimage.Data},
		{Off: 16 * block.Size, Len: size - 16*block.Size, Kind: diskimage.Data},
	}
	plain := make([]byte, size)
	noise := rand.NewChaCha8([32]byte{9})
	for _, e := range extents {
		_, _ = noise.Read(plain[e.Off : e.Off+e.Len])
	}
	for gather, reads := range map[bool]int64{false: 19, true: 5} {
		t.Run(fmt.Sprint(gather), func(t *testing.T) {
			d, m := &plainDisk{sparse: sparse{size, extents}, plain: plain}, newMemory(t)
			opts := Options{PageBytes: page, Workers: NewWorkers(2, nil), Gather: gather}
			if err := Run(t.Context(), d, Range{Pages: 3}, m, opts); err != nil {
				t.Fatal(err)
			}
			checkBlocks(t, m.blocks, plain)
			if n := d.reads.Load(); n != reads {
				t.Errorf("%d reads, want %d", n, reads)
			}
		})
	}
}

// checkBlocks compares what a sink got with the disk: no zero block, all else.
func checkBlocks(t *testing.T, blocks map[int64][]byte, plain []byte) {
	t.Helper()
	for i := range block.Count(int64(len(plain))) {
		want := make([]byte, block.Size)
		copy(want, plain[i*block.Size:])
		got, ok := blocks[i]
		if ok == block.IsZero(want) {
			t.Errorf("block %d: put = %v, but zero = %v", i, ok, !ok)
		}
		if ok && !bytes.Equal(got, want) {
			t.Errorf("block %d differs", i)
		}
	}
}

// broken is a plain disk that panics or fails at an offset.
type broken struct {
	sparse
	at  int64
	err error
}

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off <= b.at && b.at < off+int64(len(p)) {
		if b.err == nil {
			panic("boom")
		}
		return 0, b.err
	}
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}

func TestRunEndsWithTheFault(t *testing.T) {
	const page = 8 << 20
	all := sparse{32 << 20, []diskimage.Extent{{Off: 0, Len: 32 << 20, Kind: diskimage.Data}}}
	run := func(t *testing.T, ctx context.Context, d diskimage.Disk) error {
		return Run(ctx, d, Range{0, 4, 32 << 20}, newMemory(t), Options{PageBytes: page, Workers: NewWorkers(2, nil)})
	}
	t.Run("panic", func(t *testing.T) {
		var pe *work.PanicError
		if err := run(t, t.Context(), broken{all, 20 << 20, nil}); !errors.As(err, &pe) || len(pe.Stack) == 0 {
			t.Errorf("Run = %v, want a PanicError with its stack", err)
		}
	})
	t.Run("read error", func(t *testing.T) {
		var se *SourceError
		if err := run(t, t.Context(), broken{all, 20 << 20, io.ErrClosedPipe}); !errors.As(err, &se) || !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Run = %v, want a SourceError", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := run(t, ctx, all); !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want %v", err, context.Canceled)
		}
	})
}

// asked counts how often a disk that holds ones is asked where it holds data.
type asked struct {
	sparse
	times atomic.Int64
}

func (d *asked) Extents(off, n int64) iter.Seq2[diskimage.Extent, error] {
	d.times.Add(1)
	return d.sparse.Extents(off, n)
}

func (d *asked) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}

// TestRunPassesOverGaps: what lies between the ends of a large disk costs nothing, and all that
// holds data is found, wherever it begins.
func TestRunPassesOverGaps(t *testing.T) {
	const pageBytes, size = 1024 * block.Size, 64 << 40
	data := func(off, n int64) diskimage.Extent {
		return diskimage.Extent{Off: off, Len: n, Kind: diskimage.Data}
	}
	for _, c := range []struct {
		name   string
		data   []diskimage.Extent
		blocks []int64
		asks   int64 // at most
	}{
		{"both ends", []diskimage.Extent{data(0, 17<<10), data(size-17<<10, 17<<10)}, []int64{0, size/block.Size - 1}, 5},
		{"across windows", []diskimage.Extent{data(7*block.Size+1, 2*block.Size), data(100*block.Size-1, 2)}, []int64{7, 8, 9, 99, 100}, 6},
		{"two of a window", []diskimage.Extent{data(1<<40, 1), data(1<<40+block.Size, 1)}, []int64{1 << 40 / block.Size, 1<<40/block.Size + 1}, 4},
		{"nothing", nil, nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, m := &asked{sparse: sparse{size, c.data}}, newMemory(t)
			if err := Run(t.Context(), d, Range{Pages: size / pageBytes}, m, Options{PageBytes: pageBytes, Workers: NewWorkers(2, nil)}); err != nil {
				t.Fatal(err)
			}
			if got := slices.Sorted(maps.Keys(m.blocks)); !slices.Equal(got, c.blocks) {
				t.Errorf("blocks %v, want %v", got, c.blocks)
			}
			if n := d.times.Load(); n > c.asks {
				t.Errorf("it was asked %d times", n)
			}
		})
	}
	t.Run("more windows than are looked for at once", func(t *testing.T) {
		const windows = windowsAtOnce + 1
		var all []diskimage.Extent
		var want []int64
		for i := range int64(windows) {
			all, want = append(all, data((i*10+3)*block.Size, 1)), append(want, i*10+3)
		}
		m := newMemory(t)
		if err := Run(t.Context(), &asked{sparse: sparse{size, all}}, Range{Pages: size / pageBytes}, m, Options{PageBytes: pageBytes, Workers: NewWorkers(2, nil)}); err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(m.blocks)); !slices.Equal(got, want) {
			t.Errorf("%d blocks, want %d", len(got), len(want))
		}
	})
}
