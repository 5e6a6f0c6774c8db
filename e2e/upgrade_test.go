package e2e

import (
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
		"2026-11", "snap-04e1b600d46ca50a4", "snap-0a72fa631f73b741f", "snap-0ab158c38fb90c415",
		map[string]string{
			"snap-04e1b600d46ca50a4": "3fb11d1458876e635d556821d21d0747fd62e65c5259acd90891b29fb5722f65",
			"snap-0a72fa631f73b741f": zeros(3 * 512 << 10),
		},
	}} {
		t.Run(old.name, func(t *testing.T) {
			data := t.TempDir()
			if out, err := exec.Command("tar", "-xzf", filepath.Join("testdata", "data", old.name+".tar.gz"), "-C", data).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
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

// zeros returns the hash of n zero bytes.
func zeros(n int) string {
	sum := sha256.Sum256(make([]byte, n))
	return hex.EncodeToString(sum[:])
}
