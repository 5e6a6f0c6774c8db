package backup_test

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/diskport/diskport/internal/store/backup"
	"github.com/diskport/diskport/internal/store/backup/backuptest"
)

func TestDir(t *testing.T) {
	backuptest.TestTarget(t, func(t *testing.T) backup.Target { return backup.NewDir(filepath.Join(t.TempDir(), "new", "one")) })
}

func TestS3(t *testing.T) {
	backuptest.TestTarget(t, func(t *testing.T) backup.Target {
		store := s3mem.New()
		if err := store.CreateBucket("backups"); err != nil {
			t.Fatal(err)
		}
		fake := httptest.NewServer(gofakes3.New(store).Server())
		t.Cleanup(fake.Close)
		place, err := backup.ParsePlace("s3://backups/some/prefix?region=eu-west-1&endpoint=" + url.QueryEscape(fake.URL))
		if err != nil {
			t.Fatal(err)
		}
		to, err := place.Open(credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "a secret", ""))
		if err != nil {
			t.Fatal(err)
		}
		return to
	})
}

// TestALockedDir: one backup at a time; what a process left that died is removed by the
// next.
func TestALockedDir(t *testing.T) {
	root := t.TempDir()
	unlock, err := backup.NewDir(root).Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.NewDir(root).Lock(t.Context()); !errors.Is(err, backup.ErrBusy) {
		t.Errorf("got %v, want %v", err, backup.ErrBusy)
	}
	unlock()
	for _, name := range []string{".new-1", "blocks/.new-2", ".new-3/database"} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("half"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if unlock, err = backup.NewDir(root).Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	unlock()
	left, err := filepath.Glob(filepath.Join(root, "*", ".new*"))
	more, merr := filepath.Glob(filepath.Join(root, ".new*"))
	if left = append(left, more...); len(left) > 0 || err != nil || merr != nil {
		t.Errorf("%v are left, %v, %v", left, err, merr)
	}
}

func TestNames(t *testing.T) {
	d := backup.NewDir(t.TempDir())
	for _, name := range []string{"", ".", "..", "../a", "a/../b", "/a", "a/", ".hidden", "a/.hidden"} {
		if _, err := d.Get(t.Context(), name); err == nil || errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: got %v, want a refusal", name, err)
		}
	}
}

func TestParsePlace(t *testing.T) {
	for text, want := range map[string]backup.Place{
		"/srv/backup/": {Dir: "/srv/backup"},
		"s3://b":       {Bucket: "b", Region: "us-east-1"},
		"s3://b/p/q/?region=eu-west-1&endpoint=https://s3.example.com/": {Bucket: "b", Prefix: "p/q/", Region: "eu-west-1", Endpoint: "https://s3.example.com"},
	} {
		if got, err := backup.ParsePlace(text); err != nil || got != want {
			t.Errorf("%s is %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "relative", "s3://", "s3:///key", "s3://b/../c", "s3://b?other=1", "s3://u@b/p", "s3://b?endpoint=ftp://x", "s3://b?endpoint=host"} {
		if got, err := backup.ParsePlace(text); err == nil {
			t.Errorf("%q is %+v, want a refusal", text, got)
		}
	}
}
