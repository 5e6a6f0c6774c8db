package metadb

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

// draftLife returns the events of a draft that is published, of its copy, which is
// rejected, and of a draft that expires.
func draftLife(db *DB) []lifeEvent {
	const account = "a"
	s := db.Snapshots()
	pack, root := blockstore.File{ID: 11, Kind: blockstore.PackFile}, blockstore.File{ID: 12, Kind: blockstore.RootFile}
	pages := blockstore.File{ID: 13, Kind: blockstore.PagesFile}
	written, copied, late := db.ids.Snapshot(), db.ids.Snapshot(), db.ids.Snapshot()
	var l work.Lease
	keep := func(got work.Lease, err error) error {
		if err == nil {
			l = got
		}
		return err
	}
	start := func(id, base string, timeout time.Duration, want *snapshot.Expected) func(context.Context) error {
		return func(ctx context.Context) error {
			_, _, err := s.Start(ctx, snapshot.Draft{Timeout: timeout, Token: id, Want: want, Record: snapshot.Record{
				ID: id, Account: account, Region: region, Tags: tag.Set{{Key: "k"}},
			}}, base, 9)
			return err
		}
	}
	claim := func(ctx context.Context) error {
		got, _, err := db.Work().Claim(ctx, work.Claimer{Owner: "n", Kinds: []work.Kind{work.Complete}}, time.Now())
		return keep(got, err)
	}
	file := func(f blockstore.File) func(context.Context) error {
		return func(ctx context.Context) error { return db.Catalog().CreateFile(ctx, l, f, blockstore.KeyUse{}) }
	}
	return []lifeEvent{
		{"Start", start(written, "", time.Hour, nil)},
		{"BeginAppend", func(ctx context.Context) error {
			return keep(s.BeginAppend(ctx, snapshot.Draft{Record: snapshot.Record{ID: written, Account: account}}, "n", time.Now().Add(time.Hour)))
		}},
		{"CreateFile", file(pack)},
		{"Append", func(ctx context.Context) error {
			return s.Append(ctx, l, snapshot.Appended{
				Packs:  []blockstore.ClosedPack{{File: pack, Blocks: []blockstore.Placement{{ID: block.ID{7}}}}},
				Blocks: []snapshot.DraftBlock{{Index: 1, ID: block.ID{7}}},
			})
		}},
		{"Complete", func(ctx context.Context) error {
			return s.Complete(ctx, of(account), written, snapshot.Expected{Blocks: 1})
		}},
		{"Claim", claim},
		{"CreateFile", file(pages)},
		{"AddPages", func(ctx context.Context) error {
			return s.AddPages(ctx, l, snapshot.NewPages{File: pages, Pages: []snapshot.PagePlace{{Page: 3, ID: snapshot.PageID{9}, File: pages.ID, Blocks: 1}}})
		}},
		{"AddPages", func(ctx context.Context) error {
			return s.AddPages(ctx, l, snapshot.NewPages{Pages: []snapshot.PagePlace{{Page: 3, ID: snapshot.PageID{8}, Blocks: 1}}})
		}},
		{"CreateFile", file(root)},
		{"Publish", func(ctx context.Context) error {
			return s.Publish(ctx, l, snapshot.Manifest{Root: snapshot.Root{File: root, Blocks: 1}})
		}},
		{"Start", start(copied, written, 0, &snapshot.Expected{Blocks: -1})},
		{"Claim", claim},
		{"Reject", func(ctx context.Context) error { return s.Reject(ctx, l, "m") }},
		{"Share", func(ctx context.Context) error {
			return s.Share(ctx, of(account), written, []string{"x", "y"}, []string{"z"})
		}},
		{"Unshare", func(ctx context.Context) error { return s.Unshare(ctx, of(account), written) }},
		{"SetTier", func(ctx context.Context) error { return s.SetTier(ctx, of(account), written, snapshot.Archive) }},
		{"Start", start(late, "", time.Microsecond, nil)},
		{"ExpireDrafts", func(ctx context.Context) error { _, err := s.ExpireDrafts(ctx, db.now()); return err }},
		{"Delete", func(ctx context.Context) error { return s.Delete(ctx, of(account), written) }},
	}
}
