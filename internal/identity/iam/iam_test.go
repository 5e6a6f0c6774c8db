package iam_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/iam/iamtest"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/tag"
)

const (
	account = "111111111111"
	trust   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:Externalid":"vmimport"}}}]}`
	reader  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::images","arn:aws:s3:::images/*"]}]}`
	denier  = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::images/secret/*"}}`
)

var now = time.Date(2024, 1, 2, 3, 4, 5, 678, time.UTC)

func TestMemoryStore(t *testing.T) {
	iamtest.TestStore(t, func(*testing.T) iam.Store { return &iamtest.Memory{} })
}

func service(t *testing.T) (*iam.Service, *iamtest.Memory) {
	t.Helper()
	store := &iamtest.Memory{}
	return iam.New(iam.Options{Store: store, Wrapper: masterKey(t, 7), Tokens: masterKey(t, 7).For(secret.SessionTokens), Now: func() time.Time { return now }}), store
}

func masterKey(t *testing.T, b byte) *secret.MasterKey {
	t.Helper()
	master, err := secret.NewMasterKey(bytes.Repeat([]byte{b}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return master
}

// TestExpectedRootKey: the first node sets the root key, and others must have the same.
func TestExpectedRootKey(t *testing.T) {
	s, store := service(t)
	ctx := t.Context()
	other := iam.New(iam.Options{Store: store, Wrapper: masterKey(t, 8), Tokens: masterKey(t, 8), Now: func() time.Time { return now }})
	for _, tt := range []struct {
		name   string
		node   *iam.Service
		id, by string
		stored string // of the error; empty: there is none
	}{
		{"the first", s, "AKIAROOT", "secret", ""},
		{"the same", s, "AKIAROOT", "secret", ""},
		{"another secret", s, "AKIAROOT", "another", "AKIAROOT"},
		{"another id", s, "AKIAOTHER", "secret", "AKIAROOT"},
		{"under another master key", other, "AKIAROOT", "secret", "AKIAROOT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.node.ExpectRootKey(ctx, account, tt.id, sigv4.NewSecret(tt.by))
			refused, ok := errors.AsType[*iam.OtherRootKeyError](err)
			if ok != (tt.stored != "") || !ok && err != nil || ok && *refused != (iam.OtherRootKeyError{Account: account, Given: tt.id, Stored: tt.stored}) {
				t.Errorf("got %v", err)
			}
			if _, secret, err := s.Lookup(ctx, "AKIAROOT", ""); err != nil || !secret.Equal(sigv4.NewSecret("secret")) {
				t.Errorf("the key was changed: %v", err)
			}
		})
	}
	if err := s.ExpectRootKey(ctx, "222222222222", "AKIAROOT", sigv4.NewSecret("s")); !errors.Is(err, iam.ErrExists) {
		t.Errorf("an id that another account has: %v", err)
	}
}

func TestRootKey(t *testing.T) {
	s, store := service(t)
	ctx := t.Context()
	planted := sigv4.NewSecret("planted secret")
	if err := s.SetRootKey(ctx, account, "AKIAROOT", planted); err != nil {
		t.Fatal(err)
	}
	p, got, err := s.Lookup(ctx, "AKIAROOT", "")
	if err != nil || !got.Equal(planted) {
		t.Fatalf("looked up %v, %v", got.Equal(planted), err)
	}
	if p.Kind != iam.Root || p.Account != account || p.ARN != "arn:aws:iam::111111111111:root" || p.ID != account {
		t.Errorf("principal %+v", p)
	}
	for what, lookup := range map[string][2]string{
		"unknown": {"AKIAOTHER", ""}, "with a token": {"AKIAROOT", "token"}, "empty": {"", ""}, "hostile": {"a'\x00", ""},
	} {
		if _, _, err := s.Lookup(ctx, lookup[0], lookup[1]); !errors.Is(err, iam.ErrUnknownKey) {
			t.Errorf("%s: got %v, want %v", what, err, iam.ErrUnknownKey)
		}
	}
	stored, err := store.AccessKey(ctx, "AKIAROOT")
	if err != nil || bytes.Contains(stored.Wrapped, []byte("planted")) {
		t.Errorf("the secret lies open: %v", err)
	}
	stored.Account = "222222222222"
	stored.ID = "AKIASTOLEN"
	if err := store.SetRootKey(ctx, stored); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Lookup(ctx, "AKIASTOLEN", ""); !errors.Is(err, secret.ErrWrapped) {
		t.Errorf("a secret moved to another row: got %v, want %v", err, secret.ErrWrapped)
	}
	for _, bad := range [][3]string{{"1", "AKIA", "s"}, {account, "a b", "s"}, {account, "AKIA", ""}} {
		if _, ok := errors.AsType[*iam.ValidationError](s.SetRootKey(ctx, bad[0], bad[1], sigv4.NewSecret(bad[2]))); !ok {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestAuthorize(t *testing.T) {
	s, _ := service(t)
	doc := func(text string) policy.Document {
		d, err := policy.Parse(text, policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	root := s.Root(account)
	user := iam.Principal{Account: account, ARN: "arn:aws:iam::111111111111:user/ann", Kind: iam.User, ID: "AIDA1", Name: "ann"}
	own := doc(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::home/${aws:username}/*","Condition":{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::*:user/ann"},"StringEquals":{"aws:PrincipalAccount":"111111111111","aws:PrincipalType":"User","aws:userid":"AIDA1"}}}}`)
	all := doc(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	const taskARN = "arn:aws:ec2:us-east-1:111111111111:import-snapshot-task/import-snap-1"
	for _, c := range []struct {
		name      string
		principal iam.Principal
		action    string
		resource  string
		want      string // text of the refusal, or empty
	}{
		{"root", root, "ec2:ImportSnapshot", taskARN, ""},
		{"root without a resource", root, "iam:ListRoles", "*", ""},
		{"root elsewhere", root, "iam:GetRole", "arn:aws:iam::222222222222:role/r", "because no identity-based policy allows the iam:GetRole action"},
		{"anonymous", iam.Principal{}, "s3:GetObject", "*", "User: anonymous is not"},
		{"user without policies", user, "ec2:ImportSnapshot", taskARN, "User: arn:aws:iam::111111111111:user/ann is not authorized to perform: ec2:ImportSnapshot on resource: " + taskARN + " because no identity-based policy allows the ec2:ImportSnapshot action"},
		{"user in his home", user.WithPolicies(own), "s3:GetObject", "arn:aws:s3:::home/ann/x", ""},
		{"user in another's", user.WithPolicies(own), "s3:GetObject", "arn:aws:s3:::home/bob/x", "because no identity"},
		{"explicit deny", user.WithPolicies(all, doc(denier)), "s3:GetObject", "arn:aws:s3:::images/secret/x", "with an explicit deny in an identity-based policy"},
		{"beside the deny", user.WithPolicies(all, doc(denier)), "s3:GetObject", "arn:aws:s3:::images/x", ""},
		{"user elsewhere", user.WithPolicies(all), "kms:Decrypt", "arn:aws:kms:us-east-1:222222222222:key/k", "because no identity"},
		{"a managed policy", user.WithPolicies(all), "iam:GetPolicy", "arn:aws:iam::aws:policy/ReadOnlyAccess", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := iam.Authorize(t.Context(), c.principal, c.action, nil, c.resource)
			denied, ok := errors.AsType[*iam.DeniedError](err)
			if ok != (c.want != "") || err != nil && !strings.Contains(denied.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if err := iam.Authorize(t.Context(), user.WithPolicies(own), "s3:GetObject", nil, "arn:aws:s3:::home/ann/x", "arn:aws:s3:::home/bob/x"); err == nil {
		t.Error("one of two resources was enough")
	}
}

func TestOrigin(t *testing.T) {
	got := iam.Origin{Time: now, SourceIP: "10.0.0.1", Secure: true, Region: "us-east-1"}.Context()
	want := "map[aws:currenttime:[2024-01-02T03:04:05Z] aws:epochtime:[1704164645] aws:principalisawsservice:[false] aws:requestedregion:[us-east-1] aws:securetransport:[true] aws:sourceip:[10.0.0.1] aws:viaawsservice:[false]]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func makeRole(t *testing.T, s *iam.Service, name, trust string, policies ...iam.Policy) {
	t.Helper()
	if _, err := s.CreateRole(t.Context(), account, iam.RoleSpec{Name: name, Trust: trust}); err != nil {
		t.Fatal(err)
	}
	for _, p := range policies {
		if err := s.PutInline(t.Context(), iam.RoleOwner(account, name), p); err != nil {
			t.Fatal(err)
		}
	}
}

// importCall is an import's request for its role.
func importCall(role string) iam.ServiceCall {
	return iam.ServiceCall{
		Account: account, Role: role, Service: iam.ImportService, ExternalID: iam.ImportExternalID,
		SourceARN: "arn:aws:vmie:us-east-1:111111111111:import-snapshot-task/x",
	}
}

func TestWhomServiceRolesTrust(t *testing.T) {
	external := `"Condition":{"StringEquals":{"sts:Externalid":"vmimport"}}`
	with := func(condition string) string { return strings.Replace(trust, external, condition, 1) }
	for _, c := range []struct {
		name, trust string
		change      func(*iam.ServiceCall)
		want        func(error) bool
	}{
		{"user guide", trust, nil, is(nil)},
		{"no condition", strings.Replace(trust, ","+external, "", 1), nil, is(nil)},
		{"usual case of the key", with(`"Condition":{"StringEquals":{"sts:ExternalId":"vmimport"}}`), nil, is(nil)},
		{"odd case of the key", with(`"Condition":{"StringEquals":{"STS:EXTERNALID":"vmimport"}}`), nil, is(nil)},
		{"StringLike", with(`"Condition":{"StringLike":{"sts:ExternalId":"vm*"}}`), nil, is(nil)},
		{"list of ids", with(`"Condition":{"StringEquals":{"sts:ExternalId":["a","vmimport"]}}`), nil, is(nil)},
		{"another id", with(`"Condition":{"StringEquals":{"sts:ExternalId":"other"}}`), nil, isDenied},
		{"another case of the id", with(`"Condition":{"StringEquals":{"sts:ExternalId":"VMIMPORT"}}`), nil, isDenied},
		{"no id given", trust, func(c *iam.ServiceCall) { c.ExternalID = "" }, isDenied},
		{"source account", with(`"Condition":{"StringEquals":{"aws:SourceAccount":"111111111111"}}`), nil, is(nil)},
		{"another source account", with(`"Condition":{"StringEquals":{"aws:SourceAccount":"222222222222"}}`), nil, isDenied},
		{"source ARN", with(`"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:vmie:*:111111111111:*"}}`), nil, is(nil)},
		{"another account's source ARN", with(`"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:vmie:*:222222222222:*"}}`), nil, isDenied},
		{"no source ARN", with(`"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:vmie:*:111111111111:*"}}`), func(c *iam.ServiceCall) { c.SourceARN = "" }, isDenied},
		{"all of them", with(`"Condition":{"StringEquals":{"sts:Externalid":"vmimport","aws:SourceAccount":"111111111111"},"ArnLike":{"aws:SourceArn":"arn:aws:vmie:*:111111111111:*"}}`), nil, is(nil)},
		{"over TLS only", with(`"Condition":{"Bool":{"aws:SecureTransport":"true"}}`), nil, is(nil)},
		{"services of AWS only", with(`"Condition":{"Bool":{"aws:PrincipalIsAWSService":"true"}}`), nil, is(nil)},
		{"past its date", with(`"Condition":{"DateLessThan":{"aws:CurrentTime":"2024-01-01T00:00:00Z"}}`), nil, isDenied},
		{"another service", strings.Replace(trust, "vmie.", "ec2.", 1), nil, isDenied},
		{"several services", strings.Replace(trust, `"vmie.amazonaws.com"`, `["ec2.amazonaws.com","vmie.amazonaws.com"]`, 1), nil, is(nil)},
		{"an account", strings.Replace(trust, `"Service":"vmie.amazonaws.com"`, `"AWS":"111111111111"`, 1), nil, isDenied},
		{"any action of STS", strings.Replace(trust, "sts:AssumeRole", "sts:*", 1), nil, is(nil)},
		{"another action", strings.Replace(trust, "sts:AssumeRole", "sts:TagSession", 1), nil, isDenied},
		{"denied", strings.Replace(trust, "Allow", "Deny", 1), nil, isDenied},
		{"no role", "", nil, is(iam.ErrNotFound)},
		{"impossible name", "", func(c *iam.ServiceCall) { c.Role = "a/\x00" }, is(iam.ErrNotFound)},
		{"another account's", trust, func(c *iam.ServiceCall) { c.Account = "222222222222" }, is(iam.ErrNotFound)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := service(t)
			call := importCall("vmimport")
			if c.trust != "" {
				makeRole(t, s, call.Role, c.trust)
			}
			if c.change != nil {
				c.change(&call)
			}
			if _, err := s.AssumeServiceRole(t.Context(), call); !c.want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAssumeServiceRole(t *testing.T) {
	s, _ := service(t)
	ctx, call := t.Context(), importCall
	makeRole(t, s, "vmimport", trust, iam.Policy{Name: "p", Document: reader}, iam.Policy{Name: "d", Document: denier})
	p, err := s.AssumeServiceRole(ctx, call("vmimport"))
	if err != nil {
		t.Fatal(err)
	}
	if p.ARN != "arn:aws:sts::111111111111:assumed-role/vmimport/vmimport" || p.Kind != iam.RoleSession || !strings.HasPrefix(p.ID, "AROA") {
		t.Errorf("principal %+v", p)
	}
	for resource, want := range map[string]bool{"images/a.vmdk": true, "images/secret/x": false, "other/a.vmdk": false} {
		if err := iam.Authorize(t.Context(), p, "s3:GetObject", nil, "arn:aws:s3:::"+resource); (err == nil) != want {
			t.Errorf("%s: %v", resource, err)
		}
	}
	// Policies are read anew: a right that is taken away is gone at the next call.
	if err := s.DeleteInline(ctx, iam.RoleOwner(account, "vmimport"), "p"); err != nil {
		t.Fatal(err)
	}
	if p, err = s.AssumeServiceRole(ctx, call("vmimport")); err != nil {
		t.Fatal(err)
	}
	if err := iam.Authorize(t.Context(), p, "s3:GetObject", nil, "arn:aws:s3:::images/a.vmdk"); !isDenied(err) {
		t.Errorf("after the policy is gone: %v", err)
	}
}

func isDenied(err error) bool {
	_, ok := errors.AsType[*iam.DeniedError](err)
	return ok
}

func TestRoleLife(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	made, err := s.CreateRole(ctx, account, iam.RoleSpec{Name: "r", Path: "/x/", Trust: trust, Tags: []tag.Tag{{Key: "b"}, {Key: "a", Value: "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if s.ARN(made) != "arn:aws:iam::111111111111:role/x/r" || len(made.ID) != 21 || made.MaxSession != time.Hour || made.Tags[0].Key != "a" {
		t.Errorf("made %+v", made)
	}
	long := 2 * time.Hour
	text := "d"
	for what, err := range map[string]error{
		"trust":  s.UpdateAssumeRolePolicy(ctx, account, "r", strings.Replace(trust, "vmie", "ec2", 1)),
		"update": s.UpdateRole(ctx, account, "r", iam.RoleUpdate{Description: &text, MaxSession: &long}),
		"tag":    s.TagRole(ctx, account, "r", []tag.Tag{{Key: "c", Value: "2"}}),
		"untag":  s.UntagRole(ctx, account, "r", []string{"a", "none"}),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	got, err := s.GetRole(ctx, account, "r")
	if err != nil || !strings.Contains(got.Trust, "ec2") || got.Description != "d" || got.MaxSession != long || fmt.Sprint(got.Tags) != "[{b } {c 2}]" {
		t.Errorf("got %+v, %v", got, err)
	}
	for prefix, want := range map[string]int{"": 1, "/": 1, "/x": 1, "/y/": 0} {
		if list, err := s.ListRoles(ctx, account, prefix); err != nil || len(list) != want {
			t.Errorf("prefix %q: %v, %v", prefix, list, err)
		}
	}
	if _, err := s.GetInline(ctx, iam.RoleOwner(account, "r"), "none"); !errors.Is(err, iam.ErrNotFound) {
		t.Errorf("no policy: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	makeRole(t, s, "r", trust, iam.Policy{Name: "old", Document: padded(reader, 6000)})
	create := func(r iam.RoleSpec) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := s.CreateRole(ctx, account, r)
			return err
		}
	}
	put := func(p iam.Policy) func(context.Context) error {
		return func(ctx context.Context) error { return s.PutInline(ctx, iam.RoleOwner(account, "r"), p) }
	}
	short := time.Minute
	var validation *iam.ValidationError
	var syntax *policy.SyntaxError
	var tags *tag.Error
	var limit *iam.LimitError
	for _, c := range []struct {
		name string
		call func(context.Context) error
		want func(error) bool
	}{
		{"no name", create(iam.RoleSpec{Trust: trust}), as(&validation)},
		{"long name", create(iam.RoleSpec{Name: strings.Repeat("x", 65), Trust: trust}), as(&validation)},
		{"name with a slash", create(iam.RoleSpec{Name: "a/b", Trust: trust}), as(&validation)},
		{"path without an end", create(iam.RoleSpec{Name: "a", Path: "/b", Trust: trust}), as(&validation)},
		{"long description", create(iam.RoleSpec{Name: "a", Trust: trust, Description: strings.Repeat("é", 1001)}), as(&validation)},
		{"description no terminal shows", create(iam.RoleSpec{Name: "a", Trust: trust, Description: "\x00"}), as(&validation)},
		{"long session", create(iam.RoleSpec{Name: "a", Trust: trust, MaxSession: 13 * time.Hour}), as(&validation)},
		{"no trust", create(iam.RoleSpec{Name: "a"}), as(&validation)},
		{"trust with a resource", create(iam.RoleSpec{Name: "a", Trust: reader}), as(&syntax)},
		{"long trust", create(iam.RoleSpec{Name: "a", Trust: padded(trust, 2048)}), as(&limit)},
		{"bad tag", create(iam.RoleSpec{Name: "a", Trust: trust, Tags: []tag.Tag{{Key: "aws:x"}}}), as(&tags)},
		{"there already", create(iam.RoleSpec{Name: "R", Trust: trust}), is(iam.ErrExists)},
		{"policy without a name", put(iam.Policy{Document: reader}), as(&validation)},
		{"malformed policy", put(iam.Policy{Name: "p", Document: "{"}), as(&syntax)},
		{"policies too long together", put(iam.Policy{Name: "p", Document: padded(reader, 6000)}), as(&limit)},
		{"policy in place of the long one", put(iam.Policy{Name: "old", Document: padded(reader, 6000)}), is(nil)},
		{"delete with policies", func(ctx context.Context) error { return s.DeleteRole(ctx, account, "r") }, is(iam.ErrInUse)},
		{"hostile name", func(ctx context.Context) error { return s.DeleteRole(ctx, account, "\x00") }, as(&validation)},
		{"hostile policy name", func(ctx context.Context) error { return s.DeleteInline(ctx, iam.RoleOwner(account, "r"), "\xff") }, as(&validation)},
		{"short session", func(ctx context.Context) error {
			return s.UpdateRole(ctx, account, "r", iam.RoleUpdate{MaxSession: &short})
		}, as(&validation)},
		{"malformed trust", func(ctx context.Context) error { return s.UpdateAssumeRolePolicy(ctx, account, "r", "{") }, as(&syntax)},
		{"malformed tag", func(ctx context.Context) error { return s.TagRole(ctx, account, "r", []tag.Tag{{}}) }, as(&tags)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.call(ctx); !c.want(err) {
				t.Errorf("got %T %v", err, err)
			}
		})
	}
}

func is(want error) func(error) bool { return func(got error) bool { return errors.Is(got, want) } }

func as[E error](target *E) func(error) bool {
	return func(got error) bool { return errors.As(got, target) }
}

// padded lengthens a document by n characters that count towards its quota.
func padded(document string, n int) string {
	return strings.Replace(document, `"Version"`, `"Id":"`+strings.Repeat("x", n)+`","Version"`, 1)
}
