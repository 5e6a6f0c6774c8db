package metadb

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Catalog is the blockstore.Catalog of a DB.
type Catalog struct{ db *DB }

var _ blockstore.Catalog = Catalog{}

// Catalog returns the index of the block store.
func (db *DB) Catalog() Catalog { return Catalog{db} }

// The states of a file.
const (
	fileOpen   = "open"
	fileClosed = "closed"
)

// CreateFile implements blockstore.Catalog.
func (c Catalog) CreateFile(ctx context.Context, l work.Lease, f blockstore.File, u blockstore.KeyUse) error {
	return c.db.update(ctx, "create file "+f.Name(), func(q querier) error {
		if err := holdUnit(ctx, q, l); err != nil {
			return err
		}
		if err := encrypt(ctx, q, f.Domain, u); err != nil {
			return err
		}
		_, err := exec(ctx, q, `
			INSERT INTO files (id, kind, domain, state, unit, attempt, bytes, created, oldest_key) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)`,
			f.ID, f.Kind, f.Domain, fileOpen, l.ID, l.Attempt, micros(c.db.now()), u.Oldest)
		return err
	})
}

// CheckLease implements blockstore.Catalog.
func (c Catalog) CheckLease(ctx context.Context, l work.Lease) error {
	return c.db.ask(ctx, "check the lease of "+unitName(l), func(q querier) error {
		_, ok, err := one(ctx, q, column[int64], `SELECT id FROM units WHERE id = $1 AND owner = $2 AND attempt = $3`, l.ID, l.Owner, l.Attempt)
		if err == nil && !ok {
			err = work.ErrLost
		}
		return err
	})
}

// Locate implements blockstore.Catalog.
func (c Catalog) Locate(ctx context.Context, ids []block.ID) (map[block.ID]blockstore.Location, error) {
	found := make(map[block.ID]blockstore.Location, len(ids))
	scan := func(s scanner) (id hash, err error) {
		var at blockstore.Location
		err = s.Scan(&id, (*unsigned)(&at.Off), (*unsigned)(&at.Len), &at.File.ID, &at.File.Kind, &at.File.Domain)
		found[block.ID(id)] = at
		return id, err
	}
	err := c.db.askEach(ctx, located(len(ids), "blocks"), func(q querier) error {
		_, err := allIn(ctx, q, scan, hashes(ids), `
			SELECT b.id, b.off, b.len, f.id, f.kind, f.domain FROM blocks b JOIN files f ON f.id = b.file WHERE b.id IN (?)`)
		return err
	})
	return found, err
}

// Claim implements blockstore.Catalog. Most claims meet no condemned block and
// write nothing: a block that is not condemned when it is read can only be
// condemned afterwards, by a gc that then waits for the caller's unit.
func (c Catalog) Claim(ctx context.Context, ids []block.ID) ([]block.ID, error) {
	what := located(len(ids), "blocks to claim")
	var safe, condemned []block.ID
	scan := func(s scanner) (id hash, err error) {
		var pass int64
		if err = s.Scan(&id, &pass); pass != 0 {
			condemned = append(condemned, block.ID(id))
		} else {
			safe = append(safe, block.ID(id))
		}
		return id, err
	}
	err := c.db.askEach(ctx, what, func(q querier) error {
		_, err := allIn(ctx, q, scan, hashes(ids), `SELECT id, condemned FROM blocks WHERE damaged = 0 AND id IN (?)`)
		return err
	})
	if err != nil || len(condemned) == 0 {
		return safe, err
	}
	var spared []hash
	err = c.db.update(ctx, what, func(q querier) (err error) {
		spared, err = allIn(ctx, q, column[hash], hashes(condemned), `UPDATE blocks SET condemned = 0 WHERE damaged = 0 AND id IN (?) RETURNING id`)
		return err
	})
	for _, id := range spared {
		safe = append(safe, block.ID(id))
	}
	return safe, err
}

// MarkDamaged implements blockstore.Catalog. Of a block that is marked it only reads: clients
// may read it again and again.
func (c Catalog) MarkDamaged(ctx context.Context, id block.ID, at blockstore.Location) error {
	what := "mark block " + id.String() + " as damaged"
	where, values := `id = $1 AND file = $2 AND damaged = 0`, []any{id[:], at.File.ID}
	if at.Check() == nil { // else the row is wrong, and may say a number that was never read
		where, values = where+` AND off = $3`, append(values, at.Off)
	}
	unmarked := false
	err := c.db.ask(ctx, what, func(q querier) (err error) {
		_, unmarked, err = one(ctx, q, column[int], `SELECT 1 FROM blocks WHERE `+where, values...)
		return err
	})
	if err != nil || !unmarked {
		return err
	}
	return c.db.update(ctx, what, func(q querier) error {
		n, err := exec(ctx, q, `UPDATE blocks SET damaged = $`+strconv.Itoa(len(values)+1)+` WHERE `+where, append(values, micros(c.db.now()))...)
		if err != nil || n == 0 {
			return err
		}
		return c.db.tellDamage(ctx, q, id, at.File)
	})
}

// tellDamage tells that a block was marked in a file, if it is the only one there that is:
// one damage may take all of a file's blocks, and what was told before has been mended.
func (db *DB) tellDamage(ctx context.Context, q querier, id block.ID, f blockstore.File) error {
	// The lock is for others that mark blocks of the file at the same time.
	if _, err := exec(ctx, q, `UPDATE files SET state = state WHERE id = $1`, f.ID); err != nil {
		return err
	}
	marked, _, err := one(ctx, q, column[int64], `SELECT COUNT(*) FROM blocks WHERE file = $1 AND damaged <> 0`, f.ID)
	if err != nil {
		return err
	}
	c := outbox.Condition{Topic: outbox.Damage, Place: f.Name(), Seen: db.now()}
	if marked == 1 {
		if _, err := exec(ctx, q, `DELETE FROM conditions WHERE topic = $1 AND place = $2`, c.Topic, c.Place); err != nil {
			return err
		}
	}
	account, _, err := one(ctx, q, column[string], `SELECT d.account FROM files f JOIN domains d ON d.id = f.domain WHERE f.id = $1`, f.ID)
	if err != nil {
		return err
	}
	return db.begin(ctx, q, c, outbox.Event{
		Kind: outbox.DamageFound, Account: account, Resource: c.Place, Detail: outbox.Detail{Part: "frame", Message: "block " + id.String() + " can't be read"},
	})
}

func located(n int, what string) string { return "look up " + strconv.Itoa(n) + " " + what }

// closeFile makes an open file of the lease closed.
func closeFile(ctx context.Context, q querier, l work.Lease, id blockstore.FileID, bytes int64) error {
	n, err := exec(ctx, q, `
		UPDATE files SET state = $1, bytes = $2 WHERE id = $3 AND state = $4 AND unit = $5 AND attempt = $6`,
		fileClosed, bytes, id, fileOpen, l.ID, l.Attempt)
	if err == nil && n == 0 {
		err = fmt.Errorf("file %d is not an open file of %s", id, unitName(l))
	}
	return err
}

// closeRoot is closeFile for a root, which its snapshot names in the same transaction.
func closeRoot(ctx context.Context, q querier, l work.Lease, id blockstore.FileID, bytes int64) error {
	if err := closeFile(ctx, q, l, id, bytes); err != nil {
		return err
	}
	_, err := exec(ctx, q, `UPDATE files SET entries = 1 WHERE id = $1`, id)
	return err
}

// addBlocks inserts the blocks of closed packs. Those that exist already stay where
// they are and are un-condemned, except that one that was found damaged moves to
// where it has been written now.
func addBlocks(ctx context.Context, q querier, packs []blockstore.ClosedPack) error {
	at := map[block.ID][]any{}
	var ids []block.ID
	for _, p := range packs {
		for _, b := range p.Blocks {
			if at[b.ID] == nil {
				at[b.ID] = []any{b.ID[:], p.File.ID, b.Off, b.Len}
				ids = append(ids, b.ID)
			}
		}
	}
	slices.SortFunc(ids, compareHashes)
	rows := make([][]any, len(ids))
	for i, id := range ids {
		rows[i] = at[id]
	}
	if err := healBlocks(ctx, q, ids, at); err != nil {
		return err
	}
	if err := insert(ctx, q, rows, `
		INSERT INTO blocks (id, file, off, len) VALUES (?)
		ON CONFLICT (id) DO UPDATE SET condemned = 0`); err != nil {
		return err
	}
	for _, p := range packs {
		if err := countEntries(ctx, q, p.File.ID, len(p.Blocks), "blocks"); err != nil {
			return err
		}
	}
	return nil
}

// lostBlock is true for a row of blocks whose block can't be read where it lies: it
// was found damaged, or the row of its file is gone.
const lostBlock = `(damaged <> 0 OR NOT EXISTS (SELECT 1 FROM files f WHERE f.id = blocks.file AND f.state = '` + fileClosed + `'))`

// inFile is a block or page, and the file that it lies in.
type inFile struct {
	id   hash
	file blockstore.FileID
}

func scanInFile(s scanner) (f inFile, err error) {
	err = s.Scan(&f.id, &f.file)
	return f, err
}

// healBlocks moves those of the blocks that can't be read to their new places.
func healBlocks(ctx context.Context, q querier, ids []block.ID, at map[block.ID][]any) error {
	damaged, err := allIn(ctx, q, scanInFile, hashes(ids), `SELECT id, file FROM blocks WHERE id IN (?) AND `+lostBlock)
	if err != nil {
		return err
	}
	left := map[blockstore.FileID]int64{}
	for _, m := range damaged {
		to := at[block.ID(m.id)]
		n, err := exec(ctx, q, `UPDATE blocks SET file = $1, off = $2, len = $3, damaged = 0 WHERE id = $4 AND file = $5 AND `+lostBlock,
			to[1], to[2], to[3], m.id[:], m.file)
		if err != nil {
			return err
		}
		if to[1] != any(m.file) { // else the row of its file was lost, and is entered anew
			left[m.file] += n
		}
	}
	return countDead(ctx, q, left)
}

// addPages does for the manifest pages in a file what addBlocks does for blocks. Those
// that exist already always move here: they have just been written, while it is not
// known whether the old ones can still be read.
func addPages(ctx context.Context, q querier, file blockstore.FileID, pages []snapshot.PagePlace) error {
	sorted := slices.SortedFunc(slices.Values(pages), func(a, b snapshot.PagePlace) int { return compareHashes(a.ID, b.ID) })
	sorted = slices.CompactFunc(sorted, func(a, b snapshot.PagePlace) bool { return a.ID == b.ID })
	rows := make([][]any, len(sorted))
	for i, p := range sorted {
		rows[i] = []any{p.ID[:], p.File, p.Off, p.Len, p.Blocks}
	}
	if err := insert(ctx, q, rows, `
		INSERT INTO pages (id, file, off, len, blocks) VALUES (?)
		ON CONFLICT (id) DO UPDATE SET condemned = 0`); err != nil || file == 0 {
		return err
	}
	if err := movePages(ctx, q, file, sorted); err != nil {
		return err
	}
	return countEntries(ctx, q, file, len(sorted), "pages")
}

// movePages makes pages lie in a file that lay elsewhere before. Their rows are locked.
func movePages(ctx context.Context, q querier, file blockstore.FileID, pages []snapshot.PagePlace) error {
	at := map[snapshot.PageID]snapshot.PagePlace{}
	ids := make([]snapshot.PageID, len(pages))
	for i, p := range pages {
		at[p.ID], ids[i] = p, p.ID
	}
	elsewhere, err := allIn(ctx, q, scanPage, hashes(ids), `SELECT id, file, off, len, blocks FROM pages WHERE file <> $1 AND id IN (?)`, file)
	if err != nil {
		return err
	}
	left := map[blockstore.FileID]int64{}
	for _, old := range elsewhere {
		to := at[old.ID]
		n, err := exec(ctx, q, `UPDATE pages SET file = $1, off = $2, len = $3, blocks = $4 WHERE id = $5 AND file = $6`,
			file, to.Off, to.Len, to.Blocks, old.ID[:], old.File)
		if err != nil {
			return err
		}
		left[old.File] += n
	}
	return countDead(ctx, q, left)
}
