package sigv4

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const key, secretText = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

var (
	secret = NewSecret(secretText)
	signed = time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
)

// call describes a request that the SDK's own signer signs.
type call struct {
	name, service, method, url, body, token, payload string
	header                                           http.Header
	presign                                          bool
}

var calls = []call{
	{name: "ec2 form", service: "ec2", method: "POST", url: "http://localhost:4580/", body: "Action=DescribeSnapshots&Version=2016-11-15"},
	{name: "ec2 get", service: "ec2", method: "GET", url: "http://h/?Action=X&B.1=a+b%2Fc&B.1=a&Empty=&~=~&=x"},
	{name: "session token", service: "sts", method: "POST", url: "http://h/", body: "x", token: "to/ken=="},
	{name: "folded headers", service: "ebs", method: "GET", url: "http://h/snapshots/snap-1/blocks?maxResults=5", header: http.Header{"X-Amz-A": {"  a   b  ", "c"}, "My-H": {"1"}}},
	{name: "odd path", service: "ebs", method: "GET", url: "http://h/snapshots/a%20b%2Fc:d/blocks/"},
	{name: "ebs unsigned body", service: "ebs", method: "PUT", url: "http://h/snapshots/s/blocks/1", body: "block", payload: UnsignedPayload},
	{name: "s3 key", service: "s3", method: "PUT", url: "http://h/bucket/a//b/../k%20%2B%C3%A9%3D%21%27.vhd", body: "data"},
	{name: "s3 streaming", service: "s3", method: "PUT", url: "http://h/b/k", body: "0\r\n", payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
	{name: "s3 root", service: "s3", method: "GET", url: "http://h/?list-type=2&prefix=a%2Fb&delimiter=%2F"},
	{name: "s3 presigned", service: "s3", method: "GET", url: "http://h/b/k%20y?X-Amz-Expires=60&versionId=v;w", presign: true},
	{name: "s3 presigned token", service: "s3", method: "PUT", url: "http://h/b/k?X-Amz-Expires=604800", token: "t/+=", presign: true},
	{name: "sts presigned", service: "sts", method: "GET", url: "http://h/?Action=GetCallerIdentity&Version=2011-06-15", presign: true},
}

// request signs c with the SDK and passes it through a real HTTP parse.
func (c call) request(t *testing.T) (*http.Request, []byte) {
	t.Helper()
	r, err := http.NewRequest(c.method, c.url, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range c.header {
		r.Header[k] = v
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.service == "s3" })
	creds := aws.Credentials{AccessKeyID: key, SecretAccessKey: secretText, SessionToken: c.token}
	payload := c.payload
	if payload == "" {
		payload = HashBody([]byte(c.body))
	}
	if c.presign {
		if c.service == "s3" {
			payload = UnsignedPayload
		}
		u, _, err := signer.PresignHTTP(context.Background(), creds, r, payload, c.service, "us-east-1", signed)
		if err != nil {
			t.Fatal(err)
		}
		return httptest.NewRequest(c.method, u, strings.NewReader(c.body)), []byte(c.body)
	}
	if c.service == "s3" || c.payload != "" {
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	if err := signer.SignHTTP(context.Background(), creds, r, payload, c.service, "us-east-1", signed); err != nil {
		t.Fatal(err)
	}
	return received(t, r), []byte(c.body)
}

// received returns r as a server receives it.
func received(t *testing.T, r *http.Request) *http.Request {
	t.Helper()
	var got *http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
		_, _ = io.Copy(io.Discard, in.Body)
		got = in
	}))
	defer srv.Close()
	r.Host = r.URL.Host
	r.URL.Host = strings.TrimPrefix(srv.URL, "http://")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return got
}

func TestSDKSignedRequestsVerify(t *testing.T) {
	for _, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			r, body := c.request(t)
			req, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := req.Verify(secret, signed.Add(time.Minute), HashBody(body)); err != nil {
				t.Errorf("valid request: %v\npath %s\nquery %s\nheaders %s", err, req.path, req.query, req.headers)
			}
			got := fmt.Sprint(req.AccessKeyID, req.Region, req.Service, req.SessionToken, req.Presigned, Scope(r))
			want := fmt.Sprint(key, "us-east-1", c.service, c.token, c.presign, c.service)
			if got != want {
				t.Errorf("parsed as %s, want %s", got, want)
			}
			if err := req.Verify(NewSecret("other"), signed, HashBody(body)); !errors.Is(err, ErrMismatch) {
				t.Errorf("wrong secret: %v, want %v", err, ErrMismatch)
			}
		})
	}
}

func TestChangedRequestsFail(t *testing.T) {
	post, get := calls[0], call{service: "s3", method: "GET", url: "http://h/b/k?X-Amz-Expires=60", presign: true}
	kms := call{service: "kms", method: "POST", url: "http://h/", body: "{}"}
	signedKMS, presigned := kms, call{service: "kms", method: "POST", url: "http://h/", presign: true}
	signedKMS.header = http.Header{"X-Amz-Target": {"TrentService.DescribeKey"}}
	block := call{service: "ebs", method: "PUT", url: "http://h/snapshots/s/blocks/1", body: "block", payload: UnsignedPayload}
	change := []struct {
		name string
		call call
		edit func(*http.Request)
		want error
	}{
		{"method", post, func(r *http.Request) { r.Method = "PUT" }, ErrMismatch},
		{"path", get, func(r *http.Request) { r.URL.Path = "/b/other" }, ErrMismatch},
		{"query", get, func(r *http.Request) { r.URL.RawQuery += "&x=1" }, ErrMismatch},
		{"host", post, func(r *http.Request) { r.Host = "evil" }, ErrMismatch},
		{"added S3 header", get, func(r *http.Request) { r.Header.Set("X-Amz-Copy-Source", "/x/y") }, ErrMismatch},
		{"added target", kms, func(r *http.Request) { r.Header.Set("X-Amz-Target", "TrentService.Decrypt") }, ErrMismatch},
		{"changed target", signedKMS, func(r *http.Request) { r.Header.Set("X-Amz-Target", "TrentService.Decrypt") }, ErrMismatch},
		{"second target", signedKMS, func(r *http.Request) { r.Header.Add("X-Amz-Target", "TrentService.Decrypt") }, ErrMismatch},
		{"added checksum of a block", block, func(r *http.Request) { r.Header.Set("X-Amz-Checksum", "x") }, ErrMismatch},
		{"target beside a presigned query", presigned, func(r *http.Request) { r.Header.Set("X-Amz-Target", "TrentService.Decrypt") }, ErrMismatch},
		{"a token that is another's", post, func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") }, nil}, // the key's lookup refuses it
		{"longer life", get, func(r *http.Request) { r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "Expires=60", "Expires=61", 1) }, ErrMismatch},
		{"both ways", get, func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x") }, ErrIncomplete},
		{"two dates", get, func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Date=20240102T030405Z" }, ErrIncomplete},
		{"eight days", get, func(r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "Expires=60", "Expires=691200", 1)
		}, ErrIncomplete},
		{"no credentials", post, func(r *http.Request) { r.Header.Del("Authorization") }, ErrMissing},
		{"version 2 header", post, func(r *http.Request) { r.Header.Set("Authorization", "AWS AKID:c2ln") }, ErrV2},
		{"version 2 query", post, func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "AWSAccessKeyId=AKID&Signature=x&Expires=1"
		}, ErrV2},
		{"bearer", post, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, ErrIncomplete},
		{"no date", post, func(r *http.Request) { r.Header.Del("X-Amz-Date") }, ErrIncomplete},
		{"other day", post, func(r *http.Request) { r.Header.Set("X-Amz-Date", "20240103T000405Z") }, ErrMismatch},
		{"bad escape", post, func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, ErrIncomplete},
		{"hash header", post, func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", emptyHash) }, ErrMismatch},
		{"unsigned ec2 body", post, func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", UnsignedPayload) }, ErrMismatch},
		{"host not signed", post, authorization("host;", ""), ErrIncomplete},
		{"short signature", post, authorization("Signature=", "Signature=0, Signature="), ErrIncomplete},
		{"a long region", post, authorization("/us-east-1/", "/"+strings.Repeat("x", 64)+"/"), ErrIncomplete},
		{"no scope", post, authorization("/aws4_request", ""), ErrIncomplete},
	}
	for _, c := range change {
		t.Run(c.name, func(t *testing.T) {
			r, body := c.call.request(t)
			c.edit(r)
			req, err := Parse(r)
			if err == nil {
				err = req.Verify(secret, signed, HashBody(body))
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func authorization(from, to string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
	}
}

func TestClock(t *testing.T) {
	presigned := call{service: "s3", method: "GET", url: "http://h/b/k?X-Amz-Expires=3600", presign: true}
	for _, c := range []struct {
		name  string
		call  call
		after time.Duration
		want  error
	}{
		{"header, in time", calls[0], 15 * time.Minute, nil},
		{"header, late", calls[0], 15*time.Minute + time.Second, ErrExpired},
		{"header, early", calls[0], -15 * time.Minute, nil},
		{"header, too early", calls[0], -15*time.Minute - time.Second, ErrExpired},
		{"presigned, alive", presigned, time.Hour, nil},
		{"presigned, over", presigned, time.Hour + time.Second, ErrExpired},
		{"presigned, not yet", presigned, -16 * time.Minute, ErrExpired},
		{"presigned without expiry", calls[11], 16 * time.Minute, ErrExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, body := c.call.request(t)
			req, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := req.Verify(secret, signed.Add(c.after), HashBody(body)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestUnreadBody(t *testing.T) {
	r, _ := calls[6].request(t)
	req, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := req.Verify(secret, signed, ""); err != nil {
		t.Errorf("declared hash not taken: %v", err)
	}
	req.PayloadHash = ""
	if err := req.Verify(secret, signed, ""); !errors.Is(err, ErrNoHash) || !errors.Is(err, ErrIncomplete) {
		t.Errorf("nothing declared: %v, want %v", err, ErrNoHash)
	}
}

func TestParseURL(t *testing.T) {
	r, _ := call{service: "s3", method: "GET", url: "http://box:4580/b/disk.vmdk?X-Amz-Expires=60", presign: true}.request(t)
	req, err := ParseURL(r.URL.String(), "box:4580")
	if err != nil {
		t.Fatal(err)
	}
	if err := req.Verify(secret, signed, ""); err != nil {
		t.Error(err)
	}
	if req, err = ParseURL(r.URL.String(), "other:4580"); err != nil {
		t.Fatal(err)
	}
	if err := req.Verify(secret, signed, ""); !errors.Is(err, ErrMismatch) {
		t.Errorf("other host: %v, want %v", err, ErrMismatch)
	}
	_, err = ParseURL("http://h/%zz?X-Amz-Signature=topsecret", "h")
	if !errors.Is(err, ErrIncomplete) || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("malformed URL: %v", err)
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	var out bytes.Buffer
	type holder struct{ inner Secret }
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
		fmt.Fprintf(&out, verb+verb+verb, secret, &secret, holder{secret})
	}
	if err := json.NewEncoder(&out).Encode(map[string]any{"s": secret, "h": holder{secret}}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, secretText) || strings.Contains(text, "774a616c") || !strings.Contains(text, redacted) {
		t.Errorf("printed: %s", text)
	}
	if !secret.Equal(NewSecret(secretText)) || secret.Equal(Secret{}) {
		t.Error("Equal is wrong")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKID/20240102/us-east-1/ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("0", 64), "Action=X", "/", "20240102T030405Z")
	f.Add("", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/20240102/r/s3/aws4_request&X-Amz-Date=20240102T030405Z&X-Amz-SignedHeaders=host&X-Amz-Expires=1&X-Amz-Signature="+strings.Repeat("f", 64), "/b/../k//", "")
	f.Add("AWS AKID:x", "a=%41;b&&=", "/%2F%2e", "x")
	f.Fuzz(func(t *testing.T, auth, query, path, date string) {
		r := httptest.NewRequest("GET", "http://h/", nil)
		r.URL.RawQuery, r.URL.Path = query, path
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		r.Header.Set("X-Amz-Date", date)
		req, err := Parse(r)
		if err != nil {
			return
		}
		if req.AccessKeyID == "" || req.Service != Scope(r) {
			t.Errorf("parsed %+v but routed to %q", req, Scope(r))
		}
		if req.Verify(secret, req.Date, emptyHash) == nil {
			t.Error("a request nobody signed verifies")
		}
	})
}
