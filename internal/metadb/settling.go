package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Split implements snapshot.Settling.
func (s Snapshots) Split(ctx context.Context, l work.Lease, ranges int) error {
	units := make([]work.Lease, ranges)
	for i := range units {
		units[i] = s.db.unit(work.Unit{Account: l.Account, Kind: work.Copy, Task: l.Task, Range: i})
	}
	return s.db.update(ctx, "split the copy of "+l.Task, func(q querier) error {
		if err := lockComplete(ctx, q, l.Task); err != nil {
			return err
		}
		if err := finishUnit(ctx, q, l); err != nil {
			return err
		}
		return s.db.addUnits(ctx, q, units...)
	})
}

// Copied implements snapshot.Settling. The draft is locked, so exactly one caller
// sees no unit left.
func (s Snapshots) Copied(ctx context.Context, l work.Lease) (next work.Lease, ok bool, err error) {
	err = s.db.update(ctx, "end "+unitName(l), func(q querier) error {
		if err := lockComplete(ctx, q, l.Task); err != nil {
			return err
		}
		if err := finishUnit(ctx, q, l); err != nil {
			return err
		}
		left, _, err := one(ctx, q, column[int], `SELECT COUNT(*) FROM units WHERE task = $1 AND kind = $2`, l.Task, work.Copy)
		if ok = err == nil && left == 0; !ok {
			return err
		}
		if _, err := exec(ctx, q, `UPDATE drafts SET copied = 1 WHERE snapshot = $1`, l.Task); err != nil {
			return err
		}
		next = s.db.leased(l, work.Complete, 0)
		return s.db.addUnits(ctx, q, next)
	})
	if err != nil || !ok {
		return work.Lease{}, false, err
	}
	return next, true, nil
}

// lockComplete locks a draft that is complete. If there is none, its units are
// gone, and the lease is lost.
func lockComplete(ctx context.Context, q querier, id string) error {
	return lostUnless(exec(ctx, q, `UPDATE drafts SET complete = complete WHERE snapshot = $1 AND complete = 1`, id))
}

// AddPages implements snapshot.Settling.
func (s Snapshots) AddPages(ctx context.Context, l work.Lease, p snapshot.NewPages) error {
	return s.db.update(ctx, "add pages to snapshot "+l.Task, func(q querier) error {
		if err := lockComplete(ctx, q, l.Task); err != nil {
			return err
		}
		if err := holdUnit(ctx, q, l); err != nil {
			return err
		}
		if err := store(ctx, q, l, filesOf(p)); err != nil {
			return err
		}
		return replaceRangePages(ctx, q, l.Task, p.Pages)
	})
}

func filesOf(p snapshot.NewPages) importtask.RangeResult {
	return importtask.RangeResult{PagesFile: p.File, PagesBytes: p.Bytes, Pages: p.Pages}
}

// Publish implements snapshot.Settling.
func (s Snapshots) Publish(ctx context.Context, l work.Lease, r snapshot.Manifest) error {
	return s.db.update(ctx, "publish snapshot "+l.Task, func(q querier) error {
		if err := s.db.endDraft(ctx, q, l, snapshot.Completed); err != nil {
			return err
		}
		if err := store(ctx, q, l, filesOf(r.New)); err != nil {
			return err
		}
		if err := closeRoot(ctx, q, l, r.Root.File.ID, r.Root.Bytes); err != nil {
			return err
		}
		_, err := exec(ctx, q, `
			UPDATE snapshots SET root = $1, blocks = $2, stored = stored + $3, completed = $4, progress = 100 WHERE id = $5`,
			r.Root.File.ID, r.Root.Blocks, r.Stored, micros(s.db.now()), l.Task)
		if err != nil {
			return err
		}
		return s.db.tellSnapshot(ctx, q, outbox.SnapshotCompleted, l.Account, l.Task, "")
	})
}

// tellSnapshot puts into the outbox how a snapshot ended.
func (db *DB) tellSnapshot(ctx context.Context, q querier, kind outbox.Kind, account, id, message string) error {
	told := outbox.Event{Kind: kind, Account: account, Resource: id, Detail: outbox.Detail{Message: message}}
	scan := func(s scanner) (struct{}, error) {
		var started int64
		err := s.Scan(&told.Region, &started, &told.Detail.CopyOf, &told.Detail.CopyRegion, &told.Detail.Volume)
		told.Detail.Started = fromMicros(started)
		return struct{}{}, err
	}
	if _, _, err := one(ctx, q, scan, `SELECT region, started, copy_of, copy_region, volume FROM snapshots WHERE id = $1`, id); err != nil {
		return err
	}
	return db.tell(ctx, q, told)
}

// Reject implements snapshot.Settling.
func (s Snapshots) Reject(ctx context.Context, l work.Lease, message string) error {
	return s.db.free(ctx, "reject snapshot "+l.Task, func(q querier) error {
		if err := s.db.endDraft(ctx, q, l, snapshot.Failed); err != nil {
			return err
		}
		if _, err := exec(ctx, q, `UPDATE snapshots SET message = $1 WHERE id = $2`, message, l.Task); err != nil {
			return err
		}
		return s.db.tellSnapshot(ctx, q, outbox.SnapshotFailed, l.Account, l.Task, message)
	})
}

// endDraft gives the lease's draft its last state, after which it is not a draft
// any more.
func (db *DB) endDraft(ctx context.Context, q querier, l work.Lease, state snapshot.State) error {
	n, err := exec(ctx, q, `UPDATE snapshots SET state = $1 WHERE id = $2 AND state = $3`, state, l.Task, snapshot.Pending)
	if err := lostUnless(n, err); err != nil {
		return err
	}
	if err := finishUnit(ctx, q, l); err != nil {
		return err
	}
	return db.forgetDraft(ctx, q, l.Account, l.Task)
}

// forgetDraft forgets the draft of a snapshot that is not written any more, and lets
// go of what it named.
func (db *DB) forgetDraft(ctx context.Context, q querier, account, id string) error {
	if _, err := exec(ctx, q, `DELETE FROM drafts WHERE snapshot = $1`, id); err != nil {
		return err
	}
	if err := dropUnits(ctx, q, id); err != nil {
		return err
	}
	return db.letGo(ctx, q, account, id)
}
