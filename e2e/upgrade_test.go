package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// TestUpgrade starts the service on data directories that earlier versions wrote:
// what was completed reads as it did, and everything else is there.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"2026-11-2", "2026-11-3"} {
		t.Run(name, func(t *testing.T) {
			data := unpackData(t, name)
			var old struct {
				Disks                  map[string]string // of snapshots: SHA-256
				Encrypted, Draft, User string
				AlsoEncrypted          []string
			}
			if err := json.Unmarshal(contents(t, data, "expect.json"), &old); err != nil || len(old.Disks) < 2 {
				t.Fatal(old, err)
			}
			s := start(t, data)
			var ids []string
			for id, want := range old.Disks {
				ids = append(ids, id)
				file := filepath.Join(t.TempDir(), "disk.raw")
				if out, err := exec.Command("diskport", "export", "--data", data, id, file).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if sum := sha256.Sum256(contents(t, filepath.Dir(file), "disk.raw")); hex.EncodeToString(sum[:]) != want {
					t.Errorf("%s is another disk", id)
				}
			}
			if out, err := exec.Command("diskport", "verify", "--data", data).CombinedOutput(); err != nil || strings.Count(string(out), ": ok") != len(ids) {
				t.Errorf("verify: %v: %s", err, out)
			}
			found, err := s.EC2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: append(ids, old.Draft)})
			if err != nil || len(found.Snapshots) != len(ids)+1 {
				t.Errorf("snapshots: %+v, %v", found, err)
			}
			for _, x := range found.Snapshots {
				if id := aws.ToString(x.SnapshotId); aws.ToBool(x.Encrypted) != slices.Contains(append(old.AlsoEncrypted, old.Encrypted), id) {
					t.Errorf("%s is encrypted: %v", id, aws.ToBool(x.Encrypted))
				}
			}
			if _, err := s.IAM.GetUser(t.Context(), &iam.GetUserInput{UserName: &old.User}); err != nil {
				t.Error(err)
			}
			s.stop(t)
			dir := t.TempDir()
			place, to := filepath.Join(dir, "backups"), filepath.Join(dir, "restored")
			backUp(t, data, place)
			restore(t, place, to, data)
			verified(t, to, len(ids))
		})
	}
}

// TestFormatOneIsRefused starts the service on a data directory of storage format 1,
// which was never released: it says so, and changes neither store nor database.
func TestFormatOneIsRefused(t *testing.T) {
	t.Parallel()
	data := unpackData(t, "2026-11")
	before := contents(t, data, "metadata.db", "blocks/identity")
	out, err := exec.Command("diskport", serveArgs(data, nil)...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is a store of format 1") {
		t.Errorf("it was not refused by name: %v: %s", err, out)
	}
	if !bytes.Equal(contents(t, data, "metadata.db", "blocks/identity"), before) {
		t.Error("the data directory was changed")
	}
}

// unpackData returns a data directory that an earlier version wrote.
func unpackData(t *testing.T, name string) string {
	t.Helper()
	data := t.TempDir()
	if out, err := exec.Command("tar", "-xzf", filepath.Join("testdata", "data", name+".tar.gz"), "-C", data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return data
}

// contents returns what is in files of a directory.
func contents(t *testing.T, dir string, names ...string) (all []byte) {
	t.Helper()
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}
