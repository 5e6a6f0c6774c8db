package blobs3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// Options are the options of a Bucket. Bucket and Credentials are required.
type Options struct {
	Endpoint    string // http[s]://HOST[:PORT]; empty: AWS's own
	Region      string // to sign for; empty: us-east-1
	Bucket      string
	Prefix      string // of all keys; ends with a slash, or is empty
	Credentials aws.CredentialsProvider

	Memory  int64         // bytes of parts that are not stored yet; 0: 32 MiB
	Metrics *Metrics      // nil: nothing is counted
	Backoff time.Duration // before the first repetition of a request; 0: 100 ms

	Now  func() time.Time                                                     // nil: the system's clock
	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: over the network
}

const (
	// PartBytes is the size of every part of an upload but the last. S3 takes none below
	// 5 MiB, and some stores only parts of one size.
	PartBytes = 8 << 20

	defaultMemory  = 32 << 20
	defaultBackoff = 100 * time.Millisecond
)

// Bucket is a prefix in a bucket. It may be used concurrently, by any number of nodes.
type Bucket struct {
	o       Options
	client  *s3.Client
	part    int64 // PartBytes; tests have smaller ones
	buffers *buffers
	base    *http.Transport

	mu   sync.Mutex // guards open
	open map[string]*writer
}

var (
	_ blockstore.Backend    = (*Bucket)(nil)
	_ blockstore.Identified = (*Bucket)(nil)
	_ blockstore.Quarantine = (*Bucket)(nil)
	_ blockstore.Aside      = (*Bucket)(nil)
)

// New connects to nothing yet. Close it after use.
func New(o Options) *Bucket {
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.Memory = cmp.Or(o.Memory, defaultMemory)
	o.Backoff = cmp.Or(o.Backoff, defaultBackoff)
	if o.Now == nil {
		o.Now = time.Now
	}
	client, base := newHTTP(o.Dial, o.Metrics)
	so := s3.Options{
		Region: o.Region, Credentials: aws.NewCredentialsCache(o.Credentials), HTTPClient: client,
		Retryer:                                   aws.NopRetryer{}, // repeat decides what is repeated
		RequestChecksumCalculation:                aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation:                aws.ResponseChecksumValidationWhenRequired,
		DisableLogOutputChecksumValidationSkipped: true,
		ContinueHeaderThresholdBytes:              -1, // a round trip for each part
	}
	if o.Endpoint != "" {
		so.BaseEndpoint, so.UsePathStyle = aws.String(o.Endpoint), true
	}
	return &Bucket{o: o, client: s3.New(so), part: PartBytes, buffers: newBuffers(int(max(o.Memory/PartBytes, 1)), PartBytes), base: base, open: map[string]*writer{}}
}

// String returns the URL of the prefix.
func (b *Bucket) String() string { return "s3://" + b.o.Bucket + "/" + b.o.Prefix }

// Free returns the bytes that files may still take: nobody knows that of a bucket, so it is
// more than anything needs.
func (b *Bucket) Free() (int64, error) { return math.MaxInt64 / 2, nil }

// Buffers returns how many parts the memory for parts has room for, and how many are in
// it, which may be more.
func (b *Bucket) Buffers() (room, used int) { return b.buffers.count() }

// Trim gives memory back that no part is in.
func (b *Bucket) Trim() { b.buffers.trim() }

// Close closes idle connections and gives back memory. No other call may be running.
func (b *Bucket) Close() error {
	b.base.CloseIdleConnections()
	b.buffers.trim()
	return nil
}

// The keys under the prefix that are no files.
const (
	identityName = "identity"
	asideName    = "aside"
)

// key returns the key of a file.
func (b *Bucket) key(name string) (string, error) {
	if !isName(name) {
		return "", fmt.Errorf("blobs3: %q is no name", name)
	}
	return b.o.Prefix + name, nil
}

func isName(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return filepath.IsLocal(name) && path.Clean(name) == name && !strings.HasPrefix(first, ".") && first != identityName && first != asideName
}

// at says where something failed.
func (b *Bucket) at(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("s3://%s/%s: %w", b.o.Bucket, key, err)
}

// Remove implements blockstore.Backend; the package comment says how.
func (b *Bucket) Remove(ctx context.Context, name string) error {
	key, err := b.key(name)
	if err != nil {
		return err
	}
	if err := b.mark(ctx, key); err != nil {
		return b.at(key, err)
	}
	b.forget(name, nil)
	return b.at(key, b.dropUploads(ctx, key))
}

// forget takes a file out of those that are open here; w is its writer, nil: any.
func (b *Bucket) forget(name string, w *writer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w == nil || b.open[name] == w {
		delete(b.open, name)
	}
}

// List implements blockstore.Backend. Of what is open, it finds what is open here, and
// the uploads of other nodes. What they have in memory alone is nowhere.
func (b *Bucket) List(ctx context.Context, fn func(blockstore.Entry) error) error {
	open := map[string]bool{}
	b.mu.Lock()
	for name := range b.open {
		open[name] = true
	}
	b.mu.Unlock()
	err := b.eachUpload(ctx, "", func(u upload) error {
		open[strings.TrimPrefix(u.key, b.o.Prefix)] = true
		return nil
	})
	if err != nil {
		return b.at(b.o.Prefix, err)
	}
	err = b.eachFile(ctx, func(o object) error {
		delete(open, o.name)
		return fn(blockstore.Entry{Name: o.name, Bytes: o.size, Closed: true})
	})
	if err != nil {
		return b.at(b.o.Prefix, err)
	}
	for name := range open {
		if !isName(name) {
			continue
		}
		if err := fn(blockstore.Entry{Name: name}); err != nil {
			return err
		}
	}
	return nil
}

// eachFile calls fn for every closed file.
func (b *Bucket) eachFile(ctx context.Context, fn func(object) error) error {
	return b.eachObject(ctx, "", func(o object) error {
		if !isName(o.name) {
			return nil
		}
		marked, err := b.isMark(ctx, o)
		if err != nil || marked {
			return err
		}
		return fn(o)
	})
}

// object is an object as it is listed.
type object struct {
	name  string // behind the prefix
	size  int64
	etag  string
	since time.Time
}

// eachObject calls fn for every object whose name begins with under.
func (b *Bucket) eachObject(ctx context.Context, under string, fn func(object) error) error {
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.o.Bucket, Prefix: aws.String(b.o.Prefix + under)})
	for pages.HasMorePages() {
		var page *s3.ListObjectsV2Output
		err := b.repeat(ctx, func() (err error) {
			page, err = pages.NextPage(ctx)
			return err
		})
		if err != nil {
			return err
		}
		for _, o := range page.Contents {
			name, ok := strings.CutPrefix(aws.ToString(o.Key), b.o.Prefix)
			if !ok {
				return fmt.Errorf("%w: a list of %s has %s", errBadAnswer, b.o.Prefix, aws.ToString(o.Key))
			}
			if err := fn(object{name, aws.ToInt64(o.Size), aws.ToString(o.ETag), aws.ToTime(o.LastModified)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// upload is an upload as it is listed.
type upload struct {
	key, id string
	since   time.Time
}

// eachUpload calls fn for every upload whose name begins with under.
func (b *Bucket) eachUpload(ctx context.Context, under string, fn func(upload) error) error {
	pages := s3.NewListMultipartUploadsPaginator(b.client, &s3.ListMultipartUploadsInput{Bucket: &b.o.Bucket, Prefix: aws.String(b.o.Prefix + under)})
	for pages.HasMorePages() {
		var page *s3.ListMultipartUploadsOutput
		err := b.repeat(ctx, func() (err error) {
			page, err = pages.NextPage(ctx)
			return err
		})
		if err != nil {
			return err
		}
		for _, u := range page.Uploads {
			if err := fn(upload{aws.ToString(u.Key), aws.ToString(u.UploadId), aws.ToTime(u.Initiated)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropUploads ends all uploads of a key.
func (b *Bucket) dropUploads(ctx context.Context, key string) error {
	var errs []error
	err := b.eachUpload(ctx, strings.TrimPrefix(key, b.o.Prefix), func(u upload) error {
		if u.key == key {
			errs = append(errs, b.dropUpload(ctx, key, u.id))
		}
		return ctx.Err()
	})
	return errors.Join(append(errs, err)...)
}

// dropUpload ends an upload, and lets go of its parts.
func (b *Bucket) dropUpload(ctx context.Context, key, id string) error {
	err := b.repeat(ctx, func() error {
		_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.o.Bucket, Key: &key, UploadId: &id})
		return err
	})
	failpoint.File(key, "an upload ended")
	if codeOf(err) == "NoSuchUpload" {
		return nil
	}
	return err
}
