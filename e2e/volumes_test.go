package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// TestVolumesOutliveTheirSnapshot: volumes of a snapshot read as it did after it is deleted
// and garbage is collected, and cost nothing; when they are deleted, so is what they held.
func TestVolumesOutliveTheirSnapshot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"))
	raw := smallRaw(t, dir, "disk.raw")
	want, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	ctx, source := t.Context(), s.imported(t, raw, "raw").SnapshotID
	kept := tree(t, s.blocks(t))
	var volumes []string
	for _, encrypted := range []bool{false, true} {
		made := must(s.EC2.CreateVolume(ctx, &ec2.CreateVolumeInput{AvailabilityZone: aws.String(region + "a"), SnapshotId: &source, Size: aws.Int32(2), Encrypted: &encrypted}))(t)
		volumes = append(volumes, *made.VolumeId)
	}
	must(s.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &source}))(t)
	if freed := s.diskport(t, "gc"); !strings.HasPrefix(freed, "freed 0 B") {
		t.Errorf("with volumes: %s", freed)
	}
	if now := tree(t, s.blocks(t)); len(now) != len(kept) {
		t.Errorf("the store had %v, and has %v", kept, now)
	}
	for n, id := range volumes {
		taken := must(s.EC2.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{VolumeId: &id}))(t).SnapshotId
		s.awaitSnapshot(t, *taken)
		must(s.EC2.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: &id}))(t)
		s.diskport(t, "gc")
		shown := s.described(t, *taken)
		says(t, map[int]string{0: "false 2", 1: "true 2"}[n], shown.Encrypted, shown.VolumeSize)
		s.begins(t, *taken, want)
		must(s.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: taken}))(t)
	}
	s.diskport(t, "gc")
	if left := tree(t, s.blocks(t)); len(left) != 0 {
		t.Errorf("left in the store: %v", left)
	}
}

// begins checks that a snapshot holds some bytes, and zeros behind them.
func (s *service) begins(t *testing.T, id string, want []byte) {
	t.Helper()
	snapshot := must(s.Snapshot(t.Context(), id))(t)
	path := filepath.Join(t.TempDir(), "export.raw")
	if err := s.Export(t.Context(), snapshot, path, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	f := must(os.Open(path))(t)
	defer f.Close()
	got, size := make([]byte, len(want)+1), must(f.Stat())(t).Size()
	must(f.ReadAt(got, 0))(t)
	if size != int64(snapshot.VolumeSize)<<30 || !bytes.Equal(got, append(bytes.Clone(want), 0)) {
		t.Errorf("%s has %d bytes, and not the disk's", id, size)
	}
}
