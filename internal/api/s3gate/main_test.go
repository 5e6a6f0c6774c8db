package s3gate

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/objects"
)

const (
	accountA = "111111111111"
	accountB = "222222222222"
	domain   = "s3.test"
)

// shared is the one gateway of this test process, behind the real front chain.
var shared struct {
	store       *objects.GatewayStore
	http, https *httptest.Server
	policy      rules
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "s3gate-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	store, err := objects.OpenGatewayStore(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer store.Close()
	gateway, err := objects.Start(context.Background(), objects.Config{Store: store, Keys: keys{}, Region: "us-east-1", Domain: domain})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	gate := New(Options{Gateway: gateway.Transport(), Authorize: shared.policy.authorize, BucketOwner: store.BucketOwner, Domain: domain, Log: log})
	front := awshttp.New(awshttp.Options{
		Regions: wiretest.Regions("us-east-1"),
		Edges:   map[string]awshttp.Edge{awshttp.S3: gate}, Keys: keys{}, Log: log, Metrics: prometheus.NewRegistry(),
	})
	shared.store, shared.http = store, httptest.NewServer(front)
	shared.https = httptest.NewUnstartedServer(front)
	shared.https.EnableHTTP2 = true
	shared.https.StartTLS()
	code := m.Run()
	shared.http.Close()
	shared.https.Close()
	if err := gateway.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// keys knows one permanent key for each account, named after it.
type keys struct{}

func (keys) Lookup(_ context.Context, id, token string) (iam.Principal, sigv4.Secret, error) {
	account := map[string]string{"AKIA" + accountA: accountA, "AKIA" + accountB: accountB}[id]
	if account == "" || token != "" {
		return iam.Principal{}, sigv4.Secret{}, iam.ErrUnknownKey
	}
	p := iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root, ID: account}
	return p, secretOf(id), nil
}

func secretOf(id string) sigv4.Secret { return sigv4.NewSecret("secret of " + id) }

// rules allow everything but what a test denies, and note what was asked.
type rules struct {
	mu    sync.Mutex
	deny  map[need]bool
	asked []need
}

func (p *rules) authorize(_ context.Context, _ *awshttp.Call, action string, _ policy.Context, resources ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, resource := range resources {
		n := need{action, resource}
		p.asked = append(p.asked, n)
		if p.deny[n] {
			return &iam.DeniedError{Explicit: true}
		}
	}
	return nil
}

// denying makes the policy deny n until the test ends. Such tests don't run in
// parallel.
func denying(t *testing.T, n need) {
	t.Helper()
	shared.policy.mu.Lock()
	defer shared.policy.mu.Unlock()
	shared.policy.deny = map[need]bool{n: true}
	t.Cleanup(func() {
		shared.policy.mu.Lock()
		defer shared.policy.mu.Unlock()
		shared.policy.deny = nil
	})
}

// askedFor runs f and returns what the gate asked the policy meanwhile.
func askedFor(f func()) []need {
	shared.policy.mu.Lock()
	shared.policy.asked = nil
	shared.policy.mu.Unlock()
	f()
	shared.policy.mu.Lock()
	defer shared.policy.mu.Unlock()
	return shared.policy.asked
}
