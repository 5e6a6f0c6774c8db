package ingest

import (
	"io"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/diskimage"
)

// sparse is a disk of which only the listed extents hold data.
type sparse struct {
	size int64
	data []diskimage.Extent
}

func (d sparse) Size() int64 { return d.size }
func (d sparse) Extents(off, n int64) iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		for _, e := range d.data {
			lo, hi := max(e.Off, off), min(e.Off+e.Len, off+n)
			if lo >= hi {
				continue
			}
			e.Off, e.Len = lo, hi-lo
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestPlan(t *testing.T) {
	data := func(off, n int64) diskimage.Extent {
		return diskimage.Extent{Off: off, Len: n, Kind: diskimage.Data}
	}
	for _, c := range []struct {
		name string
		disk sparse
		opts PlanOptions
		want []Range
	}{
		{"empty", sparse{1000, nil}, PlanOptions{PageBytes: 100, Target: 100}, nil},
		{"one page", sparse{100, []diskimage.Extent{data(10, 5)}}, PlanOptions{PageBytes: 100, Target: 100},
			[]Range{{0, 1, 5}}},
		{"an extent over three pages", sparse{1000, []diskimage.Extent{data(150, 200)}}, PlanOptions{PageBytes: 100, Target: 100},
			[]Range{{1, 1, 50}, {2, 1, 100}, {3, 1, 50}}},
		{"small pages share a range", sparse{1000, []diskimage.Extent{data(0, 30), data(500, 30), data(900, 60)}}, PlanOptions{PageBytes: 100, Target: 100},
			[]Range{{0, 6, 60}, {9, 1, 60}}},
		{"never more than the most", sparse{1000, []diskimage.Extent{data(0, 1000)}}, PlanOptions{PageBytes: 100, Target: 1, MaxRanges: 3},
			[]Range{{0, 6, 600}, {6, 4, 400}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Plan(t.Context(), c.disk, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("Plan (-want +got):\n%s", d)
			}
		})
	}
}

func (d sparse) ReadAt(p []byte, off int64) (int, error) { return 0, io.EOF }
