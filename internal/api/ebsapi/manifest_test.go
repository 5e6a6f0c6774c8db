package ebsapi

import (
	"context"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// adding counts what transactions register of manifests.
type adding struct {
	snapshot.DraftStore
	pages   []int
	publish error // instead of publishing
}

func (a *adding) AddPages(ctx context.Context, l work.Lease, p snapshot.NewPages) error {
	a.pages = append(a.pages, len(p.Pages))
	return a.DraftStore.AddPages(ctx, l, p)
}

func (a *adding) Publish(ctx context.Context, l work.Lease, m snapshot.Manifest) error {
	a.pages = append(a.pages, len(m.New.Pages))
	if a.publish != nil {
		return a.publish
	}
	return a.DraftStore.Publish(ctx, l, m)
}

// TestALargeManifestIsRegisteredInSlices, and what a crash between them leaves is used
// or freed.
func TestALargeManifestIsRegisteredInSlices(t *testing.T) {
	b := newBench(t)
	id := b.start(3, nil)
	blocks := map[int32]string{0: "a", 1024: "b", 2048: "c", 3072: "d", 6143: "e"}
	b.write(id, blocks)
	if err := b.db.Snapshots().Complete(t.Context(), home, id, snapshot.Expected{Blocks: 5}); err != nil {
		t.Fatal(err)
	}
	names := len(b.backend.Names())
	dies := b.node("dies")
	died := &adding{DraftStore: b.db.Snapshots(), publish: errCrash}
	dies.Store, dies.SlicePages = died, 2
	b.dies(dies)
	b.collect() // the draft names its pages
	if err := b.db.Work().ExpireAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	node := b.node("two")
	again := &adding{DraftStore: b.db.Snapshots()}
	node.Store, node.SlicePages = again, 2
	b.settle(node)
	b.same(id, blocks)
	for _, a := range []*adding{died, again} {
		if len(a.pages) != 3 || a.pages[0] != 2 || a.pages[1] != 2 || a.pages[2] != 1 {
			t.Errorf("transactions registered %d pages, want 2, 2 and 1", a.pages)
		}
	}
	b.collect()
	if got := len(b.backend.Names()); got != names+4 {
		t.Errorf("%d new files, want three of pages and a root", got-names)
	}
	rec := b.state(id)
	if err := b.db.Snapshots().Delete(t.Context(), home, id); err != nil {
		t.Fatal(err)
	}
	if r := b.collect(); r.Blocks != 5 || r.Pages != 5 || len(b.backend.Names()) != 0 {
		t.Errorf("freed %+v; left %v", r, b.backend.Names())
	} else if r.Bytes-rec.Added > 1000 { // a root is no part of what is added for it
		t.Errorf("%d bytes were freed, %d are said to have been added", r.Bytes, rec.Added)
	}
}

// TestWhatALargeDraftLeaves is let go of by the unit that its deletion makes.
func TestWhatALargeDraftLeaves(t *testing.T) {
	b := newBench(t)
	id := b.start(64, nil)
	b.write(id, map[int32]string{0: "a"})
	b.sql(`INSERT INTO draft_blocks (snapshot, block, block_id, digest, inherited)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
		SELECT '` + id + `', i, randomblob(32), randomblob(32), 0 FROM n`)
	if err := b.db.Snapshots().Delete(t.Context(), home, id); err != nil {
		t.Fatal(err)
	}
	node := b.node("one")
	r := &work.Runner{Owner: node.Owner, Store: b.db.Work(), Handlers: node.Handlers(), Bus: &wake.Bus{}, Log: b.f.Log, Now: time.Now}
	if did, err := r.Step(t.Context(), work.LetGo); err != nil || !did {
		t.Errorf("nothing is left to let go of: %v", err)
	}
	if left, err := b.db.Snapshots().DraftBlocks(t.Context(), id, -1, 9999); err != nil || len(left) != 0 {
		t.Errorf("%d rows are left, %v", len(left), err)
	}
	if did, err := r.Step(t.Context(), work.LetGo); err != nil || did {
		t.Errorf("the unit is still there: %v", err)
	}
	if r := b.collect(); r.Blocks != 1 || r.Files != 1 {
		t.Errorf("freed %+v, want the block and its pack", r)
	}
}
