package blobs3_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/diskport/diskport/internal/store/blobs3"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// TestA404OfAProxy: one that answers for the store while that is not there says nothing of a
// file.
func TestA404OfAProxy(t *testing.T) {
	for name, page := range map[string]string{
		"text": "404 page not found\n", "a page": "<html><head><title>404 Not Found</title></head><body><hr></body></html>", "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeS3()
			var away atomic.Int64 // answers that are the proxy's own
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if operationOf(r) == "GetObject" && away.Add(-1) >= 0 {
					http.Error(w, strings.TrimSuffix(page, "\n"), http.StatusNotFound)
					return
				}
				f.ServeHTTP(w, r)
			}))
			t.Cleanup(srv.Close)
			b := open(t, blobs3.Options{
				Endpoint: srv.URL, Bucket: "bucket", Prefix: "store/", Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", ""), Backoff: time.Microsecond,
			})
			const file = "pack/01/1"
			data := content(2 * blockstore.Align)
			w := create(t, b, file)
			write(t, w, data, 0)
			if err := w.Close(t.Context(), int64(len(data))); err != nil {
				t.Fatal(err)
			}
			away.Store(3)
			same(t, b, file, data)
			away.Store(1 << 30)
			if _, err := b.ReadAt(t.Context(), file, make([]byte, 1), 0); !errors.Is(err, blockstore.ErrUnavailable) || errors.Is(err, blockstore.ErrNotExist) {
				t.Errorf("got %v, want %v", err, blockstore.ErrUnavailable)
			}
			away.Store(0)
			if _, err := b.ReadAt(t.Context(), "pack/01/2", make([]byte, 1), 0); !errors.Is(err, blockstore.ErrNotExist) {
				t.Errorf("a file that is not there: %v, want %v", err, blockstore.ErrNotExist)
			}
		})
	}
}
