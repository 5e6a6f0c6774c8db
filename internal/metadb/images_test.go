package metadb

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

func TestImages(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		ctx, images := t.Context(), db.Images()
		own, theirs, pending := db.ids.Snapshot(), db.ids.Snapshot(), db.ids.Snapshot()
		addRecord(t, db, snapshot.Record{ID: own, Account: "a", Region: region, State: snapshot.Completed})
		addRecord(t, db, snapshot.Record{ID: theirs, Account: "b", Region: region, State: snapshot.Completed})
		addRecord(t, db, snapshot.Record{ID: pending, Account: "a", Region: region, State: snapshot.Pending})
		img := image.Image{
			ID: db.ids.Image(), Account: "a", Region: region, Name: "web", Created: time.Unix(1, 0).UTC(), Tags: tag.Set{{Key: "k", Value: "v"}},
			Devices: []image.Device{{Name: "/dev/a", Snapshot: own, VolumeSize: 1}, {Name: "/dev/b", Snapshot: own}, {Name: "/dev/c"}},
			State:   image.Available,
		}
		if err := images.Register(ctx, img); err != nil {
			t.Fatal(err)
		}
		list, err := images.List(ctx, of("a"), image.Filter{}, listing.Place{}, 10)
		if diff := cmp.Diff([]image.Image{img}, list); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		other := img
		other.ID, other.Tags = db.ids.Image(), nil
		var taken *image.NameError
		if err := images.Register(ctx, other); !errors.As(err, &taken) || taken.ID != img.ID {
			t.Errorf("a name twice: got %v", err)
		}
		for _, id := range []string{theirs, pending, db.ids.Snapshot()} {
			other.Name, other.Devices = "other", []image.Device{{Name: "/dev/a", Snapshot: id}}
			var none *image.NoSnapshotError
			if err := images.Register(ctx, other); !errors.As(err, &none) || none.ID != id {
				t.Errorf("of %s: got %v", id, err)
			}
		}
		var used *snapshot.InUseError
		if err := db.Snapshots().Delete(ctx, of("a"), own); !errors.As(err, &used) || used.Image != img.ID {
			t.Errorf("delete what is in use: got %v", err)
		}
		if err := db.Snapshots().Share(ctx, of("a"), own, []string{"b"}, nil); err != nil {
			t.Fatal(err)
		}
		foreign := image.Image{ID: db.ids.Image(), Account: "b", Region: region, Name: "web", Devices: img.Devices}
		if err := images.Register(ctx, foreign); err != nil {
			t.Fatal(err)
		}
		if err := db.Tags().Add(ctx, of("a"), []string{img.ID}, []tag.Tag{{Key: "l"}}); err != nil {
			t.Error(err)
		}
		if _, err := images.Deregister(ctx, of("b"), img.ID); !errors.Is(err, image.ErrNotFound) {
			t.Errorf("by another: got %v", err)
		}
		if gone, err := images.Deregister(ctx, of("a"), img.ID); err != nil || gone.Name != "web" {
			t.Errorf("got %+v, %v", gone, err)
		}
		if err := db.Snapshots().Delete(ctx, of("a"), own); err != nil { // another account's image does not keep it
			t.Error(err)
		}
		if tags, err := db.Tags().List(ctx, of("a"), tag.Filter{}, tag.Place{}, 10); err != nil || len(tags) != 0 {
			t.Errorf("left: %v, %v", tags, err)
		}
	})
}

// TestRegionsOfImages: an image is seen in its own region, is made of snapshots of that
// region, and its name is taken there alone.
func TestRegionsOfImages(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		ctx, images, elsewhere := t.Context(), db.Images(), awsid.Home{Account: "a", Region: "eu-west-1"}
		own := db.ids.Snapshot()
		addRecord(t, db, snapshot.Record{ID: own, Account: "a", Region: region, State: snapshot.Completed})
		here := image.Image{ID: db.ids.Image(), Account: "a", Region: region, Name: "web"}
		there := image.Image{ID: db.ids.Image(), Account: "a", Region: elsewhere.Region, Name: "web"}
		for _, i := range []image.Image{here, there} {
			if err := images.Register(ctx, i); err != nil {
				t.Fatal(err)
			}
			for name, f := range map[string]image.Filter{"all": {}, "by id": {IDs: []string{here.ID, there.ID}}, "by name": {Names: []string{"web"}}} {
				if list, err := images.List(ctx, i.Home(), f, listing.Place{}, 9); err != nil || len(list) != 1 || list[0].ID != i.ID || list[0].Region != i.Region {
					t.Errorf("%s in %s: got %+v, %v", name, i.Region, list, err)
				}
			}
		}
		other := image.Image{ID: db.ids.Image(), Account: "a", Region: elsewhere.Region, Name: "other", Devices: []image.Device{{Name: "/dev/a", Snapshot: own}}}
		var none *image.NoSnapshotError
		if err := images.Register(ctx, other); !errors.As(err, &none) || none.ID != own {
			t.Errorf("of a snapshot of another region: got %v", err)
		}
		if _, err := images.Deregister(ctx, elsewhere, here.ID); !errors.Is(err, image.ErrNotFound) {
			t.Errorf("from another region: got %v", err)
		}
	})
}

func TestListImages(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		names := map[string]string{}
		for i, name := range []string{"c", "a", "b"} {
			img := image.Image{ID: db.ids.Image(), Account: "a", Region: region, Name: name, Created: time.Unix(int64(i), 0), Tags: tag.Set{{Key: "k", Value: name}}}
			if err := db.Images().Register(t.Context(), img); err != nil {
				t.Fatal(err)
			}
			names[name] = img.ID
		}
		if err := db.Images().Register(t.Context(), image.Image{ID: db.ids.Image(), Account: "b", Region: region, Name: "c"}); err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			name string
			f    image.Filter
			want string
		}{
			{"all", image.Filter{}, "cab"},
			{"by id", image.Filter{IDs: []string{names["b"], names["c"], "ami-00000000000000000"}}, "cb"},
			{"by name", image.Filter{Names: []string{"b", "a", "x"}}, "ab"},
			{"by id and name", image.Filter{IDs: []string{names["b"], names["c"]}, Names: []string{"a", "b"}}, "b"},
			{"by no name", image.Filter{Names: []string{}}, ""},
		}
		for _, tt := range tests {
			for limit := 1; limit < 5; limit++ {
				got := ""
				for after := (listing.Place{}); ; {
					list, err := db.Images().List(t.Context(), of("a"), tt.f, after, limit)
					if err != nil {
						t.Fatal(err)
					}
					for _, i := range list {
						got += i.Name
						after = listing.At(i.Created, i.ID)
						if v, _ := i.Tags.Get("k"); v != i.Name {
							t.Errorf("%s has tags %v", i.Name, i.Tags)
						}
					}
					if len(list) < limit {
						break
					}
				}
				if got != tt.want {
					t.Errorf("%s in pages of %d: got %q, want %q", tt.name, limit, got, tt.want)
				}
			}
		}
		if n, err := db.Images().Owned(t.Context(), "a"); err != nil || n != 3 {
			t.Errorf("owns %d, %v, want 3", n, err)
		}
	})
}

func TestDefaults(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		s := fresh(t).Snapshots()
		want := func(account, region string, want snapshot.Defaults) {
			t.Helper()
			if got, err := s.Defaults(t.Context(), awsid.Home{Account: account, Region: region}); err != nil || got != want {
				t.Errorf("%s in %s: got %+v, %v", account, region, got, err)
			}
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		want("a", "r", snapshot.Defaults{})
		must(s.EnableEncryption(t.Context(), awsid.Home{Account: "a", Region: "r"}))
		must(s.SetDefaultKey(t.Context(), awsid.Home{Account: "a", Region: "r"}, "arn"))
		want("a", "r", snapshot.Defaults{Encrypt: true, KMSKey: "arn"})
		want("a", "q", snapshot.Defaults{})
		want("b", "r", snapshot.Defaults{})
		must(s.DisableEncryption(t.Context(), awsid.Home{Account: "a", Region: "r"}))
		must(s.SetDefaultKey(t.Context(), awsid.Home{Account: "b", Region: "r"}, "other"))
		want("a", "r", snapshot.Defaults{KMSKey: "arn"})
		want("b", "r", snapshot.Defaults{KMSKey: "other"})
		must(s.SetDefaultKey(t.Context(), awsid.Home{Account: "a", Region: "r"}, ""))
		want("a", "r", snapshot.Defaults{})
	})
}

func TestSnapshotTags(t *testing.T) {
	db := open(t, t.TempDir()+"/m.db")
	id := db.ids.Task()
	tags := tag.Set{{Key: "k", Value: "v"}}
	if _, _, err := db.Tasks().Create(t.Context(), importtask.Task{ID: id, Account: "a", Region: region, SnapshotTags: tags}, 1); err != nil {
		t.Fatal(err)
	}
	got, err := db.Tasks().Get(t.Context(), of("a"), id)
	if diff := cmp.Diff(tags, got.SnapshotTags); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if l, ok, err := db.Work().Claim(t.Context(), work.Claimer{Owner: "n", Kinds: []work.Kind{work.Plan}}, time.Now()); !ok || l.Task != id {
		t.Errorf("got %+v, %v", l, err)
	}
}
