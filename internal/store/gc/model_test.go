package gc

import (
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
)

// The enumeration for rule 8 of the ordering invariant: a model of everything that
// happens to one block and the one page that names it, of which all interleavings
// are walked. A change to the order of Collector's steps, or to what the events of
// imports do to rows and candidates, is made here first.
//
// There are a snapshot that references the page from the start and may be deleted,
// a reader that may take a hold of it while it exists and lets go or is too late,
// two drafts that end up with the same page, and two cycles of gc that may overlap
// and may stop anywhere (every state is checked, so every prefix is). A draft whose
// blocks are registered one by one, by appends, does what one with pages does; one
// may also begin as the old snapshot. A range is finished in slices: a draft that has
// registered the page may be at work on a further one. What registered the page for a
// draft is a row, which the event that ends the draft lets go of, or leaves for later.
//
// Two things must hold in every state: nothing that is referenced is missing, and
// everything that is not referenced will be found by a later step or cycle. Where the
// block lies, and how packs are rewritten meanwhile, is in packmodel_test.go.

// candidate is what the candidates say of a row.
type candidate uint8

const (
	no    candidate = iota
	noted           // let go, and not taken since
	taken           // by cycle 1; one more: by cycle 2
)

func takenBy(cycle uint8) candidate { return taken + candidate(cycle) - 1 }

// row is a row of the blocks or pages table, and its candidate.
type row struct {
	exists    bool
	condemned uint8 // the cycle that condemned it, or 0
	candidate candidate
}

// What a draft is doing.
const (
	idle       = iota
	begun      // its unit is leased
	hesitates  // its dedupe look-up saw the block condemned
	relies     // its dedupe look-up gave it the block that is stored
	wrote      // it has a copy of its own, closed, without a row
	registered // a row names the page
	goesOn     // so it does, and its unit is leased for the next slice
	holds      // it began as the old snapshot, whose root it holds
	leaving    // published, and the row is still there
	published
	leavings // it failed or was deleted, and the row is still there
	gone     // lost its lease, was abandoned, or deleted
)

// inWork reports whether a draft's unit of work is in flight.
func inWork(d uint8) bool { return d >= begun && d <= wrote || d == goesOn }

// named reports whether a row names the page for a draft.
func named(d uint8) bool { return d == registered || d == goesOn || d == leaving || d == leavings }

// rooted reports whether a draft is a snapshot with a root.
func rooted(d uint8) bool { return d == leaving || d == published }

// What the reader is doing.
const (
	away = iota
	reading
	left
)

// cycle is one cycle: what it keeps in memory.
type cycle struct {
	step        uint8 // the next in its order
	waiting     uint8 // the drafts that it waits for, as bits
	doomed      uint8 // the packs that it found to be garbage, as bits
	page, block took
}

// took is what a cycle knows of a row.
type took struct{ in, referenced bool } // in: it is in the window

// state is one state of the model.
type state struct {
	block, page row
	old         bool  // the snapshot that was there before
	released    uint8 // roots that were let go and not expanded, as bits: old's, the drafts'
	reader      uint8
	drafts      [2]uint8
	cycles      [2]cycle
	store       packs // where the block lies
}

// step is what cycle n, 1 or 2, does at once; ok is false while it has to wait.
type step func(s state, n uint8) (next state, ok bool)

// does makes a step of a change that never waits.
func does(change func(s *state, c *cycle, n uint8)) step {
	return func(s state, n uint8) (state, bool) {
		change(&s, &s.cycles[n-1], n)
		return s, true
	}
}

// oldHeld reports whether the old snapshot's root is named by anything but that
// snapshot.
func (s state) oldHeld() bool {
	return s.drafts[0] == holds || s.drafts[1] == holds || s.reader == reading
}

var expand = does(func(s *state, _ *cycle, _ uint8) {
	expandable := s.released
	if s.old || s.oldHeld() {
		expandable &^= 1
	}
	if expandable != 0 {
		s.page.candidate = noted
		s.released &^= expandable
	}
})

func (r *row) take(n uint8) bool {
	switch {
	case r.candidate == no:
		return false
	case !r.exists:
		r.candidate = no
		return false
	}
	r.candidate = takenBy(n)
	return true
}

var takePage = does(func(s *state, c *cycle, n uint8) {
	if s.page.take(n) {
		c.page.in, c.block.in = true, true // with the blocks that it names
	}
})

var takeBlock = does(func(s *state, c *cycle, n uint8) {
	if s.block.take(n) {
		c.block.in = true
	}
})

// reach marks the page and then the block, if something references the page.
func reach(c *cycle, referenced bool) {
	c.page.referenced = c.page.referenced || referenced && c.page.in
	c.block.referenced = c.block.referenced || referenced && c.block.in
}

var markDrafts = does(func(s *state, c *cycle, _ uint8) {
	reach(c, named(s.drafts[0]) || named(s.drafts[1]))
})

func (s state) published() bool { return rooted(s.drafts[0]) || rooted(s.drafts[1]) }

var markRoots = does(func(s *state, c *cycle, _ uint8) { reach(c, s.old || s.oldHeld() || s.published()) })

// markUnread is what markRoots would be if readers took no holds.
var markUnread = does(func(s *state, c *cycle, _ uint8) {
	reach(c, s.old || s.drafts[0] == holds || s.drafts[1] == holds || s.published())
})

var settle = does(func(s *state, c *cycle, n uint8) {
	s.page.settle(c.page, n)
	s.block.settle(c.block, n)
})

func (r *row) settle(t took, n uint8) {
	if t.in && t.referenced && r.candidate == takenBy(n) {
		r.candidate = no
	}
}

// settleNoted is what settling would be if it overlooked that something was let go
// again.
var settleNoted = does(func(s *state, c *cycle, n uint8) {
	s.block.settle(c.block, n)
	if c.page.in && c.page.referenced {
		s.page.candidate = no
	}
})

// noteBlock makes the block of a page that is about to go a candidate by itself, one
// that is taken by this cycle and no other.
var noteBlock = does(func(s *state, c *cycle, n uint8) {
	if c.block.in && !c.block.referenced {
		s.block.candidate = takenBy(n)
	}
})

func (r *row) condemn(t took, n uint8) {
	if r.exists && t.in && !t.referenced {
		r.condemned = n
	}
}

var (
	condemnPage  = does(func(s *state, c *cycle, n uint8) { s.page.condemn(c.page, n) })
	condemnBlock = does(func(s *state, c *cycle, n uint8) { s.block.condemn(c.block, n) })
)

func inFlight(s state) (drafts uint8) {
	for i, d := range s.drafts {
		if inWork(d) {
			drafts |= 1 << i
		}
	}
	return drafts
}

var look = does(func(s *state, c *cycle, _ uint8) { c.waiting = inFlight(*s) })

func wait(s state, n uint8) (state, bool) {
	c := &s.cycles[n-1]
	over := c.waiting&inFlight(s) == 0
	if over {
		c.waiting = 0
	}
	return s, over
}

func (r *row) remove(t took, condemned bool) {
	if t.in && !t.referenced && condemned {
		*r = row{}
	}
}

var (
	deletePage  = does(func(s *state, c *cycle, n uint8) { s.page.remove(c.page, s.page.condemned == n) })
	deleteBlock = does(func(s *state, c *cycle, n uint8) {
		had := s.block.exists
		s.block.remove(c.block, s.block.condemned == n)
		if had && !s.block.exists {
			s.store.letGo()
		}
	})
	// deleteAny deletes what any cycle condemned.
	deleteAny = does(func(s *state, c *cycle, _ uint8) {
		s.page.remove(c.page, s.page.condemned != 0)
		s.block.remove(c.block, s.block.condemned != 0)
	})
	spare = does(func(s *state, _ *cycle, n uint8) {
		for _, r := range []*row{&s.page, &s.block} {
			if r.condemned == n {
				r.condemned = 0
			}
		}
	})
	// forgetClaimed drops a candidate that the cycle did not delete.
	forgetClaimed = does(func(s *state, c *cycle, n uint8) {
		if s.block.candidate == takenBy(n) {
			s.block.candidate = no
		}
	})
)

// draftSteps returns what may happen to a draft next. With unnoted, a row that was
// left is dropped without a note of what it named.
func draftSteps(s state, i int, unnoted bool) (next []state) {
	to := func(d uint8, change func(*state)) {
		n := s
		n.drafts[i] = d
		if change != nil {
			change(&n)
		}
		next = append(next, n)
	}
	register := func(n *state) { n.page.exists, n.page.condemned = true, 0 }
	write := func(n *state) { n.store.open(ofDraft(i)) }
	switch s.drafts[i] {
	case idle:
		to(begun, nil)
		if s.old {
			to(holds, nil)
		}
	case begun: // blockstore.Catalog.Claim: a read, then a write only if need be
		switch {
		case !s.block.exists || s.store.damaged:
			to(wrote, write)
		case s.block.condemned != 0:
			to(hesitates, nil)
		default:
			to(relies, nil)
		}
	case hesitates:
		if s.block.exists && !s.store.damaged {
			to(relies, func(n *state) { n.block.condemned = 0 })
		} else {
			to(wrote, write)
		}
	case relies:
		to(registered, register)
	case wrote:
		to(registered, func(n *state) {
			register(n)
			n.store.store(ofDraft(i), n.block.exists)
			n.block.exists, n.block.condemned = true, 0 // on conflict the first stays
		})
	case registered:
		to(goesOn, nil)
		to(published, nil)
		to(leaving, nil)
	case goesOn:
		to(registered, register)
	case holds:
		to(published, nil)
	case leaving: // its root names the page
		to(published, nil)
	}
	return append(next, endings(s, i, unnoted)...)
}

// endings returns how a draft may end.
func endings(s state, i int, unnoted bool) (next []state) {
	to := func(d uint8, change func(*state)) {
		n := s
		n.drafts[i] = d
		if change != nil {
			change(&n)
		}
		next = append(next, n)
	}
	note := func(n *state) { n.page.candidate = noted }
	switch s.drafts[i] {
	case idle, gone:
	case registered, goesOn:
		to(gone, note)
		to(leavings, nil)
	case leaving:
		to(leavings, func(n *state) { n.released |= 2 << i })
	case published:
		to(gone, func(n *state) { n.released |= 2 << i })
	case leavings:
		if unnoted {
			note = nil
		}
		to(gone, note)
	default:
		to(gone, nil)
	}
	return next
}

// canonical returns the state with the drafts and the cycles sorted, since which is
// which makes no difference.
func (s state) canonical() state {
	if s.drafts[0] > s.drafts[1] {
		s.drafts[0], s.drafts[1] = s.drafts[1], s.drafts[0]
		s.store.swapDrafts()
		s.released = s.released&1 | s.released&2<<1 | s.released&4>>1
		for i := range s.cycles {
			w, d := s.cycles[i].waiting, s.cycles[i].doomed
			s.cycles[i].waiting = w&1<<1 | w&2>>1
			s.cycles[i].doomed = d&^6 | d&2<<1 | d&4>>1
		}
	}
	if s.cycles[0].step > s.cycles[1].step {
		s.cycles[0], s.cycles[1] = s.cycles[1], s.cycles[0]
		for _, r := range []*row{&s.page, &s.block} {
			if r.condemned != 0 {
				r.condemned = 3 - r.condemned
			}
			if r.candidate >= taken {
				r.candidate = 2*taken + 1 - r.candidate
			}
		}
	}
	return s
}

// explore walks every state that can be reached with cycles in this order, until it
// has found what it is to find. It returns how many there are, whether one lost
// something that is referenced, and whether one has garbage that will never be
// found.
func explore(order []step, unnoted, wantLost, wantLeaked bool) (states int, lost, leaked bool) {
	return exploreFrom(state{block: row{exists: true}, page: row{exists: true}, old: true}, order, unnoted, wantLost, wantLeaked)
}

func exploreFrom(start state, order []step, unnoted, wantLost, wantLeaked bool) (states int, lost, leaked bool) {
	seen := map[state]bool{start: true}
	for queue := []state{start}; len(queue) > 0; {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, n := range successors(s, order, unnoted) {
			if n = n.canonical(); !seen[n] {
				seen[n] = true
				queue = append(queue, n)
			}
		}
		lost = lost || s.referenced() && (!s.block.exists || !s.page.exists || s.packMissing())
		leaked = leaked || s.leaked() || s.packLeaked()
		if wantLost && lost || wantLeaked && leaked {
			return len(seen), lost && wantLost, leaked && wantLeaked
		}
	}
	return len(seen), lost, leaked
}

func (s state) referenced() bool {
	for _, d := range s.drafts {
		if d >= registered && d <= published {
			return true
		}
	}
	return s.old || s.reader == reading
}

// left reports whether a row is left that nothing but letting go waits for.
func (s state) left() bool { return s.drafts[0] == leavings || s.drafts[1] == leavings }

// leaked reports garbage that no later cycle would look at.
func (s state) leaked() bool {
	if s.referenced() || inFlight(s) != 0 || s.left() {
		return false
	}
	pageFound := s.released != 0 || s.page.candidate != no
	blockFound := s.block.candidate != no || s.page.exists && pageFound
	return s.page.exists && !pageFound || s.block.exists && !blockFound
}

func successors(s state, order []step, unnoted bool) (next []state) {
	if s.old {
		n := s
		n.old, n.released = false, n.released|1
		next = append(next, n)
	}
	if s.reader == away && s.old || s.reader == reading {
		n := s
		n.reader++
		next = append(next, n)
	}
	for i := range s.drafts {
		next = append(next, draftSteps(s, i, unnoted)...)
	}
	next = append(next, packSteps(s)...)
	for i, c := range s.cycles {
		if int(c.step) == len(order) {
			continue
		}
		if n, ok := order[c.step](s, uint8(i+1)); ok {
			if n.cycles[i].step++; int(n.cycles[i].step) == len(order) {
				n.cycles[i] = cycle{step: uint8(len(order))} // it forgets
			}
			next = append(next, n)
		}
	}
	return next
}

func TestEveryInterleaving(t *testing.T) {
	imagetest.Volume(t)
	take := []step{expand, takePage, takeBlock, markDrafts, markRoots, settle}
	unread := []step{expand, takePage, takeBlock, markDrafts, markUnread, settle}
	condemn := []step{condemnPage, condemnBlock}
	waiting := []step{look, wait}
	mark := []step{markDrafts, markRoots}
	remove := []step{noteBlock, deletePage, deleteBlock}
	end := []step{spare, settle}
	for _, c := range []struct {
		name         string
		order        [][]step
		lost, leaked bool
		unnoted      bool // rows that were left are dropped without a note
	}{
		{"as it is", [][]step{take, condemn, waiting, mark, remove, end}, false, false, false},
		{"no wait", [][]step{take, condemn, mark, remove, end}, true, false, false},
		{"mark before condemn", [][]step{take, waiting, mark, condemn, remove, end}, true, false, false},
		{"drafts unmarked", [][]step{take, condemn, waiting, mark[1:], remove, end}, true, false, false},
		{"roots before drafts", [][]step{take, condemn, waiting, {mark[1], mark[0]}, remove, end}, true, false, false},
		{"holds of readers unmarked", [][]step{unread, condemn, waiting, {mark[0], markUnread}, remove, end}, true, false, false},
		{"what another cycle condemned", [][]step{take, condemn, waiting, mark, {noteBlock, deleteAny}, end}, true, false, false},
		{"what was let go again", [][]step{take, condemn, waiting, mark, remove, {spare, settleNoted}}, false, true, false},
		{"what was claimed", [][]step{take, condemn, waiting, mark, remove, {spare, settle, forgetClaimed}}, false, true, false},
		{"blocks go unnoted", [][]step{take, condemn, waiting, mark, remove[1:], end}, false, true, false},
		{"blocks noted too early", [][]step{take, {noteBlock}, condemn, waiting, mark, remove[1:], end}, false, true, false},
		{"leavings go unnoted", [][]step{take, condemn, waiting, mark, remove, end}, false, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var order []step
			for _, steps := range c.order {
				order = append(order, steps...)
			}
			states, lost, leaked := explore(order, c.unnoted, c.lost, c.leaked)
			t.Logf("%d states", states)
			if lost != c.lost {
				t.Errorf("a referenced row is lost: %v, want %v", lost, c.lost)
			}
			if leaked != c.leaked {
				t.Errorf("garbage is forgotten: %v, want %v", leaked, c.leaked)
			}
		})
	}
}
