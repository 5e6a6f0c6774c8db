package iamtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/tag"
)

func user(name string) iam.UserInfo {
	return iam.UserInfo{
		Account: account, Name: name, Path: "/a/", ID: "AIDA" + name,
		Created: time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC), Tags: tag.Set{{Key: "k", Value: "v"}},
	}
}

func key(id, user string) iam.AccessKey {
	return iam.AccessKey{ID: id, Account: account, User: user, Wrapped: []byte(id), Created: time.UnixMicro(7).UTC()}
}

func managed(name string) iam.Managed {
	at := time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)
	return iam.Managed{
		Account: account, Name: name, Path: "/a/", ID: "ANPA" + name, Description: "é", Created: at, Updated: at,
		Tags: tag.Set{{Key: "k", Value: "v"}}, Versions: []iam.Version{{Number: 1, Document: "{}", Created: at}}, Default: 1, Last: 1,
	}
}

func testUsers(t *testing.T, s iam.Store) {
	ctx := t.Context()
	for _, name := range []string{"b", "a", "B-2", "_c"} {
		check(t, "create "+name, s.CreateUser(ctx, user(name), plenty))
	}
	err := s.CreateUser(ctx, user("A"), plenty)
	refused(t, "create in another case", err, iam.ErrExists)
	about(t, err, iam.KindUser)
	all, err := s.Users(ctx, account)
	check(t, "list", err)
	if diff := cmp.Diff([]iam.UserInfo{user("B-2"), user("_c"), user("a"), user("b")}, all); diff != "" {
		t.Error(diff)
	}
	some, err := s.Users(ctx, account, "b", "none", "A", "a")
	check(t, "some", err)
	if diff := cmp.Diff([]iam.UserInfo{user("a"), user("b")}, some); diff != "" {
		t.Error(diff)
	}
	check(t, "delete", s.DeleteUser(ctx, account, "a"))
	for what, err := range map[string]error{
		"delete": s.DeleteUser(ctx, account, "a"), "change": s.ChangeUser(ctx, account, "a", func(*iam.UserInfo) error { return nil }),
		"key": s.AddKey(ctx, key("AKIA1", "a"), 1), "key delete": s.DeleteKey(ctx, account, "a", "AKIA1"),
	} {
		refused(t, what+" of nobody", err, iam.ErrNotFound)
		about(t, err, iam.KindUser)
	}
}

func testRenaming(t *testing.T, s iam.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateUser(ctx, user("ann"), plenty))
	check(t, "create", s.CreateUser(ctx, user("bob"), plenty))
	check(t, "put", s.PutInline(ctx, iam.UserOwner(account, "ann"), iam.Policy{Name: "p", Document: "1"}, fitting))
	check(t, "key", s.AddKey(ctx, key("AKIA1", "ann"), 1))
	rename := func(from, to string) error {
		return s.ChangeUser(ctx, account, from, func(u *iam.UserInfo) error {
			u.Name, u.Path, u.Tags = to, "/", nil
			return nil
		})
	}
	refused(t, "another's name", rename("ann", "BOB"), iam.ErrExists)
	check(t, "only the case", rename("ann", "Ann"))
	check(t, "another name", rename("Ann", "eve"))
	want := user("ann")
	want.Name, want.Path, want.Tags = "eve", "/", nil
	got, err := s.Users(ctx, account, "eve", "ann")
	check(t, "read", err)
	if diff := cmp.Diff([]iam.UserInfo{want}, got); diff != "" {
		t.Error(diff)
	}
	policies, err := s.Policies(ctx, iam.UserOwner(account, "eve"))
	if err != nil || len(policies.Inline) != 1 {
		t.Errorf("policies stayed behind: %+v, %v", policies, err)
	}
	k, err := s.AccessKey(ctx, "AKIA1")
	if err != nil || k.User != "eve" {
		t.Errorf("key stayed behind: %+v, %v", k, err)
	}
	boom := errors.New("boom")
	refused(t, "change that fails", s.ChangeUser(ctx, account, "eve", func(*iam.UserInfo) error { return boom }), boom)
	check(t, "the old name again", s.CreateUser(ctx, iam.UserInfo{Account: account, Name: "ann", ID: "AIDAnew"}, plenty))
}

func testUserKeys(t *testing.T, s iam.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateUser(ctx, user("u"), plenty))
	check(t, "root", s.SetRootKey(ctx, key("AKIAROOT", "")))
	check(t, "second", s.AddKey(ctx, key("AKIA2", "u"), 2))
	check(t, "first", s.AddKey(ctx, key("AKIA1", "u"), 2))
	err := s.AddKey(ctx, key("AKIA3", "u"), 2)
	refused(t, "third of two", err, iam.ErrTooMany)
	refused(t, "an id that is taken", s.AddKey(ctx, key("AKIAROOT", "u"), 3), iam.ErrExists)
	refused(t, "root with a user's id", s.SetRootKey(ctx, key("AKIA1", "")), iam.ErrExists)
	used := iam.KeyUse{Time: time.UnixMicro(9).UTC(), Service: "ec2", Region: "us-east-1"}
	check(t, "change", s.ChangeKey(ctx, account, "AKIA1", func(k *iam.AccessKey) error {
		k.Inactive, k.Used = true, used
		return nil
	}))
	boom := errors.New("boom")
	refused(t, "change that fails", s.ChangeKey(ctx, account, "AKIA2", func(k *iam.AccessKey) error { k.Inactive = true; return boom }), boom)
	want := []iam.AccessKey{key("AKIA1", "u"), key("AKIA2", "u")}
	want[0].Inactive, want[0].Used = true, used
	got, err := s.Keys(ctx, account, "u")
	check(t, "list", err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	refused(t, "delete with keys", s.DeleteUser(ctx, account, "u"), iam.ErrInUse)
	refused(t, "delete of root's", s.DeleteKey(ctx, account, "u", "AKIAROOT"), iam.ErrNotFound)
	check(t, "delete", s.DeleteKey(ctx, account, "u", "AKIA1"))
	err = s.DeleteKey(ctx, account, "u", "AKIA1")
	refused(t, "delete again", err, iam.ErrNotFound)
	about(t, err, iam.KindKey)
	refused(t, "change of nothing", s.ChangeKey(ctx, account, "AKIA1", func(*iam.AccessKey) error { return nil }), iam.ErrNotFound)
	check(t, "delete", s.DeleteKey(ctx, account, "u", "AKIA2"))
	check(t, "delete the user", s.DeleteUser(ctx, account, "u"))
}

func testManaged(t *testing.T, s iam.Store) {
	ctx := t.Context()
	check(t, "create", s.CreatePolicy(ctx, managed("b"), plenty))
	check(t, "create", s.CreatePolicy(ctx, managed("A"), plenty))
	err := s.CreatePolicy(ctx, managed("a"), plenty)
	refused(t, "create in another case", err, iam.ErrExists)
	about(t, err, iam.KindManaged)
	want := managed("b")
	want.Updated, want.Default, want.Last, want.Tags = want.Updated.Add(time.Hour), 7, 9, nil
	want.Versions = []iam.Version{{Number: 7, Document: "7", Created: want.Updated}, {Number: 9, Document: "9", Created: want.Updated}}
	check(t, "change", s.ChangePolicy(ctx, account, "b", func(m *iam.Managed) error { *m = want; return nil }))
	boom := errors.New("boom")
	refused(t, "change that fails", s.ChangePolicy(ctx, account, "b", func(m *iam.Managed) error {
		m.Versions[0].Document = "lost"
		return boom
	}), boom)
	all, err := s.ManagedPolicies(ctx, account)
	check(t, "list", err)
	if diff := cmp.Diff([]iam.Managed{managed("A"), want}, all); diff != "" {
		t.Error(diff)
	}
	check(t, "delete", s.DeletePolicy(ctx, account, "A"))
	for what, err := range map[string]error{
		"delete": s.DeletePolicy(ctx, account, "A"), "change": s.ChangePolicy(ctx, account, "A", func(*iam.Managed) error { return nil }),
	} {
		refused(t, what+" of nothing", err, iam.ErrNotFound)
		about(t, err, iam.KindManaged)
	}
	if none, err := s.ManagedPolicies(ctx, account, "a", "A"); err != nil || len(none) != 0 {
		t.Errorf("deleted policy: %v, %v", none, err)
	}
}

func testAttachments(t *testing.T, s iam.Store) {
	ctx := t.Context()
	r, u := iam.RoleOwner(account, "x"), iam.UserOwner(account, "x")
	check(t, "role", s.CreateRole(ctx, role("x"), plenty))
	check(t, "user", s.CreateUser(ctx, user("x"), plenty))
	check(t, "policy", s.CreatePolicy(ctx, managed("p"), plenty))
	check(t, "one", s.Attach(ctx, r, "arn:own", "p", 2))
	check(t, "two", s.Attach(ctx, r, "arn:aws", "", 2))
	check(t, "again", s.Attach(ctx, r, "arn:aws", "", 2))
	refused(t, "three of two", s.Attach(ctx, r, "arn:more", "", 2), iam.ErrTooMany)
	refused(t, "one that is not there", s.Attach(ctx, u, "arn:none", "none", 2), iam.ErrNotFound)
	check(t, "the user", s.Attach(ctx, u, "arn:own", "p", 2))
	change := func(m *iam.Managed) error {
		m.Versions = append(m.Versions, iam.Version{Number: 2, Document: "two"})
		m.Default = 2
		return nil
	}
	check(t, "new version", s.ChangePolicy(ctx, account, "p", change))
	got, err := s.Policies(ctx, r)
	check(t, "list", err)
	if diff := cmp.Diff(iam.Policies{Attached: []iam.Attached{{ARN: "arn:aws"}, {ARN: "arn:own", Document: "two"}}}, got); diff != "" {
		t.Error(diff)
	}
	owners, err := s.Owners(ctx, account, "arn:own")
	check(t, "owners", err)
	if diff := cmp.Diff([]iam.Owner{u, r}, owners); diff != "" {
		t.Error(diff)
	}
	if list, err := s.ManagedPolicies(ctx, account, "p"); err != nil || len(list) != 1 || list[0].Attachments != 2 {
		t.Errorf("attachments are not counted: %+v, %v", list, err)
	}
	for what, err := range map[string]error{"role": s.DeleteRole(ctx, account, "x"), "user": s.DeleteUser(ctx, account, "x"), "policy": s.DeletePolicy(ctx, account, "p")} {
		refused(t, "delete of the "+what, err, iam.ErrInUse)
	}
	check(t, "detach", s.Detach(ctx, r, "arn:own"))
	err = s.Detach(ctx, r, "arn:own")
	refused(t, "detach again", err, iam.ErrNotFound)
	about(t, err, iam.KindAttachment)
	check(t, "detach", s.Detach(ctx, u, "arn:own"))
	check(t, "delete", s.DeletePolicy(ctx, account, "p"))
}

func testAccountLife(t *testing.T, s iam.Store) {
	ctx := t.Context()
	root := key("AKIA1", "")
	other := key("AKIA2", "")
	other.Account = stranger
	check(t, "add", s.AddAccount(ctx, other))
	check(t, "add", s.AddAccount(ctx, root))
	err := s.AddAccount(ctx, key("AKIA3", ""))
	refused(t, "add again", err, iam.ErrExists)
	about(t, err, iam.KindAccount)
	got, err := s.RootKeys(ctx)
	check(t, "list", err)
	if diff := cmp.Diff([]iam.AccessKey{root, other}, got); diff != "" {
		t.Error(diff)
	}
	check(t, "user", s.CreateUser(ctx, user("u"), plenty))
	check(t, "key", s.AddKey(ctx, key("AKIA4", "u"), 1))
	check(t, "put", s.PutInline(ctx, iam.UserOwner(account, "u"), iam.Policy{Name: "p"}, fitting))
	check(t, "attach", s.Attach(ctx, iam.UserOwner(account, "u"), "arn", "", 1))
	check(t, "remove", s.RemoveAccount(ctx, account))
	err = s.RemoveAccount(ctx, account)
	refused(t, "remove again", err, iam.ErrNotFound)
	about(t, err, iam.KindAccount)
	for _, id := range []string{"AKIA1", "AKIA4"} {
		_, err = s.AccessKey(ctx, id)
		refused(t, "key "+id+" of a removed account", err, iam.ErrUnknownKey)
	}
	users, err := s.Users(ctx, account)
	left, errRoots := s.RootKeys(ctx)
	if err != nil || errRoots != nil || len(users) != 0 || len(left) != 1 {
		t.Errorf("left: %v, %v, %v, %v", users, left, err, errRoots)
	}
	for what, again := range map[string]error{"added": s.AddAccount(ctx, root), "given a root key": s.SetRootKey(ctx, root)} {
		refused(t, "a removed account that is "+what, again, iam.ErrRemoved)
		about(t, again, iam.KindAccount)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		k := key(fmt.Sprint("AKIA1", i), "")
		k.Account = "333333333333"
		wg.Go(func() { _ = s.AddAccount(ctx, k) })
	}
	wg.Wait()
	if left, err := s.RootKeys(ctx); err != nil || len(left) != 2 {
		t.Errorf("several made one account: %v, %v", left, err)
	}
}

func testEntities(t *testing.T, s iam.Store) {
	ctx := t.Context()
	far := role("r")
	far.Account, far.ID = stranger, "AROAfar"
	check(t, "user", s.CreateUser(ctx, user("u"), plenty))
	check(t, "role", s.CreateRole(ctx, role("r"), plenty))
	check(t, "another account's role", s.CreateRole(ctx, far, plenty))
	u := user("u")
	want := []iam.Entity{
		{Owner: iam.UserOwner(account, "u"), Path: u.Path, ID: u.ID},
		{Owner: iam.RoleOwner(account, "r"), Path: far.Path, ID: "AROAr"},
		{Owner: iam.RoleOwner(stranger, "r"), Path: far.Path, ID: "AROAfar"},
	}
	slices.SortFunc(want, func(a, b iam.Entity) int { return strings.Compare(a.ID, b.ID) })
	got, err := s.Entities(ctx, "AROAr", u.ID, "AROAfar", "AROAnone")
	check(t, "find", err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	check(t, "delete", s.DeleteRole(ctx, account, "r"))
	again := role("r")
	again.ID = "AROAagain"
	check(t, "make it again", s.CreateRole(ctx, again, plenty))
	for what, ids := range map[string][]string{"one who is gone": {"AROAr"}, "nobody": nil} {
		if got, err := s.Entities(ctx, ids...); err != nil || len(got) != 0 {
			t.Errorf("%s: got %+v, %v", what, got, err)
		}
	}
}
