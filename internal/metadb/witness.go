package metadb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
)

// witness is a file beside an embedded database that says how many transactions the
// database has committed. A database that knows fewer is not the one that was used
// last: it was restored, cut off, made anew, or lost its write-ahead log. The file
// is written after each commit and not synced, so it may lag behind, and never runs
// ahead, whatever ends the process or the machine.
type witness struct {
	mu   sync.Mutex // guards file's contents, and last
	file *os.File
	last int64
}

// OlderError reports a database that has forgotten committed transactions.
type OlderError struct {
	Path          string
	Has, Had      int64  // transactions
	WriteAheadLog string // what is wrong with it; may be empty
}

func (e *OlderError) Error() string {
	s := fmt.Sprintf("%s is older than what was last used here: it knows %d transactions, and there were %d", e.Path, e.Has, e.Had)
	if e.WriteAheadLog != "" {
		s += "; " + e.WriteAheadLog
	}
	return s + ". Tasks, snapshots and keys made since are not in it. Put the right database in its place; or, if this is the one to go on with, start once with --accept-older-database: what the store holds beyond it is kept aside, until diskport verify --rebuild enters it"
}

// openWitness opens the file. One that can't be read as a number has nothing to say:
// nothing is refused for it alone.
func openWitness(path string) (*witness, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, f.Close())
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n < 0 {
		n = 0
	}
	return &witness{file: f, last: n}, nil
}

// note writes that n transactions are committed. A failure is not one of the
// transaction: the next will try again.
func (w *witness) note(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n <= w.last {
		return
	}
	if _, err := w.file.WriteAt(fmt.Appendf(nil, "%020d\n", n), 0); err == nil {
		w.last = n
	}
}

const commits = "commits" // name of the counter

// heed refuses a database that knows fewer transactions than its witness, unless
// that is accepted.
func (db *DB) heed(ctx context.Context, path string, o Options) error {
	wal, err := readWAL(path + "-wal")
	if err != nil {
		return err
	}
	if db.witness, err = openWitness(o.Witness); err != nil {
		return err
	}
	older := OlderError{Path: path, Had: db.witness.last}
	if wal.Bad {
		older.WriteAheadLog = wal.String()
	}
	if older.Has, err = db.committed(ctx); err != nil {
		return err
	}
	if older.Has >= older.Had {
		if wal.Bad && o.Warn != nil {
			o.Warn(path + ": " + wal.String() + "; no committed transaction is missing")
		}
		return nil
	}
	if !o.AcceptOlder {
		return &older
	}
	db.witness.last = 0
	db.witness.note(older.Has)
	return nil
}

// committed returns how many transactions the database knows. A database without
// the table has none.
func (db *DB) committed(ctx context.Context) (n int64, err error) {
	err = db.view(ctx, "count transactions", func(q querier) error {
		there, err := all(ctx, q, column[string], `SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'counters'`)
		if err != nil || len(there) == 0 {
			return err
		}
		n, _, err = one(ctx, q, column[int64], `SELECT value FROM counters WHERE name = $1`, commits)
		return err
	})
	return n, err
}

// counted runs fn as part of a transaction and counts the transaction if fn changed
// something. It returns the count to note, or 0.
func counted(ctx context.Context, q querier, fn func(querier) error) (int64, error) {
	before, _, err := one(ctx, q, column[int64], `SELECT total_changes()`)
	if err != nil {
		return 0, err
	}
	if err := fn(q); err != nil {
		return 0, err
	}
	n, _, err := one(ctx, q, column[int64], `
		INSERT INTO counters (name, value) SELECT $1, 1 WHERE total_changes() > $2
		ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value`, commits, before)
	return n, err
}
