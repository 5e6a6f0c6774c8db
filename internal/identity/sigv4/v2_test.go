package sigv4

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The signatures in these tests were made by botocore 1.43.11 with SigV2Auth and
// HmacV1QueryAuth. That of v2SHA1, for which botocore has no signer, was made with
// hashlib.

func v2Form(t *testing.T, query string) url.Values {
	t.Helper()
	form, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return form
}

const (
	v2Common = "&AWSAccessKeyId=AKIDEXAMPLE&SignatureVersion=2&SignatureMethod=HmacSHA256&Timestamp=2024-01-02T03%3A04%3A05Z"
	v2Plain  = "Action=DescribeSnapshots&Version=2016-11-15&Filter.1.Name=a+b%2F%C3%A9~%2A" + v2Common + "&Signature=Q7cv2vln%2BE24L0HlgenLafQECDfQHkp69eBOmP34Ghg%3D"
	v2Token  = "Action=X&Version=2016-11-15" + v2Common + "&SecurityToken=tok%2Fen%3D%3D&Signature=6K0ZJaOHSN3dlhUeAqWZAu3mw8lr%2FuBL%2FKE3kfoG2cs%3D"
	v2SHA1   = "Action=X&Version=2016-11-15&AWSAccessKeyId=AKIDEXAMPLE&SignatureVersion=2&SignatureMethod=HmacSHA1&Timestamp=2024-01-02T03%3A04%3A05Z&Signature=TJXVrfK%2Fl4Gfk0mzyBS%2Fi0KUr0M%3D"
)

func TestV2Form(t *testing.T) {
	for _, c := range []struct {
		name, host, form string
		after            time.Duration
		want             error
	}{
		{"botocore's", "box:4580", v2Plain, 0, nil},
		{"host in capitals", "BOX:4580", v2Plain, 0, nil},
		{"SHA-1", "box:4580", v2SHA1, 0, nil},
		{"with a token", "box:4580", v2Token, 0, nil},
		{"in time", "box:4580", v2Plain, 15 * time.Minute, nil},
		{"late", "box:4580", v2Plain, 15*time.Minute + time.Second, ErrExpired},
		{"early", "box:4580", v2Plain, -15*time.Minute - time.Second, ErrExpired},
		{"another host", "other:4580", v2Plain, 0, ErrMismatch},
		{"another parameter", "box:4580", strings.Replace(v2Plain, "DescribeSnapshots", "DeleteSnapshot", 1), 0, ErrMismatch},
		{"one more", "box:4580", v2Plain + "&DryRun=true", 0, ErrMismatch},
		{"without the token", "box:4580", strings.Replace(v2Token, "&SecurityToken=tok%2Fen%3D%3D", "", 1), 0, ErrMismatch},
		{"another hash", "box:4580", strings.Replace(v2Plain, "HmacSHA256", "HmacSHA1", 1), 0, ErrMismatch},
		{"unknown hash", "box:4580", strings.Replace(v2Plain, "HmacSHA256", "HmacMD5", 1), 0, ErrIncomplete},
		{"version 1", "box:4580", strings.Replace(v2Plain, "SignatureVersion=2", "SignatureVersion=1", 1), 0, ErrIncomplete},
		{"no time", "box:4580", strings.Replace(v2Plain, "&Timestamp=2024-01-02T03%3A04%3A05Z", "", 1), 0, ErrIncomplete},
		{"two times", "box:4580", v2Plain + "&Timestamp=2024-01-02T03%3A04%3A05Z", 0, ErrIncomplete},
		{"two signatures", "box:4580", v2Plain + "&Signature=x", 0, ErrIncomplete},
		{"end instead of time", "box:4580", strings.Replace(v2Plain, "Timestamp", "Expires", 1), 0, ErrMismatch},
		{"past its end", "box:4580", strings.Replace(v2Plain, "Timestamp", "Expires", 1), time.Second, ErrExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", nil)
			r.Host = c.host
			q, err := ParseV2Form(r, v2Form(t, c.form))
			if err == nil {
				err = q.Verify(secret, signed.Add(c.after))
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.want == nil && (q.AccessKeyID != key || q.Verify(NewSecret("other"), signed) == nil) {
				t.Errorf("key %s, or any secret will do", q.AccessKeyID)
			}
		})
	}
}

const (
	v2Object  = "http://box:4580/images/a%20b%2B/d.vmdk?AWSAccessKeyId=AKIDEXAMPLE&Signature=Z9%2BsRFuAEB3ertEtQYwTbBFZNys%3D&Expires=1704164705"
	v2Version = "http://box:4580/images/d.vmdk?response-content-type=text%2Fplain&versionId=v1&AWSAccessKeyId=AKIDEXAMPLE&Signature=3x4ZBqwrG4x51rykz1UW4ofZ28k%3D&x-amz-security-token=to%2Fk%2Ben%3D%3D&Expires=1704164705"
	v2Virtual = "http://images.box:4580/d.vmdk?AWSAccessKeyId=AKIDEXAMPLE&Signature=xi%2BC4Kcqbj0geRkkaPBeyjdsqvg%3D&Expires=1704164705"
)

func TestV2Object(t *testing.T) {
	for _, c := range []struct {
		name, url, bucket string
		after             time.Duration
		want              error
	}{
		{"botocore's", v2Object, "", 0, nil},
		{"with a token and a version", v2Version, "", 0, nil},
		{"virtual host", v2Virtual, "images", 0, nil},
		{"at its end", v2Object, "", time.Minute, nil},
		{"past its end", v2Object, "", time.Minute + time.Second, ErrExpired},
		{"in a bucket of a host", v2Object, "other", 0, ErrMismatch},
		{"another virtual host", v2Virtual, "other", 0, ErrMismatch},
		{"virtual host taken for a path", v2Virtual, "", 0, ErrMismatch},
		{"another object", strings.Replace(v2Object, "d.vmdk", "e.vmdk", 1), "", 0, ErrMismatch},
		{"another version", strings.Replace(v2Version, "v1", "v2", 1), "", 0, ErrMismatch},
		{"a longer life", strings.Replace(v2Object, "1704164705", "1704164706", 1), "", 0, ErrMismatch},
		{"without the token", strings.Replace(v2Version, "&x-amz-security-token=to%2Fk%2Ben%3D%3D", "", 1), "", 0, ErrMismatch},
		{"a header put into the query", v2Object + "&x-amz-copy-source=a", "", 0, ErrMismatch},
		{"another sub-resource", v2Object + "&acl", "", 0, ErrMismatch},
		{"a sub-resource that version 2 does not sign", v2Object + "&attributes", "", 0, ErrMismatch},
		{"a part of a listing", v2Object + "&list-type=2&prefix=a", "", 0, nil},
		{"a parameter that nobody knows", v2Object + "&what", "", 0, ErrMismatch},
		{"two ends", v2Object + "&Expires=1", "", 0, ErrIncomplete},
		{"no end", strings.Replace(v2Object, "Expires=1704164705", "", 1), "", 0, ErrIncomplete},
		{"bad escape", v2Object + "&a=%zz", "", 0, ErrIncomplete},
		{"bad URL", "http://h/%zz?Signature=topsecret", "", 0, ErrIncomplete},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := ParseV2URL(c.url, c.bucket)
			if err == nil {
				err = q.Verify(secret, signed.Add(c.after))
			}
			if !errors.Is(err, c.want) || err != nil && strings.Contains(err.Error(), "topsecret") {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	r := httptest.NewRequest("PUT", v2Object, nil)
	if q, err := ParseV2Object(r, ""); err != nil || !errors.Is(q.Verify(secret, signed), ErrMismatch) {
		t.Errorf("a PUT with the signature of a GET: %v", err)
	}
	r = httptest.NewRequest("GET", v2Object, nil)
	r.Header.Set("X-Amz-Server-Side-Encryption", "aws:kms")
	q, err := ParseV2Object(r, "")
	if err != nil || !errors.Is(q.Verify(secret, signed), ErrMismatch) {
		t.Errorf("a header was added: %v", err)
	}
}

// TestV2LinesAreNotMoved: what was signed as a header of its own must not become a part of
// another one's value, as a line break in the query could make it, nor its value one of its
// name.
func TestV2LinesAreNotMoved(t *testing.T) {
	const text = "PUT\n\n\n1704164705\nx-amz-meta-a:1\nx-amz-server-side-encryption:aws:kms\n/images/k"
	mac := hmac.New(sha1.New, []byte(secret.Reveal()))
	mac.Write([]byte(text))
	given := "http://box:4580/images/k?AWSAccessKeyId=AKIDEXAMPLE&Expires=1704164705&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for query, want := range map[string]error{
		"&x-amz-meta-a=1&x-amz-server-side-encryption=aws:kms":   nil,
		"&x-amz-meta-a=1%0Ax-amz-server-side-encryption:aws:kms": ErrMismatch,
		"&x-amz-meta-a=1&x-amz-server-side-encryption%3Aaws=kms": ErrMismatch,
	} {
		q, err := ParseV2Object(httptest.NewRequest("PUT", given+query, nil), "")
		if err == nil {
			err = q.Verify(secret, signed)
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", query, err, want)
		}
	}
}

func TestV2InAHeader(t *testing.T) {
	const date = "Tue, 02 Jan 2024 03:04:05 GMT"
	part := func() *http.Request {
		r := httptest.NewRequest("PUT", "http://box:4580/images/a%20b?uploadId=u%2F1&partNumber=2", nil)
		r.Header = http.Header{
			"Content-Type": {"text/plain"}, "Content-Md5": {"XUFAKrxLKna5cZ2REBfFkg=="}, "X-Amz-Meta-A": {" b  c "}, "Date": {date},
			"Authorization": {"AWS AKIDEXAMPLE:xObsZ2YnHCPyVje75Grij4lEgxo="}, // botocore's HmacV1Auth
		}
		return r
	}
	list := func() *http.Request {
		r := httptest.NewRequest("GET", "http://images.box:4580/?prefix=a&list-type=2", nil)
		r.Header = http.Header{
			"X-Amz-Date": {date}, "X-Amz-Security-Token": {"to/k+en=="}, "Date": {"Tue, 02 Jan 2024 00:00:00 GMT"},
			"Authorization": {"AWS AKIDEXAMPLE:5vytR6H48y6codjIgiaQATD3P+Y="}, // hashlib's
		}
		return r
	}
	with := func(r *http.Request, name, value string) *http.Request {
		r.Header.Set(name, value)
		return r
	}
	for _, c := range []struct {
		name, bucket string
		r            *http.Request
		after        time.Duration
		want         error
	}{
		{"botocore's", "", part(), 0, nil},
		{"in time", "", part(), 15 * time.Minute, nil},
		{"late", "", part(), 15*time.Minute + time.Second, ErrExpired},
		{"early", "", part(), -15*time.Minute - time.Second, ErrExpired},
		{"another type", "", with(part(), "Content-Type", "text/html"), 0, ErrMismatch},
		{"another digest", "", with(part(), "Content-Md5", "AAAA"), 0, ErrMismatch},
		{"another header", "", with(part(), "X-Amz-Acl", "private"), 0, ErrMismatch},
		{"another time", "", with(part(), "Date", "Tue, 02 Jan 2024 03:04:06 GMT"), 0, ErrMismatch},
		{"no time", "", with(part(), "Date", ""), 0, ErrIncomplete},
		{"no signature", "", with(part(), "Authorization", "AWS AKIDEXAMPLE"), 0, ErrIncomplete},
		{"no key", "", with(part(), "Authorization", "AWS :AAAA"), 0, ErrIncomplete},
		{"its own date header and a virtual host", "images", list(), 0, nil},
		{"another bucket", "other", list(), 0, ErrMismatch},
		{"another token", "images", with(list(), "X-Amz-Security-Token", "x"), 0, ErrMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := ParseV2Object(c.r, c.bucket)
			if err == nil {
				err = q.Verify(secret, signed.Add(c.after))
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.want == nil && (q.AccessKeyID != key || q.SessionToken != c.r.Header.Get("X-Amz-Security-Token")) {
				t.Errorf("key %s, token %s", q.AccessKeyID, q.SessionToken)
			}
		})
	}
}

func FuzzParseV2(f *testing.F) {
	f.Add("POST", "http://h/", v2Plain)
	f.Add("GET", v2Object, "")
	f.Add("GET", v2Version, "a=%zz;b")
	f.Fuzz(func(t *testing.T, method, target, query string) {
		u, err := url.Parse(target)
		form, errForm := url.ParseQuery(query)
		if err != nil || errForm != nil {
			return
		}
		r := httptest.NewRequest("GET", "http://h/", nil)
		r.Method, r.URL = method, u
		if q, err := ParseV2Form(r, form); err == nil && q.Verify(NewSecret("not the one"), signed) == nil {
			t.Error("a form nobody signed verifies")
		}
		if q, err := ParseV2Object(r, ""); err == nil && q.Verify(NewSecret("not the one"), signed) == nil {
			t.Error("an object nobody signed verifies")
		}
	})
}
