package awshttp

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
	"github.com/diskport/diskport/internal/identity/iam"
)

// v2MAC signs text as key AKID does.
func v2MAC(text string) string {
	h := hmac.New(sha1.New, []byte("secret"))
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// v2Query is an EC2 query that is signed with version 2.
func v2Query(method string, at time.Time) string {
	v := url.Values{
		"Action": {"Do"}, "Version": {"2016-11-15"}, "AWSAccessKeyId": {"AKID"}, "SignatureVersion": {"2"},
		"SignatureMethod": {"HmacSHA1"}, "Timestamp": {at.Format("2006-01-02T15:04:05Z")},
	}
	v.Set("Signature", v2MAC(method+"\nexample.com\n/\n"+v.Encode()))
	return v.Encode()
}

// v2Object is a presigned GET of resource ("/bucket/key") as path on host.
func v2Object(host, path, resource string, expires time.Time) *http.Request {
	end := fmt.Sprint(expires.Unix())
	v := url.Values{"AWSAccessKeyId": {"AKID"}, "Expires": {end}, "Signature": {v2MAC("GET\n\n\n" + end + "\n" + resource)}}
	r := httptest.NewRequest("GET", path+"?"+v.Encode(), nil)
	r.Host = host
	return r
}

// v2Header is a request to /b/k that has the signature of a PUT in its header.
func v2Header(method string) *http.Request {
	r := httptest.NewRequest(method, "/b/k", strings.NewReader("data"))
	date := now.Format(http.TimeFormat)
	r.Header.Set("Date", date)
	r.Header.Set("Authorization", "AWS AKID:"+v2MAC("PUT\n\n\n"+date+"\n/b/k"))
	return r
}

func TestVersion2(t *testing.T) {
	allow := func(o *Options) { o.AllowSigV2, o.Regions, o.Domain = true, wiretest.Regions("eu-west-1"), "s3.box" }
	strict := func(o *Options) { o.Strict = true }
	for _, c := range []struct {
		name   string
		req    *http.Request
		change func(*Options)
		status int
		want   string
	}{
		{"ec2 form", form("/", v2Query("POST", now)), allow, 200, "ec2|123456789012|Do|AWSAccessKeyId"},
		{"ec2 get", httptest.NewRequest("GET", "/?"+v2Query("GET", now), nil), allow, 200, "ec2|123456789012|Do|"},
		{"ec2 late", form("/", v2Query("POST", now.Add(-16*time.Minute))), allow, 400, "RequestExpired"},
		{"ec2 changed", form("/", v2Query("POST", now)+"&DryRun=true"), allow, 403, "SignatureDoesNotMatch"},
		{"ec2 unknown key", form("/", strings.Replace(v2Query("POST", now), "AKID", "WHO", 1)), allow, 401, "AuthFailure"},
		{"ec2 without a time", form("/", "Action=Do&AWSAccessKeyId=AKID&Signature=x&SignatureVersion=2"), allow, 400, "IncompleteSignature"},
		{"ec2 not allowed", form("/", v2Query("POST", now)), nil, 401, "sign with version 4"},
		{"s3 path", v2Object("box", "/b/k%20y", "/b/k%20y", now), allow, 200, "s3|123456789012|"},
		{"s3 virtual host", v2Object("b.s3.box:4580", "/k", "/b/k", now), allow, 200, "s3|123456789012|"},
		{"s3 path's signature on a virtual host", v2Object("b.s3.box", "/b/k", "/b/k", now), allow, 403, "SignatureDoesNotMatch"},
		{"s3 virtual host's signature on a path", v2Object("box", "/k", "/b/k", now), allow, 403, "SignatureDoesNotMatch"},
		{"s3 odd host", v2Object("b.s3.boxes", "/k", "/b/k", now), allow, 403, "SignatureDoesNotMatch"},
		{"s3 late", v2Object("box", "/b/k", "/b/k", now.Add(-time.Second)), allow, 403, "Request has expired"},
		{"s3 in a header", v2Header("PUT"), nil, 200, "s3|123456789012|"},
		{"s3 in a header, another method", v2Header("DELETE"), nil, 403, "SignatureDoesNotMatch"},
		{"s3 without being allowed", v2Object("box", "/b/k", "/b/k", now), nil, 200, "s3|123456789012|"},
		{"s3 as AWS", v2Object("box", "/b/k", "/b/k", now), strict, 403, "Please use AWS4-HMAC-SHA256"},
		{"s3 in a header as AWS", v2Header("PUT"), strict, 403, "Please use AWS4-HMAC-SHA256"},
		{"s3 no edge", v2Object("box", "/b/k", "/b/k", now), func(o *Options) { allow(o); delete(o.Edges, S3) }, 403, "<Code>AccessDenied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(c.change)
			if w := f.do(c.req); w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.status, c.want)
			}
			if strings.Contains(f.log.String(), c.req.URL.Query().Get("Signature")) && c.req.URL.RawQuery != "" {
				t.Errorf("a signature is in the log: %s", f.log)
			}
		})
	}
}

// noting is keys that note what they are used for.
type noting struct {
	keys
	used chan string
	err  error
}

func (n noting) Used(_ context.Context, p iam.Principal, service, region string) error {
	n.used <- p.Account + " " + service + " " + region
	return n.err
}

func TestUseOfKeysIsNoted(t *testing.T) {
	for _, err := range []error{nil, http.ErrHandlerTimeout} {
		n := noting{used: make(chan string, 2), err: err}
		f := newFixture(func(o *Options) { o.Keys = n })
		w := f.do(sign(t, form("/", "Action=Do"), "AKID", EC2, "Action=Do", now))
		if w.Code != 200 || len(n.used) != 1 {
			t.Fatalf("got %d, noted %d times", w.Code, len(n.used))
		}
		if got := <-n.used; got != "123456789012 ec2 us-east-1" {
			t.Errorf("noted %s", got)
		}
		if w := f.do(sign(t, form("/", "Action=Do"), "AKID", EC2, "other", now)); w.Code != 403 || len(n.used) != 0 {
			t.Errorf("a bad signature is a use: %d, %d times", w.Code, len(n.used))
		}
	}
}

// TestVersion2HoldsNothingAfterwards: the body of such a request is read before its key
// is known. What it took of the budget of strangers goes back there.
func TestVersion2HoldsNothingAfterwards(t *testing.T) {
	f := newFixture(func(o *Options) { o.AllowSigV2 = true })
	padded := v2Query("POST", now) + "&Pad=" + strings.Repeat("x", 20<<10)
	for range 3 {
		if w := f.do(form("/", padded)); w.Code != 403 {
			t.Fatalf("got %d %s, want a signature that does not match", w.Code, w.Body)
		}
	}
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "diskport_request_body_bytes" {
			continue
		}
		for _, m := range family.GetMetric() {
			if held := m.GetGauge().GetValue(); held != 0 {
				t.Errorf("%v bytes of %v are held by nobody", held, m.GetLabel())
			}
		}
	}
}
