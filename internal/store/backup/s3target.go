package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/diskport/diskport/internal/failpoint"
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

// silence is how long an S3 may neither take nor send anything. While a backup is made gc
// removes nothing, so it must not wait for ever.
const silence = 5 * time.Minute

var errSilent = errors.New("the S3 does not go on with its answer")

// dialer connects to an address.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// newS3 connects to nothing yet; dial is nil for the network.
func newS3(p Place, c aws.CredentialsProvider, dial dialer) *bucket {
	o := s3.Options{
		Region: p.Region, Credentials: aws.NewCredentialsCache(c), HTTPClient: impatient(dial),
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
	ctx, cancel := context.WithCancelCause(ctx)
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(b.Bucket), Key: b.key(name)})
	if err != nil {
		cancel(nil)
		return nil, b.told(name, err)
	}
	return &answer{out.Body, ctx, cancel}, nil
}

// answer is the body of an answer.
type answer struct {
	io.ReadCloser
	ctx    context.Context // of the request
	cancel context.CancelCauseFunc
}

// Read implements io.Reader. It does not wait for longer than silence.
func (a *answer) Read(p []byte) (int, error) {
	late := time.AfterFunc(silence, func() { a.cancel(errSilent) })
	defer late.Stop()
	n, err := a.ReadCloser.Read(p)
	if err != nil && errors.Is(context.Cause(a.ctx), errSilent) {
		err = errSilent
	}
	return n, err
}

// Close implements io.Closer.
func (a *answer) Close() error {
	defer a.cancel(nil)
	return a.ReadCloser.Close()
}

// impatient returns a client of the SDK's that bounds silence, but for that in the body of
// an answer.
func impatient(dial dialer) aws.HTTPClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = silence
		if dial == nil {
			dial = t.DialContext
		}
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return impatientConn{c}, nil
		}
	})
}

// impatientConn is a connection to somebody who has to take what is written.
type impatientConn struct{ net.Conn }

// Write implements io.Writer.
func (c impatientConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
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
	failpoint.At(step(name, "removed"))
	return b.told(name, err)
}

// Lock implements Target.
func (b *bucket) Lock(ctx context.Context) (unlock func(), err error) { return func() {}, ctx.Err() }

// String returns the URL of the prefix.
func (b *bucket) String() string { return "s3://" + b.Bucket + "/" + b.Prefix }
