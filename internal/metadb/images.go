package metadb

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Images is the image.Store of a DB.
type Images struct{ db *DB }

var _ image.Store = Images{}

// Images returns the store of images.
func (db *DB) Images() Images { return Images{db} }

// Register implements image.Store.
func (s Images) Register(ctx context.Context, i image.Image) error {
	return s.db.update(ctx, "register image "+i.ID, func(q querier) error {
		if err := lockAccount(ctx, q, i.Account); err != nil {
			return err
		}
		return addImage(ctx, q, i, snapshot.Completed)
	})
}

// addImage stores an image that is made of snapshots in one of some states.
func addImage(ctx context.Context, q querier, i image.Image, states ...snapshot.State) error {
	body, err := imageBody.text(i)
	if err != nil {
		return err
	}
	var token any
	if i.Token != "" {
		token = i.Token
	}
	n, err := exec(ctx, q, `
		INSERT INTO images (id, account, region, name, body, created, token, digest) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (account, region, name) DO NOTHING`,
		i.ID, i.Account, i.Region, i.Name, body, micros(i.Created), token, i.Digest)
	if err != nil {
		return err
	}
	if n == 0 {
		other, _, err := one(ctx, q, column[string], `SELECT id FROM images WHERE account = $1 AND region = $2 AND name = $3`, i.Account, i.Region, i.Name)
		return cmp.Or[error](err, &image.NameError{Name: i.Name, ID: other})
	}
	for _, id := range snapshotsOf(i) {
		if err := useSnapshot(ctx, q, i, id, states); err != nil {
			return err
		}
	}
	return putTags(ctx, q, i.Home(), i.ID, i.Tags)
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
func useSnapshot(ctx context.Context, q querier, i image.Image, id string, states []snapshot.State) error {
	n, err := execIn(ctx, q, args(states), `
		UPDATE snapshots SET state = state WHERE id = $1 AND region = $2 AND (account = $3 OR id IN (
			SELECT snapshot FROM snapshot_shares WHERE grantee = $3 OR grantee = $4)) AND state IN (?)`,
		id, i.Region, i.Account, snapshot.Everybody)
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
		gone, ok, err = one(ctx, q, scanImage, `DELETE FROM images WHERE id = $1 AND account = $2 AND region = $3 RETURNING `+imageColumns, id, home.Account, home.Region)
		switch {
		case err != nil:
			return err
		case !ok:
			return image.ErrNotFound
		case gone.Protection != image.Unprotected, gone.ProtectedUntil.After(s.db.now()):
			return &image.ProtectedError{ID: id, Until: gone.ProtectedUntil}
		}
		for _, stmt := range []string{`DELETE FROM image_snapshots WHERE image = $1`, `DELETE FROM image_shares WHERE image = $1`} {
			if _, err := exec(ctx, q, stmt, id); err != nil {
				return err
			}
		}
		return dropTags(ctx, q, id)
	})
	return gone, err
}

// Get implements image.Store.
func (s Images) Get(ctx context.Context, region, id string) (i image.Image, err error) {
	err = s.db.view(ctx, "get image "+id, func(q querier) error {
		i, err = getImage(ctx, q, region, id)
		return err
	})
	return i, err
}

func getImage(ctx context.Context, q querier, region, id string) (image.Image, error) {
	i, ok, err := one(ctx, q, scanImage, selectImage+` WHERE i.id = $1 AND i.region = $2`, id, region)
	if err != nil {
		return i, err
	}
	if !ok {
		return i, image.ErrNotFound
	}
	shares, err := all(ctx, q, column[string], `SELECT grantee FROM image_shares WHERE image = $1`, id)
	if err != nil {
		return i, err
	}
	i.SharedWith = slices.Sorted(slices.Values(shares))
	return i, complementImages(ctx, q, i.Account, []*image.Image{&i})
}

// Owned implements image.Store.
func (s Images) Owned(ctx context.Context, account string) (int, error) {
	return s.db.count(ctx, "count images of account "+account, `SELECT COUNT(*) FROM images WHERE account = $1`, account)
}

const (
	imageColumns = `region, body, deprecated, protection, protected_until, token, digest`
	selectImage  = `SELECT i.region, i.body, i.deprecated, i.protection, i.protected_until, i.token, i.digest FROM images i`
)

func scanImage(s scanner) (i image.Image, err error) {
	var region, body, protection, digest string
	var deprecated, until int64
	var token sql.NullString
	if err = s.Scan(&region, &body, &deprecated, &protection, &until, &token, &digest); err != nil {
		return i, err
	}
	err = imageBody.read(body, &i)
	i.Region, i.Deprecated, i.ProtectedUntil = region, fromMicros(deprecated), fromMicros(until)
	i.Protection, i.Token, i.Digest = image.Protection(protection), token.String, digest
	return i, err
}

// complementImages adds to images what follows from other tables: tags, which only their
// account sees, whether they are public, and their states.
func complementImages(ctx context.Context, q querier, account string, list []*image.Image) error {
	var own, ids []string
	for _, i := range list {
		if ids = append(ids, i.ID); i.Account == account {
			own = append(own, i.ID)
		}
	}
	tags, err := tagsOf(ctx, q, own...)
	if err != nil {
		return err
	}
	public, err := allIn(ctx, q, column[string], args(ids), `SELECT image FROM image_shares WHERE grantee = $1 AND image IN (?)`, image.Everybody)
	if err != nil {
		return err
	}
	made, err := makings(ctx, q, ids)
	for _, i := range list {
		i.Tags, i.Public, i.State = tags[i.ID], slices.Contains(public, i.ID), image.Available
		if m, ok := made[i.ID]; ok {
			i.State, i.Reason = m.state, m.reason
		}
	}
	return err
}

// making is the state of an image whose snapshots are not all completed.
type making struct {
	image, reason string
	state         image.State
}

// makings returns what images that are not available are, by their ids.
func makings(ctx context.Context, q querier, ids []string) (map[string]making, error) {
	scan := func(s scanner) (m making, err error) {
		var state snapshot.State
		err = s.Scan(&m.image, &state, &m.reason)
		m.state = image.Pending
		if state == snapshot.Failed {
			m.state = image.Failed
		}
		return m, err
	}
	rows, err := allIn(ctx, q, scan, args(ids), `
		SELECT u.image, s.state, s.message FROM image_snapshots u JOIN snapshots s ON s.id = u.snapshot
		WHERE s.state <> $1 AND u.image IN (?)`, snapshot.Completed)
	out := map[string]making{}
	for _, m := range rows {
		if out[m.image].state != image.Failed {
			out[m.image] = m
		}
	}
	return out, err
}
