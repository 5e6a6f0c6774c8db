package s3gate

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"

	"github.com/diskport/diskport/internal/imports/objects"
)

// target is what a request addresses.
type target struct {
	bucket string     // empty: the service
	key    string     // as the gateway keeps it; empty: the bucket
	query  url.Values // decoded
	header http.Header
	tls    *tls.ConnectionState // nil: not over TLS
}

// parseTarget reads the address of a request as the gateway does. domain is
// that of virtual-hosted addressing and may be empty.
func parseTarget(r *http.Request, domain string) (target, error) {
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(raw, "/") || strings.HasPrefix(raw, "//") || strings.Contains(r.RequestURI, "#") {
		return target{}, invalidURI
	}
	path, err := url.PathUnescape(raw)
	if err != nil {
		return target{}, invalidURI
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return target{}, invalidURI
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	host, virtual, err := bucketOfHost(r.Host, domain)
	if err != nil {
		return target{}, err
	}
	if virtual {
		bucket, key = host, strings.TrimPrefix(path, "/")
	}
	t := target{bucket: bucket, query: query, header: r.Header, tls: r.TLS}
	if key != "" {
		var ok bool
		if t.key, ok = objects.CleanKey(key); !ok || bucket == "" {
			return target{}, invalidKey
		}
	}
	return t, nil
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
		return "", false, invalidURI // the gateway would take it for a bucket
	}
	return bucket, true, nil
}

// subresource returns the sub-resource that the query names, or "".
func (t target) subresource() (string, error) {
	var found string
	for name := range t.query {
		if !isSubresource(name) {
			continue
		}
		if found != "" {
			return "", conflicting
		}
		found = name
	}
	return found, nil
}
