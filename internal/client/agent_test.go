package client

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
)

// TestTheUserAgent is in every request, whichever library sends it.
func TestTheUserAgent(t *testing.T) {
	const name = "diskport/v1 (plan9/mips)"
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.UserAgent())
		w.WriteHeader(http.StatusBadRequest) // which is not tried again
	}))
	t.Cleanup(srv.Close)
	c := New(Config{Endpoint: srv.URL, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""), UserAgent: name})
	for what, ask := range map[string]func() error{
		"EC2":        func() error { _, err := c.Snapshots(t.Context()); return err },
		"EBS direct": func() error { return c.EachBlock(t.Context(), "snap-1", func(int64, []byte) error { return nil }) },
		"Diskport":   func() error { _, err := c.Tasks(t.Context()); return err },
	} {
		if got = nil; ask() == nil || len(got) == 0 || slices.ContainsFunc(got, func(s string) bool { return s != name }) {
			t.Errorf("%s: %q", what, got)
		}
	}
}
