package s3gate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/imports/objects"
)

// client talks S3 to url with the root key of an account.
func client(account, url string, options ...func(*s3.Options)) *s3.Client {
	id := "AKIA" + account
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &url, UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(id, secretOf(id).Reveal(), ""),
		HTTPClient:  shared.https.Client(),
	}, options...)
}

func bucket(t *testing.T, name string) string {
	t.Helper()
	_, err := client(accountA, shared.http.URL).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func put(t *testing.T, c *s3.Client, bucket, key, content string) {
	t.Helper()
	_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(content)})
	if err != nil {
		t.Fatalf("PutObject %q: %v", key, err)
	}
}

func get(t *testing.T, c *s3.Client, bucket, key string) string {
	t.Helper()
	out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatalf("GetObject %q: %v", key, err)
	}
	defer out.Body.Close()
	content, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func TestRequestsArriveUntouched(t *testing.T) {
	b := bucket(t, "untouched")
	keys := []string{"plain", "dir/sub/object.vmdk", "a b+c/é?#%25&=;.img", "..x/...", `quo"te<>^|`, "tilde~!'()*"}
	for scheme, url := range map[string]string{"http": shared.http.URL, "https": shared.https.URL} {
		c := client(accountA, url)
		for _, key := range keys {
			t.Run(scheme+" "+key, func(t *testing.T) {
				put(t, c, b, key, scheme)
				if got := get(t, c, b, key); got != scheme {
					t.Errorf("got %q, want %q", got, scheme)
				}
			})
		}
	}
}

func TestUploadsWithTrailers(t *testing.T) {
	b := bucket(t, "trailers")
	want := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	for _, algorithm := range types.ChecksumAlgorithm("").Values() {
		switch algorithm {
		case types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256, types.ChecksumAlgorithmCrc64nvme:
		default:
			continue // the SDK can't compute the others
		}
		t.Run(string(algorithm), func(t *testing.T) {
			c := client(accountA, shared.https.URL)
			// A body that can't be rewound: aws-chunked, its length unknown.
			_, err := c.PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: &b, Key: aws.String("k"), ChecksumAlgorithm: algorithm, Body: io.MultiReader(bytes.NewReader(want)), ContentLength: aws.Int64(int64(len(want))),
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := get(t, c, b, "k"); got != string(want) {
				t.Errorf("got %d other bytes", len(got))
			}
		})
	}
}

func TestPresigned(t *testing.T) {
	b := bucket(t, "presigned")
	for _, url := range []string{shared.http.URL, shared.https.URL} {
		signer := s3.NewPresignClient(client(accountA, url))
		upload, err := signer.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: &b, Key: aws.String("a b")})
		if err != nil {
			t.Fatal(err)
		}
		if status, body := do(t, upload.Method, upload.URL, strings.NewReader("content")); status != http.StatusOK {
			t.Errorf("presigned PUT: %d %s", status, body)
		}
		download, err := signer.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: &b, Key: aws.String("a b")})
		if err != nil {
			t.Fatal(err)
		}
		if status, body := do(t, download.Method, download.URL, nil); status != http.StatusOK || body != "content" {
			t.Errorf("presigned GET: %d %s", status, body)
		}
		if status, body := do(t, download.Method, strings.Replace(download.URL, "a%20b", "a%20c", 1), nil); status != http.StatusForbidden || !strings.Contains(body, "SignatureDoesNotMatch") {
			t.Errorf("presigned GET of another key: %d %s", status, body)
		}
	}
}

func do(t *testing.T, method, url string, body io.Reader) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := shared.https.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(content)
}

func TestVirtualHosted(t *testing.T) {
	b := bucket(t, "virtual")
	c := client(accountA, "http://"+domain, func(o *s3.Options) {
		o.UsePathStyle = false
		o.HTTPClient = &http.Client{Transport: dialing{shared.http.Listener.Addr().String()}}
	})
	asked := askedFor(func() { put(t, c, b, "dir/k", "content") })
	if want := []need{{"s3:PutObject", arnPrefix + b + "/dir/k"}}; !cmp.Equal(asked, want, cmp.AllowUnexported(need{})) {
		t.Errorf("authorised %v, want %v", asked, want)
	}
	if got := get(t, c, b, "dir/k"); got != "content" {
		t.Errorf("got %q", got)
	}
}

// dialing sends every request to one address, its Host untouched.
type dialing struct{ addr string }

func (d dialing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	r.URL.Host = d.addr
	return http.DefaultTransport.RoundTrip(r)
}

func TestPolicyDecides(t *testing.T) {
	b := bucket(t, "decides")
	c := client(accountA, shared.http.URL)
	put(t, c, b, "dir/k", "content")
	calls := map[string]func() error{
		"s3:GetObject": func() error {
			_, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &b, Key: aws.String("dir/k")})
			return err
		},
		"s3:PutObject": func() error {
			_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b, Key: aws.String("dir/k"), Body: strings.NewReader("new")})
			return err
		},
		"s3:DeleteObject": func() error {
			_, err := c.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: &b, Delete: &types.Delete{
				Objects: []types.ObjectIdentifier{{Key: aws.String("other")}, {Key: aws.String("dir//k")}},
			}})
			return err
		},
	}
	for action, call := range calls {
		t.Run(action, func(t *testing.T) {
			denying(t, need{action, arnPrefix + b + "/dir/k"})
			if err := call(); code(err) != "AccessDenied" {
				t.Errorf("got %v, want AccessDenied", err)
			}
		})
	}
	t.Run("copy source", func(t *testing.T) {
		denying(t, need{"s3:GetObject", arnPrefix + b + "/dir/k"})
		_, err := c.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: &b, Key: aws.String("new"), CopySource: aws.String(b + "%2Fdir//k")})
		if code(err) != "AccessDenied" {
			t.Errorf("got %v, want AccessDenied", err)
		}
	})
	if got := get(t, c, b, "dir/k"); got != "content" {
		t.Errorf("a denied request changed the object to %q", got)
	}
}

// TestATrailingSlashPassesNoPolicy: the gateway takes "k/" for the file k wherever it
// does not look for a folder.
func TestATrailingSlashPassesNoPolicy(t *testing.T) {
	b := bucket(t, "slashes")
	c := client(accountA, shared.http.URL)
	put(t, c, b, "secret.txt", "content")
	key := aws.String("secret.txt/")
	tags := &types.Tagging{TagSet: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}
	for action, call := range map[string]func() error{
		"s3:PutObjectTagging": func() error {
			_, err := c.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: &b, Key: key, Tagging: tags})
			return err
		},
		"s3:GetObjectTagging": func() error {
			_, err := c.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: &b, Key: key})
			return err
		},
		"s3:DeleteObjectTagging": func() error {
			_, err := c.DeleteObjectTagging(t.Context(), &s3.DeleteObjectTaggingInput{Bucket: &b, Key: key})
			return err
		},
		"s3:GetObjectAttributes": func() error {
			_, err := c.GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{Bucket: &b, Key: key, ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag}})
			return err
		},
		"s3:GetObject": func() error {
			_, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &b, Key: key})
			return err
		},
		"s3:PutObject": func() error {
			_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b, Key: key})
			return err
		},
		"s3:DeleteObject": func() error {
			_, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &b, Key: key})
			return err
		},
	} {
		t.Run(action, func(t *testing.T) {
			denying(t, need{action, arnPrefix + b + "/secret.txt"})
			if err := call(); code(err) != "AccessDenied" {
				t.Errorf("got %v, want AccessDenied", err)
			}
		})
	}
	t.Run("a folder that only its own name allows", func(t *testing.T) {
		g := New(Options{Log: slog.New(slog.DiscardHandler), BucketOwner: noOwner, Authorize: func(_ context.Context, _ *awshttp.Call, _ string, _ policy.Context, resources ...string) error {
			if strings.HasPrefix(resources[0], arnPrefix+"b/dir/") {
				return nil
			}
			return &iam.DeniedError{}
		}})
		all := []need{{"PutObject", "b/dir/"}}
		if err := g.authorize(t.Context(), &awshttp.Call{}, target{}, verb{"PUT", ""}, all); err != nil {
			t.Errorf("making it: %v", err)
		}
		if err := g.authorize(t.Context(), &awshttp.Call{}, target{}, verb{"PUT", "tagging"}, all); !errors.Is(err, denied) {
			t.Errorf("tagging what may be a file: %v", err)
		}
	})
}

func TestAccountsAndStrangers(t *testing.T) {
	b := bucket(t, "strangers")
	put(t, client(accountA, shared.http.URL), b, "k", "content")
	_, err := client(accountB, shared.http.URL).GetObject(t.Context(), &s3.GetObjectInput{Bucket: &b, Key: aws.String("k")})
	if code(err) != "AccessDenied" {
		t.Errorf("another account: %v, want AccessDenied", err)
	}
	_, err = client(accountB, shared.http.URL).GetBucketLogging(t.Context(), &s3.GetBucketLoggingInput{Bucket: &b})
	if code(err) != "AccessDenied" {
		t.Errorf("another account asking for a setting: %v, want AccessDenied", err)
	}
	status, body := do(t, "GET", shared.http.URL+"/"+b+"/k", nil)
	if status != http.StatusForbidden || !strings.Contains(body, "<Code>AccessDenied</Code>") {
		t.Errorf("without a signature: %d %s", status, body)
	}
}

func TestUnsetSettings(t *testing.T) {
	b := bucket(t, "unset")
	signer := client(accountA, shared.http.URL)
	for v, want := range unset {
		t.Run(v.sub, func(t *testing.T) {
			status, body := signed(t, signer, b, v)
			if want.document != "" {
				if status != http.StatusOK || body != xmlHead+want.document {
					t.Errorf("got %d %s", status, body)
				}
				return
			}
			if status != want.fault.Status || !strings.Contains(body, "<Code>"+want.fault.Code+"</Code>") {
				t.Errorf("got %d %s, want %v", status, body, want.fault)
			}
		})
	}
	if status, body := signed(t, signer, "no-such-bucket", verb{"GET", "logging"}); status != http.StatusNotFound || !strings.Contains(body, "NoSuchBucket") {
		t.Errorf("of an absent bucket: %d %s", status, body)
	}
}

// signed sends a bucket request by presigning a listing with a sub-resource.
func signed(t *testing.T, c *s3.Client, bucket string, v verb) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), v.method, shared.http.URL+"/"+bucket+"?"+v.sub+"=&X-Amz-Expires=60", nil)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := c.Options().Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	url, _, err := signer().PresignHTTP(t.Context(), creds, r, "UNSIGNED-PAYLOAD", "s3", "us-east-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return do(t, v.method, url, nil)
}

func TestEverySubresourceIsKnown(t *testing.T) {
	for v := range maps.Keys(bucketActions) {
		if v.sub != "" && !isSubresource(v.sub) {
			t.Errorf("bucket sub-resource %q is not recognised", v.sub)
		}
	}
	for v := range maps.Keys(objectActions) {
		if v.sub != "" && !isSubresource(v.sub) {
			t.Errorf("object sub-resource %q is not recognised", v.sub)
		}
	}
	for v := range maps.Keys(unset) {
		if bucketActions[v] == "" {
			t.Errorf("%v is answered without an action to authorise", v)
		}
	}
	if all := slices.Collect(maps.Keys(refusals)); len(all) != int(noBucket)+1 {
		t.Errorf("%d refusals are told, want %d", len(all), noBucket+1)
	}
}

func noOwner(context.Context, string) (string, error) { return "", objects.ErrNoSuchBucket }
