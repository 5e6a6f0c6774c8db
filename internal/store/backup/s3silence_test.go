package backup

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
)

// TestASilentS3: whatever it stops at, the target gives up: gc waits for a backup.
func TestASilentS3(t *testing.T) {
	put := func(ctx context.Context, to Target) error {
		return to.Put(ctx, "blocks/1", strings.NewReader(strings.Repeat("x", 1<<20)), 1<<20)
	}
	get := func(ctx context.Context, to Target) error {
		r, err := to.Get(ctx, "blocks/1")
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(io.Discard, r)
		return err
	}
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		ask   func(context.Context, Target) error
	}{
		"it takes nothing":           {func(net.Conn) {}, put},
		"it answers nothing to puts": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, put},
		"it answers nothing to gets": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, get},
		"it stops in an answer": {func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst")
			}
		}, get},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var ends []net.Conn
				to := newS3(Place{Bucket: "b", Region: "us-east-1", Endpoint: "http://s3.example"}, credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "a secret", ""),
					func(context.Context, string, string) (net.Conn, error) {
						ours, theirs := net.Pipe()
						mu.Lock()
						defer mu.Unlock()
						ends = append(ends, ours, theirs)
						go tt.serve(theirs)
						return ours, nil
					})
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := tt.ask(ctx, to); err == nil || errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
					t.Errorf("it gave up with %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, c := range ends {
					_ = c.Close()
				}
			})
		})
	}
}
