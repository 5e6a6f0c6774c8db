package iam_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/identity/sigv4"
)

func allowing(actions string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` + actions + `],"Resource":"*"}]}`
}

// makePolicy makes a managed policy and returns its ARN.
func makePolicy(t *testing.T, s *iam.Service, name, document string) string {
	t.Helper()
	m, err := s.CreatePolicy(t.Context(), account, iam.PolicySpec{Name: name, Document: document})
	if err != nil {
		t.Fatal(err)
	}
	return s.ARNOfPolicy(m)
}

// TestBoundary looks at what a user may do within a boundary that changes.
func TestBoundary(t *testing.T) {
	s, _ := service(t)
	ctx, ann := t.Context(), iam.UserOwner(account, "ann")
	id := makeUser(t, s, account, "ann", allowing(`"s3:*","ec2:*"`))
	own := makePolicy(t, s, "limit", strings.Replace(allowing(`"s3:*","kms:*"`), `"Statement":[`, `"Statement":[{"Effect":"Deny","Action":"s3:DeleteObject","Resource":"*"},`, 1))
	for _, c := range []struct {
		name, boundary string
		want           map[string]string // by action, a part of the refusal or empty
	}{
		{"none", "", map[string]string{"s3:GetObject": "", "ec2:RunInstances": "", "kms:Decrypt": "because no identity-based policy allows the kms:Decrypt action"}},
		{"the account's", own, map[string]string{
			"s3:GetObject": "", "ec2:RunInstances": "because no permissions boundary allows the ec2:RunInstances action",
			"kms:Decrypt": "because no identity-based policy allows", "s3:DeleteObject": "with an explicit deny in a permissions boundary",
		}},
		{"AWS's", "arn:aws:iam::aws:policy/AmazonEC2FullAccess", map[string]string{"s3:GetObject": "because no permissions boundary allows", "ec2:RunInstances": ""}},
		{"none again", "", map[string]string{"s3:DeleteObject": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := s.DeleteBoundary(ctx, ann)
			if c.boundary != "" {
				err = s.PutBoundary(ctx, ann, c.boundary)
			}
			if err != nil {
				t.Fatal(err)
			}
			if u, err := s.GetUser(ctx, account, "ann"); err != nil || u.Boundary != c.boundary {
				t.Errorf("the boundary is %q, %v", u.Boundary, err)
			}
			for action, want := range c.want {
				err := iam.Authorize(ctx, key(t, s, id), action, nil, "*")
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want %q", action, err, want)
				}
			}
		})
	}
}

// TestBoundedSession is about a role with a boundary, and a session with a policy.
func TestBoundedSession(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	limit := makePolicy(t, s, "limit", allowing(`"s3:*","kms:*"`))
	role, err := s.CreateRole(ctx, account, iam.RoleSpec{Name: "r", Trust: trusting(account, ""), Boundary: limit})
	if err != nil || role.Boundary != limit {
		t.Fatalf("made %+v, %v", role, err)
	}
	if err := s.PutInline(ctx, iam.RoleOwner(account, "r"), iam.Policy{Name: "p", Document: allowing(`"s3:*","ec2:*"`)}); err != nil {
		t.Fatal(err)
	}
	caller := key(t, s, makeUser(t, s, account, "ann", anyRole))
	assume := func(document string) iam.Principal {
		t.Helper()
		got, err := s.AssumeRole(ctx, iam.RoleCall{Caller: caller, RoleARN: s.ARN(role), SessionName: "s1", Policy: document})
		if err != nil {
			t.Fatal(err)
		}
		return who(t, s, got.Credentials)
	}
	for _, c := range []struct {
		name   string
		p      iam.Principal
		action string
		want   string
	}{
		{"within", assume(""), "s3:GetObject", ""},
		{"beyond the boundary", assume(""), "ec2:RunInstances", "no permissions boundary"},
		{"beyond the role", assume(""), "kms:Decrypt", "no identity-based policy"},
		{"within both", assume(allowing(`"s3:GetObject","ec2:*"`)), "s3:GetObject", ""},
		{"beyond the session's policy", assume(allowing(`"s3:GetObject","ec2:*"`)), "s3:PutObject", "no session policy"},
		{"beyond the boundary, within the session's policy", assume(allowing(`"s3:GetObject","ec2:*"`)), "ec2:RunInstances", "no permissions boundary"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := iam.Authorize(ctx, c.p, c.action, nil, "*")
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	service, err := s.AssumeServiceRole(ctx, iam.ServiceCall{Account: account, Role: "r", Service: iam.ImportService})
	if err == nil {
		t.Errorf("assumed by a service that it does not trust: %+v", service)
	}
}

// TestBoundariesAndResourcePolicies: what a resource's policy allows a user is not
// limited, nor what it allows a session by name; what it allows a role is.
func TestBoundariesAndResourcePolicies(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	nothing := makePolicy(t, s, "nothing", allowing(`"sts:*"`))
	role, err := s.CreateRole(ctx, account, iam.RoleSpec{Name: "r", Trust: trusting(account, ""), Boundary: nothing})
	if err != nil {
		t.Fatal(err)
	}
	id := makeUser(t, s, account, "ann", anyRole)
	if err := s.PutBoundary(ctx, iam.UserOwner(account, "ann"), nothing); err != nil {
		t.Fatal(err)
	}
	ann := key(t, s, id)
	got, err := s.AssumeRole(ctx, iam.RoleCall{Caller: ann, RoleARN: s.ARN(role), SessionName: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	session := who(t, s, got.Credentials)
	federation, err := s.FederationToken(ctx, iam.FederationCall{Caller: ann, Name: "guest"})
	if err != nil {
		t.Fatal(err)
	}
	guest := who(t, s, federation.Credentials)
	for _, c := range []struct {
		name      string
		p         iam.Principal
		principal string
		want      iam.PolicyType
	}{
		{"a user by name", ann, s.UserARN(account, "p/ann"), ""},
		{"a user by account", ann, account, ""}, // her own policies, which are limited, must allow it
		{"everybody, a user", ann, "*", ""},
		{"a role", session, s.ARN(role), iam.Boundary},
		{"a session", session, "arn:aws:sts::111111111111:assumed-role/r/s1", ""},
		{"another session", session, "arn:aws:sts::111111111111:assumed-role/r/s2", iam.Boundary},
		{"everybody, a session", session, "*", iam.Boundary},
		{"a federated user by name", guest, "arn:aws:sts::111111111111:federated-user/guest", ""},
		{"the user who is federated", guest, s.UserARN(account, "p/ann"), iam.Boundary},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, err := s.BindPrincipals(ctx, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"`+c.principal+`"},"Action":"kms:Decrypt","Resource":"*"}}`)
			if err != nil {
				t.Fatal(err)
			}
			d, err := policy.Parse(text, policy.Resource)
			if err != nil {
				t.Fatal(err)
			}
			v, err := iam.Decide(ctx, c.p, iam.Access{Action: "kms:Decrypt", Resource: "arn:aws:kms:us-east-1:111111111111:key/k", Policy: d})
			if err != nil || v.Beyond != c.want || v.Own == policy.Allow {
				t.Errorf("got %+v, %v, want %q", v, err, c.want)
			}
		})
	}
}

func TestBoundariesThatCannotBe(t *testing.T) {
	s, _ := service(t)
	ctx, ann := t.Context(), iam.UserOwner(account, "ann")
	makeUser(t, s, account, "ann")
	own := makePolicy(t, s, "limit", reader)
	for _, c := range []struct {
		name, arn string
		want      func(error) bool
	}{
		{"no ARN", "limit", as(new(*iam.ARNError))},
		{"nothing", "", as(new(*iam.ARNError))},
		{"a policy that is not there", "arn:aws:iam::111111111111:policy/none", is(iam.ErrNotFound)},
		{"a policy of AWS that is not there", "arn:aws:iam::aws:policy/None", is(iam.ErrNotFound)},
		{"another account's", "arn:aws:iam::222222222222:policy/limit", is(iam.ErrNotFound)},
		{"a user", "arn:aws:iam::111111111111:user/p/ann", as(new(*iam.ARNError))},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := s.PutBoundary(ctx, ann, c.arn); !c.want(err) {
				t.Errorf("got %T %v", err, err)
			}
			if c.arn == "" {
				return
			}
			if _, err := s.CreateUser(ctx, account, iam.UserSpec{Name: "bob", Boundary: c.arn}); !c.want(err) {
				t.Errorf("creating: got %T %v", err, err)
			}
		})
	}
	if err := s.PutBoundary(ctx, ann, own); err != nil {
		t.Fatal(err)
	}
	if err := s.DeletePolicy(ctx, account, own); !errors.Is(err, iam.ErrInUse) {
		t.Errorf("deleting somebody's boundary: %v", err)
	}
	for use, want := range map[iam.Use]int{iam.AsBoundary: 1, iam.AsPermissions: 0, "": 1} {
		if owners, err := s.OwnersOf(ctx, account, own, use); err != nil || len(owners) != want {
			t.Errorf("used as %q by %v, %v", use, owners, err)
		}
		list, err := s.ListPolicies(ctx, account, iam.PolicyQuery{Local: true, OnlyAttached: true, Use: use})
		if err != nil || len(list) != want {
			t.Errorf("policies used as %q: %v, %v", use, list, err)
		}
	}
}

func TestFederation(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	ann := key(t, s, makeUser(t, s, account, "ann", allowing(`"s3:*","ec2:*"`)))
	managed := makePolicy(t, s, "reader", allowing(`"s3:Get*"`))
	ask := func(c iam.FederationCall) iam.Principal {
		t.Helper()
		c.Name = "guest"
		got, err := s.FederationToken(ctx, c)
		if err != nil || got.ARN != "arn:aws:sts::111111111111:federated-user/guest" || got.ID != account+":guest" {
			t.Fatalf("got %+v, %v", got, err)
		}
		return who(t, s, got.Credentials)
	}
	for _, c := range []struct {
		name   string
		p      iam.Principal
		action string
		want   bool
	}{
		{"without a policy", ask(iam.FederationCall{Caller: ann}), "s3:GetObject", false},
		{"with both", ask(iam.FederationCall{Caller: ann, Policy: allowing(`"s3:*","kms:*"`)}), "s3:GetObject", true},
		{"beyond the user", ask(iam.FederationCall{Caller: ann, Policy: allowing(`"s3:*","kms:*"`)}), "kms:Decrypt", false},
		{"beyond the session", ask(iam.FederationCall{Caller: ann, Policy: allowing(`"s3:*","kms:*"`)}), "ec2:RunInstances", false},
		{"with a managed policy", ask(iam.FederationCall{Caller: ann, PolicyARNs: []string{managed}}), "s3:GetObject", true},
		{"beyond the managed policy", ask(iam.FederationCall{Caller: ann, PolicyARNs: []string{managed}}), "s3:PutObject", false},
		{"by root", ask(iam.FederationCall{Caller: rootOf(t, s), Policy: allowing(`"kms:*"`)}), "kms:Decrypt", true},
		{"by root, beyond the session", ask(iam.FederationCall{Caller: rootOf(t, s), Policy: allowing(`"kms:*"`)}), "s3:GetObject", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := iam.Authorize(ctx, c.p, c.action, nil, "*"); (err == nil) != c.want {
				t.Error(err)
			}
			if c.p.Kind != iam.FederatedUser || !c.p.Temporary() || c.p.Named(account) {
				t.Errorf("principal %+v", c.p)
			}
			d, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"aws:userid":"111111111111:guest","aws:PrincipalType":"FederatedUser"},"Null":{"aws:username":"true"}}}}`, policy.Resource)
			if err != nil {
				t.Fatal(err)
			}
			if v, err := iam.Decide(ctx, c.p, iam.Access{Action: "s3:GetObject", Resource: "*", Policy: d}); err != nil || v.Resource != policy.Allow {
				t.Errorf("conditions: %+v, %v", v, err)
			}
		})
	}
}

// rootOf returns the root of the account, as by its key.
func rootOf(t *testing.T, s *iam.Service) iam.Principal {
	t.Helper()
	if err := s.SetRootKey(t.Context(), account, "AKIAROOT", sigv4.NewSecret("secret")); err != nil {
		t.Fatal(err)
	}
	return key(t, s, "AKIAROOT")
}

// versionOf opens a session token.
func versionOf(t *testing.T, token, keyID string) int {
	t.Helper()
	wrapped, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := masterKey(t, 7).For(secret.SessionTokens).Unwrap(wrapped, []byte("diskport:session-token:"+keyID))
	if err != nil {
		t.Fatal(err)
	}
	var of struct{ Version int }
	if err := json.Unmarshal(plain, &of); err != nil {
		t.Fatal(err)
	}
	return of.Version
}

func TestFederationRefusals(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	id := makeUser(t, s, account, "ann", anyRole)
	ann := key(t, s, id)
	made, err := s.FederationToken(ctx, iam.FederationCall{Caller: ann, Name: "guest"})
	if err != nil {
		t.Fatal(err)
	}
	guest := who(t, s, made.Credentials)
	token, err := s.SessionToken(ann, nil)
	if err != nil {
		t.Fatal(err)
	}
	makeRole(t, s, "r", trusting("*", ""))
	life := func(d time.Duration) *time.Duration { return &d }
	federate := func(c iam.FederationCall) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := s.FederationToken(ctx, c)
			return err
		}
	}
	for _, c := range []struct {
		name string
		call func(context.Context) error
		want func(error) bool
	}{
		{"no name", federate(iam.FederationCall{Caller: ann}), as(new(*iam.ValidationError))},
		{"long name", federate(iam.FederationCall{Caller: ann, Name: strings.Repeat("x", 33)}), as(new(*iam.ValidationError))},
		{"name with a slash", federate(iam.FederationCall{Caller: ann, Name: "a/b"}), as(new(*iam.ValidationError))},
		{"too short", federate(iam.FederationCall{Caller: ann, Name: "guest", Life: life(899 * time.Second)}), as(new(*iam.ValidationError))},
		{"too long", federate(iam.FederationCall{Caller: ann, Name: "guest", Life: life(129601 * time.Second)}), as(new(*iam.ValidationError))},
		{"malformed policy", federate(iam.FederationCall{Caller: ann, Name: "guest", Policy: "{"}), as(new(*policy.SyntaxError))},
		{"long policy", federate(iam.FederationCall{Caller: ann, Name: "guest", Policy: padded(reader, 2048)}), as(new(*iam.ValidationError))},
		{"policy that is not there", federate(iam.FederationCall{Caller: ann, Name: "guest", PolicyARNs: []string{"arn:aws:iam::aws:policy/None"}}), is(iam.ErrNotFound)},
		{"by a federated user", federate(iam.FederationCall{Caller: guest, Name: "guest"}), is(iam.ErrSessionAsks)},
		{"by a session", federate(iam.FederationCall{Caller: who(t, s, token), Name: "guest"}), is(iam.ErrSessionAsks)},
		{"a federated user in a role", func(ctx context.Context) error {
			_, err := s.AssumeRole(ctx, iam.RoleCall{Caller: guest, RoleARN: s.RoleARN(account, "r"), SessionName: "s1"})
			return err
		}, as(new(*iam.DeniedError))},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.call(ctx); !c.want(err) {
				t.Errorf("got %T %v", err, err)
			}
		})
	}
	if c, err := s.FederationToken(ctx, iam.FederationCall{Caller: rootOf(t, s), Name: "guest"}); err != nil || c.Expires.After(now.Add(time.Hour)) {
		t.Errorf("root's lasts until %v, %v", c.Expires, err)
	}
	if first := versionOf(t, made.SessionToken, made.AccessKeyID); first != 2 {
		t.Errorf("a node that knows no federated users would take their token, of version %d, for the user's", first)
	}
	if err := s.DeleteAccessKey(ctx, account, "ann", id); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Lookup(ctx, made.AccessKeyID, made.SessionToken); !errors.Is(err, iam.ErrUnknownKey) {
		t.Errorf("it outlived the key: %v", err)
	}
}
