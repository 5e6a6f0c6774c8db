package server

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/internal/api/flow"
	"github.com/diskport/diskport/internal/api/flow/flowtest"
)

// TestSlowHeaders: a connection that sends no request, half a header, a header without
// end, or half a TLS handshake, is closed when its time is up; so is one that is idle.
func TestSlowHeaders(t *testing.T) {
	cert := certificate(t)
	for _, tt := range []struct {
		name    string
		tls     *tls.Config
		send    string
		answers int // before it is closed
		want    time.Duration
	}{
		{"nothing", nil, "", 0, 10 * time.Second},
		{"half a header", nil, "GET / HTTP/1.1\nHost: a\nX-Slow: ", 0, 10 * time.Second},
		{"idle", nil, "GET / HTTP/1.1\nHost: a\n\n", 1, 2 * time.Minute},
		{"half of the next header", nil, "GET / HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\nHost: a\nX-Slow: ", 1, 10 * time.Second},
		{"a header without end", nil, "GET / HTTP/1.1\nHost: a\n" + strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\n", 40), 1, 0},
		{"a request line without end", nil, "GET /" + strings.Repeat("x", 40_000) + " HTTP/1.1\nHost: a\n\n", 1, 0},
		{"no handshake", &tls.Config{Certificates: []tls.Certificate{cert}}, "", 0, 10 * time.Second},
		{"half a handshake", &tls.Config{Certificates: []tls.Certificate{cert}}, "\x16\x03\x01\x02\x00\x01", 0, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := slog.New(slog.DiscardHandler)
				clients := Clients{}.withDefaults()
				connections := flow.New(flow.Options{Log: log}).Connections(clients.Connections)
				srv := newHTTP(clients, connections, http.HandlerFunc(alive), tt.tls, log)
				c := flowtest.Serve(t, srv, func(l net.Listener) net.Listener {
					if l = connections.Listener(l); tt.tls != nil {
						l = tls.NewListener(l, tt.tls)
					}
					return l
				}).Dial(t)
				go c.Send(tt.send)
				for range tt.answers {
					if _, _, err := c.Answer("GET"); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				c.Closed(t)
				if took := time.Since(began); took != tt.want {
					t.Errorf("closed after %v, want %v", took, tt.want)
				}
			})
		})
	}
}

// TestClientsAreBounded: the service bounds its connections, and speaks no HTTP/2, whose
// connections have any number of requests.
func TestClientsAreBounded(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.Clients.Connections = 2
	cert := certificate(t)
	cfg.TLSCert, cfg.TLSKey = filepath.Join(cfg.Data, "cert.pem"), filepath.Join(cfg.Data, "key.pem")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{cfg.TLSCert: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, cfg.TLSKey: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := run(t, cfg)
	var first net.Conn
	for i := range 3 {
		c, err := tls.Dial("tcp", s.Addr(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := c.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			t.Errorf("protocol %q, want http/1.1", got)
		}
		if _, err := io.WriteString(c, "GET /-/live HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("connection %d: %v, %v", i, resp, err)
		}
		if i == 0 {
			first = c
		}
	}
	if _, err := io.Copy(io.Discard, first); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("waiting for the first to be closed: %v", err)
	}
}

// TestConnectionsFitIntoTheOpenFiles: connections, and the files that their requests
// open, leave the service those that it needs itself.
func TestConnectionsFitIntoTheOpenFiles(t *testing.T) {
	for _, tt := range []struct {
		files    uint64
		asked    int // 0: the default
		want     int
		possible bool
	}{
		{1 << 20, 0, 4096, true},
		{1<<64 - 1, 0, 4096, true}, // no limit
		{4096, 0, 1280, true},
		{1024, 0, 256, true},
		{448, 0, 64, true},
		{447, 0, 0, false},
		{0, 0, 0, false},
		{1024, 100, 100, true},
		{300, 10, 10, true},
		{256, 10, 0, false},
	} {
		c, err := Clients{Connections: tt.asked}.withDefaults().within(tt.files)
		if tt.possible != (err == nil) || err == nil && c.Connections != tt.want {
			t.Errorf("of %d files, asked for %d: %d connections, %v, want %d", tt.files, tt.asked, c.Connections, err, tt.want)
		}
	}
}

// certificate makes a certificate for a name that nobody checks.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestTheKernelKeepsLittle: connections of the listener have the options that bound what
// the kernel holds for a client that does not read.
func TestTheKernelKeepsLittle(t *testing.T) {
	l, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[int]int{unix.TCP_NOTSENT_LOWAT: unsentBytes, unix.TCP_USER_TIMEOUT: 30_000} {
		if err := raw.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option); err != nil || got != want {
				t.Errorf("option %d is %d, %v; want %d", option, got, err, want)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}
