package s3api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/imports/bucketpolicy"
	"github.com/diskport/diskport/internal/imports/objects"
)

// request returns a request as a server sees it; uri is taken as it is.
func request(method, host, uri string, header http.Header) *http.Request {
	parsed, err := url.ParseRequestURI(uri)
	if err != nil {
		parsed = &url.URL{Path: uri}
	}
	r := httptest.NewRequest(method, "/", nil)
	r.URL, r.RequestURI, r.Host = parsed, uri, host
	if header != nil {
		r.Header = header
	}
	return r
}

// read runs what the edge does before it looks for the bucket, and returns what is
// asked for: operation, bucket and key.
func read(r *http.Request) (string, error) {
	t, err := parseTarget(r, domain)
	if err != nil {
		return "", err
	}
	sub, err := t.subresource()
	if err != nil {
		return "", err
	}
	op, err := find(t, r.Method, sub, r.Header)
	if err != nil {
		return "", err
	}
	return op.name + " " + op.permission(t.query.Get("versionId")) + " " + t.bucket + " " + t.key, nil
}

func TestTargets(t *testing.T) {
	const plain = "127.0.0.1:4580"
	copying := http.Header{"X-Amz-Copy-Source": {"/src/a%20b?versionId=7"}}
	for _, c := range []struct {
		name, method, host, uri string
		header                  http.Header
		want                    string // operation, permission, bucket and key, or a code
	}{
		{"list buckets", "GET", plain, "/", nil, "ListBuckets ListAllMyBuckets  "},
		{"list", "GET", plain, "/b?prefix=x", nil, "ListObjects ListBucket b "},
		{"list, version 2", "GET", plain, "/b?list-type=2&prefix=x", nil, "ListObjectsV2 ListBucket b "},
		{"list with slash", "GET", plain, "/b/", nil, "ListObjects ListBucket b "},
		{"create", "PUT", plain, "/b", nil, "CreateBucket CreateBucket b "},
		{"get", "GET", plain, "/b/k", nil, "GetObject GetObject b k"},
		{"get a version", "GET", plain, "/b/k?versionId=3", nil, "GetObject GetObjectVersion b k"},
		{"head", "HEAD", plain, "/b/k", nil, "HeadObject GetObject b k"},
		{"encoded", "GET", plain, "/b/a%2Fb%20c%3F", nil, "GetObject GetObject b a/b c?"},
		{"encoded separator", "GET", plain, "/b%2Fk", nil, "GetObject GetObject b k"},
		{"empty segments", "GET", plain, "/b//x///y", nil, "GetObject GetObject b /x///y"},
		{"only slashes", "GET", plain, "/b//", nil, "GetObject GetObject b /"},
		{"dots", "GET", plain, "/b/x/../k", nil, "GetObject GetObject b x/../k"},
		{"encoded dots", "GET", plain, "/b/x/%2e%2e/k", nil, "GetObject GetObject b x/../k"},
		{"dots beside a bucket", "GET", plain, "/b/..", nil, "GetObject GetObject b .."},
		{"trailing slash", "GET", plain, "/b/k/", nil, "GetObject GetObject b k/"},
		{"copy", "PUT", plain, "/b/k", copying, "CopyObject PutObject b k"},
		{"part", "PUT", plain, "/b/k?uploadId=u&partNumber=1", nil, "UploadPart PutObject b k"},
		{"copied part", "PUT", plain, "/b/k?uploadId=u&partNumber=1", copying, "UploadPartCopy PutObject b k"},
		{"abort", "DELETE", plain, "/b/k?uploadId=u", nil, "AbortMultipartUpload AbortMultipartUpload b k"},
		{"virtual", "GET", "b." + domain + ":4580", "/k", nil, "GetObject GetObject b k"},
		{"virtual with two slashes", "GET", "b." + domain, "//k", nil, "GetObject GetObject b /k"},
		{"virtual bucket", "GET", "b.c." + domain, "/", nil, "ListObjects ListBucket b.c "},
		{"the domain itself", "GET", domain, "/b/k", nil, "GetObject GetObject b k"},

		{"virtual, longer domain", "GET", "b." + domain + "ing.example", "/k", nil, "InvalidURI"},
		{"no bucket", "GET", plain, "//b/k", nil, "InvalidURI"},
		{"NUL", "GET", plain, "/b/k%00", nil, "InvalidArgument"},
		{"no text", "GET", plain, "/b/%ff", nil, "InvalidURI"},
		{"long", "GET", plain, "/b/" + strings.Repeat("k", 1025), nil, "KeyTooLongError"},
		{"fragment", "GET", plain, "/b/secret#x", nil, "InvalidURI"},
		{"absolute", "GET", plain, "http://elsewhere/b/k", nil, "InvalidURI"},
		{"bad query", "GET", plain, "/b/k?a=%zz&acl", nil, "InvalidURI"},
		{"semicolon", "GET", plain, "/b/k?a;acl", nil, "InvalidURI"},
		{"no text in the query", "GET", plain, "/b?prefix=%ff", nil, "InvalidURI"},
		{"a parameter twice", "GET", plain, "/b/k?versionId=1&versionId=2", nil, "InvalidArgument"},
		{"two sub-resources", "GET", plain, "/b?acl&location", nil, "InvalidArgument"},
		{"not in S3", "POST", plain, "/b/k", nil, "MethodNotAllowed"},
		{"not here", "PUT", plain, "/b?website", nil, "NotImplemented"},
		{"not of the service", "DELETE", plain, "/", nil, "MethodNotAllowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(request(c.method, c.host, c.uri, c.header))
			if f, ok := err.(*failure); ok {
				got = f.code
			}
			if got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// TestEveryOperationIsFoundOnce: a row behind an equal one would never be reached.
func TestEveryOperationIsFoundOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range operations {
		at := o.on.String() + " " + o.method + " " + o.sub
		if seen[at] || o.action == "" || o.run == nil || o.name == "" {
			t.Errorf("%s: %+v", at, o)
		}
		seen[at] = true
		if o.sub != "" && !isSubresource(o.sub) {
			t.Errorf("%s is for no sub-resource", o.name)
		}
		if _, ok := unbuilt[o.on][o.method+" "+o.sub]; ok {
			t.Errorf("%s is built and unbuilt", o.name)
		}
	}
	if names := Actions(); len(names) < 60 || !slices.IsSorted(names) || slices.Contains(names, "") {
		t.Errorf("%d operations: %v", len(names), names)
	}
}

func TestCopySources(t *testing.T) {
	for text, want := range map[string]copySource{
		"b/k": {"b", "k", ""}, "/b/k": {"b", "k", ""}, "b/a%20b%2Fc?versionId=7%2F": {"b", "a b/c", "7/"}, "b//k": {"b", "/k", ""}, "b/a+b": {"b", "a+b", ""},
		"b/a?b": {"b", "a?b", ""}, "b/a%3FversionId=1": {"b", "a?versionId=1", ""},
	} {
		got, err := parseCopySource([]string{text})
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "b", "b/", "/", "b/%zz", "b/k?versionId=", "b/%ff", "b/" + strings.Repeat("k", 1025)} {
		if got, err := parseCopySource([]string{text}); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if _, err := parseCopySource([]string{"a/b", "c/d"}); err == nil {
		t.Error("two sources")
	}
}

func FuzzTarget(f *testing.F) {
	f.Add("b.s3.test", "/k?acl", "src/k")
	f.Add("localhost", "/b/%2e%2e/k?versionId=1", "%2F../x")
	f.Add("localhost", "/b/k#f?policy", "")
	f.Fuzz(func(t *testing.T, host, uri, source string) {
		header := http.Header{}
		if source != "" {
			header.Set("X-Amz-Copy-Source", source)
			if s, err := parseCopySource(header["X-Amz-Copy-Source"]); err == nil && (s.bucket == "" || !objects.ValidKey(s.key)) {
				t.Errorf("%q: %+v", source, s)
			}
		}
		for _, method := range []string{"GET", "PUT", "POST"} {
			r := request(method, host, uri, header)
			if _, err := read(r); err != nil {
				continue
			}
			if target, err := parseTarget(r, domain); err != nil || target.key != "" && !objects.ValidKey(target.key) {
				t.Errorf("%q on %q: %+v, %v", uri, host, target, err)
			}
		}
	})
}

func TestRanges(t *testing.T) {
	for _, c := range []struct {
		header  string
		size    int64
		want    span
		partial bool
		refused bool
	}{
		{"bytes=0-4", 10, span{0, 5}, true, false},
		{"bytes=4-", 10, span{4, 6}, true, false},
		{"bytes=4-100", 10, span{4, 6}, true, false},
		{"bytes=-3", 10, span{7, 3}, true, false},
		{"bytes=-30", 10, span{0, 10}, true, false},
		{"bytes=9-9", 10, span{9, 1}, true, false},
		{"bytes=0-99999999999999999999", 10, span{0, 10}, true, false},
		{"bytes= 0 - 4 ", 10, span{0, 5}, true, false},
		{"bytes=10-", 10, span{}, false, true},
		{"bytes=99999999999999999999-", 10, span{}, false, true},
		{"bytes=0-0", 0, span{}, false, true},
		{"bytes=-0", 10, span{}, false, true},
		{"bytes=-1", 0, span{}, false, true},
		{"bytes=5-4", 10, span{}, false, false},
		{"bytes=a-b", 10, span{}, false, false},
		{"bytes=-", 10, span{}, false, false},
		{"bytes=+1-2", 10, span{}, false, false},
		{"bytes=0-1,3-4", 10, span{}, false, false},
		{"lines=0-1", 10, span{}, false, false},
	} {
		got, partial, err := parseRange(c.header, c.size)
		if got != c.want || partial != c.partial || (err != nil) != c.refused {
			t.Errorf("%q of %d: %v, %t, %v", c.header, c.size, got, partial, err)
		}
	}
	for header, want := range map[string]span{"bytes=0-9": {0, 10}, "bytes=3-3": {3, 1}, "bytes=3-10": {}, "bytes=3-": {}, "bytes=-3": {}, "bytes=4-3": {}, "3-4": {}, "bytes=0-1-2": {}} {
		got, err := parseCopyRange(header, 10)
		if got != want || (err == nil) != (want.n > 0) {
			t.Errorf("copying %q: %v, %v", header, got, err)
		}
	}
}

func FuzzRange(f *testing.F) {
	f.Add("bytes=0-4", int64(10))
	f.Add("bytes=-99999999999999999999", int64(1))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		size = max(size, 0)
		if s, partial, err := parseRange(header, size); partial && (err != nil || s.off < 0 || s.n < 1 || s.off+s.n > size) {
			t.Errorf("%q of %d: %v, %v", header, size, s, err)
		}
		if s, err := parseCopyRange(header, size); err == nil && (s.off < 0 || s.n < 1 || s.off+s.n > size) {
			t.Errorf("copying %q of %d: %v", header, size, s)
		}
	})
}

func TestConditions(t *testing.T) {
	modified := time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC)
	o := objects.Object{ETag: "abc", Modified: modified}
	at := func(d time.Duration) string { return modified.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		header map[string]string
		want   string
	}{
		{nil, ""},
		{map[string]string{"If-Match": `"abc"`}, ""},
		{map[string]string{"If-Match": `abc`}, ""},
		{map[string]string{"If-Match": `"x", "abc"`}, ""},
		{map[string]string{"If-Match": "*"}, ""},
		{map[string]string{"If-Match": `"x"`}, "If-Match"},
		{map[string]string{"If-None-Match": `W/"abc"`}, "If-None-Match"},
		{map[string]string{"If-None-Match": `"x"`}, ""},
		{map[string]string{"If-Modified-Since": at(0)}, "If-Modified-Since"},
		{map[string]string{"If-Modified-Since": at(-time.Second)}, ""},
		{map[string]string{"If-Unmodified-Since": at(0)}, ""},
		{map[string]string{"If-Unmodified-Since": at(-time.Second)}, "If-Unmodified-Since"},
		{map[string]string{"If-Modified-Since": "yesterday", "If-Unmodified-Since": "yesterday"}, ""},
		{map[string]string{"If-Match": `"abc"`, "If-Unmodified-Since": at(-time.Second)}, ""},
		{map[string]string{"If-None-Match": `"x"`, "If-Modified-Since": at(0)}, ""},
		{map[string]string{"If-None-Match": `"abc"`, "If-Modified-Since": at(-time.Second)}, "If-None-Match"},
	} {
		h := http.Header{}
		for name, value := range c.header {
			h.Set(name, value)
		}
		if got := conditionalOf(h, "").check(o); got != c.want {
			t.Errorf("%v: got %q, want %q", c.header, got, c.want)
		}
	}
}

func TestHeaderValuesComeBack(t *testing.T) {
	for _, value := range []string{"", "plain", "caf\xc3\xa9", "caf\xe9", "\xff\xfe\x00"} {
		if got := headerOf(text(value)); got != value {
			t.Errorf("%q came back as %q", value, got)
		}
	}
}

func TestKeysInLists(t *testing.T) {
	for key, want := range map[string]string{"a/b c+d": "a/b+c%2Bd", "é": "%C3%A9", "\x01&<": "%01%26%3C", "a*~": "a%2A~"} {
		if got := encoding("url").text(key); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
		if got := encoding("").text(key); got != key {
			t.Errorf("%q: got %q", key, got)
		}
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`<Delete><Object><Key>k</Key></Object></Delete>`))
	f.Add([]byte(`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"x"</ETag></Part></CompleteMultipartUpload>`))
	f.Add([]byte(`<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>`))
	f.Add([]byte(`<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter/></Rule></LifecycleConfiguration>`))
	f.Add([]byte(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><Tagging><TagSet>&b;</TagSet></Tagging>`))
	f.Add([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, v := range []any{&deleteIn{}, &completeIn{}, &corsXML{}, &lifecycleXML{}, &createBucketIn{}, &aclIn{}, &encryptionXML{}, &ownershipXML{}} {
			_ = decodeXML(text, v)
		}
		if tags, err := tagsIn(text, maxObjectTags); err == nil && len(tags) > maxObjectTags {
			t.Errorf("%d tags", len(tags))
		}
		_ = bucketpolicy.IsPublic(text)
		_, _ = parseFormPolicy(string(text))
		_, _ = parseTagging(string(text))
	})
}
