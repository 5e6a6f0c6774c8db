package metadb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// Wakes is the wake.Link of a DB on PostgreSQL: NOTIFY tells the other nodes, and one
// connection of the node's own LISTENs to them. What is to be told is gathered while a
// notification is on its way, so there is one at a time, whatever happens; and it is told
// outside of transactions, since PostgreSQL commits those that notify one after the other.
//
// While there is no connection, wakes of other nodes are missed, so everything is woken
// once there is one. A pooler between node and server must give out whole sessions, or
// nothing is heard.
type Wakes struct {
	db   *DB
	bus  *wake.Bus
	node string
	warn func(error)

	listening func() // tests are told; nil otherwise
	told      atomic.Int64

	some chan struct{} // has a value when there is something to tell

	mu      sync.Mutex // guards what follows
	waiting map[wake.Topic]bool
	all     bool // more than is worth telling one by one
}

var _ wake.Link = (*Wakes)(nil)

// Bounds on what is told.
const (
	channel    = "diskport_wakes"
	mostTopics = 256  // told one by one; of more, all topics are woken
	mostBytes  = 7900 // of a notification; PostgreSQL takes less than 8,000
	toldEvery  = 10 * time.Millisecond
)

// Wakes returns the link of the bus to those of other nodes, which the caller Runs. It is
// nil if the database is for one process alone. warn is told when nothing can be heard or
// told.
func (db *DB) Wakes(bus *wake.Bus, warn func(error)) *Wakes {
	if !db.engine.shared {
		return nil
	}
	return &Wakes{db: db, bus: bus, node: fmt.Sprintf("%x", db.ids.Int63()), warn: warn, some: make(chan struct{}, 1), waiting: map[wake.Topic]bool{}}
}

// Tell implements wake.Link.
func (w *Wakes) Tell(names ...wake.Topic) {
	w.mu.Lock()
	for _, name := range names {
		w.waiting[name] = true
	}
	w.fold()
	w.mu.Unlock()
	select {
	case w.some <- struct{}{}:
	default:
	}
}

// fold bounds what waits to be told. It needs mu.
func (w *Wakes) fold() {
	if w.all = w.all || len(w.waiting) > mostTopics; w.all {
		clear(w.waiting)
	}
}

// Run hears and tells until ctx ends, and tells then what is left.
func (w *Wakes) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { w.hear(ctx) })
	both.Go(func() { w.tell(ctx) })
	both.Wait()
}

// notice is what a notification carries.
type notice struct {
	From   string       `json:"from"` // a node
	All    bool         `json:"all,omitempty"`
	Topics []wake.Topic `json:"topics,omitempty"`
}

// notices returns what waits to be told, in as many notifications as it takes, and forgets
// it.
func (w *Wakes) notices() (payloads []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := notice{From: w.node, All: w.all}
	size := func(n notice) int { return len(encoded(n)) }
	for _, name := range slices.Sorted(maps.Keys(w.waiting)) {
		more := notice{From: w.node, Topics: append(slices.Clone(n.Topics), name)}
		switch {
		case size(notice{From: w.node, Topics: []wake.Topic{name}}) > mostBytes:
			n.All = true
		case size(more) > mostBytes:
			payloads = append(payloads, encoded(n))
			n = notice{From: w.node, Topics: []wake.Topic{name}}
		default:
			n.Topics = more.Topics
		}
	}
	if n.All {
		payloads, n.Topics = nil, nil
	}
	w.all = false
	clear(w.waiting)
	return append(payloads, encoded(n))
}

func encoded(n notice) string {
	b, err := json.Marshal(n)
	if err != nil {
		panic("metadb: encoding a notification: " + err.Error()) // texts always marshal
	}
	return string(b)
}

// tell tells what waits, as soon as it can, until ctx ends.
func (w *Wakes) tell(ctx context.Context) {
	pauses := backoff{}
	for {
		select {
		case <-ctx.Done():
			last, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			w.tellOnce(last)
			done()
			return
		case <-w.some:
		}
		if w.tellOnce(ctx) {
			pauses = backoff{}
			_ = work.Pause(ctx, toldEvery) // what comes meanwhile is told at once
			continue
		}
		_ = work.Pause(ctx, pauses.next())
	}
}

// tellOnce tells what waits. If that fails all topics are to be woken, by the next try.
func (w *Wakes) tellOnce(ctx context.Context) bool {
	for _, payload := range w.notices() {
		if _, err := w.db.write.ExecContext(ctx, `SELECT pg_notify($1, $2)`, channel, payload); err != nil {
			if ctx.Err() == nil {
				w.warn(fmt.Errorf("metadb: telling other nodes: %w", w.db.told(err)))
			}
			w.mu.Lock()
			w.all = true
			w.mu.Unlock()
			w.Tell()
			return false
		}
		w.told.Add(1)
	}
	return true
}

// hear wakes what other nodes tell of until ctx ends. It connects again whenever the
// connection breaks.
func (w *Wakes) hear(ctx context.Context) {
	pauses := backoff{}
	for ctx.Err() == nil {
		heard, err := w.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		if heard {
			pauses = backoff{}
		}
		w.warn(fmt.Errorf("metadb: listening to other nodes; it is tried again: %w", w.db.told(err)))
		_ = work.Pause(ctx, pauses.next())
	}
}

// listen wakes what other nodes tell of until the connection breaks. heard reports whether
// there was one.
func (w *Wakes) listen(ctx context.Context) (heard bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, w.db.server.Copy())
	if err != nil {
		return false, err
	}
	defer func() {
		closing, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer done()
		err = errors.Join(err, conn.Close(closing))
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return false, err
	}
	w.bus.DeliverAll() // of what was told before, nothing was heard
	if w.listening != nil {
		w.listening()
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return true, err
		}
		w.wake(n.Payload)
	}
}

// wake wakes what a notification names. One that can't be read is of another version of
// the program, or nobody's: it may mean anything.
func (w *Wakes) wake(payload string) {
	var n notice
	err := json.Unmarshal([]byte(payload), &n)
	switch {
	case err != nil, n.From != w.node && (n.All || len(n.Topics) == 0):
		w.bus.DeliverAll()
	case n.From != w.node:
		w.bus.Deliver(n.Topics...)
	}
}

// backoff are pauses that grow.
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, 100*time.Millisecond), 5*time.Second)
	return b.last
}
