package snapshot

import "testing"

func TestRangesOfACopy(t *testing.T) {
	for _, c := range []struct {
		name           string
		pages, perPage int
		want           int
	}{
		{"none", 0, 0, 0},
		{"a page", 1, 3, 1},
		{"two ranges", 3, PageBlocks, 2},
		{"sparse", 5000, 1, 3},
		{"256 GiB", 512, PageBlocks, 256},
		{"64 TiB", 128 << 10, PageBlocks, 256},
	} {
		t.Run(c.name, func(t *testing.T) {
			pages := make([]rootPage, c.pages)
			for i := range pages {
				pages[i] = rootPage{index: int64(2 * i), blocks: c.perPage}
			}
			ranges := copyRanges(pages)
			if len(ranges) != c.want {
				t.Errorf("%d ranges, want %d", len(ranges), c.want)
			}
			if len(ranges) > maxRanges {
				t.Errorf("%d units in one transaction, want %d at most", len(ranges), maxRanges)
			}
			next := int64(0) // page that is to be the first of the next range
			for i, r := range ranges {
				if r.first != 2*next*PageBlocks || r.before != next*int64(c.perPage) || r.end <= r.first {
					t.Fatalf("range %d is %+v, want it to begin at page %d", i, r, 2*next)
				}
				next = (r.end/PageBlocks-1)/2 + 1
			}
			if next != int64(c.pages) {
				t.Errorf("the ranges have %d of %d pages", next, c.pages)
			}
		})
	}
}

// TestACopyGetsFurther: what a unit reports grows with what it has copied, in whatever
// order that ends.
func TestACopyGetsFurther(t *testing.T) {
	r := &reach{first: 100}
	for _, c := range []struct{ index, want int64 }{{131, 32}, {195, 96}, {163, 96}, {196, 97}} {
		r.got(c.index)
		if got := r.Progress().Done; got != c.want {
			t.Errorf("after block %d: %d, want %d", c.index, got, c.want)
		}
	}
}
