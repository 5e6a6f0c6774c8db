package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/ebsapi"
	"github.com/diskport/diskport/internal/api/ec2api"
	"github.com/diskport/diskport/internal/api/iamapi"
	"github.com/diskport/diskport/internal/api/kmsapi"
)

// built returns every action that the service has, by service. Those of S3 are what
// imports need, and what users do with images.
func built() map[string][]string {
	return map[string][]string{
		awshttp.EC2: ec2api.Actions(),
		awshttp.EBS: ebsapi.Actions(),
		awshttp.KMS: kmsapi.Actions(),
		awshttp.IAM: iamapi.Actions(awshttp.IAM),
		awshttp.STS: iamapi.Actions(awshttp.STS),
		awshttp.S3:  s3Operations(),
	}
}

var requests = regexp.MustCompile(`(?m)^diskport_requests_total\{action="(\w+)",code="2\d\d",service="(\w+)"\}`)

// served adds the actions that the service has answered with success.
func (s *service) served(t *testing.T, to map[string]bool) {
	t.Helper()
	for _, m := range requests.FindAllStringSubmatch(s.metrics(t), -1) {
		to[m[2]+":"+m[1]] = true
	}
}

// newer are the actions that Debian's AWS CLI does not know yet.
var newer = []string{"EnableImageDeregistrationProtection", "DisableImageDeregistrationProtection", "ListKeyRotations", "RotateKeyOnDemand"}

// nobodys are the actions about what nobody has, which therefore never succeed.
var nobodys = []string{"GetLoginProfile", "DeleteLoginProfile"}

// TestEveryAction calls every action of the service, with the AWS CLI and nothing
// else. Then it reads from the service's metrics which actions were called: one
// without a command here fails the test.
func TestEveryAction(t *testing.T) {
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"))
	files := actionFiles(t, dir)
	stuck := startStuck(t, dir, files["disk"])
	t.Run("each", func(t *testing.T) {
		for name, walk := range map[string]func(*shell){"import": walkImports, "iam": walkIAM, "kms": walkKMS, "ebs": walkDirect, "s3": walkS3} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				sh := s.shell(t)
				maps.Copy(sh.vars, files)
				walk(sh)
			})
		}
		t.Run("cancel", func(t *testing.T) {
			t.Parallel()
			sh := stuck.shell(t)
			maps.Copy(sh.vars, files)
			walkCancel(sh)
		})
	})
	served := map[string]bool{}
	s.served(t, served)
	stuck.served(t, served)
	if s.ground != nil {
		s.ground.storage.served(t, served)
	}
	for service, names := range built() {
		for _, name := range names {
			if !served[service+":"+name] && !slices.Contains(newer, name) && !slices.Contains(nobodys, name) {
				t.Errorf("no command was for %s %s", service, name)
			}
		}
	}
}

// startStuck starts a service whose imports of images/disk.raw never end, because the
// S3 that it lies in sends nothing.
func startStuck(t *testing.T, dir, disk string) *service {
	t.Helper()
	third := startThirdParty(t, disk)
	elsewhere(t, "SOURCE", "THIRD", "third secret")
	third.hold(func(*http.Request) bool { return true })
	return start(t, filepath.Join(dir, "stuck"), "--source-endpoint", third.URL, "--source-sts", "none")
}

// actionFiles writes what commands read, and returns their names.
func actionFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	sum := sha256.Sum256(make([]byte, blockBytes))
	whole := sha256.Sum256(sum[:]) // LINEAR, of one block
	files := map[string]string{
		"dir": dir,
		"sum": base64.StdEncoding.EncodeToString(sum[:]), "linear": base64.StdEncoding.EncodeToString(whole[:]),
		"trust":       "file://" + writeFile(t, dir, "trust.json", trustPolicy),
		"trustall":    "file://" + writeFile(t, dir, "trustall.json", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}}`),
		"rights":      "file://" + writeFile(t, dir, "rights.json", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:*","sts:*","kms:*"],"Resource":"*"}}`),
		"keypolicy":   "file://" + writeFile(t, dir, "key.json", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:*","Resource":"*"}}`),
		"container":   "file://" + writeFile(t, dir, "container.json", `{"Format":"RAW","Description":"a disk","UserBucket":{"S3Bucket":"actions","S3Key":"disk.raw"}}`),
		"machine":     "file://" + writeFile(t, dir, "machine.json", `[{"Format":"ova","UserBucket":{"S3Bucket":"actions","S3Key":"vm.ova"}}]`),
		"permissions": "file://" + writeFile(t, dir, "permissions.json", `{"Add":[{"UserId":"111122223333"}]}`),
		"secret":      "fileb://" + writeFile(t, dir, "secret.txt", "attack at dawn"),
		"block":       filepath.Join(dir, "block"),
		"disk":        filepath.Join(dir, "disk.raw"),
		"bucketpolicy": "file://" + writeFile(t, dir, "bucket.json", `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*",`+
			`"Resource":["arn:aws:s3:::walked","arn:aws:s3:::walked/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}}`),
		"lifecycle": "file://" + writeFile(t, dir, "lifecycle.json", `{"Rules":[{"ID":"r","Status":"Enabled","Filter":{"Prefix":""},`+
			`"AbortIncompleteMultipartUpload":{"DaysAfterInitiation":3}}]}`),
		"completed": "file://" + writeFile(t, dir, "completed.json", `{"Parts":[{"PartNumber":1,"ETag":"59071590099d21dd439896592338bf95"}]}`), // of the block
		"gone":      "file://" + writeFile(t, dir, "gone.json", `{"Objects":[{"Key":"one"},{"Key":"two"}]}`),
	}
	if err := os.WriteFile(files["block"], make([]byte, blockBytes), 0o644); err != nil {
		t.Fatal(err)
	}
	makeMarked(t, files["disk"], []byte("an action"))
	files["ova"] = makeOVA(t, dir, "vm.ova", files["disk"], writeFile(t, dir, "second.raw", string(make([]byte, blockBytes))))
	return files
}

// withDry puts a dry run before the first use of each command of EC2.
func withDry(steps []step) (all []step) {
	tried := map[string]bool{}
	for _, st := range steps {
		words := strings.Fields(st.command)
		if words[0] == "ec2" && words[1] != "wait" && !tried[words[1]] && !strings.HasPrefix(st.want, "!") {
			tried[words[1]] = true
			all = append(all, step{st.command + " --dry-run", "", "! DryRunOperation"})
		}
		all = append(all, st)
	}
	return slices.Clip(all)
}

// prepared are the commands before any import.
var prepared = []step{
	{"s3 mb s3://actions", "", ""},
	{"s3api put-object --bucket actions --key disk.raw --body $disk", "", ""},
	{"iam create-role --role-name vmimport --assume-role-policy-document $trust", "Role.RoleName", "vmimport"},
	{"iam put-role-policy --role-name vmimport --policy-name images --policy-document $rights", "", ""},
}

func walkImports(sh *shell) {
	sh.do(prepared...)
	sh.do(withDry([]step{
		{"ec2 import-snapshot --disk-container $container --description mine --client-token once --tag-specifications ResourceType=import-snapshot-task,Tags=[{Key=stage,Value=e2e}]", "ImportTaskId", "> task"},
		{"ec2 import-snapshot --disk-container $container --description mine --client-token once --tag-specifications ResourceType=import-snapshot-task,Tags=[{Key=stage,Value=e2e}]", "ImportTaskId", "$task"},
		{"ec2 import-snapshot --disk-container $container --description other --client-token once", "", "! IdempotentParameterMismatch"},
		{"ec2 describe-import-snapshot-tasks --import-task-ids $task", "ImportSnapshotTasks[].SnapshotTaskDetail.Status", "completed"}, // the poll is held
		{"ec2 describe-import-snapshot-tasks --import-task-ids $task", "ImportSnapshotTasks[0].SnapshotTaskDetail.SnapshotId", "> snap"},
		{"ec2 describe-import-snapshot-tasks --filters Name=task-state,Values=completed Name=tag:stage,Values=e2e", "ImportSnapshotTasks[].ImportTaskId", "$task"},
		{"ec2 cancel-import-task --import-task-id $task", "", "! DeleteConversionTaskError"},
		{"ec2 describe-snapshots --snapshot-ids $snap --owner-ids self", "Snapshots[].[State,Progress,Description]", "completed 100% mine"},
		{"ec2 copy-snapshot --source-region us-east-1 --source-snapshot-id $snap --description copied --tag-specifications ResourceType=snapshot,Tags=[{Key=a,Value=b}]", "SnapshotId", "> copy"},
		{"ec2 wait snapshot-completed --snapshot-ids $copy", "", ""},
		{"ec2 copy-snapshot --source-region us-east-1 --source-snapshot-id $snap --encrypted", "SnapshotId", "> encrypted"},
		{"ec2 wait snapshot-completed --snapshot-ids $encrypted", "", ""},
		{"ec2 describe-snapshots --filters Name=encrypted,Values=true", "Snapshots[].SnapshotId", "$encrypted"},
		{"ec2 modify-snapshot-attribute --snapshot-id $encrypted --create-volume-permission $permissions", "", "! OperationNotPermitted"},
		{"ec2 modify-snapshot-attribute --snapshot-id $snap --attribute createVolumePermission --operation-type add --user-ids 123456789012", "", ""},
		{"ec2 modify-snapshot-attribute --snapshot-id $snap --create-volume-permission $permissions", "", ""},
		{"ec2 describe-snapshot-attribute --snapshot-id $snap --attribute createVolumePermission", "sort(CreateVolumePermissions[].UserId)", "111122223333 123456789012"},
		{"ec2 reset-snapshot-attribute --snapshot-id $snap --attribute createVolumePermission", "", ""},
		{"ec2 describe-snapshot-attribute --snapshot-id $snap --attribute createVolumePermission", "length(CreateVolumePermissions)", "0"},
		{"ec2 create-tags --resources $snap $task --tags Key=Name,Value=web", "", ""},
		{"ec2 describe-tags --filters Name=key,Values=Name", "sort(Tags[].ResourceType)", "import-snapshot-task snapshot"},
		{"ec2 delete-tags --resources $snap --tags Key=Name", "", ""},
		{"ec2 describe-tags --filters Name=resource-id,Values=$snap", "length(Tags)", "0"},
		{"ec2 modify-snapshot-tier --snapshot-id $copy --storage-tier archive", "SnapshotId", "$copy"},
		{"ec2 describe-snapshot-tier-status --filters Name=snapshot-id,Values=$copy", "SnapshotTierStatuses[].[StorageTier,LastTieringOperationStatus]", "archive archival-completed"},
		{"ec2 restore-snapshot-tier --snapshot-id $copy --permanent-restore", "IsPermanentRestore", "True"},
		{"ec2 get-ebs-default-kms-key-id", "KmsKeyId", "alias/aws/ebs"},
		{"kms create-key", "KeyMetadata.Arn", "> key"},
		{"ec2 modify-ebs-default-kms-key-id --kms-key-id $key", "KmsKeyId", "$key"},
		{"ec2 enable-ebs-encryption-by-default", "EbsEncryptionByDefault", "True"},
		{"ec2 get-ebs-encryption-by-default", "EbsEncryptionByDefault", "True"},
		{"ec2 import-snapshot --disk-container $container", "ImportTaskId", "> task2"},
		{"ec2 describe-import-snapshot-tasks --import-task-ids $task2", "ImportSnapshotTasks[].SnapshotTaskDetail.Status", "completed"},
		{"ec2 describe-import-snapshot-tasks --import-task-ids $task2", "ImportSnapshotTasks[0].SnapshotTaskDetail.[Encrypted,KmsKeyId]", "True $key"},
		{"ec2 disable-ebs-encryption-by-default", "EbsEncryptionByDefault", "False"},
		{"ec2 reset-ebs-default-kms-key-id", "KmsKeyId", "alias/aws/ebs"},
		{"s3api put-object --bucket actions --key vm.ova --body $ova", "", ""},
		{"ec2 import-image --disk-containers $machine --client-token once --platform Linux --tag-specifications ResourceType=import-image-task,Tags=[{Key=stage,Value=vm}]", "ImportTaskId", "> task3"},
		{"ec2 import-image --disk-containers $machine --client-token once --platform Linux --tag-specifications ResourceType=import-image-task,Tags=[{Key=stage,Value=vm}]", "ImportTaskId", "$task3"},
		{"ec2 import-image --disk-containers $machine --client-token once", "", "! IdempotentParameterMismatch"},
		{"ec2 describe-import-image-tasks --import-task-ids $task3", "ImportImageTasks[].Status", "completed"}, // the poll is held
		{"ec2 describe-import-image-tasks --filters Name=task-state,Values=completed Name=tag:stage,Values=vm", "ImportImageTasks[0].SnapshotDetails[].[DeviceName,Status]", "/dev/sda1 completed /dev/sdb completed"},
		{"ec2 describe-import-image-tasks --import-task-ids $task3", "ImportImageTasks[0].ImageId", "> machineimage"},
		{"ec2 cancel-import-task --import-task-id $task3", "", "! DeleteConversionTaskError"},
		{"ec2 describe-images --image-ids $machineimage", "Images[].[Name,BootMode,Architecture,RootDeviceName]", "$task3 uefi x86_64 /dev/sda1"},
		{"ec2 deregister-image --image-id $machineimage", "", ""},
		{"ec2 describe-regions --region-names eu-west-1 us-east-1", "Regions[].[RegionName,OptInStatus]", "eu-west-1 opt-in-not-required us-east-1 opt-in-not-required"},
		{"ec2 describe-availability-zones --filters Name=state,Values=available", "AvailabilityZones[].ZoneName", "us-east-1a us-east-1b us-east-1c"},
		{"ec2 describe-account-attributes --attribute-names default-vpc", "AccountAttributes[].AttributeValues[].AttributeValue", "none"},
		{"ec2 describe-instances", "", "! UnsupportedOperation"},
	})...)
	image := "DeviceName=/dev/sda1,Ebs={SnapshotId=" + sh.vars["snap"] + "}"
	sh.do(withDry([]step{
		{"ec2 register-image --name img --architecture x86_64 --root-device-name /dev/sda1 --block-device-mappings " + image, "ImageId", "> image"},
		{"ec2 wait image-available --image-ids $image", "", ""},
		{"ec2 describe-images --owners self", "Images[].[ImageId,Name]", "$image img"},
		{"ec2 delete-snapshot --snapshot-id $snap", "", "! InvalidSnapshot.InUse"},
		{"ec2 modify-image-attribute --image-id $image --launch-permission Add=[{UserId=123456789012}]", "", ""},
		{"ec2 modify-image-attribute --image-id $image --attribute launchPermission --operation-type add --user-groups all", "", ""},
		{"ec2 describe-image-attribute --image-id $image --attribute launchPermission", "LaunchPermissions[].[UserId,Group]", "123456789012 None None all"},
		{"ec2 reset-image-attribute --image-id $image --attribute launchPermission", "", ""},
		{"ec2 modify-image-attribute --image-id $image --description Value=changed", "", ""},
		{"ec2 describe-image-attribute --image-id $image --attribute description", "Description.Value", "changed"},
		{"ec2 enable-image-deprecation --image-id $image --deprecate-at 2030-01-01T00:00:00Z", "Return", "True"},
		{"ec2 describe-images --image-ids $image", "Images[].[Public,Description,DeprecationTime]", "False changed 2030-01-01T00:00:00.000Z"},
		{"ec2 disable-image-deprecation --image-id $image", "Return", "True"},
		{"ec2 get-instance-uefi-data --instance-id $image", "InstanceId", "$image"},
		{"ec2 copy-image --source-region us-east-1 --source-image-id $image --name copy --client-token t", "ImageId", "> twin"},
		{"ec2 copy-image --source-region us-east-1 --source-image-id $image --name copy --client-token t", "ImageId", "$twin"},
		{"ec2 wait image-available --image-ids $twin", "", ""},
		{"ec2 describe-images --image-ids $twin", "Images[].[Name,length(BlockDeviceMappings),Tags]", "copy 1 None"},
		{"ec2 describe-images --image-ids ami-00000000000000000 ami-00000000000000001", "", "! InvalidAMIID.NotFound"},
		{"ec2 deregister-image --image-id $twin", "", ""},
		{"ec2 deregister-image --image-id $image", "", ""},
		{"ec2 create-volume --availability-zone us-east-1a --snapshot-id $snap --volume-type gp3 --client-token v --tag-specifications ResourceType=volume,Tags=[{Key=Name,Value=disk}]", "VolumeId", "> volume"},
		{"ec2 create-volume --availability-zone us-east-1a --snapshot-id $snap --volume-type gp3 --client-token v --tag-specifications ResourceType=volume,Tags=[{Key=Name,Value=disk}]", "VolumeId", "$volume"},
		{"ec2 wait volume-available --volume-ids $volume", "", ""},
		{"ec2 describe-volumes --filters Name=tag:Name,Values=disk", "Volumes[].[VolumeId,Size,Iops,Throughput,State]", "$volume 1 3000 125 available"},
		{"ec2 describe-volume-status --volume-ids $volume", "VolumeStatuses[].VolumeStatus.Status", "ok"},
		{"ec2 modify-volume --volume-id $volume --size 2", "VolumeModification.[ModificationState,TargetSize]", "completed 2"},
		{"ec2 describe-volumes-modifications --volume-ids $volume", "VolumesModifications[].[OriginalSize,TargetSize]", "1 2"},
		{"ec2 delete-snapshot --snapshot-id $snap", "", ""},
		{"ec2 create-snapshot --volume-id $volume --description daily", "SnapshotId", "> daily"},
		{"ec2 wait snapshot-completed --snapshot-ids $daily", "", ""},
		{"ec2 describe-snapshots --filters Name=volume-id,Values=$volume", "Snapshots[].[SnapshotId,VolumeSize]", "$daily 2"},
		{"ec2 delete-volume --volume-id $volume", "", ""},
		{"ec2 wait volume-deleted --volume-ids $volume", "", ""},
		{"ec2 describe-snapshots --snapshot-ids $snap", "", "! InvalidSnapshot.NotFound"},
	})...)
}

// walkCancel cancels an import that does not end by itself.
func walkCancel(sh *shell) {
	sh.do(prepared[2:]...)
	sh.do(withDry([]step{
		{"ec2 import-snapshot --disk-container Url=s3://images/disk.raw", "ImportTaskId", "> task"},
		{"ec2 cancel-import-task --import-task-id $task --cancel-reason test", "[ImportTaskId,PreviousState,State]", "$task active deleting"},
		{"ec2 describe-import-snapshot-tasks --filters Name=task-state,Values=deleting,deleted", "ImportSnapshotTasks[].SnapshotTaskDetail.StatusMessage", "User initiated task cancelation."},
		{"ec2 import-image --disk-containers Url=s3://images/disk.raw", "ImportTaskId", "> machine"},
		{"ec2 cancel-import-task --import-task-id $machine", "[ImportTaskId,PreviousState,State]", "$machine active deleting"},
		{"ec2 describe-import-image-tasks --filters Name=task-state,Values=deleting,deleted", "ImportImageTasks[].StatusMessage", "User initiated task cancelation."},
		{"ec2 cancel-import-task --import-task-id import-snap-00000000000000000", "", "! InvalidConversionTaskId.Malformed"},
	})...)
}
