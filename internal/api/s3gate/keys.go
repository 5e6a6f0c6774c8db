package s3gate

import (
	"crypto/tls"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/identity/policy"
)

// queryKeys are the condition keys that tell of a parameter.
var queryKeys = map[string]string{
	"s3:prefix": "prefix", "s3:delimiter": "delimiter", "s3:max-keys": "max-keys", "s3:VersionId": "versionId",
}

// headerKeys are the condition keys that tell of a header. Most of those headers are
// refused (checkHeaders), but the policy is asked first.
var headerKeys = map[string]string{
	"s3:x-amz-acl":                    "X-Amz-Acl",
	"s3:x-amz-grant-full-control":     "X-Amz-Grant-Full-Control",
	"s3:x-amz-grant-read":             "X-Amz-Grant-Read",
	"s3:x-amz-grant-read-acp":         "X-Amz-Grant-Read-Acp",
	"s3:x-amz-grant-write":            "X-Amz-Grant-Write",
	"s3:x-amz-grant-write-acp":        "X-Amz-Grant-Write-Acp",
	"s3:x-amz-copy-source":            "X-Amz-Copy-Source",
	"s3:x-amz-metadata-directive":     "X-Amz-Metadata-Directive",
	"s3:x-amz-storage-class":          "X-Amz-Storage-Class",
	"s3:x-amz-object-ownership":       "X-Amz-Object-Ownership",
	"s3:x-amz-content-sha256":         "X-Amz-Content-Sha256",
	"s3:x-amz-server-side-encryption": "X-Amz-Server-Side-Encryption",
	"s3:if-match":                     "If-Match",
	"s3:if-none-match":                "If-None-Match",
	"aws:referer":                     "Referer",
}

// keys returns what a policy may ask about a request. What is given twice is
// ambiguous, since the gateway may take either.
func (t target) keys(now time.Time) policy.Context {
	c := policy.Context{}
	for key, name := range queryKeys {
		for _, value := range t.query[name] {
			c.Add(key, value)
		}
	}
	for key, name := range headerKeys {
		for _, value := range t.header.Values(name) {
			c.Add(key, value)
		}
	}
	t.tagKeys(c)
	t.signatureKeys(c, now)
	if t.tls != nil {
		version := strings.TrimPrefix(tls.VersionName(t.tls.Version), "TLS ")
		c.Set("s3:TlsVersion", version)
	}
	return c
}

// tagKeys tells of the tags that an object is put with, read as the gateway does. It
// refuses what can't be unescaped.
func (t target) tagKeys(c policy.Context) {
	var names []string
	for _, text := range t.header.Values("X-Amz-Tagging") {
		for pair := range strings.SplitSeq(text, "&") {
			name, value, _ := strings.Cut(pair, "=")
			name, nameErr := url.QueryUnescape(name)
			value, valueErr := url.QueryUnescape(value)
			if nameErr != nil || valueErr != nil || name == "" {
				continue
			}
			names = append(names, name)
			c.Add("s3:RequestObjectTag/"+name, value)
		}
	}
	if len(names) > 0 {
		c.Set("s3:RequestObjectTagKeys", names...)
	}
}

// signatureKeys tells how a request is signed, and how long ago.
func (t target) signatureKeys(c policy.Context, now time.Time) {
	at := t.header.Get("X-Amz-Date")
	switch {
	case t.query.Has("X-Amz-Signature"):
		c.Set("s3:authType", "REST-QUERY-STRING")
		c.Set("s3:signatureversion", "AWS4-HMAC-SHA256")
		at = t.query.Get("X-Amz-Date")
	case t.query.Has("Signature"):
		c.Set("s3:authType", "REST-QUERY-STRING")
		c.Set("s3:signatureversion", "AWS")
	case strings.HasPrefix(t.header.Get("Authorization"), "AWS4-HMAC-SHA256"):
		c.Set("s3:authType", "REST-HEADER")
		c.Set("s3:signatureversion", "AWS4-HMAC-SHA256")
	case t.header.Get("Authorization") != "":
		c.Set("s3:authType", "REST-HEADER")
		c.Set("s3:signatureversion", "AWS")
	}
	if signed, err := time.Parse("20060102T150405Z", at); err == nil {
		c.Set("s3:signatureAge", strconv.FormatInt(now.Sub(signed).Milliseconds(), 10))
	}
}
