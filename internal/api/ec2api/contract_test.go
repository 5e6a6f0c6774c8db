package ec2api

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/volume"
)

// good are requests that succeed, one for every action that is built.
var good = map[string][]string{
	"ImportSnapshot":              {"DiskContainer.UserBucket.S3Bucket=bkt", "DiskContainer.UserBucket.S3Key=k"},
	"DescribeImportSnapshotTasks": {},
	"CancelImportTask":            {"ImportTaskId=" + taskA},
	"ImportImage":                 {"DiskContainer.1.UserBucket.S3Bucket=bkt", "DiskContainer.1.UserBucket.S3Key=k", "DiskContainer.2.SnapshotId=" + snapA},
	"DescribeImportImageTasks":    {},
	"DescribeSnapshots":           {},
	"DeleteSnapshot":              {"SnapshotId=" + snapA},
	"CreateTags":                  {"ResourceId.1=" + snapA, "Tag.1.Key=k"},
	"DeleteTags":                  {"ResourceId.1=" + snapA, "Tag.1.Key=k"},
	"DescribeTags":                {},

	"CopySnapshot":                         {"SourceRegion=us-east-1", "SourceSnapshotId=" + snapA},
	"DescribeSnapshotAttribute":            {"SnapshotId=" + snapA, "Attribute=createVolumePermission"},
	"ModifySnapshotAttribute":              {"SnapshotId=" + snapA, "CreateVolumePermission.Add.1.UserId=" + other},
	"ResetSnapshotAttribute":               {"SnapshotId=" + snapA, "Attribute=createVolumePermission"},
	"DescribeSnapshotTierStatus":           {},
	"ModifySnapshotTier":                   {"SnapshotId=" + snapA, "StorageTier=archive"},
	"RestoreSnapshotTier":                  {"SnapshotId=" + snapT, "PermanentRestore=true"},
	"GetEbsDefaultKmsKeyId":                {},
	"ModifyEbsDefaultKmsKeyId":             {"KmsKeyId=alias/k"},
	"ResetEbsDefaultKmsKeyId":              {},
	"GetEbsEncryptionByDefault":            {},
	"EnableEbsEncryptionByDefault":         {},
	"DisableEbsEncryptionByDefault":        {},
	"RegisterImage":                        {"Name=img", "RootDeviceName=/dev/sda1", "BlockDeviceMapping.1.DeviceName=/dev/sda1", "BlockDeviceMapping.1.Ebs.SnapshotId=" + snapA},
	"DeregisterImage":                      {"ImageId=" + imageA},
	"DescribeImages":                       {},
	"CopyImage":                            {"SourceRegion=us-east-1", "SourceImageId=" + imageA, "Name=copy"},
	"DescribeImageAttribute":               {"ImageId=" + imageA, "Attribute=launchPermission"},
	"ModifyImageAttribute":                 {"ImageId=" + imageA, "LaunchPermission.Add.1.UserId=" + other},
	"ResetImageAttribute":                  {"ImageId=" + imageA, "Attribute=launchPermission"},
	"GetInstanceUefiData":                  {"InstanceId=" + imageA},
	"EnableImageDeprecation":               {"ImageId=" + imageA, "DeprecateAt=2027-01-01T00:00:00Z"},
	"DisableImageDeprecation":              {"ImageId=" + imageA},
	"EnableImageDeregistrationProtection":  {"ImageId=" + imageA},
	"DisableImageDeregistrationProtection": {"ImageId=" + imageA},
	"CreateVolume":                         {"AvailabilityZone=us-east-1a", "SnapshotId=" + snapA},
	"DescribeVolumes":                      {},
	"DescribeVolumeStatus":                 {},
	"DescribeVolumesModifications":         {},
	"ModifyVolume":                         {"VolumeId=" + volumeA, "Size=9"},
	"DeleteVolume":                         {"VolumeId=" + volumeA},
	"CreateSnapshot":                       {"VolumeId=" + volumeA},
	"DescribeRegions":                      {},
	"DescribeAvailabilityZones":            {},
	"DescribeAccountAttributes":            {},
}

func populated() *fixture {
	f := newFixture(nil)
	f.imports.tasks = []importtask.Task{
		{ID: taskA, Account: account, State: importtask.Active, Phase: importtask.Waiting, CreatedAt: clock},
		{ID: taskC, Account: other, State: importtask.Active, CreatedAt: clock},
	}
	f.imports.imageTasks = []importtask.ImageTask{
		{ID: taskI, Account: account, State: importtask.Active, CreatedAt: clock},
		{ID: taskJ, Account: other, State: importtask.Active, CreatedAt: clock},
	}
	f.snapshots.records = []snapshot.Record{
		{ID: snapA, Account: account, State: snapshot.Completed, StartedAt: clock, VolumeSize: 2, Tier: snapshot.Standard},
		{ID: snapB, Account: other, State: snapshot.Completed, StartedAt: clock},
		{ID: snapP, Account: account, State: snapshot.Pending, StartedAt: clock},
		{ID: snapT, Account: account, State: snapshot.Completed, StartedAt: clock, Tier: snapshot.Archive, TierSince: clock},
		{ID: snapE, Account: account, State: snapshot.Completed, StartedAt: clock, KMSKey: awsKeyARN},
	}
	f.images.list = []image.Image{
		{ID: imageA, Account: account, Name: "taken", Created: clock},
		{ID: imageB, Account: other, Name: "theirs", Created: clock},
		{ID: imageS, Account: other, Name: "shared", Created: clock, SharedWith: []string{account, "111122223333"}, Tags: tag.Set{{Key: "secret"}}},
	}
	f.volumes.list = []volume.Volume{
		{ID: volumeA, Account: account, Zone: "us-east-1a", Settings: volume.Settings{Size: 8, Type: "gp3", Iops: 3000, Throughput: 125}, Created: clock},
		{ID: volumeB, Account: other, Zone: "us-east-1a", Settings: volume.Settings{Size: 8, Type: "gp2"}, Created: clock},
	}
	return f
}

// row is one row of the contract's error tables.
type row struct {
	name   string
	action string
	params []string // added to good; one without "=" is taken away
	err    error    // that the domain returns
	status int
	code   string
	want   string // message
}

func (r row) form() []string {
	form := slices.Clone(good[r.action])
	return append(form, r.params...)
}

func many(n int, format string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(format, i+1)
	}
	return out
}

// withTags are parameters of a tag specification.
func withTags(tags ...string) []string {
	return append([]string{"TagSpecification.1.ResourceType=import-snapshot-task"}, tags...)
}

func TestContractErrors(t *testing.T) {
	for _, r := range rows {
		t.Run(r.action+" "+r.name, func(t *testing.T) {
			f := populated()
			f.imports.err, f.copies.err, f.snapshots.err, f.images.err, f.volumes.err = r.err, r.err, r.err, r.err, r.err
			w := f.do(r.action, r.form()...)
			got := parse(t, w)
			if w.Code != r.status || got.Code != r.code || got.Message != r.want {
				t.Errorf("got  %d %s %q\nwant %d %s %q", w.Code, got.Code, got.Message, r.status, r.code, r.want)
			}
			if strings.Contains(w.Body.String(), "on fire") || r.status == 500 && !strings.Contains(f.log.String(), "on fire") {
				t.Errorf("the cause belongs into the log and not into %s", w.Body)
			}
		})
	}
}

// listed returns code and message of a validation table.
func listed[R any](action string, rules []rule[R]) (all [][3]string) {
	for _, r := range rules {
		if r.broken != nil {
			all = append(all, [3]string{action, r.code, r.message})
		}
	}
	return all
}

// TestEveryRuleIsTested: a validation row without a row above is a gap.
func TestEveryRuleIsTested(t *testing.T) {
	all := slices.Concat(
		listed("ImportSnapshot", importRules),
		listed("DescribeImportSnapshotTasks", describeTasksRules),
		listed("CancelImportTask", cancelRules),
		listed("ImportImage", importImageRules),
		listed("DescribeImportImageTasks", describeImageTasksRules),
		listed("DescribeSnapshots", describeSnapshotsRules),
		listed("DeleteSnapshot", deleteSnapshotRules),
		listed("CreateTags", createTagsRules),
		listed("DeleteTags", deleteTagsRules),
		listed("DescribeTags", describeTagsRules),
		listed("CopySnapshot", copySnapshotRules),
		listed("DescribeSnapshotAttribute", describeAttributeRules),
		listed("ModifySnapshotAttribute", modifyAttributeRules),
		listed("ResetSnapshotAttribute", resetAttributeRules),
		listed("DescribeSnapshotTierStatus", describeTiersRules),
		listed("ModifySnapshotTier", modifyTierRules),
		listed("RestoreSnapshotTier", restoreTierRules),
		listed("ModifyEbsDefaultKmsKeyId", modifyDefaultKeyRules[:1]), // without Keys: TestNoKeys
		listed("RegisterImage", registerImageRules),
		listed("DeregisterImage", deregisterImageRules),
		listed("DescribeImages", describeImagesRules),
		listed("CopyImage", copyImageRules),
		listed("DescribeImageAttribute", describeImageAttributeRules),
		listed("ModifyImageAttribute", modifyImageAttributeRules),
		listed("ResetImageAttribute", resetImageAttributeRules),
		listed("GetInstanceUefiData", uefiDataRules),
		listed("EnableImageDeprecation", deprecateImageRules),
		listed("DisableImageDeprecation", oneImageRules[undeprecateImageRequest]()),
		listed("EnableImageDeregistrationProtection", oneImageRules[protectImageRequest]()),
		listed("DisableImageDeregistrationProtection", oneImageRules[unprotectImageRequest]()),
		listed("CreateVolume", createVolumeRules),
		listed("DescribeVolumes", describeVolumesRules),
		listed("DescribeVolumeStatus", describeVolumeStatusRules),
		listed("DescribeVolumesModifications", describeModificationsRules),
		listed("ModifyVolume", modifyVolumeRules),
		listed("DeleteVolume", oneVolumeRules[deleteVolumeRequest]()),
		listed("CreateSnapshot", createSnapshotRules),
		listed("DescribeRegions", describeRegionsRules),
		listed("DescribeAvailabilityZones", describeZonesRules),
		listed("DescribeAccountAttributes", describeAccountRules),
	)
	for _, rule := range all {
		words := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(rule[2]), "%s", ".*") + "$")
		if !slices.ContainsFunc(rows, func(r row) bool {
			return r.action == rule[0] && r.code == rule[1] && words.MatchString(r.want)
		}) {
			t.Errorf("no row tests %q", rule)
		}
	}
}

func TestDryRun(t *testing.T) {
	for action := range actions {
		t.Run(action, func(t *testing.T) {
			params, ok := good[action]
			if !ok {
				t.Fatal("no good request to try")
			}
			params = append(slices.Clone(params), "DryRun=true")
			f := populated()
			w := f.do(action, params...)
			if got := parse(t, w); w.Code != 412 || got.Code != dryRows[0].code || got.Message != dryRows[0].want {
				t.Errorf("allowed: got %d %s", w.Code, w.Body)
			}
			if f.imports.got.Account != "" || f.imports.gotImage.Account != "" || len(f.snapshots.records) != 5 || f.copies.got.Source != "" || f.copies.gotImage.Image.ID != "" || !reflect.DeepEqual(f.images.list, populated().images.list) ||
				!reflect.DeepEqual(f.volumes.list, populated().volumes.list) || f.copies.gotVolume.Volume.ID != "" || len(f.tags.sets[snapA]) != 0 {
				t.Error("a dry run had an effect")
			}
			f.denied = "ec2:" + action
			w = f.do(action, params...)
			if got := parse(t, w); w.Code != 403 || got.Code != dryRows[1].code || !strings.HasPrefix(got.Message, dryRows[1].want+action) {
				t.Errorf("denied: got %d %s", w.Code, w.Body)
			}
			f.denied = ""
			if w = f.do(action, append(slices.Clone(good[action]), "DryRun=false")...); w.Code != 200 {
				t.Errorf("not dry: got %d %s", w.Code, w.Body)
			}
		})
	}
}

// TestAWSActions: what AWS has and this edge has not is refused by name, and nothing is
// built that AWS has not.
func TestAWSActions(t *testing.T) {
	if len(awsActions) < 800 || !slices.IsSorted(awsActions) {
		t.Fatalf("%d actions, sorted: %v", len(awsActions), slices.IsSorted(awsActions))
	}
	for _, action := range Actions() {
		if !isAWSAction(action) {
			t.Errorf("AWS has no %s", action)
		}
	}
	for _, action := range awsActions {
		if _, built := actions[action]; built {
			continue
		}
		w := populated().do(action, "Whatever=1")
		if got := parse(t, w); w.Code != 400 || got.Code != "UnsupportedOperation" || got.Message != "The operation "+action+" is not supported." {
			t.Errorf("%s: got %d %s", action, w.Code, w.Body)
		}
	}
	for _, action := range []string{"LockSnapshot", "UnlockSnapshot", "DescribeLockedSnapshots", "ListSnapshotsInRecycleBin", "RestoreSnapshotFromRecycleBin", "RunInstances"} {
		if !isAWSAction(action) {
			t.Errorf("%s is not known", action)
		}
	}
}

// TestOrderOfChecks: syntax, then authorisation, then the local rules.
func TestOrderOfChecks(t *testing.T) {
	f := populated()
	f.denied = "ec2:CancelImportTask"
	for want, params := range map[string][]string{
		"UnknownParameter":      {"Nonsense=1", "ImportTaskId=bad"},
		"UnauthorizedOperation": {"ImportTaskId=bad"},
	} {
		if got := parse(t, f.do("CancelImportTask", params...)); got.Code != want {
			t.Errorf("got %s, want %s", got.Code, want)
		}
	}
}

// TestGrants: each action needs exactly these permissions. With all of them it
// succeeds, without any one it is refused, naming action and resource.
func TestGrants(t *testing.T) {
	const task, snap = "arn:aws:ec2:us-east-1:" + account + ":import-snapshot-task/", "arn:aws:ec2:us-east-1::snapshot/"
	const imageTask = "arn:aws:ec2:us-east-1:" + account + ":import-image-task/"
	const img, vol = "arn:aws:ec2:us-east-1::image/", "arn:aws:ec2:us-east-1:" + account + ":volume/"
	tests := map[string][]struct{ action, resource, condition string }{
		"ImportSnapshot": {
			{"ec2:ImportSnapshot", task + "*", `"StringEquals":{"aws:RequestTag/k":"v"}`},
			{"ec2:ImportSnapshot", snap + "*", ""},
			{"ec2:CreateTags", task + "*", `"StringEquals":{"ec2:CreateAction":"ImportSnapshot","aws:RequestTag/k":"v"}`},
		},
		"DescribeImportSnapshotTasks": {{"ec2:DescribeImportSnapshotTasks", "*", ""}},
		"CancelImportTask":            {{"ec2:CancelImportTask", task + taskA, ""}},
		"ImportImage": {
			{"ec2:ImportImage", imageTask + "*", `"StringEquals":{"aws:RequestTag/k":"v"}`},
			{"ec2:ImportImage", img + "*", ""},
			{"ec2:ImportImage", snap + "*", `"Null":{"ec2:Owner":"true"}`}, // of those to be made
			{"ec2:ImportImage", snap + snapA, `"StringEquals":{"ec2:Owner":"` + account + `"}`},
			{"ec2:CreateTags", imageTask + "*", `"StringEquals":{"ec2:CreateAction":"ImportImage","aws:RequestTag/k":"v"}`},
		},
		"DescribeImportImageTasks": {{"ec2:DescribeImportImageTasks", "*", ""}},
		"DescribeSnapshots":        {{"ec2:DescribeSnapshots", "*", ""}},
		"DeleteSnapshot":           {{"ec2:DeleteSnapshot", snap + snapA, `"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}`}},
		"CreateTags":               {{"ec2:CreateTags", snap + snapA, `"ForAllValues:StringEquals":{"aws:TagKeys":"k"}`}, {"ec2:CreateTags", task + taskA, ""}},
		"DeleteTags":               {{"ec2:DeleteTags", snap + snapA, ""}, {"ec2:DeleteTags", task + taskA, ""}},
		"DescribeTags":             {{"ec2:DescribeTags", "*", ""}},
		"CopySnapshot": {
			{"ec2:CopySnapshot", snap + "*", `"StringEquals":{"aws:RequestTag/k":"v"}`},
			{"ec2:CreateTags", snap + "*", `"StringEquals":{"ec2:CreateAction":"CopySnapshot"}`},
		},
		"DescribeSnapshotAttribute":     {{"ec2:DescribeSnapshotAttribute", snap + snapA, ""}},
		"ModifySnapshotAttribute":       {{"ec2:ModifySnapshotAttribute", snap + snapA, ""}},
		"ResetSnapshotAttribute":        {{"ec2:ResetSnapshotAttribute", snap + snapA, ""}},
		"DescribeSnapshotTierStatus":    {{"ec2:DescribeSnapshotTierStatus", "*", ""}},
		"ModifySnapshotTier":            {{"ec2:ModifySnapshotTier", snap + snapA, ""}},
		"RestoreSnapshotTier":           {{"ec2:RestoreSnapshotTier", snap + snapT, ""}},
		"GetEbsDefaultKmsKeyId":         {{"ec2:GetEbsDefaultKmsKeyId", "*", ""}},
		"ModifyEbsDefaultKmsKeyId":      {{"ec2:ModifyEbsDefaultKmsKeyId", "*", ""}},
		"ResetEbsDefaultKmsKeyId":       {{"ec2:ResetEbsDefaultKmsKeyId", "*", ""}},
		"GetEbsEncryptionByDefault":     {{"ec2:GetEbsEncryptionByDefault", "*", ""}},
		"EnableEbsEncryptionByDefault":  {{"ec2:EnableEbsEncryptionByDefault", "*", ""}},
		"DisableEbsEncryptionByDefault": {{"ec2:DisableEbsEncryptionByDefault", "*", ""}},
		"RegisterImage": {
			{"ec2:RegisterImage", img + "*", ""},
			{"ec2:RegisterImage", snap + snapA, ""},
			{"ec2:CreateTags", img + "*", `"StringEquals":{"ec2:CreateAction":"RegisterImage"}`},
		},
		"DeregisterImage": {{"ec2:DeregisterImage", img + imageA, ""}},
		"DescribeImages":  {{"ec2:DescribeImages", "*", ""}},

		"CopyImage": {
			{"ec2:CopyImage", img + imageA, `"StringEquals":{"ec2:Owner":"` + account + `"}`},
			{"ec2:CopyImage", img + "*", `"StringEquals":{"aws:RequestTag/k":"v"}`},
			{"ec2:CreateTags", img + "*", `"StringEquals":{"ec2:CreateAction":"CopyImage"}`},
			{"ec2:CopyImage", snap + "*", `"StringEquals":{"aws:RequestTag/s":"t"}`},
			{"ec2:CreateTags", snap + "*", `"StringEquals":{"ec2:CreateAction":"CopyImage"}`},
		},
		"DescribeImageAttribute":               {{"ec2:DescribeImageAttribute", img + imageA, `"StringEquals":{"ec2:Attribute":"launchPermission"}`}},
		"ModifyImageAttribute":                 {{"ec2:ModifyImageAttribute", img + imageA, `"StringEquals":{"ec2:Attribute":"LaunchPermission","ec2:Add/userId":"` + other + `"}`}},
		"ResetImageAttribute":                  {{"ec2:ResetImageAttribute", img + imageA, ""}},
		"GetInstanceUefiData":                  {{"ec2:GetInstanceUefiData", img + imageA, ""}},
		"EnableImageDeprecation":               {{"ec2:EnableImageDeprecation", img + imageA, ""}},
		"DisableImageDeprecation":              {{"ec2:DisableImageDeprecation", img + imageA, ""}},
		"EnableImageDeregistrationProtection":  {{"ec2:EnableImageDeregistrationProtection", img + imageA, ""}},
		"DisableImageDeregistrationProtection": {{"ec2:DisableImageDeregistrationProtection", img + imageA, `"StringEquals":{"ec2:ImageID":"` + imageA + `"}`}},

		"CreateVolume": {
			{"ec2:CreateVolume", vol + "*", `"StringEquals":{"aws:RequestTag/k":"v","ec2:AvailabilityZone":"us-east-1a","ec2:VolumeType":"gp2"},"ArnLike":{"ec2:ParentSnapshot":"` + snap + `*"}`},
			{"ec2:CreateVolume", snap + snapA, `"StringEquals":{"ec2:Owner":"` + account + `"}`},
			{"ec2:CreateTags", vol + "*", `"StringEquals":{"ec2:CreateAction":"CreateVolume"}`},
		},
		"DescribeVolumes":              {{"ec2:DescribeVolumes", "*", ""}},
		"DescribeVolumeStatus":         {{"ec2:DescribeVolumeStatus", "*", ""}},
		"DescribeVolumesModifications": {{"ec2:DescribeVolumesModifications", "*", ""}},
		"ModifyVolume":                 {{"ec2:ModifyVolume", vol + volumeA, `"StringEquals":{"ec2:VolumeID":"` + volumeA + `","ec2:VolumeType":"gp3"},"NumericEquals":{"ec2:VolumeSize":"8"}`}},
		"DeleteVolume":                 {{"ec2:DeleteVolume", vol + volumeA, `"StringEquals":{"aws:ResourceAccount":"` + account + `"},"Bool":{"ec2:Encrypted":"false"}`}},
		"CreateSnapshot": {
			{"ec2:CreateSnapshot", snap + "*", `"StringEquals":{"aws:RequestTag/k":"v"},"ArnEquals":{"ec2:ParentVolume":"` + vol + volumeA + `"}`},
			{"ec2:CreateSnapshot", vol + volumeA, `"StringEquals":{"ec2:VolumeID":"` + volumeA + `"}`},
			{"ec2:CreateTags", snap + "*", `"StringEquals":{"ec2:CreateAction":"CreateSnapshot"}`},
		},

		"DescribeRegions":           {{"ec2:DescribeRegions", "*", ""}},
		"DescribeAvailabilityZones": {{"ec2:DescribeAvailabilityZones", "*", ""}},
		"DescribeAccountAttributes": {{"ec2:DescribeAccountAttributes", "*", ""}},
	}
	for action := range actions {
		if _, ok := tests[action]; !ok {
			t.Errorf("no test of the grants of %s", action)
		}
	}
	more := map[string][]string{
		"ImportSnapshot": withTags(oneTag, oneValue),
		"ImportImage":    {"TagSpecification.1.ResourceType=import-image-task", oneTag, oneValue},
		"CreateTags":     {"ResourceId.2=" + taskA},
		"CopySnapshot":   {"TagSpecification.1.ResourceType=snapshot", oneTag, oneValue},
		"RegisterImage":  {"TagSpecification.1.ResourceType=image", oneTag, oneValue},
		"DeleteTags":     {"ResourceId.2=" + taskA},
		"CreateVolume":   {"TagSpecification.1.ResourceType=volume", oneTag, oneValue},
		"CreateSnapshot": {"TagSpecification.1.ResourceType=snapshot", oneTag, oneValue},
		"CopyImage": {"TagSpecification.1.ResourceType=image", oneTag, oneValue,
			"TagSpecification.2.ResourceType=snapshot", "TagSpecification.2.Tag.1.Key=s", "TagSpecification.2.Tag.1.Value=t"},
	}
	for action, grants := range tests {
		for without := range len(grants) + 1 {
			statements := []string{`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`}
			for i, g := range grants {
				if i != without {
					statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":%q,"Condition":{%s}}`, g.action, g.resource, g.condition))
				}
			}
			w := populated().doAs(bound(strings.Join(statements, ",")), action, append(slices.Clone(good[action]), more[action]...)...)
			switch {
			case without == len(grants) && w.Code != 200:
				t.Errorf("%s with all grants: got %d %s", action, w.Code, w.Body)
			case without < len(grants):
				g := grants[without]
				if want := "is not authorized to perform: " + g.action + " on resource: " + g.resource + " because"; w.Code != 403 || !strings.Contains(w.Body.String(), want) {
					t.Errorf("%s without %v: got %d %s", action, g, w.Code, w.Body)
				}
			}
		}
	}
}
