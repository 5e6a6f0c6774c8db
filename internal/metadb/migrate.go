package metadb

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. Nodes that start together take turns.
func (db *DB) migrate(ctx context.Context) error {
	if err := db.layBaseline(ctx); err != nil {
		return err
	}
	p, err := db.provider()
	if err != nil {
		return err
	}
	stored, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	all := p.ListSources()
	if newest := all[len(all)-1].Version; stored > newest {
		return &NewerError{Stored: stored, Known: newest}
	}
	_, err = p.Up(ctx)
	return err
}

// NewerError reports a database that a newer version of the program has migrated.
// This version does not know its schema, so it neither reads nor writes it.
type NewerError struct{ Stored, Known int64 }

func (e *NewerError) Error() string {
	return fmt.Sprintf("the database has schema %d, this program knows schemas up to %d: run the version of diskport that last used it, or restore a backup from before", e.Stored, e.Known)
}

func (db *DB) provider() (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(bindPrincipals(), placeInRegions(db.regions), rotateKeys())}
	if db.engine.dialect == goose.DialectPostgres {
		turn, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(turn))
	}
	return goose.NewProvider(db.engine.dialect, db.write, files, options...)
}

// micros returns a time as it is stored.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicros is the inverse of micros.
func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
