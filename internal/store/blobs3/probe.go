package blobs3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// ErrUnfit reports a store that lacks something without which files could be lost. Its text
// says what.
var ErrUnfit = errors.New("blobs3: the store is not fit to keep blocks")

// Probe finds out whether the store can be reached and does what files need: that a write
// with If-None-Match: * never replaces an object, whether it is one request or the end of an
// upload, and that an answer with a range says so and has the object's metadata. It leaves
// nothing, or if it is cut off what Purge finds. An error wraps ErrUnfit, or says why the store could not be asked.
func (b *Bucket) Probe(ctx context.Context) (err error) {
	key := b.o.Prefix + probeName + rand.Text()
	defer func() {
		// Even when the store refuses what comes last, the object goes. That it doesn't is worth
		// telling if nothing else is.
		if gone := b.remove(context.WithoutCancel(ctx), key); err == nil {
			err = b.at(key, gone)
		}
	}()
	for _, step := range []func(context.Context, string) error{b.probePut, b.probeRange, b.probeUpload, b.probeLists} {
		if err := step(ctx, key); err != nil {
			return b.at(key, err)
		}
	}
	return nil
}

const (
	probeName = ".probe-" // and a word at random
	probeText = "probe"
	// probeLife is longer than any probe takes.
	probeLife = time.Hour
)

// purgeProbes deletes what probes have left that were cut off.
func (b *Bucket) purgeProbes(ctx context.Context) error {
	latest := b.o.Now().Add(-probeLife)
	err := b.eachObject(ctx, probeName, func(o object) error {
		if !o.since.Before(latest) {
			return nil
		}
		return b.remove(ctx, b.o.Prefix+o.name)
	})
	if err != nil {
		return err
	}
	var old []upload
	err = b.eachUpload(ctx, probeName, func(u upload) error {
		if u.since.Before(latest) {
			old = append(old, u)
		}
		return nil
	})
	for _, u := range old {
		err = errors.Join(err, b.dropUpload(ctx, u.key, u.id))
	}
	return err
}

func (b *Bucket) probePut(ctx context.Context, key string) error {
	put := func() error {
		return b.repeat(ctx, func() error {
			_, err := b.client.PutObject(ctx, &s3.PutObjectInput{
				Bucket: &b.o.Bucket, Key: &key, IfNoneMatch: aws.String("*"), Body: strings.NewReader(probeText), ChecksumCRC32C: checksumOf([]byte(probeText)),
				Metadata: map[string]string{writerMeta: probeText},
			}, asItIs)
			return err
		})
	}
	if err := put(); err != nil && statusOf(err) != http.StatusPreconditionFailed { // that is the answer to a repetition
		return err
	}
	return refused("PutObject", put())
}

// refused returns nil if err says that the condition was not met.
func refused(what string, err error) error {
	if err == nil {
		return fmt.Errorf("%w: %s ignores If-None-Match", ErrUnfit, what)
	}
	if statusOf(err) == http.StatusPreconditionFailed {
		return nil
	}
	return err
}

func (b *Bucket) probeRange(ctx context.Context, key string) error {
	return b.repeat(ctx, func() error {
		out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.o.Bucket, Key: &key, Range: aws.String("bytes=1-2")})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		if size, err := rangeOf(out, 1, 2); err != nil || size != int64(len(probeText)) {
			return fmt.Errorf("%w: it does not answer with ranges as S3 does", ErrUnfit)
		}
		if out.Metadata[writerMeta] != probeText {
			return fmt.Errorf("%w: it does not keep metadata", ErrUnfit)
		}
		return nil
	})
}

func (b *Bucket) probeUpload(ctx context.Context, key string) error {
	defer func() { _ = b.dropUploads(context.WithoutCancel(ctx), key) }()
	var id, etag *string
	err := b.repeat(ctx, func() error {
		out, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &b.o.Bucket, Key: &key})
		if err == nil {
			id = out.UploadId
		}
		return err
	})
	if err != nil {
		return err
	}
	err = b.repeat(ctx, func() error {
		out, err := b.client.UploadPart(ctx, &s3.UploadPartInput{Bucket: &b.o.Bucket, Key: &key, UploadId: id, PartNumber: aws.Int32(1), Body: strings.NewReader(probeText)})
		if err == nil {
			etag = out.ETag
		}
		return err
	})
	if err != nil {
		return err
	}
	return refused("CompleteMultipartUpload", b.repeat(ctx, func() error {
		_, err := b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &b.o.Bucket, Key: &key, UploadId: id, IfNoneMatch: aws.String("*"),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: etag, PartNumber: aws.Int32(1)}}},
		})
		return err
	}))
}

// probeLists has the store list the object.
func (b *Bucket) probeLists(ctx context.Context, key string) error {
	enough := errors.New("found")
	err := b.eachObject(ctx, strings.TrimPrefix(key, b.o.Prefix), func(object) error { return enough })
	if errors.Is(err, enough) {
		return nil
	}
	return err
}
