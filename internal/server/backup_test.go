package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/api/adminapi"
	"github.com/diskport/diskport/internal/store/backup"
)

// TestApart: neither of the data directory and the directory of the backups may lie in the
// other, whatever links lead there and whether they exist.
func TestApart(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	for _, dir := range []string{"data/blocks", "srv", "around/data"} {
		if err := os.MkdirAll(at(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link": "data", "srv/down": "data/blocks", "data/out": "srv", "upper": "around"} {
		if err := os.Symlink(at(to), at(link)); err != nil {
			t.Fatal(err)
		}
	}
	const inside, around = "is in the data directory", "the data directory is in"
	for _, c := range []struct{ name, place, data, says string }{
		{"the same", "data", "data", inside},
		{"below", "data/backups", "data", inside},
		{"beside", "data-backups", "data", ""},
		{"elsewhere", "srv/backups", "data", ""},
		{"through a link", "link/backups", "data", inside},
		{"through a link, far from there", "link/a/b/c", "data", inside},
		{"through a link to a folder of it", "srv/down/backups", "data", inside},
		{"out of it through a link", "data/out/backups", "data", ""},
		{"of a data directory behind a link", "data/backups", "link", inside},
		{"of a data directory that is not there", "none/data/backups", "none/data", inside},
		{"around it", "around", "around/data", around},
		{"around it, through a link", "upper", "around/data", around},
		{"around one that is not there", "srv", "srv/none/data", around},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := apart(backup.Place{Dir: at(c.place)}, at(c.data))
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want one that says %q", err, c.says)
			}
		})
	}
	if err := apart(backup.Place{Bucket: "b"}, at("data")); err != nil {
		t.Errorf("an S3: %v", err)
	}
}

// TestAPartialRestorationThatIsCutOff may be run again, also after it has opened its database.
func TestAPartialRestorationThatIsCutOff(t *testing.T) {
	ctx, place := t.Context(), filepath.Join(t.TempDir(), "backups")
	a := newApp(t, config(t.TempDir()))
	check(t, embeddedBucket{a, backup.Place{Bucket: "bucket"}}.Put(ctx, "key", []byte("content")))
	_, err := a.Backup(ctx, adminapi.BackupRequest{Place: place, IncludeMasterKey: true}, nil)
	check(t, err)
	check(t, os.RemoveAll(filepath.Join(place, backup.Objects)))
	from, err := backup.Open(ctx, backup.NewDir(place), time.Time{})
	check(t, err)
	to := filepath.Join(t.TempDir(), "to")
	cfg := config(to)
	cfg.RootSecretAccessKey = "another secret" // it is entered into the database
	for range 2 {
		done, err := Restore(ctx, cfg, RestoreConfig{Place: place, Partial: true})
		if err != nil || len(done.Lost) != 1 {
			t.Fatalf("restored %+v, %v", done, err)
		}
		// It might have been killed just before it came to its end.
		check(t, os.WriteFile(filepath.Join(to, restoringName), []byte("store "+from.Store+", backup of "+from.Name+"\n"), 0o600))
	}
}
