package metadb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// schedule is what a seed stands for: what is done, beside how it is interleaved.
type schedule struct {
	seed   uint64
	todo   []op
	early  int // of them, done one after the other before anything else is
	nodes  int
	faults float64 // how many of all steps fail
	crowd  float64 // how often the next op begins
	sticky float64 // how often whoever did the last step does the next
	linger float64 // how often a step is put off for which others are worth doing before
	group  int     // blocks that are written together
	slice  int64   // blocks that one transaction of an import registers
	rows   int64   // rows that one transaction lets go of
}

// op is something that clients, operators or the service do.
type op struct {
	n       int // its number, from 1 on
	kind    opKind
	node    int
	account int
	pick    int // of what there is
	of      int // the op that made the snapshot which is meant, if that is there; 0: pick says which
	disk    layout
	puts    []put
	roll    int
}

func (o op) String() string {
	return fmt.Sprintf("%d: %s on node %d, account %d, pick %d, roll %d, disk %v, puts %v", o.n, o.kind, o.node, o.account, o.pick, o.roll, o.disk, o.puts)
}

type opKind string

const (
	opImport  opKind = "import"
	opCancel  opKind = "cancel"
	opDraft   opKind = "draft" // with its puts, and its completion
	opCopy    opKind = "copy"
	opDelete  opKind = "delete"
	opWork    opKind = "work" // units, as claimers do
	opGC      opKind = "gc"
	opCompact opKind = "compact"
	opRead    opKind = "read"
	opHoldAll opKind = "hold all files"
	opMark    opKind = "mark as damaged"
	opStray   opKind = "stray" // a file that no database knows
	opExpire  opKind = "expire"
	opVerify  opKind = "verify"
	opCrash   opKind = "crash"
)

// mix is how often what is done.
var mix = []struct {
	kind opKind
	of   int
}{
	{opImport, 16}, {opCancel, 4}, {opDraft, 14}, {opCopy, 8}, {opDelete, 22}, {opWork, 20}, {opGC, 14}, {opCompact, 8}, {opRead, 5}, {opHoldAll, 1},
	{opMark, 2}, {opStray, 2}, {opExpire, 2}, {opVerify, 1}, {opCrash, 4},
}

// scenes are what is dangerous together: each is about a snapshot that an early op has made
// of contents that nobody else has, and that is let go of while they are stored again, read,
// copied or moved. By chance alone something else names most contents.
var scenes = [][]opKind{
	{opDelete, opImport, opGC, opWork}, {opDelete, opGC, opImport, opWork}, {opImport, opDelete, opGC, opWork}, {opImport, opWork, opDelete, opGC},
	{opDelete, opGC, opDraft, opWork}, {opDraft, opDelete, opGC, opWork}, {opRead, opDelete, opGC}, {opDelete, opRead, opGC}, {opCopy, opDelete, opGC, opWork},
	{opCompact, opDelete, opGC}, {opDelete, opCompact, opGC, opImport}, {opHoldAll, opDelete, opGC},
}

// earlyKinds are the kinds of ops that fill the store before anything else is done.
var earlyKinds = []opKind{opImport, opImport, opDraft, opCopy}

type put struct {
	index   int64
	content int
}

// Contents are the numbers of what a block may hold; 0 is zeros, and from numCommon on
// those of scenes.
const (
	numCommon   = 4
	maxScenes   = 3
	numContents = numCommon + maxScenes
)

// palette is what blocks hold.
var palette = func() (p [numContents][]byte) {
	for i := range p {
		p[i] = bytes.Repeat([]byte{byte(i * 17)}, block.Size)
	}
	return p
}()

var digests = func() (d [numContents]block.Digest) {
	for i := range d {
		d[i] = block.Sum(palette[i])
	}
	return d
}()

// layout is a disk: what the blocks hold that are not holes.
type layout map[int64]int

func (l layout) at(index int64) int {
	if c, ok := l[index]; ok {
		return c
	}
	return absent
}

const absent = -1

func (l layout) String() string {
	var b strings.Builder
	for _, i := range slices.Sorted(maps.Keys(l)) {
		fmt.Fprintf(&b, "%d=%d,", i, l[i])
	}
	return b.String()
}

func parseLayout(text string) (layout, error) {
	l := layout{}
	for _, part := range strings.Split(strings.TrimSuffix(text, ","), ",") {
		var index int64
		var content int
		if _, err := fmt.Sscanf(part, "%d=%d", &index, &content); err != nil {
			return nil, err
		}
		l[index] = content
	}
	return l, nil
}

// volumeGiB is the GiB of every volume, and places where its blocks may be: on two pages
// of the first GiB and one of the second.
const volumeGiB = 2

var places = []int64{0, 1, 5, snapshot.PageBlocks, snapshot.PageBlocks + 1, 2*snapshot.PageBlocks + 7}

var accounts = []string{"111111111111", "222222222222"}

// newSchedule returns what a seed stands for.
func newSchedule(seed uint64) schedule {
	r := rand.New(rand.NewPCG(seed, 1))
	s := schedule{
		seed: seed, nodes: 1 + r.IntN(2), crowd: []float64{0.05, 0.15, 0.4}[r.IntN(3)], sticky: []float64{0, 0.5, 0.8, 0.95}[r.IntN(4)],
		group: 1 + r.IntN(2), slice: int64(1 + r.IntN(3)), rows: int64(1 + r.IntN(4)),
	}
	s.linger = []float64{0, 0.3, 0.6, 0.8}[r.IntN(4)]
	if r.IntN(4) == 0 {
		s.faults = 0.01 * r.Float64()
	}
	total := 0
	for _, m := range mix {
		total += m.of
	}
	disks := make([]layout, 1+r.IntN(2)) // few, so that pages and blocks are shared
	for i := range disks {
		disks[i] = layout{}
		for range 1 + r.IntN(2) {
			disks[i][places[r.IntN(len(places))]] = 1 + r.IntN(numCommon-1)
		}
	}
	add := func(kind opKind) *op {
		o := op{n: len(s.todo) + 1, kind: kind, node: r.IntN(2), account: min(1, r.IntN(4)/3), pick: r.IntN(1 << 20), roll: r.IntN(100), disk: disks[r.IntN(len(disks))]}
		for range 1 + r.IntN(3) {
			o.puts = append(o.puts, put{places[r.IntN(len(places))], r.IntN(numCommon)})
		}
		s.todo = append(s.todo, o)
		return &s.todo[len(s.todo)-1]
	}
	for range r.IntN(5) {
		add(earlyKinds[r.IntN(len(earlyKinds))])
	}
	var firsts []op // of scenes
	for n := range r.IntN(maxScenes + 1) {
		first := add(opImport)
		first.disk = layout{}
		for range 1 + r.IntN(4) {
			first.disk[places[r.IntN(len(places))]] = numCommon + n
		}
		firsts = append(firsts, *first)
	}
	s.early = len(s.todo)
	for range 8 + r.IntN(12) {
		if len(firsts) > 0 && r.IntN(3) == 0 {
			for _, kind := range scenes[r.IntN(len(scenes))] {
				add(kind).follow(firsts[0])
			}
			firsts = firsts[1:]
			continue
		}
		roll, kind := r.IntN(total), opImport
		for _, m := range mix {
			if roll -= m.of; roll < 0 {
				kind = m.kind
				break
			}
		}
		add(kind)
	}
	return s
}

// follow makes an op that of a scene, which began with first.
func (o *op) follow(first op) {
	o.of, o.account, o.disk, o.puts = first.n, first.account, first.disk, nil
	for index, content := range first.disk {
		o.puts = append(o.puts, put{index, content})
	}
	slices.SortFunc(o.puts, func(a, b put) int { return cmp.Compare(a.index, b.index) })
}

// model is what clients know.
type model struct {
	snapshots map[int]*modelled // by the op that makes it
	tasks     map[int]*task
}

// modelled is a snapshot.
type modelled struct {
	account int
	may     map[int64]map[int]bool // what a block may hold; one that is not here is absent
	deletes bool                   // somebody has asked for it to be deleted
	deleted bool                   // and got an answer
	due     bool                   // it was accepted: it must be completed, or deleted
	failing bool                   // it must fail
}

type task struct {
	accepted, cancelled bool
}

// only says what a block holds.
func only(content int) map[int]bool { return map[int]bool{content: true} }

// settled returns a copy of what blocks may hold.
func (m *modelled) copy() map[int64]map[int]bool {
	c := map[int64]map[int]bool{}
	for i, may := range m.may {
		c[i] = maps.Clone(may)
	}
	return c
}

func home(account int) awsid.Home { return of(accounts[account%2]) }

func describe(o op) string { return fmt.Sprint("op ", o.n) }

// opOf returns the op that made a snapshot.
func opOf(description string) (n int) {
	_, _ = fmt.Sscanf(description, "op %d", &n)
	return n
}

// here returns the living node of an op.
func (s *sim) here(o op) *node { return s.nodes[o.node%len(s.nodes)] }

// context returns that of an op on a node.
func (n *node) context(o op) context.Context { return context.WithValue(n.ctx, opKey{}, o.n) }

// retry does something on the op's node, and again if that dies or the step fails, as
// clients with tokens do. It returns errDied or errFault if it does not know the outcome.
func (s *sim) retry(o op, fn func(ctx context.Context, n *node) error) error {
	for tries := 0; ; tries++ {
		n := s.here(o)
		err := fn(n.context(o), n)
		if !unknown(n, err) || tries == 2 {
			return err
		}
	}
}

// unknown reports whether an error leaves it open what has happened.
func unknown(n *node, err error) bool {
	return err != nil && (errors.Is(err, errDied) || errors.Is(err, errFault) || n.ctx.Err() != nil)
}

// expect fails the run for an error that is neither of those, nor one that a node's death
// or an injected fault explains.
func (s *sim) expect(o op, n *node, err error, allowed ...error) {
	if err == nil || unknown(n, err) {
		return
	}
	for _, a := range allowed {
		if errors.Is(err, a) {
			return
		}
	}
	s.failf("op %v: %v", o, err)
}

// everyUnit is the kinds of units that claimers take.
var everyUnit = []work.Kind{work.Publish, work.Cleanup, work.Plan, work.Survey, work.Range, work.Complete, work.Copy, work.LetGo}

func (s *sim) do(o op) {
	switch o.kind {
	case opImport:
		s.doImport(o)
	case opCancel:
		s.doCancel(o)
	case opDraft:
		s.doDraft(o)
	case opCopy:
		s.doCopy(o)
	case opDelete:
		s.doDelete(o)
	case opRead:
		s.doRead(o)
	case opHoldAll:
		s.doHoldAll(o)
	case opMark:
		s.doMark(o)
	case opStray:
		s.doStray(o)
	case opCrash:
	case opWork:
		s.claim(o, 1+o.roll%3)
	case opGC:
		s.collectFor(o)
	case opCompact:
		n := s.here(o)
		e := compact.Effort{DeadPercent: o.roll % 30, Small: 1 + o.roll%3, Wait: o.roll > 50}
		r, err := n.compact.Run(n.context(o), e, nil)
		s.count("packs rewritten", r.Packs)
		s.expect(o, n, err, fs.ErrNotExist) // its lease has lapsed, and gc has removed what it was writing
	case opExpire:
		n := s.here(o)
		_, err := n.db.Snapshots().ExpireDrafts(n.context(o), time.Now())
		s.expect(o, n, err)
	case opVerify:
		n := s.here(o)
		_, err := n.verify.Run(n.context(o), verifyEffort, quiet)
		s.expect(o, n, err)
	}
}

func (s *sim) doImport(o op) {
	s.mu.Lock()
	t := &task{}
	s.model.tasks[o.n] = t
	m := &modelled{account: o.account, may: map[int64]map[int]bool{}}
	for index, content := range o.disk {
		m.may[index] = only(content)
	}
	s.model.snapshots[o.n] = m
	s.mu.Unlock()
	pin := source.Pin{Kind: source.Embedded, ID: o.disk.String(), Bucket: "b", Key: "k", Size: 3 * snapshot.PageBlocks * block.Size}
	err := s.retry(o, func(ctx context.Context, n *node) error {
		h := home(o.account)
		_, _, err := n.engine.Store.Create(ctx, importtask.Task{
			ID: taskID(o.n), Account: h.Account, Region: h.Region, Token: describe(o), RequestDigest: describe(o),
			Description: describe(o), Format: "RAW", RoleName: "vmimport", Pin: pin.String(), SourceBytes: pin.Size,
		}, 1000)
		s.expect(o, n, err)
		return err
	})
	s.mu.Lock()
	t.accepted = err == nil
	s.mu.Unlock()
	s.units(o)
}

// units does the units that a claimer takes whom an op wakes: one for every other op, and
// for those of scenes all that an import has.
func (s *sim) units(o op) {
	switch {
	case o.of != 0:
		s.claim(o, 4)
	case o.roll%4 > 1:
		s.claim(o, 1)
	}
}

// claim does at most some units.
func (s *sim) claim(o op, most int) {
	n := s.here(o)
	for range most {
		did, err := n.runner.Step(n.context(o), everyUnit...)
		s.expect(o, n, err)
		if !did {
			return
		}
	}
}

func taskID(n int) string { return fmt.Sprintf("import-snap-%017x", n) }

func (s *sim) doCancel(o op) {
	s.mu.Lock()
	all := slices.Sorted(maps.Keys(s.model.tasks))
	s.mu.Unlock()
	if len(all) == 0 {
		return
	}
	number := all[o.pick%len(all)]
	s.mu.Lock()
	s.model.tasks[number].cancelled = true
	account := s.model.snapshots[number].account
	s.mu.Unlock()
	n := s.here(o)
	_, err := n.engine.Store.Cancel(n.context(o), home(account), taskID(number), importtask.Cancelled("by an op"))
	if ended := (*importtask.TransitionError)(nil); !errors.As(err, &ended) {
		s.expect(o, n, err, importtask.ErrNotFound)
	}
}

// some returns a snapshot of the account that passes a test; ok is false if there is none.
func (s *sim) some(o op, n *node, test func(snapshot.Record) bool) (rec snapshot.Record, ok bool) {
	h := home(o.account)
	all, err := n.db.Snapshots().List(n.context(o), h, snapshot.Filter{Owners: []string{h.Account}}, listing.Place{}, 100)
	s.expect(o, n, err)
	all = slices.DeleteFunc(all, func(r snapshot.Record) bool { return !test(r) })
	if len(all) == 0 {
		return rec, false
	}
	slices.SortFunc(all, func(a, b snapshot.Record) int { return opOf(a.Description) - opOf(b.Description) })
	if i := slices.IndexFunc(all, func(r snapshot.Record) bool { return opOf(r.Description) == o.of }); i >= 0 {
		return all[i], true
	}
	return all[o.pick%len(all)], true
}

func isCompleted(r snapshot.Record) bool { return r.State == snapshot.Completed }

func (s *sim) doDraft(o op) {
	m := &modelled{account: o.account, may: map[int64]map[int]bool{}}
	parent := snapshot.Record{}
	if n := s.here(o); o.roll%2 == 0 {
		var ok bool
		if parent, ok = s.some(o, n, isCompleted); ok {
			s.mu.Lock()
			m.may = s.model.snapshots[opOf(parent.Description)].copy()
			s.mu.Unlock()
		}
	}
	s.mu.Lock()
	s.model.snapshots[o.n] = m
	s.mu.Unlock()
	var rec snapshot.Record
	err := s.retry(o, func(ctx context.Context, n *node) (err error) {
		rec, err = n.drafts.Start(ctx, snapshot.StartRequest{
			Home: home(o.account), Token: describe(o), Digest: describe(o), Description: describe(o), VolumeSize: volumeGiB, Parent: parent.ID, Timeout: 10 * time.Minute,
		})
		s.expect(o, n, err, snapshot.ErrNotFound)
		return err
	})
	if err != nil {
		return
	}
	s.mu.Lock()
	m.deleted = false // whoever deleted one whose answer was lost has deleted another: the token has made this one
	s.mu.Unlock()
	written, sure := map[int64]bool{}, true
	for _, p := range o.puts {
		s.mu.Lock()
		if m.may[p.index] == nil {
			m.may[p.index] = only(absent)
		}
		m.may[p.index][p.content] = true
		s.mu.Unlock()
		err := s.retry(o, func(ctx context.Context, n *node) error {
			err := n.drafts.Put(ctx, home(o.account), rec.ID, snapshot.WrittenBlock{Index: p.index, Data: palette[p.content], Digest: digests[p.content]})
			s.expect(o, n, err, snapshot.ErrNotPending, snapshot.ErrNotFound, work.ErrLost, context.DeadlineExceeded, fs.ErrNotExist)
			return err
		})
		if err == nil {
			s.mu.Lock()
			m.may[p.index] = only(p.content)
			s.mu.Unlock()
			written[p.index] = true
		} else {
			sure = false
		}
	}
	s.complete(o, m, rec.ID, len(written), sure)
}

// complete completes a draft, in most cases.
func (s *sim) complete(o op, m *modelled, id string, written int, sure bool) {
	want := snapshot.Expected{Blocks: int64(written)}
	switch {
	case o.roll < 10:
		return // it expires
	case o.roll < 20 && sure:
		want.Blocks++ // it fails
	case !sure:
		want.Blocks = -1
	}
	err := s.retry(o, func(ctx context.Context, n *node) error {
		_, err := n.drafts.Complete(ctx, home(o.account), id, want)
		s.expect(o, n, err, snapshot.ErrNotPending, snapshot.ErrNotFound)
		return err
	})
	s.mu.Lock()
	m.failing = want.Blocks > int64(written)
	m.due = err == nil && !m.failing
	s.mu.Unlock()
	s.units(o)
}

func (s *sim) doCopy(o op) {
	n := s.here(o)
	from, ok := s.some(o, n, isCompleted)
	if !ok {
		return
	}
	to := o.roll % 2
	m := &modelled{account: to}
	s.mu.Lock()
	m.may = s.model.snapshots[opOf(from.Description)].copy()
	s.model.snapshots[o.n] = m
	s.mu.Unlock()
	ctx := n.context(o)
	if to != o.account {
		err := n.db.Snapshots().Share(ctx, home(o.account), from.ID, []string{accounts[to]}, nil)
		s.expect(o, n, err, snapshot.ErrNotFound)
		if err != nil {
			return
		}
	}
	_, err := n.drafts.Copy(ctx, snapshot.CopyRequest{Home: home(to), Source: from.ID, SourceRegion: region, Description: describe(o)})
	s.expect(o, n, err, snapshot.ErrNotFound)
	s.mu.Lock()
	m.due = err == nil
	s.mu.Unlock()
	s.units(o)
}

func (s *sim) doDelete(o op) {
	n := s.here(o)
	rec, ok := s.some(o, n, func(r snapshot.Record) bool { return r.State != snapshot.Pending || r.Task == "" })
	if !ok {
		return
	}
	s.mu.Lock()
	m := s.model.snapshots[opOf(rec.Description)]
	m.deletes = true
	s.mu.Unlock()
	err := n.db.Snapshots().Delete(n.context(o), home(o.account), rec.ID)
	s.expect(o, n, err, snapshot.ErrNotFound)
	s.mu.Lock()
	if m.deleted = m.deleted || err == nil; err == nil {
		s.tally["deletions"]++
	}
	s.mu.Unlock()
	if o.roll%2 == 0 { // most interesting is what happens to what was just let go
		s.collectFor(o)
	}
}

// collectFor runs a cycle of gc.
func (s *sim) collectFor(o op) {
	n := s.here(o)
	_, err := n.gc(n.context(o), []int{1, 2, 1 << 18}[o.pick%3])
	s.expect(o, n, err)
}

// doRead reads a snapshot that it holds: whatever happens meanwhile, it is all there.
func (s *sim) doRead(o op) {
	n := s.here(o)
	ctx := n.context(o)
	rec, ok := s.some(o, n, isCompleted)
	if !ok {
		return
	}
	until := time.Now().Add(10 * time.Minute)
	hold, err := n.db.Holds().Take(ctx, rec.ID, until, "a reader")
	s.expect(o, n, err, snapshot.ErrNotFound)
	if err != nil {
		return
	}
	b, err := n.lib.Open(ctx, rec)
	if err == nil {
		err = s.compare(ctx, b, opOf(rec.Description))
	}
	if err == nil {
		s.count("snapshots read meanwhile", 1)
	}
	if err != nil && time.Now().Before(until) {
		s.expect(o, n, fmt.Errorf("reading %s (%s), which is held: %w", rec.ID, rec.Description, err))
	}
	s.expect(o, n, n.db.Holds().Release(ctx, hold))
}

// compare compares a snapshot with the model.
func (s *sim) compare(ctx context.Context, b *snapshot.Blocks, made int) error {
	s.mu.Lock()
	m := s.model.snapshots[made]
	s.mu.Unlock()
	if m == nil {
		return errors.New("nobody has asked for it")
	}
	buf, found := make([]byte, frame.Size), int64(0)
	for _, index := range places {
		got, err := contentAt(ctx, b, index, buf)
		if err != nil {
			return fmt.Errorf("block %d: %w", index, err)
		}
		if got != absent {
			found++
		}
		may := m.may[index]
		if may == nil {
			may = only(absent)
		}
		if !may[got] {
			return fmt.Errorf("block %d holds %d, and may hold %v", index, got, slices.Sorted(maps.Keys(may)))
		}
	}
	if found != b.Count() {
		return fmt.Errorf("it has %d blocks, where clients have written %d", b.Count(), found)
	}
	return nil
}

func contentAt(ctx context.Context, b *snapshot.Blocks, index int64, buf []byte) (int, error) {
	data, _, err := b.Get(ctx, index, buf)
	switch {
	case errors.Is(err, snapshot.ErrAbsent):
		return absent, nil
	case err != nil:
		return 0, err
	}
	if content := int(data[0]) / 17; content < numContents && bytes.Equal(data, palette[content]) {
		return content, nil
	}
	return 0, errors.New("it holds what nobody wrote")
}

// doHoldAll holds all files, as a backup does: those that rows name then stay.
func (s *sim) doHoldAll(o op) {
	n := s.here(o)
	ctx := n.context(o)
	until := time.Now().Add(5 * time.Minute)
	hold, err := n.db.Holds().TakeAll(ctx, until, "a backup")
	s.expect(o, n, err)
	if err != nil {
		return
	}
	named, err := s.named(ctx)
	s.expect(o, n, err)
	for range 20 {
		if s.stop(ctx, n, "copy") != nil {
			return
		}
		for _, f := range named {
			if _, err := os.Lstat(n.files.path(f.Name())); err != nil && time.Now().Before(until) {
				s.failf("op %v: while all files were held: %v", o, err)
				return
			}
		}
	}
	s.expect(o, n, n.db.Holds().Release(ctx, hold))
}

// named returns the files that rows name.
func (s *sim) named(ctx context.Context) (found []blockstore.File, err error) {
	err = s.db.view(ctx, "look for files", func(q querier) error {
		found, err = all(ctx, q, func(r scanner) (f blockstore.File, err error) { return f, r.Scan(&f.ID, &f.Kind) }, `
			SELECT id, kind FROM files WHERE id IN (SELECT file FROM blocks UNION SELECT file FROM pages UNION SELECT root FROM snapshots)`)
		return err
	})
	return found, err
}

// doMark marks a block as damaged that is not: it is stored anew by whoever stores it next.
func (s *sim) doMark(o op) {
	n := s.here(o)
	ctx := n.context(o)
	_, keys, err := n.ring.Plain(ctx, accounts[o.account])
	s.expect(o, n, err)
	if err != nil {
		return
	}
	id := keys.BlockID(digests[o.pick%numContents])
	at, err := n.db.Catalog().Locate(ctx, []block.ID{id})
	s.expect(o, n, err)
	if loc, ok := at[id]; ok {
		s.expect(o, n, n.db.Catalog().MarkDamaged(ctx, id, loc))
	}
}

// doStray puts a closed file into the store that no database knows.
func (s *sim) doStray(o op) {
	f := blockstore.File{ID: blockstore.FileID(s.lastID.Add(1)), Kind: blockstore.PackFile}
	s.mu.Lock()
	s.strays[f.Name()] = true
	s.mu.Unlock()
	ctx := context.Background()
	w, err := s.here(o).dir.Create(ctx, f.Name(), blockstore.Align)
	if err == nil {
		err = errors.Join(w.WriteAt(ctx, [][]byte{blockstore.AlignedBytes(blockstore.Align)}, 0), w.Close(ctx, blockstore.Align))
	}
	if err != nil {
		s.failf("op %v: %v", o, err)
	}
}
