package metadb

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

var _ snapshot.DraftStore = Snapshots{}

// Start implements snapshot.DraftRecords.
func (s Snapshots) Start(ctx context.Context, d snapshot.Draft, baseID string, limit int) (stored snapshot.Draft, created bool, err error) {
	err = s.db.update(ctx, "start snapshot "+d.ID, func(q querier) error {
		if err := lockAccount(ctx, q, d.Account); err != nil {
			return err
		}
		old, replayed, err := draftByToken(ctx, q, d.Home(), d.Token)
		if err != nil || replayed {
			stored, created = old, false
			return err
		}
		base, err := lockBase(ctx, q, baseID)
		if err != nil {
			return err
		}
		stored, err = s.db.startDraft(ctx, q, d, base, limit)
		created = err == nil
		return err
	})
	return stored, created, err
}

// startDraft stores a draft that is not there yet and begins as a root, with the account
// and what names the root locked.
func (db *DB) startDraft(ctx context.Context, q querier, d snapshot.Draft, base blockstore.FileID, limit int) (snapshot.Draft, error) {
	if err := limitDrafts(ctx, q, d, limit); err != nil {
		return d, err
	}
	d.Base = base
	if err := db.addSnapshot(ctx, q, taskRow{home: d.Home()}, d.Record); err != nil {
		return d, err
	}
	if err := db.addDraft(ctx, q, d); err != nil {
		return d, err
	}
	if d.Refused != "" {
		d.State, d.Message = snapshot.Failed, d.Refused
	}
	return d, nil
}

// ByToken implements snapshot.DraftRecords.
func (s Snapshots) ByToken(ctx context.Context, home awsid.Home, token string) (d snapshot.Draft, err error) {
	err = s.db.view(ctx, "get a snapshot of account "+home.Account+" by token", func(q querier) error {
		var ok bool
		if d, ok, err = draftByToken(ctx, q, home, token); err == nil && !ok {
			err = snapshot.ErrNotFound
		}
		return err
	})
	return d, err
}

// draftByToken returns the snapshot that was started with a client token, in any
// state.
func draftByToken(ctx context.Context, q querier, home awsid.Home, token string) (d snapshot.Draft, ok bool, err error) {
	if token == "" {
		return d, false, nil
	}
	d.Record, ok, err = one(ctx, q, scanSnapshot, selectSnapshot+` WHERE s.account = $1 AND s.region = $2 AND s.token = $3`,
		home.Account, home.Region, token)
	if err != nil || !ok {
		return d, ok, err
	}
	tags, err := tagsOf(ctx, q, d.ID)
	if err != nil {
		return d, ok, err
	}
	d.Tags = tags[d.ID]
	d.Token = token
	d.Digest, _, err = one(ctx, q, column[string], `SELECT digest FROM snapshots WHERE id = $1`, d.ID)
	return d, ok, err
}

// limitDrafts counts the drafts of a kind: copies have no timeout.
func limitDrafts(ctx context.Context, q querier, d snapshot.Draft, limit int) error {
	kind := `d.timeout <> 0`
	if d.Timeout == 0 {
		kind = `d.timeout = 0`
	}
	n, _, err := one(ctx, q, column[int], `
		SELECT COUNT(*) FROM drafts d JOIN snapshots s ON s.id = d.snapshot 
		WHERE s.account = $1 AND s.region = $2 AND `+kind, d.Account, d.Region)
	if err == nil && n >= limit {
		err = snapshot.ErrTooMany
	}
	return err
}

// lockBase returns the root of a completed snapshot, and keeps the snapshot from
// being deleted before the transaction ends.
func lockBase(ctx context.Context, q querier, id string) (root blockstore.FileID, err error) {
	if id == "" {
		return 0, nil
	}
	root, ok, err := one(ctx, q, column[blockstore.FileID], `
		UPDATE snapshots SET state = state WHERE id = $1 AND state = $2 RETURNING root`, id, snapshot.Completed)
	if err == nil && !ok {
		err = snapshot.ErrNotFound
	}
	return root, err
}

// addDraft stores what a draft has besides its record, and its Complete unit if it
// is complete from the start.
func (db *DB) addDraft(ctx context.Context, q querier, d snapshot.Draft) error {
	var token any
	if d.Token != "" {
		token = d.Token
	}
	if _, err := exec(ctx, q, `UPDATE snapshots SET token = $1, digest = $2, parent = $3, lineage = $4, copy_of = $5, copy_region = $6 WHERE id = $7`,
		token, d.Digest, d.Parent, d.Lineage, d.CopyOf, d.CopyRegion, d.ID); err != nil {
		return err
	}
	if d.Refused != "" {
		if _, err := exec(ctx, q, `UPDATE snapshots SET state = $1, message = $2 WHERE id = $3`, snapshot.Failed, d.Refused, d.ID); err != nil {
			return err
		}
		return db.tellSnapshot(ctx, q, outbox.SnapshotFailed, d.Account, d.ID, d.Refused)
	}
	if _, err := exec(ctx, q, `
		INSERT INTO drafts (snapshot, base, timeout, touched, complete, want_blocks) VALUES ($1, $2, $3, $4, 0, -1)`,
		d.ID, d.Base, d.Timeout.Microseconds(), micros(db.now())); err != nil {
		return err
	}
	if d.Want == nil {
		return nil
	}
	return db.completeDraft(ctx, q, d.Account, d.ID, *d.Want)
}

// completeDraft makes a draft complete, and adds the unit that settles it.
func (db *DB) completeDraft(ctx context.Context, q querier, account, id string, want snapshot.Expected) error {
	if _, err := exec(ctx, q, `UPDATE drafts SET complete = 1, want_blocks = $1, want_checksum = $2 WHERE snapshot = $3`,
		want.Blocks, want.Checksum, id); err != nil {
		return err
	}
	return db.addUnits(ctx, q, db.unit(work.Unit{Account: account, Kind: work.Complete, Task: id}))
}

// Draft implements snapshot.DraftRecords.
func (s Snapshots) Draft(ctx context.Context, id string) (d snapshot.Draft, err error) {
	err = s.db.view(ctx, "read draft "+id, func(q querier) error {
		d, err = readDraft(ctx, q, id)
		return err
	})
	return d, err
}

func readDraft(ctx context.Context, q querier, id string) (d snapshot.Draft, err error) {
	var ok bool
	if d.Record, ok, err = one(ctx, q, scanSnapshot, selectSnapshot+` WHERE s.id = $1`, id); err != nil {
		return d, err
	}
	if !ok {
		return d, snapshot.ErrNotFound
	}
	var complete bool
	var want snapshot.Expected
	scan := func(s scanner) (struct{}, error) {
		var timeout int64
		err := s.Scan(&d.Base, &timeout, &complete, &d.Copied, &want.Blocks, &want.Checksum)
		d.Timeout = time.Duration(timeout) * time.Microsecond
		return struct{}{}, err
	}
	_, ok, err = one(ctx, q, scan, `SELECT base, timeout, complete, copied, want_blocks, want_checksum FROM drafts WHERE snapshot = $1`, id)
	switch {
	case err == nil && !ok:
		err = snapshot.ErrNotPending
	case complete:
		d.Want = &want
	}
	return d, err
}

// BeginAppend implements snapshot.Appends.
func (s Snapshots) BeginAppend(ctx context.Context, d snapshot.Draft, owner string, until time.Time) (work.Lease, error) {
	l := s.db.leased(work.Lease{Unit: work.Unit{Account: d.Account, Task: d.ID}, Owner: owner}, work.Append, int(s.db.ids.Int63()))
	l.Until = fromMicros(micros(until))
	err := s.db.update(ctx, "begin an append to "+d.ID, func(q querier) error { return s.db.addUnits(ctx, q, l) })
	return l, err
}

// EndAppend implements snapshot.Appends.
func (s Snapshots) EndAppend(ctx context.Context, l work.Lease) error {
	return s.db.free(ctx, "end "+unitName(l), func(q querier) error {
		if err := finishUnit(ctx, q, l); !errors.Is(err, work.ErrLost) {
			return err
		}
		return nil
	})
}

// Append implements snapshot.Appends.
func (s Snapshots) Append(ctx context.Context, l work.Lease, a snapshot.Appended) error {
	inherited := len(a.Blocks) > 0 && a.Blocks[0].Inherited
	var stored int64
	for _, p := range a.Packs {
		stored += p.Bytes
	}
	return s.db.update(ctx, "append to "+l.Task, func(q querier) error {
		n, err := exec(ctx, q, `
			UPDATE snapshots SET stored = stored + $1, progress = CASE WHEN progress < $2 THEN $2 ELSE progress END
			WHERE id = $3 AND state = $4`, stored, min(a.Progress, 99), l.Task, snapshot.Pending)
		if err != nil {
			return err
		}
		if n == 0 {
			return snapshot.ErrNotPending
		}
		if err := s.db.touchDraft(ctx, q, l.Task, inherited); err != nil {
			return err
		}
		if err := finishUnit(ctx, q, l); err != nil {
			return err
		}
		if err := store(ctx, q, l, importtask.RangeResult{Packs: a.Packs}); err != nil {
			return err
		}
		return addDraftBlocks(ctx, q, l.Task, a.Blocks)
	})
}

// touchDraft locks a draft that may be written, or fails: a draft takes written
// blocks until it is complete, and inherited ones after that.
func (db *DB) touchDraft(ctx context.Context, q querier, id string, inherited bool) error {
	now := micros(db.now())
	n, err := exec(ctx, q, `
		UPDATE drafts SET touched = $1 WHERE snapshot = $2 AND complete = $3 AND (timeout = 0 OR complete = 1 OR touched + timeout > $1)`,
		now, id, flag(inherited))
	if err == nil && n == 0 {
		err = snapshot.ErrNotPending
	}
	return err
}

// addDraftBlocks names blocks as blocks of a draft. Of two blocks at one index, one
// is let go.
func addDraftBlocks(ctx context.Context, q querier, id string, blocks []snapshot.DraftBlock) error {
	sorted := slices.SortedFunc(slices.Values(blocks), func(a, b snapshot.DraftBlock) int { return int(a.Index - b.Index) })
	rows := make([][]any, len(sorted))
	for i, b := range sorted {
		rows[i] = []any{id, b.Index, b.ID[:], b.Digest[:], flag(b.Inherited), spot(id, b.Index)}
	}
	if err := letGoOneOf(ctx, q, id, sorted); err != nil {
		return err
	}
	return insert(ctx, q, rows, `
		INSERT INTO draft_blocks (snapshot, block, block_id, digest, inherited, spot) VALUES (?)
		ON CONFLICT (snapshot, block) DO UPDATE SET block_id = excluded.block_id, digest = excluded.digest, inherited = excluded.inherited
		WHERE draft_blocks.inherited >= excluded.inherited`)
}

// Complete implements snapshot.DraftRecords.
func (s Snapshots) Complete(ctx context.Context, home awsid.Home, id string, want snapshot.Expected) error {
	return s.db.update(ctx, "complete snapshot "+id, func(q querier) error {
		d, err := readDraft(ctx, q, id)
		if (err == nil || errors.Is(err, snapshot.ErrNotPending)) && d.Home() != home {
			return snapshot.ErrNotFound
		}
		if err != nil || d.Want != nil {
			return err
		}
		err = s.db.touchDraft(ctx, q, id, false)
		if errors.Is(err, snapshot.ErrNotPending) {
			// It was complete by the time that it was locked: the same request came twice.
			if d, rerr := readDraft(ctx, q, id); rerr != nil || d.Want != nil {
				return rerr
			}
		}
		if err != nil {
			return err
		}
		return s.db.completeDraft(ctx, q, home.Account, id, want)
	})
}

// DraftBlocks implements snapshot.Appends.
func (s Snapshots) DraftBlocks(ctx context.Context, id string, after int64, limit int) (blocks []snapshot.DraftBlock, err error) {
	scan := func(s scanner) (b snapshot.DraftBlock, err error) {
		var stored int64
		if err = s.Scan(&b.Index, (*hash)(&b.ID), (*hash)(&b.Digest), &b.Inherited, &stored); err == nil {
			err = atSpot(id, b.Index, stored)
		}
		return b, err
	}
	err = s.db.ask(ctx, "read blocks of draft "+id, func(q querier) error {
		blocks, err = all(ctx, q, scan, `
			SELECT block, block_id, digest, inherited, spot FROM draft_blocks
			WHERE snapshot = $1 AND block > $2 ORDER BY block LIMIT $3`, id, after, limit)
		return err
	})
	return blocks, err
}

// msgTimeout is the message of a draft whose timeout is over, which clients see.
const msgTimeout = "The snapshot was not completed before its timeout"

// ExpireDrafts implements snapshot.Leavings.
func (s Snapshots) ExpireDrafts(ctx context.Context, now time.Time) (n int, err error) {
	const some = 1024
	// Nobody claims such units: they would stay after a process that died.
	if _, err := s.db.inSlices(ctx, "forget lapsed appends and rewritings", some, func(q querier) (int, error) {
		n, err := exec(ctx, q, `
			DELETE FROM units WHERE id IN (SELECT id FROM units WHERE kind IN ($1, $2) AND lease_until <= $3 ORDER BY id LIMIT $4)`,
			work.Append, work.Rewrite, micros(now), some)
		return int(n), err
	}); err != nil {
		return 0, err
	}
	if err := s.db.unset(ctx, "touch drafts that a clock ahead has written", func(q querier) error {
		wall := s.db.now()
		_, err := exec(ctx, q, `UPDATE drafts SET touched = $1 WHERE touched > $2`, micros(wall), micros(wall.Add(work.MaxPause)))
		return err
	}); err != nil {
		return 0, err
	}
	var late []string
	err = s.db.ask(ctx, "look for late drafts", func(q querier) error {
		late, err = all(ctx, q, column[string], `SELECT snapshot FROM drafts WHERE `+lateDraft, micros(now))
		return err
	})
	for _, id := range late {
		if err != nil {
			break
		}
		var expired bool
		if expired, err = s.expire(ctx, id, micros(now)); expired {
			n++
		}
	}
	return n, err
}

const lateDraft = `complete = 0 AND timeout <> 0 AND touched + timeout <= $1`

// expire fails a draft if it is still late.
func (s Snapshots) expire(ctx context.Context, id string, now int64) (expired bool, err error) {
	err = s.db.free(ctx, "expire snapshot "+id, func(q querier) error {
		n, err := exec(ctx, q, `UPDATE drafts SET complete = complete WHERE `+lateDraft+` AND snapshot = $2`, now, id)
		if expired = err == nil && n > 0; !expired {
			return err
		}
		account, _, err := one(ctx, q, column[string], `
			UPDATE snapshots SET state = $1, message = $2 WHERE id = $3 RETURNING account`, snapshot.Failed, msgTimeout, id)
		if err != nil {
			return err
		}
		if err := s.db.tellSnapshot(ctx, q, outbox.SnapshotFailed, account, id, msgTimeout); err != nil {
			return err
		}
		return s.db.forgetDraft(ctx, q, account, id)
	})
	return expired && err == nil, err
}
