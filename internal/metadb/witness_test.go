package metadb

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// witnessed is a database with a witness, in a folder of its own.
type witnessed struct {
	t      *testing.T
	dir    string
	warned []string
}

func (w *witnessed) path() string { return filepath.Join(w.dir, "m.db") }

func (w *witnessed) open(accept bool) (*DB, error) {
	return Open(w.t.Context(), w.path(), Options{
		Witness: filepath.Join(w.dir, "commits"), AcceptOlder: accept,
		Warn: func(s string) { w.warned = append(w.warned, s) },
	})
}

func (w *witnessed) must(accept bool) *DB {
	w.t.Helper()
	db, err := w.open(accept)
	if err != nil {
		w.t.Fatal(err)
	}
	return db
}

// crashed returns a database as a killed process leaves it, with n transactions in
// its write-ahead log.
func crashed(t *testing.T, n int) *witnessed {
	t.Helper()
	live := &witnessed{t: t, dir: t.TempDir()}
	db := live.must(false)
	defer db.Close()
	for i := range n {
		write(t, db, i)
	}
	w := &witnessed{t: t, dir: t.TempDir()}
	for _, name := range []string{"m.db", "m.db-wal", "commits"} {
		b, err := os.ReadFile(filepath.Join(live.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func write(t *testing.T, db *DB, i int) {
	t.Helper()
	must(t, db, func(q querier) error {
		_, err := exec(t.Context(), q, `INSERT INTO meta (name, value) VALUES ($1, $2)`, i, make([]byte, 5000))
		return err
	})
}

func (w *witnessed) edit(name string, change func([]byte) []byte) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(b), 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestAnOlderDatabaseIsRefused by name, with the way out, however it became older;
// and accepted when an operator says so.
func TestAnOlderDatabaseIsRefused(t *testing.T) {
	middle := func(b []byte) []byte { b[len(b)/2] ^= 4; return b }
	for name, c := range map[string]struct {
		spoil func(*witnessed)
		wal   bool // the log is named as the cause
	}{
		"a bit flipped in the log":    {func(w *witnessed) { w.edit("m.db-wal", middle) }, true},
		"the log was cut":             {func(w *witnessed) { w.edit("m.db-wal", func(b []byte) []byte { return b[:len(b)/2] }) }, true},
		"the log is gone":             {func(w *witnessed) { _ = os.Remove(filepath.Join(w.dir, "m.db-wal")) }, false},
		"the log's header is damaged": {func(w *witnessed) { w.edit("m.db-wal", func(b []byte) []byte { b[17]++; return b }) }, true},
		"the database is empty": {func(w *witnessed) {
			w.edit("m.db", func([]byte) []byte { return nil })
			_ = os.Remove(w.path() + "-wal")
		}, false},
		"an older copy was restored":    {func(w *witnessed) { w.restoreOlder() }, false},
		"the database is gone for good": {func(w *witnessed) { _ = os.Remove(w.path()); _ = os.Remove(w.path() + "-wal") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := crashed(t, 20)
			c.spoil(w)
			var older *OlderError
			if db, err := w.open(false); !errors.As(err, &older) || older.Had != 20 || older.Has >= 20 {
				t.Fatalf("opened: %v, %v", db, err)
			}
			if text := older.Error(); !strings.Contains(text, "--accept-older-database") || strings.Contains(text, "write-ahead log") != c.wal {
				t.Errorf("it says %s", text)
			}
			db := w.must(true)
			write(t, db, 1000)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if err := w.must(false).Close(); err != nil { // once was enough
				t.Error(err)
			}
		})
	}
}

// restoreOlder puts a copy in the database's place that has seen half of it.
func (w *witnessed) restoreOlder() {
	old := crashed(w.t, 10)
	for _, name := range []string{"m.db", "m.db-wal"} {
		b, err := os.ReadFile(filepath.Join(old.dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(w.dir, name), b, 0o600)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestACrashIsNoReasonToRefuse: the process died, also in the middle of a write, and
// the witness may lag behind or be unreadable.
func TestACrashIsNoReasonToRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(*witnessed)
		warned int
	}{
		"killed":               {func(*witnessed) {}, 0},
		"killed while writing": {func(w *witnessed) { w.tornFrame() }, 1},
		"an old witness":       {func(w *witnessed) { w.edit("commits", func([]byte) []byte { return []byte("3\n") }) }, 0},
		"a damaged witness":    {func(w *witnessed) { w.edit("commits", func([]byte) []byte { return []byte("\x00\xffgarbage") }) }, 0},
		"no witness":           {func(w *witnessed) { _ = os.Remove(filepath.Join(w.dir, "commits")) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := crashed(t, 20)
			c.spoil(w)
			db := w.must(false)
			defer db.Close()
			if n, err := db.committed(t.Context()); n != 20 || err != nil {
				t.Errorf("%d transactions, %v, want 20", n, err)
			}
			if len(w.warned) != c.warned {
				t.Errorf("warned %q", w.warned)
			}
		})
	}
}

// tornFrame adds the beginning of a frame to the log, as a process that is killed
// while it writes may leave it.
func (w *witnessed) tornFrame() {
	w.edit("m.db-wal", func(b []byte) []byte {
		last := b[walHeader:][:walFrameHeader+100]
		return append(b, last...)
	})
}

// TestOnlyChangesAreCounted: claims that find nothing are transactions too, and must
// stay free of writes.
func TestOnlyChangesAreCounted(t *testing.T) {
	w := &witnessed{t: t, dir: t.TempDir()}
	db := w.must(false)
	defer db.Close()
	write(t, db, 1)
	for range 3 {
		must(t, db, func(q querier) error {
			_, err := exec(t.Context(), q, `UPDATE meta SET value = value WHERE name = 'nothing'`)
			return err
		})
	}
	failed := errors.New("no")
	if err := db.update(t.Context(), "fail", func(q querier) error {
		_, err := exec(context.WithoutCancel(t.Context()), q, `DELETE FROM meta`)
		return errors.Join(err, failed)
	}); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if n, err := db.committed(t.Context()); n != 1 || err != nil || db.witness.last != 1 {
		t.Errorf("%d transactions, %v, witness %d; want 1", n, err, db.witness.last)
	}
}

// TestTheLogIsEmptiedAtStart, so that it is not what a later crash depends on.
func TestTheLogIsEmptiedAtStart(t *testing.T) {
	w := crashed(t, 20)
	db := w.must(false)
	defer db.Close()
	if st, err := os.Stat(w.path() + "-wal"); err != nil || st.Size() != 0 {
		t.Errorf("the log has %d bytes, %v", st.Size(), err)
	}
}

func FuzzScanWAL(f *testing.F) {
	f.Add(make([]byte, walHeader))
	f.Add([]byte("\x37\x7f\x06\x82\x00\x2d\xe2\x18\x00\x00\x02\x00"))
	f.Fuzz(func(t *testing.T, log []byte) {
		end, err := scanWAL(bytes.NewReader(log))
		if err != nil || end.At > int64(len(log)) && end.At != walHeader {
			t.Errorf("%+v, %v of %d bytes", end, err, len(log))
		}
	})
}
