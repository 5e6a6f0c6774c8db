package ec2api

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/tag"
)

// goldenImageTasks are one task in each state: an OVA of two disks beside a snapshot.
func goldenImageTasks() []importtask.ImageTask {
	disks := []importtask.Task{
		{
			ID: taskI + "/1", ImageTask: taskI, Place: importtask.Place{Container: 1, Disk: 1}, DiskDescription: "the machine", Format: "VMDK", Bucket: "my-import-bucket", Key: "vms/vm.ova",
			Member: "a.vmdk", SourceBytes: 1 << 30, SnapshotID: snapA, State: importtask.Active, Phase: importtask.Converting, StartedAt: clock,
			Ranges: []importtask.Range{{Bytes: 1 << 30}}, Counts: importtask.Counts{Done: 1 << 30}, Machine: importtask.Machine{BootMode: "uefi", Guest: "ubuntu64Guest", Architecture: "x86_64"},
		},
		{
			ID: taskI + "/1.2", ImageTask: taskI, Place: importtask.Place{Container: 1, Disk: 2}, Format: "VMDK", Bucket: "my-import-bucket", Key: "vms/vm.ova",
			Member: "b.vmdk", SourceBytes: 1 << 30, SnapshotID: snapB, State: importtask.Active, Phase: importtask.Converting, StartedAt: clock,
			Ranges: []importtask.Range{{Bytes: 3 << 30}}, Counts: importtask.Counts{Done: 1 << 30},
		},
	}
	active := importtask.ImageTask{
		ID: taskI, Account: account, State: importtask.Active, CreatedAt: clock, Disks: disks, Tags: tag.Set{{Key: "Name", Value: "packer-import"}},
		Spec: importtask.ImageSpec{Description: "my VM", Platform: "Linux", LicenseType: "BYOL", Hypervisor: "xen", Given: []importtask.Given{{Container: 2, Snapshot: snapE, Device: "/dev/sdf", Description: "data"}}},
	}
	in := func(n string, state importtask.State) importtask.ImageTask {
		t := active
		t.ID, t.State, t.Tags = taskI[:len(taskI)-1]+n, state, nil
		t.Disks = slices.Clone(t.Disks)
		for i := range t.Disks {
			t.Disks[i].State = state
		}
		return t
	}
	completed, failed := in("2", importtask.Completed), in("3", importtask.Deleted)
	completed.ImageID = imageA
	failed.Failure = importtask.Failure{Message: "ClientError: Disk validation failed [Unexpected end of file] (disk 1.2 b.vmdk)"}
	failed.Disks[1].Failure = failed.Failure
	failed.Spec.Encrypted, failed.Spec.KMSKey, failed.Disks[0].KMSKey = true, "alias/k", keyARN
	return []importtask.ImageTask{active, completed, failed}
}

func TestGoldenImageTasks(t *testing.T) {
	ctx := t.Context()
	f := newFixture(nil)
	w := newWire(t, f)
	full := &ec2.ImportImageInput{
		Architecture: aws.String("x86_64"), BootMode: types.BootModeValuesUefi, ClientToken: aws.String("tok"), Description: aws.String("my VM"),
		ClientData: &types.ClientData{Comment: aws.String("a b/é"), UploadSize: aws.Float64(1.5)}, Encrypted: aws.Bool(false), Hypervisor: aws.String("xen"),
		LicenseSpecifications: []types.ImportImageLicenseConfigurationRequest{{LicenseConfigurationArn: aws.String("arn:aws:license-manager:us-east-1:123456789012:license-configuration:lic-" + strings.Repeat("0", 32))}},
		LicenseType:           aws.String("BYOL"), Platform: aws.String("Linux"), RoleName: aws.String("r"), UsageOperation: aws.String("RunInstances:00g0"),
		DiskContainers: []types.ImageDiskContainer{
			{Description: aws.String("dc"), Format: aws.String("ova"), UserBucket: &types.UserBucket{S3Bucket: aws.String("b"), S3Key: aws.String("k/y z.ova")}},
			{DeviceName: aws.String("/dev/sdf"), Url: aws.String("s3://my-import-bucket/data.vhd")},
			{SnapshotId: aws.String(snapA)},
		},
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeImportImageTask, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("V1")}}}},
	}
	out, err := w.ImportImage(ctx, full)
	w.check(t, "import-image", out, err)
	full.DryRun = aws.Bool(true)
	out, err = w.ImportImage(ctx, full)
	w.check(t, "import-image-dry", out, err)
	out, err = w.ImportImage(ctx, &ec2.ImportImageInput{Platform: aws.String("")})
	w.check(t, "import-image-nothing", out, err)

	f.imports.imageTasks = goldenImageTasks()
	listed, err := w.DescribeImportImageTasks(ctx, &ec2.DescribeImportImageTasksInput{})
	w.check(t, "describe-image-tasks", listed, err)
	listed, err = w.DescribeImportImageTasks(ctx, &ec2.DescribeImportImageTasksInput{ // what Ansible asks for, a page of it
		Filters:    []types.Filter{{Name: aws.String("tag:Name"), Values: []string{"packer-import"}}, {Name: aws.String("task-state"), Values: []string{"active", "completed"}}},
		MaxResults: aws.Int32(1),
	})
	w.check(t, "describe-image-tasks-page", listed, err)
	cancelled, err := w.CancelImportTask(ctx, &ec2.CancelImportTaskInput{ImportTaskId: aws.String(taskI)})
	w.check(t, "cancel-image", cancelled, err)
}

// TestImageProgress is the sum of the disks' once all are planned, and never falls.
func TestImageProgress(t *testing.T) {
	disk := func(p importtask.Phase, bytes, done int64) importtask.Task {
		return importtask.Task{Phase: p, Ranges: []importtask.Range{{Bytes: bytes}}, Counts: importtask.Counts{Done: done}}
	}
	last := 0
	for _, c := range []struct {
		disks []importtask.Task
		want  int
	}{
		{[]importtask.Task{disk(importtask.Waiting, 0, 0), disk(importtask.Waiting, 0, 0)}, 0},
		{[]importtask.Task{disk(importtask.Converting, 100, 90), disk(importtask.Waiting, 0, 0)}, 3},
		{[]importtask.Task{disk(importtask.Converting, 100, 100), disk(importtask.Validated, 0, 0)}, 3},
		{[]importtask.Task{disk(importtask.Converting, 100, 100), disk(importtask.Converting, 300, 20)}, 30},
		{[]importtask.Task{disk(importtask.Converting, 100, 100), disk(importtask.Converting, 300, 300)}, 99},
		{[]importtask.Task{disk(importtask.Completing, 100, 100), disk(importtask.Completing, 300, 300)}, 99},
	} {
		got := imageProgress(importtask.ImageTask{Disks: c.disks})
		if got != c.want || got < last {
			t.Errorf("%+v: got %d, want %d", c.disks, got, c.want)
		}
		last = got
	}
	if got := imageProgress(importtask.ImageTask{}); got != 0 {
		t.Errorf("an image without disks: %d", got)
	}
}

// TestStrictImageTask: AWS says nothing of a task that is completed.
func TestStrictImageTask(t *testing.T) {
	done := goldenImageTasks()[1]
	for _, strict := range []bool{false, true} {
		f := newFixture(func(o *Options) { o.Strict = strict })
		if got := (call{API: f.API}).showImageTask(done); (got.StatusMessage == "") != strict {
			t.Errorf("strict %v: %q", strict, got.StatusMessage)
		}
	}
}

// TestImportImageRequest: the request that the domain gets.
func TestImportImageRequest(t *testing.T) {
	f := newFixture(nil)
	f.ok(t, "ImportImage", "DiskContainer.2.Url=s3://bkt/k/y z.vhd", "DiskContainer.2.Format=vhd", "DiskContainer.2.UserBucket.S3Bucket=", "DiskContainer.7.SnapshotId="+snapA,
		"DiskContainer.7.DeviceName=/dev/sdg", "DiskContainer.7.Description=dd", "Platform=", "Description=d", "ClientToken=tok", "TagSpecification.1.ResourceType=import-image-task",
		"TagSpecification.1.Tag.1.Key=K", "TagSpecification.1.Tag.1.Value=")
	got := f.imports.gotImage
	if len(got.Digest) != 64 || got.Caller.ARN != userARN || got.Origin.SourceIP != "192.0.2.1" {
		t.Errorf("got %+v", got)
	}
	got.Digest, got.Caller, got.Origin = "", iam.Principal{}, iam.Origin{}
	want := importtask.ImageRequest{
		Account: account, Region: "us-east-1", Token: "tok", Spec: importtask.ImageSpec{Description: "d", RoleName: "vmimport"}, OwnHosts: []string{"disk.example:4580"},
		Containers: []importtask.Container{{URL: "s3://bkt/k/y z.vhd", Format: "VHD"}, {Snapshot: snapA, Device: "/dev/sdg", Description: "dd"}}, Tags: []tag.Tag{{Key: "K"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(iam.Principal{})); diff != "" {
		t.Error(diff)
	}

	f.ok(t, "EnableEbsEncryptionByDefault")
	f.ok(t, "ImportImage", "DiskContainer.1.Url=s3://bkt/k")
	if spec := f.imports.gotImage.Spec; !spec.Encrypted {
		t.Errorf("by default it asks for %+v", spec)
	}
	f.DeepDryRun = true
	if w := f.do("ImportImage", "DiskContainer.1.Url=s3://bkt/k", "DryRun=true"); w.Code != 412 || f.imports.checkedImage.Account != account {
		t.Errorf("a deep dry run: %d, checked %+v", w.Code, f.imports.checkedImage)
	}
}

func TestImageDigest(t *testing.T) {
	of := func(params ...string) string {
		f := newFixture(nil)
		f.ok(t, "ImportImage", append(slices.Clone(good["ImportImage"]), params...)...)
		return f.imports.gotImage.Digest
	}
	plain := of()
	for _, same := range [][]string{{"ClientToken=t"}, {"DryRun=false"}, {"Encrypted=false"}, {"Platform=", "RoleName="}} {
		if of(same...) != plain {
			t.Errorf("%s: the digests differ", same)
		}
	}
	if of("DiskContainer.1.Format=ova") != of("DiskContainer.1.Format=OVA") {
		t.Error("the case of the format makes a difference")
	}
	seen := map[string]string{plain: "plain"}
	for _, p := range []string{
		"Description=d", "Architecture=i386", "BootMode=uefi", "Hypervisor=xen", "LicenseType=AWS", "Platform=Linux", "UsageOperation=RunInstances", "RoleName=r",
		"LicenseSpecifications.1.LicenseConfigurationArn=arn:aws:license-manager:us-east-1:123456789012:license-configuration:lic-" + strings.Repeat("0", 32),
		"ClientData.UploadSize=1", "ClientData.UploadSize=NaN", "DiskContainer.1.DeviceName=/dev/sdx", "DiskContainer.2.DeviceName=/dev/sdx", "DiskContainer.1.Description=d",
		"DiskContainer.1.Format=OVA", "DiskContainer.2.SnapshotId=" + snapB, "DiskContainer.3.SnapshotId=" + snapB,
	} {
		d := of(p)
		if seen[d] != "" {
			t.Errorf("%s: same digest as %s", p, seen[d])
		}
		seen[d] = p
	}
}
