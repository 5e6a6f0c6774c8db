package ec2api

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/volume"
)

var update = flag.Bool("update", false, "write the golden files anew")

type keys struct{ who iam.Principal }

func (k keys) Lookup(_ context.Context, id, _ string) (iam.Principal, sigv4.Secret, error) {
	if id != "AKID" {
		return iam.Principal{}, sigv4.Secret{}, iam.ErrUnknownKey
	}
	return k.who, sigv4.NewSecret("secret"), nil
}

// wire is the edge behind the front chain on a listener, the SDK's client for it,
// and a record of the last exchange.
type wire struct {
	*ec2.Client
	request, response bytes.Buffer
	host              string // of the listener, which is another one each time
}

func newWire(t *testing.T, f *fixture) *wire {
	w := &wire{}
	front := awshttp.New(awshttp.Options{
		Regions: wiretest.Regions("us-east-1"),
		Edges:   map[string]awshttp.Edge{awshttp.EC2: f.API}, Keys: keys{f.principal()},
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		NewID: func() string { return "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0" },
	})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.request.Reset()
		w.response.Reset()
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		fmt.Fprintf(&w.request, "%s %s\nContent-Type: %s\n", r.Method, r.URL, r.Header.Get("Content-Type"))
		for _, p := range strings.Split(string(body), "&") { // as sent, one on a line
			fmt.Fprintf(&w.request, "%s\n", p)
		}
		rec := httptest.NewRecorder()
		front.ServeHTTP(rec, r)
		for name, values := range rec.Header() {
			rw.Header()[name] = values
		}
		rw.WriteHeader(rec.Code)
		_, _ = rw.Write(rec.Body.Bytes())
		fmt.Fprintf(&w.response, "%d\nContent-Type: %s\n%s\n", rec.Code, rec.Header().Get("Content-Type"), elements.ReplaceAllString(rec.Body.String(), ">\n<$1"))
	}))
	t.Cleanup(server.Close)
	w.host = server.Listener.Addr().String()
	w.Client = ec2.New(ec2.Options{
		BaseEndpoint: aws.String(server.URL), Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
	})
	return w
}

// elements parts the answers into lines.
var elements = regexp.MustCompile(`><([^/])`)

// check compares the last exchange, and what the client made of it, with a file.
func (w *wire) check(t *testing.T, name string, out any, err error) {
	t.Helper()
	var parsed string
	var told smithy.APIError
	if errors.As(err, &told) {
		parsed = told.ErrorCode() + ": " + told.ErrorMessage()
	} else if err != nil {
		t.Fatal(err)
	} else {
		parsed = wiretest.Plain(t, out)
	}
	got := "-- request --\n" + w.request.String() + "-- response --\n" + w.response.String() + "-- client --\n" + parsed + "\n"
	got = strings.ReplaceAll(got, w.host, "disk.example:4580")
	if *update {
		wiretest.WriteGolden(t, name, got)
	}
	wiretest.Golden(t, name, got)
}

func TestGolden(t *testing.T) {
	ctx := t.Context()
	f := newFixture(nil)
	w := newWire(t, f)

	imported, err := w.ImportSnapshot(ctx, fullImport())
	w.check(t, "import", imported, err)
	imported, err = w.ImportSnapshot(ctx, &ec2.ImportSnapshotInput{
		DiskContainer: &types.SnapshotDiskContainer{Url: aws.String("s3://my-import-bucket/vms/my server.vhd")}, Encrypted: aws.Bool(false),
	})
	w.check(t, "import-url", imported, err)
	imported, err = w.ImportSnapshot(ctx, &ec2.ImportSnapshotInput{})
	w.check(t, "import-nothing", imported, err)
	dry := fullImport()
	dry.DryRun = aws.Bool(true)
	imported, err = w.ImportSnapshot(ctx, dry)
	w.check(t, "import-dry", imported, err)

	f.imports.tasks, f.imports.urls = goldenTasks(), map[string]string{taskC: "s3://my-import-bucket/other.vhd"}
	listed, err := w.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{})
	w.check(t, "describe-tasks", listed, err)
	listed, err = w.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{
		ImportTaskIds: []string{taskA, taskB}, MaxResults: aws.Int32(1),
		Filters: []types.Filter{{Name: aws.String("task-state"), Values: []string{"active", "deleted"}}},
	})
	w.check(t, "describe-tasks-page", listed, err)
	listed, err = w.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{unknownTask}})
	w.check(t, "describe-tasks-unknown", listed, err)
	cancelled, err := w.CancelImportTask(ctx, &ec2.CancelImportTaskInput{ImportTaskId: aws.String(taskA), CancelReason: aws.String("changed my mind")})
	w.check(t, "cancel", cancelled, err)

	f.snapshots.records = goldenSnapshots()
	shown, err := w.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"}, RestorableByUserIds: []string{"self"}, SnapshotIds: []string{snapA, snapB},
		Filters: []types.Filter{{Name: aws.String("volume-size"), Values: []string{"3", "1"}}},
	})
	w.check(t, "describe-snapshots", shown, err)
	deleted, err := w.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(snapA)})
	w.check(t, "delete-snapshot", deleted, err)
	deleted, err = w.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(snapA)})
	w.check(t, "delete-snapshot-unknown", deleted, err)

	tagged, err := w.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{snapA, taskA}, Tags: []types.Tag{{Key: aws.String("K1"), Value: aws.String("v 1")}, {Key: aws.String("K2")}}})
	w.check(t, "create-tags", tagged, err)
	tags, err := w.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: []types.Filter{{Name: aws.String("resource-id"), Values: []string{snapA}}}, MaxResults: aws.Int32(5)})
	w.check(t, "describe-tags", tags, err)
	untagged, err := w.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{snapA}, Tags: []types.Tag{{Key: aws.String("K1")}, {Key: aws.String("K2"), Value: aws.String("")}}})
	w.check(t, "delete-tags", untagged, err)
	if len(f.tags.sets[snapA]) != 0 {
		t.Errorf("tags are left: %v", f.tags.sets[snapA])
	}

	goldenEncryption(t, f, w)
	goldenSharing(t, f, w)
	goldenImages(t, f, w)
	goldenVolumes(t, f, w)
	regions, err := w.DescribeRegions(ctx, &ec2.DescribeRegionsInput{RegionNames: []string{"eu-west-1"}})
	w.check(t, "describe-regions", regions, err)
	zones, err := w.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{ZoneNames: []string{"us-east-1b"}})
	w.check(t, "describe-zones", zones, err)
	attributes, err := w.DescribeAccountAttributes(ctx, &ec2.DescribeAccountAttributesInput{AttributeNames: []types.AccountAttributeName{"supported-platforms", "default-vpc"}})
	w.check(t, "describe-account", attributes, err)
	locked, err := w.LockSnapshot(ctx, &ec2.LockSnapshotInput{SnapshotId: aws.String(snapA), LockMode: types.LockModeCompliance})
	w.check(t, "not-built", locked, err)
}

// goldenSharing is the actions on snapshots besides showing and deleting.
func goldenSharing(t *testing.T, f *fixture, w *wire) {
	ctx := t.Context()
	f.snapshots.records = goldenSnapshots()
	f.snapshots.records[0].KMSKey = keyARN
	f.snapshots.records[1].State, f.snapshots.records[1].Message = snapshot.Failed, "why"
	copied, err := w.CopySnapshot(ctx, &ec2.CopySnapshotInput{
		SourceRegion: aws.String("us-east-1"), SourceSnapshotId: aws.String(snapA), Description: aws.String("copy"),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}},
	})
	w.request.Reset() // it holds a presigned Url, new each time
	w.check(t, "copy-snapshot", copied, err)
	modified, err := w.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
		SnapshotId: aws.String(snapA), CreateVolumePermission: &types.CreateVolumePermissionModifications{Add: []types.CreateVolumePermission{{UserId: aws.String(other)}}},
	})
	w.check(t, "modify-attribute", modified, err)
	modified, err = w.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
		SnapshotId: aws.String(snapB), Attribute: types.SnapshotAttributeNameCreateVolumePermission, OperationType: types.OperationTypeAdd,
		UserIds: []string{other}, GroupNames: []string{"all"},
	})
	w.check(t, "modify-attribute-listed", modified, err)
	attribute, err := w.DescribeSnapshotAttribute(ctx, &ec2.DescribeSnapshotAttributeInput{SnapshotId: aws.String(snapB), Attribute: types.SnapshotAttributeNameCreateVolumePermission})
	w.check(t, "describe-attribute", attribute, err)
	reset, err := w.ResetSnapshotAttribute(ctx, &ec2.ResetSnapshotAttributeInput{SnapshotId: aws.String(snapB), Attribute: types.SnapshotAttributeNameCreateVolumePermission})
	w.check(t, "reset-attribute", reset, err)
	attribute, err = w.DescribeSnapshotAttribute(ctx, &ec2.DescribeSnapshotAttributeInput{SnapshotId: aws.String(snapB), Attribute: types.SnapshotAttributeNameCreateVolumePermission})
	w.check(t, "describe-attribute-none", attribute, err)
	archived, err := w.ModifySnapshotTier(ctx, &ec2.ModifySnapshotTierInput{SnapshotId: aws.String(snapA), StorageTier: types.TargetStorageTierArchive})
	w.check(t, "modify-tier", archived, err)
	tiers, err := w.DescribeSnapshotTierStatus(ctx, &ec2.DescribeSnapshotTierStatusInput{Filters: []types.Filter{{Name: aws.String("snapshot-id"), Values: []string{snapA}}}})
	w.check(t, "describe-tiers", tiers, err)
	restored, err := w.RestoreSnapshotTier(ctx, &ec2.RestoreSnapshotTierInput{SnapshotId: aws.String(snapA), PermanentRestore: aws.Bool(true)})
	w.check(t, "restore-tier", restored, err)
	shown, err := w.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{})
	w.check(t, "describe-snapshots-more", shown, err)
	key, err := w.ModifyEbsDefaultKmsKeyId(ctx, &ec2.ModifyEbsDefaultKmsKeyIdInput{KmsKeyId: aws.String("alias/k")})
	w.check(t, "modify-default-key", key, err)
	on, err := w.EnableEbsEncryptionByDefault(ctx, &ec2.EnableEbsEncryptionByDefaultInput{})
	w.check(t, "enable-encryption", on, err)
	now, err := w.GetEbsEncryptionByDefault(ctx, &ec2.GetEbsEncryptionByDefaultInput{})
	w.check(t, "get-encryption", now, err)
}

// goldenImages registers an image as Terraform does.
func goldenImages(t *testing.T, f *fixture, w *wire) {
	ctx := t.Context()
	f.snapshots.records = goldenSnapshots()
	registered, err := w.RegisterImage(ctx, &ec2.RegisterImageInput{
		Name: aws.String("web"), Description: aws.String(""), ImageLocation: aws.String(""), Architecture: types.ArchitectureValuesX8664,
		RootDeviceName: aws.String("/dev/xvda"), VirtualizationType: aws.String("hvm"), EnaSupport: aws.Bool(true), SriovNetSupport: aws.String("simple"),
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{
			SnapshotId: aws.String(snapA), VolumeSize: aws.Int32(8), VolumeType: types.VolumeTypeGp3, DeleteOnTermination: aws.Bool(true),
		}}},
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeImage, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}},
	})
	w.check(t, "register-image", registered, err)
	described, err := w.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{*registered.ImageId}})
	w.check(t, "describe-images", described, err)
	f.images.list[0].SharedWith = []string{other, image.Everybody}
	permissions, err := w.DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{ImageId: registered.ImageId, Attribute: types.ImageAttributeNameLaunchPermission})
	w.check(t, "describe-image-attribute", permissions, err)
	text, err := w.DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{ImageId: registered.ImageId, Attribute: types.ImageAttributeNameDescription})
	w.check(t, "describe-image-attribute-none", text, err)
	modified, err := w.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{
		ImageId: registered.ImageId, LaunchPermission: &types.LaunchPermissionModifications{Remove: []types.LaunchPermission{{Group: types.PermissionGroupAll}}},
	})
	w.check(t, "modify-image-attribute", modified, err)
	deprecated, err := w.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{ImageId: registered.ImageId, DeprecateAt: aws.Time(clock.Add(time.Hour))})
	w.check(t, "deprecate-image", deprecated, err)
	guarded, err := w.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{ImageId: registered.ImageId, WithCooldown: aws.Bool(true)})
	w.check(t, "protect-image", guarded, err)
	copied, err := w.CopyImage(ctx, &ec2.CopyImageInput{
		SourceRegion: aws.String("us-east-1"), SourceImageId: registered.ImageId, Name: aws.String("copy"), ClientToken: aws.String("t"),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}},
	})
	w.check(t, "copy-image", copied, err)
	f.images.list[0].State, f.images.list[0].Reason, f.images.list[0].SourceImage, f.images.list[0].SourceRegion = image.Failed, "why", imageB, "eu-west-1"
	described, err = w.DescribeImages(ctx, &ec2.DescribeImagesInput{})
	w.check(t, "describe-images-more", described, err)
	f.images.list[0].Protection = image.Unprotected
	gone, err := w.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: registered.ImageId})
	w.check(t, "deregister-image", gone, err)
}

// fullImport is the request of contract §1.7, without encryption.
func fullImport() *ec2.ImportSnapshotInput {
	return &ec2.ImportSnapshotInput{
		ClientData: &types.ClientData{
			Comment:     aws.String("a b/é"),
			UploadStart: aws.Time(time.Date(2024, 1, 2, 3, 4, 5, 678900000, time.UTC)),
			UploadEnd:   aws.Time(time.Date(2024, 1, 2, 3, 4, 6, 0, time.UTC)),
			UploadSize:  aws.Float64(1.5),
		},
		ClientToken: aws.String("tok"), Description: aws.String("d"), RoleName: aws.String("r"), DryRun: aws.Bool(false),
		DiskContainer: &types.SnapshotDiskContainer{
			Description: aws.String("dc"), Format: aws.String("vhd"),
			UserBucket: &types.UserBucket{S3Bucket: aws.String("b"), S3Key: aws.String("k/y z.vhd")},
		},
		TagSpecifications: []types.TagSpecification{{
			ResourceType: types.ResourceTypeImportSnapshotTask,
			Tags:         []types.Tag{{Key: aws.String("K1"), Value: aws.String("V1")}, {Key: aws.String("K2"), Value: aws.String("")}},
		}},
	}
}

func goldenTasks() []importtask.Task {
	return []importtask.Task{
		{
			ID: taskA, Account: account, Description: "My server VM", DiskDescription: "My server VMDK", Format: "VMDK",
			Bucket: "my-import-bucket", Key: "vms/my-server-vm.vmdk", SourceBytes: 3115815424, State: importtask.Active, Phase: importtask.Converting,
			SnapshotID: snapA, Ranges: []importtask.Range{{Bytes: 50}, {Bytes: 50}}, Counts: importtask.Counts{Done: 22}, CreatedAt: clock, StartedAt: clock,
		},
		{
			ID: taskB, Account: account, Format: "VHDX", Bucket: "my-import-bucket", Key: "x.vhdx", SourceBytes: 512, State: importtask.Deleted,
			Failure: importtask.Failure{Message: "ClientError: Disk validation failed [Unsupported specified file format]"}, CreatedAt: clock.Add(1), EndedAt: clock,
		},
		{
			ID: taskC, Account: account, Format: "VHD", Bucket: "my-import-bucket", Key: "other.vhd", SourceBytes: 1688628224, State: importtask.Completed,
			SnapshotID: snapB, Tags: tag.Set{{Key: "Name", Value: "other"}}, CreatedAt: clock.Add(2), StartedAt: clock, EndedAt: clock,
		},
	}
}

func goldenSnapshots() []snapshot.Record {
	return []snapshot.Record{
		{
			ID: snapA, Account: account, Task: taskA, State: snapshot.Completed, VolumeSize: 3, Blocks: 2, StartedAt: clock,
			CompletedAt: clock.Add(4 * time.Minute), Tags: tag.Set{{Key: "Name", Value: "a&b"}}, Tier: snapshot.Standard,
		},
		{ID: snapB, Account: account, Task: taskB, Description: "mine", State: snapshot.Pending, Progress: 42, VolumeSize: 1, StartedAt: clock.Add(time.Second), Tier: snapshot.Standard},
	}
}

// TestPaginators walks with the SDK's own paginators.
func TestPaginators(t *testing.T) {
	f := newFixture(nil)
	for i := range 12 {
		id := fmt.Sprintf("snap-%017x", i)
		f.snapshots.records = append(f.snapshots.records, snapshot.Record{ID: id, Account: account, StartedAt: clock})
		f.tags.sets[id] = tag.Set{{Key: "k", Value: "v"}}
	}
	w := newWire(t, f)
	var snaps, tags []string
	for p := ec2.NewDescribeSnapshotsPaginator(w, &ec2.DescribeSnapshotsInput{MaxResults: aws.Int32(5)}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range out.Snapshots {
			snaps = append(snaps, *s.SnapshotId)
		}
	}
	for p := ec2.NewDescribeTagsPaginator(w, &ec2.DescribeTagsInput{MaxResults: aws.Int32(5)}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range out.Tags {
			tags = append(tags, *s.ResourceId)
		}
	}
	var want []string
	for _, r := range f.snapshots.records {
		want = append(want, r.ID)
	}
	if !slices.Equal(snaps, want) || !slices.Equal(tags, want) {
		t.Errorf("got %v and %v, want %v", snaps, tags, want)
	}
}

// TestQueryString: GET with everything in the query works too.
func TestQueryString(t *testing.T) {
	f := twoSnapshots(false)
	w := newWire(t, f)
	presigned, err := ec2PresignedGet(t.Context(), w, url.Values{"Action": {"DescribeSnapshots"}, "Version": {"2016-11-15"}, "SnapshotId.1": {snapA}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(presigned)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !bytes.Contains(body, []byte(snapA)) {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
}

func goldenVolumes(t *testing.T, f *fixture, w *wire) {
	ctx := t.Context()
	f.snapshots.records = goldenSnapshots()
	made, err := w.CreateVolume(ctx, &ec2.CreateVolumeInput{
		AvailabilityZone: aws.String("us-east-1a"), SnapshotId: aws.String(snapA), ClientToken: aws.String("t"), VolumeType: types.VolumeTypeGp3, Size: aws.Int32(8),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeVolume, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}},
	})
	w.check(t, "create-volume", made, err)
	f.volumes.list = append(f.volumes.list, volume.Volume{
		ID: volumeA, Account: account, Region: "us-east-1", Zone: "us-east-1c", Settings: volume.Settings{Size: 100, Type: "gp2"}, KMSKey: keyARN, Created: clock.Add(time.Second),
	})
	shown, err := w.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{*made.VolumeId, volumeA}})
	w.check(t, "describe-volumes", shown, err)
	status, err := w.DescribeVolumeStatus(ctx, &ec2.DescribeVolumeStatusInput{VolumeIds: []string{*made.VolumeId}})
	w.check(t, "describe-volume-status", status, err)
	modified, err := w.ModifyVolume(ctx, &ec2.ModifyVolumeInput{VolumeId: made.VolumeId, Size: aws.Int32(9), Iops: aws.Int32(4000)})
	w.check(t, "modify-volume", modified, err)
	changes, err := w.DescribeVolumesModifications(ctx, &ec2.DescribeVolumesModificationsInput{VolumeIds: []string{*made.VolumeId, volumeA}})
	w.check(t, "describe-modifications", changes, err)
	taken, err := w.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{VolumeId: made.VolumeId, Description: aws.String("daily")})
	w.check(t, "create-snapshot", taken, err)
	gone, err := w.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: made.VolumeId})
	w.check(t, "delete-volume", gone, err)
}
