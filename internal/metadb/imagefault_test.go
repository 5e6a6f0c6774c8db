package metadb

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

// imageLife returns the events of two imports of images, one of three disks that is
// published and one that is cancelled.
func imageLife(db *DB) []lifeEvent {
	const account = "a"
	tasks := db.Tasks()
	good, bad := db.ids.ImageTask(), db.ids.ImageTask()
	var l work.Lease
	claim := func(kind work.Kind) lifeEvent {
		return lifeEvent{"Claim", func(ctx context.Context) error {
			got, _, err := db.Work().Claim(ctx, work.Claimer{Owner: "n", Kinds: []work.Kind{kind}}, time.Now())
			if err == nil {
				l = got
			}
			return err
		}}
	}
	create := func(id string, containers ...int) lifeEvent {
		t := importtask.ImageTask{ID: id, Account: account, Region: region, Token: id, Tags: []tag.Tag{{Key: "k", Value: "v"}}}
		for _, n := range containers {
			at := importtask.Place{Container: n, Disk: 1}
			t.Disks = append(t.Disks, importtask.Task{ID: importtask.DiskID(id, at), ImageTask: id, Place: at, Account: account, Region: region})
		}
		return lifeEvent{"CreateImage", func(ctx context.Context) error {
			_, _, err := tasks.CreateImage(ctx, t, 5)
			return err
		}}
	}
	snaps := map[string]string{} // by disks
	planned := lifeEvent{"Planned", func(ctx context.Context) error {
		id := db.ids.Snapshot()
		next, ok, err := tasks.Planned(ctx, l, importtask.Plan{Snapshot: snapshot.Record{ID: id}})
		if err == nil {
			snaps[l.Task] = id
		}
		if ok {
			l = next
		}
		return err
	}}
	roots := map[string]blockstore.File{}
	root := func(n int, task string) lifeEvent {
		roots[task] = blockstore.File{ID: blockstore.FileID(900 + n), Kind: blockstore.RootFile}
		return lifeEvent{"CreateFile", func(ctx context.Context) error {
			return db.Catalog().CreateFile(ctx, l, roots[task], blockstore.KeyUse{})
		}}
	}
	return []lifeEvent{
		create(good, 1, 2),
		claim(work.Plan),
		{"Split", func(ctx context.Context) error {
			return tasks.Split(ctx, l, importtask.Machine{Guest: "g"}, []string{"a", "b"})
		}},
		planned,
		claim(work.Plan),
		planned,
		claim(work.Plan),
		planned, // the last one hands the Publish unit over
		{"SetPhase", func(ctx context.Context) error { return tasks.SetPhase(ctx, l, importtask.Completing, "") }},
		root(1, good+"/1"), root(2, good+"/1.2"), root(3, good+"/2"),
		{"Publish", func(ctx context.Context) error {
			p := importtask.Published{Image: &image.Image{ID: "ami-1", Account: account, Region: region, Name: good}}
			for task, file := range roots {
				p.Roots = append(p.Roots, importtask.Root{Task: task, File: file})
				p.Image.Devices = append(p.Image.Devices, image.Device{Snapshot: snaps[task]})
			}
			return tasks.Publish(ctx, l, p)
		}},
		create(bad, 1, 2, 3),
		claim(work.Plan),
		planned,
		{"Cancel", func(ctx context.Context) error {
			_, err := tasks.Cancel(ctx, of(account), bad, importtask.Failure{Message: "m"})
			return err
		}},
		claim(work.Cleanup),
		{"CleanedUp", func(ctx context.Context) error { return tasks.CleanedUp(ctx, l) }},
		{"Forget", func(ctx context.Context) error {
			_, err := tasks.Forget(ctx, time.Now().Add(time.Hour))
			return err
		}},
	}
}
