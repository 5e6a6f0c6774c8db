package metadb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// LeastPostgres is the oldest major version of PostgreSQL that is taken.
const LeastPostgres = 14

// NodeConns is how many connections to PostgreSQL a node opens at most: its pool, one
// that asks whether the server answers, and one that listens to other nodes.
const NodeConns = postgresConns + 2

// facts are what a PostgreSQL server says of itself, and of what a node may do there.
type facts struct {
	version                  int64 // 140005 is 14.5
	user, database           string
	encoding, collation      string
	readOnly                 bool
	schema                   string // in which tables are made; empty: there is none
	mayUse, mayCreate        bool   // in it
	foreign                  string // a table in it that is another user's; empty: none is
	foreignOwner             string
	conns, reserved          int64 // of the server
	userConns, databaseConns int64 // -1: no limit
	durable                  bool  // what is committed outlives a crash
}

// askFacts reads the facts of a server. Nothing in it needs any right.
func (db *DB) askFacts(ctx context.Context) (f facts, err error) {
	var readOnly, mayUse, mayCreate, durable int64
	err = db.probe.QueryRowContext(ctx, `
		SELECT CAST(current_setting('server_version_num') AS BIGINT), current_user, current_database(),
			current_setting('server_encoding'), d.datcollate,
			CAST(current_setting('transaction_read_only') = 'on' AS INTEGER),
			COALESCE(current_schema(), ''),
			COALESCE(CAST(has_schema_privilege(current_schema(), 'USAGE') AS INTEGER), 0),
			COALESCE(CAST(has_schema_privilege(current_schema(), 'CREATE') AS INTEGER), 0),
			CAST(current_setting('max_connections') AS BIGINT), CAST(current_setting('superuser_reserved_connections') AS BIGINT),
			r.rolconnlimit, d.datconnlimit,
			CAST(current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AND current_setting('synchronous_commit') <> 'off' AS INTEGER)
		FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user`).Scan(
		&f.version, &f.user, &f.database, &f.encoding, &f.collation, &readOnly, &f.schema, &mayUse, &mayCreate,
		&f.conns, &f.reserved, &f.userConns, &f.databaseConns, &durable)
	if err != nil {
		return f, err
	}
	f.readOnly, f.mayUse, f.mayCreate, f.durable = readOnly != 0, mayUse != 0, mayCreate != 0, durable != 0
	rows, err := db.probe.QueryContext(ctx, `
		SELECT c.relname, pg_get_userbyid(c.relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY c.relname LIMIT 1`)
	if err != nil {
		return f, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&f.foreign, &f.foreignOwner); err != nil {
			return f, err
		}
	}
	return f, rows.Err()
}

// refuse returns why a node can't use a server, and what to do about it.
func (f facts) refuse() error {
	fits := f.conns - f.reserved
	for _, limit := range []int64{f.userConns, f.databaseConns} {
		if limit >= 0 {
			fits = min(fits, limit)
		}
	}
	switch {
	case f.version < LeastPostgres*10000:
		return fmt.Errorf("the server is PostgreSQL %d.%d, and %d is the least: upgrade it (pg_upgrade), or name another", f.version/10000, f.version%10000, LeastPostgres)
	case f.readOnly:
		return fmt.Errorf("user %q may only read there: ALTER ROLE %q RESET default_transaction_read_only, and the same for database %q", f.user, f.user, f.database)
	case f.encoding != "UTF8":
		return fmt.Errorf("database %q is encoded as %s, and has to be as UTF8: make another (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)", f.database, f.encoding)
	case f.schema == "":
		return fmt.Errorf("user %q has no schema in database %q that tables could be made in: CREATE SCHEMA diskport AUTHORIZATION %q, then ALTER ROLE %q SET search_path = diskport", f.user, f.database, f.user, f.user)
	case !f.mayUse || !f.mayCreate:
		return fmt.Errorf("user %q may make no tables in schema %q of database %q: GRANT USAGE, CREATE ON SCHEMA %q TO %q", f.user, f.schema, f.database, f.schema, f.user)
	case f.foreign != "":
		return fmt.Errorf("table %q in schema %q of database %q belongs to %q, and user %q can't change it: connect as %q, or REASSIGN OWNED BY %q TO %q; all nodes connect as one user",
			f.foreign, f.schema, f.database, f.foreignOwner, f.user, f.foreignOwner, f.foreignOwner, f.user)
	case fits < NodeConns:
		return fmt.Errorf("user %q may have %d connections to database %q, and each node needs %d: raise max_connections (%d, of which %d are reserved), or the limit of the role or database (ALTER ROLE … CONNECTION LIMIT)",
			f.user, fits, f.database, NodeConns, f.conns, f.reserved)
	}
	return nil
}

// warnings are what an operator should know although nodes work.
func (f facts) warnings() (list []string) {
	if !f.durable {
		list = append(list, "fsync, full_page_writes or synchronous_commit is off at the PostgreSQL server: what was answered may be lost when its machine crashes")
	}
	if f.collation != "C" && f.collation != "POSIX" && f.collation != "C.UTF-8" {
		list = append(list, fmt.Sprintf("database %q sorts as %s: an upgrade of the server's C library can damage its indexes until REINDEX is run; one made with LC_COLLATE 'C' has no such trouble", f.database, f.collation))
	}
	return list
}

// meetServer makes sure that a server can be used, and goes by its clock.
func (db *DB) meetServer(ctx context.Context, o Options) error {
	err := db.checkServer(ctx, o.Warn)
	if err == nil && o.Node != "" {
		err = db.checkNodes(ctx, o.Alone)
	}
	if err != nil || o.Now != nil {
		return err
	}
	return db.goByServer(ctx, time.Now)
}

// The beginnings of the names of sessions, of nodes and of one that has to be alone.
const (
	sessionOfNode  = "diskport "
	sessionOfAlone = "diskport alone "
)

// longestSession is how many bytes of a session's name PostgreSQL keeps.
const longestSession = 63

// session returns the name of the connections of a node, the end of whose own name is what
// makes it unique.
func (o Options) session() string {
	kind := sessionOfNode
	switch {
	case o.Node == "":
		return ""
	case o.Alone:
		kind = sessionOfAlone
	}
	return kind + o.Node[max(0, len(kind)+len(o.Node)-longestSession):]
}

// ErrNotAlone reports nodes that use a database of which one must be the only user.
var ErrNotAlone = errors.New("other nodes use the database: stop all of them first")

// ErrOtherAlone reports a database that a node uses alone for now.
var ErrOtherAlone = errors.New("a node uses the database alone, to rebuild it: wait until it has ended")

// checkNodes looks which nodes are connected. Each is connected before it looks, so of two
// that come at the same time one at least sees the other.
func (db *DB) checkNodes(ctx context.Context, alone bool) error {
	rows, err := db.probe.QueryContext(ctx, `
		SELECT DISTINCT application_name FROM pg_stat_activity
		WHERE datname = current_database() AND starts_with(application_name, $1) AND application_name <> $2 ORDER BY application_name`, sessionOfNode, db.session)
	if err != nil {
		return err
	}
	defer rows.Close()
	var nodes []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		if only, ok := strings.CutPrefix(name, sessionOfAlone); ok {
			return fmt.Errorf("%w: %s", ErrOtherAlone, only)
		}
		nodes = append(nodes, strings.TrimPrefix(name, sessionOfNode))
	}
	if err := rows.Err(); err != nil || !alone || len(nodes) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s", ErrNotAlone, strings.Join(nodes, ", "))
}

// checkServer refuses a server that nodes can't use.
func (db *DB) checkServer(ctx context.Context, warn func(string)) error {
	f, err := db.askFacts(ctx)
	if err != nil {
		return db.unreached(err)
	}
	if err := f.refuse(); err != nil {
		return err
	}
	for _, what := range f.warnings() {
		if warn != nil {
			warn(what)
		}
	}
	return nil
}

// unreached adds to an error of the first connection what to do about it.
func (db *DB) unreached(err error) error {
	way := "is it running, and reachable from here?"
	if errors.Is(err, errStandby) {
		way = "name the primary, or all hosts that may be it: each connection passes over standbys"
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case strings.HasPrefix(pg.Code, "28"): // invalid authorization
			way = "give the user's password in the URL, in PGPASSWORD or in a file that PGPASSFILE names, and look into the server's pg_hba.conf"
		case pg.Code == "3D000": // invalid catalog name
			way = "make the database: CREATE DATABASE … ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
		case pg.Code == "42501": // insufficient privilege
			way = "GRANT CONNECT ON DATABASE to the user"
		case pg.Code == "53300": // too many connections
			way = fmt.Sprintf("raise max_connections at the server: each node needs %d", NodeConns)
		case strings.HasPrefix(pg.Code, "57P"): // it starts or stops
			way = "wait until it has started"
		}
	}
	return fmt.Errorf("%w; %s", err, way)
}
