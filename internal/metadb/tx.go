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

// retries bounds how often a transaction that lost against another is run again.
const retries = 10

// update runs fn in a transaction that it commits when fn succeeds. fn may run
// again, so it must not keep anything from a run that failed. Errors are prefixed
// by what, which says what is being done to which.
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
	if err := fn(q); err != nil {
		return err
	}
	return tx.Commit()
}

// conflict reports whether a transaction failed because of another one only.
func conflict(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "40001" || pg.Code == "40P01" // serialization failure, deadlock
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite.Code()&0xff == sqlite3.SQLITE_BUSY
	}
	return false
}
