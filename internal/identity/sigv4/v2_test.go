package sigv4

import (
	"errors"
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
		{"a listing", v2Object + "&list-type=2", "", 0, ErrMismatch},
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
	if _, err := ParseV2Object(r, ""); !errors.Is(err, ErrV2) {
		t.Errorf("PUT: got %v, want %v", err, ErrV2)
	}
	r = httptest.NewRequest("GET", v2Object, nil)
	r.Header.Set("X-Amz-Server-Side-Encryption", "aws:kms")
	q, err := ParseV2Object(r, "")
	if err != nil || !errors.Is(q.Verify(secret, signed), ErrMismatch) {
		t.Errorf("a header was added: %v", err)
	}
}

func TestResign(t *testing.T) {
	for name, text := range map[string]string{"plain": v2Object, "with a token and a version": v2Version} {
		r := httptest.NewRequest("GET", text, nil)
		r.Header.Set("User-Agent", "u")
		q, err := ParseV2Object(r, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Resign(r, secret, "us-east-1", signed); err != nil {
			t.Fatal(err)
		}
		got, err := Parse(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := got.Verify(secret, signed, ""); err != nil || got.Service != "s3" || got.Region != "us-east-1" || got.SessionToken != q.SessionToken {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if strings.Contains(r.RequestURI+r.URL.RawQuery, "Signature") || strings.Contains(text, "versionId") != strings.Contains(r.RequestURI, "?response-content-type=text%2Fplain&versionId=v1") {
			t.Errorf("%s: asks for %s", name, r.RequestURI)
		}
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
