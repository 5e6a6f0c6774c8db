package awshttp

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestEarlyAnswersArrive sends a whole body before it looks for the answer, as most
// clients do. The edge answers without reading it.
func TestEarlyAnswersArrive(t *testing.T) {
	f := newFixture(func(o *Options) {
		o.Edges[S3] = edgeFunc(func(w http.ResponseWriter, _ *http.Request, c *Call) {
			c.Fail(w, Fault{Status: 404, Code: "NoSuchBucket", Message: "gone"})
		})
	})
	plain := httptest.NewServer(f)
	defer plain.Close()
	secure := httptest.NewTLSServer(f)
	defer secure.Close()
	for _, c := range []struct {
		name, header string
		size         int
	}{
		{"small", "Content-Length: 1000\r\n", 1000},
		{"large", "Content-Length: 16000000\r\n", 16_000_000},
		{"of unknown length", "Transfer-Encoding: chunked\r\n", 16_000_000},
		{"refused by the front", "Content-Length: 16000000\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKID/20260304/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\r\n", 16_000_000},
	} {
		for _, s := range []*httptest.Server{plain, secure} {
			t.Run(c.name+" "+s.URL[:5], func(t *testing.T) {
				conn, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if s == secure {
					config := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
					config.ServerName, config.NextProtos = "example.com", nil
					conn = tls.Client(conn, config)
				}
				body := strings.Repeat("x", c.size)
				if strings.HasPrefix(c.header, "Transfer") {
					body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", c.size, body)
				}
				if _, err := io.WriteString(conn, "PUT /b/k HTTP/1.1\r\nHost: h\r\n"+c.header+"\r\n"+body); err != nil {
					t.Fatalf("sending the body: %v", err)
				}
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				answer, err := io.ReadAll(res.Body)
				if res.StatusCode < 400 || err != nil || !strings.Contains(string(answer), "<RequestId>id-1</RequestId>") {
					t.Errorf("got %d %s %v", res.StatusCode, answer, err)
				}
			})
		}
	}
}

// TestNobodyIsToldToContinueAfterTheAnswer: a client that waits gets the answer
// alone, and the connection ends at once.
func TestNobodyIsToldToContinueAfterTheAnswer(t *testing.T) {
	f := newFixture(func(o *Options) {
		o.Edges[S3] = edgeFunc(func(w http.ResponseWriter, _ *http.Request, c *Call) {
			c.Fail(w, Fault{Status: 404, Code: "NoSuchBucket", Message: "gone"})
		})
	})
	s := httptest.NewServer(f)
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PUT /b/k HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 404 ") || strings.Contains(string(answer), "100 Continue") {
		t.Errorf("got %s, %v", answer, err)
	}
}
