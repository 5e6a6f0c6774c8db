package ingest

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/block"
)

// packed is a disk of coded runs, each of one and a half blocks.
type packed struct{ sparse }

func (d packed) Runs(off, n int64) iter.Seq2[diskimage.Run, error] {
	const unit = block.Size * 3 / 2
	return func(yield func(diskimage.Run, error) bool) {
		for at := off / unit * unit; at < off+n; at += unit {
			if !yield(diskimage.Run{Off: at, Len: min(unit, d.size-at), Kind: diskimage.Data, Coded: true, SrcLen: 1}, nil) {
				return
			}
		}
	}
}

func (packed) Decode(diskimage.Run, []byte, []byte) error { return nil }

func TestSlices(t *testing.T) {
	const page = 8 * block.Size
	data := func(at, blocks int64) diskimage.Extent { // in blocks
		return diskimage.Extent{Off: at * block.Size, Len: blocks * block.Size, Kind: diskimage.Data}
	}
	dense := sparse{64 * block.Size, []diskimage.Extent{data(0, 64)}}
	onePerPage := sparse{64 * block.Size, []diskimage.Extent{data(3, 1), data(15, 1), data(16, 1), data(47, 1)}}
	crumbs := sparse{16 * block.Size, []diskimage.Extent{{Off: 0, Len: 1, Kind: diskimage.Data}, {Off: 5, Len: 1, Kind: diskimage.Data},
		{Off: block.Size - 1, Len: 2, Kind: diskimage.Data}, {Off: page, Len: 1, Kind: diskimage.Data}}}
	for _, c := range []struct {
		name string
		disk diskimage.Disk
		rng  Range
		s    Slice
		want [][2]int64 // first page, pages
	}{
		{"all at once", dense, Range{First: 0, Pages: 8}, Slice{}, [][2]int64{{0, 8}}},
		{"two pages at a time", dense, Range{First: 1, Pages: 5}, Slice{Blocks: 16}, [][2]int64{{1, 2}, {3, 2}, {5, 1}}},
		{"a page is not cut", dense, Range{First: 0, Pages: 2}, Slice{Blocks: 3}, [][2]int64{{0, 1}, {1, 1}}},
		{"holes cost nothing", onePerPage, Range{First: 0, Pages: 8}, Slice{Blocks: 3}, [][2]int64{{0, 5}, {5, 3}}},
		{"pages are counted too", onePerPage, Range{First: 0, Pages: 8}, Slice{Pages: 2}, [][2]int64{{0, 2}, {2, 6}}},
		{"a block is counted once", crumbs, Range{First: 0, Pages: 2}, Slice{Blocks: 3}, [][2]int64{{0, 2}}},
		{"units over the edges of pages", packed{dense}, Range{First: 1, Pages: 3}, Slice{Blocks: 16}, [][2]int64{{1, 2}, {3, 1}}},
		{"the end of the disk within a page", sparse{12*block.Size + 1, []diskimage.Extent{{Len: 12*block.Size + 1, Kind: diskimage.Data}}},
			Range{First: 0, Pages: 2}, Slice{Blocks: 12}, [][2]int64{{0, 1}, {1, 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.PageBytes = page
			var got [][2]int64
			for done := int64(0); done < c.rng.Pages; {
				part, after, err := c.s.Next(t.Context(), c.disk, c.rng, done)
				if err != nil || after <= done {
					t.Fatalf("from page %d to %d: %v", done, after, err)
				}
				got, done = append(got, [2]int64{part.First, part.Pages}), after
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("slices (-want +got):\n%s", d)
			}
		})
	}
}

// TestASliceStops: the tables of a hostile image may have entries without end.
func TestASliceStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var crumbs []diskimage.Extent
	for i := range int64(5000) {
		crumbs = append(crumbs, diskimage.Extent{Off: 2 * i, Len: 1, Kind: diskimage.Data})
	}
	_, _, err := Slice{PageBytes: 1 << 29}.Next(ctx, sparse{1 << 29, crumbs}, Range{Pages: 1}, 0)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
