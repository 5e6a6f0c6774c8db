package metadb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/diskport/diskport/internal/imports/objects"
)

// Contents and pieces are counted: s3_contents.refs says how many objects, parts and
// pins name a content, s3_pieces.refs how many extents name a piece. A content is
// dropped by the event that lets go of it last.

// addContent inserts a content without extents, which one row names.
func (s Objects) addContent(ctx context.Context, q querier, account string, size int64, e objects.Encryption) (objects.ContentID, error) {
	text, err := s3Encryption.text(e)
	if err != nil {
		return 0, err
	}
	id := objects.ContentID(s.db.ids.Int63())
	_, err = exec(ctx, q, `INSERT INTO s3_contents (id, account, size, refs, encryption) VALUES ($1, $2, $3, 1, $4)`, id, account, size, text)
	return id, err
}

// pieceContent makes a content of an open piece; piece 0 is no bytes at all.
func (s Objects) pieceContent(ctx context.Context, q querier, account string, p objects.PieceRow, e objects.Encryption) (objects.ContentID, error) {
	id, err := s.addContent(ctx, q, account, p.Size, e)
	if err != nil || p.ID == 0 {
		return id, err
	}
	n, err := exec(ctx, q, `
		UPDATE s3_pieces SET writer = 0, size = $2, proof = $3, refs = 1 WHERE id = $1 AND writer <> 0 AND refs = 0 AND condemned = 0`,
		p.ID, p.Size, p.Proof)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, fmt.Errorf("piece %d was dropped or used already", p.ID)
	}
	_, err = exec(ctx, q, `INSERT INTO s3_extents (content, n, piece, skip, len) VALUES ($1, 0, $2, 0, $3)`, id, p.ID, p.Size)
	return id, err
}

// rangeContent makes a content of a range of another one.
func (s Objects) rangeContent(ctx context.Context, q querier, account string, p objects.NewPart) (objects.ContentID, error) {
	if err := retain(ctx, q, p.Source, 0); err != nil {
		return 0, err
	}
	source, err := content(ctx, q, p.Source)
	if err != nil {
		return 0, err
	}
	id, err := s.addContent(ctx, q, account, p.Part.Size, source.Encryption)
	if err != nil {
		return 0, err
	}
	var rows [][]any
	for _, e := range source.Range(p.Off, p.Part.Size) {
		rows = append(rows, []any{id, len(rows), e.Piece, e.Skip, e.Len})
	}
	if err := insert(ctx, q, rows, `INSERT INTO s3_extents (content, n, piece, skip, len) VALUES (?)`); err != nil {
		return 0, err
	}
	return id, countExtents(ctx, q, id, `+`)
}

// countExtents adds the extents of a content to the counts of their pieces, or
// subtracts them.
func countExtents(ctx context.Context, q querier, id objects.ContentID, sign string) error {
	_, err := exec(ctx, q, `
		UPDATE s3_pieces SET refs = refs `+sign+` e.n
		FROM (SELECT piece, COUNT(*) AS n FROM s3_extents WHERE content = $1 GROUP BY piece) e WHERE e.piece = s3_pieces.id`, id)
	return err
}

// retain locks a content and adds names to it, or fails with objects.ErrNoSuchObject
// when nothing names it any more.
func retain(ctx context.Context, q querier, id objects.ContentID, names int) error {
	n, err := exec(ctx, q, `UPDATE s3_contents SET refs = refs + $2 WHERE id = $1 AND refs > 0`, id, names)
	if err == nil && n == 0 {
		err = objects.ErrNoSuchObject
	}
	return err
}

// replaced turns the error of retain for an object that was just read: it has been
// replaced or deleted since.
func replaced(err error) error {
	if errors.Is(err, objects.ErrNoSuchObject) {
		return errRaced
	}
	return err
}

// letGo takes a name off a content, and drops it when that was the last one. Content 0
// is none.
func letGo(ctx context.Context, q querier, id objects.ContentID) error {
	if id == 0 {
		return nil
	}
	left, ok, err := one(ctx, q, column[int64], `UPDATE s3_contents SET refs = refs - 1 WHERE id = $1 RETURNING refs`, id)
	if err != nil || !ok || left > 0 {
		return err
	}
	if err := countExtents(ctx, q, id, `-`); err != nil {
		return err
	}
	for _, stmt := range []string{
		`DELETE FROM s3_extents WHERE content = $1`,
		`DELETE FROM s3_content_parts WHERE content = $1`,
		`DELETE FROM s3_contents WHERE id = $1`,
	} {
		if _, err := exec(ctx, q, stmt, id); err != nil {
			return err
		}
	}
	return nil
}

// Content implements objects.Store.
func (s Objects) Content(ctx context.Context, id objects.ContentID) (c objects.Content, err error) {
	err = s.db.view(ctx, "read the pieces of an object", func(q querier) error {
		c, err = content(ctx, q, id)
		return err
	})
	return c, err
}

func content(ctx context.Context, q querier, id objects.ContentID) (objects.Content, error) {
	c, ok, err := one(ctx, q, func(s scanner) (c objects.Content, err error) {
		var encryption string
		if err := s.Scan(&c.Account, &c.Size, &encryption); err != nil {
			return c, err
		}
		return c, s3Encryption.read(encryption, &c.Encryption)
	}, `SELECT account, size, encryption FROM s3_contents WHERE id = $1`, id)
	if err == nil && !ok {
		err = objects.ErrNoSuchObject
	}
	if err != nil {
		return c, err
	}
	c.Extents, err = all(ctx, q, func(s scanner) (e objects.Extent, err error) {
		return e, s.Scan(&e.Piece, &e.Skip, &e.Len)
	}, `SELECT piece, skip, len FROM s3_extents WHERE content = $1 ORDER BY n`, id)
	return c, err
}

// charge adds to the bytes that an account stores; fails with objects.ErrQuota or
// objects.ErrAllQuota when they grow beyond a quota. It comes last in an event, since all
// events of an account change this row. Events of several accounts at the same time may go
// beyond the quota of all by what each of them stores, where the database lets them.
func charge(ctx context.Context, q querier, account string, bytes int64, c objects.Change) error {
	if bytes == 0 {
		return nil
	}
	now, _, err := one(ctx, q, column[int64], `
		INSERT INTO s3_usage (account, bytes) VALUES ($1, $2)
		ON CONFLICT (account) DO UPDATE SET bytes = s3_usage.bytes + excluded.bytes RETURNING bytes`, account, bytes)
	if err == nil && bytes > 0 && c.Quota > 0 && now > c.Quota {
		err = fmt.Errorf("account %s would store %d bytes: %w", account, now, objects.ErrQuota)
	}
	if err != nil || bytes < 0 || c.All == 0 {
		return err
	}
	all, err := s3Usage(ctx, q, "")
	if err == nil && all > c.All {
		err = fmt.Errorf("%d bytes would be stored: %w", all, objects.ErrAllQuota)
	}
	return err
}

// s3Usage returns the bytes that an account stores; all of them, if it has no name.
func s3Usage(ctx context.Context, q querier, account string) (bytes int64, err error) {
	bytes, _, err = one(ctx, q, column[int64], `SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM s3_usage WHERE account = $1 OR $1 = ''`, account)
	return bytes, err
}

// Usage implements objects.Store.
func (s Objects) Usage(ctx context.Context, account string) (bytes int64, err error) {
	err = s.db.view(ctx, "read the usage of account "+account, func(q querier) error {
		bytes, err = s3Usage(ctx, q, account)
		return err
	})
	return bytes, err
}

// AddPieces implements objects.Store.
func (s Objects) AddPieces(ctx context.Context, writer int64, ids []objects.PieceID) error {
	rows := make([][]any, len(ids))
	for i, id := range ids {
		rows[i] = []any{id, writer, 0, 0, 0}
	}
	return s.db.update(ctx, "add pieces", func(q querier) error {
		return insert(ctx, q, rows, `INSERT INTO s3_pieces (id, writer, size, refs, condemned) VALUES (?)`)
	})
}

// DropPieces implements objects.Store.
func (s Objects) DropPieces(ctx context.Context, ids []objects.PieceID) error {
	return s.db.free(ctx, "drop pieces", func(q querier) error {
		_, err := execIn(ctx, q, args(ids), `UPDATE s3_pieces SET writer = 0 WHERE refs = 0 AND id IN (?)`)
		return err
	})
}

// Garbage implements objects.Store.
func (s Objects) Garbage(ctx context.Context, writer int64, after objects.PieceID, limit int) (ids []objects.PieceID, err error) {
	const unnamed = `
		SELECT id FROM s3_pieces WHERE refs = 0 AND id > $1 AND writer <> $2
		AND NOT EXISTS (SELECT 1 FROM s3_extents e WHERE e.piece = s3_pieces.id) AND NOT ` + heldAll + ` ORDER BY id`
	// What is garbage stays garbage, so that looking and condemning may be two.
	err = s.db.ask(ctx, "look for pieces without a name", func(q querier) error {
		ids, err = all(ctx, q, column[objects.PieceID], unnamed+atMost(limit), after, writer)
		return err
	})
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	err = s.db.free(ctx, "condemn pieces", func(q querier) error {
		_, err := execIn(ctx, q, args(ids), `UPDATE s3_pieces SET condemned = 1 WHERE refs = 0 AND condemned = 0 AND id IN (?)`)
		return err
	})
	return ids, err
}

// ForgetPieces implements objects.Store.
func (s Objects) ForgetPieces(ctx context.Context, ids []objects.PieceID) error {
	return s.db.free(ctx, "forget pieces", func(q querier) error {
		_, err := execIn(ctx, q, args(ids), `DELETE FROM s3_pieces WHERE refs = 0 AND condemned = 1 AND id IN (?)`)
		return err
	})
}

// KnownPieces implements objects.Store.
func (s Objects) KnownPieces(ctx context.Context, ids []objects.PieceID) (known map[objects.PieceID]objects.Known, err error) {
	known = map[objects.PieceID]objects.Known{}
	err = s.db.view(ctx, "look pieces up", func(q querier) error {
		rows, err := allIn(ctx, q, column[objects.PieceID], args(ids), `SELECT id FROM s3_pieces WHERE id IN (?)`)
		if err != nil {
			return err
		}
		for _, id := range rows {
			known[id] = objects.Known{Row: true}
		}
		named, err := allIn(ctx, q, column[objects.PieceID], args(ids), `SELECT DISTINCT piece FROM s3_extents WHERE piece IN (?)`)
		for _, id := range named {
			known[id] = objects.Known{Row: known[id].Row, Named: true}
		}
		return err
	})
	return known, err
}

// Pin implements objects.Store.
func (s Objects) Pin(ctx context.Context, bucket, key, version, id string) (p objects.Pin, err error) {
	err = s.db.update(ctx, "pin "+id, func(q querier) error {
		o, err := findObject(ctx, q, bucket, key, version)
		switch {
		case err != nil:
			return err
		case o.Marker:
			return objects.ErrNoSuchObject
		}
		p = objects.Pin{ID: id, Size: o.Size, ETag: o.ETag, Version: o.Version, Modified: o.Modified, Content: o.Content}
		if err := retain(ctx, q, o.Content, 1); err != nil {
			return replaced(err)
		}
		n, err := exec(ctx, q, `
			INSERT INTO s3_pins (id, content, size, etag, version, modified) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (id) DO NOTHING`, p.ID, p.Content, p.Size, p.ETag, p.Version, micros(p.Modified))
		if err == nil && n == 0 {
			err = objects.ErrPinned
		}
		return err
	})
	return p, err
}

// Pinned implements objects.Store.
func (s Objects) Pinned(ctx context.Context, id string) (p objects.Pin, err error) {
	err = s.db.ask(ctx, "read pin "+id, func(q querier) error {
		var ok bool
		p, ok, err = one(ctx, q, func(s scanner) (p objects.Pin, err error) {
			var modified int64
			err = s.Scan(&p.ID, &p.Content, &p.Size, &p.ETag, &p.Version, &modified)
			p.Modified = fromMicros(modified)
			return p, err
		}, `SELECT id, content, size, etag, version, modified FROM s3_pins WHERE id = $1`, id)
		if err == nil && !ok {
			err = objects.ErrNoSuchPin
		}
		return err
	})
	return p, err
}

// Release implements objects.Store.
func (s Objects) Release(ctx context.Context, id string) error {
	return s.db.free(ctx, "release pin "+id, func(q querier) error {
		held, ok, err := one(ctx, q, column[objects.ContentID], `DELETE FROM s3_pins WHERE id = $1 RETURNING content`, id)
		if err != nil || !ok {
			return err
		}
		return letGo(ctx, q, held)
	})
}

// Pins implements objects.Store.
func (s Objects) Pins(ctx context.Context) (ids []string, err error) {
	err = s.db.ask(ctx, "list pins", func(q querier) error {
		ids, err = all(ctx, q, column[string], `SELECT id FROM s3_pins`)
		return err
	})
	return ids, err
}

// checksumText returns a checksum as columns keep it: its three words.
func checksumText(c objects.Checksum) string {
	if c == (objects.Checksum{}) {
		return ""
	}
	return string(c.Algorithm) + " " + string(c.Type) + " " + c.Value
}

func readChecksum(text string) objects.Checksum {
	algorithm, rest, _ := strings.Cut(text, " ")
	typ, value, _ := strings.Cut(rest, " ")
	return objects.Checksum{Algorithm: objects.Algorithm(algorithm), Type: objects.ChecksumType(typ), Value: value}
}
