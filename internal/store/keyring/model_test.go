package keyring_test

import "testing"

// The enumeration for data keys: two writers, a rewriting of packs that runs twice, gc, two
// rotations, and the dropping of keys, step by step in every order. In every state, each
// block must open with the keys in its domain's row, and with those in the header of its
// pack.

// What the rules of data keys may be broken by; 0: they are as they are.
type mistake int

const (
	unfenced      mistake = 1 + iota // a pack's row is made without a look at the newest key
	closedAlone                      // keys are dropped though packs that are being written are under them
	rowsForgotten                    // keys are dropped though closed packs are under them
	flattered                        // the row of a rewritten pack says the newest key, though frames were copied
	oldHeader                        // a rewriting reads the keys before it knows from which packs it copies
)

// The packs: the first is there at the beginning, then one for each writer, and one for each run of the rewriting.
const (
	modelPacks   = 5
	firstWritten = 1
	firstOutput  = 3
)

type modelPack struct {
	is               uint8 // of noPack, …
	says             uint8 // its row: no frame is under a lower key
	under            uint8 // the key of its frame
	hasFrom, hasUpTo uint8 // keys in its header
}

const (
	noPack = iota
	openPack
	closedPack
	removedPack
)

// actor is a writer or the rewriting.
type actor struct {
	step         uint8
	from, newest uint8 // keys of the domain when it read them
	source       uint8 // pack that it copies from
}

type keyState struct {
	oldest, newest, retire uint8
	packs                  [modelPacks]modelPack
	lies                   [3]uint8 // in which pack each block lies; the others exist once their writer is done
	exists                 [3]bool
	writers                [2]actor
	rewriter               actor
	runs                   uint8
	rotations              uint8
}

// rotate makes a new key and has the older ones go.
func (s keyState) rotate() (next []keyState) {
	if s.rotations == 2 || s.retire > s.oldest {
		return nil
	}
	s.rotations++
	s.newest++
	s.retire = s.newest
	return []keyState{s}
}

// drop drops keys that are to go, once no row says otherwise.
func (s keyState) drop(m mistake) (next []keyState) {
	if s.retire <= s.oldest {
		return nil
	}
	for _, p := range s.packs {
		counts := p.is == openPack && m != closedAlone || p.is == closedPack && m != rowsForgotten
		if counts && p.says < s.retire {
			return nil
		}
	}
	s.oldest = s.retire
	return []keyState{s}
}

// write is what writer i may do next: read the keys, make its pack's row, end, or die.
func (s keyState) write(i int, m mistake) (next []keyState) {
	w, p := &s.writers[i], &s.packs[firstWritten+i]
	switch w.step {
	case 0:
		w.step, w.from, w.newest = 1, s.oldest, s.newest
		return []keyState{s}
	case 1:
		if s.newest != w.newest && m != unfenced {
			w.step = 0 // ErrStaleKey
			return []keyState{s}
		}
		w.step = 2
		*p = modelPack{openPack, w.newest, w.newest, w.from, w.newest}
		return []keyState{s}
	case 2:
		died := s
		died.writers[i].step = 3
		w.step = 3
		p.is = closedPack
		s.lies[1+i], s.exists[1+i] = uint8(firstWritten+i), true
		return []keyState{s, died}
	}
	return nil
}

// rewrite is what the rewriting may do next: choose a pack, read the keys, copy its frame
// or encrypt it anew, and move its block.
func (s keyState) rewrite(m mistake) (next []keyState) {
	r := s.rewriter
	if s.runs == modelPacks-firstOutput {
		return nil
	}
	out := firstOutput + s.runs
	choose, read := uint8(0), uint8(1)
	if m == oldHeader {
		choose, read = read, choose
	}
	switch r.step {
	case choose:
		for i, p := range s.packs {
			if p.is == closedPack && s.named(uint8(i)) {
				n := s
				n.rewriter.step, n.rewriter.source = r.step+1, uint8(i)
				next = append(next, n)
			}
		}
	case read:
		s.rewriter.step, s.rewriter.from, s.rewriter.newest = r.step+1, s.oldest, s.newest
		next = append(next, s)
	case 2:
		if src := s.packs[r.source]; src.is == closedPack {
			copied, anew := s, s
			copied.rewriter.step, anew.rewriter.step = 3, 3
			copied.packs[out] = modelPack{openPack, r.from, src.under, r.from, r.newest}
			next = append(next, copied)
			if s.newest == r.newest { // else ErrStaleKey, and it copies or begins again
				anew.packs[out] = modelPack{openPack, r.from, r.newest, r.from, r.newest}
				next = append(next, anew)
			}
		}
		fallthrough // or it ends without an effect
	case 4:
		s.rewriter, s.runs = actor{}, s.runs+1
		next = append(next, s)
	case 3:
		died := s
		died.rewriter.step = 4
		s.rewriter.step = 4
		p := &s.packs[out]
		p.is, p.says = closedPack, p.under
		if m == flattered {
			p.says = r.newest
		}
		for i := range s.lies {
			if s.exists[i] && s.lies[i] == r.source {
				s.lies[i] = out
			}
		}
		next = append(next, s, died)
	}
	return next
}

// collect removes a pack that nothing lies in, and that nobody writes.
func (s keyState) collect() (next []keyState) {
	for i, p := range s.packs {
		written := i >= firstWritten && i < firstOutput && s.writers[i-firstWritten].step == 2 ||
			i == firstOutput+int(s.runs) && s.rewriter.step == 3
		if p.is == closedPack && !s.named(uint8(i)) || p.is == openPack && !written {
			n := s
			n.packs[i] = modelPack{is: removedPack}
			next = append(next, n)
		}
	}
	return next
}

func (s keyState) named(pack uint8) bool {
	for i := range s.lies {
		if s.exists[i] && s.lies[i] == pack {
			return true
		}
	}
	return false
}

// lost reports whether there is a block that does not open.
func (s keyState) lost() bool {
	for i, at := range s.lies {
		p := s.packs[at]
		if s.exists[i] && (p.is != closedPack || p.under < s.oldest || p.under > s.newest || p.under < p.hasFrom || p.under > p.hasUpTo) {
			return true
		}
	}
	return false
}

func (s keyState) next(m mistake) (all []keyState) {
	all = append(append(append(all, s.rotate()...), s.drop(m)...), s.collect()...)
	return append(append(append(all, s.write(0, m)...), s.write(1, m)...), s.rewrite(m)...)
}

func TestEveryInterleavingOfDataKeys(t *testing.T) {
	for _, c := range []struct {
		name string
		m    mistake
	}{
		{"as it is", 0}, {"without the fence", unfenced}, {"open packs do not count", closedAlone}, {"closed packs do not count", rowsForgotten},
		{"rows of copies say the newest", flattered}, {"the header is older than the frames", oldHeader},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := keyState{}
			start.packs[0].is, start.exists[0] = closedPack, true
			seen, todo, lost, dropped := map[keyState]bool{start: true}, []keyState{start}, false, false
			for len(todo) > 0 && !lost {
				s := todo[len(todo)-1]
				todo = todo[:len(todo)-1]
				lost = s.lost()
				dropped = dropped || s.oldest == 2
				for _, n := range s.next(c.m) {
					if !seen[n] {
						seen[n] = true
						todo = append(todo, n)
					}
				}
			}
			t.Logf("%d states", len(seen))
			if lost != (c.m != 0) {
				t.Errorf("a block is lost: %v", lost)
			}
			if c.m == 0 && !dropped {
				t.Error("no order of steps gets rid of the old keys")
			}
		})
	}
}
