package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
	"github.com/diskport/diskport/internal/api/kmsapi"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/kms/kmstest"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/store/keyring"
)

const account, stranger, region = "111111111111", "222222222222", "us-east-1"

// spy wraps as the master key does, and notes what it wrapped.
type spy struct {
	secret.Wrapper
	secrets [][]byte
}

func (s *spy) Wrap(plain, associated []byte) []byte {
	s.secrets = append(s.secrets, bytes.Clone(plain))
	return s.Wrapper.Wrap(plain, associated)
}

// bench is a ring over a KMS whose keys and time tests control.
type bench struct {
	*keyring.Ring
	service *kms.Service
	store   kms.Store
	domains *rows
	wrapper *spy
	now     time.Time
	kms     keyring.KMS

	// Of an external KMS only.
	url      string
	log      *bytes.Buffer
	requests atomic.Int64
	broken   atomic.Int64 // requests that shall fail from now on
	code     string       // how they fail
}

func newBench(t *testing.T, store kms.Store, domains keyring.DomainStore) *bench {
	t.Helper()
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{wrapper: &spy{Wrapper: master}, now: time.Now(), log: &bytes.Buffer{}, code: "KMSInternalException"}
	b.store = store
	b.service = kms.New(kms.Options{Store: store, Wrapper: b.wrapper, Principals: kmstest.Names{}})
	b.kms = keyring.Embedded{b.service}
	b.Ring = &keyring.Ring{Domains: domains, Wrapper: b.wrapper, KMS: b.kms}
	return b
}

// embedded is a bench on the service's own KMS.
func embedded(t *testing.T) *bench {
	domains := newRows()
	b := newBench(t, &kmstest.Memory{}, domains)
	b.domains = domains
	return b
}

// external is a bench on the same KMS behind its API.
func external(t *testing.T) *bench {
	b := embedded(t)
	front := awshttp.New(awshttp.Options{
		Regions: wiretest.Regions(region),
		Edges:   map[string]awshttp.Edge{awshttp.KMS: kmsapi.New(kmsapi.Options{Service: b.service, Log: slog.New(slog.NewTextHandler(b.log, nil))})},
		Keys:    credential{}, Log: slog.New(slog.NewTextHandler(b.log, nil)), Metrics: prometheus.NewRegistry(),
	})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.requests.Add(1)
		if b.broken.Add(-1) >= 0 {
			w.Header().Set("X-Amzn-Errortype", b.code)
			http.Error(w, `{"__type":"`+b.code+`"}`, http.StatusBadRequest) // by the code alone, not the status
			return
		}
		front.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	b.url = srv.URL
	b.Ring = b.bind(account)
	return b
}

// bind gives the keys of an external KMS to an operator, and to whom it allows them.
func (b *bench) bind(operator string, allowed ...keyring.Allowance) *keyring.Ring {
	b.kms = keyring.NewExternal(keyring.ExternalOptions{
		Config:   aws.Config{Credentials: credentials.NewStaticCredentialsProvider("AKIAROOT", "secret", "")},
		Endpoint: b.url, Operator: operator, Allowed: allowed, Now: func() time.Time { return b.now }, Backoff: time.Nanosecond,
	})
	return &keyring.Ring{Domains: b.domains, Wrapper: b.wrapper, KMS: b.kms}
}

// credential knows the key that the external KMS is asked with.
type credential struct{}

func (credential) Lookup(_ context.Context, _, _ string) (iam.Principal, sigv4.Secret, error) {
	return root(account).Principal, sigv4.NewSecret("secret"), nil
}

func root(account string) kms.Caller {
	return kms.Caller{Region: region, Principal: iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root, ID: account}}
}

// role is a caller in the role vmimport, with a policy.
func role(t *testing.T, document string) kms.Caller {
	t.Helper()
	d, err := policy.Parse(document, policy.Identity)
	if err != nil {
		t.Fatal(err)
	}
	p := iam.Principal{Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/vmimport/vmimport", Kind: iam.RoleSession, Name: "vmimport"}
	return kms.Caller{Region: region, Principal: p.WithPolicies(d)}
}

func (b *bench) key(t *testing.T, n kms.KeySpec) kms.Key {
	t.Helper()
	spec, usage := n.Spec, n.Usage
	n.Spec, n.Usage = "", ""
	k, err := b.service.CreateKey(t.Context(), root(account), n)
	if err == nil && spec != "" {
		k, err = kmstest.Asymmetric(t.Context(), b.store, k, spec, usage)
	}
	check(t, "create a key", err)
	return k
}

func check(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// refused checks that err is about the key, and why.
func refused(t *testing.T, what string, err error, want keyring.Reason) {
	t.Helper()
	if e, ok := errors.AsType[*keyring.Error](err); !ok || e.Reason != want || e.Key == "" {
		t.Errorf("%s: got %v, want %s", what, err, want)
	}
}

// onBoth runs a test on both kinds of KMS.
func onBoth(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Run("embedded", func(t *testing.T) { test(t, embedded(t)) })
	t.Run("external", func(t *testing.T) { test(t, external(t)) })
}
