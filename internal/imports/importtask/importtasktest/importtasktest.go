// Package importtasktest is the suite that every importtask.Store passes. It
// includes what the events promise to the stores around it.
package importtasktest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

// Bench is an empty database: the store under test and those that see its effects.
type Bench struct {
	Tasks     importtask.Store
	Drafts    importtask.RangePages
	Stages    importtask.Stages
	Work      work.Store
	Starter   work.Starter
	Catalog   blockstore.Catalog
	Snapshots snapshot.Store
	Tags      tag.Store
	Images    image.Store
	Leavings  snapshot.Leavings
}

// Test runs the suite; open returns a fresh bench.
func Test(t *testing.T, open func(t *testing.T) Bench) {
	for name, fn := range map[string]func(*testing.T, Bench){
		"CreateStoresTheTask":           createStoresTheTask,
		"ListInOrderOfCreation":         listInOrderOfCreation,
		"Filters":                       filters,
		"Unfinished":                    unfinished,
		"Regions":                       regions,
		"ATokenMakesOneTask":            aTokenMakesOneTask,
		"ConcurrentTokensMakeOneTask":   concurrentTokensMakeOneTask,
		"RunningTasksAreLimited":        runningTasksAreLimited,
		"ConcurrentCreatesKeepTheQuota": concurrentCreatesKeepTheQuota,
		"AnImportCompletes":             anImportCompletes,
		"AnEmptyDiskCompletes":          anEmptyDiskCompletes,
		"LiveCountsShow":                liveCountsShow,
		"LiveCountsNeverFall":           liveCountsNeverFall,
		"TroublesShow":                  troublesShow,
		"TroublesOfAnImageShow":         troublesOfAnImageShow,
		"TheFirstCopyOfABlockStays":     theFirstCopyStays,
		"AWholeRangeOfBlocks":           aWholeRangeOfBlocks,
		"ARangeInSlices":                aRangeInSlices,
		"ARangeGoesOn":                  aRangeGoesOn,
		"ASliceIsRefused":               aSliceIsRefused,
		"SlicesAreCleanedUp":            slicesAreCleanedUp,
		"FinishingTakesOwnFilesOnly":    finishingTakesOwnFilesOnly,
		"PublishCountsBlocks":           publishCountsBlocks,
		"LostLeasesChangeNothing":       lostLeasesChangeNothing,
		"EventsHappenOnce":              eventsHappenOnce,
		"OnePublishUnit":                onePublishUnit,
		"AFailureIsCleanedUp":           aFailureIsCleanedUp,
		"Cancel":                        cancel,
		"CancelOrPublish":               cancelOrPublish,
		"Forget":                        forget,
		"CreateStoresTheImage":          createStoresTheImage,
		"ImagesAreListed":               imagesAreListed,
		"ImagesHaveTokensOfTheirOwn":    imagesHaveTokensOfTheirOwn,
		"ImagesAreLimited":              imagesAreLimited,
		"AnImageCompletes":              anImageCompletes,
		"AnImageOfGivenSnapshots":       anImageOfGivenSnapshots,
		"AGivenSnapshotIsGone":          aGivenSnapshotIsGone,
		"SplitIsLimited":                splitIsLimited,
		"ADiskFails":                    aDiskFails,
		"ImagesAreCancelled":            imagesAreCancelled,
		"OnePublishUnitOfAnImage":       onePublishUnitOfAnImage,
		"LostLeasesOfImages":            lostLeasesOfImages,
		"ForgetImages":                  forgetImages,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, open(t))
		})
	}
}

const account = "111122223333"

// home is where the tasks are, unless a test says otherwise.
var home = awsid.Home{Account: account, Region: "eu-north-1"}

// elsewhere is another region of the same account.
var elsewhere = awsid.Home{Account: account, Region: "us-east-1"}

func taskID(n int) string     { return fmt.Sprintf("import-snap-%017x", n) }
func snapshotID(n int) string { return fmt.Sprintf("snap-0%016x", n) }

func newTask(n int) importtask.Task {
	return importtask.Task{
		ID: taskID(n), Account: account, Region: home.Region, Encrypted: true, KMSKey: "alias/k", RequestDigest: "digest", Description: "d", DiskDescription: "dd",
		Format: "VMDK", RoleName: "vmimport", Bucket: "bucket", Key: "kéy/x", WrappedURL: []byte{0, 1, 255},
		Pin: "pin", SourceBytes: 1 << 40, SourceName: "x", Tags: tag.Set{{Key: "k", Value: "v"}},
	}
}

func (b Bench) create(t *testing.T, task importtask.Task) importtask.Task {
	t.Helper()
	stored, created, err := b.Tasks.Create(t.Context(), task, 100)
	if err != nil || !created {
		t.Fatalf("create: %v, %v", created, err)
	}
	return stored
}

func (b Bench) get(t *testing.T, id string) importtask.Task {
	t.Helper()
	task, err := b.Tasks.Get(t.Context(), home, id)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// claim takes the next unit, which must be of the kind.
func (b Bench) claim(t *testing.T, kind work.Kind) work.Lease {
	t.Helper()
	l, ok, err := b.Work.Claim(t.Context(), work.Claimer{Owner: "node", Kinds: []work.Kind{kind}}, time.Now())
	if err != nil || !ok {
		t.Fatalf("claim a %s unit: %v, %v", kind, ok, err)
	}
	return l
}

// plan cuts a disk into n ranges of 100 bytes.
func plan(n, ranges int) importtask.Plan {
	p := importtask.Plan{
		Format: "VHDX", Virtual: 1 << 30, Warnings: []string{"odd"}, KMSKey: "arn of k",
		Snapshot: snapshot.Record{
			ID: snapshotID(n), Account: account, Region: home.Region, Domain: "dom-x", Task: taskID(n), State: snapshot.Pending,
			VolumeSize: 1, VirtualSize: 1 << 30, DataKey: "data key", SourceName: "x", Tags: tag.Set{{Key: "s", Value: "t"}},
		},
	}
	for i := range ranges {
		p.Ranges = append(p.Ranges, importtask.Range{First: int64(i), Pages: 1, Bytes: 100})
	}
	return p
}

// planned creates task n and returns the leases of its ranges, or of Publish.
func (b Bench) planned(t *testing.T, n, ranges int) []work.Lease {
	t.Helper()
	b.create(t, newTask(n))
	first, ok, err := b.Tasks.Planned(t.Context(), b.claim(t, work.Plan), plan(n, ranges))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	leases := []work.Lease{first}
	for range ranges - 1 {
		leases = append(leases, b.claim(t, work.Range))
	}
	return leases
}

// file creates a file of the lease.
func (b Bench) file(t *testing.T, l work.Lease, k blockstore.FileKind) blockstore.File {
	t.Helper()
	f := blockstore.File{ID: blockstore.FileID(awsid.Source{}.Int63()), Kind: k}
	if k == blockstore.PackFile {
		f.Domain = "dom-x"
	}
	if err := b.Catalog.CreateFile(t.Context(), l, f, blockstore.KeyUse{}); err != nil {
		t.Fatal(err)
	}
	return f
}

func blockID(name string) block.ID       { return block.ID(sha256.Sum256([]byte("block " + name))) }
func pageID(name string) snapshot.PageID { return sha256.Sum256([]byte("page " + name)) }

// spanOf returns where the n-th block of a pack lies in it.
func spanOf(n int) blockstore.Span { return blockstore.Span{Off: uint32(n) + 1, Len: 1} }

var counts = importtask.Counts{Source: 1, Done: 100, Data: 2, Zero: 3, Deduplicated: 1, Stored: 512}

// result is a slice of the lease's range that wrote a pack with the blocks, and one page that names them.
func (b Bench) result(t *testing.T, l work.Lease, blocks ...string) importtask.RangeResult {
	t.Helper()
	pack := blockstore.ClosedPack{File: b.file(t, l, blockstore.PackFile), Bytes: 1000}
	for i, name := range blocks {
		pack.Blocks = append(pack.Blocks, blockstore.Placement{ID: blockID(name), Span: spanOf(i)})
	}
	r := importtask.RangeResult{Packs: []blockstore.ClosedPack{pack}, PagesFile: b.file(t, l, blockstore.PagesFile), PagesBytes: 300, Counts: counts}
	r.Counts.Data = int64(len(blocks))
	r.Pages = []snapshot.PagePlace{{
		Page: 10*int64(l.Range) + l.Done, ID: pageID(fmt.Sprint(blocks)), File: r.PagesFile.ID, Off: 4096, Len: 100, Blocks: len(blocks),
	}}
	return r
}

func (b Bench) finish(t *testing.T, l work.Lease, r importtask.RangeResult) (work.Lease, bool) {
	t.Helper()
	next, ok, err := b.Tasks.FinishRange(t.Context(), l, r)
	if err != nil {
		t.Fatal(err)
	}
	return next, ok
}

// published brings task n to its end with one range of two blocks.
func (b Bench) published(t *testing.T, n int, blocks ...string) {
	t.Helper()
	l := b.planned(t, n, 1)[0]
	l, ok := b.finish(t, l, b.result(t, l, blocks...))
	if !ok {
		t.Fatal("no Publish unit after the last range")
	}
	if err := b.publish(t, l, int64(len(blocks))); err != nil {
		t.Fatal(err)
	}
}

func (b Bench) publish(t *testing.T, l work.Lease, blocks int64) error {
	t.Helper()
	return b.Tasks.Publish(t.Context(), l, importtask.Published{Roots: []importtask.Root{b.root(t, l, l.Task, blocks)}})
}

// root is a root of the lease, for the snapshot of a task.
func (b Bench) root(t *testing.T, l work.Lease, task string, blocks int64) importtask.Root {
	t.Helper()
	return importtask.Root{Task: task, File: b.file(t, l, blockstore.RootFile), Bytes: 77, Blocks: blocks}
}

func (b Bench) locate(t *testing.T, names ...string) map[block.ID]blockstore.Location {
	t.Helper()
	var ids []block.ID
	for _, n := range names {
		ids = append(ids, blockID(n))
	}
	at, err := b.Catalog.Locate(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// visible is everything that an event may change, to compare before and after.
type visible struct {
	Task   importtask.Task
	Snap   snapshot.Record
	Draft  []snapshot.PagePlace
	Blocks map[block.ID]blockstore.Location
}

func (b Bench) see(t *testing.T, n int, blocks ...string) visible {
	t.Helper()
	v := visible{Task: b.get(t, taskID(n)), Blocks: b.locate(t, blocks...)}
	var err error
	if v.Draft, err = b.Drafts.RangePages(t.Context(), snapshotID(n)); err != nil {
		t.Fatal(err)
	}
	if v.Snap, err = b.Snapshots.Get(t.Context(), home.Region, snapshotID(n)); err != nil && !errors.Is(err, snapshot.ErrNotFound) {
		t.Fatal(err)
	}
	return v
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
