package flow

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Connections bounds how many connections there are. When there are too many, a new one
// takes the place of the one that has been with us longest without a proof of who it
// is; if all have proved it, of the one that has been idle longest. A probe or a client
// with a key needs a moment only, so it gets through however many connections others
// open and leave open. Signed requests are refused when they would take the last
// sixteenth: however busy the service is, a probe finds it alive. Those of one account
// are refused when they would take more than three quarters of the rest, so that it
// can't keep others out with requests that take long, such as slow uploads. Those of the
// operator may take half of the last sixteenth, so that several accounts together can't keep
// out who could stop them.
//
// Listener, Context and State are for one http.Server. It is safe for concurrent use.
type Connections struct {
	most   int
	signed int // signed requests at once
	share  int // of them, those of one account
	report *report

	operator string // account

	mu        sync.Mutex // guards what follows, and all in a connection that changes
	all       map[net.Conn]*connection
	busy      map[string]int // how many are in neither list, by account; none has 0
	strangers list.List      // of *connection without a proof, longest first
	idle      list.List      // of *connection between two requests, longest first
}

// connection is one connection. Those whose signed request is being answered are in
// neither list.
type connection struct {
	table *Connections
	conn  net.Conn
	in    *list.List // nil: none
	at    *list.Element
	known bool // has proved who it is, in some request
	// account is whose request is being answered, if the connection is in neither list.
	account string
}

// Connections returns a table for that many connections at most. It registers its metric
// if c has registered its own.
func (c *Control) Connections(most int) *Connections {
	signed := most - most/16
	t := &Connections{
		most: most, signed: signed, share: max(1, signed/4*3), report: c.report, operator: c.operator,
		all: map[net.Conn]*connection{}, busy: map[string]int{},
	}
	if c.metrics != nil {
		c.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "diskport_connections",
			Help: "Open connections of clients.",
		}, func() float64 { return float64(t.count()) }))
	}
	return t
}

// Listener returns l with its connections counted.
func (t *Connections) Listener(l net.Listener) net.Listener { return listener{l, t} }

type listener struct {
	net.Listener
	table *Connections
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		evicted := l.table.add(conn)
		if evicted != nil {
			l.table.report.tell(crowded, evicted.RemoteAddr().String(), "")
			_ = evicted.Close() // it is gone in any case
		}
		if evicted != conn {
			return conn, nil
		}
	}
}

// add counts a new connection. If there are too many, it returns the one that has to
// go, which may be the new one.
func (t *Connections) add(conn net.Conn) (evicted net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) >= t.most {
		victim := t.strangers.Front()
		if victim == nil {
			victim = t.idle.Front()
		}
		if victim == nil {
			return conn
		}
		c := victim.Value.(*connection)
		evicted = c.conn
		t.move(c, nil)
		delete(t.all, c.conn)
	}
	c := &connection{table: t, conn: conn}
	t.all[conn] = c
	t.move(c, &t.strangers)
	return evicted
}

// move puts a connection at the end of a list; nil: into none.
func (t *Connections) move(c *connection, to *list.List) {
	if c.in != nil {
		c.in.Remove(c.at)
	} else if c.account != "" {
		if t.busy[c.account]--; t.busy[c.account] == 0 {
			delete(t.busy, c.account)
		}
		c.account = ""
	}
	if c.in = to; to != nil {
		c.at = to.PushBack(c)
	}
}

// State is for http.Server's ConnState.
func (t *Connections) State(conn net.Conn, state http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.all[below(conn)]
	if !ok {
		return // it has had to go
	}
	switch {
	case state == http.StateActive, state == http.StateIdle && !c.known:
		t.move(c, &t.strangers) // until the request proves who sends it
	case state == http.StateIdle:
		t.move(c, &t.idle)
	case state == http.StateClosed:
		t.move(c, nil)
		delete(t.all, c.conn)
	}
}

// below returns the connection that the listener knows.
func below(conn net.Conn) net.Conn {
	if t, ok := conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return conn
}

type connKey struct{}

// Context is for http.Server's ConnContext: it lets exchanges find their connection.
func (t *Connections) Context(ctx context.Context, conn net.Conn) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	return context.WithValue(ctx, connKey{}, t.all[below(conn)])
}

// prove notes that the request of a connection has proved which account sends it. It
// reports whether there is room for one more such request.
func (c *connection) prove(account string) bool {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	c.known = true
	all, room := len(t.all)-t.strangers.Len()-t.idle.Len(), t.signed
	if account == t.operator {
		room += (t.most - t.signed) / 2
	}
	if all >= room || t.busy[account] >= t.share {
		return false
	}
	if t.all[c.conn] == c {
		t.move(c, nil)
		c.account = account
		t.busy[account]++
	}
	return true
}

func (t *Connections) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}
