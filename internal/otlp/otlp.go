// Package otlp sends spans to a receiver of OpenTelemetry's protocol, by HTTP with protobuf.
//
// OpenTelemetry's own client for that brings gRPC along, which would make the program a
// quarter larger (docs/dependencies.md); turning spans into messages is left to its
// exporter, and this package only sends them. A receiver that is down costs spans and
// nothing else.
package otlp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Options are how a Sender sends. URL and Client are required.
type Options struct {
	URL     string            // of traces, such as http://127.0.0.1:4318/v1/traces
	Headers map[string]string // which may have secrets
	Timeout time.Duration     // of one batch with all that is repeated of it; 0: 10 s
	Client  *http.Client
	Metrics prometheus.Registerer // nil: nothing is counted
	// Failed is told when spans are lost, once until some are taken again; nil: nobody is.
	Failed func(error)
}

const defaultTimeout = 10 * time.Second

// Sender sends batches of spans. It is an otlptrace.Client.
type Sender struct {
	o       Options
	failing atomic.Bool
	spans   *prometheus.CounterVec // by end; nil: nothing is counted
}

// NewSender connects to nothing yet.
func NewSender(o Options) *Sender {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	s := &Sender{o: o}
	if o.Metrics != nil {
		s.spans = prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "diskport_trace_spans_total", Help: "Spans of traces that were sent, or lost since the receiver did not take them, by end.",
		}, []string{"end"})
		o.Metrics.MustRegister(s.spans)
	}
	return s
}

// Start implements otlptrace.Client.
func (*Sender) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (s *Sender) Stop(context.Context) error {
	s.o.Client.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. Spans that the receiver does not take in time are
// lost, which is no error: there is nobody who could do anything about it.
func (s *Sender) UploadTraces(ctx context.Context, some []*tracepb.ResourceSpans) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	err := s.send(ctx, some)
	end := "sent"
	if err != nil {
		end = "lost"
	}
	if s.spans != nil {
		s.spans.WithLabelValues(end).Add(float64(count(some)))
	}
	if was := s.failing.Swap(err != nil); err != nil && !was && s.o.Failed != nil {
		s.o.Failed(err)
	}
	return nil
}

func count(some []*tracepb.ResourceSpans) (n int) {
	for _, r := range some {
		for _, s := range r.GetScopeSpans() {
			n += len(s.GetSpans())
		}
	}
	return n
}

// pause is that before the first repetition; it doubles.
const pause = 500 * time.Millisecond

// send sends a batch until it is taken, refused, or ctx ends.
func (s *Sender) send(ctx context.Context, some []*tracepb.ResourceSpans) error {
	// On the wire it is the request of the protocol, whose type brings gRPC along.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: some})
	if err != nil {
		return fmt.Errorf("otlp: encoding spans: %w", err)
	}
	for wait := pause; ; wait *= 2 {
		after, err := s.post(ctx, body)
		if err == nil || after < 0 {
			return err
		}
		timer := time.NewTimer(max(wait, after))
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// post sends a batch once. After an error it returns how long the receiver wants not to be
// asked again; negative: it never wants to be.
func (s *Sender) post(ctx context.Context, body []byte) (after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL, bytes.NewReader(body))
	if err != nil {
		return -1, errors.New("otlp: the receiver's URL is malformed")
	}
	for name, value := range s.o.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := s.o.Client.Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL, which may hold a token
	}
	if err != nil {
		return 0, fmt.Errorf("otlp: sending spans: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		after = time.Duration(max(0, min(seconds, 3600))) * time.Second
	default:
		after = -1
	}
	return after, fmt.Errorf("otlp: sending spans: the receiver answered %s", resp.Status)
}
