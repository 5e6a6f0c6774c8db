package steady

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

const day = 24 * time.Hour

// machine has a clock that can be set, and a monotonic one. It is also the store.
type machine struct {
	set     time.Duration // what the clock was set by
	passed  time.Duration
	saved   State
	saves   int
	lagging []time.Duration
}

var birth = time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)

func (m *machine) now() time.Time { return birth.Add(m.passed + m.set) }

func (m *machine) ClockState(context.Context) (State, error) { return m.saved, nil }

func (m *machine) SaveClockState(_ context.Context, s State) error {
	m.saved = s
	m.saves++
	return nil
}

// start starts the service.
func (m *machine) start(t *testing.T) *Clock {
	t.Helper()
	begun := m.passed
	c, err := New(t.Context(), Options{
		Store: m, Now: m.now, Elapsed: func() time.Duration { return m.passed - begun },
		Lagging: func(ahead time.Duration) { m.lagging = append(m.lagging, ahead) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stop ends it.
func (m *machine) stop(t *testing.T, c *Clock) {
	t.Helper()
	if err := c.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// run lets time pass while the service runs, and looks at the clock each hour.
func (m *machine) run(c *Clock, d time.Duration) {
	for d > 0 {
		step := min(d, time.Hour)
		m.passed += step
		d -= step
		c.Now()
	}
}

// behind checks how far the clock is behind the machine's.
func (m *machine) behind(t *testing.T, c *Clock, when string, want time.Duration) {
	t.Helper()
	if got := m.now().Sub(c.Now()); got != want {
		t.Errorf("%s: %v behind the machine's clock, want %v", when, got, want)
	}
}

func TestAJumpAheadIsBelievedAfterDays(t *testing.T) {
	m := &machine{}
	c := m.start(t)
	m.run(c, 3*day)
	m.behind(t, c, "without a jump", 0)
	m.set += 31 * day
	m.behind(t, c, "after a jump", 31*day)
	m.run(c, Trust-time.Second)
	m.behind(t, c, "before a week has passed", 31*day)
	m.run(c, time.Second)
	m.behind(t, c, "after a week", 0)
	if len(m.lagging) != 1 || m.lagging[0] != 31*day {
		t.Errorf("told of %v, want one lag", m.lagging)
	}
}

func TestAJumpAheadOutlivesRestarts(t *testing.T) {
	m := &machine{}
	c := m.start(t)
	m.set += 31 * day
	c.Now()
	m.run(c, 2*day)
	for range 50 { // a process that dies and starts
		m.stop(t, c)
		c = m.start(t)
		m.run(c, time.Minute)
	}
	m.behind(t, c, "after 50 restarts", 31*day)
	m.run(c, 5*day)
	m.behind(t, c, "after seven days in all", 0)
}

// TestAClockThatIsSetRight: the time between is not counted twice, and the Clock is
// never ahead of the machine's.
func TestAClockThatIsSetRight(t *testing.T) {
	m := &machine{}
	c := m.start(t)
	m.set += 31 * day
	m.run(c, day)
	m.set -= 31 * day
	m.behind(t, c, "set right", 0)
	m.set -= 400 * day // a battery is empty
	m.behind(t, c, "set back", 0)
	m.stop(t, c)
	m.set += 400 * day
	c = m.start(t)
	m.behind(t, c, "set right while it was stopped", 399*day) // MaxRest is believed
	m.run(c, Trust)
	m.behind(t, c, "a week later", 0)
}

func TestRestBetweenRuns(t *testing.T) {
	m := &machine{}
	c := m.start(t)
	for range 10 { // used once a day
		m.stop(t, c)
		m.passed += MaxRest - time.Hour
		c = m.start(t)
		m.run(c, time.Hour)
	}
	m.behind(t, c, "after short rests", 0)
	m.stop(t, c)
	m.passed += 30 * day
	c = m.start(t)
	m.behind(t, c, "after a month", 29*day)
	if len(m.lagging) != 1 {
		t.Errorf("told of %v, want the month", m.lagging)
	}
}

// TestAClockThatKeepsJumping: of a machine that is off or suspended again and again, no
// jump is kept from being believed by those that follow.
func TestAClockThatKeepsJumping(t *testing.T) {
	for name, tt := range map[string]struct {
		week func(m *machine, c *Clock) *Clock
		most time.Duration
	}{
		"off at weekends": {func(m *machine, c *Clock) *Clock {
			for range 5 {
				m.run(c, 10*time.Hour)
				m.stop(t, c)
				m.passed += 14 * time.Hour
				c = m.start(t)
			}
			m.stop(t, c)
			m.passed += 48 * time.Hour
			return m.start(t)
		}, 14 * day},
		"suspended every night": {func(m *machine, c *Clock) *Clock {
			for range 7 {
				m.run(c, 10*time.Hour)
				m.set += 14 * time.Hour // the monotonic clock stands still
			}
			return c
		}, 21 * day},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{}
			c := m.start(t)
			for range 104 {
				c = tt.week(m, c)
			}
			if behind := m.now().Sub(c.Now()); behind <= 0 || behind > tt.most {
				t.Errorf("%v behind the machine's clock after two years, want at most %v", behind, tt.most)
			}
			m.run(c, Trust)
			m.behind(t, c, "after a week of running", 0)
		})
	}
}

// TestADamagedState: nothing that a damaged row says puts the clock ahead, or behind for
// longer than it takes to believe a jump.
func TestADamagedState(t *testing.T) {
	extremes := []time.Duration{-1 << 63, -day, 0, day, 1<<63 - 1}
	for _, ahead := range extremes {
		for _, run := range extremes {
			for _, wall := range []time.Time{birth, birth.AddDate(-500, 0, 0), birth.AddDate(500, 0, 0)} {
				m := &machine{saved: State{wall, Jump{ahead, run}, Jump{ahead, run}}}
				c := m.start(t)
				m.set += day
				if now := c.Now(); now.After(m.now()) {
					t.Errorf("%+v: %v ahead", m.saved, now.Sub(m.now()))
				}
				m.run(c, Trust)
				m.behind(t, c, "after a week of running", 0)
			}
		}
	}
}

// TestLeases: a jump lets no lease lapse before its holder has had the time to extend
// it.
func TestLeases(t *testing.T) {
	m := &machine{}
	c := m.start(t)
	until := m.now().Add(time.Minute)
	m.set += 31 * day
	if c.Leases().After(until) {
		t.Error("a jump lets leases lapse")
	}
	m.passed += 61 * time.Second
	if !c.Leases().After(until) {
		t.Error("a lease that nobody extends does not lapse in its time")
	}
	if now := c.Leases(); !now.Before(m.now()) {
		t.Error("the jump is believed too early")
	}
	m.passed += settle
	if now := c.Leases(); !now.Equal(m.now()) {
		t.Errorf("%v behind after %v", m.now().Sub(now), settle)
	}
	m.set -= 31 * day
	if now := c.Leases(); now.After(m.now()) {
		t.Error("ahead of the machine's clock")
	}
}

func TestRunSaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{}
		broken := errors.New("no database")
		var failed error
		c := m.start(t)
		c.o.Failed = func(err error) { failed = err }
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Run(ctx) }()
		time.Sleep(saveEvery + time.Second)
		synctest.Wait()
		if m.saves != 1 || m.saved.Wall != birth {
			t.Errorf("saved %d times, %+v", m.saves, m.saved)
		}
		c.o.Store = brokenStore{broken}
		stop()
		<-done
		if !errors.Is(failed, broken) {
			t.Errorf("saving at the end: %v, want %v", failed, broken)
		}
	})
}

type brokenStore struct{ err error }

func (b brokenStore) ClockState(context.Context) (State, error)   { return State{}, b.err }
func (b brokenStore) SaveClockState(context.Context, State) error { return b.err }

func TestAStoreThatCannotBeRead(t *testing.T) {
	broken := errors.New("no database")
	if _, err := New(t.Context(), Options{Store: brokenStore{broken}}); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
