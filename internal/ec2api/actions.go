package ec2api

// actions is every action that there is a word for. The front chain has
// verified the signature; the rest of the checks are in dispatch.go. Those
// without an implementation answer UnsupportedOperation.
var actions = map[string]action{
	"ImportSnapshot":              on(importGrants, importRules, importSnapshot),
	"DescribeImportSnapshotTasks": on(anywhere[describeTasksRequest]("DescribeImportSnapshotTasks"), describeTasksRules, describeTasks),
	"CancelImportTask":            on(cancelGrants, cancelRules, cancelTask),

	"DescribeSnapshots": on(anywhere[describeSnapshotsRequest]("DescribeSnapshots"), describeSnapshotsRules, describeSnapshots),
	"DeleteSnapshot":    on(deleteSnapshotGrants, deleteSnapshotRules, deleteSnapshot),

	"CreateTags":   on(createTagsGrants, createTagsRules, createTags),
	"DeleteTags":   on(deleteTagsGrants, deleteTagsRules, deleteTags),
	"DescribeTags": on(anywhere[describeTagsRequest]("DescribeTags"), describeTagsRules, describeTags),

	// Not built yet.
	"CopySnapshot":                  nil,
	"DescribeSnapshotAttribute":     nil,
	"ModifySnapshotAttribute":       nil,
	"ResetSnapshotAttribute":        nil,
	"DescribeSnapshotTierStatus":    nil,
	"ModifySnapshotTier":            nil,
	"RestoreSnapshotTier":           nil,
	"GetEbsDefaultKmsKeyId":         nil,
	"ModifyEbsDefaultKmsKeyId":      nil,
	"ResetEbsDefaultKmsKeyId":       nil,
	"GetEbsEncryptionByDefault":     nil,
	"EnableEbsEncryptionByDefault":  nil,
	"DisableEbsEncryptionByDefault": nil,
	"RegisterImage":                 nil,
	"DeregisterImage":               nil,
	"DescribeImages":                nil,
	"CreateSnapshot":                nil,
	"CreateVolume":                  nil,
	"ImportImage":                   nil,
	"DescribeImportImageTasks":      nil,
}
