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
	return db.transact(ctx, space.ToGoOn, what, fn)
}

// free is update for an event that frees room, on disk or in the database, or is on
// the way to it: on a full disk more is done to make it succeed.
func (db *DB) free(ctx context.Context, what string, fn func(querier) error) error {
	return db.transact(ctx, space.ToFree, what, fn)
}

func (db *DB) transact(ctx context.Context, p space.Purpose, what string, fn func(querier) error) (err error) {
	ctx, traced := span.Start(ctx, "database write")
	defer func() { traced.End(err) }()
	traced.Text(span.Event, what)
	for range retries {
		err = db.told(db.run(ctx, db.write, nil, fn))
		again := conflict(err) || errors.Is(err, space.ErrFull) && db.room != nil && db.room.LetGo(p)
		if !again {
			break
		}
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
	ctx, traced := span.Start(ctx, "database read")
	defer func() { traced.End(err) }()
	traced.Text(span.Event, what)
	if err := db.run(ctx, db.read, db.engine.snapshot, fn); err != nil {
		return fmt.Errorf("metadb: %s: %w", what, db.told(err))
	}
	return nil
}

// around runs a transaction, once or not at all.
type around func(ctx context.Context, transaction func() error) error

// run runs fn in a transaction of a pool.
func (db *DB) run(ctx context.Context, pool *sql.DB, o *sql.TxOptions, fn func(querier) error) error {
	if db.around == nil {
		return db.transaction(ctx, pool, o, fn)
	}
	return db.around(ctx, func() error { return db.transaction(ctx, pool, o, fn) })
}

func (db *DB) transaction(ctx context.Context, pool *sql.DB, o *sql.TxOptions, fn func(querier) error) error {
	tx, err := pool.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	defer tx.Rollback() // a no-op after Commit
	q := querier(tx)
	if db.wrap != nil {
		q = db.wrap(q)
	}
	if pool != db.write || db.witness == nil {
		if err := fn(q); err != nil {
			return err
		}
		return tx.Commit()
	}
	n, err := counted(ctx, q, fn)
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
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
