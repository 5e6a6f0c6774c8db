package metadb

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/imports/objects"
)

// keys adds the conditions of a range of keys, of an AfterItem just that of its key. There
// is always one on where it begins: without statistics, PostgreSQL would otherwise rather
// read the whole bucket and sort it than walk along the index. And there is never a second
// one, of which SQLite could walk from the wrong one.
func (s query) keys(r objects.KeyRange) query {
	if first := max(r.Prefix, r.First, "\x00"); r.After >= first && r.AfterItem == "" {
		s = s.and(`key > ?`, []byte(r.After))
	} else {
		s = s.and(`key >= ?`, []byte(max(first, r.After)))
	}
	if end := after(r.Prefix); end != nil {
		s = s.and(`key < ?`, end)
	}
	return s
}

// after returns the first key behind all that begin with the prefix; nil if there is
// none.
func after(prefix string) []byte {
	end := []byte(prefix)
	for len(end) > 0 {
		if end[len(end)-1]++; end[len(end)-1] != 0 {
			return end
		}
		end = end[:len(end)-1]
	}
	return nil
}

// listObjects reads objects of a bucket by a statement that build completes.
func (s Objects) listObjects(ctx context.Context, r objects.KeyRange, order string, build func(context.Context, querier, query, bucketRow) (query, error)) (list []objects.Object, err error) {
	err = s.db.view(ctx, "list bucket "+r.Bucket, func(q querier) error {
		b, err := bucket(ctx, q, r.Bucket)
		if err != nil {
			return err
		}
		stmt := query{from: `SELECT ` + objectColumns + ` FROM s3_objects`}.and(`bucket = ?`, b.id).keys(r)
		if stmt, err = build(ctx, q, stmt, b); err != nil {
			return err
		}
		rows, err := all(ctx, q, scanListed, stmt.text()+` ORDER BY `+order+atMost(r.Limit), stmt.args...)
		list = make([]objects.Object, len(rows))
		for i, o := range rows {
			list[i] = o.Object
			list[i].Bucket, list[i].Account = b.Name, b.Account
		}
		return err
	})
	return list, err
}

// walk returns the statement that finds objects by walking along the index from one to
// the next, past all that a delimiter folds into one prefix.
func (s Objects) walk(bucket int64, r objects.KeyRange) query {
	q := query{args: []any{bucket, []byte(r.Delimiter), after(r.Delimiter), []byte{0}}} // $1 to $4
	rest := fmt.Sprintf("substr(w.key, %d)", len(r.Prefix)+1)
	found := fmt.Sprintf(s.db.engine.find, rest, s.cast("$2"))
	behind := fmt.Sprintf("CASE WHEN %s > 0 THEN %s ELSE %s END", found,
		s.cast(fmt.Sprintf("substr(w.key, 1, %d + %s) || %s", len(r.Prefix)-1, found, s.cast("$3"))), s.cast("w.key || "+s.cast("$4")))
	bounds := query{args: q.args}.keys(r)
	next := shownObject + ` AND key >= ` + behind
	if end := after(r.Prefix); end != nil {
		next += ` AND key < $` + strconv.Itoa(len(bounds.args)) // its last condition
	}
	first := `SELECT ` + objectColumns + `, 1 AS n FROM s3_objects WHERE ` + shownObject + ` AND ` + strings.Join(bounds.where, ` AND `) + ` ORDER BY key LIMIT 1`
	return query{
		from: `WITH RECURSIVE walk AS (
			SELECT * FROM (` + first + `) f
			UNION ALL
			SELECT o.` + strings.ReplaceAll(objectColumns, ", ", ", o.") + `, n + 1 FROM walk w ` + fmt.Sprintf(s.db.engine.next, next) + ` AND n < ` + strconv.Itoa(r.Limit) + `)
			SELECT ` + objectColumns + ` FROM walk`,
		args: bounds.args,
	}
}

// shownObject is the condition of what a list without versions shows of a bucket, $1.
const shownObject = `bucket = $1 AND latest = 1 AND marker = 0`

// cast returns the expression as bytes.
func (s Objects) cast(expression string) string {
	return `CAST(` + expression + ` AS ` + s.db.engine.bytes + `)`
}

// Objects implements objects.Store.
func (s Objects) Objects(ctx context.Context, r objects.KeyRange) ([]objects.Object, error) {
	r.AfterItem = ""
	if r.Delimiter != "" {
		return s.listObjects(ctx, r, `key`, func(_ context.Context, _ querier, _ query, b bucketRow) (query, error) { return s.walk(b.id, r), nil })
	}
	return s.listObjects(ctx, r, `key`, func(_ context.Context, _ querier, stmt query, _ bucketRow) (query, error) {
		return stmt.and(`latest = 1`).and(`marker = 0`), nil
	})
}

// Versions implements objects.Store.
func (s Objects) Versions(ctx context.Context, r objects.KeyRange) ([]objects.Object, error) {
	return s.listObjects(ctx, r, `key, place`, func(ctx context.Context, q querier, stmt query, b bucketRow) (query, error) {
		if r.After == "" || r.AfterItem == "" {
			return stmt, nil
		}
		place, ok := placeOf(r.AfterItem)
		if !ok { // null, or nothing of ours: then all of the key is behind
			o, err := versionOf(ctx, q, b.id, r.After, r.AfterItem)
			if err != nil {
				return stmt, err
			}
			place = maxPlace
			if o != nil {
				place = o.place
			}
		}
		return stmt.and(`(key, place) > (?, ?)`, []byte(r.After), place), nil
	})
}

// ObjectParts implements objects.Store.
func (s Objects) ObjectParts(ctx context.Context, id objects.ContentID, after, limit int) (parts []objects.Part, err error) {
	err = s.db.ask(ctx, "list the parts of an object", func(q querier) error {
		parts, err = all(ctx, q, func(s scanner) (p objects.Part, err error) {
			var checksum string
			err = s.Scan(&p.Number, &p.Off, &p.Size, &checksum)
			p.Checksum = readChecksum(checksum)
			return p, err
		}, `SELECT number, start, size, checksum FROM s3_content_parts WHERE content = $1 AND number > $2 ORDER BY number`+atMost(limit), id, after)
		return err
	})
	return parts, err
}

// Uploads implements objects.Store.
func (s Objects) Uploads(ctx context.Context, r objects.KeyRange) (list []objects.Upload, err error) {
	err = s.db.view(ctx, "list uploads to bucket "+r.Bucket, func(q querier) error {
		b, err := bucket(ctx, q, r.Bucket)
		if err != nil {
			return err
		}
		stmt := query{from: `SELECT ` + uploadColumns + ` FROM s3_uploads`}.and(`bucket = ?`, b.id).keys(r)
		if r.After != "" && r.AfterItem != "" {
			stmt = stmt.and(`(key, id) > (?, ?)`, []byte(r.After), r.AfterItem)
		}
		list, err = all(ctx, q, scanUpload, stmt.text()+` ORDER BY key, id`+atMost(r.Limit), stmt.args...)
		for i := range list {
			list[i].Bucket, list[i].Account = b.Name, b.Account
		}
		return err
	})
	return slices.Clip(list), err
}
