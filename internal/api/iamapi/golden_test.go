package iamapi

import (
	"flag"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func newRecorder() *wiretest.Recorder {
	secret := func(element string) wiretest.Mask {
		return wiretest.Mask{Pattern: regexp.MustCompile(`(<` + element + `>|"` + element + `": ")[^<"]+`), With: "$1(secret)"}
	}
	return &wiretest.Recorder{
		Headers: []string{"Content-Type"},
		Update:  *update,
		Masks: []wiretest.Mask{
			{Pattern: regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), With: "(time)"},
			{Pattern: regexp.MustCompile(`(A(?:ID|RO|KI|SI|NP)A)[A-Z0-9]{16,17}\b`), With: "$1(id)"},
			{Pattern: regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), With: "(request)"},
			secret("SecretAccessKey"), secret("SessionToken"),
		},
	}
}

// TestGolden compares what goes over the wire with the golden files.
func TestGolden(t *testing.T) {
	b, ctx, wire := open(t), t.Context(), newRecorder()
	c := sdk.New(b.iam.Options(), func(o *sdk.Options) { o.HTTPClient = wire })
	name := aws.String("vmimport")
	role, err := c.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trust), Description: aws.String("d"), Tags: tagList("k", "v")})
	wire.Check(t, "create-role", role, err)
	role, err = c.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trust)})
	wire.Check(t, "create-role-again", role, err)
	put, err := c.PutRolePolicy(ctx, &sdk.PutRolePolicyInput{RoleName: name, PolicyName: name, PolicyDocument: aws.String(rights)})
	wire.Check(t, "put-role-policy", put, err)
	got, err := c.GetRole(ctx, &sdk.GetRoleInput{RoleName: name})
	wire.Check(t, "get-role", got, err)
	inline, err := c.GetRolePolicy(ctx, &sdk.GetRolePolicyInput{RoleName: name, PolicyName: name})
	wire.Check(t, "get-role-policy", inline, err)
	names, err := c.ListRolePolicies(ctx, &sdk.ListRolePoliciesInput{RoleName: name})
	wire.Check(t, "list-role-policies", names, err)
	attached, err := c.ListAttachedRolePolicies(ctx, &sdk.ListAttachedRolePoliciesInput{RoleName: name})
	wire.Check(t, "list-attached-role-policies", attached, err)
	profiles, err := c.ListInstanceProfilesForRole(ctx, &sdk.ListInstanceProfilesForRoleInput{RoleName: name})
	wire.Check(t, "list-instance-profiles-for-role", profiles, err)
	got, err = c.GetRole(ctx, &sdk.GetRoleInput{RoleName: aws.String("none")})
	wire.Check(t, "get-role-unknown", got, err)
	managed, err := c.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: aws.String("managed"), PolicyDocument: aws.String(rights)})
	wire.Check(t, "create-policy", managed, err)
	bad, err := c.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: aws.String("bad"), PolicyDocument: aws.String("{")})
	wire.Check(t, "create-policy-malformed", bad, err)
	user, err := c.CreateUser(ctx, &sdk.CreateUserInput{UserName: aws.String("ann")})
	wire.Check(t, "create-user", user, err)
	key, err := c.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{UserName: aws.String("ann")})
	wire.Check(t, "create-access-key", key, err)
	me, err := c.GetUser(ctx, &sdk.GetUserInput{})
	wire.Check(t, "get-user-root", me, err)
	gone, err := c.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: name})
	wire.Check(t, "delete-role-in-use", gone, err)
	group, err := c.CreateGroup(ctx, &sdk.CreateGroupInput{GroupName: aws.String("g")})
	wire.Check(t, "not-built", group, err)
}

func TestGoldenSTS(t *testing.T) {
	b, ctx, wire := open(t), t.Context(), newRecorder()
	role := &sdk.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(trustAccount)}
	must[*sdk.CreateRoleOutput](t)(b.iam.CreateRole(ctx, role))
	must[*sdk.CreateUserOutput](t)(b.iam.CreateUser(ctx, &sdk.CreateUserInput{UserName: aws.String("ann")}))
	must[*sdk.PutUserPolicyOutput](t)(b.iam.PutUserPolicy(ctx, &sdk.PutUserPolicyInput{
		UserName: aws.String("ann"), PolicyName: aws.String("p"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`),
	}))
	key := must[*sdk.CreateAccessKeyOutput](t)(b.iam.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{UserName: aws.String("ann")})).AccessKey
	_, ann := b.as(*key.AccessKeyId, *key.SecretAccessKey, "")
	c := sts.New(ann.Options(), func(o *sts.Options) { o.HTTPClient = wire })

	who, err := c.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	wire.Check(t, "get-caller-identity", who, err)
	session, err := c.AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::" + account + ":role/r"), RoleSessionName: aws.String("session"), ExternalId: aws.String("vmimport"), DurationSeconds: aws.Int32(900),
	})
	wire.Check(t, "assume-role", session, err)
	session, err = c.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + account + ":role/none"), RoleSessionName: aws.String("session")})
	wire.Check(t, "assume-role-denied", session, err)
}
