package metadb

import (
	"context"
	"fmt"
)

// Ready returns nil when the database answers. It is one statement, however much the
// database holds, on a connection of its own: a service that has much to do answers, only
// later, and nobody may take it for dead.
func (db *DB) Ready(ctx context.Context) error {
	err := db.run(ctx, access{pool: db.probe, by: byStatement}, func(q querier) error {
		_, err := all(ctx, q, column[string], `SELECT name FROM meta ORDER BY name LIMIT 1`)
		return err
	})
	if err != nil {
		return fmt.Errorf("metadb: ask whether the database answers: %w", db.told(err))
	}
	return nil
}

// Secret returns the service-wide value called name; make makes it when there is
// none yet. All nodes get the same value. The caller wraps what must not be stored
// in the clear.
func (db *DB) Secret(ctx context.Context, name string, make func() ([]byte, error)) ([]byte, error) {
	const get = `SELECT value FROM meta WHERE name = $1`
	var value []byte
	var ok bool
	err := db.ask(ctx, "get secret "+name, func(q querier) (err error) {
		value, ok, err = one(ctx, q, column[[]byte], get, name)
		return err
	})
	if err != nil || ok {
		return value, err
	}
	fresh, err := make()
	if err != nil {
		return nil, fmt.Errorf("metadb: make secret %s: %w", name, err)
	}
	err = db.update(ctx, "store secret "+name, func(q querier) error {
		if _, err := exec(ctx, q, `INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, fresh); err != nil {
			return err
		}
		value, _, err = one(ctx, q, column[[]byte], get, name)
		return err
	})
	return value, err
}
