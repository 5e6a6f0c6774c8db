package server

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// started starts and stops the service on a data directory.
func started(t *testing.T, dir string) error {
	t.Helper()
	a, err := New(context.Background(), Config{Data: dir, Listen: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return err
	}
	return a.Close()
}

// TestStoreAndDatabaseBelongTogether starts the service on data directories of
// which the store or the database was lost or exchanged.
func TestStoreAndDatabaseBelongTogether(t *testing.T) {
	mine, other := filepath.Join(t.TempDir(), "mine"), filepath.Join(t.TempDir(), "other")
	for _, dir := range []string{mine, other, mine} {
		if err := started(t, dir); err != nil {
			t.Fatal(err)
		}
	}
	blocks := func(dir string) string { return filepath.Join(dir, "blocks") }
	aside := filepath.Join(t.TempDir(), "aside")
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string) {
		t.Helper()
		if err := started(t, mine); !errors.Is(err, blockstore.ErrNotOurs) {
			t.Errorf("%s: got %v, want ErrNotOurs", what, err)
		}
	}
	move(blocks(mine), aside)
	move(blocks(other), blocks(mine))
	refused("the store of another service")
	move(blocks(mine), blocks(other))
	move(aside, blocks(mine))

	database := filepath.Join(mine, databaseName)
	move(database, aside)
	var older *metadb.OlderError
	if err := started(t, mine); !errors.As(err, &older) {
		t.Errorf("a lost database: got %v, want an OlderError", err)
	}
	if err := os.Remove(filepath.Join(mine, "commits")); err != nil { // what tells it is gone too
		t.Fatal(err)
	}
	refused("a lost database without its witness")
	if err := os.Remove(database); err != nil {
		t.Fatal(err)
	}
	move(aside, database)
	if err := started(t, mine); err != nil {
		t.Errorf("with everything back: %v", err)
	}
}

// TestOldDirectoriesAreAdopted: before there were identities there was none in the
// database and none in the store.
func TestOldDirectoriesAreAdopted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := started(t, dir); err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(dir, "blocks", "identity")
	if err := os.Remove(identity); err != nil {
		t.Fatal(err)
	}
	pack := blockstore.File{ID: 0x1234, Kind: blockstore.PackFile}
	db, err := sql.Open("sqlite", filepath.Join(dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	for _, stmt := range []string{
		`DELETE FROM meta WHERE name = 'store identity'`,
		`INSERT INTO files (id, kind, domain, state, unit, attempt, bytes, created) VALUES (4660, 'pack', '', 'closed', 1, 1, 9, 1)`,
	} {
		if _, err := db.Exec(stmt); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "blocks", pack.Name())
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("a pack"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := started(t, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(identity); err != nil {
		t.Error(err)
	}
}
