package metadb

import (
	"context"
	"database/sql"
	"sync/atomic"
)

// Load is what was asked of the database since it was opened.
type Load struct {
	Statements   int64 // without those that begin and end transactions
	Transactions int64 // that were begun; one statement alone begins none
}

// RoundTrips is how often the database was waited for, if it is elsewhere.
func (l Load) RoundTrips() int64 { return l.Statements + 2*l.Transactions }

// Load returns it. It may be called at any time.
func (db *DB) Load() Load {
	return Load{Statements: db.usage.statements.Load(), Transactions: db.usage.transactions.Load()}
}

// usage counts what is asked of a database.
type usage struct{ statements, transactions atomic.Int64 }

// counting returns a querier that counts statements, around which tests put theirs.
func (db *DB) counting(q querier) querier {
	if db.wrap != nil {
		q = db.wrap(q)
	}
	return counter{q, db.usage}
}

type counter struct {
	querier
	in *usage
}

func (c counter) ExecContext(ctx context.Context, stmt string, args ...any) (sql.Result, error) {
	c.in.statements.Add(1)
	return c.querier.ExecContext(ctx, stmt, args...)
}

func (c counter) QueryContext(ctx context.Context, stmt string, args ...any) (*sql.Rows, error) {
	c.in.statements.Add(1)
	return c.querier.QueryContext(ctx, stmt, args...)
}
