package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/source/sourcetest"
)

// elsewhere is a foreign S3 with an STS, and with faults in front of it. Its bucket
// far holds disk.raw.
type elsewhere struct {
	url     string
	host    string
	content []byte
	s3      *s3.Client

	mu        sync.Mutex // guards what follows
	fault     func(w http.ResponseWriter, r *http.Request, next http.Handler) bool
	requests  []string // method, Range
	assumed   int
	assumedIn string // region of the last
}

// content is more than some chunks and reads.
const contentBytes = 3<<20 + 12345

// newElsewhere serves on l; client reaches it.
func newElsewhere(t *testing.T, l net.Listener, client *http.Client) *elsewhere {
	t.Helper()
	e := &elsewhere{content: make([]byte, contentBytes)}
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(e.content)
	fake := gofakes3.New(s3mem.New()).Server()
	server := &httptest.Server{Listener: l, Config: &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.serve(w, r, fake) }),
	}}
	server.Start()
	t.Cleanup(server.Close)
	e.url, e.host = server.URL, strings.TrimPrefix(server.URL, "http://")
	e.s3 = s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &e.url, UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider("FARKEY", "far secret", ""),
		HTTPClient: client,
	})
	if _, err := e.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("far")}); err != nil {
		t.Fatal(err)
	}
	e.put(t, e.content)
	return e
}

func (e *elsewhere) put(t *testing.T, content []byte) {
	t.Helper()
	_, err := e.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("far"), Key: aws.String("dir//disk.raw"), Body: bytes.NewReader(content)})
	if err != nil {
		t.Fatal(err)
	}
}

func (e *elsewhere) serve(w http.ResponseWriter, r *http.Request, fake http.Handler) {
	if r.Method == http.MethodPost && r.URL.Path == "/" {
		e.sts(w, r)
		return
	}
	e.mu.Lock()
	e.requests = append(e.requests, r.Method+" "+r.Header.Get("Range"))
	fault := e.fault
	e.mu.Unlock()
	if fault == nil || !fault(w, r, fake) {
		fake.ServeHTTP(w, r)
	}
}

// signedFor returns the region of a request's credential scope.
func signedFor(r *http.Request) string { return strings.Split(r.Header.Get("Authorization"), "/")[2] }

// sessionForm is what STS takes as the name of a role's session.
var sessionForm = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// sts lets callers assume the role if they ask as the import service does.
func (e *elsewhere) sts(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/xml")
	if r.FormValue("RoleArn") != "arn:aws:iam::"+account+":role/vmimport" || r.FormValue("ExternalId") != "vmimport" || !sessionForm.MatchString(r.FormValue("RoleSessionName")) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`)
		return
	}
	e.mu.Lock()
	e.assumed++
	e.assumedIn = signedFor(r)
	e.mu.Unlock()
	_, _ = fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLEKEY</AccessKeyId><SecretAccessKey>x</SecretAccessKey>
		<SessionToken>token</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

func (e *elsewhere) set(fault func(w http.ResponseWriter, r *http.Request, next http.Handler) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = fault
}

// foreignFixture is newFixture with a foreign S3, over TCP.
func foreignFixture(t *testing.T, change ...func(*ForeignOptions)) (fixture, *elsewhere) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := newElsewhere(t, l, http.DefaultClient)
	return e.fixture(t, change...), e
}

// pipedFixture is foreignFixture over connections that work with synctest: in its
// bubble the waits are as long as those of the service, and take no time.
func pipedFixture(t *testing.T) (fixture, *elsewhere) {
	t.Helper()
	p := sourcetest.NewNetwork()
	e := newElsewhere(t, p, &http.Client{Transport: &http.Transport{DialContext: p.Dial}})
	return e.fixture(t, func(o *ForeignOptions) { o.Backoff, o.Dial = 0, p.Dial }), e
}

// fixture is newFixture with e as its foreign S3.
func (e *elsewhere) fixture(t *testing.T, change ...func(*ForeignOptions)) fixture {
	t.Helper()
	f := newFixture(t)
	at, err := ParseEndpoint(e.url)
	if err != nil {
		t.Fatal(err)
	}
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	opts := ForeignOptions{
		Endpoint: at, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("FARKEY", "far secret", ""),
		Secrets: master, Backoff: time.Millisecond,
	}
	for _, c := range change {
		c(&opts)
	}
	f.Foreign = NewForeignS3(opts)
	return f
}

func far() Request {
	return Request{Account: account, Region: "us-east-1", Role: "vmimport", Bucket: "far", Key: "dir//disk.raw", Now: now, OwnHosts: ownHosts}
}

func (e *elsewhere) presign(t *testing.T) string {
	t.Helper()
	out, err := s3.NewPresignClient(e.s3).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("far"), Key: aws.String("dir//disk.raw")})
	if err != nil {
		t.Fatal(err)
	}
	return out.URL
}

func (f fixture) pinFar(t *testing.T, req Request) (Pin, error) {
	t.Helper()
	loc, err := f.Resolve(t.Context(), req)
	if err != nil {
		return Pin{}, err
	}
	return f.Pin(t.Context(), "import-snap-1", loc)
}

func (f fixture) openFar(t *testing.T, req Request) Object {
	t.Helper()
	pin, err := f.pinFar(t, req)
	if err != nil {
		t.Fatal(err)
	}
	if pin, err = ParsePin(pin.String()); err != nil {
		t.Fatal(err)
	}
	o, err := f.Open(t.Context(), pin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func TestForeignObjectIsRead(t *testing.T) {
	for name, req := range map[string]func(e *elsewhere) Request{
		"bucket and key": func(*elsewhere) Request { return far() },
		"s3 url":         func(*elsewhere) Request { r := far(); r.URL = "s3://far/dir//disk.raw"; return r },
		"url there":      func(e *elsewhere) Request { r := far(); r.URL = e.url + "/far/dir//disk.raw"; return r },
		"presigned": func(e *elsewhere) Request {
			return Request{Account: "222222222222", Region: "us-east-1", URL: e.presign(t), Now: now, OwnHosts: ownHosts}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, e := foreignFixture(t)
			o := f.openFar(t, req(e))
			if o.Size() != contentBytes {
				t.Errorf("size %d, want %d", o.Size(), contentBytes)
			}
			for _, at := range []struct{ off, n int64 }{
				{0, 512}, {chunkBytes - 100, 200}, {contentBytes - 512, 512}, {1000, smallRead + 1}, {0, contentBytes},
			} {
				got := make([]byte, at.n)
				if n, err := o.ReadAt(got, at.off); err != nil || int64(n) != at.n || !bytes.Equal(got, e.content[at.off:at.off+at.n]) {
					t.Errorf("reading %d at %d: %d, %v, or other bytes", at.n, at.off, n, err)
				}
			}
			end := make([]byte, 100)
			if n, err := o.ReadAt(end, contentBytes-10); n != 10 || err != io.EOF {
				t.Errorf("reading over the end: %d, %v, want 10, EOF", n, err)
			}
			if n, err := o.ReadAt(end, contentBytes); n != 0 || err != io.EOF {
				t.Errorf("reading at the end: %d, %v, want 0, EOF", n, err)
			}
			if err := o.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAForeignDiskOfAnImage: its task's id is no name of a session.
func TestAForeignDiskOfAnImage(t *testing.T) {
	f, _ := foreignFixture(t)
	loc, err := f.Resolve(t.Context(), far())
	if err != nil {
		t.Fatal(err)
	}
	pin, err := f.Pin(t.Context(), "import-ami-0123456789abcdef0/1.26", loc)
	if err != nil {
		t.Fatal(err)
	}
	o, err := f.Open(t.Context(), pin)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if n, err := o.ReadAt(make([]byte, 512), 0); n != 512 || err != nil {
		t.Errorf("reading: %d, %v", n, err)
	}
}

func TestSmallReadsShareRequests(t *testing.T) {
	f, e := foreignFixture(t)
	o := f.openFar(t, far())
	e.mu.Lock()
	e.requests = nil
	e.mu.Unlock()
	var all sync.WaitGroup
	for i := range int64(64) {
		all.Go(func() {
			if _, err := o.ReadAt(make([]byte, 512), i*512); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(e.requests) != 1 {
		t.Errorf("requests %q, want one", e.requests)
	}
}

func TestPresignedUrlIsOnlyGotInRangesAndKeptWrapped(t *testing.T) {
	f, e := foreignFixture(t)
	req := Request{Account: account, Region: "us-east-1", URL: e.presign(t), Now: now, OwnHosts: ownHosts}
	e.mu.Lock()
	e.requests = nil
	e.mu.Unlock()
	pin, err := f.pinFar(t, req)
	if err != nil {
		t.Fatal(err)
	}
	if want := "GET bytes=0-0"; len(e.requests) != 1 || e.requests[0] != want || e.assumed != 0 {
		t.Errorf("requests %q and %d roles, want %q alone", e.requests, e.assumed, want)
	}
	_, signature, _ := strings.Cut(req.URL, "X-Amz-Signature=")
	if strings.Contains(pin.String(), signature[:32]) {
		t.Error("the pin shows the signature")
	}
}

// times lets a fault happen to the first n requests for bytes; -1 is to all.
func times(n int, fault func(w http.ResponseWriter, r *http.Request, next http.Handler)) func(http.ResponseWriter, *http.Request, http.Handler) bool {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		mu.Lock()
		due := r.Method == http.MethodGet && n != 0
		if due {
			n--
		}
		mu.Unlock()
		if due {
			fault(w, r, next)
		}
		return due
	}
}

func status(code int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(code) }
}

// half answers with the range that was asked for, and breaks off in its middle.
func half(w http.ResponseWriter, r *http.Request, next http.Handler) {
	whole := httptest.NewRecorder()
	next.ServeHTTP(whole, r)
	for name, values := range whole.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(whole.Code)
	_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	panic(http.ErrAbortHandler)
}

// silent answers with a header and then nothing until the client gives up.
func silent(w http.ResponseWriter, r *http.Request, next http.Handler) {
	whole := httptest.NewRecorder()
	next.ServeHTTP(whole, r)
	for name, values := range whole.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(whole.Code)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func TestFaultsWhileReading(t *testing.T) {
	const always, storm = -1, (200 + 400 + 800 + 1600 + 3200) * time.Millisecond
	for _, tt := range []struct {
		name  string
		fault func(t *testing.T, e *elsewhere)
		want  error // nil: read all the same
		took  time.Duration
	}{
		{"a 503 storm that ends", func(_ *testing.T, e *elsewhere) { e.set(times(attempts-1, status(503))) }, nil, storm},
		{"a 503 storm that does not end", func(_ *testing.T, e *elsewhere) { e.set(times(always, status(503))) }, ErrUnavailable, storm},
		{"too many requests", func(_ *testing.T, e *elsewhere) { e.set(times(2, status(429))) }, nil, 600 * time.Millisecond},
		{"bodies that break off", func(_ *testing.T, e *elsewhere) { e.set(times(3, half)) }, nil, 3 * 200 * time.Millisecond},
		{"a body that falls silent", func(_ *testing.T, e *elsewhere) { e.set(times(1, silent)) }, nil, stall + 200*time.Millisecond},
		{"replaced", func(t *testing.T, e *elsewhere) { e.put(t, make([]byte, contentBytes)) }, ErrChanged, 0},
		{"longer", func(t *testing.T, e *elsewhere) { e.put(t, make([]byte, contentBytes+1)) }, ErrChanged, 0},
		{"shorter", func(t *testing.T, e *elsewhere) { e.put(t, make([]byte, 1000)) }, ErrChanged, 0},
		{"deleted", func(t *testing.T, e *elsewhere) {
			if _, err := e.s3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("far"), Key: aws.String("dir//disk.raw")}); err != nil {
				t.Fatal(err)
			}
		}, ErrNotFound, 0},
		{"forbidden by now", func(_ *testing.T, e *elsewhere) { e.set(times(always, status(403))) }, ErrNoAccess, 0},
		{"the precondition fails", func(_ *testing.T, e *elsewhere) { e.set(times(always, status(412))) }, ErrChanged, 0},
		{"no ranges", func(_ *testing.T, e *elsewhere) {
			e.set(times(always, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				r.Header.Del("Range")
				next.ServeHTTP(w, r)
			}))
		}, ErrNoAccess, 0},
		{"another range", func(_ *testing.T, e *elsewhere) {
			e.set(times(always, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				r.Header.Set("Range", "bytes=1-10")
				next.ServeHTTP(w, r)
			}))
		}, ErrNoAccess, 0},
	} {
		for _, way := range []string{"by role", "presigned"} {
			t.Run(tt.name+", "+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, e := pipedFixture(t)
					req := far()
					if way == "presigned" {
						req.URL = e.presign(t)
					}
					o := f.openFar(t, req)
					tt.fault(t, e)
					got, began := make([]byte, contentBytes), time.Now()
					_, err := o.ReadAt(got, 0)
					if took := time.Since(began); took != tt.took {
						t.Errorf("it took %v, want %v", took, tt.took)
					}
					if tt.want == nil && (err != nil || !bytes.Equal(got, e.content)) || !errors.Is(err, tt.want) {
						t.Errorf("%v, or other bytes; want %v", err, tt.want)
					}
					if err != nil && strings.Contains(err.Error(), "X-Amz-Signature") {
						t.Errorf("the error %v repeats the Url", err)
					}
				})
			})
		}
	}
}

func TestReadsEndWithTheirContext(t *testing.T) {
	f, e := foreignFixture(t, func(o *ForeignOptions) { o.Backoff = time.Hour })
	pin, err := f.pinFar(t, far())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o, err := f.Open(ctx, pin)
	if err != nil {
		t.Fatal(err)
	}
	e.set(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		cancel()
		return true
	})
	if _, err := o.ReadAt(make([]byte, 10), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's end", err)
	}
}

func TestPinOfForeignObjectFails(t *testing.T) {
	inRegion := func(code int) func(*elsewhere) {
		return func(e *elsewhere) {
			e.set(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
				w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
				w.WriteHeader(code)
				return true
			})
		}
	}
	answer := func(code int) func(*elsewhere) {
		return func(e *elsewhere) {
			e.set(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool { w.WriteHeader(code); return true })
		}
	}
	nothing := func(*elsewhere) {}
	for _, tt := range []struct {
		name   string
		change func(*Request)
		fault  func(*elsewhere)
		want   error
	}{
		{"no such key", func(r *Request) { r.Key = "other" }, nothing, ErrNotFound},
		{"no such bucket", func(r *Request) { r.Bucket = "nowhere" }, nothing, ErrNotFound},
		{"a role that is not there", func(r *Request) { r.Role = "other" }, nothing, ErrRole},
		{"the role of another account", func(r *Request) { r.Account = "222222222222" }, nothing, ErrRole},
		{"forbidden", func(*Request) {}, answer(403), ErrNoAccess},
		{"unsigned for it", func(*Request) {}, answer(400), ErrNoAccess},
		{"another region", func(*Request) {}, inRegion(301), ErrRegion},
		{"another region, told by a 400", func(*Request) {}, inRegion(400), ErrRegion},
		{"not available", func(*Request) {}, answer(503), ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, e := foreignFixture(t)
			tt.fault(e)
			req := far()
			tt.change(&req)
			if pin, err := f.pinFar(t, req); !errors.Is(err, tt.want) {
				t.Errorf("%+v, %v; want %v", pin, err, tt.want)
			}
		})
	}
}

// TestForeignRegion: without a region of its own, a foreign S3 is asked in that of the
// import, when its object is looked at and whenever it is read.
func TestForeignRegion(t *testing.T) {
	for _, c := range []struct{ own, within, want string }{
		{"", "eu-west-1", "eu-west-1"}, {"", "us-east-1", "us-east-1"}, {"minio-1", "eu-west-1", "minio-1"},
	} {
		f, e := foreignFixture(t, func(o *ForeignOptions) { o.Region = c.own })
		var mu sync.Mutex
		scopes := map[string]bool{}
		e.set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			mu.Lock()
			defer mu.Unlock()
			scopes[signedFor(r)] = true
			return false
		})
		req := far()
		req.Region = c.within
		if _, err := f.openFar(t, req).ReadAt(make([]byte, 1), 0); err != nil {
			t.Fatal(err)
		}
		e.mu.Lock()
		scopes[e.assumedIn] = true
		e.mu.Unlock()
		mu.Lock()
		if len(scopes) != 1 || !scopes[c.want] {
			t.Errorf("an import in %s from an S3 in %q signs for %v, want %s", c.within, c.own, scopes, c.want)
		}
		mu.Unlock()
	}
}

func TestOwnBucketsComeFirst(t *testing.T) {
	f, _ := foreignFixture(t)
	f.upload(t, "far", "222222222222", "dir/disk.raw", "not theirs")
	if loc, err := f.Resolve(t.Context(), far()); err != nil || loc.Kind != Foreign || loc.Key != "dir//disk.raw" {
		t.Errorf("%+v, %v: another account's bucket here hides what is elsewhere", loc, err)
	}
	f.upload(t, "far", account, "dir/disk.raw", "here")
	loc, err := f.Resolve(t.Context(), far())
	if err != nil || loc.Kind != Embedded || loc.Key != "dir//disk.raw" {
		t.Errorf("%+v, %v: want the account's own bucket", loc, err)
	}
}

func TestKeysUsedDirectlyAreForOneAccount(t *testing.T) {
	f, e := foreignFixture(t, func(o *ForeignOptions) { o.Direct, o.Operator = true, account })
	if _, err := f.pinFar(t, far()); err != nil || e.assumed != 0 {
		t.Errorf("%v, %d roles assumed", err, e.assumed)
	}
	req := far()
	req.Account = "222222222222"
	if _, err := f.pinFar(t, req); !errors.Is(err, ErrNoAccess) {
		t.Errorf("another account: %v, want no access", err)
	}
}

func TestNothingElseIsDialled(t *testing.T) {
	var elsewhere []string
	trap := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere = append(elsewhere, r.URL.String()) }))
	defer trap.Close()
	t.Run("redirects", func(t *testing.T) {
		for _, target := range []string{"http://169.254.169.254/latest/meta-data/", trap.URL + "/secret"} {
			for _, code := range []int{301, 302, 303, 307, 308} {
				f, e := foreignFixture(t)
				e.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
					http.Redirect(w, r, target, code)
					return true
				})
				req := far()
				if _, err := f.pinFar(t, req); !errors.Is(err, ErrNoAccess) {
					t.Errorf("%d to %s, by role: %v, want no access", code, target, err)
				}
				req.URL = e.presign(t)
				if _, err := f.pinFar(t, req); !errors.Is(err, ErrNoAccess) {
					t.Errorf("%d to %s, presigned: %v, want no access", code, target, err)
				}
			}
		}
	})
	t.Run("Urls", func(t *testing.T) {
		f, e := foreignFixture(t)
		port := e.host[strings.LastIndexByte(e.host, ':'):]
		for _, url := range []string{
			trap.URL + "/far/k", trap.URL + "/far/k" + signature, "http://169.254.169.254/far/k" + signature,
			"https://" + e.host + "/far/k", // another scheme
			"http://x@" + e.host + "/far/k", "http://far." + e.host + "/k", "http://127.0.0.2" + port + "/far/k",
			"http://s3.amazonaws.com/far/k" + signature,
		} {
			if _, err := f.pinFar(t, Request{Account: account, Region: "us-east-1", URL: url, Now: now, OwnHosts: ownHosts}); !errors.Is(err, ErrLocation) {
				t.Errorf("%s: %v, want a refusal", url, err)
			}
		}
		// Signed for AWS, which is not configured: verified here, and not sent.
		e.requests = nil
		_, err := f.pinFar(t, Request{Account: account, Region: "us-east-1", URL: "https://far.s3.amazonaws.com/k" + signature, Now: now, OwnHosts: ownHosts})
		if !errors.Is(err, ErrNoAccess) || len(e.requests) != 0 {
			t.Errorf("%v, %q; want no access and no request", err, e.requests)
		}
	})
	t.Run("the client itself", func(t *testing.T) {
		at, err := ParseEndpoint("aws")
		if err != nil {
			t.Fatal(err)
		}
		resp, err := at.client(nil).Get(trap.URL)
		if err == nil {
			resp.Body.Close()
			t.Error("AWS's client reached another host")
		}
	})
	if len(elsewhere) != 0 {
		t.Errorf("requests went elsewhere: %q", elsewhere)
	}
}

func TestUnreachable(t *testing.T) {
	at := Endpoint{Scheme: "http", Host: "127.0.0.1:1"} // a port that is closed may be another's next
	f, _ := foreignFixture(t, func(o *ForeignOptions) { o.Endpoint, o.Direct, o.Operator = at, true, account })
	if _, err := f.pinFar(t, far()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, want unavailable", err)
	}
}

func TestParseEndpoint(t *testing.T) {
	for text, want := range map[string]Endpoint{
		"":                      {},
		"aws":                   {AWS: true},
		"http://127.0.0.1:9000": {Scheme: "http", Host: "127.0.0.1:9000"},
		"https://S3.corp/":      {Scheme: "https", Host: "s3.corp:443"},
		"http://[::1]:9000":     {Scheme: "http", Host: "[::1]:9000"},
	} {
		if got, err := ParseEndpoint(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"AWS", "minio:9000", "ftp://x", "http://", "http://a/b", "http://u:p@a", "http://a?x", "http://a#x", "http://%zz"} {
		if got, err := ParseEndpoint(text); err == nil {
			t.Errorf("%q: %+v, want an error", text, got)
		}
	}
}

func TestForeignLocations(t *testing.T) {
	minio := Endpoint{Scheme: "http", Host: "minio.corp:9000"}
	real := Endpoint{AWS: true}
	for _, tt := range []struct {
		name, url   string
		at          Endpoint
		kind        Kind
		bucket, key string
	}{
		{"by name", "s3://bucket/a//b", minio, Foreign, "bucket", "a//b"},
		{"there", "http://minio.corp:9000/bucket/k", minio, Foreign, "bucket", "k"},
		{"there, virtual-hosted", "http://bucket.Minio.corp:9000/k" + signature, minio, Foreign, "bucket", "k"},
		{"here", "http://127.0.0.1:4580/bucket/k", minio, Embedded, "bucket", "k"},
		{"AWS's name for it", "https://bucket.s3.amazonaws.com/k", minio, Foreign, "bucket", "k"},
		{"signed for AWS", "https://bucket.s3.amazonaws.com/k" + signature, minio, Embedded, "bucket", "k"},
		{"AWS", "https://bucket.s3.amazonaws.com/k", real, Foreign, "bucket", "k"},
		{"AWS, signed", "https://bucket.s3.us-east-1.amazonaws.com/k" + signature, real, Foreign, "bucket", "k"},
		{"here, signed", "http://127.0.0.1:4580/bucket/k" + signature, real, Embedded, "bucket", "k"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			loc, err := ParseLocation(Request{Account: account, Region: "us-east-1", URL: tt.url, OwnHosts: ownHosts, Endpoint: tt.at})
			if err != nil || loc.Kind != tt.kind || loc.Bucket != tt.bucket || loc.Key != tt.key {
				t.Errorf("%s %q %q, %v", loc.Kind, loc.Bucket, loc.Key, err)
			}
		})
	}
}

// answers is a transport that answers every request alike.
type answers struct {
	header http.Header
	asked  []string
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r.Method+" "+r.URL.Scheme+"://"+r.URL.Host+r.URL.EscapedPath())
	return &http.Response{StatusCode: http.StatusOK, Header: a.header, Body: http.NoBody, ContentLength: 1000, Request: r}, nil
}

func TestAWSIsReachedUnderItsOwnNames(t *testing.T) {
	f, _ := foreignFixture(t, func(o *ForeignOptions) { o.Endpoint, o.Direct, o.Operator = Endpoint{AWS: true}, true, account })
	a := &answers{header: http.Header{"Etag": {`"x"`}, "Content-Length": {"1000"}, "X-Amz-Version-Id": {"v1"}}}
	f.Foreign.http = &http.Client{Transport: a}
	pin, err := f.pinFar(t, far())
	if err != nil || pin.Size != 1000 || pin.ETag != `"x"` || pin.Version != "v1" {
		t.Errorf("pinned %+v, %v", pin, err)
	}
	if want := "HEAD https://far.s3.us-east-1.amazonaws.com/dir//disk.raw"; len(a.asked) != 1 || a.asked[0] != want {
		t.Errorf("asked %q, want %q", a.asked, want)
	}
}

func TestAWSAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"far.s3.us-east-1.amazonaws.com:443":  true,
		"sts.eu-west-1.amazonaws.com:443":     true,
		"s3.cn-north-1.amazonaws.com.cn:443":  true,
		"s3.us-east-1.amazonaws.com:80":       false,
		"amazonaws.com.evil.example:443":      false,
		"evilamazonaws.com:443":               false,
		"169.254.169.254:80":                  false,
		"x.amazonaws.com.cn.evil.example:443": false,
	} {
		if got := awsAddress.MatchString(address); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}
