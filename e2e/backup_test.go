package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/client"
)

// tenants keep a service busy, and know what it must have.
type tenants struct {
	s      *service
	finish chan struct{} // closed: begin nothing more
	landed chan struct{} // one for each snapshot that was completed

	mu    sync.Mutex // guards what follows
	first string     // task, whose client token is firstToken
	// disks are the completed snapshots whose deletion has not begun, with what they hold;
	// nil: blocks of which blockOf says what they hold.
	disks map[string][]byte
	keys  map[string]bool // objects likewise
}

const firstToken = "the first"

func (l *tenants) stopped() bool {
	select {
	case <-l.finish:
		return true
	default:
		return false
	}
}

// image is a disk with some blocks that all of its kind have, and some of its own.
func image(n uint64) []byte {
	disk := make([]byte, 5*blockBytes)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(disk[:blockBytes])
	_, _ = rand.NewChaCha8([32]byte{2, byte(n), byte(n >> 8)}).Read(disk[2*blockBytes : 4*blockBytes])
	return disk
}

// add notes a completed snapshot.
func (l *tenants) add(id string, disk []byte) {
	l.mu.Lock()
	l.disks[id] = disk
	l.mu.Unlock()
	select {
	case l.landed <- struct{}{}:
	case <-l.finish:
	}
}

// remove deletes a snapshot.
func (l *tenants) remove(ctx context.Context, id string) error {
	l.mu.Lock()
	delete(l.disks, id)
	l.mu.Unlock()
	_, err := l.s.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &id})
	return err
}

// imports uploads images and imports them, and deletes every second snapshot and image.
func (l *tenants) imports(ctx context.Context) error {
	for n := uint64(0); !l.stopped(); n++ {
		disk, key := image(n), fmt.Sprintf("%d.raw", n)
		if err := l.s.Upload(ctx, "images", key, bytes.NewReader(disk), int64(len(disk)), func(int64) {}); err != nil {
			return err
		}
		l.mu.Lock()
		l.keys[key] = true
		l.mu.Unlock()
		ask := importOf("s3://images/" + key)
		if n == 0 {
			ask.ClientToken = aws.String(firstToken)
		}
		out, err := l.s.EC2.ImportSnapshot(ctx, ask)
		if err != nil {
			return err
		}
		if n == 0 {
			l.mu.Lock()
			l.first = *out.ImportTaskId
			l.mu.Unlock()
		}
		task, err := l.s.Watch(ctx, *out.ImportTaskId, func(client.Task) {})
		if err != nil || task.Status != "completed" {
			return fmt.Errorf("the task is %+v, %w", task, err)
		}
		l.add(task.SnapshotID, disk)
		if n%2 == 0 {
			continue
		}
		l.mu.Lock()
		delete(l.keys, key)
		l.mu.Unlock()
		if err := errors.Join(l.remove(ctx, task.SnapshotID), l.s.RemoveObject(ctx, "images", key)); err != nil {
			return err
		}
	}
	return nil
}

// writes makes snapshots block by block.
func (l *tenants) writes(ctx context.Context) error {
	for n := int32(1000); !l.stopped(); n += 3 {
		started, err := l.s.EBS.StartSnapshot(ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)})
		if err != nil {
			return err
		}
		for i := range int32(3) {
			if err := l.s.putBlock(ctx, *started.SnapshotId, (n+i)%2048); err != nil {
				return err
			}
		}
		if _, err := l.s.EBS.CompleteSnapshot(ctx, &ebs.CompleteSnapshotInput{SnapshotId: started.SnapshotId, ChangedBlocksCount: aws.Int32(3)}); err != nil {
			return err
		}
		waiter := ec2.NewSnapshotCompletedWaiter(l.s.EC2, func(o *ec2.SnapshotCompletedWaiterOptions) { o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second })
		if err := waiter.Wait(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*started.SnapshotId}}, patience); err != nil {
			return err
		}
		l.add(*started.SnapshotId, nil)
	}
	return nil
}

// cleans frees what is let go, and rewrites packs.
func (l *tenants) cleans(ctx context.Context) error {
	for !l.stopped() {
		_, err := l.s.CollectGarbage(ctx)
		if _, cerr := l.s.Compact(ctx, 0, func(int64, int64) {}); errors.Join(err, cerr) != nil {
			return errors.Join(err, cerr)
		}
	}
	return nil
}

// state is what a service must have, as in tenants.
type state struct {
	disks map[string][]byte
	keys  map[string]bool
}

func (l *tenants) state() state {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := state{map[string][]byte{}, map[string]bool{}}
	for id, disk := range l.disks {
		st.disks[id] = disk
	}
	for key := range l.keys {
		st.keys[key] = true
	}
	return st
}

// both returns what is in both states.
func (st state) both(other state) state {
	for id := range st.disks {
		if _, ok := other.disks[id]; !ok {
			delete(st.disks, id)
		}
	}
	for key := range st.keys {
		if !other.keys[key] {
			delete(st.keys, key)
		}
	}
	return st
}

// check compares a service with a state, and has it verify everything.
func (s *service) check(t *testing.T, want state) {
	t.Helper()
	for id, disk := range want.disks {
		if disk == nil {
			s.hasBlocks(t, id, 3)
		} else if !bytes.Equal(s.disk(t, id), disk) {
			t.Errorf("%s is another disk", id)
		}
	}
	for key := range want.keys {
		out, err := s.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("images"), Key: &key})
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		var body bytes.Buffer
		var n uint64
		_, err = body.ReadFrom(out.Body)
		_, serr := fmt.Sscanf(key, "%d.raw", &n)
		if err := errors.Join(err, serr, out.Body.Close()); err != nil || !bytes.Equal(body.Bytes(), image(n)) {
			t.Errorf("%s is another object, %v", key, err)
		}
	}
	s.diskport(t, "verify")
}

// disk returns what a snapshot holds.
func (s *service) disk(t *testing.T, id string) []byte {
	t.Helper()
	snapshot, err := s.Snapshot(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), id)
	if err := s.Export(t.Context(), snapshot, path, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err := errors.Join(err, os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBackupOfABusyService makes backups while snapshots are imported, written and deleted,
// garbage is freed and packs are rewritten. Each of them, restored, has every snapshot and
// object that was complete when it began and not deleted before its end.
func TestBackupOfABusyService(t *testing.T) {
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"))
	if err := errors.Join(s.EnsureBucket(t.Context(), "images"), s.EnsureRole(t.Context(), "vmimport")); err != nil {
		t.Fatal(err)
	}
	l := &tenants{s: s, finish: make(chan struct{}), landed: make(chan struct{}), disks: map[string][]byte{}, keys: map[string]bool{}}
	var busy sync.WaitGroup
	for _, work := range []func(context.Context) error{l.imports, l.writes, l.cleans} {
		busy.Go(func() {
			if err := work(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	finish := sync.OnceFunc(func() { close(l.finish); busy.Wait() })
	defer finish()
	type taken struct {
		at   time.Time
		must state
	}
	var all []taken
	place := filepath.Join(dir, "backups")
	for _, more := range []int{2, 3} {
		for range more {
			<-l.landed
		}
		before := l.state()
		ended := make(chan client.BackedUp, 1)
		go func() {
			done, err := s.Backup(t.Context(), client.Backup{Place: place}, func(int64, int64) {})
			if err != nil || len(done.Damaged)+len(done.Lost)+len(done.Again) > 0 {
				t.Errorf("backup %+v, %v", done, err)
			}
			ended <- done
		}()
		var done client.BackedUp
		for waiting := true; waiting; {
			select {
			case done = <-ended:
				waiting = false
			case <-l.landed:
			}
		}
		if done.At == nil {
			t.Fatal("there is no backup")
		}
		all = append(all, taken{*done.At, before.both(l.state())})
	}
	finish()
	s.stop(t)
	for i, b := range all {
		if len(b.must.disks) < 1 {
			t.Errorf("backup %d was made of %d snapshots", i, len(b.must.disks))
		}
		to := filepath.Join(dir, fmt.Sprint("restored ", i))
		out := restore(t, place, to, s.data, "--at", b.at.Format(time.RFC3339Nano))
		if !strings.Contains(out, "restored ") {
			t.Errorf("restore says %s", out)
		}
		r := start(t, to)
		r.check(t, b.must)
		r.settled(t)
		again := importOf("s3://images/0.raw")
		again.ClientToken = aws.String(firstToken)
		if out, err := r.EC2.ImportSnapshot(t.Context(), again); err != nil || *out.ImportTaskId != l.first {
			t.Errorf("the client token is not that of %s any more: %+v, %v", l.first, out, err)
		}
		r.stop(t)
	}
}

// settled waits until every task has ended, as those do too that were running when the
// backup was made.
func (s *service) settled(t *testing.T) {
	t.Helper()
	tasks, err := s.Tasks(t.Context())
	if err != nil || len(tasks) == 0 {
		t.Fatalf("%d tasks, %v", len(tasks), err)
	}
	for _, task := range tasks {
		if task, err = s.Watch(t.Context(), task.ID, func(client.Task) {}); err != nil || task.Status != "completed" {
			t.Errorf("the task is %+v, %v", task, err)
		}
	}
}

// restore restores a backup with the master key of a data directory.
func restore(t *testing.T, place, to, from string, flags ...string) string {
	t.Helper()
	out, err := exec.Command("diskport", append([]string{"restore", place, "--data", to, "--master-key", filepath.Join(from, "master.key")}, flags...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// fails runs diskport, which must fail and say something.
func fails(t *testing.T, says string, args ...string) (said string) {
	t.Helper()
	out, err := exec.Command("diskport", args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), says) {
		t.Errorf("diskport %s: %v, want a failure that says %q:\n%s", strings.Join(args, " "), err, says, out)
	}
	return string(out)
}

// imported returns a data directory with imported disks, and the snapshots.
func imported(t *testing.T, dir string, disks ...uint64) (data string, ids []string) {
	t.Helper()
	data = filepath.Join(dir, "data")
	for _, n := range disks {
		path := filepath.Join(dir, fmt.Sprint(n, ".raw"))
		if err := os.WriteFile(path, image(n), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("diskport", "import", "--data", data, path).Output()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, strings.TrimSpace(string(out)))
	}
	return data, ids
}

// verified has everything in a data directory verified.
func verified(t *testing.T, data string, snapshots int) {
	t.Helper()
	out, err := exec.Command("diskport", "verify", "--data", data).CombinedOutput()
	if err != nil || strings.Count(string(out), ": ok") != snapshots {
		t.Errorf("verify of %s: %v, want %d snapshots: %s", data, err, snapshots, out)
	}
}

// killed runs diskport and kills it once it says that it has copied something.
func killed(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("diskport", args...)
	r, w := pipeOfOne(t)
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	err := cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, os.Getpagesize())
	for {
		n, err := r.Read(buf)
		if line := string(buf[:n]); strings.Contains(line, "copying ") && !strings.Contains(line, " 0%") {
			break
		}
		if err != nil {
			t.Fatalf("diskport %s ended before it was killed", strings.Join(args, " "))
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// TestBackupKilled: a backup or restoration that is killed leaves the backups before it as
// they were, and goes on when it is run again; half a data directory is not served.
func TestBackupKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, ids := imported(t, dir, 1)
	place, slow := filepath.Join(dir, "backups"), []string{"--rate", "1MiB"}
	first := backUp(t, data, place)
	_, more := imported(t, dir, 2, 3)
	args := append([]string{"backup", place, "--data", data}, slow...)
	if out, err := interrupted(t, exec.Command("diskport", args...), "backing up: copying"); !endedAs(err, true) || !strings.Contains(out, "interrupted") {
		t.Errorf("interrupted: %v: %s", err, out)
	}
	killed(t, args...)
	restore(t, place, filepath.Join(dir, "first"), data)
	verified(t, filepath.Join(dir, "first"), len(ids))

	second := backUp(t, data, place, "--check")
	listed, err := exec.Command("diskport", "restore", place, "--list").Output()
	if err != nil || strings.Count(string(listed), "\n") != 3 || !strings.Contains(string(listed), first.At.Truncate(time.Microsecond).Format(time.RFC3339Nano)) {
		t.Errorf("listed: %v: %s", err, listed)
	}
	if second.CopiedBytes >= first.CopiedBytes+second.Bytes-first.Bytes || len(second.Again) > 0 {
		t.Errorf("the second %+v, after %+v", second, first)
	}
	to := filepath.Join(dir, "second")
	again := []string{"restore", place, "--data", to, "--master-key", filepath.Join(data, "master.key")}
	killed(t, append(again, slow...)...)
	fails(t, "run the same diskport restore again", serveArgs(to, nil)...)
	fails(t, "run the same diskport restore again", "snapshots", "--data", to)
	fails(t, "has half of another backup", append(again, "--at", first.At.Format(time.RFC3339Nano))...)
	writeFile(t, filepath.Join(to, "blocks"), ".new-1", "as a file that was being written")
	restore(t, place, to, data)
	if out, err := exec.Command("find", to, "-name", ".new-*").Output(); err != nil || len(out) > 0 {
		t.Errorf("cut off, and still there: %v: %s", err, out)
	}
	verified(t, to, len(ids)+len(more))
	fails(t, "it is not empty", again...)
}

// backUp backs a data directory up on which no service runs.
func backUp(t *testing.T, data, place string, flags ...string) (done client.BackedUp) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("diskport", append([]string{"backup", place, "--data", data, "--json"}, flags...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &done)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	return done
}

// TestBackupKeys: without the right master key nothing is restored. A later one will do,
// with those before it; so does one that the backup has, if it was asked for.
func TestBackupKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, ids := imported(t, dir, 1)
	place, open := filepath.Join(dir, "backups"), filepath.Join(dir, "with key")
	key := contents(t, data, "master.key")
	backUp(t, data, place)
	backUp(t, data, open, "--include-master-key")
	if out, err := exec.Command("grep", "-rqF", "--binary-files=text", "-f", filepath.Join(data, "credentials"), place).CombinedOutput(); err == nil {
		t.Errorf("the backup has the root key: %s", out)
	}
	to := filepath.Join(dir, "to")
	fails(t, "has no master key", "restore", place, "--data", to)
	wrong := writeFile(t, dir, "wrong.key", strings.Repeat("k", len(key)))
	fails(t, wrong+" is not the master key", "restore", place, "--data", to, "--master-key", wrong)
	if _, err := os.Stat(to); !os.IsNotExist(err) {
		t.Errorf("something was written: %v", err)
	}
	if out, err := exec.Command("diskport", "restore", open, "--data", filepath.Join(dir, "opened")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	verified(t, filepath.Join(dir, "opened"), len(ids))
	if !bytes.Equal(contents(t, data, "credentials"), contents(t, filepath.Join(dir, "opened"), "credentials")) {
		t.Error("the root key is another")
	}

	if out, err := exec.Command("diskport", "rotate-key", "--master", "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	restore(t, place, to, data)
	verified(t, to, len(ids))
	backUp(t, data, place)
	old := writeFile(t, dir, "old.key", string(key))
	fails(t, old+" is not the master key", "restore", place, "--data", filepath.Join(dir, "none"), "--master-key", old)
}

// TestUnprovenBackup: a backup whose manifest somebody has written anew, as far as one can
// without the master key, is refused by name, unless that is accepted.
func TestUnprovenBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, ids := imported(t, dir, 1)
	place := filepath.Join(dir, "backups")
	backUp(t, data, place)
	manifest := glob(t, place, "moments/*")[0]
	lines, err := exec.Command("gzip", "-dc", manifest).Output()
	if err != nil {
		t.Fatal(err)
	}
	unproven := regexp.MustCompile(`,"proof":"[^"]*"`).ReplaceAll(lines, nil)
	if bytes.Equal(lines, unproven) {
		t.Fatalf("there is no proof in it:\n%s", lines)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(unproven); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(z.Close(), os.WriteFile(manifest, packed.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "to")
	fails(t, "not proven to be the service's own: moments/", "restore", place, "--data", to, "--master-key", filepath.Join(data, "master.key"))
	if _, err := os.Stat(to); !os.IsNotExist(err) {
		t.Errorf("something was written: %v", err)
	}
	restore(t, place, to, data, "--accept-unproven")
	verified(t, to, len(ids))
	fails(t, "has no proof", "backup", place, "--data", data) // and makes one that has
	restore(t, place, filepath.Join(dir, "again"), data)
}

// TestBackupToS3 backs up to the S3 of another service, keeps one backup, and restores it.
func TestBackupToS3(t *testing.T) {
	dir := t.TempDir()
	data, ids := imported(t, dir, 1)
	far := start(t, filepath.Join(dir, "far"))
	if err := far.EnsureBucket(t.Context(), "backups"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DISKPORT_BACKUP_ACCESS_KEY_ID", keyID)
	t.Setenv("DISKPORT_BACKUP_SECRET_ACCESS_KEY", secret)
	place := "s3://backups/one?region=" + region + "&endpoint=" + url.QueryEscape(far.endpoint)
	backUp(t, data, place)
	second := backUp(t, data, place, "--keep", "1")
	if second.Copied != 0 || second.Gone != 1 || second.Removed != 1 {
		t.Errorf("the second: %+v", second)
	}
	to := filepath.Join(dir, "to")
	restore(t, place, to, data)
	verified(t, to, len(ids))
}

// TestBackupIsRefused: what can't be a backup is told before anything is written.
func TestBackupIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, _ := imported(t, dir, 1)
	place := filepath.Join(dir, "backups")
	backUp(t, data, place)
	another := t.TempDir()
	other, _ := imported(t, another, 1)
	fails(t, "it has backups of another store", "backup", place, "--data", other)
	fails(t, "is in the data directory", "backup", filepath.Join(data, "backups"), "--data", data)
	fails(t, "the data directory is in", "backup", dir, "--data", data)
	fails(t, "there is no backup", "restore", t.TempDir(), "--data", filepath.Join(dir, "to"), "--master-key", filepath.Join(data, "master.key"))
	fails(t, "there is no backup of", "restore", place, "--data", filepath.Join(dir, "to"), "--at", "2001-01-01T00:00:00Z", "--master-key", filepath.Join(data, "master.key"))
	fails(t, "it is not empty", "restore", place, "--data", data, "--master-key", filepath.Join(data, "master.key"))
}

// TestPartialRestore: of a damaged backup what is whole is restored, and what is not is
// said; an import stores it anew.
func TestPartialRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, ids := imported(t, dir, 1)
	place := filepath.Join(dir, "backups")
	backUp(t, data, place)
	_, more := imported(t, dir, 2)
	before := glob(t, place, "blocks/pack/*/*")
	backUp(t, data, place)
	for _, pack := range glob(t, place, "blocks/pack/*/*") {
		if pack != before[0] {
			if err := os.Remove(pack); err != nil {
				t.Fatal(err)
			}
		}
	}
	to := filepath.Join(dir, "to")
	args := []string{"restore", place, "--data", to, "--master-key", filepath.Join(data, "master.key")}
	fails(t, "is missing. With --partial", args...)
	said := fails(t, more[0]+" of account 000000000000 in us-east-1 is not whole", append(args, "--partial")...)
	for line := range strings.Lines(said) {
		if strings.Count(line, more[0]) > 1 {
			t.Errorf("it names the snapshot twice: %s", line)
		}
	}
	out, err := exec.Command("diskport", "verify", "--data", to).CombinedOutput()
	if err == nil || !strings.Contains(string(out), ids[0]+": ok") || !strings.Contains(string(out), more[0]+": DAMAGED") {
		t.Errorf("verify: %v: %s", err, out)
	}
	if out, err := exec.Command("diskport", "import", "--data", to, filepath.Join(dir, "2.raw")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	verified(t, to, 3)
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("there is no %s in %s, %v", pattern, dir, err)
	}
	return found
}

// TestMovedData: a data directory works from anywhere, and tells what is missing of it.
func TestMovedData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, ids := imported(t, dir, 1)
	moved := filepath.Join(dir, "elsewhere", "moved")
	if err := errors.Join(os.Mkdir(filepath.Dir(moved), 0o700), os.Rename(data, moved)); err != nil {
		t.Fatal(err)
	}
	s := start(t, moved)
	s.check(t, state{disks: map[string][]byte{ids[0]: image(1)}})
	s.stop(t)
	if out, err := exec.Command("grep", "-rlF", "--binary-files=text", data, moved).Output(); err == nil {
		t.Errorf("these name where the data directory was: %s", out)
	}

	key := filepath.Join(moved, "master.key")
	kept := contents(t, moved, "master.key")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	fails(t, "master.key is missing, without which", serveArgs(moved, nil)...)
	if err := os.WriteFile(key, bytes.Repeat([]byte("k"), len(kept)), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, "put back the master.key that belongs to this database", serveArgs(moved, nil)...)
	if err := os.WriteFile(key, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	verified(t, moved, len(ids))
}
