package metadb

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// good are the facts of a server that nodes can use.
func good() facts {
	return facts{
		version: 140000, user: "diskport", database: "diskport", encoding: "UTF8", collation: "C", schema: "public", mayUse: true, mayCreate: true,
		conns: 100, reserved: 3, userConns: -1, databaseConns: -1, durable: true,
	}
}

// TestRefusedServers: what is missing at a server is named, with what to do about it.
func TestRefusedServers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*facts)
		want   []string // empty: it is taken
	}{
		{"good", func(*facts) {}, nil},
		{"too old", func(f *facts) { f.version = 130018 }, []string{"PostgreSQL 13.18", "14", "pg_upgrade"}},
		{"read-only", func(f *facts) { f.readOnly = true }, []string{`"diskport" may only read`, "default_transaction_read_only"}},
		{"encoding", func(f *facts) { f.encoding = "SQL_ASCII" }, []string{"SQL_ASCII", "UTF8", "template0"}},
		{"no schema", func(f *facts) { f.schema = "" }, []string{"CREATE SCHEMA"}},
		{"no right to use", func(f *facts) { f.mayUse = false }, []string{"GRANT USAGE, CREATE ON SCHEMA"}},
		{"no right to create", func(f *facts) { f.mayCreate = false }, []string{"GRANT USAGE, CREATE ON SCHEMA"}},
		{"another's tables", func(f *facts) { f.foreign, f.foreignOwner = "tasks", "admin" }, []string{`"tasks"`, `belongs to "admin"`, "REASSIGN OWNED"}},
		{"few connections", func(f *facts) { f.conns = 20 }, []string{"17 connections", "needs 18", "max_connections"}},
		{"just enough", func(f *facts) { f.conns = 21 }, nil},
		{"few for the role", func(f *facts) { f.userConns = 5 }, []string{"5 connections", "CONNECTION LIMIT"}},
		{"few for the database", func(f *facts) { f.databaseConns = 6 }, []string{"6 connections"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := good()
			tt.change(&f)
			err := f.refuse()
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v does not say %q", err, part)
				}
			}
		})
	}
}

func TestWarningsOfAServer(t *testing.T) {
	f := good()
	if w := f.warnings(); len(w) > 0 {
		t.Errorf("a good server: %q", w)
	}
	f.durable, f.collation = false, "de_DE.UTF-8"
	if w := f.warnings(); len(w) != 2 || !strings.Contains(w[0], "fsync") || !strings.Contains(w[1], "de_DE.UTF-8") {
		t.Errorf("%q", w)
	}
}

// do runs statements at a server.
func do(t *testing.T, dsn string, stmts ...string) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	for _, stmt := range stmts {
		if _, err := c.Exec(ctx, stmt); err != nil {
			t.Fatalf("%s: %v", stmt, err)
		}
	}
}

// as returns a DSN for another user and database.
func as(t *testing.T, dsn, user, database string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		u.User = url.User(user)
	}
	if database != "" {
		u.Path = "/" + database
	}
	return u.String()
}

// TestWhatARealServerSays: the same at a server, as far as one can be made so.
func TestWhatARealServerSays(t *testing.T) {
	dsn := postgres.New(t)
	name := "d" + strings.TrimPrefix(mustParse(t, dsn).Path, "/test_")
	ascii := name + "_ascii"
	do(t, dsn, "CREATE DATABASE "+ascii+" ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0", "CREATE ROLE "+name+" LOGIN")
	t.Cleanup(func() {
		do(t, dsn, "DROP DATABASE "+ascii+" WITH (FORCE)", "DROP OWNED BY "+name, "DROP ROLE "+name)
	})
	refused := func(dsn string, want ...string) {
		t.Helper()
		db, err := Open(t.Context(), dsn, Options{})
		if err == nil {
			t.Errorf("it was opened, want an error that says %q", want)
			_ = db.Close()
			return
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %q", err, part)
			}
		}
	}
	user := as(t, dsn, name, "")
	refused(as(t, dsn, "", ascii), "SQL_ASCII")
	refused(as(t, dsn, "", "nowhere"), "nowhere", "CREATE DATABASE")
	refused(as(t, dsn, "nobody_"+name, ""), "pg_hba.conf")
	refused("postgres://diskport@/postgres?host="+t.TempDir(), "reachable")
	refused(user, "GRANT USAGE, CREATE ON SCHEMA")
	open(t, dsn) // makes the tables, as another user
	do(t, dsn, "GRANT USAGE, CREATE ON SCHEMA public TO "+name)
	refused(user, "belongs to")
	do(t, dsn, "CREATE SCHEMA "+name+" AUTHORIZATION "+name, "ALTER ROLE "+name+" SET search_path = "+name)
	open(t, user)
	do(t, dsn, "ALTER ROLE "+name+" CONNECTION LIMIT 7")
	refused(user, "7 connections")
	do(t, dsn, "ALTER ROLE "+name+" CONNECTION LIMIT -1", "ALTER ROLE "+name+" SET default_transaction_read_only = on")
	refused(user, "may only read")
}

func mustParse(t *testing.T, dsn string) *url.URL {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestNobodyListens: a server that can't be reached is named, with its address.
func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	_ = l.Close()
	if _, err := Open(t.Context(), "postgres://diskport:secret@"+at+"/diskport?sslmode=disable", Options{}); err == nil ||
		!strings.Contains(err.Error(), at) || !strings.Contains(err.Error(), "reachable") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// TestNodesMigrateTogether: nodes that start at the same time on an empty database all
// come up, and each migration is made once.
func TestNodesMigrateTogether(t *testing.T) {
	dsn := postgres.New(t)
	do(t, dsn, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
	const nodes = 4
	var running sync.WaitGroup
	for range nodes {
		running.Go(func() {
			db, err := Open(t.Context(), dsn, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	db := open(t, dsn)
	must(t, db, func(q querier) error {
		twice, err := all(t.Context(), q, column[int64], `SELECT version_id FROM goose_db_version GROUP BY version_id HAVING COUNT(*) > 1`)
		if err == nil && len(twice) > 0 {
			t.Errorf("migrations %d were made more than once", twice)
		}
		return err
	})
}

// TestANodeThatIsAlone: a node that has to be alone is refused while others are connected,
// and keeps others out while it is.
func TestANodeThatIsAlone(t *testing.T) {
	dsn := postgres.New(t)
	opens := func(o Options, want error) *DB {
		t.Helper()
		db, err := Open(t.Context(), dsn, o)
		if !errors.Is(err, want) {
			t.Errorf("%+v: %v, want %v", o, err, want)
		}
		return db
	}
	closed := func(db *DB) {
		t.Helper()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	long := strings.Repeat("host.", 20)
	first, second := opens(Options{Node: long + "/1/a"}, nil), opens(Options{Node: long + "/2/b"}, nil)
	opens(Options{Node: "c", Alone: true}, ErrNotAlone)
	closed(first)
	closed(second)
	awaitGone(t, dsn)
	alone := opens(Options{Node: "c", Alone: true}, nil)
	opens(Options{Node: "d"}, ErrOtherAlone)
	opens(Options{Node: "e", Alone: true}, ErrOtherAlone)
	closed(alone)
	awaitGone(t, dsn)
	closed(opens(Options{Node: "d"}, nil))
}

// awaitGone waits until the server has noticed that the connections of nodes are closed.
func awaitGone(t *testing.T, dsn string) {
	t.Helper()
	do(t, dsn, `DO $$ BEGIN
		WHILE EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND starts_with(application_name, 'diskport ')) LOOP
			PERFORM pg_sleep(0.01);
			PERFORM pg_stat_clear_snapshot();
		END LOOP;
	END $$`)
}
