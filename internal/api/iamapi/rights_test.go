package iamapi

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
)

// bound returns the client of a new user with one policy, made of the statements.
func (b bench) bound(t *testing.T, name, statements string) *sdk.Client {
	t.Helper()
	ctx := t.Context()
	must[*sdk.CreateUserOutput](t)(b.iam.CreateUser(ctx, &sdk.CreateUserInput{UserName: &name}))
	must[*sdk.PutUserPolicyOutput](t)(b.iam.PutUserPolicy(ctx, &sdk.PutUserPolicyInput{
		UserName: &name, PolicyName: aws.String("p"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[` + statements + `]}`),
	}))
	k := must[*sdk.CreateAccessKeyOutput](t)(b.iam.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{UserName: &name})).AccessKey
	c, _ := b.as(*k.AccessKeyId, *k.SecretAccessKey, "")
	return c
}

const allowAll = `{"Effect":"Allow","Action":"*","Resource":"*"}`

// TestTagsOnCreation: creating something with tags needs the permission to tag.
func TestTagsOnCreation(t *testing.T) {
	b, ctx := open(t), t.Context()
	for permission, create := range map[string]func(c *sdk.Client, name string, tagged bool) error{
		"iam:TagUser": func(c *sdk.Client, name string, tagged bool) error {
			in := &sdk.CreateUserInput{UserName: &name}
			if tagged {
				in.Tags = tagList("k", "v")
			}
			_, err := c.CreateUser(ctx, in)
			return err
		},
		"iam:TagRole": func(c *sdk.Client, name string, tagged bool) error {
			in := &sdk.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trust)}
			if tagged {
				in.Tags = tagList("k", "v")
			}
			_, err := c.CreateRole(ctx, in)
			return err
		},
		"iam:TagPolicy": func(c *sdk.Client, name string, tagged bool) error {
			in := &sdk.CreatePolicyInput{PolicyName: &name, PolicyDocument: aws.String(rights)}
			if tagged {
				in.Tags = tagList("k", "v")
			}
			_, err := c.CreatePolicy(ctx, in)
			return err
		},
	} {
		t.Run(permission, func(t *testing.T) {
			name := "no-" + permission[len("iam:"):]
			c := b.bound(t, name, allowAll+`,{"Effect":"Deny","Action":"`+permission+`","Resource":"*"}`)
			refused(t, "with tags", create(c, "tagged-"+name, true), "AccessDenied", 403)
			if err := create(c, "plain-"+name, false); err != nil {
				t.Errorf("without tags: %v", err)
			}
		})
	}
}

// TestRenamingNeedsBothNames: a caller who may change one user must not be able to
// give it the name or the path of another, which policies may give rights to.
func TestRenamingNeedsBothNames(t *testing.T) {
	b, ctx := open(t), t.Context()
	c := b.bound(t, "clerk", `{"Effect":"Allow","Action":"iam:UpdateUser","Resource":["arn:aws:iam::123456789012:user/temp/*","arn:aws:iam::123456789012:user/temps/*"]}`)
	must[*sdk.CreateUserOutput](t)(b.iam.CreateUser(ctx, &sdk.CreateUserInput{UserName: aws.String("t1"), Path: aws.String("/temp/")}))
	for what, in := range map[string]*sdk.UpdateUserInput{
		"another path":    {NewPath: aws.String("/staff/")},
		"the root":        {NewPath: aws.String("/"), NewUserName: aws.String("admin")},
		"name and path":   {NewPath: aws.String("/staff/"), NewUserName: aws.String("admin")},
		"somebody else's": {UserName: aws.String("clerk"), NewUserName: aws.String("t2"), NewPath: aws.String("/temp/")},
	} {
		if in.UserName == nil {
			in.UserName = aws.String("t1")
		}
		_, err := c.UpdateUser(ctx, in)
		refused(t, what, err, "AccessDenied", 403)
	}
	must[*sdk.UpdateUserOutput](t)(c.UpdateUser(ctx, &sdk.UpdateUserInput{UserName: aws.String("t1"), NewUserName: aws.String("t2")}))
	must[*sdk.UpdateUserOutput](t)(c.UpdateUser(ctx, &sdk.UpdateUserInput{UserName: aws.String("t2"), NewPath: aws.String("/temps/")}))
}

// TestConditionsOnBoundaries delegates IAM as AWS's guide does: a clerk may make users
// within one boundary, and give rights to those, but not take the boundary away.
func TestConditionsOnBoundaries(t *testing.T) {
	b, ctx := open(t), t.Context()
	limit := must[*sdk.CreatePolicyOutput](t)(b.iam.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: aws.String("limit"), PolicyDocument: aws.String(rights)})).Policy.Arn
	c := b.bound(t, "clerk", `{"Effect":"Allow","Action":["iam:CreateUser","iam:PutUserPermissionsBoundary","iam:PutUserPolicy","iam:AttachUserPolicy"],"Resource":"*",`+
		`"Condition":{"StringEquals":{"iam:PermissionsBoundary":"`+*limit+`"}}},`+
		`{"Effect":"Deny","Action":"iam:DeleteUserPermissionsBoundary","Resource":"*","Condition":{"ArnEquals":{"iam:PermissionsBoundary":"`+*limit+`"}}},`+
		`{"Effect":"Allow","Action":"iam:DeleteUserPermissionsBoundary","Resource":"*"}`)
	create := func(name string, boundary *string) error {
		_, err := c.CreateUser(ctx, &sdk.CreateUserInput{UserName: &name, PermissionsBoundary: boundary})
		return err
	}
	refused(t, "a user without a boundary", create("free", nil), "AccessDenied", 403)
	refused(t, "a user with another boundary", create("free", aws.String("arn:aws:iam::aws:policy/AdministratorAccess")), "AccessDenied", 403)
	if err := create("held", limit); err != nil {
		t.Errorf("a user with the boundary: %v", err)
	}
	for name, want := range map[string]bool{"held": true, "clerk": false} {
		_, put := c.PutUserPolicy(ctx, &sdk.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("p2"), PolicyDocument: aws.String(rights)})
		_, attach := c.AttachUserPolicy(ctx, &sdk.AttachUserPolicyInput{UserName: &name, PolicyArn: limit})
		if (put == nil) != want || (attach == nil) != want {
			t.Errorf("rights for %s: %v, %v, want %v", name, put, attach, want)
		}
	}
	_, err := c.PutUserPermissionsBoundary(ctx, &sdk.PutUserPermissionsBoundaryInput{UserName: aws.String("held"), PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
	refused(t, "another boundary", err, "AccessDenied", 403)
	_, err = c.DeleteUserPermissionsBoundary(ctx, &sdk.DeleteUserPermissionsBoundaryInput{UserName: aws.String("held")})
	refused(t, "no boundary", err, "AccessDenied", 403)
	must[*sdk.DeleteUserPermissionsBoundaryOutput](t)(c.DeleteUserPermissionsBoundary(ctx, &sdk.DeleteUserPermissionsBoundaryInput{UserName: aws.String("clerk")}))
}

// TestPassingRoles: who puts a role into an instance profile passes it to EC2.
func TestPassingRoles(t *testing.T) {
	b, ctx := open(t), t.Context()
	for _, name := range []string{"mine", "theirs"} {
		must[*sdk.CreateRoleOutput](t)(b.iam.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trust)}))
	}
	c := b.bound(t, "packer", `{"Effect":"Allow","Action":"iam:*InstanceProfile","Resource":"arn:aws:iam::*:instance-profile/packer*"},`+
		`{"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::*:role/mine","Condition":{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}}`)
	profile := aws.String("packer-1")
	must[*sdk.CreateInstanceProfileOutput](t)(c.CreateInstanceProfile(ctx, &sdk.CreateInstanceProfileInput{InstanceProfileName: profile}))
	_, err := c.CreateInstanceProfile(ctx, &sdk.CreateInstanceProfileInput{InstanceProfileName: aws.String("other")})
	refused(t, "another profile", err, "AccessDenied", 403)
	_, err = c.AddRoleToInstanceProfile(ctx, &sdk.AddRoleToInstanceProfileInput{InstanceProfileName: profile, RoleName: aws.String("theirs")})
	refused(t, "a role that may not be passed", err, "AccessDenied", 403)
	must[*sdk.AddRoleToInstanceProfileOutput](t)(c.AddRoleToInstanceProfile(ctx, &sdk.AddRoleToInstanceProfileInput{InstanceProfileName: profile, RoleName: aws.String("mine")}))
}
