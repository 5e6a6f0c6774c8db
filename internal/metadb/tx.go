package metadb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/span"
	"github.com/diskport/diskport/internal/work"
)

// querier is a transaction as methods see it.
type querier interface {
	ExecContext(ctx context.Context, stmt string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, stmt string, args ...any) (*sql.Rows, error)
}

// retries bounds how often a transaction that conflicts with another is run again.
const retries = 10

// update runs fn in a transaction that it commits when fn succeeds. fn may run
// again, so it must not keep anything from a run that failed. Errors are prefixed
// by what, which says what is being done, and to what; they wrap space.ErrFull if
// there was no room on the disk.
func (db *DB) update(ctx context.Context, what string, fn func(querier) error) error {
	return db.transact(ctx, space.ToGoOn, what, access{pool: db.write}, fn)
}

// set is update for a change that is one statement.
func (db *DB) set(ctx context.Context, what string, fn func(querier) error) error {
	return db.transact(ctx, space.ToGoOn, what, db.alone(db.write), fn)
}

// free is update for an event that frees room, on disk or in the database, or is on
// the way to it, or keeps what is read meanwhile: on a full disk more is done to make it succeed.
// If there is no room even so, the error wraps space.ErrSpent.
func (db *DB) free(ctx context.Context, what string, fn func(querier) error) error {
	return db.transact(ctx, space.ToFree, what, access{pool: db.write}, fn)
}

// unset is free for a change that is one statement.
func (db *DB) unset(ctx context.Context, what string, fn func(querier) error) error {
	return db.transact(ctx, space.ToFree, what, db.alone(db.write), fn)
}

// access says how a function uses the database.
type access struct {
	pool    *sql.DB
	options *sql.TxOptions
	by      means
	reads   bool // and changes nothing
}

type means int

const (
	inTransaction means = iota
	// byStatement is one, a transaction by itself. On PostgreSQL, to begin and to commit one
	// would be two more round trips.
	byStatement
	// byStatements are several, each of which is a transaction by itself.
	byStatements
)

// alone returns the access for one statement. A database with a witness has its changes
// counted in their transactions, so these begin one all the same.
func (db *DB) alone(pool *sql.DB) access {
	if pool == db.write && db.witness != nil {
		return access{pool: pool}
	}
	return access{pool: pool, by: byStatement}
}

func (db *DB) transact(ctx context.Context, p space.Purpose, what string, how access, fn func(querier) error) (err error) {
	ctx, traced := span.Start(ctx, "database write")
	defer func() { traced.End(err) }()
	traced.Text(span.Event, what)
	for range retries {
		err = db.told(db.patiently(ctx, how, fn))
		again := conflict(err) || errors.Is(err, space.ErrFull) && db.room != nil && db.room.LetGo(p)
		if !again {
			break
		}
	}
	if p == space.ToFree && errors.Is(err, space.ErrFull) {
		err = fmt.Errorf("%w: %w", space.ErrSpent, err)
	}
	if err != nil {
		return fmt.Errorf("metadb: %s: %w", what, err)
	}
	return nil
}

// inSlices runs fn, which frees room, in one transaction after another until it deals
// with fewer than some rows, and returns how many there were: a duty may find any
// number of them, and others write in between.
func (db *DB) inSlices(ctx context.Context, what string, some int, fn func(querier) (int, error)) (total int, err error) {
	for n := some; n >= some; total += n {
		if err := db.free(ctx, what, func(q querier) (err error) {
			n, err = fn(q)
			return err
		}); err != nil {
			return total, err
		}
	}
	return total, nil
}

// view runs fn in a transaction that sees one state and changes nothing.
func (db *DB) view(ctx context.Context, what string, fn func(querier) error) (err error) {
	return db.look(ctx, what, access{pool: db.read, options: db.engine.snapshot}, fn)
}

// ask is view for what one statement reads.
func (db *DB) ask(ctx context.Context, what string, fn func(querier) error) (err error) {
	return db.look(ctx, what, db.alone(db.read), fn)
}

// askEach is ask for several statements each of which may see another state.
func (db *DB) askEach(ctx context.Context, what string, fn func(querier) error) (err error) {
	return db.look(ctx, what, access{pool: db.read, by: byStatements}, fn)
}

func (db *DB) look(ctx context.Context, what string, how access, fn func(querier) error) (err error) {
	ctx, traced := span.Start(ctx, "database read")
	defer func() { traced.End(err) }()
	traced.Text(span.Event, what)
	how.reads = true
	if err := db.patiently(ctx, how, fn); err != nil {
		return fmt.Errorf("metadb: %s: %w", what, db.told(err))
	}
	return nil
}

// patience is how long a server that restarts is waited for. A client that is told then
// that nothing answers tries again by itself.
const patience = 5 * time.Second

// patiently is run, and again for some time while a server that is shared by nodes can't be
// reached: it restarts, or another takes its place. What may have been committed is not run
// again.
func (db *DB) patiently(ctx context.Context, how access, fn func(querier) error) error {
	began, pause := time.Now(), 50*time.Millisecond
	for {
		err := db.run(ctx, how, fn)
		if !db.engine.shared || !away(err) || !how.undone(err) || time.Since(began) > patience || work.Pause(ctx, pause) != nil {
			return err
		}
		pause = min(2*pause, time.Second)
	}
}

// undone reports whether what failed because the database is away has certainly changed
// nothing.
func (how access) undone(err error) bool {
	_, unconnected := errors.AsType[*pgconn.ConnectError](err)
	_, commit := errors.AsType[*commitError](err)
	return how.reads || unconnected || pgconn.SafeToRetry(err) || how.by == inTransaction && !commit
}

// commitError is why nobody knows whether a transaction was committed.
type commitError struct{ error }

func (e *commitError) Unwrap() error { return e.error }

// commit commits a transaction.
func commit(tx *sql.Tx) error {
	if err := tx.Commit(); err != nil {
		return &commitError{err}
	}
	return nil
}

// around runs a transaction, once or not at all.
type around func(ctx context.Context, transaction func() error) error

// run runs fn once.
func (db *DB) run(ctx context.Context, how access, fn func(querier) error) error {
	once := func() error {
		switch how.by {
		case byStatement:
			return fn(&lone{querier: db.counting(how.pool)})
		case byStatements:
			return fn(db.counting(how.pool))
		}
		return db.transaction(ctx, how, fn)
	}
	if db.around == nil {
		return once()
	}
	return db.around(ctx, once)
}

// lone is a querier for one statement.
type lone struct {
	querier
	used bool
}

// errNotAlone reports a mistake of ours: what reads or changes more with one state of the
// database than one statement does needs a transaction.
var errNotAlone = errors.New("a second statement without a transaction")

func (l *lone) ExecContext(ctx context.Context, stmt string, args ...any) (sql.Result, error) {
	if l.used {
		return nil, errNotAlone
	}
	l.used = true
	return l.querier.ExecContext(ctx, stmt, args...)
}

func (l *lone) QueryContext(ctx context.Context, stmt string, args ...any) (*sql.Rows, error) {
	if l.used {
		return nil, errNotAlone
	}
	l.used = true
	return l.querier.QueryContext(ctx, stmt, args...)
}

func (db *DB) transaction(ctx context.Context, how access, fn func(querier) error) error {
	db.usage.transactions.Add(1)
	tx, err := how.pool.BeginTx(ctx, how.options)
	if err != nil {
		return err
	}
	defer tx.Rollback() // a no-op after Commit
	q := db.counting(tx)
	if how.pool != db.write || db.witness == nil {
		if err := fn(q); err != nil {
			return err
		}
		return commit(tx)
	}
	n, err := counted(ctx, q, fn)
	if err != nil {
		return err
	}
	if err := commit(tx); err != nil {
		return err
	}
	db.witness.note(n)
	if n > 0 && n%checkpointEvery == 0 {
		db.checkpoint(ctx)
	}
	return nil
}

// checkpointEvery is after how many transactions the write-ahead log is emptied.
// SQLite by itself moves its pages too, and never shortens it.
const checkpointEvery = 10_000

// checkpoint moves the write-ahead log into the database, as far as readers let it.
// What could not be moved is moved the next time. It shortens the log, so it may have
// room made for it.
func (db *DB) checkpoint(ctx context.Context) {
	for {
		_, err := db.write.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
		if !db.full(err) || db.room == nil || !db.room.LetGo(space.ToFree) {
			return
		}
	}
}

// errRaced reports that another transaction has inserted the row that was about to be
// inserted.
var errRaced = errors.New("another transaction was first")

// conflict reports whether a transaction failed only because of another one.
func conflict(err error) bool {
	if errors.Is(err, errRaced) {
		return true
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		// Serialization failure, deadlock, and a row that another one refers to: it was
		// there when the transaction looked.
		return pg.Code == "40001" || pg.Code == "40P01" || pg.Code == "23503"
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite.Code()&0xff == sqlite3.SQLITE_BUSY
	}
	return false
}

// told returns err as one that wraps space.ErrFull if it is due to a full disk, or
// work.ErrNoDatabase if the database did not answer.
func (db *DB) told(err error) error {
	switch {
	case db.full(err):
		return fmt.Errorf("%w: %w", space.ErrFull, err)
	case away(err):
		return fmt.Errorf("%w: %w", work.ErrNoDatabase, err)
	}
	return err
}

// away reports whether a transaction failed because the database could not be reached, or
// could not reach its own file.
func away(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		// Connection exceptions; the server stops, crashed or starts; too many connections.
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "57P") || pg.Code == "53300"
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return slices.Contains([]int{sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}, lite.Code()&0xff)
	}
	_, refused := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[net.Error](err)
	return refused || network || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.ErrUnexpectedEOF)
}

// full reports whether a statement failed because there was no room on the disk.
// SQLite says so of most writes; of some, such as those to its shared memory, it says
// only that they failed.
func (db *DB) full(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "53100" // disk_full
	}
	lite, ok := errors.AsType[*sqlite.Error](err)
	switch {
	case !ok:
		return space.IsFull(err)
	case lite.Code()&0xff == sqlite3.SQLITE_FULL:
		return true
	}
	return slices.Contains(unwritten, lite.Code()) && db.room != nil && db.room.Spent()
}

// unwritten are SQLite's codes for a write that failed.
var unwritten = []int{
	sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC, sqlite3.SQLITE_IOERR_TRUNCATE,
	sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_CANTOPEN,
}
