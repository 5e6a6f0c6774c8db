package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/client"
)

// The root key of every service under test.
const (
	keyID  = "AKIADISKPORTE2E00000"
	secret = "e2e-secret-key-that-is-forty-characters0"
	region = "us-east-1"
)

// service is a running diskport serve.
type service struct {
	*client.Client // the command line's; the others are the SDK's
	EC2            *ec2.Client
	IAM            *iam.Client
	EBS            *ebs.Client
	S3             *s3.Client

	endpoint string
	ground   *ground // what a node stands on, and endpoint is that of its front; nil: data
	data     string
	http     *http.Client
	creds    aws.CredentialsProvider

	cmd    *exec.Cmd
	log    *logBuffer
	exited chan struct{} // closed when the process has ended
	err    error         // how it ended
}

// start starts a service on data, at a free port unless flags say otherwise,
// and waits until it says that it listens. It ends with the test.
func start(t *testing.T, data string, flags ...string) *service {
	t.Helper()
	g := groundOf(t, data, flags)
	if g != nil {
		flags = append(slices.Clone(g.flags), flags...)
	}
	return startCommand(t, data, exec.Command("diskport", serveArgs(data, flags)...), g)
}

func serveArgs(data string, flags []string) []string {
	return append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--reserve", "0", "--log-level", "warn"}, flags...)
}

// startCommand starts a service by a command; g is what it stands on, nil: its data directory.
func startCommand(t *testing.T, data string, cmd *exec.Cmd, g *ground) *service {
	t.Helper()
	leaveOut(t)
	s := &service{
		data:   data,
		http:   &http.Client{},
		creds:  credentials.NewStaticCredentialsProvider(keyID, secret, ""),
		cmd:    cmd,
		log:    &logBuffer{},
		exited: make(chan struct{}),
	}
	cmd.Env = append(os.Environ(), "DISKPORT_ROOT_ACCESS_KEY_ID="+keyID, "DISKPORT_ROOT_SECRET_ACCESS_KEY="+secret)
	if g != nil {
		cmd.Env = append(cmd.Env, g.env...)
	}
	cmd.Stderr = s.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		defer close(s.exited)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if at, ok := strings.CutPrefix(lines.Text(), "Listening on:"); ok {
				listening <- strings.TrimSpace(at)
			}
		}
		s.err = cmd.Wait()
	}()
	t.Cleanup(func() {
		s.stop(t)
		if t.Failed() {
			t.Logf("log of the service on %s:\n%s", s.data, s.log.tail())
		}
	})
	select {
	case s.endpoint = <-listening:
	case <-s.exited:
		t.Fatalf("diskport serve ended at once: %v\n%s", s.err, s.log.tail())
	}
	if g != nil {
		s.endpoint, s.ground = g.stands(t, s.endpoint), g
	}
	s.connect()
	return s
}

// connect makes the clients of the service.
func (s *service) connect() {
	s.Client = client.New(client.Config{Endpoint: s.endpoint, Region: region, Credentials: s.creds, HTTP: s.http})
	sdk := aws.Config{Region: region, Credentials: s.creds, BaseEndpoint: &s.endpoint, HTTPClient: s.http}
	s.EC2, s.IAM, s.EBS = ec2.NewFromConfig(sdk), iam.NewFromConfig(sdk), ebs.NewFromConfig(sdk)
	s.S3 = s3.NewFromConfig(sdk, func(o *s3.Options) { o.UsePathStyle = true })
}

// trust makes the clients trust a certificate.
func (s *service) trust(t *testing.T, certFile string) {
	t.Helper()
	pem, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	s.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	s.connect()
}

// stop ends the service as an init system does, and waits.
func (s *service) stop(t *testing.T) {
	t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	<-s.exited
}

// kill ends the service at once, and waits.
func (s *service) kill(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
}

// metrics reads the service's metrics.
func (s *service) metrics(t *testing.T) string {
	t.Helper()
	resp, err := s.http.Get(s.endpoint + "/-/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// metric reads the sum of a metric over its labels.
func (s *service) metric(t *testing.T, name string) float64 {
	t.Helper()
	sum, found := 0.0, false
	for line := range strings.Lines(s.metrics(t)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(rest[strings.LastIndex(rest, " "):], &v); err != nil {
			t.Fatalf("reading metric %q: %v", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Fatalf("there is no metric %s", name)
	}
	return sum
}

// env is what a client process needs to talk to the service.
func (s *service) env() []string {
	env := os.Environ()
	if s.ground != nil {
		env = append(env, "DISKPORT_ENDPOINT="+s.endpoint)
	}
	return append(env,
		"AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_DEFAULT_REGION="+region,
		"AWS_PAGER=", "DISKPORT_DATA="+s.data)
}

// aws runs Debian's AWS CLI, which is too old for AWS_ENDPOINT_URL, and returns what
// it prints.
func (s *service) aws(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.tryAWS(args...)
	if err != nil {
		t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (s *service) tryAWS(args ...string) (string, error) {
	cmd := exec.Command("/usr/bin/aws", append([]string{"--endpoint-url", s.endpoint, "--output", "text"}, args...)...)
	cmd.Env = s.env()
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// diskport runs the program against the service and returns its standard output.
func (s *service) diskport(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("diskport", args...)
	cmd.Env = s.env()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("diskport %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// logBuffer keeps what a service logs.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// tail returns the end of the log.
func (l *logBuffer) tail() string {
	const most = 8 << 10
	s := l.String()
	return s[max(0, len(s)-most):]
}

func writeFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
