package awshttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/diskport/diskport/internal/api/flow"
	"github.com/diskport/diskport/internal/api/flow/flowtest"
)

const (
	crowd     = 1500      // connections, at most
	part      = 200 << 10 // bytes of a body that are sent at once, before the client stalls
	blockSize = 512 << 10
)

// head is the header of a request as it goes over the wire.
func head(r *http.Request, length int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\nHost: %s\nContent-Length: %d\n", r.Method, r.URL.RequestURI(), r.Host, length)
	for name, values := range r.Header {
		for _, v := range values {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	b.WriteString("\n")
	return b.String()
}

// network serves the fixture in memory, in real time as far as the bubble has it.
func network(t *testing.T) (fixture, *flowtest.Network) {
	f := newFixture(func(o *Options) {
		o.Now = time.Now
		o.Edges[S3] = edgeFunc(func(w http.ResponseWriter, r *http.Request, c *Call) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				c.Fail(w, Internal(S3)) // what an edge makes of it doesn't matter
			}
		})
		o.Edges[EBS] = edgeFunc(func(w http.ResponseWriter, r *http.Request, c *Call) {
			if r.Method == http.MethodPut {
				return
			}
			if f, busy := errors.AsType[Fault](c.Reserve(blockSize)); busy {
				c.Fail(w, f)
				return
			}
			_, _ = w.Write(make([]byte, blockSize))
		})
		o.Edges[EC2] = edgeFunc(func(w http.ResponseWriter, _ *http.Request, c *Call) {
			if c.Form.Get("Action") == "Large" {
				_, _ = w.Write(make([]byte, blockSize)) // made in memory, without a word
				return
			}
			WriteXML(w, http.StatusOK, "fine")
		})
	})
	return f, flowtest.Serve(t, &http.Server{Handler: f, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second}, nil)
}

// held returns the largest of the gauges of memory, in bytes.
func (f fixture) held(t *testing.T) (most float64) {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if name := family.GetName(); name == "diskport_request_body_bytes" || name == "diskport_answer_bytes" {
			for _, m := range family.GetMetric() {
				most = max(most, m.GetGauge().GetValue())
			}
		}
	}
	return most
}

// ending is how slow clients ended.
type ending struct {
	all      sync.WaitGroup
	statuses [600]atomic.Int32 // by status of the answer; 0: none
	last     atomic.Int64      // when, in seconds after the start
}

// client sends a header and what body it has, then reads nothing but the header of the
// answer, and waits to be cut.
func (e *ending) client(c *flowtest.Client, header string, body []byte, began time.Time) {
	read := make(chan struct{})
	go func() { // answers may come while we send
		defer close(read)
		status := make([]byte, len("HTTP/1.1 200"))
		_, _ = io.ReadFull(c, status)
		var n int
		_, _ = fmt.Sscanf(string(status), "HTTP/1.1 %d", &n)
		e.statuses[n].Add(1)
		if n != http.StatusOK {
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	if c.Send(header) {
		_, _ = c.Write(body)
	}
	<-read
	for { // until it is cut
		if _, err := c.Write([]byte("x")); err != nil {
			break
		}
		time.Sleep(time.Second)
	}
	e.last.Store(int64(time.Since(began).Seconds()))
}

// TestCrowdsOfSlowClients: whatever up to 1,500 slow clients do, their memory stays in its
// budget, a healthy request is answered at once meanwhile, and all of them are cut.
func TestCrowdsOfSlowClients(t *testing.T) {
	named := func(t *testing.T) *http.Request { // anybody who has seen a key's id can do so
		return sign(t, form("/", "Action=Do"), "AKID", EC2, "other", time.Now())
	}
	put := func(t *testing.T, service string) *http.Request {
		return signUnsigned(t, httptest.NewRequest("PUT", "/snapshots/x/blocks/1", nil), service, time.Now())
	}
	for _, tt := range []struct {
		name    string
		many    int // enough to use the budget up, if there is one
		request func(t *testing.T) *http.Request
		length  int
		send    int
		budget  int            // bytes
		held    bool           // the budget is used
		want    map[int]string // statuses that some get
		within  int            // seconds until the last is cut
	}{
		{"without a key", crowd, func(*testing.T) *http.Request { return form("/", "") }, maxUnscoped, maxUnscoped - 1, 8 << 20, true,
			map[int]string{400: "too slow", 503: "busy"}, 21},
		{"with an unknown key", crowd / 10, func(t *testing.T) *http.Request { return sign(t, form("/", ""), "NOBODY", EC2, "", time.Now()) }, maxForm, part, 0, false,
			map[int]string{401: "unknown"}, 4},
		{"with an old signature", crowd / 10, func(t *testing.T) *http.Request {
			return sign(t, form("/", ""), "AKID", EC2, "", time.Now().Add(-time.Hour))
		}, maxForm, part, 0, false, map[int]string{400: "expired"}, 4},
		{"with somebody's key", crowd, named, maxForm, part, 8 << 20, true, map[int]string{400: "too slow", 503: "busy"}, 21},
		{"signed", crowd / 3, func(t *testing.T) *http.Request { return put(t, EBS) }, blockSize, part, 96 << 20, true,
			map[int]string{400: "too slow"}, 21 + 7*2}, // its body grows seven times, and may wait for memory each time
		{"streams", crowd / 10, func(t *testing.T) *http.Request { return put(t, S3) }, 1 << 30, part, 0, false, map[int]string{400: "too slow"}, 21},
		{"streams of strangers", crowd / 10, func(*testing.T) *http.Request { return httptest.NewRequest("PUT", "/b/k", nil) }, 1 << 30, part, 0, false,
			map[int]string{400: "too slow"}, 21},
		{"readers of blocks", crowd / 3, func(t *testing.T) *http.Request {
			return sign(t, httptest.NewRequest("GET", "/snapshots/x/blocks/1", nil), "AKID", EBS, "", time.Now())
		}, 0, 0, 96 << 20, true, map[int]string{200: "reading", 503: "busy"}, 21 + 2}, // one wait for memory
		{"readers of large answers", crowd / 3, func(t *testing.T) *http.Request {
			return sign(t, httptest.NewRequest("GET", "/?Action=Large", nil), "AKID", EC2, "", time.Now())
		}, 0, 0, 96 << 20, true, map[int]string{200: "reading", 503: "busy"}, 21},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, n := network(t)
				header := head(tt.request(t), tt.length)
				body := make([]byte, tt.send)
				var before, during runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				var e ending
				began := time.Now()
				for range tt.many {
					c := n.Dial(t)
					e.all.Go(func() { e.client(c, header, body, began) })
				}
				synctest.Wait()
				held := f.held(t)
				if held > float64(tt.budget) || tt.held != (held > float64(tt.budget)/2) {
					t.Errorf("%.1f MiB are held, want at most %d MiB, used: %v", held/(1<<20), tt.budget>>20, tt.held)
				}
				runtime.GC()
				runtime.ReadMemStats(&during)
				// What connections, goroutines and tests need is less than 64 KiB each.
				if grown := int64(during.HeapAlloc) - int64(before.HeapAlloc); grown > int64(2*tt.budget+crowd*(64<<10)) {
					t.Errorf("the heap has grown by %d MiB", grown>>20)
				}
				healthy(t, n)
				e.all.Wait()
				if last := e.last.Load(); last > int64(tt.within) {
					t.Errorf("the last was cut after %d s, want %d s", last, tt.within)
				}
				for status, what := range tt.want {
					if e.statuses[status].Load() == 0 {
						t.Errorf("nobody was told %d (%s)", status, what)
					}
				}
				synctest.Wait()
				if held := f.held(t); held != 0 {
					t.Errorf("%.0f bytes are held at the end", held)
				}
			})
		})
	}
}

// healthy makes an ordinary request, which must be answered without delay.
func healthy(t *testing.T, n *flowtest.Network) {
	t.Helper()
	began := time.Now()
	c := n.Dial(t)
	const action = "Action=Do"
	go func() {
		c.Send(head(sign(t, form("/", action), "AKID", EC2, action, time.Now()), len(action)) + action)
	}()
	resp, text, err := c.Answer("POST")
	if err != nil || resp.StatusCode != http.StatusOK || time.Since(began) != 0 {
		t.Errorf("a healthy request got %v, %s, %v after %v", resp, text, err, time.Since(began))
	}
	_ = c.Close()
}

// TestNoMemoryForTheAnswer: an answer for which there is no memory becomes a refusal in
// the form of its service. One that has begun is broken off, so that half of it doesn't
// look like all.
func TestNoMemoryForTheAnswer(t *testing.T) {
	front := func(write func(http.ResponseWriter)) fixture {
		edge := edgeFunc(func(w http.ResponseWriter, _ *http.Request, _ *Call) { write(w) })
		return newFixture(func(o *Options) {
			o.Flow = flow.New(flow.Options{Log: o.Log, Limits: flow.Limits{AnswerBytes: 1000}})
			for service := range o.Edges {
				o.Edges[service] = edge
			}
			o.Edges[KMS] = edge
		})
	}
	large := make([]byte, largeWrite+1)
	f := front(func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "12345")
		w.Header().Set("X-Amz-Checksum", "abc")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(large)
	})
	for service, want := range map[string]string{
		EC2: "<Code>RequestLimitExceeded</Code>", IAM: "<Code>ServiceUnavailable</Code>", S3: "<Code>SlowDown</Code>",
		EBS: "Please reduce", KMS: `"__type":"ServiceUnavailable"`,
	} {
		w := f.do(sign(t, httptest.NewRequest("GET", "/?Action=Do", nil), "AKID", service, "", now))
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: got %d %s, want 503, %s", service, w.Code, w.Body, want)
		}
		if h := w.Header(); h.Get("X-Amz-Checksum") != "" || h.Get("Content-Length") != strconv.Itoa(w.Body.Len()) || h.Get("X-Amzn-Requestid") != "id-1" {
			t.Errorf("%s: the header is %v", service, h)
		}
	}
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler {
			t.Errorf("got panic %v, want ErrAbortHandler", cause)
		}
	}()
	front(func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, "half")
		if _, err := w.Write(large); err == nil {
			t.Error("the other half was written")
		}
	}).do(sign(t, httptest.NewRequest("GET", "/", nil), "AKID", EBS, "", now))
}

// TestNobodyWaitsForTheBodyOfARefusal: what the header tells is told before the body is
// read. The body fails if it is.
func TestNobodyWaitsForTheBodyOfARefusal(t *testing.T) {
	unread := func(r *http.Request) *http.Request {
		r.Body, r.ContentLength = io.NopCloser(iotest.ErrReader(errors.New("read"))), 100
		return r
	}
	bad := signUnsigned(t, httptest.NewRequest("PUT", "/snapshots/x/blocks/1", nil), EBS, now)
	bad.URL.Path = "/snapshots/y/blocks/1"
	declared := form("/", "")
	declared.Header.Set("X-Amz-Content-Sha256", strings.Repeat("0", 64))
	declared = sign(t, declared, "AKID", EC2, "", now)
	for _, tt := range []struct {
		name string
		req  *http.Request
		want int
		code string
	}{
		{"unknown key", sign(t, form("/", ""), "NOBODY", EC2, "", now), 401, "AuthFailure"},
		{"old session", sign(t, form("/", ""), "OLD", EC2, "", now), 400, "RequestExpired"},
		{"date", sign(t, form("/", ""), "AKID", IAM, "", now.Add(-time.Hour)), 400, "RequestExpired"},
		{"no such service", sign(t, form("/", ""), "AKID", "sqs", "", now), 400, "InvalidAction"},
		{"not ours", sign(t, form("/-/v1/gc", ""), "AKID", S3, "", now), 403, "InvalidSignatureException"},
		{"signature, body unsigned", bad, 403, "InvalidSignatureException"},
		{"signature, hash given", declared, 403, "SignatureDoesNotMatch"},
		{"announced too much", func() *http.Request {
			r := sign(t, form("/", ""), "AKID", EC2, "", now)
			r.ContentLength = maxForm + 1
			return r
		}(), 413, "RequestEntityTooLarge"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			length := tt.req.ContentLength
			r := unread(tt.req)
			r.ContentLength = max(length, r.ContentLength)
			w := newFixture(nil).do(r)
			if w.Code != tt.want || !strings.Contains(w.Body.String()+w.Header().Get("X-Amzn-Errortype"), tt.code) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, tt.want, tt.code)
			}
			if w.Header().Get("Connection") != "close" {
				t.Error("the connection stays open, with an unread body in it")
			}
		})
	}
}
