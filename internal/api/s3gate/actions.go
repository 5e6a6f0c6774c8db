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

// isSubresource reports whether a query parameter chooses an operation, whether or
// not we have it.
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

// needs returns the action of a request, which names it, and everything that the
// principal must be allowed. Deleting many objects needs one permission for each
// object; the caller adds these.
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
	if action == "PutObject" && r.Header.Get("X-Amz-Tagging") != "" {
		all = append(all, need{"PutObjectTagging", t.bucket + "/" + t.key})
	}
	if sources := r.Header.Values("X-Amz-Copy-Source"); len(sources) > 0 {
		source, err := copySource(sources)
		if err != nil {
			return "", nil, err
		}
		all = append(all, source)
	}
	return action, all, nil
}

// absent returns the refusal of a request without an action here: notBuilt for a
// sub-resource, which S3 has, and notAllowed for a method, which S3 doesn't have
// either.
func absent(v verb) error {
	if v.sub != "" {
		return notBuilt
	}
	return notAllowed
}

// checkHeaders refuses headers that the gateway would accept and ignore.
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

// copySource returns the need to read the object that is copied:
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
