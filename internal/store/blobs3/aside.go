package blobs3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// asideLayout is the form of the times in the names of what was set aside, in UTC.
const asideLayout = "20060102T150405Z"

// SetAside implements blockstore.Quarantine. The time is rounded up to a second, so that
// nothing is purged too early. If it is cut off, the file is aside and still in the store:
// then it is set aside again.
func (b *Bucket) SetAside(ctx context.Context, name string, at time.Time) error {
	key, err := b.key(name)
	if err != nil {
		return err
	}
	found, err := b.head(ctx, key)
	if err != nil || !found.file() {
		return b.at(key, err)
	}
	to := b.o.Prefix + asideName + "/" + at.Add(time.Second-1).UTC().Format(asideLayout) + "/" + name
	if err := b.copyFile(ctx, key, to, found.size); err != nil {
		return b.at(key, err)
	}
	failpoint.File(key, "set aside, and still in the store")
	return b.Remove(ctx, name)
}

// copyFile copies a file of size bytes inside the store.
func (b *Bucket) copyFile(ctx context.Context, from, to string, size int64) error {
	err := b.repeat(ctx, func() error {
		_, err := b.client.CopyObject(ctx, &s3.CopyObjectInput{
			Bucket: &b.o.Bucket, Key: &to, CopySource: aws.String((&url.URL{Path: b.o.Bucket + "/" + from}).EscapedPath()),
		})
		return err
	})
	failpoint.File(to, "copied")
	if err != nil {
		return err
	}
	found, err := b.head(ctx, to)
	if err == nil && (!found.file() || found.size != size) {
		err = fmt.Errorf("%w: a copy of %d bytes has %d", errBadAnswer, size, found.size)
	}
	return err
}

// asideFile is a file that was set aside.
type asideFile struct {
	name string // that it had
	key  string // where it is
	at   time.Time
	size int64
}

// eachAside calls fn for every file that was set aside. What people put there under other
// names is passed over.
func (b *Bucket) eachAside(ctx context.Context, fn func(asideFile) error) error {
	return b.eachObject(ctx, asideName+"/", func(o object) error {
		folder, name, _ := strings.Cut(strings.TrimPrefix(o.name, asideName+"/"), "/")
		at, err := time.Parse(asideLayout, folder)
		if err != nil || !isName(name) {
			return nil
		}
		return fn(asideFile{name, b.o.Prefix + o.name, at, o.size})
	})
}

// EachAside implements blockstore.Aside.
func (b *Bucket) EachAside(ctx context.Context, fn func(name string) error) error {
	return b.eachAside(ctx, func(f asideFile) error { return fn(f.name) })
}

// BringBack implements blockstore.Aside. It replaces a mark, but no file: the names of files
// are never used again, so if there are two of one name they are the same.
func (b *Bucket) BringBack(ctx context.Context, name string) error {
	key, err := b.key(name)
	if err != nil {
		return err
	}
	found, err := b.head(ctx, key)
	if err != nil || found.file() {
		return b.at(key, err)
	}
	var last asideFile
	err = b.eachAside(ctx, func(f asideFile) error {
		if f.name == name && (last.key == "" || f.at.After(last.at)) {
			last = f
		}
		return nil
	})
	if err != nil || last.key == "" {
		return b.at(key, err)
	}
	// Some stores keep metadata of what a copy replaces. Whoever still had a request on its way
	// that makes the file would make the same one.
	if err := b.remove(ctx, key); err != nil {
		return b.at(key, err)
	}
	if err := b.copyFile(ctx, last.key, key, last.size); err != nil {
		return b.at(key, err)
	}
	failpoint.File(key, "brought back, and still aside")
	return b.at(last.key, b.remove(ctx, last.key))
}

// Purge implements blockstore.Quarantine. It deletes the marks of removed files too, which
// are as old, and what probes have left that were cut off.
func (b *Bucket) Purge(ctx context.Context, before time.Time) (p blockstore.Purged, err error) {
	err = b.eachAside(ctx, func(f asideFile) error {
		if !f.at.Before(before) {
			return nil
		}
		if err := b.remove(ctx, f.key); err != nil {
			return err
		}
		p.Files++
		p.Bytes += f.size
		return nil
	})
	if err != nil {
		return p, b.at(b.o.Prefix+asideName, err)
	}
	failpoint.At("quarantine: purged")
	return p, b.at(b.o.Prefix, errors.Join(b.purgeMarks(ctx, before), b.purgeProbes(ctx)))
}
