// Package snapshottest is the suite that every snapshot.Store, DraftStore and Holds
// passes. What holds keep alive is gctest's to see.
package snapshottest

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	Add      func(t *testing.T, r snapshot.Record)
	AddPages func(t *testing.T, pages []snapshot.PagePlace)
}

// Test runs the suite; open returns a fresh bench.
func Test(t *testing.T, open func(t *testing.T) Bench) {
	for name, fn := range map[string]func(*testing.T, Bench){
		"GetReturnsWhatWasAdded": getReturnsWhatWasAdded,
		"ListInOrderOfCreation":  listInOrderOfCreation,
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
		"Holds":                  holds,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, open(t))
		})
	}
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

func record(id string, s snapshot.State) snapshot.Record {
	r := snapshot.Record{
		ID: id, Account: "a", Domain: "dom-1", Description: "ünïcode <&>", State: s,
		VolumeSize: 64 << 10, VirtualSize: 64<<40 - 512, StartedAt: start,
		Tags: tag.Set{{Key: "A", Value: "1"}, {Key: "b", Value: ""}},
		Task: "import-snap-00000000000000001", Lineage: id, Tier: snapshot.Standard,
	}
	if s == snapshot.Completed {
		r.CompletedAt = start.Add(time.Minute)
		r.Root = blockstore.File{ID: 1<<62 + 1, Kind: blockstore.RootFile}
		r.Blocks, r.Stored, r.Progress = 1<<27, 1<<46, 100
	}
	return r
}

func getReturnsWhatWasAdded(t *testing.T, b Bench) {
	for id, s := range map[string]snapshot.State{
		"snap-00000000000000001": snapshot.Completed, "snap-00000000000000002": snapshot.Pending, "snap-00000000000000003": snapshot.Failed,
	} {
		want := record(id, s)
		b.Add(t, want)
		got, err := b.Store.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("record (-want +got):\n%s", d)
		}
	}
	if _, err := b.Store.Get(t.Context(), "snap-0ffffffffffffffff"); !errors.Is(err, snapshot.ErrNotFound) {
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
	list, err := b.Store.List(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range list {
		got = append(got, r.ID)
		if len(r.Tags) != 2 {
			t.Errorf("%s has tags %v, want 2", r.ID, r.Tags)
		}
	}
	if d := cmp.Diff(ids, got); d != "" {
		t.Errorf("ids (-want +got):\n%s", d)
	}
}

func deleteOnce(t *testing.T, b Bench) {
	for _, s := range []snapshot.State{snapshot.Completed, snapshot.Failed} {
		r := record("snap-00000000000000001", s)
		b.Add(t, r)
		if err := b.Store.Delete(t.Context(), "b", r.ID); !errors.Is(err, snapshot.ErrNotFound) {
			t.Errorf("by another account: got %v, want %v", err, snapshot.ErrNotFound)
		}
		if err := b.Store.Delete(t.Context(), "a", r.ID); err != nil {
			t.Errorf("delete one that is %s: %v", s, err)
		}
		if err := b.Store.Delete(t.Context(), "a", r.ID); !errors.Is(err, snapshot.ErrNotFound) {
			t.Errorf("again: got %v, want %v", err, snapshot.ErrNotFound)
		}
	}
}

func pendingStays(t *testing.T, b Bench) {
	r := record("snap-00000000000000001", snapshot.Pending)
	b.Add(t, r)
	if err := b.Store.Delete(t.Context(), "a", r.ID); !errors.Is(err, snapshot.ErrPending) {
		t.Errorf("delete: got %v, want %v", err, snapshot.ErrPending)
	}
	got, err := b.Store.Get(t.Context(), r.ID)
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
		p.Page = got[p.ID].Page // not the store's to know
		if got[p.ID] != p {
			t.Errorf("got %+v, want %+v", got[p.ID], p)
		}
	}
	if none, err := b.Store.LocatePages(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("no pages: got %v, %v", none, err)
	}
}
