package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/imports/objects"
)

// NamedPieces implements objects.Store.
func (s Objects) NamedPieces(ctx context.Context, after objects.PieceID, limit int) (rows []objects.PieceRow, err error) {
	scan := func(s scanner) (p objects.PieceRow, err error) {
		var encryption string
		if err := s.Scan(&p.ID, &p.Size, &p.Proof, &p.Account, &encryption); err != nil || encryption == "" {
			return p, err
		}
		return p, s3Encryption.read(encryption, &p.Encryption)
	}
	named := `SELECT piece, MIN(content) AS content FROM s3_extents WHERE piece > $1 GROUP BY piece ORDER BY piece` + atMost(limit)
	err = s.db.ask(ctx, "list pieces", func(q querier) error {
		rows, err = all(ctx, q, scan, `
			SELECT e.piece, COALESCE(p.size, -1), COALESCE(p.proof, ''), COALESCE(c.account, ''), COALESCE(c.encryption, '')
			FROM (`+named+`) e LEFT JOIN s3_pieces p ON p.id = e.piece LEFT JOIN s3_contents c ON c.id = e.content ORDER BY e.piece`, after)
		return err
	})
	return rows, err
}

// PieceUses implements objects.Store. No event asks for it, only damage, so it may read all
// objects.
func (s Objects) PieceUses(ctx context.Context, id objects.PieceID, limit int) (uses []objects.PieceUse, err error) {
	const within = `CAST((SELECT COALESCE(SUM(x.len), 0) FROM s3_extents x WHERE x.content = e.content AND x.n < e.n) AS BIGINT)`
	scan := func(s scanner) (u objects.PieceUse, err error) {
		var key []byte
		err = s.Scan(&u.Bucket, &key, &u.Version, &u.Upload, &u.Pin, &u.Off)
		u.Key = string(key)
		return u, err
	}
	err = s.db.view(ctx, "look for what uses a piece", func(q querier) error {
		for _, stmt := range []string{
			`SELECT b.name, o.key, o.version, '', '', ` + within + ` FROM s3_extents e
			 JOIN s3_objects o ON o.content = e.content JOIN s3_buckets b ON b.id = o.bucket WHERE e.piece = $1 ORDER BY b.name, o.key, o.place`,
			`SELECT b.name, u.key, '', u.id, '', ` + within + ` FROM s3_extents e
			 JOIN s3_parts p ON p.content = e.content JOIN s3_uploads u ON u.id = p.upload JOIN s3_buckets b ON b.id = u.bucket WHERE e.piece = $1 ORDER BY u.id`,
			`SELECT '', NULL, '', '', p.id, ` + within + ` FROM s3_extents e JOIN s3_pins p ON p.content = e.content WHERE e.piece = $1 ORDER BY p.id`,
		} {
			more, err := all(ctx, q, scan, stmt+atMost(limit-len(uses)), id)
			if err != nil {
				return err
			}
			if uses = append(uses, more...); len(uses) >= limit {
				return nil
			}
		}
		return nil
	})
	return uses, err
}

// PieceBytes implements objects.Store.
func (s Objects) PieceBytes(ctx context.Context) (bytes int64, err error) {
	err = s.db.ask(ctx, "add up pieces", func(q querier) error {
		bytes, _, err = one(ctx, q, column[int64], `SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM s3_pieces WHERE refs > 0`)
		return err
	})
	return bytes, err
}
