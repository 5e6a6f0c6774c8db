package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/client"
)

// makeOVA writes an OVA of disks, of a UEFI machine, and returns its name.
func makeOVA(t *testing.T, dir, name string, disks ...string) string {
	t.Helper()
	var names []string
	members := []imagetest.Member{{Name: "vm.ovf"}}
	for _, path := range disks {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.Base(path))
		members = append(members, imagetest.Member{Name: filepath.Base(path), Data: data})
	}
	const said = `<VirtualSystem><OperatingSystemSection osType="ubuntu64Guest"/><VirtualHardwareSection><Config key="firmware" value="efi"/></VirtualHardwareSection></VirtualSystem>`
	members[0].Data = []byte(strings.Replace(string(imagetest.OVF(names...)), "</Envelope>", said+"</Envelope>", 1))
	members = append(members, imagetest.Member{Name: "vm.mf", Data: imagetest.Manifest(members...)})
	return writeFile(t, dir, name, string(imagetest.Tar(members...)))
}

// imageTask is what DescribeImportImageTasks says, by AWS's names.
type imageTask struct {
	ImportTaskId, Status, StatusMessage, Progress, ImageId string
	SnapshotDetails                                        []struct {
		DeviceName, Format, SnapshotId, Status string
		DiskImageSize                          float64
		UserBucket                             struct{ S3Bucket, S3Key string }
	}
}

// awaitImage polls as Packer does.
func (s *service) awaitImage(t *testing.T, id string) imageTask {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		var task imageTask
		out := s.aws(t, "ec2", "describe-import-image-tasks", "--import-task-ids", id, "--output", "json", "--query", "ImportImageTasks[0]")
		if err := json.Unmarshal([]byte(out), &task); err != nil {
			t.Fatalf("reading %s: %v", out, err)
		}
		if task.Status != "active" && task.Status != "deleting" {
			return task
		}
	}
	t.Fatalf("task %s did not end within a minute", id)
	return imageTask{}
}

// TestImportImage imports an OVA of two disks, a third disk and a snapshot as one image,
// with the AWS CLI.
func TestImportImage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw := filepath.Join(dir, "system.raw")
	makeRaw(t, raw, 12<<20, 1<<20, 3<<20)
	vmdk := convert(t, raw, "system.vmdk", "-O vmdk -o subformat=streamOptimized")
	data := smallRaw(t, dir, "data.raw")
	bad := writeFile(t, dir, "bad.vmdk", "no disk at all")
	s := start(t, filepath.Join(dir, "data"))
	s.putImage(t, makeOVA(t, dir, "vm.ova", vmdk, data), "vm.ova")
	s.putImage(t, makeOVA(t, dir, "bad.ova", data, bad), "bad.ova")
	s.putImage(t, data, "data.raw")
	given := s.imported(t, data, "RAW").SnapshotID

	containers := writeFile(t, dir, "containers.json", fmt.Sprintf(`[{"Description":"the machine","Format":"ova","UserBucket":{"S3Bucket":"images","S3Key":"vm.ova"}},
	 {"Format":"raw","Url":"s3://images/data.raw"},{"DeviceName":"/dev/sdf","SnapshotId":%q}]`, given))
	id := s.aws(t, "ec2", "import-image", "--description", "my VM", "--disk-containers", "file://"+containers, "--license-type", "BYOL", "--platform", "Linux",
		"--tag-specifications", "ResourceType=import-image-task,Tags=[{Key=Name,Value=vm}]", "--query", "ImportTaskId")
	if found := s.aws(t, "ec2", "describe-import-image-tasks", "--filters", "Name=tag:Name,Values=vm", "Name=task-state,Values=active,completed", "--query", "ImportImageTasks[0].ImportTaskId"); found != id {
		t.Errorf("found %q by its tag, want %s", found, id)
	}
	task := s.awaitImage(t, id)
	if task.Status != "completed" || task.ImageId == "" || !strings.Contains(task.StatusMessage, "as it is") || len(task.SnapshotDetails) != 4 {
		t.Fatalf("the task is %+v", task)
	}
	for i, want := range []struct{ device, format, disk string }{
		{"/dev/sda1", "VMDK", raw}, {"/dev/sdb", "OVA", data}, {"/dev/sdc", "RAW", data}, {"/dev/sdf", "", data},
	} {
		d := task.SnapshotDetails[i]
		if d.DeviceName != want.device || d.Format != want.format || d.Status != "completed" {
			t.Errorf("disk %d is %+v, want %+v", i, d, want)
		}
		s.sameDisk(t, d.SnapshotId, want.disk)
	}
	want := "available x86_64 uefi /dev/sda1 4 " + id
	if got := s.aws(t, "ec2", "describe-images", "--image-ids", task.ImageId, "--query", "join(' ',[Images[0].State,Images[0].Architecture,Images[0].BootMode,Images[0].RootDeviceName,"+
		"to_string(length(Images[0].BlockDeviceMappings)),Images[0].Name])"); got != want {
		t.Errorf("the image is %q, want %q", got, want)
	}
	if out, err := s.tryAWS("ec2", "delete-snapshot", "--snapshot-id", task.SnapshotDetails[1].SnapshotId); err == nil || !strings.Contains(out, "InvalidSnapshot.InUse") {
		t.Errorf("the snapshot of an image was deleted: %s", out)
	}

	id = s.aws(t, "ec2", "import-image", "--disk-containers", "Format=ova,UserBucket={S3Bucket=images,S3Key=bad.ova}", "--query", "ImportTaskId")
	if task := s.awaitImage(t, id); task.Status != "deleted" || !strings.HasPrefix(task.StatusMessage, "ClientError: Disk validation failed [") || !strings.HasSuffix(task.StatusMessage, "(disk 1.2 bad.vmdk)") {
		t.Errorf("the task is %+v", task)
	}
	if snaps := s.aws(t, "ec2", "describe-snapshots", "--owner-ids", "self", "--query", "length(Snapshots)"); snaps != "4" {
		t.Errorf("%s snapshots stay, want 4", snaps)
	}
	if out := s.diskport(t, "tasks"); !strings.Contains(out, id) || !strings.Contains(out, task.ImageId) {
		t.Errorf("diskport tasks says %s", out)
	}
	if out := s.diskport(t, "task", task.ImportTaskId); !strings.Contains(out, "system.vmdk") || !strings.Contains(out, "ubuntu64Guest") || !strings.Contains(out, given) {
		t.Errorf("diskport task says %s", out)
	}
}

// TestImportImageIsKilled: a service that is killed in the middle of an image's disks goes
// on with all of them; and a cancelled image leaves nothing.
func TestImportImageIsKilled(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.raw"), filepath.Join(dir, "second.raw")
	makeRaw(t, first, 16<<20, 1<<20, 2<<20)
	makeRaw(t, second, 16<<20, 1<<20, 2<<20)
	third := startThirdParty(t, makeOVA(t, dir, "vm.ova", first, second))
	elsewhere(t, "SOURCE", "THIRD", "third secret")
	flags := []string{"--source-endpoint", third.URL, "--source-sts", "none"}
	folder := filepath.Join(dir, "data")
	s := start(t, folder, flags...)
	if err := s.EnsureRole(t.Context(), "vmimport"); err != nil {
		t.Fatal(err)
	}
	// The middle, once both disks are planned, is in the second disk.
	inDisk2 := func(r *http.Request) bool {
		tasks, err := s.ImageTasks(r.Context())
		if err != nil || len(tasks) == 0 {
			return false
		}
		disks := tasks[len(tasks)-1].Disks
		return len(disks) == 2 && disks[0].Task.VirtualBytes > 0 && disks[1].Task.VirtualBytes > 0 && theSecondHalf(r)
	}
	ask := &ec2.ImportImageInput{DiskContainers: []types.ImageDiskContainer{{Format: aws.String("OVA"), Url: aws.String("s3://images/disk.raw")}}}
	begin := func() string {
		held := third.hold(inDisk2)
		out := must(s.EC2.ImportImage(t.Context(), ask))(t)
		<-held
		return *out.ImportTaskId
	}
	id := begin()
	s.kill(t)
	third.before.Store(nil)
	s = start(t, folder, flags...)
	task, err := s.WatchImage(t.Context(), id, func(client.ImageTask) {})
	if err != nil || task.Status != "completed" {
		t.Fatalf("after the restart the task is %+v, %v", task, err)
	}
	s.sameDisk(t, task.Disks[0].SnapshotID, first)
	s.sameDisk(t, task.Disks[1].SnapshotID, second)

	id = begin()
	s.diskport(t, "cancel", id)
	task, err = s.WatchImage(t.Context(), id, func(client.ImageTask) {})
	if err != nil || task.Status != "deleted" || task.Failure.Message != "User initiated task cancelation." {
		t.Fatalf("cancelled, the task is %+v, %v", task, err)
	}
	if snaps, err := s.Snapshots(t.Context()); err != nil || len(snaps) != 2 {
		t.Errorf("%d snapshots are left, %v, want 2", len(snaps), err)
	}
}

// theSecondHalf reports whether a request is for bytes behind 16 MiB.
func theSecondHalf(r *http.Request) bool {
	var first, last int64
	_, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
	return err == nil && first > 17<<20
}
