package adminapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
	"github.com/diskport/diskport/internal/api/flow"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// oneKey is the key of account 1.
type oneKey struct{}

func (oneKey) Lookup(context.Context, string, string) (iam.Principal, sigv4.Secret, error) {
	return iam.Principal{Account: "1"}, sigv4.NewSecret("secret"), nil
}

// TestScansTakeMemory: what reads whole snapshots waits its turn for the memory of answers,
// so that many at a time don't take all that the machine has.
func TestScansTakeMemory(t *testing.T) {
	for name, tt := range map[string]struct {
		method, path string
		bytes        int64 // that there are
		want         int
	}{
		"an export":              {"GET", "/-/v1/snapshots/snap-1/data", 2 * snapshot.ScanBytes, http.StatusOK},
		"an export without room": {"GET", "/-/v1/snapshots/snap-1/data", snapshot.ScanBytes - 1, http.StatusServiceUnavailable},
		"a verify":               {"POST", "/-/v1/snapshots/snap-1/verify", 2 * snapshot.ScanBytes, http.StatusOK},
		"a verify without room":  {"POST", "/-/v1/snapshots/snap-1/verify", snapshot.ScanBytes - 1, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			log := slog.New(slog.DiscardHandler)
			w := &world{home: "us-east-1"}
			front := awshttp.New(awshttp.Options{
				Regions: wiretest.Regions("us-east-1"), Edges: map[string]awshttp.Edge{awshttp.Diskport: w.edge()}, Keys: oneKey{}, Log: log,
				Metrics: prometheus.NewRegistry(), Flow: flow.New(flow.Options{Log: log, Limits: flow.Limits{AnswerBytes: tt.bytes}}),
			})
			r := httptest.NewRequest(tt.method, tt.path, nil)
			hash := sigv4.HashBody(nil)
			r.Header.Set("X-Amz-Content-Sha256", hash)
			err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, r, hash, awshttp.Diskport, "us-east-1", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			rec := httptest.NewRecorder()
			front.ServeHTTP(rec, r)
			if rec.Code != tt.want {
				t.Errorf("answer %d %s, want %d", rec.Code, strings.TrimSpace(rec.Body.String()), tt.want)
			}
		})
	}
}
