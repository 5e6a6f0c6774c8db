package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/diskport/diskport/e2e/smalldisk"
	"github.com/diskport/diskport/internal/client"
)

// startOn starts a service whose data directory is on a disk.
func startOn(t *testing.T, disk *smalldisk.Disk, flags ...string) *service {
	t.Helper()
	data := filepath.Join(disk.Dir, "data")
	args := append(slices.Clone(disk.Enter), "diskport")
	args = append(args, serveArgs(data, flags)...)
	return startCommand(t, data, exec.Command(args[0], args[1:]...), nil)
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
func (s *service) refusesData(t *testing.T, draft, snapshot string) {
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
		{"CopySnapshot", "InsufficientCapacity", func() error {
			_, err := s.EC2.CopySnapshot(ctx, &ec2.CopySnapshotInput{SourceSnapshotId: &snapshot, SourceRegion: aws.String(region)}, func(o *ec2.Options) { o.RetryMaxAttempts = 1 })
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

// saysFull checks that probes, metrics and the command line say how things stand.
func (s *service) saysFull(t *testing.T, image string) {
	t.Helper()
	for path, want := range map[string]string{"/-/ready": "the disk is full", "/-/metrics": "\ndiskport_space_full 1\n"} {
		resp, err := s.http.Get(s.endpoint + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s answers %d without %q, %v", path, resp.StatusCode, want, err)
		}
	}
	cmd := exec.Command("diskport", "--endpoint", s.endpoint, "import", image)
	cmd.Env = s.env()
	said, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "It has been full since") || !strings.Contains(string(said), " MiB are needed before") {
		t.Errorf("diskport import says, %v:\n%s", err, said)
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
	ctx, dir, disk := t.Context(), t.TempDir(), smalldisk.Mount(t, 256)
	raw, other := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "other.raw")
	makeRaw(t, raw, 48<<20, 1<<20, 1<<20)
	makeText(t, other, 80)
	s := startOn(t, disk)
	first, second := s.imported(t, raw, "RAW").SnapshotID, s.imported(t, other, "RAW").SnapshotID
	s.putImage(t, raw, "disk.raw")
	draft, err := s.EBS.StartSnapshot(ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	if h := s.health(t); h != "ok" {
		t.Errorf("before: %s", h)
	}

	disk.Fill(t, 0)
	if h := s.health(t); h != "full" {
		t.Errorf("with nothing free: %s", h)
	}
	s.refusesData(t, *draft.SnapshotId, second)
	s.saysFull(t, raw)
	s.sameDisk(t, first, raw)
	s.free(t, first)
	disk.Empty(t)
	if h := s.health(t); h != "ok" {
		t.Errorf("with room again: %s", h)
	}
	if err := s.putBlock(ctx, *draft.SnapshotId, 1); err != nil {
		t.Errorf("with room again: %v", err)
	}
	again := s.imported(t, raw, "RAW").SnapshotID

	disk.Fill(t, 0)
	s.kill(t)
	disk.Fill(t, 0)
	s = startOn(t, disk)
	s.sameDisk(t, second, other)
	s.stop(t)
	if s.err != nil {
		t.Errorf("on a full disk the service ended with %v", s.err)
	}
	disk.Fill(t, 0)
	s = startOn(t, disk)
	s.refusesData(t, *draft.SnapshotId, again)
	s.free(t, second)
	s.sameDisk(t, again, raw)
	disk.Empty(t)
	s.sameDisk(t, s.imported(t, other, "RAW").SnapshotID, other)
}

// TestFullDiskHoldsImports: a disk that fills while an import runs makes it wait, which
// it says, until there is room again.
func TestFullDiskHoldsImports(t *testing.T) {
	dir, disk := t.TempDir(), smalldisk.Mount(t, 256)
	raw := smallRaw(t, dir, "disk.raw")
	third := startThirdParty(t, raw)
	elsewhere(t, "SOURCE", "THIRD", "third secret")
	s := startOn(t, disk, "--source-endpoint", third.URL, "--source-sts", "none")
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
	disk.Fill(t, 0)
	release()
	waiting, err := s.until(t, id, func(task client.Task) bool { return task.Waiting != nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"space: ", "MiB needed", " MiB free in " + disk.Dir} {
		if !strings.Contains(waiting.Waiting.For, want) {
			t.Errorf("it waits for %q, which does not say %q", waiting.Waiting.For, want)
		}
	}
	if said := s.diskport(t, "--endpoint", s.endpoint, "task", "--no-watch", id); !strings.Contains(said, "Waiting for:") || !strings.Contains(said, "MiB free in "+disk.Dir) {
		t.Errorf("diskport task says:\n%s", said)
	}
	disk.Empty(t)
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
