package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/diskport/diskport/internal/client"
)

const inaccessible = "ClientError: Given key ID is not accessible"

func (s *service) key(t *testing.T, change func(*kms.CreateKeyInput)) *kmstypes.KeyMetadata {
	t.Helper()
	in := &kms.CreateKeyInput{}
	if change != nil {
		change(in)
	}
	out, err := s.kms().CreateKey(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out.KeyMetadata
}

// importUnder imports an object of bucket images, encrypted, and returns the task
// as it ended, as EC2 and as our own API show it.
func (s *service) importUnder(t *testing.T, object, key string) (types.ImportSnapshotTask, client.Task) {
	t.Helper()
	in := &ec2.ImportSnapshotInput{Encrypted: aws.Bool(true), DiskContainer: &types.SnapshotDiskContainer{Url: aws.String("s3://images/" + object)}}
	if key != "" {
		in.KmsKeyId = &key
	}
	out, err := s.ec2().ImportSnapshot(t.Context(), in)
	if err != nil {
		t.Fatalf("under key %q: %v", key, err)
	}
	if d := out.SnapshotTaskDetail; !aws.ToBool(d.Encrypted) || aws.ToString(d.KmsKeyId) != key {
		t.Errorf("the answer says encrypted %v under %q, want %q", aws.ToBool(d.Encrypted), aws.ToString(d.KmsKeyId), key)
	}
	task, err := s.Watch(t.Context(), *out.ImportTaskId, func(client.Task) {})
	if err != nil {
		t.Fatal(err)
	}
	told, err := s.ec2().DescribeImportSnapshotTasks(t.Context(), &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{*out.ImportTaskId}})
	if err != nil {
		t.Fatal(err)
	}
	return told.ImportSnapshotTasks[0], task
}

func (s *service) described(t *testing.T, id string) types.Snapshot {
	t.Helper()
	out, err := s.ec2().DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	if err != nil || len(out.Snapshots) != 1 {
		t.Fatalf("%v, %v", out, err)
	}
	return out.Snapshots[0]
}

// TestEncryptedImport imports under a key, disables and enables it, and deletes it.
func TestEncryptedImport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	mark := []byte("planted in the clear for a search through the store")
	makeMarked(t, raw, mark)
	s := start(t, filepath.Join(dir, "data"))
	s.putImage(t, raw, "disk.raw")
	k := s.key(t, nil)
	if _, err := s.kms().CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/disks"), TargetKeyId: k.KeyId}); err != nil {
		t.Fatal(err)
	}
	told, task := s.importUnder(t, "disk.raw", "alias/disks")
	if task.Status != "completed" || aws.ToString(told.SnapshotTaskDetail.KmsKeyId) != *k.Arn {
		t.Fatalf("task %+v, key %q", task, aws.ToString(told.SnapshotTaskDetail.KmsKeyId))
	}
	snap := s.described(t, task.SnapshotID)
	if !aws.ToBool(snap.Encrypted) || aws.ToString(snap.KmsKeyId) != *k.Arn || aws.ToString(snap.DataEncryptionKeyId) == "" {
		t.Errorf("snapshot encrypted %v under %q, data key %q", aws.ToBool(snap.Encrypted), aws.ToString(snap.KmsKeyId), aws.ToString(snap.DataEncryptionKeyId))
	}
	s.sameDisk(t, task.SnapshotID, raw)
	if found := search(t, s.blocks(t), mark); len(found) != 0 {
		t.Errorf("blocks are in the clear in %v", found)
	}

	if _, err := s.kms().DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: k.KeyId}); err != nil {
		t.Fatal(err)
	}
	_, err := s.ebs().ListSnapshotBlocks(t.Context(), &ebs.ListSnapshotBlocksInput{SnapshotId: &task.SnapshotID})
	if errorCode(err) != "ValidationException" || !strings.Contains(err.Error(), "key-disabled") {
		t.Errorf("read under a disabled key: %v", err)
	}
	cmd := exec.Command("diskport", "verify", task.SnapshotID)
	cmd.Env = s.env()
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "NOT CHECKED, because its key can't be used: ") || !strings.Contains(string(out), "key-disabled") {
		t.Errorf("verify under a disabled key: %v\n%s", err, out)
	}
	s.diskport(t, "gc") // needs no key
	if _, err := s.kms().EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: k.KeyId}); err != nil {
		t.Fatal(err)
	}
	s.diskport(t, "verify", task.SnapshotID)
	s.sameDisk(t, task.SnapshotID, raw)
	s.defaultKeys(t, "disk.raw", *k.Arn)
}

// defaultKeys: encryption by default, and default keys.
func (s *service) defaultKeys(t *testing.T, object, arn string) {
	t.Helper()
	_, task := s.importUnder(t, object, "")
	key := aws.ToString(s.described(t, task.SnapshotID).KmsKeyId)
	meta, err := s.kms().DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/aws/ebs")})
	if err != nil || key != *meta.KeyMetadata.Arn {
		t.Errorf("without a key: under %q, %v", key, err)
	}
	s.aws(t, "ec2", "modify-ebs-default-kms-key-id", "--kms-key-id", arn)
	s.aws(t, "ec2", "enable-ebs-encryption-by-default")
	id := s.aws(t, "ec2", "import-snapshot", "--disk-container", "Url=s3://images/"+object, "--query", "ImportTaskId")
	s.awaitTask(t, id)
	done, err := s.Task(t.Context(), id)
	if err != nil || done.Status != "completed" {
		t.Fatalf("%+v, %v", done, err)
	}
	if key := aws.ToString(s.described(t, done.SnapshotID).KmsKeyId); key != arn {
		t.Errorf("by default: under %q, want %q", key, arn)
	}
}

// TestKeysThatCannotBeUsed: the call succeeds and the task fails, for every reason.
func TestKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir, ctx := t.TempDir(), t.Context()
	raw := filepath.Join(dir, "disk.raw")
	makeMarked(t, raw, []byte("x"))
	s := start(t, filepath.Join(dir, "data"))
	s.putImage(t, raw, "disk.raw")
	disabled, deleted := s.key(t, nil), s.key(t, nil)
	denied := s.key(t, func(in *kms.CreateKeyInput) {
		in.BypassPolicyLockoutSafetyCheck = true
		in.Policy = aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":["kms:Describe*","kms:Put*"],"Resource":"*"}]}`)
	})
	if _, err := s.kms().DisableKey(ctx, &kms.DisableKeyInput{KeyId: disabled.KeyId}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.kms().ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: deleted.KeyId, PendingWindowInDays: aws.Int32(7)}); err != nil {
		t.Fatal(err)
	}
	for reason, key := range map[string]string{
		"key-not-found":        "alias/none",
		"key-disabled":         *disabled.KeyId,
		"key-pending-deletion": *deleted.Arn,
		"key-access-denied":    *denied.KeyId,
		"key-wrong-region":     strings.Replace(*disabled.Arn, region, "eu-west-1", 1),
		"key-malformed":        "arn:aws:kms:nonsense",
	} {
		told, task := s.importUnder(t, "disk.raw", key)
		if d := told.SnapshotTaskDetail; aws.ToString(d.Status) != "deleted" || aws.ToString(d.StatusMessage) != inaccessible || aws.ToString(d.KmsKeyId) != key {
			t.Errorf("%s: got %s, %q, key %q", reason, aws.ToString(d.Status), aws.ToString(d.StatusMessage), aws.ToString(d.KmsKeyId))
		}
		if task.Failure.Reason != reason {
			t.Errorf("key %s: reason %q, want %q (%s)", key, task.Failure.Reason, reason, task.Failure.Detail)
		}
	}
	if snaps := s.diskport(t, "snapshots", "--json"); strings.Contains(snaps, "snap-") {
		t.Errorf("there are snapshots: %s", snaps)
	}
}

// TestNoSecretIsInTheClear plants secrets of every sort and looks for them in what
// the service wrote: its database, blocks, objects and logs.
func TestNoSecretIsInTheClear(t *testing.T) {
	t.Parallel()
	dir, ctx := t.TempDir(), t.Context()
	raw := filepath.Join(dir, "disk.raw")
	makeMarked(t, raw, []byte("x"))
	s := start(t, filepath.Join(dir, "data"), "--log-level", "debug")
	s.putImage(t, raw, "disk.raw")
	k := s.key(t, nil)
	secrets := map[string]string{"the root key": secret}

	if _, err := s.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("ann-is-found")}); err != nil {
		t.Fatal(err)
	}
	access, err := s.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("ann-is-found")})
	if err != nil {
		t.Fatal(err)
	}
	secrets["a user's key"] = *access.AccessKey.SecretAccessKey
	ann := credentials.NewStaticCredentialsProvider(*access.AccessKey.AccessKeyId, *access.AccessKey.SecretAccessKey, "")
	session := sts.New(sts.Options{BaseEndpoint: &s.endpoint, Region: region, Credentials: ann})
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/ann-is-found"},"Action":"sts:AssumeRole"}]}`
	if _, err := s.IAM.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: &trust}); err != nil {
		t.Fatal(err)
	}
	assumed, err := session.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::000000000000:role/r"), RoleSessionName: aws.String("session")})
	if err != nil {
		t.Fatal(err)
	}
	secrets["a session's key"] = *assumed.Credentials.SecretAccessKey
	secrets["a session token"] = *assumed.Credentials.SessionToken
	data, err := s.kms().GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: k.KeyId, NumberOfBytes: aws.Int32(32)})
	if err != nil {
		t.Fatal(err)
	}
	secrets["a data key"] = string(data.Plaintext)
	signed, err := s3.NewPresignClient(s.S3).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("images"), Key: aws.String("disk.raw")})
	if err != nil {
		t.Fatal(err)
	}
	_, secrets["a presigned signature"], _ = strings.Cut(signed.URL, "X-Amz-Signature=")
	task, err := s.Import(ctx, client.ImportRequest{URL: signed.URL, Encrypted: true, KMSKey: *k.KeyId}, client.Watcher{})
	if err != nil || task.Status != "completed" {
		t.Fatalf("%+v, %v", task, err)
	}
	machine, err := s.EC2.ImportImage(ctx, &ec2.ImportImageInput{
		DiskContainers: []types.ImageDiskContainer{{Url: &signed.URL}}, Encrypted: aws.Bool(true), KmsKeyId: k.KeyId,
	})
	if err != nil {
		t.Fatal(err)
	}
	if made, err := s.WatchImage(ctx, *machine.ImportTaskId, func(client.ImageTask) {}); err != nil || made.Status != "completed" {
		t.Fatalf("%+v, %v", made, err)
	}
	_, err = s.Import(ctx, client.ImportRequest{URL: signed.URL + "x"}, client.Watcher{}) // refused, and logged
	if errorCode(err) == "" {
		t.Errorf("a forged signature: %v", err)
	}
	s.stop(t)

	if len(search(t, s.data, []byte("ann-is-found"))) == 0 || !strings.Contains(s.log.String(), "ImportSnapshot") {
		t.Fatal("the search sees nothing")
	}
	for what, secret := range secrets {
		for _, form := range [][]byte{
			[]byte(secret), []byte(hex.EncodeToString([]byte(secret))), []byte(base64.StdEncoding.EncodeToString([]byte(secret))),
		} {
			for _, path := range search(t, s.data, form) {
				if filepath.Base(path) != "credentials" { // which is the root key's place
					t.Errorf("%s is in %s", what, path)
				}
			}
			if bytes.Contains([]byte(s.log.String()), form) {
				t.Errorf("%s is in the log", what)
			}
		}
	}
}

// makeMarked writes a disk of 4 MiB with a mark at the start of each block.
func makeMarked(t *testing.T, path string, mark []byte) {
	t.Helper()
	disk := make([]byte, 4<<20)
	for off := 0; off < len(disk); off += blockBytes {
		copy(disk[off:], mark)
		disk[off+100] = byte(off / blockBytes)
	}
	if err := os.WriteFile(path, disk, 0o644); err != nil {
		t.Fatal(err)
	}
}

// search returns the files under a folder that hold a text.
func search(t *testing.T, root string, text []byte) (found []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, text) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
