package importtasktest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

func anImportCompletes(t *testing.T, b Bench) {
	before := time.Now().Truncate(time.Microsecond)
	leases := b.planned(t, 1, 3)
	task := b.get(t, taskID(1))
	p := plan(1, 3)
	same(t, "ranges", p.Ranges, task.Ranges)
	same(t, "warnings", p.Warnings, task.Warnings)
	if task.Format != "VHDX" || task.Virtual != 1<<30 || task.RangesLeft != 3 || task.SnapshotID != snapshotID(1) || task.KMSKey != "arn of k" || task.StartedAt.Before(before) {
		t.Errorf("planned: %+v", task)
	}
	for i, l := range leases {
		if l.Range != i || l.Kind != work.Range || l.Task != task.ID {
			t.Errorf("lease %d is %+v", i, l)
		}
	}

	results := map[int]importtask.RangeResult{}
	for _, i := range []int{2, 0} {
		results[i] = b.result(t, leases[i], fmt.Sprint("x", i), fmt.Sprint("y", i))
		if l, ok := b.finish(t, leases[i], results[i]); ok || l != (work.Lease{}) {
			t.Errorf("range %d: a unit follows: %+v", i, l)
		}
	}
	seen := b.see(t, 1, "x0", "y2", "x1")
	same(t, "draft", []snapshot.PagePlace{results[0].Pages[0], results[2].Pages[0]}, seen.Draft)
	same(t, "blocks", map[block.ID]blockstore.Location{
		blockID("x0"): {File: results[0].Packs[0].File, Span: spanOf(0)}, blockID("y2"): {File: results[2].Packs[0].File, Span: spanOf(1)},
	}, seen.Blocks)
	if seen.Task.RangesLeft != 1 || seen.Task.State != importtask.Active || seen.Snap.State != snapshot.Pending || seen.Snap.Progress != 66 {
		t.Errorf("after two ranges: %+v, %+v", seen.Task, seen.Snap)
	}
	at, err := b.Snapshots.LocatePages(t.Context(), []snapshot.PageID{results[2].Pages[0].ID})
	if got := at[results[2].Pages[0].ID]; err != nil || got.File != results[2].PagesFile.ID || got.Off != 4096 || got.Len != 100 {
		t.Errorf("page: %+v, %v", got, err)
	}

	last, ok := b.finish(t, leases[1], b.result(t, leases[1], "x1", "y1"))
	if !ok || last.Kind != work.Publish || last.Task != task.ID {
		t.Fatalf("after the last range: %+v, %v", last, ok)
	}
	if err := b.publish(t, last, 6); err != nil {
		t.Fatal(err)
	}
	checkCompleted(t, b, 1, 6, 3)
}

// checkCompleted checks a published task with these numbers of blocks and ranges.
func checkCompleted(t *testing.T, b Bench, n int, blocks, ranges int64) {
	t.Helper()
	v := b.see(t, n)
	if v.Task.State != importtask.Completed || v.Task.EndedAt.IsZero() || v.Task.Pin != "" || v.Task.RangesLeft != 0 {
		t.Errorf("task: %+v", v.Task)
	}
	var sum importtask.Counts
	for range ranges {
		sum.Add(counts)
	}
	same(t, "counts", sum, v.Task.Counts)
	want := plan(n, 0).Snapshot
	want.State, want.Blocks, want.Added, want.Progress = snapshot.Completed, blocks, sum.Stored, 100
	want.StartedAt, want.CompletedAt, want.Root = v.Snap.StartedAt, v.Task.EndedAt, v.Snap.Root
	want.Lineage, want.Tier = want.ID, snapshot.Standard
	same(t, "snapshot", want, v.Snap)
	if v.Snap.Root.Kind != blockstore.RootFile || v.Snap.Root.ID == 0 || v.Snap.StartedAt.IsZero() {
		t.Errorf("root %+v, started %v", v.Snap.Root, v.Snap.StartedAt)
	}
	same(t, "draft", []snapshot.PagePlace(nil), v.Draft)
	same(t, "tags", tag.Set{{Key: "s", Value: "t"}}, v.Snap.Tags)
	b.noUnits(t)
}

// noUnits fails the test when there is anything to claim, ever.
func (b Bench) noUnits(t *testing.T) {
	t.Helper()
	all := []work.Kind{work.Plan, work.Range, work.Publish, work.Cleanup}
	if l, ok, err := b.Work.Claim(t.Context(), work.Claimer{Owner: "late", Kinds: all}, time.Now().Add(1000*time.Hour)); err != nil || ok {
		t.Errorf("there is still work: %+v, %v", l, err)
	}
}

func anEmptyDiskCompletes(t *testing.T, b Bench) {
	l := b.planned(t, 1, 0)[0]
	if l.Kind != work.Publish {
		t.Fatalf("got %+v, want a Publish unit", l)
	}
	if err := b.publish(t, l, 0); err != nil {
		t.Fatal(err)
	}
	checkCompleted(t, b, 1, 0, 0)
}

func liveCountsShow(t *testing.T, b Bench) {
	leases := b.planned(t, 1, 2)
	report := func(l work.Lease, done int) {
		t.Helper()
		if _, err := b.Work.Renew(t.Context(), l, time.Now(), work.Progress{Done: int64(done), Data: fmt.Appendf(nil, `{"done":%d,"source":7}`, done)}); err != nil {
			t.Fatal(err)
		}
	}
	report(leases[0], 10)
	report(leases[1], 20)
	report(leases[0], 30) // replaces the first
	want := importtask.Counts{Done: 50, Source: 14}
	same(t, "two in flight", want, b.get(t, taskID(1)).Counts)
	same(t, "in the list", want, b.list(t)[0].Counts)
	snap, err := b.Snapshots.Get(t.Context(), home.Region, snapshotID(1))
	if err != nil || snap.Progress != 25 {
		t.Errorf("snapshot progress %d, %v, want 25", snap.Progress, err)
	}
	if err := b.Work.Release(t.Context(), leases[1], work.Range, time.Now()); err != nil {
		t.Fatal(err)
	}
	b.finish(t, leases[0], b.result(t, leases[0], "x", "y"))
	shown := counts
	shown.Add(importtask.Counts{Done: 20, Source: 7})
	same(t, "one finished, one given back", shown, b.get(t, taskID(1)).Counts)
}

// liveCountsNeverFall: whoever looks, through whatever node, is shown what the claim did
// that got furthest, until the work is finished.
func liveCountsNeverFall(t *testing.T, b Bench) {
	l := b.planned(t, 1, 1)[0]
	report := func(done int) {
		t.Helper()
		if _, err := b.Work.Renew(t.Context(), l, time.Now(), work.Progress{Done: int64(done), Data: fmt.Appendf(nil, `{"done":%d,"data":%d}`, done, done)}); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(when string, done int64) {
		t.Helper()
		same(t, when, importtask.Counts{Done: done, Data: done}, b.get(t, taskID(1)).Counts)
		if snap, err := b.Snapshots.Get(t.Context(), home.Region, snapshotID(1)); err != nil || snap.Progress != int(done) {
			t.Errorf("%s: snapshot progress %d, %v, want %d", when, snap.Progress, err, done)
		}
	}
	report(50)
	shows("in flight", 50)
	if err := b.Starter.ExpireAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	shows("after its node has died", 50)
	l = b.claim(t, work.Range)
	shows("claimed again", 50)
	report(10)
	shows("begun again", 50)
	report(70)
	shows("further than before", 70)
	if err := b.Work.Retry(t.Context(), l, "it did not work", time.Now()); err != nil {
		t.Fatal(err)
	}
	shows("failed", 70)
	l = b.claim(t, work.Range)
	if err := b.Work.Release(t.Context(), l, work.Unpack, time.Now()); err != nil {
		t.Fatal(err)
	}
	shows("to be unpacked once more", 70)
	l = b.claim(t, work.Unpack)
	if err := b.Work.Release(t.Context(), l, work.Range, time.Now()); err != nil {
		t.Fatal(err)
	}
	b.slice(t, b.claim(t, work.Range), 5, "a", "b")
	same(t, "a slice is finished", counts, b.get(t, taskID(1)).Counts)
}

func theFirstCopyStays(t *testing.T, b Bench) {
	b.published(t, 1, "shared", "mine")
	first := b.locate(t, "shared", "mine")
	leases := b.planned(t, 2, 1)
	r := b.result(t, leases[0], "other", "shared", "other") // one of them twice
	next, _ := b.finish(t, leases[0], r)
	got := b.locate(t, "shared", "mine", "other")
	first[blockID("other")] = blockstore.Location{File: r.Packs[0].File, Span: spanOf(0)}
	same(t, "locations", first, got)
	if err := b.publish(t, next, 3); err != nil {
		t.Error(err)
	}
}

func aWholeRangeOfBlocks(t *testing.T, b Bench) {
	const n = 2048 // 1 GiB
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint(i))
	}
	b.published(t, 1, names...)
	at := b.locate(t, names...)
	for i, name := range names {
		if loc, ok := at[blockID(name)]; !ok || loc.Span != spanOf(i) {
			t.Fatalf("block %d lies at %+v, %v", i, loc, ok)
		}
	}
}

func onePublishUnit(t *testing.T, b Bench) {
	const ranges = 6
	leases := b.planned(t, 1, ranges)
	var results []importtask.RangeResult
	for i, l := range leases {
		results = append(results, b.result(t, l, "all have it", fmt.Sprint("own ", i)))
	}
	var follow atomic.Int32
	var wg sync.WaitGroup
	for i, l := range leases {
		wg.Go(func() {
			next, ok, err := b.Tasks.FinishRange(t.Context(), l, results[i])
			if err != nil {
				t.Error(err)
			}
			if ok {
				follow.Add(1)
				if err := b.publish(t, next, 2*ranges); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if follow.Load() != 1 {
		t.Errorf("%d Publish units, want 1", follow.Load())
	}
	checkCompleted(t, b, 1, 2*ranges, ranges)
}
