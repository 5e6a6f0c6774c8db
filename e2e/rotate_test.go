package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/client"
)

// encryptedDomain returns the domain under a KMS key.
func (s *service) encryptedDomain(t *testing.T, arn string) client.Domain {
	t.Helper()
	all, err := s.Domains(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if d.KMSKeyARN == arn {
			return d
		}
	}
	t.Fatalf("nothing is under %s: %+v", arn, all)
	return client.Domain{}
}

// packs returns the names of the packs.
func (s *service) packs(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.data, "blocks", "pack", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestRotateKey encrypts a disk anew, while its KMS key is disabled, and after that, and
// after the service was killed, and reads it by all ways. Then the KMS key itself gets new
// material and the master key is replaced, which an object under the KMS key survives too.
func TestRotateKey(t *testing.T) {
	t.Parallel()
	dir, ctx := t.TempDir(), t.Context()
	raw, more := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "more.raw")
	makeMarked(t, raw, []byte("rotated"))
	makeMarked(t, more, []byte("later"))
	s := start(t, filepath.Join(dir, "data"), "--compact-rate", "0")
	s.putImage(t, raw, "disk.raw")
	s.putImage(t, more, "more.raw")
	k := s.key(t, nil)
	_, task := s.importUnder(t, "disk.raw", *k.KeyId)
	id := task.SnapshotID
	plain := s.imported(t, more, "RAW").SnapshotID
	first := s.packs(t)

	if _, err := s.kms().DisableKey(ctx, &kms.DisableKeyInput{KeyId: k.KeyId}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("diskport", "rotate-key", "--snapshot", id)
	cmd.Env = s.env()
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "disabled") {
		t.Errorf("rotated under a disabled key: %v\n%s", err, out)
	}
	if d := s.encryptedDomain(t, *k.Arn); d.NewestDataKey != 0 || d.Retiring {
		t.Errorf("under a disabled key it became %+v", d)
	}
	if _, err := s.kms().EnableKey(ctx, &kms.EnableKeyInput{KeyId: k.KeyId}); err != nil {
		t.Fatal(err)
	}

	s.kill(t)
	s = start(t, filepath.Join(dir, "data"), "--compact-rate", "0")
	if out := s.diskport(t, "rotate-key", "--snapshot", id); !strings.Contains(out, "data key 1 is in use, 8 blocks were encrypted anew") {
		t.Errorf("rotate-key says:\n%s", out)
	}
	if d := s.encryptedDomain(t, *k.Arn); d.OldestDataKey != 1 || d.NewestDataKey != 1 || d.Retiring || d.Packs != 1 {
		t.Errorf("it became %+v", d)
	}
	kept := 0
	for _, name := range s.packs(t) {
		for _, old := range first {
			if name == old {
				kept++
			}
		}
	}
	if kept != 1 {
		t.Errorf("of %d old packs %d are left, want that of what is not encrypted", len(first), kept)
	}
	s.readsAsBefore(t, id, raw)
	s.sameDisk(t, plain, more)

	_, task = s.importUnder(t, "more.raw", *k.Arn)
	var told []client.Rotated
	if err := json.Unmarshal([]byte(s.diskport(t, "rotate-key", "--kms-key", *k.Arn, "--json")), &told); err != nil || len(told) != 1 || told[0].Encrypted != 16 || told[0].Retiring {
		t.Errorf("rotate-key --json says %+v, %v", told, err)
	}
	s.readsAsBefore(t, id, raw)
	s.readsAsBefore(t, task.SnapshotID, more)
	s.putUnder(t, more, "under-kms", *k.Arn)
	if _, err := s.kms().RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: k.KeyId}); err != nil {
		t.Fatal(err)
	}
	s.readsAsBefore(t, id, raw)
	if out := s.diskport(t, "rotate-key", "--kms-key", *k.KeyId, "--rewrap"); !strings.Contains(out, "wrapped the data keys anew") {
		t.Errorf("rotate-key --rewrap says %q", out)
	}
	if out := s.diskport(t, "rotate-key", "--list"); !strings.Contains(out, *k.Arn+"  2 ") {
		t.Errorf("rotate-key --list says:\n%s", out)
	}
	if out := s.diskport(t, "rotate-key", "--master"); !strings.Contains(out, "the master key was replaced") {
		t.Errorf("rotate-key --master says %q", out)
	}
	s.readsAsBefore(t, id, raw)
	s.kill(t)
	s = start(t, filepath.Join(dir, "data"))
	s.readsAsBefore(t, id, raw)
	s.sameDisk(t, plain, more)
	s.sameObject(t, "under-kms", more)
	s.stop(t)
}

// sameObject checks that an object of bucket images is what a file is.
func (s *service) sameObject(t *testing.T, object, path string) {
	t.Helper()
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("images"), Key: &object})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(out.Body)
	if err := errors.Join(err, out.Body.Close()); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want those of %s: %v", object, len(got), path, err)
	}
}

// readsAsBefore reads a disk by export, verify and EBS direct.
func (s *service) readsAsBefore(t *testing.T, id, raw string) {
	t.Helper()
	s.sameDisk(t, id, raw)
	if out := s.diskport(t, "verify", id); !strings.Contains(out, id+": ok") {
		t.Errorf("verify says %q", out)
	}
	list, err := s.ebs().ListSnapshotBlocks(t.Context(), &ebs.ListSnapshotBlocksInput{SnapshotId: &id})
	if err != nil || len(list.Blocks) != 8 {
		t.Fatalf("%d blocks, %v", len(list.Blocks), err)
	}
	for _, b := range list.Blocks {
		if _, err := s.ebs().GetSnapshotBlock(t.Context(), &ebs.GetSnapshotBlockInput{SnapshotId: &id, BlockIndex: b.BlockIndex, BlockToken: b.BlockToken}); err != nil {
			t.Errorf("block %d: %v", aws.ToInt32(b.BlockIndex), err)
		}
	}
}
