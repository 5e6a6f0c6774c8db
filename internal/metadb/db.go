package metadb

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/work"
)

// DB is an open metadata database, migrated to the newest schema.
type DB struct {
	write, read *sql.DB         // the same pool on PostgreSQL
	probe       *sql.DB         // one connection, for Ready
	path        string          // of an SQLite file
	server      *pgx.ConnConfig // PostgreSQL; nil: it is SQLite
	engine      engine
	now         func() time.Time
	session     string      // names the connections to PostgreSQL; empty: nothing does
	onServer    *serverTime // what now goes by on PostgreSQL; nil: Options say it
	ids         awsid.Source
	regions     awsid.Regions         // that the service plays
	witness     *witness              // of an embedded database; nil: none
	room        Room                  // nil: none can be made
	wrap        func(querier) querier // tests inject faults here; nil otherwise
	around      around                // tests stop transactions here; nil otherwise
	usage       *usage
	letGoRows   int64 // letGoRows, or fewer in tests
}

// Options are what a DB needs from outside. The zero value is ready.
type Options struct {
	// Now is the clock that rows go by. Nil: that of PostgreSQL's server, which is the
	// same for all nodes, or the system's for an embedded database.
	Now func() time.Time
	IDs awsid.Source // for rows whose ids are not shown to clients

	// Regions say where rows belong that are older than the regions; a database that
	// has such rows needs them.
	Regions awsid.Regions

	// Node names this process at PostgreSQL's server, to people and to other nodes. Empty:
	// it is none.
	Node string
	// Alone refuses a server that other nodes are connected to, and keeps out those that come
	// later.
	Alone bool

	// Witness is a file that tells an embedded database from an older one; it is
	// made when missing. Empty: none, and always for PostgreSQL.
	Witness string
	// AcceptOlder goes on with a database that is older than its witness says.
	AcceptOlder bool
	// Warn is called with what an operator should know although nothing stops
	// because of it; may be nil.
	Warn func(string)
	// Room is asked when an embedded database finds no room on its disk; nil: such a
	// transaction fails.
	Room Room
	// Connector is put around the connections to an embedded database; nil: nothing is.
	Connector func(driver.Connector) driver.Connector
}

// Room is what can be done about a full disk. space.Guard implements it.
type Room interface {
	// LetGo makes some room for a write; it returns false if it can't.
	LetGo(p space.Purpose) bool
	// Spent reports whether there may be none for the next write.
	Spent() bool
}

// engine is what differs between SQLite and PostgreSQL.
type engine struct {
	dialect goose.Dialect
	// shared says that other nodes use the database too, over a network.
	shared bool
	// skipLocked is appended to a claim's SELECT, so that claims do not queue.
	skipLocked string
	// bytewise is appended to a text column to order it by its bytes.
	bytewise string
	// find is where a text of bytes begins in another, from 1 on; 0: nowhere. Its verbs
	// stand for the longer and the shorter one.
	find string
	// next joins o, the first object by key that meets a condition, its verb, which may name
	// other tables of the join. In PostgreSQL nothing but one look at the index can come of
	// it, whatever the planner believes about the table.
	next string
	// bytes is the type of bytes, for a CAST.
	bytes string
	// list and pairs gather a column, or two, of many rows into a JSON array, as text.
	list, pairs string
	// snapshot makes all reads of a view see one state.
	snapshot *sql.TxOptions
}

// Open opens the database at dsn, a postgres:// URL or the path of an SQLite file, which
// it makes when missing, and migrates it. An error wraps space.ErrFull if there was no
// room on the disk for that; the caller may try again.
func Open(ctx context.Context, dsn string, o Options) (*DB, error) {
	db := &DB{now: o.Now, ids: o.IDs, regions: o.Regions, room: o.Room, letGoRows: letGoRows, usage: new(usage)}
	if db.now == nil {
		db.now = time.Now
	}
	db.session = o.session()
	open := func(path string) error { return db.openSQLite(path, o.Connector) }
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		open = db.openPostgres
	}
	if err := open(dsn); err != nil {
		return nil, fmt.Errorf("metadb: open: %w", err)
	}
	failed := func(what string, err error) (*DB, error) {
		if db.read != db.write && db.damaged(ctx, err) {
			err = &damagedError{path: dsn, err: err}
		}
		return nil, errors.Join(fmt.Errorf("metadb: %s: %w", what, db.told(err)), db.Close())
	}
	if db.read == db.write {
		if err := db.meetServer(ctx, o); err != nil {
			return failed("open", err)
		}
	}
	if o.Witness != "" && db.read != db.write {
		if err := db.heed(ctx, dsn, o); err != nil {
			return failed("open", err)
		}
		db.checkpoint(ctx)
	}
	if err := db.migrate(ctx, o.Warn); err != nil {
		return failed("migrate", err)
	}
	if err := db.warnOfUnplayed(ctx, o.Warn); err != nil {
		return failed("looking for regions", err)
	}
	return db, nil
}

// damagedError says what to do about a damaged file of an embedded database.
type damagedError struct {
	path string
	err  error
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("%s is damaged: bring it back from a backup; or move it away, and all that has its name at the beginning, and run diskport verify --rebuild, "+
		"which enters what the store holds into a new one: %v", e.path, e.err)
}

func (e *damagedError) Unwrap() error { return e.err }

// Advised returns err with what to do if it says that the embedded database at path is
// damaged. It is for what keeps a service from starting once its database is open.
func Advised(path string, err error) error {
	if _, again := errors.AsType[*damagedError](err); again || !malformed(err) {
		return err
	}
	return &damagedError{path: path, err: err}
}

// damaged reports whether an error comes from a damaged file, which is asked for it if
// that can't be seen: whoever can't read that a table is there tries to make it.
func (db *DB) damaged(ctx context.Context, err error) bool {
	lite, ok := errors.AsType[*sqlite.Error](err)
	if !ok || lite.Code()&0xff != sqlite3.SQLITE_ERROR {
		return malformed(err)
	}
	found, err := all(ctx, db.read, column[string], `PRAGMA quick_check(1)`)
	return malformed(err) || len(found) > 0 && found[0] != "ok"
}

// Close waits for running statements and closes the database.
func (db *DB) Close() error {
	err := db.write.Close()
	if db.probe != nil { // that of a copy is not asked
		err = cmp.Or(err, db.probe.Close())
	}
	if db.read != db.write {
		err = cmp.Or(err, db.read.Close())
	}
	if db.witness != nil {
		err = cmp.Or(err, db.witness.file.Close())
	}
	return err
}

// Pools returns the pools of connections by name, for their statistics.
func (db *DB) Pools() map[string]*sql.DB {
	if db.read == db.write {
		return map[string]*sql.DB{"metadata": db.write}
	}
	return map[string]*sql.DB{"metadata-write": db.write, "metadata-read": db.read}
}

// readers is how many SQLite connections read, besides the one that writes.
const readers = 4

func (db *DB) openSQLite(path string, around func(driver.Connector) driver.Connector) (err error) {
	db.engine = engine{
		dialect: goose.DialectSQLite3,
		find:    "instr(%s, %s)",
		next: "CROSS JOIN s3_objects o " + // CROSS: SQLite must not begin with the objects
			"WHERE o.bucket = $1 AND o.latest = 1 AND o.key = (SELECT key FROM s3_objects WHERE %s ORDER BY key LIMIT 1)",
		bytes:    "BLOB",
		list:     "json_group_array(%s)",
		pairs:    "json_group_array(json_array(%s, %s))",
		snapshot: &sql.TxOptions{ReadOnly: true},
	}
	if err := private(path); err != nil {
		return err
	}
	db.path = path
	// A single writer that takes its lock at the start of a transaction never meets
	// SQLITE_BUSY.
	if db.write, err = sqlitePool(path, 1, "_txlock=immediate", around); err != nil {
		return err
	}
	if db.read, err = sqlitePool(path, readers, "_pragma=query_only(1)", around); err != nil {
		return err
	}
	db.probe, err = sqlitePool(path, 1, "_pragma=query_only(1)", around)
	return err
}

// private makes the file, or an existing one, readable by its owner alone. SQLite
// gives the files that it writes beside it the same mode.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

func sqlitePool(path string, conns int, query string, around func(driver.Connector) driver.Connector) (*sql.DB, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_pragma=cache_size(-4000)&" + query // cache: 4,000 KiB a connection
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	connector := driver.Connector(preparing{failpoint.Connector(c)})
	if around != nil {
		connector = around(connector)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return pool, nil
}

// postgresConns is the size of a node's pool; more would only queue in the server.
const postgresConns = 16

// endIdle has the server end transactions that a node has begun and then does nothing in,
// because it is stopped or cut off: what they have locked would keep other nodes waiting,
// and a unit whose row is locked can't be claimed.
func endIdle(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, fmt.Sprintf("SET idle_in_transaction_session_timeout = %d", work.LeaseFor.Milliseconds()))
	return err
}

func (db *DB) openPostgres(dsn string) error {
	db.engine = engine{
		dialect:    goose.DialectPostgres,
		shared:     true,
		skipLocked: " FOR UPDATE OF u SKIP LOCKED",
		bytewise:   ` COLLATE "C"`,
		find:       "position(%[2]s IN %[1]s)",
		next:       "CROSS JOIN LATERAL (SELECT * FROM s3_objects WHERE %s ORDER BY key LIMIT 1) o WHERE true",
		bytes:      "BYTEA",
		list:       "CAST(json_agg(%s) AS TEXT)",
		pairs:      "CAST(json_agg(json_build_array(%s, %s)) AS TEXT)",
		snapshot:   &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead},
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	if db.session != "" {
		cfg.RuntimeParams["application_name"] = db.session
	}
	cfg.DialFunc = dialer().DialContext
	cfg.ValidateConnect = onPrimary(cfg.ValidateConnect)
	db.server = cfg
	db.write = sql.OpenDB(failpoint.Connector(stdlib.GetConnector(*cfg, stdlib.OptionAfterConnect(endIdle))))
	db.write.SetMaxOpenConns(postgresConns)
	db.write.SetMaxIdleConns(postgresConns)
	db.read = db.write
	db.probe = stdlib.OpenDB(*cfg)
	db.probe.SetMaxOpenConns(1)
	db.probe.SetMaxIdleConns(1)
	return nil
}
