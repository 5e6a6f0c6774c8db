package iamapi

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

func (b bench) walkBoundaries(t *testing.T) {
	ctx, name := t.Context(), aws.String("bounded")
	limit := must[*sdk.CreatePolicyOutput](t)(b.iam.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: name, PolicyDocument: aws.String(rights)})).Policy.Arn
	user := must[*sdk.CreateUserOutput](t)(b.iam.CreateUser(ctx, &sdk.CreateUserInput{UserName: name, PermissionsBoundary: limit})).User
	role := must[*sdk.CreateRoleOutput](t)(b.iam.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trust), PermissionsBoundary: limit})).Role
	shown := func(what string, got *types.AttachedPermissionsBoundary, want *string) {
		t.Helper()
		switch {
		case want == nil && got != nil:
			t.Errorf("%s has the boundary %s", what, *got.PermissionsBoundaryArn)
		case want != nil && (got == nil || got.PermissionsBoundaryType != "Policy" || *got.PermissionsBoundaryArn != *want):
			t.Errorf("%s has the boundary %+v, want %s", what, got, *want)
		}
	}
	shown("the new user", user.PermissionsBoundary, limit)
	shown("the new role", role.PermissionsBoundary, limit)
	entities := must[*sdk.ListEntitiesForPolicyOutput](t)(b.iam.ListEntitiesForPolicy(ctx, &sdk.ListEntitiesForPolicyInput{PolicyArn: limit, PolicyUsageFilter: types.PolicyUsageTypePermissionsBoundary}))
	used := must[*sdk.ListPoliciesOutput](t)(b.iam.ListPolicies(ctx, &sdk.ListPoliciesInput{PolicyUsageFilter: types.PolicyUsageTypePermissionsBoundary})).Policies
	if len(entities.PolicyUsers) != 1 || len(entities.PolicyRoles) != 1 || len(used) != 1 || *used[0].PermissionsBoundaryUsageCount != 2 || *used[0].AttachmentCount != 0 {
		t.Errorf("used by %+v, listed as %+v", entities, used)
	}
	_, err := b.iam.DeletePolicy(ctx, &sdk.DeletePolicyInput{PolicyArn: limit})
	refused(t, "delete a boundary", err, "DeleteConflict", 409)

	power := aws.String("arn:aws:iam::aws:policy/PowerUserAccess")
	must[*sdk.PutUserPermissionsBoundaryOutput](t)(b.iam.PutUserPermissionsBoundary(ctx, &sdk.PutUserPermissionsBoundaryInput{UserName: name, PermissionsBoundary: power}))
	must[*sdk.PutRolePermissionsBoundaryOutput](t)(b.iam.PutRolePermissionsBoundary(ctx, &sdk.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: power}))
	shown("the user", must[*sdk.GetUserOutput](t)(b.iam.GetUser(ctx, &sdk.GetUserInput{UserName: name})).User.PermissionsBoundary, power)
	shown("the role", must[*sdk.GetRoleOutput](t)(b.iam.GetRole(ctx, &sdk.GetRoleInput{RoleName: name})).Role.PermissionsBoundary, power)
	for _, listed := range must[*sdk.ListUsersOutput](t)(b.iam.ListUsers(ctx, &sdk.ListUsersInput{})).Users {
		shown("a user in a list", listed.PermissionsBoundary, nil)
	}
	_, err = b.iam.PutUserPermissionsBoundary(ctx, &sdk.PutUserPermissionsBoundaryInput{UserName: name, PermissionsBoundary: aws.String(strings.Replace(*limit, "bounded", "none", 1))})
	refused(t, "a boundary that is not there", err, "NoSuchEntity", 404)
	if err == nil || !strings.Contains(err.Error(), "Scope ARN: arn:aws:iam::123456789012:policy/none does not exist or is not attachable.") {
		t.Errorf("a boundary that is not there: %v", err)
	}
	must[*sdk.DeleteUserPermissionsBoundaryOutput](t)(b.iam.DeleteUserPermissionsBoundary(ctx, &sdk.DeleteUserPermissionsBoundaryInput{UserName: name}))
	must[*sdk.DeleteRolePermissionsBoundaryOutput](t)(b.iam.DeleteRolePermissionsBoundary(ctx, &sdk.DeleteRolePermissionsBoundaryInput{RoleName: name}))
	shown("the user", must[*sdk.GetUserOutput](t)(b.iam.GetUser(ctx, &sdk.GetUserInput{UserName: name})).User.PermissionsBoundary, nil)
	described := must[*sdk.UpdateRoleDescriptionOutput](t)(b.iam.UpdateRoleDescription(ctx, &sdk.UpdateRoleDescriptionInput{RoleName: name, Description: aws.String("d")})).Role
	shown("the role", described.PermissionsBoundary, nil)
	if *described.Description != "d" {
		t.Errorf("described as %+v", described)
	}
	must[*sdk.DeletePolicyOutput](t)(b.iam.DeletePolicy(ctx, &sdk.DeletePolicyInput{PolicyArn: limit}))
}

func (b bench) walkProfiles(t *testing.T) {
	ctx, name := t.Context(), aws.String("profiled")
	made := must[*sdk.CreateInstanceProfileOutput](t)(b.iam.CreateInstanceProfile(ctx, &sdk.CreateInstanceProfileInput{InstanceProfileName: name, Path: aws.String("/a/"), Tags: tagList("k", "v")})).InstanceProfile
	if *made.Arn != "arn:aws:iam::123456789012:instance-profile/a/profiled" || !strings.HasPrefix(*made.InstanceProfileId, "AIPA") || made.Roles == nil || len(made.Tags) != 1 {
		t.Errorf("made %+v", made)
	}
	_, err := b.iam.CreateInstanceProfile(ctx, &sdk.CreateInstanceProfileInput{InstanceProfileName: aws.String("Profiled")})
	refused(t, "create again", err, "EntityAlreadyExists", 409)
	_, err = b.iam.AddRoleToInstanceProfile(ctx, &sdk.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: name})
	refused(t, "a role that is not there", err, "NoSuchEntity", 404)
	must[*sdk.CreateRoleOutput](t)(b.iam.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trust)}))
	must[*sdk.AddRoleToInstanceProfileOutput](t)(b.iam.AddRoleToInstanceProfile(ctx, &sdk.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: name}))
	_, err = b.iam.AddRoleToInstanceProfile(ctx, &sdk.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: name})
	refused(t, "a second role", err, "LimitExceeded", 409)
	got := must[*sdk.GetInstanceProfileOutput](t)(b.iam.GetInstanceProfile(ctx, &sdk.GetInstanceProfileInput{InstanceProfileName: name})).InstanceProfile
	if len(got.Roles) != 1 || *got.Roles[0].RoleName != *name || got.Roles[0].AssumeRolePolicyDocument == nil {
		t.Errorf("got %+v", got)
	}
	of := must[*sdk.ListInstanceProfilesForRoleOutput](t)(b.iam.ListInstanceProfilesForRole(ctx, &sdk.ListInstanceProfilesForRoleInput{RoleName: name})).InstanceProfiles
	all := must[*sdk.ListInstanceProfilesOutput](t)(b.iam.ListInstanceProfiles(ctx, &sdk.ListInstanceProfilesInput{PathPrefix: aws.String("/a/")})).InstanceProfiles
	if len(of) != 1 || len(all) != 1 || len(all[0].Roles) != 1 || all[0].Tags != nil {
		t.Errorf("of the role %+v, all %+v", of, all)
	}
	_, err = b.iam.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: name})
	refused(t, "delete a role in a profile", err, "DeleteConflict", 409)
	_, err = b.iam.DeleteInstanceProfile(ctx, &sdk.DeleteInstanceProfileInput{InstanceProfileName: name})
	refused(t, "delete a profile with a role", err, "DeleteConflict", 409)
	must[*sdk.TagInstanceProfileOutput](t)(b.iam.TagInstanceProfile(ctx, &sdk.TagInstanceProfileInput{InstanceProfileName: name, Tags: tagList("l", "w")}))
	must[*sdk.UntagInstanceProfileOutput](t)(b.iam.UntagInstanceProfile(ctx, &sdk.UntagInstanceProfileInput{InstanceProfileName: name, TagKeys: []string{"k"}}))
	if tags := must[*sdk.ListInstanceProfileTagsOutput](t)(b.iam.ListInstanceProfileTags(ctx, &sdk.ListInstanceProfileTagsInput{InstanceProfileName: name})).Tags; len(tags) != 1 || *tags[0].Key != "l" {
		t.Errorf("tags %+v", tags)
	}
	must[*sdk.RemoveRoleFromInstanceProfileOutput](t)(b.iam.RemoveRoleFromInstanceProfile(ctx, &sdk.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name, RoleName: name}))
	_, err = b.iam.RemoveRoleFromInstanceProfile(ctx, &sdk.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name, RoleName: name})
	refused(t, "remove again", err, "NoSuchEntity", 404)
	must[*sdk.DeleteInstanceProfileOutput](t)(b.iam.DeleteInstanceProfile(ctx, &sdk.DeleteInstanceProfileInput{InstanceProfileName: name}))
	_, err = b.iam.GetInstanceProfile(ctx, &sdk.GetInstanceProfileInput{InstanceProfileName: name})
	refused(t, "deleted profile", err, "NoSuchEntity", 404)
}

// walkNothing asks for what users could have at AWS and nobody has here, as clients do
// before they delete one, and as a user does about himself.
func (b bench) walkNothing(t *testing.T) {
	ctx, name := t.Context(), aws.String("nothing")
	must[*sdk.CreateUserOutput](t)(b.iam.CreateUser(ctx, &sdk.CreateUserInput{UserName: name}))
	for _, user := range []*string{name, nil} {
		devices := must[*sdk.ListMFADevicesOutput](t)(b.iam.ListMFADevices(ctx, &sdk.ListMFADevicesInput{UserName: user}))
		ssh := must[*sdk.ListSSHPublicKeysOutput](t)(b.iam.ListSSHPublicKeys(ctx, &sdk.ListSSHPublicKeysInput{UserName: user}))
		services := must[*sdk.ListServiceSpecificCredentialsOutput](t)(b.iam.ListServiceSpecificCredentials(ctx, &sdk.ListServiceSpecificCredentialsInput{UserName: user}))
		if devices.MFADevices == nil || ssh.SSHPublicKeys == nil || services.ServiceSpecificCredentials == nil {
			t.Errorf("got %+v, %+v, %+v", devices, ssh, services)
		}
	}
	all := must[*sdk.ListServiceSpecificCredentialsOutput](t)(b.iam.ListServiceSpecificCredentials(ctx, &sdk.ListServiceSpecificCredentialsInput{AllUsers: aws.Bool(true)}))
	if all.ServiceSpecificCredentials == nil || all.IsTruncated {
		t.Errorf("got %+v of all users", all)
	}
	groups := must[*sdk.ListGroupsOutput](t)(b.iam.ListGroups(ctx, &sdk.ListGroupsInput{}))
	virtual := must[*sdk.ListVirtualMFADevicesOutput](t)(b.iam.ListVirtualMFADevices(ctx, &sdk.ListVirtualMFADevicesInput{}))
	if groups.Groups == nil || virtual.VirtualMFADevices == nil {
		t.Errorf("got %+v, %+v", groups, virtual)
	}
	_, err := b.iam.ListMFADevices(ctx, &sdk.ListMFADevicesInput{UserName: aws.String("none")})
	refused(t, "devices of nobody", err, "NoSuchEntity", 404)
	_, err = b.iam.GetLoginProfile(ctx, &sdk.GetLoginProfileInput{UserName: name})
	refused(t, "a password", err, "NoSuchEntity", 404)
	_, err = b.iam.DeleteLoginProfile(ctx, &sdk.DeleteLoginProfileInput{UserName: name})
	refused(t, "delete of a password", err, "NoSuchEntity", 404)
	if err == nil || !strings.Contains(err.Error(), "Login Profile for User nothing cannot be found.") {
		t.Errorf("delete of a password: %v", err)
	}
	_, err = b.iam.DeleteLoginProfile(ctx, &sdk.DeleteLoginProfileInput{UserName: aws.String("none")})
	refused(t, "password of nobody", err, "NoSuchEntity", 404)
}

func (b bench) walkFederation(t *testing.T) {
	ctx, name := t.Context(), aws.String("federator")
	must[*sdk.CreateUserOutput](t)(b.iam.CreateUser(ctx, &sdk.CreateUserInput{UserName: name}))
	k := must[*sdk.CreateAccessKeyOutput](t)(b.iam.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{UserName: name})).AccessKey
	_, user := b.as(*k.AccessKeyId, *k.SecretAccessKey, "")
	in := &sts.GetFederationTokenInput{
		Name: aws.String("guest"), DurationSeconds: aws.Int32(900), Policy: aws.String(rights),
		PolicyArns: []ststypes.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/IAMReadOnlyAccess")}},
	}
	_, err := user.GetFederationToken(ctx, in)
	refused(t, "without the permission", err, "AccessDenied", 403)
	_, err = user.GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: k.AccessKeyId})
	refused(t, "without the permission", err, "AccessDenied", 403)
	may := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sts:GetFederationToken","iam:Get*"],"Resource":["arn:aws:sts::123456789012:federated-user/guest","arn:aws:iam::*:*"]}}`
	must[*sdk.PutUserPolicyOutput](t)(b.iam.PutUserPolicy(ctx, &sdk.PutUserPolicyInput{UserName: name, PolicyName: name, PolicyDocument: &may}))
	began := time.Now()
	got := must[*sts.GetFederationTokenOutput](t)(user.GetFederationToken(ctx, in))
	if *got.FederatedUser.Arn != "arn:aws:sts::123456789012:federated-user/guest" || *got.FederatedUser.FederatedUserId != "123456789012:guest" ||
		got.PackedPolicySize == nil || !within(*got.Credentials.Expiration, began, 15*time.Minute) {
		t.Errorf("got %+v", got)
	}
	c := got.Credentials
	guestIAM, guest := b.as(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	if me := must[*sts.GetCallerIdentityOutput](t)(guest.GetCallerIdentity(ctx, nil)); *me.Arn != *got.FederatedUser.Arn || *me.UserId != *got.FederatedUser.FederatedUserId || *me.Account != account {
		t.Errorf("I am %+v", me)
	}
	_, err = guestIAM.GetUser(ctx, &sdk.GetUserInput{UserName: name})
	refused(t, "a federated user in IAM", err, "InvalidClientTokenId", 403)
	_, err = guest.GetFederationToken(ctx, in)
	refused(t, "a federated user's federated user", err, "AccessDenied", 403)
	_, err = guest.GetSessionToken(ctx, nil)
	refused(t, "a federated user's session", err, "AccessDenied", 403)
	_, err = guest.GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: k.AccessKeyId})
	refused(t, "a federated user's question", err, "AccessDenied", 403)
	in.Name = aws.String("other")
	_, err = user.GetFederationToken(ctx, in)
	refused(t, "another name", err, "AccessDenied", 403)
	in.Name = aws.String("a b")
	_, err = b.sts.GetFederationToken(ctx, in)
	refused(t, "no name", err, "ValidationError", 400)
	if info := must[*sts.GetAccessKeyInfoOutput](t)(b.sts.GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: k.AccessKeyId})); *info.Account != account {
		t.Errorf("the key is of %s", *info.Account)
	}
	_, err = b.sts.GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: aws.String("AKIANOTTHEREATALL000")})
	refused(t, "a key that is not there", err, "ValidationError", 400)
}
