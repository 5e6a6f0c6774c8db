package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Target keeps the files of backups, by names with slashes. The suite is backuptest. All
// methods may be called concurrently.
type Target interface {
	// Put stores what body has under a name, durably and all at once, in the place of what
	// was there. size is how many bytes it has, or -1. An error of body passes through,
	// and leaves what was there.
	Put(ctx context.Context, name string, body io.Reader, size int64) error
	// Get opens a file, which the caller closes; fs.ErrNotExist.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// List calls fn for every file, in no order. An error of fn ends it and is returned.
	List(ctx context.Context, fn func(Entry) error) error
	// Remove removes a file. Removing one that is not there succeeds.
	Remove(ctx context.Context, name string) error
	// Lock keeps others from writing until unlock is called, as far as the target can;
	// ErrBusy.
	Lock(ctx context.Context) (unlock func(), err error)
}

// Entry is a file of a target.
type Entry struct {
	Name  string
	Bytes int64
}

var (
	// ErrBusy reports a target that another backup is being written to.
	ErrBusy = errors.New("backup: another backup is being written there")
	// ErrNoBackup reports a target that has no backup, or none of the time that was asked
	// for.
	ErrNoBackup = errors.New("backup: there is no backup")
	// ErrNotOurs reports a target with backups of another store.
	ErrNotOurs = errors.New("backup: it has backups of another store")
	// ErrFormat reports a backup of a format that is not known here.
	ErrFormat = errors.New("backup: another format")
	// ErrUnproven reports a manifest of which nothing proves that the service has made it.
	ErrUnproven = errors.New("backup: not proven to be the service's own")
	// ErrDamaged reports files of a backup that are missing or not as they were written.
	ErrDamaged = errors.New("backup: damaged")
)

const (
	markerName   = "diskport-backup"
	markerPrefix = "diskport backup "
	format       = 1

	moments   = "moments/"
	databases = "databases/"

	manifestSuffix = ".json.gz"
	databaseSuffix = ".db"
)

// identify returns the identity of the store that a target has backups of; empty: there
// are none.
func identify(ctx context.Context, t Target) (string, error) {
	line, err := read(ctx, t, markerName, 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", markerName, err)
	}
	rest, ok := strings.CutPrefix(string(line), markerPrefix)
	version, id, whole := strings.Cut(strings.TrimSuffix(rest, "\n"), " ")
	switch {
	case !ok || !whole || id == "":
		return "", fmt.Errorf("%w: %s is not what a backup begins with", ErrDamaged, markerName)
	case version != fmt.Sprint(format):
		return "", fmt.Errorf("%w: %s says %q, and this program knows format %d: use the version of diskport that made it", ErrFormat, markerName, version, format)
	}
	return id, nil
}

// claim makes a target one of the store's, or finds that it is.
func claim(ctx context.Context, t Target, store string) error {
	id, err := identify(ctx, t)
	switch {
	case err != nil:
		return err
	case id == "":
		line := fmt.Sprintf("%s%d %s\n", markerPrefix, format, store)
		return t.Put(ctx, markerName, strings.NewReader(line), int64(len(line)))
	case id != store:
		return fmt.Errorf("%w: of %s, and this is %s. Give each service a place of its own", ErrNotOurs, id, store)
	}
	return nil
}

// read returns a small file, of at most some bytes.
func read(ctx context.Context, t Target, name string, most int64) ([]byte, error) {
	r, err := t.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, most))
}
