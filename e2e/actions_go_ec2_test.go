package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/client"
)

func only(name string, values ...string) []types.Filter {
	return []types.Filter{{Name: &name, Values: values}}
}

func snapshotID(s types.Snapshot) *string { return s.SnapshotId }

// askImports prepares what imports need, imports, and removes it all.
func (s *service) askImports(t *testing.T, disk string) {
	ctx, bucket, object, role, p := t.Context(), aws.String("actions"), aws.String("disk.raw"), aws.String("vmimport"), aws.String("images")
	must(s.S3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}))(t)
	must(s.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: object, Body: open(t, disk)}))(t)
	must(s.IAM.CreateRole(ctx, &iam.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: aws.String(trustPolicy)}))(t)
	must(s.IAM.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: role, PolicyName: p, PolicyDocument: aws.String(someRights)}))(t)

	snap, task := s.askImport(t)
	s.sameDisk(t, snap, disk)
	copied := s.askCopies(t, snap)
	s.askAttributes(t, snap)
	s.askTags(t, snap, task)
	s.askTiers(t, copied)
	s.askDefaults(t)
	s.askRegions(t)
	s.askImages(t, snap)
	s.askVolumes(t, snap)
	s.askMachine(t, disk, snap)
	s.askCancel(t)

	for _, id := range each(must(s.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}}))(t).Snapshots, snapshotID) {
		must(s.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &id}))(t)
	}
	refused(s.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{snap}}))(t, "InvalidSnapshot.NotFound")
	must(s.IAM.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: role, PolicyName: p}))(t)
	must(s.IAM.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role}))(t)
	must(s.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: object}))(t)
	must(s.S3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket}))(t)
}

// uploaded is an import of the disk in bucket actions.
func uploaded() *ec2.ImportSnapshotInput {
	return &ec2.ImportSnapshotInput{DiskContainer: &types.SnapshotDiskContainer{
		Format: aws.String("RAW"), UserBucket: &types.UserBucket{S3Bucket: aws.String("actions"), S3Key: aws.String("disk.raw")},
	}}
}

// finish waits for a task as the SDK does, and returns it.
func (s *service) finish(t *testing.T, id *string) types.ImportSnapshotTask {
	t.Helper()
	in := &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{*id}}
	waiter := ec2.NewSnapshotImportedWaiter(s.EC2, func(o *ec2.SnapshotImportedWaiterOptions) { o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second })
	out := must(waiter.WaitForOutput(t.Context(), in, patience))(t)
	return out.ImportSnapshotTasks[0]
}

func (s *service) askImport(t *testing.T) (snapshot, task string) {
	ctx, in := t.Context(), uploaded()
	in.Description, in.ClientToken, in.DryRun = aws.String("mine"), aws.String("once"), aws.Bool(true)
	in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeImportSnapshotTask, Tags: []types.Tag{{Key: aws.String("stage"), Value: aws.String("e2e")}}}}
	refused(s.EC2.ImportSnapshot(ctx, in))(t, "DryRunOperation")
	in.DryRun = nil
	made := must(s.EC2.ImportSnapshot(ctx, in))(t)
	says(t, "mine active RAW actions", made.Description, made.SnapshotTaskDetail.Status, made.SnapshotTaskDetail.Format, made.SnapshotTaskDetail.UserBucket.S3Bucket)
	if len(made.Tags) != 1 || !strings.HasPrefix(*made.ImportTaskId, "import-snap-") {
		t.Errorf("made %s with %d tags", *made.ImportTaskId, len(made.Tags))
	}
	says(t, *made.ImportTaskId, must(s.EC2.ImportSnapshot(ctx, in))(t).ImportTaskId)
	done := s.finish(t, made.ImportTaskId).SnapshotTaskDetail
	says(t, "completed 4.194304e+06", done.Status, done.DiskImageSize)
	found := must(s.EC2.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{Filters: append(only("task-state", "completed"), only("tag:stage", "e2e")...)}))(t)
	says(t, "["+*made.ImportTaskId+"]", each(found.ImportSnapshotTasks, func(i types.ImportSnapshotTask) *string { return i.ImportTaskId }))
	refused(s.EC2.CancelImportTask(ctx, &ec2.CancelImportTaskInput{ImportTaskId: made.ImportTaskId}))(t, "DeleteConversionTaskError")
	snap := s.described(t, *done.SnapshotId)
	says(t, "completed 100% mine 1 000000000000 false standard", snap.State, snap.Progress, snap.Description, snap.VolumeSize, snap.OwnerId, snap.Encrypted, snap.StorageTier)
	return *done.SnapshotId, *made.ImportTaskId
}

// askCopies returns a copy that is not encrypted.
func (s *service) askCopies(t *testing.T, snap string) string {
	ctx := t.Context()
	copied := must(s.EC2.CopySnapshot(ctx, &ec2.CopySnapshotInput{
		SourceRegion: aws.String(region), SourceSnapshotId: &snap, Description: aws.String("copied"),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}},
	}))(t)
	says(t, "1", len(copied.Tags))
	secret := must(s.EC2.CopySnapshot(ctx, &ec2.CopySnapshotInput{SourceRegion: aws.String(region), SourceSnapshotId: &snap, Encrypted: aws.Bool(true)}))(t).SnapshotId
	s.awaitSnapshot(t, *copied.SnapshotId)
	s.awaitSnapshot(t, *secret)
	says(t, "copied 1", s.described(t, *copied.SnapshotId).Description, len(s.described(t, *copied.SnapshotId).Tags))
	encrypted := must(s.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{Filters: only("encrypted", "true")}))(t)
	says(t, "["+*secret+"]", each(encrypted.Snapshots, snapshotID))
	return *copied.SnapshotId
}

func (s *service) askAttributes(t *testing.T, snap string) {
	ctx := t.Context()
	sharedWith := func() []string {
		out := must(s.EC2.DescribeSnapshotAttribute(ctx, &ec2.DescribeSnapshotAttributeInput{SnapshotId: &snap, Attribute: types.SnapshotAttributeNameCreateVolumePermission}))(t)
		return each(out.CreateVolumePermissions, func(p types.CreateVolumePermission) *string { return p.UserId })
	}
	must(s.EC2.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
		SnapshotId: &snap, CreateVolumePermission: &types.CreateVolumePermissionModifications{Add: []types.CreateVolumePermission{{UserId: aws.String("111122223333")}}},
	}))(t)
	says(t, "[111122223333]", sharedWith())
	must(s.EC2.ResetSnapshotAttribute(ctx, &ec2.ResetSnapshotAttributeInput{SnapshotId: &snap, Attribute: types.SnapshotAttributeNameCreateVolumePermission}))(t)
	says(t, "[]", sharedWith())
}

func (s *service) askTags(t *testing.T, snap, task string) {
	ctx, name := t.Context(), []types.Tag{{Key: aws.String("Name"), Value: aws.String("web")}}
	named := func() []string {
		out := must(s.EC2.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: only("key", "Name")}))(t)
		return each(out.Tags, func(tag types.TagDescription) *string {
			return aws.String(string(tag.ResourceType) + "=" + aws.ToString(tag.Value))
		})
	}
	must(s.EC2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{snap, task}, Tags: name}))(t)
	says(t, "[import-snapshot-task=web snapshot=web]", named())
	must(s.EC2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{snap}, Tags: name}))(t)
	says(t, "[import-snapshot-task=web]", named())
}

func (s *service) askTiers(t *testing.T, snap string) {
	ctx := t.Context()
	tier := func() types.SnapshotTierStatus {
		out := must(s.EC2.DescribeSnapshotTierStatus(ctx, &ec2.DescribeSnapshotTierStatusInput{Filters: only("snapshot-id", snap)}))(t)
		if len(out.SnapshotTierStatuses) != 1 {
			t.Fatalf("tiers %+v", out.SnapshotTierStatuses)
		}
		return out.SnapshotTierStatuses[0]
	}
	moved := must(s.EC2.ModifySnapshotTier(ctx, &ec2.ModifySnapshotTierInput{SnapshotId: &snap, StorageTier: types.TargetStorageTierArchive}))(t)
	says(t, snap+" true", moved.SnapshotId, moved.TieringStartTime != nil)
	says(t, "archive archival-completed", tier().StorageTier, tier().LastTieringOperationStatus)
	back := must(s.EC2.RestoreSnapshotTier(ctx, &ec2.RestoreSnapshotTierInput{SnapshotId: &snap, PermanentRestore: aws.Bool(true)}))(t)
	says(t, snap+" true", back.SnapshotId, back.IsPermanentRestore)
	says(t, "standard", tier().StorageTier)
}

// askDefaults imports with encryption by default, under a default key.
func (s *service) askDefaults(t *testing.T) {
	ctx, key := t.Context(), s.key(t, nil)
	says(t, "alias/aws/ebs", must(s.EC2.GetEbsDefaultKmsKeyId(ctx, &ec2.GetEbsDefaultKmsKeyIdInput{}))(t).KmsKeyId)
	says(t, *key.Arn, must(s.EC2.ModifyEbsDefaultKmsKeyId(ctx, &ec2.ModifyEbsDefaultKmsKeyIdInput{KmsKeyId: key.Arn}))(t).KmsKeyId)
	says(t, "true", must(s.EC2.EnableEbsEncryptionByDefault(ctx, &ec2.EnableEbsEncryptionByDefaultInput{}))(t).EbsEncryptionByDefault)
	says(t, "true", must(s.EC2.GetEbsEncryptionByDefault(ctx, &ec2.GetEbsEncryptionByDefaultInput{}))(t).EbsEncryptionByDefault)
	done := s.finish(t, must(s.EC2.ImportSnapshot(ctx, uploaded()))(t).ImportTaskId).SnapshotTaskDetail
	says(t, "true "+*key.Arn, done.Encrypted, done.KmsKeyId)
	says(t, "true "+*key.Arn, s.described(t, *done.SnapshotId).Encrypted, s.described(t, *done.SnapshotId).KmsKeyId)
	says(t, "false", must(s.EC2.DisableEbsEncryptionByDefault(ctx, &ec2.DisableEbsEncryptionByDefaultInput{}))(t).EbsEncryptionByDefault)
	says(t, "alias/aws/ebs", must(s.EC2.ResetEbsDefaultKmsKeyId(ctx, &ec2.ResetEbsDefaultKmsKeyIdInput{}))(t).KmsKeyId)
	s.discard(t, key)
}

func (s *service) askRegions(t *testing.T) {
	ctx := t.Context()
	regions := must(s.EC2.DescribeRegions(ctx, &ec2.DescribeRegionsInput{RegionNames: []string{region}}))(t).Regions
	if len(regions) != 1 || !strings.HasSuffix(s.endpoint, *regions[0].Endpoint) {
		t.Errorf("regions %+v", regions)
	}
	zones := must(s.EC2.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{}))(t).AvailabilityZones
	says(t, "["+region+"a "+region+"b "+region+"c]", each(zones, func(z types.AvailabilityZone) *string { return z.ZoneName }))
	about := must(s.EC2.DescribeAccountAttributes(ctx, &ec2.DescribeAccountAttributesInput{AttributeNames: []types.AccountAttributeName{types.AccountAttributeNameDefaultVpc}}))(t)
	says(t, "none", about.AccountAttributes[0].AttributeValues[0].AttributeValue)
	refused(s.EC2.LockSnapshot(ctx, &ec2.LockSnapshotInput{SnapshotId: aws.String("snap-00000000000000000"), LockMode: types.LockModeCompliance}))(t, "UnsupportedOperation")
}

func (s *service) askImages(t *testing.T, snap string) {
	ctx := t.Context()
	id := must(s.EC2.RegisterImage(ctx, &ec2.RegisterImageInput{
		Name: aws.String("img"), Architecture: types.ArchitectureValuesX8664, RootDeviceName: aws.String("/dev/sda1"),
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/sda1"), Ebs: &types.EbsBlockDevice{SnapshotId: &snap}}},
	}))(t).ImageId
	own := &ec2.DescribeImagesInput{Owners: []string{"self"}}
	images := must(ec2.NewImageAvailableWaiter(s.EC2).WaitForOutput(ctx, own, patience))(t).Images
	if len(images) != 1 || len(images[0].BlockDeviceMappings) != 1 {
		t.Fatalf("images %+v", images)
	}
	says(t, *id+" img available "+snap, images[0].ImageId, images[0].Name, images[0].State, images[0].BlockDeviceMappings[0].Ebs.SnapshotId)
	refused(s.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &snap}))(t, "InvalidSnapshot.InUse")
	s.askImageAttributes(t, id)
	s.askImageCopies(t, id)
	says(t, "true", must(s.EC2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: id}))(t).Return)
	says(t, "0", len(must(s.EC2.DescribeImages(ctx, own))(t).Images))
}

func (s *service) askImageAttributes(t *testing.T, id *string) {
	ctx := t.Context()
	must(s.EC2.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{
		ImageId: id, LaunchPermission: &types.LaunchPermissionModifications{Add: []types.LaunchPermission{{UserId: aws.String("123456789012")}}},
	}))(t)
	permissions := func() int {
		return len(must(s.EC2.DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{ImageId: id, Attribute: types.ImageAttributeNameLaunchPermission}))(t).LaunchPermissions)
	}
	says(t, "1", permissions())
	must(s.EC2.ResetImageAttribute(ctx, &ec2.ResetImageAttributeInput{ImageId: id, Attribute: types.ResetImageAttributeNameLaunchPermission}))(t)
	says(t, "0", permissions())
	says(t, "true", must(s.EC2.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{ImageId: id, DeprecateAt: aws.Time(time.Now().Add(time.Hour))}))(t).Return)
	says(t, "true", must(s.EC2.DisableImageDeprecation(ctx, &ec2.DisableImageDeprecationInput{ImageId: id}))(t).Return)
	says(t, "enabled-without-cooldown", must(s.EC2.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{ImageId: id}))(t).Return)
	refused(s.EC2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: id}))(t, "OperationNotPermitted")
	says(t, "disabled", must(s.EC2.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: id}))(t).Return)
	says(t, *id, must(s.EC2.GetInstanceUefiData(ctx, &ec2.GetInstanceUefiDataInput{InstanceId: id}))(t).InstanceId)
}

// askImageCopies copies an image inside its region, encrypted, and to another region, as
// publishing pipelines do.
func (s *service) askImageCopies(t *testing.T, id *string) {
	const there = "eu-north-1"
	for name, c := range map[string]struct {
		client    *ec2.Client
		encrypted bool
	}{"here": {s.EC2, true}, "there": {s.in(there, s.creds), false}} {
		ctx := t.Context()
		copied := must(c.client.CopyImage(ctx, &ec2.CopyImageInput{SourceRegion: aws.String(region), SourceImageId: id, Name: &name, Encrypted: &c.encrypted}))(t)
		found := must(ec2.NewImageAvailableWaiter(c.client, func(o *ec2.ImageAvailableWaiterOptions) { o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second }).
			WaitForOutput(ctx, &ec2.DescribeImagesInput{ImageIds: []string{*copied.ImageId}}, patience))(t).Images[0]
		says(t, name+" "+*id+" "+region, found.Name, found.SourceImageId, found.SourceImageRegion)
		disk := found.BlockDeviceMappings[0].Ebs
		snap := must(c.client.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*disk.SnapshotId}}))(t).Snapshots[0]
		if snap.State != types.SnapshotStateCompleted || *snap.Encrypted != c.encrypted || *disk.Encrypted != c.encrypted ||
			!strings.HasPrefix(*snap.Description, "Copied for DestinationAmi "+*copied.ImageId+" from SourceAmi "+*id+" for SourceSnapshot ") {
			t.Errorf("%s: snapshot %+v", name, snap)
		}
		must(c.client.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: copied.ImageId}))(t)
		must(c.client.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: disk.SnapshotId}))(t)
	}
}

// askMachine imports an image of an OVA with two disks and a snapshot.
func (s *service) askMachine(t *testing.T, disk, snap string) {
	ctx, dir := t.Context(), t.TempDir()
	second := writeFile(t, dir, "second.raw", string(make([]byte, blockBytes)))
	object := &s3.PutObjectInput{Bucket: aws.String("actions"), Key: aws.String("vm.ova"), Body: open(t, makeOVA(t, dir, "vm.ova", disk, second))}
	must(s.S3.PutObject(ctx, object))(t)
	in := &ec2.ImportImageInput{
		Description: aws.String("a machine"), ClientToken: aws.String("machine"), BootMode: types.BootModeValuesLegacyBios, DryRun: aws.Bool(true), Encrypted: aws.Bool(false),
		DiskContainers: []types.ImageDiskContainer{
			{Format: aws.String("OVA"), UserBucket: &types.UserBucket{S3Bucket: object.Bucket, S3Key: object.Key}},
			{SnapshotId: &snap, DeviceName: aws.String("/dev/sdx")},
		},
	}
	refused(s.EC2.ImportImage(ctx, in))(t, "DryRunOperation")
	in.DryRun = nil
	id := must(s.EC2.ImportImage(ctx, in))(t).ImportTaskId
	says(t, *id, must(s.EC2.ImportImage(ctx, in))(t).ImportTaskId)
	done := must(s.WatchImage(ctx, *id, func(client.ImageTask) {}))(t)
	shown := must(s.EC2.DescribeImportImageTasks(ctx, &ec2.DescribeImportImageTasksInput{ImportTaskIds: []string{*id}}))(t).ImportImageTasks[0]
	says(t, "completed a machine "+done.ImageID+" 3 legacy-bios", shown.Status, shown.Description, shown.ImageId, len(shown.SnapshotDetails), shown.BootMode)
	s.sameDisk(t, *shown.SnapshotDetails[0].SnapshotId, disk)
	s.sameDisk(t, *shown.SnapshotDetails[1].SnapshotId, second)
	says(t, snap+" /dev/sdx", shown.SnapshotDetails[2].SnapshotId, shown.SnapshotDetails[2].DeviceName)
	made := must(s.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{done.ImageID}}))(t).Images[0]
	says(t, *id+" a machine available x86_64 3", made.Name, made.Description, made.State, made.Architecture, len(made.BlockDeviceMappings))
	must(s.EC2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: &done.ImageID}))(t)
	must(s.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: object.Bucket, Key: object.Key}))(t)

	stuck := must(s.EC2.ImportImage(ctx, &ec2.ImportImageInput{DiskContainers: []types.ImageDiskContainer{{Url: aws.String("s3://images/disk.raw")}}}))(t).ImportTaskId
	gone := must(s.EC2.CancelImportTask(ctx, &ec2.CancelImportTaskInput{ImportTaskId: stuck}))(t)
	says(t, *stuck+" active deleting", gone.ImportTaskId, gone.PreviousState, gone.State)
	says(t, "deleted", must(s.WatchImage(ctx, *stuck, func(client.ImageTask) {}))(t).Status)
}

// askVolumes makes volumes of a snapshot that is then deleted, and snapshots of them.
func (s *service) askVolumes(t *testing.T, snap string) {
	ctx := t.Context()
	source := must(s.EC2.CopySnapshot(ctx, &ec2.CopySnapshotInput{SourceRegion: aws.String(region), SourceSnapshotId: &snap}))(t).SnapshotId
	s.awaitSnapshot(t, *source)
	zone := aws.String(region + "b")
	var ids []string
	for _, in := range []*ec2.CreateVolumeInput{
		{AvailabilityZone: zone, SnapshotId: source, ClientToken: aws.String("plain")},
		{AvailabilityZone: zone, SnapshotId: source, Encrypted: aws.Bool(true), VolumeType: types.VolumeTypeGp3},
	} {
		made := must(s.EC2.CreateVolume(ctx, in))(t)
		says(t, "creating 1 "+*source, made.State, made.Size, made.SnapshotId)
		ids = append(ids, *made.VolumeId)
	}
	must(ec2.NewVolumeAvailableWaiter(s.EC2).WaitForOutput(ctx, &ec2.DescribeVolumesInput{VolumeIds: ids}, patience))(t)
	must(s.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: source}))(t)
	says(t, "2", len(must(s.EC2.DescribeVolumeStatus(ctx, &ec2.DescribeVolumeStatusInput{VolumeIds: ids}))(t).VolumeStatuses))
	for n, id := range ids {
		taken := must(s.EC2.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{VolumeId: &id, Description: aws.String("daily")}))(t)
		says(t, "pending standard "+id, taken.State, taken.StorageTier, taken.VolumeId)
		s.awaitSnapshot(t, *taken.SnapshotId)
		says(t, map[bool]string{false: "false daily", true: "true daily"}[n == 1], s.described(t, *taken.SnapshotId).Encrypted, s.described(t, *taken.SnapshotId).Description)
		must(s.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: taken.SnapshotId}))(t)
		changed := must(s.EC2.ModifyVolume(ctx, &ec2.ModifyVolumeInput{VolumeId: &id, Size: aws.Int32(3)}))(t).VolumeModification
		says(t, "completed 1 3", changed.ModificationState, changed.OriginalSize, changed.TargetSize)
		says(t, "1", len(must(s.EC2.DescribeVolumesModifications(ctx, &ec2.DescribeVolumesModificationsInput{VolumeIds: []string{id}}))(t).VolumesModifications))
		must(s.EC2.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: &id}))(t)
	}
	says(t, "0", len(must(s.EC2.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{}))(t).Volumes))
}

// askCancel cancels an import that does not end by itself.
func (s *service) askCancel(t *testing.T) {
	ctx := t.Context()
	id := must(s.EC2.ImportSnapshot(ctx, importOf("s3://images/disk.raw")))(t).ImportTaskId
	gone := must(s.EC2.CancelImportTask(ctx, &ec2.CancelImportTaskInput{ImportTaskId: id, CancelReason: aws.String("test")}))(t)
	says(t, *id+" active deleting", gone.ImportTaskId, gone.PreviousState, gone.State)
	task := must(s.Watch(ctx, *id, func(client.Task) {}))(t)
	says(t, "deleted", task.Status)
	shown := must(s.EC2.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{*id}}))(t).ImportSnapshotTasks[0].SnapshotTaskDetail
	says(t, "deleted User initiated task cancelation.", shown.Status, shown.StatusMessage)
}

// leftClean checks that the walks have undone what they did.
func (s *service) leftClean(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	snapshots, err1 := s.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{})
	buckets, err2 := s.S3.ListBuckets(ctx, &s3.ListBucketsInput{})
	roles, err3 := s.IAM.ListRoles(ctx, &iam.ListRolesInput{})
	users, err4 := s.IAM.ListUsers(ctx, &iam.ListUsersInput{})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	says(t, "0 0 0 0", len(snapshots.Snapshots), len(buckets.Buckets), len(roles.Roles), len(users.Users))
}
