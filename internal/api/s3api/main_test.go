package s3api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/imports/ssekms"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/keyring"
)

const (
	accountA = "111111111111"
	accountB = "222222222222"
	domain   = "s3.test"
	region   = "us-east-1"
)

// shared is one edge for all tests, behind the real front chain, over SQLite.
// Each test has buckets of its own.
var shared struct {
	objects     *objects.Service
	iam         *iam.Service
	kms         *kms.Service
	dir         string // with the database and the files of pieces
	edge        *Edge
	http, https *httptest.Server
	log         lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "s3api-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	closed, err := openShared(ctx, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	shared.http.Close()
	shared.https.Close()
	cancel()
	if err := closed(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, shared.log.b.String())
	}
	return code
}

func openShared(ctx context.Context, dir string) (closed func() error, err error) {
	db, err := metadb.Open(ctx, filepath.Join(dir, "metadata.db"), metadb.Options{})
	if err != nil {
		return nil, err
	}
	files, err := blobdir.New(filepath.Join(dir, "objects"))
	if err != nil {
		return nil, err
	}
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		return nil, err
	}
	shared.iam = iam.New(iam.Options{Store: db.IAM(), Wrapper: master, Tokens: master})
	for _, account := range []string{accountA, accountB} {
		if err := shared.iam.SetRootKey(ctx, account, "AKIA"+account, sigv4.NewSecret("secret of "+account)); err != nil {
			return nil, err
		}
	}
	shared.dir = dir
	shared.kms = kms.New(kms.Options{Store: db.KMS(), Wrapper: master, Principals: shared.iam})
	keys := ssekms.Keys{KMS: keyring.Embedded{Service: shared.kms}}
	shared.objects = objects.New(objects.Options{Store: db.Objects(), Files: files, Aside: files, Keys: keys})
	shared.edge = New(Options{
		Objects: shared.objects, Keys: shared.iam, Principals: shared.iam, Encryption: keys, Regions: wiretest.Regions(region), Domain: domain,
		Log: slog.New(slog.NewTextHandler(&shared.log, nil)),
	})
	front := frontOf(shared.edge, false)
	shared.http = httptest.NewServer(front)
	shared.https = httptest.NewUnstartedServer(front)
	shared.https.EnableHTTP2 = true
	shared.https.StartTLS()
	swept := make(chan struct{})
	go func() { defer close(swept); shared.objects.Run(ctx) }()
	return func() error {
		<-swept
		return errors.Join(shared.objects.Close(), files.Close(), db.Close())
	}, nil
}

func frontOf(e *Edge, strict bool) http.Handler {
	return awshttp.New(awshttp.Options{
		Edges: map[string]awshttp.Edge{awshttp.S3: e}, Keys: shared.iam, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		Regions: wiretest.Regions(region), Domain: domain, Strict: strict,
	})
}

// who is a signer of requests.
type who struct{ id, secret string }

var (
	ownerA = who{"AKIA" + accountA, "secret of " + accountA}
	ownerB = who{"AKIA" + accountB, "secret of " + accountB}
	nobody = who{}
)

// user makes a user of account A, who may do what document allows.
func user(t *testing.T, name, document string) who {
	t.Helper()
	ctx := t.Context()
	if _, err := shared.iam.CreateUser(ctx, accountA, iam.UserSpec{Name: name}); err != nil {
		t.Fatal(err)
	}
	if document != "" {
		if err := shared.iam.PutInline(ctx, iam.UserOwner(accountA, name), iam.Policy{Name: "p", Document: document}); err != nil {
			t.Fatal(err)
		}
	}
	key, secret, err := shared.iam.CreateAccessKey(ctx, accountA, name)
	if err != nil {
		t.Fatal(err)
	}
	return who{key.ID, secret.Reveal()}
}

func allow(actions, resources string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":` + actions + `,"Resource":` + resources + `}}`
}

// client talks S3 over http.
func (w who) client(options ...func(*s3.Options)) *s3.Client {
	return w.at(shared.http.URL, options...)
}

// secure talks S3 over https, where the SDK sends aws-chunked bodies with trailers.
func (w who) secure(options ...func(*s3.Options)) *s3.Client {
	return w.at(shared.https.URL, options...)
}

func (w who) at(url string, options ...func(*s3.Options)) *s3.Client {
	o := s3.Options{Region: region, BaseEndpoint: &url, UsePathStyle: true, Retryer: wiretest.Once(), HTTPClient: shared.https.Client()}
	if w != nobody {
		o.Credentials = credentials.NewStaticCredentialsProvider(w.id, w.secret, "")
	}
	return s3.New(o, options...)
}

// ask sends a request that no SDK would send, signed unless nobody sends it. The
// answer's body has been read.
func (w who) ask(t *testing.T, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	return w.do(t, w.request(t, method, path, body, header...))
}

func (w who) request(t *testing.T, method, path, body string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, shared.http.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "identity") // or the client would change answers
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if w != nobody {
		hash := r.Header.Get("X-Amz-Content-Sha256")
		if hash == "" {
			hash = sigv4.HashBody([]byte(body))
			r.Header.Set("X-Amz-Content-Sha256", hash)
		}
		s := signer.NewSigner(func(o *signer.SignerOptions) { o.DisableURIPathEscaping = true })
		if err := s.SignHTTP(t.Context(), aws.Credentials{AccessKeyID: w.id, SecretAccessKey: w.secret}, r, hash, "s3", region, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (w who) do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := shared.http.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// bucketOf makes a bucket of account A for a test, named after it.
func bucketOf(t *testing.T) *string {
	t.Helper()
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, strings.TrimPrefix(t.Name(), "Test")), "-")
	if len(name) > 60 {
		name = name[:60]
	}
	name = strings.TrimRight("b-"+name, "-")
	if _, err := ownerA.client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return &name
}

// must returns the answer of a call that has to succeed.
func must[T any](out T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// code returns the code of an error.
func code(err error) string {
	var api smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &api):
		return api.ErrorCode()
	}
	return err.Error()
}

// refused checks the code of an error.
func refused[T any](_ T, err error) func(t testing.TB, want string) {
	return func(t testing.TB, want string) {
		t.Helper()
		if code(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func put(t *testing.T, bucket *string, key, content string) *s3.PutObjectOutput {
	t.Helper()
	return must(ownerA.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader(content)}))(t)
}

func get(t *testing.T, bucket *string, key string) string {
	t.Helper()
	out := must(ownerA.client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: &key}))(t)
	defer out.Body.Close()
	return string(must(io.ReadAll(out.Body))(t))
}
