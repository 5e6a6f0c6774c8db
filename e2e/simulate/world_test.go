package simulate

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// world is what one schedule happens in: nodes over one database and one block store, clients,
// and what goes wrong.
type world struct {
	schedule
	*database
	files *store
	pins  *pins
	began time.Time
	aside sync.WaitGroup // goroutines that start nodes again

	mu      sync.Mutex // guards what follows
	rng     *rand.Rand // of clients
	live    []*node    // by slot: the one that was started last
	lives   int        // nodes that were ever started
	again   int        // disks that were imported again because of a fault
	ongoing map[faultKind]int
	dooms   []fault   // that wait for their step
	sick    time.Time // when something that all nodes use was not well last
	calm    bool      // nothing goes wrong any more
	model   model
	ends    map[string]string // the last states of tasks that have ended
	orphans []orphan          // units of nodes that were killed
	trace   []string
	failed  []string
	tally   map[string]int64
}

// orphan is a unit that a node had when it was killed.
type orphan struct {
	id, attempt int64
	kind        work.Kind
	killed      time.Time
	node        string
}

func newWorld(s schedule, e *engine) *world {
	w := &world{
		schedule: s, database: newDatabase(e), files: newStore(s.behind), pins: &pins{held: map[string]bool{}}, began: time.Now(),
		rng: rand.New(rand.NewPCG(s.seed, 2)), live: make([]*node, s.nodes), ongoing: map[faultKind]int{},
		model: model{map[int]*modelled{}, map[int]*task{}}, ends: map[string]string{}, tally: map[string]int64{},
	}
	if s.notified {
		w.database.notify = w.notify
	}
	w.database.closed = w.seeFiles
	return w
}

func (w *world) failf(format string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf(format, a...)
	w.failed = append(w.failed, text)
	w.trace = append(w.trace, fmt.Sprintf("%10.4f FAILED %s", time.Since(w.began).Seconds(), text))
}

func (w *world) count(what string, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally[what] += n
}

// maxTrace bounds the lines of a trace: what comes later is duties.
const maxTrace = 20_000

// note adds to the trace; n is nil for what is no node's.
func (w *world) note(n *node, format string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.trace) == maxTrace {
		return
	}
	who := "-"
	if n != nil {
		who = n.name
	}
	w.trace = append(w.trace, fmt.Sprintf("%10.4f %-9s %s", time.Since(w.began).Seconds(), who, fmt.Sprintf(format, a...)))
}

// nodes returns those that were started last.
func (w *world) nodesNow() []*node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.live)
}

// notify wakes the claimers of all nodes, as a notification of the database does.
func (w *world) notify() {
	for _, n := range w.nodesNow() {
		if n != nil {
			n.bus.Wake(wake.Work)
		}
	}
}

func (w *world) launch(slot int) {
	n := w.newNode(slot)
	w.mu.Lock()
	w.live[slot] = n
	w.mu.Unlock()
	go n.run()
}

// during reports whether something goes wrong now.
func (w *world) during(kind faultKind) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ongoing[kind] > 0
}

// spoil has things go wrong, each at its time.
func (w *world) spoil() {
	for _, f := range w.faults {
		time.Sleep(time.Until(w.began.Add(f.at)))
		w.mu.Lock()
		n := w.live[f.node]
		if f.step != "" {
			w.dooms = append(w.dooms, f)
		}
		w.mu.Unlock()
		switch {
		case f.step == "":
			w.strike(f, n)
		case f.also == imported: // gc finds something that is stored again then
			w.strip(nil)
		}
	}
}

// strike has something go wrong now, with a node or with what all of them use.
func (w *world) strike(f fault, n *node) {
	w.count(string(f.kind), 1)
	w.note(n, "FAULT %s for %v", f.kind, f.last.Round(time.Millisecond))
	until := time.Now().Add(f.last)
	n.mu.Lock()
	n.hurt = until
	n.mu.Unlock()
	switch f.kind {
	case killed:
		w.kill(n, f.last)
	case frozen:
		n.freeze(f.last)
	case stalled: // by whoever takes the step
	case cutDatabase, cutStore, cutBoth:
		n.mu.Lock()
		if f.kind != cutStore {
			n.cutDB = until
		}
		if f.kind != cutDatabase {
			n.cutS = until
		}
		n.mu.Unlock()
	default:
		w.ongo(f.kind, 1)
		w.aside.Go(func() {
			time.Sleep(f.last)
			w.note(nil, "over: %s", f.kind)
			w.ongo(f.kind, -1)
		})
	}
}

func (w *world) ongo(kind faultKind, by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ongoing[kind] += by
	w.sick = time.Now()
}

// kill kills a node, and starts another one in its place after a while. What units it had is
// noted in the background, as it may be in the middle of a transaction.
func (w *world) kill(n *node, after time.Duration) {
	if n.isDead() {
		return
	}
	n.kill()
	w.aside.Go(func() {
		left, err := w.ask(`SELECT id, attempt, kind FROM units WHERE owner = $1`, n.name)
		if err != nil {
			w.failf("%v", err)
		}
		w.mu.Lock()
		for _, row := range left {
			kind := work.Kind(row[2].(string))
			if kind != work.Append && kind != work.Rewrite { // which nobody claims
				w.orphans = append(w.orphans, orphan{row[0].(int64), row[1].(int64), kind, time.Now(), n.name})
			}
		}
		w.mu.Unlock()
		<-n.ran
		time.Sleep(after)
		w.launch(n.slot)
	})
}

// freeze has the node take no step for a while.
func (n *node) freeze(d time.Duration) {
	thaw := make(chan struct{})
	n.mu.Lock()
	was := n.thaw
	if was == nil {
		n.thaw = thaw
	}
	n.mu.Unlock()
	if was != nil {
		return
	}
	n.world.aside.Go(func() {
		time.Sleep(d)
		n.note(n, "thaws")
		dials := []time.Duration{0, 100 * time.Millisecond, time.Second, 5 * time.Second}[n.draw("thaw")%4]
		n.mu.Lock()
		n.thaw, n.dials = nil, time.Now().Add(dials)
		n.mu.Unlock()
		close(thaw)
	})
}

// doom strikes the node if a fault waits for the step that it is about to take, or, after, has
// just taken. It returns the fault; without a kind there was none.
func (n *node) doom(step string, after bool, kinds ...faultKind) (f fault) {
	w := n.world
	if !w.dooming(kinds...) {
		return f
	}
	alone := w.awake(n) == nil
	w.mu.Lock()
	i := slices.IndexFunc(w.dooms, func(f fault) bool {
		return f.step == step && f.roll%2 == 0 == after && slices.Contains(kinds, f.kind) && (f.also == "" || !alone)
	})
	if i < 0 || w.calm || n.isDead() {
		w.mu.Unlock()
		return f
	}
	if w.dooms[i].skip > 0 {
		w.dooms[i].skip--
		w.mu.Unlock()
		return f
	}
	f = w.dooms[i]
	w.dooms = slices.Delete(w.dooms, i, i+1)
	w.mu.Unlock()
	n.note(n, "at %s, after it: %v", step, after)
	w.count("at a step", 1)
	w.count("step "+step, 1)
	w.strike(f, n)
	switch f.also {
	case stripped:
		w.aside.Go(func() { w.strip(n) })
	case imported:
		w.aside.Go(func() { w.importAgain() })
	}
	return f
}

// importAgain imports a disk that a client has imported.
func (w *world) importAgain() {
	w.mu.Lock()
	w.again++
	o := w.clients[0][0]
	o.n, o.kind = 1000+w.again, opImport
	w.mu.Unlock()
	w.do(o)
}

// strip deletes the snapshots that there are, and frees what only they named, on a node other than
// one that something has just happened to; nil: on any.
func (w *world) strip(but *node) {
	on := w.awake(but)
	if on == nil {
		return
	}
	w.note(on, "deletes all snapshots, and gc runs")
	_, err := tryOn(w, on, "strip", func(ctx context.Context, n *node) (struct{}, error) {
		for i := range accounts {
			all, err := n.db.Snapshots().List(ctx, home(i), snapshot.Filter{Owners: []string{accounts[i]}}, listing.Place{}, 100)
			if err != nil {
				return struct{}{}, err
			}
			for _, rec := range all {
				if !w.mayDelete(rec) {
					continue
				}
				w.deleting(rec)
				if err := n.db.Snapshots().Delete(ctx, home(i), rec.ID); err != nil {
					return struct{}{}, err
				}
				w.deleted(rec)
			}
		}
		return struct{}{}, n.collect(ctx)
	})
	if err != nil && !unknown(err) && !errors.Is(err, snapshot.ErrNotFound) {
		w.failf("deleting all snapshots: %v", err)
	}
}

// awake returns a node, other than one, that takes requests and is not frozen; nil: there is none.
func (w *world) awake(but *node) *node {
	for _, n := range w.nodesNow() {
		if n != nil && n != but && n.takes() && !n.isFrozen() {
			return n
		}
	}
	return nil
}

// dooming reports whether a fault of some kinds waits for its step.
func (w *world) dooming(kinds ...faultKind) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.calm && slices.ContainsFunc(w.dooms, func(f fault) bool { return slices.Contains(kinds, f.kind) })
}

// judge looks at the report of a cycle of gc.
func (w *world) judge(n *node, r gc.Report) {
	w.count("blocks freed", r.Blocks)
	w.count("files freed", r.Files)
	for _, name := range r.Aside {
		if slices.Contains(w.files.AsideNames(), name) { // else a listing was behind
			w.failf("gc on %s set %s aside", n.name, name)
		}
	}
	for _, text := range r.Damaged {
		if !strings.Contains(text, "simulator") && !strings.Contains(text, errDied.Error()) && !strings.Contains(text, "context") {
			w.failf("gc on %s takes for damaged: %s", n.name, text)
		}
	}
	if r.Implausible != "" && w.behind > 0 {
		w.count("listings that were behind and taken for those of another store", 1)
	} else if r.Implausible != "" {
		w.failf("gc on %s: %s", n.name, r.Implausible)
	}
}

// healthy reports whether nothing has been wrong with a node, nor with what all of them use, for
// a while.
func (w *world) healthy(n *node, since time.Time) bool {
	w.mu.Lock()
	sick := !w.sick.Before(since)
	for _, count := range w.ongoing {
		sick = sick || count > 0
	}
	w.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	return !sick && n.up && !n.isDead() && n.thaw == nil && n.hurt.Before(since)
}

// operate has operators free garbage and rewrite packs, more often than the duties do, until ctx
// ends.
func (w *world) operate(ctx context.Context) {
	for i := 0; ; i++ {
		t := time.NewTimer(w.gcEvery)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		_, err := try(w, "an operator", func(ctx context.Context, n *node) (struct{}, error) {
			if w.rewritten && i%3 == 2 {
				return struct{}{}, n.rewrite(ctx)
			}
			return struct{}{}, n.collect(ctx)
		})
		if err != nil && !unknown(err) {
			w.failf("an operator's call: %v", err)
		}
	}
}

// watch looks now and then whether what must always be so is so.
func (w *world) watch(ctx context.Context) {
	for w.lookAll(ctx) {
		w.mu.Lock()
		every := 2 * time.Second
		switch {
		case len(w.orphans) > 0:
			every = 500 * time.Millisecond
		case w.calm:
			every = time.Minute
		}
		w.mu.Unlock()
		t := time.NewTimer(every)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// lookAll looks once. It returns false when ctx has ended.
func (w *world) lookAll(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	states, err := w.ask(`SELECT id, state FROM tasks`)
	if err != nil {
		w.failf("%v", err)
	}
	for _, row := range states {
		w.see(row[0].(string), row[1].(string))
	}
	there, err := w.texts(`SELECT description FROM snapshots`)
	if err != nil {
		w.failf("%v", err)
	}
	w.mu.Lock()
	var back []string
	for _, text := range there {
		if m := w.model.snapshots[opOf(text)]; m != nil && m.deleted && !m.told {
			m.told = true
			back = append(back, text)
		}
	}
	w.mu.Unlock()
	for _, text := range back {
		w.failf("the snapshot of %s was deleted, and is there", text)
	}
	w.seeOrphans()
	return true
}

// see notes the state of a task: one that has ended stays as it is.
func (w *world) see(id, state string) {
	w.mu.Lock()
	was := w.ends[id]
	if state == "completed" || state == "deleted" {
		w.ends[id] = state
	}
	w.mu.Unlock()
	if was != "" && was != state {
		w.failf("task %s was %s, and is %s", id, was, state)
	}
}

// seeFiles looks whether files that something lies in, by their rows, are durable.
func (w *world) seeFiles(event string, files [][]driver.Value) {
	for _, f := range files {
		if name := nameOf(f); !w.files.isClosed(name) {
			w.failf("%s names %s, which is not closed", event, name)
		}
	}
}

// nameOf returns the name of a file from its id and kind.
func nameOf(row []driver.Value) string {
	return blockstore.File{ID: blockstore.FileID(row[0].(int64)), Kind: blockstore.FileKind(row[1].(string))}.Name()
}

// takeover is how long the unit of a node that was killed may stay unclaimed, when somebody has
// time for it.
const takeover = 15 * time.Second

// seeOrphans looks whether the units of nodes that were killed are claimed in time.
func (w *world) seeOrphans() {
	w.mu.Lock()
	orphans := slices.Clone(w.orphans)
	w.mu.Unlock()
	var left []orphan
	for _, o := range orphans {
		found, err := w.ask(`SELECT 1 FROM units WHERE id = $1 AND attempt = $2`, o.id, o.attempt)
		if err != nil {
			w.failf("%v", err)
		}
		age := time.Since(o.killed)
		switch {
		case len(found) == 0:
			w.count("units of killed nodes taken over", 1)
			w.mu.Lock()
			w.tally["longest takeover, ms"] = max(w.tally["longest takeover, ms"], age.Milliseconds())
			w.mu.Unlock()
		case age > takeover+2*time.Second && w.skewed():
		case age > takeover+2*time.Second && w.hasTimeFor(o.kind):
			w.failf("unit %d, %s, of %s, which was killed %v ago, is not claimed", o.id, o.kind, o.node, age)
		default:
			left = append(left, o)
		}
	}
	w.mu.Lock()
	w.orphans = append(left, w.orphans[len(orphans):]...)
	w.mu.Unlock()
}

// hasTimeFor reports whether a node that has been well for long enough is idle in a lane for
// units of a kind.
func (w *world) hasTimeFor(kind work.Kind) bool {
	for _, n := range w.nodesNow() {
		if n == nil || !w.healthy(n, time.Now().Add(-takeover)) {
			continue
		}
		n.mu.Lock()
		busy := maps.Clone(n.busy)
		n.mu.Unlock()
		for _, lane := range lanes {
			if slices.Contains(lane, kind) && !busy[fmt.Sprint(lane)] {
				return true
			}
		}
	}
	return false
}

// errGaveUp reports a call of which no try was answered.
var errGaveUp = errors.New("no node has answered")

// stop stops all nodes, and returns when they have ended.
func (w *world) stop() {
	for _, n := range w.nodesNow() {
		n.stop()
	}
	for _, n := range w.nodesNow() {
		<-n.ran
	}
}

// run runs the schedule and returns what came of it.
func (w *world) run() outcome {
	for slot := range w.live {
		w.launch(slot)
	}
	watching, seen := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { w.watch(watching) })
	var clients sync.WaitGroup
	for _, ops := range w.clients {
		clients.Go(func() {
			for _, o := range ops {
				time.Sleep(o.after)
				w.do(o)
			}
		})
	}
	if len(w.faults) == 0 {
		all.Go(func() { w.watchProgress(watching) })
	}
	clients.Go(w.spoil)
	operating, done := context.WithCancel(context.Background())
	all.Go(func() { w.operate(operating) })
	clients.Wait()
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	w.aside.Wait()
	done()
	for _, n := range w.nodesNow() {
		n.clock.Store(0) // somebody has set it
	}
	w.note(nil, "all is well again")
	w.settle()
	seen()
	all.Wait()
	w.stop()
	w.tally["schedules"] = 1
	return outcome{w.failed, w.trace, w.tally}
}
