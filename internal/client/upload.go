package client

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// partSize is what one part of an upload holds, in bytes.
const partSize = 16 << 20

// Upload stores size bytes of body as an object, in parallel parts. progress is
// called with the bytes taken from body so far. A cancelled upload leaves no
// object and no parts.
func (c *Client) Upload(ctx context.Context, bucket, key string, body io.Reader, size int64, progress func(done int64)) error {
	tm := transfermanager.New(c.S3, func(o *transfermanager.Options) {
		o.PartSizeBytes = partSize
		o.MultipartUploadThreshold = partSize
	})
	_, err := tm.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket:        aws.String(bucket),
		Key:           aws.String(key),
		Body:          &countingReader{r: body, count: progress},
		ContentLength: aws.Int64(size),
	})
	if err != nil {
		return fmt.Errorf("uploading to s3://%s/%s: %w", bucket, key, err)
	}
	return nil
}

// RemoveObject deletes an object; one that is not there is a success.
func (c *Client) RemoveObject(ctx context.Context, bucket, key string) error {
	if _, err := c.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)}); err != nil {
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
