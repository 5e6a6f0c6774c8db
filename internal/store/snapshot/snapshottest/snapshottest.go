// Package snapshottest is the suite that every snapshot.Store, DraftStore and Holds
// passes. That holds keep their roots alive is tested by gctest.
package snapshottest

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

// Bench is an empty store under test, with the events that fill it.
type Bench struct {
	Store    snapshot.Store
	Drafts   snapshot.DraftStore
	Holds    snapshot.Holds
	Catalog  blockstore.Catalog
	Work     work.Store
	Later    func(time.Duration) // moves the store's clock
	Now      func() time.Time    // the store's clock
	Add      func(t *testing.T, r snapshot.Record)
	AddPages func(t *testing.T, pages []snapshot.PagePlace)
}

// Test runs the suite; open returns a fresh bench.
func Test(t *testing.T, open func(t *testing.T) Bench) {
	for name, fn := range map[string]func(*testing.T, Bench){
		"GetReturnsWhatWasAdded": getReturnsWhatWasAdded,
		"ListInOrderOfCreation":  listInOrderOfCreation,
		"Filters":                filters,
		"Regions":                regions,
		"ManyShares":             manyShares,
		"Delete":                 deleteOnce,
		"PendingStays":           pendingStays,
		"LocatePages":            locatePages,
		"Sharing":                sharing,
		"Tiers":                  tiers,
		"StartAndComplete":       startAndComplete,
		"RefusedFromTheStart":    refusedFromTheStart,
		"Tokens":                 tokens,
		"TokensAtOnce":           tokensAtOnce,
		"DraftLimit":             draftLimit,
		"Appends":                appends,
		"LateAppends":            lateAppends,
		"Inherited":              inherited,
		"Rejected":               rejected,
		"Copies":                 copies,
		"DraftsDeleted":          draftsDeleted,
		"Expiry":                 expiry,
		"Manifests":              manifests,
		"Leavings":               leavings,
		"Holds":                  holds,
		"HoldsOfAll":             holdsOfAll,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, open(t))
		})
	}
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

// region is where the snapshots are, unless a test says otherwise.
const region = "eu-north-1"

// of returns where the snapshots of an account are.
func of(account string) awsid.Home { return awsid.Home{Account: account, Region: region} }

func record(id string, s snapshot.State) snapshot.Record {
	r := snapshot.Record{
		ID: id, Account: "a", Region: region, Domain: "dom-1", Description: "ünïcode <&>", State: s,
		VolumeSize: 64 << 10, VirtualSize: 64<<40 - 512, StartedAt: start,
		Tags: tag.Set{{Key: "A", Value: "1"}, {Key: "b", Value: ""}},
		Task: "import-snap-00000000000000001", Lineage: id, Tier: snapshot.Standard,
	}
	if s == snapshot.Completed {
		r.CompletedAt = start.Add(time.Minute)
		r.Root = blockstore.File{ID: 1<<62 + 1, Kind: blockstore.RootFile}
		r.Blocks, r.Added, r.Progress = 1<<27, 1<<46, 100
	}
	return r
}

func getReturnsWhatWasAdded(t *testing.T, b Bench) {
	for id, s := range map[string]snapshot.State{
		"snap-00000000000000001": snapshot.Completed, "snap-00000000000000002": snapshot.Pending, "snap-00000000000000003": snapshot.Failed,
	} {
		want := record(id, s)
		b.Add(t, want)
		got, err := b.Store.Get(t.Context(), region, id)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("record (-want +got):\n%s", d)
		}
	}
	if _, err := b.Store.Get(t.Context(), region, "snap-0ffffffffffffffff"); !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("unknown: got %v, want %v", err, snapshot.ErrNotFound)
	}
}

func listInOrderOfCreation(t *testing.T, b Bench) {
	ids := []string{"snap-0000000000000000b", "snap-0000000000000000a", "snap-0000000000000000c"}
	for i, id := range ids {
		r := record(id, snapshot.Completed)
		r.StartedAt = start.Add(time.Duration(i) * time.Second)
		b.Add(t, r)
	}
	other := record("snap-0000000000000000d", snapshot.Completed)
	other.Account = "b"
	b.Add(t, other)
	for limit := 1; limit <= len(ids)+1; limit++ {
		list := b.list(t, "a", snapshot.Filter{}, limit)
		for _, r := range list {
			if len(r.Tags) != 2 {
				t.Errorf("%s has tags %v, want 2", r.ID, r.Tags)
			}
		}
		if d := cmp.Diff(ids, idsOf(list)); d != "" {
			t.Errorf("ids in pages of %d (-want +got):\n%s", limit, d)
		}
	}
	for account, want := range map[string]int{"a": 3, "b": 1, "c": 0} {
		if n, err := b.Store.Owned(t.Context(), account); err != nil || n != want {
			t.Errorf("account %s owns %d, %v, want %d", account, n, err, want)
		}
	}
}

// list returns the snapshots that an account finds with a filter, read in pages.
func (b Bench) list(t *testing.T, account string, f snapshot.Filter, limit int) (list []snapshot.Record) {
	t.Helper()
	for after := (listing.Place{}); ; {
		page, err := b.Store.List(t.Context(), of(account), f, after, limit)
		if err != nil || len(page) > limit {
			t.Fatalf("%d snapshots on a page of %d, %v", len(page), limit, err)
		}
		list = append(list, page...)
		if len(page) < limit {
			return list
		}
		last := page[len(page)-1]
		after = listing.At(last.StartedAt, last.ID)
	}
}

func idsOf(list []snapshot.Record) (ids []string) {
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	return ids
}

// filters: which snapshots, its own and those of others, each account finds. They
// are named by the digit that they end in.
func filters(t *testing.T, b Bench) {
	id := func(n string) string { return "snap-0000000000000000" + n }
	add := func(n, owner string, state snapshot.State, description, task string, sharedWith ...string) {
		r := record(id(n), state)
		r.Account, r.Description, r.Task = owner, description, task
		b.Add(t, r)
		must(t, b.Store.Share(t.Context(), of(owner), r.ID, sharedWith, nil))
	}
	add("1", "a", snapshot.Completed, "one", "")
	add("2", "a", snapshot.Failed, "", "import-snap-2")
	add("3", "a", snapshot.Completed, "two", "import-snap-3", "c")
	add("4", "a", snapshot.Completed, "two", "", snapshot.Everybody, "c")
	add("5", "b", snapshot.Completed, "one", "")
	add("6", "b", snapshot.Completed, "one", "", "a", "c")
	add("7", "b", snapshot.Failed, "two", "import-snap-7", snapshot.Everybody, "a")
	add("8", "c", snapshot.Completed, "one", "", snapshot.Everybody, "b")
	gen := func(n string) string { return snapshot.Record{Task: "import-snap-" + n}.GeneratedDescription() }
	tests := []struct {
		name    string
		account string
		f       snapshot.Filter
		want    string
	}{
		{"all", "a", snapshot.Filter{}, "1234678"},
		{"of a stranger", "d", snapshot.Filter{}, "478"},
		{"own", "a", snapshot.Filter{Owners: []string{"a"}}, "1234"},
		{"another's", "a", snapshot.Filter{Owners: []string{"b"}}, "67"},
		{"own and another's", "a", snapshot.Filter{Owners: []string{"c", "a"}}, "12348"},
		{"of nobody", "a", snapshot.Filter{Owners: []string{}}, ""},
		{"restorable by oneself", "a", snapshot.Filter{RestorableBy: []string{"a"}}, "123467"},
		{"restorable by everybody", "a", snapshot.Filter{RestorableBy: []string{snapshot.Everybody}}, "478"},
		{"restorable by a third", "a", snapshot.Filter{RestorableBy: []string{"c"}}, "348"}, // 6 is too, but a must not learn that
		{"restorable by two", "a", snapshot.Filter{RestorableBy: []string{"c", "b"}}, "34678"},
		{"restorable by the owner", "a", snapshot.Filter{RestorableBy: []string{"b"}}, "67"},
		{"restorable by nobody", "a", snapshot.Filter{RestorableBy: []string{}}, ""},
		{"own public", "a", snapshot.Filter{RestorableBy: []string{snapshot.Everybody}, Owners: []string{"a"}}, "4"},
		{"completed", "a", snapshot.Filter{States: []snapshot.State{snapshot.Completed}}, "13468"},
		{"two states", "a", snapshot.Filter{States: []snapshot.State{snapshot.Completed, snapshot.Failed}}, "1234678"},
		{"no state", "a", snapshot.Filter{States: []snapshot.State{}}, ""},
		{"described", "a", snapshot.Filter{Descriptions: []string{"one"}}, "168"},
		{"described twice", "a", snapshot.Filter{Descriptions: []string{"one", "two"}}, "134678"},
		{"described in both ways", "a", snapshot.Filter{Descriptions: []string{gen("3"), gen("7"), "two"}}, "347"},
		{"not described", "a", snapshot.Filter{Descriptions: []string{}}, ""},
		{"described and in a state", "a", snapshot.Filter{Descriptions: []string{gen("2"), "one"}, States: []snapshot.State{snapshot.Failed}}, "2"},
		{"by id", "a", snapshot.Filter{IDs: []string{id("8"), id("5"), id("1"), id("9"), id("8")}}, "18"},
		{"by no id", "a", snapshot.Filter{IDs: []string{}}, ""},
		{"by id and owner", "a", snapshot.Filter{IDs: []string{id("8"), id("1")}, Owners: []string{"c"}}, "8"},
		{"by id, restorable by a third", "a", snapshot.Filter{IDs: []string{id("3"), id("6"), id("8")}, RestorableBy: []string{"c"}}, "38"},
	}
	for _, tt := range tests {
		for _, limit := range []int{1, 2, 3, listing.Page} {
			list, got := b.list(t, tt.account, tt.f, limit), ""
			for _, r := range list {
				got += r.ID[len(r.ID)-1:]
				if own := r.Account == tt.account; own != (len(r.Tags) == 2) || r.SharedWith != nil {
					t.Errorf("%s: %s shows tags %v and shares %v", tt.name, r.ID, r.Tags, r.SharedWith)
				}
			}
			if got != tt.want {
				t.Errorf("%s in pages of %d: got %q, want %q", tt.name, limit, got, tt.want)
			}
		}
	}
}

// regions: a snapshot is seen, changed and deleted in its own region alone, also by
// those whom it is shared with; tokens and limits are those of a region.
func regions(t *testing.T, b Bench) {
	here, there := record(one, snapshot.Completed), record(two, snapshot.Completed)
	there.Region = "us-east-1"
	for _, r := range []snapshot.Record{here, there} {
		b.Add(t, r)
		must(t, b.Store.Share(t.Context(), r.Home(), r.ID, []string{"b", snapshot.Everybody}, nil))
	}
	for _, r := range []struct{ own, other snapshot.Record }{{here, there}, {there, here}} {
		home := r.own.Home()
		if got, err := b.Store.Get(t.Context(), home.Region, r.own.ID); err != nil || got.Home() != home {
			t.Errorf("got %+v, %v", got, err)
		}
		_, err := b.Store.Get(t.Context(), home.Region, r.other.ID)
		fails(t, "one of the other region", err, snapshot.ErrNotFound)
		for _, account := range []string{"a", "b", "c"} {
			for name, f := range map[string]snapshot.Filter{
				"all": {}, "by id": {IDs: []string{one, two}}, "by state": {States: []snapshot.State{snapshot.Completed}},
				"public": {RestorableBy: []string{snapshot.Everybody}}, "described": {Descriptions: []string{here.Description}},
			} {
				list, err := b.Store.List(t.Context(), awsid.Home{Account: account, Region: home.Region}, f, listing.Place{}, 9)
				if err != nil || len(list) != 1 || list[0].ID != r.own.ID || list[0].Region != home.Region {
					t.Errorf("%s finds %v in %s, %s: %v", account, idsOf(list), home.Region, name, err)
				}
			}
		}
		for what, err := range map[string]error{
			"share":    b.Store.Share(t.Context(), home, r.other.ID, []string{"d"}, nil),
			"unshare":  b.Store.Unshare(t.Context(), home, r.other.ID),
			"tier":     b.Store.SetTier(t.Context(), home, r.other.ID, snapshot.Archive),
			"delete":   b.Store.Delete(t.Context(), home, r.other.ID),
			"complete": b.Drafts.Complete(t.Context(), home, r.other.ID, snapshot.Expected{}),
		} {
			fails(t, what+" one of the other region", err, snapshot.ErrNotFound)
		}
	}
	if n, err := b.Store.Owned(t.Context(), "a"); err != nil || n != 2 {
		t.Errorf("owns %d, %v", n, err)
	}
	b.startOnce(t, draft("snap-00000000000000003", "t"))
	elsewhere := draft("snap-00000000000000004", "t")
	elsewhere.Region = there.Region
	b.startOnce(t, elsewhere)
	if d, err := b.Drafts.ByToken(t.Context(), elsewhere.Home(), "t"); err != nil || d.ID != elsewhere.ID {
		t.Errorf("by token: got %+v, %v", d, err)
	}
	fails(t, "complete a draft of the other region", b.Drafts.Complete(t.Context(), here.Home(), elsewhere.ID, snapshot.Expected{}), snapshot.ErrNotFound)
	copied := draft("snap-00000000000000005", "")
	copied.Timeout, copied.Want, copied.Parent = 0, &snapshot.Expected{Blocks: -1}, two
	if stored, _, err := b.Drafts.Start(t.Context(), copied, two, 1); err != nil || stored.Base != there.Root.ID {
		t.Errorf("a copy from the other region: got %+v, %v", stored, err)
	}
}

// startOnce starts a draft that is the first of its account and region.
func (b Bench) startOnce(t *testing.T, d snapshot.Draft) {
	t.Helper()
	if _, created, err := b.Drafts.Start(t.Context(), d, "", 1); err != nil || !created {
		t.Fatalf("start %s: %v, %v", d.ID, created, err)
	}
}

func deleteOnce(t *testing.T, b Bench) {
	for _, s := range []snapshot.State{snapshot.Completed, snapshot.Failed} {
		r := record("snap-00000000000000001", s)
		b.Add(t, r)
		if err := b.Store.Delete(t.Context(), of("b"), r.ID); !errors.Is(err, snapshot.ErrNotFound) {
			t.Errorf("by another account: got %v, want %v", err, snapshot.ErrNotFound)
		}
		if err := b.Store.Delete(t.Context(), of("a"), r.ID); err != nil {
			t.Errorf("delete one that is %s: %v", s, err)
		}
		if err := b.Store.Delete(t.Context(), of("a"), r.ID); !errors.Is(err, snapshot.ErrNotFound) {
			t.Errorf("again: got %v, want %v", err, snapshot.ErrNotFound)
		}
	}
}

func pendingStays(t *testing.T, b Bench) {
	r := record("snap-00000000000000001", snapshot.Pending)
	b.Add(t, r)
	if err := b.Store.Delete(t.Context(), of("a"), r.ID); !errors.Is(err, snapshot.ErrPending) {
		t.Errorf("delete: got %v, want %v", err, snapshot.ErrPending)
	}
	got, err := b.Store.Get(t.Context(), region, r.ID)
	if d := cmp.Diff(r, got); err != nil || d != "" {
		t.Errorf("after a refused deletion: %v (-want +got):\n%s", err, d)
	}
}

func locatePages(t *testing.T, b Bench) {
	const n = 700 // more than one statement takes
	var pages []snapshot.PagePlace
	ask := []snapshot.PageID{{1}} // unknown
	for i := range n {
		p := snapshot.PagePlace{Page: 7, File: 1 << 60, Off: int64(i) << 20, Len: 1 << 20, Blocks: 4096}
		binary.BigEndian.PutUint64(p.ID[24:], uint64(i+1))
		pages = append(pages, p)
		ask = append(ask, p.ID, p.ID) // asking twice is no harm
	}
	b.AddPages(t, pages)
	got, err := b.Store.LocatePages(t.Context(), ask)
	if err != nil || len(got) != n {
		t.Fatalf("%d pages, %v, want %d", len(got), err, n)
	}
	for _, p := range pages {
		p.Page = got[p.ID].Page // the store does not know it
		if got[p.ID] != p {
			t.Errorf("got %+v, want %+v", got[p.ID], p)
		}
	}
	if none, err := b.Store.LocatePages(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("no pages: got %v, %v", none, err)
	}
}
