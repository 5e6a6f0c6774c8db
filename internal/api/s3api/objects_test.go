package s3api

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
)

// TestKeysAreOpaque: no spelling of a key is another's.
func TestKeysAreOpaque(t *testing.T) {
	b := bucketOf(t)
	keys := []string{
		"plain", "dir", "dir/file", "dir/", "dir//file", "/dir/file", "//", "/", "a b+c/é?#%25&=;.img", "..", ".", "../x", "x/../x", "..x/...", `quo"te<>^|`, "tilde~!'()*",
		"%", "%2F", strings.Repeat("k", 1024), "line\nbreak", "\x01\x7f", "日本語",
	}
	for _, w := range []*s3.Client{ownerA.client(), ownerA.secure()} {
		for i, key := range keys {
			must(w.PutObject(t.Context(), &s3.PutObjectInput{Bucket: b, Key: &key, Body: strings.NewReader(fmt.Sprint(i))}))(t)
		}
		for i, key := range keys {
			if got := get(t, b, key); got != fmt.Sprint(i) {
				t.Errorf("%q has %q, want %d", key, got, i)
			}
		}
	}
	found := map[string]bool{}
	p := s3.NewListObjectsV2Paginator(ownerA.client(), &s3.ListObjectsV2Input{Bucket: b, MaxKeys: aws.Int32(3)})
	for p.HasMorePages() {
		for _, o := range must(p.NextPage(t.Context()))(t).Contents {
			found[*o.Key] = true
		}
	}
	for _, key := range keys {
		if !found[key] && key != "\x01\x7f" { // XML has no such character: clients ask for encoding-type=url
			t.Errorf("%q is not listed", key)
		}
	}
	if _, err := ownerA.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: b, Key: aws.String(strings.Repeat("k", 1025))}); code(err) != "KeyTooLongError" {
		t.Errorf("1,025 bytes: %v", err)
	}
	for _, key := range keys {
		must(ownerA.client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: b, Key: &key}))(t)
	}
	must(ownerA.client().DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: b}))(t)
}

func TestMetadataComesBack(t *testing.T) {
	b, c := bucketOf(t), ownerA.client()
	expires := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	in := &s3.PutObjectInput{
		Bucket: b, Key: aws.String("k"), Body: strings.NewReader("x"), ContentType: aws.String("text/plain"), ContentEncoding: aws.String("gzip"),
		ContentDisposition: aws.String("attachment"), ContentLanguage: aws.String("en"), CacheControl: aws.String("no-cache"), Expires: &expires,
		Metadata: map[string]string{"Mixed-Case": "Value", "empty": ""}, Tagging: aws.String("a=1&b=2%203"), ServerSideEncryption: "AES256", ACL: "bucket-owner-full-control",
	}
	stored := must(c.PutObject(t.Context(), in))(t)
	sum := md5.Sum([]byte("x"))
	if want := `"` + hex.EncodeToString(sum[:]) + `"`; *stored.ETag != want || stored.ServerSideEncryption != "AES256" {
		t.Errorf("stored %+v", stored)
	}
	for _, method := range []string{"GET", "HEAD"} {
		res, _ := ownerA.ask(t, method, "/"+*b+"/k", "")
		for name, want := range map[string]string{
			"Content-Type": "text/plain", "Content-Encoding": "gzip", "Content-Disposition": "attachment", "Content-Language": "en", "Cache-Control": "no-cache",
			"Expires": "Wed, 02 Jan 2030 03:04:05 GMT", "X-Amz-Meta-Mixed-Case": "Value", "X-Amz-Tagging-Count": "2", "X-Amz-Server-Side-Encryption": "AES256",
			"Content-Length": "1", "Accept-Ranges": "bytes", "Etag": *stored.ETag, "X-Amz-Storage-Class": "", "X-Amz-Version-Id": "",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", method, name, got, want)
			}
		}
		if res.Header.Get("Last-Modified") == "" || res.StatusCode != 200 {
			t.Errorf("%s: %d %v", method, res.StatusCode, res.Header)
		}
	}
	in.Metadata = map[string]string{"a": strings.Repeat("x", 2048)}
	refused(c.PutObject(t.Context(), in))(t, "MetadataTooLarge")
	in.Metadata, in.Tagging = nil, aws.String("aws:x=1")
	refused(c.PutObject(t.Context(), in))(t, "InvalidTag")
	put(t, b, "bare", "")
	res, _ := ownerA.ask(t, "GET", "/"+*b+"/bare", "")
	if res.Header.Get("Content-Length") != "0" || res.StatusCode != 200 {
		t.Errorf("an empty object: %d %v", res.StatusCode, res.Header)
	}
}

// TestHeadersThatAreNotASCII come back as the bytes that they were, and metadata as
// words of RFC 2047, of which AWS's documentation has an example.
func TestHeadersThatAreNotASCII(t *testing.T) {
	b := bucketOf(t)
	for _, x := range []struct{ header, sent, want string }{
		{"Content-Disposition", "caf\xe9", "caf\xe9"},
		{"Content-Disposition", "caf\xc3\xa9", "caf\xc3\xa9"},
		{"X-Amz-Meta-Word", "AMAZONS3", "AMAZONS3"},
		{"X-Amz-Meta-Word", "ÄMÄZÕÑ S3", "=?UTF-8?B?w4PChE3Dg8KEWsODwpXDg8KRIFMz?="},
		{"X-Amz-Meta-Word", "Hello World\xe9", "=?UTF-8?B?SGVsbG8gV29ybGTDqQ==?="},
		{"X-Amz-Meta-Word", "=?UTF-8?B?Y2Fmw6k=?=", "=?UTF-8?B?Y2Fmw6k=?="},
		{"X-Amz-Meta-Word", "=?utf-8?q?caf=C3=A9?=", "=?UTF-8?B?Y2Fmw6k=?="},
		{"X-Amz-Meta-Word", "=?UTF-8?Q?plain?=", "plain"},
		{"X-Amz-Meta-Word", "=?UTF-8?B?***?=", "=?UTF-8?B?***?="},
		{"X-Amz-Meta-Word", "=?UTF-8?B?YQ0KYg==?=", "=?UTF-8?B?YQ0KYg==?="}, // a line's end, which no header may have
		{"X-Amz-Meta-Word", "=?x-unknown?Q?plain?=", "=?x-unknown?Q?plain?="},
	} {
		r := ownerA.request(t, "PUT", "/"+*b+"/k", "x", x.header, x.sent)
		if res, body := ownerA.do(t, r); res.StatusCode != 200 {
			t.Fatalf("%q: %d %s", x.sent, res.StatusCode, body)
		}
		if res, _ := ownerA.ask(t, "HEAD", "/"+*b+"/k", ""); res.Header.Get(x.header) != x.want {
			t.Errorf("%q came back as %q, want %q", x.sent, res.Header.Get(x.header), x.want)
		}
	}
}

func TestContentEncoding(t *testing.T) {
	for sent, want := range map[string]string{
		"gzip": "gzip", "deflate, gzip": "deflate, gzip", "deflate,gzip": "deflate,gzip", "aws-chunked": "", "AWS-Chunked, aws-chunked": "",
		"gzip, aws-chunked": "gzip", "aws-chunked, gzip": "gzip", "aws-chunked, deflate, gzip": "deflate, gzip",
	} {
		if got := contentEncoding(http.Header{"Content-Encoding": {sent}}); got != want {
			t.Errorf("%q: got %q, want %q", sent, got, want)
		}
	}
}

func TestOnlyPartsAreSent(t *testing.T) {
	b := bucketOf(t)
	content := strings.Repeat("0123456789", 100_000)
	put(t, b, "k", content)
	for asked, want := range map[string]string{"bytes=10-19": "0123456789", "bytes=-5": "56789", "bytes=999998-": "89", "bytes=0-0": "0", "bytes=5-4": content, "bytes=0-1,5-6": content} {
		res, body := ownerA.ask(t, "GET", "/"+*b+"/k", "", "Range", asked)
		if body != want || (res.StatusCode == 206) != (want != content) {
			t.Errorf("%s: %d, %d bytes", asked, res.StatusCode, len(body))
		}
	}
	res, body := ownerA.ask(t, "GET", "/"+*b+"/k", "", "Range", "bytes=1000000-")
	if res.StatusCode != 416 || !strings.Contains(body, "<Code>InvalidRange</Code>") || !strings.Contains(body, "<ActualObjectSize>1000000</ActualObjectSize>") {
		t.Errorf("behind the end: %d %s", res.StatusCode, body)
	}
	res, _ = ownerA.ask(t, "HEAD", "/"+*b+"/k", "", "Range", "bytes=10-19")
	if res.StatusCode != 206 || res.Header.Get("Content-Range") != "bytes 10-19/1000000" || res.Header.Get("Content-Length") != "10" {
		t.Errorf("HEAD: %d %v", res.StatusCode, res.Header)
	}
	res, body = ownerA.ask(t, "GET", "/"+*b+"/k?partNumber=1", "")
	if res.StatusCode != 206 || body != content {
		t.Errorf("the only part: %d, %d bytes", res.StatusCode, len(body))
	}
	if res, body = ownerA.ask(t, "GET", "/"+*b+"/k?partNumber=2", ""); res.StatusCode != 416 || !strings.Contains(body, "InvalidPartNumber") {
		t.Errorf("a part that is not there: %d %s", res.StatusCode, body)
	}
}

func TestConditionsOnReads(t *testing.T) {
	b := bucketOf(t)
	etag := *put(t, b, "k", "x").ETag
	past, future := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		name, value string
		status      int
	}{
		{"If-Match", etag, 200}, {"If-Match", `"other"`, 412}, {"If-None-Match", `"other"`, 200}, {"If-None-Match", etag, 304},
		{"If-Modified-Since", past, 200}, {"If-Modified-Since", future, 304}, {"If-Unmodified-Since", future, 200}, {"If-Unmodified-Since", past, 412},
	} {
		res, body := ownerA.ask(t, "GET", "/"+*b+"/k", "", c.name, c.value)
		if res.StatusCode != c.status {
			t.Errorf("%s %s: %d %s", c.name, c.value, res.StatusCode, body)
		}
		if c.status == 304 && (res.Header.Get("Etag") != etag || body != "") {
			t.Errorf("304 has %v and %q", res.Header, body)
		}
		if c.status == 412 && !strings.Contains(body, "<Code>PreconditionFailed</Code>") {
			t.Errorf("412 has %s", body)
		}
	}
}

func TestConditionsOnWrites(t *testing.T) {
	b, c := bucketOf(t), ownerA.client()
	write := func(match, noneMatch string) error {
		in := &s3.PutObjectInput{Bucket: b, Key: aws.String("k"), Body: strings.NewReader("x")}
		if match != "" {
			in.IfMatch = &match
		}
		if noneMatch != "" {
			in.IfNoneMatch = &noneMatch
		}
		_, err := c.PutObject(t.Context(), in)
		return err
	}
	etag := `"9dd4e461268c8034f5c8564e155c67a6"` // of "x"
	for _, step := range []struct{ name, match, noneMatch, want string }{
		{"replacing nothing", etag, "", "NoSuchKey"},
		{"making it", "", "*", ""},
		{"making it again", "", "*", "PreconditionFailed"},
		{"replacing another", `"other"`, "", "PreconditionFailed"},
		{"replacing it", etag, "", ""},
		{"unless it is another", "", `"other"`, "NotImplemented"},
	} {
		if err := write(step.match, step.noneMatch); code(err) != step.want {
			t.Errorf("%s: %v, want %q", step.name, err, step.want)
		}
	}
	refused(c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: b, Key: aws.String("k"), IfMatch: aws.String(`"other"`)}))(t, "PreconditionFailed")
	must(c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: b, Key: aws.String("k"), IfMatch: &etag}))(t)
}

// TestARaceIsDecidedOnce: of many that make an object which must not be there, one
// does.
func TestARaceIsDecidedOnce(t *testing.T) {
	b, c := bucketOf(t), ownerA.client()
	results := make(chan error)
	for range 8 {
		go func() {
			_, err := c.PutObject(context.WithoutCancel(t.Context()), &s3.PutObjectInput{Bucket: b, Key: aws.String("k"), Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")})
			results <- err
		}()
	}
	won := 0
	for range 8 {
		switch err := <-results; code(err) {
		case "":
			won++
		case "PreconditionFailed", "ConditionalRequestConflict":
		default:
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d have made it", won)
	}
}

func TestMissingObjects(t *testing.T) {
	b := bucketOf(t)
	reader := user(t, "reads-alone", allow(`"s3:GetObject"`, `"*"`))
	res, body := ownerA.ask(t, "GET", "/"+*b+"/a%20key", "")
	if res.StatusCode != 404 || !strings.Contains(body, "<Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>a key</Key>") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body = ownerA.ask(t, "HEAD", "/"+*b+"/k", ""); res.StatusCode != 404 || body != "" {
		t.Errorf("HEAD: %d %s", res.StatusCode, body)
	}
	if res, body = reader.ask(t, "GET", "/"+*b+"/k", ""); res.StatusCode != 403 {
		t.Errorf("who may not list is told: %d %s", res.StatusCode, body)
	}
	put(t, b, "k", "x")
	if res, body = reader.ask(t, "GET", "/"+*b+"/k", ""); res.StatusCode != 200 {
		t.Errorf("who may read: %d %s", res.StatusCode, body)
	}
}

func TestAnswersAreOverridden(t *testing.T) {
	b := bucketOf(t)
	put(t, b, "k", "x")
	res, _ := ownerA.ask(t, "GET", "/"+*b+"/k?response-content-type=text%2Fhtml&response-content-disposition=inline&response-expires=never&response-cache-control=x&response-content-encoding=y&response-content-language=z", "")
	for name, want := range map[string]string{"Content-Type": "text/html", "Content-Disposition": "inline", "Expires": "never", "Cache-Control": "x", "Content-Encoding": "y", "Content-Language": "z"} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestObjectTagging(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	put(t, b, "k", "x")
	key := aws.String("k")
	tags := &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}, {Key: aws.String("b"), Value: aws.String("")}}}
	must(c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: b, Key: key, Tagging: tags}))(t)
	if got := must(c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: b, Key: key}))(t).TagSet; len(got) != 2 || *got[0].Key != "a" || *got[1].Key != "b" {
		t.Errorf("got %v", got)
	}
	var many []types.Tag
	for i := range 11 {
		many = append(many, types.Tag{Key: aws.String(strings.Repeat("k", 118+i)), Value: aws.String(strings.Repeat("v", 256))})
	}
	refused(c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: b, Key: key, Tagging: &types.Tagging{TagSet: many}}))(t, "BadRequest")
	must(c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: b, Key: key, Tagging: &types.Tagging{TagSet: many[:10]}}))(t)
	must(c.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: b, Key: key}))(t)
	if got := must(c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: b, Key: key}))(t).TagSet; len(got) != 0 {
		t.Errorf("got %v", got)
	}
	refused(c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: b, Key: aws.String("none")}))(t, "NoSuchKey")
}

// TestPoliciesMayAskAboutTags: of the object, and of the request.
func TestPoliciesMayAskAboutTags(t *testing.T) {
	b := bucketOf(t)
	arn := `"arn:aws:s3:::` + *b + `/*"`
	w := user(t, "by-tags", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject"],"Resource":`+arn+`},`+
		`{"Effect":"Deny","Action":["s3:GetObject","s3:DeleteObject"],"Resource":`+arn+`,"Condition":{"StringEquals":{"s3:ExistingObjectTag/secret":"yes"}}},`+
		`{"Effect":"Allow","Action":"s3:PutObjectTagging","Resource":`+arn+`,"Condition":{"StringEquals":{"s3:RequestObjectTag/secret":"no"}}}]}`)
	must(ownerA.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: b, Key: aws.String("hidden"), Tagging: aws.String("secret=yes")}))(t)
	put(t, b, "open", "x")
	tag := func(value string) *types.Tagging {
		return &types.Tagging{TagSet: []types.Tag{{Key: aws.String("secret"), Value: &value}}}
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"reading an open one":   {second(w.client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: b, Key: aws.String("open")})), ""},
		"reading a hidden one":  {second(w.client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: b, Key: aws.String("hidden")})), "AccessDenied"},
		"deleting a hidden one": {second(w.client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: b, Key: aws.String("hidden")})), "AccessDenied"},
		"putting with the tag":  {second(w.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: b, Key: aws.String("new"), Tagging: aws.String("secret=no")})), ""},
		"putting with another":  {second(w.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: b, Key: aws.String("new"), Tagging: aws.String("secret=yes")})), "AccessDenied"},
		"tagging so":            {second(w.client().PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: b, Key: aws.String("open"), Tagging: tag("no")})), ""},
		"tagging otherwise":     {second(w.client().PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: b, Key: aws.String("open"), Tagging: tag("yes")})), "AccessDenied"},
	} {
		if code(c.err) != c.want {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
	out := must(w.client().DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("hidden")}, {Key: aws.String("open")}}}}))(t)
	if len(out.Deleted) != 1 || len(out.Errors) != 1 || *out.Errors[0].Key != "hidden" || *out.Errors[0].Code != "AccessDenied" {
		t.Errorf("deleting both: %+v %+v", out.Deleted, out.Errors)
	}
}

func second[T any](_ T, err error) error { return err }

func TestDeletingMany(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	etag := put(t, b, "a", "x").ETag
	put(t, b, "b", "y")
	put(t, b, "c", "z")
	del := func(quiet bool, ids ...types.ObjectIdentifier) *s3.DeleteObjectsOutput {
		t.Helper()
		return must(c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: ids, Quiet: &quiet}}))(t)
	}
	out := del(false, types.ObjectIdentifier{Key: aws.String("a"), ETag: etag}, types.ObjectIdentifier{Key: aws.String("b"), ETag: etag}, types.ObjectIdentifier{Key: aws.String("never")})
	if len(out.Deleted) != 2 || *out.Deleted[0].Key != "a" || *out.Deleted[1].Key != "never" || len(out.Errors) != 1 || *out.Errors[0].Code != "PreconditionFailed" {
		t.Errorf("deleted %+v, errors %+v", out.Deleted, out.Errors)
	}
	if out = del(true, types.ObjectIdentifier{Key: aws.String("c")}); len(out.Deleted) != 0 || len(out.Errors) != 0 {
		t.Errorf("quietly: %+v", out)
	}
	if _, body := ownerA.ask(t, "POST", "/"+*b+"?delete", "<Delete></Delete>"); !strings.Contains(body, "MalformedXML") {
		t.Errorf("nothing to delete: %s", body)
	}
	if _, body := ownerA.ask(t, "POST", "/"+*b+"?delete", "<Delete>"+strings.Repeat("<Object><Key>k</Key></Object>", 1001)+"</Delete>"); !strings.Contains(body, "MalformedXML") {
		t.Errorf("1,001 keys: %.200s", body)
	}
}

func TestCopies(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	etag := must(c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: aws.String("src/a b"), Body: strings.NewReader("content"), ContentType: aws.String("text/plain"),
		Metadata: map[string]string{"m": "1"}, Tagging: aws.String("t=1")}))(t).ETag
	from := aws.String(*b + "/src/a%20b")
	copied := must(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String("copy"), CopySource: from}))(t)
	if *copied.CopyObjectResult.ETag != *etag || copied.ServerSideEncryption != "AES256" || copied.CopyObjectResult.LastModified == nil {
		t.Errorf("copied %+v", copied.CopyObjectResult)
	}
	head := must(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: aws.String("copy")}))(t)
	if head.Metadata["m"] != "1" || *head.ContentType != "text/plain" || aws.ToInt32(head.TagCount) != 1 || get(t, b, "copy") != "content" {
		t.Errorf("the copy is %+v", head)
	}
	must(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String("copy"), CopySource: from, MetadataDirective: "REPLACE", Metadata: map[string]string{"n": "2"},
		TaggingDirective: "REPLACE", Tagging: aws.String("")}))(t)
	head = must(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: aws.String("copy")}))(t)
	if !cmp.Equal(head.Metadata, map[string]string{"n": "2"}) || head.TagCount != nil {
		t.Errorf("with new metadata: %v, %v tags", head.Metadata, head.TagCount)
	}
	sum := must(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String("sum"), CopySource: from, ChecksumAlgorithm: "SHA256"}))(t)
	if aws.ToString(sum.CopyObjectResult.ChecksumSHA256) != "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=" {
		t.Errorf("its checksum is %q", aws.ToString(sum.CopyObjectResult.ChecksumSHA256))
	}
	other := aws.String(`"other"`)
	for name, in := range map[string]*s3.CopyObjectInput{
		"InvalidRequest":     {Bucket: b, Key: aws.String("src/a b"), CopySource: from},
		"NoSuchKey":          {Bucket: b, Key: aws.String("k"), CopySource: aws.String(*b + "/never")},
		"NoSuchBucket":       {Bucket: b, Key: aws.String("k"), CopySource: aws.String("no-such-bucket/k")},
		"InvalidArgument":    {Bucket: b, Key: aws.String("k"), CopySource: from, MetadataDirective: "MAYBE"},
		"PreconditionFailed": {Bucket: b, Key: aws.String("k"), CopySource: from, CopySourceIfMatch: other},
	} {
		refused(c.CopyObject(ctx, in))(t, name)
	}
	refused(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String("k"), CopySource: from, CopySourceIfNoneMatch: etag}))(t, "PreconditionFailed")
	must(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String("src/a b"), CopySource: from, MetadataDirective: "REPLACE"}))(t)
	if get(t, b, "src/a b") != "content" {
		t.Error("a copy to itself")
	}
	refused(ownerB.client().CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String("k"), CopySource: from}))(t, "AccessDenied")
	writer := user(t, "writes-alone", allow(`"s3:PutObject"`, `"*"`))
	refused(writer.client().CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String("k"), CopySource: from}))(t, "AccessDenied")
}

func TestLists(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	for _, key := range []string{"a", "dir/1", "dir/2", "dir/sub/3", "e", "f+g h"} {
		put(t, b, key, "x")
	}
	type page struct{ keys, prefixes string }
	v2 := func(in s3.ListObjectsV2Input) (pages []page) {
		t.Helper()
		in.Bucket = b
		for p := s3.NewListObjectsV2Paginator(c, &in); p.HasMorePages(); {
			out := must(p.NextPage(ctx))(t)
			var one page
			for _, o := range out.Contents {
				one.keys += *o.Key + " "
			}
			for _, p := range out.CommonPrefixes {
				one.prefixes += *p.Prefix + " "
			}
			pages = append(pages, one)
		}
		return pages
	}
	for name, x := range map[string]struct {
		in   s3.ListObjectsV2Input
		want []page
	}{
		"all":            {s3.ListObjectsV2Input{}, []page{{"a dir/1 dir/2 dir/sub/3 e f+g h ", ""}}},
		"by two":         {s3.ListObjectsV2Input{MaxKeys: aws.Int32(2)}, []page{{"a dir/1 ", ""}, {"dir/2 dir/sub/3 ", ""}, {"e f+g h ", ""}}},
		"folded":         {s3.ListObjectsV2Input{Delimiter: aws.String("/")}, []page{{"a e f+g h ", "dir/ "}}},
		"folded, by two": {s3.ListObjectsV2Input{Delimiter: aws.String("/"), MaxKeys: aws.Int32(2)}, []page{{"a ", "dir/ "}, {"e f+g h ", ""}}},
		"prefix":         {s3.ListObjectsV2Input{Prefix: aws.String("dir/"), Delimiter: aws.String("/")}, []page{{"dir/1 dir/2 ", "dir/sub/ "}}},
		"behind":         {s3.ListObjectsV2Input{StartAfter: aws.String("dir/1")}, []page{{"dir/2 dir/sub/3 e f+g h ", ""}}},
		"odd delimiter":  {s3.ListObjectsV2Input{Delimiter: aws.String("+g")}, []page{{"a dir/1 dir/2 dir/sub/3 e ", "f+g "}}},
		"none":           {s3.ListObjectsV2Input{Prefix: aws.String("z")}, []page{{"", ""}}},
	} {
		if got := v2(x.in); !cmp.Equal(got, x.want, cmp.AllowUnexported(page{})) {
			t.Errorf("%s: %v, want %v", name, got, x.want)
		}
	}
	first := must(c.ListObjects(ctx, &s3.ListObjectsInput{Bucket: b, Delimiter: aws.String("/"), MaxKeys: aws.Int32(2)}))(t)
	if !*first.IsTruncated || aws.ToString(first.NextMarker) != "dir/" || len(*first.Contents[0].Owner.ID) != 64 || *first.Contents[0].ETag != `"9dd4e461268c8034f5c8564e155c67a6"` {
		t.Errorf("version 1: %+v", first)
	}
	second := must(c.ListObjects(ctx, &s3.ListObjectsInput{Bucket: b, Delimiter: aws.String("/"), Marker: first.NextMarker}))(t)
	if *second.IsTruncated || len(second.Contents) != 2 || *second.Contents[0].Key != "e" {
		t.Errorf("version 1, second page: %+v", second)
	}
	_, body := ownerA.ask(t, "GET", "/"+*b+"?list-type=2&prefix=f%2B&encoding-type=url&fetch-owner=true&delimiter=%20", "")
	for _, want := range []string{"<Prefix>f%2B</Prefix>", "<Prefix>f%2Bg+</Prefix>", "<EncodingType>url</EncodingType>", "<Delimiter>+</Delimiter>", "<KeyCount>1</KeyCount>"} {
		if !strings.Contains(body, want) {
			t.Errorf("%s lacks %s", body, want)
		}
	}
	if _, body = ownerA.ask(t, "GET", "/"+*b+"?list-type=2&max-keys=0", ""); !strings.Contains(body, "<KeyCount>0</KeyCount><MaxKeys>0</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>") {
		t.Errorf("no room: %s", body)
	}
	_, body = ownerA.ask(t, "GET", "/"+*b+"?list-type=2", "")
	if !strings.Contains(body, "<Prefix></Prefix>") || strings.Contains(body, "EncodingType") || strings.Contains(body, "<Owner>") || strings.Contains(body, "<Delimiter>") {
		t.Errorf("a plain list: %s", body)
	}
	if _, body = ownerA.ask(t, "GET", "/"+*b+"?list-type=2&continuation-token=!", ""); !strings.Contains(body, "InvalidArgument") {
		t.Errorf("a token of nobody's: %s", body)
	}
}

func TestVersions(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	put(t, b, "k", "before")
	must(c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: b, VersioningConfiguration: &types.VersioningConfiguration{Status: "Enabled"}}))(t)
	one, two := put(t, b, "k", "one").VersionId, put(t, b, "k", "two").VersionId
	if aws.ToString(one) == "" || *one == aws.ToString(two) {
		t.Fatalf("versions %q and %q", aws.ToString(one), aws.ToString(two))
	}
	key := aws.String("k")
	read := func(version *string) string {
		t.Helper()
		out := must(c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: key, VersionId: version}))(t)
		defer out.Body.Close()
		if version != nil && aws.ToString(out.VersionId) != *version {
			t.Errorf("it says that it is version %q", aws.ToString(out.VersionId))
		}
		return string(must(io.ReadAll(out.Body))(t))
	}
	if read(nil) != "two" || read(one) != "one" || read(aws.String("null")) != "before" {
		t.Error("versions are mixed up")
	}
	gone := must(c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: key}))(t)
	if !aws.ToBool(gone.DeleteMarker) || aws.ToString(gone.VersionId) == "" {
		t.Errorf("deleted: %+v", gone)
	}
	res, body := ownerA.ask(t, "GET", "/"+*b+"/k", "")
	if res.StatusCode != 404 || res.Header.Get("X-Amz-Delete-Marker") != "true" || !strings.Contains(body, "NoSuchKey") {
		t.Errorf("behind a marker: %d %v %s", res.StatusCode, res.Header, body)
	}
	if res, body = ownerA.ask(t, "GET", "/"+*b+"/k?versionId="+*gone.VersionId, ""); res.StatusCode != 405 || res.Header.Get("X-Amz-Delete-Marker") != "true" {
		t.Errorf("the marker itself: %d %v %s", res.StatusCode, res.Header, body)
	}
	list := must(c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: b}))(t)
	if len(list.Versions) != 3 || len(list.DeleteMarkers) != 1 || *list.Versions[0].VersionId != *two || *list.Versions[0].IsLatest || !*list.DeleteMarkers[0].IsLatest || *list.Versions[2].VersionId != "null" {
		t.Errorf("versions %+v, markers %+v", list.Versions, list.DeleteMarkers)
	}
	must(c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: key, VersionId: gone.VersionId}))(t)
	if read(nil) != "two" {
		t.Error("without the marker it is there again")
	}
	copied := must(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: key, CopySource: aws.String(*b + "/k?versionId=" + *one)}))(t)
	if aws.ToString(copied.CopySourceVersionId) != *one || aws.ToString(copied.VersionId) == "" || read(nil) != "one" {
		t.Errorf("restored: %+v", copied)
	}
	refused(c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: key, VersionId: aws.String("nonsense")}))(t, "NoSuchVersion")
	refused(c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: b}))(t, "BucketNotEmpty")
	var ids []types.ObjectIdentifier
	for _, v := range must(c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: b}))(t).Versions {
		ids = append(ids, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
	}
	if out := must(c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: ids}}))(t); len(out.Errors) > 0 {
		t.Errorf("%+v", out.Errors)
	}
	must(c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: b}))(t)
}

// TestWritesNameTheirVersion while versioning is enabled, and reads once it was.
func TestWritesNameTheirVersion(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	for _, x := range []struct {
		status           types.BucketVersioningStatus
		written, readsAs string // "": none; "*": one of its own
	}{{"", "", ""}, {"Suspended", "", "null"}, {"Enabled", "*", "*"}, {"Suspended", "", "null"}} {
		if x.status != "" {
			must(c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: b, VersioningConfiguration: &types.VersioningConfiguration{Status: x.status}}))(t)
		}
		check := func(what string, version *string, want string) {
			t.Helper()
			got := aws.ToString(version)
			if own := got != "" && got != "null"; own && want == "*" {
				return
			}
			if got != want {
				t.Errorf("versioning %q: %s says version %q, want %q", x.status, what, got, want)
			}
		}
		check("PutObject", put(t, b, "k", "x").VersionId, x.written)
		check("HeadObject", must(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: aws.String("k")}))(t).VersionId, x.readsAs)
		check("CopyObject", must(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String("copy"), CopySource: aws.String(*b + "/k")}))(t).VersionId, x.written)
		id := begin(t, c, &s3.CreateMultipartUploadInput{Bucket: b, Key: aws.String("parts")})
		part := uploaded(t, c, b, aws.String("parts"), id, 1, []byte("x"))
		done := must(c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: b, Key: aws.String("parts"), UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{part}},
		}))(t)
		check("CompleteMultipartUpload", done.VersionId, x.written)
		fields := formFields(t, *b, 4)
		res, _ := sendForm(t, *b, fields, "x")
		made := res.Header.Get("X-Amz-Version-Id")
		check("a form", &made, x.written)
	}
}

func TestAttributes(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	must(c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: aws.String("k"), Body: strings.NewReader("content"), ChecksumAlgorithm: "SHA256"}))(t)
	all := types.ObjectAttributes("").Values()
	out := must(c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: b, Key: aws.String("k"), ObjectAttributes: all}))(t)
	if *out.ETag != "9a0364b9e99bb480dd25e1f0284c8555" || *out.ObjectSize != 7 || out.StorageClass != "STANDARD" || out.ObjectParts != nil ||
		aws.ToString(out.Checksum.ChecksumSHA256) != "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=" || out.Checksum.ChecksumType != "FULL_OBJECT" {
		t.Errorf("got %+v, %+v", out, out.Checksum)
	}
	if _, body := ownerA.ask(t, "GET", "/"+*b+"/k?attributes", ""); !strings.Contains(body, "InvalidArgument") {
		t.Errorf("none: %s", body)
	}
}

func TestChecksums(t *testing.T) {
	b, ctx := bucketOf(t), t.Context()
	content := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	for _, algorithm := range []types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		for name, c := range map[string]*s3.Client{"http": ownerA.client(), "https": ownerA.secure()} {
			in := &s3.PutObjectInput{Bucket: b, Key: aws.String("k"), ChecksumAlgorithm: algorithm, Body: bytes.NewReader(content)}
			stored := must(c.PutObject(ctx, in))(t)
			if stored.ChecksumType != "FULL_OBJECT" {
				t.Errorf("%s over %s: %+v", algorithm, name, stored)
			}
			out := must(c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: aws.String("k"), ChecksumMode: "ENABLED"}))(t)
			if got := must(io.ReadAll(out.Body))(t); !bytes.Equal(got, content) { // the SDK has checked the sum
				t.Errorf("%s over %s: other bytes", algorithm, name)
			}
			out.Body.Close()
		}
	}
	for name, header := range map[string][2]string{
		"another checksum": {"X-Amz-Checksum-Crc32", base64.StdEncoding.EncodeToString([]byte("1234"))},
		"another digest":   {"Content-Md5", base64.StdEncoding.EncodeToString([]byte("1234567890123456"))},
	} {
		if res, body := ownerA.ask(t, "PUT", "/"+*b+"/bad", "x", header[0], header[1]); res.StatusCode != 400 || !strings.Contains(body, "<Code>BadDigest</Code>") {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
	for header, want := range map[[2]string]string{
		{"Content-Md5", "nonsense"}:                       "InvalidDigest",
		{"X-Amz-Checksum-Crc32", "nonsense"}:              "InvalidRequest",
		{"X-Amz-Sdk-Checksum-Algorithm", "CRC32"}:         "InvalidRequest",
		{"X-Amz-Sdk-Checksum-Algorithm", "MD4"}:           "InvalidRequest",
		{"X-Amz-Content-Sha256", strings.Repeat("0", 64)}: "XAmzContentSHA256Mismatch",
		{"X-Amz-Content-Sha256", "nonsense"}:              "InvalidArgument",
		{"X-Amz-Trailer", "x-amz-checksum-crc32"}:         "InvalidRequest",
	} {
		if res, body := ownerA.ask(t, "PUT", "/"+*b+"/bad", "x", header[0], header[1]); res.StatusCode != 400 || !strings.Contains(body, "<Code>"+want+"</Code>") {
			t.Errorf("%s: %d %s, want %s", header, res.StatusCode, body, want)
		}
	}
	refused(ownerA.client().HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: aws.String("bad")}))(t, "NotFound")
}

// TestRangesHaveNoChecksumOfTheWhole: SDKs ask for the checksum of everything that they get,
// and compare it with what came.
func TestRangesHaveNoChecksumOfTheWhole(t *testing.T) {
	b, c := bucketOf(t), ownerA.client()
	must(c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: b, Key: aws.String("k"), Body: strings.NewReader("content"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32}))(t)
	for asked, want := range map[string]bool{"": true, "bytes=0-": true, "bytes=0-2": false, "bytes=-2": false, "bytes=6-100": false, "part": true} {
		get := &s3.GetObjectInput{Bucket: b, Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled}
		head := &s3.HeadObjectInput{Bucket: b, Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled}
		switch asked {
		case "":
		case "part":
			get.PartNumber, head.PartNumber = aws.Int32(1), aws.Int32(1)
		default:
			get.Range, head.Range = &asked, &asked
		}
		got, shown := must(c.GetObject(t.Context(), get))(t), must(c.HeadObject(t.Context(), head))(t)
		got.Body.Close()
		if (got.ChecksumCRC32 != nil) != want || (shown.ChecksumCRC32 != nil) != want {
			t.Errorf("%q: a checksum in GET: %t, in HEAD: %t, want %t", asked, got.ChecksumCRC32 != nil, shown.ChecksumCRC32 != nil, want)
		}
	}
}
