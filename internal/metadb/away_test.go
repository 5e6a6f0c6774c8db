package metadb

import (
	"context"
	"errors"
	"testing"

	"github.com/diskport/diskport/internal/work"
)

// endConnection has the server end the connection that a statement comes over.
const endConnection = `SELECT pg_terminate_backend(pg_backend_pid())`

// TestAServerThatRestarts is waited for wherever nothing can have been changed, and nowhere
// else: what was done twice would be as wrong as what was not done.
func TestAServerThatRestarts(t *testing.T) {
	db := open(t, postgres.New(t))
	ctx := t.Context()
	add := func(q querier) error {
		_, err := exec(ctx, q, `INSERT INTO counters (name, value) VALUES ('tries', 1) ON CONFLICT (name) DO UPDATE SET value = counters.value + 1`)
		return err
	}
	tries := 0
	cutting := func(q querier) error {
		if tries++; tries == 1 {
			_, err := exec(ctx, q, endConnection)
			return err
		}
		return nil
	}
	count := func(q querier) error {
		_, _, err := one(ctx, q, column[int64], `SELECT value FROM counters WHERE name = 'tries'`)
		return err
	}
	for _, tt := range []struct {
		name  string
		run   func() error
		tries int
		away  bool
	}{
		{"before the commit", func() error {
			return db.update(ctx, "change", func(q querier) error { return errors.Join(add(q), cutting(q)) })
		}, 2, false},
		{"while it is read", func() error {
			return db.view(ctx, "read", func(q querier) error { return errors.Join(count(q), cutting(q)) })
		}, 2, false},
		{"a single statement that reads", func() error { return db.ask(ctx, "read", cutting) }, 2, false},
		{"a single statement that changes", func() error { return db.set(ctx, "change", cutting) }, 1, true},
		{"during the commit", func() error {
			return db.update(ctx, "change", func(q querier) error {
				tries++
				_, err := exec(ctx, q, `INSERT INTO cut_at_commit (n) VALUES (1)`)
				return err
			})
		}, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "during the commit" {
				cutAtCommit(t, db)
			}
			tries = 0
			err := tt.run()
			if tries != tt.tries || errors.Is(err, work.ErrNoDatabase) != tt.away || err != nil && !tt.away {
				t.Errorf("tried %d times, %v; want %d times, and an error: %v", tries, err, tt.tries, tt.away)
			}
		})
	}
	if n, _, err := one(ctx, db.read, column[int64], `SELECT value FROM counters WHERE name = 'tries'`); err != nil || n != 1 {
		t.Errorf("what was cut off before its commit, and done again, counts %d, %v", n, err)
	}
}

// cutAtCommit makes a table that nobody can insert into: the connection is ended when that
// is committed.
func cutAtCommit(t *testing.T, db *DB) {
	t.Helper()
	run := func(stmts ...string) {
		t.Helper()
		for _, stmt := range stmts {
			if _, err := db.write.ExecContext(context.Background(), stmt); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(`CREATE TABLE cut_at_commit (n BIGINT)`,
		`CREATE FUNCTION cut_now() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60); RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON cut_at_commit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut_now()`)
	t.Cleanup(func() { run(`DROP TABLE cut_at_commit`, `DROP FUNCTION cut_now()`) }) // later tests use the database again
}

// TestAStoppedNodeLetsLocksGo: what a node has locked when it is stopped would be locked
// for as long as the server waits for it to go on.
func TestAStoppedNodeLetsLocksGo(t *testing.T) {
	db := open(t, postgres.New(t))
	var after string
	if err := db.write.QueryRowContext(t.Context(), `SHOW idle_in_transaction_session_timeout`).Scan(&after); err != nil || after != "10s" {
		t.Errorf("the server ends transactions in which nothing happens for %q, %v", after, err)
	}
}
