package metadb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/imports/objects"
)

// Objects is the objects.Store of a DB.
type Objects struct{ db *DB }

var _ objects.Store = Objects{}

// Objects returns the store of the embedded S3.
func (db *DB) Objects() Objects { return Objects{db} }

// bucketRow is a bucket with its row's id.
type bucketRow struct {
	id int64
	objects.Bucket
}

const bucketColumns = `id, name, account, region, versioning, created`

func scanBucket(s scanner) (b bucketRow, err error) {
	var created int64
	err = s.Scan(&b.id, &b.Name, &b.Account, &b.Region, &b.Versioning, &created)
	b.Created = fromMicros(created)
	return b, err
}

// bucket returns a bucket, or objects.ErrNoSuchBucket.
func bucket(ctx context.Context, q querier, name string) (bucketRow, error) {
	b, ok, err := one(ctx, q, scanBucket, `SELECT `+bucketColumns+` FROM s3_buckets WHERE name = $1`, name)
	if err == nil && !ok {
		err = fmt.Errorf("bucket %q: %w", name, objects.ErrNoSuchBucket)
	}
	return b, err
}

// CreateBucket implements objects.Store.
func (s Objects) CreateBucket(ctx context.Context, b objects.Bucket) error {
	return s.db.update(ctx, "create bucket "+b.Name, func(q querier) error {
		if err := lockAccount(ctx, q, b.Account); err != nil {
			return err
		}
		n, err := exec(ctx, q, `
			INSERT INTO s3_buckets (id, name, account, region, versioning, created) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (name) DO NOTHING`, s.db.ids.Int63(), b.Name, b.Account, b.Region, b.Versioning, micros(b.Created))
		if err != nil || n == 1 {
			return err
		}
		taken, ok, err := one(ctx, q, scanBucket, `SELECT `+bucketColumns+` FROM s3_buckets WHERE name = $1`, b.Name)
		switch {
		case err != nil:
			return err
		case !ok:
			return errRaced
		}
		return &objects.BucketExistsError{Bucket: taken.Bucket}
	})
}

// Bucket implements objects.Store.
func (s Objects) Bucket(ctx context.Context, name string) (b objects.Bucket, err error) {
	err = s.db.view(ctx, "read a bucket", func(q querier) error {
		row, err := bucket(ctx, q, name)
		b = row.Bucket
		return err
	})
	return b, err
}

// DeleteBucket implements objects.Store.
func (s Objects) DeleteBucket(ctx context.Context, name string) error {
	return s.db.free(ctx, "delete bucket "+name, func(q querier) error {
		b, err := bucket(ctx, q, name)
		if err != nil {
			return err
		}
		_, full, err := one(ctx, q, column[int64], `SELECT latest FROM s3_objects WHERE bucket = $1 LIMIT 1`, b.id)
		switch {
		case err != nil:
			return err
		case full:
			return objects.ErrBucketNotEmpty
		}
		uploads, err := all(ctx, q, column[string], `SELECT id FROM s3_uploads WHERE bucket = $1 ORDER BY key, id`, b.id)
		if err != nil {
			return err
		}
		for _, id := range uploads {
			if err := dropUpload(ctx, q, b, id); err != nil {
				return err
			}
		}
		if _, err := exec(ctx, q, `DELETE FROM s3_settings WHERE bucket = $1`, b.id); err != nil {
			return err
		}
		// What another transaction has put into it meanwhile refers to it, and stops this one.
		_, err = exec(ctx, q, `DELETE FROM s3_buckets WHERE id = $1`, b.id)
		return err
	})
}

// Buckets implements objects.Store.
func (s Objects) Buckets(ctx context.Context, p objects.BucketQuery) (list []objects.Bucket, err error) {
	err = s.db.view(ctx, "list buckets of account "+p.Account, func(q querier) error {
		rows, err := all(ctx, q, scanBucket, `SELECT `+bucketColumns+` FROM s3_buckets WHERE account = $1`, p.Account)
		for _, b := range rows {
			if b.Name > p.After && strings.HasPrefix(b.Name, p.Prefix) && (p.Region == "" || b.Region == p.Region) {
				list = append(list, b.Bucket)
			}
		}
		return err
	})
	slices.SortFunc(list, func(a, b objects.Bucket) int { return cmp.Compare(a.Name, b.Name) })
	return list[:min(len(list), p.Limit)], err
}

// OwnedBuckets implements objects.Store.
func (s Objects) OwnedBuckets(ctx context.Context, account string) (int, error) {
	return s.db.count(ctx, "count buckets of account "+account, `SELECT COUNT(*) FROM s3_buckets WHERE account = $1`, account)
}

// SetVersioning implements objects.Store.
func (s Objects) SetVersioning(ctx context.Context, name string, v objects.Versioning) error {
	return s.db.set(ctx, "set versioning of bucket "+name, func(q querier) error {
		n, err := exec(ctx, q, `UPDATE s3_buckets SET versioning = $1 WHERE name = $2`, v, name)
		if err == nil && n == 0 {
			err = objects.ErrNoSuchBucket
		}
		return err
	})
}

// Setting implements objects.Store.
func (s Objects) Setting(ctx context.Context, name, setting string) (document []byte, err error) {
	err = s.db.view(ctx, "read a setting of bucket "+name, func(q querier) error {
		b, err := bucket(ctx, q, name)
		if err != nil {
			return err
		}
		var ok bool
		document, ok, err = one(ctx, q, column[[]byte], `SELECT document FROM s3_settings WHERE bucket = $1 AND name = $2`, b.id, setting)
		if err == nil && !ok {
			err = objects.ErrNoSuchSetting
		}
		return err
	})
	return document, err
}

// SetSetting implements objects.Store.
func (s Objects) SetSetting(ctx context.Context, name string, setting objects.Setting) error {
	return s.db.update(ctx, "set "+setting.Name+" of bucket "+name, func(q querier) error {
		b, err := bucket(ctx, q, name)
		if err != nil {
			return err
		}
		document := setting.Document
		if document == nil {
			document = []byte{}
		}
		_, err = exec(ctx, q, `
			INSERT INTO s3_settings (bucket, name, document) VALUES ($1, $2, $3)
			ON CONFLICT (bucket, name) DO UPDATE SET document = excluded.document`, b.id, setting.Name, document)
		return err
	})
}

// DeleteSetting implements objects.Store.
func (s Objects) DeleteSetting(ctx context.Context, name, setting string) error {
	return s.db.free(ctx, "delete "+setting+" of bucket "+name, func(q querier) error {
		b, err := bucket(ctx, q, name)
		if err != nil {
			return err
		}
		_, err = exec(ctx, q, `DELETE FROM s3_settings WHERE bucket = $1 AND name = $2`, b.id, setting)
		return err
	})
}
