package metadb

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/tag"
)

// uploadBody is what the object of an upload will have.
type uploadBody struct {
	Algorithm    objects.Algorithm    `json:"Algorithm"`
	ChecksumType objects.ChecksumType `json:"ChecksumType"`
	Metadata     objects.Metadata     `json:"Metadata"`
	Tags         tag.Set              `json:"Tags"`
	Encryption   objects.Encryption   `json:"Encryption"`
}

// completedObject is what a completion answers again.
type completedObject struct {
	Version    string             `json:"Version"`
	ETag       string             `json:"ETag"`
	Size       int64              `json:"Size"`
	Modified   int64              `json:"Modified"`
	Parts      int                `json:"Parts"`
	Checksum   string             `json:"Checksum"`
	Encryption objects.Encryption `json:"Encryption"`
}

const uploadColumns = `id, key, initiator, created, body`

func scanUpload(s scanner) (u objects.Upload, err error) {
	var key []byte
	var created int64
	var text string
	if err := s.Scan(&u.ID, &key, &u.Initiator, &created, &text); err != nil {
		return u, err
	}
	u.Key, u.Created = string(key), fromMicros(created)
	var body uploadBody
	err = s3UploadBody.read(text, &body)
	u.Algorithm, u.ChecksumType, u.Metadata, u.Tags, u.Encryption = body.Algorithm, body.ChecksumType, body.Metadata, body.Tags, body.Encryption
	return u, err
}

// CreateUpload implements objects.Store.
func (s Objects) CreateUpload(ctx context.Context, u objects.Upload) (objects.Upload, error) {
	body, err := s3UploadBody.text(uploadBody{u.Algorithm, u.ChecksumType, u.Metadata, u.Tags, u.Encryption})
	if err != nil {
		return u, err
	}
	err = s.db.update(ctx, "begin an upload to bucket "+u.Bucket, func(q querier) error {
		b, err := bucket(ctx, q, u.Bucket)
		if err != nil {
			return err
		}
		u.Account = b.Account
		_, err = exec(ctx, q, `
			INSERT INTO s3_uploads (id, bucket, key, initiator, created, body) VALUES ($1, $2, $3, $4, $5, $6)`,
			u.ID, b.id, []byte(u.Key), u.Initiator, micros(u.Created), body)
		return err
	})
	return u, err
}

// upload returns an upload to a bucket and key, or objects.ErrNoSuchUpload.
func upload(ctx context.Context, q querier, bucketName, key, id string) (objects.Upload, bucketRow, error) {
	return anUpload(ctx, q, bucketName, key, id, `SELECT `+uploadColumns+` FROM s3_uploads WHERE id = $1 AND bucket = $2 AND key = $3`)
}

// lockUpload is upload for an event, which no other event of the upload overtakes.
func lockUpload(ctx context.Context, q querier, bucketName, key, id string) (objects.Upload, bucketRow, error) {
	return anUpload(ctx, q, bucketName, key, id, `
		UPDATE s3_uploads SET created = created WHERE id = $1 AND bucket = $2 AND key = $3 RETURNING `+uploadColumns)
}

func anUpload(ctx context.Context, q querier, bucketName, key, id, stmt string) (objects.Upload, bucketRow, error) {
	b, err := bucket(ctx, q, bucketName)
	if err != nil {
		return objects.Upload{}, b, err
	}
	u, ok, err := one(ctx, q, scanUpload, stmt, id, b.id, []byte(key))
	if err == nil && !ok {
		err = objects.ErrNoSuchUpload
	}
	u.Bucket, u.Account = b.Name, b.Account
	return u, b, err
}

// Upload implements objects.Store.
func (s Objects) Upload(ctx context.Context, bucket, key, id string) (u objects.Upload, err error) {
	err = s.db.view(ctx, "read an upload to bucket "+bucket, func(q querier) error {
		u, _, err = upload(ctx, q, bucket, key, id)
		return err
	})
	return u, err
}

// PutPart implements objects.Store.
func (s Objects) PutPart(ctx context.Context, p objects.NewPart, c objects.Change) error {
	return s.db.update(ctx, "put a part of an upload to bucket "+p.Bucket, func(q querier) error {
		u, b, err := lockUpload(ctx, q, p.Bucket, p.Key, p.Upload)
		if err != nil {
			return err
		}
		if !bytes.Equal(p.DataKey, u.Encryption.DataKey) {
			return objects.ErrEncryption
		}
		var id objects.ContentID
		if p.Source != 0 {
			id, err = s.rangeContent(ctx, q, b.Account, p)
		} else {
			id, err = s.pieceContent(ctx, q, b.Account, objects.PieceRow{ID: p.Piece, Size: p.Part.Size, Proof: p.Proof}, u.Encryption)
		}
		if err != nil {
			return err
		}
		freed, err := dropParts(ctx, q, u.ID, p.Part.Number, p.Part.Number)
		if err != nil {
			return err
		}
		_, err = exec(ctx, q, `
			INSERT INTO s3_parts (upload, number, content, size, etag, modified, checksum) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			u.ID, p.Part.Number, id, p.Part.Size, p.Part.ETag, micros(c.At), checksumText(p.Part.Checksum))
		return cmp.Or(err, charge(ctx, q, b.Account, p.Part.Size-freed, c))
	})
}

// dropParts drops the parts of an upload with numbers from first to last, and returns
// their bytes. Nothing but its part names the content of a part.
func dropParts(ctx context.Context, q querier, upload string, first, last int) (bytes int64, err error) {
	const dropped = `(SELECT content FROM s3_parts WHERE upload = $1 AND number >= $2 AND number <= $3)`
	for _, stmt := range []string{
		`UPDATE s3_pieces SET refs = refs - e.n
		 FROM (SELECT piece, COUNT(*) AS n FROM s3_extents WHERE content IN ` + dropped + ` GROUP BY piece) e WHERE e.piece = s3_pieces.id`,
		`DELETE FROM s3_extents WHERE content IN ` + dropped,
		`DELETE FROM s3_contents WHERE id IN ` + dropped,
	} {
		if _, err := exec(ctx, q, stmt, upload, first, last); err != nil {
			return 0, err
		}
	}
	sizes, err := all(ctx, q, column[int64], `
		DELETE FROM s3_parts WHERE upload = $1 AND number >= $2 AND number <= $3 RETURNING size`, upload, first, last)
	for _, size := range sizes {
		bytes += size
	}
	return bytes, err
}

// dropUpload drops an upload with its parts.
func dropUpload(ctx context.Context, q querier, b bucketRow, id string) error {
	freed, err := dropParts(ctx, q, id, 1, objects.MaxParts)
	if err != nil {
		return err
	}
	_, err = exec(ctx, q, `DELETE FROM s3_uploads WHERE id = $1`, id)
	return cmp.Or(err, charge(ctx, q, b.Account, -freed, objects.Change{}))
}

// AbortUpload implements objects.Store.
func (s Objects) AbortUpload(ctx context.Context, bucket, key, id string) error {
	return s.db.free(ctx, "abort an upload to bucket "+bucket, func(q querier) error {
		_, b, err := lockUpload(ctx, q, bucket, key, id)
		if err != nil {
			return err
		}
		return dropUpload(ctx, q, b, id)
	})
}

// ExpireUploads implements objects.Store.
func (s Objects) ExpireUploads(ctx context.Context, name, prefix string, before time.Time, limit int) (expired int, err error) {
	err = s.db.free(ctx, "expire uploads to bucket "+name, func(q querier) error {
		b, err := bucket(ctx, q, name)
		if err != nil {
			return err
		}
		old := query{from: `SELECT id FROM s3_uploads`}.and(`bucket = ?`, b.id).and(`created < ?`, micros(before)).keys(objects.KeyRange{Prefix: prefix})
		ids, err := all(ctx, q, column[string], old.text()+` ORDER BY key, id`+atMost(limit), old.args...)
		if err != nil {
			return err
		}
		for _, id := range ids {
			n, err := exec(ctx, q, `UPDATE s3_uploads SET created = created WHERE id = $1`, id)
			if err != nil {
				return err
			}
			if n == 0 {
				continue // completed meanwhile
			}
			if err := dropUpload(ctx, q, b, id); err != nil {
				return err
			}
		}
		expired = len(ids)
		return nil
	})
	return expired, err
}

// Parts implements objects.Store.
func (s Objects) Parts(ctx context.Context, bucket, key, id string, after, limit int) (parts []objects.Part, err error) {
	err = s.db.view(ctx, "list the parts of an upload to bucket "+bucket, func(q querier) error {
		u, _, err := upload(ctx, q, bucket, key, id)
		if err != nil {
			return err
		}
		parts, err = partsOf(ctx, q, u.ID, after, limit)
		return err
	})
	return parts, err
}

func partsOf(ctx context.Context, q querier, id string, after, limit int) ([]objects.Part, error) {
	return all(ctx, q, func(s scanner) (p objects.Part, err error) {
		var modified int64
		var checksum string
		err = s.Scan(&p.Number, &p.Size, &p.ETag, &modified, &checksum)
		p.Modified, p.Checksum = fromMicros(modified), readChecksum(checksum)
		return p, err
	}, `SELECT number, size, etag, modified, checksum FROM s3_parts WHERE upload = $1 AND number > $2 ORDER BY number`+atMost(limit), id, after)
}

// CompleteUpload implements objects.Store.
func (s Objects) CompleteUpload(ctx context.Context, p objects.Completion, c objects.Change) (o objects.Object, err error) {
	err = s.db.update(ctx, "complete an upload to bucket "+p.Bucket, func(q querier) error {
		u, b, err := lockUpload(ctx, q, p.Bucket, p.Key, p.Upload)
		if errors.Is(err, objects.ErrNoSuchUpload) {
			o, err = completedBefore(ctx, q, b, p)
		}
		if err != nil || u.ID == "" {
			return err
		}
		parts, err := partsOf(ctx, q, u.ID, 0, objects.MaxParts)
		if err != nil {
			return err
		}
		a, err := objects.Assemble(p, u, parts)
		if err != nil {
			return err
		}
		o = objects.Object{
			Bucket: b.Name, Account: b.Account, Key: u.Key, Size: a.Size, ETag: a.ETag, Checksum: a.Checksum,
			Parts: len(a.Parts), Metadata: u.Metadata, Tags: u.Tags, Encryption: u.Encryption,
		}
		return s.complete(ctx, q, b, u, p, a, &o, len(parts), c)
	})
	return o, err
}

// complete makes o of the upload, which had so many parts.
func (s Objects) complete(ctx context.Context, q querier, b bucketRow, u objects.Upload, p objects.Completion, a objects.Assembled, o *objects.Object, uploaded int, c objects.Change) error {
	unused, err := dropUnused(ctx, q, u.ID, a.Parts, uploaded)
	if err != nil {
		return err
	}
	freed, err := s.addVersion(ctx, q, b, o, p.If, c, func() (objects.ContentID, error) { return s.join(ctx, q, b, u, a.Size) })
	if err != nil {
		return err
	}
	object, err := s3Completion.text(completedObject{
		Version: o.Version, ETag: o.ETag, Size: o.Size, Modified: micros(o.Modified), Parts: o.Parts,
		Checksum: checksumText(o.Checksum), Encryption: o.Encryption,
	})
	if err != nil {
		return err
	}
	_, err = exec(ctx, q, `INSERT INTO s3_completions (upload, bucket, key, request, object, ended) VALUES ($1, $2, $3, $4, $5, $6)`,
		u.ID, b.id, []byte(u.Key), requestOf(p), object, micros(c.At))
	if err != nil {
		return err
	}
	if _, err := exec(ctx, q, `DELETE FROM s3_uploads WHERE id = $1`, u.ID); err != nil {
		return err
	}
	return charge(ctx, q, b.Account, -unused-freed, c) // the parts themselves are charged already
}

// dropUnused drops the parts that are not chosen, and returns their bytes.
func dropUnused(ctx context.Context, q querier, id string, chosen []objects.Part, uploaded int) (bytes int64, err error) {
	if len(chosen) == uploaded {
		return 0, nil
	}
	last := 0
	for _, p := range append(slices.Clone(chosen), objects.Part{Number: objects.MaxParts + 1}) {
		if p.Number > last+1 { // there may be some between the chosen ones
			n, err := dropParts(ctx, q, id, last+1, p.Number-1)
			if err != nil {
				return bytes, err
			}
			bytes += n
		}
		last = p.Number
	}
	return bytes, nil
}

// join makes one content of all parts of an upload. Their extents move to it, so that
// the counts of the pieces stay as they are.
func (s Objects) join(ctx context.Context, q querier, b bucketRow, u objects.Upload, size int64) (objects.ContentID, error) {
	id, err := s.addContent(ctx, q, b.Account, size, u.Encryption)
	if err != nil {
		return 0, err
	}
	for _, stmt := range []string{
		`INSERT INTO s3_content_parts (content, number, start, size, checksum)
		 SELECT $1, number, SUM(size) OVER (ORDER BY number) - size, size, checksum FROM s3_parts WHERE upload = $2`,
		`UPDATE s3_extents SET content = $1, n = n + 1048576 * (SELECT p.number FROM s3_parts p WHERE p.content = s3_extents.content)
		 WHERE content IN (SELECT content FROM s3_parts WHERE upload = $2)`,
		`DELETE FROM s3_contents WHERE id IN (SELECT content FROM s3_parts WHERE upload = $2) AND id <> $1`,
		`DELETE FROM s3_parts WHERE upload = $2 AND content <> $1`,
	} {
		if _, err := exec(ctx, q, stmt, id, u.ID); err != nil {
			return 0, err
		}
	}
	return id, nil
}

// completedBefore returns what a completion with the same parts answered.
func completedBefore(ctx context.Context, q querier, b bucketRow, p objects.Completion) (o objects.Object, err error) {
	text, ok, err := one(ctx, q, column[string], `
		SELECT object FROM s3_completions WHERE upload = $1 AND bucket = $2 AND key = $3 AND request = $4`,
		p.Upload, b.id, []byte(p.Key), requestOf(p))
	if err != nil {
		return o, err
	}
	if !ok {
		return o, objects.ErrNoSuchUpload
	}
	var done completedObject
	err = s3Completion.read(text, &done)
	return objects.Object{
		Bucket: b.Name, Account: b.Account, Key: p.Key, Version: done.Version, ETag: done.ETag, Size: done.Size, Modified: fromMicros(done.Modified),
		Parts: done.Parts, Checksum: readChecksum(done.Checksum), Encryption: done.Encryption,
	}, err
}

// requestOf returns what is equal for a completion and its repetition.
func requestOf(p objects.Completion) string {
	text, err := json.Marshal(p.Parts)
	if err != nil {
		panic(err) // numbers and strings only
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// ForgetCompletions implements objects.Store.
func (s Objects) ForgetCompletions(ctx context.Context, before time.Time) error {
	return s.db.unset(ctx, "forget completed uploads", func(q querier) error {
		_, err := exec(ctx, q, `DELETE FROM s3_completions WHERE ended < $1`, micros(before))
		return err
	})
}
