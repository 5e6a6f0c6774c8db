package blobs3

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/failpoint"
)

const (
	identityPrefix = "diskport store 2 " // with the storage format
	identityDigits = 32
	maxIdentity    = 1 << 10 // bytes that are read of it
)

// ErrFormat reports a bucket of a storage format that is not known here.
var ErrFormat = errors.New("blobs3: another storage format")

// Identity implements blockstore.Identified.
func (b *Bucket) Identity(ctx context.Context) (id string, err error) {
	key := b.o.Prefix + identityName
	var line []byte
	err = b.repeat(ctx, func() error {
		out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.o.Bucket, Key: &key})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		line, err = io.ReadAll(io.LimitReader(out.Body, maxIdentity))
		return err
	})
	if isMissing(err) {
		return "", nil
	}
	if err != nil {
		return "", b.at(key, err)
	}
	id, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), identityPrefix)
	if !ok || !isIdentity(id) {
		return "", fmt.Errorf("%w: s3://%s/%s names no format that is known here. Use the version of the program that wrote it", ErrFormat, b.o.Bucket, key)
	}
	return id, nil
}

func isIdentity(id string) bool {
	_, err := hex.DecodeString(id)
	return err == nil && len(id) == identityDigits
}

// SetIdentity implements blockstore.Identified. The condition lets one caller through.
func (b *Bucket) SetIdentity(ctx context.Context, id string) (string, error) {
	if !isIdentity(id) {
		return "", fmt.Errorf("blobs3: %q is no identity", id)
	}
	key := b.o.Prefix + identityName
	err := b.repeat(ctx, func() error {
		_, err := b.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &b.o.Bucket, Key: &key, IfNoneMatch: aws.String("*"), Body: strings.NewReader(identityPrefix + id + "\n"),
		})
		return err
	})
	if err != nil && statusOf(err) != http.StatusPreconditionFailed {
		return "", b.at(key, err)
	}
	failpoint.At("identity of the store: named")
	return b.Identity(ctx)
}
