package metadb

import (
	"context"
	_ "embed"
	"fmt"
)

// baseline is the schema that the migrations up to baselineVersion make of an empty SQLite
// database, goose's table of versions included. TestBaseline writes and compares it.
//
//go:embed baseline/sqlite.sql
var baseline string

const baselineVersion = 44

// layBaseline gives an empty SQLite database the schema of the baseline in one
// transaction. Migrating it there step by step takes a tenth of a second, and every step
// a commit: most of what a small import in a new place took. A cluster's database is made
// once, and step by step.
func (db *DB) layBaseline(ctx context.Context) error {
	if db.read == db.write {
		return nil
	}
	tx, err := db.write.BeginTx(ctx, nil) // no event, so no commit that is counted
	if err != nil {
		return err
	}
	defer tx.Rollback() // a no-op after Commit
	if tables, _, err := one(ctx, tx, column[int], "SELECT count(*) FROM sqlite_master"); err != nil || tables > 0 {
		return err
	}
	if _, err := tx.ExecContext(ctx, baseline); err != nil {
		return fmt.Errorf("laying the schema of version %d: %w", baselineVersion, err)
	}
	return tx.Commit()
}
