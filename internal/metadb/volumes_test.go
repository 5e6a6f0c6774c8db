package metadb

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/volume"
)

// elsewhere is another region of account "a".
func elsewhere() awsid.Home { return awsid.Home{Account: "a", Region: "eu-west-1"} }

// named is a volume of an account, with settings and tags.
func (db *DB) named(account, token string, created int64) volume.Volume {
	return volume.Volume{
		ID: db.ids.Volume(), Account: account, Region: region, Zone: region + "a", Settings: volume.Settings{Size: 2, Type: "gp3", Iops: 3000, Throughput: 125},
		KMSKey: "arn", Created: time.Unix(created, 0).UTC(), Token: token, Digest: "digest of " + token, Tags: tag.Set{{Key: "k", Value: token}},
	}
}

func TestVolumes(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		ctx, volumes := t.Context(), db.Volumes()
		first := db.named("a", "once", 1)
		if stored, created, err := volumes.Create(ctx, first); err != nil || !created || cmp.Diff(first, stored) != "" {
			t.Fatalf("%v, %v:\n%s", created, err, cmp.Diff(first, stored))
		}
		again := db.named("a", "once", 2)
		again.Digest = "another"
		if stored, created, err := volumes.Create(ctx, again); err != nil || created || cmp.Diff(first, stored) != "" {
			t.Errorf("with the same token: %v, %v:\n%s", created, err, cmp.Diff(first, stored))
		}
		for _, v := range []volume.Volume{db.named("a", "", 3), db.named("a", "", 3), db.named("b", "once", 4)} {
			if _, created, err := volumes.Create(ctx, v); err != nil || !created {
				t.Fatalf("%v, %v", created, err)
			}
		}
		there := db.named("a", "once", 5)
		there.Region = elsewhere().Region
		if _, created, err := volumes.Create(ctx, there); err != nil || !created {
			t.Fatalf("in another region: %v, %v", created, err)
		}
		for name, c := range map[string]struct {
			home awsid.Home
			f    volume.Filter
			want int
		}{
			"all":                {of("a"), volume.Filter{}, 3},
			"of another":         {of("b"), volume.Filter{}, 1},
			"in another region":  {elsewhere(), volume.Filter{}, 1},
			"by id":              {of("a"), volume.Filter{IDs: []string{first.ID, there.ID, db.ids.Volume()}}, 1},
			"by token":           {of("a"), volume.Filter{Tokens: []string{"once", "twice"}}, 1},
			"by id and token":    {of("a"), volume.Filter{IDs: []string{first.ID}, Tokens: []string{"twice"}}, 0},
			"by no id":           {of("a"), volume.Filter{IDs: []string{}}, 0},
			"of nobody, by id":   {of("c"), volume.Filter{IDs: []string{first.ID}}, 0},
			"in no region by id": {awsid.Home{Account: "a"}, volume.Filter{IDs: []string{first.ID}}, 0},
		} {
			for limit := 1; limit < 5; limit++ {
				var got []string
				for after := (listing.Place{}); ; {
					list, err := volumes.List(ctx, c.home, c.f, after, limit)
					if err != nil {
						t.Fatal(err)
					}
					for _, v := range list {
						after = listing.At(v.Created, v.ID)
						got = append(got, v.ID)
					}
					if len(list) < limit {
						break
					}
				}
				if len(slices.Compact(got)) != c.want {
					t.Errorf("%s in pages of %d: got %v, want %d", name, limit, got, c.want)
				}
			}
		}
		if n, err := volumes.Owned(ctx, "a"); err != nil || n != 4 {
			t.Errorf("owns %d, %v", n, err)
		}

		to := volume.Settings{Size: 3, Type: "io2", Iops: 100, MultiAttach: true}
		m := volume.Modification{From: first.Settings, To: to, At: time.Unix(9, 0).UTC()}
		want := first
		want.Settings, want.Modified = to, &m
		if got, err := volumes.Modify(ctx, of("a"), first.ID, m); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%v:\n%s", err, cmp.Diff(want, got))
		}
		if list, err := volumes.List(ctx, of("a"), volume.Filter{IDs: []string{first.ID}}, listing.Place{}, 1); err != nil || cmp.Diff([]volume.Volume{want}, list) != "" {
			t.Errorf("%v:\n%s", err, cmp.Diff([]volume.Volume{want}, list))
		}
		shrinks := volume.Modification{From: to, To: volume.Settings{Size: 2, Type: "io2"}}
		for name, c := range map[string]struct {
			home awsid.Home
			m    volume.Modification
			want error
		}{
			"changed meanwhile": {of("a"), m, volume.ErrChanged}, "smaller": {of("a"), shrinks, volume.ErrShrinks},
			"by another": {of("b"), m, volume.ErrNotFound}, "from another region": {elsewhere(), m, volume.ErrNotFound},
		} {
			if _, err := volumes.Modify(ctx, c.home, first.ID, c.m); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", name, err, c.want)
			}
		}
		if err := db.Tags().Add(ctx, of("a"), []string{first.ID}, []tag.Tag{{Key: "l"}}); err != nil {
			t.Error(err)
		}
		if tags, err := db.Tags().List(ctx, of("a"), tag.Filter{Resources: []string{first.ID}}, tag.Place{}, 9); err != nil || len(tags) != 2 || tags[0].Resource.Type != "volume" {
			t.Errorf("tags %v, %v", tags, err)
		}
		for _, home := range []awsid.Home{of("b"), elsewhere()} {
			if err := volumes.Delete(ctx, home, first.ID); !errors.Is(err, volume.ErrNotFound) {
				t.Errorf("delete as %v: %v", home, err)
			}
		}
		if err := volumes.Delete(ctx, of("a"), first.ID); err != nil {
			t.Error(err)
		}
		if err := volumes.Delete(ctx, of("a"), first.ID); !errors.Is(err, volume.ErrNotFound) {
			t.Errorf("delete again: %v", err)
		}
		if tags, err := db.Tags().List(ctx, of("a"), tag.Filter{Resources: []string{first.ID}}, tag.Place{}, 9); err != nil || len(tags) != 0 {
			t.Errorf("left: %v, %v", tags, err)
		}
	})
}

// TestVolumesHold: a volume keeps the root of its snapshot when that is deleted, for as long
// as it is there, however many cycles of gc there are meanwhile; so does a snapshot of the
// volume that is being made.
func TestVolumesHold(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		ctx, volumes, garbage := t.Context(), db.Volumes(), db.Garbage()
		source, pending := db.ids.Snapshot(), db.ids.Snapshot()
		addRecord(t, db, snapshot.Record{ID: source, Account: "a", Region: region, State: snapshot.Completed, Root: blockstore.File{ID: 7}})
		addRecord(t, db, snapshot.Record{ID: pending, Account: "a", Region: region, State: snapshot.Pending})
		must(t, db, func(q querier) error {
			_, err := exec(ctx, q, `INSERT INTO files (id, kind, domain, state, unit, attempt, bytes, created, entries) VALUES (7, 'root', '', 'closed', 1, 1, 9, 1, 1)`)
			return err
		})
		days := 0
		alive := func(when string, want bool) {
			t.Helper()
			for range 3 { // ends the holds whose time is over, on one day after the other
				days += 2
				if _, err := garbage.InFlight(ctx, time.Now().AddDate(0, 0, days)); err != nil {
					t.Fatal(err)
				}
			}
			named := false
			err := garbage.Roots(ctx, func(r gc.Root) error {
				named = named || r.File.ID == 7 && r.Named
				return nil
			})
			released, rerr := garbage.ReleasedRoots(ctx, 0, 9)
			facts, ferr := garbage.Look(ctx, []blockstore.FileID{7})
			if err != nil || rerr != nil || ferr != nil {
				t.Fatal(err, rerr, ferr)
			}
			f := facts[7]
			if named != want || (len(released) == 0) != want || (f.Named || f.Kept) != want {
				t.Errorf("%s: named %v, released %v, facts %+v; want %v", when, named, released, f, want)
			}
		}
		v := db.named("a", "", 1)
		v.Snapshot = source
		if _, _, err := volumes.Create(ctx, v); err != nil {
			t.Fatal(err)
		}
		for name, snap := range map[string]string{"pending": pending, "none": db.ids.Snapshot()} {
			bad := db.named("a", "", 1)
			bad.Snapshot = snap
			if _, _, err := volumes.Create(ctx, bad); !errors.Is(err, volume.ErrNoSnapshot) {
				t.Errorf("of a snapshot that is %s: %v", name, err)
			}
		}
		far := db.named("a", "", 1)
		far.Snapshot, far.Region = source, "eu-west-1"
		if _, _, err := volumes.Create(ctx, far); !errors.Is(err, volume.ErrNoSnapshot) {
			t.Errorf("in another region: %v", err)
		}
		alive("at first", true)
		if err := db.Snapshots().Delete(ctx, of("a"), source); err != nil {
			t.Fatal(err)
		}
		alive("without the snapshot", true)

		d := snapshot.Draft{Want: &snapshot.Expected{Blocks: -1}, Record: snapshot.Record{
			ID: db.ids.Snapshot(), Account: "a", Region: region, State: snapshot.Pending, VolumeSize: 2, Volume: v.ID, Lineage: v.ID, StartedAt: time.Unix(2, 0).UTC(),
		}}
		if _, err := volumes.StartOfVolume(ctx, d, 0); !errors.Is(err, snapshot.ErrTooMany) {
			t.Errorf("too many: %v", err)
		}
		stored, err := volumes.StartOfVolume(ctx, d, 1)
		if err != nil || stored.Base != 7 {
			t.Errorf("got base %d, %v", stored.Base, err)
		}
		if got, err := db.Snapshots().Get(ctx, region, d.ID); err != nil || got.Volume != v.ID || got.Lineage != v.ID || got.State != snapshot.Pending {
			t.Errorf("got %+v, %v", got, err)
		}
		for _, home := range []awsid.Home{of("b"), elsewhere()} {
			other := d
			other.ID, other.Account, other.Region = db.ids.Snapshot(), home.Account, home.Region
			if _, err := volumes.StartOfVolume(ctx, other, 9); !errors.Is(err, volume.ErrNotFound) {
				t.Errorf("by %v: %v", home, err)
			}
		}
		if err := volumes.Delete(ctx, of("a"), v.ID); err != nil {
			t.Fatal(err)
		}
		alive("while a snapshot of the volume is made", true)
		if err := db.Snapshots().Delete(ctx, of("a"), d.ID); err != nil {
			t.Fatal(err)
		}
		alive("without any", false)
		for table, rows := range dump(t, db) {
			if table == "holds" && len(rows) > 0 || strings.HasPrefix(table, "volume") && len(rows) > 0 {
				t.Errorf("%s has %v", table, rows)
			}
		}
		empty := db.named("a", "", 1)
		if _, _, err := volumes.Create(ctx, empty); err != nil {
			t.Fatal(err)
		}
		d.ID, d.Volume = db.ids.Snapshot(), empty.ID
		if stored, err := volumes.StartOfVolume(ctx, d, 9); err != nil || stored.Base != 0 {
			t.Errorf("of an empty volume: base %d, %v", stored.Base, err)
		}
	})
}

// TestVolumesHoldAgain: an earlier version ended the holds of volumes. They are endless again, and
// come back where nothing that they held can be gone; of a volume whose data may be, no snapshot begins.
func TestVolumesHoldAgain(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db, ctx := fresh(t), t.Context()
		volumes := map[string]volume.Volume{}
		for i, name := range []string{"shortened", "ended", "ended, and its snapshot deleted", "gone"} {
			source, root := db.ids.Snapshot(), blockstore.FileID(i+1)
			addRecord(t, db, snapshot.Record{ID: source, Account: "a", Region: region, State: snapshot.Completed, Root: blockstore.File{ID: root}})
			must(t, db, func(q querier) error {
				_, err := exec(ctx, q, `INSERT INTO files (id, kind, domain, state, unit, attempt, bytes, created, entries) VALUES ($1, 'root', '', 'closed', 1, 1, 9, 1, 1)`, root)
				return err
			})
			v := db.named("a", "", 1)
			v.Snapshot = source
			if _, _, err := db.Volumes().Create(ctx, v); err != nil {
				t.Fatal(err)
			}
			volumes[name] = v
		}
		want := dump(t, db)["holds"]
		p, err := db.provider()
		if err == nil {
			_, err = p.DownTo(ctx, 70)
		}
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, func(q querier) error {
			_, err := exec(ctx, q, `UPDATE holds SET until = 9 WHERE root = 1`)
			if err == nil {
				_, err = exec(ctx, q, `DELETE FROM holds WHERE root <> 1`)
			}
			return err
		})
		for _, name := range []string{"ended, and its snapshot deleted", "gone"} {
			if err := db.Snapshots().Delete(ctx, of("a"), volumes[name].Snapshot); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Garbage().Expanded(ctx, 4); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Up(ctx); err != nil {
			t.Fatal(err)
		}
		want = slices.DeleteFunc(want, func(row string) bool { return strings.HasSuffix(row, volumes["gone"].ID) })
		if d := cmp.Diff(want, dump(t, db)["holds"]); d != "" || len(want) != 3 {
			t.Errorf("%d holds (-want +got):\n%s", len(want), d)
		}
		for name, v := range volumes {
			var want error
			if name == "gone" {
				want = volume.ErrLost
			}
			d := snapshot.Draft{Want: &snapshot.Expected{Blocks: -1}, Record: snapshot.Record{
				ID: db.ids.Snapshot(), Account: "a", Region: region, State: snapshot.Pending, VolumeSize: 2, Volume: v.ID, Lineage: v.ID, StartedAt: time.Unix(2, 0).UTC(),
			}}
			if _, err := db.Volumes().StartOfVolume(ctx, d, 9); !errors.Is(err, want) {
				t.Errorf("a snapshot of the volume that is %s: got %v, want %v", name, err, want)
			}
		}
	})
}
