package ec2api

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// contracted is every row of the contract's tables that is the answer to a call:
// section, what it is about, the action, code, message (… is any text) and status.
// Errors that the task reports instead of the call are in package importtask.
var contracted = []struct {
	section, about, action, code, message string
	status                                int
}{
	{"1.1", "unknown action", "", "InvalidAction", "The action … is not valid for this web service.", 400},
	{"1.1", "missing action", "", "MissingAction", "…", 400},
	{"1.1", "unsupported version", "", "NoSuchVersion", "…", 400},
	{"1.3", "boolean", "", "InvalidParameterValue", "Value (…) for parameter Encrypted is invalid.…", 400},
	{"1.4", "unknown parameter", "", "UnknownParameter", "The parameter … is not recognized", 400},

	{"3.2", "DiskContainer missing altogether", "ImportSnapshot", "MissingParameter", "The request must contain the parameter DiskContainer", 400},
	{"3.2", "neither Url nor a complete UserBucket", "ImportSnapshot", "MissingParameter", "The request must contain the parameter DiskContainer.UserBucket or DiskContainer.Url", 400},
	{"3.2", "no S3Key", "ImportSnapshot", "MissingParameter", "The request must contain the parameter DiskContainer.UserBucket.S3Key", 400},
	{"3.2", "no S3Bucket", "ImportSnapshot", "MissingParameter", "The request must contain the parameter DiskContainer.UserBucket.S3Bucket", 400},
	{"3.2", "Url and UserBucket", "ImportSnapshot", "InvalidParameterCombination", "The parameter Url cannot be used with the parameter UserBucket", 400},
	{"3.2", "Url of another form", "ImportSnapshot", "InvalidParameter", "Invalid S3 source location", 400},
	{"3.2", "Format", "ImportSnapshot", "InvalidParameter", "Parameter disk-image-format=… has an invalid format", 400},
	{"3.2", "S3 object that can't be read, or is not there", "ImportSnapshot", "InvalidParameter", "User does not have access to the S3 object (b/k).", 400},
	{"3.2", "S3 bucket of another region", "ImportSnapshot", "InvalidParameter", "The given S3 object is not local to the region. The object must be located in ….", 400},
	{"3.2", "RoleName", "ImportSnapshot", "InvalidParameter", "The service role vmimport provided does not exist or does not have sufficient permissions", 400},
	{"3.2", "RoleName that no role can have", "ImportSnapshot", "InvalidParameter", "The service role a role provided does not exist or does not have sufficient permissions", 400},
	{"3.2", "KmsKeyId without Encrypted", "ImportSnapshot", "InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.", 400},
	{"3.2", "ClientToken too long", "ImportSnapshot", "InvalidParameterValue", "Client token exceeds the maximum length of 64", 400},
	{"3.2", "ClientToken reused", "ImportSnapshot", "IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).", 400},
	{"3.2", "TagSpecification of another type", "ImportSnapshot", "InvalidParameterValue", "'…' is not a valid taggable resource type for this operation.", 400},
	{"3.2", "TagSpecification without a type", "ImportSnapshot", "InvalidParameter", "Tag specification resource type must have a value", 400},
	{"3.2", "TagSpecification without tags", "ImportSnapshot", "InvalidParameter", "Tag specification must have at least one tag", 400},
	{"3.2", "TagSpecification twice", "ImportSnapshot", "InvalidParameterValue", "Duplicate tag specification.", 400},
	{"3.2", "Description", "ImportSnapshot", "InvalidParameterValue", "Value (…) for parameter description is invalid. …", 400},
	{"3.2", "ClientData, double", "ImportSnapshot", "InvalidParameterValue", "Value (…) for parameter ClientData.UploadSize is invalid.…", 400},
	{"3.2", "ClientData, timestamp", "ImportSnapshot", "InvalidParameterValue", "Value (…) for parameter ClientData.UploadStart is invalid.…", 400},
	{"3.2", "too many running imports", "ImportSnapshot", "ResourceCountLimitExceeded", "…", 400},
	{"3.2", "DryRun, allowed", "", "DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412},
	{"3.2", "DryRun, denied", "", "UnauthorizedOperation", "You are not authorized to perform this operation. …", 403},

	{"3.3", "malformed id", "DescribeImportSnapshotTasks", "InvalidConversionTaskId.Malformed", "Task ID … is malformed", 400},
	{"3.3", "unknown id", "DescribeImportSnapshotTasks", "InvalidConversionTaskId.Malformed", "Tasks … not found.", 400},
	{"3.3", "another account's task", "DescribeImportSnapshotTasks", "InvalidConversionTaskId.Malformed", "Tasks " + taskC + " not found.", 400},
	{"3.3", "an id of ImportImage", "DescribeImportSnapshotTasks", "InvalidConversionTaskId.Malformed", "Task ID import-ami-… is malformed", 400},
	{"3.3", "unknown filter", "DescribeImportSnapshotTasks", "InvalidParameterValue", "The filter 'color' is invalid", 400},
	{"3.3", "filter without value", "DescribeImportSnapshotTasks", "InvalidParameterValue", "The filter 'null' is invalid.", 400},
	{"3.3", "too many filters", "DescribeImportSnapshotTasks", "FilterLimitExceeded", "…", 400},
	{"3.3", "MaxResults 0", "DescribeImportSnapshotTasks", "InvalidParameterValue", "Value ( 0 ) for parameter maxResults is invalid. Expecting a value greater than 5.", 400},
	{"3.3", "MaxResults negative", "DescribeImportSnapshotTasks", "InvalidParameterValue", "Value ( -1 ) for parameter maxResults is invalid. Expecting a value greater than 5.", 400},
	{"3.3", "MaxResults in words", "DescribeImportSnapshotTasks", "InvalidParameterValue", "Value ( ten ) for parameter maxResults is invalid. Expecting a value greater than 5.", 400},
	{"3.3", "NextToken", "DescribeImportSnapshotTasks", "InvalidPaginationToken", "The token '…' is invalid", 400},
	{"3.3", "cancel without an id", "CancelImportTask", "MissingParameter", "The request must contain the parameter ImportTaskId", 400},
	{"3.3", "cancel what has ended", "CancelImportTask", "DeleteConversionTaskError", "The conversion task cannot be canceled.", 400},

	{"3.4", "no such snapshot", "DescribeSnapshots", "InvalidSnapshot.NotFound", "The snapshot '…' does not exist.", 400},
	{"3.4", "id without snap-", "DescribeSnapshots", "InvalidParameterValue", "Value (vol-1) for parameter snapshotId is invalid. Expected: 'snap-...'.", 400},
	{"3.4", "bad id", "DescribeSnapshots", "InvalidSnapshotID.Malformed", "Value ( … ) for parameter SNAPSHOT is invalid. ", 400},
	{"3.4", "delete while an image uses it", "DeleteSnapshot", "InvalidSnapshot.InUse", "The snapshot snap-… is currently in use by ami-…", 400},
	{"3.4", "bad owner", "DescribeSnapshots", "InvalidUserID.Malformed", "…", 400},
	{"3.4", "bad user id", "ModifySnapshotAttribute", "InvalidUserID.Malformed", "…", 400},
	{"3.4", "bad group", "ModifySnapshotAttribute", "InvalidAMIAttributeItemValue", "…", 400},
	{"3.4", "encrypted, to all", "ModifySnapshotAttribute", "OperationNotPermitted", "Encrypted snapshots cannot be shared publicly.", 400},
	{"3.4", "encrypted under the default key", "ModifySnapshotAttribute", "OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared", 400},
	{"3.4", "add and remove", "ModifySnapshotAttribute", "InvalidParameterCombination", "One and only one operation type may be specified for createVolumePermissions", 400},
	{"3.4", "nothing to change", "ModifySnapshotAttribute", "InvalidParameterCombination", "No attributes specified.", 400},
	{"3.4", "more than 500 changes", "ModifySnapshotAttribute", "InvalidParameterValue", "Modification size must not be greater than 500.", 400},
	{"3.4", "more than 20 copies", "CopySnapshot", "ResourceLimitExceeded", "Too many snapshot copies in progress. The limit is 20 for this destination region.", 400},

	{"6", "51 tags", "CreateTags", "TagLimitExceeded", "The maximum number of Tags for a resource has been reached.", 400},
	{"6", "51 tags at once", "ImportSnapshot", "TagLimitExceeded", "The maximum number of Tags for a resource has been reached.", 400},
	{"6", "long key", "CreateTags", "InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters", 400},
	{"6", "long key", "ImportSnapshot", "InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters", 400},
	{"6", "empty key", "CreateTags", "InvalidTagKey.Malformed", "Tag key cannot be null or empty.", 400},
	{"6", "empty key", "DeleteTags", "InvalidTagKey.Malformed", "Tag key cannot be null or empty.", 400},
	{"6", "empty key", "ImportSnapshot", "InvalidTagKey.Malformed", "Tag key cannot be null or empty.", 400},
	{"6", "long value", "CreateTags", "InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters", 400},
	{"6", "long value", "ImportSnapshot", "InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters", 400},
	{"6", "null value", "ImportSnapshot", "InvalidParameterValue", "Tag value cannot be null. Use empty string instead.", 400},
	{"6", "aws:", "CreateTags", "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use", 400},
	{"6", "aws:", "DeleteTags", "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use", 400},
	{"6", "aws:", "ImportSnapshot", "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use", 400},
	{"6", "duplicate key", "CreateTags", "InvalidParameterValue", "Duplicate tag key '…' specified.", 400},
	{"6", "duplicate key", "ImportSnapshot", "InvalidParameterValue", "Duplicate tag key '…' specified.", 400},
	{"6", "1001 resources", "CreateTags", "InvalidParameterValue", "…resourceIdSet…", 400},
	{"6", "1001 resources", "DeleteTags", "InvalidParameterValue", "…resourceIdSet…", 400},
	{"6", "1001 tags", "DeleteTags", "InvalidParameterValue", "…tagSet…", 400},
	{"6", "id of unknown shape", "CreateTags", "InvalidID", "The ID '…' is not valid", 400},
	{"6", "id of unknown shape", "DeleteTags", "InvalidID", "The ID '…' is not valid", 400},
	{"6", "no such snapshot", "CreateTags", "InvalidSnapshot.NotFound", "The snapshot '…' does not exist.", 400},
	{"6", "no such task", "CreateTags", "InvalidConversionTaskId.Malformed", "Tasks … not found.", 400},
	{"6", "no resource", "CreateTags", "MissingParameter", "The request must contain the parameter resourceIdSet", 400},
	{"6", "no resource", "DeleteTags", "MissingParameter", "The request must contain the parameter resourceIdSet", 400},
	{"6", "no tag", "CreateTags", "MissingParameter", "The request must contain the parameter tagSet", 400},
}

// TestEveryRowOfTheContractIsTested: a row of the contract without a case in rows is
// a gap. Answers that are the same for every action are in dryRows.
func TestEveryRowOfTheContractIsTested(t *testing.T) {
	all := slices.Concat(rows, dryRows)
	for _, c := range contracted {
		words := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(c.message), "…", ".*") + "$")
		if !slices.ContainsFunc(all, func(r row) bool {
			return (c.action == "" || r.action == c.action) && r.code == c.code && r.status == c.status && words.MatchString(r.want)
		}) {
			t.Errorf("§%s %s: no case wants %s %s %d %q", c.section, c.about, c.action, c.code, c.status, c.message)
		}
	}
}

// dryRows are the answers that TestDryRun wants from every action.
var dryRows = []row{
	{name: "allowed", status: 412, code: "DryRunOperation", want: "Request would have succeeded, but DryRun flag is set."},
	{name: "denied", status: 403, code: "UnauthorizedOperation", want: "You are not authorized to perform this operation. User: " + userARN + " is not authorized to perform: ec2:"},
}
