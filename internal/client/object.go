package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// objectBlock is what is read of an object at once, in bytes, and objectBlocks how many of
// them are kept: decoders read tables in small pieces, and data from end to end.
const (
	objectBlock  = 1 << 20
	objectBlocks = 32
)

// Object is an object of the service's S3, to be read at random as it was when it was opened.
// It may be used concurrently.
type Object struct {
	ctx         context.Context //nolint:containedctx // of the command that reads it, as io.ReaderAt has none
	c           *Client
	bucket, key string
	etag        string
	size        int64

	mu     sync.Mutex // guards blocks
	blocks *simplelru.LRU[int64, []byte]
}

// OpenObject opens an object. It is read until ctx ends.
func (c *Client) OpenObject(ctx context.Context, bucket, key string) (*Object, error) {
	head, err := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		return nil, fmt.Errorf("looking up s3://%s/%s: %w", bucket, key, err)
	}
	blocks, err := simplelru.NewLRU[int64, []byte](objectBlocks, nil)
	if err != nil {
		return nil, err
	}
	return &Object{ctx: ctx, c: c, bucket: bucket, key: key, etag: aws.ToString(head.ETag), size: aws.ToInt64(head.ContentLength), blocks: blocks}, nil
}

// Size returns the size in bytes.
func (o *Object) Size() int64 { return o.size }

// ReadAt implements io.ReaderAt.
func (o *Object) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("reading an object at a negative offset")
	}
	for n < len(p) {
		if off >= o.size {
			return n, io.EOF
		}
		block, err := o.block(off / objectBlock)
		if err != nil {
			return n, err
		}
		m := copy(p[n:], block[off%objectBlock:])
		n, off = n+m, off+int64(m)
	}
	return n, nil
}

// block returns a block of the object.
func (o *Object) block(i int64) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if b, ok := o.blocks.Get(i); ok {
		return b, nil
	}
	from := i * objectBlock
	b := make([]byte, min(objectBlock, o.size-from))
	got, err := o.c.s3.GetObject(o.ctx, &s3.GetObjectInput{
		Bucket: &o.bucket, Key: &o.key, IfMatch: &o.etag, Range: aws.String(fmt.Sprintf("bytes=%d-%d", from, from+int64(len(b))-1)),
	})
	if err == nil {
		_, err = io.ReadFull(got.Body, b)
		err = errors.Join(err, got.Body.Close())
	}
	if code(err) == "PreconditionFailed" {
		err = errors.New("it was replaced meanwhile")
	}
	if err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", o.bucket, o.key, err)
	}
	o.blocks.Add(i, b)
	return b, nil
}
