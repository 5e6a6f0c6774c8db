package blockmap_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/blockmap"
)

const block = 16 << 10

// blocks is a Finder whose i-th block is as the i-th letter says: . hole,
// 0 zero, d data (stored in place), c coded (stored with its bytes inverted).
type blocks struct {
	kinds string
	size  int64
	src   io.ReaderAt
	fail  error
}

func (b blocks) Find(off, _ int64) (diskimage.Run, error) {
	i := off / block
	if b.fail != nil && b.kinds[i] == '!' {
		return diskimage.Run{}, b.fail
	}
	n := min(block, b.size-i*block)
	r := diskimage.Run{Off: i * block, Len: n, Src: b.src, SrcOff: i * block, SrcLen: n}
	switch b.kinds[i] {
	case '.':
		return diskimage.Run{Off: r.Off, Len: n}, nil
	case '0':
		return diskimage.Run{Off: r.Off, Len: n, Kind: diskimage.Zero}, nil
	case 'c':
		r.Coded = true
	}
	r.Kind = diskimage.Data
	return r, nil
}

func (b blocks) Decode(_ diskimage.Run, dst, src []byte) error {
	for i := range dst {
		dst[i] = ^src[i]
	}
	return nil
}

func build(kinds string, size int64) (*blockmap.Disk, []byte) {
	want := imagetest.Mixed(int(size), uint64(len(kinds)))
	src := bytes.Clone(want)
	for i, k := range kinds {
		part := int64(i) * block
		end := min(part+block, size)
		switch k {
		case '.', '0':
			clear(want[part:end])
		case 'c':
			for j := part; j < end; j++ {
				src[j] = ^src[j]
			}
		}
	}
	return blockmap.New("test", size, blocks{kinds: kinds, size: size, src: bytes.NewReader(src)}), want
}

func TestLaws(t *testing.T) {
	for _, kinds := range []string{".", "d", "c", "..00dd..", "dcdc.c0c", "cccccccc", "0d.c0d.c"} {
		for _, cut := range []int64{0, 1, block - 1} {
			d, want := build(kinds, int64(len(kinds))*block-cut)
			imagetest.Run(t, d, bytes.NewReader(want))
		}
	}
}

func TestFindsOutOfBounds(t *testing.T) {
	for _, r := range []diskimage.Run{{}, {Off: 0, Len: 5}, {Off: 11, Len: 5}, {Off: 10, Len: 1 << 50}, {Off: 0, Len: -1}} {
		d := blockmap.New("test", 100, fixed{r})
		if n, err := d.ReadAt(make([]byte, 4), 10); err == nil {
			t.Errorf("%+v: read %d bytes", r, n)
		}
	}
}

type fixed struct{ run diskimage.Run }

func (f fixed) Find(int64, int64) (diskimage.Run, error) { return f.run, nil }

func TestErrorEndsTheSequence(t *testing.T) {
	broken := errors.New("broken table")
	d := blockmap.New("test", 4*block, blocks{kinds: "dd!d", size: 4 * block, src: imagetest.Zeros{}, fail: broken})
	var got []any
	for e, err := range d.Extents(0, d.Size()) {
		got = append(got, e.Len, err)
	}
	for r, err := range d.Runs(0, d.Size()) {
		got = append(got, r.Len, err)
	}
	want := []any{int64(2 * block), nil, int64(0), broken, int64(2 * block), nil, int64(0), broken}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n, err := d.ReadAt(make([]byte, 3*block), 0); n != 2*block || !errors.Is(err, broken) {
		t.Errorf("reading gave %d, %v, want %d and the error", n, err, 2*block)
	}
}

func TestNegativeQueries(t *testing.T) {
	d, _ := build("dd", 2*block)
	if _, err := d.ReadAt(make([]byte, 4), -1); err == nil || err == io.EOF {
		t.Errorf("reading at -1: got %v", err)
	}
	var n int64
	for e, err := range d.Extents(-100, 200) {
		if err != nil {
			t.Fatal(err)
		}
		n += e.Len
	}
	if n != 100 {
		t.Errorf("extents of [-100, 100) cover %d bytes, want 100", n)
	}
}
