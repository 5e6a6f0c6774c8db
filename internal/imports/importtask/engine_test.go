package importtask_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// engine is an import engine on a database of its own, which does units when the
// test says so.
type engine struct {
	*importtask.Engine
	t       *testing.T
	db      *metadb.DB
	library *snapshot.Library
	runner  *work.Runner
	object  *object
	files   *blobtest.Memory
	backend *backend
	dir     string // of the database
	room    room
	logged  bytes.Buffer
}

// room is a disk that is full while full is set.
type room struct{ full error }

// Growth implements importtask.Space.
func (r *room) Growth() error { return r.full }

// Shortage implements importtask.Space.
func (r *room) Shortage(need int64) *space.FullError {
	return &space.FullError{Dir: "/data", Need: need, Free: 3 << 20}
}

// backend is one that takes no files while full is set.
type backend struct {
	*blobtest.Memory
	full error
}

// Create implements blockstore.Backend.
func (b *backend) Create(ctx context.Context, name string, size int64) (blockstore.Writer, error) {
	if b.full != nil {
		return nil, errors.Join(blockstore.ErrFull, b.full)
	}
	return b.Memory.Create(ctx, name, size)
}

// object is the image that is imported.
type object struct {
	*bytes.Reader
	data     []byte
	filled   []int64 // blocks that are not all zeros, if the object is to know them
	changed  error
	panicAt  int64  // ReadAt panics when it touches this byte; -1: never
	before   func() // each read; nil: nothing happens
	open     atomic.Int64
	released atomic.Int64
}

func (o *object) ReadAt(p []byte, off int64) (int, error) {
	if o.panicAt >= off && o.panicAt < off+int64(len(p)) {
		panic("planted")
	}
	if o.before != nil {
		o.before()
	}
	return o.Reader.ReadAt(p, off)
}

// sparse is an object that knows its holes.
type sparse struct{ *object }

// NextData implements diskimage.SparseReaderAt.
func (o sparse) NextData(off int64) (start, end int64, err error) {
	for _, at := range o.filled {
		if at+block.Size > off {
			return max(at, off), at + block.Size, nil
		}
	}
	return int64(len(o.data)), int64(len(o.data)), nil
}

func (o *object) Check() error { return o.changed }
func (o *object) Close() error { o.open.Add(-1); return nil }

func (o *object) Open(context.Context, source.Pin) (source.Object, error) {
	o.open.Add(1)
	if o.filled != nil {
		return sparse{o}, nil
	}
	return o, nil
}

func (o *object) Release(context.Context, source.Pin) error { o.released.Add(1); return nil }

func (o *object) Sweep(context.Context, func(string) bool) error { return nil }

func newEngine(t *testing.T, image []byte) *engine {
	t.Helper()
	return newEngineIn(t, t.TempDir(), image)
}

// newEngineIn is newEngine with a directory in which there may be a database already.
func newEngineIn(t *testing.T, dir string, image []byte) *engine {
	t.Helper()
	db, err := metadb.Open(t.Context(), filepath.Join(dir, "db"), metadb.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	master, merr := secret.NewMasterKey(make([]byte, secret.KeySize))
	slots, serr := blockstore.NewSlots(24 * frame.Size)
	pages, perr := snapshot.NewPageKey(make([]byte, 32))
	if err := errors.Join(merr, serr, perr); err != nil {
		t.Fatal(err)
	}
	ring := &keyring.Ring{Domains: db.Catalog(), Wrapper: master}
	files := blobtest.NewMemory()
	backend := &backend{Memory: files}
	store := blockstore.NewStore(db.Catalog(), backend, slots, blockstore.Options{})
	e := &engine{t: t, db: db, dir: dir, files: files, backend: backend, object: &object{Reader: bytes.NewReader(image), data: image, panicAt: -1}}
	e.library = &snapshot.Library{Store: store, Index: db.Snapshots(), PageKey: pages, Keys: ring.Keys}
	e.Engine = &importtask.Engine{
		Store: db.Tasks(), Pages: db.Tasks(), Work: db.Work(), Sources: e.object,
		Images: importtask.Images{Sources: e.object, Scratch: scratch.Dir{Path: filepath.Join(dir, "scratch")}},
		Roles:  roles{}, Domains: ring, Records: db.Snapshots(), Library: e.library, Now: time.Now,
		FreeSpace: func() (int64, error) { return 1 << 40, nil }, Space: &e.room, Workers: ingest.NewWorkers(2, nil),
		Bus: &wake.Bus{}, Live: &importtask.Live{},
	}
	e.runner = &work.Runner{
		Owner: "node", Store: db.Work(), Handlers: e.Handlers(), Bus: e.Bus, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(&e.logged, nil)),
	}
	t.Cleanup(func() {
		if n := e.object.open.Load(); n != 0 {
			t.Errorf("the source is open %d times after everything", n)
		}
		if err := errors.Join(e.Close(), slots.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return e
}

const taskID = "import-snap-0123456789abcdef0"

// accept makes the task.
func (e *engine) accept() {
	e.t.Helper()
	e.acceptAs(taskID)
}

// acceptAs makes a task.
func (e *engine) acceptAs(id string) {
	e.t.Helper()
	pin := source.Pin{Kind: source.Embedded, ID: id, Bucket: "images", Key: "disk", Size: int64(len(e.object.data))}
	_, _, err := e.Store.Create(e.t.Context(), importtask.Task{ID: id, Account: account, Region: home.Region, Pin: pin.String(), RoleName: "vmimport", SourceBytes: pin.Size}, 10)
	if err != nil {
		e.t.Fatal(err)
	}
}

// step does a unit of one of the kinds, and those handed over by it; all are of
// the lane.
func (e *engine) step(kinds ...work.Kind) (did bool) {
	e.t.Helper()
	did, err := e.runner.Step(e.t.Context(), kinds...)
	if err != nil {
		e.t.Fatal(err)
	}
	return did
}

func (e *engine) task() importtask.Task {
	e.t.Helper()
	task, err := e.Store.Get(e.t.Context(), home, taskID)
	if err != nil {
		e.t.Fatal(err)
	}
	return task
}

// completed checks that the import made a snapshot of the image.
func (e *engine) completed(disk []byte) importtask.Task {
	e.t.Helper()
	task := e.task()
	if task.State != importtask.Completed {
		e.t.Fatalf("the task is %s: %+v\n%s", task.State, task.Failure, e.logged.String())
	}
	if why, ok := e.right(task.SnapshotID, disk); !ok {
		e.t.Fatal(why)
	}
	if n := e.object.released.Load(); n != 1 {
		e.t.Errorf("the source was released %d times", n)
	}
	e.told(outbox.Event{Kind: outbox.ImportCompleted, Resource: taskID, Detail: outbox.Detail{Snapshot: task.SnapshotID}},
		outbox.Event{Kind: outbox.SnapshotCompleted, Resource: task.SnapshotID})
	return task
}

// right reports whether a snapshot is completed and the disk, and why not.
func (e *engine) right(id string, disk []byte) (why error, ok bool) {
	e.t.Helper()
	rec, err := e.db.Snapshots().Get(e.t.Context(), home.Region, id)
	if err != nil || rec.State != snapshot.Completed {
		return fmt.Errorf("the snapshot is %s, %w", rec.State, err), false
	}
	blocks, err := e.library.Open(e.t.Context(), rec)
	if err != nil {
		return err, false
	}
	buf, zeros := make([]byte, frame.Size), make([]byte, block.Size)
	for at := 0; at < len(disk); at += block.Size {
		got, _, err := blocks.Get(e.t.Context(), int64(at/block.Size), buf)
		if errors.Is(err, snapshot.ErrAbsent) {
			got, err = zeros, nil
		}
		if err != nil || !bytes.Equal(got, disk[at:at+block.Size]) {
			return fmt.Errorf("block %d is not the image's: %w", at/block.Size, err), false
		}
	}
	return nil, true
}

// told checks the events in the outbox.
func (e *engine) told(want ...outbox.Event) {
	e.t.Helper()
	got, err := e.db.Outbox().Pending(e.t.Context(), 0, 10)
	if err != nil {
		e.t.Fatal(err)
	}
	for i := range want {
		want[i].Account, want[i].Region = account, home.Region
	}
	for _, event := range got {
		if event.Kind == outbox.SnapshotCompleted && (event.Detail.Started.IsZero() || event.Detail.Started.After(event.At)) {
			e.t.Errorf("a snapshot that was begun at %v is told of at %v", event.Detail.Started, event.At)
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(outbox.Event{}, "ID", "At"), cmpopts.IgnoreFields(outbox.Detail{}, "Message", "Started")); diff != "" {
		e.t.Errorf("told (-want +got):\n%s", diff)
	}
}

// failed checks that nothing but its reason is left of the task.
func (e *engine) failed(reason string) {
	e.t.Helper()
	task := e.task()
	if task.State != importtask.Deleted || task.Failure.Reason != reason {
		e.t.Errorf("the task is %s for %q (%s), want it deleted for %q", task.State, task.Failure.Reason, task.Failure.Detail, reason)
	}
	list, err := e.db.Snapshots().List(e.t.Context(), home, snapshot.Filter{}, listing.Place{}, 10)
	if err != nil || len(list) != 0 {
		e.t.Errorf("%d snapshots stay, %v", len(list), err)
	}
	if e.step(everything...) {
		e.t.Error("there is still something to do for it")
	}
	kind := outbox.ImportFailed
	if reason == "cancelled" {
		kind = outbox.ImportCancelled
	}
	e.told(outbox.Event{Kind: kind, Resource: taskID, Detail: outbox.Detail{Reason: reason}})
}

var everything = []work.Kind{work.Plan, work.Survey, work.Unpack, work.Range, work.Publish, work.Cleanup}

// disk returns a raw disk of n blocks, every fourth of them zeros.
func disk(n int) []byte {
	d := make([]byte, n*block.Size)
	for i := range n {
		if i%4 != 3 {
			copy(d[i*block.Size:], bytes.Repeat([]byte{byte(i), byte(i >> 8), 0xA5}, 1000))
		}
	}
	copy(d[510:], "\x55\xAA") // a boot sector
	return d
}

func TestASmallImportIsOneChain(t *testing.T) {
	image := disk(8)
	e := newEngine(t, image)
	e.accept()
	if !e.step(work.Plan) {
		t.Fatal("nothing to plan")
	}
	task := e.completed(image)
	if c := task.Counts; c.Data != 6 || c.Zero+c.Data > 8 || c.Done == 0 || c.Stored == 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestALargeImportIsDoneInRanges(t *testing.T) {
	image := make([]byte, 3*snapshot.PageBlocks*block.Size)
	var filled []int64
	for page := range 3 {
		at := page * snapshot.PageBlocks * block.Size
		copy(image[at:], disk(3))
		filled = append(filled, int64(at), int64(at+block.Size), int64(at+2*block.Size))
	}
	e := newEngine(t, image)
	e.object.filled, e.Target = filled, 1<<20
	e.accept()
	e.step(work.Plan)
	ranges := 0
	for e.step(work.Range) {
		ranges++
	}
	if task := e.completed(image); ranges != 3 || len(task.Ranges) != 3 {
		t.Errorf("%d units for %d ranges, want 3", ranges, len(task.Ranges))
	}
}

// TestALargeRangeIsNotDoneByThePlan: other units wait in its lane.
func TestALargeRangeIsNotDoneByThePlan(t *testing.T) {
	image := disk(136) // 68 MiB
	e := newEngine(t, image)
	e.accept()
	e.step(work.Plan)
	if s := e.task().State; s != importtask.Active {
		t.Errorf("after its plan the task is %s", s)
	}
	e.step(work.Range)
	e.completed(image)
}

func packed(t *testing.T, image []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.NoCompression) // to compress is slow under the race detector
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(image); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpackingHasALaneOfItsOwn(t *testing.T) {
	image := disk(8)
	e := newEngine(t, packed(t, image))
	e.accept()
	e.step(work.Plan)
	if task := e.task(); task.State != importtask.Active || task.SnapshotID != "" {
		t.Fatalf("the lane of plans went on with it: %+v", task)
	}
	if e.step(work.Plan, work.Range, work.Publish, work.Cleanup) {
		t.Error("another lane may claim it")
	}
	e.step(work.Unpack)
	e.completed(image)
}

// faultyDisk panics where the test says.
type faultyDisk struct {
	diskimage.Disk
	extents bool
}

func (d faultyDisk) Extents(off, n int64) iter.Seq2[diskimage.Extent, error] {
	if d.extents {
		panic("planted")
	}
	return d.Disk.Extents(off, n)
}

// TestADecodersPanicFailsItsTask and nothing else, at every step that looks into
// an image.
func TestADecodersPanicFailsItsTask(t *testing.T) {
	image := disk(136) // more than a plan goes on with by itself
	for _, c := range []struct {
		name  string
		image []byte
		plant func(*engine)
	}{
		{"detection", image, func(e *engine) { e.object.panicAt = 0 }},
		{"opening", image, func(e *engine) {
			e.SetDetect(func(io.ReaderAt, int64, detect.Options) (diskimage.Disk, error) { panic("planted") })
		}},
		{"planning", image, func(e *engine) {
			e.SetDetect(func(r io.ReaderAt, size int64, o detect.Options) (diskimage.Disk, error) {
				d, err := detect.Open(r, size, o)
				return faultyDisk{Disk: d, extents: true}, err
			})
		}},
		{"unpacking", packed(t, image), func(e *engine) { e.object.panicAt = int64(len(e.object.data)) - 9 }},
		{"reading", image, func(e *engine) { e.object.panicAt = 100 * block.Size }},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEngine(t, c.image)
			c.plant(e)
			e.accept()
			for e.step(everything...) {
			}
			e.failed("internal")
			if !bytes.Contains(e.logged.Bytes(), []byte("planted")) || !bytes.Contains(e.logged.Bytes(), []byte("engine")) {
				t.Errorf("the log does not say what panicked, and where: %s", e.logged.String())
			}
		})
	}
}

// TestPoison: a unit whose process ends at every try fails, and says why.
func TestPoison(t *testing.T) {
	e := newEngine(t, disk(8))
	e.accept()
	for range work.MaxClaims {
		if _, ok, err := e.db.Work().Claim(t.Context(), work.Claimer{Owner: "dies", Kinds: []work.Kind{work.Plan}}, time.Now()); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if err := e.db.Work().ExpireAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	e.step(work.Plan)
	e.failed("poison")
}

// TestRestartsUseUpNoTries: a unit that goes wrong now and then is tried as often
// as ever after restarts.
func TestRestartsUseUpNoTries(t *testing.T) {
	image := disk(8)
	e := newEngine(t, image)
	e.accept()
	for range work.MaxFailures + 3 {
		if _, ok, err := e.db.Work().Claim(t.Context(), work.Claimer{Owner: "dies", Kinds: []work.Kind{work.Plan}}, time.Now()); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if err := e.db.Work().ExpireAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	e.object.changed = errors.New("a passing fault")
	e.step(work.Plan) // fails once, after which it waits for a moment
	e.object.changed = nil
	if s := e.task().State; s != importtask.Active {
		t.Fatalf("one failure ended the task: %s", s)
	}
	later := e.runner.Now().Add(time.Hour)
	e.runner.Now = func() time.Time { return later }
	e.step(everything...)
	e.completed(image)
}

// TestFullDisk: an import that finds the disk full waits, says for what, and goes on
// when there is room again.
func TestFullDisk(t *testing.T) {
	image := disk(8)
	full := &space.FullError{Dir: "/data", Need: 64 << 20, Free: 3 << 20}
	later := func(e *engine) {
		at := e.runner.Now().Add(time.Minute)
		e.runner.Now = func() time.Time { return at }
		e.step(everything...)
	}
	t.Run("there is room again", func(t *testing.T) {
		e := newEngine(t, image)
		e.accept()
		e.room.full = full
		e.step(work.Plan)
		want := importtask.Wait{For: "space: 4 MiB needed, 3 MiB free in /data"}
		if diff := cmp.Diff(want, e.task().Waiting, cmpopts.IgnoreFields(importtask.Wait{}, "Since")); diff != "" || e.task().Waiting.Since.IsZero() {
			t.Errorf("on a full disk (-want +got):\n%s", diff)
		}
		for range 2 * work.MaxFailures {
			later(e)
		}
		e.room.full = nil
		later(e)
		e.completed(image)
		if w := e.task().Waiting; w.For != "" {
			t.Errorf("it still waits for %s", w.For)
		}
	})
	t.Run("after the plan", func(t *testing.T) {
		image := disk(136)
		e := newEngine(t, image)
		e.accept()
		e.step(work.Plan)
		e.room.full = full
		e.step(work.Range)
		if w := e.task().Waiting; w.For != "space: 68 MiB needed, 3 MiB free in /data" {
			t.Errorf("it waits for %q", w.For)
		}
		e.room.full = nil
		later(e)
		later(e)
		e.completed(image)
	})
	t.Run("the back end finds out", func(t *testing.T) {
		e := newEngine(t, image)
		e.accept()
		e.backend.full = full
		e.step(work.Plan)
		if w := e.task().Waiting; w.For != "space: 4 MiB needed, 3 MiB free in /data" {
			t.Errorf("it waits for %q", w.For)
		}
		e.backend.full = nil
		later(e)
		e.completed(image)
	})
}

func TestFaultsOfTheSource(t *testing.T) {
	t.Run("it changed while it was read", func(t *testing.T) {
		e := newEngine(t, disk(8))
		e.object.changed = source.ErrChanged
		e.accept()
		e.step(work.Plan)
		e.failed("source-changed")
	})
	t.Run("the store is too full for it", func(t *testing.T) {
		e := newEngine(t, disk(8))
		e.FreeSpace = func() (int64, error) { return 3 * block.Size, nil }
		e.accept()
		e.step(work.Plan)
		e.failed("store-full")
		if f := e.task().Failure; !strings.Contains(f.Message, "needs up to 4 MiB, and imports may take 1 MiB") || !strings.Contains(f.Hint, "--reserve") {
			t.Errorf("%+v: a disk may have more free than imports may take", f)
		}
	})
	t.Run("it is no disk", func(t *testing.T) {
		e := newEngine(t, []byte("KDMV is what a VMDK begins with"))
		e.accept()
		e.step(work.Plan)
		if task := e.task(); task.State != importtask.Deleted || task.Failure.Message == "" || task.Failure.Hint == "" {
			t.Errorf("the task is %s: %+v", task.State, task.Failure)
		}
	})
}

// TestCancelledWhileItWorks: the job ends, and the cleanup leaves nothing behind.
func TestCancelledWhileItWorks(t *testing.T) {
	e := newEngine(t, disk(136))
	e.accept()
	e.step(work.Plan)
	l, ok, err := e.db.Work().Claim(t.Context(), work.Claimer{Owner: "other", Kinds: []work.Kind{work.Range}}, time.Now())
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, err := e.Store.Cancel(t.Context(), home, taskID, importtask.Cancelled("by hand")); err != nil {
		t.Fatal(err)
	}
	_, _, err = e.Handlers()[work.Range].Do(t.Context(), &work.Held{Lease: l, Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, work.ErrLost) {
		t.Errorf("the range of a cancelled task: %v, want %v", err, work.ErrLost)
	}
	e.step(work.Cleanup)
	e.failed("cancelled")
}
