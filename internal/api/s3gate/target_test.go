package s3gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
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

func TestPoliciesMayAskAboutListings(t *testing.T) {
	for uri, want := range map[string]string{
		"/b?list-type=2&prefix=home%2Fann%2F&delimiter=&max-keys=5": "map[s3:delimiter:[] s3:max-keys:[5] s3:prefix:[home/ann/]]",
		"/b/k?versionId=v": "map[s3:versionid:[v]]",
		"/b":               "map[]",
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
