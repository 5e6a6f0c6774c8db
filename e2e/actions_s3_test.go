package e2e

import (
	"slices"

	"github.com/diskport/diskport/internal/api/s3api"
)

// neverSet are S3's operations about settings that can't be made here. They are
// served, and always answer that there is no such setting.
var neverSet = []string{"GetBucketReplication", "GetBucketWebsite", "GetObjectLockConfiguration"}

// s3Operations are those that can succeed.
func s3Operations() []string {
	return slices.DeleteFunc(s3api.Actions(), func(name string) bool { return slices.Contains(neverSet, name) })
}

func walkS3(sh *shell) {
	sh.do([]step{
		{"s3api create-bucket --bucket walked", "", ""},
		{"s3api list-buckets", "", ""},
		{"s3api head-bucket --bucket walked", "", ""},
		{"s3api get-bucket-location --bucket walked", "LocationConstraint", "None"},
	}...)
	walkSettings(sh)
	sh.do([]step{
		{"s3api put-object --bucket walked --key one --body $block", "", ""},
		{"s3api head-object --bucket walked --key one", "ContentLength", "524288"},
		{"s3api copy-object --bucket walked --key two --copy-source walked/one", "", ""},
		{"s3api get-object --bucket walked --key two " + sh.vars["dir"] + "/two", "ContentLength", "524288"},
		{"s3api get-object-attributes --bucket walked --key two --object-attributes ObjectSize", "ObjectSize", "524288"},
		{"s3api put-object-tagging --bucket walked --key two --tagging TagSet=[{Key=a,Value=b}]", "", ""},
		{"s3api get-object-tagging --bucket walked --key two", "TagSet[].Key", "a"},
		{"s3api delete-object-tagging --bucket walked --key two", "", ""},
		{"s3api get-object-acl --bucket walked --key two", "Grants[].Permission", "FULL_CONTROL"},
		{"s3api put-object-acl --bucket walked --key two --acl private", "", ""},
		{"s3api list-objects-v2 --bucket walked", "Contents[].Key", "one two"},
		{"s3api list-objects --bucket walked --prefix o", "Contents[].Key", "one"},
		{"s3api create-multipart-upload --bucket walked --key parts", "UploadId", "> upload"},
		{"s3api upload-part --bucket walked --key parts --upload-id $upload --part-number 1 --body $block", "", ""},
		{"s3api upload-part-copy --bucket walked --key parts --upload-id $upload --part-number 2 --copy-source walked/one --copy-source-range bytes=0-9", "", ""},
		{"s3api list-parts --bucket walked --key parts --upload-id $upload", "Parts[].Size", "524288 10"},
		{"s3api list-multipart-uploads --bucket walked", "Uploads[].Key", "parts"},
		{"s3api abort-multipart-upload --bucket walked --key parts --upload-id $upload", "", ""},
		{"s3api create-multipart-upload --bucket walked --key whole", "UploadId", "> second"},
		{"s3api upload-part --bucket walked --key whole --upload-id $second --part-number 1 --body $block", "", ""},
		{"s3api complete-multipart-upload --bucket walked --key whole --upload-id $second --multipart-upload $completed", "Key", "whole"},
		{"s3api delete-object --bucket walked --key whole", "", ""},
		{"s3api delete-bucket --bucket walked", "", "! BucketNotEmpty"},
		{"s3api delete-objects --bucket walked --delete $gone", "length(Deleted)", "2"},
		{"s3 cp --only-show-errors $disk s3://walked/disk.raw", "", ""},
		{"s3api put-bucket-versioning --bucket walked --versioning-configuration Status=Enabled", "", ""},
		{"s3api get-bucket-versioning --bucket walked", "Status", "Enabled"},
		{"s3api delete-object --bucket walked --key disk.raw", "DeleteMarker", "True"},
		{"s3api list-object-versions --bucket walked", "Versions[].VersionId", "null"},
		{"s3api list-object-versions --bucket walked", "DeleteMarkers[].VersionId", "> marker"},
		{"s3api delete-object --bucket walked --key disk.raw --version-id $marker", "", ""},
		{"s3api delete-object --bucket walked --key disk.raw --version-id null", "", ""},
		{"s3api delete-bucket --bucket walked", "", ""},
		{"s3api head-object --bucket walked --key one", "", "! 404"},
	}...)
}

// walkSettings makes, reads and removes every setting of a bucket.
func walkSettings(sh *shell) {
	sh.do([]step{
		{"s3api get-bucket-acl --bucket walked", "", ""},
		{"s3api put-bucket-ownership-controls --bucket walked --ownership-controls Rules=[{ObjectOwnership=BucketOwnerPreferred}]", "", ""},
		{"s3api get-bucket-ownership-controls --bucket walked", "OwnershipControls.Rules[].ObjectOwnership", "BucketOwnerPreferred"},
		{"s3api put-bucket-acl --bucket walked --acl private", "", ""},
		{"s3api delete-bucket-ownership-controls --bucket walked", "", ""},
		{"s3api get-bucket-policy --bucket walked", "", "! NoSuchBucketPolicy"},
		{"s3api put-bucket-policy --bucket walked --policy $bucketpolicy", "", ""},
		{"s3api get-bucket-policy --bucket walked", "", ""},
		{"s3api get-bucket-policy-status --bucket walked", "PolicyStatus.IsPublic", "False"},
		{"s3api delete-bucket-policy --bucket walked", "", ""},
		{"s3api put-bucket-tagging --bucket walked --tagging TagSet=[{Key=a,Value=b}]", "", ""},
		{"s3api get-bucket-tagging --bucket walked", "TagSet[].Key", "a"},
		{"s3api delete-bucket-tagging --bucket walked", "", ""},
		{"s3api put-bucket-cors --bucket walked --cors-configuration CORSRules=[{AllowedMethods=[GET],AllowedOrigins=[*]}]", "", ""},
		{"s3api get-bucket-cors --bucket walked", "CORSRules[].AllowedMethods[]", "GET"},
		{"s3api delete-bucket-cors --bucket walked", "", ""},
		{"s3api put-bucket-lifecycle-configuration --bucket walked --lifecycle-configuration $lifecycle", "", ""},
		{"s3api get-bucket-lifecycle-configuration --bucket walked", "Rules[].ID", "r"},
		{"s3api delete-bucket-lifecycle --bucket walked", "", ""},
		{"s3api put-bucket-encryption --bucket walked --server-side-encryption-configuration Rules=[{ApplyServerSideEncryptionByDefault={SSEAlgorithm=AES256}}]", "", ""},
		{"s3api get-bucket-encryption --bucket walked", "ServerSideEncryptionConfiguration.Rules[].ApplyServerSideEncryptionByDefault.SSEAlgorithm", "AES256"},
		{"s3api delete-bucket-encryption --bucket walked", "", ""},
		{"s3api put-public-access-block --bucket walked --public-access-block-configuration BlockPublicPolicy=true", "", ""},
		{"s3api get-public-access-block --bucket walked", "PublicAccessBlockConfiguration.BlockPublicAcls", "False"},
		{"s3api delete-public-access-block --bucket walked", "", ""},
		{"s3api get-bucket-versioning --bucket walked", "", ""},
		{"s3api put-bucket-notification-configuration --bucket walked --notification-configuration {}", "", ""},
		{"s3api get-bucket-notification-configuration --bucket walked", "", ""},
		{"s3api put-bucket-logging --bucket walked --bucket-logging-status {}", "", ""},
		{"s3api get-bucket-logging --bucket walked", "", ""},
		{"s3api get-bucket-accelerate-configuration --bucket walked", "", ""},
		{"s3api put-bucket-request-payment --bucket walked --request-payment-configuration Payer=BucketOwner", "", ""},
		{"s3api get-bucket-request-payment --bucket walked", "Payer", "BucketOwner"},
		{"s3api get-bucket-website --bucket walked", "", "! NoSuchWebsiteConfiguration"},
		{"s3api delete-bucket-website --bucket walked", "", ""},
		{"s3api get-bucket-replication --bucket walked", "", "! ReplicationConfigurationNotFoundError"},
		{"s3api delete-bucket-replication --bucket walked", "", ""},
		{"s3api get-object-lock-configuration --bucket walked", "", "! ObjectLockConfigurationNotFoundError"},
	}...)
}
