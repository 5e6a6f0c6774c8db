package importtasktest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

func imageTaskID(n int) string { return fmt.Sprintf("import-ami-%017x", n) }

func diskID(n, container, disk int) string {
	return importtask.DiskID(imageTaskID(n), importtask.Place{Container: container, Disk: disk})
}

// newImageTask is the import of an image with a disk in each of some containers.
func newImageTask(n int, containers ...int) importtask.ImageTask {
	t := importtask.ImageTask{
		ID: imageTaskID(n), Account: account, Region: home.Region, RequestDigest: "digest", Tags: tag.Set{{Key: "k", Value: "v"}},
		Spec: importtask.ImageSpec{Description: "d", Architecture: "i386", BootMode: "uefi", Platform: "Linux", LicenseConfigurations: []string{"arn"}, Encrypted: true, KMSKey: "alias/k"},
	}
	for _, c := range containers {
		disk := newTask(0)
		disk.ImageTask, disk.Place, disk.Device = t.ID, importtask.Place{Container: c, Disk: 1}, "/dev/sdf"
		disk.ID, disk.Tags = importtask.DiskID(t.ID, disk.Place), nil
		t.Disks = append(t.Disks, disk)
	}
	return t
}

func (b Bench) createImage(t *testing.T, task importtask.ImageTask) importtask.ImageTask {
	t.Helper()
	stored, created, err := b.Tasks.CreateImage(t.Context(), task, 100)
	if err != nil || !created {
		t.Fatalf("create: %v, %v", created, err)
	}
	return stored
}

func (b Bench) getImage(t *testing.T, n int) importtask.ImageTask {
	t.Helper()
	task, err := b.Tasks.GetImage(t.Context(), home, imageTaskID(n))
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func createStoresTheImage(t *testing.T, b Bench) {
	want := newImageTask(1, 1, 3)
	want.Spec.Given = []importtask.Given{{Container: 2, Snapshot: "snap-1", Device: "/dev/sdz", Description: "there"}}
	want.CreatedAt = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	got := b.createImage(t, want)
	want.State = importtask.Active
	for i := range want.Disks {
		d := &want.Disks[i]
		d.State, d.Phase, d.Ranges, d.Warnings, d.CreatedAt = importtask.Active, importtask.Waiting, []importtask.Range{}, []string{}, want.CreatedAt
	}
	same(t, "created", want, got)
	same(t, "read", want, b.getImage(t, 1))
	for range 2 {
		l := b.claim(t, work.Plan)
		disk, err := b.Tasks.OfUnit(t.Context(), l.Unit)
		if err != nil || disk.ImageTask != want.ID || disk.ID != l.Task {
			t.Errorf("the disk of %+v is %+v, %v", l, disk, err)
		}
		whole, err := b.Tasks.ImageOfUnit(t.Context(), l.Unit)
		if err != nil || whole.ID != want.ID || len(whole.Disks) != 2 {
			t.Errorf("the image of %+v is %+v, %v", l, whole, err)
		}
	}
	if l, ok, err := b.Work.Claim(t.Context(), work.Claimer{Owner: "node", Kinds: []work.Kind{work.Plan, work.Publish}}, time.Now()); err != nil || ok {
		t.Errorf("there is more to do: %+v, %v", l, err)
	}
	for _, other := range []awsid.Home{elsewhere, {Account: "other", Region: home.Region}} {
		_, err := b.Tasks.GetImage(t.Context(), other, want.ID)
		wantError(t, "of another home", err, importtask.ErrNotFound)
	}
	for _, id := range []string{diskID(1, 1, 1), want.ID} {
		_, err := b.Tasks.Get(t.Context(), home, id)
		wantError(t, "as a snapshot's import", err, importtask.ErrNotFound)
	}
	same(t, "snapshots' imports", []importtask.Task(nil), b.list(t))
	ids, err := b.Tasks.Unfinished(t.Context(), "", 9)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "whose pins stay", []string{diskID(1, 1, 1), diskID(1, 3, 1)}, ids)
	if n, err := b.Tasks.Owned(t.Context(), account); err != nil || n != 1 {
		t.Errorf("the account owns %d, %v, want 1", n, err)
	}
	same(t, "tags", []tag.Tagged{{Resource: tag.Resource{ID: want.ID, Type: "import-image-task"}, Tag: tag.Tag{Key: "k", Value: "v"}}}, b.tags(t))
	if err := b.Tags.Add(t.Context(), home, []string{want.ID}, []tag.Tag{{Key: "l", Value: "w"}}); err != nil {
		t.Error(err)
	}
}

func (b Bench) tags(t *testing.T) []tag.Tagged {
	t.Helper()
	tags, err := b.Tags.List(t.Context(), home, tag.Filter{}, tag.Place{}, listing.Page)
	if err != nil {
		t.Fatal(err)
	}
	return tags
}

func imagesAreListed(t *testing.T, b Bench) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, n := range []int{3, 1, 2} {
		task := newImageTask(n, 1, 2)
		task.CreatedAt = at.Add(time.Duration(i/2) * time.Second)
		b.createImage(t, task)
	}
	foreign := newImageTask(9, 1)
	foreign.Account, foreign.Disks[0].Account = "other", "other"
	b.createImage(t, foreign)
	b.create(t, newTask(1))
	if _, err := b.Tasks.Cancel(t.Context(), home, imageTaskID(1), failure); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		f    importtask.Filter
		want []int
	}{
		"all":         {importtask.Filter{}, []int{1, 3, 2}},
		"a state":     {importtask.Filter{States: []importtask.State{importtask.Deleting}}, []int{1}},
		"two states":  {importtask.Filter{States: []importtask.State{importtask.Deleting, importtask.Active}}, []int{1, 3, 2}},
		"ids":         {importtask.Filter{IDs: []string{imageTaskID(2), imageTaskID(9), taskID(1), imageTaskID(1)}}, []int{1, 2}},
		"ids of none": {importtask.Filter{IDs: []string{}}, nil},
	} {
		for limit := 1; limit < 5; limit++ {
			var got []int
			for after := (listing.Place{}); ; {
				list, err := b.Tasks.ListImages(t.Context(), home, c.f, after, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, task := range list {
					n := 0
					fmt.Sscanf(task.ID, "import-ami-%x", &n)
					got, after = append(got, n), listing.At(task.CreatedAt, task.ID)
					if len(task.Disks) != 2 || task.Disks[1].ID != diskID(n, 2, 1) || len(task.Tags) != 1 {
						t.Errorf("listed: %+v", task)
					}
				}
				if len(list) < limit {
					break
				}
			}
			same(t, fmt.Sprintf("%s, in pages of %d", name, limit), c.want, got)
		}
	}
}

func imagesHaveTokensOfTheirOwn(t *testing.T, b Bench) {
	snap := newTask(1)
	snap.Token = "token"
	b.create(t, snap)
	first := newImageTask(1, 1)
	first.Token = "token"
	want := b.createImage(t, first)
	var made atomic.Int32
	var wg sync.WaitGroup
	for n := 2; n < 6; n++ {
		wg.Go(func() {
			again := newImageTask(n, 1)
			again.Token, again.RequestDigest = "token", "another"
			got, created, err := b.Tasks.CreateImage(t.Context(), again, 0) // the limit does not concern it
			if err != nil || got.ID != want.ID || got.RequestDigest != "digest" {
				t.Errorf("once more: %+v, %v", got, err)
			}
			if created {
				made.Add(1)
			}
		})
	}
	wg.Wait()
	got, err := b.Tasks.ImageByToken(t.Context(), home, "token")
	if err != nil || made.Load() != 0 {
		t.Fatal(made.Load(), err)
	}
	same(t, "by token", want, got)
	for _, place := range []struct {
		home  awsid.Home
		token string
	}{{home, ""}, {home, "Token"}, {elsewhere, "token"}} {
		_, err := b.Tasks.ImageByToken(t.Context(), place.home, place.token)
		wantError(t, place.token, err, importtask.ErrNotFound)
	}
}

// imagesAreLimited: one limit for both kinds of tasks, to which an image counts once.
func imagesAreLimited(t *testing.T, b Bench) {
	b.create(t, newTask(1))
	b.createImage(t, newImageTask(1, 1, 2, 3))
	_, _, err := b.Tasks.CreateImage(t.Context(), newImageTask(2, 1), 2)
	wantError(t, "one image more", err, importtask.ErrTooMany)
	_, _, err = b.Tasks.Create(t.Context(), newTask(2), 2)
	wantError(t, "one snapshot more", err, importtask.ErrTooMany)
	_, err = b.Tasks.GetImage(t.Context(), home, imageTaskID(2))
	wantError(t, "what was refused", err, importtask.ErrNotFound)
	if n, err := b.Tasks.Active(t.Context(), home); err != nil || n != 2 {
		t.Errorf("%d active, %v, want 2", n, err)
	}
}

// planOf is a plan for a disk of image n, whose snapshot has a number.
func planOf(l work.Lease, snap, ranges int) importtask.Plan {
	p := plan(snap, ranges)
	p.Snapshot.Task = l.Task
	return p
}

// plannedImage creates an image of two containers, the first of which is an OVA of two
// disks, and returns the leases of their ranges, one each.
func (b Bench) plannedImage(t *testing.T, n int) map[string]work.Lease {
	t.Helper()
	b.createImage(t, newImageTask(n, 1, 2))
	leases := map[string]work.Lease{}
	for l, left := b.claim(t, work.Plan), 2; ; l = b.claim(t, work.Plan) {
		if l.Task == diskID(n, 1, 1) {
			if err := b.Tasks.Split(t.Context(), l, importtask.Machine{BootMode: "uefi", Empty: 1}, []string{"a.vmdk", "b.vmdk"}); err != nil {
				t.Fatal(err)
			}
		}
		next, ok, err := b.Tasks.Planned(t.Context(), l, planOf(l, 10*n+left, 1))
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		leases[l.Task] = next
		if left--; left < 0 {
			return leases
		}
	}
}

// imageOf returns the image that the task makes.
func imageOf(task importtask.ImageTask) *image.Image {
	i := &image.Image{ID: "ami-0" + task.ID[len(task.ID)-16:], Account: account, Region: home.Region, Name: task.ID, RootDevice: "/dev/sda1", Created: time.Unix(1e9, 0).UTC()}
	for _, d := range task.Devices() {
		i.Devices = append(i.Devices, image.Device{Name: d.Name, Snapshot: d.Snapshot(), VolumeType: "gp2"})
	}
	return i
}

// publication is what the lease of an image's Publish unit publishes.
func (b Bench) publication(t *testing.T, l work.Lease, n int) importtask.Published {
	t.Helper()
	task := b.getImage(t, n)
	p := importtask.Published{Image: imageOf(task)}
	for _, d := range task.Disks {
		p.Roots = append(p.Roots, b.root(t, l, d.ID, d.Counts.Data))
	}
	return p
}

func anImageCompletes(t *testing.T, b Bench) {
	leases := b.plannedImage(t, 1)
	task := b.getImage(t, 1)
	var ids, members []string
	for _, d := range task.Disks {
		ids, members = append(ids, d.ID), append(members, d.Member)
		if d.Pin != "pin" || len(d.WrappedURL) != 3 || d.Phase != importtask.Waiting {
			t.Errorf("disk: %+v", d)
		}
	}
	same(t, "disks", []string{diskID(1, 1, 1), diskID(1, 1, 2), diskID(1, 2, 1)}, ids)
	same(t, "which", []string{"a.vmdk", "b.vmdk", ""}, members)
	same(t, "machine", importtask.Machine{Architecture: "i386", BootMode: "uefi", Empty: 1}, task.Machine())

	var last work.Lease
	for i, id := range ids {
		if err := b.Tasks.SetPhase(t.Context(), leases[id], importtask.Converting, ""); err != nil {
			t.Fatal(err)
		}
		next, ok := b.finish(t, leases[id], b.result(t, leases[id], "shared", "own "+id))
		if ok != (i == 2) {
			t.Fatalf("after disk %d: %+v, %v", i, next, ok)
		}
		last = next
	}
	if last.Kind != work.Publish || last.Task != imageTaskID(1) {
		t.Fatalf("the last unit is %+v", last)
	}
	if err := b.Tasks.SetPhase(t.Context(), last, importtask.Completing, ""); err != nil {
		t.Fatal(err)
	}
	if phase := b.getImage(t, 1).Phase(); phase != importtask.Completing {
		t.Errorf("the phase is %s", phase)
	}
	p := b.publication(t, last, 1)
	short := p
	short.Roots = p.Roots[1:]
	if err := b.Tasks.Publish(t.Context(), last, short); err == nil {
		t.Error("published without a root")
	}
	if err := b.Tasks.Publish(t.Context(), last, p); err != nil {
		t.Fatal(err)
	}
	task = b.getImage(t, 1)
	if task.State != importtask.Completed || task.EndedAt.IsZero() || task.ImageID != p.Image.ID {
		t.Errorf("the task: %+v", task)
	}
	for i, d := range task.Disks {
		if d.State != importtask.Completed || d.EndedAt.IsZero() || d.Pin != "" {
			t.Errorf("a disk: %+v", d)
		}
		rec, err := b.Snapshots.Get(t.Context(), home.Region, d.SnapshotID)
		if err != nil || rec.State != snapshot.Completed || rec.Root.ID != p.Roots[i].File.ID || rec.Blocks != 2 || rec.Task != imageTaskID(1) || len(rec.Tags) != 1 {
			t.Errorf("its snapshot: %+v, %v", rec, err)
		}
	}
	got, err := b.Images.Get(t.Context(), home.Region, p.Image.ID)
	if err != nil || got.State != image.Available {
		t.Fatal(got, err)
	}
	got.State = ""
	same(t, "image", *p.Image, got)
	b.noUnits(t)
	b.letGo(t, 3)
}

// letGo does the units that let go of what so many drafts left.
func (b Bench) letGo(t *testing.T, want int) {
	t.Helper()
	for range want {
		l := b.claim(t, work.LetGo)
		for left := true; left; {
			var err error
			if left, err = b.Leavings.LetGo(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		if pages, err := b.Drafts.RangePages(t.Context(), l.Task); err != nil || len(pages) != 0 {
			t.Errorf("%d pages stay, %v", len(pages), err)
		}
	}
	if l, ok, err := b.Work.Claim(t.Context(), work.Claimer{Owner: "node", Kinds: []work.Kind{work.LetGo}}, time.Now()); err != nil || ok {
		t.Errorf("one more: %+v, %v", l, err)
	}
}

// given is an image of a snapshot that is there.
func (b Bench) given(t *testing.T, n, snap int, containers ...int) {
	t.Helper()
	b.published(t, snap, "x")
	task := newImageTask(n, containers...)
	task.Spec.Given = []importtask.Given{{Container: 9, Snapshot: snapshotID(snap)}}
	b.createImage(t, task)
}

func anImageOfGivenSnapshots(t *testing.T, b Bench) {
	b.given(t, 1, 5)
	l := b.claim(t, work.Publish)
	if err := b.Tasks.SetPhase(t.Context(), l, importtask.Completing, ""); err != nil {
		t.Fatal(err)
	}
	if err := b.Tasks.Publish(t.Context(), l, b.publication(t, l, 1)); err != nil {
		t.Fatal(err)
	}
	if task := b.getImage(t, 1); task.State != importtask.Completed || task.ImageID == "" {
		t.Errorf("the task: %+v", task)
	}
	if err := b.Snapshots.Delete(t.Context(), home, snapshotID(5)); err == nil {
		t.Error("the snapshot of an image was deleted")
	}
}

func aGivenSnapshotIsGone(t *testing.T, b Bench) {
	b.given(t, 1, 5, 1)
	plan := b.claim(t, work.Plan)
	l, ok, err := b.Tasks.Planned(t.Context(), plan, planOf(plan, 6, 0))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	p := b.publication(t, l, 1)
	if err := b.Snapshots.Delete(t.Context(), home, snapshotID(5)); err != nil {
		t.Fatal(err)
	}
	before := b.getImage(t, 1)
	err = b.Tasks.Publish(t.Context(), l, p)
	if gone, ok := errors.AsType[*image.NoSnapshotError](err); !ok || gone.ID != snapshotID(5) {
		t.Errorf("got %v", err)
	}
	same(t, "after that", before, b.getImage(t, 1))
	if rec, err := b.Snapshots.Get(t.Context(), home.Region, snapshotID(6)); err != nil || rec.State != snapshot.Pending {
		t.Errorf("the disk's snapshot: %+v, %v", rec, err)
	}
}

func splitIsLimited(t *testing.T, b Bench) {
	task := newImageTask(1, 1, 2)
	task.Spec.Given = make([]importtask.Given, importtask.MaxDisks-3)
	b.createImage(t, task)
	first, second := b.claim(t, work.Plan), b.claim(t, work.Plan)
	before := b.getImage(t, 1)
	err := b.Tasks.Split(t.Context(), first, importtask.Machine{}, []string{"a", "b", "c"})
	if many, ok := errors.AsType[*importtask.DisksError](err); !ok || many.Disks != importtask.MaxDisks+1 {
		t.Errorf("one too many: %v", err)
	}
	same(t, "after that", before, b.getImage(t, 1))
	if err := b.Tasks.Split(t.Context(), first, importtask.Machine{}, []string{"a", "b"}); err != nil {
		t.Error(err)
	}
	if err := b.Tasks.Split(t.Context(), first, importtask.Machine{}, []string{"a", "b"}); err == nil {
		t.Error("split twice")
	}
	if err := b.Tasks.Split(t.Context(), second, importtask.Machine{}, []string{"a"}); err != nil {
		t.Errorf("an OVA of one disk: %v", err)
	}
}

func aDiskFails(t *testing.T, b Bench) {
	b.given(t, 7, 5, 1)
	given, err := b.Snapshots.Get(t.Context(), home.Region, snapshotID(5))
	if err != nil {
		t.Fatal(err)
	}
	b.claim(t, work.Plan)
	if _, err := b.Tasks.Cancel(t.Context(), home, imageTaskID(7), failure); err != nil {
		t.Fatal(err)
	}
	if err := b.Tasks.CleanedUp(t.Context(), b.claim(t, work.Cleanup)); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Snapshots.Get(t.Context(), home.Region, snapshotID(5)); err != nil {
		t.Error(err)
	} else {
		same(t, "a given snapshot", given, got)
	}

	leases := b.plannedImage(t, 1)
	b.finish(t, leases[diskID(1, 2, 1)], b.result(t, leases[diskID(1, 2, 1)], "x", "y"))
	cleanup, err := b.Tasks.Fail(t.Context(), leases[diskID(1, 1, 2)], failure)
	if err != nil {
		t.Fatal(err)
	}
	if cleanup.Kind != work.Cleanup || cleanup.Task != imageTaskID(1) {
		t.Errorf("got %+v, want the Cleanup unit of the image", cleanup)
	}
	_, err = b.Work.Renew(t.Context(), leases[diskID(1, 1, 1)], time.Now(), work.Progress{})
	wantError(t, "another disk's worker", err, work.ErrLost)
	want := failure
	want.Detail = "bad \x00 \ufffd bytes"
	task := b.getImage(t, 1)
	same(t, "failure", want, task.Failure)
	for _, d := range task.Disks {
		own := importtask.Failure{}
		if d.ID == diskID(1, 1, 2) {
			own = want
		}
		same(t, "failure of "+d.ID, own, d.Failure)
		if d.State != importtask.Deleting || d.Pin == "" {
			t.Errorf("deleting: %+v", d)
		}
	}
	if err := b.Tasks.CleanedUp(t.Context(), cleanup); err != nil {
		t.Fatal(err)
	}
	task = b.getImage(t, 1)
	if task.State != importtask.Deleted || task.EndedAt.IsZero() || task.ImageID != "" {
		t.Errorf("deleted: %+v", task)
	}
	for _, d := range task.Disks {
		if _, err := b.Snapshots.Get(t.Context(), home.Region, d.SnapshotID); d.State != importtask.Deleted || d.Pin != "" || err == nil {
			t.Errorf("of a disk there is %+v, its snapshot: %v", d, err)
		}
	}
	if n, err := b.Images.Owned(t.Context(), account); err != nil || n != 0 {
		t.Errorf("%d images, %v", n, err)
	}
	b.noUnits(t)
	b.letGo(t, 3)
}

func imagesAreCancelled(t *testing.T, b Bench) {
	cancel := func(id string) (importtask.State, error) {
		return b.Tasks.Cancel(t.Context(), home, id, failure)
	}
	b.createImage(t, newImageTask(1, 1, 2))
	plan := b.claim(t, work.Plan)
	for _, id := range []string{diskID(1, 1, 1), imageTaskID(7)} {
		_, err := cancel(id)
		wantError(t, "cancel "+id, err, importtask.ErrNotFound)
	}
	_, err := b.Tasks.Cancel(t.Context(), elsewhere, imageTaskID(1), failure)
	wantError(t, "in another region", err, importtask.ErrNotFound)
	for i, want := range []importtask.State{importtask.Active, importtask.Deleting} {
		if was, err := cancel(imageTaskID(1)); err != nil || was != want {
			t.Errorf("%d: it was %s, %v", i, was, err)
		}
	}
	_, _, err = b.Tasks.Planned(t.Context(), plan, planOf(plan, 1, 1))
	wantError(t, "a plan of a cancelled image", err, work.ErrLost)
	if err := b.Tasks.CleanedUp(t.Context(), b.claim(t, work.Cleanup)); err != nil {
		t.Fatal(err)
	}
	b.noUnits(t)

	for n := 2; n < 6; n++ { // against Publish
		leases := b.plannedImage(t, n)
		var last work.Lease
		for _, l := range leases {
			last, _ = b.finish(t, l, b.result(t, l, "x"))
		}
		p := b.publication(t, last, n)
		var cancelled, published error
		var wg sync.WaitGroup
		wg.Go(func() { _, cancelled = cancel(imageTaskID(n)) })
		wg.Go(func() { published = b.Tasks.Publish(t.Context(), last, p) })
		wg.Wait()
		task := b.getImage(t, n)
		_, err := b.Images.Get(t.Context(), home.Region, p.Image.ID)
		_, refused := errors.AsType[*importtask.TransitionError](cancelled)
		switch {
		case cancelled == nil && published != nil && task.State == importtask.Deleting && err != nil:
		case published == nil && refused && task.State == importtask.Completed && err == nil:
		default:
			t.Errorf("cancel: %v; publish: %v; the task is %s, the image: %v", cancelled, published, task.State, err)
		}
		for _, d := range task.Disks {
			if d.State != task.State {
				t.Errorf("a disk of what is %s is %s", task.State, d.State)
			}
		}
	}
}

func onePublishUnitOfAnImage(t *testing.T, b Bench) {
	leases := b.plannedImage(t, 1)
	results := map[string]importtask.RangeResult{}
	for id, l := range leases {
		results[id] = b.result(t, l, "all have it", "own "+id)
	}
	var follow atomic.Int32
	var wg sync.WaitGroup
	for id, l := range leases {
		wg.Go(func() {
			_, ok, err := b.Tasks.FinishRange(t.Context(), l, results[id])
			if err != nil {
				t.Error(err)
			}
			if ok {
				follow.Add(1)
			}
		})
	}
	wg.Wait()
	if follow.Load() != 1 {
		t.Errorf("%d Publish units, want 1", follow.Load())
	}
}

func lostLeasesOfImages(t *testing.T, b Bench) {
	b.given(t, 2, 5)
	old := b.claim(t, work.Publish)
	p := b.publication(t, old, 2)
	if err := b.Work.Release(t.Context(), old, work.Publish, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	before := b.getImage(t, 2)
	wantError(t, "published", b.Tasks.Publish(t.Context(), old, p), work.ErrLost)
	wantError(t, "in its last phase", b.Tasks.SetPhase(t.Context(), old, importtask.Completing, ""), work.ErrLost)
	wantError(t, "cleaned up", b.Tasks.CleanedUp(t.Context(), old), work.ErrLost)
	same(t, "after that", before, b.getImage(t, 2))

	b.createImage(t, newImageTask(1, 1, 2))
	old = b.claim(t, work.Plan)
	if err := b.Work.Release(t.Context(), old, work.Plan, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	before = b.getImage(t, 1)
	_, _, err := b.Tasks.Planned(t.Context(), old, planOf(old, 1, 1))
	wantError(t, "planned", err, work.ErrLost)
	wantError(t, "split", b.Tasks.Split(t.Context(), old, importtask.Machine{}, []string{"a", "b"}), work.ErrLost)
	_, err = b.Tasks.Fail(t.Context(), old, failure)
	wantError(t, "failed", err, work.ErrLost)
	wantError(t, "in a phase", b.Tasks.SetPhase(t.Context(), old, importtask.Validating, ""), work.ErrLost)
	same(t, "after that", before, b.getImage(t, 1))
}

func forgetImages(t *testing.T, b Bench) {
	withToken := newImageTask(1, 1, 2)
	withToken.Token = "token"
	b.createImage(t, withToken)
	if _, err := b.Tasks.Cancel(t.Context(), home, withToken.ID, failure); err != nil {
		t.Fatal(err)
	}
	if err := b.Tasks.CleanedUp(t.Context(), b.claim(t, work.Cleanup)); err != nil {
		t.Fatal(err)
	}
	b.createImage(t, newImageTask(2, 1)) // runs
	ended := b.getImage(t, 1).EndedAt
	for i, c := range []struct {
		before time.Time
		want   int
	}{{ended, 0}, {ended.Add(time.Hour), 1}, {ended.Add(time.Hour), 0}} {
		if n, err := b.Tasks.Forget(t.Context(), c.before); err != nil || n != c.want {
			t.Errorf("%d: forgot %d, %v, want %d", i, n, err, c.want)
		}
	}
	_, err := b.Tasks.GetImage(t.Context(), home, withToken.ID)
	wantError(t, "forgotten", err, importtask.ErrNotFound)
	if slices.ContainsFunc(b.tags(t), func(g tag.Tagged) bool { return g.Resource.ID == withToken.ID }) {
		t.Error("its tags stay")
	}
	b.createImage(t, withToken) // its token is free, and the ids of its disks
}
