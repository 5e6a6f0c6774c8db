package iamapi

import (
	"time"

	"github.com/diskport/diskport/internal/tag"
)

// iamActions are the actions of IAM that are built, each with its permission and
// the permission's subject.
var iamActions = map[string]action{
	"CreateRole":                    on("iam:CreateRole", newRole, createRole),
	"GetRole":                       on("iam:GetRole", theRole, getRole),
	"ListRoles":                     on("iam:ListRoles", all[listRolesIn]("role"), listRoles),
	"DeleteRole":                    on("iam:DeleteRole", theRole, deleteRole),
	"UpdateRole":                    on("iam:UpdateRole", theRole, updateRole),
	"UpdateAssumeRolePolicy":        on("iam:UpdateAssumeRolePolicy", theRole, updateTrust),
	"TagRole":                       on("iam:TagRole", theRole, tagRole),
	"UntagRole":                     on("iam:UntagRole", theRole, untagRole),
	"ListRoleTags":                  on("iam:ListRoleTags", theRole, listRoleTags),
	"PutRolePolicy":                 on("iam:PutRolePolicy", theRole, putInline[rolePut]),
	"GetRolePolicy":                 on("iam:GetRolePolicy", theRole, getInline[roleInline]),
	"ListRolePolicies":              on("iam:ListRolePolicies", theRole, listInline[roleList]),
	"DeleteRolePolicy":              on("iam:DeleteRolePolicy", theRole, deleteInline[roleInline]),
	"AttachRolePolicy":              on("iam:AttachRolePolicy", theRole, attach[roleAttach]),
	"DetachRolePolicy":              on("iam:DetachRolePolicy", theRole, detach[roleAttach]),
	"ListAttachedRolePolicies":      on("iam:ListAttachedRolePolicies", theRole, listAttached[roleListAttached]),
	"ListInstanceProfilesForRole":   on("iam:ListInstanceProfilesForRole", theRole, listProfilesForRole),
	"UpdateRoleDescription":         on("iam:UpdateRoleDescription", theRole, updateRoleDescription),
	"PutRolePermissionsBoundary":    on("iam:PutRolePermissionsBoundary", theRole, putBoundary[roleBound]),
	"DeleteRolePermissionsBoundary": on("iam:DeleteRolePermissionsBoundary", theRole, deleteBoundary[roleIn]),

	"CreateInstanceProfile":         on("iam:CreateInstanceProfile", newProfile, createProfile),
	"GetInstanceProfile":            on("iam:GetInstanceProfile", theProfile, getProfile),
	"ListInstanceProfiles":          on("iam:ListInstanceProfiles", all[listProfilesIn]("instance-profile"), listProfiles),
	"DeleteInstanceProfile":         on("iam:DeleteInstanceProfile", theProfile, deleteProfile),
	"AddRoleToInstanceProfile":      on("iam:AddRoleToInstanceProfile", theProfile, addRoleToProfile),
	"RemoveRoleFromInstanceProfile": on("iam:RemoveRoleFromInstanceProfile", theProfile, removeRoleFromProfile),
	"TagInstanceProfile":            on("iam:TagInstanceProfile", theProfile, tagProfile),
	"UntagInstanceProfile":          on("iam:UntagInstanceProfile", theProfile, untagProfile),
	"ListInstanceProfileTags":       on("iam:ListInstanceProfileTags", theProfile, listProfileTags),

	"CreateUser":               on("iam:CreateUser", newUser, createUser),
	"GetUser":                  on("iam:GetUser", theUser, getUser),
	"ListUsers":                on("iam:ListUsers", all[listUsersIn]("user"), listUsers),
	"UpdateUser":               on("iam:UpdateUser", theUserAndNext, updateUser),
	"DeleteUser":               on("iam:DeleteUser", theUser, deleteUser),
	"TagUser":                  on("iam:TagUser", theUser, tagUser),
	"UntagUser":                on("iam:UntagUser", theUser, untagUser),
	"ListUserTags":             on("iam:ListUserTags", theUser, listUserTags),
	"PutUserPolicy":            on("iam:PutUserPolicy", theUser, putInline[userPut]),
	"GetUserPolicy":            on("iam:GetUserPolicy", theUser, getInline[userInline]),
	"ListUserPolicies":         on("iam:ListUserPolicies", theUser, listInline[userList]),
	"DeleteUserPolicy":         on("iam:DeleteUserPolicy", theUser, deleteInline[userInline]),
	"AttachUserPolicy":         on("iam:AttachUserPolicy", theUser, attach[userAttach]),
	"DetachUserPolicy":         on("iam:DetachUserPolicy", theUser, detach[userAttach]),
	"ListAttachedUserPolicies": on("iam:ListAttachedUserPolicies", theUser, listAttached[userListAttached]),
	"ListGroupsForUser":        on("iam:ListGroupsForUser", theUser, none[userList]("Groups")),
	"ListMFADevices":           on("iam:ListMFADevices", theUser, none[selfList]("MFADevices")),
	"ListSSHPublicKeys":        on("iam:ListSSHPublicKeys", theUser, none[selfList]("SSHPublicKeys")),
	"ListSigningCertificates":  on("iam:ListSigningCertificates", theUser, none[selfList]("Certificates")),

	"ListServiceSpecificCredentials": on("iam:ListServiceSpecificCredentials", theUserOrAll, none[credentialsOf]("ServiceSpecificCredentials")),
	"PutUserPermissionsBoundary":     on("iam:PutUserPermissionsBoundary", theUser, putBoundary[userBound]),
	"DeleteUserPermissionsBoundary":  on("iam:DeleteUserPermissionsBoundary", theUser, deleteBoundary[userIn]),
	"GetLoginProfile":                on("iam:GetLoginProfile", theUser, noLogin),
	"DeleteLoginProfile":             on("iam:DeleteLoginProfile", theUser, noLogin),

	"CreateAccessKey":      on("iam:CreateAccessKey", theUser, createAccessKey),
	"ListAccessKeys":       on("iam:ListAccessKeys", theUser, listAccessKeys),
	"UpdateAccessKey":      on("iam:UpdateAccessKey", theUser, updateAccessKey),
	"DeleteAccessKey":      on("iam:DeleteAccessKey", theUser, deleteAccessKey),
	"GetAccessKeyLastUsed": on("iam:GetAccessKeyLastUsed", keyOwner, getAccessKeyLastUsed),

	"CreatePolicy":            on("iam:CreatePolicy", newPolicy, createPolicy),
	"GetPolicy":               on("iam:GetPolicy", thePolicy, getPolicy),
	"ListPolicies":            on("iam:ListPolicies", all[listPoliciesIn]("policy"), listPolicies),
	"DeletePolicy":            on("iam:DeletePolicy", thePolicy, deletePolicy),
	"CreatePolicyVersion":     on("iam:CreatePolicyVersion", thePolicy, createPolicyVersion),
	"GetPolicyVersion":        on("iam:GetPolicyVersion", thePolicy, getPolicyVersion),
	"ListPolicyVersions":      on("iam:ListPolicyVersions", thePolicy, listPolicyVersions),
	"DeletePolicyVersion":     on("iam:DeletePolicyVersion", thePolicy, deletePolicyVersion),
	"SetDefaultPolicyVersion": on("iam:SetDefaultPolicyVersion", thePolicy, setDefaultPolicyVersion),
	"TagPolicy":               on("iam:TagPolicy", thePolicy, tagPolicy),
	"UntagPolicy":             on("iam:UntagPolicy", thePolicy, untagPolicy),
	"ListPolicyTags":          on("iam:ListPolicyTags", thePolicy, listPolicyTags),
	"ListEntitiesForPolicy":   on("iam:ListEntitiesForPolicy", thePolicy, listEntities),
	"ListGroups":              on("iam:ListGroups", all[everything]("group"), none[everything]("Groups")),
	"ListVirtualMFADevices":   on("iam:ListVirtualMFADevices", anything[everything], none[everything]("VirtualMFADevices")),
	"ListAccountAliases":      on("iam:ListAccountAliases", anything[aliasesIn], none[aliasesIn]("AccountAliases")),
}

type tagIn struct{ Key, Value string }

// taggingIn is embedded in requests that add tags.
type taggingIn struct {
	Tags []tagIn `ec2:"Tags.member"`
}

func (r taggingIn) givesTags() []tag.Tag {
	var out []tag.Tag
	for _, t := range r.Tags {
		out = append(out, tag.Tag(t))
	}
	return out
}

// untaggingIn is embedded in requests that remove tags.
type untaggingIn struct {
	TagKeys []string `ec2:"TagKeys.member"`
}

func (r untaggingIn) dropsTags() []string { return r.TagKeys }

func seconds(n *int64) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * time.Second
	switch { // out of range, without an overflow
	case *n < 0:
		d = -1
	case *n > 1e6:
		d = 1e6 * time.Second
	}
	return &d
}
