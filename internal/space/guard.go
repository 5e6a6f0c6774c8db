package space

import (
	"context"
	"sync"
	"time"
)

const (
	// maxMark bounds the mark, and with it the ballast.
	maxMark = 64 << 20
	minMark = 4 << 20
	// fraction is the part of a small file system that the mark is.
	fraction = 16
	// pieces is how often room can be made before the ballast is gone. A program
	// that fills the disk takes what is let go, so it is not let go all at once.
	pieces = 8
	// spent is so little room that the next write may find none.
	spent = 1 << 20
	// watchEvery is how soon the return of room is seen when nothing asks for it.
	watchEvery = 2 * time.Second
)

// Options are what a Guard looks after.
type Options struct {
	Dir    string           // the ballast lies here
	Others []string         // further folders that the service writes to, perhaps on other file systems
	Bare   bool             // no ballast is kept: nothing that frees room is written to these disks
	Now    func() time.Time // nil: the system's clock
	Disk   Disk             // nil: the system's
}

// State is how a Guard sees the disk.
type State struct {
	Dir     string    // the folder that has least to spare
	Free    int64     // bytes there
	Mark    int64     // bytes that growth leaves free there
	Ballast int64     // bytes
	Full    error     // why growth is refused; nil: it is not
	Needed  int64     // bytes that must be free in the folder that is full for growth to be allowed again; 0: it is
	Since   time.Time // of the last change; zero: there was none
}

// Guard keeps room on the file systems of the service. It may be used concurrently.
type Guard struct {
	o     Options
	marks map[string]int64 // of each folder

	mu      sync.Mutex // guards what follows
	ballast int64      // bytes that stood when they were last looked at
	full    *FullError // why growth is refused
	since   time.Time
	watches []*watch // in the order in which they are told

	changed chan struct{} // filled when there is something to tell
}

// NewGuard looks at the disk, and makes the ballast where there is room for it. A
// disk that is spent already gets a piece of it, so that the service can start.
func NewGuard(o Options) (*Guard, error) {
	if o.Disk == nil {
		o.Disk = system{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Bare {
		o.Disk = bare{o.Disk}
	}
	g := &Guard{o: o, marks: map[string]int64{}, changed: make(chan struct{}, 1)}
	for _, dir := range g.dirs() {
		_, total, err := o.Disk.Room(dir)
		if err != nil {
			return nil, err
		}
		g.marks[dir] = max(minMark, min(maxMark, total/fraction))
	}
	var err error
	if g.ballast, err = o.Disk.Ballast(o.Dir); err != nil {
		return nil, err
	}
	if g.Spent() {
		g.LetGo(ToFree)
	}
	g.Check()
	return g, nil
}

func (g *Guard) dirs() []string { return append([]string{g.o.Dir}, g.o.Others...) }

// Growth returns nil if more may be stored, else a *FullError.
func (g *Guard) Growth() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look()
	if g.full == nil {
		return nil
	}
	return g.full
}

// Rewriting is Growth for what gives back more than it takes, and a little later: it goes on
// until a quarter of a mark is left.
func (g *Guard) Rewriting() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, dir := range g.dirs() {
		if free, _, err := g.o.Disk.Room(dir); err == nil && free < g.marks[dir]/4 {
			return &FullError{Dir: dir, Need: g.marks[dir] / 4, Free: free}
		}
	}
	return nil
}

// Squeeze returns how many bytes Rewriting leaves to it in a folder of the Guard. If little is
// free there, it lets go of the part of the ballast that is not for deletions alone.
func (g *Guard) Squeeze(dir string) int64 {
	g.mu.Lock()
	mark, ok := g.marks[dir]
	g.mu.Unlock()
	if !ok {
		dir, mark = g.o.Dir, g.marks[g.o.Dir]
	}
	for {
		free, _, err := g.o.Disk.Room(dir)
		if err != nil {
			return 0
		}
		if free >= mark/2 || dir != g.o.Dir || !g.LetGo(ToGoOn) {
			return max(0, free-mark/4)
		}
	}
}

// Spare returns how many of the free bytes of a folder may be taken: all but the
// mark, or none while growth is refused.
func (g *Guard) Spare(free int64) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look() // room may have been made since
	if g.full != nil {
		return 0
	}
	return max(0, free-g.marks[g.o.Dir])
}

// Shortage returns the error of something that stores need bytes, given up to now or
// not: how much must be free for it, and how much is.
func (g *Guard) Shortage(need int64) *FullError {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.state()
	return &FullError{Dir: s.Dir, Need: need + s.Mark, Free: s.Free}
}

// look compares what is free with the marks. Growth that was refused is allowed
// again only when there is room for the ballast and for some growth, so that the
// answer does not change with every block.
func (g *Guard) look() {
	var full *FullError
	for _, dir := range g.dirs() {
		free, _, err := g.o.Disk.Room(dir)
		if err != nil {
			continue // what is not known refuses nothing
		}
		need := g.needed(dir)
		if free < need {
			full = &FullError{Dir: dir, Need: need, Free: free}
			break
		}
	}
	changed := (full == nil) != (g.full == nil)
	g.full = full
	if !changed {
		return
	}
	g.since = g.o.Now()
	for _, w := range g.watches {
		w.add(g.state())
	}
	g.wake()
}

// needed returns how many bytes must be free in a folder for growth to be allowed.
func (g *Guard) needed(dir string) int64 {
	need := g.marks[dir]
	if g.full != nil {
		need *= 2
	}
	if dir == g.o.Dir && !g.o.Bare {
		need += g.marks[dir] - g.ballast
	}
	return need
}

// Check looks at the disk and makes the ballast whole if there is room for it.
func (g *Guard) Check() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.weigh()
	g.look()
	mark := g.marks[g.o.Dir]
	if g.full != nil || g.ballast >= mark {
		return
	}
	// One that can't be made is tried again: until then less room is to spare.
	if err := g.o.Disk.SetBallast(g.o.Dir, mark); err == nil {
		g.ballast = mark
	}
}

// weigh looks at whether a piece of the ballast, or more, is gone: on a full disk it is
// the first file that people remove. File systems need not count to the byte.
func (g *Guard) weigh() {
	if n, err := g.o.Disk.Ballast(g.o.Dir); err == nil && g.ballast-n >= g.marks[g.o.Dir]/pieces {
		g.ballast = n
	}
}

// Run checks now and then, and tells observers what changed, until ctx ends.
func (g *Guard) Run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		g.tell(ctx)
		select {
		case <-ctx.Done():
			return
		case <-g.changed:
		case <-tick.C:
			g.Check()
		}
	}
}

// Purpose is what a write that found no room is for.
type Purpose int

// The purposes, from the least urgent.
const (
	ToGoOn   Purpose = iota // with what is under way
	ToRecord                // what was done
	ToFree                  // room, to keep what is read from being freed, or to start
)

// kept returns how many bytes of a ballast, which is as large as the mark when it is whole,
// are for what is more urgent.
func (p Purpose) kept(mark int64) int64 {
	switch p {
	case ToGoOn:
		return mark / 2
	case ToRecord:
		return mark / 4
	default:
		return 0
	}
}

// May reports whether a write for a purpose may take what is free. Once its part of the
// ballast is used up, the last that is free was let go for what is more urgent.
func (g *Guard) May(p Purpose) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	mark := g.marks[g.o.Dir]
	if p == ToFree || g.ballast > p.kept(mark) {
		return true
	}
	free, _, err := g.o.Disk.Room(g.o.Dir)
	return err != nil || free > mark/pieces
}

// LetGo lets a piece of the ballast go, for a write that found no room. Half of the
// ballast is for writes that free some, or tell of that, and a quarter for the former
// alone. It returns false if nothing may be let go.
func (g *Guard) LetGo(p Purpose) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.weigh() // or making it smaller might make it larger
	mark := g.marks[g.o.Dir]
	if g.ballast <= p.kept(mark) {
		return false
	}
	left := max(0, g.ballast-mark/pieces)
	if err := g.o.Disk.SetBallast(g.o.Dir, left); err != nil {
		return false
	}
	g.ballast = left
	g.look()
	return true
}

// Spent reports whether so little room is left that a write may find none.
func (g *Guard) Spent() bool {
	free, _, err := g.o.Disk.Room(g.o.Dir)
	return err == nil && free < spent
}

// Freeing does something that frees room, or that has to succeed on a full disk.
// If it finds no room, pieces of the ballast are let go until it does. do may run
// several times.
func (g *Guard) Freeing(do func() error) error {
	err := do()
	for IsFull(err) && g.LetGo(ToFree) {
		err = do()
	}
	return err
}

// State returns what is free now, and whether growth is refused.
func (g *Guard) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look()
	return g.state()
}

func (g *Guard) state() State {
	s := State{Dir: g.o.Dir, Ballast: g.ballast, Since: g.since}
	if g.full != nil {
		s.Full, s.Needed = g.full, g.needed(g.full.Dir)
	}
	for i, dir := range g.dirs() {
		free, _, err := g.o.Disk.Room(dir)
		if err == nil && (i == 0 || free-g.marks[dir] < s.Free-s.Mark) {
			s.Dir, s.Free, s.Mark = dir, free, g.marks[dir]
		}
	}
	return s
}
