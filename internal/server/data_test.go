package server

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, dir string) *dataDir {
	t.Helper()
	d, err := openData(dir, aService)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.close() })
	return d
}

func TestOneServiceADataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d, err := openData(dir, aService)
	if err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if _, err := openData(dir, aService); !errors.As(err, &locked) || !strings.HasPrefix(locked.Holder, "process ") {
		t.Errorf("a second service: %v, want a LockedError that names the holder", err)
	}
	if err := d.announce("http://127.0.0.1:1", "eu-west-1"); err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "endpoint")); !os.IsNotExist(err) {
		t.Errorf("the endpoint is still announced: %v", err)
	}
	open(t, dir)
}

// TestARemovedLockFileLetsNobodyIn: the directory is locked too.
func TestARemovedLockFileLetsNobodyIn(t *testing.T) {
	d := open(t, t.TempDir())
	if err := os.Remove(d.file("lock")); err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if second, err := openData(d.path, aService); !errors.As(err, &locked) {
		t.Errorf("a second service got %v, %v", second, err)
	}
}

// TestDataOfAnotherUser: a folder whose mode may not be changed is refused with what to do, also
// by root, whom the kernel refuses that in /proc alone.
func TestDataOfAnotherUser(t *testing.T) {
	d, err := openData("/proc/self/fd", aService)
	if err == nil {
		t.Fatal(d.close())
	}
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "/proc/self/fd/data") {
		t.Errorf("got %v, want a refusal that names a folder that would do", err)
	}
}

// TestDataIsForItsOwnerAlone: even if the directory was there before.
func TestDataIsForItsOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v, want 0700", st.Mode(), err)
	}
}

func TestRootKey(t *testing.T) {
	d := open(t, t.TempDir())
	id, secret, err := d.rootKey(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if len(id) != 20 || len(secret.Reveal()) != 40 {
		t.Errorf("made key %q with a secret of %d characters, want AWS's 20 and 40", id, len(secret.Reveal()))
	}
	if st, err := os.Stat(d.file("credentials")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("credentials: %v, %v; want mode 0600", st, err)
	}
	if again, s, err := d.rootKey(Config{}); again != id || !s.Equal(secret) || err != nil {
		t.Errorf("the second start has key %q, %v; want %q", again, err, id)
	}
	given := Config{RootAccessKeyID: "AKIAGIVEN", RootSecretAccessKey: "given"}
	if got, s, err := d.rootKey(given); got != "AKIAGIVEN" || s.Reveal() != "given" || err != nil {
		t.Errorf("a configured key: got %q, %v", got, err)
	}
}

func TestADatabaseWithoutItsMasterKeyIsRefused(t *testing.T) {
	d := open(t, t.TempDir())
	if err := os.WriteFile(d.file(databaseName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.masterKey(); err == nil || !strings.Contains(err.Error(), "master.key is missing") {
		t.Errorf("masterKey = %v, want a refusal", err)
	}
}

// TestFormerObjects: whoever comes from the gateway is told that its objects are not read.
func TestFormerObjects(t *testing.T) {
	var log bytes.Buffer
	d := open(t, t.TempDir())
	a := &App{data: d, log: slog.New(slog.NewTextHandler(&log, nil))}
	folder := func(path string) {
		t.Helper()
		if err := os.MkdirAll(d.file(path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	folder("s3/bucket/.sgwtmp")
	folder("pins")
	if a.warnOfFormerObjects(); log.Len() > 0 {
		t.Errorf("folders without files: %s", &log)
	}
	folder("s3/bucket/folder")
	if err := os.WriteFile(d.file("s3/bucket/folder/disk.raw"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a.warnOfFormerObjects(); !strings.Contains(log.String(), `folders=[`+d.file("s3")+`]`) || !strings.Contains(log.String(), "upload what is still needed again") {
		t.Errorf("an object: %s", &log)
	}
}

// TestCutOffFilesGo: what a process left that died while it put a file in place, of which
// some are secret, or unpacked an image, is removed at the next start, and nothing else.
func TestCutOffFilesGo(t *testing.T) {
	dir := t.TempDir()
	names := map[string]bool{".new-123": false, "master.key": true, "x.new-1": true, "scratch/image-1": false}
	if err := os.Mkdir(filepath.Join(dir, "scratch"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, dir)
	for name, stays := range names {
		if _, err := os.Stat(d.file(name)); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheDataDirectoryIsAFolder: what is a file is refused, and stays as it is.
func TestTheDataDirectoryIsAFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if d, err := openData(path, aService); err == nil {
			t.Errorf("%s was opened: %v", path, d.close())
		}
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("its mode is %v, %v", st.Mode(), err)
	}
	open(t, filepath.Join(dir, "a", "b"))
}

// What a killed restoration has left beside the database is not played into the next one.
func TestForgetJournal(t *testing.T) {
	database := filepath.Join(t.TempDir(), databaseName)
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.WriteFile(database+end, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := forgetDatabase(database); err != nil {
			t.Fatal(err)
		}
	}
	left, err := filepath.Glob(database + "*")
	if err != nil || len(left) != 1 || left[0] != database {
		t.Errorf("left are %v, %v", left, err)
	}
}
