package metadb

import (
	"cmp"
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

// leastSchema is the oldest schema whose programs work beside this one's: what has been
// added since they pass over, and nothing that they use is gone or means something else
// (docs/adr/0013-many-nodes.md). A migration that breaks that raises it to its
// own number. Once it is 74 or above, no older node runs beside, and Planned may have
// tasks.pages_left counted on PostgreSQL too: until then a bit that turns over in units.done is seen
// on SQLite alone (allRangesDone).
const leastSchema = 54

// leastSchemaName is the counter of the database in which it is noted.
const leastSchemaName = "least schema"

// migrate brings the schema up to date. Nodes that start together take turns.
func (db *DB) migrate(ctx context.Context, warn func(string)) error {
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
	newest := all[len(all)-1].Version
	switch many := db.read == db.write; {
	case stored > newest && many:
		return db.besideNewer(ctx, stored, newest, warn)
	case stored > newest:
		return &NewerError{Stored: stored, Known: newest}
	case many && stored > 0: // before anything changes, for an older node that starts meanwhile
		err = db.noteLeastSchema(ctx, leastSchema)
	}
	if err == nil {
		_, err = p.Up(ctx)
	}
	if err == nil && db.read == db.write {
		err = db.noteLeastSchema(ctx, leastSchema)
	}
	return err
}

// besideNewer returns nil if this program may use a database of many nodes that a newer
// one has migrated, as it does while nodes are replaced one by one.
func (db *DB) besideNewer(ctx context.Context, stored, known int64, warn func(string)) error {
	var least int64
	err := db.view(ctx, "read which programs know the schema", func(q querier) (err error) {
		least, _, err = one(ctx, q, column[int64], `SELECT value FROM counters WHERE name = $1`, leastSchemaName)
		return err
	})
	if err != nil {
		return err
	}
	if least == 0 || least > known {
		return &NewerError{Stored: stored, Known: known, Least: least}
	}
	if warn != nil {
		warn(fmt.Sprintf("the database has schema %d, and this program knows %d, which may be used beside it: replace it by the newer version", stored, known))
	}
	return nil
}

// noteLeastSchema notes which programs may use the database of many nodes, unless it says
// so already.
func (db *DB) noteLeastSchema(ctx context.Context, least int64) error {
	var noted int64
	err := db.view(ctx, "read which programs know the schema", func(q querier) (err error) {
		noted, _, err = one(ctx, q, column[int64], `SELECT value FROM counters WHERE name = $1`, leastSchemaName)
		return err
	})
	if err != nil || noted >= least {
		return err
	}
	return db.update(ctx, "note which programs know the schema", func(q querier) error {
		_, err := exec(ctx, q, `
			INSERT INTO counters (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = CASE WHEN excluded.value > counters.value THEN excluded.value ELSE counters.value END`, leastSchemaName, least)
		return err
	})
}

// migrateFor is how many seconds a node waits for another that migrates.
const migrateFor = 600

// NewerError reports a database that a newer version of the program has migrated.
// This version does not know its schema, so it neither reads nor writes it.
type NewerError struct {
	Stored, Known int64
	Least         int64 // that a program must know; 0: Stored
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("the database has schema %d, which programs can use that know schema %d, and this one knows schemas up to %d: run the version of diskport that last used it, or restore a backup from before",
		e.Stored, cmp.Or(e.Least, e.Stored), e.Known)
}

func (db *DB) provider() (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(bindPrincipals(), placeInRegions(db.regions), rotateKeys())}
	if db.engine.dialect == goose.DialectPostgres {
		turn, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, migrateFor))
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
