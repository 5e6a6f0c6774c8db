package server

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/diskport/diskport/internal/audit"
	"github.com/diskport/diskport/internal/imports/objects"
)

// TestTheAuditLogsBucketIsTheOperators: it is made if there is none, and another account's
// gets no records.
func TestTheAuditLogsBucketIsTheOperators(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.AuditLogs = []string{"s3://trail/some/prefix"}
	a := newApp(t, cfg)
	at, err := parseAuditPlace(cfg.AuditLogs[0])
	if err != nil {
		t.Fatal(err)
	}
	b := embeddedBucket{a, at.bucket}
	for range 2 { // it may be delivered again
		if err := b.Put(t.Context(), "key", []byte("records")); err != nil {
			t.Fatal(err)
		}
	}
	o, err := a.parts.objects.Object(t.Context(), "trail", "some/prefix/key", "")
	if err != nil || o.Size != 7 {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := a.parts.objects.CreateBucket(t.Context(), objects.Bucket{Name: "theirs", Account: "111122223333", Region: "us-east-1"}); err != nil {
		t.Fatal(err)
	}
	b.at.Bucket = "theirs"
	if err := b.Put(t.Context(), "key", []byte("records")); err == nil || !strings.Contains(err.Error(), "111122223333") {
		t.Errorf("another account's bucket: %v", err)
	}
}

// TestAnAuditLogElsewhere: records go to a bucket of another S3.
func TestAnAuditLogElsewhere(t *testing.T) {
	put := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPut && strings.Contains(r.Header.Get("Authorization"), "Credential=AUDITKEY/") {
			put <- r.URL.Path
		}
	}))
	defer srv.Close()
	cfg := config(t.TempDir())
	cfg.AuditEvery = time.Second
	cfg.AuditLogs = []string{"s3://trail/p?region=eu-west-1&endpoint=" + url.QueryEscape(srv.URL)}
	if _, err := New(t.Context(), cfg); err == nil {
		t.Fatal("without credentials")
	}
	cfg.AuditCredentials = credentials.NewStaticCredentialsProvider("AUDITKEY", "x", "")
	a := newApp(t, cfg)
	a.audit.Write(audit.Record{EventName: "x", RecipientAccountID: "111122223333", AWSRegion: "eu-north-1"})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan struct{})
	go func() { a.spool.Run(ctx); close(done) }()
	if path := <-put; !strings.HasPrefix(path, "/trail/p/AWSLogs/111122223333/CloudTrail/eu-north-1/") {
		t.Errorf("it is at %s", path)
	}
	stop()
	<-done
}

func TestAuditPlaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	for name, tt := range map[string]struct {
		places []string
		fails  bool
	}{
		"none":           {nil, false},
		"a file":         {[]string{file}, false},
		"both":           {[]string{file, "s3://b/p"}, false},
		"two buckets":    {[]string{"s3://b/p", "s3://c"}, true},
		"two files":      {[]string{file, file + "2"}, true},
		"no bucket":      {[]string{"s3://"}, true},
		"a relative one": {[]string{"log"}, true},
		"elsewhere":      {[]string{"s3://b?region=eu-west-1"}, true}, // without keys
	} {
		if err := (Config{AuditLogs: tt.places}).checkAudit(); (err != nil) != tt.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}
