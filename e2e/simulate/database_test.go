package simulate

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"

	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/work"
)

// engine is an SQLite database in memory that has the newest schema: one connection, whose
// statements stay prepared. It outlives the schedules that run in it, one after the other:
// all that a schedule does is one transaction, which is rolled back at its end.
type engine struct {
	path  string // that metadb believes it to be at
	conn  driver.Conn
	stmts map[string]driver.Stmt

	mu    sync.Mutex                // guards what follows
	calls map[[depth]uintptr]string // names of events by callers
}

// keptStatements is far more than a schedule uses.
const keptStatements = 1 << 12

func newEngine(dir string) (*engine, error) {
	c, err := sqlite.NewConnector("file::memory:?_pragma=foreign_keys(1)")
	if err != nil {
		return nil, err
	}
	conn, err := c.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	e := &engine{path: filepath.Join(dir, "m.db"), conn: conn, stmts: map[string]driver.Stmt{}, calls: map[[depth]uintptr]string{}}
	db, err := metadb.Open(context.Background(), e.path, metadb.Options{Connector: func(driver.Connector) driver.Connector {
		return link{newDatabase(e), open{}}
	}})
	if err == nil {
		err = errors.Join(makeDomains(db), db.Close())
	}
	return e, errors.Join(err, e.exec("BEGIN"))
}

// makeDomains makes the domains of the accounts, with known keys, so that blocks have the same IDs
// each time.
func makeDomains(db *metadb.DB) error {
	for i, account := range accounts {
		keys := append([]byte{2, 0}, make([]byte, 32)...)
		keys[2] = byte(i + 1)
		if _, err := db.Catalog().EnsureDomain(context.Background(), blockstore.Domain{ID: fmt.Sprint("dom-", i), Account: account, WrappedKeys: keys}); err != nil {
			return err
		}
	}
	return nil
}

// reset forgets everything since the schema was made.
func (e *engine) reset() error { return errors.Join(e.exec("ROLLBACK"), e.exec("BEGIN")) }

func (e *engine) close() error {
	for _, s := range e.stmts {
		_ = s.Close()
	}
	return e.conn.Close()
}

func (e *engine) prepared(text string) (driver.Stmt, error) {
	if s, ok := e.stmts[text]; ok {
		return s, nil
	}
	s, err := e.conn.(driver.ConnPrepareContext).PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	if len(e.stmts) == keptStatements {
		for _, old := range e.stmts {
			_ = old.Close()
		}
		clear(e.stmts)
	}
	e.stmts[text] = s
	return s, nil
}

func (e *engine) exec(text string, args ...driver.NamedValue) error {
	_, err := e.run(text, args)
	return err
}

func (e *engine) run(text string, args []driver.NamedValue) (driver.Result, error) {
	s, err := e.prepared(text)
	if err != nil {
		return nil, err
	}
	return s.(driver.StmtExecContext).ExecContext(context.Background(), args)
}

// query reads all rows, so that a statement can be used again at once.
func (e *engine) query(text string, args []driver.NamedValue) (*rows, error) {
	s, err := e.prepared(text)
	if err != nil {
		return nil, err
	}
	read, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), args)
	if err != nil {
		return nil, err
	}
	all := &rows{columns: read.Columns()}
	for {
		row := make([]driver.Value, len(all.columns))
		if err = read.Next(row); err != nil {
			break
		}
		all.rows = append(all.rows, row)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return all, errors.Join(err, read.Close())
}

// rows are those of a query.
type rows struct {
	columns []string
	rows    [][]driver.Value
}

func (r *rows) Columns() []string { return r.columns }
func (r *rows) Close() error      { return nil }

func (r *rows) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(dest, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}

// database is the one database that all nodes of a schedule share. It does one transaction
// at a time, which takes no time: delays and faults lie before and behind it.
type database struct {
	*engine
	turn chan struct{} // of capacity 1: in it while a transaction runs

	notify func()                                     // is told when there is something to be claimed; nil: nobody is
	closed func(event string, files [][]driver.Value) // is told, at the commit of an event that closes files, of those that something lies in; nil: nobody is

	mu       sync.Mutex          // guards what follows
	due      map[work.Kind]int64 // when the first unit of a kind may be claimed, in microseconds
	claimers map[*claimer]bool   // those that wait
}

// claimer is a lane of a node that waits until there may be units of its kinds.
type claimer struct {
	kinds   []work.Kind
	at      int64         // when there may be one, in microseconds; 0: none is known of
	changed chan struct{} // closed when at is another
}

// first returns when the first unit of some kinds may be claimed. It needs mu.
func (db *database) first(kinds []work.Kind) (at int64) {
	for _, k := range kinds {
		if us, ok := db.due[k]; ok {
			us = max(us, 1)
			if at == 0 || us < at {
				at = us
			}
		}
	}
	return at
}

// waits returns a claimer of some kinds that waits; stop ends that.
func (db *database) waits(kinds []work.Kind) (c *claimer, stop func()) {
	db.mu.Lock()
	defer db.mu.Unlock()
	c = &claimer{kinds, db.first(kinds), make(chan struct{})}
	db.claimers[c] = true
	return c, func() {
		db.mu.Lock()
		defer db.mu.Unlock()
		delete(db.claimers, c)
	}
}

func newDatabase(e *engine) *database {
	return &database{engine: e, turn: make(chan struct{}, 1), claimers: map[*claimer]bool{}}
}

// lock waits for the turn.
func (db *database) lock(ctx context.Context) error {
	select {
	case db.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (db *database) unlock() { <-db.turn }

// ask runs a query of the simulator's own.
func (db *database) ask(text string, values ...driver.Value) ([][]driver.Value, error) {
	if err := db.lock(context.Background()); err != nil {
		return nil, err
	}
	defer db.unlock()
	r, err := db.query(text, ordinals(values))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	return r.rows, nil
}

func ordinals(values []driver.Value) []driver.NamedValue {
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return args
}

// looks is what tells claimers when there may be something for them: the condition of a claim
// implies it. A unit that was claimed ahead of a clock is due as soon as its lease has lapsed.
const looks = `
	SELECT kind, MIN(CASE WHEN claimed > $1 OR lease_until > not_before THEN lease_until ELSE not_before END) FROM units GROUP BY kind`

// look finds out when units may be claimed. It needs the turn.
func (db *database) look() error {
	r, err := db.query(looks, ordinals([]driver.Value{time.Now().Add(right).UnixMicro()}))
	if err != nil {
		return err
	}
	due := map[work.Kind]int64{}
	for _, row := range r.rows {
		due[work.Kind(row[0].(string))] = row[1].(int64)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if maps.Equal(due, db.due) {
		return nil
	}
	for kind, at := range due {
		if was, ok := db.due[kind]; db.notify != nil && at == 0 && (!ok || was != 0) {
			go db.notify() // it takes locks of its own
			break
		}
	}
	db.due = due
	for c := range db.claimers {
		if at := db.first(c.kinds); at != c.at {
			c.at = at
			delete(db.claimers, c)
			close(c.changed)
		}
	}
	return nil
}

// depth is how many callers tell which event a transaction is.
const depth = 32

// events is a store's method in the name of a function.
var events = regexp.MustCompile(`internal/metadb\.\(?\*?([A-Z]\w*\)?\.[A-Z]\w*)`)

// event returns which method of a store the caller's goroutine is in.
func (e *engine) event() (name string) {
	var pcs [depth]uintptr
	n := runtime.Callers(3, pcs[:])
	e.mu.Lock()
	defer e.mu.Unlock()
	name, ok := e.calls[pcs]
	if !ok {
		name = eventOf(pcs[:n])
		e.calls[pcs] = name
	}
	return name
}

// eventOf returns the method of a store that is among callers.
func eventOf(pcs []uintptr) string {
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		if m := events.FindStringSubmatch(f.Function); m != nil && !strings.HasPrefix(m[1], "DB)") {
			return m[1]
		}
		if !more {
			return "a transaction"
		}
	}
}

// gate is what lies between a node and the database. It is nil-free: open lets everything
// through.
type gate interface {
	// before returns when a transaction may begin, or why it can't.
	before(ctx context.Context) error
	// commit says what becomes of the transaction of an event that is about to be committed.
	commit(event string) verdict
	// after returns when its answer has come.
	after(ctx context.Context, event string, v verdict) error
}

// verdict is what becomes of a transaction.
type verdict int

const (
	committed verdict = iota
	refused           // it is rolled back, and the answer is an error
	unheard           // it is committed, and the answer is an error
)

// open is a gate without faults.
type open struct{}

func (open) before(context.Context) error                 { return nil }
func (open) commit(string) verdict                        { return committed }
func (open) after(context.Context, string, verdict) error { return nil }

// link is a node's way to the database.
type link struct {
	db   *database
	gate gate
}

// Connect implements driver.Connector.
func (l link) Connect(context.Context) (driver.Conn, error) { return &linked{link: l}, nil }

// Driver implements driver.Connector.
func (l link) Driver() driver.Driver { return nil }

// linked is a connection of a node. It is used by one goroutine at a time.
type linked struct {
	link
	tx *linkedTx // that runs
}

// linkedTx is a transaction of a node, which has the turn.
type linkedTx struct {
	*linked
	ctx     context.Context
	reads   bool
	alone   bool    // it is one statement
	event   string  // of one statement
	verdict verdict // of one statement
	changed bool    // rows
	units   bool    // rows of units are among them
	files   bool    // files are closed
	fence   *fence  // whose lease it is to check; nil: none
	lost    bool    // the lease is not held
}

// fence says under which lease an event is done.
type fence struct {
	lease work.Lease
	fail  func(format string, a ...any)
}

type fenceKey struct{}

// claim is one that is under way.
type claim struct {
	now  time.Time
	held map[int64]bool // units whose leases have not lapsed
}

type claimKey struct{}

// BeginTx implements driver.ConnBeginTx.
func (c *linked) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.begin(ctx, o.ReadOnly, false)
}

// begin begins a transaction, perhaps of one statement only, which needs no savepoint.
func (c *linked) begin(ctx context.Context, reads, alone bool) (*linkedTx, error) {
	if err := c.gate.before(ctx); err != nil {
		return nil, err
	}
	if err := c.db.lock(ctx); err != nil {
		return nil, err
	}
	t := &linkedTx{linked: c, ctx: ctx, reads: reads, alone: alone}
	if t.fence, _ = ctx.Value(fenceKey{}).(*fence); t.fence != nil {
		l := t.fence.lease
		held, err := c.db.query(`SELECT 1 FROM units WHERE id = $1 AND owner = $2 AND attempt = $3`, ordinals([]driver.Value{l.ID, l.Owner, l.Attempt}))
		if err != nil {
			c.db.unlock()
			return nil, err
		}
		t.lost = len(held.rows) == 0
	}
	if claim, ok := ctx.Value(claimKey{}).(*claim); ok {
		held, err := c.db.query(`SELECT id FROM units WHERE lease_until > $1`, ordinals([]driver.Value{claim.now.UnixMicro()}))
		if err != nil {
			c.db.unlock()
			return nil, err
		}
		claim.held = map[int64]bool{}
		for _, row := range held.rows {
			claim.held[row[0].(int64)] = true
		}
	}
	if !t.reads && !alone {
		if err := c.db.exec("SAVEPOINT t"); err != nil {
			c.db.unlock()
			return nil, err
		}
	}
	c.tx = t
	return t, nil
}

// end ends the transaction, and gives the turn back.
func (t *linkedTx) end(keep bool) error {
	defer t.db.unlock()
	t.tx = nil
	var errs []error
	if saved := !t.reads && !t.alone; saved {
		if !keep {
			errs = append(errs, t.db.exec("ROLLBACK TO t"))
		}
		errs = append(errs, t.db.exec("RELEASE t"))
	}
	if t.units && keep {
		errs = append(errs, t.db.look())
	}
	return errors.Join(errs...)
}

// Commit implements driver.Tx.
func (t *linkedTx) Commit() error {
	if t.reads {
		if err := t.end(true); err != nil {
			return err
		}
		return t.gate.after(t.ctx, "", committed)
	}
	event, v := t.event, t.verdict
	if !t.alone {
		event = t.db.event()
		v = t.gate.commit(event)
	}
	var err error
	if v == refused {
		err = t.end(false)
	} else {
		if t.changed && t.lost {
			t.fence.fail("%s had an effect under a lease that %s had lost", event, t.fence.lease.Owner)
		}
		if t.files && t.db.closed != nil {
			named, err := t.db.query(`SELECT id, kind FROM files WHERE state = 'closed' AND dead < entries`, nil)
			if err != nil {
				return errors.Join(err, t.end(false))
			}
			t.db.closed(event, named.rows)
		}
		err = t.end(true)
	}
	if err != nil {
		return err
	}
	if !t.changed && v == committed {
		event = ""
	}
	return t.gate.after(t.ctx, event, v)
}

// Rollback implements driver.Tx.
func (t *linkedTx) Rollback() error {
	return t.end(false)
}

// alone runs fn, a statement, as a transaction unless it is part of one.
func (c *linked) alone(ctx context.Context, text string, fn func() error) error {
	if c.tx != nil {
		return fn()
	}
	t, err := c.begin(ctx, strings.HasPrefix(strings.TrimSpace(text), "SELECT"), true)
	if err != nil {
		return err
	}
	if !t.reads { // what is to be rolled back is not done
		t.event = c.db.event()
		if t.verdict = c.gate.commit(t.event); t.verdict == refused {
			return t.Commit()
		}
	}
	if err := fn(); err != nil {
		return errors.Join(err, t.Rollback())
	}
	return t.Commit()
}

// ExecContext implements driver.ExecerContext.
func (c *linked) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (res driver.Result, err error) {
	err = c.alone(ctx, text, func() error {
		if res, err = c.db.run(text, args); err != nil {
			return err
		}
		n, err := res.RowsAffected()
		c.note(text, n)
		return err
	})
	return res, err
}

// QueryContext implements driver.QueryerContext.
func (c *linked) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (found driver.Rows, err error) {
	err = c.alone(ctx, text, func() error {
		r, err := c.db.query(text, args)
		if err == nil && !strings.HasPrefix(strings.TrimSpace(text), "SELECT") {
			c.note(text, int64(len(r.rows)))
		}
		found = r
		return err
	})
	return found, err
}

// note notes that a statement has changed rows.
func (c *linked) note(text string, changed int64) {
	if c.tx != nil && changed > 0 {
		c.tx.changed = true
		c.tx.units = c.tx.units || strings.Contains(text, "units")
		c.tx.files = c.tx.files || strings.Contains(text, "UPDATE files SET state = $1")
	}
}

// Begin implements driver.Conn.
func (c *linked) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// Prepare implements driver.Conn; nothing is prepared here.
func (c *linked) Prepare(text string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }

// Close implements driver.Conn.
func (c *linked) Close() error { return nil }

// remains are queries that must find nothing once all has settled.
var remains = []struct{ what, stmt string }{
	{"files that are open", `SELECT kind || ' ' || id FROM files WHERE state <> 'closed'`},
	{"files that nothing names", `SELECT kind || ' ' || id FROM files WHERE id NOT IN (SELECT file FROM blocks UNION SELECT file FROM pages UNION SELECT root FROM snapshots)`},
	{"names of files without a row", `SELECT '' || file FROM (SELECT file FROM blocks UNION SELECT file FROM pages UNION SELECT root AS file FROM snapshots WHERE root <> 0) x WHERE file NOT IN (SELECT id FROM files)`},
	{"files that count wrong", `SELECT kind || ' ' || id || ': ' || dead || ' of ' || entries FROM files f WHERE entries - dead <>
		(SELECT COUNT(*) FROM blocks b WHERE b.file = f.id) + (SELECT COUNT(*) FROM pages p WHERE p.file = f.id) + (SELECT COUNT(*) FROM snapshots s WHERE s.root = f.id)`},
	{"candidates", `SELECT '' || file FROM file_candidates UNION ALL SELECT 'a page' FROM page_candidates UNION ALL SELECT 'a block' FROM block_candidates`},
	{"condemned", `SELECT 'a page' FROM pages WHERE condemned <> 0 UNION ALL SELECT 'a block' FROM blocks WHERE condemned <> 0`},
	{"units", `SELECT kind || ' of ' || task || ' ' || last_error FROM units WHERE task <> ''`}, // duties stay
	{"drafts", `SELECT snapshot FROM drafts`},
	{"rows of drafts", `SELECT snapshot FROM draft_blocks UNION ALL SELECT snapshot FROM range_pages`},
	{"holds", `SELECT why FROM holds`},
}

// texts returns the first column of what a query finds.
func (db *database) texts(text string, values ...driver.Value) ([]string, error) {
	found, err := db.ask(text, values...)
	list := make([]string, len(found))
	for i, row := range found {
		list[i] = fmt.Sprint(row[0])
	}
	slices.Sort(list)
	return list, err
}
