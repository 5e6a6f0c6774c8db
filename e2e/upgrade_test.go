package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// TestUpgrade starts the service on data directories that earlier versions wrote:
// what was completed reads as it did, and everything else is there.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for _, old := range []struct {
		name                 string
		plain, secret, draft string // snapshots
		sums                 map[string]string
	}{{
		"2026-11-2", "snap-094292e94be3fc29b", "snap-00f0f7fbb251b64ab", "snap-066251510bcecd097",
		map[string]string{
			"snap-094292e94be3fc29b": "d30f076eba6f95b3d3630a2904d1c00273f3650688128915c64e0e190e38fb77",
			"snap-00f0f7fbb251b64ab": "106f0647ae10a6516b1ab2968038161e287ef40d1b22ca047531ed768e594ef1",
		},
	}} {
		t.Run(old.name, func(t *testing.T) {
			data := unpackData(t, old.name)
			s := start(t, data)
			for id, want := range old.sums {
				file := filepath.Join(t.TempDir(), "disk.raw")
				if out, err := exec.Command("diskport", "export", "--data", data, id, file).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
					t.Errorf("%s is another disk", id)
				}
			}
			if out, err := exec.Command("diskport", "verify", "--data", data).CombinedOutput(); err != nil || strings.Count(string(out), ": ok") != 2 {
				t.Errorf("verify: %v: %s", err, out)
			}
			found, err := s.EC2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{old.plain, old.secret, old.draft}})
			if err != nil || len(found.Snapshots) != 3 {
				t.Errorf("snapshots: %+v, %v", found, err)
			}
			if _, err := s.IAM.GetUser(t.Context(), &iam.GetUserInput{UserName: new("somebody")}); err != nil {
				t.Error(err)
			}
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
