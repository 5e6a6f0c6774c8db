package metadb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/store/verify"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// sim runs one schedule, in a bubble of testing/synctest: nodes that are the service's own
// parts over one database and one directory, each of whose goroutines stops before every
// transaction and every step on a file. Once all have stopped, the schedule says which of
// them goes on, whether time passes, or whether a node dies. So one goroutine at a time
// does something, and a seed is an order of steps.
//
// Nothing may stop while it holds a mutex that another goroutine of its node waits for:
// that would not be seen as having stopped. So ranges have one worker, and a draft has one
// writer.
type sim struct {
	schedule
	place
	rng     *rand.Rand // of the order, and of nothing else
	root    string     // of the back end
	db      *DB        // that does not stop
	lastID  atomic.Int64
	nodes   []*node
	model   model
	strays  map[string]bool // names of files that no row ever knew
	ops     sync.WaitGroup
	running int // guarded by mu

	mu     sync.Mutex // guards what follows
	parked []*parked
	free   bool // nothing stops any more
	steps  int
	last   int    // op that went on last
	brink  string // before which step the next node to come there dies; empty: none
	trace  []string
	failed []string
	tally  map[string]int64 // what happened
}

// parked is a goroutine that has stopped.
type parked struct {
	node  *node
	op    int
	label string
	goOn  chan error
	met   bool // by a decision
	until int  // step before which it does not go on while others can
}

var errDied = errors.New("the node has died")

// maxSteps is far more than a schedule takes.
const maxSteps = 20_000

func (s *sim) failf(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = append(s.failed, fmt.Sprintf(format, a...))
}

// opKey is the context's key of the number of an op.
type opKey struct{}

// stop returns when the step may be done, or with the reason why it must not.
func (s *sim) stop(ctx context.Context, n *node, label string) error {
	op, _ := ctx.Value(opKey{}).(int)
	s.mu.Lock()
	if n.dead {
		s.mu.Unlock()
		return errDied
	}
	if s.free {
		s.mu.Unlock()
		return nil
	}
	p := &parked{node: n, op: op, label: label, goOn: make(chan error, 1)}
	s.parked = append(s.parked, p)
	s.mu.Unlock()
	return <-p.goOn
}

// step stops, and then does the step unless the node has died. Now and then a step fails
// instead; or it is done, and the answer is lost.
func (s *sim) step(ctx context.Context, n *node, label string, lossy bool, do func() error) error {
	if err := s.stop(ctx, n, label); err != nil {
		return err
	}
	faulty := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.free && s.faults > 0 && s.rng.Float64() < s.faults
	}
	if faulty() {
		s.note("%d %s fails", n.slot, label)
		return errFault
	}
	err := do()
	if err == nil && lossy && faulty() {
		s.note("%d %s: the answer is lost", n.slot, label)
		return errFault
	}
	return err
}

func (s *sim) count(what string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally[what] += n
}

func (s *sim) note(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, fmt.Sprintf(format, a...))
}

// run runs the ops in the order of the schedule.
func (s *sim) run() {
	for {
		synctest.Wait()
		if !s.next() {
			return
		}
	}
}

// next takes one decision. It returns false when all ops have ended.
func (s *sim) next() bool {
	s.mu.Lock()
	s.steps++
	slices.SortStableFunc(s.parked, func(a, b *parked) int {
		return cmp.Or(cmp.Compare(a.node.slot, b.node.slot), cmp.Compare(a.op, b.op), cmp.Compare(a.label, b.label))
	})
	awake := s.wakeful()
	ready, running, left := len(s.parked), s.running, len(s.todo)
	doomed := slices.IndexFunc(s.parked, func(p *parked) bool { return p.label == s.brink })
	slot := -1
	if doomed >= 0 {
		slot = s.parked[doomed].node.slot
	}
	s.mu.Unlock()
	if s.steps > maxSteps {
		s.failf("it does not end")
		return false
	}
	if slot >= 0 {
		s.note("node %d dies before %s", slot, s.brink)
		s.count("deaths on a brink", 1)
		s.brink = ""
		s.crash(slot)
		return true
	}
	if running == 0 && left == 0 && ready == 0 {
		return false
	}
	switch roll := s.rng.Float64(); {
	case left > 0 && (roll < s.crowd || roll < 0.2 && s.todo[0].of != 0 || len(awake) == 0 && roll < 0.8):
		o := s.todo[0]
		s.todo = s.todo[1:]
		s.begin(o)
	case ready == 0 || roll > 0.985:
		s.pass(s.rng.IntN(20))
	case len(awake) == 0 && roll > 0.6: // gc waits for what lingers
		s.pass(s.rng.IntN(15))
	default:
		s.release(s.choose(awake))
	}
	return true
}

// wakeful returns the indexes of those of s.parked that do not linger. Whether somebody
// lingers, and how long, is decided when he is first met.
func (s *sim) wakeful() (awake []int) {
	for i, p := range s.parked {
		if !p.met && s.rng.Float64() < s.linger && slices.Contains(lingered, p.label) {
			p.until = s.steps + 5 + s.rng.IntN(120)
		}
		if p.met = true; p.until <= s.steps {
			awake = append(awake, i)
		}
	}
	return awake
}

// lingered are steps that do what was decided before, or that rely on it, and so those
// before which something else is most worth doing. By chance alone few whole cycles of gc
// would fit in there.
var lingered = []string{
	"create pack", "close pack", "close root", "read root", "read pages", "read pack", "remove pack", "remove pages", "remove root",
	"Tasks.FinishSlice", "Tasks.FinishRange", "Tasks.Publish", "Snapshots.Append", "Snapshots.AddPages", "Snapshots.Copied", "Snapshots.Publish", "Packs.Move", "Packs.Mend",
	"Garbage.Condemn", "Garbage.DeleteCondemned", "Garbage.Settle", "Garbage.SettleFiles", "Garbage.ForgetFiles",
}

// choose chooses who goes on: often whoever did last, so that others are met at rest. If
// all linger, it is whoever has done so longest.
func (s *sim) choose(awake []int) int {
	if len(awake) == 0 {
		first := 0
		for i, p := range s.parked {
			if p.until < s.parked[first].until {
				first = i
			}
		}
		return first
	}
	if s.rng.Float64() < s.sticky {
		for _, i := range awake {
			if s.parked[i].op == s.last {
				return i
			}
		}
	}
	return awake[s.rng.IntN(len(awake))]
}

func (s *sim) release(i int) {
	s.mu.Lock()
	p := s.parked[i]
	s.parked = slices.Delete(s.parked, i, i+1)
	s.last = p.op
	s.trace = append(s.trace, fmt.Sprintf("%d op %d: %s", p.node.slot, p.op, p.label))
	s.mu.Unlock()
	p.goOn <- nil
}

// pass lets time pass: in most cases while leases are renewed.
func (s *sim) pass(roll int) {
	var d time.Duration
	healthy := true
	switch {
	case roll < 10:
		d = time.Second
	case roll < 15:
		d = 4 * time.Second
	case roll < 18:
		d, healthy = 15*time.Second, roll < 16
	default:
		d, healthy = 90*time.Second, roll < 19
	}
	s.note("%v pass, leases are renewed: %v", d, healthy)
	for end := time.Now().Add(d); ; {
		time.Sleep(min(time.Second, time.Until(end)))
		synctest.Wait()
		for healthy && s.renew() {
			synctest.Wait()
		}
		if !time.Now().Before(end) {
			return
		}
	}
}

// renew has a heartbeat go on, if one has stopped.
func (s *sim) renew() bool {
	s.mu.Lock()
	i := slices.IndexFunc(s.parked, func(p *parked) bool { return p.label == "Work.Renew" || p.label == "Holds.Extend" })
	s.mu.Unlock()
	if i >= 0 {
		s.release(i)
	}
	return i >= 0
}

// begin starts an op.
func (s *sim) begin(o op) {
	s.note("begin op %v", o)
	switch {
	case o.kind == opCrash && o.roll < 60:
		s.brink = brinks[o.pick%len(brinks)]
		return
	case o.kind == opCrash:
		s.crash(o.node % len(s.nodes))
		return
	}
	s.mu.Lock()
	s.running++
	s.last = o.n
	s.mu.Unlock()
	s.ops.Go(func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.running--
		}()
		s.do(o)
	})
}

// brinks are steps before which a node dies: each is the second half of something that is
// not one transaction. Were deaths left to chance alone, few would come there.
var brinks = []string{
	"remove pack", "remove pages", "remove root", "Garbage.ForgetFiles", "create pack", "create pages", "Catalog.CheckLease", "close pack", "close root",
	"Tasks.FinishSlice", "Snapshots.Append", "Packs.Move", "Tasks.Publish", "Garbage.DeleteCondemned", "set aside", "bring back",
}

// crash ends a node as kill -9 does: nothing of it does a step any more, and files that
// are open stay so. Another one takes its place.
func (s *sim) crash(slot int) {
	s.count("deaths", 1)
	s.kill(s.nodes[slot])
	alone := len(s.nodes) == 1
	n := s.newNode(slot)
	if alone { // as an embedded start does
		if err := s.db.Work().ExpireAll(context.Background()); err != nil {
			s.failf("expiring all leases: %v", err)
		}
	}
	s.nodes[slot] = n
}

func (s *sim) kill(n *node) {
	s.mu.Lock()
	n.dead = true
	s.mu.Unlock()
	n.cancel()
	for more := true; more; {
		s.mu.Lock()
		more = false
		s.parked = slices.DeleteFunc(s.parked, func(p *parked) bool {
			if p.node == n {
				p.goOn <- errDied
				more = true
			}
			return p.node == n
		})
		s.mu.Unlock()
		synctest.Wait()
	}
	n.close()
}

// node is a process of the service.
type node struct {
	*sim
	slot   int
	dead   bool // guarded by sim.mu
	ctx    context.Context
	cancel context.CancelFunc

	db      *DB
	dir     *blobdir.Dir
	files   files
	slots   *blockstore.Slots // there are far more than all nodes need, so nobody waits for one
	ring    *keyring.Ring
	lib     *snapshot.Library
	shelf   *snapshot.Shelf
	engine  *importtask.Engine
	drafts  *snapshot.Drafts
	compact *compact.Compactor
	runner  *work.Runner
	verify  *verify.Verifier
}

// asIs is a secret.Wrapper that wraps nothing.
type asIs struct{}

func (asIs) Wrap(plain, _ []byte) []byte              { return slices.Clone(plain) }
func (asIs) Unwrap(wrapped, _ []byte) ([]byte, error) { return slices.Clone(wrapped), nil }

// events is a store's method in the name of a function.
var events = regexp.MustCompile(`metadb\.\(?\*?([A-Z]\w*\)?\.[A-Z]\w*)`)

// event returns which method of a store the caller's goroutine is in.
func (s *sim) event() (name string) {
	var pcs [16]uintptr
	depth := runtime.Callers(3, pcs[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if name, ok := s.place.events[pcs]; ok {
		return name
	}
	defer func() { s.place.events[pcs] = name }()
	frames := runtime.CallersFrames(pcs[:depth])
	for {
		f, more := frames.Next()
		if m := events.FindStringSubmatch(f.Function); m != nil && m[1] != "DB).Open" {
			return m[1]
		}
		if !more {
			return "a transaction"
		}
	}
}

func (s *sim) newNode(slot int) *node {
	n := &node{sim: s, slot: slot}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	db := *s.db
	db.around = func(ctx context.Context, transaction func() error) error {
		return s.step(ctx, n, s.event(), true, transaction)
	}
	n.db = &db
	var err error
	if n.dir, err = blobdir.New(s.root); err != nil {
		panic(err)
	}
	n.slots = s.place.slots
	pages, err := snapshot.NewPageKey(make([]byte, 32))
	if err != nil {
		panic(err)
	}
	n.files = files{node: n, Dir: n.dir, open: map[string]*openFile{}}
	n.ring = &keyring.Ring{Domains: db.Catalog(), Wrapper: asIs{}}
	store := blockstore.NewStore(db.Catalog(), n.files, n.slots, blockstore.Options{
		Group: s.group, PackBytes: int64(s.group)*frame.Size*2 + 3*blockstore.Align,
		NewFileID: func() blockstore.FileID { return blockstore.FileID(s.lastID.Add(1)) },
	})
	store.Keys = n.ring
	n.lib = &snapshot.Library{Store: store, Index: db.Snapshots(), PageKey: pages, Keys: n.ring.Keys}
	n.shelf = &snapshot.Shelf{Library: n.lib, Holds: db.Holds(), Now: time.Now}
	ids, bus := awsid.Source{Rand: s.random}, &wake.Bus{}
	n.engine = &importtask.Engine{
		Store: db.Tasks(), Pages: db.Tasks(), Work: db.Work(), Sources: images{}, Images: importtask.Images{Sources: images{}, Scratch: scratch.Dir{}},
		Domains: n.ring, Records: db.Snapshots(), Library: n.lib, IDs: ids, Now: time.Now,
		FreeSpace: func() (int64, error) { return 1 << 40, nil }, Space: room{}, Workers: ingest.NewWorkers(1, nil), Target: 1, Slice: ingest.Slice{Blocks: s.slice},
		Bus: bus, Live: &importtask.Live{},
	}
	n.drafts = &snapshot.Drafts{
		Store: db.Snapshots(), Records: db.Snapshots(), Library: n.lib, Domains: n.ring, IDs: ids, Now: time.Now,
		Owner: fmt.Sprint("node ", slot, " of step ", s.steps), Bus: bus, SlicePages: 1,
	}
	n.compact = &compact.Compactor{
		Store: db.Packs(), Mender: db.Packs(), Leases: db.Work(), Blocks: store, Domain: db.Catalog().Domain, Keys: n.ring,
		Collect: func(ctx context.Context) (int64, error) { r, err := n.gc(ctx, 1<<18); return r.Bytes, err },
		Owner:   n.drafts.Owner, Now: time.Now, PackBytes: 4 * frame.Size,
	}
	handlers := n.engine.Handlers()
	maps.Copy(handlers, n.drafts.Handlers())
	n.runner = &work.Runner{Owner: n.drafts.Owner, Store: db.Work(), Handlers: handlers, Bus: bus, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	n.verify = &verify.Verifier{Store: db.Inventory(), Fixes: db.Inventory(), Mender: n.compact, Entries: db.Inventory(), Region: region, Shelf: n.shelf, Keys: n.ring, Now: time.Now, Workers: 1}
	return n
}

// gc runs a cycle, and checks its report.
func (n *node) gc(ctx context.Context, window int) (gc.Report, error) {
	c := &gc.Collector{
		Store: n.db.Garbage(), Backend: n.files, Aside: n.files, Pages: n.lib.RootPages, Blocks: n.lib.PageBlocks, Now: time.Now,
		Poll: 5 * time.Second, Window: window, ListEvery: 1,
	}
	r, err := c.Run(ctx)
	if n.faults == 0 && len(r.Damaged) > 0 && ctx.Err() == nil {
		n.failf("gc takes for damaged: %q", r.Damaged)
	}
	n.count("blocks freed", r.Blocks)
	n.count("pages freed", r.Pages)
	n.count("files freed", r.Files)
	n.count("files set aside", int64(len(r.Aside)))
	for _, name := range r.Aside {
		n.mu.Lock()
		known := n.strays[name]
		n.mu.Unlock()
		if !known {
			n.failf("gc set %s aside", name)
		}
	}
	return r, err
}

// random fills p with what follows from the order of steps.
func (s *sim) random(p []byte) {
	for i := range p {
		p[i] = byte(uint64(s.lastID.Add(1)) * 0x9E3779B97F4A7C15 >> 56)
	}
}

// close closes what a dead node has open. Its files stay as they are.
func (n *node) close() {
	err := errors.Join(n.files.abandon(), n.dir.Close(), n.engine.Close())
	if err != nil {
		n.failf("closing a node: %v", err)
	}
}

// room is a disk that is never full.
type room struct{}

func (room) Growth() error                        { return nil }
func (room) Shortage(need int64) *space.FullError { return &space.FullError{Need: need} }

// files is a node's back end, whose steps stop.
type files struct {
	*node
	*blobdir.Dir
	open map[string]*openFile // guarded by sim.mu
}

func (f files) path(name string) string { return filepath.Join(f.root, filepath.FromSlash(name)) }

func kindOf(name string) string { kind, _, _ := strings.Cut(name, "/"); return kind }

// Create implements blockstore.Backend.
func (f files) Create(ctx context.Context, name string, size int64) (w blockstore.Writer, err error) {
	err = f.step(ctx, f.node, "create "+kindOf(name), false, func() error {
		w, err = f.Dir.Create(ctx, name, size)
		return err
	})
	if err != nil {
		return nil, err
	}
	l, err := f.ownerOf(name)
	if err != nil {
		f.failf("looking for the row of %s: %v", name, err)
	}
	o := &openFile{f, name, l, w}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[name] = o
	return o, nil
}

// ReadAt implements blockstore.Backend.
func (f files) ReadAt(ctx context.Context, name string, p []byte, off int64) (c int, err error) {
	err = f.step(ctx, f.node, "read "+kindOf(name), false, func() (err error) {
		c, err = f.Dir.ReadAt(ctx, name, p, off)
		return err
	})
	return c, err
}

// Remove implements blockstore.Backend.
func (f files) Remove(ctx context.Context, name string) error {
	return f.step(ctx, f.node, "remove "+kindOf(name), true, func() error { return f.Dir.Remove(ctx, name) })
}

// List implements blockstore.Backend.
func (f files) List(ctx context.Context, fn func(blockstore.Entry) error) error {
	if err := f.stop(ctx, f.node, "list"); err != nil {
		return err
	}
	return f.Dir.List(ctx, fn)
}

// SetAside implements blockstore.Quarantine.
func (f files) SetAside(ctx context.Context, name string, at time.Time) error {
	return f.step(ctx, f.node, "set aside", true, func() error { return f.Dir.SetAside(ctx, name, at) })
}

// Purge implements blockstore.Quarantine.
func (f files) Purge(ctx context.Context, before time.Time) (p blockstore.Purged, err error) {
	err = f.step(ctx, f.node, "purge", true, func() error {
		p, err = f.Dir.Purge(ctx, before)
		return err
	})
	return p, err
}

// BringBack implements blockstore.Aside.
func (f files) BringBack(ctx context.Context, name string) error {
	return f.step(ctx, f.node, "bring back", true, func() error { return f.Dir.BringBack(ctx, name) })
}

// openFile is a file that is being written.
type openFile struct {
	files files
	name  string
	lease work.Lease // of the row when it was created; zero: none
	blockstore.Writer
}

func (o *openFile) WriteAt(ctx context.Context, bufs [][]byte, off int64) error {
	return o.files.step(ctx, o.files.node, "write "+kindOf(o.name), false, func() error { return o.Writer.WriteAt(ctx, bufs, off) })
}

// Close checks that a file has its row when it is closed, and that nobody removes one
// whose unit holds its lease.
func (o *openFile) Close(ctx context.Context, size int64) error {
	return o.files.step(ctx, o.files.node, "close "+kindOf(o.name), false, func() error {
		held := o.files.sim.db.Catalog().CheckLease(ctx, o.lease) == nil
		err := o.Writer.Close(ctx, size)
		row, rerr := o.files.ownerOf(o.name)
		switch {
		case rerr != nil:
			o.files.failf("looking for the row of %s: %v", o.name, rerr)
		case held && errors.Is(err, fs.ErrNotExist):
			o.files.failf("%s was removed while its unit holds its lease", o.name)
		case (err == nil || held) && row == (work.Lease{}):
			o.files.failf("%s has lost its row, and its unit has its lease: %v; closing it: %v", o.name, held, err)
		}
		return err
	})
}

// ownerOf returns the lease that the row of a file names, or zero without a row.
func (s *sim) ownerOf(name string) (l work.Lease, err error) {
	f, _ := blockstore.ParseName(name)
	ctx := context.Background()
	err = s.db.view(ctx, "look for the owner of "+name, func(q querier) error {
		l, _, err = one(ctx, q, func(r scanner) (l work.Lease, err error) { return l, r.Scan(&l.ID, &l.Attempt, &l.Owner) }, `
			SELECT f.unit, f.attempt, COALESCE(u.owner, '') FROM files f LEFT JOIN units u ON u.id = f.unit AND u.attempt = f.attempt WHERE f.id = $1`, f.ID)
		return err
	})
	return l, err
}

// Abort stops, too: a process that dies aborts nothing.
func (o *openFile) Abort() error {
	return o.files.step(context.Background(), o.files.node, "abort "+kindOf(o.name), false, func() error { return o.Writer.Abort() })
}

// abandon closes the descriptors of what a dead node was writing, and leaves the files.
func (f files) abandon() (err error) {
	for _, name := range slices.Sorted(maps.Keys(f.open)) {
		path := f.path(name) + ".open"
		aside := filepath.Join(filepath.Dir(f.root), "abandoned")
		moved := os.Rename(path, aside) == nil // else it is closed already
		err = errors.Join(err, f.open[name].Writer.Abort())
		if moved {
			err = errors.Join(err, os.Rename(aside, path))
		}
	}
	return err
}

// images are the disks that can be imported, by the pin's ID.
type images struct{}

func (images) Open(_ context.Context, p source.Pin) (source.Object, error) {
	l, err := parseLayout(p.ID)
	return &object{layout: l, size: p.Size}, err
}

func (images) Release(context.Context, source.Pin) error { return nil }

func (images) Sweep(context.Context, func(id string) bool) error { return nil }

// object is a raw disk that knows its holes.
type object struct {
	layout layout
	size   int64
}

func (o *object) Size() int64  { return o.size }
func (o *object) Check() error { return nil }
func (o *object) Close() error { return nil }

// ReadAt implements io.ReaderAt.
func (o *object) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off < o.size {
		from := off % block.Size
		src := palette[max(0, o.layout.at(off/block.Size))][from:]
		c := copy(p[n:min(len(p), n+int(o.size-off))], src)
		n, off = n+c, off+int64(c)
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// NextData implements diskimage.SparseReaderAt.
func (o *object) NextData(off int64) (start, end int64, err error) {
	for _, index := range slices.Sorted(maps.Keys(o.layout)) {
		if at := index * block.Size; at+block.Size > off {
			return max(at, off), at + block.Size, nil
		}
	}
	return o.size, o.size, nil
}
