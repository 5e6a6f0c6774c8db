package client

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// partSize is the size of one part of an upload, in bytes.
const partSize = 16 << 20

// uploadMemory is how many bytes the parts under way may take together.
const uploadMemory = 5 * partSize

// mostParts is how many parts an upload may have at most, with some to spare.
const mostParts = 9_900

// Upload stores size bytes of body as an object, in parallel parts. progress is
// called with the bytes taken from body so far. A cancelled upload leaves no
// object and no parts.
func (c *Client) Upload(ctx context.Context, bucket, key string, body io.Reader, size int64, progress func(done int64)) error {
	return c.upload(ctx, size, &transfermanager.UploadObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), ContentLength: aws.Int64(size),
		Body: &countingReader{r: body, count: progress},
	})
}

// UploadStream is Upload for a body of unknown length; most is about the bytes that
// it has at most.
func (c *Client) UploadStream(ctx context.Context, bucket, key string, body io.Reader, most int64) error {
	return c.upload(ctx, most, &transfermanager.UploadObjectInput{Bucket: aws.String(bucket), Key: aws.String(key), Body: body})
}

func (c *Client) upload(ctx context.Context, size int64, in *transfermanager.UploadObjectInput) error {
	part := max(partSize, size/mostParts+1)
	tm := transfermanager.New(c.s3, func(o *transfermanager.Options) {
		o.PartSizeBytes = part
		o.MultipartUploadThreshold = part
		o.Concurrency = int(max(1, min(5, uploadMemory/part)))
	})
	bucket, key := aws.ToString(in.Bucket), aws.ToString(in.Key)
	if _, err := tm.UploadObject(ctx, in); err != nil {
		return fmt.Errorf("uploading to s3://%s/%s: %w", bucket, key, err)
	}
	return nil
}

// RemoveObject deletes an object. Deleting one that does not exist succeeds.
func (c *Client) RemoveObject(ctx context.Context, bucket, key string) error {
	if _, err := c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)}); err != nil {
		return fmt.Errorf("removing s3://%s/%s: %w", bucket, key, err)
	}
	return nil
}

// countingReader tells how much was read.
type countingReader struct {
	r     io.Reader
	n     int64
	count func(int64)
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.count(c.n)
	return n, err
}
