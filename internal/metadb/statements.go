package metadb

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// keptStatements is how many prepared statements a connection to SQLite keeps. By
// sqlite3_stmt_status half of the service's take 4 KiB and less, one in ten more than 17, and an
// insert of many rows 400; that is some 0.5 MiB for a connection.
const keptStatements = 64

// preparing is a connector of SQLite whose connections keep the statements that they ran
// last. The driver prepares the text of a statement each time, which takes as long as
// running it; PostgreSQL's driver keeps them by itself.
type preparing struct{ driver.Connector }

func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	plain, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	kept, err := simplelru.NewLRU(keptStatements, func(_ string, s *statement) { s.drop() })
	if err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	begins, ok1 := plain.(driver.ConnBeginTx)
	prepares, ok2 := plain.(driver.ConnPrepareContext)
	pings, ok3 := plain.(driver.Pinger)
	resets, ok4 := plain.(driver.SessionResetter)
	tells, ok5 := plain.(driver.Validator)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return nil, errors.Join(errors.New("the driver's connections can't do what is needed"), plain.Close())
	}
	return &preparedConn{plain, begins, prepares, pings, resets, tells, kept}, nil
}

// preparedConn is a connection that keeps statements. Like every connection it is used
// by one goroutine at a time. It does all that database/sql uses of the driver's.
type preparedConn struct {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator

	kept *simplelru.LRU[string, *statement]
}

// statement is one that is prepared.
type statement struct {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext

	used    bool // runs, or its rows are being read
	dropped bool // is not kept: to be closed as soon as it is not used
}

func (s *statement) drop() {
	s.dropped = true
	if !s.used {
		_ = s.Close() // of a statement that failed, it repeats the failure
	}
}

func (s *statement) done() {
	s.used = false
	if s.dropped {
		_ = s.Close() // as above
	}
}

// Unwrap returns the driver's connection, as the driver asks of those around it.
func (c *preparedConn) Unwrap() driver.Conn { return c.Conn }

// Close closes the statements first.
func (c *preparedConn) Close() error {
	c.kept.Purge()
	return c.Conn.Close()
}

func (c *preparedConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	defer s.done()
	return s.ExecContext(ctx, args)
}

func (c *preparedConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		s.done()
		return nil, err
	}
	return &preparedRows{rows, s}, nil
}

// statement returns the statement of a text, for one use. One that is in use is not
// taken: two queries of the same text may be read in turn.
func (c *preparedConn) statement(ctx context.Context, text string) (*statement, error) {
	kept, ok := c.kept.Get(text)
	if ok && !kept.used {
		kept.used = true
		return kept, nil
	}
	plain, err := c.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	runs, can := plain.(driver.StmtExecContext)
	reads, too := plain.(driver.StmtQueryContext)
	if !can || !too {
		return nil, errors.Join(errors.New("the driver's statements can't do what is needed"), plain.Close())
	}
	s := &statement{Stmt: plain, StmtExecContext: runs, StmtQueryContext: reads, used: true, dropped: ok}
	if !ok {
		c.kept.Add(text, s)
	}
	return s, nil
}

// preparedRows are the rows of a statement.
type preparedRows struct {
	driver.Rows
	stmt *statement
}

func (r *preparedRows) Close() error {
	defer r.stmt.done()
	return r.Rows.Close()
}
