//go:build failpoints

package failpoint

import (
	"context"
	"database/sql/driver"
	"fmt"
	"os"
	"path/filepath"
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

// Connector returns c with points before and after every commit of what writes.
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
	return conn{whole}, nil
}

// fullConn is what SQLite's connections can do.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type conn struct{ fullConn }

// Unwrap returns the driver's connection, as the driver asks of those around it.
func (c conn) Unwrap() driver.Conn { return c.fullConn }

// BeginTx implements driver.ConnBeginTx.
func (c conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.fullConn.BeginTx(ctx, o)
	if err != nil || o.ReadOnly {
		return tx, err
	}
	return transaction{tx}, nil
}

type transaction struct{ driver.Tx }

// Commit implements driver.Tx.
func (t transaction) Commit() error {
	name := event()
	At(name + Before)
	err := t.Tx.Commit()
	if err == nil {
		At(name + After)
	}
	return err
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
