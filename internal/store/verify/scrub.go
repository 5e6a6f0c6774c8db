package verify

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/work"
)

// Rounds keeps how far the scrub is. The suite is verifytest; it runs on every engine.
type Rounds interface {
	// Round returns the round that was saved last; the zero value if there was none.
	Round(ctx context.Context) (Round, error)
	// SaveRound saves a round, for who holds the lease (work.ErrLost).
	SaveRound(ctx context.Context, l work.Lease, r Round) error
}

// Round is one reading of everything.
type Round struct {
	Begun, Ended time.Time // Ended is zero while it goes on
	At           Position
	Done         Summary // without what could not be checked, which is in the log
}

// Scrub reads everything now and then, in the background. It is a periodic duty that goes on where it
// was when the service has been restarted. Its fields are set before.
type Scrub struct {
	Verifier *Verifier
	Rounds   Rounds
	Every    time.Duration // from the beginning of one round to that of the next
	Rate     int64         // bytes that are read in a second at most; 0: any number
	// Tell is told how far it is; nil: nobody asks.
	Tell func(Round)
}

// look is how often the scrub looks whether the next round is due, at most.
const look = time.Hour

// Handlers returns the handler of the duty.
func (s *Scrub) Handlers() map[work.Kind]work.Handler {
	return map[work.Kind]work.Handler{work.Scrub: {Every: min(s.Every, look), Do: func(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
		return next, false, s.duty(ctx, h)
	}}}
}

// duty goes on with the round that is under way, or begins the next one if it is due. The first
// one begins when a service has been there for as long as there is between two.
func (s *Scrub) duty(ctx context.Context, h *work.Held) error {
	round, err := s.Rounds.Round(ctx)
	if err != nil {
		return err
	}
	now := s.Verifier.Now()
	since := now.Sub(round.Begun)
	switch {
	case round.Begun.IsZero():
		round = Round{Begun: now, Ended: now, At: Position{Stage: Ended}}
		if err := s.save(ctx, h, round); err != nil {
			return err
		}
		return nil
	case !round.Ended.IsZero() && since < s.Every && since > -s.Every: // else the clock was set back
		s.tell(round)
		return nil
	case !round.Ended.IsZero():
		round = Round{Begun: now}
	}
	return s.goOn(ctx, h, round)
}

// saveEvery is how many bytes are read, or files and snapshots dealt with, until it is noted how far it
// is: what a restart reads again.
const (
	saveBytes = 64 << 20
	saveSteps = 256
)

// goOn does what is left of a round.
func (s *Scrub) goOn(ctx context.Context, h *work.Held, round Round) error {
	reader := &scrubbed{}
	h.Report(reader)
	r := s.Verifier.start(Effort{Rate: s.Rate}, Observer{
		Progress: func(done, _ int64) { reader.done.Store(done) },
		Found: func(f Finding) error {
			level := slog.LevelError
			if f.Harmless {
				level = slog.LevelInfo
			}
			h.Log.Log(ctx, level, "something of the store is damaged", logkey.Snapshot, f.Snapshot, "part", string(f.Part), "damage", f.String(), "advice", f.Advice())
			return nil
		},
	})
	before, saved, steps := round.Done, int64(0), 0
	err := r.all(ctx, round.At, func(at Position) error {
		steps++
		if at.Stage == round.At.Stage && r.summary.Bytes-saved < saveBytes && steps < saveSteps {
			return nil
		}
		saved, steps = r.summary.Bytes, 0
		round.At, round.Done = at, before
		round.Done.add(r.summary)
		return s.save(ctx, h, round)
	})
	if err != nil {
		return err
	}
	if err := r.forget(ctx, round.Begun); err != nil {
		return err
	}
	round.Ended = s.Verifier.Now()
	if err := s.save(ctx, h, round); err != nil {
		return err
	}
	round.Done.Locked, round.Done.Notes = r.summary.Locked, r.summary.Notes
	round.Done.Log(ctx, h.Log)
	return nil
}

func (s *Scrub) save(ctx context.Context, h *work.Held, round Round) error {
	s.tell(round)
	return s.Rounds.SaveRound(ctx, h.Lease, round)
}

func (s *Scrub) tell(round Round) {
	if s.Tell != nil {
		s.Tell(round)
	}
}

// scrubbed tells heartbeats that a scrub gets further.
type scrubbed struct{ done atomic.Int64 }

// Progress implements work.Reporter.
func (s *scrubbed) Progress() work.Progress { return work.Progress{Done: s.done.Load()} }

// Heard implements work.Reporter.
func (*scrubbed) Heard() {}
