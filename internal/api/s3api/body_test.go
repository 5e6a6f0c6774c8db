package s3api

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/identity/sigv4"
)

// TestAWSChunkedIsNotStored: it is how a body came, not how the object is encoded.
func TestAWSChunkedIsNotStored(t *testing.T) {
	b, c := bucketOf(t), ownerA.secure()
	for encoding, want := range map[string]string{"": "", "gzip": "gzip", "gzip,br": "gzip,br"} {
		in := &s3.PutObjectInput{Bucket: b, Key: aws.String("k"), Body: io.MultiReader(strings.NewReader("content")), ContentLength: aws.Int64(7)}
		if encoding != "" {
			in.ContentEncoding = &encoding
		}
		must(c.PutObject(t.Context(), in))(t)
		if got := aws.ToString(must(c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: b, Key: in.Key}))(t).ContentEncoding); got != want {
			t.Errorf("%q came back as %q", encoding, got)
		}
	}
}

func TestUnsignedChunks(t *testing.T) {
	b := bucketOf(t)
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte("hello"))))
	ask := func(body string, length string, header ...string) (int, string) {
		t.Helper()
		header = append([]string{"X-Amz-Content-Sha256", sigv4.UnsignedChunksTrailer, "X-Amz-Decoded-Content-Length", length, "Content-Encoding", "aws-chunked"}, header...)
		res, text := ownerA.ask(t, "PUT", "/"+*b+"/k", body, header...)
		return res.StatusCode, text
	}
	for name, c := range map[string]struct {
		body, length string
		header       []string
		want         string
	}{
		"good":                  {"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + sum + "\r\n\r\n", "5", []string{"X-Amz-Trailer", "x-amz-checksum-crc32"}, ""},
		"without a checksum":    {"5\r\nhello\r\n0\r\n\r\n", "5", nil, ""},
		"of another body":       {"5\r\nhallo\r\n0\r\nx-amz-checksum-crc32:" + sum + "\r\n\r\n", "5", []string{"X-Amz-Trailer", "x-amz-checksum-crc32"}, "BadDigest"},
		"no trailer":            {"5\r\nhello\r\n0\r\n\r\n", "5", []string{"X-Amz-Trailer", "x-amz-checksum-crc32"}, "MalformedTrailerError"},
		"another trailer":       {"5\r\nhello\r\n0\r\nx-amz-checksum-sha1:x\r\n\r\n", "5", []string{"X-Amz-Trailer", "x-amz-checksum-crc32"}, "MalformedTrailerError"},
		"a trailer of no sum":   {"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:x\r\n\r\n", "5", []string{"X-Amz-Trailer", "x-amz-checksum-crc32"}, "InvalidRequest"},
		"a trailer unknown":     {"5\r\nhello\r\n0\r\nx:y\r\n\r\n", "5", []string{"X-Amz-Trailer", "x"}, "InvalidRequest"},
		"longer than it says":   {"5\r\nhello\r\n0\r\n\r\n", "4", nil, "IncompleteBody"},
		"shorter than it says":  {"5\r\nhello\r\n0\r\n\r\n", "6", nil, "IncompleteBody"},
		"cut off":               {"5\r\nhel", "5", nil, "IncompleteBody"},
		"not framed":            {"hello\r\n", "5", nil, "InvalidRequest"},
		"of a length unknown":   {"5\r\nhello\r\n0\r\n\r\n", "x", nil, "MissingContentLength"},
		"of a negative length":  {"5\r\nhello\r\n0\r\n\r\n", "-1", nil, "MissingContentLength"},
		"larger than AWS takes": {"5\r\nhello\r\n0\r\n\r\n", "5368709121", nil, "EntityTooLarge"},
	} {
		status, text := ask(c.body, c.length, c.header...)
		if c.want == "" && status != 200 || c.want != "" && !strings.Contains(text, "<Code>"+c.want+"</Code>") {
			t.Errorf("%s: %d %s, want %q", name, status, text, c.want)
		}
	}
}

// TestSignedChunks sends the chunks that AWS's guide shows how to sign.
func TestSignedChunks(t *testing.T) {
	b := bucketOf(t)
	send := func(change func(string) string) (int, string) {
		t.Helper()
		r := ownerA.request(t, "PUT", "/"+*b+"/k", "", "X-Amz-Content-Sha256", sigv4.SignedChunks, "X-Amz-Decoded-Content-Length", "11", "Content-Encoding", "aws-chunked")
		_, seed, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
		body := change(signedChunks(r.Header.Get("X-Amz-Date"), seed, "hello ", "world"))
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		res, text := ownerA.do(t, r)
		return res.StatusCode, text
	}
	if status, text := send(func(s string) string { return s }); status != 200 || get(t, b, "k") != "hello world" {
		t.Errorf("%d %s", status, text)
	}
	if status, text := send(func(s string) string { return strings.Replace(s, "world", "woRld", 1) }); status != 403 || !strings.Contains(text, "SignatureDoesNotMatch") {
		t.Errorf("another chunk: %d %s", status, text)
	}
	if get(t, b, "k") != "hello world" {
		t.Error("it is stored all the same")
	}
	if res, text := nobody.ask(t, "PUT", "/"+*b+"/k", "x", "X-Amz-Content-Sha256", sigv4.SignedChunks); res.StatusCode != 400 {
		t.Errorf("signed chunks of nobody: %d %s", res.StatusCode, text)
	}
}

// signedChunks frames chunks as aws-chunked.
func signedChunks(date, seed string, chunks ...string) string {
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	scope := date[:8] + "/" + region + "/s3/aws4_request"
	key := []byte("AWS4" + ownerA.secret)
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	var body strings.Builder
	for _, chunk := range append(chunks, "") {
		seed = fmt.Sprintf("%x", mac(key, strings.Join([]string{"AWS4-HMAC-SHA256-PAYLOAD", date, scope, seed, sigv4.HashBody(nil), sigv4.HashBody([]byte(chunk))}, "\n")))
		fmt.Fprintf(&body, "%x;chunk-signature=%s\r\n%s\r\n", len(chunk), seed, chunk)
	}
	return body.String()
}

func TestPresigned(t *testing.T) {
	b, ctx := bucketOf(t), t.Context()
	for _, at := range []string{shared.http.URL, shared.https.URL} {
		signer := s3.NewPresignClient(ownerA.at(at))
		up := must(signer.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: aws.String("a b"), Metadata: map[string]string{"m": "1"}}))(t)
		r, err := http.NewRequestWithContext(ctx, up.Method, up.URL, strings.NewReader("content"))
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range up.SignedHeader {
			r.Header[name] = values
		}
		if res, text := doAt(t, r); res.StatusCode != 200 {
			t.Errorf("PUT: %d %s", res.StatusCode, text)
		}
		down := must(signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: aws.String("a b")}))(t)
		for life, want := range map[string]string{"604801": "less than a week", "-7": "non-negative", "week": "less than a week"} {
			path := strings.Replace(strings.TrimPrefix(down.URL, at), "X-Amz-Expires=900", "X-Amz-Expires="+life, 1)
			if res, text := nobody.ask(t, "GET", path, ""); res.StatusCode != 400 || !strings.Contains(text, "<Code>AuthorizationQueryParametersError</Code>") || !strings.Contains(text, want) {
				t.Errorf("a life of %s: %d %s", life, res.StatusCode, text)
			}
		}
		for url, want := range map[string]int{down.URL: 200, strings.Replace(down.URL, "a%20b", "a%20c", 1): 403, down.URL + "&acl": 403} {
			r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, text := doAt(t, r)
			if res.StatusCode != want || want == 200 && (text != "content" || res.Header.Get("X-Amz-Meta-M") != "1") {
				t.Errorf("GET %s: %d %s %v", url, res.StatusCode, text, res.Header)
			}
		}
	}
}

func doAt(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := shared.https.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res, string(must(io.ReadAll(res.Body))(t))
}

// TestVersion2 signs in the query and in the header, as boto3 and old clients do.
func TestVersion2(t *testing.T) {
	b := bucketOf(t)
	sign := func(text string) string {
		h := hmac.New(sha1.New, []byte(ownerA.secret))
		h.Write([]byte(text))
		return base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	expires := fmt.Sprint(time.Now().Add(time.Hour).Unix())
	presigned := func(method, resource, headers string, more url.Values) string {
		more.Set("AWSAccessKeyId", ownerA.id)
		more.Set("Expires", expires)
		more.Set("Signature", sign(method+"\n\n\n"+expires+"\n"+headers+resource))
		return resource + "?" + more.Encode()
	}
	res, text := nobody.ask(t, "PUT", presigned("PUT", "/"+*b+"/k", "x-amz-meta-m:1\n", url.Values{"x-amz-meta-m": {"1"}}), "content")
	if res.StatusCode != 200 {
		t.Fatalf("PUT: %d %s", res.StatusCode, text)
	}
	res, text = nobody.ask(t, "GET", presigned("GET", "/"+*b+"/k", "", url.Values{}), "")
	if res.StatusCode != 200 || text != "content" || res.Header.Get("X-Amz-Meta-M") != "1" {
		t.Errorf("GET: %d %s %v", res.StatusCode, text, res.Header)
	}
	if res, text = nobody.ask(t, "GET", presigned("GET", "/"+*b, "", url.Values{"list-type": {"2"}, "prefix": {"k"}}), ""); !strings.Contains(text, "<Key>k</Key>") {
		t.Errorf("a list: %d %s", res.StatusCode, text)
	}
	if res, text = nobody.ask(t, "DELETE", presigned("GET", "/"+*b+"/k", "", url.Values{}), ""); res.StatusCode != 403 || !strings.Contains(text, "<Code>SignatureDoesNotMatch</Code>") {
		t.Errorf("another method: %d %s", res.StatusCode, text)
	}
	date := time.Now().UTC().Format(http.TimeFormat)
	res, text = nobody.ask(t, "DELETE", "/"+*b+"/k", "", "Date", date, "Authorization", "AWS "+ownerA.id+":"+sign("DELETE\n\n\n"+date+"\n/"+*b+"/k"))
	if res.StatusCode != 204 {
		t.Errorf("in the header: %d %s", res.StatusCode, text)
	}
	for _, x := range []struct {
		path, signed string
		want         int
	}{{"", "", 200}, {"", "/", 200}, {"/", "/", 200}, {"/?acl", "/?acl", 200}, {"?acl", "?acl", 200}, {"?acl", "/?acl", 200}, {"?acl", "/", 403}, {"/k", "/k/", 403}, {"/k", "/", 403}, {"/", "", 403}} {
		if res, text = nobody.ask(t, "GET", "/"+*b+x.path, "", "Date", date, "Authorization", "AWS "+ownerA.id+":"+sign("GET\n\n\n"+date+"\n/"+*b+x.signed)); res.StatusCode != x.want {
			t.Errorf("%q signed as %q: %d %s", x.path, x.signed, res.StatusCode, text)
		}
	}
}

func TestVirtualHosts(t *testing.T) {
	b := bucketOf(t)
	c := ownerA.at("http://"+domain, func(o *s3.Options) {
		o.UsePathStyle = false
		o.HTTPClient = &http.Client{Transport: dialing{shared.http.Listener.Addr().String()}}
	})
	must(c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: b, Key: aws.String("dir//k"), Body: strings.NewReader("content")}))(t)
	if got := get(t, b, "dir//k"); got != "content" {
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

// TestRefusalsComeBeforeTheBody: a client that waits for leave to send hears why it
// may not, and one that may is told to.
func TestRefusalsComeBeforeTheBody(t *testing.T) {
	b := bucketOf(t)
	put(t, b, "there", "x")
	for _, c := range []struct {
		name, path, header string
		want               string
	}{
		{"no bucket", "/no-such-bucket/k", "", "NoSuchBucket"},
		{"a condition", "/" + *b + "/there", "If-None-Match: *\r\n", "PreconditionFailed"},
		{"a digest", "/" + *b + "/k", "Content-MD5: x\r\n", "InvalidDigest"},
		{"an upload", "/" + *b + "/k?uploadId=x&partNumber=1", "", "NoSuchUpload"},
		{"good", "/" + *b + "/k", "", "100 Continue"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ownerA.request(t, "PUT", c.path, "", "X-Amz-Content-Sha256", sigv4.UnsignedPayload)
			conn, err := net.Dial("tcp", shared.http.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			head := "PUT " + c.path + " HTTP/1.1\r\nHost: " + r.URL.Host + "\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n" + c.header
			for name := range r.Header {
				head += name + ": " + r.Header.Get(name) + "\r\n"
			}
			if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(conn)
			answer, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "100 Continue" {
				if !strings.Contains(answer, c.want) {
					t.Errorf("got %q", answer)
				}
				return
			}
			rest, err := io.ReadAll(in)
			if err != nil || !strings.Contains(string(rest), "<Code>"+c.want+"</Code>") || strings.Contains(answer, "100") {
				t.Errorf("got %q %s, %v", answer, rest, err)
			}
		})
	}
}

func TestBodiesWithoutALength(t *testing.T) {
	b := bucketOf(t)
	r := ownerA.request(t, "PUT", "/"+*b+"/k", "", "X-Amz-Content-Sha256", sigv4.UnsignedPayload)
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader("x"))), -1
	if res, text := ownerA.do(t, r); res.StatusCode != 501 || !strings.Contains(text, "<Header>Transfer-Encoding</Header>") {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}

// TestABodyThatBreaksOffIsNotStored.
func TestABodyThatBreaksOffIsNotStored(t *testing.T) {
	b := bucketOf(t)
	r := ownerA.request(t, "PUT", "/"+*b+"/k", "", "X-Amz-Content-Sha256", sigv4.UnsignedPayload)
	conn, err := net.Dial("tcp", shared.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head := "PUT " + r.URL.Path + " HTTP/1.1\r\nHost: " + r.URL.Host + "\r\nContent-Length: 1000\r\n"
	for name := range r.Header {
		head += name + ": " + r.Header.Get(name) + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer := must(io.ReadAll(conn))(t); !strings.Contains(string(answer), "<Code>IncompleteBody</Code>") {
		t.Errorf("got %s", answer)
	}
	refused(ownerA.client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: b, Key: aws.String("k")}))(t, "NotFound")
}

// TestDownloadsOfAnySize come over http and https, in order.
func TestDownloadsOfAnySize(t *testing.T) {
	b := bucketOf(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	must(ownerA.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: b, Key: aws.String("k"), Body: bytes.NewReader(content)}))(t)
	for _, c := range []*s3.Client{ownerA.client(), ownerA.secure()} {
		out := must(c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: b, Key: aws.String("k")}))(t)
		if got := must(io.ReadAll(out.Body))(t); !bytes.Equal(got, content) {
			t.Errorf("%d other bytes", len(got))
		}
		out.Body.Close()
	}
}

// formFields are the fields of a form that A has signed, with the policy's conditions.
func formFields(t *testing.T, bucket string, version int, conditions ...any) map[string]string {
	t.Helper()
	now := time.Now().UTC()
	date := now.Format("20060102T150405Z")
	fields := map[string]string{"key": "up/${filename}"}
	if version == 4 {
		fields["x-amz-algorithm"], fields["x-amz-date"] = "AWS4-HMAC-SHA256", date
		fields["x-amz-credential"] = ownerA.id + "/" + date[:8] + "/" + region + "/s3/aws4_request"
		conditions = append(conditions, map[string]string{"x-amz-algorithm": fields["x-amz-algorithm"]}, map[string]string{"x-amz-date": date},
			map[string]string{"x-amz-credential": fields["x-amz-credential"]})
	}
	conditions = append(conditions, map[string]string{"bucket": bucket}, []any{"starts-with", "$key", "up/"})
	policy, err := json.Marshal(map[string]any{"expiration": now.Add(time.Hour).Format(time.RFC3339), "conditions": conditions})
	if err != nil {
		t.Fatal(err)
	}
	fields["policy"] = base64.StdEncoding.EncodeToString(policy)
	if version == 2 {
		h := hmac.New(sha1.New, []byte(ownerA.secret))
		h.Write([]byte(fields["policy"]))
		fields["AWSAccessKeyId"], fields["signature"] = ownerA.id, base64.StdEncoding.EncodeToString(h.Sum(nil))
		return fields
	}
	key := []byte("AWS4" + ownerA.secret)
	for _, part := range []string{date[:8], region, "s3", "aws4_request", fields["policy"]} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	fields["x-amz-signature"] = fmt.Sprintf("%x", key)
	return fields
}

func sendForm(t *testing.T, bucket string, fields map[string]string, content string) (*http.Response, string) {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	file, err := w.CreateFormFile("file", `C:\dir\disk.img`)
	if err == nil {
		_, err = io.WriteString(file, content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", shared.http.URL+"/"+bucket, &body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", w.FormDataContentType())
	transport := http.DefaultTransport // does not follow redirections
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res, string(must(io.ReadAll(res.Body))(t))
}

func TestForms(t *testing.T) {
	b := bucketOf(t)
	for _, version := range []int{2, 4} {
		fields := formFields(t, *b, version, []any{"content-length-range", 1, 10}, map[string]string{"x-amz-meta-m": "1"}, map[string]string{"x-amz-meta-word": "café"}, []any{"eq", "$success_action_status", "201"})
		fields["x-amz-meta-m"], fields["success_action_status"], fields["x-ignore-me"] = "1", "201", "x"
		fields["x-amz-meta-word"] = "café"
		res, text := sendForm(t, *b, fields, "content")
		if res.StatusCode != 201 || !strings.Contains(text, "<Key>up/disk.img</Key>") || get(t, b, "up/disk.img") != "content" {
			t.Errorf("version %d: %d %s", version, res.StatusCode, text)
		}
		if head := must(ownerA.client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: b, Key: aws.String("up/disk.img")}))(t); head.Metadata["m"] != "1" || head.Metadata["word"] != "=?UTF-8?B?Y2Fmw6k=?=" {
			t.Errorf("version %d: %v", version, head.Metadata)
		}
		for name, c := range map[string]struct {
			change  func(map[string]string)
			content string
			want    string
		}{
			"too large":         {func(map[string]string) {}, "longer than ten", "EntityTooLarge"},
			"too small":         {func(map[string]string) {}, "", "EntityTooSmall"},
			"another key":       {func(f map[string]string) { f["key"] = "down/x" }, "x", "AccessDenied"},
			"another value":     {func(f map[string]string) { f["x-amz-meta-m"] = "2" }, "x", "AccessDenied"},
			"one more":          {func(f map[string]string) { f["x-amz-meta-n"] = "2" }, "x", "AccessDenied"},
			"another policy":    {func(f map[string]string) { f["policy"] = base64.StdEncoding.EncodeToString([]byte("{}")) }, "x", "SignatureDoesNotMatch"},
			"nobody's":          {func(f map[string]string) { clear(f); f["key"] = "up/x" }, "x", "AccessDenied"},
			"no key":            {func(f map[string]string) { delete(f, "key") }, "x", "InvalidArgument"},
			"an empty key":      {func(f map[string]string) { f["key"] = "" }, "x", "AccessDenied"},
			"no signature":      {func(f map[string]string) { delete(f, "signature"); delete(f, "x-amz-signature") }, "x", "InvalidArgument"},
			"a wrong signature": {func(f map[string]string) { f["signature"], f["x-amz-signature"] = "x", "x" }, "x", "SignatureDoesNotMatch"},
			"signed, no policy": {func(f map[string]string) { delete(f, "policy") }, "x", "InvalidArgument"},
			"much in front":     {func(f map[string]string) { f["x-ignore-me"] = strings.Repeat("x", maxFields) }, "x", "MaxPostPreDataLengthExceededError"},
		} {
			changed := map[string]string{}
			for name, value := range fields {
				changed[name] = value
			}
			c.change(changed)
			if res, text := sendForm(t, *b, changed, c.content); !strings.Contains(text, "<Code>"+c.want+"</Code>") {
				t.Errorf("version %d, %s: %d %s, want %s", version, name, res.StatusCode, text, c.want)
			}
		}
	}
	fields := formFields(t, *b, 4, []any{"starts-with", "$success_action_redirect", ""})
	fields["success_action_redirect"] = "http://elsewhere/done?x=y"
	res, _ := sendForm(t, *b, fields, "x")
	if to := res.Header.Get("Location"); res.StatusCode != 303 || !strings.HasPrefix(to, "http://elsewhere/done?bucket="+*b+"&etag=") || !strings.Contains(to, "key=up%2Fdisk.img") {
		t.Errorf("redirected: %d %q", res.StatusCode, to)
	}
}

// TestWhatPrecedesAFile is bounded with all that the decoder keeps of it: a header of a
// part may have many MiB.
func TestWhatPrecedesAFile(t *testing.T) {
	b := bucketOf(t)
	for name, form := range map[string]string{
		"one header":   "--x\r\nContent-Disposition: form-data; name=\"a\"\r\nX-Long: " + strings.Repeat("y", 1<<20) + "\r\n\r\nv\r\n",
		"many headers": "--x\r\n" + strings.Repeat("X-Long: y\r\n", 5000) + strings.Repeat("X-Other: "+strings.Repeat("y", 100)+"\r\n", 4000) + "\r\nv\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), "POST", shared.http.URL+"/"+*b, strings.NewReader(form+"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nv\r\n--x--\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil || !strings.Contains(string(text), "<Code>MaxPostPreDataLengthExceededError</Code>") {
				t.Errorf("%s %s, %v", res.Status, text, err)
			}
		})
	}
}

// TestFormsOfVersion2 are known as such: to policies, and where a key of a KMS would be used.
func TestFormsOfVersion2(t *testing.T) {
	b, k := bucketOf(t), newKey(t, "")
	sse := []any{map[string]string{"x-amz-server-side-encryption": "aws:kms"}, map[string]string{"x-amz-server-side-encryption-aws-kms-key-id": k.ARN()}}
	send := func(version int, conditions ...any) string {
		t.Helper()
		fields := formFields(t, *b, version, conditions...)
		for _, c := range conditions {
			for name, value := range c.(map[string]string) {
				fields[name] = value
			}
		}
		_, text := sendForm(t, *b, fields, "content")
		return text
	}
	if text := send(4, sse...); text != "" {
		t.Errorf("a form of version 4 under a key: %s", text)
	}
	if text := send(2, sse...); !strings.Contains(text, "require AWS Signature Version 4") {
		t.Errorf("a form of version 2 under a key: %s", text)
	}
	for _, c := range []struct {
		name, condition string
		refused         map[int]bool
	}{
		{"older than version 4", `"StringNotEquals":{"s3:signatureversion":"AWS4-HMAC-SHA256"}`, map[int]bool{2: true}},
		{"no form", `"StringNotEquals":{"s3:authType":"POST"}`, nil},
		{"signed long ago", `"NumericGreaterThan":{"s3:signatureAge":"-600000"}`, map[int]bool{4: true}},
	} {
		must(ownerA.client().PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: b, Policy: aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Deny",` +
			`"Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::` + *b + `/*","Condition":{` + c.condition + `}}}`)}))(t)
		for _, version := range []int{2, 4} {
			if text := send(version); strings.Contains(text, "AccessDenied") != c.refused[version] {
				t.Errorf("a policy against what is %s, a form of version %d: %s", c.name, version, text)
			}
		}
	}
}

func TestFormPolicies(t *testing.T) {
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for text, want := range map[string]string{
		`{"expiration":"2030-01-01T00:00:00Z","conditions":[]}`:                                                                 "",
		`{"expiration":"2030-01-01T00:00:00.000Z","conditions":[{"key":"x"},["eq","$a","b"],["content-length-range","1","2"]]}`: "",
		`nonsense`:          "Invalid JSON.",
		`{"conditions":[]}`: "missing expiration",
		`{"EXPIRATION":"2030-01-01T00:00:00Z","conditions":[]}`:                              "missing expiration",
		`{"expiration":"2030-01-01T00:00:00Z","CONDITIONS":[]}`:                              "missing conditions",
		`{"expiration":"2030-01-01T00:00:00Z"}`:                                              "missing conditions",
		`{"expiration":"tomorrow","conditions":[]}`:                                          "expiration",
		`{"expiration":"2030-01-01T00:00:00Z","conditions":[{"a":"b","c":"d"}]}`:             "exactly one property",
		`{"expiration":"2030-01-01T00:00:00Z","conditions":[{"a":1}]}`:                       "must be a string",
		`{"expiration":"2030-01-01T00:00:00Z","conditions":[["eq","a","b"]]}`:                "unknown operation",
		`{"expiration":"2030-01-01T00:00:00Z","conditions":[["like","$a","b"]]}`:             "unknown operation",
		`{"expiration":"2030-01-01T00:00:00Z","conditions":[["eq","$a"]]}`:                   "wrong number",
		`{"expiration":"2030-01-01T00:00:00Z","conditions":[["content-length-range",2,1]]}`:  "content-length-range",
		`{"expiration":"2030-01-01T00:00:00Z","conditions":[["content-length-range",-1,1]]}`: "content-length-range",
	} {
		if _, err := parseFormPolicy(encode(text)); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := parseFormPolicy("!"); err == nil {
		t.Error("no base64")
	}
	p, err := parseFormPolicy(encode(`{"expiration":"2030-01-01T00:00:00Z","conditions":[{"bucket":"b"},["starts-with","$Content-Type","image/"]]}`))
	if err != nil {
		t.Fatal(err)
	}
	for kind, ok := range map[string]bool{"image/png": true, "image/png,image/gif": true, "image/png,text/html": false} {
		if err := p.check(map[string]string{"content-type": kind}, "b", p.expiration); (err == nil) != ok {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if err := p.check(map[string]string{"content-type": "image/png"}, "b", p.expiration.Add(time.Second)); err == nil {
		t.Error("a policy that has expired holds")
	}
}

// TestFormsAreForOneBucket: what somebody may store in one bucket by a form, they may not store
// in the signer's others.
func TestFormsAreForOneBucket(t *testing.T) {
	now := time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
	for conditions, want := range map[string]string{
		`["starts-with","$key",""]`:                                     "Extra input fields: bucket",
		`["starts-with","$key",""],{"bucket":"b"}`:                      "",
		`["starts-with","$key",""],["eq","$Bucket","b"]`:                "",
		`["starts-with","$key",""],["starts-with","$bucket",""]`:        "",
		`["starts-with","$key",""],{"bucket":"another"}`:                "Policy Condition failed",
		`["starts-with","$key",""],["starts-with","$bucket","another"]`: "Policy Condition failed",
	} {
		p, err := parseFormPolicy(base64.StdEncoding.EncodeToString([]byte(`{"expiration":"2030-01-01T00:00:00Z","conditions":[` + conditions + `]}`)))
		if err != nil {
			t.Fatal(err)
		}
		for _, fields := range []map[string]string{{"key": "k"}, {"key": "k", "bucket": "b"}, {"key": "k", "bucket": "another"}} {
			err := p.check(fields, "b", now)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s, fields %v: %v, want %q", conditions, fields, err, want)
			}
		}
	}
}
