package s3api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// level is what an operation acts on.
type level uint8

const (
	service level = iota
	bucket
	object
)

func (l level) String() string { return [...]string{"SERVICE", "BUCKET", "OBJECT"}[l] }

// operation is one of S3's.
type operation struct {
	name        string // as AWS calls it
	on          level
	method, sub string
	action      string // that IAM asks for, without "s3:"
	ofVersion   string // that IAM asks for if a version is named; empty: the same
	document    int64  // bytes of the largest body that is read before it is authorised; 0: none
	needsObject bool   // that the caller's policies may ask about
	run         func(context.Context, *call) error
}

// permission returns the action that IAM asks for.
func (o operation) permission(version string) string {
	if version != "" && o.ofVersion != "" {
		return o.ofVersion
	}
	return o.action
}

// ignoresEncryption reports whether an operation reads an object, however that is
// encrypted: S3 refuses requests for it that say how.
func (o operation) ignoresEncryption() bool { return o.name == "GetObject" || o.name == "HeadObject" }

// The largest documents, in bytes.
const (
	smallDocument = 64 << 10 // settings; a policy has at most 20 KB
	keysDocument  = 4 << 20  // 1,000 keys of 1,024 bytes, as entities at worst
	partsDocument = 4 << 20  // 10,000 parts with a checksum each
)

// operations is what this edge serves.
var operations = []operation{
	{name: "ListBuckets", on: service, method: "GET", action: "ListAllMyBuckets", run: listBuckets},

	{name: "CreateBucket", on: bucket, method: "PUT", action: "CreateBucket", document: smallDocument, run: createBucket},
	{name: "DeleteBucket", on: bucket, method: "DELETE", action: "DeleteBucket", run: deleteBucket},
	{name: "HeadBucket", on: bucket, method: "HEAD", action: "ListBucket", run: headBucket},
	{name: "ListObjects", on: bucket, method: "GET", action: "ListBucket", run: listObjects},
	{name: "ListObjectVersions", on: bucket, method: "GET", sub: "versions", action: "ListBucketVersions", run: listObjectVersions},
	{name: "ListMultipartUploads", on: bucket, method: "GET", sub: "uploads", action: "ListBucketMultipartUploads", run: listMultipartUploads},
	{name: "DeleteObjects", on: bucket, method: "POST", sub: "delete", action: "DeleteObject", ofVersion: "DeleteObjectVersion", document: keysDocument, run: deleteObjects},

	{name: "GetBucketLocation", on: bucket, method: "GET", sub: "location", action: "GetBucketLocation", run: getBucketLocation},
	{name: "GetBucketAcl", on: bucket, method: "GET", sub: "acl", action: "GetBucketAcl", run: getACL},
	{name: "PutBucketAcl", on: bucket, method: "PUT", sub: "acl", action: "PutBucketAcl", document: smallDocument, run: putACL},
	{name: "GetBucketPolicy", on: bucket, method: "GET", sub: "policy", action: "GetBucketPolicy", run: getBucketPolicy},
	{name: "PutBucketPolicy", on: bucket, method: "PUT", sub: "policy", action: "PutBucketPolicy", document: smallDocument, run: putBucketPolicy},
	{name: "DeleteBucketPolicy", on: bucket, method: "DELETE", sub: "policy", action: "DeleteBucketPolicy", run: deleteBucketPolicy},
	{name: "GetBucketPolicyStatus", on: bucket, method: "GET", sub: "policyStatus", action: "GetBucketPolicyStatus", run: getBucketPolicyStatus},
	{name: "GetBucketTagging", on: bucket, method: "GET", sub: "tagging", action: "GetBucketTagging", run: getBucketTagging},
	{name: "PutBucketTagging", on: bucket, method: "PUT", sub: "tagging", action: "PutBucketTagging", document: smallDocument, run: putBucketTagging},
	{name: "DeleteBucketTagging", on: bucket, method: "DELETE", sub: "tagging", action: "PutBucketTagging", run: deleteSetting(taggingSetting)},
	{name: "GetBucketCors", on: bucket, method: "GET", sub: "cors", action: "GetBucketCORS", run: getBucketCORS},
	{name: "PutBucketCors", on: bucket, method: "PUT", sub: "cors", action: "PutBucketCORS", document: smallDocument, run: putBucketCORS},
	{name: "DeleteBucketCors", on: bucket, method: "DELETE", sub: "cors", action: "PutBucketCORS", run: deleteSetting(corsSetting)},
	{name: "GetBucketLifecycleConfiguration", on: bucket, method: "GET", sub: "lifecycle", action: "GetLifecycleConfiguration", run: getBucketLifecycle},
	{name: "PutBucketLifecycleConfiguration", on: bucket, method: "PUT", sub: "lifecycle", action: "PutLifecycleConfiguration", document: smallDocument, run: putBucketLifecycle},
	{name: "DeleteBucketLifecycle", on: bucket, method: "DELETE", sub: "lifecycle", action: "PutLifecycleConfiguration", run: deleteSetting(lifecycleSetting)},
	{name: "GetBucketEncryption", on: bucket, method: "GET", sub: "encryption", action: "GetEncryptionConfiguration", run: getBucketEncryption},
	{name: "PutBucketEncryption", on: bucket, method: "PUT", sub: "encryption", action: "PutEncryptionConfiguration", document: smallDocument, run: putBucketEncryption},
	{name: "DeleteBucketEncryption", on: bucket, method: "DELETE", sub: "encryption", action: "PutEncryptionConfiguration", run: deleteSetting(encryptionSetting)},
	{name: "GetBucketOwnershipControls", on: bucket, method: "GET", sub: "ownershipControls", action: "GetBucketOwnershipControls", run: getOwnershipControls},
	{name: "PutBucketOwnershipControls", on: bucket, method: "PUT", sub: "ownershipControls", action: "PutBucketOwnershipControls", document: smallDocument, run: putOwnershipControls},
	{name: "DeleteBucketOwnershipControls", on: bucket, method: "DELETE", sub: "ownershipControls", action: "PutBucketOwnershipControls", run: deleteOwnershipControls},
	{name: "GetPublicAccessBlock", on: bucket, method: "GET", sub: "publicAccessBlock", action: "GetBucketPublicAccessBlock", run: getPublicAccessBlock},
	{name: "PutPublicAccessBlock", on: bucket, method: "PUT", sub: "publicAccessBlock", action: "PutBucketPublicAccessBlock", document: smallDocument, run: putPublicAccessBlock},
	{name: "DeletePublicAccessBlock", on: bucket, method: "DELETE", sub: "publicAccessBlock", action: "PutBucketPublicAccessBlock", run: deletePublicAccessBlock},
	{name: "GetBucketVersioning", on: bucket, method: "GET", sub: "versioning", action: "GetBucketVersioning", run: getBucketVersioning},
	{name: "PutBucketVersioning", on: bucket, method: "PUT", sub: "versioning", action: "PutBucketVersioning", document: smallDocument, run: putBucketVersioning},
	{name: "GetBucketNotificationConfiguration", on: bucket, method: "GET", sub: "notification", action: "GetBucketNotification", run: getEmpty("NotificationConfiguration")},
	{name: "PutBucketNotificationConfiguration", on: bucket, method: "PUT", sub: "notification", action: "PutBucketNotification", document: smallDocument, run: putEmpty("NotificationConfiguration")},
	{name: "GetBucketLogging", on: bucket, method: "GET", sub: "logging", action: "GetBucketLogging", run: getEmpty("BucketLoggingStatus")},
	{name: "PutBucketLogging", on: bucket, method: "PUT", sub: "logging", action: "PutBucketLogging", document: smallDocument, run: putEmpty("BucketLoggingStatus")},
	{name: "GetBucketAccelerateConfiguration", on: bucket, method: "GET", sub: "accelerate", action: "GetAccelerateConfiguration", run: getEmpty("AccelerateConfiguration")},
	{name: "GetBucketRequestPayment", on: bucket, method: "GET", sub: "requestPayment", action: "GetBucketRequestPayment", run: getRequestPayment},
	{name: "PutBucketRequestPayment", on: bucket, method: "PUT", sub: "requestPayment", action: "PutBucketRequestPayment", document: smallDocument, run: putRequestPayment},
	{name: "GetBucketWebsite", on: bucket, method: "GET", sub: "website", action: "GetBucketWebsite",
		run: getNothing("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration")},
	{name: "DeleteBucketWebsite", on: bucket, method: "DELETE", sub: "website", action: "DeleteBucketWebsite", run: deleteNothing},
	{name: "GetBucketReplication", on: bucket, method: "GET", sub: "replication", action: "GetReplicationConfiguration",
		run: getNothing("ReplicationConfigurationNotFoundError", "The replication configuration was not found")},
	{name: "DeleteBucketReplication", on: bucket, method: "DELETE", sub: "replication", action: "PutReplicationConfiguration", run: deleteNothing},
	{name: "GetObjectLockConfiguration", on: bucket, method: "GET", sub: "object-lock", action: "GetBucketObjectLockConfiguration",
		run: getNothing("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")},

	{name: "PutObject", on: object, method: "PUT", action: "PutObject", run: putObject},
	{name: "GetObject", on: object, method: "GET", action: "GetObject", ofVersion: "GetObjectVersion", needsObject: true, run: getObject},
	{name: "HeadObject", on: object, method: "HEAD", action: "GetObject", ofVersion: "GetObjectVersion", needsObject: true, run: headObject},
	{name: "DeleteObject", on: object, method: "DELETE", action: "DeleteObject", ofVersion: "DeleteObjectVersion", needsObject: true, run: deleteObject},
	{name: "GetObjectAttributes", on: object, method: "GET", sub: "attributes", action: "GetObjectAttributes", ofVersion: "GetObjectVersionAttributes", needsObject: true, run: getObjectAttributes},
	{name: "GetObjectAcl", on: object, method: "GET", sub: "acl", action: "GetObjectAcl", ofVersion: "GetObjectVersionAcl", needsObject: true, run: getACL},
	{name: "PutObjectAcl", on: object, method: "PUT", sub: "acl", action: "PutObjectAcl", ofVersion: "PutObjectVersionAcl", document: smallDocument, needsObject: true, run: putACL},
	{name: "GetObjectTagging", on: object, method: "GET", sub: "tagging", action: "GetObjectTagging", ofVersion: "GetObjectVersionTagging", needsObject: true, run: getObjectTagging},
	{name: "PutObjectTagging", on: object, method: "PUT", sub: "tagging", action: "PutObjectTagging", ofVersion: "PutObjectVersionTagging", document: smallDocument, needsObject: true, run: putObjectTagging},
	{name: "DeleteObjectTagging", on: object, method: "DELETE", sub: "tagging", action: "DeleteObjectTagging", ofVersion: "DeleteObjectVersionTagging", needsObject: true, run: deleteObjectTagging},
	{name: "CreateMultipartUpload", on: object, method: "POST", sub: "uploads", action: "PutObject", run: createMultipartUpload},
	{name: "UploadPart", on: object, method: "PUT", sub: "uploadId", action: "PutObject", run: uploadPart},
	{name: completeUpload, on: object, method: "POST", sub: "uploadId", action: "PutObject", document: partsDocument, run: completeMultipartUpload},
	{name: "AbortMultipartUpload", on: object, method: "DELETE", sub: "uploadId", action: "AbortMultipartUpload", run: abortMultipartUpload},
	{name: "ListParts", on: object, method: "GET", sub: "uploadId", action: "ListMultipartUploadParts", run: listParts},
}

// completeUpload is the operation whose checksum headers are not about its body.
const completeUpload = "CompleteMultipartUpload"

// variants are operations that have the method and the sub-resource of another, and
// are told apart by a header or a parameter.
var variants = map[string]operation{
	"ListObjectsV2":  {name: "ListObjectsV2", on: bucket, action: "ListBucket", run: listObjectsV2},
	"CopyObject":     {name: "CopyObject", on: object, action: "PutObject", run: copyObject},
	"UploadPartCopy": {name: "UploadPartCopy", on: object, action: "PutObject", run: uploadPartCopy},
}

// unbuilt names the operations that S3 has and this service does not, by level,
// method and sub-resource.
var unbuilt = map[level]map[string]string{
	bucket: {
		"GET analytics": "GetBucketAnalyticsConfiguration", "PUT analytics": "PutBucketAnalyticsConfiguration", "DELETE analytics": "DeleteBucketAnalyticsConfiguration",
		"GET intelligent-tiering": "GetBucketIntelligentTieringConfiguration", "PUT intelligent-tiering": "PutBucketIntelligentTieringConfiguration",
		"DELETE intelligent-tiering": "DeleteBucketIntelligentTieringConfiguration",
		"GET inventory":              "GetBucketInventoryConfiguration", "PUT inventory": "PutBucketInventoryConfiguration", "DELETE inventory": "DeleteBucketInventoryConfiguration",
		"GET metrics": "GetBucketMetricsConfiguration", "PUT metrics": "PutBucketMetricsConfiguration", "DELETE metrics": "DeleteBucketMetricsConfiguration",
		"PUT accelerate": "PutBucketAccelerateConfiguration", "PUT website": "PutBucketWebsite", "PUT replication": "PutBucketReplication",
		"PUT object-lock": "PutObjectLockConfiguration", "GET session": "CreateSession",
		"GET metadataTable": "GetBucketMetadataTableConfiguration", "POST metadataTable": "CreateBucketMetadataTableConfiguration",
		"DELETE metadataTable":      "DeleteBucketMetadataTableConfiguration",
		"GET metadataConfiguration": "GetBucketMetadataConfiguration", "POST metadataConfiguration": "CreateBucketMetadataConfiguration",
		"DELETE metadataConfiguration": "DeleteBucketMetadataConfiguration",
		"PUT metadataAnnotationTable":  "UpdateBucketMetadataAnnotationTableConfiguration",
		"PUT metadataInventoryTable":   "UpdateBucketMetadataInventoryTableConfiguration",
		"PUT metadataJournalTable":     "UpdateBucketMetadataJournalTableConfiguration",
		"GET abac":                     "GetBucketAbac", "PUT abac": "PutBucketAbac",
	},
	object: {
		"POST restore": "RestoreObject", "POST select": "SelectObjectContent", "GET torrent": "GetObjectTorrent",
		"GET legal-hold": "GetObjectLegalHold", "PUT legal-hold": "PutObjectLegalHold", "GET retention": "GetObjectRetention", "PUT retention": "PutObjectRetention",
		"PUT renameObject": "RenameObject", "PUT encryption": "UpdateObjectEncryption",
		"GET annotation": "GetObjectAnnotation", "PUT annotation": "PutObjectAnnotation", "DELETE annotation": "DeleteObjectAnnotation",
	},
}

// isSubresource reports whether a query parameter chooses an operation, whether or
// not we have it.
func isSubresource(name string) bool {
	switch name {
	case "abac", "accelerate", "acl", "analytics", "annotation", "attributes", "cors", "delete", "encryption", "intelligent-tiering", "inventory",
		"legal-hold", "lifecycle", "location", "logging", "metadataAnnotationTable", "metadataConfiguration", "metadataInventoryTable", "metadataJournalTable", "metadataTable", "metrics", "notification",
		"object-lock", "ownershipControls", "policy", "policyStatus", "publicAccessBlock", "renameObject", "replication", "requestPayment",
		"restore", "retention", "select", "session", "tagging", "torrent", "uploadId", "uploads", "versioning", "versions", "website":
		return true
	}
	return false
}

// find returns the operation that a request asks for.
func find(t target, method, sub string, header http.Header) (operation, error) {
	on := t.level()
	i := slices.IndexFunc(operations, func(o operation) bool { return o.on == on && o.method == method && o.sub == sub })
	if i < 0 {
		if name, ok := unbuilt[on][method+" "+sub]; ok {
			if of, found := strings.CutPrefix(name, "GetBucket"); found && listed(sub) && !t.query.Has("id") {
				name = "ListBucket" + of + "s"
			}
			return operation{}, notImplemented(name)
		}
		return operation{}, methodNotAllowed(method, on.String())
	}
	op := operations[i]
	switch _, copies := header["X-Amz-Copy-Source"]; {
	case op.name == "ListObjects" && t.query.Has("list-type"):
		if t.query.Get("list-type") != "2" {
			return operation{}, invalidArgument("Invalid List Type specified in Request", "list-type", t.query.Get("list-type"))
		}
		return variants["ListObjectsV2"], nil
	case op.name == "PutObject" && copies:
		return variants["CopyObject"], nil
	case op.name == "UploadPart" && copies:
		return variants["UploadPartCopy"], nil
	}
	return op, nil
}

// listed reports whether a bucket may have several configurations of a sub-resource: they
// have ids, and a request for one without an id lists them.
func listed(sub string) bool {
	return sub == "analytics" || sub == "intelligent-tiering" || sub == "inventory" || sub == "metrics"
}

func (t target) level() level {
	switch {
	case t.bucket == "":
		return service
	case t.key == "":
		return bucket
	}
	return object
}

// postObject is the name of the upload by a form, which has no row: it is told apart
// by its body, and authorised by what that says.
const postObject = "PostObject"

// Actions returns the names of the operations that are built, sorted.
func Actions() []string {
	names := slices.Collect(maps.Keys(variants))
	for _, o := range operations {
		names = append(names, o.name)
	}
	slices.Sort(names)
	return names
}

// Permissions returns the actions that IAM asks for, of any operation, sorted.
func Permissions() []string {
	all := map[string]bool{}
	for _, o := range operations {
		all[o.action] = true
	}
	return slices.Sorted(maps.Keys(all))
}
