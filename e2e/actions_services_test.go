package e2e

import "strings"

func walkDirect(sh *shell) {
	put := " --block-data $block --data-length 524288 --checksum $sum --checksum-algorithm SHA256"
	sh.do([]step{
		{"ebs start-snapshot --volume-size 1 --description written --tags Key=a,Value=b", "SnapshotId", "> one"},
		{"ebs put-snapshot-block --snapshot-id $one --block-index 3" + put, "Checksum", "$sum"},
		{"ebs complete-snapshot --snapshot-id $one --changed-blocks-count 1 --checksum $linear --checksum-algorithm SHA256 --checksum-aggregation-method LINEAR", "Status", "pending"},
		{"ec2 wait snapshot-completed --snapshot-ids $one", "", ""},
		{"ebs start-snapshot --volume-size 1 --parent-snapshot-id $one", "SnapshotId", "> two"},
		{"ebs put-snapshot-block --snapshot-id $two --block-index 4" + put, "", ""},
		{"ebs put-snapshot-block --snapshot-id $two --block-index 2048" + put, "", "! ValidationException"},
		{"ebs complete-snapshot --snapshot-id $two --changed-blocks-count 1", "", ""},
		{"ec2 wait snapshot-completed --snapshot-ids $two", "", ""},
		{"ebs list-snapshot-blocks --snapshot-id $two", "Blocks[].BlockIndex", "3 4"},
		{"ebs list-changed-blocks --first-snapshot-id $one --second-snapshot-id $two", "ChangedBlocks[].BlockIndex", "4"},
		{"ebs list-snapshot-blocks --snapshot-id $two", "Blocks[1].BlockToken", "> token"},
		{"ebs get-snapshot-block --snapshot-id $two --block-index 4 --block-token $token " + sh.vars["dir"] + "/got", "[DataLength,Checksum]", "524288 $sum"},
		{"ebs get-snapshot-block --snapshot-id $two --block-index 3 --block-token $token " + sh.vars["dir"] + "/got", "", "! ValidationException"},
	}...)
}

func walkKMS(sh *shell) {
	sh.do([]step{
		{"kms create-key --description d --tags TagKey=a,TagValue=b", "KeyMetadata.KeyId", "> key"},
		{"kms create-key", "KeyMetadata.KeyId", "> other"},
		{"kms create-alias --alias-name alias/walk --target-key-id $key", "", ""},
		{"kms update-alias --alias-name alias/walk --target-key-id $other", "", ""},
		{"kms describe-key --key-id alias/walk", "KeyMetadata.[KeyId,KeyState]", "$other Enabled"},
		{"kms list-aliases --key-id $other", "Aliases[].AliasName", "alias/walk"},
		{"kms delete-alias --alias-name alias/walk", "", ""},
		{"kms describe-key --key-id alias/walk", "", "! NotFoundException"},
		{"kms list-keys", "", ""},
		{"kms update-key-description --key-id $key --description new", "", ""},
		{"kms get-key-rotation-status --key-id $key", "KeyRotationEnabled", "False"},
		{"kms put-key-policy --key-id $key --policy-name default --policy $keypolicy", "", ""},
		{"kms get-key-policy --key-id $key --policy-name default", "", ""},
		{"kms list-key-policies --key-id $key", "PolicyNames", "default"},
		{"kms tag-resource --key-id $key --tags TagKey=c,TagValue=d", "", ""},
		{"kms untag-resource --key-id $key --tag-keys a", "", ""},
		{"kms list-resource-tags --key-id $key", "Tags[].TagKey", "c"},
		{"kms encrypt --key-id $key --plaintext $secret --encryption-context for=test", "CiphertextBlob", "> encrypted"},
		{"kms decrypt --ciphertext-blob $encrypted", "", "! InvalidCiphertextException"},
		{"kms decrypt --ciphertext-blob $encrypted --encryption-context for=test", "Plaintext", "YXR0YWNrIGF0IGRhd24="},
		{"kms re-encrypt --ciphertext-blob $encrypted --source-encryption-context for=test --destination-key-id $other", "CiphertextBlob", "> moved"},
		{"kms decrypt --ciphertext-blob $moved --key-id $other", "Plaintext", "YXR0YWNrIGF0IGRhd24="},
		{"kms generate-data-key --key-id $key --key-spec AES_256", "", ""},
		{"kms generate-data-key-without-plaintext --key-id $key --number-of-bytes 64", "", ""},
		{"kms generate-random --number-of-bytes 8", "", ""},
		{"kms create-grant --key-id $key --grantee-principal arn:aws:iam::000000000000:root --retiring-principal arn:aws:iam::000000000000:root --operations Decrypt", "GrantId", "> grant"},
		{"kms list-grants --key-id $key", "Grants[].GrantId", "$grant"},
		{"kms revoke-grant --key-id $key --grant-id $grant", "", ""},
		{"kms create-grant --key-id $key --grantee-principal arn:aws:iam::000000000000:root --operations Decrypt", "GrantToken", "> granttoken"},
		{"kms retire-grant --grant-token $granttoken", "", ""},
		{"kms disable-key --key-id $key", "", ""},
		{"kms encrypt --key-id $key --plaintext $secret", "", "! DisabledException"},
		{"kms enable-key --key-id $key", "", ""},
		{"kms schedule-key-deletion --key-id $key --pending-window-in-days 7", "KeyState", "PendingDeletion"},
		{"kms cancel-key-deletion --key-id $key", "", ""},
		{"kms describe-key --key-id $key", "KeyMetadata.[KeyState,Description]", "Disabled new"},
		{"kms create-key --key-spec RSA_2048 --key-usage SIGN_VERIFY", "", "! UnsupportedOperationException"},
		{"kms enable-key-rotation --key-id $other", "", ""},
		{"kms get-key-rotation-status --key-id $other", "KeyRotationEnabled", "True"},
		{"kms disable-key-rotation --key-id $other", "", ""},
		{"kms list-retirable-grants --retiring-principal arn:aws:iam::000000000000:root", "Grants", ""},
		{"kms get-public-key --key-id $other", "", "! UnsupportedOperationException"},
	}...)
}

func walkIAM(sh *shell) {
	sh.do(walkRoles...)
	sh.do(walkUsers...)
	sh.do(walkPolicies...)
	sh.vars["access"], sh.vars["hidden"], _ = strings.Cut(sh.vars["pair"], " ")
	sh.keys = [2]string{sh.vars["access"], sh.vars["hidden"]}
	sh.do([]step{
		{"sts get-caller-identity", "Arn", "arn:aws:iam::000000000000:user/walker"},
		{"iam list-users", "", "! AccessDenied"},
		{"sts get-session-token", "Credentials.SessionToken", "> session"},
		{"sts get-federation-token --name guest", "FederatedUser.Arn", "arn:aws:sts::000000000000:federated-user/guest"},
		{"sts get-access-key-info --access-key-id $access", "Account", "000000000000"},
		{"sts decode-authorization-message --encoded-message x", "", "! UnsupportedOperation"},
		{"sts assume-role --role-arn arn:aws:iam::000000000000:role/walked --role-session-name walk", "Credentials.[AccessKeyId,SecretAccessKey,SessionToken]", ""},
		{"sts assume-role --role-arn arn:aws:iam::000000000000:role/vmimport --role-session-name walk", "", "! AccessDenied"},
	}...)
	sh.keys = [2]string{}
	sh.do(walkHome...)
}

var walkRoles = []step{
	{"iam create-role --role-name walked --assume-role-policy-document $trust --tags Key=a,Value=b", "Role.Arn", "arn:aws:iam::000000000000:role/walked"},
	{"iam create-role --role-name walked --assume-role-policy-document $trust", "", "! EntityAlreadyExists"},
	{"iam update-assume-role-policy --role-name walked --policy-document $trustall", "", ""},
	{"iam update-role --role-name walked --description d --max-session-duration 7200", "", ""},
	{"iam get-role --role-name walked", "Role.[Description,MaxSessionDuration]", "d 7200"},
	{"iam list-roles", "length(Roles[?RoleName=='walked'])", "1"},
	{"iam tag-role --role-name walked --tags Key=c,Value=d", "", ""},
	{"iam untag-role --role-name walked --tag-keys a", "", ""},
	{"iam list-role-tags --role-name walked", "Tags[].Key", "c"},
	{"iam put-role-policy --role-name walked --policy-name p --policy-document $rights", "", ""},
	{"iam get-role-policy --role-name walked --policy-name p", "PolicyName", "p"},
	{"iam list-role-policies --role-name walked", "PolicyNames", "p"},
	{"iam list-instance-profiles-for-role --role-name walked", "InstanceProfiles", ""},
	{"iam update-role-description --role-name walked --description e", "Role.Description", "e"},
	{"iam put-role-permissions-boundary --role-name walked --permissions-boundary arn:aws:iam::aws:policy/PowerUserAccess", "", ""},
	{"iam get-role --role-name walked", "Role.PermissionsBoundary.PermissionsBoundaryArn", "arn:aws:iam::aws:policy/PowerUserAccess"},
	{"iam delete-role-permissions-boundary --role-name walked", "", ""},
	{"iam create-instance-profile --instance-profile-name walked --tags Key=a,Value=b", "InstanceProfile.InstanceProfileName", "walked"},
	{"iam add-role-to-instance-profile --instance-profile-name walked --role-name walked", "", ""},
	{"iam get-instance-profile --instance-profile-name walked", "InstanceProfile.Roles[].RoleName", "walked"},
	{"iam list-instance-profiles", "InstanceProfiles[].InstanceProfileName", "walked"},
	{"iam tag-instance-profile --instance-profile-name walked --tags Key=c,Value=d", "", ""},
	{"iam untag-instance-profile --instance-profile-name walked --tag-keys a", "", ""},
	{"iam list-instance-profile-tags --instance-profile-name walked", "Tags[].Key", "c"},
	{"iam delete-instance-profile --instance-profile-name walked", "", "! DeleteConflict"},
	{"iam remove-role-from-instance-profile --instance-profile-name walked --role-name walked", "", ""},
	{"iam delete-instance-profile --instance-profile-name walked", "", ""},
	{"iam delete-role --role-name walked", "", "! DeleteConflict"},
	{"iam list-account-aliases", "", ""},
	{"iam create-group --group-name g", "", "! UnsupportedOperation"},
}

var walkUsers = []step{
	{"iam create-user --user-name stroller", "", ""},
	{"iam update-user --user-name stroller --new-user-name walker", "", ""},
	{"iam get-user --user-name walker", "User.UserName", "walker"},
	{"iam list-users", "Users[].UserName", "walker"},
	{"iam tag-user --user-name walker --tags Key=c,Value=d Key=e,Value=f", "", ""},
	{"iam untag-user --user-name walker --tag-keys e", "", ""},
	{"iam list-user-tags --user-name walker", "Tags[].Key", "c"},
	{"iam put-user-policy --user-name walker --policy-name p --policy-document $rights", "", ""},
	{"iam get-user-policy --user-name walker --policy-name p", "PolicyName", "p"},
	{"iam list-user-policies --user-name walker", "PolicyNames", "p"},
	{"iam list-groups-for-user --user-name walker", "", ""},
	{"iam list-mfa-devices --user-name walker", "", ""},
	{"iam list-ssh-public-keys --user-name walker", "", ""},
	{"iam list-signing-certificates --user-name walker", "", ""},
	{"iam list-service-specific-credentials --user-name walker", "", ""},
	{"iam list-mfa-devices", "", ""},
	{"iam list-virtual-mfa-devices", "", ""},
	{"iam list-groups", "", ""},
	{"iam get-login-profile --user-name walker", "", "! NoSuchEntity"},
	{"iam delete-login-profile --user-name walker", "", "! NoSuchEntity"},
	{"iam put-user-permissions-boundary --user-name walker --permissions-boundary arn:aws:iam::aws:policy/AdministratorAccess", "", ""},
	{"iam delete-user-permissions-boundary --user-name walker", "", ""},
	{"iam create-access-key --user-name walker", "AccessKey.AccessKeyId", "> spare"},
	{"iam list-access-keys --user-name walker", "AccessKeyMetadata[].AccessKeyId", "$spare"},
	{"iam update-access-key --user-name walker --access-key-id $spare --status Inactive", "", ""},
	{"iam get-access-key-last-used --access-key-id $spare", "UserName", "walker"},
	{"iam delete-access-key --user-name walker --access-key-id $spare", "", ""},
	{"iam create-access-key --user-name walker", "join(' ',[AccessKey.AccessKeyId,AccessKey.SecretAccessKey])", "> pair"},
}

var walkPolicies = []step{
	{"iam create-policy --policy-name managed --policy-document $rights", "Policy.Arn", "> policy"},
	{"iam get-policy --policy-arn $policy", "Policy.DefaultVersionId", "v1"},
	{"iam list-policies --scope Local", "Policies[].PolicyName", "managed"},
	{"iam create-policy-version --policy-arn $policy --policy-document $rights", "PolicyVersion.VersionId", "v2"},
	{"iam set-default-policy-version --policy-arn $policy --version-id v2", "", ""},
	{"iam get-policy-version --policy-arn $policy --version-id v2", "PolicyVersion.IsDefaultVersion", "True"},
	{"iam list-policy-versions --policy-arn $policy", "length(Versions)", "2"},
	{"iam delete-policy-version --policy-arn $policy --version-id v1", "", ""},
	{"iam tag-policy --policy-arn $policy --tags Key=a,Value=b", "", ""},
	{"iam list-policy-tags --policy-arn $policy", "Tags[].Key", "a"},
	{"iam untag-policy --policy-arn $policy --tag-keys a", "", ""},
	{"iam attach-role-policy --role-name walked --policy-arn $policy", "", ""},
	{"iam attach-user-policy --user-name walker --policy-arn $policy", "", ""},
	{"iam list-attached-role-policies --role-name walked", "AttachedPolicies[].PolicyName", "managed"},
	{"iam list-attached-user-policies --user-name walker", "AttachedPolicies[].PolicyName", "managed"},
	{"iam list-entities-for-policy --policy-arn $policy", "[PolicyRoles[].RoleName,PolicyUsers[].UserName][]", "walked walker"},
	{"iam delete-policy --policy-arn $policy", "", "! DeleteConflict"},
}

// walkHome undoes what the walks before it did.
var walkHome = []step{
	{"iam detach-role-policy --role-name walked --policy-arn $policy", "", ""},
	{"iam detach-user-policy --user-name walker --policy-arn $policy", "", ""},
	{"iam delete-policy --policy-arn $policy", "", ""},
	{"iam delete-role-policy --role-name walked --policy-name p", "", ""},
	{"iam delete-role --role-name walked", "", ""},
	{"iam delete-access-key --user-name walker --access-key-id $access", "", ""},
	{"iam delete-user-policy --user-name walker --policy-name p", "", ""},
	{"iam delete-user --user-name walker", "", ""},
	{"iam get-user --user-name walker", "", "! NoSuchEntity"},
}
