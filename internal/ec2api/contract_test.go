package ec2api

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/iam"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/importtask"
	"github.com/diskport/diskport/internal/sigv4"
	"github.com/diskport/diskport/internal/snapshot"
	"github.com/diskport/diskport/internal/source"
)

// good are requests of every action that is built, which succeed.
var good = map[string][]string{
	"ImportSnapshot":              {"DiskContainer.UserBucket.S3Bucket=bkt", "DiskContainer.UserBucket.S3Key=k"},
	"DescribeImportSnapshotTasks": {},
	"CancelImportTask":            {"ImportTaskId=" + taskA},
	"DescribeSnapshots":           {},
	"DeleteSnapshot":              {"SnapshotId=" + snapA},
	"CreateTags":                  {"ResourceId.1=" + snapA, "Tag.1.Key=k"},
	"DeleteTags":                  {"ResourceId.1=" + snapA, "Tag.1.Key=k"},
	"DescribeTags":                {},

	"CopySnapshot":                  {"SourceRegion=us-east-1", "SourceSnapshotId=" + snapA},
	"DescribeSnapshotAttribute":     {"SnapshotId=" + snapA, "Attribute=createVolumePermission"},
	"ModifySnapshotAttribute":       {"SnapshotId=" + snapA, "CreateVolumePermission.Add.1.UserId=" + other},
	"ResetSnapshotAttribute":        {"SnapshotId=" + snapA, "Attribute=createVolumePermission"},
	"DescribeSnapshotTierStatus":    {},
	"ModifySnapshotTier":            {"SnapshotId=" + snapA, "StorageTier=archive"},
	"RestoreSnapshotTier":           {"SnapshotId=" + snapT, "PermanentRestore=true"},
	"GetEbsDefaultKmsKeyId":         {},
	"ModifyEbsDefaultKmsKeyId":      {"KmsKeyId=alias/k"},
	"ResetEbsDefaultKmsKeyId":       {},
	"GetEbsEncryptionByDefault":     {},
	"EnableEbsEncryptionByDefault":  {},
	"DisableEbsEncryptionByDefault": {},
	"RegisterImage":                 {"Name=img", "RootDeviceName=/dev/sda1", "BlockDeviceMapping.1.DeviceName=/dev/sda1", "BlockDeviceMapping.1.Ebs.SnapshotId=" + snapA},
	"DeregisterImage":               {"ImageId=" + imageA},
	"DescribeImages":                {},
}

func populated() *fixture {
	f := newFixture(nil)
	f.imports.tasks = []importtask.Task{
		{ID: taskA, Account: account, State: importtask.Active, Phase: importtask.Waiting, CreatedAt: clock},
		{ID: taskC, Account: other, State: importtask.Active, CreatedAt: clock},
	}
	f.snapshots.records = []snapshot.Record{
		{ID: snapA, Account: account, State: snapshot.Completed, StartedAt: clock, VolumeSize: 2, Tier: snapshot.Standard},
		{ID: snapB, Account: other, State: snapshot.Completed, StartedAt: clock},
		{ID: snapP, Account: account, State: snapshot.Pending, StartedAt: clock},
		{ID: snapT, Account: account, State: snapshot.Completed, StartedAt: clock, Tier: snapshot.Archive, TierSince: clock},
		{ID: snapE, Account: account, State: snapshot.Completed, StartedAt: clock, KMSKey: awsKeyARN},
	}
	f.images.list = []image.Image{{ID: imageA, Account: account, Name: "taken", Created: clock}}
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

const (
	missingKey  = "DiskContainer.UserBucket.S3Key="
	missingBkt  = "DiskContainer.UserBucket.S3Bucket="
	oneTag      = "TagSpecification.1.Tag.1.Key=k"
	oneValue    = "TagSpecification.1.Tag.1.Value=v"
	malformedID = "import-snap-XYZ"
	unknownTask = "import-snap-00000000000000000"
	snapP       = "snap-0123456789abcdef2"
	unknownSnap = "snap-00000000000000000"
	snapT       = "snap-0123456789abcdef7"
	snapE       = "snap-0123456789abcdef8"
)

var rows = []row{
	// §1.1, §1.3, §1.4
	{"no action", "", nil, nil, 400, "MissingAction", "The request must contain the parameter Action"},
	{"unknown action", "DoTheThing", nil, nil, 400, "InvalidAction", "The action DoTheThing is not valid for this web service."},
	{"no version", "DescribeTags", []string{"Version="}, nil, 400, "MissingParameter", "The request must contain the parameter Version"},
	{"old version", "DescribeTags", []string{"Version=2009-01-01"}, nil, 400, "NoSuchVersion", "The requested version (2009-01-01) of service AmazonEC2 does not exist"},
	{"odd version", "DescribeTags", []string{"Version=latest"}, nil, 400, "NoSuchVersion", "The requested version (latest) of service AmazonEC2 does not exist"},
	{"unknown parameter", "ImportSnapshot", []string{"Frobnicate=1"}, nil, 400, "UnknownParameter", "The parameter Frobnicate is not recognized"},
	{"bad boolean", "ImportSnapshot", []string{"Encrypted=maybe"}, nil, 400, "InvalidParameterValue", "Value (maybe) for parameter Encrypted is invalid. It must be true or false."},

	// §3.2 ImportSnapshot
	{"no disk container", "ImportSnapshot", []string{missingBkt, missingKey}, nil, 400, "MissingParameter", "The request must contain the parameter DiskContainer"},
	{"no source", "ImportSnapshot", []string{missingBkt, missingKey, "DiskContainer.Format=RAW"}, nil, 400, "MissingParameter", "The request must contain the parameter DiskContainer.UserBucket or DiskContainer.Url"},
	{"no key", "ImportSnapshot", []string{missingKey}, nil, 400, "MissingParameter", "The request must contain the parameter DiskContainer.UserBucket.S3Key"},
	{"no bucket", "ImportSnapshot", []string{missingBkt}, nil, 400, "MissingParameter", "The request must contain the parameter DiskContainer.UserBucket.S3Bucket"},
	{"both sources", "ImportSnapshot", []string{"DiskContainer.Url=s3://bkt/k"}, nil, 400, "InvalidParameterCombination", "The parameter Url cannot be used with the parameter UserBucket"},
	{"ftp url", "ImportSnapshot", []string{missingBkt, missingKey, "DiskContainer.Url=ftp://b/k"}, nil, 400, "InvalidParameter", "Invalid S3 source location"},
	{"s3 url without key", "ImportSnapshot", []string{missingBkt, missingKey, "DiskContainer.Url=s3://b/"}, nil, 400, "InvalidParameter", "Invalid S3 source location"},
	{"url is a name", "ImportSnapshot", []string{missingBkt, missingKey, "DiskContainer.Url=disk.vmdk"}, nil, 400, "InvalidParameter", "Invalid S3 source location"},
	{"somewhere else", "ImportSnapshot", []string{missingBkt, missingKey, "DiskContainer.Url=https://example.com/b/k"}, nil, 400, "InvalidParameter", "Invalid S3 source location"},
	{"no bucket has this name", "ImportSnapshot", nil, fmt.Errorf("resolving: %w", source.ErrLocation), 400, "InvalidParameter", "User does not have access to the S3 object (bkt/k)."},
	{"location, found later", "ImportSnapshot", []string{missingBkt, missingKey, "DiskContainer.Url=s3://bkt/k"}, fmt.Errorf("resolving: %w", source.ErrLocation), 400, "InvalidParameter", "Invalid S3 source location"},
	{"region", "ImportSnapshot", nil, fmt.Errorf("pinning: %w", source.ErrRegion), 400, "InvalidParameter", "The given S3 object is not local to the region. The object must be located in us-east-1."},
	{"signed with version 2", "ImportSnapshot", nil, &importtask.ObjectError{Bucket: "b", Key: "k", Err: sigv4.ErrV2}, 400, "InvalidParameter", "User does not have access to the S3 object (b/k). The Url is signed with version 2; sign with version 4 (`aws configure set default.s3.signature_version s3v4`) or start with --allow-sigv2"},
	{"format", "ImportSnapshot", []string{"DiskContainer.Format=tarball"}, nil, 400, "InvalidParameter", "Parameter disk-image-format=tarball has an invalid format"},
	{"object", "ImportSnapshot", nil, &importtask.ObjectError{Bucket: "b", Key: "k", Err: errors.New("403")}, 400, "InvalidParameter", "User does not have access to the S3 object (b/k)."},
	{"object, role or caller denied", "ImportSnapshot", nil, &importtask.ObjectError{Bucket: "b", Key: "k", Err: &iam.DeniedError{Action: "s3:GetObject"}}, 400, "InvalidParameter", "User does not have access to the S3 object (b/k)."},
	{"role does not trust", "ImportSnapshot", nil, &importtask.RoleError{Role: "vmimport", Err: &iam.DeniedError{Action: "sts:AssumeRole"}}, 400, "InvalidParameter", "The service role vmimport provided does not exist or does not have sufficient permissions"},
	{"role", "ImportSnapshot", nil, &importtask.RoleError{Role: "vmimport", Err: errors.New("gone")}, 400, "InvalidParameter", "The service role vmimport provided does not exist or does not have sufficient permissions"},
	{"role name", "ImportSnapshot", []string{"RoleName=a role"}, nil, 400, "InvalidParameter", "The service role a role provided does not exist or does not have sufficient permissions"},
	{"key without encryption", "ImportSnapshot", []string{"KmsKeyId=alias/x"}, nil, 400, "InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set."},
	{"key, encryption refused", "ImportSnapshot", []string{"KmsKeyId=alias/x", "Encrypted=false"}, nil, 400, "InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set."},
	{"long token", "ImportSnapshot", []string{"ClientToken=" + strings.Repeat("x", 65)}, nil, 400, "InvalidParameterValue", "Client token exceeds the maximum length of 64"},
	{"token of other letters", "ImportSnapshot", []string{"ClientToken=tökén"}, nil, 400, "InvalidParameterValue", "Client token exceeds the maximum length of 64"},
	{"token reused", "ImportSnapshot", nil, importtask.ErrTokenReused, 400, "IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."},
	{"tag type", "ImportSnapshot", []string{"TagSpecification.1.ResourceType=snapshot", oneTag, oneValue}, nil, 400, "InvalidParameterValue", "'snapshot' is not a valid taggable resource type for this operation."},
	{"no tag type", "ImportSnapshot", []string{oneTag, oneValue}, nil, 400, "InvalidParameter", "Tag specification resource type must have a value"},
	{"no tags", "ImportSnapshot", withTags(), nil, 400, "InvalidParameter", "Tag specification must have at least one tag"},
	{"two specifications", "ImportSnapshot", withTags(oneTag, oneValue, "TagSpecification.2.ResourceType=import-snapshot-task", "TagSpecification.2.Tag.1.Key=l", "TagSpecification.2.Tag.1.Value=v"), nil, 400, "InvalidParameterValue", "Duplicate tag specification."},
	{"description", "ImportSnapshot", []string{"Description=" + strings.Repeat("d", 256)}, nil, 400, "InvalidParameterValue", "Value (" + strings.Repeat("d", 256) + ") for parameter description is invalid. It must not be longer than 255 characters."},
	{"disk description", "ImportSnapshot", []string{"DiskContainer.Description=" + strings.Repeat("d", 256)}, nil, 400, "InvalidParameterValue", "Value (" + strings.Repeat("d", 256) + ") for parameter description is invalid. It must not be longer than 255 characters."},
	{"upload size", "ImportSnapshot", []string{"ClientData.UploadSize=big"}, nil, 400, "InvalidParameterValue", "Value (big) for parameter ClientData.UploadSize is invalid. It must be a number."},
	{"upload start", "ImportSnapshot", []string{"ClientData.UploadStart=now"}, nil, 400, "InvalidParameterValue", "Value (now) for parameter ClientData.UploadStart is invalid. It must be an ISO 8601 timestamp."},
	{"too many imports", "ImportSnapshot", nil, importtask.ErrTooMany, 400, "ResourceCountLimitExceeded", "The limit on the number of running import tasks has been reached."},
	{"internal", "ImportSnapshot", nil, errors.New("database on fire"), 500, "InternalError", "An internal error has occurred"},

	// §3.3 Describe and Cancel
	{"malformed id", "DescribeImportSnapshotTasks", []string{"ImportTaskId.1=" + malformedID}, nil, 400, "InvalidConversionTaskId.Malformed", "Task ID " + malformedID + " is malformed"},
	{"image task id", "DescribeImportSnapshotTasks", []string{"ImportTaskId.1=import-ami-0123456789abcdef0"}, nil, 400, "InvalidConversionTaskId.Malformed", "Task ID import-ami-0123456789abcdef0 is malformed"},
	{"unknown id", "DescribeImportSnapshotTasks", []string{"ImportTaskId.1=" + unknownTask}, nil, 400, "InvalidConversionTaskId.Malformed", "Tasks " + unknownTask + " not found."},
	{"somebody else's", "DescribeImportSnapshotTasks", []string{"ImportTaskId.1=" + taskC}, nil, 400, "InvalidConversionTaskId.Malformed", "Tasks " + taskC + " not found."},
	{"one of two unknown", "DescribeImportSnapshotTasks", []string{"ImportTaskId.1=" + taskA, "ImportTaskId.2=" + unknownTask}, nil, 400, "InvalidConversionTaskId.Malformed", "Tasks " + unknownTask + " not found."},
	{"too many ids", "DescribeImportSnapshotTasks", many(1001, "ImportTaskId.%d=x"), nil, 400, "InvalidParameterValue", "Value (1001) for parameter ImportTaskId is invalid. It must not have more than 1000 entries."},
	{"filter name", "DescribeImportSnapshotTasks", []string{"Filters.1.Name=color", "Filters.1.Value.1=x"}, nil, 400, "InvalidParameterValue", "The filter 'color' is invalid"},
	{"filter without name", "DescribeImportSnapshotTasks", []string{"Filters.1.Value.1=x"}, nil, 400, "InvalidParameterValue", "The filter 'null' is invalid"},
	{"filter without value", "DescribeImportSnapshotTasks", []string{"Filters.1.Name=task-state"}, nil, 400, "InvalidParameterValue", "The filter 'null' is invalid."},
	{"too many values", "DescribeImportSnapshotTasks", append(many(201, "Filters.1.Value.%d=x"), "Filters.1.Name=task-state"), nil, 400, "FilterLimitExceeded", "The maximum number of filters or filter values for a request has been exceeded."},
	{"too many filters", "DescribeImportSnapshotTasks", append(many(51, "Filters.%d.Name=task-state"), many(51, "Filters.%d.Value.1=x")...), nil, 400, "FilterLimitExceeded", "The maximum number of filters or filter values for a request has been exceeded."},
	{"no results", "DescribeImportSnapshotTasks", []string{"MaxResults=0"}, nil, 400, "InvalidParameterValue", "Value ( 0 ) for parameter maxResults is invalid. Expecting a value greater than 5."},
	{"results in words", "DescribeImportSnapshotTasks", []string{"MaxResults=ten"}, nil, 400, "InvalidParameterValue", "Value ( ten ) for parameter maxResults is invalid. Expecting a value greater than 5."},
	{"token", "DescribeImportSnapshotTasks", []string{"NextToken=AAAA"}, nil, 400, "InvalidPaginationToken", "The token 'AAAA' is invalid"},
	{"cancel nothing", "CancelImportTask", []string{"ImportTaskId="}, nil, 400, "MissingParameter", "The request must contain the parameter ImportTaskId"},
	{"cancel malformed", "CancelImportTask", []string{"ImportTaskId=" + malformedID}, nil, 400, "InvalidConversionTaskId.Malformed", "Task ID " + malformedID + " is malformed"},
	{"cancel unknown", "CancelImportTask", []string{"ImportTaskId=" + unknownTask}, nil, 400, "InvalidConversionTaskId.Malformed", "Tasks " + unknownTask + " not found."},
	{"cancel ended", "CancelImportTask", nil, &importtask.TransitionError{State: importtask.Completed, Event: importtask.EventCancelled}, 400, "DeleteConversionTaskError", "The conversion task cannot be canceled."},

	// §3.4 Snapshots
	{"no snapshot", "DescribeSnapshots", []string{"SnapshotId.1=" + unknownSnap}, nil, 400, "InvalidSnapshot.NotFound", "The snapshot '" + unknownSnap + "' does not exist."},
	{"somebody else's snapshot", "DescribeSnapshots", []string{"SnapshotId.1=" + snapB}, nil, 400, "InvalidSnapshot.NotFound", "The snapshot '" + snapB + "' does not exist."},
	{"not an id", "DescribeSnapshots", []string{"SnapshotId.1=vol-1"}, nil, 400, "InvalidParameterValue", "Value (vol-1) for parameter snapshotId is invalid. Expected: 'snap-...'."},
	{"bad id", "DescribeSnapshots", []string{"SnapshotId.1=snap-XYZ"}, nil, 400, "InvalidSnapshotID.Malformed", "Value ( snap-XYZ ) for parameter SNAPSHOT is invalid. "},
	{"too many snapshot ids", "DescribeSnapshots", many(1001, "SnapshotId.%d=x"), nil, 400, "InvalidParameterValue", "Value (1001) for parameter SnapshotId is invalid. It must not have more than 1000 entries."},
	{"owner", "DescribeSnapshots", []string{"Owner.1=me"}, nil, 400, "InvalidUserID.Malformed", `Invalid user id: "me"`},
	{"restorable by", "DescribeSnapshots", []string{"RestorableBy.1=me"}, nil, 400, "InvalidUserID.Malformed", `Invalid user id: "me"`},
	{"snapshot filter", "DescribeSnapshots", []string{"Filter.1.Name=color", "Filter.1.Value.1=x"}, nil, 400, "InvalidParameterValue", "The filter 'color' is invalid"},
	{"snapshot filter without value", "DescribeSnapshots", []string{"Filter.1.Name=status"}, nil, 400, "InvalidParameterValue", "The filter 'null' is invalid."},
	{"snapshot filters", "DescribeSnapshots", append(many(201, "Filter.1.Value.%d=x"), "Filter.1.Name=status"), nil, 400, "FilterLimitExceeded", "The maximum number of filters or filter values for a request has been exceeded."},
	{"snapshot results", "DescribeSnapshots", []string{"MaxResults=4"}, nil, 400, "InvalidParameterValue", "Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5."},
	{"snapshot token", "DescribeSnapshots", []string{"NextToken=x"}, nil, 400, "InvalidPaginationToken", "The token 'x' is invalid"},
	{"delete nothing", "DeleteSnapshot", []string{"SnapshotId="}, nil, 400, "MissingParameter", "The request must contain the parameter SnapshotId"},
	{"delete unknown", "DeleteSnapshot", []string{"SnapshotId=" + unknownSnap}, nil, 400, "InvalidSnapshot.NotFound", "The snapshot '" + unknownSnap + "' does not exist."},
	{"delete somebody else's", "DeleteSnapshot", []string{"SnapshotId=" + snapB}, nil, 400, "InvalidSnapshot.NotFound", "The snapshot '" + snapB + "' does not exist."},
	{"delete one being made", "DeleteSnapshot", []string{"SnapshotId=" + snapP}, nil, 400, "InvalidSnapshot.InUse", "The snapshot " + snapP + " is currently in use by the import that makes it"},
	{"delete a volume", "DeleteSnapshot", []string{"SnapshotId=vol-1"}, nil, 400, "InvalidParameterValue", "Value (vol-1) for parameter snapshotId is invalid. Expected: 'snap-...'."},
	{"delete bad id", "DeleteSnapshot", []string{"SnapshotId=snap-1"}, nil, 400, "InvalidSnapshotID.Malformed", "Value ( snap-1 ) for parameter SNAPSHOT is invalid. "},

	// §3.4 Sharing
	{"describe no attribute", "DescribeSnapshotAttribute", []string{"Attribute="}, nil, 400, "MissingParameter", "The request must contain the parameter Attribute"},
	{"describe odd attribute", "DescribeSnapshotAttribute", []string{"Attribute=color"}, nil, 400, "InvalidParameterValue", "Value (color) for parameter attribute is invalid. Unknown attribute."},
	{"describe nothing", "DescribeSnapshotAttribute", []string{"SnapshotId="}, nil, 400, "MissingParameter", "The request must contain the parameter SnapshotId"},
	{"describe a volume", "DescribeSnapshotAttribute", []string{"SnapshotId=vol-1"}, nil, 400, "InvalidParameterValue", "Value (vol-1) for parameter snapshotId is invalid. Expected: 'snap-...'."},
	{"describe bad id", "DescribeSnapshotAttribute", []string{"SnapshotId=snap-1"}, nil, 400, "InvalidSnapshotID.Malformed", "Value ( snap-1 ) for parameter SNAPSHOT is invalid. "},
	{"describe unknown", "DescribeSnapshotAttribute", []string{"SnapshotId=" + unknownSnap}, nil, 400, "InvalidSnapshot.NotFound", "The snapshot '" + unknownSnap + "' does not exist."},
	{"describe somebody else's", "DescribeSnapshotAttribute", []string{"SnapshotId=" + snapB}, nil, 400, "InvalidSnapshot.NotFound", "The snapshot '" + snapB + "' does not exist."},
	{"reset no attribute", "ResetSnapshotAttribute", []string{"Attribute="}, nil, 400, "MissingParameter", "The request must contain the parameter Attribute"},
	{"reset codes", "ResetSnapshotAttribute", []string{"Attribute=productCodes"}, nil, 400, "InvalidParameterValue", "Value (productCodes) for parameter attribute is invalid. Unknown attribute."},
	{"reset nothing", "ResetSnapshotAttribute", []string{"SnapshotId="}, nil, 400, "MissingParameter", "The request must contain the parameter SnapshotId"},
	{"reset a volume", "ResetSnapshotAttribute", []string{"SnapshotId=vol-1"}, nil, 400, "InvalidParameterValue", "Value (vol-1) for parameter snapshotId is invalid. Expected: 'snap-...'."},
	{"reset bad id", "ResetSnapshotAttribute", []string{"SnapshotId=snap-1"}, nil, 400, "InvalidSnapshotID.Malformed", "Value ( snap-1 ) for parameter SNAPSHOT is invalid. "},
	{"reset somebody else's", "ResetSnapshotAttribute", []string{"SnapshotId=" + snapB}, nil, 400, "InvalidSnapshot.NotFound", "The snapshot '" + snapB + "' does not exist."},
	{"modify nothing", "ModifySnapshotAttribute", []string{"SnapshotId="}, nil, 400, "MissingParameter", "The request must contain the parameter SnapshotId"},
	{"modify a volume", "ModifySnapshotAttribute", []string{"SnapshotId=vol-1"}, nil, 400, "InvalidParameterValue", "Value (vol-1) for parameter snapshotId is invalid. Expected: 'snap-...'."},
	{"modify bad id", "ModifySnapshotAttribute", []string{"SnapshotId=snap-1"}, nil, 400, "InvalidSnapshotID.Malformed", "Value ( snap-1 ) for parameter SNAPSHOT is invalid. "},
	{"modify somebody else's", "ModifySnapshotAttribute", []string{"SnapshotId=" + snapB}, nil, 400, "InvalidSnapshot.NotFound", "The snapshot '" + snapB + "' does not exist."},
	{"modify codes", "ModifySnapshotAttribute", []string{"Attribute=productCodes"}, nil, 400, "InvalidParameterValue", "Value (productCodes) for parameter attribute is invalid. Unknown attribute."},
	{"odd operation", "ModifySnapshotAttribute", []string{"OperationType=set"}, nil, 400, "InvalidParameterValue", "Value (set) for parameter operationType is invalid. Unknown operation."},
	{"no operation", "ModifySnapshotAttribute", []string{"UserId.1=" + other}, nil, 400, "MissingParameter", "The request must contain the parameter operationType"},
	{"user in words", "ModifySnapshotAttribute", []string{"CreateVolumePermission.Add.1.UserId=ann"}, nil, 400, "InvalidUserID.Malformed", "Invalid user id: \"ann\""},
	{"odd group", "ModifySnapshotAttribute", []string{"CreateVolumePermission.Add.2.Group=some"}, nil, 400, "InvalidAMIAttributeItemValue", "Invalid attribute item value \"some\" for userGroup item type."},
	{"add and remove", "ModifySnapshotAttribute", []string{"CreateVolumePermission.Remove.1.UserId=" + other}, nil, 400, "InvalidParameterCombination", "One and only one operation type may be specified for createVolumePermissions"},
	{"no change", "ModifySnapshotAttribute", []string{"CreateVolumePermission.Add.1.UserId"}, nil, 400, "InvalidParameterCombination", "No attributes specified."},
	{"many changes", "ModifySnapshotAttribute", many(501, "CreateVolumePermission.Add.%d.UserId="+other), nil, 400, "InvalidParameterValue", "Modification size must not be greater than 500."},
	{"encrypted and public", "ModifySnapshotAttribute", []string{"SnapshotId=" + snapE, "CreateVolumePermission.Add.2.Group=all"}, nil, 400, "OperationNotPermitted", "Encrypted snapshots cannot be shared publicly."},
	{"under the default key", "ModifySnapshotAttribute", []string{"SnapshotId=" + snapE}, nil, 400, "OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared"},

	// §3.4 Copies
	{"copy from nowhere", "CopySnapshot", []string{"SourceRegion="}, nil, 400, "MissingParameter", "The request must contain the parameter SourceRegion"},
	{"copy from elsewhere", "CopySnapshot", []string{"SourceRegion=eu-west-1"}, nil, 400, "InvalidParameterValue", "Value (eu-west-1) for parameter sourceRegion is invalid. Snapshots are copied within their region only."},
	{"copy nothing", "CopySnapshot", []string{"SourceSnapshotId="}, nil, 400, "MissingParameter", "The request must contain the parameter SourceSnapshotId"},
	{"copy a volume", "CopySnapshot", []string{"SourceSnapshotId=vol-1"}, nil, 400, "InvalidParameterValue", "Value (vol-1) for parameter snapshotId is invalid. Expected: 'snap-...'."},
	{"copy bad id", "CopySnapshot", []string{"SourceSnapshotId=snap-1"}, nil, 400, "InvalidSnapshotID.Malformed", "Value ( snap-1 ) for parameter SNAPSHOT is invalid. "},
	{"copy to an outpost", "CopySnapshot", []string{"DestinationOutpostArn=arn:x"}, nil, 400, "UnsupportedOperation", "Copying to an Outpost or Local Zone is not supported."},
	{"copy description", "CopySnapshot", []string{"Description=" + strings.Repeat("d", 256)}, nil, 400, "InvalidParameterValue", "Value (" + strings.Repeat("d", 256) + ") for parameter description is invalid. It must not be longer than 255 characters."},
	{"copy in 20 minutes", "CopySnapshot", []string{"CompletionDurationMinutes=20"}, nil, 400, "InvalidParameterValue", "Value for parameter completionDurationMinutes is invalid. It must be a multiple of 15 between 15 and 2880."},
	{"copy with a key alone", "CopySnapshot", []string{"KmsKeyId=alias/k"}, nil, 400, "InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set."},
	{"copy untyped tags", "CopySnapshot", []string{oneTag, oneValue}, nil, 400, "InvalidParameter", "Tag specification resource type must have a value"},
	{"copy task tags", "CopySnapshot", withTags(oneTag, oneValue), nil, 400, "InvalidParameterValue", "'import-snapshot-task' is not a valid taggable resource type for this operation."},
	{"copy no tags", "CopySnapshot", []string{"TagSpecification.1.ResourceType=snapshot"}, nil, 400, "InvalidParameter", "Tag specification must have at least one tag"},
	{"copy tags twice", "CopySnapshot", append(withTags(oneTag, oneValue), "TagSpecification.1.ResourceType=snapshot", "TagSpecification.2.ResourceType=snapshot", "TagSpecification.2.Tag.1.Key=k", "TagSpecification.2.Tag.1.Value=v"), nil, 400, "InvalidParameterValue", "Duplicate tag specification."},
	{"copy null tag", "CopySnapshot", []string{"TagSpecification.1.ResourceType=snapshot", oneTag}, nil, 400, "InvalidParameterValue", "Tag value cannot be null. Use empty string instead."},
	{"copy unknown", "CopySnapshot", nil, fmt.Errorf("x: %w", snapshot.ErrNotFound), 400, "InvalidSnapshot.NotFound", "The snapshot '" + snapA + "' does not exist."},
	{"copy pending", "CopySnapshot", nil, fmt.Errorf("x: %w", snapshot.ErrNotPending), 400, "IncorrectState", "The snapshot '" + snapA + "' is not in the 'completed' state."},
	{"copy too many", "CopySnapshot", nil, fmt.Errorf("x: %w", snapshot.ErrTooMany), 400, "ResourceLimitExceeded", "Too many snapshot copies in progress. The limit is 20 for this destination region."},

	// Tiers
	{"archive nothing", "ModifySnapshotTier", []string{"SnapshotId="}, nil, 400, "MissingParameter", "The request must contain the parameter SnapshotId"},
	{"archive a volume", "ModifySnapshotTier", []string{"SnapshotId=vol-1"}, nil, 400, "InvalidParameterValue", "Value (vol-1) for parameter snapshotId is invalid. Expected: 'snap-...'."},
	{"archive bad id", "ModifySnapshotTier", []string{"SnapshotId=snap-1"}, nil, 400, "InvalidSnapshotID.Malformed", "Value ( snap-1 ) for parameter SNAPSHOT is invalid. "},
	{"odd tier", "ModifySnapshotTier", []string{"StorageTier=attic"}, nil, 400, "InvalidParameterValue", "Value (attic) for parameter storageTier is invalid. It must be archive."},
	{"archive pending", "ModifySnapshotTier", []string{"SnapshotId=" + snapP}, nil, 400, "IncorrectState", "The snapshot '" + snapP + "' is not in the 'completed' state."},
	{"archive twice", "ModifySnapshotTier", []string{"SnapshotId=" + snapT}, nil, 400, "IncorrectState", "The snapshot '" + snapT + "' is in the archive tier already."},
	{"archive somebody else's", "ModifySnapshotTier", []string{"SnapshotId=" + snapB}, nil, 400, "InvalidSnapshot.NotFound", "The snapshot '" + snapB + "' does not exist."},
	{"restore nothing", "RestoreSnapshotTier", []string{"SnapshotId="}, nil, 400, "MissingParameter", "The request must contain the parameter SnapshotId"},
	{"restore a volume", "RestoreSnapshotTier", []string{"SnapshotId=vol-1"}, nil, 400, "InvalidParameterValue", "Value (vol-1) for parameter snapshotId is invalid. Expected: 'snap-...'."},
	{"restore bad id", "RestoreSnapshotTier", []string{"SnapshotId=snap-1"}, nil, 400, "InvalidSnapshotID.Malformed", "Value ( snap-1 ) for parameter SNAPSHOT is invalid. "},
	{"restore in both ways", "RestoreSnapshotTier", []string{"TemporaryRestoreDays=3"}, nil, 400, "InvalidParameterCombination", "PermanentRestore and TemporaryRestoreDays cannot be used together"},
	{"restore in no way", "RestoreSnapshotTier", []string{"PermanentRestore="}, nil, 400, "MissingParameter", "The request must contain the parameter PermanentRestore or TemporaryRestoreDays"},
	{"restore for some days", "RestoreSnapshotTier", []string{"PermanentRestore=", "TemporaryRestoreDays=3"}, nil, 400, "UnsupportedOperation", "The parameter TemporaryRestoreDays is not supported: archived snapshots can be read here; restore them permanently."},
	{"restore what is not archived", "RestoreSnapshotTier", []string{"SnapshotId=" + snapA}, nil, 400, "IncorrectState", "The snapshot '" + snapA + "' is in the standard tier already."},
	{"tier results", "DescribeSnapshotTierStatus", []string{"MaxResults=4"}, nil, 400, "InvalidParameterValue", "Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5."},
	{"tier filter", "DescribeSnapshotTierStatus", []string{"Filter.1.Name=color", "Filter.1.Value.1=x"}, nil, 400, "InvalidParameterValue", "The filter 'color' is invalid"},
	{"tier filter without value", "DescribeSnapshotTierStatus", []string{"Filter.1.Name=snapshot-id"}, nil, 400, "InvalidParameterValue", "The filter 'null' is invalid."},
	{"tier filters", "DescribeSnapshotTierStatus", append(many(201, "Filter.1.Value.%d=x"), "Filter.1.Name=snapshot-id"), nil, 400, "FilterLimitExceeded", "The maximum number of filters or filter values for a request has been exceeded."},

	// §1.12 Defaults
	{"no key", "ModifyEbsDefaultKmsKeyId", []string{"KmsKeyId="}, nil, 400, "MissingParameter", "The request must contain the parameter KmsKeyId"},
	{"bad key", "ModifyEbsDefaultKmsKeyId", []string{"KmsKeyId=alias/gone"}, nil, 400, "InvalidParameterValue", "The specified KMS key is not accessible. If this is a default EBS CMK, please retry your request without specifying the key explicitly"},

	// §1.13 Images
	{"no name", "RegisterImage", []string{"Name="}, nil, 400, "MissingParameter", "The request must contain the parameter Name"},
	{"short name", "RegisterImage", []string{"Name=ab"}, nil, 400, "InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long"},
	{"name taken", "RegisterImage", []string{"Name=taken"}, nil, 400, "InvalidAMIName.Duplicate", "AMI name taken is already in use by AMI " + imageA},
	{"image description", "RegisterImage", []string{"Description=" + strings.Repeat("d", 256)}, nil, 400, "InvalidParameterValue", "Value (" + strings.Repeat("d", 256) + ") for parameter description is invalid. It must not be longer than 255 characters."},
	{"image location", "RegisterImage", []string{"ImageLocation=b/k"}, nil, 400, "UnsupportedOperation", "The parameter ImageLocation is not supported."},
	{"kernel", "RegisterImage", []string{"KernelId=aki-1"}, nil, 400, "UnsupportedOperation", "The parameter KernelId is not supported."},
	{"ramdisk", "RegisterImage", []string{"RamdiskId=ari-1"}, nil, 400, "UnsupportedOperation", "The parameter RamdiskId is not supported."},
	{"uefi", "RegisterImage", []string{"UefiData=x"}, nil, 400, "UnsupportedOperation", "The parameter UefiData is not supported."},
	{"billing", "RegisterImage", []string{"BillingProduct.1=x"}, nil, 400, "UnsupportedOperation", "The parameter BillingProduct is not supported."},
	{"no root", "RegisterImage", []string{"RootDeviceName="}, nil, 400, "MissingParameter", "The request must contain the parameter RootDeviceName"},
	{"no device", "RegisterImage", []string{"BlockDeviceMapping.1.DeviceName="}, nil, 400, "MissingParameter", "The request must contain the parameter DeviceName"},
	{"root without snapshot", "RegisterImage", []string{"RootDeviceName=/dev/xvda"}, nil, 400, "InvalidBlockDeviceMapping", "The root device /dev/xvda has no snapshot in the block device mapping"},
	{"small root", "RegisterImage", []string{"BlockDeviceMapping.1.Ebs.VolumeSize=1"}, nil, 400, "InvalidBlockDeviceMapping", "Volume of size 1GB is smaller than snapshot '" + snapA + "', expect size >= 2GB"},
	{"image of a volume", "RegisterImage", []string{"BlockDeviceMapping.1.Ebs.SnapshotId=vol-1"}, nil, 400, "InvalidParameterValue", "Value (vol-1) for parameter snapshotId is invalid. Expected: 'snap-...'."},
	{"image of bad id", "RegisterImage", []string{"BlockDeviceMapping.1.Ebs.SnapshotId=snap-1"}, nil, 400, "InvalidSnapshotID.Malformed", "Value ( snap-1 ) for parameter SNAPSHOT is invalid. "},
	{"image of somebody else's", "RegisterImage", []string{"BlockDeviceMapping.1.Ebs.SnapshotId=" + snapB}, nil, 400, "InvalidSnapshot.NotFound", "The snapshot '" + snapB + "' does not exist."},
	{"image untyped tags", "RegisterImage", []string{oneTag, oneValue}, nil, 400, "InvalidParameter", "Tag specification resource type must have a value"},
	{"image task tags", "RegisterImage", withTags(oneTag, oneValue), nil, 400, "InvalidParameterValue", "'import-snapshot-task' is not a valid taggable resource type for this operation."},
	{"image no tags", "RegisterImage", []string{"TagSpecification.1.ResourceType=image"}, nil, 400, "InvalidParameter", "Tag specification must have at least one tag"},
	{"image tags twice", "RegisterImage", []string{oneTag, oneValue, "TagSpecification.1.ResourceType=image", "TagSpecification.2.ResourceType=image", "TagSpecification.2.Tag.1.Key=k", "TagSpecification.2.Tag.1.Value=v"}, nil, 400, "InvalidParameterValue", "Duplicate tag specification."},
	{"image null tag", "RegisterImage", []string{"TagSpecification.1.ResourceType=image", oneTag}, nil, 400, "InvalidParameterValue", "Tag value cannot be null. Use empty string instead."},
	{"deregister nothing", "DeregisterImage", []string{"ImageId="}, nil, 400, "MissingParameter", "The request must contain the parameter ImageId"},
	{"deregister with snapshots", "DeregisterImage", []string{"DeleteAssociatedSnapshots=true"}, nil, 400, "UnsupportedOperation", "The parameter DeleteAssociatedSnapshots is not supported."},
	{"deregister bad id", "DeregisterImage", []string{"ImageId=img"}, nil, 400, "InvalidAMIID.Malformed", "Invalid id: \"img\" (expecting \"ami-...\")"},
	{"deregister unknown", "DeregisterImage", []string{"ImageId=" + unknownAMI}, nil, 400, "InvalidAMIID.NotFound", "The image id '[" + unknownAMI + "]' does not exist"},
	{"image results", "DescribeImages", []string{"MaxResults=0"}, nil, 400, "InvalidParameterValue", "Value ( 0 ) for parameter maxResults is invalid. Expecting a value greater than 5."},
	{"many images", "DescribeImages", many(1001, "ImageId.%d="+imageA), nil, 400, "InvalidParameterValue", "Value (1001) for parameter ImageId is invalid. It must not have more than 1000 entries."},
	{"image bad id", "DescribeImages", []string{"ImageId.1=img"}, nil, 400, "InvalidAMIID.Malformed", "Invalid id: \"img\" (expecting \"ami-...\")"},
	{"image unknown", "DescribeImages", []string{"ImageId.1=" + unknownAMI}, nil, 400, "InvalidAMIID.NotFound", "The image id '[" + unknownAMI + "]' does not exist"},
	{"image owner", "DescribeImages", []string{"Owner.1=ann"}, nil, 400, "InvalidUserID.Malformed", "Invalid user id: \"ann\""},
	{"image filter", "DescribeImages", []string{"Filter.1.Name=color", "Filter.1.Value.1=x"}, nil, 400, "InvalidParameterValue", "The filter 'color' is invalid"},
	{"image filter without value", "DescribeImages", []string{"Filter.1.Name=name"}, nil, 400, "InvalidParameterValue", "The filter 'null' is invalid."},
	{"image filters", "DescribeImages", append(many(201, "Filter.1.Value.%d=x"), "Filter.1.Name=name"), nil, 400, "FilterLimitExceeded", "The maximum number of filters or filter values for a request has been exceeded."},
	{"tags of an unknown image", "CreateTags", []string{"ResourceId.1=" + unknownAMI}, nil, 400, "InvalidAMIID.NotFound", "The image id '[" + unknownAMI + "]' does not exist"},

	// §6 Tags
	{"51 tags", "CreateTags", many(51, "Tag.%d.Key=k%[1]d"), nil, 400, "TagLimitExceeded", "The maximum number of Tags for a resource has been reached."},
	{"long key", "CreateTags", []string{"Tag.1.Key=" + strings.Repeat("k", 129)}, nil, 400, "InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters"},
	{"empty key", "CreateTags", []string{"Tag.1.Key=", "Tag.1.Value=v"}, nil, 400, "InvalidTagKey.Malformed", "Tag key cannot be null or empty."},
	{"long value", "CreateTags", []string{"Tag.1.Value=" + strings.Repeat("v", 257)}, nil, 400, "InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters"},
	{"null value", "ImportSnapshot", withTags(oneTag), nil, 400, "InvalidParameterValue", "Tag value cannot be null. Use empty string instead."},
	{"reserved", "CreateTags", []string{"Tag.1.Key=AWS:x"}, nil, 400, "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use"},
	{"reserved at creation", "ImportSnapshot", withTags("TagSpecification.1.Tag.1.Key=aws:x", oneValue), nil, 400, "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use"},
	{"duplicate", "CreateTags", []string{"Tag.2.Key=k"}, nil, 400, "InvalidParameterValue", "Duplicate tag key 'k' specified."},
	{"too many resources", "CreateTags", many(1001, "ResourceId.%d="+snapA), nil, 400, "InvalidParameterValue", "Value (1001) for parameter resourceIdSet is invalid. It must not have more than 1000 entries."},
	{"too many deletions", "DeleteTags", many(1001, "Tag.%d.Key=k%[1]d"), nil, 400, "InvalidParameterValue", "Value (1001) for parameter tagSet is invalid. It must not have more than 1000 entries."},
	{"resource shape", "CreateTags", []string{"ResourceId.1=vol-1"}, nil, 400, "InvalidID", "The ID 'vol-1' is not valid"},
	{"no such resource", "CreateTags", []string{"ResourceId.1=" + unknownSnap}, nil, 400, "InvalidSnapshot.NotFound", "The snapshot '" + unknownSnap + "' does not exist."},
	{"no such task", "CreateTags", []string{"ResourceId.1=" + unknownTask}, nil, 400, "InvalidConversionTaskId.Malformed", "Tasks " + unknownTask + " not found."},
	{"no resource", "CreateTags", []string{"ResourceId.1="}, nil, 400, "MissingParameter", "The request must contain the parameter resourceIdSet"},
	{"no tag", "CreateTags", []string{"Tag.1.Key"}, nil, 400, "MissingParameter", "The request must contain the parameter tagSet"},
	{"delete from nothing", "DeleteTags", []string{"ResourceId.1="}, nil, 400, "MissingParameter", "The request must contain the parameter resourceIdSet"},
	{"delete from many", "DeleteTags", many(1001, "ResourceId.%d="+snapA), nil, 400, "InvalidParameterValue", "Value (1001) for parameter resourceIdSet is invalid. It must not have more than 1000 entries."},
	{"delete of shape", "DeleteTags", []string{"ResourceId.1=vol-1"}, nil, 400, "InvalidID", "The ID 'vol-1' is not valid"},
	{"delete empty key", "DeleteTags", []string{"Tag.1.Key=", "Tag.1.Value=v"}, nil, 400, "InvalidTagKey.Malformed", "Tag key cannot be null or empty."},
	{"delete reserved", "DeleteTags", []string{"Tag.1.Key=aws:x"}, nil, 400, "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use"},
	{"tag results", "DescribeTags", []string{"MaxResults=1001"}, nil, 400, "InvalidParameterValue", "Value ( 1001 ) for parameter maxResults is invalid. Expecting a value greater than 5."},
	{"tag filter", "DescribeTags", []string{"Filter.1.Name=color", "Filter.1.Value.1=x"}, nil, 400, "InvalidParameterValue", "The filter 'color' is invalid"},
	{"tag filter without value", "DescribeTags", []string{"Filter.1.Name=key"}, nil, 400, "InvalidParameterValue", "The filter 'null' is invalid."},
	{"tag filters", "DescribeTags", append(many(201, "Filter.1.Value.%d=x"), "Filter.1.Name=key"), nil, 400, "FilterLimitExceeded", "The maximum number of filters or filter values for a request has been exceeded."},
}

func TestContractErrors(t *testing.T) {
	for _, r := range rows {
		t.Run(r.action+" "+r.name, func(t *testing.T) {
			f := populated()
			f.imports.err, f.copies.err = r.err, r.err
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
	for action, act := range actions {
		if act == nil {
			continue
		}
		t.Run(action, func(t *testing.T) {
			params, ok := good[action]
			if !ok {
				t.Fatal("no good request to try")
			}
			params = append(slices.Clone(params), "DryRun=true")
			f := populated()
			w := f.do(action, params...)
			if got := parse(t, w); w.Code != 412 || got.Code != "DryRunOperation" || got.Message != "Request would have succeeded, but DryRun flag is set." {
				t.Errorf("allowed: got %d %s", w.Code, w.Body)
			}
			if f.imports.got.Account != "" || len(f.snapshots.records) != 5 || f.copies.got.Account != "" || len(f.images.list) != 1 || len(f.tags.sets[snapA]) != 0 {
				t.Error("a dry run had an effect")
			}
			f.denied = "ec2:" + action
			w = f.do(action, params...)
			if got := parse(t, w); w.Code != 403 || got.Code != "UnauthorizedOperation" || !strings.HasPrefix(got.Message, "You are not authorized to perform this operation. User: "+userARN+" is not authorized to perform: ec2:"+action) {
				t.Errorf("denied: got %d %s", w.Code, w.Body)
			}
			f.denied = ""
			if w = f.do(action, append(slices.Clone(good[action]), "DryRun=false")...); w.Code != 200 {
				t.Errorf("not dry: got %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestNotBuiltYet(t *testing.T) {
	for _, action := range slices.Sorted(maps.Keys(actions)) {
		if actions[action] != nil {
			continue
		}
		w := populated().do(action, "Whatever=1")
		if got := parse(t, w); w.Code != 400 || got.Code != "UnsupportedOperation" || !strings.Contains(got.Message, action) {
			t.Errorf("%s: got %d %s", action, w.Code, w.Body)
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
	const img = "arn:aws:ec2:us-east-1::image/"
	tests := map[string][]struct{ action, resource, condition string }{
		"ImportSnapshot": {
			{"ec2:ImportSnapshot", task + "*", `"StringEquals":{"aws:RequestTag/k":"v"}`},
			{"ec2:ImportSnapshot", snap + "*", ""},
			{"ec2:CreateTags", task + "*", `"StringEquals":{"ec2:CreateAction":"ImportSnapshot","aws:RequestTag/k":"v"}`},
		},
		"DescribeImportSnapshotTasks": {{"ec2:DescribeImportSnapshotTasks", "*", ""}},
		"CancelImportTask":            {{"ec2:CancelImportTask", task + taskA, ""}},
		"DescribeSnapshots":           {{"ec2:DescribeSnapshots", "*", ""}},
		"DeleteSnapshot":              {{"ec2:DeleteSnapshot", snap + snapA, `"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}`}},
		"CreateTags":                  {{"ec2:CreateTags", snap + snapA, `"ForAllValues:StringEquals":{"aws:TagKeys":"k"}`}, {"ec2:CreateTags", task + taskA, ""}},
		"DeleteTags":                  {{"ec2:DeleteTags", snap + snapA, ""}, {"ec2:DeleteTags", task + taskA, ""}},
		"DescribeTags":                {{"ec2:DescribeTags", "*", ""}},
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
	}
	for action, act := range actions {
		if _, ok := tests[action]; !ok && act != nil {
			t.Errorf("no test of the grants of %s", action)
		}
	}
	more := map[string][]string{
		"ImportSnapshot": withTags(oneTag, oneValue),
		"CreateTags":     {"ResourceId.2=" + taskA},
		"CopySnapshot":   {"TagSpecification.1.ResourceType=snapshot", oneTag, oneValue},
		"RegisterImage":  {"TagSpecification.1.ResourceType=image", oneTag, oneValue},
		"DeleteTags":     {"ResourceId.2=" + taskA},
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
