package objects

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/sigv4"
)

// fixture is the one gateway of this test process.
type fixture struct {
	dir     string
	store   *GatewayStore
	gateway *Gateway
}

var shared fixture

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "objects-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared.dir = dir
	if shared.store, err = OpenGatewayStore(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.store.Close()
	before, _ := os.Getwd()
	shared.gateway, err = Start(context.Background(), Config{Store: shared.store, Keys: testKeys{}, Region: "us-east-1"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := closedCleanly(before); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// closedCleanly closes the gateway and checks what Close promises.
func closedCleanly(workDir string) error {
	sockets := shared.gateway.dir
	if err := shared.gateway.Close(); err != nil {
		return fmt.Errorf("Close: %w", err)
	}
	if now, _ := os.Getwd(); now != workDir {
		return fmt.Errorf("after Close the working directory is %s, want %s", now, workDir)
	}
	if _, err := os.Stat(sockets); !os.IsNotExist(err) {
		return fmt.Errorf("after Close %s: %v, want it gone", sockets, err)
	}
	return nil
}

const (
	accountA = "111111111111"
	accountB = "222222222222"
)

// testKeys knows two permanent keys, named after their accounts, and one
// temporary key whose token is "token".
type testKeys struct{}

func (testKeys) Lookup(_ context.Context, id, token string) (iam.Principal, sigv4.Secret, error) {
	switch id {
	case "AKIA" + accountA, "AKIA" + accountB:
		if token != "" {
			return iam.Principal{}, sigv4.Secret{}, iam.ErrUnknownKey
		}
	case "ASIA" + accountA:
		if token != "token" {
			return iam.Principal{}, sigv4.Secret{}, iam.ErrExpiredToken
		}
	default:
		return iam.Principal{}, sigv4.Secret{}, iam.ErrUnknownKey
	}
	return iam.Principal{Account: id[4:], Kind: iam.Root}, sigv4.NewSecret("secret of " + id), nil
}

// client talks to the gateway with the given access key.
func client(accessKey, secret, token string) *s3.Client {
	return s3.New(s3.Options{
		Region:           "us-east-1",
		BaseEndpoint:     aws.String("http://s3.test:4580"),
		UsePathStyle:     true,
		Credentials:      credentials.NewStaticCredentialsProvider(accessKey, secret, token),
		HTTPClient:       &http.Client{Transport: shared.gateway.Transport()},
		RetryMaxAttempts: 1,
	})
}

func clientOf(account string) *s3.Client {
	return client("AKIA"+account, "secret of AKIA"+account, "")
}

// bucket makes a bucket of account A, named after the test.
func bucket(t *testing.T, name string) string {
	t.Helper()
	_, err := clientOf(accountA).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
	if err != nil {
		t.Fatalf("CreateBucket: %v", err)
	}
	return name
}

func objectFile(bucket, key string) string {
	return filepath.Join(shared.dir, bucketsDir, bucket, key)
}
