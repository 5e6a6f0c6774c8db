package blobs3_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
	"github.com/diskport/diskport/internal/api/s3api"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/imports/ssekms"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blobs3"
	"github.com/diskport/diskport/internal/store/keyring"
)

const (
	account   = "111111111111"
	keyID     = "AKIA" + account
	keySecret = "secret of " + account
	region    = "us-east-1"
)

// own is the S3 that the service embeds, for all tests of this package. Each test has a
// bucket of its own.
var own, ownTLS *httptest.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "blobs3-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	front, closed, err := openEdge(ctx, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	own, ownTLS = httptest.NewServer(front), httptest.NewTLSServer(front)
	code := m.Run()
	own.Close()
	ownTLS.Close()
	cancel()
	if err := closed(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// openEdge wires the embedded S3 as the server does, over SQLite.
func openEdge(ctx context.Context, dir string) (front http.Handler, closed func() error, err error) {
	db, err := metadb.Open(ctx, filepath.Join(dir, "metadata.db"), metadb.Options{})
	if err != nil {
		return nil, nil, err
	}
	files, err := blobdir.New(filepath.Join(dir, "objects"))
	if err != nil {
		return nil, nil, err
	}
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		return nil, nil, err
	}
	who := iam.New(iam.Options{Store: db.IAM(), Wrapper: master, Tokens: master})
	if err := who.SetRootKey(ctx, account, keyID, sigv4.NewSecret(keySecret)); err != nil {
		return nil, nil, err
	}
	keys := ssekms.Keys{KMS: keyring.Embedded{Service: kms.New(kms.Options{Store: db.KMS(), Wrapper: master, Principals: who})}}
	kept := objects.New(objects.Options{Store: db.Objects(), Files: files, Aside: files, Keys: keys})
	edge := s3api.New(s3api.Options{
		Objects: kept, Keys: who, Principals: who, Encryption: keys, Regions: wiretest.Regions(region), Domain: "s3.test", Log: slog.New(slog.DiscardHandler),
	})
	front = awshttp.New(awshttp.Options{
		Edges: map[string]awshttp.Edge{awshttp.S3: edge}, Keys: who, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		Regions: wiretest.Regions(region), Domain: "s3.test",
	})
	swept := make(chan struct{})
	go func() { defer close(swept); kept.Run(ctx) }()
	return front, func() error {
		<-swept
		return errors.Join(kept.Close(), files.Close(), db.Close())
	}, nil
}

var ownKeys = credentials.NewStaticCredentialsProvider(keyID, keySecret, "")

// bucketAt makes a bucket for a test, named after it.
func bucketAt(t testing.TB, endpoint string, keys credentials.StaticCredentialsProvider) string {
	t.Helper()
	name := "b-" + strings.Trim(strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(strings.TrimPrefix(t.Name(), "Test"))), "-")
	name = strings.TrimRight(name[:min(len(name), 60)], "-")
	c := s3.New(s3.Options{Region: region, BaseEndpoint: &endpoint, UsePathStyle: true, Credentials: keys})
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return name
}

// open returns a back end of one node.
func open(t testing.TB, o blobs3.Options) *blobs3.Bucket {
	t.Helper()
	b := blobs3.New(o)
	t.Cleanup(func() {
		if room, used := b.Buffers(); used > 0 {
			t.Errorf("%d of %d buffers are in use", used, room)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
