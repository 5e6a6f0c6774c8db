// Package catalogtest is the conformance suite of blockstore.Catalog. What is not
// part of the interface (finishing a unit, gc) the implementation under test brings
// along as functions.
package catalogtest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/work"
)

// Fixture is an empty catalog, and functions that stand for the events around it.
// The functions fail the test themselves.
type Fixture struct {
	Catalog blockstore.Catalog
	Owner   blockstore.Owner
	// Lease returns the lease of a unit of its own, held.
	Lease func(t testing.TB) work.Lease
	// Lose makes the lease lost.
	Lose func(t testing.TB, l work.Lease)
	// Insert enters the packs, whose rows the lease owns, and their blocks, as
	// the event that finishes the lease's unit does (step 4 of the ordering
	// invariant). The lease is of no use afterwards.
	Insert func(t testing.TB, l work.Lease, packs []blockstore.ClosedPack)
	// Condemn marks blocks as garbage, as gc does first.
	Condemn func(t testing.TB, ids []block.ID)
	// Sweep deletes the rows of all condemned blocks, as gc does last.
	Sweep func(t testing.TB)
	// LoseFile deletes the row of a file, as damage would.
	LoseFile func(t testing.TB, id blockstore.FileID)
}

// Run tests the catalogs that fresh makes, one for each subtest.
func Run(t *testing.T, fresh func(t *testing.T) Fixture) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Fixture)
	}{
		{"EnsureDomain", ensureDomain},
		{"EnsureDomainRace", ensureDomainRace},
		{"CreateFile", createFile},
		{"CreateFileLost", createFileLost},
		{"CreateFileStaleKey", createFileStaleKey},
		{"CheckLease", checkLease},
		{"Locate", locate},
		{"LocateMany", locateMany},
		{"FirstCopyStays", firstCopyStays},
		{"InsertUncondemns", insertUncondemns},
		{"ClaimUncondemns", claimUncondemns},
		{"ClaimRace", claimRace},
		{"Damage", damage},
		{"DamageHeals", damageHeals},
		{"Identity", identity},
		{"IdentityRace", identityRace},
		{"KnownFiles", knownFiles},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, fresh(t)) })
	}
}

func domain(id, account, key string) blockstore.Domain {
	return blockstore.Domain{ID: "dom-" + id, Account: account, KMSKey: key, WrappedKeys: []byte("keys of " + id)}
}

func same(a, b blockstore.Domain) bool {
	return a.ID == b.ID && a.Account == b.Account && a.KMSKey == b.KMSKey && string(a.WrappedKeys) == string(b.WrappedKeys)
}

func ensureDomain(t *testing.T, f Fixture) {
	const key = "arn:aws:kms:us-east-1:000000000001:key/1"
	first := domain("00000000000000001", "000000000001", "")
	for _, c := range []struct {
		name      string
		ask, want blockstore.Domain
	}{
		{"new", first, first},
		{"again", domain("00000000000000002", "000000000001", ""), first},
		{"other key", domain("00000000000000003", "000000000001", key), domain("00000000000000003", "000000000001", key)},
		{"other account", domain("00000000000000004", "000000000002", ""), domain("00000000000000004", "000000000002", "")},
		{"the first still", domain("00000000000000005", "000000000001", ""), first},
	} {
		got, err := f.Catalog.EnsureDomain(t.Context(), c.ask)
		if err != nil || !same(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

// ensureDomainRace: the loser gets the winner's keys, or equal blocks would have
// two IDs.
func ensureDomainRace(t *testing.T, f Fixture) {
	const callers = 8
	got, errs := make([]blockstore.Domain, callers), make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			got[i], errs[i] = f.Catalog.EnsureDomain(t.Context(), domain("0000000000000001"+string(rune('a'+i)), "000000000001", ""))
		})
	}
	wg.Wait()
	for i := range callers {
		if errs[i] != nil || !same(got[i], got[0]) {
			t.Errorf("caller %d: got %+v, %v; caller 0 got %+v", i, got[i], errs[i], got[0])
		}
	}
}

// span returns where the n-th block of a pack lies in it.
func span(n int) blockstore.Span {
	return blockstore.Span{Off: uint32(1 + 129*n), Len: uint32(129 - n%7)}
}

// pack returns a pack of the blocks, with a row that the lease owns.
func pack(t *testing.T, f Fixture, l work.Lease, id blockstore.FileID, blocks ...block.ID) blockstore.ClosedPack {
	t.Helper()
	d, err := f.Catalog.EnsureDomain(t.Context(), domain("00000000000000001", "000000000001", ""))
	if err != nil {
		t.Fatal(err)
	}
	p := blockstore.ClosedPack{File: blockstore.File{ID: id, Kind: blockstore.PackFile, Domain: d.ID}, Bytes: 1 << 20}
	for i, b := range blocks {
		p.Blocks = append(p.Blocks, blockstore.Placement{ID: b, Span: span(i)})
	}
	if err := f.Catalog.CreateFile(t.Context(), l, p.File, blockstore.KeyUse{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// stored returns a pack whose blocks are in the catalog.
func stored(t *testing.T, f Fixture, id blockstore.FileID, blocks ...block.ID) blockstore.ClosedPack {
	t.Helper()
	l := f.Lease(t)
	p := pack(t, f, l, id, blocks...)
	f.Insert(t, l, []blockstore.ClosedPack{p})
	return p
}

// ids returns n IDs that are not in their order.
func ids(n int) []block.ID {
	out := make([]block.ID, n)
	for i := range out {
		out[i] = block.ID(block.Sum([]byte{byte(i), byte(i >> 8)}))
	}
	return out
}

func createFile(t *testing.T, f Fixture) {
	l := f.Lease(t)
	pack(t, f, l, 7)
	for _, file := range []blockstore.File{
		{ID: 8, Kind: blockstore.PagesFile}, {ID: 9, Kind: blockstore.RootFile}, {ID: 1<<63 - 1, Kind: blockstore.PagesFile},
	} {
		if err := f.Catalog.CreateFile(t.Context(), l, file, blockstore.KeyUse{}); err != nil {
			t.Errorf("creating %+v: %v", file, err)
		}
	}
	if err := f.Catalog.CreateFile(t.Context(), f.Lease(t), blockstore.File{ID: 7, Kind: blockstore.PagesFile}, blockstore.KeyUse{}); err == nil {
		t.Error("a file ID was used twice")
	}
}

func createFileLost(t *testing.T, f Fixture) {
	l := f.Lease(t)
	f.Lose(t, l)
	if err := f.Catalog.CreateFile(t.Context(), l, blockstore.File{ID: 7, Kind: blockstore.RootFile}, blockstore.KeyUse{}); !errors.Is(err, work.ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
	if err := f.Catalog.CreateFile(t.Context(), f.Lease(t), blockstore.File{ID: 7, Kind: blockstore.RootFile}, blockstore.KeyUse{}); err != nil {
		t.Errorf("the lost lease left a row: %v", err)
	}
}

// checkLease: a lease that was lost is not held, whatever becomes of others.
func checkLease(t *testing.T, f Fixture) {
	l, other := f.Lease(t), f.Lease(t)
	check := func(what string, l work.Lease, want error) {
		t.Helper()
		if err := f.Catalog.CheckLease(t.Context(), l); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	check("held", l, nil)
	f.Lose(t, l)
	check("lost", l, work.ErrLost)
	check("another", other, nil)
}

// createFileStaleKey: a pack that is not to be encrypted under a key has no row, and what
// it would have encrypted is not counted.
func createFileStaleKey(t *testing.T, f Fixture) {
	l := f.Lease(t)
	d, err := f.Catalog.EnsureDomain(t.Context(), domain("00000000000000001", "000000000001", "key"))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		id   blockstore.FileID
		use  blockstore.KeyUse
		want error
	}{
		{7, blockstore.KeyUse{Newest: 1, Blocks: 1, Limit: 10}, blockstore.ErrStaleKey},
		{7, blockstore.KeyUse{Blocks: 11, Limit: 10}, blockstore.ErrStaleKey},
		{7, blockstore.KeyUse{Blocks: 6, Limit: 10}, nil},
		{8, blockstore.KeyUse{Blocks: 5, Limit: 10}, blockstore.ErrStaleKey},
		{8, blockstore.KeyUse{Newest: 9}, nil}, // encrypts nothing
		{9, blockstore.KeyUse{Blocks: 4, Limit: 10}, nil},
		{10, blockstore.KeyUse{Blocks: 1, Limit: 10}, blockstore.ErrStaleKey},
	} {
		file := blockstore.File{ID: c.id, Kind: blockstore.PackFile, Domain: d.ID}
		if err := f.Catalog.CreateFile(t.Context(), l, file, c.use); !errors.Is(err, c.want) {
			t.Errorf("%d: file %d with %+v: %v, want %v", i, c.id, c.use, err, c.want)
		}
	}
}

func locate(t *testing.T, f Fixture) {
	b := ids(5)
	check := func(name string, ask []block.ID, want map[block.ID]blockstore.Location) {
		t.Helper()
		got, err := f.Catalog.Locate(t.Context(), ask)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, want)
		}
	}
	check("empty catalog", b, nil)
	l := f.Lease(t)
	p := pack(t, f, l, 21, b[1], b[3], b[0])
	check("before the unit is finished", b, nil)
	f.Insert(t, l, []blockstore.ClosedPack{p})
	check("nothing asked", nil, nil)
	check("some", b[1:3], map[block.ID]blockstore.Location{b[1]: {File: p.File, Span: span(0)}})
	check("all", b, map[block.ID]blockstore.Location{
		b[1]: {File: p.File, Span: span(0)}, b[3]: {File: p.File, Span: span(1)}, b[0]: {File: p.File, Span: span(2)},
	})
	check("one twice", []block.ID{b[3], b[3]}, map[block.ID]blockstore.Location{b[3]: {File: p.File, Span: span(1)}})
}

// locateMany asks for more than a statement may have parameters, in two packs.
func locateMany(t *testing.T, f Fixture) {
	b := ids(1500)
	l := f.Lease(t)
	p := []blockstore.ClosedPack{pack(t, f, l, 31, b[:700]...), pack(t, f, l, 32, b[700:1400]...)}
	f.Insert(t, l, p)
	got, err := f.Catalog.Locate(t.Context(), b)
	if err != nil || len(got) != 1400 {
		t.Fatalf("got %d locations, %v, want 1400", len(got), err)
	}
	for i, id := range b[:1400] {
		if want := (blockstore.Location{File: p[i/700].File, Span: span(i % 700)}); got[id] != want {
			t.Fatalf("block %d: got %+v, want %+v", i, got[id], want)
		}
	}
}

func firstCopyStays(t *testing.T, f Fixture) {
	b := ids(3)
	first := stored(t, f, 41, b[0], b[1])
	second := stored(t, f, 42, b[1], b[2])
	got, err := f.Catalog.Locate(t.Context(), b)
	want := map[block.ID]blockstore.Location{
		b[0]: {File: first.File, Span: span(0)}, b[1]: {File: first.File, Span: span(1)}, b[2]: {File: second.File, Span: span(1)},
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// remaining returns which of the blocks survive a sweep.
func remaining(t *testing.T, f Fixture, b []block.ID) []bool {
	t.Helper()
	f.Sweep(t)
	got, err := f.Catalog.Locate(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]bool, len(b))
	for i, id := range b {
		_, out[i] = got[id]
	}
	return out
}

func insertUncondemns(t *testing.T, f Fixture) {
	b := ids(3)
	stored(t, f, 51, b...)
	f.Condemn(t, b[:2])
	stored(t, f, 52, b[0])
	if got, want := remaining(t, f, b), []bool{true, false, true}; !slices.Equal(got, want) {
		t.Errorf("after a sweep there are %v, want %v", got, want)
	}
}

func claimUncondemns(t *testing.T, f Fixture) {
	b := ids(5)
	stored(t, f, 61, b[:4]...)
	f.Condemn(t, b[:3])
	if got, err := f.Catalog.Locate(t.Context(), b[:1]); err != nil || len(got) != 1 {
		t.Errorf("a condemned block is not located: %v, %v", got, err)
	}
	ask := []block.ID{b[4], b[3], b[1], b[0]}
	got, err := f.Catalog.Claim(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	want := []block.ID{b[0], b[1], b[3]}
	order := func(x, y block.ID) int {
		if x.Less(y) {
			return -1
		}
		return 1
	}
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if !slices.Equal(got, want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
	if got, want := remaining(t, f, b), []bool{true, true, false, true, false}; !slices.Equal(got, want) {
		t.Errorf("after a sweep there are %v, want %v", got, want)
	}
	if got, err := f.Catalog.Claim(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("claiming nothing gave %v, %v", got, err)
	}
	if got, err := f.Catalog.Claim(t.Context(), b[2:3]); err != nil || len(got) != 0 {
		t.Errorf("claiming a swept block gave %v, %v", got, err)
	}
}

// claimRace claims and condemns the same blocks, in different orders, against a
// sweep: what was claimed last is there, and no call waits for ever.
func claimRace(t *testing.T, f Fixture) {
	const callers = 4
	b := ids(24)
	stored(t, f, 71, b...)
	f.Condemn(t, b)
	claimed, errs := make([][]block.ID, callers), make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			ask := slices.Clone(b)
			if i%2 == 1 {
				slices.Reverse(ask)
			}
			claimed[i], errs[i] = f.Catalog.Claim(context.WithoutCancel(t.Context()), ask)
		})
	}
	wg.Go(func() { f.Sweep(t) })
	wg.Wait()
	at, err := f.Catalog.Locate(t.Context(), b)
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	for i := range callers {
		for _, id := range claimed[i] {
			if _, ok := at[id]; !ok {
				t.Fatalf("caller %d claimed block %v, which is gone", i, id)
			}
		}
	}
}
