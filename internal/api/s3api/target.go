package s3api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxKey is the longest key, in bytes.
const maxKey = 1024

// target is what a request addresses.
type target struct {
	bucket  string     // empty: the service
	key     string     // empty: the bucket
	query   url.Values // decoded; no name twice
	virtual bool       // the bucket was in the host
}

// parseTarget reads the address of a request. domain is that of virtual-hosted
// addressing and may be empty. A request that could be read in two ways is refused.
func parseTarget(r *http.Request, domain string) (target, error) {
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(raw, "/") || strings.Contains(r.RequestURI, "#") {
		return target{}, invalidURI()
	}
	path, err := url.PathUnescape(raw)
	if err != nil || !utf8.ValidString(path) {
		return target{}, invalidURI()
	}
	t := target{}
	if t.query, err = parseQuery(r.URL.RawQuery); err != nil {
		return target{}, err
	}
	t.bucket, t.key, _ = strings.Cut(path[1:], "/")
	host, virtual, err := bucketOfHost(r.Host, domain)
	if err != nil {
		return target{}, err
	}
	if virtual {
		t.bucket, t.key, t.virtual = host, path[1:], true
	}
	if t.key != "" {
		if t.bucket == "" {
			return target{}, invalidURI()
		}
		if err := checkKey(t.key); err != nil {
			return target{}, err
		}
	}
	return t, nil
}

// checkKey refuses keys that no object can have.
func checkKey(key string) error {
	switch {
	case len(key) > maxKey:
		return keyTooLong(len(key))
	case !utf8.ValidString(key):
		return invalidURI()
	case strings.IndexByte(key, 0) >= 0:
		return invalidArgument("Object keys can't contain null characters.", "Key", "")
	}
	return nil
}

// parseQuery decodes a query. A name that is given twice could be read in two ways.
func parseQuery(raw string) (url.Values, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalidURI()
	}
	for name, values := range query {
		if len(values) > 1 {
			return nil, invalidArgument("A query parameter was given more than once.", name, values[1])
		}
		if !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return nil, invalidURI()
		}
	}
	return query, nil
}

// bucketOfHost takes the bucket out of "bucket.domain" or "bucket.domain:port".
func bucketOfHost(host, domain string) (bucket string, virtual bool, err error) {
	if domain == "" {
		return "", false, nil
	}
	bucket, rest, found := strings.Cut(host, "."+domain)
	if !found || bucket == "" {
		return "", false, nil
	}
	if rest != "" && rest[0] != ':' || strings.Contains(bucket, "/") {
		return "", false, invalidURI() // neither a bucket here nor another host
	}
	return bucket, true, nil
}

// subresource returns the sub-resource that the query names, or "".
func (t target) subresource() (string, error) {
	var found []string
	for name := range t.query {
		if isSubresource(name) {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	slices.Sort(found)
	return "", invalidArgument("Conflicting query string parameters: "+strings.Join(found, ", "), "ResourceType", found[0])
}

// authQuery reports whether a query parameter in lower case is part of a presigned
// signature.
func authQuery(lower string) bool {
	switch lower {
	case "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature",
		"x-amz-security-token", "x-amz-content-sha256":
		return true
	}
	return false
}

// presigned reports whether the signature is in the query.
func (t target) presigned() bool { return t.query.Has("X-Amz-Signature") || t.query.Has("Signature") }

// hoisted returns r's header together with the headers that signers have put into a
// presigned query, which is as good as having sent them.
func (t target) hoisted(r *http.Request) (http.Header, error) {
	if !t.presigned() {
		return r.Header, nil
	}
	header := r.Header.Clone()
	for name, values := range t.query {
		lower := strings.ToLower(name)
		v2 := t.query.Has("Signature") && (lower == "content-type" || lower == "content-md5")
		if !v2 && (!strings.HasPrefix(lower, "x-amz-") || authQuery(lower)) {
			continue
		}
		if sent := header.Values(name); len(sent) > 0 && !slices.Equal(sent, values) {
			return nil, invalidArgument("A header has another value in the query.", name, values[0])
		}
		header.Set(name, values[0])
	}
	return header, nil
}
