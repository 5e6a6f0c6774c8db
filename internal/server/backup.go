package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/diskport/diskport/internal/api/adminapi"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/backup"
)

// backupPurpose is what a backup binds the texts to that tell master keys.
var backupPurpose = []byte("diskport:backup")

const (
	credentialsName = "credentials"
	regionName      = "region"
)

// ErrBackingUp reports that a backup is being made.
var ErrBackingUp = errors.New("server: a backup is being made already")

// Backup makes a backup of the service, which goes on working.
func (a *App) Backup(ctx context.Context, q adminapi.BackupRequest, progress func(done, total int64)) (backup.Report, error) {
	if a.cfg.shared() {
		return backup.Report{}, fmt.Errorf("server: %w, and the files of the store with those of the S3 (docs/backup.md)", backup.ErrByItsOwnTools)
	}
	if !a.backingUp.TryLock() {
		return backup.Report{}, ErrBackingUp
	}
	defer a.backingUp.Unlock()
	place, err := backup.ParsePlace(q.Place)
	if err != nil {
		return backup.Report{}, err
	}
	if err := apart(place, a.data.path); err != nil {
		return backup.Report{}, err
	}
	target, err := place.Open(q.Provider())
	if err != nil {
		return backup.Report{}, err
	}
	p := a.parts
	source := backup.Source{
		Database: p.db.Backup(), Authority: p.library.PageKey, Now: time.Now, Program: programVersion(),
		Trees: map[string]backup.Reader{backup.Blocks: p.backend, backup.Objects: p.objectFiles},
		Hold:  func(ctx context.Context, why string) (backup.Hold, error) { return p.shelf.HoldAll(ctx, why) },
		Secrets: func(ctx context.Context, copy func() error) (backup.Secrets, error) {
			return a.withSecrets(ctx, q, copy)
		},
		Proofs: p.master.For(secret.Backups),
	}
	report, err := source.Run(ctx, target, backup.Options{
		Scratch: func() (string, error) { return a.backupScratch(target) }, Rate: q.Rate, Keep: q.Keep, Check: q.Thoroughness(), Progress: progress,
	})
	if err != nil {
		return report, err
	}
	a.log.InfoContext(ctx, "made a backup", "at", q.Place, "moment", report.Moment, "files", report.Files, "bytes", report.Bytes, "copied", report.CopiedBytes)
	for _, what := range report.Damaged {
		a.log.ErrorContext(ctx, "the store is damaged: it was backed up as it is", "damage", what)
	}
	for _, what := range report.Lost {
		a.log.ErrorContext(ctx, "an older backup has lost a file", "file", what)
	}
	return report, nil
}

// backupScratch returns a folder for the copy of the database: in the target, if that is a
// directory, since there is as much room there as the copy needs.
func (a *App) backupScratch(t backup.Target) (string, error) {
	if dir, ok := t.(*backup.Dir); ok {
		return dir.Scratch()
	}
	return os.MkdirTemp(a.data.path, newFiles)
}

// apart refuses a place for backups that is in the data directory, or has that in it.
func apart(place backup.Place, data string) error {
	switch {
	case place.Dir == "":
		return nil
	case within(place.Dir, data):
		return fmt.Errorf("server: %s is in the data directory, and would be lost with it", place.Dir)
	case within(data, place.Dir):
		return fmt.Errorf("server: the data directory is in %s, and would become part of the backups: give these a directory of their own", place.Dir)
	}
	return nil
}

// within reports whether a path is a directory or lies below it, by whatever names, and
// whether they are there or not.
func within(path, dir string) bool {
	dir = resolved(dir)
	want, err := os.Stat(dir)
	for p := resolved(path); ; p = filepath.Dir(p) {
		if p == dir {
			return true
		}
		if st, serr := os.Stat(p); err == nil && serr == nil && os.SameFile(st, want) {
			return true
		}
		if p == filepath.Dir(p) {
			return false
		}
	}
}

// resolved returns an absolute path without symbolic links, as far as there is something.
func resolved(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	for rest := ""; ; path, rest = filepath.Dir(path), filepath.Join(filepath.Base(path), rest) {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Join(real, rest)
		}
		if path == filepath.Dir(path) {
			return filepath.Join(path, rest)
		}
	}
}

func programVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

// withSecrets has the database copied while the master key is not being replaced, and
// returns what tells and proves the master keys, and the small files of a backup.
func (a *App) withSecrets(ctx context.Context, q adminapi.BackupRequest, copy func() error) (s backup.Secrets, err error) {
	select {
	case a.rotating <- struct{}{}:
		defer func() { <-a.rotating }()
	case <-ctx.Done():
		return s, ctx.Err()
	}
	if err := copy(); err != nil {
		return s, err
	}
	for _, name := range []string{nextName, masterName} {
		key, err := os.ReadFile(a.data.file(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return s, err
		}
		told, err := secret.NewMasterKey(key)
		if err != nil {
			return s, err
		}
		s.Keys = append(s.Keys, told.Wrap([]byte("diskport"), backupPurpose))
		s.Proofs = told.For(secret.Backups)
		clear(key)
	}
	names := []string{regionName, formerName}
	if q.IncludeMasterKey {
		names = append(names, masterName, nextName, credentialsName)
	}
	s.Extras = map[string][]byte{}
	for _, name := range names {
		b, err := os.ReadFile(a.data.file(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return s, err
		}
		s.Extras[name] = b
	}
	return s, nil
}
