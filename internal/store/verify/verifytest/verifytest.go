// Package verifytest is the conformance suite of verify.Store. What is not part of the
// interface (finishing a unit, damage) the implementation under test brings along.
package verifytest

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/catalogtest"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/store/verify"
	"github.com/diskport/diskport/internal/work"
)

// Bench is an empty catalog, and what stands around it.
type Bench struct {
	catalogtest.Fixture
	Store   verify.Store
	Fixes   verify.Fixes
	Entries verify.Entries
	GC      gc.Store
	Rounds  verify.Rounds
	// AddPages enters pages that lie in a closed pages file of some bytes, with its row.
	AddPages func(t *testing.T, file blockstore.FileID, bytes int64, pages []snapshot.PagePlace)
	// AddSnapshot adds a snapshot with the row of its root. Without a state it has been
	// completed.
	AddSnapshot func(t *testing.T, rec snapshot.Record)
	// LoseSnapshot has the row of a snapshot gone, without what a deletion does.
	LoseSnapshot func(t *testing.T, id string)
	// DeleteSnapshot deletes a snapshot of account "a" in us-east-1.
	DeleteSnapshot func(t *testing.T, id string)
	// SetSpan makes the row of a block say numbers that no event writes.
	SetSpan func(t *testing.T, id block.ID, off, len int64)
}

// Test tests the stores that fresh makes, one for each subtest.
func Test(t *testing.T, fresh func(t *testing.T) Bench) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Bench)
	}{
		{"Files", files},
		{"Contents", contents},
		{"Homeless", homeless},
		{"Snapshots", snapshots},
		{"Places", places},
		{"Marks", marks},
		{"NumbersThatCantBe", numbersThatCantBe},
		{"Domains", domains},
		{"Engine", engine},
		{"Suspect", suspect},
		{"FixFile", fixFile},
		{"FixDomain", fixDomain},
		{"FixSnapshot", fixSnapshot},
		{"EnterDomain", enterDomain},
		{"Rebuilds", rebuilds},
		{"EnterFile", enterFile},
		{"EnterSnapshot", enterSnapshot},
		{"Rounds", rounds},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, fresh(t)) })
	}
}

const domain = "dom-00000000000000001"

func id(n byte) block.ID { return block.ID(block.Sum([]byte{n})) }

func pageID(n byte) snapshot.PageID { return snapshot.PageID(block.Sum([]byte{n, 1})) }

// stored returns a pack whose blocks are in the catalog.
func (b Bench) stored(t *testing.T, file blockstore.FileID, blocks ...block.ID) blockstore.ClosedPack {
	t.Helper()
	l := b.Lease(t)
	p := blockstore.ClosedPack{File: blockstore.File{ID: file, Kind: blockstore.PackFile, Domain: domain}, Bytes: 1000}
	for i, x := range blocks {
		p.Blocks = append(p.Blocks, blockstore.Placement{ID: x, Span: blockstore.Span{Off: uint32(1 + 2*i), Len: 2}})
	}
	if err := b.Catalog.CreateFile(t.Context(), l, p.File, blockstore.KeyUse{Oldest: 3}); err != nil {
		t.Fatal(err)
	}
	b.Insert(t, l, []blockstore.ClosedPack{p})
	return p
}

func files(t *testing.T, b Bench) {
	p := b.stored(t, 5, id(1), id(2))
	b.stored(t, 9, id(2))
	open := blockstore.File{ID: 7, Kind: blockstore.RootFile}
	if err := b.Catalog.CreateFile(t.Context(), b.Lease(t), open, blockstore.KeyUse{}); err != nil {
		t.Fatal(err)
	}
	got, err := b.Store.Files(t.Context(), math.MinInt64, 2)
	want := []verify.FileRow{
		{File: p.File, State: "closed", Bytes: 1000, Entries: 2, OldestKey: 3},
		{File: open, State: "open"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	got, err = b.Store.Files(t.Context(), 7, 2)
	if err != nil || len(got) != 1 || got[0].ID != 9 || got[0].Dead != 1 {
		t.Errorf("behind 7: %+v, %v", got, err)
	}
}

func contents(t *testing.T, b Bench) {
	p := b.stored(t, 5, id(1), id(2))
	at := blockstore.Location{File: p.File, Span: p.Blocks[1].Span}
	if err := b.Store.MarkDamaged(t.Context(), id(2), at); err != nil {
		t.Fatal(err)
	}
	c, err := b.Store.Contents(t.Context(), 5)
	slices.SortFunc(c.Blocks, func(x, y verify.BlockRow) int { return int(x.Off) - int(y.Off) })
	want := []verify.BlockRow{{Placement: p.Blocks[0]}, {Placement: p.Blocks[1], Damaged: true}}
	if err != nil || !c.HasRow || c.Row.ID != 5 || !slices.Equal(c.Blocks, want) || len(c.Pages) != 0 || c.Roots != 0 {
		t.Errorf("a pack: %+v, %v", c, err)
	}
	page := snapshot.PagePlace{ID: pageID(1), File: 6, Off: 10, Len: 168, Blocks: 1}
	b.AddPages(t, 6, 178, []snapshot.PagePlace{page})
	c, err = b.Store.Contents(t.Context(), 6)
	if err != nil || c.Row.Entries != 1 || !slices.Equal(c.Pages, []snapshot.PagePlace{page}) {
		t.Errorf("pages: %+v, %v", c, err)
	}
	for _, name := range []string{"snap-1", "snap-2"} {
		b.AddSnapshot(t, snapshot.Record{ID: name, Root: blockstore.File{ID: 8, Kind: blockstore.RootFile}})
	}
	if c, err = b.Store.Contents(t.Context(), 8); err != nil || c.Roots != 2 {
		t.Errorf("a root: %+v, %v", c, err)
	}
	if c, err = b.Store.Contents(t.Context(), 77); err != nil || c.HasRow || len(c.Blocks) != 0 {
		t.Errorf("no file: %+v, %v", c, err)
	}
}

func homeless(t *testing.T, b Bench) {
	b.stored(t, 5, id(1))
	b.stored(t, 6, id(2), id(3))
	b.AddPages(t, 7, 168, []snapshot.PagePlace{{ID: pageID(1), File: 7, Len: 168, Blocks: 1}})
	if got, err := b.Store.Homeless(t.Context(), math.MinInt64, 10); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
	b.LoseFile(t, 6)
	b.LoseFile(t, 7)
	for _, c := range []struct {
		after blockstore.FileID
		limit int
		want  []blockstore.FileID
	}{{math.MinInt64, 10, []blockstore.FileID{6, 7}}, {math.MinInt64, 1, []blockstore.FileID{6}}, {6, 1, []blockstore.FileID{7}}} {
		if got, err := b.Store.Homeless(t.Context(), c.after, c.limit); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("behind %d: %v, %v, want %v", c.after, got, err, c.want)
		}
	}
	c, err := b.Store.Contents(t.Context(), 6)
	if err != nil || c.HasRow || len(c.Blocks) != 2 {
		t.Errorf("what lies in a file without a row: %+v, %v", c, err)
	}
	found, err := b.Store.Places(t.Context(), []block.ID{id(2)})
	if err != nil || found[id(2)].HasFile || found[id(2)].File.ID != 6 {
		t.Errorf("a block in a file without a row: %+v, %v", found, err)
	}
}

func snapshots(t *testing.T, b Bench) {
	for i, name := range []string{"snap-2", "snap-1", "snap-3"} {
		b.AddSnapshot(t, snapshot.Record{ID: name, Account: "a", Region: "us-east-1", Domain: domain, VolumeSize: 7, Blocks: 3, Root: blockstore.File{ID: blockstore.FileID(10 + i), Kind: blockstore.RootFile}})
	}
	names := func(list []snapshot.Record) (names []string) {
		for _, r := range list {
			names = append(names, r.ID)
		}
		return names
	}
	list, err := b.Store.Snapshots(t.Context(), "", 2)
	if err != nil || !slices.Equal(names(list), []string{"snap-1", "snap-2"}) || list[0].Root.ID != 11 || list[0].State != snapshot.Completed || list[0].VolumeSize != 7 {
		t.Errorf("got %+v, %v", list, err)
	}
	if list, err = b.Store.Snapshots(t.Context(), "snap-2", 2); err != nil || !slices.Equal(names(list), []string{"snap-3"}) {
		t.Errorf("got %+v, %v", list, err)
	}
}

func places(t *testing.T, b Bench) {
	p := b.stored(t, 5, id(1), id(2))
	got, err := b.Store.Places(t.Context(), []block.ID{id(2), id(3)})
	want := map[block.ID]verify.Place{id(2): {Location: blockstore.Location{File: p.File, Span: p.Blocks[1].Span}, HasFile: true}}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// marks: one is taken away only from where the block was read.
func marks(t *testing.T, b Bench) {
	p := b.stored(t, 5, id(1))
	at := blockstore.Location{File: p.File, Span: p.Blocks[0].Span}
	elsewhere, longer := at, at
	elsewhere.Off++
	longer.Len++
	for _, c := range []struct {
		name string
		do   func() error
		want bool
	}{
		{"marked elsewhere", func() error { return b.Store.MarkDamaged(t.Context(), id(1), elsewhere) }, false},
		{"marked", func() error { return b.Store.MarkDamaged(t.Context(), id(1), at) }, true},
		{"cleared elsewhere", func() error { return b.Store.ClearDamage(t.Context(), id(1), elsewhere) }, true},
		{"cleared of another length", func() error { return b.Store.ClearDamage(t.Context(), id(1), longer) }, true},
		{"cleared", func() error { return b.Store.ClearDamage(t.Context(), id(1), at) }, false},
		{"cleared again", func() error { return b.Store.ClearDamage(t.Context(), id(1), at) }, false},
	} {
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		got, err := b.Store.Places(t.Context(), []block.ID{id(1)})
		hit, cerr := b.Catalog.Claim(t.Context(), []block.ID{id(1)})
		if err != nil || cerr != nil || got[id(1)].Damaged != c.want || (len(hit) == 0) != c.want {
			t.Errorf("%s: %+v, %v, %v, %v, want %v", c.name, got, hit, err, cerr, c.want)
		}
	}
}

// numbersThatCantBe hide no other row, and can be marked.
func numbersThatCantBe(t *testing.T, b Bench) {
	p := b.stored(t, 5, id(1), id(2))
	for _, off := range []int64{-1, 1 << 40, math.MinInt64} {
		b.SetSpan(t, id(1), off, off)
		got, err := b.Store.Places(t.Context(), []block.ID{id(1), id(2)})
		if err != nil || got[id(2)].Span != p.Blocks[1].Span || got[id(1)].Check() == nil {
			t.Errorf("%d: %+v, %v", off, got, err)
		}
		if c, err := b.Store.Contents(t.Context(), 5); err != nil || len(c.Blocks) != 2 {
			t.Errorf("%d: %+v, %v", off, c, err)
		}
		if err := b.Store.MarkDamaged(t.Context(), id(1), got[id(1)].Location); err != nil {
			t.Errorf("%d: %v", off, err)
		}
		if got, err = b.Store.Places(t.Context(), []block.ID{id(1)}); err != nil || !got[id(1)].Damaged {
			t.Errorf("%d: %+v, %v", off, got, err)
		}
	}
	b.SetSpan(t, id(1), 1, 2)
	if err := b.Store.ClearDamage(t.Context(), id(1), blockstore.Location{File: p.File, Span: p.Blocks[0].Span}); err != nil {
		t.Error(err)
	}
}

func domains(t *testing.T, b Bench) {
	for _, d := range []blockstore.Domain{{ID: "dom-2", Account: "b", WrappedKeys: []byte("k")}, {ID: "dom-1", Account: "a", KMSKey: "key", WrappedKeys: []byte("l")}} {
		if _, err := b.Catalog.EnsureDomain(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Store.DomainRows(t.Context())
	if err != nil || len(got) != 2 || got[0].ID != "dom-1" || got[0].KMSKey != "key" || string(got[1].WrappedKeys) != "k" {
		t.Errorf("got %+v, %v", got, err)
	}
	rows, err := b.Store.FilesWithRows(t.Context(), []blockstore.FileID{5})
	if err != nil || rows[5] {
		t.Errorf("a file that there is not: %v, %v", rows, err)
	}
	b.stored(t, 5, id(1))
	if rows, err = b.Store.FilesWithRows(t.Context(), []blockstore.FileID{5, 6}); err != nil || !rows[5] || rows[6] {
		t.Errorf("files with rows: %v, %v", rows, err)
	}
}

func engine(t *testing.T, b Bench) {
	if r, err := b.Store.CheckEngine(t.Context()); err != nil || len(r.Problems) != 0 {
		t.Errorf("an intact database: %+v, %v", r, err)
	}
}

// suspect: what gc then takes is what was named.
func suspect(t *testing.T, b Bench) {
	b.stored(t, 5, id(1), id(2))
	b.AddPages(t, 7, 168, []snapshot.PagePlace{{ID: pageID(1), File: 7, Len: 168, Blocks: 1}})
	if err := b.Fixes.Suspect(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if yes, err := b.GC.Pending(t.Context()); err != nil || yes {
		t.Errorf("nothing is suspected: %v, %v", yes, err)
	}
	if err := b.Fixes.Suspect(t.Context(), []block.ID{id(2), id(2)}, []snapshot.PageID{pageID(1)}); err != nil {
		t.Fatal(err)
	}
	blocks, err := b.GC.TakeBlocks(t.Context(), 1, block.ID{}, 10)
	pages, perr := b.GC.TakePages(t.Context(), 1, snapshot.PageID{}, 10)
	if err != nil || perr != nil || !slices.Equal(blocks, []block.ID{id(2)}) || len(pages) != 1 || pages[0].ID != pageID(1) {
		t.Errorf("gc takes %v, %v, %+v, %v", blocks, err, pages, perr)
	}
}

func fixFile(t *testing.T, b Bench) {
	p := b.stored(t, 5, id(1), id(2))
	b.AddSnapshot(t, snapshot.Record{ID: "snap-1", Root: blockstore.File{ID: 8, Kind: blockstore.RootFile}})
	for _, f := range []blockstore.File{{ID: 8, Kind: blockstore.RootFile}, {ID: 9, Kind: blockstore.RootFile}} {
		if err := b.Catalog.CreateFile(t.Context(), b.Lease(t), f, blockstore.KeyUse{}); err != nil {
			t.Fatal(err)
		}
	}
	root := blockstore.File{ID: 9, Kind: blockstore.RootFile}
	for _, c := range []struct {
		name string
		fix  verify.FileRow
		want verify.FileRow
	}{
		{"a pack", verify.FileRow{File: blockstore.File{ID: 5, Kind: blockstore.PackFile, Domain: "dom-2"}, Bytes: 77, Entries: 5}, verify.FileRow{State: "closed", Bytes: 77, Entries: 5, Dead: 3}},
		{"as it was", verify.FileRow{File: p.File, Bytes: 1000, Entries: 2}, verify.FileRow{State: "closed", Bytes: 1000, Entries: 2}},
		{"a root", verify.FileRow{File: blockstore.File{ID: 8, Kind: blockstore.RootFile}, Bytes: 10, Entries: 1}, verify.FileRow{State: "closed", Bytes: 10, Entries: 1}},
		{"a root that no snapshot names", verify.FileRow{File: root, Bytes: 10, Entries: 1}, verify.FileRow{State: "closed", Bytes: 10, Entries: 1}},
		{"one that is not there", verify.FileRow{File: root, Entries: 1, Dead: 1}, verify.FileRow{State: "closed", Entries: 1, Dead: 1}},
		{"one without a row", verify.FileRow{File: blockstore.File{ID: 77, Kind: blockstore.PackFile}, Entries: 1}, verify.FileRow{}},
	} {
		if err := b.Fixes.FixFile(t.Context(), c.fix); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		got, err := b.Store.Contents(t.Context(), c.fix.ID)
		got.Row.OldestKey = 0
		if c.want.State != "" {
			c.want.File = c.fix.File
		}
		if err != nil || got.Row != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got.Row, err, c.want)
		}
	}
	b.AddSnapshot(t, snapshot.Record{ID: "snap-2", State: snapshot.Pending})
	if err := b.Fixes.FixFile(t.Context(), verify.FileRow{File: p.File, Bytes: 99, Entries: 9}); err != nil {
		t.Error(err)
	}
	if got, err := b.Store.Contents(t.Context(), p.File.ID); err != nil || got.Row.Bytes != 1000 {
		t.Errorf("while a snapshot is being made, the row became %+v, %v", got.Row, err)
	}
}

func fixDomain(t *testing.T, b Bench) {
	was := blockstore.Domain{ID: "dom-1", Account: "a", KMSKey: "key", WrappedKeys: []byte("k"), Oldest: 2, Newest: 5}
	other := blockstore.Domain{ID: "dom-2", Account: "b", KMSKey: "key", WrappedKeys: []byte("l"), Oldest: 1, Newest: 1}
	for _, d := range []blockstore.Domain{was, other} {
		if _, err := b.Entries.EnterDomain(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	b.AddSnapshot(t, snapshot.Record{ID: "snap-1", Account: "b", Domain: "dom-2", Root: blockstore.File{ID: 8, Kind: blockstore.RootFile}})
	right := blockstore.Domain{ID: "dom-1", Account: "c", KMSKey: "yek", WrappedKeys: []byte("m"), Oldest: 3, Newest: 4, Retire: 4}
	with := func(d blockstore.Domain, change func(*blockstore.Domain)) blockstore.Domain {
		change(&d)
		return d
	}
	for _, c := range []struct {
		name     string
		was, now blockstore.Domain
		want     bool
	}{
		{"one that has changed", with(was, func(d *blockstore.Domain) { d.WrappedKeys = []byte("x") }), right, false},
		{"account and key of another", was, with(was, func(d *blockstore.Domain) { d.Account = "b" }), false},
		{"the id of another", was, with(right, func(d *blockstore.Domain) { d.ID = "dom-2" }), false},
		{"everything but the id", was, right, true},
		{"the id", right, with(right, func(d *blockstore.Domain) { d.ID = "dom-3" }), true},
		{"the id of one that a snapshot names", other, with(other, func(d *blockstore.Domain) { d.ID = "dom-4" }), false},
	} {
		before, err := b.Store.DomainRows(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fixed, err := b.Fixes.FixDomain(t.Context(), c.was, c.now)
		if err != nil || fixed != c.want {
			t.Errorf("%s: %v, %v", c.name, fixed, err)
		}
		want := slices.Clone(before)
		if c.want {
			want[slices.IndexFunc(want, func(d blockstore.Domain) bool { return d.ID == c.was.ID })] = c.now
		}
		slices.SortFunc(want, func(a, b blockstore.Domain) int { return strings.Compare(a.ID, b.ID) })
		after, err := b.Store.DomainRows(t.Context())
		if diff := cmp.Diff(want, after); err != nil || diff != "" {
			t.Errorf("%s: %v, (-want +got):\n%s", c.name, err, diff)
		}
	}
}

func fixSnapshot(t *testing.T, b Bench) {
	root := func(n blockstore.FileID) blockstore.File { return blockstore.File{ID: n, Kind: blockstore.RootFile} }
	for n, id := range map[blockstore.FileID]string{8: "snap-1", 9: "snap-2", 10: "snap-3", 11: "snap-4"} {
		b.AddSnapshot(t, snapshot.Record{ID: id, Account: "a", Region: "us-east-1", Domain: domain, Root: root(n), VolumeSize: 1, VirtualSize: 512, Blocks: 3})
		err := b.Catalog.CreateFile(t.Context(), b.Lease(t), root(n), blockstore.KeyUse{})
		if err = errors.Join(err, b.Fixes.FixFile(t.Context(), verify.FileRow{File: root(n), Bytes: 10, Entries: 1})); err != nil {
			t.Fatal(err)
		}
	}
	b.LoseSnapshot(t, "snap-3")   // and nothing let go of its root
	b.DeleteSnapshot(t, "snap-4") // which did
	read := func() map[string]snapshot.Record {
		list, err := b.Store.Snapshots(t.Context(), "", 10)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]snapshot.Record{}
		for _, rec := range list {
			got[rec.ID] = rec
		}
		return got
	}
	for _, c := range []struct {
		name   string
		was    string
		change func(was, now *snapshot.Record)
		want   bool
	}{
		{"one that has changed", "snap-1", func(was, now *snapshot.Record) { was.Blocks, now.Blocks = 4, 5 }, false},
		{"the root of another", "snap-1", func(_, now *snapshot.Record) { now.Root = root(9) }, false},
		{"the id of another", "snap-1", func(_, now *snapshot.Record) { now.ID = "snap-2" }, false},
		{"a root that was let go", "snap-1", func(_, now *snapshot.Record) { now.Root = root(11) }, false},
		{"a root that has no row", "snap-1", func(_, now *snapshot.Record) { now.Root = root(77) }, false},
		{"sizes, domain and account", "snap-1", func(_, now *snapshot.Record) {
			now.VolumeSize, now.VirtualSize, now.Blocks, now.Domain, now.Account = 2, 1024, 7, "dom-2", "b"
		}, true},
		{"the root, and that it is completed", "snap-2", func(_, now *snapshot.Record) { now.Root, now.State = root(10), snapshot.Completed }, true},
		{"the id", "snap-1", func(_, now *snapshot.Record) { now.ID = "snap-5" }, true},
	} {
		want := read()
		was, now := want[c.was], want[c.was]
		c.change(&was, &now)
		fixed, err := b.Fixes.FixSnapshot(t.Context(), was, now)
		if err != nil || fixed != c.want {
			t.Errorf("%s: %v, %v", c.name, fixed, err)
		}
		if c.want {
			delete(want, c.was)
			now.Lineage, now.KMSKey = "", ""
			want[now.ID] = now
		}
		got := read()
		for id, rec := range got {
			rec.Lineage, rec.KMSKey = want[id].Lineage, want[id].KMSKey // which go by id and domain
			got[id] = rec
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func enterDomain(t *testing.T, b Bench) {
	first := blockstore.Domain{ID: "dom-1", Account: "a", KMSKey: "key", WrappedKeys: []byte("k"), Oldest: 2, Newest: 5}
	for _, c := range []struct {
		name    string
		d       blockstore.Domain
		entered bool
		err     error
	}{
		{"new", first, true, nil},
		{"again", first, false, nil},
		{"another of its account and key", blockstore.Domain{ID: "dom-2", Account: "a", KMSKey: "key", WrappedKeys: []byte("m")}, false, verify.ErrOtherDomain},
		{"of another key", blockstore.Domain{ID: "dom-3", Account: "a", WrappedKeys: []byte("l")}, true, nil},
	} {
		if got, err := b.Entries.EnterDomain(t.Context(), c.d); got != c.entered || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	rows, err := b.Store.DomainRows(t.Context())
	if err != nil || len(rows) != 2 || !cmp.Equal(rows[0], first) {
		t.Errorf("got %+v, %v", rows, err)
	}
}

// rebuilds: one that does not come to its end is remembered until one does.
func rebuilds(t *testing.T, b Bench) {
	for i, want := range []bool{false, true, true, false} {
		if i == 3 {
			if err := b.Entries.Done(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if again, err := b.Entries.Begin(t.Context()); err != nil || again != want {
			t.Errorf("beginning %d: %v, %v", i, again, err)
		}
	}
}

// enterFile: blocks that can be read stay, those that can't move, and pages do.
func enterFile(t *testing.T, b Bench) {
	old := b.stored(t, 5, id(1), id(2))
	if err := b.Store.MarkDamaged(t.Context(), id(2), blockstore.Location{File: old.File, Span: old.Blocks[1].Span}); err != nil {
		t.Fatal(err)
	}
	f := blockstore.File{ID: 6, Kind: blockstore.PackFile, Domain: domain}
	var blocks []blockstore.Placement
	for i := range byte(3) {
		blocks = append(blocks, blockstore.Placement{ID: id(1 + i), Span: blockstore.Span{Off: 1 + uint32(i), Len: 1}})
	}
	for range 2 {
		if err := b.Entries.EnterFile(t.Context(), f, 99, blocks, nil); err != nil {
			t.Fatal(err)
		}
		c, err := b.Store.Contents(t.Context(), 6)
		if err != nil || c.Row.State != "closed" || c.Row.Bytes != 99 || c.Row.Entries != 3 || c.Row.Dead != 1 || len(c.Blocks) != 2 {
			t.Errorf("entered %+v, %v", c, err)
		}
	}
	places, err := b.Store.Places(t.Context(), []block.ID{id(1), id(2), id(3)})
	if err != nil || places[id(1)].File.ID != 5 || places[id(2)].File.ID != 6 || places[id(2)].Damaged || places[id(3)].File.ID != 6 {
		t.Errorf("blocks lie at %+v, %v", places, err)
	}
	page := snapshot.PagePlace{ID: pageID(1), File: 7, Len: 168, Blocks: 1}
	b.AddPages(t, 7, 168, []snapshot.PagePlace{page})
	page.File, page.Off = 8, 168
	if err := b.Entries.EnterFile(t.Context(), blockstore.File{ID: 8, Kind: blockstore.PagesFile}, 336, nil, []snapshot.PagePlace{page}); err != nil {
		t.Fatal(err)
	}
	if c, err := b.Store.Contents(t.Context(), 8); err != nil || !slices.Equal(c.Pages, []snapshot.PagePlace{page}) || c.Row.Entries != 1 {
		t.Errorf("entered %+v, %v", c, err)
	}
}

func enterSnapshot(t *testing.T, b Bench) {
	root := func(id blockstore.FileID) blockstore.File { return blockstore.File{ID: id, Kind: blockstore.RootFile} }
	rec := snapshot.Record{ID: "snap-1", Account: "a", Region: "us-east-1", Domain: domain, State: snapshot.Completed, VolumeSize: 3, VirtualSize: 77, Blocks: 5, Root: root(8), Description: "d"}
	other := rec
	other.Root = root(9)
	for _, c := range []struct {
		name    string
		rec     snapshot.Record
		entered bool
		err     error
	}{{"new", rec, true, nil}, {"again", rec, false, nil}, {"with another root", other, false, verify.ErrOtherRoot}} {
		if got, err := b.Entries.EnterSnapshot(t.Context(), c.rec, 55); got != c.entered || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	list, err := b.Store.Snapshots(t.Context(), "", 10)
	if err != nil || len(list) != 1 || list[0].Root != rec.Root || list[0].Account != "a" || list[0].VolumeSize != 3 || list[0].VirtualSize != 77 || list[0].Blocks != 5 || list[0].State != snapshot.Completed {
		t.Errorf("got %+v, %v", list, err)
	}
	if c, err := b.Store.Contents(t.Context(), 8); err != nil || c.Row.Entries != 1 || c.Row.Dead != 0 || c.Row.Bytes != 55 || c.Roots != 1 {
		t.Errorf("its root is %+v, %v", c, err)
	}
	if c, err := b.Store.Contents(t.Context(), 9); err != nil || c.HasRow {
		t.Errorf("the other root is %+v, %v", c, err)
	}
	enterLostSnapshot(t, b, rec)
}

// enterLostSnapshot: the row of a root that no deletion let go of keeps no snapshot out, one of
// which was let go does.
func enterLostSnapshot(t *testing.T, b Bench, rec snapshot.Record) {
	b.LoseSnapshot(t, rec.ID)
	if entered, err := b.Entries.EnterSnapshot(t.Context(), rec, 55); !entered || err != nil {
		t.Errorf("one whose row alone was lost: %v, %v", entered, err)
	}
	if c, err := b.Store.Contents(t.Context(), 8); err != nil || c.Row.Entries != 1 || c.Row.Dead != 0 || c.Roots != 1 {
		t.Errorf("then its root is %+v, %v", c, err)
	}
	b.DeleteSnapshot(t, rec.ID)
	if entered, err := b.Entries.EnterSnapshot(t.Context(), rec, 55); entered || err != nil {
		t.Errorf("one that was deleted: %v, %v", entered, err)
	}
}

func rounds(t *testing.T, b Bench) {
	if got, err := b.Rounds.Round(t.Context()); err != nil || !got.Begun.IsZero() {
		t.Errorf("before the first: %+v, %v", got, err)
	}
	l := b.Lease(t)
	begun := time.Unix(1e9, 0).UTC()
	first := verify.Round{Begun: begun, At: verify.Position{Stage: verify.Files, After: "-5"}, Done: verify.Summary{Files: 1, Bytes: 2, Blocks: 3, Snapshots: 4, Findings: 5, Harmless: 6, Healed: 7}}
	second := verify.Round{Begun: begun, Ended: begun.Add(time.Hour), At: verify.Position{Stage: verify.Ended}, Done: first.Done}
	for _, r := range []verify.Round{first, second} {
		if err := b.Rounds.SaveRound(t.Context(), l, r); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Rounds.Round(t.Context()); err != nil || !cmp.Equal(got, r) {
			t.Errorf("got %+v, %v, want %+v", got, err, r)
		}
	}
	b.Lose(t, l)
	if err := b.Rounds.SaveRound(t.Context(), l, first); !errors.Is(err, work.ErrLost) {
		t.Errorf("without the lease: %v", err)
	}
	if got, err := b.Rounds.Round(t.Context()); err != nil || !cmp.Equal(got, second) {
		t.Errorf("without the lease it became %+v, %v", got, err)
	}
}
