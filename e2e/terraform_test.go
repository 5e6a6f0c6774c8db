package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestTerraform takes a plan through its life. Where Terraform or its AWS provider
// is missing (Debian has neither), TestTerraformsRequests takes its place.
func TestTerraform(t *testing.T) {
	t.Parallel()
	binary, mirror := findTerraform()
	if binary == "" {
		t.Log("no Terraform with its AWS provider here")
		return
	}
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"))
	tf := &terraform{service: s, binary: binary, dir: dir, image: smallRaw(t, dir, "disk.raw")}
	for _, name := range []string{"main.tf", "identity.tf"} {
		plan, err := os.ReadFile(filepath.Join("testdata/terraform", name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, name, string(plan))
	}
	writeFile(t, dir, "rc", "provider_installation {\n  filesystem_mirror {\n    path = \""+mirror+"\"\n  }\n}\n")
	tf.run(t, "init")
	tf.run(t, "apply", "-auto-approve")
	// A tag of several things, policies and what they bound, and the period of a key, while
	// a snapshot is imported anew. If anything else had read back other than it was made,
	// it would count among what changes here.
	tf.stage = "two"
	out := tf.run(t, "apply", "-auto-approve", "-replace=aws_ebs_snapshot_import.disk")
	if want := "2 added, 6 changed, 2 destroyed"; !strings.Contains(out, want) {
		t.Errorf("another stage and another import, want %s:\n%s", want, out)
	}
	tf.changesNothing(t)
	tf.run(t, "destroy", "-auto-approve")
	if left, err := s.Snapshots(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("snapshots %+v, %v are left", left, err)
	}
	ctx := t.Context()
	users, err1 := s.IAM.ListUsers(ctx, &iam.ListUsersInput{})
	roles, err2 := s.IAM.ListRoles(ctx, &iam.ListRolesInput{})
	profiles, err3 := s.IAM.ListInstanceProfiles(ctx, &iam.ListInstanceProfilesInput{})
	policies, err4 := s.IAM.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	if left := len(users.Users) + len(roles.Roles) + len(profiles.InstanceProfiles) + len(policies.Policies); left != 0 {
		t.Errorf("%d entities are left", left)
	}
}

// findTerraform returns the program and a folder that its AWS provider is in, both
// empty where one of them is missing.
func findTerraform() (binary, mirror string) {
	binary, err := exec.LookPath("terraform")
	if err != nil {
		return "", ""
	}
	const provider = "/registry.terraform.io/hashicorp/aws"
	for _, at := range []string{"/usr/share/terraform/plugins", "/usr/local/share/terraform/plugins", "/opt/*"} {
		if found, _ := filepath.Glob(at + provider); len(found) > 0 { // the pattern is good
			return binary, strings.TrimSuffix(found[0], provider)
		}
	}
	return "", ""
}

type terraform struct {
	*service
	binary, dir, image string
	stage              string
}

func (tf *terraform) run(t *testing.T, command string, args ...string) string {
	t.Helper()
	out, err := tf.try(command, args...)
	if err != nil {
		t.Fatalf("terraform %s: %v\n%s", command, err, out)
	}
	return out
}

func (tf *terraform) try(command string, args ...string) (string, error) {
	cmd := exec.Command(tf.binary, append([]string{command, "-no-color", "-input=false"}, args...)...)
	cmd.Dir = tf.dir
	cmd.Env = append(tf.env(), "TF_CLI_CONFIG_FILE="+filepath.Join(tf.dir, "rc"), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1",
		"TF_VAR_endpoint="+tf.endpoint, "TF_VAR_source_file="+tf.image)
	if tf.stage != "" {
		cmd.Env = append(cmd.Env, "TF_VAR_stage="+tf.stage)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// changesNothing makes a plan, which must be empty.
func (tf *terraform) changesNothing(t *testing.T) {
	t.Helper()
	out, err := tf.try("plan", "-detailed-exitcode")
	if err != nil {
		t.Errorf("the next plan is not empty: %v\n%s", err, out)
	}
}

// TestTerraformsRequests makes the requests that the AWS provider makes, and checks
// the values that it compares with its plan.
func TestTerraformsRequests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"))
	ctx := t.Context()
	raw := smallRaw(t, dir, "disk.raw")
	s.putImage(t, raw, "disk.raw")
	t.Run("bucket settings that nobody made", s.unsetBucket)
	t.Run("role", s.readRole)

	in := importOf("s3://images/disk.raw")
	in.Description, in.RoleName, in.ClientToken = aws.String("by Terraform"), aws.String("vmimport"), aws.String("terraform-2026")
	out, err := s.EC2.ImportSnapshot(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := s.awaitTask(t, aws.ToString(out.ImportTaskId))
	found := s.described(t, snapshot)
	if aws.ToString(found.Description) != "by Terraform" || found.StorageTier != "standard" || aws.ToInt32(found.VolumeSize) != 1 ||
		aws.ToString(found.OwnerId) != "000000000000" || aws.ToBool(found.Encrypted) || len(found.Tags) != 0 {
		t.Errorf("the snapshot reads back as %+v", found)
	}
	s.aws(t, "ec2", "create-tags", "--resources", snapshot, "--tags", "Key=stage,Value=two")
	if got := s.aws(t, "ec2", "describe-tags", "--filters", "Name=resource-id,Values="+snapshot, "--query", "Tags[].[Key,Value]"); got != "stage\ttwo" {
		t.Errorf("describe-tags says %q", got)
	}
	s.aws(t, "ec2", "modify-snapshot-tier", "--snapshot-id", snapshot, "--storage-tier", "archive")
	if got := s.aws(t, "ec2", "describe-snapshot-tier-status", "--filters", "Name=snapshot-id,Values="+snapshot,
		"--query", "SnapshotTierStatuses[].[SnapshotId,StorageTier]"); got != snapshot+"\tarchive" {
		t.Errorf("describe-snapshot-tier-status says %q", got)
	}
	if tier := s.described(t, snapshot).StorageTier; tier != "archive" {
		t.Errorf("the tier reads back as %s", tier)
	}

	if _, err := s.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &snapshot}); err != nil {
		t.Error(err)
	}
	name := aws.String("vmimport")
	_, err1 := s.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("images"), Key: aws.String("disk.raw")})
	_, err2 := s.IAM.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: name})
	profiles, err3 := s.IAM.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: name})
	_, err4 := s.IAM.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
	_, err5 := s.S3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("images")})
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil || len(profiles.InstanceProfiles) != 0 {
		t.Errorf("destroying: %v", err)
	}
}

// readRole reads what EnsureRole made.
func (s *service) readRole(t *testing.T) {
	ctx, name := t.Context(), aws.String("vmimport")
	if user, err := s.IAM.GetUser(ctx, &iam.GetUserInput{}); err != nil || !strings.HasSuffix(aws.ToString(user.User.Arn), ":root") {
		t.Errorf("the root key's user is %+v, %v", user, err)
	}
	if role, err := s.IAM.GetRole(ctx, &iam.GetRoleInput{RoleName: name}); err != nil || aws.ToString(role.Role.Arn) != "arn:aws:iam::000000000000:role/vmimport" {
		t.Errorf("role %+v, %v", role, err)
	}
	inline, err := s.IAM.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: name})
	if err != nil || strings.Join(inline.PolicyNames, " ") != "vmimport" {
		t.Errorf("inline policies %+v, %v", inline, err)
	}
	attached, err := s.IAM.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: name})
	if err != nil || len(attached.AttachedPolicies) != 0 {
		t.Errorf("attached policies %+v, %v", attached, err)
	}
}

// unsetBucket reads all settings of a bucket on which none was made.
func (s *service) unsetBucket(t *testing.T) {
	ctx, b := t.Context(), aws.String("images")
	asked := map[string]struct {
		ask  func() (string, error) // returns what is set
		code string
	}{
		"policy": {func() (string, error) {
			_, err := s.S3.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: b})
			return "", err
		}, "NoSuchBucketPolicy"},
		"acl": {func() (string, error) {
			out, err := s.S3.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: b})
			if err != nil || len(out.Grants) != 1 {
				return "other than one grant", err
			}
			return "", nil
		}, ""},
		"cors": {func() (string, error) {
			_, err := s.S3.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: b})
			return "", err
		}, "NoSuchCORSConfiguration"},
		"website": {func() (string, error) {
			_, err := s.S3.GetBucketWebsite(ctx, &s3.GetBucketWebsiteInput{Bucket: b})
			return "", err
		}, "NoSuchWebsiteConfiguration"},
		"versioning": {func() (string, error) {
			out, err := s.S3.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: b})
			return string(out.Status), err
		}, ""},
		"accelerate": {func() (string, error) {
			out, err := s.S3.GetBucketAccelerateConfiguration(ctx, &s3.GetBucketAccelerateConfigurationInput{Bucket: b})
			return string(out.Status), err
		}, ""},
		"request payment": {func() (string, error) {
			out, err := s.S3.GetBucketRequestPayment(ctx, &s3.GetBucketRequestPaymentInput{Bucket: b})
			return strings.TrimPrefix(string(out.Payer), "BucketOwner"), err
		}, ""},
		"logging": {func() (string, error) {
			out, err := s.S3.GetBucketLogging(ctx, &s3.GetBucketLoggingInput{Bucket: b})
			if err == nil && out.LoggingEnabled != nil {
				return "on", nil
			}
			return "", err
		}, ""},
		"lifecycle": {func() (string, error) {
			_, err := s.S3.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: b})
			return "", err
		}, "NoSuchLifecycleConfiguration"},
		"replication": {func() (string, error) {
			_, err := s.S3.GetBucketReplication(ctx, &s3.GetBucketReplicationInput{Bucket: b})
			return "", err
		}, "ReplicationConfigurationNotFoundError"},
		"encryption": {func() (string, error) {
			out, err := s.S3.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: b})
			if err != nil || len(out.ServerSideEncryptionConfiguration.Rules) != 1 {
				return "other than one rule", err
			}
			return strings.TrimPrefix(string(out.ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm), "AES256"), nil
		}, ""},
		"ownership": {func() (string, error) {
			out, err := s.S3.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: b})
			if err != nil || len(out.OwnershipControls.Rules) != 1 {
				return "other than one rule", err
			}
			return strings.TrimPrefix(string(out.OwnershipControls.Rules[0].ObjectOwnership), "BucketOwnerEnforced"), nil
		}, ""},
		"public access": {func() (string, error) {
			out, err := s.S3.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: b})
			if err == nil && (!*out.PublicAccessBlockConfiguration.BlockPublicPolicy || !*out.PublicAccessBlockConfiguration.RestrictPublicBuckets) {
				return "not blocked", nil
			}
			return "", err
		}, ""},
		"object lock": {func() (string, error) {
			_, err := s.S3.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: b})
			return "", err
		}, "ObjectLockConfigurationNotFoundError"},
		"tagging": {func() (string, error) {
			_, err := s.S3.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: b})
			return "", err
		}, "NoSuchTagSet"},
	}
	for name, tt := range asked {
		t.Run(name, func(t *testing.T) {
			if set, err := tt.ask(); errorCode(err) != tt.code || err != nil && tt.code == "" || set != "" {
				t.Errorf("%q, %v, want %q", set, err, tt.code)
			}
		})
	}
}
