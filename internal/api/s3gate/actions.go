package s3gate

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/diskport/diskport/internal/imports/objects"
)

// verb is what a request asks of a bucket or an object: the method and the
// sub-resource.
type verb struct{ method, sub string }

// bucketActions names the IAM action of each request to a bucket.
var bucketActions = map[verb]string{
	{"GET", ""}:         "ListBucket",
	{"HEAD", ""}:        "ListBucket",
	{"PUT", ""}:         "CreateBucket",
	{"DELETE", ""}:      "DeleteBucket",
	{"POST", "delete"}:  "DeleteObject", // of each object that the body names
	{"GET", "location"}: "GetBucketLocation",
	{"GET", "uploads"}:  "ListBucketMultipartUploads",
	{"GET", "versions"}: "ListBucketVersions",
	{"GET", "acl"}:      "GetBucketAcl",
	{"GET", "policy"}:   "GetBucketPolicy",

	{"GET", "policyStatus"}:      "GetBucketPolicyStatus",
	{"GET", "cors"}:              "GetBucketCORS",
	{"GET", "website"}:           "GetBucketWebsite",
	{"GET", "versioning"}:        "GetBucketVersioning",
	{"GET", "accelerate"}:        "GetAccelerateConfiguration",
	{"GET", "requestPayment"}:    "GetBucketRequestPayment",
	{"GET", "logging"}:           "GetBucketLogging",
	{"GET", "lifecycle"}:         "GetLifecycleConfiguration",
	{"GET", "replication"}:       "GetReplicationConfiguration",
	{"GET", "encryption"}:        "GetEncryptionConfiguration",
	{"GET", "object-lock"}:       "GetBucketObjectLockConfiguration",
	{"GET", "tagging"}:           "GetBucketTagging",
	{"PUT", "tagging"}:           "PutBucketTagging",
	{"DELETE", "tagging"}:        "PutBucketTagging",
	{"GET", "ownershipControls"}: "GetBucketOwnershipControls",
	{"GET", "publicAccessBlock"}: "GetBucketPublicAccessBlock",
	{"GET", "notification"}:      "GetBucketNotification",
}

// objectActions names the IAM action of each request to an object.
var objectActions = map[verb]string{
	{"GET", ""}:            "GetObject",
	{"HEAD", ""}:           "GetObject",
	{"PUT", ""}:            "PutObject",
	{"DELETE", ""}:         "DeleteObject",
	{"GET", "attributes"}:  "GetObjectAttributes",
	{"GET", "acl"}:         "GetObjectAcl",
	{"GET", "tagging"}:     "GetObjectTagging",
	{"PUT", "tagging"}:     "PutObjectTagging",
	{"DELETE", "tagging"}:  "DeleteObjectTagging",
	{"POST", "uploads"}:    "PutObject",
	{"POST", "uploadId"}:   "PutObject",
	{"PUT", "uploadId"}:    "PutObject",
	{"GET", "uploadId"}:    "ListMultipartUploadParts",
	{"DELETE", "uploadId"}: "AbortMultipartUpload",
}

// versioned lists the object actions that have a name of their own when a
// version is asked for.
var versioned = map[string]string{
	"GetObject":           "GetObjectVersion",
	"GetObjectAttributes": "GetObjectVersionAttributes",
	"GetObjectAcl":        "GetObjectVersionAcl",
	"GetObjectTagging":    "GetObjectVersionTagging",
	"PutObjectTagging":    "PutObjectVersionTagging",
	"DeleteObjectTagging": "DeleteObjectVersionTagging",
	"DeleteObject":        "DeleteObjectVersion",
}

// isSubresource says whether a query parameter chooses an operation, one that
// we have or not.
func isSubresource(name string) bool {
	switch name {
	case "accelerate", "acl", "analytics", "attributes", "cors", "delete", "encryption",
		"intelligent-tiering", "inventory", "legal-hold", "lifecycle", "location", "logging",
		"metrics", "notification", "object-lock", "ownershipControls", "policy", "policyStatus",
		"publicAccessBlock", "replication", "requestPayment", "restore", "retention", "select",
		"tagging", "torrent", "uploadId", "uploads", "versioning", "versions", "website":
		return true
	}
	return false
}

const arnPrefix = "arn:aws:s3:::"

// need is one thing that a principal must be allowed.
type need struct{ action, resource string }

// needs returns the action that a request asks for, to name it by, and all
// that it must be allowed. For a delete of many objects that is one need per
// object, added by the caller.
func needs(r *http.Request, t target, v verb) (action string, all []need, err error) {
	if err := checkHeaders(r.Header); err != nil {
		return "", nil, err
	}
	switch {
	case t.bucket == "":
		if v != (verb{"GET", ""}) {
			return "", nil, notAllowed
		}
		return "ListAllMyBuckets", []need{{"ListAllMyBuckets", "*"}}, nil
	case t.key == "":
		if action = bucketActions[v]; action == "" {
			return "", nil, absent(v)
		}
		if v.sub == "delete" {
			return "DeleteObjects", nil, nil
		}
		return action, []need{{action, t.bucket}}, nil
	}
	if action = objectActions[v]; action == "" {
		return "", nil, absent(v)
	}
	if named, ok := versioned[action]; ok && t.query.Has("versionId") {
		action = named
	}
	all = []need{{action, t.bucket + "/" + t.key}}
	if sources := r.Header.Values("X-Amz-Copy-Source"); len(sources) > 0 {
		source, err := copySource(sources)
		if err != nil {
			return "", nil, err
		}
		all = append(all, source)
	}
	return action, all, nil
}

// absent tells what S3 has and we don't from what S3 doesn't have either.
func absent(v verb) error {
	if v.sub != "" {
		return notBuilt
	}
	return notAllowed
}

// checkHeaders refuses what the gateway would accept and not do.
func checkHeaders(h http.Header) error {
	for name := range h {
		value := h.Get(name)
		switch {
		case strings.HasPrefix(name, "X-Amz-Server-Side-Encryption"),
			strings.HasPrefix(name, "X-Amz-Object-Lock-"),
			name == "X-Amz-Bucket-Object-Lock-Enabled" && !strings.EqualFold(value, "false"),
			name == "X-Amz-Website-Redirect-Location",
			name == "X-Amz-Storage-Class" && value != "STANDARD":
			return notBuilt
		case strings.HasPrefix(name, "X-Amz-Grant-"),
			name == "X-Amz-Acl" && value != "private" && value != "bucket-owner-full-control",
			name == "X-Amz-Object-Ownership" && value != "BucketOwnerEnforced":
			return noACLs
		}
	}
	return nil
}

// copySource is the need to read what an object is copied from:
// [/]bucket/key[?versionId=…], percent-encoded as a whole.
func copySource(headers []string) (need, error) {
	decoded, err := url.QueryUnescape(strings.TrimPrefix(headers[0], "/"))
	if err != nil || len(headers) > 1 {
		return need{}, invalidKey
	}
	path, version, _ := strings.Cut(decoded, "?versionId=")
	bucket, key, _ := strings.Cut(path, "/")
	key, ok := objects.CleanKey(key)
	if !ok || bucket == "" {
		return need{}, invalidKey
	}
	if version != "" {
		return need{"GetObjectVersion", bucket + "/" + key}, nil
	}
	return need{"GetObject", bucket + "/" + key}, nil
}
