package kmstest

import (
	"testing"
	"time"

	"github.com/diskport/diskport/internal/identity/kms"
)

func testRotations(t *testing.T, s kms.Store) {
	ctx := t.Context()
	at := time.Date(2025, 1, 2, 3, 4, 5, 6000, time.UTC)
	made := func(id string, state kms.State, next time.Time) kms.Key {
		k := key(id)
		k.State, k.RotationPeriod, k.NextRotation = state, 90, next
		k.Rotations = []kms.Rotation{{At: at, Type: kms.OnDemand, Wrapped: []byte{0, 1, 255}}}
		check(t, "create "+id, s.CreateKey(ctx, k, kms.Alias{}))
		return k
	}
	later := made("later", kms.Enabled, at.Add(time.Second))
	sooner := made("sooner", kms.Enabled, at)
	made("disabled", kms.Disabled, at)
	made("future", kms.Enabled, at.Add(time.Hour))
	check(t, "one that is not rotated", s.CreateKey(ctx, key("never"), kms.Alias{}))
	got, err := s.Key(ctx, ref("sooner"))
	check(t, "read", err)
	same(t, sooner, got)

	due := func(now time.Time, limit int, want ...string) {
		t.Helper()
		var ids []string
		list, err := s.Overdue(ctx, now, limit)
		check(t, "overdue", err)
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		same(t, want, ids)
	}
	due(at.Add(-time.Microsecond), 9)
	due(at, 9, "sooner")
	due(at.Add(time.Minute), 9, "sooner", "later")
	due(at.Add(time.Minute), 1, "sooner")
	later.Rotations = append(later.Rotations, kms.Rotation{At: at.Add(time.Second), Type: kms.Automatic, Wrapped: []byte("new")})
	later.NextRotation, later.RotationPeriod = at.Add(2*time.Hour), 100
	check(t, "rotate", s.ChangeKey(ctx, ref("later"), func(k *kms.Key) error { *k = later; return nil }))
	got, err = s.Key(ctx, ref("later"))
	check(t, "read", err)
	same(t, later, got)
	due(at.Add(time.Minute), 9, "sooner")
	check(t, "end it", s.ChangeKey(ctx, ref("sooner"), func(k *kms.Key) error { k.RotationPeriod, k.NextRotation = 0, time.Time{}; return nil }))
	due(at.Add(time.Minute), 9)
}

func testRetirable(t *testing.T, s kms.Store) {
	ctx := t.Context()
	for _, r := range []kms.Ref{ref("a"), ref("b"), {Account: account, Region: "elsewhere", ID: "a"}, {Account: stranger, Region: region, ID: "a"}} {
		k := key(r.ID)
		k.Ref = r
		check(t, "create", s.CreateKey(ctx, k, kms.Alias{}))
	}
	add := func(id string, r kms.Ref, retiring string) kms.Grant {
		g := grant(id, r.ID)
		g.Key, g.Retiring = r, retiring
		_, err := s.AddGrant(ctx, g)
		check(t, "add "+id, err)
		return g
	}
	three, one := add("03", ref("a"), "AROAr"), add("01", ref("b"), "AROAr")
	add("02", ref("a"), "AROAq")
	add("04", kms.Ref{Account: account, Region: "elsewhere", ID: "a"}, "AROAr")
	add("05", kms.Ref{Account: stranger, Region: region, ID: "a"}, "AROAr")
	add("06", ref("a"), "")
	for _, c := range []struct {
		after string
		limit int
		want  []kms.Grant
	}{{"", 9, []kms.Grant{one, three}}, {"", 1, []kms.Grant{one}}, {"01", 9, []kms.Grant{three}}, {"03", 9, nil}} {
		got, err := s.Retirable(ctx, kms.RetirableQuery{Account: account, Region: region, Retiring: "AROAr", After: c.after, Limit: c.limit})
		check(t, "list behind "+c.after, err)
		if len(got)+len(c.want) > 0 {
			same(t, c.want, got)
		}
	}
	check(t, "delete", s.DeleteGrant(ctx, ref("b"), "01"))
	got, err := s.Retirable(ctx, kms.RetirableQuery{Account: account, Region: region, Retiring: "AROAr", Limit: 9})
	check(t, "list", err)
	same(t, []kms.Grant{three}, got)
}
