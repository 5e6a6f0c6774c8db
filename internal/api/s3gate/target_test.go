package s3gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/imports/objects"
)

func signer() *v4.Signer {
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
}

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

func TestNeeds(t *testing.T) {
	const plain = "127.0.0.1:4580"
	copying := http.Header{"X-Amz-Copy-Source": {"/src/a%20b?versionId=7"}}
	tagging := http.Header{"X-Amz-Tagging": {"a=b"}}
	for _, tt := range []struct {
		name, method, host, uri string
		header                  http.Header
		want                    []need
		err                     error
	}{
		{"list buckets", "GET", plain, "/", nil, []need{{"ListAllMyBuckets", "*"}}, nil},
		{"list", "GET", plain, "/b?list-type=2&prefix=x", nil, []need{{"ListBucket", "b"}}, nil},
		{"list with slash", "GET", plain, "/b/", nil, []need{{"ListBucket", "b"}}, nil},
		{"create", "PUT", plain, "/b", nil, []need{{"CreateBucket", "b"}}, nil},
		{"location", "GET", plain, "/b?location", nil, []need{{"GetBucketLocation", "b"}}, nil},
		{"get", "GET", plain, "/b/k", nil, []need{{"GetObject", "b/k"}}, nil},
		{"get a version", "GET", plain, "/b/k?versionId=3", nil, []need{{"GetObjectVersion", "b/k"}}, nil},
		{"head", "HEAD", plain, "/b/k", nil, []need{{"GetObject", "b/k"}}, nil},
		{"encoded", "GET", plain, "/b/a%2Fb%20c%3F", nil, []need{{"GetObject", "b/a/b c?"}}, nil},
		{"encoded separator", "GET", plain, "/b%2Fk", nil, []need{{"GetObject", "b/k"}}, nil},
		{"folded", "GET", plain, "/b//x///y", nil, []need{{"GetObject", "b/x/y"}}, nil},
		{"copy", "PUT", plain, "/b/k", copying, []need{{"PutObject", "b/k"}, {"GetObjectVersion", "src/a b"}}, nil},
		{"part", "PUT", plain, "/b/k?uploadId=u&partNumber=1", nil, []need{{"PutObject", "b/k"}}, nil},
		{"copied part", "PUT", plain, "/b/k?uploadId=u&partNumber=1", copying, []need{{"PutObject", "b/k"}, {"GetObjectVersion", "src/a b"}}, nil},
		{"start upload", "POST", plain, "/b/k?uploads", nil, []need{{"PutObject", "b/k"}}, nil},
		{"put with tags", "PUT", plain, "/b/k", tagging, []need{{"PutObject", "b/k"}, {"PutObjectTagging", "b/k"}}, nil},
		{"copy with tags", "PUT", plain, "/b/k", http.Header{"X-Amz-Copy-Source": {"src/a"}, "X-Amz-Tagging": {"a=b"}}, []need{{"PutObject", "b/k"}, {"PutObjectTagging", "b/k"}, {"GetObject", "src/a"}}, nil},
		{"start upload with tags", "POST", plain, "/b/k?uploads", tagging, []need{{"PutObject", "b/k"}, {"PutObjectTagging", "b/k"}}, nil},
		{"abort", "DELETE", plain, "/b/k?uploadId=u", nil, []need{{"AbortMultipartUpload", "b/k"}}, nil},
		{"virtual", "GET", "b." + domain + ":4580", "/k", nil, []need{{"GetObject", "b/k"}}, nil},
		{"virtual bucket", "GET", "b.c." + domain, "/", nil, []need{{"ListBucket", "b.c"}}, nil},
		{"the domain itself", "GET", domain, "/b/k", nil, []need{{"GetObject", "b/k"}}, nil},

		{"virtual, longer domain", "GET", "b." + domain + "ing.example", "/k", nil, nil, invalidURI},
		{"dot segments", "GET", plain, "/b/x/../k", nil, nil, invalidKey},
		{"encoded dot segments", "GET", plain, "/b/x/%2e%2e/k", nil, nil, invalidKey},
		{"dots beside a bucket", "GET", plain, "/b/..", nil, nil, invalidKey},
		{"NUL", "GET", plain, "/b/k%00", nil, nil, invalidKey},
		{"unfinished uploads", "GET", plain, "/b/.sgwtmp/x", nil, nil, invalidKey},
		{"only slashes", "GET", plain, "/b//", nil, nil, invalidKey},
		{"fragment", "GET", plain, "/b/secret#x", nil, nil, invalidURI},
		{"two slashes", "GET", plain, "//b/k", nil, nil, invalidURI},
		{"absolute", "GET", plain, "http://elsewhere/b/k", nil, nil, invalidURI},
		{"bad query", "GET", plain, "/b/k?a=%zz&acl", nil, nil, invalidURI},
		{"semicolon", "GET", plain, "/b/k?a;acl", nil, nil, invalidURI},
		{"two sub-resources", "GET", plain, "/b?acl&location", nil, nil, conflicting},
		{"not in S3", "POST", plain, "/b/k", nil, nil, notAllowed},
		{"not here", "PUT", plain, "/b?policy", nil, nil, notBuilt},
		{"not of the service", "DELETE", plain, "/", nil, nil, notAllowed},
		{"public", "PUT", plain, "/b/k", http.Header{"X-Amz-Acl": {"public-read"}}, nil, noACLs},
		{"grant", "PUT", plain, "/b", http.Header{"X-Amz-Grant-Read": {"id=x"}}, nil, noACLs},
		{"encrypted", "PUT", plain, "/b/k", http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}}, nil, notBuilt},
		{"cold", "PUT", plain, "/b/k", http.Header{"X-Amz-Storage-Class": {"GLACIER"}}, nil, notBuilt},
		{"two copy sources", "PUT", plain, "/b/k", http.Header{"X-Amz-Copy-Source": {"a/b", "c/d"}}, nil, invalidKey},
		{"copy from dots", "PUT", plain, "/b/k", http.Header{"X-Amz-Copy-Source": {"a/../c/d"}}, nil, invalidKey},
		{"copy from nowhere", "PUT", plain, "/b/k", http.Header{"X-Amz-Copy-Source": {"a"}}, nil, invalidKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decide(request(tt.method, tt.host, tt.uri, tt.header))
			if !errors.Is(err, tt.err) || !cmp.Equal(got, tt.want, cmp.AllowUnexported(need{})) {
				t.Errorf("got %v, %v; want %v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// decide runs what admit does before it asks the policy.
func decide(r *http.Request) ([]need, error) {
	target, err := parseTarget(r, domain)
	if err != nil {
		return nil, err
	}
	sub, err := target.subresource()
	if err != nil {
		return nil, err
	}
	_, all, err := needs(r, target, verb{r.Method, sub})
	return all, err
}

func FuzzTarget(f *testing.F) {
	f.Add("b.s3.test", "/k?acl", "src/k")
	f.Add("localhost", "/b/%2e%2e/k?versionId=1", "%2F../x")
	f.Add("localhost", "/b/k#f?policy", "")
	f.Fuzz(func(t *testing.T, host, uri, source string) {
		header := http.Header{}
		if source != "" {
			header.Set("X-Amz-Copy-Source", source)
		}
		all, err := decide(request("GET", host, uri, header))
		if err == nil && len(all) == 0 {
			t.Errorf("%q on %q needs no permission", uri, host)
		}
	})
}

// TestManyDeletionsAreBounded: a request has as many keys as S3 takes, and what its
// policies may cost is bounded for all of them together.
func TestManyDeletionsAreBounded(t *testing.T) {
	patterns := make([]string, 150)
	for i := range patterns {
		patterns[i] = fmt.Sprintf(`"arn:aws:s3:::*k?*k?*%03d*"`, i)
	}
	d, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":[`+strings.Join(patterns, ",")+`]}}`, policy.Identity)
	if err != nil {
		t.Fatal(err)
	}
	ann := iam.Principal{Account: "111111111111", ARN: "arn:aws:iam::111111111111:user/ann", Kind: iam.User}.WithPolicies(d, d, d, d, d, d, d, d, d, d)
	for _, c := range []struct {
		keys  int
		ended bool // before all were judged
		code  string
	}{{1001, false, "MalformedXML"}, {1000, true, "AccessDenied"}} {
		body := strings.Repeat(`<Object><Key>`+strings.Repeat("k", 990)+`149</Key></Object>`, c.keys)
		asked := 0
		g := New(Options{
			Log:         slog.New(slog.DiscardHandler),
			BucketOwner: func(context.Context, string) (string, error) { return "111111111111", nil },
			Authorize: func(ctx context.Context, call *awshttp.Call, action string, with policy.Context, resources ...string) error {
				asked++
				return call.Authorize(ctx, action, with, resources...)
			},
		})
		r := httptest.NewRequest("POST", "/b?delete", strings.NewReader(`<Delete>`+body+`</Delete>`))
		w := httptest.NewRecorder()
		g.ServeAWS(w, r.WithContext(policy.WithBound(t.Context())), &awshttp.Call{Service: awshttp.S3, Principal: ann})
		if !strings.Contains(w.Body.String(), c.code) || (asked > 1 && asked < c.keys) != c.ended {
			t.Errorf("%d keys: asked %d times, answered %s", c.keys, asked, w.Body)
		}
	}
}

func TestPoliciesMayAskAboutListings(t *testing.T) {
	for uri, want := range map[string]string{
		"/b?list-type=2&prefix=home%2Fann%2F&delimiter=&max-keys=5": "map[s3:delimiter:[] s3:max-keys:[5] s3:prefix:[home/ann/]]",
		"/b/k?versionId=v":     "map[s3:versionid:[v]]",
		"/b":                   "map[]",
		"/b?prefix=a&prefix=b": "map[s3:prefix:ambiguous]",
	} {
		got := ""
		g := New(Options{Log: slog.New(slog.DiscardHandler), Authorize: func(_ context.Context, _ *awshttp.Call, _ string, with policy.Context, _ ...string) error {
			got = fmt.Sprint(with)
			return &iam.DeniedError{}
		}})
		w := httptest.NewRecorder()
		g.ServeAWS(w, httptest.NewRequest("GET", uri, nil), &awshttp.Call{Service: awshttp.S3, Principal: iam.Principal{Kind: iam.Root}})
		if got != want || w.Code != 403 {
			t.Errorf("%s: asked with %s, want %s; answered %d", uri, got, want, w.Code)
		}
	}
}

// TestPoliciesMayAskAboutRequests: a key for each header that AWS tells of, how the
// request is signed, and whose the bucket is.
func TestPoliciesMayAskAboutRequests(t *testing.T) {
	now := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		name, uri string
		header    map[string]string
		want      string
	}{
		{"header", "/b/k", map[string]string{"Authorization": "AWS4-HMAC-SHA256 x", "X-Amz-Date": "20240102T030402Z"},
			"map[aws:resourceaccount:[111111111111] s3:authtype:[REST-HEADER] s3:resourceaccount:[111111111111] s3:signatureage:[3000] s3:signatureversion:[AWS4-HMAC-SHA256]]"},
		{"presigned", "/b/k?X-Amz-Signature=s&X-Amz-Date=20240102T030305Z", nil,
			"map[aws:resourceaccount:[111111111111] s3:authtype:[REST-QUERY-STRING] s3:resourceaccount:[111111111111] s3:signatureage:[60000] s3:signatureversion:[AWS4-HMAC-SHA256]]"},
		{"version 2", "/none/k?Signature=s", nil, "map[s3:authtype:[REST-QUERY-STRING] s3:signatureversion:[AWS]]"},
		{"tags", "/none/k", map[string]string{"X-Amz-Tagging": "class=secret"}, "map[s3:requestobjecttag/class:[secret] s3:requestobjecttagkeys:[class]]"},
		{"a tag twice", "/none/k", map[string]string{"X-Amz-Tagging": "class=a&class=b;c"}, "map[s3:requestobjecttag/class:ambiguous s3:requestobjecttagkeys:[class class]]"},
		{"headers", "/none/k", map[string]string{"X-Amz-Acl": "private", "X-Amz-Storage-Class": "STANDARD", "Referer": "https://x/"},
			"map[aws:referer:[https://x/] s3:x-amz-acl:[private] s3:x-amz-storage-class:[STANDARD]]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			g := New(Options{
				Log: slog.New(slog.DiscardHandler),
				BucketOwner: func(_ context.Context, bucket string) (string, error) {
					if bucket == "none" {
						return "", objects.ErrNoSuchBucket
					}
					return "111111111111", nil
				},
				Authorize: func(_ context.Context, _ *awshttp.Call, _ string, with policy.Context, _ ...string) error {
					got = fmt.Sprint(with)
					return &iam.DeniedError{}
				},
			})
			r := httptest.NewRequest("GET", c.uri, nil)
			for name, value := range c.header {
				r.Header.Set(name, value)
			}
			g.ServeAWS(httptest.NewRecorder(), r, &awshttp.Call{Service: awshttp.S3, Principal: iam.Principal{Kind: iam.User}, Origin: iam.Origin{Time: now}})
			if got != c.want {
				t.Errorf("asked with %s\nwant %s", got, c.want)
			}
		})
	}
}
