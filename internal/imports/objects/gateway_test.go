package objects

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

func TestGatewayStoresWhatIsUploaded(t *testing.T) {
	b := bucket(t, "stores")
	c := clientOf(accountA)
	want := bytes.Repeat([]byte("diskport"), 1<<16)
	for _, algorithm := range []types.ChecksumAlgorithm{"", types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmSha256, types.ChecksumAlgorithmCrc64nvme} {
		t.Run("checksum "+string(algorithm), func(t *testing.T) {
			_, err := c.PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: &b, Key: aws.String("a/b"), Body: bytes.NewReader(want), ChecksumAlgorithm: algorithm,
			})
			if err != nil {
				t.Fatal(err)
			}
			out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &b, Key: aws.String("a/b")})
			if err != nil {
				t.Fatal(err)
			}
			defer out.Body.Close()
			if got, err := io.ReadAll(out.Body); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
			}
		})
	}
}

func TestGatewayCopies(t *testing.T) {
	b := bucket(t, "copies")
	c := clientOf(accountA)
	put(t, b, "from", "content")
	if _, err := c.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: &b, Key: aws.String("to"), CopySource: aws.String(b + "/from")}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(objectFile(b, "to")); err != nil || string(got) != "content" {
		t.Errorf("copy holds %q, %v", got, err)
	}
}

func TestGatewayRefusesKeys(t *testing.T) {
	secretA := "secret of AKIA" + accountA
	for _, tt := range []struct {
		name, id, secret, token, want string
	}{
		{"unknown key", "AKIAUNKNOWN", secretA, "", "InvalidAccessKeyId"},
		{"wrong secret", "AKIA" + accountA, "another", "", "SignatureDoesNotMatch"},
		{"wrong token", "ASIA" + accountA, "secret of ASIA" + accountA, "other", "InvalidToken"},
		{"token of a permanent key", "AKIA" + accountA, secretA, "token", "InvalidAccessKeyId"},
		{"session", "ASIA" + accountA, "secret of ASIA" + accountA, "token", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := client(tt.id, tt.secret, tt.token).ListBuckets(t.Context(), &s3.ListBucketsInput{})
			if got := code(err); got != tt.want {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

func TestGatewaySeparatesAccounts(t *testing.T) {
	b := bucket(t, "separates")
	put(t, b, "k", "content")
	other := clientOf(accountB)
	out, err := other.ListBuckets(t.Context(), &s3.ListBucketsInput{})
	if err != nil || len(out.Buckets) != 0 {
		t.Errorf("account B sees %d buckets, %v; want none", len(out.Buckets), err)
	}
	_, err = other.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &b, Key: aws.String("k")})
	if code(err) != "AccessDenied" {
		t.Errorf("account B reads account A's object: %v", err)
	}
	if owner, err := shared.store.BucketOwner(t.Context(), b); err != nil || owner != accountA {
		t.Errorf("BucketOwner = %q, %v; want %s", owner, err, accountA)
	}
	for _, name := range []string{"absent", "..", "x", "a/../separates", gatewayTemp} {
		if _, err := shared.store.BucketOwner(t.Context(), name); !errors.Is(err, ErrNoSuchBucket) {
			t.Errorf("BucketOwner(%q): %v, want ErrNoSuchBucket", name, err)
		}
	}
}

func TestOneGatewayPerProcess(t *testing.T) {
	before, _ := os.Getwd()
	_, err := Start(context.Background(), Config{Store: shared.store, Keys: testKeys{}, Region: "us-east-1"})
	if err == nil || !strings.Contains(err.Error(), "already running") {
		t.Errorf("a second Start: %v, want a refusal", err)
	}
	if now, _ := os.Getwd(); now != before {
		t.Errorf("a refused Start moved the process from %s to %s", before, now)
	}
}

func put(t *testing.T, bucket, key, content string) {
	t.Helper()
	_, err := clientOf(accountA).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(content)})
	if err != nil {
		t.Fatalf("PutObject %s: %v", key, err)
	}
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
