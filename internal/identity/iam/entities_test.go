package iam_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/iam/iamtest"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/tag"
)

func TestUserLife(t *testing.T) {
	s, store := service(t)
	ctx := t.Context()
	id := makeUser(t, s, account, "ann", reader)
	p := key(t, s, id)
	if p.Kind != iam.User || p.ARN != "arn:aws:iam::111111111111:user/p/ann" || p.Name != "ann" || !strings.HasPrefix(p.ID, "AIDA") || p.Since.IsZero() {
		t.Errorf("principal %+v", p)
	}
	if stored, err := store.AccessKey(ctx, id); err != nil || len(id) != 20 || !strings.HasPrefix(id, "AKIA") || len(stored.Wrapped) < 40 {
		t.Errorf("key %+v, %v", stored, err)
	}
	if err := s.UpdateUser(ctx, account, "ann", "eve", "/q/"); err != nil {
		t.Fatal(err)
	}
	if p = key(t, s, id); p.ARN != "arn:aws:iam::111111111111:user/q/eve" {
		t.Errorf("renamed user is %s", p.ARN)
	}
	if err := s.TagUser(ctx, account, "eve", []tag.Tag{{Key: "team", Value: "disks"}, {Key: "x"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.UntagUser(ctx, account, "eve", []string{"x"}); err != nil {
		t.Fatal(err)
	}
	own := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:PrincipalTag/team}/${aws:username}/*"}}`
	if err := s.PutInline(ctx, iam.UserOwner(account, "eve"), iam.Policy{Name: "own", Document: own}); err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[string]bool{"disks/eve/x": true, "disks/ann/x": false, "images/x": false} {
		if err := iam.Authorize(t.Context(), key(t, s, id), "s3:PutObject", nil, "arn:aws:s3:::"+resource); (err == nil) != want {
			t.Errorf("%s: %v", resource, err)
		}
	}
	if err := s.DeleteAccessKey(ctx, account, "eve", id); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Lookup(ctx, id, ""); !errors.Is(err, iam.ErrUnknownKey) {
		t.Errorf("deleted key: %v", err)
	}
}

func TestKeyUse(t *testing.T) {
	store := &iamtest.Memory{}
	at := now
	s := iam.New(iam.Options{Store: store, Wrapper: masterKey(t, 7), Tokens: masterKey(t, 7).For(secret.SessionTokens), Now: func() time.Time { return at }})
	ctx := t.Context()
	id := makeUser(t, s, account, "ann")
	used := func() iam.KeyUse {
		k, err := s.GetAccessKey(ctx, account, id)
		if err != nil {
			t.Fatal(err)
		}
		return k.Used
	}
	note := func(service string) {
		if err := s.Used(ctx, key(t, s, id), service, "us-east-1"); err != nil {
			t.Fatal(err)
		}
	}
	if got := used(); got != (iam.KeyUse{}) {
		t.Errorf("a new key was used: %+v", got)
	}
	note("ec2")
	at = now.Add(14 * time.Minute)
	note("s3") // soon after: costs no write
	if got := used(); got.Service != "ec2" || !got.Time.Equal(now) {
		t.Errorf("used %+v", got)
	}
	at = now.Add(15 * time.Minute)
	note("s3")
	if got := used(); got.Service != "s3" || !got.Time.Equal(at) {
		t.Errorf("used %+v", got)
	}
	if err := s.Used(ctx, s.Root(account), "s3", ""); err != nil {
		t.Errorf("a principal without a key: %v", err)
	}
}

func TestManagedPolicies(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	id := makeUser(t, s, account, "ann")
	allowing := func(action string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"` + action + `","Resource":"*"}}`
	}
	m, err := s.CreatePolicy(ctx, account, iam.PolicySpec{Name: "p", Path: "/x/", Document: allowing("ec2:*"), Tags: []tag.Tag{{Key: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	arn := s.ARNOfPolicy(m)
	for _, arn := range []string{arn, "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"} {
		if err := s.AttachPolicy(ctx, iam.UserOwner(account, "ann"), arn); err != nil {
			t.Fatal(err)
		}
	}
	may := func(action string) bool { return iam.Authorize(t.Context(), key(t, s, id), action, nil, "*") == nil }
	if !may("ec2:DescribeSnapshots") || !may("s3:GetObject") || may("s3:PutObject") {
		t.Error("attached policies do not bind")
	}
	v, err := s.CreatePolicyVersion(ctx, account, arn, iam.VersionSpec{Document: allowing("kms:*")})
	if err != nil || v.Number != 2 || may("kms:Decrypt") {
		t.Errorf("version %+v, %v; in force %v", v, err, may("kms:Decrypt"))
	}
	if err := s.SetDefaultPolicyVersion(ctx, account, arn, "v2"); err != nil || !may("kms:Decrypt") || may("ec2:DescribeSnapshots") {
		t.Errorf("the new version is not in force: %v", err)
	}
	if err := s.DeletePolicyVersion(ctx, account, arn, "v1"); err != nil {
		t.Error(err)
	}
	if v, err = s.CreatePolicyVersion(ctx, account, arn, iam.VersionSpec{Document: allowing("s3:*"), Default: true}); err != nil || v.Number != 3 || !may("s3:PutObject") {
		t.Errorf("version %+v, %v", v, err)
	}
	for what, err := range map[string]error{
		"tag": s.TagPolicy(ctx, account, arn, []tag.Tag{{Key: "a"}}), "untag": s.UntagPolicy(ctx, account, arn, []string{"k"}),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	got, err := s.GetPolicy(ctx, account, arn)
	if err != nil || got.Default != 3 || len(got.Versions) != 2 || got.Attachments != 1 || fmt.Sprint(got.Tags) != "[{a }]" {
		t.Errorf("got %+v, %v", got, err)
	}
	if owners, err := s.OwnersOf(ctx, account, arn, ""); err != nil || fmt.Sprint(owners) != "[{111111111111 user ann}]" {
		t.Errorf("owners %v, %v", owners, err)
	}
	for name, c := range map[string]struct {
		query iam.PolicyQuery
		want  string
	}{
		"local": {iam.PolicyQuery{Local: true}, "p"}, "attached": {iam.PolicyQuery{AWS: true, Local: true, OnlyAttached: true}, "AmazonS3ReadOnlyAccess p"},
		"path": {iam.PolicyQuery{AWS: true, Local: true, PathPrefix: "/x/"}, "p"}, "role path": {iam.PolicyQuery{AWS: true, PathPrefix: "/service-role/"}, "VMImportExportRoleForAWSConnector"},
	} {
		list, err := s.ListPolicies(ctx, account, c.query)
		var names []string
		for _, m := range list {
			names = append(names, m.Name)
		}
		if err != nil || strings.Join(names, " ") != c.want {
			t.Errorf("%s: %v, %v; want %s", name, names, err, c.want)
		}
	}
	if err := s.DetachPolicy(ctx, iam.UserOwner(account, "ann"), arn); err != nil || may("s3:PutObject") {
		t.Errorf("detached policy: %v", err)
	}
}

// TestAWSPolicies evaluates every AWS managed policy, and checks that it allows
// what its name says.
func TestAWSPolicies(t *testing.T) {
	s, _ := service(t)
	list, err := s.ListPolicies(t.Context(), account, iam.PolicyQuery{AWS: true})
	if err != nil {
		t.Fatal(err)
	}
	documents := map[string]policy.Document{}
	for _, m := range list {
		d, err := policy.Parse(m.Versions[0].Document, policy.Identity)
		if err != nil || m.ID == "" || !strings.HasPrefix(s.ARNOfPolicy(m), "arn:aws:iam::aws:policy/") {
			t.Errorf("%s: %+v, %v", m.Name, m, err)
		}
		documents[m.Name] = d
	}
	for _, c := range []struct {
		name, action string
		want         policy.Decision
	}{
		{"AdministratorAccess", "iam:CreateUser", policy.Allow},
		{"PowerUserAccess", "ec2:ImportSnapshot", policy.Allow},
		{"PowerUserAccess", "iam:CreateUser", policy.NoMatch},
		{"ReadOnlyAccess", "ebs:GetSnapshotBlock", policy.Allow},
		{"ReadOnlyAccess", "ec2:ImportSnapshot", policy.NoMatch},
		{"IAMFullAccess", "iam:CreateUser", policy.Allow},
		{"IAMReadOnlyAccess", "iam:CreateUser", policy.NoMatch},
		{"AmazonEC2FullAccess", "ec2:ImportSnapshot", policy.Allow},
		{"AmazonEC2ReadOnlyAccess", "ec2:ImportSnapshot", policy.NoMatch},
		{"AWSImageBuilderFullAccess", "ec2:DescribeImages", policy.Allow}, {"AWSImageBuilderFullAccess", "ec2:ImportImage", policy.NoMatch},
		{"AmazonS3FullAccess", "s3:PutObject", policy.Allow},
		{"AmazonS3ReadOnlyAccess", "s3:PutObject", policy.NoMatch},
		{"AWSKeyManagementServicePowerUser", "kms:CreateKey", policy.Allow},
		{"AWSKeyManagementServicePowerUser", "kms:Decrypt", policy.NoMatch},
		{"VMImportExportRoleForAWSConnector", "ec2:DescribeSnapshots", policy.Allow},
	} {
		if got := documents[c.name].Evaluate(policy.NewWork(t.Context()), policy.Request{Action: c.action, Resource: "*"}); got != c.want {
			t.Errorf("%s %s: got %v, want %v", c.name, c.action, got, c.want)
		}
	}
}

func TestEntityRefusals(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	makeUser(t, s, account, "ann", reader)
	makeUser(t, s, account, "bob")
	makeUser(t, s, other, "far")
	m, err := s.CreatePolicy(ctx, account, iam.PolicySpec{Name: "p", Document: reader})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := s.CreatePolicyVersion(ctx, account, s.ARNOfPolicy(m), iam.VersionSpec{Document: reader, Default: true}); err != nil {
			t.Fatal(err)
		}
	}
	full := iam.UserOwner(account, "bob")
	for i := range 10 {
		m, err := s.CreatePolicy(ctx, account, iam.PolicySpec{Name: fmt.Sprint("full", i), Document: reader})
		if err != nil || s.AttachPolicy(ctx, full, s.ARNOfPolicy(m)) != nil {
			t.Fatal(err)
		}
	}
	bob, ann, arn := iam.UserOwner(account, "bob"), iam.UserOwner(account, "ann"), s.ARNOfPolicy(m)
	const admin = "arn:aws:iam::aws:policy/AdministratorAccess"
	var validation *iam.ValidationError
	var noARN *iam.ARNError
	var syntax *policy.SyntaxError
	var limit *iam.LimitError
	var tags *tag.Error
	for _, c := range []struct {
		name string
		call func(context.Context) error
		want func(error) bool
	}{
		{"user without a name", second(s.CreateUser, account, iam.UserSpec{}), as(&validation)},
		{"user's path", second(s.CreateUser, account, iam.UserSpec{Name: "x", Path: "x"}), as(&validation)},
		{"user's tags", second(s.CreateUser, account, iam.UserSpec{Name: "x", Tags: []tag.Tag{{}}}), as(&tags)},
		{"user that is there", second(s.CreateUser, account, iam.UserSpec{Name: "ANN"}), is(iam.ErrExists)},
		{"get nobody", second(s.GetUser, account, "none"), is(iam.ErrNotFound)},
		{"get another account's", second(s.GetUser, account, "far"), is(iam.ErrNotFound)},
		{"rename badly", func(ctx context.Context) error { return s.UpdateUser(ctx, account, "ann", "a b", "") }, as(&validation)},
		{"rename to another's", func(ctx context.Context) error { return s.UpdateUser(ctx, account, "ann", "Bob", "") }, is(iam.ErrExists)},
		{"delete with policies", func(ctx context.Context) error { return s.DeleteUser(ctx, account, "ann") }, is(iam.ErrInUse)},
		{"first key of nobody", second(s.ListAccessKeys, account, "none"), is(iam.ErrNotFound)},
		{"a key that is none", func(ctx context.Context) error { return s.DeleteAccessKey(ctx, account, "ann", "AKIANONE") }, is(iam.ErrNotFound)},
		{"a key id that can't be", func(ctx context.Context) error { return s.DeleteAccessKey(ctx, account, "ann", "'") }, as(&validation)},
		{"another's key", second(s.GetAccessKey, account, "AKIANONE"), is(iam.ErrUnknownKey)},
		{"long user policies", func(ctx context.Context) error {
			return s.PutInline(ctx, ann, iam.Policy{Name: "long", Document: padded(reader, 2000)})
		}, as(&limit)},
		{"policy without a name", second(s.CreatePolicy, account, iam.PolicySpec{Document: reader}), as(&validation)},
		{"malformed policy", second(s.CreatePolicy, account, iam.PolicySpec{Name: "x", Document: trust}), as(&syntax)},
		{"long policy", second(s.CreatePolicy, account, iam.PolicySpec{Name: "x", Document: padded(reader, 6144)}), as(&limit)},
		{"policy that is there", second(s.CreatePolicy, account, iam.PolicySpec{Name: "P", Document: reader}), is(iam.ErrExists)},
		{"sixth version", func(ctx context.Context) error {
			_, err := s.CreatePolicyVersion(ctx, account, arn, iam.VersionSpec{Document: reader})
			return err
		}, as(&limit)},
		{"no version", func(ctx context.Context) error { return s.SetDefaultPolicyVersion(ctx, account, arn, "v9") }, is(iam.ErrNotFound)},
		{"odd version", func(ctx context.Context) error { return s.DeletePolicyVersion(ctx, account, arn, "9") }, as(&validation)},
		{"version in force", func(ctx context.Context) error { return s.DeletePolicyVersion(ctx, account, arn, "v5") }, is(iam.ErrInUse)},
		{"policy with versions", func(ctx context.Context) error { return s.DeletePolicy(ctx, account, arn) }, is(iam.ErrVersions)},
		{"policy on another path", second(s.GetPolicy, account, "arn:aws:iam::111111111111:policy/x/p"), is(iam.ErrNotFound)},
		{"another account's policy", second(s.GetPolicy, other, arn), is(iam.ErrNotFound)},
		{"no ARN", second(s.GetPolicy, account, "p"), as(&noARN)},
		{"AWS's own", func(ctx context.Context) error { return s.DeletePolicy(ctx, account, admin) }, as(&validation)},
		{"attach nothing", func(ctx context.Context) error {
			return s.AttachPolicy(ctx, ann, "arn:aws:iam::aws:policy/None")
		}, is(iam.ErrNotFound)},
		{"attach an eleventh", func(ctx context.Context) error { return s.AttachPolicy(ctx, bob, admin) }, as(&limit)},
		{"attach another account's", func(ctx context.Context) error { return s.AttachPolicy(ctx, iam.UserOwner(other, "far"), arn) }, is(iam.ErrNotFound)},
		{"detach what is not there", func(ctx context.Context) error { return s.DetachPolicy(ctx, ann, admin) }, is(iam.ErrNotFound)},
		{"detach no ARN", func(ctx context.Context) error { return s.DetachPolicy(ctx, ann, "x") }, as(&noARN)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.call(ctx); !c.want(err) {
				t.Errorf("got %T %v", err, err)
			}
		})
	}
	if _, _, err := s.CreateAccessKey(ctx, account, "ann"); err != nil {
		t.Error(err)
	}
	if _, _, err := s.CreateAccessKey(ctx, account, "ann"); !as(&limit)(err) {
		t.Errorf("third key: %v", err)
	}
}

// second calls a method whose result does not matter.
func second[A, T any](method func(context.Context, string, A) (T, error), account string, arg A) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := method(ctx, account, arg)
		return err
	}
}

func TestAccounts(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	made, secret, err := s.AddAccount(ctx, "")
	if err != nil || len(made.ID) != 12 || made.KeyID == "" {
		t.Fatalf("made %+v, %v", made, err)
	}
	p, got, err := s.Lookup(ctx, made.KeyID, "")
	if err != nil || !got.Equal(secret) || p.Kind != iam.Root || p.Account != made.ID {
		t.Errorf("root of it is %+v, %v", p, err)
	}
	given, _, err := s.AddAccount(ctx, account)
	if err != nil || given.ID != account {
		t.Errorf("made %+v, %v", given, err)
	}
	if _, _, err := s.AddAccount(ctx, account); !errors.Is(err, iam.ErrExists) {
		t.Errorf("made again: %v", err)
	}
	if _, _, err := s.AddAccount(ctx, "12"); err == nil {
		t.Error("an account of two digits")
	}
	if list, err := s.Accounts(ctx); err != nil || len(list) != 2 {
		t.Errorf("list %+v, %v", list, err)
	}
	owning := func(what string, err error) func(context.Context, string) (string, error) {
		return func(context.Context, string) (string, error) { return what, err }
	}
	boom := errors.New("boom")
	if err := s.RemoveAccount(ctx, account, owning("", boom)); !errors.Is(err, boom) {
		t.Errorf("got %v, want %v", err, boom)
	}
	err = s.RemoveAccount(ctx, account, owning("2 snapshots", nil))
	if !errors.Is(err, iam.ErrInUse) || !strings.Contains(err.Error(), "2 snapshots") {
		t.Errorf("account that owns something: %v", err)
	}
	if err := s.RemoveAccount(ctx, account, owning("", nil)); err != nil {
		t.Error(err)
	}
	if _, _, err := s.AddAccount(ctx, account); !errors.Is(err, iam.ErrRemoved) || !strings.Contains(err.Error(), "choose another id") {
		t.Errorf("the id of a removed account: %v", err)
	}
	if _, _, err := s.Lookup(ctx, given.KeyID, ""); !errors.Is(err, iam.ErrUnknownKey) {
		t.Errorf("key of a removed account: %v", err)
	}
}

func TestEstate(t *testing.T) {
	boom := errors.New("boom")
	kind := func(name string, n int, err error) iam.Owned {
		return iam.Owned{Kind: name, Count: func(_ context.Context, id string) (int, error) {
			if id != account {
				return 0, nil
			}
			return n, err
		}}
	}
	e := iam.Estate{kind("snapshot", 3, nil), kind("image", 0, nil), kind("bucket", 1, nil)}
	for id, want := range map[string]string{account: "3 snapshots, 1 bucket", "999999999999": ""} {
		if got, err := e.Owns(t.Context(), id); err != nil || got != want {
			t.Errorf("account %s owns %q, %v, want %q", id, got, err, want)
		}
	}
	if _, err := append(e, kind("key", 0, boom)).Owns(t.Context(), account); !errors.Is(err, boom) {
		t.Errorf("a count that fails: got %v, want %v", err, boom)
	}
}

func TestDetails(t *testing.T) {
	c := policy.Context{}
	iam.Details{
		RequestTags: []tag.Tag{{Key: "a", Value: "1"}}, TagKeys: []string{"b"}, ResourceTags: tag.Set{{Key: "c", Value: "3"}}, CreateAction: "ImportSnapshot",
	}.AddTo(c)
	want := "map[aws:requesttag/a:[1] aws:resourcetag/c:[3] aws:tagkeys:[b a] ec2:createaction:[ImportSnapshot]]"
	if fmt.Sprint(c) != want {
		t.Errorf("got %v, want %s", c, want)
	}
	none := policy.Context{}
	iam.Details{}.AddTo(none)
	if len(none) != 0 {
		t.Errorf("got %v", none)
	}
}

// TestTagKeysDifferByMoreThanCase: IAM keeps the case of a tag's key, and does not tell keys apart by it.
func TestTagKeysDifferByMoreThanCase(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	twice := []tag.Tag{{Key: "Team", Value: "a"}, {Key: "team", Value: "b"}}
	var refusal *tag.Error
	if _, err := s.CreateUser(ctx, account, iam.UserSpec{Name: "max", Tags: twice}); !errors.As(err, &refusal) || refusal.Code != "InvalidInput" {
		t.Errorf("one key in two ways: %v", err)
	}
	if _, err := s.CreateUser(ctx, account, iam.UserSpec{Name: "max", Tags: twice[:1]}); err != nil {
		t.Fatal(err)
	}
	if err := s.TagUser(ctx, account, "max", twice); !errors.As(err, &refusal) {
		t.Errorf("one key in two ways: %v", err)
	}
	if err := s.TagUser(ctx, account, "max", append(twice[1:], tag.Tag{Key: "z"})); err != nil {
		t.Fatal(err)
	}
	got, err := s.GetUser(ctx, account, "max")
	if want := (tag.Set{{Key: "team", Value: "b"}, {Key: "z"}}); err != nil || !slices.Equal(got.Tags, want) {
		t.Errorf("got %v, %v, want %v", got.Tags, err, want)
	}
	if err := s.UntagUser(ctx, account, "max", []string{"TEAM"}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.GetUser(ctx, account, "max"); err != nil || len(got.Tags) != 1 {
		t.Errorf("left are %v, %v", got.Tags, err)
	}
}
