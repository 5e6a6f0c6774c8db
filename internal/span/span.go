// Package span records the parts of traces: what a request to the API leads to, through the
// units of work that it makes, down to the requests to S3, a KMS and the database. Traces are
// OpenTelemetry's.
//
// A trace begins where a Tracer is (the front chain of the API), or goes on with a client's;
// everything else records a span only below another one that is recorded, which it finds in
// its context. So nothing but the two ends knows whether there are traces, and without one
// Start costs a look at the context and allocates nothing.
//
// A unit of work outlives the process that made it: its row keeps the span that made it, as
// W3C's traceparent has it (Parent), and a runner goes on from there (Tracer.Continue).
//
// Attributes are for people who look at traces elsewhere: they never have a secret, a query
// of a URL, or the text of an error of another program.
package span

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// The keys of attributes that more than one package sets. Those without a name of ours are
// OpenTelemetry's.
const (
	Request  = "diskport.request"  // id, as in the log
	Account  = "diskport.account"  // whose the request or unit is
	Task     = "diskport.task"     // id of an import task, or of a draft
	Snapshot = "diskport.snapshot" // id
	Unit     = "diskport.unit"     // number of a unit of work
	Offset   = "diskport.offset"   // bytes
	Bytes    = "diskport.bytes"    // that were asked for
	Event    = "diskport.event"    // of the database
	Status   = "http.response.status_code"
	Method   = "http.request.method"
	Host     = "server.address"
	Path     = "url.path"
)

// scope names who records.
const scope = "github.com/diskport/diskport"

// Span is a part of a trace. The zero value records nothing.
type Span struct{ to trace.Span }

// Start begins a span below that of ctx, if that is recorded, maybe ended already. The
// caller ends it.
func Start(ctx context.Context, name string) (context.Context, Span) {
	above := trace.SpanFromContext(ctx)
	if !above.SpanContext().IsSampled() {
		return ctx, Span{}
	}
	ctx, to := above.TracerProvider().Tracer(scope).Start(ctx, name)
	return ctx, Span{to}
}

// Recorded reports whether spans that begin below ctx are recorded.
func Recorded(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsSampled() }

// Of returns the span that ctx is in, to say more about it.
func Of(ctx context.Context) Span {
	if s := trace.SpanFromContext(ctx); s.IsRecording() {
		return Span{s}
	}
	return Span{}
}

// Rename gives the span another name.
func (s Span) Rename(name string) {
	if s.to != nil {
		s.to.SetName(name)
	}
}

// Text adds an attribute, unless it is empty.
func (s Span) Text(key, value string) {
	if s.to != nil && value != "" {
		s.to.SetAttributes(attribute.String(key, value))
	}
}

// Number adds an attribute.
func (s Span) Number(key string, value int64) {
	if s.to != nil {
		s.to.SetAttributes(attribute.Int64(key, value))
	}
}

// Fail says that what the span is of has failed; how is a word for it, such as a code.
func (s Span) Fail(how string) {
	if s.to != nil {
		s.to.SetStatus(codes.Error, how)
	}
}

// End ends the span. Of an error it is only said that there was one: its text may have what
// other programs say.
func (s Span) End(err error) {
	if s.to == nil {
		return
	}
	if err != nil {
		s.to.SetStatus(codes.Error, "")
	}
	s.to.End()
}

// traceparent is the form in which spans are handed on.
var traceparent = propagation.TraceContext{}

// parentKey is W3C's name for it.
const parentKey = "traceparent"

// Parent returns the span of ctx for what goes on later; empty if nothing is recorded.
func Parent(ctx context.Context) string {
	if !Recorded(ctx) {
		return ""
	}
	m := propagation.MapCarrier{}
	traceparent.Inject(ctx, m)
	return m[parentKey]
}

// Tracer begins traces. A nil one begins none. It may be used concurrently.
type Tracer struct{ tracer trace.Tracer }

// NewTracer returns a Tracer that begins what p records.
func NewTracer(p trace.TracerProvider) *Tracer { return &Tracer{p.Tracer(scope)} }

// Serve begins a span of a request, below the one that its client names in h, if it does.
func (t *Tracer) Serve(ctx context.Context, h http.Header, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, to := t.tracer.Start(traceparent.Extract(ctx, propagation.HeaderCarrier(h)), name, trace.WithSpanKind(trace.SpanKindServer))
	return ctx, Span{to}
}

// Continue begins a span below one of Parent; nothing is recorded without one.
func (t *Tracer) Continue(ctx context.Context, parent, name string) (context.Context, Span) {
	if t == nil || parent == "" {
		return ctx, Span{}
	}
	ctx, to := t.tracer.Start(traceparent.Extract(ctx, propagation.MapCarrier{parentKey: parent}), name)
	return ctx, Span{to}
}
