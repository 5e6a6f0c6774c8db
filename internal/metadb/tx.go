package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
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
// by what, which says what is being done, and to what.
func (db *DB) update(ctx context.Context, what string, fn func(querier) error) error {
	var err error
	for range retries {
		if err = db.run(ctx, db.write, nil, fn); !conflict(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("metadb: %s: %w", what, err)
	}
	return nil
}

// view runs fn in a transaction that sees one state and changes nothing.
func (db *DB) view(ctx context.Context, what string, fn func(querier) error) error {
	if err := db.run(ctx, db.read, db.engine.snapshot, fn); err != nil {
		return fmt.Errorf("metadb: %s: %w", what, err)
	}
	return nil
}

func (db *DB) run(ctx context.Context, pool *sql.DB, o *sql.TxOptions, fn func(querier) error) error {
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
// What could not be moved is moved the next time.
func (db *DB) checkpoint(ctx context.Context) {
	_, _ = db.write.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
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
