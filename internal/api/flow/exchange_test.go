package flow_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/flow"
	"github.com/diskport/diskport/internal/api/flow/flowtest"
)

// limits are small and round: 1,000 bytes a second, and 10 s of patience.
var limits = flow.Limits{
	LeastRate: 1000, Patience: 10 * time.Second, Linger: 2 * time.Second,
	StrangerBytes: 1 << 20, ClaimedBytes: 1 << 20, ProvedBytes: 1 << 20, AnswerBytes: 1 << 20,
}

// fixture is a server whose handler works under a Control.
type fixture struct {
	*flowtest.Network
	control *flow.Control
	log     *bytes.Buffer
	metrics *prometheus.Registry
}

func serve(t *testing.T, handle func(x *flow.Exchange, w http.ResponseWriter, r *http.Request)) fixture {
	t.Helper()
	f := fixture{log: &bytes.Buffer{}, metrics: prometheus.NewRegistry()}
	f.control = flow.New(flow.Options{Limits: limits, Log: slog.New(slog.NewTextHandler(f.log, nil)), Metrics: f.metrics})
	f.Network = flowtest.Serve(t, &http.Server{
		IdleTimeout: time.Hour,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := f.control.Begin(w, r, "id-1")
			handle(x, x.Writer(), x.Request())
			x.End()
		}),
	}, nil)
	return f
}

// value returns a metric.
func (f fixture) value(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := f.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var got []string
			for _, l := range m.GetLabel() {
				got = append(got, l.GetValue())
			}
			if family.GetName() == name && fmt.Sprint(got) == fmt.Sprint(labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no metric %s%v", name, labels)
	return 0
}

// echo reads the whole body as a stream and answers with its length.
func echo(_ *flow.Exchange, w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprint(w, n)
}

// TestSlowBodies: a body must come at the least rate, apart from pauses as long as the
// patience.
func TestSlowBodies(t *testing.T) {
	const header = "PUT / HTTP/1.1\nHost: a\nContent-Length: 100000\n\n"
	for _, tt := range []struct {
		name string
		n    int // bytes
		each time.Duration
		cut  time.Duration // 0: not
	}{
		{"nothing", 0, time.Hour, 10 * time.Second},
		{"at the least rate", 1000, time.Second, 0},
		{"slower", 500, time.Second, 19 * time.Second}, // loses half a second each second
		{"pauses that are earned", 9000, 9 * time.Second, 0},
		{"pauses that are too long", 50_000, 11 * time.Second, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := serve(t, echo)
				c := f.Dial(t)
				began := time.Now()
				c.Send(header)
				var sending sync.WaitGroup
				defer sending.Wait()
				sending.Go(func() {
					for sent := 0; sent < 100_000 && tt.n > 0; {
						time.Sleep(tt.each)
						n := min(tt.n, 100_000-sent)
						if !c.Send(strings.Repeat("x", n)) {
							return
						}
						sent += n
					}
				})
				resp, text, err := c.Answer("PUT")
				if err != nil {
					t.Fatal(err)
				}
				if tt.cut == 0 {
					if resp.StatusCode != http.StatusOK || text != "100000" {
						t.Errorf("got %d %s", resp.StatusCode, text)
					}
					return
				}
				if took := time.Since(began); took < tt.cut || took > tt.cut+time.Second || resp.StatusCode != http.StatusBadRequest || !resp.Close {
					t.Errorf("%d after %v, connection closed: %v; want it cut after %v", resp.StatusCode, took, resp.Close, tt.cut)
				}
				c.Closed(t)
				if took := time.Since(began); took > tt.cut+time.Second {
					t.Errorf("closed after %v", took)
				}
				if got := f.value(t, "diskport_connections_cut_total", "slow body"); got != 1 {
					t.Errorf("%v connections are counted as cut, want 1", got)
				}
				if !strings.Contains(f.log.String(), "id-1") {
					t.Errorf("the log says %q", f.log)
				}
			})
		})
	}
}

// TestSlowReaders: answers must be read at the least rate.
func TestSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed error
		var took time.Duration
		done := make(chan struct{})
		f := serve(t, func(_ *flow.Exchange, w http.ResponseWriter, _ *http.Request) {
			defer close(done)
			began := time.Now()
			_, failed = w.Write(make([]byte, 1<<20))
			took = time.Since(began)
		})
		c := f.Dial(t)
		c.Send("GET / HTTP/1.1\nHost: a\n\n")
		_, _ = io.ReadFull(c, make([]byte, 1000)) // and no more
		<-done
		if !errors.Is(failed, flow.ErrSlow) || took != 10*time.Second {
			t.Errorf("writing ended with %v after %v, want ErrSlow after 10 s", failed, took)
		}
		synctest.Wait()
		if got := f.value(t, "diskport_connections_cut_total", "slow answer"); got != 1 {
			t.Errorf("%v connections are counted as cut, want 1", got)
		}
	})
}

// TestManySmallAnswers: a client that never reads what it asks for is cut too, though no
// single answer is large.
func TestManySmallAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(t, func(_ *flow.Exchange, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
		c := f.Dial(t)
		began := time.Now()
		asked := 0
		for c.Send("GET / HTTP/1.1\nHost: a\n\n") { // until it is cut
			asked++
		}
		if asked == 0 {
			t.Error("no request was taken")
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("cut after %v, want 10 s", took)
		}
	})
}

// TestAFairReaderGetsAll: what is read at the least rate is never cut, however long it
// takes.
func TestAFairReaderGetsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(t, func(_ *flow.Exchange, w http.ResponseWriter, _ *http.Request) {
			for range 10 {
				_, _ = w.Write(make([]byte, 100_000))
			}
		})
		c := f.Dial(t)
		c.Send("GET / HTTP/1.1\nHost: a\nConnection: close\n\n")
		var got int
		for buf := make([]byte, 1000); ; {
			n, err := io.ReadFull(c, buf)
			if got += n; err != nil {
				break
			}
			time.Sleep(990 * time.Millisecond) // the framing takes its part
		}
		if got < 1_000_000 {
			t.Errorf("%d bytes came, want all", got)
		}
	})
}

// TestTheServiceMayTakeItsTime: only waiting for the client counts. A handler that
// pauses in reading, between body and answer, or in the answer as a stream of events
// does, finds its client there, and the connection can be used again.
func TestTheServiceMayTakeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(t, func(_ *flow.Exchange, w http.ResponseWriter, r *http.Request) {
			buf := make([]byte, 10)
			_, _ = io.ReadFull(r.Body, buf)
			time.Sleep(time.Hour)
			rest, err := io.ReadAll(r.Body)
			time.Sleep(time.Hour)
			fmt.Fprint(w, "one ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Hour)
			fmt.Fprintf(w, "%s%s %v %v", buf, rest, err, r.Context().Err())
		})
		c := f.Dial(t)
		for range 2 {
			c.Send("PUT / HTTP/1.1\nHost: a\nContent-Length: 20\n\n0123456789")
			time.Sleep(time.Second)
			go c.Send("0123456789")
			if _, text, err := c.Answer("PUT"); err != nil || text != "one 01234567890123456789 <nil> <nil>" {
				t.Fatalf("got %q, %v", text, err)
			}
			time.Sleep(time.Minute)
		}
	})
}

// refuse answers without a look at the body.
func refuse(_ *flow.Exchange, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "2")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprint(w, "no")
}

// refuseShort is refuse without a Content-Length of its own.
func refuseShort(_ *flow.Exchange, w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprint(w, "no")
}

// TestRefusedBodies: a refusal comes at once, whatever the client is still sending, and
// the rest of the body takes bounded time.
func TestRefusedBodies(t *testing.T) {
	for _, tt := range []struct {
		name, request string
		handle        func(*flow.Exchange, http.ResponseWriter, *http.Request)
		closed        time.Duration // after the answer; -1: not
		wait          time.Duration // for the answer
	}{
		{"small", "PUT / HTTP/1.1\nHost: a\nContent-Length: 100\n\nx", refuse, 2 * time.Second, 0},
		{"large", "PUT / HTTP/1.1\nHost: a\nContent-Length: 100000000\n\nx", refuse, 2500 * time.Millisecond, 0}, // net/http adds half a second
		{"chunked", "PUT / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1\nx\n", refuse, 2 * time.Second, 0},
		{"small, refused without a length", "PUT / HTTP/1.1\nHost: a\nContent-Length: 100\n\nx", refuseShort, 2 * time.Second, 0},
		{"not sent yet", "PUT / HTTP/1.1\nHost: a\nExpect: 100-continue\nContent-Length: 100\n\n", refuse, 0, 0},
		{"none", "GET / HTTP/1.1\nHost: a\n\n", refuse, -1, 0},
		{"small, of a known client", "PUT / HTTP/1.1\nHost: a\nContent-Length: 100\n\nx",
			func(x *flow.Exchange, w http.ResponseWriter, r *http.Request) { _ = x.Prove("a"); refuse(x, w, r) }, 0, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := serve(t, tt.handle).Dial(t)
				began := time.Now()
				c.Send(tt.request)
				resp, _, err := c.Answer("PUT")
				if err != nil || resp.StatusCode != http.StatusForbidden || time.Since(began) != tt.wait {
					t.Errorf("got %v, %v after %v, want 403 after %v", resp, err, time.Since(began), tt.wait)
				}
				if tt.closed < 0 {
					c.Send(tt.request)
					if _, _, err := c.Answer("PUT"); err != nil {
						t.Errorf("the connection can't be used again: %v", err)
					}
					return
				}
				began = time.Now()
				c.Closed(t)
				if took := time.Since(began); took != tt.closed {
					t.Errorf("closed after %v, want %v", took, tt.closed)
				}
			})
		})
	}
}

// TestRefusalsAreSeen: a client that sends all of its body before it reads the answer
// gets the answer.
func TestRefusalsAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, refuse).Dial(t)
		const length = 1 << 20
		sent := make(chan bool)
		go func() {
			sent <- c.Send(fmt.Sprintf("PUT / HTTP/1.1\nHost: a\nContent-Length: %d\n\n%s", length, strings.Repeat("x", length)))
		}()
		resp, _, err := c.Answer("PUT")
		if err != nil || resp.StatusCode != http.StatusForbidden || !<-sent {
			t.Errorf("got %v, %v", resp, err)
		}
	})
}

// TestChunkedBodiesEndTheirConnection: what follows a chunked body is never taken for a
// request. A Content-Length beside it, which a proxy may have gone by, can't be seen.
func TestChunkedBodiesEndTheirConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, echo).Dial(t)
		go c.Send("POST / HTTP/1.1\nHost: a\nContent-Length: 60\nTransfer-Encoding: chunked\n\n0\n\nGET /smuggled HTTP/1.1\nHost: a\n\n")
		resp, text, err := c.Answer("POST")
		if err != nil || text != "0" || !resp.Close {
			t.Errorf("got %v, %q, %v, want one answer and the end", resp, text, err)
		}
		c.Closed(t)
	})
}

// TestAmbiguousFraming: requests whose length can be read in two ways are refused by
// net/http, on which the package relies.
func TestAmbiguousFraming(t *testing.T) {
	for name, header := range map[string]string{
		"two lengths":              "Content-Length: 1\nContent-Length: 2",
		"two lengths in one":       "Content-Length: 1, 2",
		"a signed length":          "Content-Length: +1",
		"a space before the colon": "Content-Length : 1",
		"another encoding":         "Transfer-Encoding: xchunked",
		"two encodings":            "Transfer-Encoding: gzip, chunked",
		"an encoding twice":        "Transfer-Encoding: chunked\nTransfer-Encoding: identity",
		"a continued line":         "Transfer-Encoding:\n chunked, identity",
		"a line that is no header": "Transfer-Encoding",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := serve(t, echo).Dial(t)
				go c.Send("POST / HTTP/1.1\nHost: a\n" + header + "\n\n1\nx\n0\n\n")
				resp, _, err := c.Answer("POST")
				if err != nil || resp.StatusCode < 400 || !resp.Close {
					t.Errorf("got %v, %v, want a refusal and the end", resp, err)
				}
			})
		})
	}
}

// TestTrailingGarbage: what follows a body is a request of its own, or ends the
// connection.
func TestTrailingGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, echo).Dial(t)
		go c.Send("POST / HTTP/1.1\nHost: a\nContent-Length: 1\n\nxGARBAGE\n\n")
		if resp, text, err := c.Answer("POST"); err != nil || resp.StatusCode != http.StatusOK || text != "1" {
			t.Errorf("got %v, %q, %v", resp, text, err)
		}
		if resp, _, err := c.Answer("POST"); err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("the garbage got %v, %v", resp, err)
		}
		c.Closed(t)
	})
}

// TestEndlessChunks: trailers and chunk headers without end are cut by net/http, also if
// they come fast.
func TestEndlessChunks(t *testing.T) {
	for name, send := range map[string]string{
		"a trailer without end": "0\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\n", 20),
		"chunks of one byte":    strings.Repeat("1;"+strings.Repeat("e", 1000)+"\nx\n", 100),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := serve(t, echo).Dial(t)
				go c.Send("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n" + send)
				resp, _, err := c.Answer("POST")
				if err != nil || resp.StatusCode < 400 || !resp.Close {
					t.Errorf("got %v, %v, want a refusal and the end", resp, err)
				}
			})
		})
	}
}

// TestOneLineASecond: however many connections are cut, the log grows slowly.
func TestOneLineASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serve(t, echo)
		const many = 100
		for range many {
			c := f.Dial(t)
			c.Send("PUT / HTTP/1.1\nHost: a\nContent-Length: 10\n\n")
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if lines := strings.Count(f.log.String(), "\n"); lines != 1 {
			t.Errorf("%d lines, want 1: %s", lines, f.log)
		}
		if got := f.value(t, "diskport_connections_cut_total", "slow body"); got != many {
			t.Errorf("%v connections are counted as cut, want %d", got, many)
		}
	})
}
