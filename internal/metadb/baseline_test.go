package metadb

import (
	goflag "flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateBaseline = goflag.Bool("update", false, "write baseline/sqlite.sql")

// TestBaseline compares the baseline with what the migrations make, step by step, and
// what a database has that began with it with one that began with nothing. After
// baselineVersion was raised, -update writes the baseline.
func TestBaseline(t *testing.T) {
	ctx := t.Context()
	stepwise := emptySQLite(t)
	p, err := stepwise.provider()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(ctx, baselineVersion); err != nil {
		t.Fatal(err)
	}
	made := "-- Written by TestBaseline from the migrations.\n" + schemaOf(t, stepwise)
	if *updateBaseline {
		if err := os.WriteFile("baseline/sqlite.sql", []byte(made), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(made, baseline); diff != "" && !*updateBaseline {
		t.Fatalf("the baseline is not what the migrations make (-made +baseline):\n%s", diff)
	}
	if _, err := p.Up(ctx); err != nil {
		t.Fatal(err)
	}
	laid := emptySQLite(t)
	if err := laid.migrate(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(schemaOf(t, stepwise), schemaOf(t, laid)); diff != "" {
		t.Errorf("step by step and from the baseline (-steps +baseline):\n%s", diff)
	}
}

func emptySQLite(t *testing.T) *DB {
	t.Helper()
	db := &DB{usage: new(usage)}
	if err := db.openSQLite(filepath.Join(t.TempDir(), "db"), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// schemaOf returns the statements that make the schema of a database, and the versions that
// goose has recorded. There are no other rows.
func schemaOf(t *testing.T, db *DB) string {
	t.Helper()
	ctx := t.Context()
	schema, err := all(ctx, db.write, column[string], "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	versions, err := all(ctx, db.write, column[int], "SELECT version_id FROM goose_db_version WHERE is_applied ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := all(ctx, db.write, column[string], "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'goose_db_version'")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tables {
		if rows, _, err := one(ctx, db.write, column[int], "SELECT count(*) FROM "+name); err != nil || rows > 0 {
			t.Errorf("table %s has %d rows, %v: the baseline has none", name, rows, err)
		}
	}
	var b strings.Builder
	for _, stmt := range schema {
		fmt.Fprintf(&b, "%s;\n", stmt)
	}
	for _, v := range versions {
		fmt.Fprintf(&b, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, 1);\n", v)
	}
	return b.String()
}
