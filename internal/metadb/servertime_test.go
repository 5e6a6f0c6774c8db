package metadb

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// machine is the clock of a machine whose monotonic reading is lost: what passes is what
// the test says.
type machine struct{ at time.Time }

func (m *machine) now() time.Time { return m.at }

// TestServerTime: between two looks the server's time goes on by the machine's clock; a
// difference that the measurement can't tell from none is none.
func TestServerTime(t *testing.T) {
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name        string
		off         time.Duration // of the machine's clock
		took        time.Duration // an answer
		ahead, late time.Duration // what is measured; how far the time told is off afterwards, at most
	}{
		{"right", 0, 10 * time.Millisecond, 0, 0},
		{"within the error", 5 * time.Millisecond, 10 * time.Millisecond, 0, 6 * time.Millisecond},
		{"ahead", 5 * time.Minute, 10 * time.Millisecond, 5 * time.Minute, 5 * time.Millisecond},
		{"behind", -5 * time.Minute, 10 * time.Millisecond, -5 * time.Minute, 5 * time.Millisecond},
		{"a slow answer", 3 * time.Second, 4 * time.Second, 3 * time.Second, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &machine{start.Add(tt.off)}
			s := &serverTime{local: m.now}
			got := s.set(m.at, tt.took, start.Add(tt.took/2)) // it looked half way
			m.at = m.at.Add(tt.took)
			if (got - tt.ahead).Abs() > tt.late {
				t.Errorf("the machine's clock is %v ahead, want %v", got, tt.ahead)
			}
			for _, passed := range []time.Duration{0, time.Hour} {
				m.at = m.at.Add(passed)
				want := start.Add(tt.took + passed)
				if off := s.now().Sub(want).Abs(); off > tt.late {
					t.Errorf("after %v the time is %v off", passed, off)
				}
			}
		})
	}
}

// TestServerTimeIsLookedAtAgain: when the server's clock is set, or time was lost on this
// machine, the next look follows it; else nothing steps.
func TestServerTimeIsLookedAtAgain(t *testing.T) {
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	const took = 2 * time.Millisecond
	m := &machine{start}
	s := &serverTime{local: m.now}
	s.set(m.at, took, start.Add(took/2))
	m.at = start.Add(10 * time.Second)
	if ahead := s.set(m.at, took, m.at.Add(took)); ahead != 0 || !s.now().Equal(m.at) {
		t.Errorf("a look that found nothing: %v ahead, %v", ahead, s.now())
	}
	if ahead := s.set(m.at, took, m.at.Add(time.Hour)); (ahead + time.Hour).Abs() > took {
		t.Errorf("%v ahead of a server that is an hour ahead", ahead)
	}
	if off := s.now().Sub(m.at.Add(time.Hour)).Abs(); off > took {
		t.Errorf("the time is %v off", off)
	}
}

// TestGoesByTheServersClock: a node whose clock is a little off goes by the server's, and
// one whose clock is off by minutes does not start, and says why.
func TestGoesByTheServersClock(t *testing.T) {
	db := open(t, postgres.New(t))
	asks := func(off time.Duration) error {
		return db.goByServer(t.Context(), func() time.Time { return time.Now().Add(off) })
	}
	if err := asks(-20 * time.Second); err != nil {
		t.Fatal(err)
	}
	// How exactly depends on how fast the server answers.
	if off := time.Since(db.Now()).Abs(); off > 10*time.Second {
		t.Errorf("it goes by a clock that is %v off", off)
	}
	if ahead, err := db.LookAtClock(t.Context()); err != nil || ahead > -10*time.Second {
		t.Errorf("the machine's clock is said to be %v ahead, %v", ahead, err)
	}
	for off, want := range map[time.Duration]string{10 * time.Minute: "ahead of", -10 * time.Minute: "behind"} {
		var skewed *SkewError
		if err := asks(off); !errors.As(err, &skewed) || !strings.Contains(err.Error(), want) {
			t.Errorf("a clock that is off by %v: %v", off, err)
		}
	}
}
