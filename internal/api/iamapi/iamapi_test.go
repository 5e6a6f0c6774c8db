package iamapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/iam/iamtest"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/identity/sigv4"
)

const (
	account = "123456789012"
	trust   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:Externalid":"vmimport"}}}]}`
	rights  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::images","arn:aws:s3:::images/*"]},{"Effect":"Allow","Action":["ec2:ModifySnapshotAttribute","ec2:CopySnapshot","ec2:RegisterImage","ec2:Describe*"],"Resource":"*"}]}`
)

// bench is the edge behind the front chain, and SDK clients for it.
type bench struct {
	edge    *Edge
	iam     *sdk.Client
	sts     *sts.Client
	log     *bytes.Buffer
	url     string
	late    *time.Duration // how far the service's clock is ahead
	actions map[string]bool
}

// as returns the clients of another principal.
func (b bench) as(id, secret, token string) (*sdk.Client, *sts.Client) {
	conf := aws.Config{
		Region: "us-east-1", BaseEndpoint: &b.url, Retryer: wiretest.Once,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, token),
	}
	return sdk.NewFromConfig(conf), sts.NewFromConfig(conf)
}

// ServeAWS passes a request on to the edge, and records what it did.
func (b bench) ServeAWS(w http.ResponseWriter, r *http.Request, c *awshttp.Call) {
	rec := httptest.NewRecorder()
	b.edge.ServeAWS(rec, r, c)
	if rec.Code == http.StatusOK {
		b.actions[c.Action] = true
	}
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func open(t testing.TB) bench {
	t.Helper()
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	b := bench{log: &bytes.Buffer{}, late: new(time.Duration), actions: map[string]bool{}}
	service := iam.New(iam.Options{
		Store: &iamtest.Memory{}, Wrapper: master, Tokens: master, Now: func() time.Time { return time.Now().Add(*b.late) },
	})
	if err := service.SetRootKey(t.Context(), account, "AKIAROOT", sigv4.NewSecret("secret")); err != nil {
		t.Fatal(err)
	}
	b.edge = New(Options{Service: service, Log: slog.New(slog.NewTextHandler(b.log, nil))})
	srv := httptest.NewServer(awshttp.New(awshttp.Options{
		Regions: wiretest.Regions("us-east-1"),
		Edges:   map[string]awshttp.Edge{awshttp.IAM: b, awshttp.STS: b},
		Keys:    service, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	}))
	t.Cleanup(srv.Close)
	b.url = srv.URL
	b.iam, b.sts = b.as("AKIAROOT", "secret", "")
	return b
}

// must returns the result of a call that has to succeed.
func must[T any](t *testing.T) func(T, error) T {
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// refused checks the code and the status of a call that has to fail.
func refused(t *testing.T, what string, err error, code string, status int) {
	t.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	var response interface{ HTTPStatusCode() int }
	if !ok || !errors.As(err, &response) || api.ErrorCode() != code || response.HTTPStatusCode() != status {
		t.Errorf("%s: got %v, want %s %d", what, err, code, status)
	}
}

// TestUserGuide walks the recipe of the VM Import user guide, and back.
func TestUserGuide(t *testing.T) {
	b, ctx, name := open(t), t.Context(), aws.String("vmimport")
	made := must[*sdk.CreateRoleOutput](t)(b.iam.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trust)}))
	if *made.Role.Arn != "arn:aws:iam::123456789012:role/vmimport" || made.Role.CreateDate == nil || *made.Role.Path != "/" || made.Role.MaxSessionDuration != nil || made.Role.Description != nil || made.Role.Tags != nil {
		t.Errorf("made %+v", made.Role)
	}
	must[*sdk.PutRolePolicyOutput](t)(b.iam.PutRolePolicy(ctx, &sdk.PutRolePolicyInput{RoleName: name, PolicyName: name, PolicyDocument: aws.String(rights)}))

	got := must[*sdk.GetRoleOutput](t)(b.iam.GetRole(ctx, &sdk.GetRoleInput{RoleName: name}))
	if text, err := url.QueryUnescape(*got.Role.AssumeRolePolicyDocument); err != nil || text != trust || *got.Role.RoleId != *made.Role.RoleId || *got.Role.MaxSessionDuration != 3600 || got.Role.Tags != nil || got.Role.PermissionsBoundary != nil {
		t.Errorf("got %+v, %v", got.Role, err)
	}
	inline := must[*sdk.GetRolePolicyOutput](t)(b.iam.GetRolePolicy(ctx, &sdk.GetRolePolicyInput{RoleName: name, PolicyName: name}))
	if text, err := url.QueryUnescape(*inline.PolicyDocument); err != nil || text != rights || *inline.RoleName != *name || *inline.PolicyName != *name {
		t.Errorf("got %+v, %v", inline, err)
	}
	names := must[*sdk.ListRolePoliciesOutput](t)(b.iam.ListRolePolicies(ctx, &sdk.ListRolePoliciesInput{RoleName: name}))
	if len(names.PolicyNames) != 1 || names.PolicyNames[0] != "vmimport" || names.IsTruncated || names.Marker != nil {
		t.Errorf("policies %+v", names)
	}
	attached := must[*sdk.ListAttachedRolePoliciesOutput](t)(b.iam.ListAttachedRolePolicies(ctx, &sdk.ListAttachedRolePoliciesInput{RoleName: name}))
	profiles := must[*sdk.ListInstanceProfilesForRoleOutput](t)(b.iam.ListInstanceProfilesForRole(ctx, &sdk.ListInstanceProfilesForRoleInput{RoleName: name}))
	if attached.AttachedPolicies == nil || len(attached.AttachedPolicies) != 0 || profiles.InstanceProfiles == nil || len(profiles.InstanceProfiles) != 0 {
		t.Errorf("attached %+v, profiles %+v", attached, profiles)
	}

	_, err := b.iam.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trust)})
	refused(t, "create again", err, "EntityAlreadyExists", 409)
	_, err = b.iam.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: name})
	refused(t, "delete with policies", err, "DeleteConflict", 409)
	must[*sdk.DeleteRolePolicyOutput](t)(b.iam.DeleteRolePolicy(ctx, &sdk.DeleteRolePolicyInput{RoleName: name, PolicyName: name}))
	_, err = b.iam.GetRolePolicy(ctx, &sdk.GetRolePolicyInput{RoleName: name, PolicyName: name})
	refused(t, "deleted policy", err, "NoSuchEntity", 404)
	must[*sdk.DeleteRoleOutput](t)(b.iam.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: name}))
	_, err = b.iam.GetRole(ctx, &sdk.GetRoleInput{RoleName: name})
	refused(t, "deleted role", err, "NoSuchEntity", 404)
	if _, typed := errors.AsType[*types.NoSuchEntityException](err); !typed || !strings.Contains(err.Error(), "The role with name vmimport cannot be found.") {
		t.Errorf("the SDK does not know %v", err)
	}
	if b.log.Len() > 0 {
		t.Errorf("logged: %s", b.log)
	}
}

func TestRoleChanges(t *testing.T) {
	b, ctx, name := open(t), t.Context(), aws.String("r")
	must[*sdk.CreateRoleOutput](t)(b.iam.CreateRole(ctx, &sdk.CreateRoleInput{
		RoleName: name, Path: aws.String("/a/"), AssumeRolePolicyDocument: aws.String(trust), Description: aws.String("d"),
		MaxSessionDuration: aws.Int32(7200), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("")}},
	}))
	must[*sdk.UpdateRoleOutput](t)(b.iam.UpdateRole(ctx, &sdk.UpdateRoleInput{RoleName: name, Description: aws.String(""), MaxSessionDuration: aws.Int32(3600)}))
	other := strings.Replace(trust, "vmie", "ec2", 1)
	must[*sdk.UpdateAssumeRolePolicyOutput](t)(b.iam.UpdateAssumeRolePolicy(ctx, &sdk.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: &other}))
	must[*sdk.TagRoleOutput](t)(b.iam.TagRole(ctx, &sdk.TagRoleInput{RoleName: name, Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("1")}}}))
	must[*sdk.UntagRoleOutput](t)(b.iam.UntagRole(ctx, &sdk.UntagRoleInput{RoleName: name, TagKeys: []string{"k"}}))
	got := must[*sdk.GetRoleOutput](t)(b.iam.GetRole(ctx, &sdk.GetRoleInput{RoleName: name})).Role
	if *got.Arn != "arn:aws:iam::123456789012:role/a/r" || got.Description != nil || *got.MaxSessionDuration != 3600 || len(got.Tags) != 1 || !strings.Contains(*got.AssumeRolePolicyDocument, "ec2") {
		t.Errorf("got %+v", got)
	}
	tags := must[*sdk.ListRoleTagsOutput](t)(b.iam.ListRoleTags(ctx, &sdk.ListRoleTagsInput{RoleName: name}))
	if len(tags.Tags) != 1 || *tags.Tags[0].Key != "b" || *tags.Tags[0].Value != "1" {
		t.Errorf("tags %+v", tags.Tags)
	}
}

func TestListRolesInPages(t *testing.T) {
	b, ctx := open(t), t.Context()
	for _, name := range []string{"c", "a", "b"} {
		must[*sdk.CreateRoleOutput](t)(b.iam.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trust)}))
	}
	var names []string
	pages := sdk.NewListRolesPaginator(b.iam, &sdk.ListRolesInput{MaxItems: aws.Int32(2)})
	for pages.HasMorePages() {
		for _, role := range must[*sdk.ListRolesOutput](t)(pages.NextPage(ctx)).Roles {
			names = append(names, *role.RoleName)
		}
	}
	if strings.Join(names, "") != "abc" {
		t.Errorf("roles %v", names)
	}
	for what, in := range map[string]*sdk.ListRolesInput{"marker": {Marker: aws.String("?")}, "size": {MaxItems: aws.Int32(1001)}} {
		_, err := b.iam.ListRoles(ctx, in)
		refused(t, what, err, "ValidationError", 400)
	}
}

func TestWhoAmI(t *testing.T) {
	b, ctx := open(t), t.Context()
	me := must[*sts.GetCallerIdentityOutput](t)(b.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))
	if *me.Account != account || *me.Arn != "arn:aws:iam::123456789012:root" || *me.UserId != account {
		t.Errorf("I am %+v", me)
	}
	user := must[*sdk.GetUserOutput](t)(b.iam.GetUser(ctx, &sdk.GetUserInput{})).User
	if *user.Arn != *me.Arn || *user.UserId != account || user.CreateDate == nil || user.CreateDate.IsZero() {
		t.Errorf("I am %+v", user)
	}
	_, err := b.iam.GetUser(ctx, &sdk.GetUserInput{UserName: aws.String("ann")})
	refused(t, "another user", err, "NoSuchEntity", 404)
}

func TestErrors(t *testing.T) {
	b, ctx, name := open(t), t.Context(), aws.String("r")
	must[*sdk.CreateRoleOutput](t)(b.iam.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trust)}))
	tags := make([]types.Tag, 51)
	for i := range tags {
		tags[i] = types.Tag{Key: aws.String(strings.Repeat("k", i+1)), Value: aws.String("")}
	}
	for _, c := range []struct {
		what, code string
		status     int
		in         sdk.CreateRoleInput
	}{
		{"malformed trust", "MalformedPolicyDocument", 400, sdk.CreateRoleInput{AssumeRolePolicyDocument: aws.String("{")}},
		{"no trust", "ValidationError", 400, sdk.CreateRoleInput{AssumeRolePolicyDocument: aws.String("")}},
		{"trust with a resource", "MalformedPolicyDocument", 400, sdk.CreateRoleInput{AssumeRolePolicyDocument: aws.String(rights)}},
		{"long trust", "LimitExceeded", 409, sdk.CreateRoleInput{AssumeRolePolicyDocument: aws.String(strings.Replace(trust, "vmimport", strings.Repeat("x", 2048), 1))}},
		{"name", "ValidationError", 400, sdk.CreateRoleInput{RoleName: aws.String("a b"), AssumeRolePolicyDocument: aws.String(trust)}},
		{"empty name", "ValidationError", 400, sdk.CreateRoleInput{RoleName: aws.String(""), AssumeRolePolicyDocument: aws.String(trust)}},
		{"session", "ValidationError", 400, sdk.CreateRoleInput{AssumeRolePolicyDocument: aws.String(trust), MaxSessionDuration: aws.Int32(1)}},
		{"boundary that is not there", "NoSuchEntity", 404, sdk.CreateRoleInput{AssumeRolePolicyDocument: aws.String(trust), PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/X")}},
		{"boundary that is no ARN", "InvalidInput", 400, sdk.CreateRoleInput{AssumeRolePolicyDocument: aws.String(trust), PermissionsBoundary: aws.String("X")}},
		{"reserved tag", "InvalidInput", 400, sdk.CreateRoleInput{AssumeRolePolicyDocument: aws.String(trust), Tags: []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("")}}}},
		{"many tags", "LimitExceeded", 409, sdk.CreateRoleInput{AssumeRolePolicyDocument: aws.String(trust), Tags: tags}},
	} {
		if c.in.RoleName == nil {
			c.in.RoleName = aws.String("new")
		}
		_, err := b.iam.CreateRole(ctx, &c.in)
		refused(t, c.what, err, c.code, c.status)
	}
	_, err := b.iam.PutRolePolicy(ctx, &sdk.PutRolePolicyInput{RoleName: name, PolicyName: name, PolicyDocument: aws.String(trust)})
	refused(t, "policy with a principal", err, "MalformedPolicyDocument", 400)
	_, err = b.iam.PutRolePolicy(ctx, &sdk.PutRolePolicyInput{RoleName: aws.String("none"), PolicyName: name, PolicyDocument: aws.String(rights)})
	refused(t, "policy of nothing", err, "NoSuchEntity", 404)
}

// direct calls the edge for p as the front chain would.
func (b bench) direct(p iam.Principal, service, query string) *httptest.ResponseRecorder {
	form, _ := url.ParseQuery(query)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	b.edge.ServeAWS(w, r, &awshttp.Call{
		RequestID: "id-1", Principal: p, Service: service, Region: "us-east-1", Form: form,
		Origin: iam.Origin{Time: time.Now(), SourceIP: "192.0.2.1", Region: "us-east-1"},
	})
	return w
}

// subjectOf returns the parameters without which a request does not get as far as
// authorisation.
func subjectOf(action string) string {
	switch {
	case strings.HasSuffix(action, "LastUsed"):
		return "&AccessKeyId=AKIA1"
	case strings.HasPrefix(action, "ListVirtual"), action == "ListInstanceProfiles", action == "ListGroups":
		return ""
	case strings.Contains(action, "InstanceProfile") && !strings.HasSuffix(action, "ForRole"):
		return "&InstanceProfileName=p"
	case strings.Contains(action, "LoginProfile"):
		return "&UserName=u"
	case action == "ListRoles", action == "ListUsers", action == "ListPolicies", action == "ListAccountAliases", action == "CreatePolicy":
		return ""
	case strings.Contains(action, "AccessKey"):
		return "&UserName=u"
	case strings.Contains(action, "Role"):
		return "&RoleName=r"
	case strings.Contains(action, "User"), strings.HasPrefix(action, "ListMFA"), strings.HasPrefix(action, "ListS"):
		return "&UserName=u"
	}
	return "&PolicyArn=arn:aws:iam::123456789012:policy/p"
}

func TestEveryActionIsAuthorised(t *testing.T) {
	b := open(t)
	stranger := iam.Principal{Account: account, ARN: "arn:aws:iam::123456789012:user/ann", Kind: iam.User, Name: "ann"}
	for name := range iamActions {
		w := b.direct(stranger, awshttp.IAM, "Version=2010-05-08&Action="+name+subjectOf(name))
		if w.Code != 403 || !strings.Contains(w.Body.String(), "<Code>AccessDenied</Code>") || !strings.Contains(w.Body.String(), "not authorized to perform: iam:"+name) {
			t.Errorf("%s by a user without policies: %d %s", name, w.Code, w.Body)
		}
	}
	if w := b.direct(stranger, awshttp.STS, "Version=2011-06-15&Action=GetCallerIdentity"); w.Code != 200 || !strings.Contains(w.Body.String(), "user/ann") {
		t.Errorf("GetCallerIdentity: %d %s", w.Code, w.Body)
	}
	d, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetRole","Resource":"arn:aws:iam::123456789012:role/${aws:username}","Condition":{"StringEquals":{"aws:RequestedRegion":"us-east-1"},"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"Bool":{"aws:SecureTransport":"false"}}}}`, policy.Identity)
	if err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string]int{"ann": 404, "bob": 403} {
		if w := b.direct(stranger.WithPolicies(d), awshttp.IAM, "Version=2010-05-08&Action=GetRole&RoleName="+role); w.Code != want {
			t.Errorf("role %s: %d %s, want %d", role, w.Code, w.Body, want)
		}
	}
}

// TestTablesCoverTheSDK calls every operation that the SDK's clients have.
func TestTablesCoverTheSDK(t *testing.T) {
	b := open(t)
	root := b.edge.opts.Service.Root(account)
	for service, client := range map[string]reflect.Type{awshttp.IAM: reflect.TypeFor[*sdk.Client](), awshttp.STS: reflect.TypeFor[*sts.Client]()} {
		p := protocols[service]
		left := map[string]bool{}
		for name := range strings.FieldsSeq(p.unsupported) {
			left[name] = true
		}
		for i := range client.NumMethod() {
			m := client.Method(i)
			if m.Type.NumIn() != 4 || m.Type.In(1) != reflect.TypeFor[context.Context]() {
				continue
			}
			_, served := p.actions[m.Name]
			if served == left[m.Name] {
				t.Errorf("%s %s must be in one of the tables", service, m.Name)
			}
			w := b.direct(root, service, "Action="+m.Name+"&Version="+p.version)
			if unsupported := strings.Contains(w.Body.String(), "<Code>UnsupportedOperation</Code>"); unsupported == served || unsupported && w.Code != 400 {
				t.Errorf("%s %s: %d %s", service, m.Name, w.Code, w.Body)
			}
			delete(left, m.Name)
		}
		if len(left) > 0 {
			t.Errorf("%s has no %v", service, left)
		}
	}
}

func TestOddRequests(t *testing.T) {
	b := open(t)
	root := b.edge.opts.Service.Root(account)
	for query, code := range map[string]string{
		"":                                     "MissingAction",
		"Action=Nope&Version=2010-05-08":       "InvalidAction",
		"Action=GetRole&Version=2016-11-15":    "InvalidAction",
		"Action=GetRole":                       "InvalidAction",
		"Action=GetRole&Version=2010-05-08&X=": "UnsupportedOperation",
		"Action=ListRoles&Version=2010-05-08&MaxItems=x":              "ValidationError",
		"Action=GetRole&Version=2010-05-08&RoleName=a&RoleName=b":     "ValidationError",
		"Action=" + strings.Repeat("<", 5000) + "&Version=2010-05-08": "InvalidAction",
	} {
		if w := b.direct(root, awshttp.IAM, query); w.Code != 400 || !strings.Contains(w.Body.String(), "<Code>"+code+"</Code>") || w.Body.Len() > 2000 {
			t.Errorf("%.80s: %d %.300s, want %s", query, w.Code, w.Body, code)
		}
	}
}

// brokenStore is a store whose database fails.
type brokenStore struct{ iamtest.Memory }

func (*brokenStore) Roles(context.Context, string, ...string) ([]iam.Role, error) {
	return nil, errors.New("disk on fire")
}

func TestInternalErrorsStayInside(t *testing.T) {
	b := open(t)
	b.edge.opts.Service = iam.New(iam.Options{Store: &brokenStore{}})
	w := b.direct(b.edge.opts.Service.Root(account), awshttp.IAM, "Action=ListRoles&Version=2010-05-08")
	body, _ := io.ReadAll(w.Body)
	if w.Code != 500 || bytes.Contains(body, []byte("fire")) || !strings.Contains(b.log.String(), "disk on fire") || !strings.Contains(b.log.String(), "id-1") {
		t.Errorf("%d %s; log %s", w.Code, body, b.log)
	}
}

// TestGoldenRole compares one response byte for byte, except for its id.
func TestGoldenRole(t *testing.T) {
	b := open(t)
	root := b.edge.opts.Service.Root(account)
	w := b.direct(root, awshttp.IAM, "Action=CreateRole&Version=2010-05-08&RoleName=r&Tags.member.1.Key=k&Tags.member.1.Value=v&AssumeRolePolicyDocument="+url.QueryEscape(trust))
	text := w.Body.String()
	for _, part := range []string{
		`<CreateRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><CreateRoleResult><Role><Path>/</Path><RoleName>r</RoleName><RoleId>AROA`,
		`<Arn>arn:aws:iam::123456789012:role/r</Arn>`,
		`<AssumeRolePolicyDocument>%7B%22Version%22%3A%222012-10-17%22`,
		`<Tags><member><Key>k</Key><Value>v</Value></member></Tags></Role></CreateRoleResult><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></CreateRoleResponse>`,
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks\n%s", text, part)
		}
	}
	w = b.direct(root, awshttp.IAM, "Action=DeleteRole&Version=2010-05-08&RoleName=r")
	if want := `<DeleteRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></DeleteRoleResponse>`; !strings.HasSuffix(w.Body.String(), want) {
		t.Errorf("got %s, want %s", w.Body, want)
	}
}
