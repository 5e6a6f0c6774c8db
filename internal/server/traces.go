package server

import (
	"context"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/otlp"
	"github.com/diskport/diskport/internal/span"
	"github.com/diskport/diskport/internal/store/keyring"
)

// Traces says where traces are sent. The zero value means nowhere.
type Traces struct {
	URL     string            // of a receiver of OpenTelemetry's protocol (HTTP, protobuf)
	Headers map[string]string // of what is sent, such as a password
	Timeout time.Duration     // of a batch; 0: 10 s
	Client  *http.Client      // nil: one that takes the proxy and the certificates of the system
}

// traceGrace is how long a service that stops waits for its last spans to be taken.
const traceGrace = 3 * time.Second

// traceTo makes what begins traces; nil if none are wanted. Spans wait in a queue of bounded
// length until they are sent; those that find no room are lost.
func (a *App) traceTo(metrics prometheus.Registerer) (*span.Tracer, error) {
	t := a.cfg.Traces
	if t.URL == "" {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	if t.Client == nil {
		t.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	sender := otlp.NewSender(otlp.Options{
		URL: t.URL, Headers: t.Headers, Timeout: t.Timeout, Client: t.Client, Metrics: metrics,
		Failed: func(err error) { a.log.Warn("traces are lost", logkey.Error, err) },
	})
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(a.resource()),
		sdktrace.WithBatcher(otlptrace.NewUnstarted(sender)),
	)
	a.closers.add(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), traceGrace)
		defer cancel()
		return ignore(provider.Shutdown(ctx), context.DeadlineExceeded)
	})
	return span.NewTracer(provider), nil
}

// resource says who sends spans, unless the environment says it.
func (a *App) resource() *resource.Resource {
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	ours := resource.NewSchemaless(
		attribute.String("service.name", "diskport"), attribute.String("service.version", version), attribute.String("service.instance.id", a.owner),
	)
	merged, err := resource.Merge(ours, resource.Environment())
	if err != nil {
		a.log.Warn("what the environment says of the traces' resource is not all taken", logkey.Error, err)
	}
	return merged
}

// tracedKMS records the use of keys.
type tracedKMS struct{ keyring.KMS }

// begin begins the span of an action, named as KMS names it.
func (tracedKMS) begin(ctx context.Context, action, arn string) (context.Context, span.Span) {
	ctx, s := span.Start(ctx, "KMS "+action)
	s.Text("diskport.kms_key", arn)
	return ctx, s
}

// Resolve implements keyring.Directory.
func (k tracedKMS) Resolve(ctx context.Context, who kms.Caller, identifier string, w keyring.Wish) (keyring.Key, error) {
	ctx, s := k.begin(ctx, "DescribeKey", identifier)
	key, err := k.KMS.Resolve(ctx, who, identifier, w)
	s.End(err)
	return key, err
}

// GenerateDataKey implements keyring.DataKeys.
func (k tracedKMS) GenerateDataKey(ctx context.Context, arn string, c keyring.Context) (plain, ciphertext []byte, err error) {
	ctx, s := k.begin(ctx, "GenerateDataKey", arn)
	plain, ciphertext, err = k.KMS.GenerateDataKey(ctx, arn, c)
	s.End(err)
	return plain, ciphertext, err
}

// GenerateDataKeyWithoutPlaintext implements keyring.DataKeys.
func (k tracedKMS) GenerateDataKeyWithoutPlaintext(ctx context.Context, arn string, c keyring.Context) ([]byte, error) {
	ctx, s := k.begin(ctx, "GenerateDataKeyWithoutPlaintext", arn)
	ciphertext, err := k.KMS.GenerateDataKeyWithoutPlaintext(ctx, arn, c)
	s.End(err)
	return ciphertext, err
}

// Decrypt implements keyring.DataKeys.
func (k tracedKMS) Decrypt(ctx context.Context, arn string, ciphertext []byte, c keyring.Context) ([]byte, error) {
	ctx, s := k.begin(ctx, "Decrypt", arn)
	plain, err := k.KMS.Decrypt(ctx, arn, ciphertext, c)
	s.End(err)
	return plain, err
}
