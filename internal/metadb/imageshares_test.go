package metadb

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

// addImages registers an image for each name, which begins with its account, and returns
// their ids by name.
func addImages(t *testing.T, db *DB, names ...string) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for n, name := range names {
		i := image.Image{ID: db.ids.Image(), Account: name[:1], Region: region, Name: name, Created: time.Unix(int64(n+1), 0).UTC(), Tags: tag.Set{{Key: "k", Value: name}}}
		if err := db.Images().Register(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		ids[name] = i.ID
	}
	return ids
}

// TestSharedImages: an image is found by whom it is shared with, in pages of any size, and
// by nobody else.
func TestSharedImages(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		ctx, images := t.Context(), db.Images()
		ids := addImages(t, db, "b1", "a1", "b2", "a2", "b3", "c1")
		for name, with := range map[string][]string{"b1": {"a"}, "b2": {image.Everybody, "a"}, "a1": {"b", image.Everybody}, "c1": {"d"}} {
			if err := images.Share(ctx, of(name[:1]), ids[name], with, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := images.Deprecate(ctx, of("b"), ids["b1"], time.Unix(100, 0)); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name string
			f    image.Filter
			want string
		}{
			{"all", image.Filter{}, "b1 a1* b2* a2"},
			{"own", image.Filter{Owners: []string{"a"}}, "a1* a2"},
			{"of another", image.Filter{Owners: []string{"b"}}, "b1 b2*"},
			{"of nobody", image.Filter{Owners: []string{}}, ""},
			{"by id", image.Filter{IDs: []string{ids["a2"], ids["b1"], ids["b3"], ids["c1"]}}, "b1 a2"},
			{"by name", image.Filter{Names: []string{"a2", "b2", "b3"}}, "b2* a2"},
			{"shared with oneself", image.Filter{ExecutableBy: []string{"a"}}, "b1 b2*"},
			{"public", image.Filter{ExecutableBy: []string{image.Everybody}}, "a1* b2*"},
			{"shared with another", image.Filter{ExecutableBy: []string{"b"}}, "a1*"},
			{"shared with a third, by another", image.Filter{ExecutableBy: []string{"d"}}, ""},
			{"shared with nobody", image.Filter{ExecutableBy: []string{}}, ""},
			{"offered", image.Filter{OfferedAt: time.Unix(100, 0)}, "a1* b2* a2"},
			{"still offered", image.Filter{OfferedAt: time.Unix(99, 0)}, "b1 a1* b2* a2"},
		} {
			for limit := 1; limit < 6; limit++ {
				var got []string
				for after := (listing.Place{}); ; {
					list, err := images.List(ctx, of("a"), c.f, after, limit)
					if err != nil {
						t.Fatal(err)
					}
					for _, i := range list {
						after = listing.At(i.Created, i.ID)
						name := i.Name
						if i.Public {
							name += "*"
						}
						got = append(got, name)
						if (len(i.Tags) > 0) != (i.Account == "a") || len(i.SharedWith) > 0 {
							t.Errorf("%s: %s shows tags %v and shares %v", c.name, i.Name, i.Tags, i.SharedWith)
						}
					}
					if len(list) < limit {
						break
					}
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("%s in pages of %d: got %v, want %s", c.name, limit, got, c.want)
				}
			}
		}
		if list, err := images.List(ctx, awsid.Home{Account: "a", Region: "eu-west-1"}, image.Filter{}, listing.Place{}, 9); err != nil || len(list) != 0 {
			t.Errorf("in another region: %v, %v", list, err)
		}
		if i, err := images.Get(ctx, region, ids["b2"]); err != nil || !slices.Equal(i.SharedWith, []string{"a", image.Everybody}) || !i.Public || !i.UsableBy("z") {
			t.Errorf("got %+v, %v", i, err)
		}
		if _, err := images.Get(ctx, "eu-west-1", ids["b2"]); !errors.Is(err, image.ErrNotFound) {
			t.Errorf("from another region: %v", err)
		}
	})
}

// TestChangesOfImages: only the owner changes an image, in its region.
func TestChangesOfImages(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		at := time.Unix(1e9, 0).UTC()
		db.now = func() time.Time { return at }
		ctx, images := t.Context(), db.Images()
		id := addImages(t, db, "a1")["a1"]
		text, imds := "new", "v2.0"
		for name, change := range map[string]func(home awsid.Home, id string) error{
			"modify": func(h awsid.Home, id string) error {
				return images.Modify(ctx, h, id, image.Attributes{Description: &text})
			},
			"deprecate": func(h awsid.Home, id string) error { return images.Deprecate(ctx, h, id, at) },
			"protect":   func(h awsid.Home, id string) error { _, err := images.Protect(ctx, h, id, image.Protected); return err },
			"share":     func(h awsid.Home, id string) error { return images.Share(ctx, h, id, []string{"z"}, nil) },
			"unshare":   func(h awsid.Home, id string) error { return images.Unshare(ctx, h, id) },
		} {
			for _, h := range []awsid.Home{of("b"), awsid.Home{Account: "a", Region: "eu-west-1"}} {
				if err := change(h, id); !errors.Is(err, image.ErrNotFound) {
					t.Errorf("%s by %v: got %v", name, h, err)
				}
			}
			if err := change(of("a"), db.ids.Image()); !errors.Is(err, image.ErrNotFound) {
				t.Errorf("%s what is not there: got %v", name, err)
			}
		}
		before, err := images.Get(ctx, region, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			images.Modify(ctx, of("a"), id, image.Attributes{Description: &text}), images.Modify(ctx, of("a"), id, image.Attributes{ImdsSupport: &imds}),
			images.Deprecate(ctx, of("a"), id, at), images.Share(ctx, of("a"), id, []string{"z", "y", "z"}, nil), images.Share(ctx, of("a"), id, []string{"y", "x"}, []string{"z", "w"}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		want := before
		want.Description, want.ImdsSupport, want.Deprecated, want.SharedWith = text, imds, at, []string{"x", "y"}
		if got, err := images.Get(ctx, region, id); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%v (-want +got):\n%s", err, cmp.Diff(want, got))
		}
		var many []string
		for n := range image.MaxShares {
			many = append(many, fmt.Sprintf("%012d", n))
		}
		if err := images.Share(ctx, of("a"), id, many, []string{"x"}); !errors.Is(err, image.ErrTooManyShares) {
			t.Errorf("too many shares: got %v", err)
		}
		if got, err := images.Get(ctx, region, id); err != nil || len(got.SharedWith) != 2 {
			t.Errorf("afterwards: %v, %v", got.SharedWith, err)
		}
		if err := images.Unshare(ctx, of("a"), id); err != nil {
			t.Fatal(err)
		}
		if err := images.Deprecate(ctx, of("a"), id, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if got, err := images.Get(ctx, region, id); err != nil || len(got.SharedWith) != 0 || !got.Deprecated.IsZero() {
			t.Errorf("in the end: %+v, %v", got, err)
		}
	})
}

// TestProtectedImages: protection outlasts its end by the cooldown, if it has one.
func TestProtectedImages(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		at := time.Unix(1e9, 0).UTC()
		db.now = func() time.Time { return at }
		ctx, images := t.Context(), db.Images()
		ids := addImages(t, db, "a1", "a2")
		protect := func(name string, p image.Protection, until time.Time) {
			t.Helper()
			if i, err := images.Protect(ctx, of("a"), ids[name], p); err != nil || i.Protection != p || !i.ProtectedUntil.Equal(until) {
				t.Errorf("%s, %q: got %q until %v, %v", name, p, i.Protection, i.ProtectedUntil, err)
			}
		}
		kept := func(name string) {
			t.Helper()
			var e *image.ProtectedError
			if _, err := images.Deregister(ctx, of("a"), ids[name]); !errors.As(err, &e) || e.ID != ids[name] {
				t.Errorf("deregister %s: got %v", name, err)
			}
			if _, err := images.Get(ctx, region, ids[name]); err != nil {
				t.Error(err)
			}
		}
		gone := func(name string) {
			t.Helper()
			if _, err := images.Deregister(ctx, of("a"), ids[name]); err != nil {
				t.Error(err)
			}
		}
		protect("a1", image.Protected, time.Time{})
		kept("a1")
		protect("a1", image.Unprotected, time.Time{})
		gone("a1")

		protect("a2", image.Cooldown, time.Time{})
		kept("a2")
		until := at.Add(image.CooldownFor)
		protect("a2", image.Unprotected, until)
		at = at.Add(time.Hour)
		protect("a2", image.Unprotected, until) // a second time moves nothing
		kept("a2")
		protect("a2", image.Cooldown, time.Time{}) // and it can be protected anew
		until = at.Add(image.CooldownFor)
		protect("a2", image.Unprotected, until)
		at = until
		gone("a2")
	})
}

// TestCopiesOfImages: an image and the copies that it is made of are there together, once
// for a token; the image is what its snapshots are.
func TestCopiesOfImages(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		ctx, images := t.Context(), db.Images()
		source := db.ids.Snapshot()
		addRecord(t, db, snapshot.Record{ID: source, Account: "a", Region: region, State: snapshot.Completed, Root: blockstore.File{ID: 7}})
		plan := func(name, token string) (image.Image, []snapshot.BasedDraft) {
			i := image.Image{ID: db.ids.Image(), Account: "a", Region: region, Name: name, SourceImage: "ami-1", SourceRegion: region, Token: token, Digest: "digest of " + name, Created: time.Unix(1, 0).UTC()}
			var copies []snapshot.BasedDraft
			for range 2 {
				d := snapshot.Draft{Want: &snapshot.Expected{Blocks: -1}, Record: snapshot.Record{ID: db.ids.Snapshot(), Account: "a", Region: region, State: snapshot.Pending, VolumeSize: 1, StartedAt: time.Unix(1, 0)}}
				copies = append(copies, snapshot.BasedDraft{Draft: d, Base: source})
				i.Devices = append(i.Devices, image.Device{Name: "/dev/" + d.ID, Snapshot: d.ID})
			}
			return i, copies
		}
		i, copies := plan("one", "once")
		made, created, err := images.StartCopy(ctx, i, copies, 20)
		if err != nil || !created || made.ID != i.ID || made.State != image.Pending {
			t.Fatalf("got %+v, %v, %v", made, created, err)
		}
		if again, created, err := images.StartCopy(ctx, image.Image{ID: db.ids.Image(), Account: "a", Region: region, Name: "two", Token: "once"}, copies, 20); err != nil || created || again.ID != i.ID || again.Digest != i.Digest {
			t.Errorf("with the same token: %+v, %v, %v", again, created, err)
		}
		if found, err := images.ImageByToken(ctx, of("a"), "once"); err != nil || found.ID != i.ID {
			t.Errorf("by token: %+v, %v", found, err)
		}
		for _, home := range []awsid.Home{of("b"), awsid.Home{Account: "a", Region: "eu-west-1"}} {
			if _, err := images.ImageByToken(ctx, home, "once"); !errors.Is(err, image.ErrNotFound) {
				t.Errorf("by token in %v: %v", home, err)
			}
		}
		var used *snapshot.InUseError
		if err := db.Snapshots().Delete(ctx, of("a"), copies[0].Draft.ID); !errors.As(err, &used) {
			t.Errorf("delete a copy that the image needs: %v", err)
		}

		var taken *image.NameError
		var none []snapshot.BasedDraft
		for name, c := range map[string]struct {
			name, base string
			limit      int
			want       func(error) bool
		}{
			"name taken": {"one", source, 20, func(err error) bool { return errors.As(err, &taken) }},
			"no base":    {"three", "snap-0", 20, func(err error) bool { return errors.Is(err, snapshot.ErrNotFound) }},
			"too many":   {"three", source, 3, func(err error) bool { return errors.Is(err, snapshot.ErrTooMany) }},
		} {
			i, copies := plan(c.name, "")
			copies[1].Base = c.base
			if _, _, err := images.StartCopy(ctx, i, copies, c.limit); !c.want(err) {
				t.Errorf("%s: got %v", name, err)
			}
			none = append(none, copies...)
			if _, err := images.Get(ctx, region, i.ID); !errors.Is(err, image.ErrNotFound) {
				t.Errorf("%s: the image is there: %v", name, err)
			}
		}
		for _, c := range none {
			if _, err := db.Snapshots().Get(ctx, region, c.Draft.ID); !errors.Is(err, snapshot.ErrNotFound) {
				t.Errorf("a copy of no image is there: %v", err)
			}
		}
		states := func(want image.State, reason string) {
			t.Helper()
			got, err := images.Get(ctx, region, i.ID)
			list, lerr := images.List(ctx, of("a"), image.Filter{}, listing.Place{}, 9)
			if err != nil || lerr != nil || got.State != want || got.Reason != reason || len(list) != 1 || list[0].State != want {
				t.Errorf("got %q, %q, %v; %+v, %v; want %q", got.State, got.Reason, err, list, lerr, want)
			}
		}
		set := func(id string, state snapshot.State, message string) {
			must(t, db, func(q querier) error {
				_, err := exec(ctx, q, `UPDATE snapshots SET state = $1, message = $2 WHERE id = $3`, state, message, id)
				return err
			})
		}
		set(copies[0].Draft.ID, snapshot.Completed, "")
		states(image.Pending, "")
		set(copies[1].Draft.ID, snapshot.Completed, "")
		states(image.Available, "")
		set(copies[0].Draft.ID, snapshot.Failed, "why")
		set(copies[1].Draft.ID, snapshot.Pending, "")
		states(image.Failed, "why")
		if n, err := db.count(ctx, "count", `SELECT COUNT(*) FROM units WHERE kind = $1`, work.Complete); err != nil || n != 2 {
			t.Errorf("%d units to settle the copies, %v", n, err)
		}
	})
}
