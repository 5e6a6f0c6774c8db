package metadb

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

// MaxSkew is by how much the clock of a machine may differ from that of the database's
// server for a node to start. While it runs, nothing goes by its own clock.
const MaxSkew = time.Minute

// SkewError reports that the clocks of this machine and of the database differ by more
// than MaxSkew.
type SkewError struct{ Ahead time.Duration } // of this machine; negative: it is behind

func (e *SkewError) Error() string {
	by, how := e.Ahead.Round(time.Second), "ahead of"
	if by < 0 {
		by, how = -by, "behind"
	}
	return fmt.Sprintf("the clock of this machine is %v %s that of the database's server, and may be off by %v: set the one right that is wrong (timedatectl, chronyc tracking), then start again", by, how, MaxSkew)
}

// serverTime tells the time of a database's server, by which all nodes go: leases of one
// are lapsed for all at the same time, whatever their own clocks say. Between two looks
// at the server it goes by the machine's monotonic clock.
type serverTime struct {
	local func() time.Time // the machine's clock, with its monotonic reading

	mu   sync.Mutex // guards what follows
	at   time.Time  // local, at the last look that has changed anything
	then time.Time  // the server's time at
}

// looks is how often the server is asked in one look: the answer that took least counts.
const looks = 3

// now returns the server's time.
func (s *serverTime) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.then.Add(s.local().Sub(s.at))
}

// look asks the server what time it is, and returns by how much the machine's clock is
// ahead of that. What is within the error of the measurement changes nothing: so on a
// machine whose clock is right, this one is the same.
func (s *serverTime) look(ctx context.Context, pool *sql.DB) (ahead time.Duration, err error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }() // it goes back to the pool
	var asked, server time.Time
	var took time.Duration
	for i := range looks {
		began := s.local()
		var us int64
		if err := conn.QueryRowContext(ctx, `SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`).Scan(&us); err != nil {
			return 0, err
		}
		if d := s.local().Sub(began); i == 0 || d < took {
			asked, took, server = began, d, time.UnixMicro(us)
		}
	}
	return s.set(asked, took, server), nil
}

// set notes that the server answered with its time to a question that was asked at some
// time and took some time. It returns by how much the machine's clock is ahead.
func (s *serverTime) set(asked time.Time, took time.Duration, server time.Time) (ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The server looked at its clock some time between the question and the answer.
	between, margin := asked.Add(took/2), took/2+time.Millisecond
	if s.at.IsZero() {
		s.at, s.then = between, between.Round(0)
	}
	if have := s.then.Add(between.Sub(s.at)); have.Sub(server).Abs() > margin {
		s.at, s.then = between, server
	}
	return between.Round(0).Sub(s.then.Add(between.Sub(s.at)))
}

// Now returns the time by which leases, holds and rows go: that of PostgreSQL's server,
// which is the same for all nodes, or that of this machine.
func (db *DB) Now() time.Time { return db.now() }

// LookAtClock compares the clocks of this machine and of the server again, and returns by
// how much the former is ahead; 0 for an embedded database. Now goes by the server's from
// then on.
func (db *DB) LookAtClock(ctx context.Context) (ahead time.Duration, err error) {
	if db.onServer == nil {
		return 0, nil
	}
	if ahead, err = db.onServer.look(ctx, db.probe); err != nil {
		return 0, fmt.Errorf("metadb: ask the server for its time: %w", db.told(err))
	}
	return ahead, nil
}

// goByServer has Now go by the server's clock, unless that and the machine's differ by
// too much.
func (db *DB) goByServer(ctx context.Context, local func() time.Time) error {
	db.onServer = &serverTime{local: local}
	ahead, err := db.onServer.look(ctx, db.probe)
	if err != nil {
		return err
	}
	if ahead.Abs() > MaxSkew {
		return &SkewError{ahead}
	}
	db.now = db.onServer.now
	return nil
}
