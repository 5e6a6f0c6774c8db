package otlp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// answers is an http.RoundTripper that answers with the statuses in turn, the last of them for
// ever; 0 is no answer at all.
type answers struct {
	statuses []int
	header   http.Header
	requests []*http.Request
	bodies   [][]byte
	at       []time.Time
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	a.requests, a.bodies, a.at = append(a.requests, r), append(a.bodies, body), append(a.at, time.Now())
	status := a.statuses[0]
	if len(a.statuses) > 1 {
		a.statuses = a.statuses[1:]
	}
	if status == 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: a.header, Body: io.NopCloser(strings.NewReader(""))}, nil
}

func spans(n int) []*tracepb.ResourceSpans {
	return []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: make([]*tracepb.Span, n)}}}}
}

func TestSender(t *testing.T) {
	tests := map[string]struct {
		statuses []int
		header   http.Header
		requests int
		took     time.Duration
		lost     bool
	}{
		"taken":            {[]int{200}, nil, 1, 0, false},
		"busy":             {[]int{503, 429, 200}, nil, 3, 1500 * time.Millisecond, false},
		"says when":        {[]int{429, 200}, http.Header{"Retry-After": {"3"}}, 2, 3 * time.Second, false},
		"refuses":          {[]int{400}, nil, 1, 0, true},
		"redirects":        {[]int{302}, nil, 1, 0, true},
		"says never":       {[]int{503}, http.Header{"Retry-After": {"99999999999"}}, 1, defaultTimeout, true},
		"stalls":           {[]int{0}, nil, 1, defaultTimeout, true},
		"is down for long": {[]int{502}, nil, 5, defaultTimeout, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to, lost := &answers{statuses: tt.statuses, header: tt.header}, 0
				s := NewSender(Options{
					URL: "http://receiver.test/hidden", Headers: map[string]string{"Authorization": "Bearer x"}, Client: &http.Client{Transport: to, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
					Failed: func(err error) {
						if lost++; strings.Contains(err.Error(), "hidden") {
							t.Error(err)
						}
					},
				})
				begun := time.Now()
				for range 2 {
					if err := s.UploadTraces(t.Context(), spans(3)); err != nil {
						t.Error(err)
					}
					if tt.lost {
						continue
					}
					break
				}
				took := time.Since(begun)
				if tt.lost {
					took /= 2
				}
				if (lost > 0) != tt.lost || lost > 1 || took != tt.took || !tt.lost && len(to.requests) != tt.requests || tt.lost && len(to.requests) != 2*tt.requests {
					t.Errorf("%d requests, took %v, told of a loss %d times", len(to.requests), took, lost)
				}
				r := to.requests[0]
				var got tracepb.TracesData
				if err := proto.Unmarshal(to.bodies[0], &got); err != nil || count(got.GetResourceSpans()) != 3 || r.Header.Get("Authorization") != "Bearer x" || r.Header.Get("Content-Type") != "application/x-protobuf" {
					t.Errorf("sent %v, %v with %v", &got, err, r.Header)
				}
			})
		})
	}
}

// TestAReceiverThatIsDown: neither what is traced nor the end of the process waits for it.
func TestAReceiverThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &http.Client{Transport: &answers{statuses: []int{0}}}
		var lost atomic.Int64
		p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(otlptrace.NewUnstarted(NewSender(Options{URL: "http://receiver.test/", Client: stuck, Failed: func(error) { lost.Add(1) }}))))
		begun := time.Now()
		for range 10 * sdktrace.DefaultMaxQueueSize {
			_, s := p.Tracer("x").Start(t.Context(), "x")
			s.End()
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
		time.Sleep(time.Minute)
		if n := lost.Load(); n != 1 {
			t.Errorf("told of a loss %d times", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun = time.Now()
		_, s := p.Tracer("x").Start(t.Context(), "x")
		s.End()
		if err := p.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("the end took %v", took)
		}
		time.Sleep(time.Minute) // what was under way ends
	})
}
