package metadb

import (
	"cmp"
	"context"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Snapshots is the snapshot.Store of a DB.
type Snapshots struct{ db *DB }

var _ snapshot.Store = Snapshots{}

// Snapshots returns the store of snapshot records.
func (db *DB) Snapshots() Snapshots { return Snapshots{db} }

// Get implements snapshot.Records.
func (s Snapshots) Get(ctx context.Context, region, id string) (r snapshot.Record, err error) {
	err = s.db.view(ctx, "get snapshot "+id, func(q querier) error {
		var ok bool
		if r, ok, err = one(ctx, q, scanSnapshot, selectSnapshot+` WHERE s.id = $1 AND s.region = $2`, id, region); err != nil {
			return err
		}
		if !ok {
			return snapshot.ErrNotFound
		}
		if r.SharedWith, err = sharesOf(ctx, q, id); err != nil {
			return err
		}
		return complement(ctx, q, r.Account, []*snapshot.Record{&r})
	})
	return r, err
}

// Owned implements snapshot.Records.
func (s Snapshots) Owned(ctx context.Context, account string) (int, error) {
	return s.db.count(ctx, "count snapshots of account "+account, `SELECT COUNT(*) FROM snapshots WHERE account = $1`, account)
}

// complement adds to records what is in other tables: tags, which only their
// account sees, and the progress of pending ones.
func complement(ctx context.Context, q querier, account string, list []*snapshot.Record) error {
	var own, making []string
	for _, r := range list {
		if r.Account == account {
			own = append(own, r.ID)
		}
		if r.State == snapshot.Pending && r.Task != "" {
			making = append(making, r.Task)
		}
	}
	tags, err := tagsOf(ctx, q, own...)
	if err != nil {
		return err
	}
	progress, err := progressOf(ctx, q, making)
	for _, r := range list {
		r.Tags = tags[r.ID]
		if percent, ok := progress[r.Task]; ok && r.State == snapshot.Pending {
			r.Progress = percent
		}
	}
	return err
}

// progressOf returns the progress of tasks, by their ids.
func progressOf(ctx context.Context, q querier, ids []string) (map[string]int, error) {
	live, err := liveCounts(ctx, q, ids...)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	scan := func(s scanner) (_ struct{}, err error) {
		var id, ranges, counts string
		if err := s.Scan(&id, &ranges, &counts); err != nil {
			return struct{}{}, err
		}
		var t importtask.Task
		err = cmp.Or(taskRanges.read(ranges, &t.Ranges), taskCounts.read(counts, &t.Counts))
		t.Counts.Add(live[id])
		out[id] = percent(t)
		return struct{}{}, err
	}
	_, err = allIn(ctx, q, scan, args(ids), `SELECT id, ranges, counts FROM tasks WHERE id IN (?)`)
	return out, err
}

// percent is how much of a task's data is dealt with; 99 at most before the end.
func percent(t importtask.Task) int {
	var total int64
	for _, r := range t.Ranges {
		total += r.Bytes
	}
	if total == 0 {
		return 0
	}
	return int(min(99, max(0, float64(t.Counts.Done)/float64(total)*100)))
}

// Delete implements snapshot.Changes.
func (s Snapshots) Delete(ctx context.Context, home awsid.Home, id string) error {
	return s.db.free(ctx, "delete snapshot "+id, func(q querier) error {
		root, ok, err := one(ctx, q, column[blockstore.FileID], `
			DELETE FROM snapshots WHERE id = $1 AND account = $2 AND region = $3 AND (state <> $4 OR task = '') RETURNING root`,
			id, home.Account, home.Region, snapshot.Pending)
		if err != nil {
			return err
		}
		if !ok {
			return whyNotDeleted(ctx, q, home, id)
		}
		if err := letGoRoot(ctx, q, root); err != nil {
			return err
		}
		if err := notInUse(ctx, q, home.Account, id); err != nil {
			return err
		}
		if err := s.db.forgetDraft(ctx, q, home.Account, id); err != nil {
			return err
		}
		if err := dropShares(ctx, q, id); err != nil {
			return err
		}
		if err := dropTags(ctx, q, id); err != nil {
			return err
		}
		return s.db.tell(ctx, q, outbox.Event{Kind: outbox.SnapshotDeleted, Account: home.Account, Region: home.Region, Resource: id})
	})
}

func whyNotDeleted(ctx context.Context, q querier, home awsid.Home, id string) error {
	_, pending, err := one(ctx, q, column[string], `
		SELECT id FROM snapshots WHERE id = $1 AND account = $2 AND region = $3 AND state = $4`, id, home.Account, home.Region, snapshot.Pending)
	if err == nil && pending {
		return snapshot.ErrPending
	}
	return cmp.Or(err, snapshot.ErrNotFound)
}

// LocatePages implements snapshot.Records. Snapshots share pages, and a page may be
// another one in each volume; so Page is 0.
func (s Snapshots) LocatePages(ctx context.Context, ids []snapshot.PageID) (map[snapshot.PageID]snapshot.PagePlace, error) {
	found := make(map[snapshot.PageID]snapshot.PagePlace, len(ids))
	err := s.db.askEach(ctx, located(len(ids), "pages"), func(q querier) error {
		pages, err := allIn(ctx, q, scanPage, hashes(ids), `SELECT id, file, off, len, blocks FROM pages WHERE id IN (?)`)
		for _, p := range pages {
			found[p.ID] = p
		}
		return err
	})
	return found, err
}

func scanPage(s scanner) (p snapshot.PagePlace, err error) {
	err = s.Scan((*hash)(&p.ID), &p.File, &p.Off, &p.Len, &p.Blocks)
	return p, err
}

// addSnapshot stores the pending snapshot that a task makes, with its tags.
func (db *DB) addSnapshot(ctx context.Context, q querier, task taskRow, r snapshot.Record) error {
	if _, err := exec(ctx, q, `
		INSERT INTO snapshots (id, account, region, domain, task, description, state, volume_gib, virtual_bytes, progress,
			started, completed, root, blocks, stored, data_key, volume)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, 0, 0, 0, 0, $11, $12)`,
		r.ID, task.home.Account, task.home.Region, r.Domain, task.id, r.Description, snapshot.Pending, r.VolumeSize, r.VirtualSize,
		micros(cmp.Or(r.StartedAt, db.now())), r.DataKey, r.Volume); err != nil {
		return err
	}
	return putTags(ctx, q, task.home, r.ID, r.Tags)
}

const selectSnapshotColumns = `
	SELECT s.id, s.account, s.region, s.domain, s.task, s.description, s.state, s.volume_gib, s.virtual_bytes, s.progress,
		s.started, s.completed, s.root, s.blocks, s.stored, s.parent, s.lineage, s.message, s.tier, s.tier_since,
		COALESCE(d.kms_key, ''), s.data_key, s.volume`

const selectSnapshot = selectSnapshotColumns + `
	FROM snapshots s LEFT JOIN domains d ON d.id = s.domain`

func scanSnapshot(s scanner) (r snapshot.Record, err error) {
	var started, completed, tier int64
	err = s.Scan(&r.ID, &r.Account, &r.Region, &r.Domain, &r.Task, &r.Description, &r.State, &r.VolumeSize, &r.VirtualSize, &r.Progress,
		&started, &completed, &r.Root.ID, &r.Blocks, &r.Added, &r.Parent, &r.Lineage, &r.Message, &r.Tier, &tier, &r.KMSKey, &r.DataKey, &r.Volume)
	r.TierSince, r.Lineage = fromMicros(tier), cmp.Or(r.Lineage, r.ID)
	r.StartedAt, r.CompletedAt = fromMicros(started), fromMicros(completed)
	if r.Root.ID != 0 {
		r.Root.Kind = blockstore.RootFile
	}
	return r, err
}
