package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

// counting counts the reads of packs.
type counting struct {
	blockstore.Backend
	packs atomic.Int64
}

func (c *counting) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if name[:4] == "pack" {
		c.packs.Add(1)
	}
	return c.Backend.ReadAt(ctx, name, p, off)
}

// all returns the blocks of a snapshot.
func (r *rig) all(b *Blocks) (some []Block) {
	r.t.Helper()
	for x, err := range b.From(r.t.Context(), 0) {
		if err != nil {
			r.t.Fatal(err)
		}
		some = append(some, x)
	}
	return some
}

// read reads blocks with each, and returns what fills them.
func (r *rig) read(b *Blocks, some []Block) (got []byte, err error) {
	want := make([]byte, block.Size)
	err = b.each(r.t.Context(), some, func(x Block, p []byte, d block.Digest) error {
		what := p[len(p)-1]
		fill(want, what)
		if !bytes.Equal(p, want) || d != block.Sum(p) {
			r.t.Errorf("block %d is another", x.Index)
		}
		got = append(got, what)
		return nil
	})
	return got, err
}

// counted returns a counter of the reads of packs to come.
func (r *rig) counted() *counting {
	c := &counting{Backend: r.lib.Store.Backend}
	r.lib.Store.Backend = c
	return c
}

// compress moves the blocks of a snapshot to a new pack, compressed.
func (r *rig) compress(b *Blocks) {
	r.t.Helper()
	comp, err := frame.NewCompressor(1)
	if err != nil {
		r.t.Fatal(err)
	}
	domain := b.rec.Domain
	w, err := r.lib.Store.NewRewriter(r.t.Context(), r.lease, blockstore.Domain{ID: domain}, nil, 1<<20, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	done := map[block.ID]bool{}
	buf, out, scratch := make([]byte, frame.Size), make([]byte, frame.Size), make([]byte, frame.ScratchSize)
	for _, x := range r.all(b) {
		if done[x.ID] {
			continue
		}
		done[x.ID] = true
		plain, _, err := b.Get(r.t.Context(), x.Index, buf)
		if err != nil {
			r.t.Fatal(err)
		}
		framed, err := comp.Frame(r.keys[domain], out, plain, x.ID, scratch)
		if err == nil {
			_, err = w.Add(r.t.Context(), x.ID, framed)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		r.catalog.Condemn(x.ID)
	}
	p, err := w.Finish(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	r.catalog.Sweep()
	r.catalog.Insert(p)
}

// row returns n blocks from index 0 on, all different.
func row(n int) contents {
	c := contents{}
	for i := range n {
		c[int64(i)] = byte(i + 1)
	}
	return c
}

// scan reads blocks with Scan, and returns their indexes.
func (r *rig) scan(b *Blocks, from int64, c contents) (got []int64, err error) {
	want := make([]byte, block.Size)
	err = b.Scan(r.t.Context(), from, func(x Block, p []byte, d block.Digest) error {
		fill(want, c[x.Index])
		if !bytes.Equal(p, want) || d != block.Sum(p) {
			r.t.Errorf("block %d is another", x.Index)
		}
		got = append(got, x.Index)
		return nil
	})
	return got, err
}

// TestScan reads blocks of which some are equal, from both sides of a page's end.
func TestScan(t *testing.T) {
	c := contents{0: 9, 1: 1, 2: 9, 17: 2, 18: 9, 19: 3, 20: 2, 1023: 9, 1024: 9, 1030: 4, 2047: 1}
	for i := range int64(12) { // more than one window
		c[100+i] = byte(i)
	}
	all := slices.Sorted(maps.Keys(c))
	for _, domain := range []string{"dom-plain", "dom-encrypted"} {
		for _, compressed := range []bool{false, true} {
			r := newRig(t)
			b := r.open(r.snapshot("snap-1", domain, 1, c))
			if compressed {
				r.compress(b)
				b = r.open(b.rec)
			}
			for _, from := range []int64{0, 1, 18, 103, 1024, 1031, 2047, 2048} {
				got, err := r.scan(b, from, c)
				want := all[below(all, from):]
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%s, compressed %v, from %d: got %v, %v", domain, compressed, from, got, err)
				}
			}
		}
	}
	r := newRig(t)
	if got, err := r.scan(r.open(r.snapshot("snap-1", "dom-plain", 1, nil)), 0, nil); err != nil || got != nil {
		t.Errorf("an empty snapshot: %v, %v", got, err)
	}
}

// below returns how many of the sorted indexes are below one.
func below(all []int64, from int64) int {
	n, _ := slices.BinarySearch(all, from)
	return n
}

// TestWorkOfAScan counts what a scan of 20 MiB does. Packs of the rig have four frames,
// which put writes backwards in groups of two.
func TestWorkOfAScan(t *testing.T) {
	for name, tt := range map[string]struct {
		compressed bool
		reads      int64
	}{
		"a read for each pack":            {false, 10},
		"a read for eight frames at most": {true, 5},
	} {
		r := newRig(t)
		c := row(40)
		b := r.open(r.snapshot("snap-1", "dom-plain", 1, c))
		if tt.compressed {
			r.compress(b)
		}
		b = r.open(b.rec)
		reads, pages := r.counted(), r.index.asked
		steps := len(r.journal.Steps())
		if got, err := r.scan(b, 0, c); err != nil || len(got) != len(c) {
			t.Fatalf("%s: %d blocks, %v", name, len(got), err)
		}
		located := 0
		for _, s := range r.journal.Steps()[steps:] {
			if s.Op == "locate" {
				located++
			}
		}
		if n := reads.packs.Load(); n > tt.reads || located > 1 || r.index.asked-pages > 1 {
			t.Errorf("%s: %d reads, want %d; the places of blocks were asked for %d times, of pages %d times, want once for 1,024 blocks",
				name, n, tt.reads, located, r.index.asked-pages)
		}
	}
}

// TestEachIsAFewReads: in any order.
func TestEachIsAFewReads(t *testing.T) {
	for _, domain := range []string{"dom-plain", "dom-encrypted"} {
		r := newRig(t)
		c := contents{0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 9: 7}
		b := r.open(r.snapshot("snap-1", domain, 1, c))
		reads := r.counted()
		some := r.all(b)
		slices.Reverse(some)
		got, err := r.read(b, some)
		if want := []byte{7, 6, 5, 4, 3, 2, 1}; err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: read %v, %v, want %v", domain, got, err, want)
		}
		if n := reads.packs.Load(); n != 2 {
			t.Errorf("%s: %d reads of two packs", domain, n)
		}
		if got, err := r.read(b, r.all(b)); err != nil || !bytes.Equal(got, []byte{1, 2, 3, 4, 5, 6, 7}) || reads.packs.Load() != 4 {
			t.Errorf("%s: read %v, %v with %d reads", domain, got, err, reads.packs.Load()-2)
		}
	}
}

// TestDamageOfANeighbour: a damaged frame is read twice and marked; its neighbours are
// read once, and only a scan that comes to it fails.
func TestDamageOfANeighbour(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		r := newRig(t)
		c := row(4)
		b := r.open(r.snapshot("snap-1", "dom-plain", 1, c))
		if compressed {
			r.compress(b)
			b = r.open(b.rec)
		}
		some := r.all(b)
		at, err := r.catalog.Locate(t.Context(), []block.ID{some[2].ID})
		if err != nil {
			t.Fatal(err)
		}
		bad := at[some[2].ID]
		r.backend.Edit(bad.File.Name(), func(p []byte) []byte { p[int(bad.Off)*4096+15] ^= 1; return p })
		reads := r.counted()
		got, err := r.scan(b, 0, c)
		if !errors.Is(err, frame.ErrCorrupt) || !strings.Contains(err.Error(), "block 2") || !slices.Equal(got, []int64{0, 1}) || r.catalog.Damaged() != 1 {
			t.Errorf("read %v, %v; %d blocks are marked", got, err, r.catalog.Damaged())
		}
		if n := reads.packs.Load(); n != 2 {
			t.Errorf("%d reads, want one of all and one of the damaged frame", n)
		}
		if got, err := r.scan(b, 3, c); err != nil || len(got) != 1 {
			t.Errorf("behind it: %v, %v", got, err)
		}
	}
}

// TestAScanWhosePacksMove rewrites every pack while some of it has been looked up,
// some has been read, and some not.
func TestAScanWhosePacksMove(t *testing.T) {
	r := newRig(t)
	c := row(4 * windowBlocks)
	b := r.open(r.snapshot("snap-1", "dom-plain", 1, c))
	moved := false
	want, n := make([]byte, block.Size), 0
	err := b.Scan(t.Context(), 0, func(x Block, p []byte, _ block.Digest) error {
		if !moved {
			moved = true
			old := r.backend.Names()
			r.compress(r.open(b.rec))
			for _, name := range old {
				if strings.HasPrefix(name, "pack") {
					if err := r.backend.Remove(t.Context(), name); err != nil {
						return err
					}
				}
			}
		}
		n++
		fill(want, c[x.Index])
		if !bytes.Equal(p, want) {
			t.Errorf("block %d is another", x.Index)
		}
		return nil
	})
	if err != nil || n != len(c) || r.catalog.Damaged() != 0 {
		t.Errorf("%d blocks of %d, %v; %d are marked", n, len(c), err, r.catalog.Damaged())
	}
}

// TestHowAScanEnds: with the first error, which is not taken for damage.
func TestHowAScanEnds(t *testing.T) {
	enough := fmt.Errorf("enough: %w", frame.ErrCorrupt)
	for name, tt := range map[string]struct {
		at   func(n int, cancel func()) error // called with each block's number
		keys int                              // how often they can be used; 0: always
		want error
		most int // blocks that are handed out
	}{
		"an error of the caller": {func(n int, _ func()) error {
			if n == 3 {
				return enough
			}
			return nil
		}, 0, enough, 3},
		"cancelled": {func(n int, cancel func()) error {
			if n == 2 {
				cancel()
			}
			return nil
		}, 0, context.Canceled, 4 * windowBlocks},
		"the key is disabled": {func(int, func()) error { return nil }, 2, errLocked, 2 * windowBlocks},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			b := r.open(r.snapshot("snap-1", "dom-encrypted", 1, row(4*windowBlocks)))
			if keys := r.lib.Keys; tt.keys > 0 {
				r.lib.Keys = func(ctx context.Context, domain string) (*frame.Keys, error) {
					if tt.keys--; tt.keys < 0 {
						return nil, errLocked
					}
					return keys(ctx, domain)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n := 0
			err := b.Scan(ctx, 0, func(Block, []byte, block.Digest) error {
				n++
				return tt.at(n, cancel)
			})
			if !errors.Is(err, tt.want) || n > tt.most || r.catalog.Damaged() != 0 {
				t.Errorf("%v after %d blocks; %d are marked", err, n, r.catalog.Damaged())
			}
		})
	}
}

var errLocked = errors.New("the key is disabled")

// TestARunWithADamagedFrame: the others are read, and it is marked.
func TestARunWithADamagedFrame(t *testing.T) {
	r := newRig(t)
	c := contents{0: 1, 1: 2, 2: 3, 3: 4}
	rec := r.snapshot("snap-1", "dom-plain", 1, c)
	b := r.open(rec)
	some := r.all(b)
	slices.Reverse(some)
	at, err := r.catalog.Locate(t.Context(), []block.ID{some[2].ID})
	if err != nil {
		t.Fatal(err)
	}
	bad := at[some[2].ID]
	r.backend.Edit(bad.File.Name(), func(p []byte) []byte { p[int(bad.Off)*4096+5] ^= 1; return p })
	got, err := r.read(b, some)
	if !errors.Is(err, frame.ErrCorrupt) || !bytes.Equal(got, []byte{4, 3}) || r.catalog.Damaged() != 1 {
		t.Errorf("read %v, %v; %d blocks are marked", got, err, r.catalog.Damaged())
	}
	if bad := r.checked(rec, 4); len(bad) != 1 || bad[0].Index != some[2].Index || bad[0].At != at[some[2].ID] || !errors.Is(bad[0].Err, frame.ErrCorrupt) {
		t.Errorf("checked: %+v", bad)
	}
	if got, err := r.read(b, append(some[:2:2], some[3])); err != nil || !bytes.Equal(got, []byte{4, 3, 1}) {
		t.Errorf("without it: %v, %v", got, err)
	}
}

// checked checks a snapshot of n blocks, and returns what could not be read.
func (r *rig) checked(rec Record, n int) (bad []Reading) {
	r.t.Helper()
	read := 0
	if err := r.open(rec).Check(r.t.Context(), func(x Reading) error {
		if read++; x.Err != nil {
			bad = append(bad, x)
		}
		return nil
	}); err != nil || read != n {
		r.t.Errorf("checked %d of %d, %v", read, n, err)
	}
	return bad
}

// TestCheckGoesOn: behind blocks and pages that can't be read.
func TestCheckGoesOn(t *testing.T) {
	r := newRig(t)
	c := contents{0: 1, 1: 2, 1024: 3, 1025: 4, 2000: 5, 3000: 6}
	rec := r.snapshot("snap-1", "dom-plain", 2, c)
	var lost PageID
	for _, e := range r.open(rec).root.pages {
		if e.index == 1 {
			lost = e.id
		}
	}
	delete(r.index.pages, lost)
	b := r.open(rec)
	id, err := b.ID(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	r.catalog.Condemn(id)
	r.catalog.Sweep()
	bad := r.checked(rec, 4)
	if len(bad) != 2 || bad[0].Index != 0 || !errors.Is(bad[0].Err, blockstore.ErrNoBlock) || !bad[1].OfPage || bad[1].Page != 1 || bad[1].Missing != 3 {
		t.Errorf("got %+v", bad)
	}
	enough := errors.New("enough")
	if err := b.Check(t.Context(), func(x Reading) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("ended by its caller: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Check(ctx, func(Reading) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestARunThatMoved reads neighbours whose pack has been rewritten.
func TestARunThatMoved(t *testing.T) {
	r := newRig(t)
	c := contents{0: 1, 1: 2, 2: 3, 3: 4}
	b := r.open(r.snapshot("snap-1", "dom-plain", 1, c))
	some := r.all(b)
	slices.Reverse(some)
	if _, err := r.read(b, some); err != nil {
		t.Fatal(err)
	}
	for _, x := range some {
		r.catalog.Condemn(x.ID)
	}
	r.catalog.Sweep()
	old := r.backend.Names()[0]
	r.write("dom-plain", 2, c)
	if err := r.backend.Remove(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if got, err := r.read(b, some); err != nil || !bytes.Equal(got, []byte{4, 3, 2, 1}) || r.catalog.Damaged() != 0 {
		t.Errorf("read %v, %v; %d blocks are marked", got, err, r.catalog.Damaged())
	}
}

// TestAnErrorOfTheCallerEndsARun: it is not taken for damage.
func TestAnErrorOfTheCallerEndsARun(t *testing.T) {
	r := newRig(t)
	b := r.open(r.snapshot("snap-1", "dom-plain", 1, contents{0: 1, 1: 2, 2: 3}))
	some := r.all(b)
	slices.Reverse(some)
	enough, calls := errors.New("enough"), 0
	err := b.each(t.Context(), some, func(Block, []byte, block.Digest) error {
		if calls++; calls == 2 {
			return fmt.Errorf("%w: %w", enough, frame.ErrCorrupt)
		}
		return nil
	})
	if !errors.Is(err, enough) || calls != 2 || r.catalog.Damaged() != 0 {
		t.Errorf("got %v after %d calls; %d blocks are marked", err, calls, r.catalog.Damaged())
	}
}

// misled is a catalog in which the row of one block says where another lies.
type misled struct {
	blockstore.Catalog
	row, lies block.ID
}

func (m misled) Locate(ctx context.Context, ids []block.ID) (map[block.ID]blockstore.Location, error) {
	at, err := m.Catalog.Locate(ctx, ids)
	at[m.row] = at[m.lies]
	return at, err
}

// TestARowThatNamesAnothersPlace: only equal blocks are read once for all.
func TestARowThatNamesAnothersPlace(t *testing.T) {
	for _, domain := range []string{"dom-plain", "dom-encrypted"} {
		r := newRig(t)
		c := row(4)
		rec := r.snapshot("snap-1", domain, 1, c)
		some := r.all(r.open(rec))
		r.lib.Store.Catalog = misled{r.lib.Store.Catalog, some[2].ID, some[1].ID}
		got, err := r.scan(r.open(rec), 0, c)
		if !errors.Is(err, frame.ErrCorrupt) || !slices.Equal(got, []int64{0, 1}) {
			t.Errorf("%s: scanned %v, %v", domain, got, err)
		}
		read, err := r.read(r.open(rec), some)
		if !errors.Is(err, frame.ErrCorrupt) || !bytes.Equal(read, []byte{1, 2}) {
			t.Errorf("%s: read %v, %v", domain, read, err)
		}
		if bad := r.checked(rec, 4); len(bad) != 1 || bad[0].Index != 2 || !errors.Is(bad[0].Err, frame.ErrCorrupt) {
			t.Errorf("%s: checked: %+v", domain, bad)
		}
	}
}

// cutOff opens no keys anew: the connection to the database, or to a KMS, breaks.
type cutOff struct{ blockstore.DomainKeys }

func (cutOff) KeysWith(context.Context, string, uint32) (*frame.Keys, error) {
	return nil, fmt.Errorf("reading a domain: %w", io.ErrUnexpectedEOF)
}

// TestABrokenConnectionIsNoDamage: though it ends as a file does that is too short.
func TestABrokenConnectionIsNoDamage(t *testing.T) {
	r := newRig(t)
	c := row(3)
	rec := r.snapshot("snap-1", "dom-encrypted", 1, c)
	b := r.open(rec)
	newer, err := r.keys[rec.Domain].WithNewKey()
	if err != nil {
		t.Fatal(err)
	}
	r.keys[rec.Domain] = newer
	r.compress(r.open(rec)) // b lacks the key of what this makes
	r.lib.Store.Keys = cutOff{}
	if _, _, err := b.Get(t.Context(), 1, make([]byte, frame.Size)); !errors.Is(err, io.ErrUnexpectedEOF) || IsDamage(err) || r.catalog.Damaged() != 0 {
		t.Errorf("got %v; %d blocks are marked", err, r.catalog.Damaged())
	}
}
