package snapshot

import (
	"context"
	"iter"

	"github.com/diskport/diskport/internal/block"
)

// Change is an index at which two snapshots differ. A block that a snapshot
// does not have has no ID there.
type Change struct {
	Index    int64
	InA, InB bool
	A, B     block.ID
}

// Diff returns the indexes at which a and b differ, ascending, beginning at from.
// In one domain it reads only pages, and of those only the ones that differ. IDs of
// different domains can't be compared; then the blocks that both have are read and
// their digests compared, which takes one slot of a's store at a time. After an
// error the sequence ends.
func Diff(ctx context.Context, a, b *Blocks, from int64) iter.Seq2[Change, error] {
	d := differ{ctx, a, b, a.rec.Domain == b.rec.Domain}
	from = max(from, 0)
	return func(yield func(Change, error) bool) {
		for pa, pb := range pairs(a.root.from(from/PageBlocks), b.root.from(from/PageBlocks)) {
			if d.same && pa.id == pb.id {
				continue
			}
			for c, err := range d.page(pa, pb) {
				if err == nil && c.Index < from {
					continue
				}
				if !yield(c, err) || err != nil {
					return
				}
			}
		}
	}
}

type differ struct {
	ctx  context.Context
	a, b *Blocks
	same bool // domain
}

// pairs returns the pages with equal indexes together, and a zero page for one
// that is on one side only.
func pairs(a, b []rootPage) iter.Seq2[rootPage, rootPage] {
	return func(yield func(rootPage, rootPage) bool) {
		for len(a) > 0 || len(b) > 0 {
			var pa, pb rootPage
			takeA := len(a) > 0 && (len(b) == 0 || a[0].index <= b[0].index)
			takeB := len(b) > 0 && (len(a) == 0 || b[0].index <= a[0].index)
			if takeA {
				pa, a = a[0], a[1:]
			}
			if takeB {
				pb, b = b[0], b[1:]
			}
			if !yield(pa, pb) {
				return
			}
		}
	}
}

// page returns the changes on one page. A zero page names no blocks.
func (d differ) page(ea, eb rootPage) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		pa, err := d.load(d.a, ea)
		if err != nil {
			yield(Change{}, err)
			return
		}
		pb, err := d.load(d.b, eb)
		if err != nil {
			yield(Change{}, err)
			return
		}
		first := max(ea.index, eb.index) * PageBlocks
		for i := range PageBlocks {
			c := Change{Index: first + int64(i)}
			ra, inA := pa.find(i)
			rb, inB := pb.find(i)
			if inA {
				c.InA, c.A = true, pa.ids[ra]
			}
			if inB {
				c.InB, c.B = true, pb.ids[rb]
			}
			differs, err := d.differs(c)
			if (differs || err != nil) && !yield(c, err) || err != nil {
				return
			}
		}
	}
}

func (d differ) load(b *Blocks, e rootPage) (*page, error) {
	if e.blocks == 0 {
		return &page{}, nil
	}
	p, err := b.page(d.ctx, e)
	if err != nil {
		return nil, err
	}
	return p.page, nil
}

func (d differ) differs(c Change) (bool, error) {
	if c.InA != c.InB || !c.InA {
		return c.InA != c.InB, nil
	}
	if d.same {
		return c.A != c.B, nil
	}
	slots := d.a.lib.Store.Slots
	s, err := slots.Get(d.ctx)
	if err != nil {
		return false, err
	}
	defer slots.Put(s)
	_, da, err := d.a.Get(d.ctx, c.Index, s.Frame())
	if err != nil {
		return false, err
	}
	_, db, err := d.b.Get(d.ctx, c.Index, s.Frame())
	return da != db, err
}
