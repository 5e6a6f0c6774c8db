package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWebhook: what happens to imports and snapshots is told to a receiver, in order, and
// once more if it did not take it.
func TestWebhook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	got := make(chan string, 100)
	refused := false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct {
			Detail struct{ Event, Result string }
		}
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil || !strings.HasPrefix(r.Header.Get("Diskport-Signature"), "t=") {
			t.Errorf("got %+v, %v, signed %q", e, err, r.Header.Get("Diskport-Signature"))
		}
		if e.Detail.Event == "deleteSnapshot" && !refused {
			refused = true
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		got <- e.Detail.Event + " " + e.Detail.Result
	}))
	defer srv.Close()
	secret, image := filepath.Join(dir, "secret"), filepath.Join(dir, "disk.raw")
	for file, text := range map[string][]byte{secret: []byte("sixteen bytes at least\n"), image: make([]byte, 1<<20)} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, filepath.Join(dir, "data"), "--webhook", srv.URL, "--webhook-secret-file", secret)
	expect := func(events ...string) {
		for _, want := range events {
			if e := <-got; e != want {
				t.Errorf("told %q, want %q", e, want)
			}
		}
	}
	id := s.diskport(t, "import", "--format", "RAW", image)
	expect("importSnapshot succeeded", "createSnapshot succeeded")
	s.aws(t, "ec2", "copy-snapshot", "--source-region", "us-east-1", "--source-snapshot-id", id)
	expect("copySnapshot succeeded")
	s.aws(t, "ec2", "modify-snapshot-attribute", "--snapshot-id", id, "--attribute", "createVolumePermission", "--operation-type", "add", "--user-ids", "111122223333")
	s.diskport(t, "delete", id)
	expect("shareSnapshot succeeded", "deleteSnapshot succeeded", "deleteSnapshot succeeded")
}
