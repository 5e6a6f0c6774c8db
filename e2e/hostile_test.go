package e2e

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sys/unix"
)

// hostile is a service, and a crowd that attacks it over connections of its own.
type hostile struct {
	*load
	dial  func() (net.Conn, error)
	over  chan struct{} // closed when the attacks are to end
	token string        // of a block of base
	draft string        // a snapshot that is being written

	all, closing sync.WaitGroup // attacks, and of them those that the service has to end
	mu           sync.Mutex     // guards what follows
	conns        []net.Conn
	wrong        []error
}

// attack is what some connections do until the service closes them, or the attacks are
// over. It returns what must not have happened.
type attack struct {
	name   string
	many   int
	closed bool // the service closes them, however long the attack lasts
	run    func(c net.Conn) error
}

// attacks are those on a service with or without TLS. Their deadlines are proved in
// virtual time, in internal/server, internal/api/flow and internal/api/awshttp.
func (h *hostile) attacks(t *testing.T, scale int) []attack {
	t.Helper()
	zeros := make([]byte, 16<<10)
	text := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	says := func(s string) func(net.Conn) error { // and reads until the service closes it
		return func(c net.Conn) error {
			_, _ = io.WriteString(c, text(s))
			_, _ = io.Copy(io.Discard, c)
			return nil
		}
	}
	asks := func(s string) func(net.Conn) error { // and reads nothing
		return func(c net.Conn) error {
			_, _ = io.WriteString(c, text(s))
			return h.awaitEnd(c)
		}
	}
	pours := func(head string, piece []byte) func(net.Conn) error {
		return func(c net.Conn) error { _, _ = io.WriteString(c, text(head)); return h.pour(c, piece) }
	}
	all := []attack{
		{"idle", 20 * scale, true, says("")},
		{"idle after a request", 80 * scale, false, asks("GET /-/live HTTP/1.1\nHost: a\n\n")},
		{"half a header", scale, true, says("GET / HTTP/1.1\nHost: a\nX-Slow: ")},
		{"half-open", scale, true, func(c net.Conn) error {
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
			return says("")(c)
		}},
		{"a header without end", scale, true, pours("GET / HTTP/1.1\nHost: a\n", []byte(strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\r\n", 16)))},
		{"a request line without end", scale, true, pours("GET /", bytes.Repeat([]byte("x"), 16<<10))},
		{"a chunk's extension without end", scale, true, pours("PUT /bucket/key HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1;x=", bytes.Repeat([]byte("x"), 16<<10))},
		{"trailers without end", scale, true, pours("PUT /bucket/key HTTP/1.1\nHost: a\nTrailer: x\nTransfer-Encoding: chunked\n\n0\n", []byte(strings.Repeat("x: y\r\n", 2000)))},
		{"a body of a stranger", scale, true, pours("POST / HTTP/1.1\nHost: a\nContent-Length: 1000000000000\n\n", zeros)},
		{"requests that nobody waits for", 1, true, pours("", []byte(strings.Repeat(text("GET /-/health HTTP/1.1\nHost: a\n\n"), 500)))},
		{"pipelines", scale, false, h.pipeline},
		{"slow readers of blocks", 15 * scale, false, asks(h.head(t, "GET", "ebs", "/snapshots/"+h.base+"/blocks/0?blockToken="+url.QueryEscape(h.token), "Content-Length: 0\n"))},
		{"slow readers of objects", scale, false, asks(h.head(t, "GET", "s3", "/hostile/large", "Content-Length: 0\n"))},
		{"slow writers of objects", scale, true, says(h.head(t, "PUT", "s3", "/hostile/slow", "Content-Length: 1000000\n") + "x")},
		{"slow writers of blocks", scale, true, says(h.head(t, "PUT", "ebs", "/snapshots/"+h.draft+"/blocks/1", "Content-Length: 524288\n",
			"X-Amz-Data-Length", "524288", "X-Amz-Checksum-Algorithm", "SHA256", "X-Amz-Checksum", base64.StdEncoding.EncodeToString(make([]byte, 32))) + strings.Repeat("x", 4096))},
	}
	chunk := append(append([]byte("4000\r\n"), zeros...), '\r', '\n')
	for _, service := range []string{"ec2", "ebs", "s3", "iam", "kms", "sts", "diskport"} {
		path := map[string]string{"s3": "/hostile/huge", "diskport": "/-/v1/gc", "ebs": "/snapshots"}[service]
		if path == "" {
			path = "/"
		}
		all = append(all,
			attack{"a huge body for " + service, 1, true, pours(h.head(t, "PUT", service, path, "Content-Length: 1000000000000\n"), zeros)},
			attack{"chunks without end for " + service, 1, true, pours(h.head(t, "POST", service, path, "Transfer-Encoding: chunked\n"), chunk)})
	}
	return all
}

// head returns the header of a signed request, whose body is not signed; rest is what
// else is in it, and signed are names and values that are signed.
func (h *hostile) head(t *testing.T, method, service, target, rest string, signed ...string) string {
	t.Helper()
	r, err := http.NewRequest(method, h.endpoint+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := h.creds.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const unsigned = "UNSIGNED-PAYLOAD"
	r.Header.Set("X-Amz-Content-Sha256", unsigned)
	for pair := range slices.Chunk(signed, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, unsigned, service, region, time.Now(), func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = service == "s3"
	}); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\nHost: %s\n%s", method, r.URL.RequestURI(), r.Host, rest)
	for name, values := range r.Header {
		fmt.Fprintf(&b, "%s: %s\n", name, values[0])
	}
	return b.String() + "\n"
}

// awaitEnd reads nothing, and waits until the attacks are over.
func (h *hostile) awaitEnd(net.Conn) error {
	<-h.over
	return nil
}

// pour writes for as long as the service takes it, though no faster than 320 KiB a
// second.
func (h *hostile) pour(c net.Conn, piece []byte) error {
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for {
		if _, err := c.Write(piece); err != nil {
			return nil // it is closed
		}
		select {
		case <-h.over:
			return nil
		case <-pace.C:
		}
	}
}

// pipeline sends many requests before it reads the first answer. One that is too slow for
// the service on a slow machine is cut, but gets no other answer.
func (h *hostile) pipeline(c net.Conn) error {
	const many = 200
	if _, err := io.WriteString(c, strings.Repeat("GET /-/live HTTP/1.1\r\nHost: a\r\n\r\n", many)); err != nil {
		return nil
	}
	in := bufio.NewReader(c)
	for range many {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return nil
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("one of many requests in a row: %s", resp.Status)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	return nil
}

// begin begins an attack.
func (h *hostile) begin(a attack) {
	for range a.many {
		h.all.Add(1)
		if a.closed {
			h.closing.Add(1)
		}
		go func() {
			defer h.all.Done()
			if a.closed {
				defer h.closing.Done()
			}
			c, err := h.dial()
			if err == nil {
				h.mu.Lock()
				h.conns = append(h.conns, c)
				h.mu.Unlock()
				err = a.run(c)
			}
			if err != nil {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.wrong = append(h.wrong, fmt.Errorf("%s: %w", a.name, err))
			}
		}()
	}
}

// end ends all attacks, and returns what went wrong with them.
func (h *hostile) end() error {
	close(h.over)
	h.mu.Lock()
	for _, c := range h.conns {
		_ = c.Close()
	}
	h.mu.Unlock()
	h.all.Wait()
	return errors.Join(h.wrong...)
}

// TestHostileClients: whatever clients do that are slow or mean, and more than two thousand
// of them at once, the service is healthy, others read and write, its memory stays in its
// bounds, and nothing is left of them.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		s := start(t, filepath.Join(dir, "plain"))
		h := newHostile(t, s)
		h.dial = func() (net.Conn, error) { return dialSlowReader(s.endpoint) }
		h.withstands(t, h.attacks(t, scaleOf(t)))
	})
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		cert, key := makeCertificate(t, dir)
		s := start(t, filepath.Join(dir, "tls"), "--tls-cert", cert, "--tls-key", key)
		s.trust(t, cert)
		h := newHostile(t, s)
		config := s.http.Transport.(*http.Transport).TLSClientConfig.Clone()
		config.ServerName = "127.0.0.1"
		h.dial = func() (net.Conn, error) {
			c, err := dialSlowReader(s.endpoint)
			if err != nil {
				return nil, err
			}
			secure := tls.Client(c, config)
			return secure, secure.Handshake()
		}
		raw := func(text string) func(net.Conn) error {
			return func(net.Conn) error { // beside the one that it was given, which is idle
				c, err := dialSlowReader(s.endpoint)
				if err != nil {
					return err
				}
				defer c.Close()
				_, _ = io.WriteString(c, text)
				_, _ = io.Copy(io.Discard, c)
				return nil
			}
		}
		h.withstands(t, append(h.attacks(t, 1),
			attack{"no handshake", 100, true, raw("")},
			attack{"half a handshake", 100, true, raw("\x16\x03\x01\x02\x00\x01")},
			attack{"no TLS", 10, true, raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n")},
		))
	})
}

// scaleOf returns how large the crowd may be that this process has files for.
func scaleOf(t *testing.T) int {
	t.Helper()
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	return max(1, int(min(20, files.Cur/500)))
}

// dialSlowReader opens a connection whose kernel takes little that is not read.
func dialSlowReader(endpoint string) (net.Conn, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return c, c.(*net.TCPConn).SetReadBuffer(4096)
}

// newHostile makes what attacks ask for, and an account that attacks nobody.
func newHostile(t *testing.T, s *service) *hostile {
	t.Helper()
	_, victim := s.neighbour(t)
	h := &hostile{load: &load{service: s, ctx: t.Context(), accounts: []*service{victim}}, over: make(chan struct{})}
	if err := s.EnsureBucket(t.Context(), "hostile"); err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 8<<20)
	_, _ = rand.Read(large)
	if _, err := s.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("hostile"), Key: aws.String("large"), Body: bytes.NewReader(large)}); err != nil {
		t.Fatal(err)
	}
	started, err := s.EBS.StartSnapshot(t.Context(), &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	h.base = *started.SnapshotId
	err = s.putBlock(t.Context(), h.base, 0)
	if err == nil {
		_, err = s.EBS.CompleteSnapshot(t.Context(), &ebs.CompleteSnapshotInput{SnapshotId: &h.base, ChangedBlocksCount: aws.Int32(1)})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.awaitSnapshot(t, h.base)
	blocks, err := s.EBS.ListSnapshotBlocks(t.Context(), &ebs.ListSnapshotBlocksInput{SnapshotId: &h.base})
	if err != nil {
		t.Fatal(err)
	}
	h.token = *blocks.Blocks[0].BlockToken
	if started, err = s.EBS.StartSnapshot(t.Context(), &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)}); err != nil {
		t.Fatal(err)
	}
	h.draft = *started.SnapshotId
	if err := h.write(); err != nil {
		t.Fatal(err)
	}
	return h
}

// withstands runs the attacks until the service has ended all that it must, and has
// nothing in its memory for the others.
func (h *hostile) withstands(t *testing.T, attacks []attack) {
	before, err := h.usage()
	if err != nil {
		t.Fatal(err)
	}
	watched := h.watch()
	stop, victim := make(chan struct{}), make(chan error, 1)
	go func() {
		pace := time.NewTicker(500 * time.Millisecond)
		defer pace.Stop()
		for {
			if err := h.write(); err != nil {
				victim <- err
				return
			}
			select {
			case <-stop:
				victim <- nil
				return
			case <-pace.C:
			}
		}
	}()
	for _, a := range attacks {
		h.begin(a)
	}
	h.closing.Wait()
	close(stop)
	err = <-victim
	for h.metric(t, "diskport_answer_bytes") > 0 { // of those that don't read
		time.Sleep(100 * time.Millisecond)
	}
	if err := errors.Join(err, watched(), h.end()); err != nil {
		t.Error(err)
	}
	if high := h.highest(t); high > loadMemory {
		t.Errorf("the service took %d MiB, want at most %d MiB", high>>20, loadMemory>>20)
	} else {
		t.Logf("the service took %d MiB at most, %d goroutines and %d files, for %d connections", high>>20, h.most.goroutines, h.most.files, len(h.conns))
	}
	if held := h.metric(t, "diskport_request_body_bytes"); held != 0 {
		t.Errorf("%.0f bytes of bodies are held at the end", held)
	}
	h.settled(t, before)
}

// TestFewFiles: a service that may open few files takes fewer connections, and stays
// healthy when there are more of them than files.
func TestFewFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const files, crowd = 600, 700
	cmd := exec.Command("sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d; exec diskport "$@"`, files), "sh"}, serveArgs(filepath.Join(dir, "data"), nil)...)...)
	s := startCommand(t, filepath.Join(dir, "data"), cmd, nil)
	for range crowd {
		c, err := dialSlowReader(s.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /-/live HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := s.healthy(false); err != nil {
			t.Error(err)
		}
	}
	raw := smallRaw(t, dir, "disk.raw")
	s.sameDisk(t, s.imported(t, raw, "RAW").SnapshotID, raw)
	if n := s.metric(t, "diskport_connections"); n > (files-256)/3 {
		t.Errorf("%.0f connections are open", n)
	}
	if !strings.Contains(s.log.String(), "fewer connections than usual") {
		t.Errorf("the log does not say that there are few files: %s", s.log.tail())
	}
}
