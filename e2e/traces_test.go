package e2e

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/diskport/diskport/internal/client"
)

// collector takes spans as OpenTelemetry's collector does.
type collector struct {
	*httptest.Server
	mu    sync.Mutex // guards what follows
	spans []*tracepb.Span
	sent  bytes.Buffer
	more  chan struct{} // filled when spans have come
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{more: make(chan struct{}, 1)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var got tracepb.TracesData
		if err == nil {
			err = proto.Unmarshal(body, &got)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Authorization") != "Bearer collect" {
			t.Errorf("%s with %v: %v", r.URL, r.Header, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sent.Write(body)
		for _, from := range got.GetResourceSpans() {
			for _, scope := range from.GetScopeSpans() {
				c.spans = append(c.spans, scope.GetSpans()...)
			}
		}
		select {
		case c.more <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// of returns the spans of a trace once one of each of the names is among them.
func (c *collector) of(trace string, names ...string) (spans []*tracepb.Span) {
	for {
		c.mu.Lock()
		spans = slices.DeleteFunc(slices.Clone(c.spans), func(s *tracepb.Span) bool { return hex.EncodeToString(s.GetTraceId()) != trace })
		c.mu.Unlock()
		there := func(name string) bool {
			return slices.ContainsFunc(spans, func(s *tracepb.Span) bool { return s.GetName() == name })
		}
		if !slices.ContainsFunc(names, func(name string) bool { return !there(name) }) {
			return spans
		}
		<-c.more
	}
}

// TestTraces: an import is one trace, from the span of the client that asked for it to the
// requests to S3, and has no secret.
func TestTraces(t *testing.T) {
	dir := t.TempDir()
	raw := smallRaw(t, dir, "disk.raw")
	third, spans := startThirdParty(t, raw), startCollector(t)
	elsewhere(t, "SOURCE", "THIRD", "third secret")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", spans.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20collect")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	s := start(t, filepath.Join(dir, "data"), "--source-endpoint", third.URL, "--source-sts", "none")
	if err := s.EnsureRole(t.Context(), "vmimport"); err != nil {
		t.Fatal(err)
	}
	presigned, err := s3.NewPresignClient(third.s3).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("images"), Key: aws.String("disk.raw")})
	if err != nil {
		t.Fatal(err)
	}
	_, signature, _ := strings.Cut(presigned.URL, "X-Amz-Signature=")
	if len(signature) < 64 {
		t.Fatal(presigned.URL)
	}
	for i, url := range []string{"s3://images/disk.raw", presigned.URL} {
		trace, above := fmt.Sprintf("%032x", 0xabc0+i), "00000000000000ab"
		in := importOf(url)
		in.Encrypted = aws.Bool(i == 0)
		out, err := s.EC2.ImportSnapshot(t.Context(), in, func(o *ec2.Options) {
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("traceparent", "00-"+trace+"-"+above+"-01"))
		})
		if err != nil {
			t.Fatal(err)
		}
		task, err := s.Watch(t.Context(), aws.ToString(out.ImportTaskId), func(client.Task) {})
		if err != nil || task.Status != "completed" {
			t.Fatalf("%v, %+v", err, task)
		}
		names := []string{"ec2.ImportSnapshot", "plan", "publish", "S3 GET", "source read", "store write", "store close", "database write", "database read"}
		if i == 0 {
			names = append(names, "S3 HEAD", "KMS GenerateDataKeyWithoutPlaintext")
		}
		connected(t, spans.of(trace, names...), above, aws.ToString(out.ImportTaskId))
	}
	root, err := s.creds.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spans.mu.Lock()
	defer spans.mu.Unlock()
	for _, secret := range []string{signature[:64], "X-Amz", "third secret", root.SecretAccessKey} {
		if bytes.Contains(spans.sent.Bytes(), []byte(secret)) {
			t.Errorf("spans have %q", secret)
		}
	}
}

// connected checks that spans are one tree below the one above, and that those of units say
// whose they are.
func connected(t *testing.T, spans []*tracepb.Span, above, task string) {
	t.Helper()
	known := map[string]string{above: "the client"}
	for _, s := range spans {
		known[hex.EncodeToString(s.GetSpanId())] = s.GetName()
	}
	for _, s := range spans {
		parent, ok := known[hex.EncodeToString(s.GetParentSpanId())]
		if !ok || (parent == "the client") != (s.GetName() == "ec2.ImportSnapshot") {
			t.Errorf("%s is below %q", s.GetName(), parent)
		}
		has := map[string]string{}
		for _, a := range s.GetAttributes() {
			has[a.GetKey()] = a.GetValue().GetStringValue()
		}
		want := map[string][]string{
			"ec2.ImportSnapshot": {"diskport.request", "diskport.account", "diskport.task"}, "plan": {"diskport.account", "diskport.task"}, "publish": {"diskport.account", "diskport.task"},
			"S3 GET": {"http.request.header.range", "url.path", "server.address"},
		}[s.GetName()]
		for _, key := range want {
			if has[key] == "" || key == "diskport.task" && has[key] != task {
				t.Errorf("%s says %v", s.GetName(), has)
			}
		}
	}
}

// TestTracesToNowhere: a receiver that is down keeps no import and no end of the service.
func TestTracesToNowhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	s := start(t, filepath.Join(dir, "data"), "--trace-endpoint", down.URL)
	if id := s.diskport(t, "import", smallRaw(t, dir, "disk.raw")); !strings.HasPrefix(id, "snap-") {
		t.Error(id)
	}
	for !strings.Contains(s.metrics(t), `diskport_trace_spans_total{end="lost"}`) {
		time.Sleep(100 * time.Millisecond)
	}
}
