package gc

import "testing"

// The enumeration of design §5, rule 8: a model of everything that happens to one
// block and the one page that names it, all interleavings of it walked. A change
// to the order of Collector's steps, or to what the events of imports do to rows,
// is made here first.
//
// There are a snapshot that references the page from the start and may be deleted,
// two drafts that end up with the same page, and two cycles of gc that may overlap
// and may stop anywhere (every state is checked, so every prefix is). A draft whose
// blocks are registered one by one, by appends, does what one with pages does; one
// may also begin as the old snapshot. That all roots and holds are read at one
// moment is markRoots being one step.

// row is a row of the blocks or pages table.
type row struct {
	exists    bool
	mark      uint8 // the last pass that marked it
	condemned uint8 // the cycle that condemned it, or 0
}

// What a draft is doing. From begun to wrote its unit of work is in flight.
const (
	idle      = iota
	begun     // its unit is leased
	hesitates // its dedupe look-up saw the block condemned
	relies    // its dedupe look-up gave it the block that is stored
	wrote     // it has a copy of its own, closed, without a row
	registered
	holds // it began as the old snapshot, whose root it holds
	published
	gone // lost its lease, was abandoned, or deleted
)

// state is one state of the model.
type state struct {
	block, page row
	old         bool // the snapshot that was there before
	drafts      [2]uint8
	steps       [2]uint8 // of each cycle: the next in its order
	waiting     [2]uint8 // of each cycle: the drafts that it waits for, as bits
}

// step is what a cycle does at once; ok is false while it has to wait.
type step func(s state, cycle uint8) (next state, ok bool)

// Every cycle has two passes: 1 and 2 of cycle 1, 3 and 4 of cycle 2.
func firstPass(cycle uint8) uint8  { return 2*cycle - 1 }
func secondPass(cycle uint8) uint8 { return 2 * cycle }

// reach marks the page and then the block, if something references the page.
func (s *state) reach(referenced bool, pass uint8) {
	if !referenced || s.page.mark == pass {
		return
	}
	s.page.mark, s.page.condemned = pass, 0
	s.block.mark, s.block.condemned = pass, 0
}

func markDrafts(pass func(uint8) uint8) step {
	return func(s state, cycle uint8) (state, bool) {
		s.reach(s.drafts[0] == registered || s.drafts[1] == registered, pass(cycle))
		return s, true
	}
}

func markRoots(pass func(uint8) uint8) step {
	return func(s state, cycle uint8) (state, bool) {
		s.reach(s.old || s.drafts[0] >= holds && s.drafts[0] <= published || s.drafts[1] >= holds && s.drafts[1] <= published, pass(cycle))
		return s, true
	}
}

// markHeld and markOld are what markRoots would be if it read rows one by one.
func markHeld(pass func(uint8) uint8) step {
	return func(s state, cycle uint8) (state, bool) {
		s.reach(s.drafts[0] == holds || s.drafts[1] == holds, pass(cycle))
		return s, true
	}
}

func markOld(pass func(uint8) uint8) step {
	return func(s state, cycle uint8) (state, bool) {
		s.reach(s.old || s.drafts[0] == published || s.drafts[1] == published, pass(cycle))
		return s, true
	}
}

func condemnBlock(s state, cycle uint8) (state, bool) {
	if s.block.exists && s.block.mark != firstPass(cycle) {
		s.block.condemned = cycle
	}
	return s, true
}

func condemnPage(s state, cycle uint8) (state, bool) {
	if s.page.exists && s.page.mark != firstPass(cycle) {
		s.page.condemned = cycle
	}
	return s, true
}

func inFlight(s state) (drafts uint8) {
	for i, d := range s.drafts {
		if d >= begun && d <= wrote {
			drafts |= 1 << i
		}
	}
	return drafts
}

func look(s state, cycle uint8) (state, bool) {
	s.waiting[cycle-1] = inFlight(s)
	return s, true
}

func wait(s state, cycle uint8) (state, bool) {
	over := s.waiting[cycle-1]&inFlight(s) == 0
	if over {
		s.waiting[cycle-1] = 0
	}
	return s, over
}

func deleteBlock(s state, cycle uint8) (state, bool) {
	if s.block.condemned == cycle {
		s.block = row{}
	}
	return s, true
}

func deletePage(s state, cycle uint8) (state, bool) {
	if s.page.condemned == cycle {
		s.page = row{}
	}
	return s, true
}

func deleteAllCondemned(s state, _ uint8) (state, bool) {
	if s.block.condemned != 0 {
		s.block = row{}
	}
	if s.page.condemned != 0 {
		s.page = row{}
	}
	return s, true
}

// draftSteps returns what may happen to a draft next.
func draftSteps(s state, i int) (next []state) {
	to := func(d uint8, change func(*state)) {
		n := s
		n.drafts[i] = d
		if change != nil {
			change(&n)
		}
		next = append(next, n)
	}
	register := func(n *state) { n.page.exists, n.page.condemned = true, 0 }
	switch s.drafts[i] {
	case idle:
		to(begun, nil)
		if s.old {
			to(holds, nil)
		}
	case begun: // blockstore.Catalog.Claim: a read, then a write only if need be
		switch {
		case !s.block.exists:
			to(wrote, nil)
		case s.block.condemned != 0:
			to(hesitates, nil)
		default:
			to(relies, nil)
		}
	case hesitates:
		if s.block.exists {
			to(relies, func(n *state) { n.block.condemned = 0 })
		} else {
			to(wrote, nil)
		}
	case relies:
		to(registered, register)
	case wrote:
		to(registered, func(n *state) {
			register(n)
			n.block.exists, n.block.condemned = true, 0 // on conflict the first stays
		})
	case registered, holds:
		to(published, nil)
	}
	if s.drafts[i] != idle && s.drafts[i] != gone {
		to(gone, nil)
	}
	return next
}

// explore walks every state that can be reached with cycles in this order. It
// returns how many there are and whether one lost something that is referenced.
func explore(order []step) (states int, lost bool) {
	start := state{block: row{exists: true}, page: row{exists: true}, old: true}
	seen := map[state]bool{start: true}
	for queue := []state{start}; len(queue) > 0; {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, n := range successors(s, order) {
			if !seen[n] {
				seen[n] = true
				queue = append(queue, n)
			}
		}
		lost = lost || s.referenced() && (!s.block.exists || !s.page.exists)
	}
	return len(seen), lost
}

func (s state) referenced() bool {
	for _, d := range s.drafts {
		if d >= registered && d <= published {
			return true
		}
	}
	return s.old
}

func successors(s state, order []step) (next []state) {
	if s.old {
		n := s
		n.old = false
		next = append(next, n)
	}
	for i := range s.drafts {
		next = append(next, draftSteps(s, i)...)
	}
	for i, at := range s.steps {
		if int(at) == len(order) {
			continue
		}
		if n, ok := order[at](s, uint8(i+1)); ok {
			n.steps[i]++
			next = append(next, n)
		}
	}
	return next
}

func TestEveryInterleaving(t *testing.T) {
	candidates := []step{markDrafts(firstPass), markRoots(firstPass)}
	condemn := []step{condemnBlock, condemnPage}
	waiting := []step{look, wait}
	mark := []step{markDrafts(secondPass), markRoots(secondPass)}
	remove := []step{deleteBlock, deletePage}
	for _, c := range []struct {
		name  string
		order [][]step
		lost  bool
	}{
		{"as it is", [][]step{candidates, condemn, waiting, mark, remove}, false},
		{"no wait", [][]step{candidates, condemn, mark, remove}, true},
		{"mark before condemn", [][]step{candidates, waiting, condemn, remove}, true},
		{"drafts unmarked", [][]step{candidates[1:], condemn, waiting, mark[1:], remove}, true},
		{"roots before drafts", [][]step{candidates, condemn, waiting, {mark[1], mark[0]}, remove}, true},
		{"roots one by one", [][]step{candidates, condemn, waiting, {mark[0], markHeld(secondPass), markOld(secondPass)}, remove}, true},
		{"what another cycle condemned", [][]step{candidates, condemn, waiting, mark, {deleteAllCondemned}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var order []step
			for _, steps := range c.order {
				order = append(order, steps...)
			}
			states, lost := explore(order)
			t.Logf("%d states", states)
			if lost != c.lost {
				t.Errorf("a referenced row is lost: %v, want %v", lost, c.lost)
			}
		})
	}
}
