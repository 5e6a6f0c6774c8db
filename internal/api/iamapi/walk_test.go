package iamapi

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

const trustAccount = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}}`

func tagList(key, value string) []types.Tag {
	return []types.Tag{{Key: aws.String(key), Value: aws.String(value)}}
}

// TestEveryActionWorks calls every action with the SDK and checks the responses.
func TestEveryActionWorks(t *testing.T) {
	b := open(t)
	t.Run("roles", b.walkRoles)
	t.Run("users", b.walkUsers)
	t.Run("keys", b.walkKeys)
	t.Run("policies", b.walkPolicies)
	t.Run("attachments", b.walkAttachments)
	t.Run("sts", b.walkSTS)
	t.Run("boundaries", b.walkBoundaries)
	t.Run("instance profiles", b.walkProfiles)
	t.Run("what nobody has", b.walkNothing)
	t.Run("federation", b.walkFederation)
	for _, p := range protocols {
		for _, name := range slices.Sorted(maps.Keys(p.actions)) {
			if !b.actions[name] && !strings.HasSuffix(name, "LoginProfile") { // which nobody has
				t.Errorf("%s was not tried", name)
			}
		}
	}
	if b.log.Len() > 0 {
		t.Errorf("logged: %s", b.log)
	}
}

func (b bench) walkRoles(t *testing.T) {
	ctx, name := t.Context(), aws.String("walker")
	must[*sdk.CreateRoleOutput](t)(b.iam.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trust)}))
	must[*sdk.UpdateRoleOutput](t)(b.iam.UpdateRole(ctx, &sdk.UpdateRoleInput{RoleName: name, Description: aws.String("d")}))
	must[*sdk.UpdateAssumeRolePolicyOutput](t)(b.iam.UpdateAssumeRolePolicy(ctx, &sdk.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: aws.String(trustAccount)}))
	must[*sdk.TagRoleOutput](t)(b.iam.TagRole(ctx, &sdk.TagRoleInput{RoleName: name, Tags: tagList("k", "v")}))
	if tags := must[*sdk.ListRoleTagsOutput](t)(b.iam.ListRoleTags(ctx, &sdk.ListRoleTagsInput{RoleName: name})); len(tags.Tags) != 1 {
		t.Errorf("tags %+v", tags.Tags)
	}
	must[*sdk.UntagRoleOutput](t)(b.iam.UntagRole(ctx, &sdk.UntagRoleInput{RoleName: name, TagKeys: []string{"k"}}))
	must[*sdk.PutRolePolicyOutput](t)(b.iam.PutRolePolicy(ctx, &sdk.PutRolePolicyInput{RoleName: name, PolicyName: name, PolicyDocument: aws.String(rights)}))
	if p := must[*sdk.GetRolePolicyOutput](t)(b.iam.GetRolePolicy(ctx, &sdk.GetRolePolicyInput{RoleName: name, PolicyName: name})); *p.RoleName != *name {
		t.Errorf("policy %+v", p)
	}
	if p := must[*sdk.ListRolePoliciesOutput](t)(b.iam.ListRolePolicies(ctx, &sdk.ListRolePoliciesInput{RoleName: name})); len(p.PolicyNames) != 1 {
		t.Errorf("policies %+v", p)
	}
	must[*sdk.DeleteRolePolicyOutput](t)(b.iam.DeleteRolePolicy(ctx, &sdk.DeleteRolePolicyInput{RoleName: name, PolicyName: name}))
	if p := must[*sdk.ListInstanceProfilesForRoleOutput](t)(b.iam.ListInstanceProfilesForRole(ctx, &sdk.ListInstanceProfilesForRoleInput{RoleName: name})); p.InstanceProfiles == nil {
		t.Error("no list of profiles")
	}
	if r := must[*sdk.ListRolesOutput](t)(b.iam.ListRoles(ctx, &sdk.ListRolesInput{})); len(r.Roles) != 1 {
		t.Errorf("roles %+v", r.Roles)
	}
	if r := must[*sdk.GetRoleOutput](t)(b.iam.GetRole(ctx, &sdk.GetRoleInput{RoleName: name})); *r.Role.Description != "d" {
		t.Errorf("role %+v", r.Role)
	}
	must[*sdk.DeleteRoleOutput](t)(b.iam.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: name}))
	if a := must[*sdk.ListAccountAliasesOutput](t)(b.iam.ListAccountAliases(ctx, &sdk.ListAccountAliasesInput{})); len(a.AccountAliases) != 0 {
		t.Errorf("aliases %v", a.AccountAliases)
	}
}

func (b bench) walkUsers(t *testing.T) {
	ctx, name := t.Context(), aws.String("walker")
	made := must[*sdk.CreateUserOutput](t)(b.iam.CreateUser(ctx, &sdk.CreateUserInput{UserName: name, Path: aws.String("/a/"), Tags: tagList("k", "v")})).User
	if *made.Arn != "arn:aws:iam::123456789012:user/a/walker" || *made.Path != "/a/" || len(made.Tags) != 1 || !strings.HasPrefix(*made.UserId, "AIDA") {
		t.Errorf("made %+v", made)
	}
	must[*sdk.TagUserOutput](t)(b.iam.TagUser(ctx, &sdk.TagUserInput{UserName: name, Tags: tagList("l", "w")}))
	must[*sdk.UntagUserOutput](t)(b.iam.UntagUser(ctx, &sdk.UntagUserInput{UserName: name, TagKeys: []string{"k"}}))
	if tags := must[*sdk.ListUserTagsOutput](t)(b.iam.ListUserTags(ctx, &sdk.ListUserTagsInput{UserName: name})); len(tags.Tags) != 1 || *tags.Tags[0].Key != "l" {
		t.Errorf("tags %+v", tags.Tags)
	}
	must[*sdk.PutUserPolicyOutput](t)(b.iam.PutUserPolicy(ctx, &sdk.PutUserPolicyInput{UserName: name, PolicyName: name, PolicyDocument: aws.String(rights)}))
	p := must[*sdk.GetUserPolicyOutput](t)(b.iam.GetUserPolicy(ctx, &sdk.GetUserPolicyInput{UserName: name, PolicyName: name}))
	if text, err := url.QueryUnescape(*p.PolicyDocument); err != nil || text != rights || *p.UserName != *name || *p.PolicyName != *name {
		t.Errorf("policy %+v, %v", p, err)
	}
	if p := must[*sdk.ListUserPoliciesOutput](t)(b.iam.ListUserPolicies(ctx, &sdk.ListUserPoliciesInput{UserName: name})); strings.Join(p.PolicyNames, "") != *name {
		t.Errorf("policies %+v", p)
	}
	_, err := b.iam.DeleteUser(ctx, &sdk.DeleteUserInput{UserName: name})
	refused(t, "delete with policies", err, "DeleteConflict", 409)
	must[*sdk.DeleteUserPolicyOutput](t)(b.iam.DeleteUserPolicy(ctx, &sdk.DeleteUserPolicyInput{UserName: name, PolicyName: name}))
	_, err = b.iam.GetUserPolicy(ctx, &sdk.GetUserPolicyInput{UserName: name, PolicyName: name})
	refused(t, "deleted policy", err, "NoSuchEntity", 404)
	if err == nil || !strings.Contains(err.Error(), "The user policy with name walker cannot be found.") {
		t.Errorf("deleted policy: %v", err)
	}
	// Clients that destroy a user ask for all of this first.
	groups := must[*sdk.ListGroupsForUserOutput](t)(b.iam.ListGroupsForUser(ctx, &sdk.ListGroupsForUserInput{UserName: name}))
	devices := must[*sdk.ListMFADevicesOutput](t)(b.iam.ListMFADevices(ctx, &sdk.ListMFADevicesInput{UserName: name}))
	ssh := must[*sdk.ListSSHPublicKeysOutput](t)(b.iam.ListSSHPublicKeys(ctx, &sdk.ListSSHPublicKeysInput{UserName: name}))
	certs := must[*sdk.ListSigningCertificatesOutput](t)(b.iam.ListSigningCertificates(ctx, &sdk.ListSigningCertificatesInput{UserName: name}))
	if groups.Groups == nil || devices.MFADevices == nil || ssh.SSHPublicKeys == nil || certs.Certificates == nil || groups.IsTruncated {
		t.Errorf("got %+v, %+v, %+v, %+v", groups, devices, ssh, certs)
	}
	must[*sdk.UpdateUserOutput](t)(b.iam.UpdateUser(ctx, &sdk.UpdateUserInput{UserName: name, NewUserName: aws.String("other"), NewPath: aws.String("/")}))
	if got := must[*sdk.GetUserOutput](t)(b.iam.GetUser(ctx, &sdk.GetUserInput{UserName: aws.String("other")})).User; *got.UserId != *made.UserId || *got.Arn != "arn:aws:iam::123456789012:user/other" {
		t.Errorf("renamed to %+v", got)
	}
	if list := must[*sdk.ListUsersOutput](t)(b.iam.ListUsers(ctx, &sdk.ListUsersInput{PathPrefix: aws.String("/")})); len(list.Users) != 1 || list.Users[0].Tags != nil {
		t.Errorf("users %+v", list.Users)
	}
	must[*sdk.DeleteUserOutput](t)(b.iam.DeleteUser(ctx, &sdk.DeleteUserInput{UserName: aws.String("other")}))
	_, err = b.iam.DeleteUser(ctx, &sdk.DeleteUserInput{UserName: aws.String("other")})
	refused(t, "deleted user", err, "NoSuchEntity", 404)
}

// within reports whether a time in whole seconds is later by ahead than some moment
// between began and now.
func within(at, began time.Time, ahead time.Duration) bool {
	at = at.Add(-ahead)
	return !at.Before(began.Truncate(time.Second)) && !at.After(time.Now())
}

func (b bench) walkKeys(t *testing.T) {
	ctx, name, began := t.Context(), aws.String("keys"), time.Now()
	must[*sdk.CreateUserOutput](t)(b.iam.CreateUser(ctx, &sdk.CreateUserInput{UserName: name}))
	made := must[*sdk.CreateAccessKeyOutput](t)(b.iam.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{UserName: name})).AccessKey
	if *made.UserName != *name || made.Status != types.StatusTypeActive || len(*made.SecretAccessKey) != 40 {
		t.Errorf("made %+v", made)
	}
	userIAM, userSTS := b.as(*made.AccessKeyId, *made.SecretAccessKey, "")
	if me := must[*sts.GetCallerIdentityOutput](t)(userSTS.GetCallerIdentity(ctx, nil)); *me.Arn != "arn:aws:iam::123456789012:user/keys" || *me.Account != account {
		t.Errorf("I am %+v", me)
	}
	_, err := userIAM.GetUser(ctx, &sdk.GetUserInput{})
	refused(t, "a user who may nothing", err, "AccessDenied", 403)
	self := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["iam:GetUser","iam:*AccessKey*"],"Resource":"arn:aws:iam::123456789012:user/${aws:username}"}}`
	must[*sdk.PutUserPolicyOutput](t)(b.iam.PutUserPolicy(ctx, &sdk.PutUserPolicyInput{UserName: name, PolicyName: name, PolicyDocument: &self}))
	if me := must[*sdk.GetUserOutput](t)(userIAM.GetUser(ctx, &sdk.GetUserInput{})).User; *me.UserName != *name {
		t.Errorf("I am %+v", me)
	}
	own := must[*sdk.CreateAccessKeyOutput](t)(userIAM.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{})).AccessKey
	_, err = userIAM.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{})
	refused(t, "third key", err, "LimitExceeded", 409)
	must[*sdk.UpdateAccessKeyOutput](t)(userIAM.UpdateAccessKey(ctx, &sdk.UpdateAccessKeyInput{AccessKeyId: own.AccessKeyId, Status: types.StatusTypeInactive}))
	list := must[*sdk.ListAccessKeysOutput](t)(userIAM.ListAccessKeys(ctx, &sdk.ListAccessKeysInput{})).AccessKeyMetadata
	status := map[string]types.StatusType{}
	for _, k := range list {
		status[*k.AccessKeyId] = k.Status
	}
	if len(list) != 2 || status[*own.AccessKeyId] != types.StatusTypeInactive || status[*made.AccessKeyId] != types.StatusTypeActive {
		t.Errorf("keys %+v", list)
	}
	_, inactive := b.as(*own.AccessKeyId, *own.SecretAccessKey, "")
	_, err = inactive.GetCallerIdentity(ctx, nil)
	refused(t, "inactive key", err, "InvalidClientTokenId", 403)
	used := must[*sdk.GetAccessKeyLastUsedOutput](t)(userIAM.GetAccessKeyLastUsed(ctx, &sdk.GetAccessKeyLastUsedInput{AccessKeyId: own.AccessKeyId}))
	if *used.UserName != *name || *used.AccessKeyLastUsed.ServiceName != "N/A" || used.AccessKeyLastUsed.LastUsedDate != nil {
		t.Errorf("used %+v", used)
	}
	used = must[*sdk.GetAccessKeyLastUsedOutput](t)(userIAM.GetAccessKeyLastUsed(ctx, &sdk.GetAccessKeyLastUsedInput{AccessKeyId: made.AccessKeyId}))
	if last := used.AccessKeyLastUsed; *last.ServiceName != "sts" || *last.Region != "us-east-1" || !within(*last.LastUsedDate, began, 0) {
		t.Errorf("used %+v", used.AccessKeyLastUsed)
	}
	for _, id := range []*string{own.AccessKeyId, made.AccessKeyId} {
		must[*sdk.DeleteAccessKeyOutput](t)(b.iam.DeleteAccessKey(ctx, &sdk.DeleteAccessKeyInput{UserName: name, AccessKeyId: id}))
	}
	_, err = b.iam.DeleteAccessKey(ctx, &sdk.DeleteAccessKeyInput{UserName: name, AccessKeyId: own.AccessKeyId})
	refused(t, "deleted key", err, "NoSuchEntity", 404)
	_, err = b.iam.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{})
	refused(t, "key of root", err, "ValidationError", 400)
	if roots := must[*sdk.ListAccessKeysOutput](t)(b.iam.ListAccessKeys(ctx, &sdk.ListAccessKeysInput{})).AccessKeyMetadata; len(roots) != 1 || *roots[0].AccessKeyId != "AKIAROOT" {
		t.Errorf("keys of root: %+v", roots)
	}
	_, err = b.iam.UpdateAccessKey(ctx, &sdk.UpdateAccessKeyInput{UserName: name, AccessKeyId: own.AccessKeyId, Status: "Odd"})
	refused(t, "odd status", err, "ValidationError", 400)
}

func (b bench) walkPolicies(t *testing.T) {
	ctx := t.Context()
	made := must[*sdk.CreatePolicyOutput](t)(b.iam.CreatePolicy(ctx, &sdk.CreatePolicyInput{
		PolicyName: aws.String("p"), Path: aws.String("/a/"), PolicyDocument: aws.String(rights), Description: aws.String("d"), Tags: tagList("k", "v"),
	})).Policy
	if *made.Arn != "arn:aws:iam::123456789012:policy/a/p" || *made.DefaultVersionId != "v1" || *made.AttachmentCount != 0 || !made.IsAttachable || len(made.Tags) != 1 {
		t.Errorf("made %+v", made)
	}
	_, err := b.iam.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: aws.String("P"), PolicyDocument: aws.String(rights)})
	refused(t, "create again", err, "EntityAlreadyExists", 409)
	v := must[*sdk.CreatePolicyVersionOutput](t)(b.iam.CreatePolicyVersion(ctx, &sdk.CreatePolicyVersionInput{PolicyArn: made.Arn, PolicyDocument: aws.String(rights)})).PolicyVersion
	if *v.VersionId != "v2" || v.IsDefaultVersion || v.CreateDate == nil {
		t.Errorf("version %+v", v)
	}
	must[*sdk.SetDefaultPolicyVersionOutput](t)(b.iam.SetDefaultPolicyVersion(ctx, &sdk.SetDefaultPolicyVersionInput{PolicyArn: made.Arn, VersionId: v.VersionId}))
	v = must[*sdk.GetPolicyVersionOutput](t)(b.iam.GetPolicyVersion(ctx, &sdk.GetPolicyVersionInput{PolicyArn: made.Arn, VersionId: v.VersionId})).PolicyVersion
	if text, err := url.QueryUnescape(*v.Document); err != nil || text != rights || !v.IsDefaultVersion {
		t.Errorf("version %+v, %v", v, err)
	}
	_, err = b.iam.DeletePolicy(ctx, &sdk.DeletePolicyInput{PolicyArn: made.Arn})
	refused(t, "delete with versions", err, "DeleteConflict", 409)
	_, err = b.iam.DeletePolicyVersion(ctx, &sdk.DeletePolicyVersionInput{PolicyArn: made.Arn, VersionId: aws.String("v2")})
	refused(t, "delete the version in force", err, "DeleteConflict", 409)
	if list := must[*sdk.ListPolicyVersionsOutput](t)(b.iam.ListPolicyVersions(ctx, &sdk.ListPolicyVersionsInput{PolicyArn: made.Arn})).Versions; len(list) != 2 || list[0].IsDefaultVersion || !list[1].IsDefaultVersion {
		t.Errorf("versions %+v", list)
	}
	must[*sdk.DeletePolicyVersionOutput](t)(b.iam.DeletePolicyVersion(ctx, &sdk.DeletePolicyVersionInput{PolicyArn: made.Arn, VersionId: aws.String("v1")}))
	must[*sdk.TagPolicyOutput](t)(b.iam.TagPolicy(ctx, &sdk.TagPolicyInput{PolicyArn: made.Arn, Tags: tagList("l", "w")}))
	must[*sdk.UntagPolicyOutput](t)(b.iam.UntagPolicy(ctx, &sdk.UntagPolicyInput{PolicyArn: made.Arn, TagKeys: []string{"k"}}))
	if tags := must[*sdk.ListPolicyTagsOutput](t)(b.iam.ListPolicyTags(ctx, &sdk.ListPolicyTagsInput{PolicyArn: made.Arn})).Tags; len(tags) != 1 || *tags[0].Value != "w" {
		t.Errorf("tags %+v", tags)
	}
	if got := must[*sdk.GetPolicyOutput](t)(b.iam.GetPolicy(ctx, &sdk.GetPolicyInput{PolicyArn: made.Arn})).Policy; *got.DefaultVersionId != "v2" || *got.Description != "d" || len(got.Tags) != 1 {
		t.Errorf("got %+v", got)
	}
	for scope, want := range map[types.PolicyScopeType]int{types.PolicyScopeTypeLocal: 1, types.PolicyScopeTypeAws: 14, types.PolicyScopeTypeAll: 15, "": 15} {
		if list := must[*sdk.ListPoliciesOutput](t)(b.iam.ListPolicies(ctx, &sdk.ListPoliciesInput{Scope: scope})).Policies; len(list) != want {
			t.Errorf("scope %q has %d policies, want %d", scope, len(list), want)
		}
	}
	n := 0
	for pages := sdk.NewListPoliciesPaginator(b.iam, &sdk.ListPoliciesInput{MaxItems: aws.Int32(5)}); pages.HasMorePages(); {
		n += len(must[*sdk.ListPoliciesOutput](t)(pages.NextPage(ctx)).Policies)
	}
	if n != 15 {
		t.Errorf("pages hold %d policies, want 15", n)
	}
	must[*sdk.DeletePolicyOutput](t)(b.iam.DeletePolicy(ctx, &sdk.DeletePolicyInput{PolicyArn: made.Arn}))
	_, err = b.iam.GetPolicy(ctx, &sdk.GetPolicyInput{PolicyArn: made.Arn})
	refused(t, "deleted policy", err, "NoSuchEntity", 404)
	_, err = b.iam.DeletePolicy(ctx, &sdk.DeletePolicyInput{PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")})
	refused(t, "AWS's own", err, "ValidationError", 400)
	_, err = b.iam.ListPolicies(ctx, &sdk.ListPoliciesInput{Scope: "Odd"})
	refused(t, "odd scope", err, "ValidationError", 400)
}

func (b bench) walkAttachments(t *testing.T) {
	ctx, name, admin := t.Context(), aws.String("x"), aws.String("arn:aws:iam::aws:policy/AdministratorAccess")
	own := must[*sdk.CreatePolicyOutput](t)(b.iam.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: name, PolicyDocument: aws.String(rights)})).Policy.Arn
	must[*sdk.CreateUserOutput](t)(b.iam.CreateUser(ctx, &sdk.CreateUserInput{UserName: name}))
	must[*sdk.CreateRoleOutput](t)(b.iam.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trust)}))
	for _, arn := range []*string{own, admin} {
		must[*sdk.AttachUserPolicyOutput](t)(b.iam.AttachUserPolicy(ctx, &sdk.AttachUserPolicyInput{UserName: name, PolicyArn: arn}))
		must[*sdk.AttachRolePolicyOutput](t)(b.iam.AttachRolePolicy(ctx, &sdk.AttachRolePolicyInput{RoleName: name, PolicyArn: arn}))
		entities := must[*sdk.ListEntitiesForPolicyOutput](t)(b.iam.ListEntitiesForPolicy(ctx, &sdk.ListEntitiesForPolicyInput{PolicyArn: arn}))
		if len(entities.PolicyUsers) != 1 || len(entities.PolicyRoles) != 1 || *entities.PolicyUsers[0].UserName != "x" || entities.PolicyRoles[0].RoleId == nil {
			t.Errorf("entities of %s: %+v", *arn, entities)
		}
	}
	only := must[*sdk.ListEntitiesForPolicyOutput](t)(b.iam.ListEntitiesForPolicy(ctx, &sdk.ListEntitiesForPolicyInput{PolicyArn: own, EntityFilter: types.EntityTypeRole}))
	if len(only.PolicyUsers) != 0 || len(only.PolicyRoles) != 1 {
		t.Errorf("only roles: %+v", only)
	}
	_, err := b.iam.AttachRolePolicy(ctx, &sdk.AttachRolePolicyInput{RoleName: name, PolicyArn: aws.String("arn:aws:iam::aws:policy/None")})
	refused(t, "attach nothing", err, "NoSuchEntity", 404)
	_, err = b.iam.DeletePolicy(ctx, &sdk.DeletePolicyInput{PolicyArn: own})
	refused(t, "delete an attached policy", err, "DeleteConflict", 409)
	user := must[*sdk.ListAttachedUserPoliciesOutput](t)(b.iam.ListAttachedUserPolicies(ctx, &sdk.ListAttachedUserPoliciesInput{UserName: name})).AttachedPolicies
	role := must[*sdk.ListAttachedRolePoliciesOutput](t)(b.iam.ListAttachedRolePolicies(ctx, &sdk.ListAttachedRolePoliciesInput{RoleName: name, PathPrefix: aws.String("/")})).AttachedPolicies
	if len(user) != 2 || len(role) != 2 || *user[0].PolicyName != "x" || *role[1].PolicyArn != *admin || *role[1].PolicyName != "AdministratorAccess" {
		t.Errorf("attached %+v, %+v", user, role)
	}
	for _, arn := range []*string{own, admin} {
		must[*sdk.DetachUserPolicyOutput](t)(b.iam.DetachUserPolicy(ctx, &sdk.DetachUserPolicyInput{UserName: name, PolicyArn: arn}))
		must[*sdk.DetachRolePolicyOutput](t)(b.iam.DetachRolePolicy(ctx, &sdk.DetachRolePolicyInput{RoleName: name, PolicyArn: arn}))
	}
	_, err = b.iam.DetachRolePolicy(ctx, &sdk.DetachRolePolicyInput{RoleName: name, PolicyArn: admin})
	refused(t, "detach again", err, "NoSuchEntity", 404)
}

func (b bench) walkSTS(t *testing.T) {
	ctx, name := t.Context(), aws.String("assumed")
	must[*sdk.CreateUserOutput](t)(b.iam.CreateUser(ctx, &sdk.CreateUserInput{UserName: aws.String("caller")}))
	must[*sdk.AttachUserPolicyOutput](t)(b.iam.AttachUserPolicy(ctx, &sdk.AttachUserPolicyInput{UserName: aws.String("caller"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")}))
	k := must[*sdk.CreateAccessKeyOutput](t)(b.iam.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{UserName: aws.String("caller")})).AccessKey
	_, caller := b.as(*k.AccessKeyId, *k.SecretAccessKey, "")
	role := must[*sdk.CreateRoleOutput](t)(b.iam.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: name, Path: aws.String("/a/"), AssumeRolePolicyDocument: aws.String(trustAccount)})).Role
	must[*sdk.AttachRolePolicyOutput](t)(b.iam.AttachRolePolicy(ctx, &sdk.AttachRolePolicyInput{RoleName: name, PolicyArn: aws.String("arn:aws:iam::aws:policy/IAMFullAccess")}))

	in := sts.AssumeRoleInput{RoleArn: role.Arn, RoleSessionName: aws.String("s1")}
	began := time.Now()
	got := must[*sts.AssumeRoleOutput](t)(caller.AssumeRole(ctx, &in))
	if *got.AssumedRoleUser.Arn != "arn:aws:sts::123456789012:assumed-role/assumed/s1" || *got.AssumedRoleUser.AssumedRoleId != *role.RoleId+":s1" || got.PackedPolicySize != nil {
		t.Errorf("assumed %+v", got)
	}
	if end := *got.Credentials.Expiration; !within(end, began, time.Hour) {
		t.Errorf("lasts until %v, want an hour from %v", end, began)
	}
	c := got.Credentials
	sessionIAM, sessionSTS := b.as(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	if me := must[*sts.GetCallerIdentityOutput](t)(sessionSTS.GetCallerIdentity(ctx, nil)); *me.Arn != *got.AssumedRoleUser.Arn || *me.UserId != *got.AssumedRoleUser.AssumedRoleId {
		t.Errorf("I am %+v", me)
	}
	must[*sdk.GetRoleOutput](t)(sessionIAM.GetRole(ctx, &sdk.GetRoleInput{RoleName: name}))
	_, err := sessionIAM.GetUser(ctx, &sdk.GetUserInput{})
	refused(t, "a session without a user", err, "ValidationError", 400)
	b.presigned(t, sessionSTS)

	in.Policy, in.DurationSeconds = aws.String(rights), aws.Int32(900)
	in.PolicyArns = []ststypes.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/IAMReadOnlyAccess")}}
	limited := must[*sts.AssumeRoleOutput](t)(caller.AssumeRole(ctx, &in))
	c = limited.Credentials
	limitedIAM, _ := b.as(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	must[*sdk.GetRoleOutput](t)(limitedIAM.GetRole(ctx, &sdk.GetRoleInput{RoleName: name}))
	_, err = limitedIAM.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: name})
	refused(t, "beyond the session policy", err, "AccessDenied", 403)
	if limited.PackedPolicySize == nil || *limited.PackedPolicySize < 1 || err == nil || !strings.Contains(err.Error(), "because no session policy allows the iam:DeleteRole action") {
		t.Errorf("packed %v, refused with %v", limited.PackedPolicySize, err)
	}
	b.sessionTokens(t, caller, in)
}

// sessionTokens tries GetSessionToken, and invalid session tokens.
func (b bench) sessionTokens(t *testing.T, caller *sts.Client, in sts.AssumeRoleInput) {
	ctx := t.Context()
	c := must[*sts.GetSessionTokenOutput](t)(caller.GetSessionToken(ctx, &sts.GetSessionTokenInput{DurationSeconds: aws.Int32(900)})).Credentials
	tokenIAM, tokenSTS := b.as(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	if me := must[*sts.GetCallerIdentityOutput](t)(tokenSTS.GetCallerIdentity(ctx, nil)); *me.Arn != "arn:aws:iam::123456789012:user/caller" {
		t.Errorf("I am %+v", me)
	}
	must[*sts.AssumeRoleOutput](t)(tokenSTS.AssumeRole(ctx, &in))
	_, err := tokenSTS.GetSessionToken(ctx, nil)
	refused(t, "a session's session", err, "AccessDenied", 403)
	_, err = tokenIAM.ListUsers(ctx, nil)
	refused(t, "IAM with a user's session", err, "InvalidClientTokenId", 403)
	_, err = b.sts.AssumeRole(ctx, &in)
	refused(t, "root in a role", err, "AccessDenied", 403)

	for what, bad := range map[string]*sts.Client{
		"no token": second(b.as(*c.AccessKeyId, *c.SecretAccessKey, "")), "odd token": second(b.as(*c.AccessKeyId, *c.SecretAccessKey, "x")),
		"long-lived key with a token": second(b.as("AKIAROOT", "secret", *c.SessionToken)),
	} {
		_, err := bad.GetCallerIdentity(ctx, nil)
		refused(t, what, err, "InvalidClientTokenId", 403)
	}
	_, err = second(b.as(*c.AccessKeyId, "other", *c.SessionToken)).GetCallerIdentity(ctx, nil)
	refused(t, "another secret", err, "SignatureDoesNotMatch", 403)
	*b.late = 15 * time.Minute
	defer func() { *b.late = 0 }()
	_, err = tokenSTS.GetCallerIdentity(ctx, nil)
	refused(t, "expired token", err, "ExpiredToken", 403)
}

func second[A, B any](_ A, b B) B { return b }

// presigned makes a request as somebody who was only given a URL.
func (b bench) presigned(t *testing.T, session *sts.Client) {
	signed, err := sts.NewPresignClient(session).PresignGetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	for name, status := range map[string]int{signed.URL: 200, strings.Replace(signed.URL, "X-Amz-Security-Token=", "X-Amz-Security-Token=A", 1): 403} {
		answer, err := http.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != status {
			t.Errorf("%.40s…: %d, want %d", name, answer.StatusCode, status)
		}
	}
}
