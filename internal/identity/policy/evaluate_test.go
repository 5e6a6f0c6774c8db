package policy

import (
	"strings"
	"testing"
)

// statementCase evaluates one request against a document with one or more
// statements.
type statementCase struct {
	name      string
	statement string // JSON, without the braces; several with the braces
	action    string
	resource  string
	context   string // key=value|value;key=value
	want      Decision
}

const (
	key1 = "arn:aws:s3:::bucket/images/a.vmdk"
	buck = "arn:aws:s3:::bucket"
)

var identityCases = []statementCase{
	// actions
	{"exact action", allow("s3:GetObject", "*"), "s3:GetObject", key1, "", Allow},
	{"other action", allow("s3:GetObject", "*"), "s3:PutObject", key1, "", NoMatch},
	{"action in another case", allow("S3:getobject", "*"), "s3:GetObject", key1, "", Allow},
	{"action prefix", allow("s3:Get*", "*"), "s3:GetObject", key1, "", Allow},
	{"action prefix of another", allow("s3:Get*", "*"), "s3:PutObject", key1, "", NoMatch},
	{"action question mark", allow("s3:?etObject", "*"), "s3:GetObject", key1, "", Allow},
	{"action question mark needs one", allow("s3:GetObject?", "*"), "s3:GetObject", key1, "", NoMatch},
	{"action inner star", allow("ec2:*Snapshot*", "*"), "ec2:DescribeSnapshots", "*", "", Allow},
	{"all of a service", allow("ec2:*", "*"), "ec2:ImportSnapshot", "*", "", Allow},
	{"all of another service", allow("ec2:*", "*"), "ebs:GetSnapshotBlock", "*", "", NoMatch},
	{"all", allow("*", "*"), "kms:Decrypt", "*", "", Allow},
	{"second of a list", `"Effect":"Allow","Action":["a:B","ec2:X"],"Resource":"*"`, "ec2:X", "*", "", Allow},
	{"none of a list", `"Effect":"Allow","Action":["a:B","ec2:X"],"Resource":"*"`, "ec2:Y", "*", "", NoMatch},
	{"NotAction allows the rest", `"Effect":"Allow","NotAction":"iam:*","Resource":"*"`, "ec2:X", "*", "", Allow},
	{"NotAction leaves out", `"Effect":"Allow","NotAction":"iam:*","Resource":"*"`, "iam:CreateRole", "*", "", NoMatch},
	{"NotAction with a list", `"Effect":"Allow","NotAction":["iam:*","sts:*"],"Resource":"*"`, "sts:AssumeRole", "*", "", NoMatch},
	{"NotAction in a Deny", `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","NotAction":"ec2:*","Resource":"*"}`, "s3:GetObject", key1, "", Deny},
	{"NotAction in a Deny spares", `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","NotAction":"ec2:*","Resource":"*"}`, "ec2:X", "*", "", Allow},

	// resources
	{"exact resource", allow("s3:*", key1), "s3:GetObject", key1, "", Allow},
	{"other resource", allow("s3:*", key1), "s3:GetObject", key1 + "x", "", NoMatch},
	{"resource is case-sensitive", allow("s3:*", "arn:aws:s3:::Bucket/*"), "s3:GetObject", key1, "", NoMatch},
	{"resource star", allow("s3:*", "arn:aws:s3:::bucket/*"), "s3:GetObject", key1, "", Allow},
	{"objects are not the bucket", allow("s3:*", "arn:aws:s3:::bucket/*"), "s3:ListBucket", buck, "", NoMatch},
	{"bucket is not the objects", allow("s3:*", buck), "s3:GetObject", key1, "", NoMatch},
	{"star without a slash reaches other buckets", allow("s3:*", "arn:aws:s3:::bucket*"), "s3:GetObject", "arn:aws:s3:::bucketeer/x", "", Allow},
	{"resource question mark", allow("s3:*", "arn:aws:s3:::bucket/images/?.vmdk"), "s3:GetObject", key1, "", Allow},
	{"resource star in the middle", allow("s3:*", "arn:aws:s3:::*/a.vmdk"), "s3:GetObject", key1, "", Allow},
	{"two stars", allow("s3:*", "arn:aws:s3:::b*/*.vmdk"), "s3:GetObject", key1, "", Allow},
	{"two stars, wrong end", allow("s3:*", "arn:aws:s3:::b*/*.raw"), "s3:GetObject", key1, "", NoMatch},
	{"star backtracks", allow("s3:*", "arn:aws:s3:::b/*ab"), "s3:GetObject", "arn:aws:s3:::b/aabaab", "", Allow},
	{"short ARN with a star", allow("s3:*", "arn:aws:s3*"), "s3:GetObject", key1, "", Allow},
	{"star over colons", allow("ec2:*", "arn:aws:ec2:*:snapshot/*"), "ec2:X", "arn:aws:ec2:us-east-1::snapshot/snap-1", "", Allow},
	{"NotResource allows the rest", `"Effect":"Allow","Action":"s3:*","NotResource":"arn:aws:s3:::bucket/images/*"`, "s3:GetObject", "arn:aws:s3:::bucket/x", "", Allow},
	{"NotResource leaves out", `"Effect":"Allow","Action":"s3:*","NotResource":"arn:aws:s3:::bucket/images/*"`, "s3:GetObject", key1, "", NoMatch},
	{"NotResource in a Deny", `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","NotResource":"arn:aws:s3:::bucket*"}`, "s3:GetObject", "arn:aws:s3:::other/x", "", Deny},
	{"second resource of a list", `"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::a","arn:aws:s3:::bucket"]`, "s3:ListBucket", buck, "", Allow},
	{"UTF-8 question mark is a rune", allow("s3:*", "arn:aws:s3:::b/?"), "s3:GetObject", "arn:aws:s3:::b/é", "", Allow},

	// deny
	{"deny alone", `"Effect":"Deny","Action":"*","Resource":"*"`, "ec2:X", "*", "", Deny},
	{"deny after allow", `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"ec2:X","Resource":"*"}`, "ec2:X", "*", "", Deny},
	{"deny before allow", `{"Effect":"Deny","Action":"ec2:X","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"}`, "ec2:X", "*", "", Deny},
	{"deny of another action", `{"Effect":"Deny","Action":"ec2:Y","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"}`, "ec2:X", "*", "", Allow},
	{"deny of another resource", `{"Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::other/*"},{"Effect":"Allow","Action":"*","Resource":"*"}`, "s3:GetObject", key1, "", Allow},
	{"deny under a condition that fails", `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},{"Effect":"Allow","Action":"*","Resource":"*"}`, "ec2:X", "*", "aws:securetransport=true", Allow},
	{"deny under a condition that holds", `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},{"Effect":"Allow","Action":"*","Resource":"*"}`, "ec2:X", "*", "aws:securetransport=false", Deny},

	// variables
	{"variable in a resource", allow("s3:*", "arn:aws:s3:::bucket/${aws:username}/*"), "s3:GetObject", "arn:aws:s3:::bucket/ann/x", "aws:username=ann", Allow},
	{"variable of another", allow("s3:*", "arn:aws:s3:::bucket/${aws:username}/*"), "s3:GetObject", "arn:aws:s3:::bucket/bob/x", "aws:username=ann", NoMatch},
	{"variable in another case", allow("s3:*", "arn:aws:s3:::bucket/${AWS:UserName}/*"), "s3:GetObject", "arn:aws:s3:::bucket/ann/x", "aws:username=ann", Allow},
	{"variable without a value", allow("s3:*", "arn:aws:s3:::bucket/${aws:username}/*"), "s3:GetObject", "arn:aws:s3:::bucket//x", "", NoMatch},
	{"variable with two values", allow("s3:*", "arn:aws:s3:::bucket/${aws:username}/*"), "s3:GetObject", "arn:aws:s3:::bucket/a/x", "aws:username=a|b", NoMatch},
	{"value with a star is literal", allow("s3:*", "arn:aws:s3:::bucket/${aws:username}/*"), "s3:GetObject", "arn:aws:s3:::bucket/bob/x", "aws:username=*", NoMatch},
	{"value with a star matches itself", allow("s3:*", "arn:aws:s3:::bucket/${aws:username}/*"), "s3:GetObject", "arn:aws:s3:::bucket/*/x", "aws:username=*", Allow},
	{"default", allow("s3:*", "arn:aws:s3:::bucket/${aws:PrincipalTag/team, 'all'}/*"), "s3:GetObject", "arn:aws:s3:::bucket/all/x", "", Allow},
	{"default not needed", allow("s3:*", "arn:aws:s3:::bucket/${aws:PrincipalTag/team, 'all'}/*"), "s3:GetObject", "arn:aws:s3:::bucket/all/x", "aws:principaltag/team=red", NoMatch},
	{"escaped star", allow("s3:*", "arn:aws:s3:::bucket/${*}"), "s3:GetObject", "arn:aws:s3:::bucket/x", "", NoMatch},
	{"escaped star matches a star", allow("s3:*", "arn:aws:s3:::bucket/${*}"), "s3:GetObject", "arn:aws:s3:::bucket/*", "", Allow},
	{"escaped dollar", allow("s3:*", "arn:aws:s3:::bucket/${$}"), "s3:GetObject", "arn:aws:s3:::bucket/$", "", Allow},
	{"variable in NotResource without a value", `"Effect":"Deny","Action":"s3:*","NotResource":"arn:aws:s3:::bucket/${aws:username}/*"`, "s3:GetObject", "arn:aws:s3:::bucket/ann/x", "", Deny},
	{"variable in a condition", allowIf(`{"StringEquals":{"s3:prefix":"${aws:username}/"}}`), "s3:ListBucket", buck, "aws:username=ann;s3:prefix=ann/", Allow},
	{"variable in a condition, other", allowIf(`{"StringLike":{"s3:prefix":"${aws:username}/*"}}`), "s3:ListBucket", buck, "aws:username=ann;s3:prefix=bob/x", NoMatch},
}

func allow(action, resource string) string {
	return `"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"`
}

func allowIf(condition string) string { return allow("*", "*") + `,"Condition":` + condition }

// conditionCases have a statement whose condition alone decides: the result is
// Allow if it holds.
var conditionCases = []struct {
	condition string
	context   string
	holds     bool
}{
	{`{"StringEquals":{"k:a":"x"}}`, "k:a=x", true},
	{`{"StringEquals":{"K:A":"x"}}`, "k:a=x", true},
	{`{"StringEquals":{"k:a":"x"}}`, "k:a=X", false},
	{`{"StringEquals":{"k:a":"x"}}`, "", false},
	{`{"StringEquals":{"k:a":["x","y"]}}`, "k:a=y", true},
	{`{"StringEquals":{"k:a":"x*"}}`, "k:a=xy", false},
	{`{"StringEquals":{"k:a":"x*"}}`, "k:a=x*", true},
	{`{"StringEquals":{"k:a":5}}`, "k:a=5", true},
	{`{"StringEquals":{"k:a":"x","k:b":"y"}}`, "k:a=x;k:b=y", true},
	{`{"StringEquals":{"k:a":"x","k:b":"y"}}`, "k:a=x", false},
	{`{"StringEquals":{"k:a":"x"},"Bool":{"k:b":"true"}}`, "k:a=x;k:b=false", false},
	{`{"StringNotEquals":{"k:a":"x"}}`, "k:a=y", true},
	{`{"StringNotEquals":{"k:a":"x"}}`, "k:a=x", false},
	{`{"StringNotEquals":{"k:a":"x"}}`, "", true},
	{`{"StringNotEquals":{"k:a":["x","y"]}}`, "k:a=y", false},
	{`{"StringNotEquals":{"k:a":["x","y"]}}`, "k:a=z", true},
	{`{"StringNotEquals":{"k:a":"x"}}`, "k:a=x|y", false},
	{`{"StringEqualsIgnoreCase":{"k:a":"xY"}}`, "k:a=Xy", true},
	{`{"StringEqualsIgnoreCase":{"k:a":"x"}}`, "k:a=y", false},
	{`{"StringNotEqualsIgnoreCase":{"k:a":"x"}}`, "k:a=X", false},
	{`{"StringLike":{"k:a":"x*z"}}`, "k:a=xyyz", true},
	{`{"StringLike":{"k:a":"x?z"}}`, "k:a=xyyz", false},
	{`{"StringLike":{"k:a":"*"}}`, "k:a=", true},
	{`{"StringNotLike":{"k:a":"x*"}}`, "k:a=xy", false},
	{`{"StringNotLike":{"k:a":"x*"}}`, "k:a=y", true},
	{`{"StringEqualsIfExists":{"k:a":"x"}}`, "", true},
	{`{"StringEqualsIfExists":{"k:a":"x"}}`, "k:a=y", false},
	{`{"StringLikeIfExists":{"k:a":"x*"}}`, "k:a=xy", true},
	{`{"ForAnyValue:StringEquals":{"k:a":["x","y"]}}`, "k:a=z|y", true},
	{`{"ForAnyValue:StringEquals":{"k:a":["x","y"]}}`, "k:a=z|w", false},
	{`{"ForAnyValue:StringEquals":{"k:a":"x"}}`, "", false},
	{`{"ForAnyValue:StringNotEquals":{"k:a":"x"}}`, "k:a=x|y", true},
	{`{"ForAnyValue:StringNotEquals":{"k:a":"x"}}`, "k:a=x", false},
	{`{"ForAnyValue:StringNotEquals":{"k:a":"x"}}`, "", false},
	{`{"ForAnyValue:StringEqualsIfExists":{"k:a":"x"}}`, "", true},
	{`{"ForAllValues:StringEquals":{"k:a":["x","y"]}}`, "k:a=x|y", true},
	{`{"ForAllValues:StringEquals":{"k:a":["x","y"]}}`, "k:a=x|z", false},
	{`{"ForAllValues:StringEquals":{"k:a":"x"}}`, "", true},
	{`{"ForAllValues:StringNotLike":{"k:a":"x*"}}`, "k:a=a|b", true},
	{`{"ForAllValues:StringNotLike":{"k:a":"x*"}}`, "k:a=a|xb", false},
	{`{"ArnEquals":{"k:a":"arn:aws:vmie:us-east-1:123456789012:x"}}`, "k:a=arn:aws:vmie:us-east-1:123456789012:x", true},
	{`{"ArnEquals":{"k:a":"arn:aws:vmie:*:123456789012:*"}}`, "k:a=arn:aws:vmie:us-east-1:123456789012:x/y:z", true},
	{`{"ArnLike":{"k:a":"arn:aws:vmie:*:123456789012:*"}}`, "k:a=arn:aws:vmie:us-east-1:210987654321:x", false},
	{`{"ArnLike":{"k:a":"arn:aws:vm*:*:123456789012:*"}}`, "k:a=arn:aws:vmie:us-east-1:123456789012:x", true},
	{`{"ArnLike":{"k:a":"arn:aws:*:123456789012:x"}}`, "k:a=arn:aws:vmie:us-east-1:123456789012:x", false},
	{`{"ArnLike":{"k:a":"*"}}`, "k:a=arn:aws:vmie:us-east-1:123456789012:x", true},
	{`{"ArnLike":{"k:a":"arn:aws:vmie:*:*:*"}}`, "k:a=no arn", false},
	{`{"ArnNotLike":{"k:a":"arn:aws:iam::*:role/a"}}`, "k:a=arn:aws:iam::1:role/a", false},
	{`{"ArnNotEquals":{"k:a":"arn:aws:iam::*:role/a"}}`, "k:a=arn:aws:iam::1:role/b", true},
	{`{"ArnLikeIfExists":{"k:a":"arn:aws:vmie:*:*:*"}}`, "", true},
	{`{"Bool":{"k:a":"true"}}`, "k:a=true", true},
	{`{"Bool":{"k:a":true}}`, "k:a=true", true},
	{`{"Bool":{"k:a":"True"}}`, "k:a=true", true},
	{`{"Bool":{"k:a":"false"}}`, "k:a=true", false},
	{`{"Bool":{"k:a":"false"}}`, "", false},
	{`{"BoolIfExists":{"k:a":"true"}}`, "", true},
	{`{"BinaryEquals":{"k:a":"QmluYXJ5"}}`, "k:a=QmluYXJ5", true},
	{`{"IpAddress":{"k:a":"10.0.0.0/8"}}`, "k:a=10.1.2.3", true},
	{`{"IpAddress":{"k:a":"10.0.0.0/8"}}`, "k:a=11.1.2.3", false},
	{`{"IpAddress":{"k:a":"10.0.0.7"}}`, "k:a=10.0.0.7", true},
	{`{"IpAddress":{"k:a":["192.0.2.0/24","2001:db8::/32"]}}`, "k:a=2001:db8::1", true},
	{`{"IpAddress":{"k:a":"10.0.0.0/8"}}`, "k:a=::ffff:10.1.2.3", true},
	{`{"IpAddress":{"k:a":"0.0.0.0/0"}}`, "k:a=garbage", false},
	{`{"NotIpAddress":{"k:a":"10.0.0.0/8"}}`, "k:a=11.1.2.3", true},
	{`{"NotIpAddress":{"k:a":["10.0.0.0/8","11.0.0.0/8"]}}`, "k:a=11.1.2.3", false},
	{`{"NumericEquals":{"k:a":"10"}}`, "k:a=10.0", true},
	{`{"NumericEquals":{"k:a":9007199254740993}}`, "k:a=9007199254740992", false},
	{`{"NumericNotEquals":{"k:a":"10"}}`, "k:a=11", true},
	{`{"NumericLessThan":{"k:a":"10"}}`, "k:a=9", true},
	{`{"NumericLessThan":{"k:a":"10"}}`, "k:a=10", false},
	{`{"NumericLessThanEquals":{"k:a":10}}`, "k:a=10", true},
	{`{"NumericGreaterThan":{"k:a":"10"}}`, "k:a=100", true},
	{`{"NumericGreaterThanEquals":{"k:a":"10"}}`, "k:a=9.99", false},
	{`{"NumericGreaterThan":{"k:a":"10"}}`, "k:a=many", false},
	{`{"NumericLessThanIfExists":{"k:a":"10"}}`, "", true},
	{`{"DateLessThan":{"k:a":"2030-01-01T00:00:00Z"}}`, "k:a=2024-06-01T00:00:00Z", true},
	{`{"DateGreaterThan":{"k:a":"2030-01-01"}}`, "k:a=2024-06-01T00:00:00Z", false},
	{`{"DateEquals":{"k:a":"2024-06-01T02:00:00+02:00"}}`, "k:a=2024-06-01T00:00:00Z", true},
	{`{"DateNotEquals":{"k:a":"2024-06-01"}}`, "k:a=2024-06-01T00:00:00Z", false},
	{`{"DateGreaterThanEquals":{"k:a":"1717200000"}}`, "k:a=2024-06-01T00:00:00Z", true},
	{`{"DateLessThanEquals":{"k:a":"2024-06-01T00:00:00Z"}}`, "k:a=1717200001", false},
	{`{"Null":{"k:a":"true"}}`, "", true},
	{`{"Null":{"k:a":"true"}}`, "k:a=x", false},
	{`{"Null":{"k:a":"false"}}`, "k:a=x", true},
	{`{"Null":{"k:a":false}}`, "", false},
	{`{}`, "", true},
}

func contextOf(text string) Context {
	c := Context{}
	for pair := range strings.SplitSeq(text, ";") {
		if key, values, ok := strings.Cut(pair, "="); ok {
			c.Set(key, strings.Split(values, "|")...)
		}
	}
	return c
}

func document(statement string) string {
	if !strings.HasPrefix(statement, "{") {
		statement = "{" + statement + "}"
	}
	return `{"Version":"2012-10-17","Statement":[` + statement + `]}`
}

func TestIdentityPolicies(t *testing.T) {
	cases := identityCases
	for _, c := range conditionCases {
		want := NoMatch
		if c.holds {
			want = Allow
		}
		cases = append(cases, statementCase{c.condition + " " + c.context, allowIf(c.condition), "ec2:X", "*", c.context, want})
	}
	if len(cases) < 120 {
		t.Errorf("%d cases, at least 120 are wanted", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d, err := Parse(document(c.statement), Identity)
			if err != nil {
				t.Fatal(err)
			}
			got := d.Evaluate(NewWork(t.Context()), Request{Action: c.action, Resource: c.resource, Context: contextOf(c.context)})
			if got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestOldVersionHasNoVariables(t *testing.T) {
	text := strings.Replace(document(allow("s3:*", "arn:aws:s3:::b/${aws:username}")), version2012, version2008, 1)
	d, err := Parse(text, Identity)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/${aws:username}", Context: contextOf("aws:username=ann")}
	if got := d.Evaluate(NewWork(t.Context()), r); got != Allow {
		t.Errorf("literal text: got %d, want %d", got, Allow)
	}
	r.Resource = "arn:aws:s3:::b/ann"
	if got := d.Evaluate(NewWork(t.Context()), r); got != NoMatch {
		t.Errorf("filled in: got %d, want %d", got, NoMatch)
	}
}

func TestSeveralDocuments(t *testing.T) {
	var list []Document
	for _, statement := range []string{allow("ec2:*", "*"), `"Effect":"Deny","Action":"ec2:DeleteSnapshot","Resource":"*"`} {
		d, err := Parse(document(statement), Identity)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	for action, want := range map[string]Decision{"ec2:X": Allow, "ec2:DeleteSnapshot": Deny, "s3:X": NoMatch} {
		if got := Evaluate(NewWork(t.Context()), list, Request{Action: action, Resource: "*"}); got != want {
			t.Errorf("%s: got %d, want %d", action, got, want)
		}
	}
	if got := Evaluate(NewWork(t.Context()), nil, Request{Action: "ec2:X", Resource: "*"}); got != NoMatch {
		t.Errorf("no documents: got %d, want %d", got, NoMatch)
	}
}

const vmie = `"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole"`

func TestPrincipals(t *testing.T) {
	service := Caller{Service: "vmie.amazonaws.com"}
	ann := Caller{Account: "111111111111", ARNs: []string{"arn:aws:iam::111111111111:user/ann"}}
	session := Caller{Account: "111111111111", ARNs: []string{"arn:aws:iam::111111111111:role/r", "arn:aws:sts::111111111111:assumed-role/r/s"}}
	other := Caller{Account: "222222222222", ARNs: []string{"arn:aws:iam::222222222222:user/bob"}}
	trust := func(element string) string { return `"Effect":"Allow",` + element + `,"Action":"sts:AssumeRole"` }
	everybodyBut := func(names string) string {
		return `{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"},{"Effect":"Deny","NotPrincipal":{"AWS":[` + names + `]},"Action":"sts:*"}`
	}
	external := vmie + `,"Condition":{"StringEquals":{"sts:Externalid":"vmimport"}}`
	hardened := vmie + `,"Condition":{"StringEquals":{"sts:ExternalId":"vmimport","aws:SourceAccount":"111111111111"},"ArnLike":{"aws:SourceArn":"arn:aws:vmie:*:111111111111:*"}}`
	source := "sts:externalid=vmimport;aws:sourceaccount=111111111111;aws:sourcearn=arn:aws:vmie:us-east-1:111111111111:import/1"
	for _, c := range []struct {
		name      string
		statement string
		caller    Caller
		context   string
		want      Decision
	}{
		{"service", vmie, service, "", Allow},
		{"other service", vmie, Caller{Service: "ec2.amazonaws.com"}, "", NoMatch},
		{"user instead of the service", vmie, ann, "", NoMatch},
		{"nobody instead of the service", vmie, Caller{}, "", NoMatch},
		{"external id", external, service, source, Allow},
		{"wrong external id", external, service, "sts:externalid=x", NoMatch},
		{"no external id", external, service, "", NoMatch},
		{"hardened", hardened, service, source, Allow},
		{"hardened, other account", hardened, service, strings.ReplaceAll(source, "1111", "2222"), NoMatch},
		{"service in a list", trust(`"Principal":{"Service":["ec2.amazonaws.com","vmie.amazonaws.com"]}`), service, "", Allow},
		{"everybody", trust(`"Principal":"*"`), other, "", Allow},
		{"everybody, the long way", trust(`"Principal":{"AWS":"*"}`), Caller{}, "", Allow},
		{"user", trust(`"Principal":{"AWS":"arn:aws:iam::111111111111:user/ann"}`), ann, "", Allow},
		{"other user", trust(`"Principal":{"AWS":"arn:aws:iam::111111111111:user/ann"}`), other, "", NoMatch},
		{"account", trust(`"Principal":{"AWS":"111111111111"}`), ann, "", AllowAccount},
		{"account root", trust(`"Principal":{"AWS":"arn:aws:iam::111111111111:root"}`), session, "", AllowAccount},
		{"other account", trust(`"Principal":{"AWS":"111111111111"}`), other, "", NoMatch},
		{"user beside his account", trust(`"Principal":{"AWS":["111111111111","arn:aws:iam::111111111111:user/ann"]}`), ann, "", Allow},
		{"role", trust(`"Principal":{"AWS":"arn:aws:iam::111111111111:role/r"}`), session, "", Allow},
		{"session", trust(`"Principal":{"AWS":"arn:aws:sts::111111111111:assumed-role/r/s"}`), session, "", Allow},
		{"deleted user", trust(`"Principal":{"AWS":"AIDAEXAMPLE"}`), ann, "", NoMatch},
		{"NotPrincipal spares", trust(`"NotPrincipal":{"AWS":"arn:aws:iam::111111111111:user/ann"}`), ann, "", NoMatch},
		{"NotPrincipal covers the rest", trust(`"NotPrincipal":{"AWS":"arn:aws:iam::111111111111:user/ann"}`), other, "", Allow},
		{"a Deny spares whom NotPrincipal names", everybodyBut(`"111111111111","arn:aws:iam::111111111111:user/ann"`), ann, "", Allow},
		{"a Deny doesn't spare the others of an account that NotPrincipal names", everybodyBut(`"111111111111","arn:aws:iam::111111111111:user/bob"`), ann, "", Deny},
		{"nor those of an account that it names by its root", everybodyBut(`"arn:aws:iam::111111111111:root","arn:aws:iam::111111111111:user/bob"`), session, "", Deny},
		{"it spares the account's root", everybodyBut(`"111111111111"`), Caller{Account: "111111111111", ARNs: []string{"arn:aws:iam::111111111111:root"}}, "", Allow},
		{"an Allow spares an account", trust(`"NotPrincipal":{"AWS":"111111111111"}`), ann, "", NoMatch},
		{"denied account", `{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"},{"Effect":"Deny","Principal":{"AWS":"222222222222"},"Action":"sts:*"}`, other, "", Deny},
		{"not the denied account", `{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"},{"Effect":"Deny","Principal":{"AWS":"222222222222"},"Action":"sts:*"}`, ann, "", Allow},
		{"other action", strings.Replace(vmie, "AssumeRole", "TagSession", 1), service, "", NoMatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Parse(document(c.statement), Trust)
			if err != nil {
				t.Fatal(err)
			}
			got := d.Evaluate(NewWork(t.Context()), Request{Caller: c.caller, Action: "sts:AssumeRole", Resource: "arn:aws:iam::111111111111:role/vmimport", Context: contextOf(c.context)})
			if got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
