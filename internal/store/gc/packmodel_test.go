package gc

import (
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
)

// The enumeration for the rewriting of packs (package compact): where the one block of
// model_test.go lies, while packs are rewritten, gc removes files, a frame rots, and
// drafts find the block or store it again.
//
// One thing more must hold in every state: the pack that the block's row names is
// there. So a reader that meets a file that is gone finds the block by looking again.

// The packs of the model: that in which the block lies at first, one for each draft,
// and that which a rewriting writes.
const (
	firstPack = iota
	_         // the first draft's
	_         // the second's
	newPack
)

func ofDraft(i int) uint8 { return uint8(i) + 1 }

// What a pack is.
const (
	noPack = iota
	openPack
	closedPack
	removedPack
)

// pack is a pack with one entry.
type pack struct {
	is    uint8
	dead  bool // the entry was let go
	noted bool // it is a candidate
}

// What a rewriting is doing.
const (
	unbegun = iota
	copied  // it has written the block to newPack, which it has not closed yet
	done    // its event has happened
	lapsed  // its lease is lost
)

// How a rewriting may be wrong; 0: it is as it is.
const (
	withoutLease = 1 + iota // its event does not check the lease
	unguarded               // it moves the block wherever that lies now
	resurrecting            // it makes a row where there is none any more
	uncounted               // what it moves away is not counted as dead
)

// packs is where the block lies, and what is done to it. Without modelled, it stays
// as it is.
type packs struct {
	modelled bool
	wrong    uint8
	at       uint8 // the pack that the block's row names
	damaged  bool  // the row says so
	files    [4]pack
	rewriter uint8
	from     uint8 // where the rewriting has read the block
}

func (p *packs) open(n uint8) {
	if p.modelled {
		p.files[n].is = openPack
	}
}

// letGo counts the entry of the pack in which the block lies as dead.
func (p *packs) letGo() {
	if p.modelled {
		p.files[p.at].dead, p.files[p.at].noted = true, true
		p.damaged = false
	}
}

// store is what a unit that wrote the block does to rows (addBlocks in metadb): the
// first row stays, unless it is damaged.
func (p *packs) store(n uint8, exists bool) {
	if !p.modelled {
		return
	}
	p.files[n].is = closedPack
	switch {
	case exists && p.damaged:
		p.letGo()
		p.at = n
	case exists:
		p.files[n].dead, p.files[n].noted = true, true
	default:
		p.at, p.damaged = n, false
	}
}

func (p *packs) swapDrafts() {
	swap := func(n uint8) uint8 {
		if n == 1 || n == 2 {
			return 3 - n
		}
		return n
	}
	p.files[1], p.files[2] = p.files[2], p.files[1]
	p.at, p.from = swap(p.at), swap(p.from)
}

// packSteps returns what a rewriting, and decay, may do next.
func packSteps(s state) (next []state) {
	if !s.store.modelled {
		return nil
	}
	to := func(rewriter uint8, change func(*state)) {
		n := s
		n.store.rewriter = rewriter
		change(&n)
		next = append(next, n)
	}
	p := s.store
	if s.block.exists && !p.damaged && p.at == firstPack {
		to(p.rewriter, func(n *state) { n.store.damaged = true })
	}
	switch p.rewriter {
	case unbegun:
		if s.block.exists && !p.damaged && p.files[p.at].is == closedPack {
			to(copied, func(n *state) { n.store.from, n.store.files[newPack].is = p.at, openPack })
		}
	case copied:
		to(done, move)
		to(lapsed, func(*state) {})
	case lapsed:
		if p.wrong == withoutLease {
			to(done, move)
		}
	}
	return next
}

// move is the event of a rewriting (compact.Store.Move).
func move(s *state) {
	p := &s.store
	file := &p.files[newPack]
	if file.is == openPack {
		file.is = closedPack
	}
	there := s.block.exists && p.at == p.from && !p.damaged
	switch {
	case p.wrong == unguarded:
		there = s.block.exists
	case p.wrong == resurrecting && !s.block.exists:
		s.block.exists, p.at = true, newPack
		return
	}
	if !there {
		file.dead, file.noted = true, true
		return
	}
	if p.wrong != uncounted {
		p.files[p.from].dead, p.files[p.from].noted = true, true
	}
	p.at = newPack
}

// leased reports whether the unit that writes a pack may still close it.
func (s state) leased(n uint8) bool {
	if n == newPack {
		return s.store.rewriter == copied
	}
	return n != firstPack && s.drafts[n-1] == wrote
}

// named reports whether the block's row names a pack.
func (s state) named(n uint8) bool { return s.block.exists && s.store.at == n }

// lookFiles is the look at candidates among files, removeFiles what comes of it.
var (
	lookFiles = does(func(s *state, c *cycle, _ uint8) {
		for n := range s.store.files {
			f, n := s.store.files[n], uint8(n)
			if f.is == openPack && !s.leased(n) || f.is == closedPack && f.noted && f.dead && !s.named(n) {
				c.doomed |= 1 << n
			}
		}
	})
	removeFiles = does(func(s *state, c *cycle, _ uint8) {
		for n := range s.store.files {
			if c.doomed&(1<<n) != 0 {
				s.store.files[n] = pack{is: removedPack}
			}
		}
		c.doomed = 0
	})
	// lookAtCounts is what lookFiles would be if it believed a file's own row alone.
	lookAtCounts = does(func(s *state, c *cycle, _ uint8) {
		for n, f := range s.store.files {
			if f.is == openPack || f.is == closedPack && f.dead {
				c.doomed |= 1 << n
			}
		}
	})
)

// packMissing reports whether the pack that the block's row names is not there.
func (s state) packMissing() bool {
	return s.store.modelled && s.block.exists && s.store.files[s.store.at].is != closedPack
}

// packLeaked reports a pack that gc would never remove although nothing names it, or
// one that its rows contradict.
func (s state) packLeaked() bool {
	if !s.store.modelled {
		return false
	}
	for n, f := range s.store.files {
		if f.is == closedPack && (s.named(uint8(n)) == f.dead || f.dead && !f.noted) {
			return true
		}
	}
	return false
}

func TestEveryInterleavingOfRewriting(t *testing.T) {
	imagetest.Volume(t)
	condemn := []step{condemnPage, condemnBlock, look, wait, markDrafts, markRoots, noteBlock, deletePage, deleteBlock, spare, settle}
	take := []step{expand, takePage, takeBlock, markDrafts, markRoots, settle}
	for _, c := range []struct {
		name         string
		wrong        uint8
		files        []step
		lost, leaked bool
	}{
		{"as it is", 0, []step{lookFiles, removeFiles}, false, false},
		{"without its lease", withoutLease, []step{lookFiles, removeFiles}, true, false},
		{"wherever the block lies", unguarded, []step{lookFiles, removeFiles}, false, true},
		{"deleted blocks come back", resurrecting, []step{lookFiles, removeFiles}, false, true},
		{"old places are not counted", uncounted, []step{lookFiles, removeFiles}, false, true},
		{"files go that are being written", 0, []step{lookAtCounts, removeFiles}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start := state{block: row{exists: true}, page: row{exists: true}, old: true}
			start.store = packs{modelled: true, wrong: c.wrong}
			start.store.files[firstPack].is = closedPack
			order := append(append(append([]step{}, take...), condemn...), c.files...)
			start.cycles[1].step = uint8(len(order)) // one cycle is enough: two of them are in model_test.go
			states, lost, leaked := exploreFrom(start, order, false, c.lost, c.leaked)
			t.Logf("%d states", states)
			if lost != c.lost {
				t.Errorf("a block is lost: %v, want %v", lost, c.lost)
			}
			if leaked != c.leaked {
				t.Errorf("a pack or row is forgotten, or contradicts itself: %v, want %v", leaked, c.leaked)
			}
		})
	}
}
