package gc

import "testing"

// The enumeration for one file: its writer begins and closes it while its lease may be
// lost at any moment, and gc looks at it, removes it and forgets its row. Whatever the
// order, a closed file has its row, and one whose unit holds its lease is there.

// writing is how far the writer is.
type writing uint8

const (
	fileUnbegun writing = iota
	fileEntered         // its row is there
	fileCreated         // the file is, open
	fileChecked         // its lease was held after that
	fileNamed           // it is closed
	fileDropped
)

// removing is how far gc is.
type removing uint8

const (
	gcUnseen  removing = iota
	gcDoomed           // its row says that it is open, and no lease is held
	gcHalf             // one of its two names was removed
	gcRemoved          // both were
	gcForgot           // its row is gone too
)

// oneFile is a state of the model.
type oneFile struct {
	lost         bool // the lease
	writer       writing
	gc           removing
	row          bool
	open, closed bool // the names that there are
}

// order is what may be wrong.
type order struct {
	unchecked   bool // the writer does not look at its lease again
	closedFirst bool // gc removes the name of a closed file before that of an open one
	rowFirst    bool // gc forgets the row before it removes the file
	leased      bool // gc takes files whose unit holds its lease
}

// next returns the states that may follow.
func (f oneFile) next(o order) (next []oneFile) {
	to := func(change func(*oneFile)) {
		n := f
		change(&n)
		next = append(next, n)
	}
	if !f.lost {
		to(func(n *oneFile) { n.lost = true })
	}
	switch f.writer {
	case fileUnbegun:
		if !f.lost {
			to(func(n *oneFile) { n.writer, n.row = fileEntered, true })
		}
	case fileEntered:
		to(func(n *oneFile) { n.writer, n.open = fileCreated, true })
	case fileCreated:
		if f.lost && !o.unchecked {
			to(func(n *oneFile) { n.writer, n.open = fileDropped, false })
		} else {
			to(func(n *oneFile) { n.writer = fileChecked })
		}
	case fileChecked:
		if f.open {
			to(func(n *oneFile) { n.writer, n.open, n.closed = fileNamed, false, true })
		} else {
			to(func(n *oneFile) { n.writer = fileDropped })
		}
	case fileNamed, fileDropped:
	}
	return append(next, f.collect(o)...)
}

// collect is the part of next that gc does.
func (f oneFile) collect(o order) (next []oneFile) {
	to := func(gc removing, change func(*oneFile)) {
		n := f
		n.gc = gc
		change(&n)
		next = append(next, n)
	}
	openName, closedName := func(n *oneFile) { n.open = false }, func(n *oneFile) { n.closed = false }
	first, second := openName, closedName
	if o.closedFirst {
		first, second = second, first
	}
	switch f.gc {
	case gcUnseen:
		if f.row && (f.lost || o.leased) {
			to(gcDoomed, func(n *oneFile) { n.row = !o.rowFirst })
		}
	case gcDoomed:
		to(gcHalf, first)
	case gcHalf:
		to(gcRemoved, second)
	case gcRemoved:
		to(gcForgot, func(n *oneFile) { n.row = false })
	case gcForgot:
	}
	return next
}

// wrong says what must not be.
func (f oneFile) wrong() string {
	switch {
	case f.closed && !f.row:
		return "a closed file has no row"
	case !f.lost && f.writer >= fileCreated && f.writer != fileDropped && !f.open && !f.closed:
		return "a file is gone while its unit holds its lease"
	}
	return ""
}

func TestEveryInterleavingOfOneFile(t *testing.T) {
	for _, c := range []struct {
		name  string
		order order
		wrong string
	}{
		{"as it is", order{}, ""},
		{"the lease is not looked at again", order{unchecked: true}, "a closed file has no row"},
		{"the name of a closed file goes first", order{closedFirst: true}, "a closed file has no row"},
		{"the row goes first", order{rowFirst: true}, "a closed file has no row"},
		{"files of leased units go", order{leased: true}, "a file is gone while its unit holds its lease"},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen, todo, found := map[oneFile]bool{{}: true}, []oneFile{{}}, map[string]bool{}
			for len(todo) > 0 {
				f := todo[len(todo)-1]
				todo = todo[:len(todo)-1]
				found[f.wrong()] = true
				for _, n := range f.next(c.order) {
					if !seen[n] {
						seen[n] = true
						todo = append(todo, n)
					}
				}
			}
			t.Logf("%d states", len(seen))
			if !found[c.wrong] || c.wrong == "" && len(found) > 1 {
				t.Errorf("found %v, want %q", found, c.wrong)
			}
		})
	}
}
