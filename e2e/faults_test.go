package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/diskport/diskport/internal/client"
)

// A service killed in the middle of an import goes on by itself when it is started
// again, and reads only what was in flight a second time. The middle is where the
// source stops answering.
func TestKilledInTheMiddle(t *testing.T) {
	const ranges, rangeBytes, done = 8, 16 << 20, 3
	dir := t.TempDir()
	raw, data := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "data")
	// A range is whole manifest pages of 512 MiB.
	makeRaw(t, raw, ranges*512<<20, rangeBytes, 512<<20)
	third := startThirdParty(t, convert(t, raw, "disk.vmdk", "-O vmdk -o subformat=streamOptimized"))
	elsewhere(t, "SOURCE", "THIRD", "third secret")
	flags := []string{"--range-bytes", fmt.Sprint(rangeBytes), "--source-endpoint", third.URL, "--source-sts", "none"}
	s := start(t, data, flags...)
	if err := s.EnsureRole(t.Context(), "vmimport"); err != nil {
		t.Fatal(err)
	}
	var before atomic.Pointer[client.Progress]
	held := third.hold(func(r *http.Request) bool {
		tasks, err := s.Tasks(r.Context())
		if err != nil || len(tasks) == 0 || tasks[0].Progress.RangesDone < done {
			return false
		}
		before.CompareAndSwap(nil, &tasks[0].Progress)
		return true
	})
	out, err := s.EC2.ImportSnapshot(t.Context(), importOf("s3://images/disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	id := aws.ToString(out.ImportTaskId)
	s.awaitHeld(t, id, held)
	s.kill(t)

	third.before.Store(nil)
	s = start(t, data, flags...)
	task, err := s.Watch(t.Context(), id, func(client.Task) {})
	if err != nil || task.Status != "completed" {
		t.Fatalf("after the restart the task is %+v, %v", task, err)
	}
	s.sameDisk(t, task.SnapshotID, raw)
	p := before.Load()
	if p.Ranges < 6 || p.RangesDone == p.Ranges {
		t.Fatalf("killed with %d of %d ranges done, want some of at least 6", p.RangesDone, p.Ranges)
	}
	// What the first process finished need not be read again: the second read
	// the rest, and tables, which are a few per mille.
	rest := task.SourceBytes * int64(p.Ranges-p.RangesDone) / int64(p.Ranges)
	read := int64(s.metric(t, "diskport_source_bytes_total"))
	t.Logf("%d of %d ranges were done; of %d bytes the second process read %d", p.RangesDone, p.Ranges, task.SourceBytes, read)
	if limit := rest + rest/4 + 4<<20; read > limit {
		t.Errorf("the second process read %d bytes of the source, want at most %d", read, limit)
	}
}

// awaitHeld returns when the task's source is held, which must be before it ends.
func (s *service) awaitHeld(t *testing.T, id string, held <-chan struct{}) {
	t.Helper()
	ended := make(chan string, 1)
	go func() {
		task, err := s.Watch(t.Context(), id, func(client.Task) {})
		ended <- fmt.Sprintf("%s, %+v, %v", task.Status, task.Failure, err)
	}()
	select {
	case <-held:
	case how := <-ended:
		t.Fatalf("the task ended before its source was held: %s", how)
	}
}

func TestOneServiceADataDirectory(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, data)
	out, err := exec.Command("diskport", serveArgs(data, nil)...).CombinedOutput()
	if want := fmt.Sprintf("in use by process %d", s.cmd.Process.Pid); err == nil || !strings.Contains(string(out), want) {
		t.Errorf("a second service: %v, %s; want a refusal that says %q", err, out, want)
	}
}

func TestSIGTERMEndsTheServiceInOrder(t *testing.T) {
	dir := t.TempDir()
	raw, data := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "data")
	makeRaw(t, raw, 1<<30, 32<<20, 256<<20)
	s := start(t, data, "--range-bytes", "16777216")
	s.putImage(t, raw, "disk.raw")
	out, err := s.EC2.ImportSnapshot(t.Context(), &ec2.ImportSnapshotInput{
		DiskContainer: &types.SnapshotDiskContainer{Url: aws.String("s3://images/disk.raw"), Format: aws.String("RAW")},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.stop(t)
	if s.err != nil {
		t.Errorf("the service ended with %v, want no error", s.err)
	}
	if _, err := os.Stat(filepath.Join(data, "endpoint")); !os.IsNotExist(err) {
		t.Errorf("the endpoint is still announced: %v", err)
	}
	s = start(t, data)
	task, err := s.Watch(t.Context(), aws.ToString(out.ImportTaskId), func(client.Task) {})
	if err != nil || task.Status != "completed" {
		t.Fatalf("after the restart the task is %+v, %v", task, err)
	}
	s.sameDisk(t, task.SnapshotID, raw)
}

// A disk that is full fails the task with a reason, and the service goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	raw, data := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "data")
	makeText(t, raw, 512)
	vmdk := convert(t, raw, "disk.vmdk", "-O vmdk -o subformat=streamOptimized")
	small := filepath.Join(dir, "small.raw")
	makeRaw(t, small, 4<<20, 1<<20, 2<<20)
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	// There is room for the image, which is small, but not for its contents.
	script := fmt.Sprintf("mount -t tmpfs -o size=128m tmpfs %q && exec diskport %s", data, strings.Join(serveArgs(data, nil), " "))
	flags := []string{"--mount", "sh", "-c", script}
	if os.Getuid() != 0 {
		flags = append([]string{"--user", "--map-root-user"}, flags...)
	}
	s := startCommand(t, data, exec.Command("unshare", flags...), nil)
	task := s.importFile(t, vmdk, "VMDK")
	if task.Status != "deleted" || task.Failure == nil || !strings.Contains(task.Failure.Message+task.Failure.Detail+task.Failure.Hint, "space") {
		t.Errorf("on a full disk the task ended as %s, %+v; want a failure that speaks of space", task.Status, task.Failure)
	}
	if _, err := s.CollectGarbage(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.sameDisk(t, s.imported(t, small, "RAW").SnapshotID, small)
}

// makeText makes a raw disk of n blocks of text, no two of which are the same.
func makeText(t *testing.T, path string, n int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range n {
		line := fmt.Sprintf("This is block %06d of the disk.\n", i)
		if _, err := f.WriteString(strings.Repeat(line, client.BlockSize/len(line))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBadImages(t *testing.T) {
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	makeRaw(t, raw, 32<<20, 1<<20, 4<<20)
	s := start(t, filepath.Join(dir, "data"))
	vmdk := read(t, convert(t, raw, "good.vmdk", "-O vmdk -o subformat=streamOptimized"))
	vhdx := read(t, convert(t, raw, "good.vhdx", "-O vhdx"))
	vhd := read(t, convert(t, raw, "good.vhd", "-O vpc"))
	overlay := filepath.Join(dir, "overlay.qcow2")
	qemuImg(t, "create", "-q", "-f", "qcow2", "-F", "raw", "-b", raw, overlay)
	damaged := bytes.Clone(vmdk)
	copy(damaged[len(damaged)/2:], make([]byte, 64<<10))
	for name, tt := range map[string]struct {
		content []byte
		format  string
		want    string // part of the failure's message
	}{
		"truncated VMDK":  {vmdk[:len(vmdk)/2], "VMDK", "ClientError: "},
		"damaged VMDK":    {damaged, "VMDK", "ClientError: "},
		"truncated VHDX":  {vhdx[:1<<20], "VHDX", "ClientError: "},
		"truncated VHD":   {vhd[:len(vhd)/2], "VHD", "ClientError: "},
		"garbage as VMDK": {bytes.Repeat([]byte("garbage "), 1000), "VMDK", "[Unsupported specified file format]"},
		"VMDK as VHD":     {vmdk, "VHD", "[Unsupported specified file format]"},
		"backing file":    {read(t, overlay), "", "[Unsupported specified file format]"},
		"empty":           {nil, "RAW", "ClientError: "},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "image")
			if err := os.WriteFile(path, tt.content, 0o644); err != nil {
				t.Fatal(err)
			}
			task := s.importFile(t, path, tt.format)
			if task.Status != "deleted" || task.SnapshotID != "" || task.Failure == nil || !strings.Contains(task.Failure.Message, tt.want) {
				t.Errorf("the task ended as %s, %+v; want a failure with %q", task.Status, task.Failure, tt.want)
			}
		})
	}
	if snapshots, err := s.Snapshots(t.Context()); err != nil || len(snapshots) != 0 {
		t.Errorf("%d snapshots are visible, %v", len(snapshots), err)
	}
	s.sameDisk(t, s.imported(t, filepath.Join(dir, "good.vmdk"), "").SnapshotID, raw)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := io.ReadAll(open(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return content
}
