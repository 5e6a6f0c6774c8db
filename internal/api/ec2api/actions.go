package ec2api

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
)

// actions are the actions that are built. The front chain has verified the signature;
// the rest of the checks are in dispatch.go.
var actions = map[string]action{
	"ImportSnapshot":              on(importGrants, importRules, importSnapshot),
	"DescribeImportSnapshotTasks": on(anywhere[describeTasksRequest]("DescribeImportSnapshotTasks"), describeTasksRules, describeTasks),
	"ImportImage":                 on(importImageGrants, importImageRules, importImage),
	"DescribeImportImageTasks":    on(anywhere[describeImageTasksRequest]("DescribeImportImageTasks"), describeImageTasksRules, describeImageTasks),
	"CancelImportTask":            on(cancelGrants, cancelRules, cancelTask),

	"DescribeSnapshots": on(anywhere[describeSnapshotsRequest]("DescribeSnapshots"), describeSnapshotsRules, describeSnapshots),
	"DeleteSnapshot":    on(onSnapshot[deleteSnapshotRequest]("DeleteSnapshot"), deleteSnapshotRules, deleteSnapshot),

	"CopySnapshot": on(copySnapshotGrants, copySnapshotRules, copySnapshot),

	"DescribeSnapshotAttribute": on(onSnapshot[describeAttributeRequest]("DescribeSnapshotAttribute"), describeAttributeRules, describeAttribute),
	"ModifySnapshotAttribute":   on(onSnapshot[modifyAttributeRequest]("ModifySnapshotAttribute"), modifyAttributeRules, modifyAttribute),
	"ResetSnapshotAttribute":    on(onSnapshot[resetAttributeRequest]("ResetSnapshotAttribute"), resetAttributeRules, resetAttribute),

	"DescribeSnapshotTierStatus": on(anywhere[describeTiersRequest]("DescribeSnapshotTierStatus"), describeTiersRules, describeTiers),
	"ModifySnapshotTier":         on(onSnapshot[modifyTierRequest]("ModifySnapshotTier"), modifyTierRules, modifyTier),
	"RestoreSnapshotTier":        on(onSnapshot[restoreTierRequest]("RestoreSnapshotTier"), restoreTierRules, restoreTier),

	"GetEbsDefaultKmsKeyId":         on(anywhere[bareRequest]("GetEbsDefaultKmsKeyId"), nil, getDefaultKey),
	"ModifyEbsDefaultKmsKeyId":      on(anywhere[modifyDefaultKeyRequest]("ModifyEbsDefaultKmsKeyId"), modifyDefaultKeyRules, modifyDefaultKey),
	"ResetEbsDefaultKmsKeyId":       on(anywhere[bareRequest]("ResetEbsDefaultKmsKeyId"), nil, resetDefaultKey),
	"GetEbsEncryptionByDefault":     on(anywhere[bareRequest]("GetEbsEncryptionByDefault"), nil, getEncryptByDefault),
	"EnableEbsEncryptionByDefault":  on(anywhere[bareRequest]("EnableEbsEncryptionByDefault"), nil, enableEncryptByDefault),
	"DisableEbsEncryptionByDefault": on(anywhere[bareRequest]("DisableEbsEncryptionByDefault"), nil, disableEncryptByDefault),

	"RegisterImage":   on(registerImageGrants, registerImageRules, registerImage),
	"DeregisterImage": on(onImage[deregisterImageRequest]("DeregisterImage"), deregisterImageRules, deregisterImage),
	"DescribeImages":  on(anywhere[describeImagesRequest]("DescribeImages"), describeImagesRules, describeImages),

	"CopyImage": on(copyImageGrants, copyImageRules, copyImage),

	"DescribeImageAttribute": on(onImage[describeImageAttributeRequest]("DescribeImageAttribute"), describeImageAttributeRules, describeImageAttribute),
	"ModifyImageAttribute":   on(onImage[modifyImageAttributeRequest]("ModifyImageAttribute"), modifyImageAttributeRules, modifyImageAttribute),
	"ResetImageAttribute":    on(onImage[resetImageAttributeRequest]("ResetImageAttribute"), resetImageAttributeRules, resetImageAttribute),
	"GetInstanceUefiData":    on(uefiDataGrants, uefiDataRules, uefiData),

	"EnableImageDeprecation":               on(onImage[deprecateImageRequest]("EnableImageDeprecation"), deprecateImageRules, deprecateImage),
	"DisableImageDeprecation":              on(onImage[undeprecateImageRequest]("DisableImageDeprecation"), oneImageRules[undeprecateImageRequest](), undeprecateImage),
	"EnableImageDeregistrationProtection":  on(onImage[protectImageRequest]("EnableImageDeregistrationProtection"), oneImageRules[protectImageRequest](), protectImage),
	"DisableImageDeregistrationProtection": on(onImage[unprotectImageRequest]("DisableImageDeregistrationProtection"), oneImageRules[unprotectImageRequest](), unprotectImage),

	"CreateVolume":                 on(createVolumeGrants, createVolumeRules, createVolume),
	"DescribeVolumes":              on(anywhere[describeVolumesRequest]("DescribeVolumes"), describeVolumesRules, describeVolumes),
	"DescribeVolumeStatus":         on(anywhere[describeVolumeStatusRequest]("DescribeVolumeStatus"), describeVolumeStatusRules, describeVolumeStatus),
	"DescribeVolumesModifications": on(anywhere[describeModificationsRequest]("DescribeVolumesModifications"), describeModificationsRules, describeModifications),
	"ModifyVolume":                 on(onVolume[modifyVolumeRequest]("ModifyVolume"), modifyVolumeRules, modifyVolume),
	"DeleteVolume":                 on(onVolume[deleteVolumeRequest]("DeleteVolume"), oneVolumeRules[deleteVolumeRequest](), deleteVolume),
	"CreateSnapshot":               on(createSnapshotGrants, createSnapshotRules, createSnapshot),

	"CreateTags":   on(createTagsGrants, createTagsRules, createTags),
	"DeleteTags":   on(deleteTagsGrants, deleteTagsRules, deleteTags),
	"DescribeTags": on(anywhere[describeTagsRequest]("DescribeTags"), describeTagsRules, describeTags),

	"DescribeRegions":           on(anywhere[describeRegionsRequest]("DescribeRegions"), describeRegionsRules, describeRegions),
	"DescribeAvailabilityZones": on(anywhere[describeZonesRequest]("DescribeAvailabilityZones"), describeZonesRules, describeZones),
	"DescribeAccountAttributes": on(anywhere[describeAccountRequest]("DescribeAccountAttributes"), describeAccountRules, describeAccount),
}

// Actions returns the names of the actions that are built, sorted.
func Actions() []string { return slices.Sorted(maps.Keys(actions)) }

//go:embed aws-actions.txt
var awsActionsText string

// awsActions are the actions that AWS has, sorted. Those that are not built here answer
// UnsupportedOperation.
var awsActions = slices.DeleteFunc(strings.Split(strings.TrimSpace(awsActionsText), "\n"), func(line string) bool {
	return strings.HasPrefix(line, "#")
})

func isAWSAction(name string) bool {
	_, ok := slices.BinarySearch(awsActions, name)
	return ok
}
