package metadb

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/diskport/diskport/internal/identity/kms"
)

// rotateKeys is the migration after which KMS keys have rotations, and grants are found
// by who may retire them. It is not in SQL because grants are JSON.
func rotateKeys() *goose.Migration {
	up := func(ctx context.Context, tx *sql.Tx) error {
		const year = int64(365 * 24 * 3600 * 1e6) // microseconds; AWS rotates the keys that it manages once in one
		if err := execAll(ctx, tx,
			`ALTER TABLE kms_keys ADD COLUMN rotation_period BIGINT NOT NULL DEFAULT 0`, // days; 0: not rotated
			`ALTER TABLE kms_keys ADD COLUMN next_rotation BIGINT NOT NULL DEFAULT 0`,
			`ALTER TABLE kms_keys ADD COLUMN rotations TEXT NOT NULL DEFAULT '[]'`, // JSON of []kms.Rotation
			`CREATE INDEX kms_keys_by_rotation ON kms_keys (next_rotation) WHERE next_rotation <> 0`,
			`ALTER TABLE kms_grants ADD COLUMN retiring TEXT NOT NULL DEFAULT ''`, // id of the retiring principal, or empty
			`CREATE INDEX kms_grants_by_retiring ON kms_grants (account, region, retiring, id) WHERE retiring <> ''`,
		); err != nil {
			return err
		}
		if _, err := exec(ctx, tx, `UPDATE kms_keys SET rotation_period = 365, next_rotation = created + $1 WHERE manager = $2`, year, kms.AWS); err != nil {
			return err
		}
		list, err := all(ctx, tx, scanGrant, `SELECT content FROM kms_grants`)
		if err != nil {
			return err
		}
		for _, g := range list {
			if _, err := exec(ctx, tx, `UPDATE kms_grants SET retiring = $1 WHERE account = $2 AND region = $3 AND key_id = $4 AND id = $5`,
				g.Retiring, g.Key.Account, g.Key.Region, g.Key.ID, g.ID); err != nil {
				return err
			}
		}
		return nil
	}
	down := func(ctx context.Context, tx *sql.Tx) error {
		rotated, err := all(ctx, tx, column[string], `SELECT id FROM kms_keys WHERE rotations NOT IN ('[]', 'null')`)
		if err != nil {
			return err
		}
		if len(rotated) > 0 {
			return fmt.Errorf("%d KMS keys were rotated (%s, …): without their new material, what was encrypted since would be lost", len(rotated), rotated[0])
		}
		return execAll(ctx, tx,
			`DROP INDEX kms_grants_by_retiring`, `ALTER TABLE kms_grants DROP COLUMN retiring`,
			`DROP INDEX kms_keys_by_rotation`, `ALTER TABLE kms_keys DROP COLUMN rotations`,
			`ALTER TABLE kms_keys DROP COLUMN next_rotation`, `ALTER TABLE kms_keys DROP COLUMN rotation_period`)
	}
	return goose.NewGoMigration(44, &goose.GoFunc{RunTx: up}, &goose.GoFunc{RunTx: down})
}

// execAll runs statements without arguments, one after the other.
func execAll(ctx context.Context, q querier, stmts ...string) error {
	for _, stmt := range stmts {
		if _, err := exec(ctx, q, stmt); err != nil {
			return err
		}
	}
	return nil
}
