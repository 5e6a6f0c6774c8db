package iam_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// tagged returns a document that allows assuming roles and tagging sessions, which may
// have a condition.
func tagged(document, condition string) string {
	if condition != "" {
		condition = `,"Condition":` + condition
	}
	return strings.Replace(document, `"Action":"sts:AssumeRole"`, `"Action":["sts:AssumeRole","sts:TagSession"]`+condition, 1)
}

// tagsAre reports whether the principal has exactly the tags, to conditions.
func tagsAre(t *testing.T, p iam.Principal, tags map[string]string) bool {
	t.Helper()
	equal := ""
	for key, value := range tags {
		equal += fmt.Sprintf(`"aws:PrincipalTag/%s":%q,`, key, value)
	}
	null := ""
	for _, key := range []string{"team", "cost", "stage"} {
		null += fmt.Sprintf(`"aws:PrincipalTag/%s":"%t",`, key, tags[key] == "")
	}
	condition := `"Condition":{"StringEquals":{` + equal + `"aws:PrincipalAccount":"` + account + `"},"Null":{` + strings.TrimSuffix(null, ",") + `}}`
	d, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*",`+condition+`}}`, policy.Resource)
	if err != nil {
		t.Fatal(err)
	}
	v, err := iam.Decide(t.Context(), p, iam.Access{Action: "s3:GetObject", Resource: "*", Policy: d})
	if err != nil {
		t.Fatal(err)
	}
	return v.Resource == policy.Allow
}

// TestSessionTags: tags of a session take the place of its role's, those that are
// transitive go on to the sessions of further roles, and all need sts:TagSession.
func TestSessionTags(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	ann := key(t, s, makeUser(t, s, account, "ann", tagged(anyRole, "")))
	bob := key(t, s, makeUser(t, s, account, "bob", anyRole))
	for name, document := range map[string]string{
		"open":   tagged(trusting(account, ""), ""),
		"closed": trusting(account, ""),
		"strict": tagged(trusting(account, ""), `{"StringEquals":{"aws:RequestTag/team":"red"},"ForAllValues:StringEquals":{"aws:TagKeys":["team","cost"],"sts:TransitiveTagKeys":["team"]}}`),
		"chain":  tagged(trusting(account, ""), `{"StringEquals":{"aws:PrincipalTag/team":"red"}}`),
	} {
		if _, err := s.CreateRole(ctx, account, iam.RoleSpec{Name: name, Trust: document, Tags: []tag.Tag{{Key: "Team", Value: "grey"}, {Key: "stage", Value: "test"}}}); err != nil {
			t.Fatal(err)
		}
		if err := s.PutInline(ctx, iam.RoleOwner(account, name), iam.Policy{Name: "p", Document: tagged(anyRole, "")}); err != nil {
			t.Fatal(err)
		}
	}
	red, cost := tag.Tag{Key: "team", Value: "red"}, tag.Tag{Key: "cost", Value: "7"}
	assume := func(p iam.Principal, role string, transitive []string, tags ...tag.Tag) (iam.Principal, error) {
		got, err := s.AssumeRole(ctx, iam.RoleCall{Caller: p, RoleARN: s.RoleARN(account, role), SessionName: "s1", Tags: tags, Transitive: transitive})
		if err != nil {
			return iam.Principal{}, err
		}
		if want := 3; len(tags) > 0 && versionOf(t, got.SessionToken, got.AccessKeyID) != want {
			t.Errorf("a token with tags is of another version than %d", want)
		}
		return who(t, s, got.Credentials), nil
	}
	session := func(p iam.Principal, role string, transitive []string, tags ...tag.Tag) iam.Principal {
		t.Helper()
		got, err := assume(p, role, transitive, tags...)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := session(ann, "open", []string{"TEAM"}, red, cost)
	for _, c := range []struct {
		name string
		p    iam.Principal
		want map[string]string
	}{
		{"none", session(ann, "closed", nil), map[string]string{"team": "grey", "stage": "test"}},
		{"over the role's", first, map[string]string{"team": "red", "cost": "7", "stage": "test"}},
		{"handed on", session(first, "open", nil), map[string]string{"team": "red", "stage": "test"}},
		{"handed on twice", session(session(first, "chain", nil), "open", nil, cost), map[string]string{"team": "red", "cost": "7", "stage": "test"}},
		{"as a condition says", session(ann, "strict", []string{"team"}, red, cost), map[string]string{"team": "red", "cost": "7", "stage": "test"}},
	} {
		if !tagsAre(t, c.p, c.want) {
			t.Errorf("%s: the session has other tags than %v", c.name, c.want)
		}
	}
	for _, c := range []struct {
		name       string
		p          iam.Principal
		role       string
		transitive []string
		tags       []tag.Tag
		want       string
	}{
		{"not by the trust policy", ann, "closed", nil, []tag.Tag{red}, "not authorized to perform: sts:TagSession on resource: arn:aws:iam::111111111111:role/closed"},
		{"not by the user's policy", bob, "open", nil, []tag.Tag{red}, "not authorized to perform: sts:TagSession"},
		{"inherited, not by the trust policy", first, "closed", nil, nil, "not authorized to perform: sts:TagSession"},
		{"another value", ann, "strict", nil, []tag.Tag{{Key: "team", Value: "blue"}}, "sts:AssumeRole"},
		{"another key", ann, "strict", nil, []tag.Tag{red, {Key: "x"}}, "sts:AssumeRole"},
		{"another transitive key", ann, "strict", []string{"cost"}, []tag.Tag{red, cost}, "sts:AssumeRole"},
		{"caller with another tag", session(ann, "open", nil, cost), "chain", nil, nil, "sts:AssumeRole"},
		{"in place of an inherited one", first, "open", nil, []tag.Tag{{Key: "Team", Value: "blue"}}, "conflicts with a transitive tag key from the calling session"},
	} {
		if _, err := assume(c.p, c.role, c.transitive, c.tags...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestSessionTagLimits(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	ann := key(t, s, makeUser(t, s, account, "ann", tagged(anyRole, "")))
	makeRole(t, s, "r", tagged(trusting(account, ""), ""))
	one := func(key, value string) []tag.Tag { return []tag.Tag{{Key: key, Value: value}} }
	many := func(n, size int) (tags []tag.Tag) {
		for i := range n {
			tags = append(tags, tag.Tag{Key: fmt.Sprint(i), Value: strings.Repeat("v", size)})
		}
		return tags
	}
	invalid, refused, packed := as(new(*iam.ValidationError)), as(new(*iam.SessionTagError)), as(new(*iam.PackedError))
	for _, c := range []struct {
		name       string
		tags       []tag.Tag
		transitive []string
		want       func(error) bool
	}{
		{"longest", one(strings.Repeat("ü", 128), strings.Repeat("ü", 256)), nil, is(nil)},
		{"every character", one("a1_.:/=+-@ é", ""), []string{"A1_.:/=+-@ É"}, is(nil)},
		{"most", many(50, 20), nil, is(nil)},
		{"too many", many(51, 0), nil, invalid},
		{"no key", one("", "v"), nil, invalid},
		{"long key", one(strings.Repeat("k", 129), ""), nil, invalid},
		{"long value", one("k", strings.Repeat("v", 257)), nil, invalid},
		{"odd key", one("a*", ""), nil, invalid},
		{"odd value", one("k", "a\tb"), nil, invalid},
		{"invalid UTF-8", one("k\xff", ""), nil, invalid},
		{"reserved key", one("AWS:k", ""), nil, refused},
		{"reserved value", one("k", "aws:v"), nil, refused},
		{"twice", append(one("k", "a"), tag.Tag{Key: "K", Value: "b"}), nil, refused},
		{"transitive but not given", one("k", "v"), []string{"x"}, refused},
		{"many transitive", one("k", "v"), make([]string, 51), invalid},
		{"together too large", many(50, 256), nil, packed},
	} {
		_, err := s.AssumeRole(ctx, iam.RoleCall{Caller: ann, RoleARN: s.RoleARN(account, "r"), SessionName: "s1", Tags: c.tags, Transitive: c.transitive})
		if !c.want(err) {
			t.Errorf("%s: got %T %v", c.name, err, err)
		}
		if c.transitive != nil {
			continue
		}
		if _, err := s.FederationToken(ctx, iam.FederationCall{Caller: ann, Name: "guest", Tags: c.tags}); !c.want(err) {
			t.Errorf("%s of a federated user: got %T %v", c.name, err, err)
		}
	}
}

// TestLargestToken: what is accepted makes a token that can be opened.
func TestLargestToken(t *testing.T) {
	s, _ := service(t)
	ann := key(t, s, makeUser(t, s, account, "ann", tagged(anyRole, "")))
	makeRole(t, s, "r", tagged(trusting(account, ""), ""))
	var tags []tag.Tag
	for i := range 16 {
		tags = append(tags, tag.Tag{Key: fmt.Sprint(i), Value: strings.Repeat("=", 250)})
	}
	document := strings.Replace(anyRole, `"Statement"`, `"Id":"*","Statement"`, 1)
	document = strings.Replace(document, "*", strings.Repeat("<", 2048-len(document)+1), 1)
	got, err := s.AssumeRole(t.Context(), iam.RoleCall{Caller: ann, RoleARN: s.RoleARN(account, "r"), SessionName: "s1", Policy: document, Tags: tags})
	if err != nil || got.Packed < 98 {
		t.Fatalf("%d %%: %v", got.Packed, err)
	}
	who(t, s, got.Credentials)
	_, err = s.AssumeRole(t.Context(), iam.RoleCall{
		Caller: ann, RoleARN: s.RoleARN(account, "r"), SessionName: "s1", Policy: document,
		Tags: append(tags, tag.Tag{Key: "k", Value: strings.Repeat("v", 256)}),
	})
	if e, ok := errors.AsType[*iam.PackedError](err); !ok || !strings.Contains(e.Error(), "Packed size of session policies and tags consumes 10") {
		t.Errorf("one tag more: %v", err)
	}
}

func TestFederatedTags(t *testing.T) {
	s, _ := service(t)
	id := makeUser(t, s, account, "ann", anyRole)
	if err := s.TagUser(t.Context(), account, "ann", []tag.Tag{{Key: "Team", Value: "grey"}, {Key: "stage", Value: "test"}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.FederationToken(t.Context(), iam.FederationCall{Caller: key(t, s, id), Name: "guest", Tags: []tag.Tag{{Key: "team", Value: "red"}}})
	if err != nil {
		t.Fatal(err)
	}
	if p := who(t, s, got.Credentials); p.Kind != iam.FederatedUser || !tagsAre(t, p, map[string]string{"team": "red", "stage": "test"}) {
		t.Errorf("principal %+v", p)
	}
}
