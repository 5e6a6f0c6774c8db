package metadb

import (
	"context"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// List implements snapshot.Records.
func (s Snapshots) List(ctx context.Context, home awsid.Home, f snapshot.Filter, after listing.Place, limit int) (list []snapshot.Record, err error) {
	err = s.db.view(ctx, "list snapshots for account "+home.Account, func(q querier) error {
		l := snapshotList{home.Account, home.Region, f}
		if f.IDs != nil {
			list, err = byID(ctx, q, scanSnapshot, l.visible(), `s.id`, f.IDs, placeOfSnapshot, after, limit)
		} else {
			list, err = pages(ctx, q, scanSnapshot, append(l.own(), l.shared()...), placeOfSnapshot, after, limit)
		}
		if err != nil {
			return err
		}
		records := make([]*snapshot.Record, len(list))
		for i := range list {
			records[i] = &list[i]
		}
		return complement(ctx, q, home.Account, records)
	})
	return list, err
}

func placeOfSnapshot(r snapshot.Record) listing.Place { return listing.At(r.StartedAt, r.ID) }

// snapshotList is a list that an account asks for, in one region. Its methods return the
// statements that find its snapshots, each along an index; each of them applies the
// whole filter.
type snapshotList struct {
	account, region string
	snapshot.Filter
}

// visible finds what the account may use, in no order.
func (l snapshotList) visible() query {
	s := query{from: selectSnapshot}.and(`s.region = ?`, l.region).and(`(s.account = ? OR EXISTS (
		SELECT 1 FROM snapshot_shares h WHERE h.snapshot = s.id AND h.grantee IN (?, ?)))`, l.account, l.account, snapshot.Everybody)
	return l.filtered(s)
}

// own finds the account's snapshots, by the index that suits the filter best.
func (l snapshotList) own() (ways []query) {
	if l.Owners != nil && !slices.Contains(l.Owners, l.account) {
		return nil
	}
	s := l.filtered(query{from: selectSnapshot, order: `s.started, s.id`}.and(`s.account = ?`, l.account).and(`s.region = ?`, l.region))
	texts, tasks := l.descriptions()
	switch {
	case l.Descriptions != nil:
		for _, d := range texts {
			ways = append(ways, s.and(`s.description = ?`, d))
		}
		for _, id := range tasks {
			ways = append(ways, s.and(`s.task = ?`, id))
		}
	case l.RestorableBy != nil && !slices.Contains(l.RestorableBy, l.account):
		own := l
		own.Owners = []string{l.account}
		for _, who := range slices.Compact(slices.Sorted(slices.Values(l.RestorableBy))) {
			ways = append(ways, own.along(who))
		}
	case l.States != nil:
		for _, state := range l.States {
			ways = append(ways, s.and(`s.state = ?`, state))
		}
	default:
		ways = []query{s}
	}
	return ways
}

// shared finds snapshots of other accounts that the account may use: those shared
// with it by name, and public ones. It may find the account's own again, which does
// no harm.
func (l snapshotList) shared() (ways []query) {
	if l.Owners != nil && !slices.ContainsFunc(l.Owners, func(who string) bool { return who != l.account }) {
		return nil
	}
	for _, who := range []string{l.account, snapshot.Everybody} {
		ways = append(ways, l.along(who))
	}
	return ways
}

// along finds what is shared with a grantee. The filter is the condition of a CASE to
// hide its selectivity from PostgreSQL, which would otherwise read all snapshots that
// match a selective filter, instead of the shares in their order.
func (l snapshotList) along(grantee string) query {
	s := query{
		from: selectSnapshotColumns + `
			FROM snapshot_shares h JOIN snapshots s ON s.id = h.snapshot LEFT JOIN domains d ON d.id = s.domain`,
		order: `h.started, h.snapshot`,
	}.and(`h.grantee = ?`, grantee).and(`h.region = ?`, l.region)
	f := l.filtered(query{args: s.args})
	if len(f.where) > 0 {
		s.where = append(s.where, `CASE WHEN `+strings.Join(f.where, ` AND `)+` THEN TRUE ELSE FALSE END`)
		s.args = f.args
	}
	return s
}

// filtered adds the filter's conditions.
func (l snapshotList) filtered(s query) query {
	s = in(in(s, `s.account`, l.Owners), `s.state`, l.States)
	if l.Descriptions != nil {
		texts, tasks := l.descriptions()
		s = either(s, `s.description`, texts, `s.task`, tasks)
	}
	if l.RestorableBy != nil {
		s = l.restorable(s)
	}
	return s
}

// either adds the condition that one of two columns has one of its values.
func either(s query, first string, some []string, second string, others []string) query {
	if len(others) == 0 {
		return in(s, first, some)
	}
	return s.and(`(`+first+` IN `+marks(len(some))+` OR `+second+` IN `+marks(len(others))+`)`, args(slices.Concat(some, others))...)
}

// restorable adds the condition that one of RestorableBy may make volumes of the
// snapshot. With whom other accounts share their snapshots is disclosed only to
// those accounts.
func (l snapshotList) restorable(s query) query {
	if len(l.RestorableBy) == 0 {
		return s.and(`1 = 0`)
	}
	list := marks(len(l.RestorableBy))
	by := args(l.RestorableBy)
	return s.and(`(s.account IN `+list+` OR EXISTS (
		SELECT 1 FROM snapshot_shares r WHERE r.snapshot = s.id AND r.grantee IN `+list+` AND (s.account = ? OR r.grantee IN (?, ?))))`,
		slices.Concat(by, by, []any{l.account, l.account, snapshot.Everybody})...)
}

// descriptions returns what the filter's descriptions may be: texts of callers, or
// generated ones, by their tasks.
func (l snapshotList) descriptions() (texts, tasks []string) {
	texts = l.Descriptions
	for _, d := range texts {
		if task, ok := snapshot.TaskOf(d); ok {
			tasks = append(tasks, task)
		}
	}
	return texts, tasks
}
