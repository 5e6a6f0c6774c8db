package s3api

import (
	"crypto/tls"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// queryKeys are the condition keys that tell of a parameter.
var queryKeys = map[string]string{
	"s3:prefix": "prefix", "s3:delimiter": "delimiter", "s3:max-keys": "max-keys", "s3:VersionId": "versionId",
}

// headerKeys are the condition keys that tell of a header.
var headerKeys = map[string]string{
	"s3:x-amz-acl":                                       "X-Amz-Acl",
	"s3:x-amz-grant-full-control":                        "X-Amz-Grant-Full-Control",
	"s3:x-amz-grant-read":                                "X-Amz-Grant-Read",
	"s3:x-amz-grant-read-acp":                            "X-Amz-Grant-Read-Acp",
	"s3:x-amz-grant-write":                               "X-Amz-Grant-Write",
	"s3:x-amz-grant-write-acp":                           "X-Amz-Grant-Write-Acp",
	"s3:x-amz-copy-source":                               "X-Amz-Copy-Source",
	"s3:x-amz-metadata-directive":                        "X-Amz-Metadata-Directive",
	"s3:x-amz-storage-class":                             "X-Amz-Storage-Class",
	"s3:x-amz-object-ownership":                          "X-Amz-Object-Ownership",
	"s3:x-amz-content-sha256":                            "X-Amz-Content-Sha256",
	"s3:x-amz-server-side-encryption":                    "X-Amz-Server-Side-Encryption",
	"s3:x-amz-server-side-encryption-aws-kms-key-id":     "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id",
	"s3:x-amz-server-side-encryption-customer-algorithm": "X-Amz-Server-Side-Encryption-Customer-Algorithm",
	"s3:if-match":                                        "If-Match",
	"s3:if-none-match":                                   "If-None-Match",
	"aws:referer":                                        "Referer",
}

// keys returns what a policy may ask about the request, but for whose bucket it is
// about.
func (c *call) keys() policy.Context {
	all := c.Origin.Context()
	for key, name := range queryKeys {
		for _, value := range c.query[name] {
			all.Add(key, value)
		}
	}
	for key, name := range headerKeys {
		for _, value := range c.header.Values(name) {
			all.Add(key, value)
		}
	}
	tags := c.tags
	if text := c.header.Get("X-Amz-Tagging"); text != "" {
		tags, _ = parseTagging(text) // what can't be read is refused later
	}
	tags.addTo(all, "s3:RequestObjectTag/", "s3:RequestObjectTagKeys")
	if c.missing == nil {
		tagSet(c.object.Tags).addTo(all, "s3:ExistingObjectTag/", "")
	}
	c.signatureKeys(all)
	if c.r.TLS != nil {
		all.Set("s3:TlsVersion", strings.TrimPrefix(tls.VersionName(c.r.TLS.Version), "TLS "))
	}
	return all
}

// addTo adds a key for each tag, and one for the names of all of them.
func (s tagSet) addTo(c policy.Context, prefix, names string) {
	var list []string
	for _, t := range s {
		c.Add(prefix+t.Key, t.Value)
		list = append(list, t.Key)
	}
	if names != "" && len(list) > 0 {
		c.Set(names, list...)
	}
}

// signature returns how and by what version of signatures the request is signed, as
// policies name that, and when, as far as that is said.
func (c *call) signature() (kind, version, at string) {
	const v2, v4 = "AWS", "AWS4-HMAC-SHA256"
	switch {
	case c.form["awsaccesskeyid"] != "":
		return "POST", v2, ""
	case c.form != nil:
		return "POST", v4, c.form["x-amz-date"]
	case c.query.Has("X-Amz-Signature"):
		return "REST-QUERY-STRING", v4, c.query.Get("X-Amz-Date")
	case c.query.Has("Signature"):
		return "REST-QUERY-STRING", v2, ""
	case strings.HasPrefix(c.r.Header.Get("Authorization"), "AWS "):
		return "REST-HEADER", v2, c.r.Header.Get("X-Amz-Date")
	}
	return "REST-HEADER", v4, c.r.Header.Get("X-Amz-Date")
}

// signatureKeys tells how the request is signed, and how long ago.
func (c *call) signatureKeys(all policy.Context) {
	if c.Principal.Kind == iam.Anonymous {
		return
	}
	kind, version, at := c.signature()
	all.Set("s3:authType", kind)
	all.Set("s3:signatureversion", version)
	if signed, err := time.Parse("20060102T150405Z", at); err == nil {
		all.Set("s3:signatureAge", strconv.FormatInt(c.Origin.Time.Sub(signed).Milliseconds(), 10))
	}
}

// parseTagging reads tags out of a header: key=value&key=value, percent-encoded.
func parseTagging(text string) (tagSet, error) {
	var tags tagSet
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, nameErr := url.QueryUnescape(name)
		value, valueErr := url.QueryUnescape(value)
		if nameErr != nil || valueErr != nil {
			return nil, invalidArgument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.", "x-amz-tagging", text)
		}
		tags = append(tags, tag.Tag{Key: name, Value: value})
	}
	return tags, nil
}
