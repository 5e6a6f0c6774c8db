package ingest

import (
	"context"

	"github.com/diskport/diskport/diskimage"
)

// Range is a run of whole manifest pages, the unit of work of an import.
type Range struct {
	First int64 `json:"first"` // page index
	Pages int64 `json:"pages"`
	Bytes int64 `json:"bytes"` // of Data by the image's tables, the end of the scale of Counts.Done
}

// Counts says what ingesting has done. Each block is counted once.
type Counts struct {
	Source       int64 `json:"source"` // bytes read from the source
	Done         int64 `json:"done"`   // bytes of Data dealt with, on the scale of Range.Bytes
	Data         int64 `json:"data"`   // blocks named by the manifest
	Zero         int64 `json:"zero"`   // blocks with Data that were all zero
	Deduplicated int64 `json:"dedup"`  // of Data: blocks that were stored already
	Stored       int64 `json:"stored"` // bytes added to the store
}

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	c.Source += o.Source
	c.Done += o.Done
	c.Data += o.Data
	c.Zero += o.Zero
	c.Deduplicated += o.Deduplicated
	c.Stored += o.Stored
}

// Sub returns c without o.
func (c Counts) Sub(o Counts) Counts {
	return Counts{c.Source - o.Source, c.Done - o.Done, c.Data - o.Data, c.Zero - o.Zero, c.Deduplicated - o.Deduplicated, c.Stored - o.Stored}
}

// PlanOptions say how a disk is cut.
type PlanOptions struct {
	PageBytes int64 // bytes of disk that one manifest page names
	Target    int64 // source bytes of a range; 0 = 1 GiB
	MaxRanges int   // 0 = 256
}

const (
	defaultTarget    = 1 << 30
	defaultMaxRanges = 256
)

// pageLoad is what one page of the disk costs.
type pageLoad struct {
	page         int64
	data, source int64 // bytes
}

// Plan cuts d into ranges in ascending order. Pages without data belong to no
// range, unless they lie between two pages of one. It reads tables only.
func Plan(ctx context.Context, d diskimage.Disk, opts PlanOptions) ([]Range, error) {
	if opts.Target <= 0 {
		opts.Target = defaultTarget
	}
	if opts.MaxRanges <= 0 {
		opts.MaxRanges = defaultMaxRanges
	}
	loads, err := pageLoads(ctx, d, opts.PageBytes)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, l := range loads {
		total += l.source
	}
	target := max(opts.Target, total/int64(opts.MaxRanges)+1)
	var out []Range
	for len(loads) > 0 {
		n, source := 0, int64(0)
		for n < len(loads) && (n == 0 || source+loads[n].source <= target) {
			source += loads[n].source
			n++
		}
		// Two neighbours may each be below the target; the number of ranges is
		// bounded all the same, because any two consecutive ones together exceed
		// it.
		out = append(out, rangeOf(loads[:n]))
		loads = loads[n:]
	}
	return mergeTo(out, opts.MaxRanges), nil
}

func rangeOf(loads []pageLoad) Range {
	r := Range{First: loads[0].page, Pages: loads[len(loads)-1].page - loads[0].page + 1}
	for _, l := range loads {
		r.Bytes += l.data
	}
	return r
}

// mergeTo joins neighbours until at most n are left.
func mergeTo(rs []Range, n int) []Range {
	for len(rs) > n {
		var out []Range
		for i := 0; i < len(rs); i += 2 {
			r := rs[i]
			if i+1 < len(rs) {
				next := rs[i+1]
				r.Pages = next.First + next.Pages - r.First
				r.Bytes += next.Bytes
			}
			out = append(out, r)
		}
		rs = out
	}
	return rs
}

// pageLoads returns the pages of d that hold data, in ascending order.
func pageLoads(ctx context.Context, d diskimage.Disk, pageBytes int64) ([]pageLoad, error) {
	var loads []pageLoad
	add := func(off, n, source int64) {
		for n > 0 {
			page := off / pageBytes
			part := min(n, (page+1)*pageBytes-off)
			share := source
			if part < n {
				share = int64(float64(source) * float64(part) / float64(n))
			}
			if len(loads) == 0 || loads[len(loads)-1].page != page {
				loads = append(loads, pageLoad{page: page})
			}
			l := &loads[len(loads)-1]
			l.data += part
			l.source += share
			off, n, source = off+part, n-part, source-share
		}
	}
	i := 0
	for run, err := range runs(d, 0, d.Size()) {
		if err != nil {
			return nil, err
		}
		if i++; i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if run.Kind != diskimage.Data {
			continue
		}
		source := run.Len
		if run.Coded {
			source = run.SrcLen
		}
		add(run.Off, run.Len, source)
	}
	return loads, ctx.Err()
}
