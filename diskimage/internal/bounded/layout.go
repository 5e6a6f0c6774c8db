package bounded

import (
	"fmt"
	"sync"

	"github.com/diskport/diskport/diskimage"
)

// Layout says where in an object the structures and the units of an image lie,
// and keeps them apart. A unit is what a table's entry names: a block, a cluster,
// a grain, or a table of the next level. It holds all formats to one rule:
//
//   - a unit begins at a multiple of the alignment;
//   - what the disk has of it lies in the object;
//   - it touches no structure that the header names;
//   - no two units overlap, not by a byte.
//
// So no byte of an object is read as two things, and the units of a disk take no
// more room than the object has, whatever its tables say. A Layout remembers a
// bit for each unit, and four bytes where units begin at uneven distances, under
// a budget. It may be used concurrently.
type Layout struct {
	// Beside, if set, is the Layout of units of another size in the same object,
	// which the units of this one must not touch, nor its structures. Set it
	// before the first use.
	Beside *Layout
	// MayEndShort says that the object may end inside a unit: no more than its
	// first byte must be there. Set it before the first use.
	MayEndShort bool

	end    int64 // of what units may take of the object
	unit   int64 // bytes
	align  int64 // bytes
	budget int64 // bytes of pages

	mu      sync.Mutex // guards what follows
	regions []region
	pages   map[int64]*slots
	used    int64  // bytes of pages
	last    region // the unit that the disk's end cuts, as much as the disk has of it
	recent  *slots // the page that was used last: units come in rows
	number  int64  // of that page
}

// page returns a page of slots, nil when no unit begins in it.
func (l *Layout) page(number int64) *slots {
	if l.recent == nil || l.number != number {
		l.recent, l.number = l.pages[number], number
	}
	return l.recent
}

// region is a structure that the header names.
type region struct {
	name       string
	start, end int64
}

// Misfit says why something can't lie where an image says. The caller knows which
// field or entry says so, and makes a fault from it.
type Misfit struct {
	Class  diskimage.Class
	Reason string
}

func misfit(c diskimage.Class, reason string, args ...any) *Misfit {
	return &Misfit{c, fmt.Sprintf(reason, args...)}
}

// NewLayout returns an empty Layout for units of unit bytes that begin at
// multiples of align bytes, before end in the object. It takes up to budget bytes
// of memory.
func NewLayout(end, unit, align, budget int64) *Layout {
	return &Layout{end: end, unit: unit, align: align, budget: budget, pages: map[int64]*slots{}}
}

// Reserve gives the n bytes at off to a structure that the header names. The name
// completes "overlaps …".
func (l *Layout) Reserve(name string, off, n int64) *Misfit {
	if off < 0 || n < 0 || n > l.end-off {
		return l.past(off, n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.overRegion(off, n, "overlaps"); m != nil {
		return m
	}
	l.regions = append(l.regions, region{name, off, off + n})
	return nil
}

// Check reports whether a unit of which the disk has n bytes may begin at off, as
// far as can be told without the other units.
func (l *Layout) Check(off, n int64) *Misfit {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.check(off, n)
}

func (l *Layout) check(off, n int64) *Misfit {
	must := n
	if l.MayEndShort {
		must = min(n, 1)
	}
	switch {
	case off < 0 || must > l.end-off:
		return l.past(off, n)
	case off%l.align != 0:
		return misfit(diskimage.Malformed, "not a multiple of %d bytes", l.align)
	}
	return l.overRegion(off, n, "points into")
}

// Take gives a unit at off, of which the disk has n bytes, to an entry. n is less
// than a whole unit only for the last unit of a disk; the rest of that one in the
// object may belong to others, because some writers store only what the disk has.
func (l *Layout) Take(off, n int64) *Misfit {
	if m := l.touches(off, n); m != nil {
		return m
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.check(off, n); m != nil {
		return m
	}
	if other, ok := l.overlapping(off, n); ok {
		return overlap(other)
	}
	if n < l.unit {
		l.last = region{"", off, off + n}
		return nil
	}
	return l.mark(off)
}

// Share notes that something begins at off, inside a unit that may hold more of its
// kind, as the streams of compressed clusters lie close together. Such a unit may
// only not be one of the units of Beside.
func (l *Layout) Share(off int64) *Misfit {
	if m := l.touches(off, 1); m != nil {
		return m
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if off < 0 || off >= l.end {
		return l.past(off, 1)
	}
	off -= off % l.unit
	if _, ok := l.overlapping(off, l.unit); ok {
		return nil
	}
	return l.mark(off)
}

// touches reports what in Beside the unit of this Layout at off would touch.
func (l *Layout) touches(off, n int64) *Misfit {
	b := l.Beside
	if b == nil || off < 0 || n > l.end-off {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.overRegion(off, n, "points into"); m != nil {
		return m
	}
	if other, ok := b.overlapping(off, n); ok {
		return overlap(other)
	}
	return nil
}

func overlap(other int64) *Misfit {
	return misfit(diskimage.Malformed, "overlaps what another entry names, at offset %#x", other)
}

// past returns the misfit of a range that isn't entirely in the object: the object
// was cut.
func (l *Layout) past(off, n int64) *Misfit {
	switch {
	case off < 0 || n < 0:
		return misfit(diskimage.Malformed, "no range of an object")
	case off >= l.end:
		return misfit(diskimage.Truncated, "begins at %#x, past the end of the object (%#x)", off, l.end)
	}
	return misfit(diskimage.Truncated, "%d bytes from %#x on end past the end of the object (%#x), which has %d of them", n, off, l.end, l.end-off)
}

func (l *Layout) overRegion(off, n int64, verb string) *Misfit {
	for _, r := range l.regions {
		if off < r.end && r.start < off+n {
			return misfit(diskimage.Malformed, "%s %s", verb, r.name)
		}
	}
	return nil
}

// A slot is as large as a unit, so that at most one unit begins in each.
const slotsPerPage = 4096

// slots are the slots of a page. In most images all units begin at the same place
// of their slots, and a page whose slots are all taken needs no bits.
type slots struct {
	begun []uint64 // a bit for each slot in which a unit begins; nil when all are taken
	count int
	phase uint32   // where in its slot each begins, in bytes
	at    []uint32 // the same by slot, when they differ
}

// The cost of a page, in bytes, including its share of the map.
const (
	pageCost = 128
	bitsCost = slotsPerPage / 8
	atCost   = slotsPerPage * 4
)

func (s *slots) begins(i int64) bool { return s.begun == nil || s.begun[i/64]>>(i%64)&1 == 1 }

// overlapping returns where the first unit begins that [off, off+n) touches.
func (l *Layout) overlapping(off, n int64) (start int64, ok bool) {
	if off < l.last.end && l.last.start < off+n {
		return l.last.start, true
	}
	if len(l.pages) == 0 {
		return 0, false
	}
	slot := max(0, off-l.unit+1) / l.unit
	if l.align == l.unit { // then a unit begins with its slot
		slot = off / l.unit
	}
	for ; slot*l.unit < off+n; slot++ {
		s := l.page(slot / slotsPerPage)
		if s == nil {
			slot |= slotsPerPage - 1 // to the next page
			continue
		}
		i := slot % slotsPerPage
		if !s.begins(i) {
			continue
		}
		start = slot*l.unit + int64(s.phase)
		if s.at != nil {
			start = slot*l.unit + int64(s.at[i])
		}
		if start < off+n && start+l.unit > off {
			return start, true
		}
	}
	return 0, false
}

// mark notes the unit at off, which overlaps no other.
func (l *Layout) mark(off int64) *Misfit {
	slot, phase := off/l.unit, uint32(off%l.unit)
	number, i := slot/slotsPerPage, slot%slotsPerPage
	s := l.page(number)
	if s == nil {
		if !l.pay(pageCost + bitsCost) {
			return l.tooMany()
		}
		s = &slots{begun: make([]uint64, slotsPerPage/64), phase: phase}
		l.pages[number], l.recent, l.number = s, s, number
	}
	if s.at == nil && phase != s.phase {
		if !l.pay(atCost) {
			return l.tooMany()
		}
		s.at = make([]uint32, slotsPerPage)
		for k := range s.at {
			s.at[k] = s.phase
		}
	}
	if s.at != nil {
		s.at[i] = phase
	}
	s.begun[i/64] |= 1 << (i % 64)
	if s.count++; s.count == slotsPerPage {
		s.begun = nil
		l.used -= bitsCost
	}
	return nil
}

func (l *Layout) pay(n int64) bool {
	if l.used+n > l.budget {
		return false
	}
	l.used += n
	return true
}

func (l *Layout) tooMany() *Misfit {
	return misfit(diskimage.Limit, "there are too many units of %d bytes to keep them apart in %d bytes of memory", l.unit, l.budget)
}
