package source

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/bucketpolicy"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/store/blobdir"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fixture is an Opener over objects with bucket/dir/disk.raw, of account.
type fixture struct {
	*Opener
	store *memory
	dir   string
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	dir := t.TempDir()
	files, err := blobdir.New(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	store := &memory{buckets: map[string]objects.Bucket{}, objects: map[string]objects.Object{}, contents: map[objects.ContentID]objects.Content{}, pins: map[string]objects.Pin{}}
	service := objects.New(objects.Options{Store: store, Files: files, Aside: files})
	t.Cleanup(func() {
		if err := errors.Join(service.Close(), files.Close()); err != nil {
			t.Error(err)
		}
	})
	f := fixture{&Opener{Objects: service, Buckets: bucketpolicy.New(service, "aws"), Handovers: NewHandovers(), Keys: keys{}, Region: "us-east-1"}, store, dir}
	f.upload(t, "bucket", account, "dir/disk.raw", "content")
	return f
}

// upload stores an object, in a bucket that it makes.
func (f fixture) upload(t *testing.T, bucket, owner, key, content string) {
	t.Helper()
	f.store.buckets[bucket] = objects.Bucket{Name: bucket, Account: owner, Region: "us-east-1"}
	w, err := f.Objects.NewPiece(t.Context(), objects.PieceOptions{Account: owner, Size: int64(len(content))})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	piece, err := w.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Objects.Put(t.Context(), objects.Put{Bucket: bucket, Key: key, Piece: piece, ETag: "tag"}); err != nil {
		t.Fatal(err)
	}
}

// memory is an objects.Store of what this package uses: package metadb, which has all
// of it, is above this one.
type memory struct {
	objects.Store
	buckets  map[string]objects.Bucket
	objects  map[string]objects.Object
	contents map[objects.ContentID]objects.Content
	pins     map[string]objects.Pin
	settings map[string][]byte // by bucket/name
}

func (m *memory) Bucket(_ context.Context, name string) (objects.Bucket, error) {
	b, ok := m.buckets[name]
	if !ok {
		return b, objects.ErrNoSuchBucket
	}
	return b, nil
}

func (m *memory) Put(_ context.Context, p objects.Put, c objects.Change) (objects.Object, error) {
	id := objects.ContentID(p.Piece.ID)
	m.contents[id] = objects.Content{Size: p.Piece.Size, Extents: []objects.Extent{{Piece: p.Piece.ID, Len: p.Piece.Size}}}
	o := objects.Object{Size: p.Piece.Size, ETag: p.ETag, Modified: c.At, Content: id}
	m.objects[p.Bucket+"/"+p.Key] = o
	return o, nil
}

func (m *memory) Pin(_ context.Context, bucket, key, _, id string) (objects.Pin, error) {
	o, ok := m.objects[bucket+"/"+key]
	if !ok {
		return objects.Pin{}, objects.ErrNoSuchObject
	}
	m.pins[id] = objects.Pin{ID: id, Size: o.Size, ETag: o.ETag, Modified: o.Modified, Content: o.Content}
	return m.pins[id], nil
}

func (m *memory) Pinned(_ context.Context, id string) (objects.Pin, error) {
	p, ok := m.pins[id]
	if !ok {
		return p, objects.ErrNoSuchPin
	}
	return p, nil
}

func (m *memory) Content(_ context.Context, id objects.ContentID) (objects.Content, error) {
	return m.contents[id], nil
}

func (m *memory) Release(_ context.Context, id string) error {
	delete(m.pins, id)
	return nil
}

func (m *memory) Pins(context.Context) ([]string, error) {
	return slices.Collect(maps.Keys(m.pins)), nil
}

func (m *memory) AddPieces(context.Context, int64, []objects.PieceID) error { return nil }

// keys knows the root keys AKID of account and OTHER of another account, and the
// key USER of a user of account who may read from 10.0.0.0/8 over TLS alone.
type keys struct{}

const userPolicy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*",
 "Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"Bool":{"aws:SecureTransport":"true"}}}}`

func (keys) Lookup(_ context.Context, id, token string) (iam.Principal, sigv4.Secret, error) {
	if id == "USER" {
		document, err := policy.Parse(userPolicy, policy.Identity)
		return iam.Principal{Account: account, Kind: iam.User, Name: "user"}.WithPolicies(document), sigv4.NewSecret("secret"), err
	}
	who := map[string]string{"AKID": account, "OTHER": "222222222222"}[id]
	if who == "" || token != "" {
		return iam.Principal{}, sigv4.Secret{}, iam.ErrUnknownKey
	}
	return iam.Principal{Account: who, ARN: "arn:aws:iam::" + who + ":root", Kind: iam.Root, ID: who}, sigv4.NewSecret("secret"), nil
}

func presign(t *testing.T, target, key, region string, at time.Time) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target+"?X-Amz-Expires=900", nil)
	if err != nil {
		t.Fatal(err)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	signed, _, err := signer.PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: key, SecretAccessKey: "secret"}, r, "UNSIGNED-PAYLOAD", "s3", region, at)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestPinAndOpen(t *testing.T) {
	const own = "http://127.0.0.1:4580/bucket/dir/disk.raw"
	for _, tt := range []struct {
		name string
		req  func(t *testing.T) Request
		want error
	}{
		{"bucket and key", at("bucket", "dir/disk.raw"), nil},
		{"another key", at("bucket", "dir//disk.raw"), ErrNotFound},
		{"s3 url", by("s3://bucket/dir/disk.raw"), nil},
		{"own url", by(own), nil},
		{"absent object", at("bucket", "dir/other"), ErrNotFound},
		{"absent bucket", at("nowhere", "dir/disk.raw"), ErrNotFound},
		{"dot segments", at("bucket", "dir/../dir/disk.raw"), ErrNotFound},
		{"folder", at("bucket", "dir/"), ErrNotFound},
		{"presigned", signedBy(own, "AKID", "us-east-1", now), nil},
		{"presigned for AWS's host", signedBy("https://bucket.s3.amazonaws.com/dir/disk.raw", "AKID", "us-east-1", now), nil},
		{"presigned by another account", signedBy(own, "OTHER", "us-east-1", now), ErrNoAccess},
		{"presigned by nobody", signedBy(own, "NOBODY", "us-east-1", now), ErrNoAccess},
		{"presigned elsewhere", signedBy(own, "AKID", "eu-west-1", now), ErrNoAccess},
		{"presigned too long ago", signedBy(own, "AKID", "us-east-1", now.Add(-time.Hour)), ErrNoAccess},
		{"presigned for another key", func(t *testing.T) Request {
			r := signedBy(own, "AKID", "us-east-1", now)(t)
			r.URL = strings.Replace(r.URL, "disk.raw", "disk.rax", 1)
			return r
		}, ErrNoAccess},
		{"presigned with version 2", by(own + "?AWSAccessKeyId=AKID&Signature=x&Expires=1"), sigv4.ErrV2},
		{"handed over", by("diskport:guessed"), ErrLocation},
		{"another region", by("https://bucket.s3.eu-west-1.amazonaws.com/dir/disk.raw"), ErrRegion},
		{"from another region", within("eu-west-1", at("bucket", "dir/disk.raw")), ErrRegion},
		{"from another region, by Url", within("eu-west-1", by(own)), ErrRegion},
		{"from another region, presigned", within("eu-west-1", signedBy(own, "AKID", "us-east-1", now)), ErrRegion},
		{"from another region, which the Url names", within("eu-west-1", by("https://bucket.s3.eu-west-1.amazonaws.com/dir/disk.raw")), ErrRegion},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			pin, err := f.pin(t, tt.req(t))
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if ids, listErr := f.Objects.Pins(t.Context()); listErr != nil || len(ids) > 0 != (err == nil) {
				t.Errorf("pins are %v, %v", ids, listErr)
			}
			if err == nil {
				f.readsContent(t, pin)
			}
		})
	}
}

func TestPresignersPoliciesSeeTheRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		origin iam.Origin
		want   error
	}{
		"as they ask":  {iam.Origin{SourceIP: "10.1.2.3", Secure: true}, nil},
		"without TLS":  {iam.Origin{SourceIP: "10.1.2.3"}, ErrNoAccess},
		"from outside": {iam.Origin{SourceIP: "192.0.2.1", Secure: true}, ErrNoAccess},
	} {
		t.Run(name, func(t *testing.T) {
			req := signedBy("http://127.0.0.1:4580/bucket/dir/disk.raw", "USER", "us-east-1", now)(t)
			req.Origin = tt.origin
			if _, err := newFixture(t).pin(t, req); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func TestVersion2WhereItIsAllowed(t *testing.T) {
	sign := func(resource string, expires time.Time) string {
		end := strconv.FormatInt(expires.Unix(), 10)
		h := hmac.New(sha1.New, []byte("secret"))
		h.Write([]byte("GET\n\n\n" + end + "\n" + resource))
		return "?AWSAccessKeyId=AKID&Expires=" + end + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	const own, resource = "http://127.0.0.1:4580/bucket/dir/disk.raw", "/bucket/dir/disk.raw"
	for name, tt := range map[string]struct {
		url  string
		want error
		keys bool // the object is encrypted under a key of a KMS
	}{
		"path":                 {own + sign(resource, now), nil, false},
		"virtual host":         {"https://bucket.s3.amazonaws.com/dir/disk.raw" + sign(resource, now), nil, false},
		"another object":       {own + sign("/bucket/dir/other", now), sigv4.ErrMismatch, false},
		"past its end":         {own + sign(resource, now.Add(-time.Second)), sigv4.ErrExpired, false},
		"nobody's":             {strings.Replace(own+sign(resource, now), "AKID", "NOBODY", 1), iam.ErrUnknownKey, false},
		"without an end":       {own + "?AWSAccessKeyId=AKID&Signature=x", sigv4.ErrIncomplete, false},
		"another account's":    {strings.Replace(own+sign(resource, now), "AKID", "OTHER", 1), ErrNoAccess, false},
		"version 4 as usual":   {presign(t, own, "AKID", "us-east-1", now), nil, false},
		"version 2, encrypted": {own + sign(resource, now), ErrNoAccess, true},
		"version 4, encrypted": {presign(t, own, "AKID", "us-east-1", now), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.AllowSigV2, f.Encryption = true, onlyRoot{}
			if tt.keys {
				o := f.store.objects["bucket/dir/disk.raw"]
				o.Encryption = objects.Encryption{Algorithm: "aws:kms", Key: "key", DataKey: []byte{1}}
				f.store.objects["bucket/dir/disk.raw"] = o
			}
			_, err := f.pin(t, by(tt.url)(t))
			if !errors.Is(err, tt.want) || err != nil && (!errors.Is(err, ErrNoAccess) || errors.Is(err, sigv4.ErrV2)) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// within is a request for an import in another region.
func within(region string, of func(*testing.T) Request) func(*testing.T) Request {
	return func(t *testing.T) Request {
		r := of(t)
		r.Region = region
		return r
	}
}

func at(bucket, key string) func(*testing.T) Request {
	return func(*testing.T) Request {
		return Request{Account: account, Region: "us-east-1", Bucket: bucket, Key: key}
	}
}

func by(url string) func(*testing.T) Request {
	return func(*testing.T) Request { return Request{Account: account, Region: "us-east-1", URL: url} }
}

func signedBy(url, key, region string, at time.Time) func(*testing.T) Request {
	return func(t *testing.T) Request {
		return Request{Account: account, Region: "us-east-1", URL: presign(t, url, key, region, at)}
	}
}

func (f fixture) pin(t *testing.T, req Request) (Pin, error) {
	t.Helper()
	req.OwnHosts, req.Now = ownHosts, now
	loc, err := f.Resolve(t.Context(), req)
	if err != nil {
		return Pin{}, err
	}
	return f.Pin(t.Context(), "import-snap-1", loc)
}

// readsContent stores a pin as text and parses it, deletes the object and reads the
// pinned bytes.
func (f fixture) readsContent(t *testing.T, pin Pin) {
	t.Helper()
	if pin.Size != 7 || pin.ETag != `"tag"` || pin.Bucket != "bucket" || pin.Key != "dir/disk.raw" {
		t.Errorf("pinned %+v", pin)
	}
	again, err := ParsePin(pin.String())
	if err != nil || again != pin {
		t.Fatalf("%s became %+v, %v", pin, again, err)
	}
	delete(f.store.objects, "bucket/dir/disk.raw")
	if got, err := f.read(t, again); got != "content" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	for range 2 {
		if err := f.Release(t.Context(), again); err != nil {
			t.Errorf("Release: %v", err)
		}
	}
	if _, err := f.read(t, again); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open after Release: %v, want ErrNotFound", err)
	}
}

func (f fixture) read(t *testing.T, pin Pin) (string, error) {
	t.Helper()
	o, err := f.Open(t.Context(), pin)
	if err != nil {
		return "", err
	}
	defer o.Close()
	if _, ok := o.(diskimage.SparseReaderAt); !ok {
		t.Errorf("a %s source doesn't know its holes", pin.Kind)
	}
	content := make([]byte, o.Size())
	if _, err := o.ReadAt(content, 0); err != nil {
		return "", err
	}
	return string(content), o.Check()
}

func TestPinnedObjectChanged(t *testing.T) {
	f := newFixture(t)
	pin, err := f.pin(t, at("bucket", "dir/disk.raw")(t))
	if err != nil {
		t.Fatal(err)
	}
	pin.Size++
	if _, err := f.Open(t.Context(), pin); !errors.Is(err, ErrChanged) {
		t.Errorf("Open: %v, want ErrChanged", err)
	}
}

// TestBucketsHaveRegions: what counts is where the bucket is.
func TestBucketsHaveRegions(t *testing.T) {
	const own = "http://127.0.0.1:4580/bucket/dir/disk.raw"
	f := newFixture(t)
	f.store.buckets["bucket"] = objects.Bucket{Name: "bucket", Account: account, Region: "eu-west-1"}
	for name, tt := range map[string]struct {
		req  func(*testing.T) Request
		want error
	}{
		"from another":            {at("bucket", "dir/disk.raw"), ErrRegion},
		"from its own":            {within("eu-west-1", at("bucket", "dir/disk.raw")), nil},
		"presigned for it":        {within("eu-west-1", signedBy(own, "AKID", "eu-west-1", now)), nil},
		"presigned for another":   {within("eu-west-1", signedBy(own, "AKID", "us-east-1", now)), ErrNoAccess},
		"presigned, from another": {signedBy(own, "AKID", "eu-west-1", now), ErrRegion},
	} {
		t.Run(name, func(t *testing.T) {
			pin, err := f.pin(t, tt.req(t))
			if !errors.Is(err, tt.want) || errors.Is(err, ErrRegion) && !strings.Contains(err.Error(), "eu-west-1") {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if err == nil {
				if err := f.Release(t.Context(), pin); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// offered opens a file and offers it.
func (f *fixture) offered(t *testing.T, path string) (url string, err error) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f.Handovers.Offer(file, "disk.raw")
}

func TestHandover(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.raw")
	write := func(t *testing.T, content string, age time.Duration) {
		t.Helper()
		err := errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chtimes(path, time.Time{}, now.Add(-age)))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name  string
		after func(t *testing.T, f *fixture)
		want  error
	}{
		{"left alone", func(*testing.T, *fixture) {}, nil},
		{"changed in size", func(t *testing.T, _ *fixture) { write(t, "longer content", time.Hour) }, ErrChanged},
		{"changed in time", func(t *testing.T, _ *fixture) { write(t, "CONTENT", time.Minute) }, ErrChanged},
		{"replaced", func(t *testing.T, _ *fixture) {
			if err := os.Rename(path, path+".old"); err != nil {
				t.Fatal(err)
			}
			write(t, "another", time.Hour)
		}, nil},
		{"removed", func(t *testing.T, _ *fixture) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"after a restart", func(_ *testing.T, f *fixture) { f.Handovers = NewHandovers() }, ErrOrphaned},
		{"swept", func(t *testing.T, f *fixture) {
			if err := f.Sweep(t.Context(), func(string) bool { return false }); err != nil {
				t.Fatal(err)
			}
		}, ErrOrphaned},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write(t, "content", time.Hour)
			f := newFixture(t)
			url, err := f.offered(t, path)
			if err != nil {
				t.Fatal(err)
			}
			pin, err := f.pin(t, Request{Account: account, Region: "us-east-1", URL: url})
			if err != nil || pin.Kind != Handover || pin.Size != 7 {
				t.Fatalf("pinned %+v, %v", pin, err)
			}
			if _, err := f.pin(t, Request{Account: account, Region: "us-east-1", URL: url}); !errors.Is(err, ErrLocation) {
				t.Errorf("the token served twice: %v", err)
			}
			f.Handovers.Withdraw(url) // it is the import's by now
			if pin, err = ParsePin(pin.String()); err != nil {
				t.Fatal(err)
			}
			tt.after(t, &f)
			for range 2 {
				if got, err := f.read(t, pin); !errors.Is(err, tt.want) || err == nil && got != "content" {
					t.Errorf("read %q, %v; want %v", got, err, tt.want)
				}
			}
			if err := f.Release(t.Context(), pin); err != nil {
				t.Errorf("Release: %v", err)
			}
			if got, err := f.read(t, pin); err == nil {
				t.Errorf("read %q once it was released", got)
			}
		})
	}
}

func TestHandoverRefuses(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(f.dir, "disk.raw")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	writable, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() (*os.File, error){
		"a folder":           func() (*os.File, error) { return os.Open(f.dir) },
		"a character device": func() (*os.File, error) { return os.Open(os.DevNull) },
		"a pipe":             func() (*os.File, error) { r, w, err := os.Pipe(); return r, errors.Join(err, w.Close()) },
		"open for writing":   func() (*os.File, error) { return writable, nil },
		"a path alone":       func() (*os.File, error) { return os.OpenFile(path, unix.O_PATH, 0) },
	} {
		file, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Handovers.Offer(file, "disk.raw"); err == nil {
			t.Errorf("%s was taken", name)
		}
		if err := file.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s was left open: %v", name, err)
		}
	}
	url, err := f.offered(t, path)
	if err != nil {
		t.Fatal(err)
	}
	f.Handovers.Withdraw(url)
	if _, err := f.pin(t, Request{URL: url}); !errors.Is(err, ErrLocation) {
		t.Errorf("what was withdrawn can be imported: %v", err)
	}
}

func TestSweep(t *testing.T) {
	f := newFixture(t)
	loc, err := f.Resolve(t.Context(), Request{Account: account, Region: "us-east-1", Bucket: "bucket", Key: "dir/disk.raw"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if _, err := f.Pin(t.Context(), fmt.Sprint("import-snap-", i), loc); err != nil {
			t.Fatal(err)
		}
	}
	kept := []string{"import-snap-1", "import-snap-3"}
	if err := f.Sweep(t.Context(), func(id string) bool { return slices.Contains(kept, id) }); err != nil {
		t.Fatal(err)
	}
	ids, err := f.Objects.Pins(t.Context())
	slices.Sort(ids)
	if err != nil || !slices.Equal(ids, kept) {
		t.Errorf("after the sweep %v, %v; want %v", ids, err, kept)
	}
}

// TestPinText is the golden encoding of a pin: tasks' rows hold it.
func TestPinText(t *testing.T) {
	pin := Pin{
		Kind: Foreign, ID: "id", Bucket: "b", Key: "k", ETag: `"e"`, Size: 1, Modified: 2, Path: "/p", Inode: "3:4", Process: "5",
		Version: "v", Account: "a", Role: "r", Region: "x", WrappedURL: "w",
	}
	for i, v := 0, reflect.ValueOf(pin); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Fatalf("this test says nothing of %s", v.Type().Field(i).Name)
		}
	}
	want := `{"Version":1,"Kind":"` + string(Foreign) + `","ID":"id","Bucket":"b","Key":"k","ETag":"\"e\"","Size":1,"Modified":2,"Path":"/p","Inode":"3:4",` +
		`"Process":"5","ObjectVersion":"v","Account":"a","Role":"r","Region":"x","WrappedURL":"w"}`
	if got := pin.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, err := ParsePin(want); err != nil || got != pin {
		t.Errorf("got %+v, %v, want %+v", got, err, pin)
	}
	if _, err := ParsePin(`{"Version":2,"Whatever":[]}`); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a newer pin: got %v", err)
	}
}

func TestParsePinRefuses(t *testing.T) {
	for _, text := range []string{"", "x", "{}", `{"Version":2}`, `{"Version":1,"Size":-1}`, "[]"} {
		if pin, err := ParsePin(text); err == nil {
			t.Errorf("%q became %+v", text, pin)
		}
	}
}
