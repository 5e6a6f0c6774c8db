package ec2api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/quota"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

// TestShapesOfSharing is Decision 10: what each client sends means the same.
func TestShapesOfSharing(t *testing.T) {
	add := map[string][]string{
		"permissions": {"CreateVolumePermission.Add.1.UserId=" + other, "CreateVolumePermission.Add.2.Group=all"},
		"listed":      {"Attribute=createVolumePermission", "OperationType=add", "UserId.1=" + other, "UserGroup.1=all"},
		"terraform":   {"Attribute=createVolumePermission", "CreateVolumePermission.Add.1.UserId=" + other, "CreateVolumePermission.Add.2.Group=all"},
		"packer":      {"UserId.1=" + other, "UserGroup.1=all", "CreateVolumePermission.Add.1.UserId=" + other, "CreateVolumePermission.Add.2.Group=all"},
	}
	remove := map[string][]string{
		"permissions": {"CreateVolumePermission.Remove.1.UserId=" + other},
		"listed":      {"Attribute=createVolumePermission", "OperationType=remove", "UserId.1=" + other},
		"terraform":   {"Attribute=createVolumePermission", "CreateVolumePermission.Remove.1.UserId=" + other},
		"packer":      {"UserId.1=" + other, "CreateVolumePermission.Remove.1.UserId=" + other},
	}
	for shape := range add {
		f := populated()
		id := "SnapshotId=" + snapA
		f.ok(t, "ModifySnapshotAttribute", append(add[shape], id)...)
		if diff := cmp.Diff([]string{other, "all"}, f.snapshots.records[0].SharedWith); diff != "" {
			t.Errorf("%s adds (-want +got):\n%s", shape, diff)
		}
		shown := f.ok(t, "DescribeSnapshotAttribute", id, "Attribute=createVolumePermission").Shares
		if len(shown) != 2 || shown[0].UserID != other || shown[1].Group != "all" {
			t.Errorf("%s shows %v", shape, shown)
		}
		f.ok(t, "ModifySnapshotAttribute", append(remove[shape], id)...)
		if diff := cmp.Diff([]string{"all"}, f.snapshots.records[0].SharedWith); diff != "" {
			t.Errorf("%s removes (-want +got):\n%s", shape, diff)
		}
		f.ok(t, "ResetSnapshotAttribute", id, "Attribute=createVolumePermission")
		if f.snapshots.records[0].SharedWith != nil {
			t.Errorf("%s: reset leaves %v", shape, f.snapshots.records[0].SharedWith)
		}
	}
}

// TestWhoseSnapshots: an account sees its own snapshots, shared ones and public
// ones, and the tags of its own only.
func TestWhoseSnapshots(t *testing.T) {
	const third = "888888888888"
	f := newFixture(nil)
	for i, r := range []struct {
		owner  string
		shared []string
	}{{account, nil}, {account, []string{third}}, {account, []string{"all"}}, {other, nil}, {other, []string{account}}, {other, []string{"all"}}} {
		f.snapshots.records = append(f.snapshots.records, snapshot.Record{
			ID: "snap-0000000000000000" + string(rune('0'+i)), Account: r.owner, SharedWith: r.shared, StartedAt: clock.Add(time.Duration(i)), State: snapshot.Completed,
			Tags: tag.Set{{Key: "k", Value: "v"}},
		})
	}
	tests := []struct {
		name   string
		params []string
		want   string // last digits
	}{
		{"all", nil, "01245"},
		{"own", []string{"Owner.1=self"}, "012"},
		{"of another", []string{"Owner.1=" + other}, "45"},
		{"of two", []string{"Owner.1=self", "Owner.2=" + other}, "01245"},
		{"amazon's", []string{"Owner.1=amazon"}, ""},
		{"restorable by self", []string{"RestorableBy.1=self"}, "0124"},
		{"restorable by id", []string{"RestorableBy.1=" + account}, "0124"},
		{"public", []string{"RestorableBy.1=all"}, "25"},
		{"own public", []string{"RestorableBy.1=all", "Owner.1=self"}, "2"},
		{"shared with a third", []string{"RestorableBy.1=" + third}, "1"},
		{"by id", []string{"SnapshotId.1=snap-00000000000000004", "SnapshotId.2=snap-00000000000000005"}, "45"},
		{"tagged", []string{"Filter.1.Name=tag:k", "Filter.1.Value.1=v"}, "012"},
	}
	for _, tt := range tests {
		got := ""
		for _, s := range f.ok(t, "DescribeSnapshots", tt.params...).Snapshots {
			got += s.ID[len(s.ID)-1:]
			if own := s.Owner == account; own != (len(s.Tags) == 1) {
				t.Errorf("%s: %s of %s shows tags %v", tt.name, s.ID, s.Owner, s.Tags)
			}
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	if got := parse(t, f.do("DescribeSnapshots", "SnapshotId.1=snap-00000000000000003")); got.Code != "InvalidSnapshot.NotFound" {
		t.Errorf("another's: got %s", got.Code)
	}
}

func TestSharedWithTooMany(t *testing.T) {
	f := populated()
	for i := range snapshot.MaxShares {
		f.snapshots.records[0].SharedWith = append(f.snapshots.records[0].SharedWith, fmt.Sprintf("%012d", i))
	}
	got := parse(t, f.do("ModifySnapshotAttribute", "SnapshotId="+snapA, "CreateVolumePermission.Add.1.UserId="+other))
	if got.Code != "ResourceLimitExceeded" || !strings.Contains(got.Message, snapA) {
		t.Errorf("got %s: %s", got.Code, got.Message)
	}
}

func TestCopyIgnoresWhatSDKsAdd(t *testing.T) {
	f := populated()
	f.ok(t, "CopySnapshot", append(good["CopySnapshot"], "PresignedUrl=https://ec2.eu-west-1.amazonaws.com/?x", "DestinationRegion=eu-west-1",
		"CompletionDurationMinutes=15", "Description=d", "TagSpecification.1.ResourceType=snapshot", oneTag, oneValue)...)
	want := snapshot.CopyRequest{Home: awsid.Home{Account: account, Region: "us-east-1"}, Source: snapA, SourceRegion: "us-east-1", Description: "d", Tags: tag.Set{{Key: "k", Value: "v"}}}
	if diff := cmp.Diff(want, f.copies.got, cmpopts.IgnoreTypes(kms.Caller{})); diff != "" {
		t.Error(diff)
	}
}

func TestTiers(t *testing.T) {
	f := populated()
	f.ok(t, "ModifySnapshotTier", "SnapshotId="+snapA)
	archived := []string{"Filter.1.Name=last-tiering-operation", "Filter.1.Value.1=archival-completed"}
	if got := f.ok(t, "DescribeSnapshotTierStatus", archived...).Tiers; len(got) != 2 {
		t.Errorf("got %v, want two archived", got)
	}
	if got := f.ok(t, "DescribeSnapshots", "Filter.1.Name=storage-tier", "Filter.1.Value.1=archive").Snapshots; len(got) != 2 {
		t.Errorf("got %v, want two archived", got)
	}
	f.ok(t, "RestoreSnapshotTier", "SnapshotId="+snapA, "PermanentRestore=true")
	if got := f.ok(t, "DescribeSnapshotTierStatus", archived...).Tiers; len(got) != 1 {
		t.Errorf("got %v, want one archived", got)
	}
}

func TestDefaults(t *testing.T) {
	f := newFixture(nil)
	if got := f.ok(t, "GetEbsDefaultKmsKeyId"); got.Key != "alias/aws/ebs" {
		t.Errorf("got %s", got.Key)
	}
	if got := f.ok(t, "ModifyEbsDefaultKmsKeyId", "KmsKeyId=alias/k"); got.Key != keyARN {
		t.Errorf("got %s", got.Key)
	}
	if got := f.ok(t, "GetEbsDefaultKmsKeyId"); got.Key != keyARN {
		t.Errorf("got %s", got.Key)
	}
	if f.ok(t, "GetEbsEncryptionByDefault").Encrypt || !f.ok(t, "EnableEbsEncryptionByDefault").Encrypt || !f.ok(t, "GetEbsEncryptionByDefault").Encrypt {
		t.Error("encryption by default does not go on")
	}
	if f.ok(t, "DisableEbsEncryptionByDefault").Encrypt || f.ok(t, "GetEbsEncryptionByDefault").Encrypt {
		t.Error("encryption by default does not go off")
	}
	if got := f.ok(t, "ResetEbsDefaultKmsKeyId"); got.Key != "alias/aws/ebs" {
		t.Errorf("got %s", got.Key)
	}
	if got := f.ok(t, "GetEbsDefaultKmsKeyId"); got.Key != "alias/aws/ebs" {
		t.Errorf("got %s", got.Key)
	}
}

func TestSharingUnderAKeyOfOnesOwn(t *testing.T) {
	f := populated()
	f.snapshots.records[0].KMSKey = keyARN
	f.ok(t, "ModifySnapshotAttribute", good["ModifySnapshotAttribute"]...)
}

func TestImages(t *testing.T) {
	f := populated()
	f.images.list = nil
	id := f.ok(t, "RegisterImage", good["RegisterImage"]...).Image
	i := f.images.list[0]
	if i.ID != id || i.Devices[0].VolumeSize != 2 || !i.Devices[0].DeleteOnTermination || i.Devices[0].Snapshot != snapA {
		t.Errorf("got %+v", i)
	}
	for _, filter := range []string{"name", "image-id", "state", "owner-id", "root-device-name", "block-device-mapping.snapshot-id", "tag-key"} {
		if got := f.ok(t, "DescribeImages", "Filter.1.Name="+filter, "Filter.1.Value.1=*").Images; (len(got) == 1) != (filter != "tag-key") {
			t.Errorf("%s: got %v", filter, got)
		}
	}
	for _, params := range [][]string{{"Owner.1=self"}, {"Owner.1=" + account}, {"ImageId.1=" + id}, {"IncludeDeprecated=true"}} {
		if got := f.ok(t, "DescribeImages", params...).Images; len(got) != 1 {
			t.Errorf("%v: got %v", params, got)
		}
	}
	for _, params := range [][]string{{"Owner.1=amazon"}, {"Owner.1=" + other}, {"ExecutableBy.1=all"}, {"ExecutableBy.1=self"}} {
		if got := f.ok(t, "DescribeImages", params...).Images; len(got) != 0 {
			t.Errorf("%v: got %v", params, got)
		}
	}
	f.ok(t, "DeregisterImage", "ImageId="+id)
	if len(f.images.list) != 0 {
		t.Errorf("left: %v", f.images.list)
	}
}

func TestDeleteInUse(t *testing.T) {
	fault, known := faultOf(about(snapA, &snapshot.InUseError{Image: imageA}))
	if want := "The snapshot " + snapA + " is currently in use by " + imageA; !known || fault.Code != "InvalidSnapshot.InUse" || fault.Message != want {
		t.Errorf("got %+v", fault)
	}
}

func TestTagSnapshots(t *testing.T) {
	f := newFixture(func(o *Options) { o.TagSnapshots = true })
	params := append(withTags(oneTag, oneValue), good["ImportSnapshot"]...)
	params = append(params, "TagSpecification.2.ResourceType=snapshot", "TagSpecification.2.Tag.1.Key=s", "TagSpecification.2.Tag.1.Value=t")
	f.ok(t, "ImportSnapshot", params...)
	if diff := cmp.Diff([]tag.Tag{{Key: "s", Value: "t"}}, f.imports.got.SnapshotTags); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]tag.Tag{{Key: "k", Value: "v"}}, f.imports.got.Tags); diff != "" {
		t.Error(diff)
	}
	first := f.imports.got.Digest
	f.ok(t, "ImportSnapshot", slices.Replace(params, len(params)-1, len(params), "TagSpecification.2.Tag.1.Value=u")...)
	if f.imports.got.Digest == first {
		t.Error("the snapshot's tags are no part of the digest")
	}
}

// TestOwnClientTagsSnapshots: Diskport's own client says that it means it; who does not gets
// AWS's refusal.
func TestOwnClientTagsSnapshots(t *testing.T) {
	params := append(slices.Clone(good["ImportSnapshot"]), "TagSpecification.1.ResourceType=snapshot", "TagSpecification.1.Tag.1.Key=Name", "TagSpecification.1.Tag.1.Value=web")
	f := newFixture(nil)
	if got := parse(t, f.do("ImportSnapshot", params...)); got.Code != "InvalidParameterValue" || f.imports.got.Account != "" {
		t.Errorf("without the header: got %s %s", got.Code, got.Message)
	}
	f.header = http.Header{tagSnapshotsHeader: {"true"}}
	f.ok(t, "ImportSnapshot", params...)
	if diff := cmp.Diff([]tag.Tag{{Key: "Name", Value: "web"}}, f.imports.got.SnapshotTags); diff != "" {
		t.Error(diff)
	}
}

// TestDeepDryRun is Decision 17.
func TestDeepDryRun(t *testing.T) {
	params := append(slices.Clone(good["ImportSnapshot"]), "DryRun=true")
	fails := &importtask.FailureError{Failure: importtask.Failure{Message: "ClientError: Footers not identical"}}
	for _, tt := range []struct {
		deep bool
		err  error
		want string
	}{
		{false, fails, "DryRunOperation"},
		{true, nil, "DryRunOperation"},
		{true, fails, "InvalidParameter"},
		{true, &importtask.RoleError{Role: "vmimport", Err: fails}, "InvalidParameter"},
	} {
		f := newFixture(func(o *Options) { o.DeepDryRun = tt.deep })
		f.imports.err = tt.err
		got := parse(t, f.do("ImportSnapshot", params...))
		if got.Code != tt.want || tt.want == "InvalidParameter" && got.Message == "" {
			t.Errorf("deep %v, %v: got %s %s", tt.deep, tt.err, got.Code, got.Message)
		}
		if tt.deep != (f.imports.checked.Bucket == "bkt") || f.imports.got.Account != "" {
			t.Errorf("deep %v: checked %+v, imported %+v", tt.deep, f.imports.checked, f.imports.got)
		}
	}
}

func TestThrottle(t *testing.T) {
	throttle := quota.New(func() time.Time { return clock }, quota.Same(quota.Rate{PerSecond: 1, Burst: 2}))
	f := newFixture(func(o *Options) { o.Throttle = throttle })
	f.ok(t, "DescribeTags")
	f.ok(t, "DescribeTags")
	w := f.do("DescribeTags")
	if got := parse(t, w); w.Code != 503 || got.Code != "RequestLimitExceeded" || got.Message != "Request limit exceeded." {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	f.ok(t, "DescribeSnapshots") // another action
	if !throttle.Allow(f.principal().Identity()+"x", "DescribeTags") {
		t.Error("another principal of the account is throttled too")
	}
}
