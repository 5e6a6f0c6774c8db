// Package kmstest has the conformance suite of kms.Store, and an implementation in
// memory for tests that need a store.
package kmstest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/tag"
)

const account, stranger, region = "111111111111", "222222222222", "us-east-1"

// plenty is a quota that no test reaches.
const plenty = 1000

// TestStore runs the conformance suite of kms.Store. open returns an empty store;
// it is called once for each test.
func TestStore(t *testing.T, open func(t *testing.T) kms.Store) {
	for name, test := range map[string]func(*testing.T, kms.Store){
		"keys": testKeys, "key with alias": testKeyWithAlias, "changes": testChanges,
		"concurrent changes": testConcurrentChanges, "aliases": testAliases, "quota of aliases": testAliasQuota, "grants": testGrants,
		"grants of a name": testNamedGrants, "purge": testPurge, "places": testPlaces,
		"rotations": testRotations, "grants of a retiring principal": testRetirable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func ref(id string) kms.Ref { return kms.Ref{Account: account, Region: region, ID: id} }

func key(id string) kms.Key {
	at := time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)
	return kms.Key{
		Ref: ref(id), Spec: kms.Symmetric, Usage: kms.EncryptDecrypt, Origin: kms.FromKMS, Manager: kms.Customer,
		State: kms.Enabled, MultiRegion: true, Description: "é <&>", Policy: "{}", Created: at,
		Tags: tag.Set{{Key: "k", Value: ""}}, Wrapped: []byte{0, 1, 255},
	}
}

func alias(name, target string) kms.Alias {
	at := time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)
	return kms.Alias{Account: account, Region: region, Name: "alias/" + name, Target: target, Created: at, Updated: at}
}

func grant(id, key string) kms.Grant {
	return kms.Grant{
		Key: ref(key), ID: id, Grantee: "arn:aws:iam::111111111111:role/r", Retiring: "arn:aws:iam::111111111111:role/q",
		Issuer: "arn:aws:iam::111111111111:root", Operations: []string{"Encrypt", "Decrypt"},
		Subset: kms.EncryptionContext{"a": "b"}, Created: time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC),
	}
}

// check reports the error of a call that must succeed.
func check(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// refused reports an error other than want.
func refused(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func same(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func testKeys(t *testing.T, s kms.Store) {
	ctx := t.Context()
	_, err := s.Key(ctx, ref("a"))
	refused(t, "unknown key", err, kms.ErrNotFound)
	bare := key("b")
	bare.Wrapped, bare.Tags, bare.MultiRegion = nil, nil, false
	bare.State, bare.Deletion, bare.Window = kms.PendingDeletion, bare.Created.Add(time.Hour), 7
	for _, k := range []kms.Key{key("mrk-c"), bare, key("a")} {
		check(t, "create "+k.ID, s.CreateKey(ctx, k, kms.Alias{}))
	}
	got, err := s.Key(ctx, ref("b"))
	check(t, "read", err)
	same(t, bare, got)
	all, err := s.Keys(ctx, account, region)
	check(t, "list", err)
	same(t, []kms.Key{key("a"), bare, key("mrk-c")}, all)
	managed, elsewhere := key("aws"), key("a")
	managed.Manager, elsewhere.Region = kms.AWS, "elsewhere"
	check(t, "create one that AWS manages", s.CreateKey(ctx, managed, kms.Alias{}))
	check(t, "create one in another region", s.CreateKey(ctx, elsewhere, kms.Alias{}))
	owned := func(account string, now time.Time, want int) {
		t.Helper()
		if n, err := s.Owned(ctx, account, now); err != nil || n != want {
			t.Errorf("account %s owns %d keys, %v, want %d", account, n, err, want)
		}
	}
	owned(account, bare.Created, 4)
	owned(account, bare.Deletion, 3)
	owned("nobody", bare.Created, 0)
}

func testKeyWithAlias(t *testing.T, s kms.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateKey(ctx, key("a"), alias("x", "a")))
	refused(t, "the alias again", s.CreateKey(ctx, key("b"), alias("x", "b")), kms.ErrExists)
	if _, err := s.Key(ctx, ref("b")); !errors.Is(err, kms.ErrNotFound) {
		t.Errorf("the key of a refused alias: %v", err)
	}
	got, err := s.Aliases(ctx, account, region)
	check(t, "list", err)
	same(t, []kms.Alias{alias("x", "a")}, got)
}

func testChanges(t *testing.T, s kms.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateKey(ctx, key("a"), kms.Alias{}))
	want := key("a")
	want.State, want.Deletion, want.Window = kms.PendingDeletion, want.Created.Add(time.Hour), 30
	want.Description, want.Policy, want.Tags = "", "new", nil
	check(t, "change", s.ChangeKey(ctx, ref("a"), func(k *kms.Key) error {
		*k = want
		return nil
	}))
	boom := errors.New("boom")
	refused(t, "change that fails", s.ChangeKey(ctx, ref("a"), func(k *kms.Key) error {
		k.Policy = "lost"
		return boom
	}), boom)
	got, err := s.Key(ctx, ref("a"))
	check(t, "read", err)
	same(t, want, got)
	refused(t, "change of nothing", s.ChangeKey(ctx, ref("none"), func(*kms.Key) error { return nil }), kms.ErrNotFound)
}

func testConcurrentChanges(t *testing.T, s kms.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateKey(ctx, key("a"), kms.Alias{}))
	const writers = 8
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			err := s.ChangeKey(ctx, ref("a"), func(k *kms.Key) (err error) {
				k.Tags, err = k.Tags.Merge([]tag.Tag{{Key: fmt.Sprint("w", i)}})
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := s.Key(ctx, ref("a"))
	check(t, "read", err)
	if len(got.Tags) != writers+1 {
		t.Errorf("a change was lost: %+v", got.Tags)
	}
}

func testAliases(t *testing.T, s kms.Store) {
	ctx := t.Context()
	refused(t, "alias of nothing", s.CreateAlias(ctx, alias("x", "a"), plenty), kms.ErrNotFound)
	for _, id := range []string{"a", "b"} {
		check(t, "create "+id, s.CreateKey(ctx, key(id), kms.Alias{}))
	}
	for _, name := range []string{"x", "X", "w"} {
		check(t, "alias "+name, s.CreateAlias(ctx, alias(name, "a"), plenty))
	}
	refused(t, "again", s.CreateAlias(ctx, alias("x", "b"), plenty), kms.ErrExists)
	moved := alias("x", "b")
	moved.Created, moved.Updated = time.Time{}, moved.Updated.Add(time.Second)
	check(t, "move", s.MoveAlias(ctx, moved, plenty))
	moved.Created = alias("", "").Created // moving leaves it as it was
	got, err := s.Aliases(ctx, account, region, "alias/x", "alias/none")
	check(t, "one", err)
	same(t, []kms.Alias{moved}, got)
	got, err = s.Aliases(ctx, account, region)
	check(t, "all", err)
	same(t, []kms.Alias{alias("X", "a"), alias("w", "a"), moved}, got)
	refused(t, "move nothing", s.MoveAlias(ctx, alias("none", "a"), plenty), kms.ErrNotFound)
	refused(t, "move to nothing", s.MoveAlias(ctx, alias("x", "none"), plenty), kms.ErrNotFound)
	check(t, "delete", s.DeleteAlias(ctx, alias("x", "")))
	refused(t, "delete again", s.DeleteAlias(ctx, alias("x", "")), kms.ErrNotFound)
}

// testAliasQuota has many calls at once, of which as many succeed as there may be.
func testAliasQuota(t *testing.T, s kms.Store) {
	ctx := t.Context()
	const most, calls = 3, 8
	for _, id := range []string{"a", "b"} {
		check(t, "create "+id, s.CreateKey(ctx, key(id), kms.Alias{}))
	}
	var made atomic.Int64
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			switch err := s.CreateAlias(ctx, alias(fmt.Sprint(i), "a"), most); {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, kms.ErrLimit):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != most {
		t.Errorf("%d were made, and %d is the most", made.Load(), most)
	}
	check(t, "of another key", s.CreateAlias(ctx, alias("other", "b"), most))
	refused(t, "moved to it", s.MoveAlias(ctx, alias("other", "a"), most), kms.ErrLimit)
	got, err := s.Aliases(ctx, account, region, "alias/other")
	check(t, "one", err)
	same(t, []kms.Alias{alias("other", "b")}, got)
}

func testGrants(t *testing.T, s kms.Store) {
	ctx := t.Context()
	_, err := s.AddGrant(ctx, grant("1", "a"))
	refused(t, "grant of nothing", err, kms.ErrNotFound)
	for _, id := range []string{"a", "b"} {
		check(t, "create "+id, s.CreateKey(ctx, key(id), kms.Alias{}))
	}
	for _, g := range []kms.Grant{grant("2", "a"), grant("1", "a"), grant("3", "b")} {
		got, err := s.AddGrant(ctx, g)
		check(t, "add "+g.ID, err)
		same(t, g, got)
	}
	got, err := s.Grants(ctx, ref("a"))
	check(t, "list", err)
	same(t, []kms.Grant{grant("1", "a"), grant("2", "a")}, got)
	refused(t, "delete that of another key", s.DeleteGrant(ctx, ref("a"), "3"), kms.ErrNotFound)
	check(t, "delete", s.DeleteGrant(ctx, ref("a"), "1"))
	refused(t, "delete again", s.DeleteGrant(ctx, ref("a"), "1"), kms.ErrNotFound)
}

func testNamedGrants(t *testing.T, s kms.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateKey(ctx, key("a"), kms.Alias{}))
	first, again, other := grant("1", "a"), grant("2", "a"), grant("3", "a")
	first.Name, again.Name, other.Name = "n", "n", "n"
	other.Operations = []string{"Encrypt"}
	for _, c := range []struct {
		g    kms.Grant
		want string
	}{{first, "1"}, {again, "1"}, {other, "3"}} {
		got, err := s.AddGrant(ctx, c.g)
		check(t, "add "+c.g.ID, err)
		if got.ID != c.want {
			t.Errorf("adding %s returned %s, want %s", c.g.ID, got.ID, c.want)
		}
	}
}

func testPurge(t *testing.T, s kms.Store) {
	ctx := t.Context()
	at := time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)
	for id, deletion := range map[string]time.Time{"gone": at, "later": at.Add(time.Microsecond), "alive": {}} {
		k := key(id)
		if !deletion.IsZero() {
			k.State, k.Deletion = kms.PendingDeletion, deletion
		}
		check(t, "create "+id, s.CreateKey(ctx, k, alias(id, id)))
		_, err := s.AddGrant(ctx, grant("grant-"+id, id))
		check(t, "grant on "+id, err)
	}
	n, err := s.Purge(ctx, at)
	if err != nil || n != 1 {
		t.Errorf("purged %d, %v; want 1", n, err)
	}
	_, err = s.Key(ctx, ref("gone"))
	refused(t, "purged key", err, kms.ErrNotFound)
	aliases, err := s.Aliases(ctx, account, region)
	check(t, "aliases", err)
	same(t, []kms.Alias{alias("alive", "alive"), alias("later", "later")}, aliases)
	for id, want := range map[string]int{"gone": 0, "later": 1, "alive": 1} {
		if got, err := s.Grants(ctx, ref(id)); err != nil || len(got) != want {
			t.Errorf("grants of %s: %v, %v; want %d", id, got, err, want)
		}
	}
}

func testPlaces(t *testing.T, s kms.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateKey(ctx, key("a"), alias("x", "a")))
	for _, place := range [][2]string{{stranger, region}, {account, "eu-west-1"}} {
		r := kms.Ref{Account: place[0], Region: place[1], ID: "a"}
		_, err := s.Key(ctx, r)
		refused(t, "key elsewhere", err, kms.ErrNotFound)
		keys, err := s.Keys(ctx, place[0], place[1])
		aliases, errAliases := s.Aliases(ctx, place[0], place[1])
		if err != nil || errAliases != nil || len(keys)+len(aliases) > 0 {
			t.Errorf("%v has %v, %v, %v, %v", place, keys, aliases, err, errAliases)
		}
		other, its := key("a"), alias("x", "a")
		other.Ref, its.Account, its.Region = r, place[0], place[1]
		check(t, "the same names elsewhere", s.CreateKey(ctx, other, its))
	}
}
