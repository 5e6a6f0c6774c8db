package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/diskport/diskport/internal/durable"
	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/backup"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/store/verify"
)

// RestoreConfig says what is restored, and where.
type RestoreConfig struct {
	Place       string                  // as backup.ParsePlace reads it
	Credentials aws.CredentialsProvider // of a place in an S3
	At          time.Time               // the newest backup of then or before; zero: the newest
	Master      string                  // the file with the master key; "" = the backup has it
	Partial     bool                    // restore what is whole
	// Unproven restores a backup of which nothing proves that the service has made it.
	Unproven bool
	Rate     int64                   // bytes a second that are read; 0 = no bound
	Progress func(done, total int64) // may be nil
}

// Restored says what was restored.
type Restored struct {
	At    time.Time
	Files int64
	Bytes int64
	// Before says what was damaged already when the backup was made.
	Before []string
	// Lost names files that the backup does not have any more, and why; with Partial.
	Lost []string
	// Snapshots are those that miss something because of that.
	Snapshots []LostSnapshot
	// NewRootKey is set if the backup has no root key: the first start makes one.
	NewRootKey bool
}

// LostSnapshot is a snapshot that could not be restored as a whole.
type LostSnapshot struct{ ID, Account, Region, Why string }

// ErrNotEmpty reports a directory that is not empty, into which nothing is restored.
var ErrNotEmpty = errors.New("server: it is not empty: a backup is restored to an empty directory, or to none")

// Restore makes a data directory of a backup. cfg is that of the service that will run on
// it; cfg.Data must be empty, missing, or what an earlier call for the same backup left
// that was cut off. Nothing is written before all that can be known beforehand is checked.
func Restore(ctx context.Context, cfg Config, o RestoreConfig) (done Restored, err error) {
	place, err := backup.ParsePlace(o.Place)
	if err != nil {
		return done, err
	}
	if err := apart(place, cfg.Data); err != nil {
		return done, err
	}
	target, err := place.Open(o.Credentials)
	if err != nil {
		return done, err
	}
	from, err := backup.Open(ctx, target, o.At)
	if err != nil {
		return done, err
	}
	how := backup.Refuse
	if o.Partial {
		how = backup.Salvage
	}
	small, proofs, err := keysFor(from, o.Master)
	if err == nil {
		err = authenticate(ctx, from, proofs, o.Unproven)
	}
	if err == nil {
		err = from.Fit(how)
	}
	line := []byte("store " + from.Store + ", backup of " + from.Name + "\n")
	if err == nil {
		err = emptyFor(cfg.Data, line)
	}
	if err != nil {
		return done, err
	}
	cfg.restoring = true
	copied, err := restoreFiles(ctx, cfg.Data, from, small, line, backup.RestoreOptions{
		Rate: o.Rate, Progress: o.Progress, Damaged: how, Database: databaseName,
	})
	if err != nil {
		return done, err
	}
	_, rooted := small[credentialsName]
	done = Restored{At: from.At, Files: copied.Files, Bytes: copied.Bytes, Before: from.Before, NewRootKey: !rooted}
	if len(copied.Lost) > 0 {
		if done.Snapshots, err = forgo(ctx, cfg, copied.Lost); err != nil {
			return done, err
		}
	}
	for _, l := range copied.Lost {
		done.Lost = append(done.Lost, l.Name+": "+l.Why)
	}
	return done, errors.Join(begin(cfg.Data), durable.SyncFolder(cfg.Data))
}

// begin makes a data directory that is whole one that may be served.
func begin(path string) error {
	path = filepath.Join(path, restoringName)
	failpoint.File(path, "not needed any more")
	err := os.Remove(path)
	failpoint.File(path, "removed")
	return err
}

// Backups lists the backups of a place, the oldest first.
func Backups(ctx context.Context, where string, c aws.CredentialsProvider) ([]backup.Backup, error) {
	place, err := backup.ParsePlace(where)
	if err != nil {
		return nil, err
	}
	target, err := place.Open(c)
	if err != nil {
		return nil, err
	}
	return backup.List(ctx, target)
}

// authenticate refuses a backup of which nothing proves that the service has made it.
func authenticate(ctx context.Context, from *backup.Restoration, proofs secret.Wrapper, accept bool) error {
	err := from.Authenticate(ctx, proofs)
	switch {
	case !errors.Is(err, backup.ErrUnproven):
		return err
	case accept:
		return nil
	}
	return fmt.Errorf("server: %w. Nothing was written. Restore an older one with --at, or this one with --accept-unproven if you know where it comes from", err)
}

// keysFor returns the small files of the restored directory, the master key with those
// before it among them, after proving that it opens what the backup was made with; and what
// opens the proofs of manifests.
func keysFor(from *backup.Restoration, master string) (map[string][]byte, secret.Wrapper, error) {
	small := map[string][]byte{}
	for name, b := range from.Extras {
		if slices.Contains([]string{regionName, formerName, masterName, nextName, credentialsName}, name) {
			small[name] = b
		}
	}
	if master != "" {
		delete(small, nextName)
		key, err := os.ReadFile(master)
		if err != nil {
			return nil, nil, fmt.Errorf("server: the master key: %w", err)
		}
		small[masterName] = key
		former, err := os.ReadFile(master + strings.TrimPrefix(formerName, masterName))
		if err == nil {
			small[formerName] = former // it has those of the backup too
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("server: the former master keys: %w", err)
		}
	}
	if small[masterName] == nil {
		return nil, nil, errors.New("server: the backup has no master key, without which nothing in it can be read: name the file that you have kept with --master-key")
	}
	keys, err := openMaster(small)
	if err != nil {
		return nil, nil, wrongMaster(from, master, err)
	}
	opens, err := secret.NewMasterKey(keys[0], keys[1:]...)
	if err != nil {
		return nil, nil, wrongMaster(from, master, err)
	}
	for _, wrapped := range from.Keys {
		if _, err := opens.Unwrap(wrapped, backupPurpose); err != nil {
			return nil, nil, wrongMaster(from, master, err)
		}
	}
	return small, opens.For(secret.Backups), nil
}

func wrongMaster(from *backup.Restoration, master string, err error) error {
	if master == "" {
		master = "what the backup has"
	}
	return fmt.Errorf("server: %s is not the master key that the backup of %s was made with: nothing was written. "+
		"Name the file of that time, or a later one with its master.key.former beside it: %w", master, from.At.Format(time.RFC3339), err)
}

// emptyFor refuses a directory that holds something, unless a restoration that wrote the
// line to it was cut off.
func emptyFor(dir string, line []byte) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("server: data directory: %w", err)
	}
	if was, err := os.ReadFile(filepath.Join(dir, restoringName)); err == nil {
		if bytes.Equal(was, line) {
			return nil
		}
		return fmt.Errorf("%w: %s has half of another backup, %s", ErrNotEmpty, dir, bytes.TrimSpace(was))
	}
	for _, e := range entries {
		if cut, _ := filepath.Match(newFiles, e.Name()); !cut && e.Name() != "lost+found" && e.Name() != "lock" {
			return fmt.Errorf("%w: %s has %s in it", ErrNotEmpty, dir, e.Name())
		}
	}
	return nil
}

// restoreFiles copies everything to the data directory, the database last.
func restoreFiles(ctx context.Context, path string, from *backup.Restoration, small map[string][]byte, line []byte, o backup.RestoreOptions) (done backup.Restored, err error) {
	data, err := lockData(path, aService)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, data.unlock()) }()
	to := backup.NewDir(data.path)
	if err := to.RemoveCutOff(); err != nil { // of an earlier call
		return done, err
	}
	if err := writeNew(data.file(restoringName), line, 0o600); err != nil {
		return done, err
	}
	for name, b := range small {
		if err := writeNew(data.file(name), b, 0o600); err != nil {
			return done, err
		}
	}
	blocks, err := blobdir.New(data.file(backup.Blocks))
	if err != nil {
		return done, err
	}
	_, err = blocks.SetIdentity(ctx, from.Store)
	if err = errors.Join(err, blocks.Close()); err != nil {
		return done, err
	}
	if err := forgetDatabase(data.file(o.Database)); err != nil {
		return done, err
	}
	return from.Run(ctx, to, o)
}

// forgetDatabase removes what a restoration in part, killed when it had opened its database,
// left beside that: SQLite would play its journal into the database that is restored next, and
// the witness would say that this one is too old.
func forgetDatabase(database string) error {
	for _, name := range []string{database + "-wal", database + "-shm", database + "-journal", filepath.Join(filepath.Dir(database), witnessName)} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return durable.SyncFolder(filepath.Dir(database))
}

// forgo makes a service of what was restored in part, and says which snapshots miss
// something.
func forgo(ctx context.Context, cfg Config, lost []backup.Loss) (list []LostSnapshot, err error) {
	cfg.Listen = "127.0.0.1:0"
	a, err := New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	files := map[blockstore.FileID]bool{}
	var gone []blockstore.FileID
	for _, l := range lost {
		name, ok := strings.CutPrefix(l.Name, backup.Blocks+"/")
		f, known := blockstore.ParseName(name)
		if !ok || !known {
			continue
		}
		files[f.ID] = true
		if l.Gone {
			gone = append(gone, f.ID)
		}
	}
	rows := a.parts.db.Backup()
	if err := rows.LoseFiles(ctx, gone); err != nil {
		return nil, err
	}
	const some = 100
	for after := ""; ; {
		records, err := rows.Completed(ctx, after, some)
		if err != nil || len(records) == 0 {
			return list, err
		}
		for _, rec := range records {
			if err := a.misses(ctx, rec, files); err != nil {
				list = append(list, LostSnapshot{rec.ID, rec.Account, rec.Region, err.Error()})
			}
			after = rec.ID
		}
		if err := ctx.Err(); err != nil {
			return list, err
		}
	}
}

// misses returns what a snapshot misses, if it uses any of the files.
func (a *App) misses(ctx context.Context, rec snapshot.Record, files map[blockstore.FileID]bool) error {
	uses, err := a.parts.library.Uses(ctx, rec.Root, files)
	if err != nil || !uses {
		return err
	}
	var first error
	c, err := a.parts.verify.Snapshot(ctx, rec, verify.Observer{Found: func(f verify.Finding) error {
		if first == nil {
			f.Snapshot = "" // the caller names it
			first = errors.New(f.String())
		}
		return nil
	}})
	if err == nil && c.Locked != "" {
		err = errors.New(c.Locked)
	}
	return errors.Join(first, err)
}
