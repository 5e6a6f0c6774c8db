package e2e

import (
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

const (
	accountARN  = "arn:aws:iam::000000000000:"
	trustAll    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}}`
	someRights  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:*","sts:*","kms:*"],"Resource":"*"}}`
	otherRights = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}}`
)

func iamTags(key, value string) []types.Tag {
	return []types.Tag{{Key: &key, Value: &value}}
}

func iamKey(tag types.Tag) *string { return tag.Key }

// document returns a policy as it was given, from IAM's encoded answer.
func document(t *testing.T, answered *string) string {
	t.Helper()
	return must(url.QueryUnescape(aws.ToString(answered)))(t)
}

// askRoles leaves the role walked for the walks that attach to it and assume it.
func (s *service) askRoles(t *testing.T) {
	ctx, role, p := t.Context(), aws.String("walked"), aws.String("p")
	create := &iam.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: aws.String(trustPolicy), Tags: iamTags("a", "b")}
	made := must(s.IAM.CreateRole(ctx, create))(t).Role
	says(t, accountARN+"role/walked / [a]", made.Arn, made.Path, each(made.Tags, iamKey))
	refused(s.IAM.CreateRole(ctx, create))(t, "EntityAlreadyExists")
	must(s.IAM.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: role, PolicyDocument: aws.String(trustAll)}))(t)
	must(s.IAM.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: role, Description: aws.String("d"), MaxSessionDuration: aws.Int32(7200)}))(t)
	now := must(s.IAM.GetRole(ctx, &iam.GetRoleInput{RoleName: role}))(t).Role
	says(t, "d 7200 "+aws.ToString(made.RoleId), now.Description, now.MaxSessionDuration, now.RoleId)
	says(t, trustAll, document(t, now.AssumeRolePolicyDocument))
	says(t, "[walked]", each(must(s.IAM.ListRoles(ctx, &iam.ListRolesInput{}))(t).Roles, func(r types.Role) *string { return r.RoleName }))
	must(s.IAM.TagRole(ctx, &iam.TagRoleInput{RoleName: role, Tags: iamTags("c", "d")}))(t)
	must(s.IAM.UntagRole(ctx, &iam.UntagRoleInput{RoleName: role, TagKeys: []string{"a"}}))(t)
	says(t, "[c]", each(must(s.IAM.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: role}))(t).Tags, iamKey))

	must(s.IAM.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: role, PolicyName: p, PolicyDocument: aws.String(someRights)}))(t)
	inline := must(s.IAM.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: role, PolicyName: p}))(t)
	says(t, "walked p "+someRights, inline.RoleName, inline.PolicyName, document(t, inline.PolicyDocument))
	says(t, "[p]", must(s.IAM.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: role}))(t).PolicyNames)
	refused(s.IAM.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role}))(t, "DeleteConflict")
	must(s.IAM.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: role, PolicyName: p}))(t)
	refused(s.IAM.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: role, PolicyName: p}))(t, "NoSuchEntity")
	profiles := must(s.IAM.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: role}))(t)
	aliases := must(s.IAM.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{}))(t)
	says(t, "[] false [] false", profiles.InstanceProfiles, profiles.IsTruncated, aliases.AccountAliases, aliases.IsTruncated)
}

// askProfiles puts the role walked into an instance profile and takes it out again, and
// bounds it for a while.
func (s *service) askProfiles(t *testing.T) {
	ctx, name, role := t.Context(), aws.String("profile"), aws.String("walked")
	made := must(s.IAM.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: name, Tags: iamTags("a", "b")}))(t).InstanceProfile
	says(t, accountARN+"instance-profile/profile [a] []", made.Arn, each(made.Tags, iamKey), made.Roles)
	must(s.IAM.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: role}))(t)
	got := must(s.IAM.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: name}))(t).InstanceProfile
	says(t, "[walked]", each(got.Roles, func(r types.Role) *string { return r.RoleName }))
	profile := func(p types.InstanceProfile) *string { return p.InstanceProfileName }
	says(t, "[profile] [profile]", each(must(s.IAM.ListInstanceProfiles(ctx, &iam.ListInstanceProfilesInput{}))(t).InstanceProfiles, profile),
		each(must(s.IAM.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: role}))(t).InstanceProfiles, profile))
	must(s.IAM.TagInstanceProfile(ctx, &iam.TagInstanceProfileInput{InstanceProfileName: name, Tags: iamTags("c", "d")}))(t)
	must(s.IAM.UntagInstanceProfile(ctx, &iam.UntagInstanceProfileInput{InstanceProfileName: name, TagKeys: []string{"a"}}))(t)
	says(t, "[c]", each(must(s.IAM.ListInstanceProfileTags(ctx, &iam.ListInstanceProfileTagsInput{InstanceProfileName: name}))(t).Tags, iamKey))
	refused(s.IAM.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role}))(t, "DeleteConflict")
	must(s.IAM.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name, RoleName: role}))(t)
	must(s.IAM.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: name}))(t)
	refused(s.IAM.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: name}))(t, "NoSuchEntity")

	limit := aws.String("arn:aws:iam::aws:policy/PowerUserAccess")
	must(s.IAM.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: role, PermissionsBoundary: limit}))(t)
	says(t, *limit, must(s.IAM.GetRole(ctx, &iam.GetRoleInput{RoleName: role}))(t).Role.PermissionsBoundary.PermissionsBoundaryArn)
	must(s.IAM.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: role}))(t)
	says(t, "e", must(s.IAM.UpdateRoleDescription(ctx, &iam.UpdateRoleDescriptionInput{RoleName: role, Description: aws.String("e")}))(t).Role.Description)
}

// askPolicies attaches a policy to the role walked, and deletes both.
func (s *service) askPolicies(t *testing.T) {
	ctx, role, user := t.Context(), aws.String("walked"), aws.String("attached")
	made := must(s.IAM.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("managed"), PolicyDocument: aws.String(someRights), Description: aws.String("d")}))(t).Policy
	arn := made.Arn
	says(t, accountARN+"policy/managed v1 0", arn, made.DefaultVersionId, made.AttachmentCount)
	version := must(s.IAM.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: aws.String(otherRights)}))(t).PolicyVersion
	says(t, "v2 false", version.VersionId, version.IsDefaultVersion)
	must(s.IAM.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: version.VersionId}))(t)
	version = must(s.IAM.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: version.VersionId}))(t).PolicyVersion
	says(t, "true "+otherRights, version.IsDefaultVersion, document(t, version.Document))
	versions := func() []string {
		return each(must(s.IAM.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: arn}))(t).Versions, func(v types.PolicyVersion) *string { return v.VersionId })
	}
	if got := versions(); len(got) != 2 {
		t.Errorf("versions %v", got)
	}
	must(s.IAM.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")}))(t)
	says(t, "[v2]", versions())
	got := must(s.IAM.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: arn}))(t).Policy
	says(t, "v2 d", got.DefaultVersionId, got.Description)
	must(s.IAM.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: arn, Tags: append(iamTags("a", "b"), iamTags("c", "d")...)}))(t)
	must(s.IAM.UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: arn, TagKeys: []string{"a"}}))(t)
	says(t, "[c]", each(must(s.IAM.ListPolicyTags(ctx, &iam.ListPolicyTagsInput{PolicyArn: arn}))(t).Tags, iamKey))

	must(s.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: user}))(t)
	must(s.IAM.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: arn}))(t)
	must(s.IAM.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: user, PolicyArn: arn}))(t)
	attached := func(p types.AttachedPolicy) *string { return p.PolicyArn }
	ofRole := func() []string {
		return each(must(s.IAM.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: role}))(t).AttachedPolicies, attached)
	}
	ofUser := func() []string {
		return each(must(s.IAM.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: user}))(t).AttachedPolicies, attached)
	}
	says(t, "["+*arn+"] ["+*arn+"]", ofRole(), ofUser())
	entities := must(s.IAM.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: arn}))(t)
	says(t, "[walked] [attached]", each(entities.PolicyRoles, func(r types.PolicyRole) *string { return r.RoleName }), each(entities.PolicyUsers, func(u types.PolicyUser) *string { return u.UserName }))
	local := must(s.IAM.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal}))(t).Policies
	if len(local) != 1 {
		t.Fatalf("policies %+v", local)
	}
	says(t, "managed 2", local[0].PolicyName, local[0].AttachmentCount)
	refused(s.IAM.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn}))(t, "DeleteConflict")
	must(s.IAM.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: arn}))(t)
	must(s.IAM.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: user, PolicyArn: arn}))(t)
	says(t, "[] []", ofRole(), ofUser())
	must(s.IAM.DeleteUser(ctx, &iam.DeleteUserInput{UserName: user}))(t)
	must(s.IAM.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn}))(t)
	refused(s.IAM.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: arn}))(t, "NoSuchEntity")
}

func (s *service) askUsers(t *testing.T) {
	ctx, user, p := t.Context(), aws.String("walker"), aws.String("p")
	made := must(s.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("stroller"), Path: aws.String("/a/"), Tags: iamTags("a", "b")}))(t).User
	says(t, accountARN+"user/a/stroller [a]", made.Arn, each(made.Tags, iamKey))
	must(s.IAM.UpdateUser(ctx, &iam.UpdateUserInput{UserName: made.UserName, NewUserName: user, NewPath: aws.String("/")}))(t)
	renamed := must(s.IAM.GetUser(ctx, &iam.GetUserInput{UserName: user}))(t).User
	says(t, accountARN+"user/walker "+aws.ToString(made.UserId), renamed.Arn, renamed.UserId)
	says(t, "[walker]", each(must(s.IAM.ListUsers(ctx, &iam.ListUsersInput{}))(t).Users, func(u types.User) *string { return u.UserName }))
	must(s.IAM.TagUser(ctx, &iam.TagUserInput{UserName: user, Tags: iamTags("c", "d")}))(t)
	must(s.IAM.UntagUser(ctx, &iam.UntagUserInput{UserName: user, TagKeys: []string{"a"}}))(t)
	says(t, "[c]", each(must(s.IAM.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: user}))(t).Tags, iamKey))
	must(s.IAM.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: user, PolicyName: p, PolicyDocument: aws.String(someRights)}))(t)
	inline := must(s.IAM.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: user, PolicyName: p}))(t)
	says(t, "walker p "+someRights, inline.UserName, inline.PolicyName, document(t, inline.PolicyDocument))
	says(t, "[p]", must(s.IAM.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: user}))(t).PolicyNames)
	says(t, "[] [] [] []",
		must(s.IAM.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: user}))(t).Groups,
		must(s.IAM.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: user}))(t).MFADevices,
		must(s.IAM.ListSSHPublicKeys(ctx, &iam.ListSSHPublicKeysInput{UserName: user}))(t).SSHPublicKeys,
		must(s.IAM.ListSigningCertificates(ctx, &iam.ListSigningCertificatesInput{UserName: user}))(t).Certificates)

	says(t, "[] [] [] []",
		must(s.IAM.ListMFADevices(ctx, &iam.ListMFADevicesInput{}))(t).MFADevices,
		must(s.IAM.ListServiceSpecificCredentials(ctx, &iam.ListServiceSpecificCredentialsInput{UserName: user}))(t).ServiceSpecificCredentials,
		must(s.IAM.ListVirtualMFADevices(ctx, &iam.ListVirtualMFADevicesInput{}))(t).VirtualMFADevices,
		must(s.IAM.ListGroups(ctx, &iam.ListGroupsInput{}))(t).Groups)
	refused(s.IAM.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: user}))(t, "NoSuchEntity")
	refused(s.IAM.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: user}))(t, "NoSuchEntity")
	must(s.IAM.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: user, PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")}))(t)
	says(t, "arn:aws:iam::aws:policy/ReadOnlyAccess", must(s.IAM.GetUser(ctx, &iam.GetUserInput{UserName: user}))(t).User.PermissionsBoundary.PermissionsBoundaryArn)
	must(s.IAM.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: user}))(t)

	s.askAccessKeys(t, user)
	refused(s.IAM.DeleteUser(ctx, &iam.DeleteUserInput{UserName: user}))(t, "DeleteConflict")
	must(s.IAM.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: user, PolicyName: p}))(t)
	must(s.IAM.DeleteUser(ctx, &iam.DeleteUserInput{UserName: user}))(t)
	refused(s.IAM.GetUser(ctx, &iam.GetUserInput{UserName: user}))(t, "NoSuchEntity")
	must(s.IAM.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("walked")}))(t)
	refused(s.IAM.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("walked")}))(t, "NoSuchEntity")
}

func (s *service) askAccessKeys(t *testing.T, user *string) {
	ctx := t.Context()
	spare := must(s.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: user}))(t).AccessKey
	key := must(s.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: user}))(t).AccessKey
	says(t, "walker Active 40", key.UserName, key.Status, len(aws.ToString(key.SecretAccessKey)))
	must(s.IAM.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: user, AccessKeyId: spare.AccessKeyId, Status: types.StatusTypeInactive}))(t)
	keys := map[string]types.StatusType{}
	for _, k := range must(s.IAM.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: user}))(t).AccessKeyMetadata {
		keys[aws.ToString(k.AccessKeyId)] = k.Status
	}
	says(t, "2 Inactive Active", len(keys), keys[*spare.AccessKeyId], keys[*key.AccessKeyId])
	refused(s.sts(*spare.AccessKeyId, *spare.SecretAccessKey, "").GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))(t, "InvalidClientTokenId")

	s.askSTS(t, s.sts(*key.AccessKeyId, *key.SecretAccessKey, ""), key.AccessKeyId)
	used := must(s.IAM.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: key.AccessKeyId}))(t)
	says(t, "walker sts "+region, used.UserName, used.AccessKeyLastUsed.ServiceName, used.AccessKeyLastUsed.Region)
	for _, k := range []*types.AccessKey{spare, key} {
		must(s.IAM.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: user, AccessKeyId: k.AccessKeyId}))(t)
	}
	says(t, "0", len(must(s.IAM.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: user}))(t).AccessKeyMetadata))
}

func (s *service) sts(id, secret, token string) *sts.Client {
	return sts.NewFromConfig(aws.Config{
		Region: region, BaseEndpoint: &s.endpoint, HTTPClient: s.http, Credentials: credentials.NewStaticCredentialsProvider(id, secret, token),
	})
}

// askSTS assumes the role walked as the user walker, and asks for its identity each
// time.
func (s *service) askSTS(t *testing.T, user *sts.Client, key *string) {
	ctx := t.Context()
	whoIs := func(c *ststypes.Credentials) string {
		me := must(s.sts(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))(t)
		return aws.ToString(me.Arn)
	}
	me := must(user.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))(t)
	says(t, "000000000000 "+accountARN+"user/walker", me.Account, me.Arn)
	session := must(user.GetSessionToken(ctx, &sts.GetSessionTokenInput{DurationSeconds: aws.Int32(900)}))(t)
	says(t, accountARN+"user/walker", whoIs(session.Credentials))
	guest := must(user.GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: aws.String("guest"), Policy: aws.String(otherRights)}))(t)
	const guestARN = "arn:aws:sts::000000000000:federated-user/guest"
	says(t, guestARN+" 000000000000:guest "+guestARN, guest.FederatedUser.Arn, guest.FederatedUser.FederatedUserId, whoIs(guest.Credentials))
	says(t, "000000000000", must(user.GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: key}))(t).Account)
	in := &sts.AssumeRoleInput{RoleArn: aws.String(accountARN + "role/walked"), RoleSessionName: aws.String("walk")}
	assumed := must(user.AssumeRole(ctx, in))(t)
	const arn = "arn:aws:sts::000000000000:assumed-role/walked/walk"
	says(t, arn+" "+arn, assumed.AssumedRoleUser.Arn, whoIs(assumed.Credentials))
	if id := aws.ToString(assumed.AssumedRoleUser.AssumedRoleId); !strings.HasPrefix(id, "AROA") || !strings.HasSuffix(id, ":walk") {
		t.Errorf("the role's user is %q", id)
	}
	in.RoleArn = aws.String(accountARN + "role/none")
	refused(user.AssumeRole(ctx, in))(t, "AccessDenied")
}
