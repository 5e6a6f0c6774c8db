package metadb

import (
	"cmp"
	"context"
	"slices"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/tag"
)

// Tags is the tag.Store of a DB.
type Tags struct{ db *DB }

var _ tag.Store = Tags{}

// Tags returns the store of tags.
func (db *DB) Tags() Tags { return Tags{db} }

// Add implements tag.Store.
func (t Tags) Add(ctx context.Context, home awsid.Home, resources []string, tags []tag.Tag) error {
	return t.change(ctx, "add tags", home, resources, func(q querier, id string) error {
		old, err := tagsOf(ctx, q, id)
		if err != nil {
			return err
		}
		if _, err := old[id].Merge(tags); err != nil {
			return err
		}
		return putTags(ctx, q, home, id, tags)
	})
}

// Remove implements tag.Store.
func (t Tags) Remove(ctx context.Context, home awsid.Home, resources []string, del []tag.Deletion) error {
	return t.change(ctx, "remove tags", home, resources, func(q querier, id string) error {
		old, err := tagsOf(ctx, q, id)
		if err != nil {
			return err
		}
		var gone []any
		for _, have := range old[id] {
			if doomed(have, del) {
				gone = append(gone, have.Key)
			}
		}
		_, err = execIn(ctx, q, gone, `DELETE FROM tags WHERE resource = $1 AND name IN (?)`, id)
		return err
	})
}

func doomed(t tag.Tag, del []tag.Deletion) bool {
	if len(del) == 0 {
		return !tag.Reserved(t.Key)
	}
	return slices.ContainsFunc(del, func(d tag.Deletion) bool {
		return d.Key == t.Key && (d.Value == nil || *d.Value == t.Value)
	})
}

// change runs fn for each of the resources, which must be of the account and region,
// in one transaction, with the resource locked.
func (t Tags) change(ctx context.Context, what string, home awsid.Home, resources []string, fn func(querier, string) error) error {
	ids := slices.Compact(slices.Sorted(slices.Values(resources))) // all transactions lock in this order
	return t.db.update(ctx, what+" of account "+home.Account, func(q querier) error {
		for _, id := range ids {
			if err := lockResource(ctx, q, home, id); err != nil {
				return err
			}
			if err := fn(q, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func lockResource(ctx context.Context, q querier, home awsid.Home, id string) error {
	table := "snapshots"
	switch {
	case awsid.IsTask(id):
		table = "tasks"
	case awsid.IsImageTask(id):
		table = "image_tasks"
	case awsid.IsImage(id):
		table = "images"
	case awsid.IsVolume(id):
		table = "volumes"
	}
	stmt := `UPDATE ` + table + ` SET account = account WHERE id = $1 AND account = $2 AND region = $3`
	n, err := exec(ctx, q, stmt, id, home.Account, home.Region)
	if err == nil && n == 0 {
		err = &tag.NoResourceError{ID: id}
	}
	return err
}

// List implements tag.Store.
func (t Tags) List(ctx context.Context, home awsid.Home, f tag.Filter, after tag.Place, limit int) (list []tag.Tagged, err error) {
	err = t.db.view(ctx, "list tags of account "+home.Account, func(q querier) error {
		list, err = t.db.listTags(ctx, q, home, f, after, limit)
		return err
	})
	slices.SortFunc(list, func(a, b tag.Tagged) int { return placeOfTag(a).Compare(placeOfTag(b)) })
	list = slices.DeleteFunc(list, func(t tag.Tagged) bool { return placeOfTag(t).Compare(after) <= 0 })
	return list[:min(limit, len(list))], err
}

func placeOfTag(t tag.Tagged) tag.Place { return tag.Place{Resource: t.Resource.ID, Key: t.Tag.Key} }

// listTags reads the tags behind a place: those of a filter's resources, those that
// a filter's tag finds, or the next ones. Some before the place may be among them.
func (db *DB) listTags(ctx context.Context, q querier, home awsid.Home, f tag.Filter, after tag.Place, limit int) ([]tag.Tagged, error) {
	s := query{from: `SELECT resource, name, value FROM tags`}.and(`account = ?`, home.Account).and(`region = ?`, home.Region)
	if f.Tag != nil {
		s = s.and(`name = ?`, f.Tag.Key).and(`value = ?`, f.Tag.Value)
	}
	if f.Resources != nil {
		var list []tag.Tagged
		err := chunks(f.Resources, func(c []string) error {
			s := in(s, `resource`, c)
			some, err := all(ctx, q, scanTagged, s.text(), s.args...)
			list = append(list, some...)
			return err
		})
		return list, err
	}
	order := `resource`
	switch {
	case f.Tag == nil: // keys are ordered byte by byte; the order of ids is the same in every collation
		name := `name` + db.engine.bytewise
		s = s.and(`resource >= ?`, after.Resource).and(`(resource > ? OR `+name+` > ?)`, after.Resource, after.Key)
		order += `, ` + name
	case f.Tag.Key > after.Key:
		s = s.and(`resource >= ?`, after.Resource)
	default:
		s = s.and(`resource > ?`, after.Resource)
	}
	return all(ctx, q, scanTagged, s.text()+` ORDER BY `+order+atMost(limit), s.args...)
}

func scanTagged(s scanner) (t tag.Tagged, err error) {
	err = s.Scan(&t.Resource.ID, &t.Tag.Key, &t.Tag.Value)
	switch {
	case awsid.IsTask(t.Resource.ID):
		t.Resource.Type = "import-snapshot-task"
	case awsid.IsImageTask(t.Resource.ID):
		t.Resource.Type = "import-image-task"
	case awsid.IsImage(t.Resource.ID):
		t.Resource.Type = "image"
	case awsid.IsVolume(t.Resource.ID):
		t.Resource.Type = "volume"
	default:
		t.Resource.Type = "snapshot"
	}
	return t, err
}

// putTags adds or overwrites tags of one resource.
func putTags(ctx context.Context, q querier, home awsid.Home, resource string, tags []tag.Tag) error {
	latest, err := tag.Set(nil).Merge(tags) // a statement may name a row only once
	if err != nil {
		return err
	}
	rows := make([][]any, len(latest))
	for i, t := range latest {
		rows[i] = []any{resource, t.Key, t.Value, home.Account, home.Region}
	}
	return insert(ctx, q, rows, `
		INSERT INTO tags (resource, name, value, account, region) VALUES (?)
		ON CONFLICT (resource, name) DO UPDATE SET value = excluded.value`)
}

func dropTags(ctx context.Context, q querier, resources ...string) error {
	_, err := execIn(ctx, q, args(resources), `DELETE FROM tags WHERE resource IN (?)`)
	return err
}

// tagsOf returns the tags of resources, by resource.
func tagsOf(ctx context.Context, q querier, resources ...string) (map[string]tag.Set, error) {
	tags, err := allIn(ctx, q, scanTagged, args(resources), `SELECT resource, name, value FROM tags WHERE resource IN (?)`)
	return sets(tags), err
}

func sets(tags []tag.Tagged) map[string]tag.Set {
	out := map[string]tag.Set{}
	for _, t := range tags {
		out[t.Resource.ID] = append(out[t.Resource.ID], t.Tag)
	}
	for _, s := range out {
		slices.SortFunc(s, func(a, b tag.Tag) int { return cmp.Compare(a.Key, b.Key) })
	}
	return out
}
