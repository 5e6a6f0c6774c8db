package ec2api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/volume"
)

const (
	account = "123456789012"
	other   = "999999999999"
	taskA   = "import-snap-0123456789abcdef0"
	taskB   = "import-snap-0123456789abcdef1"
	taskC   = "import-snap-0123456789abcdef2"
	taskI   = "import-ami-0123456789abcdef0"
	taskJ   = "import-ami-0123456789abcdef1" // another account's
	snapA   = "snap-0123456789abcdef0"
	snapB   = "snap-0123456789abcdef1"
)

var clock = time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)

// imports is the fake of the task service.
type imports struct {
	tasks []importtask.Task
	urls  map[string]string // by task
	err   error             // of Import and Cancel
	got   importtask.Request
	wait  func(ctx context.Context)

	checked importtask.Request

	imageTasks   []importtask.ImageTask
	gotImage     importtask.ImageRequest
	checkedImage importtask.ImageRequest
}

func (f *imports) ImportImage(_ context.Context, r importtask.ImageRequest) (importtask.ImageTask, error) {
	f.gotImage = r
	if f.err != nil {
		return importtask.ImageTask{}, f.err
	}
	tags, _ := tag.Set{}.Merge(r.Tags)
	t := importtask.ImageTask{ID: taskI, Account: r.Account, Region: r.Region, Spec: r.Spec, Tags: tags, State: importtask.Active, CreatedAt: clock}
	for i, c := range r.Containers {
		at := importtask.Place{Container: i + 1, Disk: 1}
		if c.Snapshot != "" {
			t.Spec.Given = append(t.Spec.Given, importtask.Given{Container: i + 1, Snapshot: c.Snapshot, Device: c.Device, Description: c.Description})
			continue
		}
		d := importtask.Task{
			ID: importtask.DiskID(t.ID, at), ImageTask: t.ID, Place: at, Device: c.Device, DiskDescription: c.Description, Format: c.Format,
			Bucket: c.Bucket, Key: c.Key, SourceBytes: 1 << 20, State: importtask.Active, Phase: importtask.Waiting, CreatedAt: clock,
		}
		f.urls[d.ID] = c.URL
		t.Disks = append(t.Disks, d)
	}
	return t, nil
}

func (f *imports) CheckImage(_ context.Context, r importtask.ImageRequest) error {
	f.checkedImage = r
	return f.err
}

func (f *imports) ImageTask(_ context.Context, home awsid.Home, id string) (importtask.ImageTask, error) {
	for _, t := range f.imageTasks {
		if t.ID == id && is(t.Home(), home) {
			return t, nil
		}
	}
	return importtask.ImageTask{}, importtask.ErrNotFound
}

func (f *imports) ImageTasks(_ context.Context, home awsid.Home, w importtask.Filter, after listing.Place, limit int) ([]importtask.ImageTask, error) {
	at := func(t importtask.ImageTask) listing.Place { return listing.At(t.CreatedAt, t.ID) }
	return cut(f.imageTasks, after, limit, at, func(t importtask.ImageTask) bool {
		return is(t.Home(), home) && has(w.IDs, t.ID) && has(w.States, t.State)
	}), nil
}

func (f *imports) WaitImage(ctx context.Context, home awsid.Home, id string) (importtask.ImageTask, error) {
	if f.wait != nil {
		f.wait(ctx)
	}
	return f.ImageTask(ctx, home, id)
}

func (f *imports) Import(_ context.Context, r importtask.Request) (importtask.Task, error) {
	f.got = r
	if f.err != nil {
		return importtask.Task{}, f.err
	}
	tags, _ := tag.Set{}.Merge(r.Tags)
	f.urls[taskA] = r.URL
	return importtask.Task{
		ID: taskA, Account: r.Account, Region: r.Region, Description: r.Description, DiskDescription: r.DiskDescription, Format: r.Format,
		Bucket: r.Bucket, Key: r.Key, Encrypted: r.Encrypted, KMSKey: r.KMSKey, Tags: tags, SourceBytes: 1 << 20, State: importtask.Active, Phase: importtask.Waiting, CreatedAt: clock,
	}, nil
}

func (f *imports) Check(_ context.Context, r importtask.Request) error {
	f.checked = r
	return f.err
}

func (f *imports) Cancel(_ context.Context, home awsid.Home, id, _ string) (importtask.State, error) {
	if f.err != nil {
		return "", f.err
	}
	if awsid.IsImageTask(id) {
		t, err := f.ImageTask(context.Background(), home, id)
		return t.State, err
	}
	t, err := f.Task(context.Background(), home, id)
	return t.State, err
}

func (f *imports) Task(_ context.Context, home awsid.Home, id string) (importtask.Task, error) {
	for _, t := range f.tasks {
		if t.ID == id && is(t.Home(), home) {
			return t, nil
		}
	}
	return importtask.Task{}, importtask.ErrNotFound
}

func (f *imports) Tasks(_ context.Context, home awsid.Home, w importtask.Filter, after listing.Place, limit int) ([]importtask.Task, error) {
	at := func(t importtask.Task) listing.Place { return listing.At(t.CreatedAt, t.ID) }
	return cut(f.tasks, after, limit, at, func(t importtask.Task) bool {
		return is(t.Home(), home) && has(w.IDs, t.ID) && has(w.States, t.State)
	}), nil
}

// cut pages a list as stores do: at most limit of the entries that keep keeps,
// behind a place.
func cut[T any](all []T, after listing.Place, limit int, at func(T) listing.Place, keep func(T) bool) []T {
	all = slices.DeleteFunc(slices.Clone(all), func(t T) bool { return !keep(t) || at(t).Compare(after) <= 0 })
	slices.SortFunc(all, func(a, b T) int { return at(a).Compare(at(b)) })
	return all[:min(limit, len(all))]
}

// regions are those of the service under test.
var regions = wiretest.Regions("us-east-1", "us-east-1", "eu-west-1")

// is reports whether something of a test is in a home; what says no region is in the
// service's own.
func is(of, home awsid.Home) bool {
	of.Region = orDefault(of.Region, "us-east-1")
	return of == home
}

// has reports whether a field of a filter matches v.
func has[T comparable](field []T, v T) bool { return field == nil || slices.Contains(field, v) }

func (f *imports) Wait(ctx context.Context, home awsid.Home, id string) (importtask.Task, error) {
	if f.wait != nil {
		f.wait(ctx)
	}
	return f.Task(ctx, home, id)
}

func (f *imports) URL(t importtask.Task) string { return f.urls[t.ID] }

type snapshots struct {
	records []snapshot.Record
	err     error // of Delete
}

func (f *snapshots) Get(_ context.Context, region, id string) (snapshot.Record, error) {
	for _, r := range f.records {
		if r.ID == id && is(r.Home(), awsid.Home{Account: r.Account, Region: region}) {
			return r, nil
		}
	}
	return snapshot.Record{}, snapshot.ErrNotFound
}

func (f *snapshots) List(_ context.Context, home awsid.Home, w snapshot.Filter, after listing.Place, limit int) ([]snapshot.Record, error) {
	at := func(r snapshot.Record) listing.Place { return listing.At(r.StartedAt, r.ID) }
	list := cut(f.records, after, limit, at, func(r snapshot.Record) bool {
		account, known := home.Account, r.SharedWith
		if r.Account != account { // only what the account may know
			known = slices.DeleteFunc(slices.Clone(known), func(who string) bool { return who != account && who != snapshot.Everybody })
		}
		restorable := w.RestorableBy == nil || slices.ContainsFunc(append(known, r.Account), func(who string) bool { return slices.Contains(w.RestorableBy, who) })
		described := has(w.Descriptions, r.Description) || has(w.Descriptions, r.GeneratedDescription())
		return is(r.Home(), awsid.Home{Account: r.Account, Region: home.Region}) && r.UsableBy(account) && restorable && described && has(w.IDs, r.ID) && has(w.Owners, r.Account) && has(w.States, r.State)
	})
	for i := range list {
		list[i].SharedWith = nil
		if list[i].Account != home.Account {
			list[i].Tags = nil
		}
	}
	return list, nil
}

func (f *snapshots) Delete(_ context.Context, home awsid.Home, id string) error {
	if f.err != nil {
		return f.err
	}
	if r, err := f.Get(context.Background(), home.Region, id); err == nil && r.Account == home.Account && r.State == snapshot.Pending {
		return snapshot.ErrPending
	}
	n := len(f.records)
	f.records = slices.DeleteFunc(f.records, func(r snapshot.Record) bool { return r.ID == id && is(r.Home(), home) })
	if len(f.records) == n {
		return snapshot.ErrNotFound
	}
	return nil
}

// change edits a snapshot of the account and region.
func (f *snapshots) change(home awsid.Home, id string, fn func(*snapshot.Record)) error {
	for i := range f.records {
		if r := &f.records[i]; r.ID == id && is(r.Home(), home) {
			fn(r)
			return nil
		}
	}
	return snapshot.ErrNotFound
}

func (f *snapshots) Share(_ context.Context, home awsid.Home, id string, add, remove []string) error {
	full := false
	err := f.change(home, id, func(r *snapshot.Record) {
		gone := func(who string) bool { return slices.Contains(remove, who) || slices.Contains(add, who) }
		r.SharedWith = append(slices.DeleteFunc(slices.Clone(r.SharedWith), gone), add...)
		full = len(r.SharedWith) > snapshot.MaxShares
	})
	if full {
		return snapshot.ErrTooManyShares
	}
	return err
}

func (f *snapshots) Unshare(_ context.Context, home awsid.Home, id string) error {
	return f.change(home, id, func(r *snapshot.Record) { r.SharedWith = nil })
}

func (f *snapshots) SetTier(_ context.Context, home awsid.Home, id string, t snapshot.Tier) error {
	return f.change(home, id, func(r *snapshot.Record) { r.Tier, r.TierSince = t, clock })
}

// copies is the fake of snapshot.Drafts.
type copies struct {
	got       snapshot.CopyRequest
	gotImage  snapshot.ImageCopyRequest
	gotVolume snapshot.VolumeSnapshotRequest
	err       error
	snapshots *snapshots
}

func (f *copies) EncryptVolume(_ context.Context, v volume.Volume, _ kms.Caller, e *snapshot.Encryption, _ string) (source snapshot.Record, keyARN string, err error) {
	if v.Snapshot != "" {
		source, err = f.snapshots.Get(context.Background(), v.Region, v.Snapshot)
		if err == nil && !source.UsableBy(v.Account) {
			err = snapshot.ErrNotFound
		}
		if err == nil && source.State != snapshot.Completed {
			err = snapshot.ErrNotPending
		}
		keyARN = source.KMSKey
	}
	if e != nil {
		keyARN, err = keyFake{}.Resolve(context.Background(), kms.Caller{}, orDefault(e.Key, "alias/k"))
	}
	return source, keyARN, cmp.Or(err, f.err)
}

func (f *copies) OfVolume(_ context.Context, r snapshot.VolumeSnapshotRequest) (snapshot.Record, error) {
	f.gotVolume = r
	return snapshot.Record{
		ID: snapB, Account: r.Home.Account, Region: r.Home.Region, State: snapshot.Pending, Volume: r.Volume.ID, VolumeSize: r.Volume.Settings.Size,
		StartedAt: clock, Tier: snapshot.Standard, Description: r.Description, Tags: r.Tags,
	}, f.err
}

func (f *copies) CopyImage(_ context.Context, r snapshot.ImageCopyRequest) (image.Image, error) {
	f.gotImage = r
	return r.Image, f.err
}

func (f *copies) Copy(_ context.Context, r snapshot.CopyRequest) (snapshot.Record, error) {
	f.got = r
	return snapshot.Record{ID: snapB, Account: r.Home.Account, Region: r.Home.Region, Tags: r.Tags}, f.err
}

// defaults is the fake of the store of defaults, of one account in one region.
type defaults struct {
	snapshot.Defaults
	of awsid.Home
}

func (f *defaults) at(home awsid.Home) *snapshot.Defaults {
	if f.of != home {
		*f = defaults{of: home}
	}
	return &f.Defaults
}

func (f *defaults) read(home awsid.Home) snapshot.Defaults { return *f.at(home) }

type defaultsStore struct{ *defaults }

func (f defaultsStore) Defaults(_ context.Context, home awsid.Home) (snapshot.Defaults, error) {
	return f.read(home), nil
}

func (f defaultsStore) EnableEncryption(_ context.Context, home awsid.Home) error {
	f.at(home).Encrypt = true
	return nil
}

func (f defaultsStore) DisableEncryption(_ context.Context, home awsid.Home) error {
	f.at(home).Encrypt = false
	return nil
}

func (f defaultsStore) SetDefaultKey(_ context.Context, home awsid.Home, arn string) error {
	f.at(home).KMSKey = arn
	return nil
}

const (
	keyARN     = "arn:aws:kms:us-east-1:" + account + ":key/11111111-2222-3333-4444-555555555555"
	awsKeyARN  = "arn:aws:kms:us-east-1:" + account + ":key/99999999-2222-3333-4444-555555555555"
	imageA     = "ami-0123456789abcdef0"
	imageB     = "ami-0123456789abcdef1" // another account's
	imageS     = "ami-0123456789abcdef2" // another account's, shared
	volumeA    = "vol-0123456789abcdef0"
	volumeB    = "vol-0123456789abcdef1" // another account's
	unknownVol = "vol-00000000000000000"
	unknownAMI = "ami-00000000000000000"
)

// keyFake is a fake Keys with keyARN, whose alias is alias/k, and AWS's own.
type keyFake struct{}

func (keyFake) Resolve(_ context.Context, _ kms.Caller, id string) (string, error) {
	if id == keyARN || id == "alias/k" {
		return keyARN, nil
	}
	return "", &keyring.Error{Key: id, Reason: keyring.NotFound}
}

func (keyFake) IsManaged(_ context.Context, arn string) (bool, error) { return arn == awsKeyARN, nil }

// images is the fake of the store of images.
type images struct {
	list []image.Image
	err  error // of changes
}

func (f *images) Register(_ context.Context, i image.Image) error {
	for _, have := range f.list {
		if have.Name == i.Name {
			return &image.NameError{Name: i.Name, ID: have.ID}
		}
	}
	f.list = append(f.list, i)
	return nil
}

func (f *images) Deregister(_ context.Context, home awsid.Home, id string) (image.Image, error) {
	for at, i := range f.list {
		if i.ID == id && is(i.Home(), home) {
			if i.Protection != image.Unprotected || i.ProtectedUntil.After(clock) {
				return i, &image.ProtectedError{ID: id, Until: i.ProtectedUntil}
			}
			f.list = slices.Delete(slices.Clone(f.list), at, at+1)
			return i, nil
		}
	}
	return image.Image{}, image.ErrNotFound
}

func (f *images) Get(_ context.Context, region, id string) (image.Image, error) {
	for _, i := range f.list {
		if i.ID == id && is(i.Home(), awsid.Home{Account: i.Account, Region: region}) {
			i.Public = slices.Contains(i.SharedWith, image.Everybody)
			return i, nil
		}
	}
	return image.Image{}, image.ErrNotFound
}

func (f *images) List(_ context.Context, home awsid.Home, w image.Filter, after listing.Place, limit int) ([]image.Image, error) {
	at := func(i image.Image) listing.Place { return listing.At(i.Created, i.ID) }
	list := cut(f.list, after, limit, at, func(i image.Image) bool {
		known := i.SharedWith
		if i.Account != home.Account {
			known = slices.DeleteFunc(slices.Clone(known), func(who string) bool { return who != home.Account && who != image.Everybody })
		}
		shared := w.ExecutableBy == nil || slices.ContainsFunc(known, func(who string) bool { return slices.Contains(w.ExecutableBy, who) })
		offered := w.OfferedAt.IsZero() || i.Account == home.Account || i.Deprecated.IsZero() || i.Deprecated.After(w.OfferedAt)
		return is(i.Home(), awsid.Home{Account: i.Account, Region: home.Region}) && i.UsableBy(home.Account) && shared && offered &&
			has(w.IDs, i.ID) && has(w.Names, i.Name) && has(w.Owners, i.Account)
	})
	for n := range list {
		list[n].Public = slices.Contains(list[n].SharedWith, image.Everybody)
		list[n].SharedWith = nil
		if list[n].Account != home.Account {
			list[n].Tags = nil
		}
	}
	return list, nil
}

// change edits an image of the account and region.
func (f *images) change(home awsid.Home, id string, fn func(*image.Image)) error {
	for n := range f.list {
		if i := &f.list[n]; i.ID == id && is(i.Home(), home) {
			fn(i)
			return f.err
		}
	}
	return image.ErrNotFound
}

func (f *images) Modify(_ context.Context, home awsid.Home, id string, a image.Attributes) error {
	return f.change(home, id, func(i *image.Image) {
		if a.Description != nil {
			i.Description = *a.Description
		}
		if a.ImdsSupport != nil {
			i.ImdsSupport = *a.ImdsSupport
		}
	})
}

func (f *images) Deprecate(_ context.Context, home awsid.Home, id string, at time.Time) error {
	return f.change(home, id, func(i *image.Image) { i.Deprecated = at })
}

func (f *images) Protect(_ context.Context, home awsid.Home, id string, p image.Protection) (now image.Image, err error) {
	err = f.change(home, id, func(i *image.Image) {
		if p == image.Unprotected && i.Protection == image.Cooldown {
			i.ProtectedUntil = clock.Add(image.CooldownFor)
		}
		i.Protection = p
		now = *i
	})
	return now, err
}

func (f *images) Share(_ context.Context, home awsid.Home, id string, add, remove []string) error {
	return f.change(home, id, func(i *image.Image) {
		gone := func(who string) bool { return slices.Contains(remove, who) || slices.Contains(add, who) }
		i.SharedWith = append(slices.DeleteFunc(slices.Clone(i.SharedWith), gone), add...)
	})
}

func (f *images) Unshare(_ context.Context, home awsid.Home, id string) error {
	return f.change(home, id, func(i *image.Image) { i.SharedWith = nil })
}

// volumes is the fake of the store of volumes.
type volumes struct {
	list []volume.Volume
	err  error // of changes
}

func (f *volumes) Create(_ context.Context, v volume.Volume) (volume.Volume, bool, error) {
	for _, have := range f.list {
		if v.Token != "" && have.Token == v.Token {
			return have, false, nil
		}
	}
	if f.err == nil {
		f.list = append(f.list, v)
	}
	return v, true, f.err
}

func (f *volumes) List(_ context.Context, home awsid.Home, w volume.Filter, after listing.Place, limit int) ([]volume.Volume, error) {
	at := func(v volume.Volume) listing.Place { return listing.At(v.Created, v.ID) }
	return cut(f.list, after, limit, at, func(v volume.Volume) bool {
		return is(v.Home(), home) && has(w.IDs, v.ID) && has(w.Tokens, v.Token)
	}), nil
}

func (f *volumes) Modify(_ context.Context, home awsid.Home, id string, m volume.Modification) (volume.Volume, error) {
	for n := range f.list {
		if v := &f.list[n]; v.ID == id && is(v.Home(), home) && f.err == nil {
			if m.To.Size < m.From.Size {
				return *v, volume.ErrShrinks
			}
			v.Settings, v.Modified = m.To, &m
			return *v, nil
		}
	}
	return volume.Volume{}, cmp.Or(f.err, volume.ErrNotFound)
}

func (f *volumes) Delete(_ context.Context, home awsid.Home, id string) error {
	n := len(f.list)
	f.list = slices.DeleteFunc(slices.Clone(f.list), func(v volume.Volume) bool { return v.ID == id && is(v.Home(), home) })
	if len(f.list) == n {
		return volume.ErrNotFound
	}
	return nil
}

// tags is the fake of the tag store; it knows snapA and taskA, and lists what tasks
// and snapshots have besides.
type tags struct {
	sets map[string]tag.Set
	*fixture
}

func (f *tags) all() map[string]tag.Set {
	sets := maps.Clone(f.sets)
	for _, t := range f.imports.tasks {
		sets[t.ID] = append(slices.Clone(sets[t.ID]), t.Tags...)
	}
	for _, t := range f.imports.imageTasks {
		sets[t.ID] = append(slices.Clone(sets[t.ID]), t.Tags...)
	}
	for _, r := range f.snapshots.records {
		if r.Account == account {
			sets[r.ID] = append(slices.Clone(sets[r.ID]), r.Tags...)
		}
	}
	return sets
}

func (f *tags) Add(_ context.Context, _ awsid.Home, resources []string, add []tag.Tag) error {
	for _, id := range resources {
		set, ok := f.sets[id]
		if !ok {
			return &tag.NoResourceError{ID: id}
		}
		merged, err := set.Merge(add)
		if err != nil {
			return err
		}
		f.sets[id] = merged
	}
	return nil
}

func (f *tags) Remove(_ context.Context, _ awsid.Home, resources []string, del []tag.Deletion) error {
	for _, id := range resources {
		f.sets[id] = slices.DeleteFunc(f.sets[id], func(t tag.Tag) bool {
			return len(del) == 0 || slices.ContainsFunc(del, func(d tag.Deletion) bool {
				return d.Key == t.Key && (d.Value == nil || *d.Value == t.Value)
			})
		})
	}
	return nil
}

func (f *tags) List(_ context.Context, _ awsid.Home, w tag.Filter, after tag.Place, limit int) ([]tag.Tagged, error) {
	var all []tag.Tagged
	for id, set := range f.all() {
		kind := "snapshot"
		switch {
		case awsid.IsTask(id):
			kind = taskType
		case awsid.IsImageTask(id):
			kind = imageTaskType
		}
		for _, t := range set {
			all = append(all, tag.Tagged{Resource: tag.Resource{ID: id, Type: kind}, Tag: t})
		}
	}
	slices.SortFunc(all, func(a, b tag.Tagged) int {
		return cmp.Or(strings.Compare(a.Resource.ID, b.Resource.ID), strings.Compare(a.Tag.Key, b.Tag.Key))
	})
	all = slices.DeleteFunc(all, func(t tag.Tagged) bool {
		at := tag.Place{Resource: t.Resource.ID, Key: t.Tag.Key}
		return at.Compare(after) <= 0 || !has(w.Resources, t.Resource.ID) || w.Tag != nil && *w.Tag != t.Tag
	})
	return all[:min(limit, len(all))], nil
}

type fixture struct {
	*API
	imports   *imports
	snapshots *snapshots
	copies    *copies
	images    *images
	volumes   *volumes
	tags      *tags
	denied    string // the one action that the caller may not do
	header    http.Header
	log       *bytes.Buffer
}

func newFixture(change func(*Options)) *fixture {
	f := &fixture{
		imports: &imports{urls: map[string]string{}}, snapshots: &snapshots{}, copies: &copies{}, images: &images{}, volumes: &volumes{},
		tags: &tags{sets: map[string]tag.Set{snapA: nil, taskA: nil}}, log: &bytes.Buffer{},
	}
	o := Options{
		Imports: f.imports, Tasks: f.imports, ImageImports: f.imports, ImageTasks: f.imports, Snapshots: f.snapshots, Changes: f.snapshots, Copies: f.copies, Images: f.images, ImageChanges: f.images, Volumes: f.volumes, Tags: f.tags,
		Defaults: defaultsStore{&defaults{}}, Keys: keyFake{}, Regions: regions, IDs: awsid.Source{Rand: func(b []byte) { clear(b) }},
		Log: slog.New(slog.NewTextHandler(f.log, nil)), Now: func() time.Time { return clock }, TokenKey: []byte("key"),
	}
	if change != nil {
		change(&o)
	}
	f.API, f.tags.fixture, f.copies.snapshots = New(o), f, f.snapshots
	return f
}

const userARN = "arn:aws:iam::" + account + ":user/ann"

// principal may do everything but what f.denied says.
func (f *fixture) principal() iam.Principal {
	statements := `{"Effect":"Allow","Action":"*","Resource":"*"}`
	if f.denied != "" {
		statements = `{"Effect":"Allow","NotAction":"` + f.denied + `","Resource":"*"}`
	}
	return bound(statements)
}

// bound is a user with a policy of the statements.
func bound(statements string) iam.Principal {
	document, err := policy.Parse(`{"Version":"2012-10-17","Statement":[`+statements+`]}`, policy.Identity)
	if err != nil {
		panic(err)
	}
	return iam.Principal{Account: account, ARN: userARN, Kind: iam.User, Name: "ann"}.WithPolicies(document)
}

// do sends a request as a user of the account, past the front chain.
func (f *fixture) do(action string, params ...string) *httptest.ResponseRecorder {
	return f.doAs(f.principal(), action, params...)
}

func (f *fixture) doAs(who iam.Principal, action string, params ...string) *httptest.ResponseRecorder {
	return f.doIn("us-east-1", who, action, params...)
}

// doIn sends a request in a region.
func (f *fixture) doIn(region string, who iam.Principal, action string, params ...string) *httptest.ResponseRecorder {
	form := url.Values{"Action": {action}, "Version": {"2016-11-15"}}
	for _, p := range params {
		name, value, given := strings.Cut(p, "=")
		form.Set(name, value)
		if !given { // removes one
			form.Del(name)
		}
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "http://disk.example:4580/", nil)
	maps.Copy(r.Header, f.header)
	f.ServeAWS(w, r, &awshttp.Call{
		RequestID: "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", Region: region, Service: awshttp.EC2, Form: form,
		Principal: who, Origin: iam.Origin{Time: clock, SourceIP: "192.0.2.1", Region: region},
	})
	return w
}

// reply is the part of any answer that tests look at.
type reply struct {
	Code      string       `xml:"Errors>Error>Code"`
	Message   string       `xml:"Errors>Error>Message"`
	Tasks     []taskAnswer `xml:"importSnapshotTaskSet>item"`
	ImageTask []struct {
		ID string `xml:"importTaskId"`
	} `xml:"importImageTaskSet>item"`
	Snapshots []replySnap    `xml:"snapshotSet>item"`
	Tags      []taggedAnswer `xml:"tagSet>item"`
	NextToken *string        `xml:"nextToken"`
	Previous  string         `xml:"previousState"`
	State     string         `xml:"state"`
	Return    string         `xml:"return"`
	Key       string         `xml:"kmsKeyId"`
	Encrypt   bool           `xml:"ebsEncryptionByDefault"`
	Image     string         `xml:"imageId"`
	Images    []replyImage   `xml:"imagesSet>item"`
	Volume    string         `xml:"volumeId"`
	Status    string         `xml:"status"`
	Snapshot  string         `xml:"snapshotId"`
	Volumes   []replyVolume  `xml:"volumeSet>item"`
	Statuses  []replyVolume  `xml:"volumeStatusSet>item"`
	Modified  []replyVolume  `xml:"volumeModificationSet>item"`
	Tiers     []replySnap    `xml:"snapshotTierStatusSet>item"`
	Shares    []struct {
		UserID string `xml:"userId"`
		Group  string `xml:"group"`
	} `xml:"createVolumePermission>item"`
}

type replyVolume struct {
	ID   string `xml:"volumeId"`
	Iops int64  `xml:"iops"`
}

type replyImage struct {
	ID         string `xml:"imageId"`
	Public     bool   `xml:"isPublic"`
	Deprecated string `xml:"deprecationTime"`
	Protection string `xml:"deregistrationProtection"`
	Tags       *struct {
		Item []tagAnswer `xml:"item"`
	} `xml:"tagSet"`
}

type replySnap struct {
	Owner string `xml:"ownerId"`
	Tags  []struct {
		Key string `xml:"key"`
	} `xml:"tagSet>item"`
	ID          string `xml:"snapshotId"`
	Description string `xml:"description"`
	Progress    string `xml:"progress"`
}

func parse(t *testing.T, w *httptest.ResponseRecorder) reply {
	t.Helper()
	var r reply
	if err := xml.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return r
}

// ok sends a request that must succeed.
func (f *fixture) ok(t *testing.T, action string, params ...string) reply {
	t.Helper()
	w := f.do(action, params...)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: got %d %s", action, w.Code, w.Body)
	}
	return parse(t, w)
}
