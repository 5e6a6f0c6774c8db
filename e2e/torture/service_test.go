package torture

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/client"
	"github.com/diskport/diskport/internal/failpoint"
)

// The root key of the service.
const (
	keyID  = "AKIADISKPORTTORTURE0"
	secret = "torture-secret-key-of-forty-characters-0"
	region = "us-east-1"
)

// service is one life of the service: a process, and its clients.
type service struct {
	*client.Client
	ec2 *ec2.Client
	ebs *ebs.Client
	s3  *s3.Client
	kms *kms.Client

	at       site
	armed    arm
	endpoint string // empty: it died before it listened
	ctx      context.Context
	cmd      *exec.Cmd
	log      bytes.Buffer  // to be read when it has ended
	ended    chan struct{} // closed when it has
	err      error         // how it ended
}

// arm is how a process is to end by itself: at a point, or not.
type arm struct {
	point string // with "#n"; empty: none
	seen  string // the file that takes the names of points
	still bool   // nothing is rewritten in the background
	hold  string // the file that names a point to be held at; empty: none
	audit string // the file that takes the records of calls, which go to a bucket too; empty: there are none
}

func (a arm) env() []string {
	return []string{failpoint.Of + "=" + a.point, failpoint.Seen + "=" + a.seen, failpoint.Hold + "=" + a.hold}
}

// serve starts a single node.
func serve(t *testing.T, data string, a arm, wrap ...string) *service {
	t.Helper()
	return alone(data).serve(t, a, wrap...)
}

// serve starts the service and waits until it listens, or has died. Its context ends with the
// process.
func (at site) serve(t *testing.T, a arm, wrap ...string) *service {
	t.Helper()
	args := append(wrap, program, "serve", "--data", at.data, "--listen", "127.0.0.1:0", "--reserve", "0", "--log-level", "warn", "--log-format", "json",
		"--range-bytes", fmt.Sprint(2<<20), "--slice-pages", "1", "--quota-imports", "10000", "--request-rate", "-1", "--hold-poll", "0")
	if a.still {
		args = append(args, "--compact-rate", "0")
	}
	if a.audit != "" {
		args = append(args, "--audit-log", a.audit, "--audit-log", "s3://"+trail, "--audit-every", "1s")
	}
	if at.shared != nil {
		args = append(args, at.shared.args...)
	}
	s := &service{at: at, armed: a, ended: make(chan struct{}), cmd: exec.Command(args[0], args[1:]...)}
	s.cmd.Env = append(os.Environ(), append(a.env(), "DISKPORT_ROOT_ACCESS_KEY_ID="+keyID, "DISKPORT_ROOT_SECRET_ACCESS_KEY="+secret)...)
	if at.shared != nil {
		s.cmd.Env = append(s.cmd.Env, at.shared.env...)
	}
	s.cmd.Stderr = &s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	s.ctx = ctx
	listening := make(chan string, 1)
	go func() {
		defer close(s.ended)
		defer end()
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if at, ok := strings.CutPrefix(lines.Text(), "Listening on:"); ok {
				listening <- strings.TrimSpace(at)
			}
		}
		s.err = s.cmd.Wait()
	}()
	t.Cleanup(func() { s.kill(t) })
	select {
	case s.endpoint = <-listening:
		s.connect(aws.NopRetryer{}) // an answer that is lost stays unknown
	case <-s.ended:
	}
	return s
}

// connect makes the clients of the service.
func (s *service) connect(r aws.Retryer) {
	creds := credentials.NewStaticCredentialsProvider(keyID, secret, "")
	web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	s.Client = client.New(client.Config{Endpoint: s.endpoint, Region: region, Credentials: creds, HTTP: web})
	sdk := aws.Config{Region: region, Credentials: creds, BaseEndpoint: &s.endpoint, HTTPClient: web, Retryer: func() aws.Retryer { return r }}
	s.ec2, s.ebs, s.kms = ec2.NewFromConfig(sdk), ebs.NewFromConfig(sdk), kms.NewFromConfig(sdk)
	s.s3 = s3.NewFromConfig(sdk, func(o *s3.Options) {
		o.UsePathStyle = true
		if s.at.shared != nil {
			o.BaseEndpoint = &s.at.shared.storage.endpoint
		}
	})
}

// kill ends the process with SIGKILL, unless it has ended, and waits.
func (s *service) kill(t *testing.T) {
	t.Helper()
	s.signal(t, syscall.SIGKILL)
	<-s.ended
}

// signal sends the service a signal, unless it has ended: it, and not what records it.
func (s *service) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	select {
	case <-s.ended:
		return
	default:
	}
	pid := s.cmd.Process.Pid
	if s.cmd.Args[0] != program {
		text, err := os.ReadFile(filepath.Join(s.at.data, "lock"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscanf(string(text), "process %d", &pid); err != nil {
			t.Fatal(err)
		}
	}
	_ = syscall.Kill(pid, sig) // it may have ended meanwhile
}

// stop ends the service as an init system does.
func (s *service) stop(t *testing.T) {
	t.Helper()
	s.signal(t, syscall.SIGTERM)
	<-s.ended
	if s.err != nil {
		t.Errorf("the service ended with %v\n%s", s.err, s.tail())
	}
}

// killed reports whether the process ended by SIGKILL.
func (s *service) killed() bool {
	status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// tail returns the end of the log of a process that has ended.
func (s *service) tail() string {
	const most = 8 << 10
	b := s.log.Bytes()
	return string(b[max(0, len(b)-most):])
}

// points are the names of the fail points that processes came to.
type points struct {
	path       string
	hit, tried map[string]int // how often a process died there, and was to
	first      []string       // those to die at before any other
}

// list returns all names that were seen so far, in the order of their first time.
func (p *points) list(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile(p.path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for name := range strings.Lines(string(text)) {
		if name = strings.TrimSuffix(name, "\n"); !known[name] {
			known[name] = true
			names = append(names, name)
		}
	}
	return names
}

func newPoints(t *testing.T) *points {
	return &points{path: filepath.Join(t.TempDir(), "points"), hit: map[string]int{}, tried: map[string]int{}}
}
