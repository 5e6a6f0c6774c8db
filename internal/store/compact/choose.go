package compact

import (
	"cmp"
	"runtime"
	"slices"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// Effort says how much a run does.
type Effort struct {
	// DeadPercent is how many of a hundred blocks of a pack may be dead before it
	// is rewritten for that alone.
	DeadPercent int
	// Small is how many small packs a domain may have before they are merged.
	Small int
	// Rate bounds the bytes that are read and written in a second; 0: no bound.
	Rate int64
	// Workers is how many frames are worked on at a time; 0 is 1.
	Workers int
	// Outdated rewrites those packs alone that may have frames under data keys that are
	// to go, and only in one domain.
	Outdated string
	// Only rewrites these packs alone, whatever they gain by it; nil: those that are worth it.
	Only map[blockstore.FileID]bool
	// Wait makes the run wait for a domain that another one is rewriting, and free
	// what it leaves behind, instead of leaving both to the next time.
	Wait bool
}

// Gentle is the effort of the periodic duty: what it writes is worth it, since a pack
// is rewritten for a quarter of its space, and no block is merged over and over.
func Gentle(rate int64) Effort { return Effort{DeadPercent: 25, Small: 8, Rate: rate} }

// Thorough is the effort for an operator who wants the space now.
func Thorough(rate int64) Effort {
	return Effort{DeadPercent: 5, Small: 1, Rate: rate, Workers: runtime.GOMAXPROCS(0), Wait: true}
}

// These is the effort for packs that are to be written anew, such as for a damaged trailer.
func These(packs map[blockstore.FileID]bool) Effort {
	e := Thorough(0)
	e.DeadPercent, e.Only = -1, packs // so all packs are looked at
	return e
}

// smallShare is what share of a full pack is small.
const smallShare = 2

func (c *Compactor) worth(e Effort) Worth {
	return Worth{DeadPercent: e.DeadPercent, Small: c.packBytes() / smallShare}
}

// choose returns those of a domain's packs that are to be rewritten, oldest first, as
// their disks were written; usable says whether the domain's key is. Without it, a frame of a pack
// that was entered can't be moved to another, whose header may not have its key.
func (w Worth) choose(packs []Pack, e Effort, usable bool) (chosen []Pack) {
	short := 0
	for _, p := range packs {
		if p.Bytes < w.Small {
			short++
		}
	}
	for _, p := range packs {
		if e.Outdated != "" && !p.Outdated || e.Only != nil && !e.Only[p.File.ID] || p.Entered && !usable {
			continue
		}
		if !w.alone(p, usable) || p.Bytes < w.Small && short > e.Small {
			chosen = append(chosen, p)
		}
	}
	slices.SortFunc(chosen, func(a, b Pack) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.File.ID, b.File.ID))
	})
	return chosen
}

// rotten reports whether a pack is rewritten for its dead blocks.
func (w Worth) rotten(p Pack) bool { return p.Dead*100 > p.Entries*int64(w.DeadPercent) }

// alone reports whether rewriting a pack gains nothing unless it is merged with
// others.
func (w Worth) alone(p Pack, usable bool) bool {
	return !w.rotten(p) && !(usable && (!p.Compressed || p.Outdated))
}

// byDomain groups packs.
func byDomain(packs []Pack) map[string][]Pack {
	groups := map[string][]Pack{}
	for _, p := range packs {
		groups[p.File.Domain] = append(groups[p.File.Domain], p)
	}
	return groups
}
