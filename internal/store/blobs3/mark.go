package blobs3

import (
	"context"
	"crypto/md5" //nolint:gosec // S3's ETags are
	"encoding/hex"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/failpoint"
)

// A mark is in the place of a file that was removed; see the package comment.
const (
	markText = "This file was removed. What stands here keeps it from being written again, and will leave by itself.\n"
	markMeta = "diskport-removed"

	// writerLife is how old a Writer may be when it begins to close its file: much more
	// than the units of work that write files take.
	writerLife = 24 * time.Hour
	// markLife is how long a mark stays at least: until no writer is younger, and no request
	// of one is taken any more.
	markLife = writerLife + 24*time.Hour
)

// markETag is the ETag of a mark where ETags are MD5 sums, as they are unless the bucket
// is encrypted under a KMS key.
var markETag = func() string {
	sum := md5.Sum([]byte(markText)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}()

// mark puts a mark in the place of a file, whether there is one or not.
func (b *Bucket) mark(ctx context.Context, key string) error {
	err := b.repeat(ctx, func() error {
		_, err := b.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &b.o.Bucket, Key: &key, Body: strings.NewReader(markText),
			Metadata: map[string]string{markMeta: b.o.Now().UTC().Format(asideLayout)},
		})
		return err
	})
	failpoint.File(key, "marked as removed")
	return err
}

func isMarkMeta(metadata map[string]string) bool { return metadata[markMeta] != "" }

// isMark reports whether a listed object is a mark. It asks for those that may be one.
func (b *Bucket) isMark(ctx context.Context, o object) (bool, error) {
	switch {
	case o.size != int64(len(markText)):
		return false, nil
	case strings.Trim(o.etag, `"`) == markETag:
		return true, nil
	}
	found, err := b.head(ctx, b.o.Prefix+o.name)
	return err == nil && found.there && found.removed, err
}

// state is what is known of an object.
type state struct {
	there   bool
	size    int64
	writer  string // token of the one who wrote it
	removed bool   // it is a mark
}

// file reports whether it is a file.
func (s state) file() bool { return s.there && !s.removed }

// head asks for an object; none is no error.
func (b *Bucket) head(ctx context.Context, key string) (s state, err error) {
	err = b.repeat(ctx, func() error {
		out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.o.Bucket, Key: &key})
		if err == nil {
			s = state{true, aws.ToInt64(out.ContentLength), out.Metadata[writerMeta], isMarkMeta(out.Metadata)}
		}
		return err
	})
	if isMissing(err) {
		return state{}, nil
	}
	return s, err
}

// purgeMarks deletes the marks that were put before a time.
func (b *Bucket) purgeMarks(ctx context.Context, before time.Time) error {
	if latest := b.o.Now().Add(-markLife); latest.Before(before) {
		before = latest
	}
	return b.eachObject(ctx, "", func(o object) error {
		if !isName(o.name) || !o.since.Before(before) || o.size != int64(len(markText)) {
			return nil
		}
		// A listing may be behind: what it has as a mark may have been brought back since, and be
		// nowhere else.
		found, err := b.head(ctx, b.o.Prefix+o.name)
		if err != nil || !found.there || !found.removed {
			return err
		}
		return b.remove(ctx, b.o.Prefix+o.name)
	})
}

// remove deletes an object.
func (b *Bucket) remove(ctx context.Context, key string) error {
	err := b.repeat(ctx, func() error {
		_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.o.Bucket, Key: &key})
		return err
	})
	failpoint.File(key, "deleted")
	if isMissing(err) {
		return nil
	}
	return err
}
