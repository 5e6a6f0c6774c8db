package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/client"
)

// TestFullIsExplained: whoever is refused for want of space is told how much there is, how
// much is needed, and what to do; whoever is refused for something else is not.
func TestFullIsExplained(t *testing.T) {
	for name, c := range map[string]struct {
		health, code string
		want         []string
	}{
		"full": {
			`{"status":"full","space":{"freeBytes":3145728,"leastBytes":67108864,"neededBytes":134217728,"ballastBytes":67108864,"reserveBytes":1073741824,"since":"2026-01-02T03:04:05Z"}}`,
			"InsufficientCapacity", []string{"no room (InsufficientCapacity)\n", "full since 2026-01-0", "3.0 MiB are free", "128.0 MiB are needed", "diskport gc", "deletions, gc and compaction go on"},
		},
		"without ballast": {
			`{"status":"full","space":{"leastBytes":67108864,"neededBytes":134217728,"reserveBytes":1073741824}}`,
			"InsufficientCapacity", []string{"The ballast is used up", "free a few MiB on that disk by other means first"},
		},
		"the reserve": {
			`{"status":"ok","space":{"freeBytes":1073741824,"leastBytes":67108864,"reserveBytes":1073741824}}`,
			"InsufficientStorage", []string{"1.0 GiB are free", "--reserve free, which is 1.0 GiB", "64.0 MiB besides", "smaller --reserve"},
		},
		"something else": {`{}`, "InvalidParameterValue", nil},
		"no answer":      {`nonsense`, "InsufficientCapacity", nil},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/-/health" {
					t.Errorf("asked for %s", r.URL)
				}
				fmt.Fprint(w, c.health)
			}))
			defer srv.Close()
			refused := &client.APIError{Status: 503, Code: c.code, Message: "no room"}
			err := withSpace(t.Context(), &session{Client: client.New(client.Config{Endpoint: srv.URL})}, fmt.Errorf("importing: %w", refused))
			if !errors.Is(err, refused) {
				t.Errorf("%v hides the error", err)
			}
			said := explain(context.Background(), err)
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("it says %q, without %q", said, want)
				}
			}
			if c.want == nil && strings.Contains(said, "\n") {
				t.Errorf("it says %q", said)
			}
		})
	}
}
