package simulate

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// schedule is what a seed stands for.
type schedule struct {
	seed      uint64
	nodes     int
	clients   [][]op // what each does, one after the other
	faults    []fault
	load      time.Duration   // for how long clients act and faults happen
	clocks    []time.Duration // how far the clock of each node is off
	behind    time.Duration   // how far listings of the store are
	slow      time.Duration   // about how long a read of a source takes
	stalls    int             // how many of 1,000 steps take seconds
	idle      time.Duration   // for how long a draft may go without a write
	gcEvery   time.Duration
	group     int // blocks that are written together
	slice     int64
	target    int64 // bytes of a range
	notified  bool  // nodes hear of each other's wakes
	rewritten bool  // operators have packs rewritten, too
	empty     bool  // all is deleted at the end
}

// op is something that a client does.
type op struct {
	n       int // its number, from 1 on
	kind    opKind
	after   time.Duration // since the client's one before
	account int
	pick    int // of what there is
	roll    int // below 100
	disk    layout
	puts    []put
}

type opKind string

const (
	opImport opKind = "import"
	opCancel opKind = "cancel"
	opDraft  opKind = "draft" // with its puts, and its completion
	opCopy   opKind = "copy"
	opDelete opKind = "delete"
	opRead   opKind = "read"
)

// churnMix is for schedules in which hardly anything is kept, so that what is written anew meets what is
// being freed.
var churnMix = []opKind{opImport, opImport, opImport, opImport, opDraft, opDelete, opDelete, opDelete}

var opMix = []opKind{opImport, opImport, opImport, opImport, opCancel, opDraft, opDraft, opDraft, opCopy, opDelete, opDelete, opDelete, opRead, opRead}

// fault is something that goes wrong.
type fault struct {
	at   time.Duration
	kind faultKind
	node int
	last time.Duration // how long it lasts
	roll int           // below 100
	step string        // before or behind which it happens; empty: at its time
	skip int           // how often the step is taken before
	also faultKind     // what happens besides, elsewhere
}

type faultKind string

const (
	killed      faultKind = "killed" // and another one started in its place after last
	frozen      faultKind = "frozen"
	stalled     faultKind = "one of its steps takes long"
	cutDatabase faultKind = "cut off from the database"
	cutStore    faultKind = "cut off from the store"
	cutBoth     faultKind = "cut off from both"
	dbDown      faultKind = "the database restarts"
	dbLossy     faultKind = "answers of the database are lost"
	storeDown   faultKind = "the store is down"
	storeErrors faultKind = "the store answers 5xx now and then"
	storeSlow   faultKind = "the store is slow"
	sourceDown  faultKind = "the source is down"

	// These come with others.
	stripped faultKind = "all snapshots are deleted, and gc runs"
	imported faultKind = "a disk is imported again"
)

var faultMix = []faultKind{
	killed, killed, killed, killed, frozen, frozen, frozen, frozen, frozen, stalled, stalled, cutDatabase, cutDatabase, cutStore, cutBoth, dbDown, dbLossy, dbLossy, storeDown, storeErrors, storeSlow, sourceDown,
}

// steps are those before or behind which a node is killed or frozen: each is a half of
// something that is not one transaction.
var steps = []string{
	"Work.Claim", "Work.Renew", "Work.Release", "Tasks.Create", "Tasks.Planned", "Tasks.FinishSlice", "Tasks.FinishRange", "Tasks.Publish", "Tasks.Fail", "Tasks.CleanedUp",
	"Snapshots.Append", "Snapshots.BeginAppend", "Snapshots.Publish", "Snapshots.Copied", "Packs.Begin", "Packs.Move", "Garbage.Condemn", "Garbage.DeleteCondemned",
	"Garbage.ForgetFiles", "Catalog.CreateFile", "Catalog.Claim", "create pack", "close pack", "close pages", "close root", "remove pack", "remove pages", "set aside",
}

// scene is a kind of fault that a schedule has several of: nodes are struck between what was looked at and what is
// done on the strength of it, while something else makes that untrue.
type scene struct {
	steps []string
	kinds []faultKind
	least time.Duration
	most  time.Duration
	also  faultKind // what happens besides
}

// scenes are those that there are; the first one comes twice as often as others.
var scenes = []scene{
	// gc has looked, and the same is stored again before another cycle comes.
	{
		[]string{
			"Garbage.Condemn", "Garbage.InFlight", "Garbage.RangePages", "Garbage.DraftBlocks", "Garbage.Roots", "read pages", "Garbage.DeleteCondemned", "Garbage.DeleteCondemned",
			"Garbage.DeleteCondemned", "Garbage.DeleteCondemned", "remove pack", "Garbage.ForgetFiles",
		},
		[]faultKind{frozen, stalled}, 5 * time.Second, 15 * time.Second, imported,
	},
	// What is to be named is stored, and its unit waits while gc frees what nothing names.
	{
		[]string{
			"Tasks.FinishSlice", "Tasks.FinishRange", "Tasks.FinishRange", "Tasks.Publish", "Snapshots.Append", "Snapshots.AddPages", "Snapshots.Publish",
			"close pages", "close pack", "create pack", "Packs.Move",
		},
		[]faultKind{frozen, stalled}, 2 * time.Second, work.LeaseFor, stripped,
	},
	// A lease was held when the node fell asleep, and is another's, or nobody's, when it wakes.
	{
		[]string{
			"Catalog.CreateFile", "create pack", "create pack", "create pages", "create root", "Catalog.CheckLease", "write pack", "close pack", "close pages", "close root",
			"Tasks.FinishSlice", "Tasks.FinishRange", "Tasks.Publish", "Snapshots.Publish", "Packs.Move",
		},
		[]faultKind{frozen}, work.LeaseFor, 25 * time.Second, "",
	},
	// Appends have longer leases.
	{
		[]string{"Catalog.CreateFile", "create pack", "create pack", "Catalog.CheckLease", "write pack", "close pack", "Snapshots.Append"},
		[]faultKind{frozen}, 60 * time.Second, 75 * time.Second, "",
	},
	// One half of something is done, and the node dies.
	{
		[]string{
			"Catalog.CreateFile", "create pack", "close pack", "close pages", "close root", "Tasks.Planned", "Tasks.FinishSlice", "Tasks.FinishRange", "Tasks.Publish", "Snapshots.Append",
			"Snapshots.Publish", "Packs.Move", "Garbage.Condemn", "Garbage.DeleteCondemned", "remove pack", "remove pages", "Garbage.ForgetFiles",
		},
		[]faultKind{killed}, time.Second, 20 * time.Second, "",
	},
}

type put struct {
	index   int64
	content int
}

// numContents is how many contents a block may have; 0 is zeros.
const numContents = 4

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

// absent is the content of a hole.
const absent = -1

func (l layout) at(index int64) int {
	if c, ok := l[index]; ok {
		return c
	}
	return absent
}

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

// Disks have blocks on three pages, which are ranges of their own.
const (
	volumeGiB = 2
	diskPages = 3
	pageBytes = snapshot.PageBlocks * block.Size
)

// places are where blocks of volumes may be.
var places = []int64{0, 1, 2, 5, snapshot.PageBlocks, snapshot.PageBlocks + 1, 2*snapshot.PageBlocks + 7}

var accounts = []string{"111111111111", "222222222222"}

const region = "us-east-1"

func home(account int) awsid.Home { return awsid.Home{Account: accounts[account], Region: region} }

func oneOf[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

// newSchedule returns what a seed stands for.
func newSchedule(seed uint64) schedule {
	r := rand.New(rand.NewPCG(seed, 1))
	s := schedule{
		seed: seed, nodes: oneOf(r, 2, 2, 3), load: between(r, 10*time.Second, 40*time.Second),
		behind:  oneOf(r, 0, 0, 5*time.Second, time.Minute),
		slow:    oneOf(r, 5*time.Millisecond, 200*time.Millisecond, 2*time.Second, 6*time.Second),
		stalls:  oneOf(r, 0, 5, 20),
		gcEvery: oneOf(r, 2*time.Second, 4*time.Second, 10*time.Second),
		idle:    oneOf(r, 20*time.Second, 2*time.Minute),
		group:   1 + r.IntN(2), slice: int64(1 + r.IntN(3)), target: oneOf[int64](r, 1, 1<<30), notified: r.IntN(2) == 0, rewritten: r.IntN(2) == 0, empty: r.IntN(4) == 0,
	}
	s.clocks = make([]time.Duration, s.nodes)
	for i := range s.clocks {
		s.clocks[i] = between(r, -500*time.Millisecond, 500*time.Millisecond)
	}
	if r.IntN(16) == 0 {
		s.clocks[r.IntN(s.nodes)] = oneOf(r, -5*time.Minute, 5*time.Minute, 30*time.Second, -30*time.Second)
	}
	churn := r.IntN(4) > 0
	if churn {
		s.gcEvery, s.group, s.slow = 2*time.Second, 1, oneOf(r, 5*time.Millisecond, 200*time.Millisecond, 2*time.Second)
		s.clients = newClients(r, s.load, churnMix, 1, 1, 2, 2)
	} else {
		s.clients = newClients(r, s.load, opMix, 2+r.IntN(2), 2, 2+r.IntN(3), 1)
	}
	if seed%16 == 0 { // all is well, and progress is looked at more closely
		s.stalls = 0
	} else {
		if churn {
			among, count := scenes[max(0, r.IntN(len(scenes)+1)-1)], 2+r.IntN(2)
			if among.also == imported {
				s.gcEvery, s.slow, count = time.Minute, oneOf(r, 5*time.Millisecond, 200*time.Millisecond), 1
			}
			for range count {
				s.faults = append(s.faults, among.fault(r, s))
			}
		}
		for range 1 + r.IntN(3) {
			s.faults = append(s.faults, newFault(r, s))
		}
		slices.SortFunc(s.faults, func(a, b fault) int { return int(a.at - b.at) })
	}
	return s
}

// newClients returns what clients do: each at least some ops of a mix, with a few disks, so that pages
// and blocks are shared.
func newClients(r *rand.Rand, load time.Duration, mix []opKind, disks, owners, clients, least int) (all [][]op) {
	layouts := make([]layout, disks)
	for i := range layouts {
		layouts[i] = layout{}
		for range 1 + r.IntN(2) {
			layouts[i][places[r.IntN(len(places))]] = 1 + r.IntN(numContents-1)
		}
	}
	n := 0
	for range clients {
		var ops []op
		for range least + r.IntN(3) {
			n++
			o := op{
				n: n, kind: oneOf(r, mix...), after: between(r, 0, load/6), account: min(owners-1, r.IntN(4)/3), pick: r.IntN(1 << 20), roll: r.IntN(100),
				disk: layouts[r.IntN(len(layouts))],
			}
			if len(ops) == 0 {
				o.kind = oneOf(r, opImport, opImport, opImport, opDraft)
			}
			for _, i := range r.Perm(len(places))[:1+r.IntN(2)] {
				o.puts = append(o.puts, put{places[i], r.IntN(numContents)})
			}
			ops = append(ops, o)
		}
		all = append(all, ops)
	}
	return all
}

func newFault(r *rand.Rand, s schedule) fault {
	f := fault{at: between(r, time.Second, s.load), kind: oneOf(r, faultMix...), node: r.IntN(s.nodes), roll: r.IntN(100), last: between(r, time.Second, 20*time.Second)}
	if f.kind == frozen { // for less than a lease, for more
		f.last += oneOf(r, 0, work.LeaseFor)
	}
	if f.kind == stalled || (f.kind == killed || f.kind == frozen) && r.IntN(3) > 0 {
		f.step = oneOf(r, steps...)
		f.at = f.at * 2 / 3
	}
	return f.fit()
}

// fault returns one of the scene's.
func (c scene) fault(r *rand.Rand, s schedule) fault {
	f := fault{at: between(r, s.load/8, s.load*2/3), kind: oneOf(r, c.kinds...), step: oneOf(r, c.steps...), last: between(r, c.least, c.most), also: c.also, roll: 1}
	switch {
	case c.also == imported: // when most clients are done
		f.at += s.load / 4
		if strings.HasPrefix(f.step, "Garbage.") {
			f.skip = r.IntN(2)
		}
	case c.also == "" && r.IntN(3) == 0: // else it is before the step
		f.roll = 0
	}
	return f.fit()
}

// fit makes a fault one that can happen.
func (f fault) fit() fault {
	if f.kind == stalled {
		f.roll |= 1 // before the step
		f.last = min(f.last, 2*work.LeaseFor)
	}
	return f
}

// right is how far the clock of a healthy machine may be off.
const right = time.Second

// skewed reports whether a clock is further off than those of healthy machines.
func (s schedule) skewed() bool {
	return slices.ContainsFunc(s.clocks, func(d time.Duration) bool { return d.Abs() > right })
}
