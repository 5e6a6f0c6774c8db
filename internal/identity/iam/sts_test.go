package iam_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/identity/sigv4"
)

const (
	other   = "222222222222"
	anyRole = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`
)

// who returns the principal behind credentials, as the front chain would find it.
func who(t *testing.T, s *iam.Service, c iam.Credentials) iam.Principal {
	t.Helper()
	p, secret, err := s.Lookup(t.Context(), c.AccessKeyID, c.SessionToken)
	if err != nil || !secret.Equal(c.Secret) {
		t.Fatalf("looking up a session: %v, secret right: %v", err, secret.Equal(c.Secret))
	}
	return p
}

// makeUser makes a user with policies and returns the id of the user's key.
func makeUser(t *testing.T, s *iam.Service, account, name string, documents ...string) (keyID string) {
	t.Helper()
	ctx := t.Context()
	if _, err := s.CreateUser(ctx, account, iam.UserSpec{Name: name, Path: "/p/"}); err != nil {
		t.Fatal(err)
	}
	for i, d := range documents {
		if err := s.PutInline(ctx, iam.UserOwner(account, name), iam.Policy{Name: string(rune('a' + i)), Document: d}); err != nil {
			t.Fatal(err)
		}
	}
	k, _, err := s.CreateAccessKey(ctx, account, name)
	if err != nil {
		t.Fatal(err)
	}
	return k.ID
}

// key looks up a long-lived key.
func key(t *testing.T, s *iam.Service, id string) iam.Principal {
	t.Helper()
	p, _, err := s.Lookup(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// trusting returns a trust policy for a principal, with a condition or none.
func trusting(principal, condition string) string {
	if condition != "" {
		condition = `,"Condition":` + condition
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole"` + condition + `}]}`
}

func TestWhoMayAssume(t *testing.T) {
	s, _ := service(t)
	ann := makeUser(t, s, account, "ann", anyRole)
	bob := makeUser(t, s, account, "bob")
	eve := makeUser(t, s, account, "eve", anyRole, strings.Replace(anyRole, "Allow", "Deny", 1))
	far := makeUser(t, s, other, "far", anyRole)
	farBob := makeUser(t, s, other, "bob")
	const annARN, bobARN, farARN = "arn:aws:iam::111111111111:user/p/ann", "arn:aws:iam::111111111111:user/p/bob", "arn:aws:iam::222222222222:user/p/bob"
	for name, document := range map[string]string{
		"account": trusting(account, ""), "ann": trusting(annARN, ""), "bob": trusting(bobARN, ""), "eve": trusting("arn:aws:iam::111111111111:user/p/eve", ""),
		"other": trusting("arn:aws:iam::222222222222:root", ""), "farbob": trusting(farARN, ""), "everybody": trusting("*", ""),
		"external": trusting(account, `{"StringEquals":{"STS:externalid":"secret/1"}}`),
		"session":  trusting(account, `{"StringEquals":{"sts:RoleSessionName":"${aws:username}"}}`),
		"office":   trusting(account, `{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"Bool":{"aws:SecureTransport":"true"}}`),
		"denied":   strings.Replace(trusting(account, ""), `"Statement":[`, `"Statement":[{"Effect":"Deny","Principal":{"AWS":"`+annARN+`"},"Action":"sts:*"},`, 1),
	} {
		makeRole(t, s, name, document)
	}
	at := func(ip string) policy.Context {
		return iam.Origin{Time: now, SourceIP: ip, Secure: true}.Context()
	}
	for _, c := range []struct {
		name, key, role string
		change          func(*iam.RoleCall)
		refused         string // part of the refusal, or empty
	}{
		{"account trusted, caller allowed", ann, "account", nil, ""},
		{"account trusted, caller not allowed", bob, "account", nil, "because no identity-based policy allows the sts:AssumeRole action"},
		{"account trusted, caller denied", eve, "account", nil, "with an explicit deny"},
		{"named by the trust policy", bob, "bob", nil, ""},
		{"named by the trust policy, denied by his own", eve, "eve", nil, "with an explicit deny"},
		{"another is named", ann, "bob", nil, "not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::111111111111:role/bob"},
		{"denied by the trust policy", ann, "denied", nil, "with an explicit deny"},
		{"everybody", bob, "everybody", nil, ""},
		{"from another account", far, "other", nil, ""},
		{"from another account, not allowed at home", farBob, "other", nil, "because no identity"},
		{"named from another account, not allowed at home", farBob, "farbob", nil, "because no identity"},
		{"from an account that is not trusted", far, "account", nil, "because no identity"},
		{"everybody, from another account, not allowed at home", farBob, "everybody", nil, "because no identity"},
		{"external id", ann, "external", func(c *iam.RoleCall) { c.ExternalID = "secret/1" }, ""},
		{"no external id", ann, "external", nil, "because no identity"},
		{"another external id", ann, "external", func(c *iam.RoleCall) { c.ExternalID = "secret/2" }, "because no identity"},
		{"session name", ann, "session", func(c *iam.RoleCall) { c.SessionName = "ann" }, ""},
		{"another session name", ann, "session", nil, "because no identity"},
		{"from the office", ann, "office", func(c *iam.RoleCall) { c.Context = at("192.0.2.7") }, ""},
		{"from elsewhere", ann, "office", func(c *iam.RoleCall) { c.Context = at("198.51.100.7") }, "because no identity"},
		{"no such role", ann, "none", nil, "because no identity"},
		{"wrong path", ann, "x/account", nil, "because no identity"},
		{"impossible role", ann, "a b", nil, "because no identity"},
	} {
		t.Run(c.name, func(t *testing.T) {
			call := iam.RoleCall{Caller: key(t, s, c.key), RoleARN: s.RoleARN(account, c.role), SessionName: "s1"}
			if c.change != nil {
				c.change(&call)
			}
			got, err := s.AssumeRole(t.Context(), call)
			if c.refused != "" {
				if !isDenied(err) || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("got %v, want %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p := who(t, s, got.Credentials); p.ARN != got.ARN || p.ID != got.ID || p.Account != account || p.Kind != iam.RoleSession {
				t.Errorf("principal %+v of %+v", p, got)
			}
		})
	}
	root := s.Root(account)
	if _, err := s.AssumeRole(t.Context(), iam.RoleCall{Caller: root, RoleARN: s.RoleARN(account, "account"), SessionName: "s1"}); !errors.Is(err, iam.ErrRootAssumes) {
		t.Errorf("root: %v", err)
	}
}

func TestAssumeRoleParameters(t *testing.T) {
	s, _ := service(t)
	ann := key(t, s, makeUser(t, s, account, "ann", anyRole))
	makeRole(t, s, "r", trusting(account, ""), iam.Policy{Name: "p", Document: anyRole})
	life := func(d time.Duration) func(*iam.RoleCall) { return func(c *iam.RoleCall) { c.Life = &d } }
	asSession := func(c *iam.RoleCall) {
		got, err := s.AssumeRole(t.Context(), *c)
		if err != nil {
			t.Fatal(err)
		}
		c.Caller = who(t, s, got.Credentials)
	}
	var validation *iam.ValidationError
	var syntax *policy.SyntaxError
	for _, c := range []struct {
		name   string
		change func(*iam.RoleCall)
		want   func(error) bool
	}{
		{"nothing special", func(*iam.RoleCall) {}, is(nil)},
		{"shortest", life(15 * time.Minute), is(nil)},
		{"too short", life(14 * time.Minute), as(&validation)},
		{"as long as the role allows", life(time.Hour), is(nil)},
		{"longer than the role allows", life(2 * time.Hour), as(&validation)},
		{"longer than any role", life(13 * time.Hour), as(&validation)},
		{"chained", asSession, is(nil)},
		{"chained for long", func(c *iam.RoleCall) { asSession(c); life(2 * time.Hour)(c) }, as(&validation)},
		{"no session name", func(c *iam.RoleCall) { c.SessionName = "" }, as(&validation)},
		{"short session name", func(c *iam.RoleCall) { c.SessionName = "a" }, as(&validation)},
		{"odd session name", func(c *iam.RoleCall) { c.SessionName = "a/b" }, as(&validation)},
		{"long external id", func(c *iam.RoleCall) { c.ExternalID = strings.Repeat("x", 1225) }, as(&validation)},
		{"longest external id", func(c *iam.RoleCall) { c.ExternalID = strings.Repeat("x", 1224) }, is(nil)},
		{"odd external id", func(c *iam.RoleCall) { c.ExternalID = "a b" }, as(&validation)},
		{"no ARN", func(c *iam.RoleCall) { c.RoleARN = "r" }, as(&validation)},
		{"user's ARN", func(c *iam.RoleCall) { c.RoleARN = "arn:aws:iam::111111111111:user/ann" }, as(&validation)},
		{"malformed policy", func(c *iam.RoleCall) { c.Policy = "{" }, as(&syntax)},
		{"long policy", func(c *iam.RoleCall) { c.Policy = padded(anyRole, 2048) }, as(&validation)},
		{"unknown managed policy", func(c *iam.RoleCall) { c.PolicyARNs = []string{"arn:aws:iam::aws:policy/None"} }, is(iam.ErrNotFound)},
		{"many managed policies", func(c *iam.RoleCall) { c.PolicyARNs = make([]string, 11) }, as(&validation)},
	} {
		t.Run(c.name, func(t *testing.T) {
			call := iam.RoleCall{Caller: ann, RoleARN: s.RoleARN(account, "r"), SessionName: "s1"}
			c.change(&call)
			if _, err := s.AssumeRole(t.Context(), call); !c.want(err) {
				t.Errorf("got %T %v", err, err)
			}
		})
	}
}

func TestSessionPolicies(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	ann := key(t, s, makeUser(t, s, account, "ann", anyRole))
	makeRole(t, s, "r", trusting(account, ""), iam.Policy{Name: "p", Document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*","ec2:*"],"Resource":"*"},{"Effect":"Deny","Action":"s3:DeleteObject","Resource":"*"}]}`})
	m, err := s.CreatePolicy(ctx, account, iam.PolicySpec{Name: "snapshots", Document: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:DescribeSnapshots","Resource":"*"}}`})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.AssumeRole(ctx, iam.RoleCall{
		Caller: ann, RoleARN: s.RoleARN(account, "r"), SessionName: "s1",
		Policy:     `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get*","s3:DeleteObject","iam:*"],"Resource":"*"},{"Effect":"Deny","Action":["s3:GetBucketAcl","kms:*"],"Resource":"*"}]}`,
		PolicyARNs: []string{s.ARNOfPolicy(m), "arn:aws:iam::aws:policy/IAMReadOnlyAccess"},
	})
	if err != nil || got.Packed < 1 || got.Packed > 100 {
		t.Fatalf("packed %d%%, %v", got.Packed, err)
	}
	for action, refusal := range map[string]string{
		"s3:GetObject": "", "ec2:DescribeSnapshots": "",
		"s3:PutObject":      "because no session policy allows the s3:PutObject action",
		"s3:GetBucketAcl":   "with an explicit deny in a session policy",
		"kms:Decrypt":       "with an explicit deny in a session policy",
		"s3:DeleteObject":   "with an explicit deny in an identity-based policy",
		"iam:GetRole":       "because no identity-based policy allows the iam:GetRole action",
		"sts:AssumeRole":    "because no identity-based policy",
		"ec2:RegisterImage": "because no session policy",
	} {
		err := iam.Authorize(t.Context(), who(t, s, got.Credentials), action, nil, "*")
		if (err == nil) != (refusal == "") || err != nil && !strings.Contains(err.Error(), refusal) {
			t.Errorf("%s: got %v, want %q", action, err, refusal)
		}
	}
	// Policies are read anew: once the policy is gone, so is what it allowed.
	if err := s.DeletePolicy(ctx, account, s.ARNOfPolicy(m)); err != nil {
		t.Fatal(err)
	}
	if err := iam.Authorize(t.Context(), who(t, s, got.Credentials), "ec2:DescribeSnapshots", nil, "*"); !isDenied(err) {
		t.Errorf("after the session's managed policy is gone: %v", err)
	}
	root, err := s.AssumeRole(ctx, iam.RoleCall{Caller: who(t, s, got.Credentials), RoleARN: s.RoleARN(account, "r"), SessionName: "s2"})
	if !isDenied(err) {
		t.Errorf("a session went beyond its policies: %+v, %v", root, err)
	}
}

func TestRoleSessionsAreLive(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	ann := key(t, s, makeUser(t, s, account, "ann", anyRole))
	makeRole(t, s, "r", trusting(account, ""), iam.Policy{Name: "p", Document: reader})
	got, err := s.AssumeRole(ctx, iam.RoleCall{Caller: ann, RoleARN: s.RoleARN(account, "r"), SessionName: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := iam.Authorize(t.Context(), who(t, s, got.Credentials), "s3:GetObject", nil, "arn:aws:s3:::images/x"); err != nil {
		t.Error(err)
	}
	// The console revokes sessions this way: it denies everything to tokens issued
	// before a time.
	revoke := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2024-01-02T03:04:06Z"}}}}`
	if err := s.PutInline(ctx, iam.RoleOwner(account, "r"), iam.Policy{Name: "revoke", Document: revoke}); err != nil {
		t.Fatal(err)
	}
	if err := iam.Authorize(t.Context(), who(t, s, got.Credentials), "s3:GetObject", nil, "arn:aws:s3:::images/x"); !isDenied(err) {
		t.Errorf("revoked session: %v", err)
	}
	for _, name := range []string{"revoke", "p"} {
		if err := s.DeleteInline(ctx, iam.RoleOwner(account, "r"), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := iam.Authorize(t.Context(), who(t, s, got.Credentials), "s3:GetObject", nil, "arn:aws:s3:::images/x"); !isDenied(err) {
		t.Errorf("session of a role without policies: %v", err)
	}
	if err := s.DeleteRole(ctx, account, "r"); err != nil {
		t.Fatal(err)
	}
	unknown := func(what string) {
		t.Helper()
		if _, _, err := s.Lookup(ctx, got.AccessKeyID, got.SessionToken); !errors.Is(err, iam.ErrUnknownKey) {
			t.Errorf("%s: got %v, want %v", what, err, iam.ErrUnknownKey)
		}
	}
	unknown("session of a deleted role")
	makeRole(t, s, "r", trusting(account, ""))
	unknown("session of a role that was made again")
}

func TestTokens(t *testing.T) {
	s, store := service(t)
	ctx := t.Context()
	id := makeUser(t, s, account, "ann", reader)
	ann := key(t, s, id)
	at := now
	later := iam.New(iam.Options{Store: store, Wrapper: masterKey(t, 7), Tokens: masterKey(t, 7).For(secret.SessionTokens), Now: func() time.Time { return at }})
	stranger := iam.New(iam.Options{Store: store, Wrapper: masterKey(t, 8), Tokens: masterKey(t, 8).For(secret.SessionTokens), Now: func() time.Time { return at }})
	token, err := s.SessionToken(ann, nil)
	if err != nil || !strings.HasPrefix(token.AccessKeyID, "ASIA") || len(token.AccessKeyID) != 20 || len(token.Secret.Reveal()) != 40 {
		t.Fatalf("got %+v, %v", token, err)
	}
	p := who(t, later, token) // another node
	if !p.Temporary() || p.Kind != iam.User || p.ARN != ann.ARN || p.ID != ann.ID {
		t.Errorf("principal %+v", p)
	}
	if _, err := s.SessionToken(p, nil); !errors.Is(err, iam.ErrSessionAsks) {
		t.Errorf("a session's session: %v", err)
	}
	if plain, _ := base64.StdEncoding.DecodeString(token.SessionToken); strings.Contains(string(plain), "ann") || strings.Contains(string(plain), token.Secret.Reveal()) {
		t.Error("the token is in the clear")
	}
	flipped := []byte(token.SessionToken)
	flipped[40] ^= 1
	for what, c := range map[string]struct {
		s         *iam.Service
		id, token string
	}{
		"another id": {s, "ASIAAAAAAAAAAAAAAAAA", token.SessionToken}, "damaged": {s, token.AccessKeyID, string(flipped)},
		"no token": {s, token.AccessKeyID, ""}, "no base64": {s, token.AccessKeyID, "é"}, "short": {s, token.AccessKeyID, "AAAA"},
		"another service": {stranger, token.AccessKeyID, token.SessionToken}, "long-lived key with it": {s, id, token.SessionToken},
		"huge": {s, token.AccessKeyID, strings.Repeat("A", 1<<20)},
	} {
		if _, _, err := c.s.Lookup(ctx, c.id, c.token); !errors.Is(err, iam.ErrUnknownKey) {
			t.Errorf("%s: got %v, want %v", what, err, iam.ErrUnknownKey)
		}
	}
	at = now.Add(12*time.Hour - time.Second)
	who(t, later, token)
	at = now.Add(12 * time.Hour)
	if _, _, err := later.Lookup(ctx, token.AccessKeyID, token.SessionToken); !errors.Is(err, iam.ErrExpiredToken) {
		t.Errorf("got %v, want %v", err, iam.ErrExpiredToken)
	}
	if err := s.UpdateAccessKey(ctx, account, "ann", id, iam.KeyInactive); err != nil {
		t.Fatal(err)
	}
	for what, lookup := range map[string][2]string{"inactive key": {id, ""}, "its session": {token.AccessKeyID, token.SessionToken}} {
		if _, _, err := s.Lookup(ctx, lookup[0], lookup[1]); !errors.Is(err, iam.ErrUnknownKey) {
			t.Errorf("%s: got %v, want %v", what, err, iam.ErrUnknownKey)
		}
	}
}

func TestSessionTokenLife(t *testing.T) {
	s, _ := service(t)
	if err := s.SetRootKey(t.Context(), account, "AKIAROOT", sigv4.NewSecret("s")); err != nil {
		t.Fatal(err)
	}
	root, ann := key(t, s, "AKIAROOT"), key(t, s, makeUser(t, s, account, "ann"))
	for _, c := range []struct {
		name  string
		p     iam.Principal
		asked time.Duration // 0: nothing
		want  time.Duration // 0: refused
	}{
		{"a user's", ann, 0, 12 * time.Hour},
		{"shortest", ann, 15 * time.Minute, 15 * time.Minute},
		{"longest", ann, 36 * time.Hour, 36 * time.Hour},
		{"too short", ann, 15*time.Minute - 1, 0},
		{"too long", ann, 36*time.Hour + 1, 0},
		{"root's", root, 0, time.Hour},
		{"root's for long", root, 12 * time.Hour, time.Hour},
	} {
		var asked *time.Duration
		if c.asked != 0 {
			asked = &c.asked
		}
		got, err := s.SessionToken(c.p, asked)
		if c.want == 0 {
			if _, ok := errors.AsType[*iam.ValidationError](err); !ok {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil || !got.Expires.Equal(now.Truncate(time.Second).Add(c.want)) {
			t.Errorf("%s: expires %v, %v", c.name, got.Expires, err)
		}
	}
}

// TestTrustIsNotInherited: a trust policy that named a user or a role does not
// admit another one that takes the name after a deletion or a rename.
func TestTrustIsNotInherited(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	first := makeUser(t, s, account, "ann")
	const arn, newARN = "arn:aws:iam::111111111111:user/p/ann", "arn:aws:iam::111111111111:user/p/anna"
	makeRole(t, s, "vault", trusting(arn, ""))
	enter := func(id string) error {
		_, err := s.AssumeRole(ctx, iam.RoleCall{Caller: key(t, s, id), RoleARN: s.RoleARN(account, "vault"), SessionName: "s1"})
		return err
	}
	told := func(want string) {
		t.Helper()
		r, err := s.GetRole(ctx, account, "vault")
		list, listErr := s.ListRoles(ctx, account, "/")
		if err != nil || listErr != nil || r.Trust != trusting(want, "") || len(list) != 1 || list[0].Trust != r.Trust {
			t.Errorf("the policy is shown as %s, %v, %v; want %s in it", r.Trust, err, listErr, want)
		}
	}
	told(arn)
	id := key(t, s, first).ID
	if err := s.UpdateUser(ctx, account, "ann", "anna", ""); err != nil {
		t.Fatal(err)
	}
	second := makeUser(t, s, account, "ann")
	if err := enter(first); err != nil {
		t.Errorf("the user who was renamed: %v", err)
	}
	if err := enter(second); err == nil {
		t.Error("another who got the name assumed the role")
	}
	told(newARN)
	for _, err := range []error{s.DeleteAccessKey(ctx, account, "anna", first), s.DeleteUser(ctx, account, "anna")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	third := makeUser(t, s, account, "anna")
	if err := enter(third); err == nil {
		t.Error("another who got the new name assumed the role")
	}
	told(id)
	description := "the same"
	if err := s.UpdateRole(ctx, account, "vault", iam.RoleUpdate{Description: &description}); err != nil {
		t.Errorf("changing the role beside its policy: %v", err)
	}
}

// TestUnknownPrincipals: a policy that names a principal that does not exist is
// refused, since it would otherwise apply to the next one of that name.
func TestUnknownPrincipals(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	makeUser(t, s, account, "ann")
	makeRole(t, s, "r", trusting(account, ""))
	role, err := s.GetRole(ctx, account, "r")
	if err != nil {
		t.Fatal(err)
	}
	for principal, want := range map[string]bool{
		"*": true, account: true, other: true, "arn:aws:iam::222222222222:root": true,
		"arn:aws:iam::111111111111:user/p/ann": true, "arn:aws:iam::111111111111:user/ann": false, "arn:aws:iam::222222222222:user/p/ann": false,
		"arn:aws:iam::111111111111:user/p/Ann": false, "arn:aws-cn:iam::111111111111:user/p/ann": false,
		"arn:aws:iam::111111111111:role/r": true, "arn:aws:iam::111111111111:role/none": false,
		"arn:aws:sts::111111111111:assumed-role/r/s1": true, "arn:aws:sts::111111111111:assumed-role/none/s1": false,
		"arn:aws:sts::111111111111:assumed-role/r/a b": false, "arn:aws:iam::111111111111:group/g": false,
		role.ID: true, role.ID + ":s1": true, "AROANOBODY": false, "AIDA": false,
	} {
		err := s.UpdateAssumeRolePolicy(ctx, account, "r", trusting(principal, ""))
		syntax, told := errors.AsType[*policy.SyntaxError](err)
		if want && err != nil || !want && (!told || !strings.Contains(syntax.Reason, "nvalid principal")) {
			t.Errorf("%s: got %v", principal, err)
		}
	}
	if err := s.UpdateAssumeRolePolicy(ctx, account, "r", trusting("arn:aws:sts::111111111111:assumed-role/r/s1", "")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.GetRole(ctx, account, "r"); err != nil || got.Trust != trusting("arn:aws:sts::111111111111:assumed-role/r/s1", "") {
		t.Errorf("a session is shown as %s, %v", got.Trust, err)
	}
}
