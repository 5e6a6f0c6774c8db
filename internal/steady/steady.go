// Package steady has a clock for what must not happen too early.
//
// The clock of a machine may jump: it was wrong at boot, or someone set it. If it
// jumps a month ahead, everything that is kept for a month would be gone within a
// minute: files that were set aside, keys that are waiting for their destruction,
// snapshots that are being written. So a Clock follows the machine's, but believes a
// jump ahead only after the service has run for Trust since, by the monotonic clock,
// which does not jump. Until then it is behind. It is never ahead of the machine's
// clock, so whatever goes by it happens too late rather than too early.
//
//	machine   ────────╮   ╭─────────────────────
//	                  ╰───╯ jump ahead
//	Clock     ────────────────────────────╮ then together again
//	                      │◄──── Trust ──►│
//
// Time in which the service did not run can't be told from a jump. MaxRest of it is
// believed at once. Of a machine that is suspended, or off for longer, every night or
// week, each rest is a jump; those that come while others are not believed yet wait for
// their own Trust, and the others are not kept waiting by them.
package steady

import (
	"context"
	"sync"
	"time"
)

const (
	// Trust is how long the service must have run before a jump ahead is believed. It
	// is as long as the shortest retention.
	Trust = 7 * 24 * time.Hour
	// MaxRest is how much of the time between two runs is believed at once.
	MaxRest = 24 * time.Hour
	// jitter is a jump that is not worth the name.
	jitter = 10 * time.Minute
	// saveEvery is how much running time may be forgotten when the process is killed.
	saveEvery = 15 * time.Minute

	// What has lapsed within seconds, such as a lease, is believed to have lapsed
	// settle after a jump: whoever still holds it has extended it by then.
	settle       = 2 * time.Minute
	settleJitter = 2 * time.Second
)

// State is what a Clock has to remember between two runs.
type State struct {
	Wall  time.Time // the machine's clock, when it was last looked at; zero: never
	Older Jump
	Newer Jump
}

// Jump is time that is not believed yet, since the machine's clock jumped ahead by it.
// A clock that jumps again and again, as that of a machine that is suspended every
// night, would never be believed if each jump had the others wait. So the newer ones
// wait together, and the older ones are not kept waiting by them.
type Jump struct {
	Ahead time.Duration
	Run   time.Duration // running time since it, or the last of several
}

// Store keeps the State. Every method is one transaction.
type Store interface {
	// ClockState returns the State that was saved last; the zero State if none was.
	ClockState(ctx context.Context) (State, error)
	// SaveClockState replaces it.
	SaveClockState(ctx context.Context, s State) error
}

// Options are what a Clock is made of.
type Options struct {
	Store Store
	Now   func() time.Time // the machine's clock; nil: the system's
	// Elapsed returns the time since some moment by a clock that does not jump; nil:
	// the system's monotonic clock.
	Elapsed func() time.Duration
	// Lagging is called when the machine's clock has jumped ahead and is not believed
	// for a while; may be nil. It must not call the Clock.
	Lagging func(ahead time.Duration)
	// Failed is called when the State could not be saved; may be nil.
	Failed func(error)
}

// Clock tells the time for what must not happen too early. It may be used
// concurrently.
type Clock struct {
	o Options

	mu     sync.Mutex // guards what follows
	at     time.Duration
	wall   time.Time // at
	slow   trail
	leases trail
}

// trail is how far a clock is behind the machine's.
type trail struct {
	jitter, trust time.Duration
	older, newer  Jump
}

func (t *trail) ahead() time.Duration { return t.older.Ahead + t.newer.Ahead }

// New returns a Clock that goes on from the State in its store.
func New(ctx context.Context, o Options) (*Clock, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Elapsed == nil {
		start := time.Now()
		o.Elapsed = func() time.Duration { return time.Since(start) }
	}
	was, err := o.Store.ClockState(ctx)
	if err != nil {
		return nil, err
	}
	c := &Clock{
		o: o, at: o.Elapsed(), wall: o.Now(),
		slow: trail{jitter, Trust, was.Older.valid(), was.Newer.valid()}, leases: trail{jitter: settleJitter, trust: settle},
	}
	if was.Wall.IsZero() {
		return c, nil
	}
	rest := c.wall.Sub(was.Wall)
	if rest < 0 {
		c.slow.jump(rest)
	} else if rest > MaxRest {
		c.slow.jump(rest - MaxRest)
		c.tell()
	}
	return c, nil
}

// maxAhead bounds what a damaged State may say, so that sums of it can't overflow.
const maxAhead = 100 * 365 * 24 * time.Hour

func (j Jump) valid() Jump {
	return Jump{min(max(0, j.Ahead), maxAhead), max(0, min(j.Run, Trust))}
}

// jump notes that the machine's clock was set by d.
func (t *trail) jump(d time.Duration) {
	if d <= 0 { // the last jump is the first to be undone
		back := min(-max(d, -2*maxAhead), t.ahead())
		newer := min(back, t.newer.Ahead)
		t.newer.Ahead -= newer
		t.older.Ahead -= back - newer
		return
	}
	if t.older.Ahead == 0 {
		t.older, t.newer = t.newer, Jump{}
	}
	t.newer = Jump{Ahead: min(t.newer.Ahead+min(d, maxAhead), maxAhead)}
}

// step notes that time has passed, and by how much the machine's clock jumped
// meanwhile. It reports whether it is a jump ahead that is not believed.
func (t *trail) step(passed, jumped time.Duration) bool {
	t.older.Run, t.newer.Run = t.older.Run+passed, t.newer.Run+passed
	if t.older.Run >= t.trust || t.older.Ahead == 0 {
		t.older, t.newer = t.newer, Jump{}
	}
	if t.older.Run >= t.trust {
		t.older.Ahead = 0
	}
	if jumped.Abs() > t.jitter {
		t.jump(jumped)
		return jumped > 0
	}
	return false
}

// look compares the machine's clock with the monotonic one.
func (c *Clock) look() {
	at, wall := c.o.Elapsed(), c.o.Now().Round(0) // without a monotonic reading, which Sub would prefer
	passed := at - c.at
	jumped := wall.Sub(c.wall.Round(0)) - passed
	c.at, c.wall = at, wall
	c.leases.step(passed, jumped)
	if c.slow.step(passed, jumped) {
		c.tell()
	}
}

func (c *Clock) tell() {
	if c.o.Lagging != nil {
		c.o.Lagging(c.slow.ahead())
	}
}

// Now returns the time for what is kept for days. It is never after the machine's.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return c.wall.Add(-c.slow.ahead())
}

// Leases returns the time for what lapses within seconds unless it is extended: a
// jump ahead counts only after everybody has had the time to do so. It is never
// after the machine's.
func (c *Clock) Leases() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return c.wall.Add(-c.leases.ahead())
}

// Save saves the State.
func (c *Clock) Save(ctx context.Context) error {
	c.mu.Lock()
	c.look()
	s := State{c.wall, c.slow.older, c.slow.newer}
	c.mu.Unlock()
	return c.o.Store.SaveClockState(ctx, s)
}

// Run looks at the machine's clock and saves the State now and then, until ctx ends,
// and then once more.
func (c *Clock) Run(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		last := false
		select {
		case <-ctx.Done():
			last = true
		case <-tick.C:
		}
		c.save(ctx)
		if last {
			return
		}
	}
}

func (c *Clock) save(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := c.Save(ctx); err != nil && c.o.Failed != nil {
		c.o.Failed(err)
	}
}
