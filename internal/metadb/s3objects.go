package metadb

import (
	"cmp"
	"context"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/tag"
)

// The versions of a key are rows of which one is the latest. An event takes the latest
// out of the way first, which locks it, and inserts the next: the unique index on the
// latest makes the slower of two transactions run again.

// objectRow is an object with its place among the versions of its key.
type objectRow struct {
	objects.Object
	place int64
}

const objectColumns = `key, place, version, latest, marker, content, size, etag, modified, checksum, parts`

// scanObject scans objectColumns, and more columns into more.
func scanObject(s scanner, more ...any) (o objectRow, err error) {
	var key []byte
	var modified int64
	var checksum string
	err = s.Scan(append([]any{
		&key, &o.place, &o.Version, &o.Latest, &o.Marker, &o.Content, &o.Size, &o.ETag, &modified, &checksum, &o.Parts,
	}, more...)...)
	o.Key, o.Modified, o.Checksum = string(key), fromMicros(modified), readChecksum(checksum)
	return o, err
}

func scanListed(s scanner) (objectRow, error) { return scanObject(s) }

// scanWhole scans objectColumns, metadata and tags.
func scanWhole(s scanner) (o objectRow, err error) {
	var metadata, tags string
	if o, err = scanObject(s, &metadata, &tags); err != nil {
		return o, err
	}
	return o, cmp.Or(s3Metadata.read(metadata, &o.Metadata), s3Tags.read(tags, &o.Tags))
}

const selectWhole = `SELECT ` + objectColumns + `, metadata, tags FROM s3_objects WHERE bucket = $1 AND key = $2`

// maxPlace is above all places. Places count down from it, so that the newest version
// of a key comes first.
const maxPlace = 1 << 62

var versionText = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// newVersion returns the id of the version at a place: opaque to clients, and from it
// follows the place.
func (s Objects) newVersion(place int64) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(place))
	b = binary.BigEndian.AppendUint64(b, uint64(s.db.ids.Int63()))
	b = binary.BigEndian.AppendUint32(b, uint32(s.db.ids.Int63()>>8))
	return versionText.EncodeToString(b)
}

// placeOf returns the place of a version by its id; ok is false for what is no id.
func placeOf(version string) (place int64, ok bool) {
	b, err := versionText.DecodeString(version)
	if err != nil || len(b) != 20 || b[0] > 0x7f {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(b)), true
}

// latest returns the latest version of a key, or nil.
func latest(ctx context.Context, q querier, bucket int64, key string) (*objectRow, error) {
	return maybe(one(ctx, q, scanWhole, selectWhole+` AND latest = 1`, bucket, []byte(key)))
}

// versionOf returns a version of a key, or nil.
func versionOf(ctx context.Context, q querier, bucket int64, key, version string) (*objectRow, error) {
	if version == objects.NullVersion {
		o, err := latest(ctx, q, bucket, key)
		if err != nil || o != nil && o.Version == version {
			return o, err
		}
		return maybe(one(ctx, q, scanWhole, selectWhole+` AND version = 'null' AND latest = 0`, bucket, []byte(key)))
	}
	place, ok := placeOf(version)
	if !ok {
		return nil, nil
	}
	return maybe(one(ctx, q, scanWhole, selectWhole+` AND place = $3 AND version = $4`, bucket, []byte(key), place, version))
}

// maybe returns what one does as a pointer, nil for no row.
func maybe[T any](v T, ok bool, err error) (*T, error) {
	if err != nil || !ok {
		return nil, err
	}
	return &v, nil
}

// findObject returns a version of an object, or the latest one. objects.ErrNoSuchBucket,
// objects.ErrNoSuchObject, objects.ErrNoSuchVersion.
func findObject(ctx context.Context, q querier, bucketName, key, version string) (o objectRow, err error) {
	b, err := bucket(ctx, q, bucketName)
	if err != nil {
		return o, err
	}
	var found *objectRow
	missing := objects.ErrNoSuchObject
	if version == "" {
		found, err = latest(ctx, q, b.id, key)
	} else {
		missing = objects.ErrNoSuchVersion
		found, err = versionOf(ctx, q, b.id, key, version)
	}
	switch {
	case err != nil:
		return o, err
	case found == nil:
		return o, missing
	}
	found.Bucket, found.Account = b.Name, b.Account
	if found.Content != 0 {
		encryption, ok, err := one(ctx, q, column[string], `SELECT encryption FROM s3_contents WHERE id = $1`, found.Content)
		if err != nil {
			return o, err
		}
		if !ok {
			return o, fmt.Errorf("%s/%s has no content %d: %w", bucketName, key, found.Content, objects.ErrDamaged)
		}
		if err := s3Encryption.read(encryption, &found.Encryption); err != nil {
			return o, err
		}
	}
	return *found, nil
}

// Object implements objects.Store.
func (s Objects) Object(ctx context.Context, bucket, key, version string) (o objects.Object, err error) {
	err = s.db.view(ctx, "read an object of bucket "+bucket, func(q querier) error {
		row, err := findObject(ctx, q, bucket, key, version)
		o = row.Object
		return err
	})
	return o, err
}

// Put implements objects.Store.
func (s Objects) Put(ctx context.Context, p objects.Put, c objects.Change) (o objects.Object, err error) {
	err = s.db.update(ctx, "put an object into bucket "+p.Bucket, func(q querier) error {
		b, err := bucket(ctx, q, p.Bucket)
		if err != nil {
			return err
		}
		o = objects.Object{
			Bucket: b.Name, Account: b.Account, Key: p.Key, Size: p.Piece.Size, ETag: p.ETag,
			Checksum: p.Checksum, Metadata: p.Metadata, Tags: p.Tags, Encryption: p.Encryption,
		}
		freed, err := s.addVersion(ctx, q, b, &o, p.If, c, func() (objects.ContentID, error) {
			return s.pieceContent(ctx, q, b.Account, objects.PieceRow{ID: p.Piece.ID, Size: p.Piece.Size, Proof: p.Piece.Proof()}, p.Encryption)
		})
		if err != nil {
			return err
		}
		return charge(ctx, q, b.Account, o.Size-freed, c)
	})
	return o, err
}

// Copy implements objects.Store.
func (s Objects) Copy(ctx context.Context, p objects.Copy, c objects.Change) (o objects.Object, err error) {
	err = s.db.update(ctx, "copy an object to bucket "+p.Bucket, func(q querier) error {
		b, err := bucket(ctx, q, p.Bucket)
		if err != nil {
			return err
		}
		o = objects.Object{
			Bucket: b.Name, Account: b.Account, Key: p.Key, Size: p.Source.Size, ETag: p.Source.ETag, Parts: p.Source.Parts,
			Checksum: p.Checksum, Metadata: p.Metadata, Tags: p.Tags, Encryption: p.Source.Encryption,
		}
		freed, err := s.addVersion(ctx, q, b, &o, p.If, c, func() (objects.ContentID, error) {
			return p.Source.Content, retain(ctx, q, p.Source.Content, 1)
		})
		if err != nil {
			return err
		}
		return charge(ctx, q, b.Account, o.Size-freed, c)
	})
	return o, err
}

// addVersion makes o the latest version of its key, in the place of the present one or
// on top of it, as the bucket's versioning says. It sets what o lacks, and returns the
// bytes that went away. fill makes the content, or takes a name of it; it runs before
// anything is let go.
func (s Objects) addVersion(ctx context.Context, q querier, b bucketRow, o *objects.Object, cond objects.Conditions, c objects.Change, fill func() (objects.ContentID, error)) (freed int64, err error) {
	old, err := takeLatest(ctx, q, b, o.Key)
	if err != nil {
		return 0, err
	}
	row := objectRow{place: maxPlace - micros(c.At)}
	if old != nil {
		row.place = min(row.place, old.place-1)
	}
	if err := cond.Check(present(old)); err != nil {
		return 0, err
	}
	if !o.Marker {
		if o.Content, err = fill(); err != nil {
			return 0, err
		}
	}
	if freed, err = dropReplaced(ctx, q, b, o.Key, old); err != nil {
		return 0, err
	}
	o.Version, o.Latest, o.Modified = objects.NullVersion, true, c.At
	if b.Versioning == objects.Enabled {
		o.Version = s.newVersion(row.place)
	}
	row.Object = *o
	return freed, insertObject(ctx, q, b, row)
}

func present(o *objectRow) *objects.Object {
	if o == nil {
		return nil
	}
	return &o.Object
}

// takeLatest locks the latest version of a key and takes it out of the way: as a version
// where the bucket has versions, else for good. nil if there is none.
func takeLatest(ctx context.Context, q querier, b bucketRow, key string) (*objectRow, error) {
	change := `DELETE FROM s3_objects`
	if b.Versioning != objects.Unversioned {
		change = `UPDATE s3_objects SET latest = 0`
	}
	return maybe(one(ctx, q, scanListed, change+` WHERE bucket = $1 AND key = $2 AND latest = 1 RETURNING `+objectColumns, b.id, []byte(key)))
}

// dropReplaced drops what the next latest version replaces; old is what takeLatest
// returned.
func dropReplaced(ctx context.Context, q querier, b bucketRow, key string, old *objectRow) (freed int64, err error) {
	switch b.Versioning {
	case objects.Unversioned:
		if old == nil {
			return 0, nil
		}
		return old.Size, letGo(ctx, q, old.Content)
	case objects.Suspended:
		null, err := maybe(one(ctx, q, scanListed, `
			DELETE FROM s3_objects WHERE bucket = $1 AND key = $2 AND version = 'null' AND latest = 0 RETURNING `+objectColumns, b.id, []byte(key)))
		if err != nil || null == nil {
			return 0, err
		}
		return null.Size, letGo(ctx, q, null.Content)
	}
	return 0, nil
}

func insertObject(ctx context.Context, q querier, b bucketRow, o objectRow) error {
	metadata, err1 := s3Metadata.text(o.Metadata)
	tags, err2 := s3Tags.text(o.Tags)
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	n, err := exec(ctx, q, `
		INSERT INTO s3_objects (bucket, `+objectColumns+`, metadata, tags) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT DO NOTHING`,
		b.id, []byte(o.Key), o.place, o.Version, flag(o.Latest), flag(o.Marker), o.Content, o.Size, o.ETag, micros(o.Modified),
		checksumText(o.Checksum), o.Parts, metadata, tags)
	if err == nil && n == 0 {
		err = errRaced
	}
	return err
}

// Delete implements objects.Store.
func (s Objects) Delete(ctx context.Context, name string, list []objects.Deletion, c objects.Change) (done []objects.Deleted, err error) {
	order := make([]int, len(list)) // all transactions lock in the order of keys
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(list[i].Key, list[j].Key) })
	err = s.db.free(ctx, "delete objects of bucket "+name, func(q querier) error {
		b, err := bucket(ctx, q, name)
		if err != nil {
			return err
		}
		done = make([]objects.Deleted, len(list))
		var freed int64
		for _, i := range order {
			d, bytes, err := s.deleteObject(ctx, q, b, list[i], c)
			if err != nil {
				return err
			}
			done[i], freed = d, freed+bytes
		}
		return charge(ctx, q, b.Account, -freed, c)
	})
	return done, err
}

// deleteObject deletes an object or a version, and returns the bytes that went away. A
// condition that does not hold is an error of the deletion alone.
func (s Objects) deleteObject(ctx context.Context, q querier, b bucketRow, d objects.Deletion, c objects.Change) (done objects.Deleted, freed int64, err error) {
	done.Key = d.Key
	if d.If != (objects.Conditions{}) {
		o, err := lockObject(ctx, q, b, d)
		if err != nil {
			return done, 0, err
		}
		if done.Err = d.If.Check(present(o)); done.Err != nil {
			return done, 0, nil
		}
	}
	if d.Version != "" {
		return dropVersion(ctx, q, b, d)
	}
	if b.Versioning == objects.Unversioned {
		old, err := takeLatest(ctx, q, b, d.Key)
		if err != nil || old == nil {
			return done, 0, err
		}
		return done, old.Size, letGo(ctx, q, old.Content)
	}
	marker := objects.Object{Key: d.Key, Marker: true}
	freed, err = s.addVersion(ctx, q, b, &marker, objects.Conditions{}, c, nil)
	done.Version, done.Marker = marker.Version, true
	return done, freed, err
}

// lockObject locks and returns what a deletion is about, nil if there is nothing.
func lockObject(ctx context.Context, q querier, b bucketRow, d objects.Deletion) (*objectRow, error) {
	find := latest
	if d.Version != "" {
		find = func(ctx context.Context, q querier, bucket int64, key string) (*objectRow, error) {
			return versionOf(ctx, q, bucket, key, d.Version)
		}
	}
	o, err := find(ctx, q, b.id, d.Key)
	if err != nil || o == nil {
		return nil, err
	}
	n, err := exec(ctx, q, `UPDATE s3_objects SET latest = latest WHERE bucket = $1 AND key = $2 AND place = $3 AND latest = $4`, b.id, []byte(d.Key), o.place, flag(o.Latest))
	if err == nil && n == 0 {
		err = errRaced
	}
	return o, err
}

// dropVersion deletes a version for good. If it was the latest, the next one becomes
// it.
func dropVersion(ctx context.Context, q querier, b bucketRow, d objects.Deletion) (done objects.Deleted, freed int64, err error) {
	done = objects.Deleted{Key: d.Key, Version: d.Version}
	o, err := versionOf(ctx, q, b.id, d.Key, d.Version)
	if err != nil || o == nil {
		return done, 0, err
	}
	n, err := exec(ctx, q, `DELETE FROM s3_objects WHERE bucket = $1 AND key = $2 AND place = $3`, b.id, []byte(d.Key), o.place)
	if err != nil {
		return done, 0, err
	}
	if n == 0 {
		return done, 0, errRaced
	}
	done.Marker = o.Marker
	if o.Latest {
		_, err := exec(ctx, q, `
			UPDATE s3_objects SET latest = 1 WHERE bucket = $1 AND key = $2
			AND place = (SELECT MIN(place) FROM s3_objects WHERE bucket = $1 AND key = $2)`, b.id, []byte(d.Key))
		if err != nil {
			return done, 0, err
		}
	}
	return done, o.Size, letGo(ctx, q, o.Content)
}

// SetTags implements objects.Store.
func (s Objects) SetTags(ctx context.Context, bucketName, key, version string, tags tag.Set) (o objects.Object, err error) {
	text, err := s3Tags.text(tags)
	if err != nil {
		return o, err
	}
	err = s.db.update(ctx, "tag an object of bucket "+bucketName, func(q querier) error {
		row, err := findObject(ctx, q, bucketName, key, version)
		switch {
		case err != nil:
			return err
		case row.Marker:
			return objects.ErrNoSuchObject
		}
		b, err := bucket(ctx, q, bucketName)
		if err != nil {
			return err
		}
		n, err := exec(ctx, q, `
			UPDATE s3_objects SET tags = $1 WHERE bucket = $2 AND key = $3 AND place = $4 AND content = $5`, text, b.id, []byte(key), row.place, row.Content)
		if err == nil && n == 0 {
			err = errRaced
		}
		o = row.Object
		o.Tags = tags
		return err
	})
	return o, err
}
