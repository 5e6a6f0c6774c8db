package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"modernc.org/sqlite"

	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/store/backup"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Backup is the backup.Database of a DB.
type Backup struct{ db *DB }

var _ backup.Database = Backup{}

// Backup returns what backs the database up.
func (db *DB) Backup() Backup { return Backup{db} }

// CopyTo implements backup.Database. SQLite writes the copy within one reading
// transaction: others go on, and only the write-ahead log is not shortened meanwhile.
func (b Backup) CopyTo(ctx context.Context, path string) error {
	if b.db.read == b.db.write {
		return fmt.Errorf("metadb: copying the database: %w", backup.ErrByItsOwnTools)
	}
	err := private(path) // SQLite would make it readable to others
	if err == nil {
		err = b.copyTo(ctx, path)
	}
	if err != nil {
		return fmt.Errorf("metadb: copying the database: %w", b.db.told(err))
	}
	return nil
}

func (b Backup) copyTo(ctx context.Context, path string) error {
	pool, err := sqlitePool(b.db.path, 1, "", nil)
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, `VACUUM INTO $1`, path)
	return errors.Join(err, pool.Close())
}

// OpenCopy implements backup.Database.
func (b Backup) OpenCopy(ctx context.Context, path string) (backup.Copy, error) {
	c, err := sqlite.NewConnector("file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=ro&immutable=1")
	if err != nil {
		return nil, fmt.Errorf("metadb: opening a copy: %w", err)
	}
	pool := sql.OpenDB(preparing{c})
	db := &DB{write: pool, read: pool, engine: engine{snapshot: &sql.TxOptions{ReadOnly: true}}, usage: new(usage)}
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("metadb: opening a copy: %w", err), pool.Close())
	}
	return databaseCopy{db}, nil
}

// databaseCopy is the backup.Copy of an SQLite file. It reads a DB of either engine.
type databaseCopy struct{ db *DB }

var _ backup.Copy = databaseCopy{}

// Close implements backup.Copy.
func (c databaseCopy) Close() error { return c.db.Close() }

// Facts implements backup.Copy.
func (c databaseCopy) Facts(ctx context.Context) (f backup.Facts, err error) {
	if f.Store, err = Catalog(c).StoreIdentity(ctx); err != nil {
		return f, err
	}
	err = c.db.ask(ctx, "read the version of the schema", func(q querier) error {
		f.Schema, _, err = one(ctx, q, column[int64], `SELECT MAX(version_id) FROM goose_db_version`)
		return err
	})
	return f, err
}

// copyBatch is how many files are looked up in one transaction.
const copyBatch = 1000

// Needs implements backup.Copy.
func (c databaseCopy) Needs(ctx context.Context, fn func([]backup.Need) error) error {
	if err := c.storeNeeds(ctx, fn); err != nil {
		return err
	}
	return c.objectNeeds(ctx, fn)
}

// storeNeeds is Needs for the files of the store: all closed ones that anything names, or
// in which something has lost its row; and roots that gc has yet to look into.
func (c databaseCopy) storeNeeds(ctx context.Context, fn func([]backup.Need) error) error {
	for after := blockstore.FileID(0); ; {
		var ids []blockstore.FileID
		var facts map[blockstore.FileID]gc.FileFacts // in which the hold of the backup itself does not count
		err := c.db.view(ctx, "read files", func(q querier) (err error) {
			ids, err = all(ctx, q, column[blockstore.FileID], `SELECT id FROM files WHERE id > $1 AND state = $2 ORDER BY id`+atMost(copyBatch), after, fileClosed)
			if err == nil {
				facts, err = factsOf(ctx, q, ids)
			}
			return err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		after = ids[len(ids)-1]
		var needs []backup.Need
		for _, id := range ids {
			if f := facts[id]; !garbageIn(f) {
				needs = append(needs, backup.Need{Tree: backup.Blocks, Name: f.File.Name(), File: f.File, Bytes: f.Bytes, Spare: !f.Named && !f.Kept})
			}
		}
		if err := fn(needs); err != nil {
			return err
		}
	}
}

// garbageIn reports whether nothing can refer to a file any more.
func garbageIn(f gc.FileFacts) bool {
	return !f.Named && !f.Kept && f.Dead >= f.Entries && (f.File.Kind != blockstore.RootFile || f.Expanded)
}

// objectNeeds is Needs for the pieces that contents are made of.
func (c databaseCopy) objectNeeds(ctx context.Context, fn func([]backup.Need) error) error {
	scan := func(s scanner) (p objects.Piece, err error) {
		err = s.Scan(&p.ID, &p.Size)
		return p, err
	}
	for after := objects.PieceID(0); ; {
		var pieces []objects.Piece
		err := c.db.ask(ctx, "read pieces", func(q querier) (err error) {
			pieces, err = all(ctx, q, scan, `
				SELECT DISTINCT e.piece, COALESCE(p.size, 0) FROM s3_extents e LEFT JOIN s3_pieces p ON p.id = e.piece
				WHERE e.piece > $1 ORDER BY e.piece`+atMost(copyBatch), after)
			return err
		})
		if err != nil || len(pieces) == 0 {
			return err
		}
		after = pieces[len(pieces)-1].ID
		needs := make([]backup.Need, len(pieces))
		for i, p := range pieces {
			needs[i] = backup.Need{Tree: backup.Objects, Name: p.ID.File(), Bytes: p.Size}
		}
		if err := fn(needs); err != nil {
			return err
		}
	}
}

// Pages implements backup.Copy.
func (c databaseCopy) Pages(ctx context.Context, file blockstore.FileID) (pages []snapshot.PagePlace, err error) {
	err = c.db.ask(ctx, "read where pages lie", func(q querier) error {
		pages, err = all(ctx, q, scanPage, `SELECT id, file, off, len, blocks FROM pages WHERE file = $1 ORDER BY off`, file)
		return err
	})
	return pages, err
}

// LoseFiles notes that files of the store could not be restored: their blocks are no dedupe
// hits until they are stored anew.
func (b Backup) LoseFiles(ctx context.Context, ids []blockstore.FileID) error {
	return b.db.update(ctx, "note lost files", func(q querier) error {
		_, err := execIn(ctx, q, args(ids), `UPDATE blocks SET damaged = $1 WHERE damaged = 0 AND file IN (?)`, micros(b.db.now()))
		return err
	})
}

// Completed returns at most limit completed snapshots of all accounts and regions, behind
// an id, ascending.
func (b Backup) Completed(ctx context.Context, after string, limit int) (list []snapshot.Record, err error) {
	err = b.db.ask(ctx, "list all snapshots", func(q querier) error {
		list, err = all(ctx, q, scanSnapshot, selectSnapshot+` WHERE s.id > $1 AND s.state = $2 ORDER BY s.id`+atMost(limit), after, snapshot.Completed)
		return err
	})
	return list, err
}
