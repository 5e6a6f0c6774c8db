package span

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// TestNothingIsAllocatedWithoutATrace: it is in the path of every block.
func TestNothingIsAllocatedWithoutATrace(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, 1))
	defer cancel()
	err := errors.New("x")
	if n := testing.AllocsPerRun(100, func() {
		ctx, s := Start(ctx, "x")
		s.Text(Task, "t")
		s.Number(Bytes, 1<<40)
		_ = Parent(ctx)
		s.End(err)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func recorded(t *testing.T, o ...sdktrace.TracerProviderOption) (*Tracer, *tracetest.InMemoryExporter) {
	t.Helper()
	kept := tracetest.NewInMemoryExporter()
	p := sdktrace.NewTracerProvider(append(o, sdktrace.WithSyncer(kept))...)
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return NewTracer(p), kept
}

const client = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestOneTrace: from a client over a request, units in processes that come later, and what
// they do after the span above them has ended.
func TestOneTrace(t *testing.T) {
	tracer, kept := recorded(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "content")
	}))
	defer srv.Close()
	ctx, request := tracer.Serve(t.Context(), http.Header{"Traceparent": {client}}, "request")
	parent := Parent(ctx)
	request.Rename("ec2.ImportSnapshot")
	request.End(nil)
	ctx, unit := tracer.Continue(t.Context(), parent, "plan")
	unit.End(errors.New("hidden-password"))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/bucket/key?X-Amz-Signature=hidden-signature", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=0-6")
	resp, err := (&http.Client{Transport: Transport{Base: http.DefaultTransport, Service: "S3"}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	spans := kept.GetSpans()
	if len(spans) != 3 {
		t.Fatalf("%d spans: %+v", len(spans), spans)
	}
	above := "b7ad6b7169203331"
	for i, name := range []string{"ec2.ImportSnapshot", "plan", "S3 GET"} {
		s := spans[i]
		if s.Name != name || s.Parent.SpanID().String() != above || s.SpanContext.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("span %d is %s below %s in %s, want %s below %s", i, s.Name, s.Parent.SpanID(), s.SpanContext.TraceID(), name, above)
		}
		above = s.SpanContext.SpanID().String()
		text := s.Status.Description
		for _, a := range s.Attributes {
			text += " " + string(a.Key) + "=" + a.Value.Emit()
		}
		if strings.Contains(text, "hidden") || name == "S3 GET" && !strings.Contains(text, "range=bytes=0-6") {
			t.Errorf("%s says %s", name, text)
		}
		if (s.Status.Code == codes.Error) != (name == "plan") {
			t.Errorf("%s ended as %v", name, s.Status)
		}
	}
}

// TestWhatIsNotSampledIsNotRecorded, nor handed on.
func TestWhatIsNotSampledIsNotRecorded(t *testing.T) {
	for name, tt := range map[string]struct {
		sampler sdktrace.Sampler
		parent  string
	}{
		"by its client": {sdktrace.ParentBased(sdktrace.AlwaysSample()), strings.TrimSuffix(client, "1") + "0"},
		"by us":         {sdktrace.NeverSample(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			tracer, kept := recorded(t, sdktrace.WithSampler(tt.sampler))
			ctx, s := tracer.Serve(t.Context(), http.Header{"Traceparent": {tt.parent}}, "request")
			_, below := Start(ctx, "below")
			below.End(nil)
			s.End(nil)
			if p := Parent(ctx); p != "" || len(kept.GetSpans()) != 0 {
				t.Errorf("%d spans, and %q is handed on", len(kept.GetSpans()), p)
			}
		})
	}
	var none *Tracer
	ctx, s := none.Continue(t.Context(), client, "unit")
	if s.End(nil); ctx != t.Context() {
		t.Error("a tracer that is none begins a trace")
	}
}
