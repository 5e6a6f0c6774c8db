package metadb

import (
	"context"
	"slices"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
)

var _ image.Changes = Images{}

// own runs fn with an image of the account and region locked.
func (s Images) own(ctx context.Context, what string, home awsid.Home, id string, fn func(querier, image.Image) error) error {
	return s.db.update(ctx, what+" image "+id, func(q querier) error {
		i, ok, err := one(ctx, q, scanImage, `
			UPDATE images SET account = account WHERE id = $1 AND account = $2 AND region = $3 RETURNING `+imageColumns, id, home.Account, home.Region)
		if err != nil {
			return err
		}
		if !ok {
			return image.ErrNotFound
		}
		return fn(q, i)
	})
}

// Modify implements image.Changes.
func (s Images) Modify(ctx context.Context, home awsid.Home, id string, a image.Attributes) error {
	return s.own(ctx, "modify", home, id, func(q querier, i image.Image) error {
		if a.Description != nil {
			i.Description = *a.Description
		}
		if a.ImdsSupport != nil {
			i.ImdsSupport = *a.ImdsSupport
		}
		body, err := imageBody.text(i)
		if err != nil {
			return err
		}
		_, err = exec(ctx, q, `UPDATE images SET body = $1 WHERE id = $2`, body, id)
		return err
	})
}

// Deprecate implements image.Changes.
func (s Images) Deprecate(ctx context.Context, home awsid.Home, id string, at time.Time) error {
	return s.own(ctx, "deprecate", home, id, func(q querier, _ image.Image) error {
		_, err := exec(ctx, q, `UPDATE images SET deprecated = $1 WHERE id = $2`, micros(at), id)
		return err
	})
}

// Protect implements image.Changes.
func (s Images) Protect(ctx context.Context, home awsid.Home, id string, p image.Protection) (now image.Image, err error) {
	err = s.own(ctx, "protect", home, id, func(q querier, i image.Image) error {
		switch {
		case p != image.Unprotected:
			i.ProtectedUntil = time.Time{}
		case i.Protection == image.Cooldown:
			i.ProtectedUntil = s.db.now().Add(image.CooldownFor)
		}
		if _, err := exec(ctx, q, `UPDATE images SET protection = $1, protected_until = $2 WHERE id = $3`, p, micros(i.ProtectedUntil), id); err != nil {
			return err
		}
		now, err = getImage(ctx, q, home.Region, id)
		return err
	})
	return now, err
}

// Share implements image.Changes.
func (s Images) Share(ctx context.Context, home awsid.Home, id string, add, remove []string) error {
	return s.own(ctx, "share", home, id, func(q querier, i image.Image) error {
		if _, err := execIn(ctx, q, args(remove), `DELETE FROM image_shares WHERE image = $1 AND grantee IN (?)`, id); err != nil {
			return err
		}
		rows := [][]any{}
		for _, who := range slices.Compact(slices.Sorted(slices.Values(add))) {
			rows = append(rows, []any{id, who, home.Region, micros(i.Created)})
		}
		if err := insert(ctx, q, rows, `INSERT INTO image_shares (image, grantee, region, created) VALUES (?) ON CONFLICT DO NOTHING`); err != nil {
			return err
		}
		n, _, err := one(ctx, q, column[int], `SELECT COUNT(*) FROM image_shares WHERE image = $1`, id)
		if err == nil && n > image.MaxShares {
			err = image.ErrTooManyShares
		}
		return err
	})
}

// Unshare implements image.Changes.
func (s Images) Unshare(ctx context.Context, home awsid.Home, id string) error {
	return s.own(ctx, "unshare", home, id, func(q querier, _ image.Image) error {
		_, err := exec(ctx, q, `DELETE FROM image_shares WHERE image = $1`, id)
		return err
	})
}
