package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// partBytes is the size of one part of an upload; two are under way, and in memory.
const (
	partBytes   = 16 << 20
	partsAtOnce = 2
	mostParts   = 9_900 // that an upload may have, with some to spare
)

// bucket is a prefix in a bucket as a target. An object appears all at once, and is durable
// then. S3 has no locks: one service writes to one prefix, and makes one backup at a time.
type bucket struct {
	Place
	client *s3.Client
}

var _ Target = (*bucket)(nil)

func newS3(p Place, c aws.CredentialsProvider) *bucket {
	o := s3.Options{
		Region: p.Region, Credentials: aws.NewCredentialsCache(c),
		DisableLogOutputChecksumValidationSkipped: true,
	}
	if p.Endpoint != "" {
		o.BaseEndpoint, o.UsePathStyle = aws.String(p.Endpoint), true
	}
	return &bucket{p, s3.New(o)}
}

func (b *bucket) key(name string) *string { return aws.String(b.Prefix + name) }

// Put implements Target.
func (b *bucket) Put(ctx context.Context, name string, body io.Reader, size int64) error {
	part := max(partBytes, size/mostParts+1)
	tm := transfermanager.New(b.client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency = part, part, partsAtOnce
	})
	// The length is not told: what is read may be damaged, and shorter.
	_, err := tm.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: aws.String(b.Bucket), Key: b.key(name), Body: struct{ io.Reader }{body}})
	return b.told(name, err)
}

// told says where something failed.
func (b *bucket) told(name string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*types.NoSuchKey](err); ok {
		err = errors.Join(fs.ErrNotExist, err)
	}
	return fmt.Errorf("s3://%s/%s%s: %w", b.Bucket, b.Prefix, name, err)
}

// Get implements Target.
func (b *bucket) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(b.Bucket), Key: b.key(name)})
	if err != nil {
		return nil, b.told(name, err)
	}
	return out.Body, nil
}

// List implements Target.
func (b *bucket) List(ctx context.Context, fn func(Entry) error) error {
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: aws.String(b.Bucket), Prefix: aws.String(b.Prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return b.told("", err)
		}
		for _, o := range page.Contents {
			if err := fn(Entry{Name: strings.TrimPrefix(aws.ToString(o.Key), b.Prefix), Bytes: aws.ToInt64(o.Size)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Remove implements Target.
func (b *bucket) Remove(ctx context.Context, name string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(b.Bucket), Key: b.key(name)})
	return b.told(name, err)
}

// Lock implements Target.
func (b *bucket) Lock(ctx context.Context) (unlock func(), err error) { return func() {}, ctx.Err() }

// String returns the URL of the prefix.
func (b *bucket) String() string { return "s3://" + b.Bucket + "/" + b.Prefix }
