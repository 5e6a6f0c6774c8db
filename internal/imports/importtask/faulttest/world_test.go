// Package faulttest imports images while one of the interfaces below the import fails: the
// source, the store, the database, the scratch room, the KMS, IAM. Everything above those is
// real, and time is virtual, so pauses cost nothing.
package faulttest

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

const (
	account = "123456789012"
	region  = "us-east-1"
	taskID  = "import-snap-0123456789abcdef0"
	imageID = "import-ami-0123456789abcdef0"
	keyARN  = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
)

var home = awsid.Home{Account: account, Region: region}

// fault is what happens to one operation of an interface.
type fault struct {
	name string
	op   operation

	err   error         // that the operation returns
	after bool          // the operation is done, and only its answer is err
	short bool          // half of what was to be read comes, with err
	flip  bool          // a bit of what is read is another
	delay time.Duration // before the operation is done
	stop  func()        // is called before the operation is done
	panic bool

	answer answer // of a server, instead of all these

	skip  int           // operations that go well before
	times int           // operations that it happens to; 0: all that follow
	last  time.Duration // for how long it goes on after the first of them; 0: for ever

	want string // reason that the task ends for; "": it completes
}

// operation names one of an interface.
type operation string

const (
	srcOpen, srcRead, srcCheck             operation = "source: open", "source: read", "source: check"
	scratchMake, scratchWrite, scratchRead operation = "scratch: create", "scratch: write", "scratch: read"
	fileCreate, fileWrite, fileClose       operation = "store: create", "store: write", "store: close"
	fileRead, fileRemove, fileList         operation = "store: read", "store: remove", "store: list"
	dbBegin, dbStatement, dbCommit         operation = "database: begin", "database: statement", "database: commit"
	kmsState, kmsMake, kmsOpen, roleAsked  operation = "KMS: state", "KMS: new key", "KMS: decrypt", "IAM: role"
)

// world is an import service whose interfaces fail as the test says. Units are done when
// the test says so, one at a time.
type world struct {
	*importtask.Engine
	t       *testing.T
	dir     string
	db      *metadb.DB
	back    *blobdir.Dir
	library *snapshot.Library
	runner  *work.Runner
	gc      *gc.Collector
	drafts  *snapshot.Drafts
	compact *compact.Compactor
	source  *image
	slots   *blockstore.Slots
	keys    *keys
	log     syncBuffer

	mu      sync.Mutex // guards what follows
	armed   *fault
	at      work.Kind    // stage of the fault; "" outside of every job
	stage   work.Kind    // that is being done
	seen    map[cell]int // operations of each stage and kind
	met     int          // operations that the fault could have happened to
	fired   int
	first   time.Time
	goesOn  chan struct{} // is closed when the node, which is stopped, goes on; nil: it is not
	written []byte        // over block 3 of a derived snapshot
	causes  []string      // that the task said while it was tried again
}

type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// cell is a stage, and an interface that it uses.
type cell struct {
	stage work.Kind
	op    operation
}

// meet returns the fault if it happens to the operation.
func (w *world) meet(op operation) *fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[cell{w.stage, op}]++
	f := w.armed
	if f == nil || f.op != op || w.stage != w.at && w.fired == 0 {
		return nil
	}
	w.met++
	over := f.times > 0 && w.fired == f.times || f.last > 0 && w.fired > 0 && time.Since(w.first) > f.last
	if w.met <= f.skip || over {
		return nil
	}
	if w.fired++; w.fired == 1 {
		w.first = time.Now()
	}
	return f
}

// before is what happens before the operation is done; it returns the fault, and the
// error if it is not done at all.
func (w *world) before(op operation) (*fault, error) {
	f := w.meet(op)
	switch {
	case f == nil:
		return nil, nil
	case f.panic:
		panic("planted")
	case f.delay > 0:
		time.Sleep(f.delay)
		return f, nil
	case f.stop != nil:
		f.stop()
		return f, nil
	case f.after || f.short || f.flip:
		return f, nil
	}
	return f, f.err
}

// done is what happens to the answer of an operation that went well.
func (f *fault) done(err error) error {
	if err == nil && f != nil && f.after {
		return f.err
	}
	return err
}

// read is before and done for an operation that reads.
func (w *world) read(op operation, p []byte, read func([]byte) (int, error)) (int, error) {
	f, err := w.before(op)
	switch {
	case err != nil:
		return 0, err
	case f != nil && f.short:
		n, err := read(p[:len(p)/2])
		if err == nil {
			err = f.err
		}
		return n, err
	}
	n, err := read(p)
	if f != nil && f.flip && n > 0 {
		p[n/2] ^= 4
	}
	return n, f.done(err)
}

// template is a database that is migrated already.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "faulttest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "db")
	db, err := metadb.Open(context.Background(), path, metadb.Options{})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func newWorld(t *testing.T, src *image) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), source: src, seen: map[cell]int{}}
	src.w = w
	path := filepath.Join(w.dir, "db")
	migrated, err := template()
	if err == nil {
		err = os.WriteFile(path, migrated, 0o600)
	}
	w.check(err)
	w.db, err = metadb.Open(t.Context(), path, metadb.Options{Connector: func(c driver.Connector) driver.Connector { return connector{c, w} }})
	w.check(err)
	w.back, err = blobdir.New(filepath.Join(w.dir, "blocks"))
	w.check(err)
	w.wire("node", &keys{w: w, made: map[string][]byte{}})
	t.Cleanup(w.close)
	return w
}

// beside returns another node of the same service, whose interfaces do not fail.
func (w *world) beside() *world {
	w.t.Helper()
	o := &world{t: w.t, dir: w.dir, source: w.source, back: w.back, seen: map[cell]int{}}
	var err error
	o.db, err = metadb.Open(w.t.Context(), filepath.Join(w.dir, "db"), metadb.Options{Connector: func(c driver.Connector) driver.Connector { return connector{c, o} }})
	w.check(err)
	o.wire("another node", w.keys)
	w.t.Cleanup(func() { w.check(errors.Join(o.Close(), o.slots.Close(), o.db.Close())) })
	return o
}

// wire makes what a node does its work with.
func (w *world) wire(owner string, k *keys) {
	w.t.Helper()
	w.keys = k
	master, merr := secret.NewMasterKey(make([]byte, secret.KeySize))
	slots, serr := blockstore.NewSlots(12 * frame.Size)
	pages, perr := snapshot.NewPageKey(make([]byte, 32))
	w.check(errors.Join(merr, serr, perr))
	w.slots = slots
	ring := &keyring.Ring{Domains: w.db.Catalog(), Wrapper: master, KMS: k}
	store := blockstore.NewStore(w.db.Catalog(), backend{w.back, w}, slots, blockstore.Options{})
	store.Keys = ring
	w.library = &snapshot.Library{Store: store, Index: w.db.Snapshots(), PageKey: pages, Keys: ring.Keys}
	w.Engine = &importtask.Engine{
		Store: w.db.Tasks(), Pages: w.db.Tasks(), Work: w.db.Work(), Sources: w.source,
		Images: importtask.Images{Sources: w.source, Scratch: room{scratch.Dir{Path: filepath.Join(w.dir, "scratch")}, w}},
		Roles:  roles{w}, Domains: ring, Records: w.db.Snapshots(), Library: w.library, Now: time.Now,
		FreeSpace: func() (int64, error) { return 1 << 40, nil }, Space: plenty{}, Workers: ingest.NewWorkers(1, nil), Target: 1,
		Bus: &wake.Bus{}, Live: &importtask.Live{},
	}
	w.drafts = &snapshot.Drafts{Store: w.db.Snapshots(), Records: w.db.Snapshots(), Library: w.library, Domains: ring, Now: time.Now, Owner: owner, Bus: w.Bus}
	w.compact = &compact.Compactor{
		Store: w.db.Packs(), Mender: w.db.Packs(), Leases: units{w.db.Work(), w}, Blocks: store, Domain: w.db.Catalog().Domain, Keys: ring, Owner: owner, Now: time.Now,
	}
	handlers := w.Handlers()
	maps.Copy(handlers, w.drafts.Handlers())
	for kind, h := range handlers {
		do := h.Do
		h.Do = func(ctx context.Context, held *work.Held) (work.Lease, bool, error) {
			w.enter(stageOf(held.Unit))
			defer w.enter("")
			return do(ctx, held)
		}
		handlers[kind] = h
	}
	w.runner = &work.Runner{Owner: owner, Store: units{w.db.Work(), w}, Handlers: handlers, Bus: w.Bus, Now: time.Now, Log: slog.New(slog.NewTextHandler(&w.log, nil))}
	w.gc = &gc.Collector{Store: w.db.Garbage(), Backend: backend{w.back, w}, Aside: w.back, Pages: w.library.RootPages, Blocks: w.library.PageBlocks, Now: time.Now}
}

// units is a work.Store that renews no lease while its node is stopped.
type units struct {
	work.Store
	w *world
}

func (u units) Renew(ctx context.Context, l work.Lease, now time.Time, p work.Progress) (work.Lease, error) {
	u.w.mu.Lock()
	goesOn := u.w.goesOn
	u.w.mu.Unlock()
	if goesOn != nil {
		<-goesOn
	}
	return u.Store.Renew(ctx, l, now, p)
}

func (w *world) close() {
	w.check(errors.Join(w.Close(), w.slots.Close(), w.db.Close(), w.back.Close()))
}

func (w *world) enter(stage work.Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stage = stage
}

// arm makes a fault happen in a stage.
func (w *world) arm(f *fault, at work.Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, w.at, w.met, w.fired = f, at, 0, 0
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// accept makes the task: of a snapshot, or of a machine image.
func (w *world) accept() {
	w.t.Helper()
	pin, err := w.source.pin, error(nil)
	if pin.ID == taskID {
		_, _, err = w.Store.Create(w.t.Context(), w.task(), 10)
	} else {
		disk := w.task()
		disk.ImageTask, disk.Place = imageID, importtask.Place{Container: 1, Disk: 1}
		_, _, err = w.Store.CreateImage(w.t.Context(), importtask.ImageTask{
			ID: imageID, Account: account, Region: region, Disks: []importtask.Task{disk},
			Spec: importtask.ImageSpec{RoleName: "vmimport", Encrypted: true, KMSKey: keyARN},
		}, 10)
	}
	w.check(err)
	w.source.pinned = true
}

// task returns the task of the source's disk.
func (w *world) task() importtask.Task {
	pin := w.source.pin
	return importtask.Task{
		ID: pin.ID, Account: account, Region: region, Pin: pin.String(), RoleName: "vmimport", SourceBytes: pin.Size, Encrypted: true, KMSKey: keyARN,
	}
}

// splitting is the plan of the first disk of a machine image, which gives each of the disks
// in an OVA a task. Other stages are called as their units are.
const splitting work.Kind = "split"

func stageOf(u work.Unit) work.Kind {
	if u.Kind == work.Plan && strings.HasSuffix(u.Task, "/1") {
		return splitting
	}
	return u.Kind
}

// stages are those of imports.
var stages = []work.Kind{work.Publish, work.Cleanup, work.Range, work.Unpack, work.Survey, work.Plan, work.LetGo}

// patience is how long an import may take until it ends. It is virtual.
const patience = 12 * time.Hour

// outcome is what became of a task.
type outcome struct {
	state     importtask.State
	failure   importtask.Failure
	snapshots []string // of its disks, in order
}

// look returns what became of the task until now, and notes what is tried again.
func (w *world) look() (o outcome, err error) {
	if w.source.pin.ID == taskID {
		t, err := w.Store.Get(w.t.Context(), home, taskID)
		w.trying(t.Retry)
		return outcome{t.State, t.Failure, []string{t.SnapshotID}}, err
	}
	t, err := w.Store.GetImage(w.t.Context(), home, imageID)
	o.state, o.failure = t.State, t.Failure
	w.trying(t.Retry)
	for _, d := range t.Disks {
		w.trying(d.Retry)
		o.snapshots = append(o.snapshots, d.SnapshotID)
	}
	return o, err
}

func (w *world) trying(r importtask.Retry) {
	if r.Failures > 0 {
		w.causes = append(w.causes, r.Cause)
	}
}

// run does units until the task has ended and there is nothing more to do, and returns
// what became of it.
func (w *world) run() (o outcome) {
	w.t.Helper()
	for began, idle := time.Now(), 0; ; {
		did, _ := w.runner.Step(w.t.Context(), stages...) // an error is a fault
		if now, err := w.look(); err == nil {
			o = now
		}
		ended := o.state == importtask.Completed || o.state == importtask.Deleted
		switch {
		case did:
			idle = 0
		case ended && idle > 1 && (len(w.left()) == 0 || idle > 200): // longer than a lease, and than pauses
			return o
		case time.Since(began) > patience:
			w.t.Fatalf("after %v the task is %s, %q\n%s", patience, o.state, w.causes, w.log.String())
		default:
			idle++
			time.Sleep(2 * work.LeaseFor)
		}
	}
}

// judge checks how an import ended that should have ended for a reason, "" for none, and
// that nothing is left of it that should not be.
func (w *world) judge(o outcome, want string) {
	w.t.Helper()
	w.arm(nil, "")
	for range 3 { // a pin whose release was lost is found by the second round
		_, err := w.runner.Step(w.t.Context(), work.Retain)
		w.check(err)
		time.Sleep(61 * time.Minute)
	}
	if want == "" && o.state != importtask.Completed || want != "" && (o.state != importtask.Deleted || o.failure.Reason != want) {
		w.t.Fatalf("the task is %s for %q (%s), want the reason %q\n%s", o.state, o.failure.Reason, o.failure.Message, want, w.log.String())
	}
	w.made(o, want == "")
	if w.source.open != 0 || w.source.pinned {
		w.t.Errorf("the source is open %d times, pinned: %t", w.source.open, w.source.pinned)
	}
	if kinds := w.left(); len(kinds) != 0 {
		w.t.Errorf("units of kinds %s are left", kinds)
	}
	for _, cause := range append(w.causes, o.failure.Message, o.failure.Detail, o.failure.Hint) {
		if strings.Contains(cause, w.dir) || strings.Contains(cause, "planted") || strings.Contains(cause, "192.0.2.1") {
			w.t.Errorf("the owner of the task is told %q", cause)
		}
	}
	w.collected(want == "")
	if left, err := os.ReadDir(filepath.Join(w.dir, "scratch")); len(left) != 0 {
		w.t.Errorf("scratch files are left: %v, %v", left, err)
	}
}

// left returns of which kinds there are units, other than duties; none while the database fails.
func (w *world) left() (kinds []work.Kind) {
	queues, _ := w.db.Work().Queues(w.t.Context(), time.Now())
	for _, q := range queues {
		if q.Kind != work.Retain {
			kinds = append(kinds, q.Kind)
		}
	}
	return kinds
}

// made checks that there are the snapshots of a completed task and its image, and no
// others, or none at all.
func (w *world) made(o outcome, completed bool) {
	w.t.Helper()
	records, err := w.db.Snapshots().List(w.t.Context(), home, snapshot.Filter{}, listing.Place{}, 10)
	w.check(err)
	images, err := w.db.Images().Owned(w.t.Context(), account)
	w.check(err)
	wantSnapshots, wantImages := 0, 0
	if completed {
		wantSnapshots = max(1, len(w.source.disks))
		if w.source.pin.ID != taskID {
			wantImages = 1
		}
		for i, id := range o.snapshots {
			w.check(w.right(id, i))
		}
	}
	if len(records) != wantSnapshots || int(images) != wantImages || completed && len(o.snapshots) != wantSnapshots {
		w.t.Errorf("%d snapshots and %d images, want %d and %d; the task has the snapshots %q", len(records), images, wantSnapshots, wantImages, o.snapshots)
	}
}

// collected checks that gc leaves no file that no row names, and none at all without a
// snapshot.
func (w *world) collected(snapshots bool) {
	w.t.Helper()
	for range 2 {
		_, err := w.gc.Run(w.t.Context())
		w.check(err)
	}
	var ids []blockstore.FileID
	w.check(blockstore.EachFile(w.t.Context(), w.back, func(found []blockstore.FoundFile) error {
		for _, f := range found {
			ids = append(ids, f.ID)
			if !f.Closed {
				w.t.Errorf("%s is left open", f.Name())
			}
		}
		return nil
	}))
	known, err := w.db.Catalog().KnownFiles(w.t.Context(), ids)
	w.check(err)
	rows, err := w.db.Catalog().ClosedFiles(w.t.Context())
	w.check(err)
	if len(known) != len(ids) || rows != int64(len(ids)) || snapshots == (len(ids) == 0) {
		w.t.Errorf("%d files, of which %d have rows; %d rows", len(ids), len(known), rows)
	}
}

// right reports how the snapshot is not the disk of that number.
func (w *world) right(id string, number int) error {
	rec, err := w.db.Snapshots().Get(w.t.Context(), region, id)
	if err != nil || rec.State != snapshot.Completed {
		return fmt.Errorf("the snapshot is %s, %w", rec.State, err)
	}
	blocks, err := w.library.Open(w.t.Context(), rec)
	if err != nil {
		return err
	}
	buf := make([]byte, frame.Size)
	for _, at := range append(slices.Clone(w.source.filled), w.source.holes...) {
		got, _, err := blocks.Get(w.t.Context(), at, buf)
		if errors.Is(err, snapshot.ErrAbsent) {
			got, err = make([]byte, block.Size), nil
		}
		want := make([]byte, block.Size)
		if w.source.fill(want, at*block.Size); w.source.disks != nil {
			want = w.source.disks[number][at*block.Size : (at+1)*block.Size]
		}
		if err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("block %d is not the image's: %w", at, err)
		}
	}
	return nil
}

// plenty is a disk with room for everything.
type plenty struct{}

func (plenty) Growth() error { return nil }
func (plenty) Shortage(need int64) *space.FullError {
	return &space.FullError{Dir: "/data", Need: need}
}

// image is a pinned raw disk in which some blocks are filled, or any object.
type image struct {
	w      *world
	pin    source.Pin
	filled []int64       // blocks of a raw disk
	holes  []int64       // some that are not filled
	object []byte        // instead of a raw disk
	disks  [][]byte      // that are in the object, with the same blocks filled
	slow   time.Duration // of the first read

	mu     sync.Mutex // guards what follows
	open   int
	pinned bool
}

// rawImage is a disk of two ranges with two blocks each.
func rawImage() *image {
	i := &image{filled: []int64{0, 3, snapshot.PageBlocks, snapshot.PageBlocks + 1}, holes: []int64{1, 2, snapshot.PageBlocks + 2}}
	i.pin = source.Pin{Kind: source.Embedded, ID: taskID, Bucket: "images", Key: "disk", Size: (snapshot.PageBlocks + 8) * block.Size}
	return i
}

// fill writes the disk's bytes at off to p. No two blocks are equal.
func (i *image) fill(p []byte, off int64) {
	clear(p)
	for _, index := range i.filled {
		lo, hi := max(off, index*block.Size), min(off+int64(len(p)), (index+1)*block.Size)
		for lo < hi {
			at := lo % int64(len(pattern)-block.Size/2)
			n := copy(p[lo-off:hi-off], pattern[at:])
			lo += int64(n)
		}
	}
}

// pattern repeats itself in a disk after a number of bytes that no block begins at.
var pattern = func() []byte {
	p := make([]byte, block.Size/2+1021)
	for i := range p {
		p[i] = byte(i%251) + 1
	}
	return p
}()

// opened is an image that is read.
type opened struct {
	*image
	close sync.Once
}

func (i *image) Open(context.Context, source.Pin) (source.Object, error) {
	if _, err := i.w.before(srcOpen); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.open++
	o := &opened{image: i}
	if i.object != nil {
		return o, nil
	}
	return sparse{o}, nil
}

func (i *image) Release(context.Context, source.Pin) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.pinned = false
	return nil
}

func (i *image) Sweep(_ context.Context, keep func(string) bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.pinned && !keep(i.pin.ID) {
		i.pinned = false
	}
	return nil
}

func (o *opened) Size() int64 {
	if o.object != nil {
		return int64(len(o.object))
	}
	return o.pin.Size
}

func (o *opened) Check() error {
	_, err := o.w.before(srcCheck)
	return err
}

func (o *opened) Close() error {
	o.close.Do(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.open--
	})
	return nil
}

func (o *opened) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(o.slowly())
	return o.w.read(srcRead, p, func(p []byte) (int, error) {
		if o.object != nil {
			return bytes.NewReader(o.object).ReadAt(p, off)
		}
		n := min(int64(len(p)), max(0, o.pin.Size-off))
		o.fill(p[:n], off)
		if n < int64(len(p)) {
			return int(n), io.EOF
		}
		return int(n), nil
	})
}

// slowly returns how long the next read takes.
func (i *image) slowly() (slow time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	slow, i.slow = i.slow, 0
	return slow
}

// sparse is a raw disk that knows its holes.
type sparse struct{ *opened }

func (s sparse) NextData(off int64) (start, end int64, err error) {
	for _, index := range s.filled {
		if end := (index + 1) * block.Size; end > off {
			return max(off, index*block.Size), end, nil
		}
	}
	return s.pin.Size, s.pin.Size, nil
}

// room is scratch room that fails.
type room struct {
	diskimage.Scratch
	w *world
}

func (r room) Create() (diskimage.ScratchFile, error) {
	if _, err := r.w.before(scratchMake); err != nil {
		return nil, err
	}
	f, err := r.Scratch.Create()
	return scratchFile{f, r.w}, err
}

type scratchFile struct {
	diskimage.ScratchFile
	w *world
}

func (f scratchFile) WriteAt(p []byte, off int64) (int, error) {
	if _, err := f.w.before(scratchWrite); err != nil {
		return 0, err
	}
	return f.ScratchFile.WriteAt(p, off)
}

func (f scratchFile) ReadAt(p []byte, off int64) (int, error) {
	return f.w.read(scratchRead, p, func(p []byte) (int, error) { return f.ScratchFile.ReadAt(p, off) })
}

// backend is a back end that fails.
type backend struct {
	*blobdir.Dir
	w *world
}

func (b backend) Create(ctx context.Context, name string, size int64) (blockstore.Writer, error) {
	if _, err := b.w.before(fileCreate); err != nil {
		return nil, err
	}
	f, err := b.Dir.Create(ctx, name, size)
	return writer{f, b.w}, err
}

func (b backend) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	return b.w.read(fileRead, p, func(p []byte) (int, error) { return b.Dir.ReadAt(ctx, name, p, off) })
}

func (b backend) Remove(ctx context.Context, name string) error {
	f, err := b.w.before(fileRemove)
	if err != nil {
		return err
	}
	return f.done(b.Dir.Remove(ctx, name))
}

func (b backend) List(ctx context.Context, fn func(blockstore.Entry) error) error {
	if _, err := b.w.before(fileList); err != nil {
		return err
	}
	return b.Dir.List(ctx, fn)
}

type writer struct {
	blockstore.Writer
	w *world
}

func (f writer) WriteAt(ctx context.Context, bufs [][]byte, off int64) error {
	if _, err := f.w.before(fileWrite); err != nil {
		return err
	}
	return f.Writer.WriteAt(ctx, bufs, off)
}

func (f writer) Close(ctx context.Context, size int64) error {
	fault, err := f.w.before(fileClose)
	if err != nil {
		return err
	}
	return fault.done(f.Writer.Close(ctx, size))
}

// roles is an IAM that fails.
type roles struct{ w *world }

func (r roles) AssumeServiceRole(context.Context, iam.ServiceCall) (iam.Principal, error) {
	if _, err := r.w.before(roleAsked); err != nil {
		return iam.Principal{}, err
	}
	return iam.Principal{Account: account, Kind: iam.Root, ARN: "arn:aws:iam::" + account + ":role/vmimport"}, nil
}

func (roles) Root(account string) iam.Principal { return iam.Principal{Account: account} }

// keys is a KMS that fails. Every ARN is that of a key.
type keys struct {
	w    *world
	mu   sync.Mutex // guards made
	made map[string][]byte
}

func (k *keys) key(arn string) keyring.Key {
	return keyring.Key{ARN: arn, Spec: string(kms.Symmetric), Usage: string(kms.EncryptDecrypt), State: string(kms.Enabled)}
}

func (k *keys) Resolve(ctx context.Context, _ kms.Caller, arn string, _ keyring.Wish) (keyring.Key, error) {
	return k.State(ctx, arn)
}

func (k *keys) State(_ context.Context, arn string) (keyring.Key, error) {
	if _, err := k.w.before(kmsState); err != nil {
		return keyring.Key{}, err
	}
	return k.key(arn), nil
}

func (k *keys) Permit(context.Context, kms.Caller, keyring.Wish) error { return nil }

func (k *keys) generate(n int) (plain, ciphertext []byte, err error) {
	f, err := k.w.before(kmsMake)
	if err != nil {
		return nil, nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	name := fmt.Sprintf("data key %d", len(k.made))
	plain = bytes.Repeat([]byte{byte(len(k.made) + 1)}, n)
	k.made[name] = bytes.Clone(plain) // the caller clears its own
	return plain, []byte(name), f.done(nil)
}

func (k *keys) GenerateDataKey(context.Context, string, keyring.Context) (plain, ciphertext []byte, err error) {
	return k.generate(32)
}

func (k *keys) GenerateDataKeyWithoutPlaintext(context.Context, string, keyring.Context) ([]byte, error) {
	_, ciphertext, err := k.generate(64)
	return ciphertext, err
}

func (k *keys) Decrypt(_ context.Context, _ string, ciphertext []byte, _ keyring.Context) ([]byte, error) {
	if _, err := k.w.before(kmsOpen); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return bytes.Clone(k.made[string(ciphertext)]), nil
}

// connector makes connections to the database that fail.
type connector struct {
	driver.Connector
	w *world
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	plain, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	whole, ok := plain.(fullConn)
	if !ok {
		return nil, fmt.Errorf("%T lacks a method that would be hidden", plain)
	}
	// What a power cut leaves is not looked at here, and waiting for the disk takes long.
	_, err = whole.ExecContext(ctx, "PRAGMA synchronous=OFF", nil)
	return conn{whole, c.w}, err
}

type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type conn struct {
	fullConn
	w *world
}

func (c conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if _, err := c.w.before(dbBegin); err != nil {
		return nil, err
	}
	inner, err := c.fullConn.BeginTx(ctx, o)
	if err != nil || o.ReadOnly {
		return inner, err
	}
	return tx{inner, c.w}, nil
}

func (c conn) ExecContext(ctx context.Context, stmt string, args []driver.NamedValue) (driver.Result, error) {
	if _, err := c.w.before(dbStatement); err != nil {
		return nil, err
	}
	return c.fullConn.ExecContext(ctx, stmt, args)
}

func (c conn) QueryContext(ctx context.Context, stmt string, args []driver.NamedValue) (driver.Rows, error) {
	if _, err := c.w.before(dbStatement); err != nil {
		return nil, err
	}
	return c.fullConn.QueryContext(ctx, stmt, args)
}

type tx struct {
	driver.Tx
	w *world
}

func (t tx) Commit() error {
	f, err := t.w.before(dbCommit)
	if err != nil {
		return errors.Join(err, t.Tx.Rollback())
	}
	return f.done(t.Tx.Commit())
}
