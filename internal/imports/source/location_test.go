package source

import (
	"errors"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/identity/sigv4"
)

const (
	account   = "111111111111"
	signature = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260102%2Fus-east-1%2Fs3%2Faws4_request" +
		"&X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=" +
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

var ownHosts = []string{"disk.internal", "127.0.0.1:4580", "[::1]:4580", "localhost:80", ""}

func TestParseLocation(t *testing.T) {
	for _, tt := range []struct {
		name, url           string
		bucket, key, region string
		presigned           bool
	}{
		{"s3", "s3://bucket/a/b.vmdk", "bucket", "a/b.vmdk", "", false},
		{"s3, upper case scheme", "S3://bucket/k", "bucket", "k", "", false},
		{"s3, taken literally", "s3://bucket/a b%20c?d#e", "bucket", "a b%20c?d#e", "", false},
		{"s3, empty segments", "s3://bucket//a//b/", "bucket", "/a//b/", "", false},
		{"virtual-hosted", "https://bucket.s3.amazonaws.com/a%20b+c", "bucket", "a b+c", "", false},
		{"virtual-hosted, region", "https://bucket.s3.eu-west-1.amazonaws.com/k", "bucket", "k", "eu-west-1", false},
		{"virtual-hosted, old region", "https://bucket.s3-us-west-2.amazonaws.com/k", "bucket", "k", "us-west-2", false},
		{"virtual-hosted, dualstack", "https://bucket.s3.dualstack.us-east-1.amazonaws.com/k", "bucket", "k", "us-east-1", false},
		{"virtual-hosted, dots", "https://my.s3.bucket.s3.us-gov-west-1.amazonaws.com/k", "my.s3.bucket", "k", "us-gov-west-1", false},
		{"China", "https://bucket.s3.cn-north-1.amazonaws.com.cn/k", "bucket", "k", "cn-north-1", false},
		{"port", "https://bucket.s3.amazonaws.com:443/k", "bucket", "k", "", false},
		{"path style", "https://s3.amazonaws.com/bucket/a/b", "bucket", "a/b", "", false},
		{"path style, region", "https://s3.eu-central-1.amazonaws.com/bucket/k", "bucket", "k", "eu-central-1", false},
		{"path style, old region", "https://s3-eu-west-1.amazonaws.com/bucket/k", "bucket", "k", "eu-west-1", false},
		{"presigned", "https://bucket.s3.amazonaws.com/k" + signature, "bucket", "k", "", true},
		{"presigned, with a name to save as", "https://bucket.s3.amazonaws.com/k" + signature + "&response-content-type=x&x-id=GetObject", "bucket", "k", "", true},
		{"presigned, version 2", "https://bucket.s3.amazonaws.com/k?AWSAccessKeyId=A&Signature=x&Expires=1", "bucket", "k", "", true},
		{"own", "http://127.0.0.1:4580/bucket/a%2Fb", "bucket", "a/b", "", false},
		{"own, IPv6", "http://[::1]:4580/bucket/k", "bucket", "k", "", false},
		{"own, https", "https://127.0.0.1:4580/bucket/k" + signature, "bucket", "k", "", true},
		{"own, any port", "http://disk.internal:8080/bucket/k", "bucket", "k", "", false},
		{"own, virtual-hosted", "http://bucket.disk.internal:8080/a/b" + signature, "bucket", "a/b", "", true},
		{"own, upper case", "HTTP://Disk.Internal/bucket/K", "bucket", "K", "", false},
		{"own, default port", "http://localhost/bucket/k", "bucket", "k", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			loc, err := ParseLocation(Request{Account: account, URL: tt.url, OwnHosts: ownHosts})
			if err != nil {
				t.Fatal(err)
			}
			if loc.Kind != Embedded || loc.Bucket != tt.bucket || loc.Key != tt.key || loc.Region != tt.region || loc.Presigned != tt.presigned {
				t.Errorf("got %s %q %q, region %q, presigned %t", loc.Kind, loc.Bucket, loc.Key, loc.Region, loc.Presigned)
			}
		})
	}
}

func TestParseLocationRefuses(t *testing.T) {
	for _, tt := range []struct{ name, url string }{
		{"nothing", "x"},
		{"s3 without key", "s3://bucket"},
		{"s3 with empty key", "s3://bucket/"},
		{"s3 without bucket", "s3:///key"},
		{"s3 without slashes", "s3:bucket/key"},
		{"bucket with a space", "s3://bu cket/key"},
		{"bucket of dots", "s3://../key"},
		{"long key", "s3://bucket/" + strings.Repeat("k", 1025)},
		{"long url", "https://disk.internal/bucket/k?x=" + strings.Repeat("k", maxURL)},
		{"http", "http://bucket.s3.amazonaws.com/k"},
		{"other host", "https://example.com/bucket/k"},
		{"host that ends like S3", "https://evil-s3.amazonaws.com.example.com/bucket/k"},
		{"host that begins like S3", "https://bucket.s3.amazonaws.com.evil.example/k"},
		{"host glued to S3", "https://bucketxs3.amazonaws.com/k"},
		{"another AWS service", "https://ec2.us-east-1.amazonaws.com/bucket/k"},
		{"metadata service", "http://169.254.169.254/latest/meta-data"},
		{"own address, other port", "http://127.0.0.1:22/bucket/k"},
		{"below an own address", "http://bucket.127.0.0.1:4580/k"},
		{"glued to an own host", "http://xdisk.internal/bucket/k"},
		{"own host as user", "http://disk.internal@example.com/bucket/k"},
		{"user", "https://me:pw@s3.amazonaws.com/bucket/k"},
		{"fragment", "https://s3.amazonaws.com/bucket/k#x"},
		{"no key", "https://s3.amazonaws.com/bucket"},
		{"no key, virtual-hosted", "https://bucket.s3.amazonaws.com/"},
		{"bad escape", "https://s3.amazonaws.com/bucket/%zz"},
		{"bad query", "https://s3.amazonaws.com/bucket/k" + signature + "&a=%zz"},
		{"version", "https://s3.amazonaws.com/bucket/k?versionId=1"},
		{"presigned for something else", "https://s3.amazonaws.com/bucket/k" + signature + "&acl"},
		{"file", "file:///etc/passwd"},
		{"path", "/etc/passwd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			loc, err := ParseLocation(Request{Account: account, URL: tt.url, OwnHosts: ownHosts})
			if !errors.Is(err, ErrLocation) {
				t.Errorf("got %+v, %v; want ErrLocation", loc, err)
			}
		})
	}
}

func TestErrorsKeepTheUrlSecret(t *testing.T) {
	for _, url := range []string{
		"https://example.com/bucket/k" + signature,
		"https://s3.amazonaws.com/bucket/%zz" + signature,
		"https://s3.amazonaws.com/bucket/k" + signature + "&acl",
	} {
		_, err := ParseLocation(Request{URL: url})
		if err == nil || strings.Contains(err.Error(), "0123456789abcdef") {
			t.Errorf("error %v repeats the signature", err)
		}
	}
}

func TestVersion2IsToldApart(t *testing.T) {
	loc, err := ParseLocation(Request{URL: "https://s3.amazonaws.com/bucket/k?AWSAccessKeyId=A&Signature=x&Expires=1"})
	if err != nil || !errors.Is(loc.signErr, sigv4.ErrV2) {
		t.Errorf("got %v, %v; want ErrV2 to be told by Pin", loc.signErr, err)
	}
}

func FuzzParseLocation(f *testing.F) {
	for _, url := range []string{
		"s3://bucket/key", "https://bucket.s3.eu-west-1.amazonaws.com/a%20b", "http://127.0.0.1:4580/bucket/k" + signature,
		"http://[::1]:4580/b/k", "diskport:token", "https://s3.amazonaws.com//", "http://bucket.disk.internal:1/%2e%2e/k",
	} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		loc, err := ParseLocation(Request{Account: account, URL: url, OwnHosts: ownHosts})
		switch {
		case err != nil && !errors.Is(err, ErrLocation):
			t.Errorf("%q: %v is no ErrLocation", url, err)
		case err == nil && loc.Kind == Embedded && url != "" && (!bucketForm.MatchString(loc.Bucket) || loc.Key == ""):
			t.Errorf("%q: bucket %q, key %q", url, loc.Bucket, loc.Key)
		}
	})
}
