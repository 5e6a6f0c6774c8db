package client

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/diskport/diskport/diskimage/imagetest"
)

// serverOf answers requests in the same goroutine; what it panics with is an error.
type serverOf func(n int, w http.ResponseWriter, r *http.Request)

// transport is a server without a network.
type transport struct {
	serve    serverOf
	requests int
}

// RoundTrip implements http.RoundTripper.
func (s *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	s.requests++
	w := httptest.NewRecorder()
	s.serve(s.requests, w, r)
	resp := w.Result()
	resp.Request = r
	if n := w.Header().Get("Content-Length"); n != "" {
		_, _ = fmt.Sscan(n, &resp.ContentLength)
	}
	return resp, nil
}

func TestDownload(t *testing.T) {
	file, other := imagetest.Mixed(3<<20, 1), imagetest.Mixed(3<<20, 2)
	// part answers with a part of a file, or all of it, cut off before its end.
	part := func(w http.ResponseWriter, r *http.Request, file []byte, tag string, cut int) {
		from := 0
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-Range") == tag && r.Header.Get("Range") != "" {
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(file)-1, len(file)))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(file)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(file[from : len(file)-cut])
	}
	for name, tt := range map[string]struct {
		serve    serverOf
		want     []byte
		requests int
		err      string
	}{
		"at once":  {func(_ int, w http.ResponseWriter, r *http.Request) { part(w, r, file, `"a"`, 0) }, file, 1, ""},
		"goes on":  {func(n int, w http.ResponseWriter, r *http.Request) { part(w, r, file, `"a"`, max(0, 2-n)<<20) }, file, 2, ""},
		"weak tag": {func(n int, w http.ResponseWriter, r *http.Request) { part(w, r, file, `W/"a"`, max(0, 2-n)<<20) }, file, 2, ""},
		"another file by then": {func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				part(w, r, file, `"a"`, 1<<20)
				return
			}
			part(w, r, other, `"b"`, 0)
		}, other, 2, ""},
		"another range than asked for": {func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 2 {
				w.Header().Set("Content-Range", "bytes 0-9/10")
				w.WriteHeader(http.StatusPartialContent)
				return
			}
			part(w, r, file, `"a"`, max(0, 2-n)<<20)
		}, file, 3, ""},
		"never comes to its end": {func(_ int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write(nil)
		}, nil, 3, "0 bytes came of 10"},
		"is not there":  {func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, nil, 1, "x.test answers 404 Not Found"},
		"is overloaded": {func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, nil, 3, "503"},
		"leaves https": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://y.test/")
			w.WriteHeader(http.StatusFound)
		}, nil, 3, "from https to http"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out, err := os.CreateTemp(t.TempDir(), "")
				if err != nil {
					t.Fatal(err)
				}
				defer out.Close()
				server := &transport{serve: tt.serve}
				d := Download{URL: "https://x.test/disk.raw?token=secret", HTTP: &http.Client{Transport: server, CheckRedirect: noDowngrade}}
				n, err := d.To(t.Context(), out)
				got, rerr := os.ReadFile(out.Name())
				if rerr != nil || server.requests != tt.requests {
					t.Errorf("%d requests, want %d; %v", server.requests, tt.requests, rerr)
				}
				if tt.err == "" && (err != nil || n != int64(len(tt.want)) || !bytes.Equal(got, tt.want)) {
					t.Errorf("got %d bytes, %v", n, err)
				}
				if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "secret")) {
					t.Errorf("got %v, want %q and no secret", err, tt.err)
				}
			})
		})
	}
}

// full is a disk without room.
type full struct{}

func (full) WriteAt([]byte, int64) (int, error) { return 0, errors.New("no space left") }

func TestDownloadEndsWhenThisMachineFails(t *testing.T) {
	server := &transport{serve: func(_ int, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }}
	d := Download{URL: "https://x.test/", HTTP: &http.Client{Transport: server}}
	if _, err := d.To(t.Context(), full{}); err == nil || server.requests != 1 {
		t.Errorf("%d requests, %v", server.requests, err)
	}
}

// deaf is a transport that reaches nobody.
type deaf struct{}

func (deaf) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }

func TestDownloadKeepsSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := Download{URL: "https://u:secret@x.test/disk.raw?token=secret", HTTP: &http.Client{Transport: deaf{}}}
		_, err := d.To(t.Context(), full{})
		if want := "downloading https://x.test/disk.raw: refused"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestDownloadFromAnUntrustedServer(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	d := Download{URL: srv.URL + "/disk.raw"}
	if _, err := d.To(t.Context(), full{}); err == nil || !strings.Contains(err.Error(), "not trusted") || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("got %v", err)
	}
}
