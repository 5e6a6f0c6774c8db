package torture

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// copies are the points of files in a directory of backups, in the order in which a backup
// that keeps one comes to them.
var copies = []string{
	"copy in diskport-backup: durable, without its name", "copy in diskport-backup: named", "copy in blocks: durable, without its name", "copy in blocks: named",
	"copy in objects: durable, without its name", "copy in objects: named", "copy in databases: durable, without its name", "copy in databases: named",
	"copy in moments: durable, without its name", "copy in moments: named",
}

// removals are those of a backup that removes others.
var removals = []string{"copy in moments: removed", "copy in blocks: removed", "copy in databases: removed"}

// restorings are the points of a restoration.
var restorings = []string{
	"restoring: durable, without its name", "restoring: named", "master.key: durable, without its name", "master.key: named",
	"copy in blocks: durable, without its name", "copy in blocks: named", "copy in objects: named",
	"copy in metadata.db: durable, without its name", "copy in metadata.db: named", "restoring: not needed any more",
}

// masters are the points of a rotation of the master key.
var masters = []string{
	"master.key.next: durable, without its name", "master.key.next: named", "Kept.Replace: before the commit", "Kept.Replace: after the commit",
	"KMS.ChangeKey: before the commit", "KMS.ChangeKey: after the commit", "Catalog.ReplaceKeys: before the commit", "Catalog.ReplaceKeys: after the commit",
	"master.key.former: durable, without its name", "master.key.former: named", "master.key: durable, without its name", "master.key: named", "master.key.next: removed",
}

// killedAt runs the program, which must die at a point.
func killedAt(t *testing.T, point string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), arm{point: point}.env()...)
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || !exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Errorf("diskport %s did not come to %q: %v\n%s", args[0], point, err, out)
	}
}

// keeping is a data directory with a snapshot, one that is encrypted, and an object.
func keeping(t *testing.T, data string) {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(*seed, 7))
	for n, flags := range [][]string{nil, {"--encrypted"}} {
		path := filepath.Join(dir, fmt.Sprint(n, ".raw"))
		disk := make([]byte, 4*blockBytes)
		for at := range 8 {
			disk[at*blockBytes/2] = byte(1 + rng.IntN(255))
		}
		if err := os.WriteFile(path, disk, 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, program, slices.Concat([]string{"import", "--data", data}, flags, []string{path})...)
	}
	s := serve(t, data, arm{})
	if err := s.EnsureBucket(s.ctx, "things"); err != nil {
		t.Fatal(err, s.tail())
	}
	if _, err := s.s3.PutObject(s.ctx, &s3.PutObjectInput{Bucket: aws.String("things"), Key: aws.String("one"), Body: strings.NewReader("what is in it")}); err != nil {
		t.Fatal(err)
	}
	s.stop(t)
}

// wholeAt verifies everything in a data directory.
func wholeAt(t *testing.T, data string) {
	t.Helper()
	out, err := exec.Command(program, "verify", "--data", data).CombinedOutput()
	if err != nil || strings.Count(string(out), ": ok") != 2 {
		t.Errorf("verify of %s: %v\n%s", data, err, out)
	}
}

// TestBackupsKilled kills backups, the removal of old ones, rotations of the master key and restorations at each
// of their steps in turn: what is run again after each goes on, and in the end everything is
// there that was, once, and nothing besides.
func TestBackupsKilled(t *testing.T) {
	dir := t.TempDir()
	data, place := filepath.Join(dir, "data"), filepath.Join(dir, "backups")
	keeping(t, data)
	backup := func(flags ...string) []string {
		return append([]string{"backup", place, "--data", data}, flags...)
	}
	for _, point := range copies {
		killedAt(t, point, backup()...)
	}
	former := filepath.Join(dir, "before the rotation")
	restore := func(to string) []string {
		return []string{"restore", place, "--data", to, "--master-key", filepath.Join(data, "master.key")}
	}
	run(t, program, restore(former)...) // of the one that was killed when it was complete
	wholeAt(t, former)
	run(t, program, "compact", "--data", data) // so that there is something to remove
	for _, point := range removals {
		killedAt(t, point, backup("--keep", "1")...)
	}
	run(t, program, backup("--keep", "1", "--check")...)
	left := files(t, place)
	other := filepath.Join(dir, "another")
	run(t, program, "backup", other, "--data", data)
	if fresh := files(t, other); len(left) != len(fresh) {
		t.Errorf("in the place of the backups are %d files, in a fresh one %d:\n%s\n%s", len(left), len(fresh), strings.Join(left, "\n"), strings.Join(fresh, "\n"))
	}

	key, err := os.ReadFile(filepath.Join(data, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, point := range masters {
		killedAt(t, point, "rotate-key", "--master", "--data", data)
	}
	run(t, program, "rotate-key", "--master", "--data", data)
	if now, err := os.ReadFile(filepath.Join(data, "master.key")); err != nil || bytes.Equal(now, key) {
		t.Errorf("the master key is the same: %v", err)
	}
	wholeAt(t, data)

	to := filepath.Join(dir, "restored")
	for _, point := range restorings {
		killedAt(t, point, restore(to)...)
		if point == restorings[0] {
			continue // nothing is there yet
		}
		if out, err := exec.Command(program, "snapshots", "--data", to).CombinedOutput(); err == nil {
			t.Errorf("killed at %q, it is served:\n%s", point, out)
		}
	}
	run(t, program, restore(to)...)
	if cut, err := exec.Command("find", to, "-name", ".new-*").Output(); err != nil || len(cut) > 0 {
		t.Errorf("left behind: %v\n%s", err, cut)
	}
	wholeAt(t, to)
}
