package metadb

import (
	"context"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/listing"
)

// List implements image.Store.
func (s Images) List(ctx context.Context, home awsid.Home, f image.Filter, after listing.Place, limit int) (list []image.Image, err error) {
	err = s.db.view(ctx, "list images for account "+home.Account, func(q querier) error {
		list, err = imageList{home, f}.read(ctx, q, after, limit)
		if err != nil {
			return err
		}
		images := make([]*image.Image, len(list))
		for i := range list {
			images[i] = &list[i]
		}
		return complementImages(ctx, q, home.Account, images)
	})
	return list, err
}

func placeOfImage(i image.Image) listing.Place { return listing.At(i.Created, i.ID) }

// imageList is a list that an account asks for, in one region. Its methods return the
// statements that find its images, as those of snapshotList do.
type imageList struct {
	awsid.Home
	image.Filter
}

func (l imageList) read(ctx context.Context, q querier, after listing.Place, limit int) ([]image.Image, error) {
	if l.IDs != nil {
		return byID(ctx, q, scanImage, l.visible(), `i.id`, l.IDs, placeOfImage, after, limit)
	}
	rows, err := pages(ctx, q, scanImage, l.shared(), placeOfImage, after, limit)
	if err != nil || !l.mine() {
		return rows, err
	}
	var own []image.Image
	if l.Names != nil {
		own, err = byID(ctx, q, scanImage, l.own(), `i.name`, l.Names, placeOfImage, after, limit)
	} else {
		own, err = page(ctx, q, scanImage, l.own(), after, limit)
	}
	return cut(append(rows, own...), placeOfImage, after, limit), err
}

// visible finds what the account may use, in no order.
func (l imageList) visible() query {
	s := query{from: selectImage}.and(`i.region = ?`, l.Region).and(`(i.account = ? OR EXISTS (
		SELECT 1 FROM image_shares h WHERE h.image = i.id AND h.grantee IN (?, ?)))`, l.Account, l.Account, image.Everybody)
	return l.filtered(s)
}

// mine reports whether the account's own images can be in the list.
func (l imageList) mine() bool { return l.Owners == nil || slices.Contains(l.Owners, l.Account) }

// own finds the account's images.
func (l imageList) own() query {
	return l.filtered(query{from: selectImage, order: `i.created, i.id`}.and(`i.account = ?`, l.Account).and(`i.region = ?`, l.Region))
}

// shared finds images of other accounts that the account may use. It may find the
// account's own again, which does no harm. The filter is the condition of a CASE for
// PostgreSQL, as for snapshots.
func (l imageList) shared() (ways []query) {
	if l.Owners != nil && !slices.ContainsFunc(l.Owners, func(who string) bool { return who != l.Account }) {
		return nil
	}
	for _, grantee := range []string{l.Account, image.Everybody} {
		s := query{
			from:  strings.Replace(selectImage, `FROM images i`, `FROM image_shares h JOIN images i ON i.id = h.image`, 1),
			order: `h.created, h.image`,
		}.and(`h.grantee = ?`, grantee).and(`h.region = ?`, l.Region)
		f := l.filtered(query{args: s.args})
		if len(f.where) > 0 {
			s.where = append(s.where, `CASE WHEN `+strings.Join(f.where, ` AND `)+` THEN TRUE ELSE FALSE END`)
			s.args = f.args
		}
		ways = append(ways, s)
	}
	return ways
}

// filtered adds the filter's conditions. With whom other accounts share their images is
// disclosed only to those accounts.
func (l imageList) filtered(s query) query {
	s = in(in(s, `i.account`, l.Owners), `i.name`, l.Names)
	if !l.OfferedAt.IsZero() {
		s = s.and(`(i.account = ? OR i.deprecated = 0 OR i.deprecated > ?)`, l.Account, micros(l.OfferedAt))
	}
	switch {
	case l.ExecutableBy == nil:
		return s
	case len(l.ExecutableBy) == 0:
		return s.and(`1 = 0`)
	}
	return s.and(`EXISTS (SELECT 1 FROM image_shares r WHERE r.image = i.id AND r.grantee IN `+marks(len(l.ExecutableBy))+`
		AND (i.account = ? OR r.grantee IN (?, ?)))`, slices.Concat(args(l.ExecutableBy), []any{l.Account, l.Account, image.Everybody})...)
}
