//go:build failpoints

package failpoint

import (
	"context"
	"database/sql/driver"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// At is a point: the process dies here if it is armed.
func At(name string) { armed().reach(name) }

// File is a point in the life of the file at a path: step says what was done last.
func File(path, step string) {
	kind := filepath.Base(path)
	if folder := filepath.Dir(path); len(filepath.Base(folder)) == 2 { // pack/3f/…, objects/3f/…
		kind = filepath.Base(filepath.Dir(folder))
	}
	kind, _, _ = strings.Cut(kind, "-") // .probe-8G3…
	At(kind + ": " + step)
}

// points counts how often the process comes to each point. There is one: what it is armed
// with belongs to the process.
type points struct {
	name string // armed
	on   int    // the n-th time
	seen *os.File
	hold string // a file; empty: nobody holds

	mu   sync.Mutex // guards hits
	hits map[string]int
}

var armed = sync.OnceValue(func() *points {
	p := &points{on: 1, hits: map[string]int{}}
	name, n, counted := strings.Cut(os.Getenv(Of), "#")
	p.name, p.hold = name, os.Getenv(Hold)
	if counted {
		if _, err := fmt.Sscan(n, &p.on); err != nil {
			panic("failpoint: $" + Of + ": " + err.Error())
		}
	}
	if path := os.Getenv(Seen); path != "" {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			panic("failpoint: $" + Seen + ": " + err.Error())
		}
		p.seen = f
	}
	return p
})

// reach kills the process as a power cut would, without a word, if the point is armed, or
// waits there.
func (p *points) reach(name string) {
	p.count(name)
	if p.hold == "" {
		return
	}
	at, err := os.ReadFile(p.hold)
	if err != nil || string(at) != name || os.Rename(p.hold, p.hold+Held) != nil {
		return
	}
	for err == nil {
		time.Sleep(time.Millisecond)
		_, err = os.Stat(p.hold + Held)
	}
}

func (p *points) count(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hits[name]++
	if p.hits[name] == 1 && p.seen != nil {
		_, _ = p.seen.WriteString(name + "\n")
	}
	if name == p.name && p.hits[name] == p.on {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it arrives
	}
}

// Connector returns c, of either database, with points before and after every commit of what
// writes. A statement that writes without a transaction is one.
func Connector(c driver.Connector) driver.Connector { return connector{c} }

type connector struct{ driver.Connector }

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	whole, ok := inner.(fullConn)
	if !ok {
		return nil, fmt.Errorf("failpoint: %T lacks a method that would be hidden", inner)
	}
	switch more := inner.(type) {
	case driver.Validator: // SQLite's
		return embedded{&conn{fullConn: whole}, more}, nil
	case driver.NamedValueChecker: // PostgreSQL's
		return remote{&conn{fullConn: whole}, more}, nil
	}
	return nil, fmt.Errorf("failpoint: %T is of no database that is known here", inner)
}

// fullConn is what the connections of both databases can do.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
}

// conn is a connection, which one goroutine uses at a time.
type conn struct {
	fullConn
	begun bool // there is a transaction
}

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.fullConn.BeginTx(ctx, o)
	if err != nil || o.ReadOnly {
		return tx, err
	}
	c.begun = true
	return transaction{tx, c}, nil
}

type transaction struct {
	driver.Tx
	on *conn
}

// Commit implements driver.Tx.
func (t transaction) Commit() error {
	name := event()
	At(name + Before)
	err := t.Tx.Commit()
	t.on.begun = false
	if err == nil {
		At(name + After)
	}
	return err
}

// Rollback implements driver.Tx.
func (t transaction) Rollback() error {
	t.on.begun = false
	return t.Tx.Rollback()
}

// embedded is a connection to SQLite, every change of which has a transaction of its own.
type embedded struct {
	*conn
	driver.Validator
}

// Unwrap returns the driver's connection, as the driver asks of those around it.
func (c embedded) Unwrap() driver.Conn { return c.fullConn }

// remote is a connection to PostgreSQL.
type remote struct {
	*conn
	driver.NamedValueChecker
}

// ExecContext implements driver.ExecerContext.
func (c remote) ExecContext(ctx context.Context, stmt string, args []driver.NamedValue) (driver.Result, error) {
	after := c.alone(stmt)
	r, err := c.fullConn.ExecContext(ctx, stmt, args)
	if err == nil {
		after()
	}
	return r, err
}

// QueryContext implements driver.QueryerContext.
func (c remote) QueryContext(ctx context.Context, stmt string, args []driver.NamedValue) (driver.Rows, error) {
	after := c.alone(stmt)
	r, err := c.fullConn.QueryContext(ctx, stmt, args)
	if err == nil {
		after()
	}
	return r, err
}

// writes are the words by which a statement is seen to change rows.
var writes = regexp.MustCompile(`\b(INSERT INTO|UPDATE|DELETE FROM)\b`)

// alone is the point before a statement, if that writes and is no part of a transaction. It
// returns the one after it.
func (c remote) alone(stmt string) (after func()) {
	if c.begun || !writes.MatchString(strings.ReplaceAll(stmt, "FOR UPDATE", "")) {
		return func() {}
	}
	name := event()
	At(name + Before)
	return func() { At(name + After) }
}

// stores is the package whose methods are events.
const stores = "github.com/diskport/diskport/internal/metadb."

// event returns which method of a store the caller's goroutine is in: the outermost
// function of the package.
func event() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	name := "unknown"
	for {
		f, more := frames.Next()
		if rest, ok := strings.CutPrefix(f.Function, stores); ok {
			name = rest
		}
		if !more {
			break
		}
	}
	name, _, _ = strings.Cut(name, ".func")
	return strings.NewReplacer("(*", "", ")", "", "[...]", "").Replace(name)
}
