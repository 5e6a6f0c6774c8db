// Package iamtest has the conformance suite of iam.Store, and an implementation in
// memory for tests that need a store.
package iamtest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/tag"
)

const account, stranger = "111111111111", "222222222222"

// plenty is a quota that no test reaches.
const plenty = 1000

// TestStore runs the conformance suite of iam.Store. open returns an empty store;
// it is called once for each test.
func TestStore(t *testing.T, open func(t *testing.T) iam.Store) {
	for name, test := range map[string]func(*testing.T, iam.Store){
		"root keys": testKeys, "roles": testRoles, "role names": testRoleNames, "changes": testChanges,
		"concurrent changes": testConcurrentChanges, "inline policies": testInline, "accounts": testAccounts,
		"users": testUsers, "renaming": testRenaming, "user keys": testUserKeys, "managed policies": testManaged,
		"attachments": testAttachments, "account life": testAccountLife, "entities": testEntities,
		"boundaries": testBoundaries, "instance profiles": testProfiles, "role of an instance profile": testProfileRole, "quotas": testQuotas,
		"generations": testGenerations, "the use of a key is no change": testUseIsNoChange,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func role(name string) iam.Role {
	return iam.Role{
		Account: account, Name: name, Path: "/a/", ID: "AROA" + name, Trust: "{}", Description: "é <&>",
		MaxSession: time.Hour, Created: time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC), Tags: tag.Set{{Key: "k", Value: ""}},
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

// about reports an error that is not an EntityError of the kind.
func about(t *testing.T, got error, kind string) {
	t.Helper()
	if e, ok := errors.AsType[*iam.EntityError](got); !ok || e.Kind != kind {
		t.Errorf("%v is not about a %s", got, kind)
	}
}

func testKeys(t *testing.T, s iam.Store) {
	ctx := t.Context()
	_, err := s.AccessKey(ctx, "AKIA1")
	refused(t, "unknown key", err, iam.ErrUnknownKey)
	first := iam.AccessKey{ID: "AKIA1", Account: account, Wrapped: []byte{0, 1, 255}, Created: time.UnixMicro(1).UTC()}
	check(t, "first key", s.SetRootKey(ctx, first))
	got, err := s.AccessKey(ctx, "AKIA1")
	check(t, "look-up", err)
	if diff := cmp.Diff(first, got); diff != "" {
		t.Error(diff)
	}
	first.Wrapped = []byte("again")
	later := first
	later.Created = time.UnixMicro(2).UTC()
	check(t, "same id, other secret", s.SetRootKey(ctx, later))
	got, err = s.AccessKey(ctx, "AKIA1")
	check(t, "look-up of the other secret", err)
	if diff := cmp.Diff(first, got); diff != "" {
		t.Error(diff)
	}
	second := first
	second.ID = "AKIA2"
	check(t, "second key", s.SetRootKey(ctx, second))
	_, err = s.AccessKey(ctx, "AKIA1")
	refused(t, "replaced key", err, iam.ErrUnknownKey)
	second.Account = stranger
	refused(t, "key of another account", s.SetRootKey(ctx, second), iam.ErrExists)
	got, err = s.AccessKey(ctx, "AKIA2")
	check(t, "key that stayed", err)
	if got.Account != account {
		t.Errorf("key went to account %s", got.Account)
	}
}

func testRoles(t *testing.T, s iam.Store) {
	ctx := t.Context()
	for _, name := range []string{"b", "a", "B-2", "_c"} {
		check(t, "create "+name, s.CreateRole(ctx, role(name), plenty))
	}
	all, err := s.Roles(ctx, account)
	check(t, "list", err)
	if diff := cmp.Diff([]iam.Role{role("B-2"), role("_c"), role("a"), role("b")}, all); diff != "" {
		t.Error(diff)
	}
	some, err := s.Roles(ctx, account, "b", "none", "a")
	check(t, "some", err)
	if diff := cmp.Diff([]iam.Role{role("a"), role("b")}, some); diff != "" {
		t.Error(diff)
	}
	check(t, "delete", s.DeleteRole(ctx, account, "a"))
	err = s.DeleteRole(ctx, account, "a")
	refused(t, "delete again", err, iam.ErrNotFound)
	about(t, err, "role")
	none, err := s.Roles(ctx, account, "a")
	if err != nil || len(none) != 0 {
		t.Errorf("deleted role: %v, %v", none, err)
	}
}

func testRoleNames(t *testing.T, s iam.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateRole(ctx, role("vmImport"), plenty))
	for _, name := range []string{"vmImport", "VMIMPORT"} {
		err := s.CreateRole(ctx, role(name), plenty)
		refused(t, "create "+name, err, iam.ErrExists)
		about(t, err, "role")
	}
	if got, err := s.Roles(ctx, account, "vmimport"); err != nil || len(got) != 0 {
		t.Errorf("name in another case: %v, %v", got, err)
	}
}

func testChanges(t *testing.T, s iam.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateRole(ctx, role("r"), plenty))
	want := role("r")
	want.Trust, want.Description, want.MaxSession, want.Tags = "new", "", 2*time.Hour, nil
	check(t, "change", s.ChangeRole(ctx, account, "r", func(r *iam.Role) error {
		*r = want
		return nil
	}))
	boom := errors.New("boom")
	refused(t, "change that fails", s.ChangeRole(ctx, account, "r", func(r *iam.Role) error {
		r.Trust = "lost"
		return boom
	}), boom)
	got, err := s.Roles(ctx, account, "r")
	check(t, "read", err)
	if diff := cmp.Diff([]iam.Role{want}, got); diff != "" {
		t.Error(diff)
	}
	err = s.ChangeRole(ctx, account, "none", func(*iam.Role) error { return nil })
	refused(t, "change of nothing", err, iam.ErrNotFound)
	about(t, err, "role")
}

func testConcurrentChanges(t *testing.T, s iam.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateRole(ctx, role("r"), plenty))
	const writers = 8
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			err := s.ChangeRole(ctx, account, "r", func(r *iam.Role) (err error) {
				r.Tags, err = r.Tags.Merge([]tag.Tag{{Key: fmt.Sprint("w", i)}})
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := s.Roles(ctx, account, "r")
	check(t, "read", err)
	if len(got) != 1 || len(got[0].Tags) != writers+1 {
		t.Errorf("a change was lost: %+v", got)
	}
}

// fitting lets an owner have any policies.
func fitting([]iam.Policy) error { return nil }

func testInline(t *testing.T, s iam.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateRole(ctx, role("r"), plenty))
	check(t, "create", s.CreateUser(ctx, user("r"), plenty))
	for _, o := range []iam.Owner{iam.RoleOwner(account, "r"), iam.UserOwner(account, "r")} {
		for _, p := range []iam.Policy{{Name: "b", Document: "1"}, {Name: "B", Document: "2"}, {Name: "b", Document: "3"}} {
			check(t, "put", s.PutInline(ctx, o, p, fitting))
		}
		got, err := s.Policies(ctx, o)
		check(t, "list", err)
		if diff := cmp.Diff(iam.Policies{Inline: []iam.Policy{{Name: "B", Document: "2"}, {Name: "b", Document: "3"}}}, got); diff != "" {
			t.Error(diff)
		}
		refused(t, "put what does not fit", s.PutInline(ctx, o, iam.Policy{Name: "B", Document: "4"}, func(others []iam.Policy) error {
			if diff := cmp.Diff([]iam.Policy{{Name: "b", Document: "3"}}, others); diff != "" {
				t.Errorf("the others: %s", diff)
			}
			return iam.ErrTooMany
		}), iam.ErrTooMany)
		if got, err := s.Policies(ctx, o); err != nil || len(got.Inline) != 2 || got.Inline[0].Document != "2" {
			t.Errorf("it was put all the same: %+v, %v", got.Inline, err)
		}
		refused(t, "delete the owner", remove(t, s, o), iam.ErrInUse)
		check(t, "delete", s.DeleteInline(ctx, o, "B"))
		err = s.DeleteInline(ctx, o, "B")
		refused(t, "delete again", err, iam.ErrNotFound)
		about(t, err, o.PolicyKind())
		check(t, "delete the other", s.DeleteInline(ctx, o, "b"))
		check(t, "delete the owner", remove(t, s, o))
		_, list := s.Policies(ctx, o)
		for what, err := range map[string]error{
			"put": s.PutInline(ctx, o, iam.Policy{Name: "p"}, fitting), "list": list, "delete": s.DeleteInline(ctx, o, "p"),
			"attach": s.Attach(ctx, o, "arn", "", 9), "detach": s.Detach(ctx, o, "arn"),
		} {
			refused(t, what+" without the owner", err, iam.ErrNotFound)
			about(t, err, o.Kind)
		}
	}
}

func remove(t *testing.T, s iam.Store, o iam.Owner) error {
	if o.Kind == iam.KindUser {
		return s.DeleteUser(t.Context(), o.Account, o.Name)
	}
	return s.DeleteRole(t.Context(), o.Account, o.Name)
}

func testAccounts(t *testing.T, s iam.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateRole(ctx, role("r"), plenty))
	check(t, "create", s.CreateUser(ctx, user("u"), plenty))
	check(t, "create", s.CreatePolicy(ctx, managed("p"), plenty))
	check(t, "put", s.PutInline(ctx, iam.RoleOwner(account, "r"), iam.Policy{Name: "p"}, fitting))
	check(t, "attach", s.Attach(ctx, iam.RoleOwner(account, "r"), "arn", "p", 1))
	check(t, "key", s.AddKey(ctx, key("AKIA1", "u"), 1))
	roles, err := s.Roles(ctx, stranger, "r")
	users, errUsers := s.Users(ctx, stranger)
	policies, errPolicies := s.ManagedPolicies(ctx, stranger)
	owners, errOwners := s.Owners(ctx, stranger, "arn")
	if err := errors.Join(err, errUsers, errPolicies, errOwners); err != nil || len(roles)+len(users)+len(policies)+len(owners) != 0 {
		t.Errorf("a stranger sees %v, %v, %v, %v, %v", roles, users, policies, owners, err)
	}
	_, list := s.Policies(ctx, iam.RoleOwner(stranger, "r"))
	_, keys := s.Keys(ctx, stranger, "u")
	nothing := func(*iam.AccessKey) error { return nil }
	for what, err := range map[string]error{
		"delete of a role": s.DeleteRole(ctx, stranger, "r"), "delete of a user": s.DeleteUser(ctx, stranger, "u"),
		"delete of a policy": s.DeletePolicy(ctx, stranger, "p"), "look": list, "look at keys": keys,
		"key change": s.ChangeKey(ctx, stranger, "AKIA1", nothing), "key delete": s.DeleteKey(ctx, stranger, "u", "AKIA1"),
	} {
		refused(t, "a stranger's "+what, err, iam.ErrNotFound)
	}
	other := role("R")
	other.Account, other.ID = stranger, "AROAother"
	check(t, "the same name elsewhere", s.CreateRole(ctx, other, plenty))
	err = s.Attach(ctx, iam.RoleOwner(stranger, "R"), "arn", "p", 1)
	refused(t, "attach of a stranger's policy", err, iam.ErrNotFound)
	about(t, err, iam.KindManaged)
}
