package metadb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/store/verify"
)

// Inventory is the verify.Store of a DB.
type Inventory struct{ db *DB }

var (
	_ verify.Store   = Inventory{}
	_ verify.Fixes   = Inventory{}
	_ verify.Entries = Inventory{}
)

// Inventory returns the catalog as it is checked.
func (db *DB) Inventory() Inventory { return Inventory{db} }

const selectFileRow = `SELECT id, kind, domain, state, bytes, entries, dead, oldest_key FROM files`

func scanFileRow(s scanner) (f verify.FileRow, err error) {
	err = s.Scan(&f.ID, &f.Kind, &f.Domain, &f.State, &f.Bytes, &f.Entries, &f.Dead, &f.OldestKey)
	return f, err
}

// Files implements verify.Rows.
func (v Inventory) Files(ctx context.Context, after blockstore.FileID, limit int) (rows []verify.FileRow, err error) {
	err = v.db.ask(ctx, "read the rows of files", func(q querier) error {
		rows, err = all(ctx, q, scanFileRow, selectFileRow+` WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
		return err
	})
	return rows, err
}

// Contents implements verify.Rows.
func (v Inventory) Contents(ctx context.Context, id blockstore.FileID) (c verify.Contents, err error) {
	scan := func(s scanner) (b verify.BlockRow, err error) {
		var damaged int64
		err = s.Scan((*hash)(&b.ID), (*unsigned)(&b.Off), (*unsigned)(&b.Len), &damaged)
		b.Damaged = damaged != 0
		return b, err
	}
	err = v.db.view(ctx, fmt.Sprintf("read what lies in file %d", id), func(q querier) error {
		c = verify.Contents{}
		if c.Row, c.HasRow, err = one(ctx, q, scanFileRow, selectFileRow+` WHERE id = $1`, id); err != nil {
			return err
		}
		if c.Blocks, err = all(ctx, q, scan, `SELECT id, off, len, damaged FROM blocks WHERE file = $1`, id); err != nil {
			return err
		}
		if c.Pages, err = all(ctx, q, scanPage, `SELECT id, file, off, len, blocks FROM pages WHERE file = $1`, id); err != nil {
			return err
		}
		c.Roots, _, err = one(ctx, q, column[int64], `SELECT COUNT(*) FROM snapshots WHERE root = $1`, id)
		return err
	})
	return c, err
}

// Homeless implements verify.Rows.
func (v Inventory) Homeless(ctx context.Context, after blockstore.FileID, limit int) (ids []blockstore.FileID, err error) {
	err = v.db.ask(ctx, "look for blocks and pages in files without a row", func(q querier) error {
		ids, err = all(ctx, q, column[blockstore.FileID], `
			SELECT b.file FROM blocks b WHERE b.file > $1 AND NOT EXISTS (SELECT 1 FROM files f WHERE f.id = b.file)
			UNION SELECT p.file FROM pages p WHERE p.file > $1 AND NOT EXISTS (SELECT 1 FROM files f WHERE f.id = p.file)
			ORDER BY 1 LIMIT $2`, after, limit)
		return err
	})
	return ids, err
}

// Snapshots implements verify.Rows.
func (v Inventory) Snapshots(ctx context.Context, after string, limit int) (list []snapshot.Record, err error) {
	err = v.db.ask(ctx, "read the rows of snapshots", func(q querier) error {
		list, err = all(ctx, q, scanSnapshot, selectSnapshot+` WHERE s.id`+v.db.engine.bytewise+` > $1 ORDER BY s.id`+v.db.engine.bytewise+` LIMIT $2`, after, limit)
		return err
	})
	return list, err
}

// Places implements verify.Rows.
func (v Inventory) Places(ctx context.Context, ids []block.ID) (map[block.ID]verify.Place, error) {
	found := make(map[block.ID]verify.Place, len(ids))
	scan := func(s scanner) (id hash, err error) {
		var p verify.Place
		var damaged, there int64
		err = s.Scan(&id, (*unsigned)(&p.Off), (*unsigned)(&p.Len), &damaged, &p.File.ID, &p.File.Kind, &p.File.Domain, &there)
		p.Damaged, p.HasFile = damaged != 0, there != 0
		found[block.ID(id)] = p
		return id, err
	}
	err := v.db.view(ctx, located(len(ids), "blocks to verify"), func(q querier) error {
		_, err := allIn(ctx, q, scan, hashes(ids), `
			SELECT b.id, b.off, b.len, b.damaged, b.file, COALESCE(f.kind, ''), COALESCE(f.domain, ''), CASE WHEN f.id IS NULL THEN 0 ELSE 1 END
			FROM blocks b LEFT JOIN files f ON f.id = b.file WHERE b.id IN (?)`)
		return err
	})
	return found, err
}

// DomainRows implements verify.Engine.
func (v Inventory) DomainRows(ctx context.Context) (list []blockstore.Domain, err error) {
	err = v.db.ask(ctx, "read the rows of domains", func(q querier) error {
		list, err = all(ctx, q, scanDomain, selectDomain+` ORDER BY id`)
		return err
	})
	return list, err
}

// FilesWithRows implements verify.Engine.
func (v Inventory) FilesWithRows(ctx context.Context, ids []blockstore.FileID) (map[blockstore.FileID]bool, error) {
	return v.db.Garbage().FilesWithRows(ctx, ids)
}

// MarkDamaged implements verify.Engine.
func (v Inventory) MarkDamaged(ctx context.Context, id block.ID, at blockstore.Location) error {
	return v.db.Catalog().MarkDamaged(ctx, id, at)
}

// ClearDamage implements verify.Engine.
func (v Inventory) ClearDamage(ctx context.Context, id block.ID, at blockstore.Location) error {
	return v.db.set(ctx, "take the mark from block "+id.String(), func(q querier) error {
		_, err := exec(ctx, q, `UPDATE blocks SET damaged = 0 WHERE id = $1 AND file = $2 AND off = $3 AND len = $4`, id[:], at.File.ID, at.Off, at.Len)
		return err
	})
}

// Suspect implements verify.Fixes.
func (v Inventory) Suspect(ctx context.Context, blocks []block.ID, pages []snapshot.PageID) error {
	note := func(ids []any, stmt string) error {
		for some := range slices.Chunk(ids, gcBatch) {
			if err := v.db.update(ctx, "note suspects", func(q querier) error { return insert(ctx, q, rowsOf(some), stmt) }); err != nil {
				return err
			}
		}
		return nil
	}
	if err := note(hashes(blocks), `INSERT INTO block_candidates (id) VALUES (?)`+noteBlocks); err != nil {
		return err
	}
	return note(hashes(pages), `INSERT INTO page_candidates (id) VALUES (?)`+notePages)
}

// FixFile implements verify.Fixes. A root that no snapshot names may be that of one whose row
// is lost: it is not let go here. Nor is anything put right while a snapshot is being made,
// whose pages the file may have although no row says so, or a root is held that is no snapshot's
// any more: whether rows of what is under it are lost, nobody has looked.
func (v Inventory) FixFile(ctx context.Context, row verify.FileRow) error {
	return v.db.update(ctx, fmt.Sprintf("put the row of file %d right", row.ID), func(q querier) error {
		dead := `CAST($5 AS BIGINT) - (SELECT COUNT(*) FROM blocks b WHERE b.file = files.id) - (SELECT COUNT(*) FROM pages p WHERE p.file = files.id)`
		switch {
		case row.Dead > 0:
			dead = `CAST($5 AS BIGINT)`
		case row.Kind == blockstore.RootFile:
			dead = `CASE WHEN dead = 0 OR EXISTS (SELECT 1 FROM snapshots s WHERE s.root = files.id) THEN 0 ELSE CAST($5 AS BIGINT) END`
		}
		left, ok, err := one(ctx, q, column[int64], `
			UPDATE files SET kind = $1, domain = $2, state = $3, bytes = $4, entries = CAST($5 AS BIGINT), dead = `+dead+`
			WHERE id = $6 AND NOT EXISTS (SELECT 1 FROM snapshots WHERE state = $7)
				AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.root <> 0 AND NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.root = h.root))
			RETURNING entries - dead`,
			row.Kind, row.Domain, fileClosed, row.Bytes, row.Entries, row.ID, snapshot.Pending)
		if err == nil && ok && left <= 0 {
			err = noteFile(ctx, q, row.ID)
		}
		return err
	})
}

// FixDomain implements verify.Fixes.
func (v Inventory) FixDomain(ctx context.Context, was, now blockstore.Domain) (fixed bool, err error) {
	err = v.db.update(ctx, "put the row of domain "+now.ID+" right", func(q querier) error {
		used := int64(0)
		if now.KMSKey != "" {
			used = 1 << 62
		}
		n, err := exec(ctx, q, `
			UPDATE domains SET id = $1, account = $2, kms_key = $3, wrapped = $4, oldest_key = $5, newest_key = $6, retire = $7,
				encrypted = CASE WHEN wrapped = $4 THEN encrypted ELSE $8 END
			WHERE id = $9 AND account = $10 AND kms_key = $11 AND wrapped = $12
				AND NOT EXISTS (SELECT 1 FROM domains o WHERE o.id <> $9 AND (o.id = $1 OR o.account = $2 AND o.kms_key = $3))
				AND (id = $1 OR NOT EXISTS (SELECT 1 FROM files f WHERE f.domain = $9) AND NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.domain = $9))`,
			now.ID, now.Account, now.KMSKey, now.WrappedKeys, now.Oldest, now.Newest, now.Retire, used, was.ID, was.Account, was.KMSKey, was.WrappedKeys)
		fixed = n > 0
		return err
	})
	return fixed, err
}

// FixSnapshot implements verify.Fixes.
func (v Inventory) FixSnapshot(ctx context.Context, was, now snapshot.Record) (fixed bool, err error) {
	err = v.db.update(ctx, "put the row of snapshot "+now.ID+" right", func(q querier) error {
		n, err := exec(ctx, q, `
			UPDATE snapshots SET id = $1, account = $2, domain = $3, state = $4, volume_gib = $5, virtual_bytes = $6, blocks = $7, root = $8
			WHERE id = $9 AND account = $10 AND domain = $11 AND state = $12 AND volume_gib = $13 AND virtual_bytes = $14 AND blocks = $15 AND root = $16
				AND EXISTS (SELECT 1 FROM files f WHERE f.id = $8 AND f.kind = $17 AND f.state = $18 AND f.dead = 0)
				AND NOT EXISTS (SELECT 1 FROM snapshots o WHERE o.id <> $9 AND (o.id = $1 OR o.root = $8))`,
			now.ID, now.Account, now.Domain, now.State, now.VolumeSize, now.VirtualSize, now.Blocks, now.Root.ID,
			was.ID, was.Account, was.Domain, was.State, was.VolumeSize, was.VirtualSize, was.Blocks, was.Root.ID, blockstore.RootFile, fileClosed)
		fixed = n > 0
		return err
	})
	return fixed, err
}

// rebuilding is the counter of the rebuilds since one came to its end.
const rebuilding = "rebuilds"

// Begin implements verify.Entries.
func (v Inventory) Begin(ctx context.Context) (again bool, err error) {
	err = v.db.set(ctx, "begin a rebuild", func(q querier) error {
		n, _, err := one(ctx, q, column[int64], `
			INSERT INTO counters (name, value) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value`, rebuilding)
		again = n > 1
		return err
	})
	return again, err
}

// Done implements verify.Entries.
func (v Inventory) Done(ctx context.Context) error {
	return v.db.set(ctx, "end a rebuild", func(q querier) error {
		_, err := exec(ctx, q, `DELETE FROM counters WHERE name = $1`, rebuilding)
		return err
	})
}

// unfinished returns a note if the last rebuild has not come to its end.
func (v Inventory) unfinished(ctx context.Context) (notes []string, err error) {
	err = v.db.ask(ctx, "look for a rebuild", func(q querier) error {
		_, ok, err := one(ctx, q, column[int64], `SELECT value FROM counters WHERE name = $1`, rebuilding)
		if ok {
			notes = []string{"whether what the last rebuild has entered is needed, since it was cut off or could not enter all: until `diskport verify --rebuild` comes to its end, it stays"}
		}
		return err
	})
	return notes, err
}

// EnterDomain implements verify.Entries. What its newest data key has encrypted was not counted,
// so the next block takes a new one.
func (v Inventory) EnterDomain(ctx context.Context, d blockstore.Domain) (entered bool, err error) {
	err = v.db.update(ctx, "enter domain "+d.ID, func(q querier) error {
		used := int64(0)
		if d.KMSKey != "" {
			used = 1 << 62
		}
		n, err := exec(ctx, q, `
			INSERT INTO domains (id, account, kms_key, wrapped, oldest_key, newest_key, retire, encrypted)
			VALUES ($1, $2, $3, $4, $5, $6, 0, $7) ON CONFLICT DO NOTHING`, d.ID, d.Account, d.KMSKey, d.WrappedKeys, d.Oldest, d.Newest, used)
		if entered = n > 0; err != nil || entered {
			return err
		}
		other, _, err := one(ctx, q, column[string], `SELECT id FROM domains WHERE id = $1 OR account = $2 AND kms_key = $3 ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END LIMIT 1`, d.ID, d.Account, d.KMSKey)
		if err == nil && other != d.ID {
			err = fmt.Errorf("%w: %s", verify.ErrOtherDomain, other)
		}
		return err
	})
	return entered, err
}

// enterFile adds the row of a closed file; ok is false if there is one. It is that of no
// unit, which tells compaction that nobody has looked whether the pack's data keys are the domain's.
func (v Inventory) enterFile(ctx context.Context, q querier, f blockstore.File, bytes int64) (ok bool, err error) {
	n, err := exec(ctx, q, `
		INSERT INTO files (id, kind, domain, state, unit, attempt, bytes, created) VALUES ($1, $2, $3, $4, 0, 0, $5, $6) ON CONFLICT (id) DO NOTHING`,
		f.ID, f.Kind, f.Domain, fileClosed, bytes, micros(v.db.now()))
	return n > 0, err
}

// EnterFile implements verify.Entries.
func (v Inventory) EnterFile(ctx context.Context, f blockstore.File, bytes int64, blocks []blockstore.Placement, pages []snapshot.PagePlace) error {
	return v.db.update(ctx, "enter "+f.Name(), func(q querier) error {
		ok, err := v.enterFile(ctx, q, f, bytes)
		if err != nil || !ok {
			return err
		}
		if f.Kind == blockstore.PackFile {
			return addBlocks(ctx, q, []blockstore.ClosedPack{{File: f, Bytes: bytes, Blocks: blocks}})
		}
		return addPages(ctx, q, f.ID, pages)
	})
}

// EnterSnapshot implements verify.Entries.
func (v Inventory) EnterSnapshot(ctx context.Context, rec snapshot.Record, bytes int64) (entered bool, err error) {
	err = v.db.update(ctx, "enter snapshot "+rec.ID, func(q querier) error {
		entered = false
		root, there, err := one(ctx, q, column[blockstore.FileID], `SELECT root FROM snapshots WHERE id = $1`, rec.ID)
		if err != nil {
			return err
		}
		made, err := v.enterFile(ctx, q, rec.Root, bytes)
		if err != nil {
			return err
		}
		if made && root == rec.Root.ID { // its row alone was lost
			_, err = exec(ctx, q, `UPDATE files SET entries = 1 WHERE id = $1`, rec.Root.ID)
			return err
		}
		n, err := exec(ctx, q, `
			UPDATE files SET entries = 1 WHERE id = $1 AND kind = $2 AND state = $3 AND dead = 0 AND NOT EXISTS (SELECT 1 FROM snapshots WHERE root = $1)`,
			rec.Root.ID, rec.Root.Kind, fileClosed)
		if err != nil || n == 0 {
			return err
		}
		if there {
			if root != rec.Root.ID {
				err = fmt.Errorf("%w: %s", verify.ErrOtherRoot, rec.ID)
			}
			return err
		}
		entered = true
		if err := v.db.addSnapshot(ctx, q, taskRow{home: rec.Home()}, rec); err != nil {
			return err
		}
		_, err = exec(ctx, q, `UPDATE snapshots SET state = $1, root = $2, blocks = $3, completed = $4, progress = 100 WHERE id = $5`,
			rec.State, rec.Root.ID, rec.Blocks, micros(rec.CompletedAt), rec.ID)
		return err
	})
	return entered, err
}

// maxProblems is how many problems of an engine are named.
const maxProblems = 100

// CheckEngine implements verify.Engine.
func (v Inventory) CheckEngine(ctx context.Context) (verify.EngineReport, error) {
	check := v.checkSQLite
	if v.db.engine.dialect == goose.DialectPostgres {
		check = v.checkPostgres
	}
	r, err := check(ctx)
	if err == nil {
		var notes []string
		notes, err = v.unfinished(ctx)
		r.Notes = append(r.Notes, notes...)
	}
	if err != nil {
		err = fmt.Errorf("metadb: check the database: %w", err)
	}
	return r, err
}

// checkSQLite is not a transaction: it would keep the write-ahead log from being emptied.
func (v Inventory) checkSQLite(ctx context.Context) (r verify.EngineReport, err error) {
	rows, err := all(ctx, v.db.read, column[string], fmt.Sprintf(`PRAGMA integrity_check(%d)`, maxProblems))
	if malformed(err) {
		return verify.EngineReport{Problems: []string{err.Error()}}, nil
	}
	for _, text := range rows {
		if text != "ok" {
			r.Problems = append(r.Problems, text)
		}
	}
	return r, err
}

// malformed reports whether an error of SQLite says that its file is no whole database.
func malformed(err error) bool {
	lite, ok := errors.AsType[*sqlite.Error](err)
	return ok && (lite.Code()&0xff == sqlite3.SQLITE_CORRUPT || lite.Code()&0xff == sqlite3.SQLITE_NOTADB)
}

// checkPostgres uses amcheck if it is installed. Each relation is a statement of its own,
// since the first damage ends one.
func (v Inventory) checkPostgres(ctx context.Context) (r verify.EngineReport, err error) {
	sums, err := all(ctx, v.db.read, column[string], `SELECT setting FROM pg_settings WHERE name = 'data_checksums'`)
	if err != nil {
		return r, err
	}
	if len(sums) > 0 && sums[0] != "on" {
		r.Notes = append(r.Notes, "PostgreSQL keeps no checksums of its pages (pg_checksums --enable turns them on)")
	}
	there, err := all(ctx, v.db.read, column[string], `SELECT extname FROM pg_extension WHERE extname = 'amcheck'`)
	if err != nil || len(there) == 0 {
		r.Notes = append(r.Notes, "PostgreSQL's own structures, since the extension amcheck is not installed (CREATE EXTENSION amcheck)")
		return r, err
	}
	relations, err := all(ctx, v.db.read, column[string], `
		SELECT c.relkind || c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam
		WHERE n.nspname = current_schema() AND c.relpersistence = 'p' AND (c.relkind = 'r' OR c.relkind = 'i' AND a.amname = 'btree')
		ORDER BY c.oid`)
	if err != nil {
		return r, err
	}
	for _, name := range relations {
		problems, err := v.checkRelation(ctx, name[:1], name[1:])
		r.Problems = append(r.Problems, problems...)
		if err != nil || len(r.Problems) >= maxProblems {
			return r, err
		}
	}
	return r, nil
}

// checkRelation checks a table ("r") or index with a number.
func (v Inventory) checkRelation(ctx context.Context, kind, oid string) (problems []string, err error) {
	if kind == "r" {
		problems, err = all(ctx, v.db.read, column[string], `SELECT 'table '||CAST(CAST($1 AS oid) AS regclass)||', block '||blkno||': '||msg FROM verify_heapam(CAST(CAST($1 AS oid) AS regclass)) LIMIT $2`, oid, maxProblems)
	} else {
		_, err = all(ctx, v.db.read, column[any], `SELECT bt_index_check(CAST(CAST($1 AS oid) AS regclass), true)`, oid)
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && (pg.Code == "XX001" || pg.Code == "XX002"): // data_corrupted, index_corrupted
		return append(problems, strings.TrimSpace(pg.Message+" "+pg.Detail)), nil
	case ok && pg.Code == "42501": // insufficient_privilege
		return problems, fmt.Errorf("amcheck is installed, but may not be used: grant the service execution of bt_index_check and verify_heapam: %w", err)
	case ok && (pg.Code == "42P01" || pg.Code == "XX000"): // it was dropped meanwhile
		return problems, nil
	}
	return problems, err
}

// unsigned reads a number that can't be below 0. One that can't be either, since its row is
// damaged, becomes the largest there is: so the row alone is wrong, and not all that is read with it.
type unsigned uint32

// Scan implements sql.Scanner.
func (u *unsigned) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("a number was expected, not %T", v)
	}
	if *u = unsigned(n); int64(*u) != n {
		*u = 1<<32 - 1
	}
	return nil
}
