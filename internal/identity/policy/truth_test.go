package policy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
)

// TestAmbiguousKeys: if a key is given twice, in names that differ by case, none of
// its values counts. No Allow rests on it, and every Deny that tests it holds.
func TestAmbiguousKeys(t *testing.T) {
	for _, prefix := range []string{"aws:ResourceTag/", "aws:RequestTag/", "ec2:ResourceTag/", "iam:ResourceTag/", "aws:PrincipalTag/", "kms:EncryptionContext:"} {
		for _, condition := range []string{
			`{"StringEquals":{"%sowner":"ann"}}`, `{"StringEquals":{"%sowner":"bob"}}`, `{"StringNotEquals":{"%sowner":"ann"}}`,
			`{"StringLike":{"%sOWNER":"*"}}`, `{"StringEqualsIfExists":{"%sowner":"ann"}}`, `{"ForAllValues:StringLike":{"%sowner":"*"}}`,
			`{"ForAnyValue:StringEquals":{"%sowner":"ann"}}`, `{"Null":{"%sowner":"true"}}`, `{"Null":{"%sowner":"false"}}`,
			`{"StringEquals":{"aws:username":"${%sowner}"}}`, `{"StringNotEquals":{"aws:username":"${%sowner, 'x'}"}}`,
		} {
			condition = fmt.Sprintf(condition, prefix)
			for _, second := range []string{"Owner", "OWNER"} {
				c := contextOf("aws:username=ann")
				c.Add(prefix+"owner", "ann")
				c.Add(prefix+second, "bob")
				r := Request{Action: "ec2:DeleteSnapshot", Resource: "*", Context: c}
				if got := evaluate(t, allowIf(condition), r); got != NoMatch {
					t.Errorf("allow if %s: got %d", condition, got)
				}
				if got := evaluate(t, strings.Replace(allowIf(condition), "Allow", "Deny", 1), r); got != Deny {
					t.Errorf("deny if %s: got %d", condition, got)
				}
			}
		}
	}
}

func evaluate(t *testing.T, statement string, r Request) Decision {
	t.Helper()
	d, err := Parse(document(statement), Identity)
	if err != nil {
		t.Fatal(err)
	}
	return d.Evaluate(NewWork(t.Context()), r)
}

// TestClearKeys: a key that is given once, or twice with the same value, is not
// ambiguous.
func TestClearKeys(t *testing.T) {
	c := Context{}
	c.Add("aws:ResourceTag/owner", "ann")
	c.Add("aws:ResourceTag/owner", "ann")
	c.Add("aws:ResourceTag/owners", "bob")
	statement := allowIf(`{"StringEquals":{"aws:ResourceTag/Owner":"ann"}}`)
	if got := evaluate(t, statement, Request{Action: "ec2:X", Resource: "*", Context: c}); got != Allow {
		t.Errorf("got %d, want Allow", got)
	}
	c.Add("aws:ResourceTag/owner", "bob")
	if got := evaluate(t, statement, Request{Action: "ec2:X", Resource: "*", Context: c}); got != NoMatch {
		t.Errorf("two values: got %d, want NoMatch", got)
	}
}

// TestUnresolvedVariables: because of a variable without a value, a statement
// neither allows anything nor exempts anything from a Deny.
func TestUnresolvedVariables(t *testing.T) {
	const home, other = "arn:aws:s3:::b/ann/x", "arn:aws:s3:::c/x"
	with := func(effect, rest string) string { return `"Effect":"` + effect + `","Action":"s3:*",` + rest }
	const (
		notHome   = `"NotResource":"arn:aws:s3:::b/${aws:username}/*"`
		notBoth   = `"NotResource":["arn:aws:s3:::c/*","arn:aws:s3:::b/${aws:username}/*"]`
		isHome    = `"Resource":"arn:aws:s3:::b/${aws:username}/*"`
		notEquals = `"Resource":"*","Condition":{"StringNotEquals":{"s3:prefix":"${aws:username}"}}`
		notLike   = `"Resource":"*","Condition":{"StringNotLikeIfExists":{"s3:prefix":["x","${aws:username}/*"]}}`
		arnNot    = `"Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/${aws:username}"}}`
		allNot    = `"Resource":"*","Condition":{"ForAllValues:StringNotEquals":{"s3:prefix":"${aws:username}"}}`
		anyNot    = `"Resource":"*","Condition":{"ForAnyValue:StringNotEquals":{"s3:prefix":"${aws:username}"}}`
		equals    = `"Resource":"*","Condition":{"StringEquals":{"s3:prefix":"${aws:username}"}}`
		either    = `"Resource":"*","Condition":{"StringEquals":{"s3:prefix":["${aws:username}","y"]}}`
		standby   = `"NotResource":"arn:aws:s3:::b/${aws:username, 'ann'}/*"`
	)
	const about = "s3:prefix=y;aws:principalarn=arn:aws:iam::123456789012:user/eve"
	for _, c := range []struct {
		name, statement, resource, context string
		want                               Decision
	}{
		{"Allow, NotResource", with("Allow", notHome), home, about, NoMatch},
		{"Allow, NotResource, elsewhere", with("Allow", notHome), other, about, NoMatch},
		{"Allow, one of two NotResource", with("Allow", notBoth), home, about, NoMatch},
		{"Deny, one of two NotResource spares", with("Deny", notBoth), other, about, NoMatch},
		{"Deny, NotResource", with("Deny", notHome), home, about, Deny},
		{"Allow, StringNotEquals", with("Allow", notEquals), home, about, NoMatch},
		{"Deny, StringNotEquals", with("Deny", notEquals), home, about, Deny},
		{"Allow, StringNotLikeIfExists", with("Allow", notLike), home, about, NoMatch},
		{"Allow, StringNotLikeIfExists, absent", with("Allow", notLike), home, "", Allow},
		{"Allow, ArnNotLike", with("Allow", arnNot), home, about, NoMatch},
		{"Allow, ForAllValues", with("Allow", allNot), home, about, NoMatch},
		{"Allow, ForAnyValue", with("Allow", anyNot), home, about, NoMatch},
		{"Allow, StringEquals", with("Allow", equals), home, about, NoMatch},
		{"Allow, another value fits", with("Allow", either), home, about, Allow},
		{"Allow, Resource", with("Allow", isHome), home, about, NoMatch},
		{"Deny, Resource, as at AWS", with("Deny", isHome), home, about, NoMatch},
		{"two values, Deny", with("Deny", isHome), home, "aws:username=ann|bob", Deny},
		{"default", with("Allow", standby), other, "", Allow},
		{"default spares", with("Allow", standby), home, "", NoMatch},
		{"value that is no UTF-8", with("Allow", `"Resource":"arn:aws:s3:::b/${aws:username}/*"`), home, "aws:username=\xff", NoMatch},
		{"value that is no UTF-8, Deny", with("Deny", isHome), home, "aws:username=\xff", Deny},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := evaluate(t, c.statement, Request{Action: "s3:GetObject", Resource: c.resource, Context: contextOf(c.context)}); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

// TestLongValues: a value longer than anything AWS has is not compared.
func TestLongValues(t *testing.T) {
	long := strings.Repeat("a", maxValue+1)
	for name, r := range map[string]Request{
		"resource":  {Action: "s3:GetObject", Resource: "arn:aws:s3:::b/" + long},
		"condition": {Action: "s3:GetObject", Resource: "*", Context: contextOf("aws:UserAgent=" + long)},
	} {
		statement := `"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringLike":{"aws:UserAgent":"*"}}`
		if name == "resource" {
			statement = allow("*", "arn:aws:s3:::b/*")
		}
		if got := evaluate(t, statement, r); got != NoMatch {
			t.Errorf("%s, Allow: got %d", name, got)
		}
		if got := evaluate(t, strings.Replace(statement, "Allow", "Deny", 1), r); got != Deny {
			t.Errorf("%s, Deny: got %d", name, got)
		}
	}
}

// TestWorkEnds: an evaluation ends with its request, and before it takes long. What
// it had not decided by then is denied.
func TestWorkEnds(t *testing.T) {
	imagetest.Volume(t)
	d, err := Parse(document(allow("*", "*")), Identity)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/x"}
	ctx, cancel := context.WithCancel(t.Context())
	w := NewWork(ctx)
	if got := d.Evaluate(w, r); got != Allow || w.Err() != nil {
		t.Fatalf("got %d, %v", got, w.Err())
	}
	cancel()
	w = NewWork(ctx)
	if got := d.Evaluate(w, r); got != Deny || !errors.Is(w.Err(), context.Canceled) {
		t.Errorf("cancelled: got %d, %v", got, w.Err())
	}

	list := make([]string, 2000)
	for i := range list {
		list[i] = `"arn:aws:s3:::*a?*` + fmt.Sprint(i) + `*"`
	}
	costly, err := Parse(document(`"Effect":"Allow","Action":"*","Resource":[`+strings.Join(list, ",")+`]`), Identity)
	if err != nil {
		t.Fatal(err)
	}
	w = NewWork(t.Context())
	r.Resource = "arn:aws:s3:::" + strings.Repeat("b", 1000)
	evaluated, got := 0, NoMatch
	for ; got != Deny && evaluated < 1000; evaluated++ {
		got = costly.Evaluate(w, r)
	}
	if got != Deny || !errors.Is(w.Err(), ErrTooCostly) || evaluated < 2 || w.steps > maxSteps+(1<<20) {
		t.Errorf("costly: got %d, %v after %d of 1000 resources and %d steps", got, w.Err(), evaluated, w.steps)
	}
}

// TestLargePoliciesAreNotTooCostly: ten policies of the largest size and a thousand
// resources, as people write them, take a small part of the bound.
func TestLargePoliciesAreNotTooCostly(t *testing.T) {
	var list []Document
	for i := range 10 {
		var patterns []string
		for j := range 240 { // 6,000 characters
			patterns = append(patterns, fmt.Sprintf(`"arn:aws:s3:::bucket-%d-%d/*"`, i, j))
		}
		d, err := Parse(document(`"Effect":"Allow","Action":"s3:*","Resource":[`+strings.Join(patterns, ",")+`]`), Identity)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	w := NewWork(t.Context())
	for i := range 1000 {
		r := Request{Action: "s3:DeleteObject", Resource: fmt.Sprintf("arn:aws:s3:::bucket-10-1/%d", i)}
		if got := Evaluate(w, list, r); got != NoMatch {
			t.Fatalf("resource %d: got %d, %v", i, got, w.Err())
		}
	}
	if w.steps > maxSteps/5 {
		t.Errorf("%d steps of %d", w.steps, maxSteps)
	}
}

// TestRequestsHaveOneBound: several evaluations in one request do not get a bound
// each.
func TestRequestsHaveOneBound(t *testing.T) {
	imagetest.Volume(t)
	d, err := Parse(document(allow("*", "arn:aws:s3:::*a?*b?*")), Identity)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::" + strings.Repeat("a", 8000)}
	ctx, times := WithBound(t.Context()), 0
	for ; times < 20000; times++ {
		if w := NewWork(ctx); d.Evaluate(w, r) == Deny {
			if !errors.Is(w.Err(), ErrTooCostly) {
				t.Errorf("got %v", w.Err())
			}
			break
		}
	}
	if times < 100 || times == 20000 {
		t.Errorf("ended after %d", times)
	}
	if got := d.Evaluate(NewWork(WithBound(t.Context())), r); got != NoMatch {
		t.Errorf("another request: got %d", got)
	}
}

func TestBoundsOfDocuments(t *testing.T) {
	one := "{" + allow("s3:GetObject", "*") + "}"
	values := func(n int) string { return `["` + strings.Repeat(`x","`, n-1) + `x"]` }
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"many statements", document(strings.Repeat(one+",", maxStatements-1) + one), true},
		{"too many statements", document(strings.Repeat(one+",", maxStatements) + one), false},
		{"many values", document(allowIf(`{"StringEquals":{"a:b":` + values(maxItems-40) + `}}`)), true},
		{"too many values", document(allowIf(`{"StringEquals":{"a:b":` + values(maxItems) + `}}`)), false},
	} {
		if _, err := Parse(c.text, Identity); (err == nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAcceptReturnsTheCanonicalForm(t *testing.T) {
	const text = "{ \"Version\":\t\"2012-10-17\",\r\n\"Statement\" : [ { \"Effect\":\"\\u0041llow\",\"Action\":[ \"s3:*\" ], \"Resource\":\"*\",\n" +
		`"Condition": {"NumericLessThan":{"a:b": 1.50},"Bool":{"a:c":true},"StringEquals":{"a:d":"<a & \"b\" ${aws:username}>"}}}]}` + "\n"
	const want = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":"*",` +
		`"Condition":{"NumericLessThan":{"a:b":1.50},"Bool":{"a:c":true},"StringEquals":{"a:d":"<a & \"b\" ${aws:username}>"}}}]}`
	_, got, err := Accept(text, Identity)
	if err != nil || got != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
	if _, again, err := Accept(got, Identity); err != nil || again != got {
		t.Errorf("a second time: got %s, %v", again, err)
	}
}

// TestKeysThatAreNeverSet: a statement that promises what it can't do is refused
// with the name of the key. One that errs on the safe side, or is about actions
// that are not here, is stored.
func TestKeysThatAreNeverSet(t *testing.T) {
	statement := func(effect, action, condition string) string {
		return `"Effect":"` + effect + `","Action":"` + action + `","Resource":"*","Condition":` + condition
	}
	const (
		same    = `{"Bool":{"kms:ReEncryptOnSameKey":"true"}}`
		another = `{"StringNotEquals":{"kms:reencryptonsamekey":"true"}}`
	)
	for _, c := range []struct {
		name, statement string
		want            string // in the refusal; empty: stored
	}{
		{"a Deny that never holds", statement("Deny", "kms:ReEncryptFrom", same), "kms:reencryptonsamekey of kms:reencryptfrom"},
		{"the same of all actions", statement("Deny", "kms:*", same), "never deny"},
		{"by NotAction", strings.Replace(statement("Deny", "ec2:*", same), "Action", "NotAction", 1), "never deny"},
		{"of the key that is there", statement("Deny", "kms:ReEncryptTo", `{"Null":{"kms:ReEncryptOnSameKey":"false"}}`), "never deny"},
		{"an Allow that is open", statement("Allow", "kms:ReEncryptTo", another), "without regard"},
		{"an Allow if it exists", statement("Allow", "kms:ReEncryptTo", `{"BoolIfExists":{"kms:ReEncryptOnSameKey":"true"}}`), "without regard"},
		{"an Allow of all values", statement("Allow", "kms:ReEncrypt*", `{"ForAllValues:Bool":{"kms:ReEncryptOnSameKey":"true"}}`), "kms:reencryptonsamekey"},

		{"a Deny that always holds", statement("Deny", "kms:ReEncryptTo", another), ""},
		{"an Allow that never holds", statement("Allow", "kms:ReEncryptTo", same), ""},
		{"another action", statement("Deny", "kms:Decrypt", same), ""},
		{"another service", statement("Deny", "ec2:*", same), ""},
		{"what is not built", statement("Deny", "ec2:RunInstances", `{"StringEquals":{"ec2:InstanceType":"p4d.24xlarge"}}`), ""},
		{"an organisation", statement("Deny", "*", `{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`), ""},
		{"another cloud's endpoint", statement("Deny", "s3:*", `{"StringNotEquals":{"aws:SourceVpce":"vpce-1"}}`), ""},
		{"another key that begins alike", statement("Deny", "kms:*", `{"Bool":{"kms:ReEncryptOnSameKeys":"true"}}`), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := Accept(document(c.statement), Identity)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || !strings.Contains(syntax.Reason, c.want) {
				t.Errorf("got %v, want a refusal with %q", err, c.want)
			}
			if _, err := Parse(document(c.statement), Identity); err != nil {
				t.Errorf("one that is stored already is still read: %v", err)
			}
		})
	}
	for _, c := range realWorld {
		if _, _, err := Accept(document(c.statement), Identity); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestUnsetKeysAreDocumented: the keys that are refused by name are in the
// documentation.
func TestUnsetKeysAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/conditions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, untold, _ := strings.Cut(strings.ToLower(string(page)), "## what is not told")
	for _, row := range unset {
		if !strings.Contains(untold, "`"+strings.TrimSuffix(row.key, "/")) {
			t.Errorf("%s is not in docs/conditions.md", row.key)
		}
	}
}

func TestCacheIsExact(t *testing.T) {
	c := NewCache()
	identity, trust := document(allow("s3:*", "*")), document(vmie)
	for range 2 {
		if _, err := c.Parse(identity, Identity); err != nil {
			t.Error(err)
		}
		if _, err := c.Parse(identity, Trust); err == nil {
			t.Error("an identity policy passed for a trust policy")
		}
		d, err := c.Parse(trust, Trust)
		if err != nil || d.Evaluate(NewWork(t.Context()), Request{Caller: Caller{Service: "vmie.amazonaws.com"}, Action: "sts:AssumeRole"}) != Allow {
			t.Errorf("trust: %v", err)
		}
		if _, err := c.Parse(identity+"x", Identity); err == nil {
			t.Error("a document with more behind it was taken")
		}
	}
	for i := range 2 * cached { // more than the cache keeps
		text := document(allow("s3:*", fmt.Sprintf("arn:aws:s3:::b%d", i)))
		d, err := c.Parse(text, Identity)
		if err != nil || d.Evaluate(NewWork(t.Context()), Request{Action: "s3:X", Resource: fmt.Sprintf("arn:aws:s3:::b%d", i)}) != Allow {
			t.Fatalf("document %d: %v", i, err)
		}
	}
}
