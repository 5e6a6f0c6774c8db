package metadb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/metadb/pgtest"
)

// What TestMain sets for all tests of this process.
var (
	postgres *pgtest.Server
	migrated []byte // an empty SQLite database; migrating takes longer than most tests
)

func TestMain(m *testing.M) {
	pgtest.Main(m, func(s *pgtest.Server) {
		postgres = s
		var err error
		if migrated, err = template(); err != nil {
			panic(err)
		}
	})
}

func template() ([]byte, error) {
	dir, err := os.MkdirTemp("", "metadb")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "m.db")
	db, err := Open(context.Background(), path, Options{})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// onEngines runs a test on each engine; fresh opens an empty database.
func onEngines(t *testing.T, fn func(t *testing.T, fresh func(*testing.T) *DB)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		fn(t, func(t *testing.T) *DB {
			path := filepath.Join(t.TempDir(), "a b?#%.db")
			if err := os.WriteFile(path, migrated, 0o600); err != nil {
				t.Fatal(err)
			}
			return open(t, path)
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		fn(t, func(t *testing.T) *DB { return open(t, postgres.New(t)) })
	})
}

// region is the service's own region, and where everything is unless a test says
// otherwise.
const region = "us-east-1"

// of returns where what an account owns is.
func of(account string) awsid.Home { return awsid.Home{Account: account, Region: region} }

func open(t testing.TB, dsn string) *DB {
	t.Helper()
	regions, err := awsid.NewRegions(region, nil)
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), dsn, Options{Regions: regions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestOpenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	first := open(t, path)
	want, err := first.Secret(t.Context(), "k", func() ([]byte, error) { return []byte("v"), nil })
	if err != nil {
		t.Fatal(err)
	}
	second := open(t, path)
	got, err := second.Secret(t.Context(), "k", func() ([]byte, error) { return []byte("other"), nil })
	if err != nil || string(got) != string(want) {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

func TestSecretIsMadeOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		const callers = 8
		got := make(chan string, callers)
		for i := range callers {
			go func() {
				v, err := db.Secret(context.Background(), "token key", func() ([]byte, error) { return []byte{byte(i)}, nil })
				if err != nil {
					t.Error(err)
				}
				got <- string(v)
			}()
		}
		first := <-got
		for range callers - 1 {
			if v := <-got; v != first {
				t.Errorf("secrets differ: %q, %q", v, first)
			}
		}
	})
}

func TestTimes(t *testing.T) {
	for _, want := range []time.Time{{}, time.UnixMicro(1).UTC(), time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)} {
		if got := fromMicros(micros(want)); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestChunks(t *testing.T) {
	for n := range 600 {
		keys := make([]int, n)
		for i := range keys {
			keys[i] = i
		}
		next := 0
		err := chunks(keys, func(c []int) error {
			if len(c) == 0 || len(c) > maxChunk || c[0] != next {
				t.Fatalf("chunk of %d at %v, want it at %d", len(c), c, next)
			}
			next += len(c)
			return nil
		})
		if err != nil || next != n {
			t.Fatalf("chunks of %d covered %d, %v", n, next, err)
		}
	}
}

// newerSchema makes a database one that a newer program has migrated, which says that
// programs can use it that know schema least; 0: it says nothing.
func newerSchema(t *testing.T, db *DB, least int64) {
	t.Helper()
	forget := func(q querier) error { // later tests use the server's databases again
		_, err := exec(context.Background(), q, `DELETE FROM goose_db_version WHERE version_id = 99999`)
		return err
	}
	t.Cleanup(func() {
		if err := db.update(context.Background(), "forget the newer schema", forget); err != nil {
			t.Error(err)
		}
	})
	must(t, db, func(q querier) error {
		if _, err := exec(t.Context(), q, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)`); err != nil {
			return err
		}
		_, err := exec(t.Context(), q, `UPDATE counters SET value = $1 WHERE name = $2`, least, leastSchemaName)
		return err
	})
}

// TestANewerSchemaIsRefused: the error says what to do, and the database is
// untouched.
func TestANewerSchemaIsRefused(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		for _, least := range []int64{0, 99998} {
			t.Run(fmt.Sprint(least), func(t *testing.T) {
				db := fresh(t)
				newerSchema(t, db, least)
				if db.read != db.write {
					least = 0 // one process uses it, so nothing is said of others
				}
				var newer *NewerError
				if err := db.migrate(t.Context(), nil); !errors.As(err, &newer) || *newer != (NewerError{Stored: 99999, Known: newer.Known, Least: least}) || newer.Known >= 99998 {
					t.Errorf("got %v, want a NewerError", err)
				}
			})
		}
	})
}

// TestBesideANewerSchema: a node goes on with what a newer one has migrated, if that
// says so, and says that it does.
func TestBesideANewerSchema(t *testing.T) {
	db := open(t, postgres.New(t))
	newerSchema(t, db, leastSchema)
	var warned []string
	if err := db.migrate(t.Context(), func(what string) { warned = append(warned, what) }); err != nil || len(warned) != 1 || !strings.Contains(warned[0], "99999") {
		t.Errorf("got %v, and warnings %q", err, warned)
	}
}

// TestLeastSchema: what programs a database is for never falls, whoever opens it.
func TestLeastSchema(t *testing.T) {
	db := open(t, postgres.New(t))
	for _, step := range []struct{ note, want int64 }{{0, leastSchema}, {leastSchema + 7, leastSchema + 7}, {leastSchema, leastSchema + 7}} {
		if err := db.noteLeastSchema(t.Context(), step.note); err != nil {
			t.Fatal(err)
		}
		var got int64
		must(t, db, func(q querier) (err error) {
			got, _, err = one(t.Context(), q, column[int64], `SELECT value FROM counters WHERE name = $1`, leastSchemaName)
			return err
		})
		if got != step.want {
			t.Errorf("after %d: %d, want %d", step.note, got, step.want)
		}
	}
}

func TestTheDatabaseIsForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if st, err := os.Stat(path + suffix); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", path+suffix, st, err)
		}
	}
}
