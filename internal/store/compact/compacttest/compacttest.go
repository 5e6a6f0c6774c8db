// Package compacttest is the conformance suite of compact.Store. What is not part of
// the interface (finishing a unit, gc) the implementation under test brings along.
package compacttest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/catalogtest"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Bench is an empty catalog, and what stands around it.
type Bench struct {
	catalogtest.Fixture
	Store  compact.Store
	Mender compact.Mender
	Keys   keyring.DomainStore
	Files  gc.Files
	Now    func() time.Time // of the store
}

const domain = "dom-00000000000000001"

// Test tests the stores that fresh makes, one for each subtest.
func Test(t *testing.T, fresh func(t *testing.T) Bench) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Bench)
	}{
		{"Packs", packs},
		{"Outdated", outdated},
		{"Live", live},
		{"OneAtATime", oneAtATime},
		{"OneOfManyBegins", oneOfManyBegins},
		{"Move", move},
		{"OnlyWhatStillLiesThere", onlyWhatStillLiesThere},
		{"CondemnedStaysCondemned", condemnedStaysCondemned},
		{"ALostLeaseMovesNothing", aLostLeaseMovesNothing},
		{"TwoMoves", twoMoves},
		{"End", end},
		{"Mend", mend},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, fresh(t)) })
	}
}

// ids returns n IDs that are not in their order.
func ids(n int) []block.ID {
	out := make([]block.ID, n)
	for i := range out {
		out[i] = block.ID(block.Sum([]byte{byte(i), byte(i >> 8)}))
	}
	return out
}

// span returns where the n-th block of a pack lies in it.
func span(n int) blockstore.Span { return blockstore.Span{Off: uint32(1 + 129*n), Len: 129} }

// pack returns a pack of the blocks, with a row that the lease owns.
func (b Bench) pack(t *testing.T, l work.Lease, id blockstore.FileID, bytes int64, blocks ...block.ID) blockstore.ClosedPack {
	t.Helper()
	p := blockstore.ClosedPack{File: blockstore.File{ID: id, Kind: blockstore.PackFile, Domain: domain}, Bytes: bytes}
	for i, b := range blocks {
		p.Blocks = append(p.Blocks, blockstore.Placement{ID: b, Span: span(i)})
	}
	if err := b.Catalog.CreateFile(t.Context(), l, p.File, blockstore.KeyUse{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// stored returns a pack whose blocks are in the catalog.
func (b Bench) stored(t *testing.T, id blockstore.FileID, bytes int64, blocks ...block.ID) blockstore.ClosedPack {
	t.Helper()
	d := blockstore.Domain{ID: domain, Account: "000000000001", WrappedKeys: []byte("keys")}
	if _, err := b.Catalog.EnsureDomain(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	l := b.Lease(t)
	p := b.pack(t, l, id, bytes, blocks...)
	b.Insert(t, l, []blockstore.ClosedPack{p})
	return p
}

// begin begins a step.
func (b Bench) begin(t *testing.T) work.Lease {
	t.Helper()
	l, err := b.Store.Begin(t.Context(), domain, "node", b.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// from returns where the n-th block of a pack lies.
func from(p blockstore.ClosedPack, n int) blockstore.Location {
	return blockstore.Location{File: p.File, Span: p.Blocks[n].Span}
}

// rewritten returns a pack with the blocks from these places, short and in their order.
func (b Bench) rewritten(t *testing.T, l work.Lease, id blockstore.FileID, ids []block.ID, places ...blockstore.Location) compact.Moved {
	t.Helper()
	m := compact.Moved{Pack: b.pack(t, l, id, 500, ids...), Compressed: true, From: places}
	for i := range m.Pack.Blocks {
		m.Pack.Blocks[i].Span = blockstore.Span{Off: uint32(1 + i), Len: 1}
	}
	return m
}

// where checks where blocks lie; nowhere if that is the zero location.
func (b Bench) where(t *testing.T, want map[block.ID]blockstore.Location) {
	t.Helper()
	got, err := b.Catalog.Locate(t.Context(), slices.Collect(maps.Keys(want)))
	if err != nil {
		t.Fatal(err)
	}
	for id, at := range want {
		if got[id] != at {
			t.Errorf("block %s lies at %+v, want %+v", id, got[id], at)
		}
	}
}

// facts checks what is known of a file, besides its names.
func (b Bench) facts(t *testing.T, id blockstore.FileID, want string) {
	t.Helper()
	facts, err := b.Files.Look(t.Context(), []blockstore.FileID{id})
	if err != nil {
		t.Fatal(err)
	}
	f := facts[id]
	got := map[bool]string{true: "open", false: "closed"}[f.Open]
	if f.Named {
		got += " named"
	}
	if f.Entries > 0 && f.Dead == f.Entries {
		got += " dead"
	} else if f.Dead > 0 {
		got += " partly dead"
	}
	if got != want {
		t.Errorf("file %d is %s (%+v), want %s", id, got, f, want)
	}
}

// candidates checks which files gc looks at.
func (b Bench) candidates(t *testing.T, want ...blockstore.FileID) {
	t.Helper()
	got, err := b.Files.TakeFiles(t.Context(), 1, 0, 100)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("gc looks at files %v, %v, want %v", got, err, want)
	}
}

func packs(t *testing.T, b Bench) {
	x := ids(20)
	b.stored(t, 11, 1000, x[:4]...)
	b.stored(t, 12, 100, x[4])
	b.stored(t, 13, 1000, x[5:9]...)
	b.stored(t, 14, 1000, x[5:9]...) // all of it is stored already
	b.stored(t, 15, 1000, x[8], x[9], x[10], x[11])
	l := b.Lease(t)
	b.pack(t, l, 16, 1000, x[12]) // open
	compressed := b.begin(t)
	m := b.rewritten(t, compressed, 17, x[:3], from(blockstore.ClosedPack{File: file(11), Blocks: placed(x[:3])}, 0),
		from(blockstore.ClosedPack{File: file(11), Blocks: placed(x[:3])}, 1), from(blockstore.ClosedPack{File: file(11), Blocks: placed(x[:3])}, 2))
	m.Pack.Bytes = 1000
	if n, err := b.Store.Move(t.Context(), compressed, m); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	for _, c := range []struct {
		name  string
		worth compact.Worth
		after blockstore.FileID
		limit int
		want  []blockstore.FileID
	}{
		{"all that are not compressed", compact.Worth{DeadPercent: 100}, 0, 100, []blockstore.FileID{11, 12, 13, 15}},
		{"after one", compact.Worth{DeadPercent: 100}, 12, 100, []blockstore.FileID{13, 15}},
		{"no more than two", compact.Worth{DeadPercent: 100}, 0, 2, []blockstore.FileID{11, 12}},
		{"short ones too", compact.Worth{DeadPercent: 100, Small: 1001}, 0, 100, []blockstore.FileID{11, 12, 13, 15, 17}},
	} {
		got, err := b.Store.Packs(t.Context(), c.worth, c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		var found []blockstore.FileID
		for _, p := range got {
			found = append(found, p.File.ID)
		}
		if !slices.Equal(found, c.want) {
			t.Errorf("%s: %v, want %v", c.name, found, c.want)
		}
	}
	got, err := b.Store.Packs(t.Context(), compact.Worth{DeadPercent: 100, Small: 1001}, 10, 100)
	if err != nil || len(got) != 5 {
		t.Fatal(got, err)
	}
	for i := range got {
		if got[i].Created.IsZero() {
			t.Errorf("pack %d was created at no time", got[i].File.ID)
		}
		got[i].Created = time.Time{}
	}
	want := []compact.Pack{
		{File: file(11), Bytes: 1000, Entries: 4, Dead: 3},
		{File: file(12), Bytes: 100, Entries: 1},
		{File: file(13), Bytes: 1000, Entries: 4},
		{File: file(15), Bytes: 1000, Entries: 4, Dead: 1},
		{File: file(17), Bytes: 1000, Entries: 3, Compressed: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("packs (-want +got):\n%s", d)
	}
}

// outdated: packs that may have frames under data keys that are to go are worth a look,
// however they are else; what a rewriting says of its pack counts.
func outdated(t *testing.T, b Bench) {
	x := ids(3)
	from := func(n int) blockstore.Location {
		return from(blockstore.ClosedPack{File: file(21), Blocks: placed(x)}, n)
	}
	b.stored(t, 21, 1000, x...)
	for i, key := range []uint32{0, 1, 2} { // moved to packs of their own, under these keys
		l := b.begin(t)
		m := b.rewritten(t, l, blockstore.FileID(22+i), x[i:i+1], from(i))
		m.OldestKey = key
		if n, err := b.Store.Move(t.Context(), l, m); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	worth := func(want map[blockstore.FileID]bool) {
		t.Helper()
		got, err := b.Store.Packs(t.Context(), compact.Worth{DeadPercent: 100}, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		found := map[blockstore.FileID]bool{}
		for _, p := range got {
			found[p.File.ID] = p.Outdated
		}
		if !maps.Equal(found, want) {
			t.Errorf("worth a look are %v, want %v", found, want)
		}
	}
	worth(map[blockstore.FileID]bool{})
	d, err := b.Keys.Domain(t.Context(), domain)
	if err != nil {
		t.Fatal(err)
	}
	with := d
	with.Newest, with.Retire = 2, 2
	if _, err := b.Keys.ReplaceKeys(t.Context(), d, with); err != nil {
		t.Fatal(err)
	}
	worth(map[blockstore.FileID]bool{22: true, 23: true})
}

func file(id blockstore.FileID) blockstore.File {
	return blockstore.File{ID: id, Kind: blockstore.PackFile, Domain: domain}
}

func placed(ids []block.ID) (out []blockstore.Placement) {
	for i, id := range ids {
		out = append(out, blockstore.Placement{ID: id, Span: span(i)})
	}
	return out
}

func live(t *testing.T, b Bench) {
	x := ids(6)
	first := b.stored(t, 21, 1000, x[:5]...)
	if err := b.Catalog.MarkDamaged(t.Context(), x[3], from(first, 3)); err != nil {
		t.Fatal(err)
	}
	b.Condemn(t, x[1:2])
	got, err := b.Store.Live(t.Context(), 21)
	want := slices.Delete(slices.Clone(first.Blocks), 3, 4)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	b.Sweep(t)
	if got, err = b.Store.Live(t.Context(), 21); err != nil || len(got) != 3 {
		t.Errorf("after a sweep: %v, %v", got, err)
	}
	if got, err := b.Store.Live(t.Context(), 99); err != nil || len(got) != 0 {
		t.Errorf("of no file: %v, %v", got, err)
	}
}

func oneAtATime(t *testing.T, b Bench) {
	ctx := t.Context()
	first := b.begin(t)
	if _, err := b.Store.Begin(ctx, domain, "other", b.Now().Add(time.Minute)); !errors.Is(err, compact.ErrBusy) {
		t.Errorf("a second one began: %v", err)
	}
	if _, err := b.Store.Begin(ctx, "dom-00000000000000002", "other", b.Now().Add(time.Minute)); err != nil {
		t.Errorf("another domain: %v", err)
	}
	if err := b.Store.End(ctx, first); err != nil {
		t.Fatal(err)
	}
	lapsed, err := b.Store.Begin(ctx, domain, "node", b.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	b.pack(t, lapsed, 31, 1000)
	next := b.begin(t) // the one before has lapsed
	if lapsed.ID == next.ID && lapsed.Attempt == next.Attempt {
		t.Error("two leases are the same")
	}
	if err := b.Catalog.CreateFile(ctx, lapsed, file(32), blockstore.KeyUse{}); !errors.Is(err, work.ErrLost) {
		t.Errorf("the lapsed lease still writes: %v", err)
	}
	b.candidates(t, 31)
	b.pack(t, next, 33, 1000)
	b.candidates(t, 31)
}

func oneOfManyBegins(t *testing.T, b Bench) {
	const callers = 4
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			_, errs[i] = b.Store.Begin(context.WithoutCancel(t.Context()), domain, "node", b.Now().Add(time.Minute))
		})
	}
	wg.Wait()
	began := 0
	for _, err := range errs {
		if err == nil {
			began++
		} else if !errors.Is(err, compact.ErrBusy) {
			t.Error(err)
		}
	}
	if began != 1 {
		t.Errorf("%d of %d began", began, callers)
	}
}

func move(t *testing.T, b Bench) {
	x := ids(5)
	one, two := b.stored(t, 41, 1000, x[:3]...), b.stored(t, 42, 1000, x[3:]...)
	l := b.begin(t)
	m := b.rewritten(t, l, 43, []block.ID{x[2], x[0], x[1], x[4]}, from(one, 2), from(one, 0), from(one, 1), from(two, 1))
	b.facts(t, 43, "open")
	if n, err := b.Store.Move(t.Context(), l, m); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	b.where(t, map[block.ID]blockstore.Location{
		x[2]: from(m.Pack, 0), x[0]: from(m.Pack, 1), x[1]: from(m.Pack, 2), x[4]: from(m.Pack, 3), x[3]: from(two, 0),
	})
	b.facts(t, 41, "closed dead")
	b.facts(t, 42, "closed named partly dead")
	b.facts(t, 43, "closed named")
	b.candidates(t, 41, 42)
	got, err := b.Store.Live(t.Context(), 43)
	if err != nil || !slices.Equal(got, m.Pack.Blocks) {
		t.Errorf("the new pack has %v, %v, want %v", got, err, m.Pack.Blocks)
	}
	if l := b.begin(t); b.Store.End(t.Context(), l) != nil { // the unit has ended
		t.Error("ending it failed")
	}
}

// onlyWhatStillLiesThere moves blocks that were deleted, moved, healed or found
// damaged after they had been read.
func onlyWhatStillLiesThere(t *testing.T, b Bench) {
	ctx, x := t.Context(), ids(6)
	old := b.stored(t, 51, 1000, x[:5]...)
	l := b.begin(t)
	m := b.rewritten(t, l, 52, x[:5], from(old, 0), from(old, 1), from(old, 2), from(old, 3), from(old, 4))
	b.Condemn(t, x[1:2])
	b.Sweep(t) // 1 is deleted
	for _, i := range []int{2, 3} {
		if err := b.Catalog.MarkDamaged(ctx, x[i], from(old, i)); err != nil {
			t.Fatal(err)
		}
	}
	healed := b.stored(t, 53, 1000, x[2]) // 2 is healed, 3 stays damaged
	m.From[4].Off += 7                    // 4 lies elsewhere
	if n, err := b.Store.Move(ctx, l, m); n != 1 || err != nil {
		t.Fatalf("%d blocks moved, %v, want the first", n, err)
	}
	b.where(t, map[block.ID]blockstore.Location{x[0]: from(m.Pack, 0), x[1]: {}, x[2]: from(healed, 0), x[3]: from(old, 3), x[4]: from(old, 4)})
	b.facts(t, 52, "closed named partly dead")
	if got, err := b.Catalog.Claim(ctx, x[3:4]); err != nil || len(got) != 0 {
		t.Errorf("the damaged block is a dedupe hit: %v, %v", got, err)
	}
}

// condemnedStaysCondemned: a move is no dedupe hit, and takes none away.
func condemnedStaysCondemned(t *testing.T, b Bench) {
	x := ids(3)
	old := b.stored(t, 61, 1000, x...)
	b.Condemn(t, x[:2])
	l := b.begin(t)
	m := b.rewritten(t, l, 62, x, from(old, 0), from(old, 1), from(old, 2))
	if got, err := b.Catalog.Claim(t.Context(), x[:1]); err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	if n, err := b.Store.Move(t.Context(), l, m); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	b.Sweep(t)
	b.where(t, map[block.ID]blockstore.Location{x[0]: from(m.Pack, 0), x[1]: {}, x[2]: from(m.Pack, 2)})
}

func aLostLeaseMovesNothing(t *testing.T, b Bench) {
	x := ids(2)
	old := b.stored(t, 71, 1000, x...)
	l := b.begin(t)
	m := b.rewritten(t, l, 72, x, from(old, 0), from(old, 1))
	b.Lose(t, l)
	if _, err := b.Store.Move(t.Context(), l, m); !errors.Is(err, work.ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
	b.where(t, map[block.ID]blockstore.Location{x[0]: from(old, 0), x[1]: from(old, 1)})
	b.candidates(t, 72)
	if err := b.Store.End(t.Context(), l); err != nil {
		t.Errorf("ending a lost lease: %v", err)
	}
	l = b.begin(t)
	if _, err := b.Store.Move(t.Context(), l, m); err == nil {
		t.Error("another's file was closed")
	}
	short := b.rewritten(t, l, 73, x, from(old, 0))
	if _, err := b.Store.Move(t.Context(), l, short); err == nil {
		t.Error("blocks without places were moved")
	}
	b.facts(t, 73, "open")
	b.where(t, map[block.ID]blockstore.Location{x[0]: from(old, 0), x[1]: from(old, 1)})
}

// twoMoves: of two that have read the same pack, the first moves its blocks, and what
// the second wrote is garbage.
func twoMoves(t *testing.T, b Bench) {
	x := ids(2)
	old := b.stored(t, 81, 1000, x...)
	l := b.begin(t)
	first := b.rewritten(t, l, 82, x, from(old, 0), from(old, 1))
	if n, err := b.Store.Move(t.Context(), l, first); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	l = b.begin(t)
	second := b.rewritten(t, l, 83, x, from(old, 0), from(old, 1))
	if n, err := b.Store.Move(t.Context(), l, second); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	b.where(t, map[block.ID]blockstore.Location{x[0]: from(first.Pack, 0), x[1]: from(first.Pack, 1)})
	b.facts(t, 83, "closed dead")
	b.candidates(t, 81, 83)
}

func end(t *testing.T, b Bench) {
	l := b.begin(t)
	b.pack(t, l, 91, 1000)
	for range 2 {
		if err := b.Store.End(t.Context(), l); err != nil {
			t.Error(err)
		}
	}
	if err := b.Catalog.CreateFile(t.Context(), l, file(92), blockstore.KeyUse{}); !errors.Is(err, work.ErrLost) {
		t.Errorf("after its end: %v, want ErrLost", err)
	}
	b.candidates(t, 91)
}

// mend: blocks that are damaged, or have no row, lie in the new pack then; others stay.
func mend(t *testing.T, b Bench) {
	x := ids(3)
	old := b.stored(t, 1, 1000, x[:2]...)
	if err := b.Catalog.MarkDamaged(t.Context(), x[1], from(old, 1)); err != nil {
		t.Fatal(err)
	}
	l := b.begin(t)
	p := b.pack(t, l, 2, 500, x...)
	n, err := b.Mender.Mend(t.Context(), l, compact.Mended{Pack: &p})
	if err != nil || n != 2 {
		t.Errorf("mended %d, %v", n, err)
	}
	b.where(t, map[block.ID]blockstore.Location{x[0]: from(old, 0), x[1]: from(p, 1), x[2]: from(p, 2)})
	b.facts(t, 1, "closed named partly dead")
	b.facts(t, 2, "closed named partly dead")
	if hit, err := b.Catalog.Claim(t.Context(), x[1:]); err != nil || len(hit) != 2 {
		t.Errorf("dedupe hits are %v, %v", hit, err)
	}
	if _, err := b.Mender.Mend(t.Context(), l, compact.Mended{Pack: &p}); !errors.Is(err, work.ErrLost) {
		t.Errorf("under a lease that has ended: %v", err)
	}
	l = b.begin(t) // there may be another
	f := blockstore.File{ID: 3, Kind: blockstore.PagesFile}
	if err := b.Catalog.CreateFile(t.Context(), l, f, blockstore.KeyUse{}); err != nil {
		t.Fatal(err)
	}
	page := snapshot.PagePlace{ID: snapshot.PageID(x[0]), File: 3, Len: 168, Blocks: 1}
	if n, err := b.Mender.Mend(t.Context(), l, compact.Mended{PagesFile: f, PagesBytes: 168, Pages: []snapshot.PagePlace{page}}); err != nil || n != 0 {
		t.Errorf("mended pages and %d blocks, %v", n, err)
	}
	b.facts(t, 3, "closed named")
}
