package metadb

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/steady"
)

// Clock is the steady.Store of a DB.
type Clock struct{ db *DB }

var _ steady.Store = Clock{}

// Clock returns the store of the steady clock's state.
func (db *DB) Clock() Clock { return Clock{db} }

// The counters that the state is kept in, in microseconds.
const (
	clockWall       = "clock wall"
	clockOlderAhead = "clock older ahead"
	clockOlderRun   = "clock older run"
	clockAhead      = "clock ahead"
	clockRun        = "clock run"
)

// ClockState implements steady.Store.
func (c Clock) ClockState(ctx context.Context) (s steady.State, err error) {
	err = c.db.view(ctx, "read the state of the clock", func(q querier) error {
		get := func(name string) int64 {
			n, _, e := one(ctx, q, column[int64], `SELECT value FROM counters WHERE name = $1`, name)
			if err == nil {
				err = e
			}
			return n
		}
		span := func(name string) time.Duration { return time.Duration(get(name)) * time.Microsecond }
		s = steady.State{
			Wall:  fromMicros(get(clockWall)),
			Older: steady.Jump{Ahead: span(clockOlderAhead), Run: span(clockOlderRun)},
			Newer: steady.Jump{Ahead: span(clockAhead), Run: span(clockRun)},
		}
		return err
	})
	return s, err
}

// SaveClockState implements steady.Store.
func (c Clock) SaveClockState(ctx context.Context, s steady.State) error {
	rows := [][]any{
		{clockWall, micros(s.Wall)},
		{clockOlderAhead, s.Older.Ahead.Microseconds()}, {clockOlderRun, s.Older.Run.Microseconds()},
		{clockAhead, s.Newer.Ahead.Microseconds()}, {clockRun, s.Newer.Run.Microseconds()},
	}
	return c.db.update(ctx, "save the state of the clock", func(q querier) error {
		return insert(ctx, q, rows, `
			INSERT INTO counters (name, value) VALUES (?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`)
	})
}
