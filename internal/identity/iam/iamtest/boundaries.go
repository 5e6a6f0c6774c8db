package iamtest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/identity/iam"
)

const (
	boundary = "arn:aws:iam::" + account + ":policy/a/p"
	ofAWS    = "arn:aws:iam::aws:policy/PowerUserAccess"
)

func testBoundaries(t *testing.T, s iam.Store) {
	ctx := t.Context()
	u, r := user("u"), role("r")
	u.Boundary, r.Boundary = boundary, boundary
	for what, err := range map[string]error{"user": s.CreateUser(ctx, u, plenty), "role": s.CreateRole(ctx, r, plenty)} {
		refused(t, what+" with a policy that is not there", err, iam.ErrNotFound)
		about(t, err, iam.KindManaged)
	}
	check(t, "policy", s.CreatePolicy(ctx, managed("p"), plenty))
	check(t, "user", s.CreateUser(ctx, u, plenty))
	check(t, "role", s.CreateRole(ctx, r, plenty))
	users, err := s.Users(ctx, account, "u")
	roles, errRoles := s.Roles(ctx, account)
	check(t, "read", errors.Join(err, errRoles))
	if diff := cmp.Diff([]iam.UserInfo{u}, users) + cmp.Diff([]iam.Role{r}, roles); diff != "" {
		t.Error(diff)
	}
	for _, o := range []iam.Owner{iam.UserOwner(account, "u"), iam.RoleOwner(account, "r")} {
		p, err := s.Policies(ctx, o)
		check(t, "policies of "+o.Kind, err)
		if diff := cmp.Diff(iam.Policies{Boundary: &iam.Attached{ARN: boundary, Document: "{}"}}, p); diff != "" {
			t.Error(diff)
		}
	}
	bounded(t, s, boundary, iam.UserOwner(account, "u"), iam.RoleOwner(account, "r"))
	if owners, err := s.Owners(ctx, account, boundary); err != nil || len(owners) != 0 {
		t.Errorf("a boundary is attached to %v, %v", owners, err)
	}
	if list, err := s.ManagedPolicies(ctx, account, "p"); err != nil || len(list) != 1 || list[0].Attachments != 0 || list[0].Boundaries != 2 {
		t.Errorf("uses are not counted: %+v, %v", list, err)
	}
	refused(t, "delete of the policy", s.DeletePolicy(ctx, account, "p"), iam.ErrInUse)

	bind := func(arn string) func(*iam.UserInfo) error {
		return func(u *iam.UserInfo) error { u.Boundary = arn; return nil }
	}
	check(t, "AWS's own", s.ChangeUser(ctx, account, "u", bind(ofAWS)))
	bounded(t, s, ofAWS, iam.UserOwner(account, "u"))
	err = s.ChangeUser(ctx, account, "u", bind("arn:aws:iam::"+account+":policy/none"))
	refused(t, "one that is not there", err, iam.ErrNotFound)
	about(t, err, iam.KindManaged)
	bounded(t, s, ofAWS, iam.UserOwner(account, "u"))
	check(t, "none", s.ChangeUser(ctx, account, "u", bind("")))
	bounded(t, s, ofAWS)
	check(t, "none", s.ChangeRole(ctx, account, "r", func(r *iam.Role) error { r.Boundary = ""; return nil }))
	check(t, "one again", s.ChangeRole(ctx, account, "r", func(r *iam.Role) error { r.Boundary = boundary; return nil }))
	bounded(t, s, boundary, iam.RoleOwner(account, "r"))
	check(t, "delete a bounded role", s.DeleteRole(ctx, account, "r"))
	bounded(t, s, boundary)
	check(t, "delete of the policy", s.DeletePolicy(ctx, account, "p"))
}

// bounded checks who has a boundary.
func bounded(t *testing.T, s iam.Store, arn string, want ...iam.Owner) {
	t.Helper()
	got, err := s.Bounded(t.Context(), account, arn)
	check(t, "bounded", err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if far, err := s.Bounded(t.Context(), stranger, arn); err != nil || len(far) != 0 {
		t.Errorf("a stranger sees %v, %v", far, err)
	}
}

func profile(name string) iam.InstanceProfile {
	u := user(name)
	return iam.InstanceProfile{Account: account, Name: name, Path: "/a/", ID: "AIPA" + name, Created: u.Created, Tags: u.Tags}
}

func testProfiles(t *testing.T, s iam.Store) {
	ctx := t.Context()
	for _, name := range []string{"b", "A"} {
		check(t, "create "+name, s.CreateProfile(ctx, profile(name), plenty))
	}
	err := s.CreateProfile(ctx, profile("a"), plenty)
	refused(t, "create in another case", err, iam.ErrExists)
	about(t, err, iam.KindProfile)
	check(t, "role", s.CreateRole(ctx, role("r"), plenty))
	want := profile("b")
	want.Role, want.Tags = "r", nil
	check(t, "change", s.ChangeProfile(ctx, account, "b", func(p *iam.InstanceProfile) error { *p = want; return nil }))
	boom := errors.New("boom")
	refused(t, "change that fails", s.ChangeProfile(ctx, account, "b", func(p *iam.InstanceProfile) error { p.Role = ""; return boom }), boom)
	all, err := s.Profiles(ctx, account)
	check(t, "list", err)
	if diff := cmp.Diff([]iam.InstanceProfile{profile("A"), want}, all); diff != "" {
		t.Error(diff)
	}
	some, err := s.Profiles(ctx, account, "b", "a")
	check(t, "some", err)
	if diff := cmp.Diff([]iam.InstanceProfile{want}, some); diff != "" {
		t.Error(diff)
	}
	if far, err := s.Profiles(ctx, stranger, "b"); err != nil || len(far) != 0 {
		t.Errorf("a stranger sees %v, %v", far, err)
	}
	check(t, "delete", s.DeleteProfile(ctx, account, "A"))
	for what, err := range map[string]error{
		"delete": s.DeleteProfile(ctx, account, "A"), "change": s.ChangeProfile(ctx, account, "A", func(*iam.InstanceProfile) error { return nil }),
		"delete of a stranger's": s.DeleteProfile(ctx, stranger, "b"),
	} {
		refused(t, what, err, iam.ErrNotFound)
		about(t, err, iam.KindProfile)
	}
}

func testProfileRole(t *testing.T, s iam.Store) {
	ctx := t.Context()
	check(t, "create", s.CreateProfile(ctx, profile("p"), plenty))
	give := func(role string) error {
		return s.ChangeProfile(ctx, account, "p", func(p *iam.InstanceProfile) error { p.Role = role; return nil })
	}
	err := give("r")
	refused(t, "a role that is not there", err, iam.ErrNotFound)
	about(t, err, iam.KindRole)
	check(t, "role", s.CreateRole(ctx, role("r"), plenty))
	check(t, "give", give("r"))
	refused(t, "delete with a role", s.DeleteProfile(ctx, account, "p"), iam.ErrInUse)
	refused(t, "delete of the role", s.DeleteRole(ctx, account, "r"), iam.ErrInProfile)
	check(t, "take", give(""))
	check(t, "delete of the role", s.DeleteRole(ctx, account, "r"))
	check(t, "delete", s.DeleteProfile(ctx, account, "p"))
}
