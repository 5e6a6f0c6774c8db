package importtask_test

import (
	"context"
	"errors"
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// records has one snapshot of the account, one that is not completed, and one of another
// account.
type records struct{}

func (records) Get(_ context.Context, _, id string) (snapshot.Record, error) {
	rec := snapshot.Record{ID: id, Account: account, State: snapshot.Completed}
	switch id {
	case "snap-mine":
	case "snap-pending":
		rec.State = snapshot.Pending
	case "snap-theirs":
		rec.Account = "other"
	default:
		return rec, snapshot.ErrNotFound
	}
	return rec, nil
}

func imageRequest(containers ...importtask.Container) importtask.ImageRequest {
	return importtask.ImageRequest{
		Account: account, Region: home.Region, Caller: roles{}.Root(account), Origin: iam.Origin{Region: home.Region}, Digest: "digest",
		Spec: importtask.ImageSpec{RoleName: "vmimport", Description: "d"}, Containers: containers,
	}
}

// in is a container with an object that is a disk for those who insist.
func in(key string) importtask.Container {
	return importtask.Container{Bucket: "images", Key: key, Format: "RAW"}
}

func TestImportImage(t *testing.T) {
	f := newFixture(t)
	f.Records = records{}
	req := imageRequest(in("a.raw"), importtask.Container{Snapshot: "snap-mine", Device: "/dev/sdx"}, importtask.Container{URL: "s3://images/b.raw", Format: "RAW", Description: "dd"})
	req.Token = "token"
	task, err := f.ImportImage(t.Context(), req)
	if err != nil || len(task.Disks) != 2 || len(f.sources.pinned) != 2 {
		t.Fatalf("%+v, %v, %d pins", task, err, len(f.sources.pinned))
	}
	for i, d := range task.Disks {
		if pin, err := source.ParsePin(d.Pin); err != nil || pin.ID != d.ID || !f.sources.pinned[d.ID] || d.SourceBytes != 4711 || d.ImageTask != task.ID {
			t.Errorf("disk %d: %+v, %v", i, d, err)
		}
	}
	if d := task.Disks[1]; d.Place != (importtask.Place{Container: 3, Disk: 1}) || d.Key != "b.raw" || d.DiskDescription != "dd" || f.URL(d) != "s3://images/b.raw" {
		t.Errorf("the second: %+v", d)
	}
	if g := task.Spec.Given; len(g) != 1 || g[0] != (importtask.Given{Container: 2, Snapshot: "snap-mine", Device: "/dev/sdx"}) {
		t.Errorf("given: %+v", g)
	}

	again, err := f.ImportImage(t.Context(), req)
	if err != nil || again.ID != task.ID || len(f.sources.pinned) != 2 {
		t.Errorf("once more: %s, %v, %d pins", again.ID, err, len(f.sources.pinned))
	}
	req.Digest = "another"
	if _, err := f.ImportImage(t.Context(), req); !errors.Is(err, importtask.ErrTokenReused) {
		t.Errorf("another request with the token: %v", err)
	}
	if got, err := f.ImageTask(t.Context(), home, task.ID); err != nil || got.ID != task.ID {
		t.Errorf("read: %+v, %v", got, err)
	}
	if was, err := f.Cancel(t.Context(), home, task.ID, ""); err != nil || was != importtask.Active {
		t.Errorf("cancelled: %s, %v", was, err)
	}
}

// TestRolesForOneKindOfTask: a role may trust the service with images and not with snapshots.
func TestRolesForOneKindOfTask(t *testing.T) {
	f := newFixture(t)
	for name, image := range map[string]bool{"for-snapshots": false, "for-images": true} {
		ask := imageRequest(in("a.raw"))
		ask.Spec.RoleName = name
		_, err := f.ImportImage(t.Context(), ask)
		_, alone := f.Import(t.Context(), importtask.Request{
			Account: account, Region: home.Region, Caller: ask.Caller, Origin: ask.Origin, RoleName: name, Bucket: "images", Key: "a.raw", Format: "RAW",
		})
		if (err == nil) != image || (alone == nil) == image {
			t.Errorf("%s: an image %v, a snapshot %v", name, err, alone)
		}
	}
}

// TestImportImageRefuses: a refused import names the container, and leaves nothing.
func TestImportImageRefuses(t *testing.T) {
	var role *importtask.RoleError
	var object *importtask.ObjectError
	var snap *image.NoSnapshotError
	var unfinished *importtask.UnfinishedError
	given := func(id string) importtask.Container { return importtask.Container{Snapshot: id} }
	for name, c := range map[string]struct {
		req    importtask.ImageRequest
		number int
		ok     func(error) bool
	}{
		"no object":        {imageRequest(in("a"), in("missing")), 2, func(err error) bool { return errors.As(err, &object) && object.Key == "missing" }},
		"a bucket":         {imageRequest(importtask.Container{Bucket: "others", Key: "x"}, in("a")), 1, func(err error) bool { return errors.As(err, &object) }},
		"no location":      {imageRequest(in("a"), importtask.Container{URL: "http://example.com/x/y"}), 2, func(err error) bool { return errors.Is(err, source.ErrLocation) }},
		"no snapshot":      {imageRequest(in("a"), given("snap-none")), 2, func(err error) bool { return errors.As(err, &snap) && snap.ID == "snap-none" }},
		"pending snapshot": {imageRequest(given("snap-pending")), 1, func(err error) bool { return errors.As(err, &unfinished) && unfinished.Snapshot == "snap-pending" }},
		"not one's own":    {imageRequest(given("snap-mine"), given("snap-theirs")), 2, func(err error) bool { return errors.As(err, &snap) }},
		"role": {func() importtask.ImageRequest {
			r := imageRequest(in("a"))
			r.Spec.RoleName = "none"
			return r
		}(), 1, func(err error) bool { return errors.As(err, &role) }},
	} {
		f := newFixture(t)
		f.Records, f.Images.Sources = records{}, f.sources
		for how, do := range map[string]func() error{
			"imported": func() error { _, err := f.ImportImage(t.Context(), c.req); return err },
			"checked":  func() error { return f.CheckImage(t.Context(), c.req) },
		} {
			err := do()
			at, ok := errors.AsType[*importtask.ContainerError](err)
			if !ok || at.Number != c.number || !c.ok(err) {
				t.Errorf("%s, %s: got %v (%T)", name, how, err, err)
			}
		}
		if n, err := f.Store.Active(t.Context(), home); err != nil || n != 0 || len(f.sources.pinned) != 0 {
			t.Errorf("%s: it left %d tasks and %d pins, %v", name, n, len(f.sources.pinned), err)
		}
	}
}
