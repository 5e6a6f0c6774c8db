package iamapi

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

func sessionTags(pairs ...string) (list []ststypes.Tag) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, ststypes.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return list
}

// TestSessionTags: tags and transitive keys of sessions reach the decision, by their
// names on the wire, and refusals have STS's codes.
func TestSessionTags(t *testing.T) {
	b, ctx, name := open(t), t.Context(), aws.String("tagger")
	must[*sdk.CreateUserOutput](t)(b.iam.CreateUser(ctx, &sdk.CreateUserInput{UserName: name}))
	may := func(actions string) {
		t.Helper()
		document := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[` + actions + `],"Resource":"*","Condition":{"StringEqualsIfExists":{"aws:RequestTag/team":"red"}}}}`
		must[*sdk.PutUserPolicyOutput](t)(b.iam.PutUserPolicy(ctx, &sdk.PutUserPolicyInput{UserName: name, PolicyName: name, PolicyDocument: &document}))
	}
	trust := strings.Replace(trustAccount, `"sts:AssumeRole"`, `["sts:AssumeRole","sts:TagSession"]`, 1)
	role := must[*sdk.CreateRoleOutput](t)(b.iam.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: &trust})).Role
	self := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetRole","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"}}}}`
	must[*sdk.PutRolePolicyOutput](t)(b.iam.PutRolePolicy(ctx, &sdk.PutRolePolicyInput{RoleName: name, PolicyName: name, PolicyDocument: &self}))
	k := must[*sdk.CreateAccessKeyOutput](t)(b.iam.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{UserName: name})).AccessKey
	_, user := b.as(*k.AccessKeyId, *k.SecretAccessKey, "")

	assume := func(transitive []string, tags ...string) (*sts.AssumeRoleOutput, error) {
		return user.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: role.Arn, RoleSessionName: aws.String("s1"), Tags: sessionTags(tags...), TransitiveTagKeys: transitive})
	}
	federate := func(tags ...string) (*sts.GetFederationTokenOutput, error) {
		return user.GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: aws.String("guest"), Tags: sessionTags(tags...)})
	}
	may(`"sts:AssumeRole","sts:GetFederationToken"`)
	_, err := assume(nil, "team", "red")
	refused(t, "a role's session with tags, without sts:TagSession", err, "AccessDenied", 403)
	_, err = federate("team", "red")
	refused(t, "a federated user with tags, without sts:TagSession", err, "AccessDenied", 403)
	may(`"sts:*"`)
	got := must[*sts.AssumeRoleOutput](t)(assume([]string{"team"}, "team", "red"))
	if got.PackedPolicySize == nil || *got.PackedPolicySize != 1 {
		t.Errorf("packed size %v", got.PackedPolicySize)
	}
	c := got.Credentials
	tagged, session := b.as(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	must[*sdk.GetRoleOutput](t)(tagged.GetRole(ctx, &sdk.GetRoleInput{RoleName: name}))
	c = must[*sts.AssumeRoleOutput](t)(assume(nil, "cost", "7")).Credentials
	other, _ := b.as(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	_, err = other.GetRole(ctx, &sdk.GetRoleInput{RoleName: name})
	refused(t, "a session without the tag", err, "AccessDenied", 403)
	must[*sts.GetFederationTokenOutput](t)(federate("team", "red"))

	_, err = session.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: role.Arn, RoleSessionName: aws.String("s2"), Tags: sessionTags("Team", "red")})
	refused(t, "in place of an inherited tag", err, "InvalidParameterValue", 400)
	_, err = assume([]string{"cost"}, "team", "red")
	refused(t, "transitive but not given", err, "InvalidParameterValue", 400)
	_, err = assume(nil, "team", "red", "TEAM", "red")
	refused(t, "twice", err, "InvalidParameterValue", 400)
	_, err = assume(nil, "team", "blue")
	refused(t, "against a condition", err, "AccessDenied", 403)
	_, err = federate("team", "blue")
	refused(t, "against a condition", err, "AccessDenied", 403)
	_, err = assume(nil, "team", strings.Repeat("r", 257))
	refused(t, "too long", err, "ValidationError", 400)
	var large []string
	for i := range 50 {
		large = append(large, strings.Repeat("k", i+1), strings.Repeat("v", 256))
	}
	_, err = assume(nil, large...)
	refused(t, "too large together", err, "PackedPolicyTooLarge", 400)
}
