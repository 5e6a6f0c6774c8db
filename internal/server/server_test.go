package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/diskport/diskport/internal/identity/sigv4"
)

// config is that of a service on dir, at a free port, with the root key AKIAROOT.
func config(dir string) Config {
	return Config{
		Data: dir, Listen: "127.0.0.1:0", RootAccessKeyID: "AKIAROOT", RootSecretAccessKey: "root secret",
		Logger: slog.New(slog.DiscardHandler),
	}
}

// service is an App that runs.
type service struct {
	*App
	stop context.CancelFunc
	done chan error // what Run returned
}

func run(t *testing.T, cfg Config) *service {
	t.Helper()
	a, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s := &service{App: a, stop: stop, done: make(chan error, 1)}
	go func() { s.done <- a.Run(ctx) }()
	t.Cleanup(func() { s.end(t) })
	return s
}

// end stops the service and closes it. It may be called again.
func (s *service) end(t *testing.T) {
	t.Helper()
	if s.App == nil {
		return
	}
	s.stop()
	if err := <-s.done; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	s.App = nil
}

// request sends a request to the service, signed with the root key if it names an
// AWS service.
func (s *service) request(t *testing.T, service, method, path, body string, header http.Header) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if service == "" {
		return r
	}
	id, secret := s.Credentials()
	sign(t, r, key{id, secret}, service, body)
	return r
}

// key is what a request is signed with.
type key struct{ id, secret string }

// sign signs a request to an AWS service.
func sign(t testing.TB, r *http.Request, k key, service, body string) {
	t.Helper()
	hash := sigv4.HashBody([]byte(body))
	r.Header.Set("X-Amz-Content-Sha256", hash)
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: k.id, SecretAccessKey: k.secret}, r, hash, service, "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
}

func answer(t *testing.T, r *http.Request) (status int, body string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// query is a call of a Query API.
func query(action, version string) (string, http.Header) {
	return "Action=" + action + "&Version=" + version, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
}

// TestRefused: settings that contradict each other are refused before anything is
// opened.
func TestRefused(t *testing.T) {
	keys := credentials.NewStaticCredentialsProvider("id", "secret", "")
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no data directory", func(c *Config) { c.Data = "" }, "no data directory"},
		{"no logger", func(c *Config) { c.Logger = nil }, "no logger"},
		{"half a root key", func(c *Config) { c.RootSecretAccessKey = "" }, "root access key id and secret go together"},
		{"the other half", func(c *Config) { c.RootAccessKeyID = "" }, "root access key id and secret go together"},
		{"certificate without key", func(c *Config) { c.TLSCert = "cert.pem" }, "TLS certificate and key go together"},
		{"key without certificate", func(c *Config) { c.TLSKey = "key.pem" }, "TLS certificate and key go together"},
		{"source without keys", func(c *Config) { c.SourceEndpoint = "aws" }, "needs credentials"},
		{"KMS without keys", func(c *Config) { c.KMSEndpoint = "aws" }, "needs credentials"},
		{"database", func(c *Config) { c.Database = "mysql://db" }, `--database takes no "mysql"`},
		{"store", func(c *Config) { c.Store = "ftp://blocks" }, `--store takes no "ftp"`},
		{"store without keys", func(c *Config) { c.Store = "s3://blocks" }, "block store in S3 needs credentials"},
		{"no bucket", func(c *Config) { c.Store, c.StoreCredentials = "s3:///prefix", keys }, "is not s3://BUCKET/PREFIX"},
		{"source", func(c *Config) { c.SourceEndpoint, c.SourceCredentials = "ftp://s3", keys }, `--source-endpoint takes no "ftp"`},
		{"KMS", func(c *Config) { c.KMSEndpoint, c.KMSCredentials = "vault://kms", keys }, `--kms-endpoint takes no "vault"`},
		{"one role", func(c *Config) { c.Roles = []string{"api"} }, "needs both roles"},
	} {
		t.Run(tt.name, func(t *testing.T) { refuses(t, tt.change, tt.want) })
	}
}

// refuses checks that a setting is refused in some words, before anything is opened.
func refuses(t *testing.T, change func(*Config), want string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	cfg := config(dir)
	change(&cfg)
	if _, err := New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the data directory was touched: %v", err)
	}
}

// TestNewFails: whichever part fails, those that were opened before are closed
// again.
func TestNewFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	write := func(name, content string) func(*testing.T, *Config) {
		return func(t *testing.T, c *Config) {
			if err := os.WriteFile(filepath.Join(c.Data, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	keys := credentials.NewStaticCredentialsProvider("id", "secret", "")
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *Config)
		want   string
	}{
		{"certificate", func(_ *testing.T, c *Config) { c.TLSCert, c.TLSKey = os.DevNull, os.DevNull }, "TLS certificate"},
		{"master key", write("master.key", "short"), "key"},
		{"database without its key", write(databaseName, ""), "master.key is missing"},
		{"credentials", func(t *testing.T, c *Config) {
			c.RootAccessKeyID, c.RootSecretAccessKey = "", ""
			write("credentials", "[default]\n")(t, c)
		}, "names no access key"},
		{"database", func(t *testing.T, c *Config) {
			write("master.key", strings.Repeat("k", 32))(t, c)
			write(databaseName, strings.Repeat("no database", 1000))(t, c)
		}, "database"},
		{"source", func(_ *testing.T, c *Config) { c.SourceEndpoint, c.SourceCredentials = "http://a/b", keys }, "a/b"},
		{"STS", func(_ *testing.T, c *Config) {
			c.SourceEndpoint, c.SourceSTS, c.SourceCredentials = "http://a", "nowhere", keys
		}, "nowhere"},
		{"blocks", write("blocks", "a file"), "blocks"},
		{"listener", func(_ *testing.T, c *Config) { c.Listen = taken.Addr().String() }, "address already in use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(t.TempDir())
			tt.change(t, &cfg)
			before, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if now, err := os.Getwd(); now != before {
				t.Errorf("the working directory is %s, %v; want %s", now, err, before)
			}
			open(t, cfg.Data) // is not locked
		})
	}
}

// TestService is one life of the service: every edge behind one address, a stop,
// and a second start that finds what the first left.
func TestService(t *testing.T) {
	before, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(filepath.Join(t.TempDir(), "data"))
	s := run(t, cfg)
	t.Run("pages", func(t *testing.T) {
		for path, want := range map[string]string{"/-/live": "ok\n", "/-/ready": "ok\n", "/-/metrics": "diskport_source_bytes_total 0"} {
			if status, body := answer(t, s.request(t, "", http.MethodGet, path, "", nil)); status != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s: %d, %s; want 200, %q", path, status, body, want)
			}
		}
	})
	t.Run("edges", func(t *testing.T) {
		type call struct {
			name, service, method, path string
			body                        string
			header                      http.Header
			status                      int
			want                        string
		}
		ask := func(service, action, version, want string) call {
			body, header := query(action, version)
			return call{service, service, http.MethodPost, "/", body, header, http.StatusOK, want}
		}
		kms := http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"TrentService.ListKeys"}}
		for _, tt := range []call{
			ask("ec2", "DescribeSnapshots", "2016-11-15", "DescribeSnapshotsResponse"),
			ask("iam", "ListUsers", "2010-05-08", "ListUsersResponse"),
			ask("sts", "GetCallerIdentity", "2011-06-15", "arn:aws:iam::000000000000:root"),
			{"kms", "kms", http.MethodPost, "/", "{}", kms, http.StatusOK, `"Keys"`},
			{"s3", "s3", http.MethodGet, "/", "", nil, http.StatusOK, "ListAllMyBucketsResult"},
			{"ebs", "ebs", http.MethodGet, "/snapshots/snap-0123456789abcdef0/blocks", "", nil, http.StatusNotFound, "snap-0123456789abcdef0"},
			{"admin", "diskport", http.MethodGet, "/-/v1/tasks", "", nil, http.StatusOK, "[]"},
			{"unsigned", "", http.MethodGet, "/", "", nil, http.StatusForbidden, "AccessDenied"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				status, body := answer(t, s.request(t, tt.service, tt.method, tt.path, tt.body, tt.header))
				if status != tt.status || !strings.Contains(body, tt.want) {
					t.Errorf("%d, %s; want %d, %q", status, body, tt.status, tt.want)
				}
			})
		}
	})
	if status, body := answer(t, s.request(t, "s3", http.MethodPut, "/kept", "", nil)); status != http.StatusOK {
		t.Fatalf("making a bucket: %d, %s", status, body)
	}
	if text, err := os.ReadFile(filepath.Join(cfg.Data, "endpoint")); string(text) != s.Endpoint()+"\n" {
		t.Errorf("announced %q, %v; want %q", text, err, s.Endpoint())
	}
	at := s.Addr()
	s.end(t)
	if c, err := net.Dial("tcp", at); err == nil {
		c.Close()
		t.Error("it still listens")
	}
	if _, err := os.Stat(filepath.Join(cfg.Data, "endpoint")); !os.IsNotExist(err) {
		t.Errorf("the endpoint is still announced: %v", err)
	}
	if now, err := os.Getwd(); now != before {
		t.Errorf("the working directory is %s, %v; want %s", now, err, before)
	}

	cfg.RootAccessKeyID, cfg.RootSecretAccessKey = "", "" // those of the first start
	cfg.KMSEndpoint, cfg.KMSCredentials = "https://kms.test", credentials.NewStaticCredentialsProvider("id", "secret", "")
	s = run(t, cfg)
	if id, secret := s.Credentials(); id != "AKIAROOT" || secret != "root secret" {
		t.Errorf("the second start has the key %q", id)
	}
	if status, body := answer(t, s.request(t, "s3", http.MethodGet, "/", "", nil)); status != http.StatusOK || !strings.Contains(body, "kept") {
		t.Errorf("after the second start: %d, %s; want the bucket", status, body)
	}
	kms := http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"TrentService.ListKeys"}}
	if status, body := answer(t, s.request(t, "kms", http.MethodPost, "/", "{}", kms)); status != http.StatusBadRequest || !strings.Contains(body, "https://kms.test") {
		t.Errorf("with keys elsewhere: %d, %s; want to be told where", status, body)
	}
}

// TestReady: a service without its database lives, and is not ready.
func TestReady(t *testing.T) {
	a, err := New(t.Context(), config(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	get := func(path string) int {
		w := httptest.NewRecorder()
		a.http.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code
	}
	if got := get("/-/ready"); got != http.StatusOK {
		t.Errorf("ready: %d, want 200", got)
	}
	if err := a.parts.db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := get("/-/ready"); got != http.StatusServiceUnavailable {
		t.Errorf("ready without a database: %d, want 503", got)
	}
	if got := get("/-/live"); got != http.StatusOK {
		t.Errorf("alive without a database: %d, want 200", got)
	}
}

// said is a slog.Handler that signals when something is logged.
type said struct {
	slog.Handler
	what string
	when chan struct{} // closed then
}

func (s said) Handle(_ context.Context, r slog.Record) error {
	if r.Message == s.what {
		close(s.when)
	}
	return nil
}
func (s said) Enabled(context.Context, slog.Level) bool { return true }
func (s said) WithAttrs([]slog.Attr) slog.Handler       { return s }

// TestStopLetsRequestsEnd: a request that is being served when the service is told
// to stop gets its answer.
func TestStopLetsRequestsEnd(t *testing.T) {
	stopping := make(chan struct{})
	cfg := config(t.TempDir())
	cfg.Logger = slog.New(said{slog.DiscardHandler, "stopping", stopping})
	s := run(t, cfg)
	body, send := io.Pipe()
	r := s.request(t, "", http.MethodPost, "/", "", http.Header{"Expect": {"100-continue"}})
	signed, header := query("DescribeSnapshots", "2016-11-15")
	for name, values := range s.request(t, "ec2", http.MethodPost, "/", signed, header).Header {
		r.Header[name] = values
	}
	r.Body, r.ContentLength = body, int64(len(signed))
	reading := make(chan struct{})
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(reading) }}))
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}
	answered := make(chan error, 1)
	go func() {
		resp, err := client.Do(r)
		if err == nil {
			resp.Body.Close()
		}
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		answered <- err
	}()
	select {
	case <-reading:
	case err := <-answered:
		t.Fatalf("answered without its body: %v", err)
	}
	s.stop()
	<-stopping
	if _, err := io.WriteString(send, signed); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the request in flight: %v, want an answer", err)
	}
}

// TestRunEndsWithItsListener: a service that can't be reached doesn't go on
// working.
func TestRunEndsWithItsListener(t *testing.T) {
	a, err := New(t.Context(), config(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run = %v, want %v", err, net.ErrClosed)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func TestClosers(t *testing.T) {
	var c closers
	var order []int
	first, third := errors.New("first"), errors.New("third")
	for i, err := range []error{first, nil, third} {
		c.add(func() error { order = append(order, i); return err })
	}
	if err := c.close(); !errors.Is(err, first) || !errors.Is(err, third) {
		t.Errorf("close = %v, want both errors", err)
	}
	if want := []int{2, 1, 0}; !slices.Equal(order, want) {
		t.Errorf("closed in order %v, want %v", order, want)
	}
	if err := c.close(); err != nil || len(order) != 3 {
		t.Errorf("a second close: %v, %v; want nothing", err, order)
	}
}

// at is a listener at an address.
type at string

func (at) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (at) Close() error              { return nil }
func (a at) Addr() net.Addr          { return a }
func (at) Network() string           { return "tcp" }
func (a at) String() string          { return string(a) }

func TestEndpoint(t *testing.T) {
	for address, want := range map[at]string{
		"127.0.0.1:4580": "http://127.0.0.1:4580", "0.0.0.0:4580": "http://127.0.0.1:4580",
		"[::]:4580": "http://127.0.0.1:4580", "[::1]:4580": "http://[::1]:4580",
	} {
		if got := (&App{listener: address}).Endpoint(); got != want {
			t.Errorf("at %s: %s, want %s", address, got, want)
		}
	}
}
