package blobs3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/diskport/diskport/internal/imports/source/sourcetest"
	"github.com/diskport/diskport/internal/store/blobs3"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// fault is something that goes wrong with a request. It returns false if it can't with one of
// that operation.
type fault struct {
	name   string
	passes bool // what stays so is that nothing answers; else it may be the truth
	at     func(op string) bool
	do     func(f *faulty, w http.ResponseWriter, r *http.Request)
}

func everywhere(string) bool { return true }

func answersBodies(op string) bool { return op == "GetObject" || strings.HasPrefix(op, "List") }

func reads(op string) bool { return op == "GetObject" || op == "HeadObject" }

// cutOff ends the connection.
func cutOff() { panic(http.ErrAbortHandler) }

var faults = []fault{
	{"says that it is busy", true, everywhere, func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusServiceUnavailable, "SlowDown")
	}},
	{"has an error, having done it", true, everywhere, func(f *faulty, w http.ResponseWriter, r *http.Request) {
		f.s3.ServeHTTP(httptest.NewRecorder(), r)
		fail(w, http.StatusInternalServerError, "InternalError")
	}},
	{"has an error in an answer of 200", true, func(op string) bool { return op == "CompleteMultipartUpload" || op == "CopyObject" }, func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusOK, "InternalError")
	}},
	{"hangs up", true, everywhere, func(*faulty, http.ResponseWriter, *http.Request) { cutOff() }},
	{"hangs up, having done it", true, everywhere, func(f *faulty, _ http.ResponseWriter, r *http.Request) {
		f.s3.ServeHTTP(httptest.NewRecorder(), r)
		cutOff()
	}},
	{"takes nothing and says nothing", true, everywhere, func(f *faulty, _ http.ResponseWriter, r *http.Request) { f.hang(r) }},
	{"says nothing, having done it", true, everywhere, func(f *faulty, _ http.ResponseWriter, r *http.Request) {
		f.s3.ServeHTTP(httptest.NewRecorder(), r)
		f.hang(r)
	}},
	{"stops in the middle of its answer", true, answersBodies, func(f *faulty, w http.ResponseWriter, r *http.Request) {
		f.half(w, r)
		f.hang(r)
	}},
	{"hangs up in the middle of its answer", true, answersBodies, func(f *faulty, w http.ResponseWriter, r *http.Request) {
		f.half(w, r)
		cutOff()
	}},
	{"answers with other bytes than asked for", true, func(op string) bool { return op == "GetObject" }, func(f *faulty, w http.ResponseWriter, r *http.Request) {
		var first, last int
		if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); n == 2 {
			r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first+1, last+1))
		} else {
			fail(w, http.StatusServiceUnavailable, "SlowDown")
			return
		}
		f.s3.ServeHTTP(w, r)
	}},
	{"ignores the range", true, func(op string) bool { return op == "GetObject" }, func(f *faulty, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") == "" {
			fail(w, http.StatusServiceUnavailable, "SlowDown")
			return
		}
		w.Header().Set("X-Ignored", "range")
		r.Header.Del("Range")
		f.s3.ServeHTTP(w, r)
	}},
	{"says that the token has expired", true, everywhere, func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusBadRequest, "ExpiredToken")
	}},
	{"denies access", true, func(string) bool { return false }, func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusForbidden, "AccessDenied")
	}},
	{"does not know what was written", false, reads, func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "NoSuchKey")
	}},
}

// faulty is an S3 of which one operation fails.
type faulty struct {
	s3    *fakeS3
	fault fault
	op    string // that fails
	from  int    // which of these requests are the first and the last that fail
	to    int

	mu   sync.Mutex // guards seen
	seen map[string]int
	stop chan struct{}
}

// ServeHTTP implements http.Handler.
func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op := operationOf(r)
	f.mu.Lock()
	f.seen[op]++
	fails := op == f.op && f.from <= f.seen[op] && f.seen[op] <= f.to
	f.mu.Unlock()
	if fails {
		f.fault.do(f, w, r)
		return
	}
	f.s3.ServeHTTP(w, r)
}

// heal ends the fault.
func (f *faulty) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.op = ""
}

// hang does nothing until the client gives up.
func (f *faulty) hang(r *http.Request) {
	select {
	case <-f.stop:
	case <-r.Context().Done():
	}
	cutOff()
}

// half sends the first half of an answer.
func (f *faulty) half(w http.ResponseWriter, r *http.Request) {
	whole := httptest.NewRecorder()
	f.s3.ServeHTTP(whole, r)
	for k, v := range whole.Header() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", fmt.Sprint(whole.Body.Len()))
	w.WriteHeader(whole.Code)
	_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	_ = http.NewResponseController(w).Flush()
}

const smallPart = 16 * blockstore.Align

// openFaulty returns a back end on f, which must be called in a bubble. done ends both.
func openFaulty(f *faulty) (b *blobs3.Bucket, done func()) {
	f.seen, f.stop = map[string]int{}, make(chan struct{})
	network := sourcetest.NewNetwork()
	server := &http.Server{Handler: f}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(network) }()
	b = blobs3.New(blobs3.Options{
		Endpoint: "http://s3.test", Bucket: "blocks", Prefix: "store/", Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""), Dial: network.Dial,
	})
	blobs3.SetPart(b, smallPart, 4)
	return b, func() {
		close(f.stop)
		_ = b.Close()
		_ = server.Close()
		<-served
	}
}

// life is what becomes of some files: each step of it is remembered, so that it can be
// compared with what is there at the end.
type life struct {
	b     *blobs3.Bucket
	files map[string][]byte // that are closed, and not removed
	tried []string          // all names
}

func (l *life) write(ctx context.Context, name string, size int) error {
	l.tried = append(l.tried, name)
	w, err := l.b.Create(ctx, name, int64(size))
	if err != nil {
		return err
	}
	data := content((size + blockstore.Align - 1) &^ (blockstore.Align - 1))
	for off := 0; off < len(data); off += 5 * blockstore.Align {
		if err = w.WriteAt(ctx, [][]byte{data[off:min(off+5*blockstore.Align, len(data))]}, int64(off)); err != nil {
			break
		}
	}
	if err == nil {
		err = w.Close(ctx, int64(size))
	}
	if err == nil {
		l.files[name] = data[:size]
		return w.Abort()
	}
	return errors.Join(err, w.Abort())
}

func (l *life) same(ctx context.Context, name string) error {
	want := l.files[name]
	got := make([]byte, len(want)+10)
	n, err := l.b.ReadAt(ctx, name, got, 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, blockstore.ErrTruncated) {
			return wrong{fmt.Sprintf("reading %s gave %v, which is taken for damage", name, err)}
		}
		return err
	case err == nil, !bytes.Equal(got[:n], want):
		return wrong{fmt.Sprintf("reading %s gave %d bytes, %v", name, n, err)}
	}
	if n, err := l.b.ReadAt(ctx, name, got[:100], 1000); err == nil && !bytes.Equal(got[:n], want[1000:1100]) {
		return wrong{"reading from the middle of " + name}
	} else if err != nil {
		return err
	}
	n, err = l.b.ReadAt(ctx, name, got, int64(len(want)))
	if n == 0 && errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (l *life) absent(ctx context.Context, name string) error {
	n, err := l.b.ReadAt(ctx, name, make([]byte, 10), 0)
	switch {
	case errors.Is(err, blockstore.ErrNotExist):
		return nil
	case err == nil:
		return wrong{fmt.Sprintf("%s is there, with %d bytes", name, n)}
	}
	return err
}

func (l *life) remove(ctx context.Context, name string) error {
	err := l.b.Remove(ctx, name)
	if err == nil {
		delete(l.files, name)
	}
	return err
}

// wrong is an error that no fault may lead to.
type wrong struct{ text string }

func (w wrong) Error() string { return w.text }

const (
	long, short, dropped = "pack/01/1", "root/01/2", "pack/01/3"
	longSize, shortSize  = 3*smallPart + 3*blockstore.Align, 5000
)

// run goes through all that a back end does, until something fails.
func (l *life) run(ctx context.Context) error {
	for _, step := range []func() error{
		func() error {
			id, err := l.b.SetIdentity(ctx, "0123456789abcdef0123456789abcdef")
			if err == nil && id != "0123456789abcdef0123456789abcdef" {
				return wrong{"the identity is " + id}
			}
			return err
		},
		func() error { return l.write(ctx, long, longSize) },
		func() error { return l.write(ctx, short, shortSize) },
		func() error { return l.drop(ctx) },
		func() error { return l.same(ctx, long) },
		func() error { return l.same(ctx, short) },
		func() error { return l.listed(ctx, long, short) },
		func() error { return l.b.SetAside(ctx, short, time.Now()) },
		func() error { return l.absent(ctx, short) },
		func() error { return l.b.BringBack(ctx, short) },
		func() error { return l.same(ctx, short) },
		func() error { return l.remove(ctx, long) },
		func() error { return l.absent(ctx, long) },
		func() error { return l.listed(ctx, short) },
		func() error {
			_, err := l.b.Purge(ctx, time.Now())
			return err
		},
		func() error { return l.same(ctx, short) },
		func() error { return l.remove(ctx, short) },
		func() error { return l.listed(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// drop begins a file of several parts and drops it.
func (l *life) drop(ctx context.Context) error {
	l.tried = append(l.tried, dropped)
	w, err := l.b.Create(ctx, dropped, 0)
	if err != nil {
		return err
	}
	err = w.WriteAt(ctx, [][]byte{content(2*smallPart + blockstore.Align)}, 0)
	return errors.Join(err, w.Abort())
}

func (l *life) listed(ctx context.Context, want ...string) error {
	var got []string
	err := l.b.List(ctx, func(e blockstore.Entry) error {
		if !e.Closed || e.Bytes != int64(len(l.files[e.Name])) {
			return wrong{fmt.Sprintf("list gives %+v", e)}
		}
		got = append(got, e.Name)
		return nil
	})
	slices.Sort(got)
	if err == nil && !slices.Equal(got, want) {
		return wrong{fmt.Sprintf("list gives %q, want %q", got, want)}
	}
	return err
}

// operations returns how often a life without faults asks for each operation.
func operations(t *testing.T) (counts map[string]int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{s3: newFakeS3()}
		b, done := openFaulty(f)
		defer done()
		l := &life{b: b, files: map[string][]byte{}}
		if err := l.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.s3.left(t)
		counts = f.seen
	})
	return counts
}

// TestEveryFaultOnce: whatever goes wrong with one request, all that is done succeeds, and
// nothing is left.
func TestEveryFaultOnce(t *testing.T) {
	for op, times := range operations(t) {
		for i, fault := range faults {
			if !fault.at(op) {
				continue
			}
			nth := 1 + i%times
			t.Run(fmt.Sprintf("%s %d %s", op, nth, fault.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := &faulty{s3: newFakeS3(), fault: fault, op: op, from: nth, to: nth}
					b, done := openFaulty(f)
					defer done()
					l := &life{b: b, files: map[string][]byte{}}
					if err := l.run(t.Context()); err != nil {
						t.Error(err)
					}
					f.s3.left(t)
				})
			})
		}
	}
}

// TestEveryFaultForEver: what can't be done is told as a store that does not answer, in
// bounded time; no wrong byte is read and nothing is there in part. Once the store is well,
// what was closed is whole, and all of the others can be removed.
func TestEveryFaultForEver(t *testing.T) {
	for op := range operations(t) {
		for i, fault := range faults {
			if !fault.passes || fault.name != "denies access" && !fault.at(op) {
				continue
			}
			t.Run(fmt.Sprintf("%s from %d %s", op, 1+i%2, fault.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := &faulty{s3: newFakeS3(), fault: fault, op: op, from: 1 + i%2, to: 1 << 30}
					b, done := openFaulty(f)
					defer done()
					l := &life{b: b, files: map[string][]byte{}}
					began := time.Now()
					err := l.run(t.Context())
					if w := (wrong{}); errors.As(err, &w) || err != nil && !errors.Is(err, blockstore.ErrUnavailable) {
						t.Errorf("got %v, want %v", err, blockstore.ErrUnavailable)
					}
					if took := time.Since(began); took > 2*time.Hour {
						t.Errorf("it took %v", took)
					}
					f.heal()
					l.settle(t)
					f.s3.left(t)
				})
			})
		}
	}
}

// settle compares what is there with what was done, and removes it.
func (l *life) settle(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for name := range l.files {
		if err := l.same(ctx, name); err != nil {
			if err := errors.Join(l.b.BringBack(ctx, name), l.same(ctx, name)); err != nil { // it was aside
				t.Error(err)
			}
		}
	}
	for _, name := range l.tried {
		if err := l.remove(ctx, name); err != nil {
			t.Error(err)
		}
		if err := l.absent(ctx, name); err != nil {
			t.Error(err)
		}
	}
	if err := l.listed(ctx); err != nil {
		t.Error(err)
	}
	if _, err := l.b.Purge(ctx, time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
}

// TestRefusalsSayTheWayOn: what an operator has set wrongly is said with what to do, as soon as
// the store is probed.
func TestRefusalsSayTheWayOn(t *testing.T) {
	probe := func(t *testing.T, endpoint string) error {
		t.Helper()
		b := open(t, blobs3.Options{Endpoint: endpoint, Bucket: "blocks", Prefix: "store/", Credentials: ownKeys, Backoff: time.Microsecond})
		return b.Probe(t.Context())
	}
	says := func(t *testing.T, err error, want ...string) {
		t.Helper()
		if !errors.Is(err, blockstore.ErrUnavailable) {
			t.Fatalf("got %v, want %v", err, blockstore.ErrUnavailable)
		}
		for _, part := range want {
			if strings.Count(err.Error(), part) != 1 {
				t.Errorf("%v does not say %q once", err, part)
			}
		}
	}
	for _, tt := range []struct {
		status int
		code   string
		want   string
	}{
		{http.StatusNotFound, "NoSuchBucket", "Make the bucket"},
		{http.StatusForbidden, "AccessDenied", "s3:ListBucketMultipartUploads"},
		{http.StatusForbidden, "InvalidAccessKeyId", "DISKPORT_STORE_ACCESS_KEY_ID"},
		{http.StatusForbidden, "SignatureDoesNotMatch", "DISKPORT_STORE_SECRET_ACCESS_KEY"},
		{http.StatusForbidden, "RequestTimeTooSkewed", "Set the clock"},
		{http.StatusBadRequest, "AuthorizationHeaderMalformed", "region="},
		{http.StatusMovedPermanently, "PermanentRedirect", "region="},
	} {
		t.Run(tt.code, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fail(w, tt.status, tt.code) }))
			defer server.Close()
			says(t, probe(t, server.URL), "s3://blocks/store/", tt.want)
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		says(t, probe(t, server.URL), "can be reached from here")
	})
}
