package metadb

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
)

// A connection that keeps statements answers like one that does not: when one of them is
// read while another with its text begins, when tables change under it, when it failed,
// and when there are more than it keeps.
func TestPreparedStatements(t *testing.T) {
	pool, err := sqlitePool(filepath.Join(t.TempDir(), "db"), 1, "_txlock=immediate", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	tx, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	run := func(stmt string, args ...any) {
		t.Helper()
		if _, err := tx.ExecContext(t.Context(), stmt, args...); err != nil {
			t.Fatalf("%s: %v", stmt, err)
		}
	}
	run("CREATE TABLE numbers (n BIGINT PRIMARY KEY)")
	for n := range 3 {
		run("INSERT INTO numbers (n) VALUES ($1)", n)
	}
	const pairs = "SELECT n FROM numbers WHERE n >= $1 ORDER BY n"
	if got := readPairs(t, tx, pairs); got != 9 {
		t.Errorf("%d pairs were read, want 9", got)
	}
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO numbers (n) VALUES ($1)", 1); err == nil {
		t.Error("a number was inserted twice")
	}
	run("INSERT INTO numbers (n) VALUES ($1)", 3)
	run("ALTER TABLE numbers ADD COLUMN m BIGINT DEFAULT 7")
	if got := readPairs(t, tx, pairs); got != 16 {
		t.Errorf("%d pairs were read after the table was changed, want 16", got)
	}
	var sum int
	for n := range 2 * keptStatements {
		var m int
		if err := tx.QueryRowContext(t.Context(), fmt.Sprintf("SELECT m + %d FROM numbers WHERE n = $1", n), 2).Scan(&m); err != nil {
			t.Fatal(err)
		}
		sum += m - n
	}
	if sum != 2*7*keptStatements {
		t.Errorf("the sum is %d, want %d", sum, 2*7*keptStatements)
	}
	if err := errors.Join(tx.Commit(), pool.Close()); err != nil {
		t.Error(err)
	}
}

// readPairs reads all rows of a query for each of its rows, and returns how many.
func readPairs(t *testing.T, tx *sql.Tx, stmt string) (pairs int) {
	t.Helper()
	outer, err := tx.QueryContext(t.Context(), stmt, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer outer.Close()
	for outer.Next() {
		inner, err := all(t.Context(), tx, column[int], stmt, 0)
		if err != nil {
			t.Fatal(err)
		}
		pairs += len(inner)
	}
	if err := outer.Err(); err != nil {
		t.Fatal(err)
	}
	return pairs
}
