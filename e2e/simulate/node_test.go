package simulate

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// lanes are those of the service, with one lane where it has two of a kind but for ranges.
var lanes = [][]work.Kind{
	{work.Publish, work.Cleanup},
	{work.Plan, work.Survey, work.Publish, work.Cleanup},
	{work.Complete},
	{work.Expire, work.Retain},
	{work.Range},
	{work.Range, "or nothing else"}, // so that it can be told from the other one
	{work.Copy},
	{work.LetGo},
	{work.GC},
	{work.Compact},
}

// poll is how long a claimer of the service sleeps when it is not woken.
const poll = 2 * time.Second

// node is a process of the service, from its start to its death.
type node struct {
	*world
	slot  int
	name  string
	clock atomic.Int64 // by how many nanoseconds its clock is off
	born  time.Time
	ctx   context.Context
	stop  context.CancelFunc
	dead  chan struct{}  // closed when it is killed
	calls sync.WaitGroup // goroutines of requests that it answers
	ran   chan struct{}  // closed when it has ended

	mu    sync.Mutex // guards what follows
	thaw  chan struct{}
	dials time.Time // until when it dials the database anew, after it was frozen
	cutDB time.Time // until when it is cut off from the database
	cutS  time.Time // until when it is cut off from the store
	drawn map[string]uint64
	busy  map[string]bool // lanes that do units
	hurt  time.Time       // when something went wrong with it last
	up    bool            // it takes requests

	lost    map[holding]time.Time    // since when it knows that it has lost a lease; guarded by mu
	writing map[string]chan struct{} // of capacity 1, by draft: in it while a block is put; guarded by mu

	db      *metadb.DB
	slots   *blockstore.Slots
	ring    *keyring.Ring
	lib     *snapshot.Library
	shelf   *snapshot.Shelf
	engine  *importtask.Engine
	service *importtask.Service
	drafts  *snapshot.Drafts
	compact *compact.Compactor
	gc      *gc.Collector
	bus     *wake.Bus
	runner  *work.Runner
}

var (
	errDied     = errors.New("the node has died")
	errDatabase = fmt.Errorf("the simulator's database does not answer: %w", io.ErrUnexpectedEOF)
)

// now is the node's clock.
func (n *node) now() time.Time { return time.Now().Add(time.Duration(n.clock.Load())) }

// draw returns the next number of those that the node draws for something. It depends on
// nothing else that the node does, so that the order in which its goroutines come does not
// matter.
func (n *node) draw(what string) uint64 {
	n.mu.Lock()
	n.drawn[what]++
	count := n.drawn[what]
	n.mu.Unlock()
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], n.seed)
	binary.LittleEndian.PutUint64(b[8:], count)
	_, _ = h.Write(b[:])
	_, _ = io.WriteString(h, n.name)
	_, _ = io.WriteString(h, what)
	x := h.Sum64()
	x ^= x >> 31
	x *= 0x9E3779B97F4A7C15
	return x ^ x>>29
}

// percent draws a number below 100.
func (n *node) percent(what string) int { return int(n.draw(what) % 100) }

// random fills p for ids.
func (n *node) random(p []byte) {
	for i := range p {
		p[i] = byte(n.draw("id") >> 17)
	}
}

func (n *node) isDead() bool {
	select {
	case <-n.dead:
		return true
	default:
		return false
	}
}

// sleep sleeps, unless the node dies or ctx ends.
func (n *node) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-n.dead:
		return errDied
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dawdle takes about as long as is usual, and now and then seconds.
func (n *node) dawdle(ctx context.Context, what string, usual time.Duration) error {
	who, _ := ctx.Value(whoKey{}).(string)
	x := n.draw(who + what)
	d := usual/4 + time.Duration(x%uint64(usual*2))
	if claims := ctx.Value(claimKey{}) != nil; !claims && int(x>>32%1000) < n.stalls { // it is known how soon units are claimed
		d += time.Duration(x >> 16 % uint64(work.LeaseFor*3/4))
	}
	return n.sleep(ctx, d)
}

// step returns when the node may take a step of a kind, or with the reason why it can't. The
// context is the one that the step is to go by: while a node is frozen it does not notice that
// another one ends, so the step is taken all the same once it thaws.
func (n *node) step(ctx context.Context, what string, usual time.Duration) (context.Context, error) {
	if err := n.dawdle(ctx, what, usual); err != nil {
		return ctx, err
	}
	for {
		was, err := n.wake()
		switch {
		case err != nil:
			return ctx, err
		case !was:
			return ctx, nil
		}
		ctx = context.WithoutCancel(ctx)
		if err := n.dawdle(ctx, what, time.Millisecond); err != nil {
			return ctx, err
		}
	}
}

// wake returns when the node is not frozen, and whether it was.
func (n *node) wake() (was bool, err error) {
	n.mu.Lock()
	thaw := n.thaw
	n.mu.Unlock()
	if thaw != nil {
		select {
		case <-thaw: // for all at once
		case <-n.dead:
		}
	}
	if n.isDead() {
		return false, errDied
	}
	return thaw != nil, nil
}

// steady returns a context that ends when ctx does, or, if the node is frozen then, when it
// thaws.
func (n *node) steady(ctx context.Context) (context.Context, context.CancelFunc) {
	steady, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		_, _ = n.wake()
		end(context.Cause(ctx))
	})
	return steady, func() { stop(); end(nil) }
}

// reach returns when something elsewhere can be reached, or after a while with err.
func (n *node) reach(ctx context.Context, cut *time.Time, down func() bool, err error) error {
	n.mu.Lock()
	left := time.Until(*cut)
	n.mu.Unlock()
	const timeout = 15 * time.Second
	if left > timeout {
		return errors.Join(n.sleep(ctx, timeout), err)
	}
	if left > 0 {
		serr := n.sleep(ctx, left)
		if serr == nil {
			serr = n.dawdle(ctx, "what was cut off", time.Millisecond)
		}
		if serr != nil {
			return serr
		}
	}
	if down() {
		return err
	}
	return nil
}

// before implements gate.
func (n *node) before(ctx context.Context) error {
	if n.dooming(frozen, killed, stalled) { // else the event need not be known
		if f := n.doom(n.event(), false, frozen, killed, stalled); f.kind == stalled {
			if err := n.sleep(ctx, f.last); err != nil {
				return err
			}
		}
	}
	ctx, err := n.step(ctx, "database", 2*time.Millisecond)
	if err != nil {
		return err
	}
	n.mu.Lock()
	dials := time.Until(n.dials)
	n.mu.Unlock()
	if dials > 0 {
		if err := n.sleep(ctx, dials); err != nil {
			return err
		}
		if err := n.dawdle(ctx, "database", time.Millisecond); err != nil {
			return err
		}
	}
	return n.reach(ctx, &n.cutDB, func() bool { return n.during(dbDown) }, errDatabase)
}

// commit implements gate.
func (n *node) commit(event string) verdict {
	switch {
	case n.isDead():
		return refused // a server rolls back what a client leaves
	case !n.during(dbLossy) || n.percent("commit "+event) >= 15:
		return committed
	case n.draw("lost answer")%3 == 0:
		return refused
	}
	return unheard
}

// after implements gate.
func (n *node) after(ctx context.Context, event string, v verdict) error {
	if event != "" {
		n.count("events: "+event, 1)
		n.note(n, "%s%s", event, [...]string{"", ": rolled back", ": the answer is lost"}[v])
	} else if n.dooming(frozen, killed) {
		event = n.event()
	}
	if v == committed && event != "" {
		n.doom(event, true, frozen, killed)
	}
	_, err := n.step(ctx, "database", 2*time.Millisecond)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = nil // it is there all the same
	}
	if err == nil && v != committed {
		err = errDatabase
	}
	return err
}

// atStore does something to the block store.
func (n *node) atStore(ctx context.Context, what string, do func(context.Context) error) error {
	usual, asked := 10*time.Millisecond, ctx
	if n.during(storeSlow) {
		usual = 3 * time.Second
	}
	ctx, err := n.step(ctx, what, usual)
	if err != nil {
		return err
	}
	if strings.HasPrefix(what, "create ") || strings.HasPrefix(what, "close ") {
		n.heed(asked, what)
	}
	if err := n.reach(ctx, &n.cutS, func() bool { return n.during(storeDown) || n.during(storeErrors) && n.percent("503") < 20 }, errStore); err != nil {
		return err
	}
	if f := n.doom(what, false, frozen, killed, stalled); f.kind != "" {
		if f.kind == stalled {
			if err := n.sleep(ctx, f.last); err != nil {
				return err
			}
		}
		if ctx, err = n.step(ctx, what, time.Millisecond); err != nil {
			return err
		}
	}
	err = do(ctx)
	n.note(n, "%s%s", what, suffix(err))
	if err == nil {
		n.doom(what, true, frozen, killed)
		if n.during(storeErrors) && n.percent("lost 200") < 10 {
			n.note(n, "%s: the answer is lost", what)
			err = errStore
		}
		_, serr := n.step(context.WithoutCancel(ctx), what, usual)
		err = errors.Join(serr, err)
	}
	return err
}

func suffix(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// atSource does something to the store of the sources.
func (n *node) atSource(ctx context.Context, what string, do func() error) error {
	usual := 5 * time.Millisecond
	if what == "read source" {
		usual = n.slow
	}
	if _, err := n.step(ctx, what, usual); err != nil {
		return err
	}
	if n.during(sourceDown) {
		return errSource
	}
	return do()
}

// asIs is a secret.Wrapper that wraps nothing.
type asIs struct{}

func (asIs) Wrap(plain, _ []byte) []byte              { return slices.Clone(plain) }
func (asIs) Unwrap(wrapped, _ []byte) ([]byte, error) { return slices.Clone(wrapped), nil }

// room is a disk that is never full.
type room struct{}

func (room) Growth() error                        { return nil }
func (room) Shortage(need int64) *space.FullError { return &space.FullError{Need: need} }

// roles is an IAM in which everybody may be everybody.
type roles struct{}

func (roles) AssumeServiceRole(context.Context, iam.ServiceCall) (iam.Principal, error) {
	return iam.Principal{}, nil
}
func (roles) Root(string) iam.Principal { return iam.Principal{} }

// newNode makes a node, which does nothing before run.
func (w *world) newNode(slot int) *node {
	w.mu.Lock()
	w.lives++
	name := fmt.Sprintf("node-%d-%d", slot, w.lives)
	w.mu.Unlock()
	n := &node{
		world: w, slot: slot, name: name, born: time.Now(), dead: make(chan struct{}), ran: make(chan struct{}),
		drawn: map[string]uint64{}, lost: map[holding]time.Time{}, busy: map[string]bool{}, bus: &wake.Bus{}, hurt: time.Now(),
	}
	n.ctx, n.stop = context.WithCancel(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.calm {
		n.clock.Store(int64(w.clocks[slot]))
	}
	return n
}

// put puts a block. A node has one writer for each draft: two that join one append would wait for each other at
// a mutex.
func (n *node) put(ctx context.Context, home awsid.Home, draft string, b snapshot.WrittenBlock) error {
	n.mu.Lock()
	if n.writing == nil {
		n.writing = map[string]chan struct{}{}
	}
	turn, ok := n.writing[draft]
	if !ok {
		turn = make(chan struct{}, 1)
		n.writing[draft] = turn
	}
	n.mu.Unlock()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-turn }()
	return n.drafts.Put(ctx, home, draft, b)
}

// conns is more than a node ever needs: a pool that is used up is given to one of those that wait at
// random.
const conns = 64

// start opens the database and wires the node's parts, as package server does.
func (n *node) start() (err error) {
	ids := awsid.Source{Rand: n.random}
	n.db, err = metadb.Open(n.ctx, n.database.path, metadb.Options{
		Now: n.now, IDs: ids, Connector: func(driver.Connector) driver.Connector { return link{n.database, n} },
	})
	if err != nil {
		return err
	}
	for _, pool := range n.db.Pools() {
		pool.SetMaxOpenConns(conns)
		pool.SetMaxIdleConns(conns)
	}
	if n.slots, err = blockstore.NewSlots(24 * frame.Size); err != nil {
		return err
	}
	pages, err := snapshot.NewPageKey(make([]byte, 32))
	if err != nil {
		return err
	}
	back := files{n, n.files}
	n.ring = &keyring.Ring{Domains: n.db.Catalog(), Wrapper: asIs{}, IDs: ids}
	store := blockstore.NewStore(n.db.Catalog(), back, n.slots, blockstore.Options{
		Group: n.group, PackBytes: int64(n.group)*frame.Size*2 + 3*blockstore.Align,
		NewFileID: func() blockstore.FileID { return blockstore.FileID(n.draw("file") >> 1) },
	})
	store.Keys = n.ring
	n.lib = &snapshot.Library{Store: store, Index: n.db.Snapshots(), PageKey: pages, Keys: n.ring.Keys}
	n.shelf = &snapshot.Shelf{Library: n.lib, Holds: n.db.Holds(), Now: n.now}
	n.wireImports(ids)
	n.drafts = &snapshot.Drafts{
		Store: drafts{n.db.Snapshots(), n}, Records: n.db.Snapshots(), Library: n.lib, Domains: n.ring, IDs: ids, Now: n.now, Owner: n.name, Bus: n.bus, SlicePages: 1,
	}
	n.gc = &gc.Collector{
		Store: n.db.Garbage(), Backend: back, Aside: back, Pages: n.lib.RootPages, Blocks: n.lib.PageBlocks, Now: n.now,
		Window: 1 + n.percent("window")%4, ListEvery: listEvery,
	}
	n.compact = &compact.Compactor{
		Store: packs{n.db.Packs(), n}, Mender: n.db.Packs(), Leases: n.db.Work(), Blocks: store, Domain: n.db.Catalog().Domain, Keys: n.ring,
		Owner: n.name, Now: n.now, PackBytes: 4 * frame.Size,
	}
	n.wireRunner()
	return n.db.Work().Ensure(n.ctx, work.Expire, work.Retain, work.GC, work.Compact)
}

func (n *node) wireImports(ids awsid.Source) {
	from, live := sources{n}, &importtask.Live{}
	strays := work.NewStrays(8)
	images := importtask.Images{Sources: from, Scratch: scratch.Dir{}, Strays: strays}
	n.engine = &importtask.Engine{
		Store: tasks{n.db.Tasks(), n}, Pages: n.db.Tasks(), Work: n.db.Work(), Sources: from, Images: images, Roles: roles{},
		Domains: n.ring, Records: n.db.Snapshots(), Library: n.lib, IDs: ids, Now: n.now,
		FreeSpace: func() (int64, error) { return 1 << 40, nil }, Space: room{}, Workers: ingest.NewWorkers(1, strays), Target: n.target, Slice: ingest.Slice{Blocks: n.slice},
		Bus: n.bus, Live: live,
	}
	n.service = &importtask.Service{
		Store: n.db.Tasks(), Roles: roles{}, Sources: from, Records: n.db.Snapshots(), Images: images, Secrets: asIs{}, Live: live, Bus: n.bus,
		IDs: ids, Now: n.now, Log: slog.New(slog.DiscardHandler), Limit: 100,
	}
}

func (n *node) wireRunner() {
	handlers := n.engine.Handlers()
	maps.Copy(handlers, n.drafts.Handlers())
	handlers[work.GC] = work.Handler{Every: freeEvery, Do: func(ctx context.Context, _ *work.Held) (next work.Lease, ok bool, err error) {
		return next, false, n.collect(ctx)
	}}
	handlers[work.Compact] = work.Handler{Every: freeEvery, Do: func(ctx context.Context, _ *work.Held) (next work.Lease, ok bool, err error) {
		return next, false, n.rewrite(ctx)
	}}
	for _, kind := range []work.Kind{work.Expire, work.Retain} {
		often := handlers[kind]
		often.Every = dutyEvery
		handlers[kind] = often
	}
	for kind, h := range handlers {
		do := h.Do
		h.Do = func(ctx context.Context, held *work.Held) (work.Lease, bool, error) {
			ctx, end := n.steady(context.WithValue(about(ctx, "job", held.Lease), leaseKey{}, held.Lease))
			defer end()
			next, ok, err := do(ctx, held)
			if err != nil {
				n.note(n, "%s of %s failed: %v", kind, held.Task, err)
			}
			return next, ok, err
		}
		handlers[kind] = h
	}
	n.runner = &work.Runner{
		Owner: n.name, Store: claims{n.db.Work(), n}, Handlers: handlers, Lanes: lanes, Bus: n.bus, Log: slog.New(slog.DiscardHandler), Now: n.now, Poll: poll, Grace: 10 * time.Second,
	}
}

// How often duties are due, which is more often than in the service, and how often gc lists all files. While
// there is load, gc and compaction are done more often still (world.operate).
const (
	dutyEvery = 90 * time.Second
	freeEvery = 2 * time.Minute
	listEvery = time.Minute
)

// perform does a duty at once.
func (n *node) perform(ctx context.Context, duty work.Kind) error {
	_, _, err := n.runner.Handlers[duty].Do(ctx, &work.Held{Lease: work.Lease{Unit: work.Unit{Kind: duty}}, Log: slog.New(slog.DiscardHandler)})
	return err
}

// collect runs a cycle of gc.
func (n *node) collect(ctx context.Context) error {
	r, err := n.gc.Run(ctx)
	n.judge(n, r)
	return err
}

// rewrite rewrites what packs are worth it.
func (n *node) rewrite(ctx context.Context) error {
	r, err := n.compact.Run(ctx, compact.Effort{DeadPercent: 10, Small: 1}, nil)
	n.count("packs rewritten", r.Packs)
	return err
}

// occupy notes whether a lane does units.
func (n *node) occupy(lane []work.Kind, with bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.busy[fmt.Sprint(lane)] = with
}

// run starts the node and works until it is killed or stopped.
func (n *node) run() {
	defer close(n.ran)
	for {
		err := n.start()
		if err == nil {
			break
		}
		n.note(n, "can't start: %v", err)
		if n.db != nil {
			_ = n.db.Close()
			n.db = nil
		}
		if n.sleep(n.ctx, time.Second) != nil {
			n.close()
			return
		}
	}
	n.note(n, "runs")
	n.mu.Lock()
	n.hurt, n.up = time.Now(), true
	n.mu.Unlock()
	_ = n.runner.Run(n.ctx)
	n.mu.Lock()
	n.up = false
	n.mu.Unlock()
	n.calls.Wait()
	n.close()
}

// close closes what a node that has ended had open.
func (n *node) close() {
	n.count("virtual seconds of nodes", int64(time.Since(n.born).Seconds()))
	if n.db != nil {
		_ = n.db.Close()
	}
	if n.engine != nil {
		_ = n.engine.Close()
	}
	if n.slots != nil {
		if used := n.slots.InUse(); used != 0 {
			n.failf("%s ended with %d slots in use", n.name, used)
		}
		if err := n.slots.Close(); err != nil {
			n.failf("%v", err)
		}
	}
}

// kill ends the node as kill -9 does: none of its goroutines takes a step any more.
func (n *node) kill() {
	n.mu.Lock()
	was := n.isDead()
	if !was {
		close(n.dead)
	}
	n.mu.Unlock()
	if !was {
		n.stop()
	}
}

// claims is the work.Store of a node's runner. It does not ask the database for units while
// there can be none: that is exact, and what makes hours of idling cheap.
type claims struct {
	metadb.Work
	n *node
}

// Claim implements work.Store.
func (c claims) Claim(ctx context.Context, who work.Claimer, now time.Time) (l work.Lease, ok bool, err error) {
	c.n.occupy(who.Kinds, false)
	if c.n.clock.Load() >= -int64(right) { // to one that is behind, all units were claimed ahead of its clock
		if !c.idle(ctx, who.Kinds) {
			return l, false, nil
		}
		now = c.n.now()
	}
	seen := &claim{now: now}
	l, ok, err = c.Work.Claim(context.WithValue(as(ctx, fmt.Sprint(who.Kinds)), claimKey{}, seen), who, now)
	if ok {
		if seen.held[l.ID] {
			c.n.failf("%s claims %s of %q, whose lease has not lapsed", c.n.name, l.Kind, l.Task)
		}
		c.n.occupy(who.Kinds, true)
		c.n.note(c.n, "claims %s of %q, range %d, attempt %d", l.Kind, l.Task, l.Range, l.Attempt)
	}
	return l, ok, err
}

// Renew implements work.Store.
func (c claims) Renew(ctx context.Context, l work.Lease, now time.Time, p work.Progress) (work.Lease, error) {
	renewed, err := c.Work.Renew(c.n.fenced(about(ctx, "heartbeat", l), l), l, now, p)
	if errors.Is(err, work.ErrLost) {
		c.n.mu.Lock()
		c.n.lost[holding{l.ID, l.Attempt}] = time.Now()
		c.n.mu.Unlock()
	}
	return renewed, err
}

// holding is what tells a lease from all others.
type holding struct{ unit, attempt int64 }

// leaseKey is the context's key of the lease under which a job is done.
type leaseKey struct{}

// heed fails the schedule if a job takes a step although its node knows that the lease is lost, and ctx does not
// say so.
func (n *node) heed(ctx context.Context, what string) {
	l, ok := ctx.Value(leaseKey{}).(work.Lease)
	if !ok || ctx.Err() != nil {
		return
	}
	n.mu.Lock()
	at, lost := n.lost[holding{l.ID, l.Attempt}]
	n.mu.Unlock()
	if lost && time.Since(at) > 0 {
		n.failf("%s: %s of %q goes on with %s %v after its lease was lost", n.name, l.Kind, l.Task, what, time.Since(at))
	}
}

// Release implements work.Store.
func (c claims) Release(ctx context.Context, l work.Lease, kind work.Kind, notBefore time.Time) error {
	return c.Work.Release(c.n.fenced(about(ctx, "release", l), l), l, kind, notBefore)
}

// Retry implements work.Store.
func (c claims) Retry(ctx context.Context, l work.Lease, cause string, notBefore time.Time) error {
	return c.Work.Retry(c.n.fenced(about(ctx, "retry", l), l), l, cause, notBefore)
}

// about names what is done for a unit.
func about(ctx context.Context, what string, l work.Lease) context.Context {
	return as(ctx, fmt.Sprintf("%s of %s of %s %d", what, l.Kind, l.Task, l.Range))
}

// idle waits while there is nothing to be claimed, and looks as often as the runner would.
// It returns false when the runner is woken or stopped.
func (c claims) idle(ctx context.Context, kinds []work.Kind) bool {
	woken, stop := c.n.bus.Wait(wake.Work)
	defer stop()
	began := time.Now()
	for first := true; ; first = false {
		w, leave := c.n.database.waits(kinds)
		at, now := w.at, c.n.now()
		wait, due := 24*time.Hour, at > 0 && at <= now.UnixMicro()
		switch {
		case due && first:
			leave()
			return true
		case due: // the runner would have looked every poll
			wait = (poll - time.Since(began)%poll) % poll
		case at > 0:
			wait = time.UnixMicro(at).Sub(now)
		}
		t := time.NewTimer(wait)
		var on bool
		select {
		case <-t.C:
			on = true
		case <-w.changed:
			on, due = true, false
		case <-woken:
		case <-ctx.Done():
		}
		t.Stop()
		leave()
		if !on || due {
			return on
		}
	}
}

// whoKey is the context's key of what draws for a step, besides the node.
type whoKey struct{}

func as(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, whoKey{}, who)
}

// fenced has an event checked: if it has an effect, its lease must be held.
func (n *node) fenced(ctx context.Context, l work.Lease) context.Context {
	return context.WithValue(ctx, fenceKey{}, &fence{l, n.failf})
}

// tasks is the importtask.Store of a node's engine.
type tasks struct {
	importtask.Store
	n *node
}

func (s tasks) SetPhase(ctx context.Context, l work.Lease, p importtask.Phase, format string) error {
	return s.Store.SetPhase(s.n.fenced(ctx, l), l, p, format)
}

func (s tasks) Planned(ctx context.Context, l work.Lease, p importtask.Plan) (work.Lease, bool, error) {
	return s.Store.Planned(s.n.fenced(ctx, l), l, p)
}

func (s tasks) FinishSlice(ctx context.Context, l work.Lease, r importtask.RangeResult, done int64) error {
	return s.Store.FinishSlice(s.n.fenced(ctx, l), l, r, done)
}

func (s tasks) FinishRange(ctx context.Context, l work.Lease, r importtask.RangeResult) (work.Lease, bool, error) {
	return s.Store.FinishRange(s.n.fenced(ctx, l), l, r)
}

func (s tasks) Publish(ctx context.Context, l work.Lease, p importtask.Published) error {
	return s.Store.Publish(s.n.fenced(ctx, l), l, p)
}

func (s tasks) Fail(ctx context.Context, l work.Lease, f importtask.Failure) (work.Lease, error) {
	return s.Store.Fail(s.n.fenced(ctx, l), l, f)
}

func (s tasks) CleanedUp(ctx context.Context, l work.Lease) error {
	return s.Store.CleanedUp(s.n.fenced(ctx, l), l)
}

// drafts is the snapshot.DraftStore of a node.
type drafts struct {
	snapshot.DraftStore
	n *node
}

func (s drafts) Append(ctx context.Context, l work.Lease, a snapshot.Appended) error {
	return s.DraftStore.Append(s.n.fenced(ctx, l), l, a)
}

func (s drafts) Split(ctx context.Context, l work.Lease, ranges int) error {
	return s.DraftStore.Split(s.n.fenced(ctx, l), l, ranges)
}

func (s drafts) Copied(ctx context.Context, l work.Lease) (work.Lease, bool, error) {
	return s.DraftStore.Copied(s.n.fenced(ctx, l), l)
}

func (s drafts) AddPages(ctx context.Context, l work.Lease, p snapshot.NewPages) error {
	return s.DraftStore.AddPages(s.n.fenced(ctx, l), l, p)
}

func (s drafts) Publish(ctx context.Context, l work.Lease, m snapshot.Manifest) error {
	return s.DraftStore.Publish(s.n.fenced(ctx, l), l, m)
}

func (s drafts) Reject(ctx context.Context, l work.Lease, message string) error {
	return s.DraftStore.Reject(s.n.fenced(ctx, l), l, message)
}

// packs is the compact.Store of a node.
type packs struct {
	compact.Store
	n *node
}

func (s packs) Move(ctx context.Context, l work.Lease, m compact.Moved) (int64, error) {
	return s.Store.Move(s.n.fenced(ctx, l), l, m)
}
