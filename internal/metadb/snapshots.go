package metadb

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

// Snapshots is the snapshot.Store of a DB.
type Snapshots struct{ db *DB }

var _ snapshot.Store = Snapshots{}

// Snapshots returns the store of snapshot records.
func (db *DB) Snapshots() Snapshots { return Snapshots{db} }

// Get implements snapshot.Records.
func (s Snapshots) Get(ctx context.Context, region, id string) (r snapshot.Record, err error) {
	err = s.db.ask(ctx, "get snapshot "+id, func(q querier) (err error) {
		r, err = s.db.wholeSnapshot(ctx, q, id, region)
		return err
	})
	if err != nil || r.State != snapshot.Pending || r.Task == "" {
		return r, err
	}
	err = s.db.view(ctx, "get the progress of snapshot "+id, func(q querier) error {
		progress, err := progressOf(ctx, q, []string{r.Task})
		if percent, ok := progress[r.Task]; ok {
			r.Progress = percent
		}
		return err
	})
	return r, err
}

// wholeSnapshot reads a snapshot with its shares and tags by one statement: every request for
// a block begins with that.
func (db *DB) wholeSnapshot(ctx context.Context, q querier, id, region string) (r snapshot.Record, err error) {
	var shares, tags string
	scan := func(s scanner) (snapshot.Record, error) { return scanSnapshot(wider{s, []any{&shares, &tags}}) }
	r, ok, err := one(ctx, q, scan, selectSnapshotColumns+`,
			COALESCE((SELECT `+fmt.Sprintf(db.engine.list, "h.grantee")+` FROM snapshot_shares h WHERE h.snapshot = s.id), '[]'),
			COALESCE((SELECT `+fmt.Sprintf(db.engine.pairs, "t.name", "t.value")+` FROM tags t WHERE t.resource = s.id), '[]')
		FROM snapshots s LEFT JOIN domains d ON d.id = s.domain WHERE s.id = $1 AND s.region = $2`, id, region)
	switch {
	case err != nil:
		return r, err
	case !ok:
		return r, snapshot.ErrNotFound
	}
	var grantees []string
	var pairs [][2]string
	if err := errors.Join(json.Unmarshal([]byte(shares), &grantees), json.Unmarshal([]byte(tags), &pairs)); err != nil {
		return r, err
	}
	r.SharedWith = append(r.SharedWith, grantees...)
	slices.Sort(r.SharedWith)
	for _, p := range pairs {
		r.Tags = append(r.Tags, tag.Tag{Key: p[0], Value: p[1]})
	}
	slices.SortFunc(r.Tags, func(a, b tag.Tag) int { return cmp.Compare(a.Key, b.Key) })
	return r, nil
}

// wider is a row with more columns than are asked for.
type wider struct {
	scanner
	more []any
}

func (w wider) Scan(dest ...any) error { return w.scanner.Scan(slices.Concat(dest, w.more)...) }

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
			started, completed, root, blocks, stored, data_key, volume, source_name)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, 0, 0, 0, 0, $11, $12, $13)`,
		r.ID, task.home.Account, task.home.Region, r.Domain, task.id, r.Description, snapshot.Pending, r.VolumeSize, r.VirtualSize,
		micros(cmp.Or(r.StartedAt, db.now())), r.DataKey, r.Volume, r.SourceName); err != nil {
		return err
	}
	return putTags(ctx, q, task.home, r.ID, r.Tags)
}

const selectSnapshotColumns = `
	SELECT s.id, s.account, s.region, s.domain, s.task, s.description, s.state, s.volume_gib, s.virtual_bytes, s.progress,
		s.started, s.completed, s.root, s.blocks, s.stored, s.parent, s.lineage, s.message, s.tier, s.tier_since,
		COALESCE(d.kms_key, ''), s.data_key, s.volume, s.source_name`

const selectSnapshot = selectSnapshotColumns + `
	FROM snapshots s LEFT JOIN domains d ON d.id = s.domain`

func scanSnapshot(s scanner) (r snapshot.Record, err error) {
	var started, completed, tier int64
	err = s.Scan(&r.ID, &r.Account, &r.Region, &r.Domain, &r.Task, &r.Description, &r.State, &r.VolumeSize, &r.VirtualSize, &r.Progress,
		&started, &completed, &r.Root.ID, &r.Blocks, &r.Added, &r.Parent, &r.Lineage, &r.Message, &r.Tier, &tier, &r.KMSKey, &r.DataKey, &r.Volume, &r.SourceName)
	r.TierSince, r.Lineage = fromMicros(tier), cmp.Or(r.Lineage, r.ID)
	r.StartedAt, r.CompletedAt = fromMicros(started), fromMicros(completed)
	if r.Root.ID != 0 {
		r.Root.Kind = blockstore.RootFile
	}
	return r, err
}
