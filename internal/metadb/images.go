package metadb

import (
	"cmp"
	"context"
	"slices"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Images is the image.Store of a DB.
type Images struct{ db *DB }

var _ image.Store = Images{}

// Images returns the store of images.
func (db *DB) Images() Images { return Images{db} }

// Register implements image.Store.
func (s Images) Register(ctx context.Context, i image.Image) error {
	body, err := imageBody.text(i)
	if err != nil {
		return err
	}
	return s.db.update(ctx, "register image "+i.ID, func(q querier) error {
		n, err := exec(ctx, q, `
			INSERT INTO images (id, account, region, name, body, created) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (account, region, name) DO NOTHING`,
			i.ID, i.Account, i.Region, i.Name, body, micros(i.Created))
		if err != nil {
			return err
		}
		if n == 0 {
			other, _, err := one(ctx, q, column[string], `SELECT id FROM images WHERE account = $1 AND region = $2 AND name = $3`, i.Account, i.Region, i.Name)
			return cmp.Or[error](err, &image.NameError{Name: i.Name, ID: other})
		}
		for _, id := range snapshotsOf(i) {
			if err := useSnapshot(ctx, q, i, id); err != nil {
				return err
			}
		}
		return putTags(ctx, q, i.Home(), i.ID, i.Tags)
	})
}

// snapshotsOf returns the ids of an image's snapshots, in order.
func snapshotsOf(i image.Image) []string {
	var ids []string
	for _, d := range i.Devices {
		if d.Snapshot != "" {
			ids = append(ids, d.Snapshot)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// useSnapshot locks a snapshot of the image's region that its account may use, and
// notes that the image does.
func useSnapshot(ctx context.Context, q querier, i image.Image, id string) error {
	n, err := exec(ctx, q, `
		UPDATE snapshots SET state = state WHERE id = $1 AND region = $2 AND state = $3 AND (account = $4 OR id IN (
			SELECT snapshot FROM snapshot_shares WHERE grantee = $4 OR grantee = $5))`,
		id, i.Region, snapshot.Completed, i.Account, snapshot.Everybody)
	if err != nil {
		return err
	}
	if n == 0 {
		return &image.NoSnapshotError{ID: id}
	}
	_, err = exec(ctx, q, `INSERT INTO image_snapshots (snapshot, image) VALUES ($1, $2)`, id, i.ID)
	return err
}

// notInUse fails with *snapshot.InUseError while an image of the snapshot's owner
// is made of it; images of other accounts do not keep it.
func notInUse(ctx context.Context, q querier, account, id string) error {
	by, used, err := one(ctx, q, column[string], `
		SELECT u.image FROM image_snapshots u JOIN images i ON i.id = u.image
		WHERE u.snapshot = $1 AND i.account = $2 ORDER BY u.image LIMIT 1`, id, account)
	if err == nil && used {
		err = &snapshot.InUseError{Image: by}
	}
	return err
}

// Deregister implements image.Store.
func (s Images) Deregister(ctx context.Context, home awsid.Home, id string) (gone image.Image, err error) {
	err = s.db.free(ctx, "deregister image "+id, func(q querier) error {
		var ok bool
		gone, ok, err = one(ctx, q, scanImage, `DELETE FROM images WHERE id = $1 AND account = $2 AND region = $3 RETURNING region, body`, id, home.Account, home.Region)
		if err != nil {
			return err
		}
		if !ok {
			return image.ErrNotFound
		}
		if _, err := exec(ctx, q, `DELETE FROM image_snapshots WHERE image = $1`, id); err != nil {
			return err
		}
		return dropTags(ctx, q, id)
	})
	return gone, err
}

// List implements image.Store.
func (s Images) List(ctx context.Context, home awsid.Home, f image.Filter, after listing.Place, limit int) (list []image.Image, err error) {
	err = s.db.view(ctx, "list images of account "+home.Account, func(q querier) error {
		list, err = listImages(ctx, q, home, f, after, limit)
		if err != nil {
			return err
		}
		ids := make([]string, len(list))
		for i := range list {
			ids[i] = list[i].ID
		}
		tags, err := tagsOf(ctx, q, ids...)
		for i := range list {
			list[i].Tags = tags[list[i].ID]
		}
		return err
	})
	return list, err
}

func listImages(ctx context.Context, q querier, home awsid.Home, f image.Filter, after listing.Place, limit int) ([]image.Image, error) {
	own := query{from: `SELECT region, body FROM images`, order: `created, id`}.and(`account = ?`, home.Account).and(`region = ?`, home.Region)
	switch {
	case f.IDs != nil:
		return byID(ctx, q, scanImage, in(own, `name`, f.Names), `id`, f.IDs, placeOfImage, after, limit)
	case f.Names != nil:
		return byID(ctx, q, scanImage, own, `name`, f.Names, placeOfImage, after, limit)
	}
	return page(ctx, q, scanImage, own, after, limit)
}

func placeOfImage(i image.Image) listing.Place { return listing.At(i.Created, i.ID) }

// Owned implements image.Store.
func (s Images) Owned(ctx context.Context, account string) (int, error) {
	return s.db.count(ctx, "count images of account "+account, `SELECT COUNT(*) FROM images WHERE account = $1`, account)
}

func scanImage(s scanner) (i image.Image, err error) {
	var region, body string
	if err = s.Scan(&region, &body); err != nil {
		return i, err
	}
	err = imageBody.read(body, &i)
	i.Region = region
	return i, err
}
