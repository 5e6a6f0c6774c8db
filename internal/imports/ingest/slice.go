package ingest

import (
	"context"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/block"
)

// Slice bounds what of a range is done at once, and so the memory that it takes and
// the rows that one transaction registers.
type Slice struct {
	PageBytes int64 // as in PlanOptions
	Blocks    int64 // that hold Data, at most, unless a single page has more; 0: 4,096
	Pages     int64 // that hold Data, at most; 0: 1,024
}

const (
	// defaultSliceBlocks is 2 GiB of data: more than an ordinary range has, and few
	// enough rows to be registered while heartbeats wait.
	defaultSliceBlocks = 4096
	defaultSlicePages  = 1024
)

// Next returns the slice of r that begins at its page done, and how many pages of r
// are done with it. It reads tables only.
func (s Slice) Next(ctx context.Context, d diskimage.Disk, r Range, done int64) (part Range, after int64, err error) {
	if s.Blocks <= 0 {
		s.Blocks = defaultSliceBlocks
	}
	if s.Pages <= 0 {
		s.Pages = defaultSlicePages
	}
	first, end := r.First+done, r.First+r.Pages
	c := cutter{Slice: s, page: -1, seen: -1, end: end}
	off := min(first*s.PageBytes, d.Size())
	n := 0
	for run, err := range runs(d, off, min(end*s.PageBytes, d.Size())-off) {
		if n++; err == nil && n%1024 == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return part, done, err
		}
		if run.Kind == diskimage.Data && c.add(max(run.Off, off), run.Off+run.Len) {
			break
		}
	}
	part = Range{First: first, Pages: c.end - first}
	return part, c.end - r.First, nil
}

// cutter counts the blocks and pages that runs touch until a slice is full.
type cutter struct {
	Slice
	page, pages  int64 // the page that is being counted, and how many there are
	before, here int64 // blocks of the pages before it, and of it
	seen         int64 // the last block counted
	end          int64 // page behind the slice
}

// add counts the blocks that [lo, hi) touches, in ascending order, and reports
// whether the slice is full: then it ends before the page that is one too many.
func (c *cutter) add(lo, hi int64) (full bool) {
	for lo < hi {
		page := lo / c.PageBytes
		if page >= c.end {
			return true
		}
		if page != c.page {
			c.before, c.here = c.before+c.here, 0
			c.page, c.pages = page, c.pages+1
		}
		upto := min(hi, (page+1)*c.PageBytes)
		from, to := max(lo/block.Size, c.seen+1), (upto-1)/block.Size
		if to >= from {
			c.here += to - from + 1
			c.seen = to
		}
		if c.pages > 1 && (c.pages > c.Pages || c.before+c.here > c.Blocks) {
			c.end = page
			return true
		}
		lo = upto
	}
	return false
}
