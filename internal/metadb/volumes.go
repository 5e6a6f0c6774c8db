package metadb

import (
	"context"
	"database/sql"
	"math"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/volume"
)

// Volumes is the volume.Store of a DB.
type Volumes struct{ db *DB }

var _ volume.Store = Volumes{}

// Volumes returns the store of volumes.
func (db *DB) Volumes() Volumes { return Volumes{db} }

// endless is the end of the holds of volumes.
const endless = math.MaxInt64

// Create implements volume.Store.
func (s Volumes) Create(ctx context.Context, v volume.Volume) (stored volume.Volume, created bool, err error) {
	err = s.db.update(ctx, "create volume "+v.ID, func(q querier) error {
		if err := lockAccount(ctx, q, v.Account); err != nil {
			return err
		}
		if v.Token != "" {
			old, err := listVolumes(ctx, q, v.Home(), volume.Filter{Tokens: []string{v.Token}}, listing.Place{}, 1)
			if err != nil || len(old) > 0 {
				stored, created = append(old, v)[0], false
				return err
			}
		}
		stored, created = v, true
		return s.db.addVolume(ctx, q, v)
	})
	return stored, created && err == nil, err
}

func (db *DB) addVolume(ctx context.Context, q querier, v volume.Volume) error {
	root, err := lockSource(ctx, q, v)
	if err != nil {
		return err
	}
	var hold int64
	if root != 0 {
		hold = db.ids.Int63()
		if _, err := exec(ctx, q, `INSERT INTO holds (id, root, until, why) VALUES ($1, $2, $3, $4)`, hold, root, int64(endless), "volume "+v.ID); err != nil {
			return err
		}
	}
	settings, err := volumeSettings.text(v.Settings)
	if err != nil {
		return err
	}
	var token any
	if v.Token != "" {
		token = v.Token
	}
	if _, err := exec(ctx, q, `
		INSERT INTO volumes (id, account, region, zone, settings, modified, snapshot, kms_key, hold, root, created, token, digest)
		VALUES ($1, $2, $3, $4, $5, '', $6, $7, $8, $9, $10, $11, $12)`,
		v.ID, v.Account, v.Region, v.Zone, settings, v.Snapshot, v.KMSKey, hold, root, micros(v.Created), token, v.Digest); err != nil {
		return err
	}
	return putTags(ctx, q, v.Home(), v.ID, v.Tags)
}

// lockSource returns the root of a new volume's snapshot, which stays until the
// transaction ends; 0 for a volume of none.
func lockSource(ctx context.Context, q querier, v volume.Volume) (root blockstore.FileID, err error) {
	if v.Snapshot == "" {
		return 0, nil
	}
	root, ok, err := one(ctx, q, column[blockstore.FileID], `
		UPDATE snapshots SET state = state WHERE id = $1 AND region = $2 AND state = $3 RETURNING root`, v.Snapshot, v.Region, snapshot.Completed)
	if err == nil && !ok {
		err = volume.ErrNoSnapshot
	}
	return root, err
}

// lockVolume returns the root of a volume of the account and region, and keeps the
// volume from being deleted before the transaction ends.
func lockVolume(ctx context.Context, q querier, home awsid.Home, id string) (root blockstore.FileID, err error) {
	root, ok, err := one(ctx, q, column[blockstore.FileID], `
		UPDATE volumes SET account = account WHERE id = $1 AND account = $2 AND region = $3 RETURNING root`, id, home.Account, home.Region)
	if err == nil && !ok {
		err = volume.ErrNotFound
	}
	return root, err
}

// List implements volume.Store.
func (s Volumes) List(ctx context.Context, home awsid.Home, f volume.Filter, after listing.Place, limit int) (list []volume.Volume, err error) {
	err = s.db.view(ctx, "list volumes of account "+home.Account, func(q querier) error {
		list, err = listVolumes(ctx, q, home, f, after, limit)
		return err
	})
	return list, err
}

func listVolumes(ctx context.Context, q querier, home awsid.Home, f volume.Filter, after listing.Place, limit int) (list []volume.Volume, err error) {
	own := query{from: `SELECT ` + volumeColumns + ` FROM volumes`, order: `created, id`}.and(`account = ?`, home.Account).and(`region = ?`, home.Region)
	switch {
	case f.IDs != nil:
		list, err = byID(ctx, q, scanVolume, in(own, `token`, f.Tokens), `id`, f.IDs, placeOfVolume, after, limit)
	case f.Tokens != nil:
		list, err = byID(ctx, q, scanVolume, own, `token`, f.Tokens, placeOfVolume, after, limit)
	default:
		list, err = page(ctx, q, scanVolume, own, after, limit)
	}
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	tags, err := tagsOf(ctx, q, ids...)
	for i := range list {
		list[i].Tags = tags[list[i].ID]
	}
	return list, err
}

func placeOfVolume(v volume.Volume) listing.Place { return listing.At(v.Created, v.ID) }

const volumeColumns = `id, account, region, zone, settings, modified, snapshot, kms_key, created, token, digest`

func scanVolume(s scanner) (v volume.Volume, err error) {
	var settings, modified string
	var created int64
	var token sql.NullString
	if err := s.Scan(&v.ID, &v.Account, &v.Region, &v.Zone, &settings, &modified, &v.Snapshot, &v.KMSKey, &created, &token, &v.Digest); err != nil {
		return v, err
	}
	v.Created, v.Token = fromMicros(created), token.String
	if modified != "" {
		v.Modified = &volume.Modification{}
		if err := volumeModified.read(modified, v.Modified); err != nil {
			return v, err
		}
	}
	return v, volumeSettings.read(settings, &v.Settings)
}

// Modify implements volume.Store.
func (s Volumes) Modify(ctx context.Context, home awsid.Home, id string, m volume.Modification) (v volume.Volume, err error) {
	err = s.db.update(ctx, "modify volume "+id, func(q querier) error {
		if _, err := lockVolume(ctx, q, home, id); err != nil {
			return err
		}
		list, err := listVolumes(ctx, q, home, volume.Filter{IDs: []string{id}}, listing.Place{}, 1)
		if err != nil {
			return err
		}
		v = list[0]
		switch {
		case v.Settings != m.From:
			return volume.ErrChanged
		case m.To.Size < m.From.Size:
			return volume.ErrShrinks
		}
		settings, err := volumeSettings.text(m.To)
		if err != nil {
			return err
		}
		modified, err := volumeModified.text(m)
		if err != nil {
			return err
		}
		v.Settings, v.Modified = m.To, &m
		_, err = exec(ctx, q, `UPDATE volumes SET settings = $1, modified = $2 WHERE id = $3`, settings, modified, id)
		return err
	})
	return v, err
}

// Delete implements volume.Store.
func (s Volumes) Delete(ctx context.Context, home awsid.Home, id string) error {
	return s.db.free(ctx, "delete volume "+id, func(q querier) error {
		hold, ok, err := one(ctx, q, column[int64], `
			DELETE FROM volumes WHERE id = $1 AND account = $2 AND region = $3 RETURNING hold`, id, home.Account, home.Region)
		if err != nil {
			return err
		}
		if !ok {
			return volume.ErrNotFound
		}
		if _, err := exec(ctx, q, `DELETE FROM holds WHERE id = $1`, hold); err != nil {
			return err
		}
		return dropTags(ctx, q, id)
	})
}

// Owned implements volume.Store.
func (s Volumes) Owned(ctx context.Context, account string) (int, error) {
	return s.db.count(ctx, "count volumes of account "+account, `SELECT COUNT(*) FROM volumes WHERE account = $1`, account)
}

var _ snapshot.VolumeSnapshots = Volumes{}

// StartOfVolume implements snapshot.VolumeSnapshots.
func (s Volumes) StartOfVolume(ctx context.Context, d snapshot.Draft, limit int) (stored snapshot.Draft, err error) {
	err = s.db.update(ctx, "start snapshot "+d.ID+" of "+d.Volume, func(q querier) error {
		if err := lockAccount(ctx, q, d.Account); err != nil {
			return err
		}
		root, err := lockVolume(ctx, q, d.Home(), d.Volume)
		if err != nil {
			return err
		}
		if err := stillHeld(ctx, q, d.Volume); err != nil {
			return err
		}
		stored, err = s.db.startDraft(ctx, q, d, root, limit)
		return err
	})
	return stored, err
}

// stillHeld fails with volume.ErrLost for a volume whose hold is gone. An earlier version ended
// holds of volumes, and the migration that brought them back left out those under which something
// may have been freed.
func stillHeld(ctx context.Context, q querier, id string) error {
	_, lost, err := one(ctx, q, column[string], `
		SELECT id FROM volumes v WHERE id = $1 AND hold <> 0 AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.id = v.hold)`, id)
	if err == nil && lost {
		err = volume.ErrLost
	}
	return err
}
