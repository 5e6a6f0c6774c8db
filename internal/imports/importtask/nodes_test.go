package importtask_test

import (
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// node is one of several that work on one database and store.
type node struct {
	*importtask.Engine
	t        *testing.T
	runner   *work.Runner
	unpacked int // images
}

// nodes returns two nodes, of which the first is e, and a function that moves their clock.
func nodes(e *engine) (one, other *node, later func(time.Duration)) {
	var ahead time.Duration
	now := func() time.Time { return time.Now().Add(ahead) }
	made := func(owner string, engine *importtask.Engine) *node {
		n := &node{Engine: engine, t: e.t}
		n.Owner, n.Affinities, n.Now = owner, e.db.Work(), now
		n.Images.Scratch = counted{scratch.Dir{Path: filepath.Join(e.dir, owner)}, &n.unpacked}
		n.runner = &work.Runner{
			Owner: owner, Store: e.db.Work(), Handlers: n.Handlers(), Bus: n.Bus, Now: now, Log: slog.New(slog.NewTextHandler(&e.logged, nil)),
		}
		e.t.Cleanup(func() {
			if err := n.Close(); err != nil {
				e.t.Error(err)
			}
		})
		return n
	}
	second := &importtask.Engine{
		Store: e.Store, Pages: e.Pages, Work: e.Work, Sources: e.Sources, Images: e.Images, Roles: e.Roles, Domains: e.Domains, Records: e.Records,
		Library: e.Library, FreeSpace: e.FreeSpace, Space: e.Space, Workers: ingest.NewWorkers(2, nil), Bus: e.Bus, Live: &importtask.Live{},
	}
	return made("one", e.Engine), made("other", second), func(d time.Duration) { ahead += d }
}

func (n *node) step(want bool, kind work.Kind) {
	n.t.Helper()
	if did, err := n.runner.Step(n.t.Context(), kind); err != nil || did != want {
		n.t.Fatalf("%s claimed a unit of kind %q: %v, %v, want %v", n.Owner, kind, did, err, want)
	}
}

// TestUnpackedImagesAreReadWhereTheyAre: a node that finds an image packed leaves it to the
// one that has it unpacked, for as long as that is heard of; then it unpacks the image
// itself, and the first one, which was only slow, follows.
func TestUnpackedImagesAreReadWhereTheyAre(t *testing.T) {
	image := full()
	e := newEngine(t, packed(t, image))
	one, other, later := nodes(e)
	e.accept()
	one.step(true, work.Plan)
	one.step(true, work.Unpack)
	other.step(false, work.Range)
	later(work.LeaseFor - time.Second)
	kept := one.KeepOnce(t.Context(), nil)
	later(work.LeaseFor - time.Second)
	if other.step(false, work.Range); !slices.Equal(kept, []string{taskID}) {
		t.Errorf("it keeps %q", kept)
	}
	later(time.Second) // and nothing is heard of the first any more
	other.step(true, work.Range)
	other.step(true, work.Unpack)
	if one.unpacked != 1 || other.unpacked != 1 {
		t.Errorf("unpacked %d and %d times, want once by each", one.unpacked, other.unpacked)
	}
	one.step(false, work.Range)
	if kept := one.KeepOnce(t.Context(), kept); len(kept) != 0 || len(one.Unpacked()) != 0 {
		t.Errorf("the first keeps %q, and has %q", kept, one.Unpacked())
	}
	other.step(true, work.Range)
	if e.completed(image); len(other.Unpacked()) != 0 {
		t.Errorf("%q stay unpacked", other.Unpacked())
	}
}

// TestANodeThatStopsLeavesItsRangesToOthers at once, and so does one that gave the image up.
// Whatever makes work for others, or ends what they may wait for, wakes them.
func TestANodeThatStopsLeavesItsRangesToOthers(t *testing.T) {
	image := full()
	e := newEngine(t, packed(t, image))
	one, other, _ := nodes(e)
	link := &told{}
	e.Bus.Link = link
	woken := func(when string, want ...wake.Topic) {
		t.Helper()
		if got := link.take(); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: %q were woken, want %q", when, got, want)
		}
	}
	e.accept()
	one.step(true, work.Plan)
	woken("to be unpacked", work.Due(work.Unpack), wake.Task(taskID))
	one.step(true, work.Unpack)
	woken("planned", work.Due(work.Range), wake.Task(taskID))
	kept := one.KeepOnce(t.Context(), nil)
	woken("kept")
	one.LetGo(t.Context(), kept)
	woken("the node stops", work.Due(work.Range), work.Due(work.Unpack))
	other.step(true, work.Range)
	other.step(true, work.Unpack)
	kept = other.KeepOnce(t.Context(), nil)
	one.step(false, work.Range)
	if err := other.Close(); err != nil { // what is idle too long is closed like this
		t.Fatal(err)
	}
	woken("unpacked once more", work.Due(work.Range), work.Due(work.Unpack), wake.Task(taskID))
	if kept = other.KeepOnce(t.Context(), kept); len(kept) != 0 {
		t.Errorf("it keeps %q", kept)
	}
	woken("given up", work.Due(work.Range), work.Due(work.Unpack))
	one.step(true, work.Range)
	if e.completed(image); one.unpacked != 1 {
		t.Errorf("unpacked %d times where it was still", one.unpacked)
	}
	woken("completed", work.Due(work.LetGo), wake.Task(taskID))
}

// TestRangesOfOtherImagesAreForAll: nothing ties them to the node that made the plan.
func TestRangesOfOtherImagesAreForAll(t *testing.T) {
	image := full()
	e := newEngine(t, image)
	one, other, _ := nodes(e)
	e.accept()
	one.step(true, work.Plan)
	if kept := one.KeepOnce(t.Context(), nil); len(kept) != 0 {
		t.Errorf("it keeps %q", kept)
	}
	other.step(true, work.Range)
	e.completed(image)
}

// told notes what other nodes would be woken for.
type told struct {
	mu    sync.Mutex
	names []wake.Topic
}

func (l *told) Tell(names ...wake.Topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = append(l.names, names...)
}

// take returns what was told since it was called last, sorted, each once.
func (l *told) take() []wake.Topic {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := slices.Compact(slices.Sorted(slices.Values(l.names)))
	l.names = nil
	return names
}

// TestOtherNodesAreWoken by a new import and by a cancellation; TestANodeThatStopsLeavesItsRangesToOthers
// has the rest of what wakes them.
func TestOtherNodesAreWoken(t *testing.T) {
	link := &told{}
	f := newFixture(t)
	f.Bus.Link = link
	made, err := f.Import(t.Context(), request("disk.vmdk"))
	if err != nil {
		t.Fatal(err)
	}
	if got := link.take(); !slices.Equal(got, []wake.Topic{work.Due(work.Plan)}) {
		t.Errorf("of an import %q were told", got)
	}
	if _, err := f.Cancel(t.Context(), home, made.ID, ""); err != nil {
		t.Fatal(err)
	}
	want := []wake.Topic{work.Due(work.Cleanup), wake.Task(made.ID), wake.Units(made.ID)}
	if got := link.take(); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("of its cancellation %q were told, want %q", got, want)
	}
}

// TestWhatIsShownGoesOnFromWhereOthersGot: until a node that does a slice anew is further
// than the one before it, nothing is added to what the store shows.
func TestWhatIsShownGoesOnFromWhereOthersGot(t *testing.T) {
	add, told, unheard := importtask.Meter(100)
	for _, c := range []struct {
		done, want int64
	}{{60, 0}, {40, 0}, {5, 5}} {
		if add(importtask.Counts{Done: c.done, Data: 1}); unheard() != (importtask.Counts{Done: c.want}) {
			t.Errorf("after %d more it adds %+v, want %d", c.done, unheard(), c.want)
		}
	}
	told()
	add(importtask.Counts{Done: 7, Data: 2})
	if got, want := unheard(), (importtask.Counts{Done: 7, Data: 2}); got != want {
		t.Errorf("after a heartbeat it adds %+v, want %+v", got, want)
	}
}
