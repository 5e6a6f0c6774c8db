package imagetest_test

import (
	"bytes"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// memory is a correct disk with fixed extents; its fields make it violate the laws.
type memory struct {
	data    []byte
	extents []diskimage.Extent

	readAt func(p []byte, off int64) (int, error)
	edit   func(e diskimage.Extent) []diskimage.Extent
	run    func(r diskimage.Run) diskimage.Run
}

func (m *memory) Size() int64 { return int64(len(m.data)) }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	if m.readAt != nil {
		return m.readAt(p, off)
	}
	return bytes.NewReader(m.data).ReadAt(p, off)
}

func (m *memory) clipped(off, n int64) []diskimage.Extent {
	var all []diskimage.Extent
	for _, e := range m.extents {
		start, end := max(off, e.Off), min(off+n, e.Off+e.Len)
		if start < end {
			all = append(all, diskimage.Extent{Off: start, Len: end - start, Kind: e.Kind})
		}
	}
	return all
}

func (m *memory) Extents(off, n int64) iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		for _, e := range m.clipped(off, n) {
			edited := []diskimage.Extent{e}
			if m.edit != nil {
				edited = m.edit(e)
			}
			for _, e := range edited {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

func (m *memory) Runs(off, n int64) iter.Seq2[diskimage.Run, error] {
	return func(yield func(diskimage.Run, error) bool) {
		for _, e := range m.clipped(off, n) {
			r := diskimage.Run{Off: e.Off, Len: e.Len, Kind: e.Kind, Src: bytes.NewReader(m.data), SrcOff: e.Off}
			if m.run != nil {
				r = m.run(r)
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (m *memory) Decode(diskimage.Run, []byte, []byte) error { panic("no run is coded") }

func TestCheck(t *testing.T) {
	const unit = 100_000
	fresh := func() *memory {
		data := imagetest.Mixed(3*unit, 5)
		clear(data[unit : 2*unit])
		data[unit-1], data[2*unit] = 1, 1
		return &memory{data: data, extents: []diskimage.Extent{
			{Off: 0, Len: unit, Kind: diskimage.Data}, {Off: unit, Len: unit, Kind: diskimage.Hole}, {Off: 2 * unit, Len: unit, Kind: diskimage.Data},
		}}
	}
	if err := imagetest.Check(fresh(), bytes.NewReader(fresh().data)); err != nil {
		t.Fatalf("a correct disk: %v", err)
	}
	split := func(e diskimage.Extent, at int64) []diskimage.Extent {
		return []diskimage.Extent{{Off: e.Off, Len: at, Kind: e.Kind}, {Off: e.Off + at, Len: e.Len - at, Kind: e.Kind}}
	}
	for _, c := range []struct {
		name, want string
		breakIt    func(m *memory)
	}{
		{"an extent too far", "ends past", func(m *memory) {
			m.edit = func(e diskimage.Extent) []diskimage.Extent {
				if e.Off+e.Len == m.Size() {
					e.Len++
				}
				return []diskimage.Extent{e}
			}
		}},
		{"a late extent", "begins at", func(m *memory) {
			m.edit = func(e diskimage.Extent) []diskimage.Extent { e.Off++; return []diskimage.Extent{e} }
		}},
		{"equal neighbours", "neighbour", func(m *memory) {
			m.edit = func(e diskimage.Extent) []diskimage.Extent { return split(e, e.Len/2) }
		}},
		{"an empty extent", "empty", func(m *memory) {
			m.edit = func(e diskimage.Extent) []diskimage.Extent { return split(e, 0) }
		}},
		{"a missing end", "end at", func(m *memory) { m.extents = m.extents[:2] }},
		{"a hole over data", "not zero", func(m *memory) {
			m.extents[0].Kind = diskimage.Hole
			m.extents = m.extents[:1]
			m.extents[0].Len = 3 * unit
		}},
		{"an invalid kind", "invalid kind", func(m *memory) { m.extents[1].Kind = 9 }},
		{"a wrong byte", "want", func(m *memory) { m.data[2*unit+5] ^= 1 }},
		{"an error at the end", "past the end", func(m *memory) {
			m.readAt = func(p []byte, off int64) (int, error) {
				if off >= m.Size() {
					return 0, io.ErrUnexpectedEOF
				}
				return bytes.NewReader(m.data).ReadAt(p, off)
			}
		}},
		{"a full read across the end", "across the end", func(m *memory) {
			m.readAt = func(p []byte, off int64) (int, error) {
				n, err := bytes.NewReader(m.data).ReadAt(p, off)
				if n > 0 && n < len(p) {
					return len(p), nil
				}
				return n, err
			}
		}},
		{"a run of another kind", "its extent is a hole", func(m *memory) {
			m.run = func(r diskimage.Run) diskimage.Run { r.Kind = diskimage.Data; return r }
		}},
		{"a run of other bytes", "leads to", func(m *memory) {
			m.run = func(r diskimage.Run) diskimage.Run { r.Src = bytes.NewReader(make([]byte, 3*unit)); return r }
		}},
		{"a short run", "not at", func(m *memory) {
			m.run = func(r diskimage.Run) diskimage.Run { r.Off++; r.SrcOff++; r.Len--; return r }
		}},
	} {
		m := fresh()
		c.breakIt(m)
		err := imagetest.Check(m, bytes.NewReader(fresh().data))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestMixedIsDeterministic(t *testing.T) {
	a, b := imagetest.Mixed(1<<20, 9), imagetest.Mixed(1<<20, 9)
	if !bytes.Equal(a, b) {
		t.Error("the same seed gave other bytes")
	}
	if bytes.Equal(a, imagetest.Mixed(1<<20, 10)) {
		t.Error("another seed gave the same bytes")
	}
}
