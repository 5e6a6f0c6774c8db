package snapshottest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

const (
	one   = "snap-00000000000000001"
	two   = "snap-00000000000000002"
	three = "snap-00000000000000003"
)

func draft(id, token string) snapshot.Draft {
	return snapshot.Draft{
		Token: token, Digest: "digest of " + id, Timeout: time.Hour,
		Record: snapshot.Record{
			ID: id, Account: "a", Region: region, Domain: "dom-1", Description: "d", State: snapshot.Pending, VolumeSize: 8, StartedAt: start, DataKey: "data key",
			Lineage: id, Tier: snapshot.Standard, Tags: tag.Set{{Key: "k", Value: "v"}},
		},
	}
}

// fails fails the test unless err is want.
func fails(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b Bench) start(t *testing.T, d snapshot.Draft) {
	t.Helper()
	if _, created, err := b.Drafts.Start(t.Context(), d, "", 100); err != nil || !created {
		t.Fatalf("start %s: %v, %v", d.ID, created, err)
	}
}

// begin returns the lease of an append with a pack that is written.
func (b Bench) begin(t *testing.T, id string, file int64) (work.Lease, blockstore.ClosedPack) {
	t.Helper()
	d, err := b.Drafts.Draft(t.Context(), id)
	must(t, err)
	l, err := b.Drafts.BeginAppend(t.Context(), d, "node", time.Now().Add(time.Hour))
	must(t, err)
	p := blockstore.ClosedPack{File: blockstore.File{ID: blockstore.FileID(file), Kind: blockstore.PackFile}, Bytes: 100}
	must(t, b.Catalog.CreateFile(t.Context(), l, p.File, blockstore.KeyUse{}))
	return l, p
}

func theBlock(index int64, what string) snapshot.DraftBlock {
	d := block.Sum([]byte(what))
	return snapshot.DraftBlock{Index: index, Digest: d, ID: block.ID(block.Sum(d[:]))}
}

// write appends blocks.
func (b Bench) write(t *testing.T, id string, file int64, blocks ...snapshot.DraftBlock) error {
	t.Helper()
	l, p := b.begin(t, id, file)
	for i, x := range blocks {
		p.Blocks = append(p.Blocks, blockstore.Placement{ID: x.ID, Span: blockstore.Span{Off: uint32(i) + 1, Len: 1}})
	}
	return b.Drafts.Append(t.Context(), l, snapshot.Appended{Packs: []blockstore.ClosedPack{p}, Blocks: blocks, Progress: int(file)})
}

// claim returns the lease of the Complete unit.
func (b Bench) claim(t *testing.T, want string) work.Lease {
	t.Helper()
	l, ok, err := b.Work.Claim(t.Context(), work.Claimer{Owner: "node", Kinds: []work.Kind{work.Complete}}, time.Now().Add(time.Minute))
	if err != nil || !ok || l.Task != want || l.Account != "a" {
		t.Fatalf("claimed %+v, %v, %v; want %s", l, ok, err, want)
	}
	return l
}

// publish publishes a complete draft with a root of its own.
func (b Bench) publish(t *testing.T, l work.Lease, file int64, blocks int64) error {
	t.Helper()
	root := snapshot.Root{File: blockstore.File{ID: blockstore.FileID(file), Kind: blockstore.RootFile}, Bytes: 10, Blocks: blocks}
	must(t, b.Catalog.CreateFile(t.Context(), l, root.File, blockstore.KeyUse{}))
	return b.Drafts.Publish(t.Context(), l, snapshot.Manifest{Root: root})
}

// refusedFromTheStart: there is a record that says why, and no unit of work.
func refusedFromTheStart(t *testing.T, b Bench) {
	d := draft(one, "t")
	d.Refused, d.Want = "no key", &snapshot.Expected{Blocks: -1}
	for _, first := range []bool{true, false} {
		stored, created, err := b.Drafts.Start(t.Context(), d, "", 1)
		if err != nil || created != first || stored.State != snapshot.Failed || stored.Message != "no key" {
			t.Errorf("created %v: %+v, %v", created, stored.Record, err)
		}
	}
	got, err := b.Store.Get(t.Context(), region, one)
	if err != nil || got.State != snapshot.Failed || got.Message != "no key" {
		t.Errorf("record %+v, %v", got, err)
	}
	if l, ok, err := b.Work.Claim(t.Context(), work.Claimer{Owner: "node", Kinds: []work.Kind{work.Complete}}, time.Now().Add(time.Hour)); ok || err != nil {
		t.Errorf("there is work: %+v, %v", l, err)
	}
	_, err = b.Drafts.Draft(t.Context(), one)
	fails(t, "draft of what was refused", err, snapshot.ErrNotPending)
	must(t, b.Store.Delete(t.Context(), of("a"), one))
}

func startAndComplete(t *testing.T, b Bench) {
	d := draft(one, "t")
	b.start(t, d)
	got, err := b.Store.Get(t.Context(), region, one)
	if diff := cmp.Diff(d.Record, got); err != nil || diff != "" {
		t.Errorf("record: %v (-want +got):\n%s", err, diff)
	}
	must(t, b.write(t, one, 1, theBlock(3, "x"), theBlock(1, "y")))
	fails(t, "complete by another", b.Drafts.Complete(t.Context(), of("b"), one, snapshot.Expected{}), snapshot.ErrNotFound)
	fails(t, "complete what is not", b.Drafts.Complete(t.Context(), of("a"), two, snapshot.Expected{}), snapshot.ErrNotFound)
	want := snapshot.Expected{Blocks: 2, Checksum: []byte{1, 2}}
	must(t, b.Drafts.Complete(t.Context(), of("a"), one, want))
	must(t, b.Drafts.Complete(t.Context(), of("a"), one, snapshot.Expected{Blocks: 9})) // again: the first counts
	stored, err := b.Drafts.Draft(t.Context(), one)
	if diff := cmp.Diff(&want, stored.Want); err != nil || diff != "" || stored.Timeout != time.Hour {
		t.Errorf("draft: %+v, %v (-want +got):\n%s", stored, err, diff)
	}
	l := b.claim(t, one)
	must(t, b.publish(t, l, 2, 2))
	fails(t, "publish again", b.Drafts.Publish(t.Context(), l, snapshot.Manifest{}), work.ErrLost)
	got, err = b.Store.Get(t.Context(), region, one)
	if err != nil || got.State != snapshot.Completed || got.Root.ID != 2 || got.Blocks != 2 || got.Added != 100 || got.Progress != 100 || got.CompletedAt.IsZero() {
		t.Errorf("published: %+v, %v", got, err)
	}
	_, err = b.Drafts.Draft(t.Context(), one)
	fails(t, "draft of what is completed", err, snapshot.ErrNotPending)
	fails(t, "complete what is completed", b.Drafts.Complete(t.Context(), of("a"), one, want), snapshot.ErrNotPending)
	if left, err := b.Drafts.DraftBlocks(t.Context(), one, -1, 10); err != nil || len(left) != 0 {
		t.Errorf("digests are kept: %v, %v", left, err)
	}
}

func tokens(t *testing.T, b Bench) {
	b.start(t, draft(one, "t"))
	again, created, err := b.Drafts.Start(t.Context(), draft(two, "t"), "", 100)
	if err != nil || created || again.ID != one || again.Digest != "digest of "+one || len(again.Tags) != 1 {
		t.Errorf("replay: %+v, %v, %v", again, created, err)
	}
	byToken, err := b.Drafts.ByToken(t.Context(), of("a"), "t")
	if err != nil || byToken.ID != one || byToken.Digest != again.Digest || len(byToken.Tags) != 1 {
		t.Errorf("by token: %+v, %v", byToken, err)
	}
	for _, key := range [][2]string{{"b", "t"}, {"a", "T"}, {"a", ""}} {
		_, err := b.Drafts.ByToken(t.Context(), of(key[0]), key[1])
		fails(t, "token "+key[1]+" of "+key[0], err, snapshot.ErrNotFound)
	}
	other := draft(two, "t")
	other.Account = "b"
	b.start(t, other)
	b.start(t, draft("snap-00000000000000003", ""))
	b.start(t, draft("snap-00000000000000004", "")) // no token is none
	must(t, b.Store.Delete(t.Context(), of("a"), one))
	b.start(t, draft("snap-00000000000000005", "t"))
}

func tokensAtOnce(t *testing.T, b Bench) {
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			d, _, err := b.Drafts.Start(context.Background(), draft(fmt.Sprintf("snap-0000000000000000%d", i), "t"), "", 100)
			if err != nil {
				t.Error(err)
			}
			ids[i] = d.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("one token made %s and %s", ids[0], id)
		}
	}
}

func draftLimit(t *testing.T, b Bench) {
	b.start(t, draft(one, ""))
	_, _, err := b.Drafts.Start(t.Context(), draft(two, ""), "", 1)
	fails(t, "second of one", err, snapshot.ErrTooMany)
	copied := draft(two, "")
	copied.Timeout = 0
	_, created, err := b.Drafts.Start(t.Context(), copied, "", 1)
	if !created || err != nil {
		t.Errorf("a copy counts for itself: %v, %v", created, err)
	}
}

func appends(t *testing.T, b Bench) {
	b.start(t, draft(one, ""))
	must(t, b.write(t, one, 40, theBlock(9, "x"), theBlock(2, "y")))
	must(t, b.write(t, one, 7, theBlock(2, "z"), theBlock(5, "w")))
	got, err := b.Drafts.DraftBlocks(t.Context(), one, 2, 1)
	if diff := cmp.Diff([]snapshot.DraftBlock{theBlock(5, "w")}, got); err != nil || diff != "" {
		t.Errorf("one after 2: %v (-want +got):\n%s", err, diff)
	}
	got, err = b.Drafts.DraftBlocks(t.Context(), one, -1, 9)
	if diff := cmp.Diff([]snapshot.DraftBlock{theBlock(2, "z"), theBlock(5, "w"), theBlock(9, "x")}, got); err != nil || diff != "" {
		t.Errorf("all: %v (-want +got):\n%s", err, diff)
	}
	at, err := b.Catalog.Locate(t.Context(), []block.ID{theBlock(0, "z").ID})
	if err != nil || at[theBlock(0, "z").ID].File.ID != 7 {
		t.Errorf("z is at %v, %v", at, err)
	}
	if r, err := b.Store.Get(t.Context(), region, one); err != nil || r.Added != 200 || r.Progress != 40 {
		t.Errorf("got %+v, %v; want 200 bytes and the furthest progress", r, err)
	}
	l, _ := b.begin(t, one, 8)
	must(t, b.Drafts.EndAppend(t.Context(), l))
	must(t, b.Drafts.EndAppend(t.Context(), l)) // it is gone already
	fails(t, "append without a lease", b.Drafts.Append(t.Context(), l, snapshot.Appended{}), work.ErrLost)
}

// lateAppends: what is written after the draft has ended is refused.
func lateAppends(t *testing.T, b Bench) {
	b.start(t, draft(one, ""))
	l, p := b.begin(t, one, 1)
	must(t, b.Drafts.Complete(t.Context(), of("a"), one, snapshot.Expected{}))
	late := snapshot.Appended{Packs: []blockstore.ClosedPack{p}, Blocks: []snapshot.DraftBlock{theBlock(1, "x")}}
	fails(t, "append to a complete draft", b.Drafts.Append(t.Context(), l, late), snapshot.ErrNotPending)
	must(t, b.Store.Delete(t.Context(), of("a"), one))
	fails(t, "append to a deleted draft", b.Drafts.Append(t.Context(), l, late), snapshot.ErrNotPending)
}

// inherited: blocks of a base may be added to a complete draft, and never replace
// what was written.
func inherited(t *testing.T, b Bench) {
	b.start(t, draft(one, ""))
	must(t, b.write(t, one, 1, theBlock(1, "written")))
	must(t, b.Drafts.Complete(t.Context(), of("a"), one, snapshot.Expected{Blocks: 1}))
	x, y := theBlock(1, "old"), theBlock(2, "old too")
	x.Inherited, y.Inherited = true, true
	must(t, b.write(t, one, 2, x, y))
	must(t, b.write(t, one, 3, y)) // once more, after a crash
	got, err := b.Drafts.DraftBlocks(t.Context(), one, -1, 9)
	if diff := cmp.Diff([]snapshot.DraftBlock{theBlock(1, "written"), y}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func rejected(t *testing.T, b Bench) {
	b.start(t, draft(one, "t"))
	must(t, b.write(t, one, 1, theBlock(1, "x")))
	must(t, b.Drafts.Complete(t.Context(), of("a"), one, snapshot.Expected{}))
	l := b.claim(t, one)
	must(t, b.Drafts.Reject(t.Context(), l, "why"))
	fails(t, "reject again", b.Drafts.Reject(t.Context(), l, "why"), work.ErrLost)
	if r, err := b.Store.Get(t.Context(), region, one); err != nil || r.State != snapshot.Failed || r.Message != "why" {
		t.Errorf("got %+v, %v", r, err)
	}
	if left, err := b.Drafts.DraftBlocks(t.Context(), one, -1, 10); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if d, created, err := b.Drafts.Start(t.Context(), draft(two, "t"), "", 9); err != nil || created || d.State != snapshot.Failed {
		t.Errorf("replay: %+v, %v, %v", d, created, err)
	}
	must(t, b.Store.Delete(t.Context(), of("a"), one))
}

func copies(t *testing.T, b Bench) {
	base := record(one, snapshot.Completed)
	b.Add(t, base)
	b.Add(t, record("snap-00000000000000009", snapshot.Pending))
	d := draft(two, "")
	d.Timeout, d.Want, d.Parent, d.Lineage = 0, &snapshot.Expected{Blocks: -1}, one, one
	for _, id := range []string{"snap-0ffffffffffffffff", "snap-00000000000000009"} {
		_, _, err := b.Drafts.Start(t.Context(), d, id, 9)
		fails(t, "copy "+id, err, snapshot.ErrNotFound)
	}
	stored, created, err := b.Drafts.Start(t.Context(), d, one, 9)
	if err != nil || !created || stored.Base != base.Root.ID {
		t.Fatalf("got %+v, %v, %v", stored, created, err)
	}
	got, err := b.Drafts.Draft(t.Context(), two)
	if err != nil || got.Base != base.Root.ID || got.Want == nil || got.Want.Blocks != -1 || got.Parent != one || got.Lineage != one {
		t.Errorf("got %+v, %v", got, err)
	}
	must(t, b.Store.Delete(t.Context(), of("a"), one)) // its root stays held
	must(t, b.publish(t, b.claim(t, two), 2, 5))
}

func draftsDeleted(t *testing.T, b Bench) {
	b.start(t, draft(one, ""))
	must(t, b.write(t, one, 1, theBlock(1, "x")))
	must(t, b.Drafts.Complete(t.Context(), of("a"), one, snapshot.Expected{}))
	l := b.claim(t, one)
	must(t, b.Store.Delete(t.Context(), of("a"), one))
	_, err := b.Drafts.Draft(t.Context(), one)
	fails(t, "draft", err, snapshot.ErrNotFound)
	fails(t, "publish", b.Drafts.Publish(t.Context(), l, snapshot.Manifest{}), work.ErrLost)
	if left, err := b.Drafts.DraftBlocks(t.Context(), one, -1, 10); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func expiry(t *testing.T, b Bench) {
	b.start(t, draft(one, ""))
	l, p := b.begin(t, one, 1)
	b.Later(59 * time.Minute)
	must(t, b.write(t, one, 2, theBlock(1, "x"))) // counts from here
	b.Later(59 * time.Minute)
	if n, err := b.Drafts.ExpireDrafts(t.Context(), b.Now()); err != nil || n != 0 {
		t.Fatalf("expired %d, %v", n, err)
	}
	fails(t, "an append whose lease lapsed", b.Drafts.Append(t.Context(), l, snapshot.Appended{Packs: []blockstore.ClosedPack{p}}), work.ErrLost)
	b.Later(time.Minute)
	fails(t, "an append after the timeout", b.write(t, one, 3, theBlock(2, "y")), snapshot.ErrNotPending)
	fails(t, "complete after the timeout", b.Drafts.Complete(t.Context(), of("a"), one, snapshot.Expected{}), snapshot.ErrNotPending)
	if n, err := b.Drafts.ExpireDrafts(t.Context(), b.Now().Add(-time.Hour)); err != nil || n != 0 {
		t.Fatalf("by a clock that is behind: expired %d, %v", n, err)
	}
	if n, err := b.Drafts.ExpireDrafts(t.Context(), b.Now()); err != nil || n != 1 {
		t.Fatalf("expired %d, %v, want 1", n, err)
	}
	if r, err := b.Store.Get(t.Context(), region, one); err != nil || r.State != snapshot.Failed || r.Message == "" {
		t.Errorf("got %+v, %v", r, err)
	}
	b.start(t, draft(two, ""))
	must(t, b.Drafts.Complete(t.Context(), of("a"), two, snapshot.Expected{}))
	b.Later(time.Hour * 48)
	b.start(t, draft(three, ""))
	b.Later(-time.Hour * 24 * 400) // the clock had run ahead
	for range 2 {
		if n, err := b.Drafts.ExpireDrafts(t.Context(), b.Now()); err != nil || n != 0 {
			t.Errorf("a draft from the future: expired %d, %v", n, err)
		}
	}
	b.Later(time.Hour)
	if n, err := b.Drafts.ExpireDrafts(t.Context(), b.Now()); err != nil || n != 1 {
		t.Errorf("a draft from the future, an hour later: expired %d, %v", n, err)
	}
	if n, err := b.Drafts.ExpireDrafts(t.Context(), b.Now()); err != nil || n != 0 {
		t.Errorf("a complete draft: expired %d, %v", n, err)
	}
}

func sharing(t *testing.T, b Bench) {
	for _, id := range []string{one, two} {
		b.Add(t, record(id, snapshot.Completed))
	}
	fails(t, "by another", b.Store.Share(t.Context(), of("b"), one, []string{"b"}, nil), snapshot.ErrNotFound)
	must(t, b.Store.Share(t.Context(), of("a"), one, []string{"c", "b", "c"}, nil))
	must(t, b.Store.Share(t.Context(), of("a"), one, []string{"b"}, nil)) // again
	must(t, b.Store.Share(t.Context(), of("a"), two, []string{snapshot.Everybody}, nil))
	r, err := b.Store.Get(t.Context(), region, one)
	if diff := cmp.Diff([]string{"b", "c"}, r.SharedWith); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	seen := func(account string, want ...string) {
		t.Helper()
		got := idsOf(b.list(t, account, snapshot.Filter{}, 1))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", account, diff)
		}
	}
	seen("a", one, two)
	seen("b", one, two)
	seen("d", two)
	must(t, b.Store.Share(t.Context(), of("a"), one, nil, []string{"b", "x"}))
	seen("b", two)
	seen("c", one, two)
	must(t, b.Store.Unshare(t.Context(), of("a"), one))
	fails(t, "unshare by another", b.Store.Unshare(t.Context(), of("b"), one), snapshot.ErrNotFound)
	seen("c", two)
	must(t, b.Store.Delete(t.Context(), of("a"), two))
	seen("c")
}

func manyShares(t *testing.T, b Bench) {
	b.Add(t, record(one, snapshot.Completed))
	var list []string
	for i := range snapshot.MaxShares {
		list = append(list, fmt.Sprintf("%012d", i))
	}
	must(t, b.Store.Share(t.Context(), of("a"), one, list, nil))
	must(t, b.Store.Share(t.Context(), of("a"), one, list[:3], nil)) // they have it already
	fails(t, "one more", b.Store.Share(t.Context(), of("a"), one, []string{"b"}, nil), snapshot.ErrTooManyShares)
	must(t, b.Store.Share(t.Context(), of("a"), one, []string{"b"}, list[:1]))
	if r, err := b.Store.Get(t.Context(), region, one); err != nil || len(r.SharedWith) != snapshot.MaxShares || r.SharedWith[0] != list[1] {
		t.Errorf("shared with %d, %v", len(r.SharedWith), err)
	}
}

func tiers(t *testing.T, b Bench) {
	b.Add(t, record(one, snapshot.Completed))
	fails(t, "by another", b.Store.SetTier(t.Context(), of("b"), one, snapshot.Archive), snapshot.ErrNotFound)
	must(t, b.Store.SetTier(t.Context(), of("a"), one, snapshot.Archive))
	if r, err := b.Store.Get(t.Context(), region, one); err != nil || r.Tier != snapshot.Archive || r.TierSince.IsZero() {
		t.Errorf("got %+v, %v", r, err)
	}
}

// manifests: pages are there once they are added, in the file that was written last,
// and the lease of the draft decides who adds them.
func manifests(t *testing.T, b Bench) {
	b.start(t, draft(one, ""))
	must(t, b.Drafts.Complete(t.Context(), of("a"), one, snapshot.Expected{Blocks: -1}))
	pages := func(l work.Lease, file int64) snapshot.NewPages {
		f := blockstore.File{ID: blockstore.FileID(file), Kind: blockstore.PagesFile}
		must(t, b.Catalog.CreateFile(t.Context(), l, f, blockstore.KeyUse{}))
		return snapshot.NewPages{File: f, Bytes: 50, Pages: []snapshot.PagePlace{
			{Page: 7, ID: snapshot.PageID{1}, File: f.ID, Len: 20, Blocks: 2}, {Page: 9, ID: snapshot.PageID{2}, File: f.ID, Off: 20, Len: 30, Blocks: 1},
		}}
	}
	lies := func(file int64) {
		t.Helper()
		at, err := b.Store.LocatePages(t.Context(), []snapshot.PageID{{1}, {2}})
		if err != nil || int64(at[snapshot.PageID{1}].File) != file || int64(at[snapshot.PageID{2}].File) != file {
			t.Errorf("got %v, %v, want them in file %d", at, err, file)
		}
	}
	l := b.claim(t, one)
	must(t, b.Drafts.AddPages(t.Context(), l, pages(l, 1)))
	lies(1)
	late := pages(l, 2)
	must(t, b.Work.Release(t.Context(), l, l.Kind, time.Now()))
	fails(t, "pages without a lease", b.Drafts.AddPages(t.Context(), l, late), work.ErrLost)
	l = b.claim(t, one)
	must(t, b.Drafts.AddPages(t.Context(), l, pages(l, 3))) // the second attempt
	lies(3)
	root := snapshot.Root{File: blockstore.File{ID: 4, Kind: blockstore.RootFile}, Bytes: 10, Blocks: 3}
	must(t, b.Catalog.CreateFile(t.Context(), l, root.File, blockstore.KeyUse{}))
	must(t, b.Drafts.Publish(t.Context(), l, snapshot.Manifest{Stored: 50, Root: root}))
	if r, err := b.Store.Get(t.Context(), region, one); err != nil || r.State != snapshot.Completed || r.Added != 50 || r.Blocks != 3 {
		t.Errorf("published: %+v, %v", r, err)
	}
	fails(t, "pages of what is published", b.Drafts.AddPages(t.Context(), l, late), work.ErrLost)
	if l, ok, err := b.Work.Claim(t.Context(), work.Claimer{Owner: "node", Kinds: []work.Kind{work.LetGo}}, time.Now().Add(time.Hour)); ok || err != nil {
		t.Errorf("a small draft left something: %+v, %v", l, err)
	}
}

// leavings: what a large draft named is let go of by a unit of its own, which goes on
// when the snapshot is deleted, and not on the word of a lost lease.
func leavings(t *testing.T, b Bench) {
	const batch, batches = 32, 130 // more than an event lets go of
	b.start(t, draft(one, ""))
	for n := range int64(batches) {
		var some []snapshot.DraftBlock
		for i := range int64(batch) {
			some = append(some, theBlock(n*batch+i, fmt.Sprint(n, " ", i)))
		}
		must(t, b.write(t, one, n+1, some...))
	}
	must(t, b.Drafts.Complete(t.Context(), of("a"), one, snapshot.Expected{}))
	must(t, b.Drafts.Reject(t.Context(), b.claim(t, one), "why"))
	claim := func() (work.Lease, bool) {
		t.Helper()
		l, ok, err := b.Work.Claim(t.Context(), work.Claimer{Owner: "node", Kinds: []work.Kind{work.LetGo}}, time.Now().Add(time.Minute))
		must(t, err)
		return l, ok
	}
	left := func() int {
		t.Helper()
		rows, err := b.Drafts.DraftBlocks(t.Context(), one, -1, 2*batch*batches)
		must(t, err)
		return len(rows)
	}
	l, ok := claim()
	before := left()
	if !ok || l.Task != one || l.Account != "a" || before == 0 || before == batch*batches {
		t.Fatalf("%+v, %v, with %d rows left of %d", l, ok, before, batch*batches)
	}
	must(t, b.Store.Delete(t.Context(), of("a"), one)) // which lets go of some itself
	after := left()
	if after >= before {
		t.Errorf("%d rows are left after the deletion, %d before", after, before)
	}
	_, err := b.Drafts.LetGo(t.Context(), l)
	fails(t, "letting go for a unit that is gone", err, work.ErrLost)
	if left() != after {
		t.Errorf("a lost lease let go of rows: %d are left of %d", left(), after)
	}
	if l, ok = claim(); !ok {
		t.Fatal("nobody lets go of the rest")
	}
	for more := true; more; {
		more, err = b.Drafts.LetGo(t.Context(), l)
		must(t, err)
	}
	if n := left(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	_, err = b.Drafts.LetGo(t.Context(), l)
	fails(t, "letting go once more", err, work.ErrLost)
	if l, ok := claim(); ok {
		t.Errorf("there is still work: %+v", l)
	}
}
