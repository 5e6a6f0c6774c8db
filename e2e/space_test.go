package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/diskport/diskport/internal/client"
)

// smallDisk is a file system of its own, which only processes that enter it see.
type smallDisk struct {
	dir   string // as they see it
	enter []string
	here  string // dir as this process sees it
	fills int
}

// newSmallDisk mounts a file system of so many MiB. A process without privileges may
// do so in a user namespace.
func newSmallDisk(t *testing.T, mib int) *smallDisk {
	t.Helper()
	d := &smallDisk{dir: t.TempDir()}
	flags := []string{"--mount"}
	if os.Getuid() != 0 {
		flags = append([]string{"--user", "--map-root-user"}, flags...)
	}
	script := fmt.Sprintf("mount -t tmpfs -o size=%dm tmpfs %q && echo mounted && exec cat", mib, d.dir)
	holder := exec.Command("unshare", append(flags, "sh", "-c", script)...)
	holder.Stderr = os.Stderr
	stdin, err1 := holder.StdinPipe()
	stdout, err2 := holder.StdoutPipe()
	if err := errors.Join(err1, err2, holder.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // ends it
		_ = holder.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "mounted\n" {
		t.Fatalf("mounting a small file system: %q, %v", line, err)
	}
	pid := strconv.Itoa(holder.Process.Pid)
	d.here = filepath.Join("/proc", pid, "root", d.dir)
	d.enter = []string{"--target", pid, "--mount"}
	if os.Getuid() != 0 {
		d.enter = append(d.enter, "--user", "--preserve-credentials")
	}
	return d
}

// start starts a service whose data directory is on the disk.
func (d *smallDisk) start(t *testing.T, flags ...string) *service {
	t.Helper()
	data := filepath.Join(d.dir, "data")
	args := append(append([]string{}, d.enter...), "diskport")
	return startCommand(t, data, exec.Command("nsenter", append(args, serveArgs(data, flags)...)...))
}

// fill takes all that is free, to the last byte.
func (d *smallDisk) fill(t *testing.T) {
	t.Helper()
	d.fills++
	f, err := os.Create(filepath.Join(d.here, fmt.Sprint("fill", d.fills)))
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if err := errors.Join(ignore(err, syscall.ENOSPC), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// empty gives back what fill took.
func (d *smallDisk) empty(t *testing.T) {
	t.Helper()
	for ; d.fills > 0; d.fills-- {
		if err := os.Remove(filepath.Join(d.here, fmt.Sprint("fill", d.fills))); err != nil {
			t.Fatal(err)
		}
	}
}

// health returns the status that the service gives itself.
func (s *service) health(t *testing.T) string {
	t.Helper()
	resp, err := s.http.Get(s.endpoint + "/-/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var h struct{ Status string }
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
		t.Fatal(err)
	}
	return h.Status
}

// refusesData checks that all that stores something is refused, with what to do.
func (s *service) refusesData(t *testing.T, draft string) {
	t.Helper()
	ctx := t.Context()
	for _, c := range []struct {
		name, code string
		do         func() error
	}{
		{"PutSnapshotBlock", "ServiceQuotaExceededException", func() error { return s.putBlock(ctx, draft, 1) }},
		{"StartSnapshot", "ServiceQuotaExceededException", func() error {
			_, err := s.EBS.StartSnapshot(ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)})
			return err
		}},
		{"ImportSnapshot", "InsufficientCapacity", func() error {
			_, err := s.EC2.ImportSnapshot(ctx, importOf("s3://images/disk.raw"), func(o *ec2.Options) { o.RetryMaxAttempts = 1 })
			return err
		}},
		{"PutObject", "InsufficientStorage", func() error {
			_, err := s.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("images"), Key: aws.String("more"), Body: strings.NewReader("more")},
				func(o *s3.Options) { o.RetryMaxAttempts = 1 })
			return err
		}},
	} {
		err := c.do()
		var e smithy.APIError
		if !errors.As(err, &e) || e.ErrorCode() != c.code || !strings.Contains(e.ErrorMessage(), "delete snapshots") {
			t.Errorf("%s on a full disk: %v; want %s, which says what to do", c.name, err, c.code)
		}
	}
}

// free deletes a snapshot and collects the garbage.
func (s *service) free(t *testing.T, snapshot string) {
	t.Helper()
	if _, err := s.EC2.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: &snapshot}); err != nil {
		t.Errorf("deleting a snapshot on a full disk: %v", err)
	}
	if out, err := s.CollectGarbage(t.Context()); err != nil || out.Bytes == 0 {
		t.Errorf("collecting garbage on a full disk: %+v, %v", out, err)
	}
}

// TestFullDiskIsNoLock fills a disk to the last byte: reads go on, what stores more is
// refused, and deleting, gc and a start work. When there is room again all is as
// before, without a restart.
func TestFullDiskIsNoLock(t *testing.T) {
	ctx, dir, disk := t.Context(), t.TempDir(), newSmallDisk(t, 256)
	raw, other := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "other.raw")
	makeRaw(t, raw, 48<<20, 1<<20, 1<<20)
	makeText(t, other, 80)
	s := disk.start(t)
	first, second := s.imported(t, raw, "RAW").SnapshotID, s.imported(t, other, "RAW").SnapshotID
	s.putImage(t, raw, "disk.raw")
	draft, err := s.EBS.StartSnapshot(ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	if h := s.health(t); h != "ok" {
		t.Errorf("before: %s", h)
	}

	disk.fill(t)
	if h := s.health(t); h != "full" {
		t.Errorf("with nothing free: %s", h)
	}
	s.refusesData(t, *draft.SnapshotId)
	s.sameDisk(t, first, raw)
	s.free(t, first)
	disk.empty(t)
	if h := s.health(t); h != "ok" {
		t.Errorf("with room again: %s", h)
	}
	if err := s.putBlock(ctx, *draft.SnapshotId, 1); err != nil {
		t.Errorf("with room again: %v", err)
	}
	again := s.imported(t, raw, "RAW").SnapshotID

	disk.fill(t)
	s.kill(t)
	disk.fill(t)
	s = disk.start(t)
	s.sameDisk(t, second, other)
	s.stop(t)
	if s.err != nil {
		t.Errorf("on a full disk the service ended with %v", s.err)
	}
	disk.fill(t)
	s = disk.start(t)
	s.refusesData(t, *draft.SnapshotId)
	s.free(t, second)
	s.sameDisk(t, again, raw)
	disk.empty(t)
	s.sameDisk(t, s.imported(t, other, "RAW").SnapshotID, other)
}

// TestFullDiskHoldsImports: a disk that fills while an import runs makes it wait, which
// it says, until there is room again.
func TestFullDiskHoldsImports(t *testing.T) {
	dir, disk := t.TempDir(), newSmallDisk(t, 256)
	raw := smallRaw(t, dir, "disk.raw")
	third := startThirdParty(t, raw)
	elsewhere(t, "SOURCE", "THIRD", "third secret")
	s := disk.start(t, "--source-endpoint", third.URL, "--source-sts", "none")
	if err := s.EnsureRole(t.Context(), "vmimport"); err != nil {
		t.Fatal(err)
	}
	inTheMiddle, release := third.pause()
	out, err := s.EC2.ImportSnapshot(t.Context(), importOf("s3://images/disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	id := aws.ToString(out.ImportTaskId)
	s.awaitHeld(t, id, inTheMiddle)
	disk.fill(t)
	release()
	waiting, err := s.until(t, id, func(task client.Task) bool { return task.Waiting != nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"space: ", "MiB needed", " MiB free in " + disk.dir} {
		if !strings.Contains(waiting.Waiting.For, want) {
			t.Errorf("it waits for %q, which does not say %q", waiting.Waiting.For, want)
		}
	}
	if said := s.diskport(t, "--endpoint", s.endpoint, "task", "--no-watch", id); !strings.Contains(said, "Waiting for:") || !strings.Contains(said, "MiB free in "+disk.dir) {
		t.Errorf("diskport task says:\n%s", said)
	}
	disk.empty(t)
	task, err := s.Watch(t.Context(), id, func(client.Task) {})
	if err != nil || task.Status != "completed" {
		t.Fatalf("with room again: %v, %+v", err, task.Failure)
	}
	s.sameDisk(t, task.SnapshotID, raw)
}

// until watches a task until it is as wanted.
func (s *service) until(t *testing.T, id string, wanted func(client.Task) bool) (client.Task, error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var found client.Task
	_, err := s.Watch(ctx, id, func(task client.Task) {
		if found.ID == "" && wanted(task) {
			found = task
			stop()
		}
	})
	if found.ID == "" {
		return found, fmt.Errorf("task %s ended, or could not be watched, before it was as wanted: %w", id, err)
	}
	return found, nil
}

// pause makes requests for the middle of a smallRaw wait until release is called. The
// channel is closed when the first one waits.
func (p *thirdParty) pause() (waits <-chan struct{}, release func()) {
	held, on := make(chan struct{}), make(chan struct{})
	var once sync.Once
	wait := func(_ http.ResponseWriter, r *http.Request) bool {
		if theMiddle(r) {
			once.Do(func() { close(held) })
			select {
			case <-on:
			case <-r.Context().Done():
			}
		}
		return false
	}
	p.before.Store(&wait)
	return held, func() { close(on) }
}
