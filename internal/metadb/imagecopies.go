package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/store/snapshot"
)

var _ snapshot.ImageCopies = Images{}

// StartCopy implements snapshot.ImageCopies.
func (s Images) StartCopy(ctx context.Context, i image.Image, copies []snapshot.BasedDraft, limit int) (stored image.Image, created bool, err error) {
	err = s.db.update(ctx, "copy image "+i.SourceImage+" to "+i.ID, func(q querier) error {
		if err := lockAccount(ctx, q, i.Account); err != nil {
			return err
		}
		old, replayed, err := imageByToken(ctx, q, i.Home(), i.Token)
		if err != nil || replayed {
			stored, created = old, false
			return err
		}
		for _, c := range copies {
			base, err := lockBase(ctx, q, c.Base)
			if err != nil {
				return err
			}
			if _, err := s.db.startDraft(ctx, q, c.Draft, base, limit); err != nil {
				return err
			}
		}
		if err := addImage(ctx, q, i, snapshot.Pending, snapshot.Failed); err != nil {
			return err
		}
		stored, err = getImage(ctx, q, i.Region, i.ID)
		created = err == nil
		return err
	})
	return stored, created, err
}

// ImageByToken implements snapshot.ImageCopies.
func (s Images) ImageByToken(ctx context.Context, home awsid.Home, token string) (i image.Image, err error) {
	err = s.db.view(ctx, "get an image of account "+home.Account+" by token", func(q querier) error {
		var ok bool
		if i, ok, err = imageByToken(ctx, q, home, token); err == nil && !ok {
			err = image.ErrNotFound
		}
		return err
	})
	return i, err
}

// imageByToken returns the image that was made with a client token.
func imageByToken(ctx context.Context, q querier, home awsid.Home, token string) (i image.Image, ok bool, err error) {
	if token == "" {
		return i, false, nil
	}
	id, ok, err := one(ctx, q, column[string], `SELECT id FROM images WHERE account = $1 AND region = $2 AND token = $3`, home.Account, home.Region, token)
	if err != nil || !ok {
		return i, false, err
	}
	i, err = getImage(ctx, q, home.Region, id)
	return i, err == nil, err
}
