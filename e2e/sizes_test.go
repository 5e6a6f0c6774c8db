package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/diskport/diskport/internal/client"
)

// makeNoise makes a raw disk of blocks by their names: blocks of equal names are equal.
// Half of each can't be compressed.
func makeNoise(t *testing.T, path string, names ...string) {
	t.Helper()
	var disk []byte
	for _, name := range names {
		b := make([]byte, client.BlockSize)
		_, _ = rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(b[:len(b)/2]) // never fails
		disk = append(disk, b...)
	}
	if err := os.WriteFile(path, disk, 0o644); err != nil {
		t.Fatal(err)
	}
}

// series returns n names of blocks.
func series(kind string, n int) (names []string) {
	for i := range n {
		names = append(names, kind+string(rune('A'+i)))
	}
	return names
}

// blockBytes returns the bytes of all files of the block store.
func (s *service) blockBytes(t *testing.T) (n int64) {
	t.Helper()
	err := filepath.WalkDir(s.blocks(t), func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		n += st.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// sizesOf asks the command line what a snapshot takes.
func (s *service) sizesOf(t *testing.T, id string) client.Sizes {
	t.Helper()
	var shown client.Snapshot
	if err := json.Unmarshal([]byte(s.diskport(t, "snapshot", "--json", id)), &shown); err != nil || shown.Sizes == nil {
		t.Fatalf("%+v, %v", shown, err)
	}
	return *shown.Sizes
}

// near fails the test unless a size is as wanted, but for what the files around blocks
// take.
func near(t *testing.T, what string, got, want int64) {
	t.Helper()
	if off := got - want; max(off, -off) > 64<<10 {
		t.Errorf("%s: %d bytes, want about %d", what, got, want)
	}
}

// TestSizesAreWhatComesBack: what is unique to a snapshot is what the disk has more when
// it has been deleted.
func TestSizesAreWhatComesBack(t *testing.T) {
	t.Parallel()
	const half = 24
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"), "--compact-rate", "0")
	one, two := filepath.Join(dir, "one.raw"), filepath.Join(dir, "two.raw")
	makeNoise(t, one, append(series("common", half), series("one", half)...)...)
	makeNoise(t, two, append(series("two", half+7), series("common", half)...)...)
	a, b := s.imported(t, one, "raw").SnapshotID, s.imported(t, two, "raw").SnapshotID
	near(t, "stored before it is compressed", s.sizesOf(t, a).StoredBytes, 2*half*client.BlockSize+2*half*4096)

	s.diskport(t, "compact")
	sizes, others, full := s.sizesOf(t, a), s.sizesOf(t, b), s.blockBytes(t)
	if sizes.MarginBytes != 0 || sizes.Blocks != 2*half || sizes.UniqueBlocks != half || sizes.StoredBytes != sizes.SharedBytes+sizes.UniqueBytes {
		t.Errorf("the first takes %+v", sizes)
	}
	if sizes.SharedBytes != others.SharedBytes || others.Blocks != 2*half+7 || others.UniqueBlocks != half+7 {
		t.Errorf("the first takes %+v, the second %+v", sizes, others)
	}
	near(t, "unique", sizes.UniqueBytes, half*client.BlockSize/2+half*4096)
	near(t, "all together", full, sizes.StoredBytes+others.UniqueBytes)
	stats := must(s.Stats(t.Context()))(t)
	near(t, "stored by the store", stats.StoredBytes, sizes.StoredBytes+others.UniqueBytes)
	if want := float64(4*half+7) / (3*half + 7); stats.FileBytes != full-identityBytes(t, s) || stats.Deduplication < want-.001 || stats.Deduplication > want+.001 || stats.Compression < 1.9 {
		t.Errorf("the store holds %+v, in %d bytes of files", stats, full)
	}

	s.diskport(t, "delete", a)
	if others := s.sizesOf(t, b); others.SharedBytes != 0 || others.UniqueBlocks != 2*half+7 {
		t.Errorf("alone, the second takes %+v", others)
	}
	s.diskport(t, "gc")
	near(t, "dead", must(s.Stats(t.Context()))(t).DeadBytes, sizes.UniqueBytes)
	s.diskport(t, "compact")
	near(t, "came back", full-s.blockBytes(t), sizes.UniqueBytes)
	near(t, "left", s.blockBytes(t), others.StoredBytes)
	s.sameDisk(t, b, two)
	for !strings.Contains(s.metrics(t), "\ndiskport_store_stored_bytes ") { // measured soon after the start
	}
}

// identityBytes returns the bytes of the file that says whose the block store is.
func identityBytes(t *testing.T, s *service) int64 {
	t.Helper()
	return int64(len(read(t, filepath.Join(s.blocks(t), "identity"))))
}

// TestSizesOfWhatIsKept: copies, also in another region, drafts and volumes share with
// what they were made from; a copy under a key does not.
func TestSizesOfWhatIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"), "--compact-rate", "0", "--regions", region+",eu-north-1")
	raw := filepath.Join(dir, "disk.raw")
	makeNoise(t, raw, series("x", 8)...)
	ctx, id := t.Context(), s.imported(t, raw, "raw").SnapshotID
	all := s.sizesOf(t, id)
	if all.SharedBytes != 0 || all.UniqueBytes < 8*client.BlockSize {
		t.Errorf("alone it takes %+v", all)
	}
	secret := must(s.EC2.CopySnapshot(ctx, &ec2.CopySnapshotInput{SourceRegion: aws.String(region), SourceSnapshotId: &id, Encrypted: aws.Bool(true)}))(t).SnapshotId
	s.awaitSnapshot(t, *secret)
	for _, each := range []string{id, *secret} {
		if got := s.sizesOf(t, each); got.SharedBytes != 0 || got.UniqueBlocks != 8 {
			t.Errorf("beside a copy of another key, %s takes %+v", each, got)
		}
	}
	north := s.in("eu-north-1", s.creds)
	copied := must(north.CopySnapshot(ctx, &ec2.CopySnapshotInput{SourceRegion: aws.String(region), SourceSnapshotId: &id}))(t).SnapshotId
	if err := ec2.NewSnapshotCompletedWaiter(north, quickly).Wait(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*copied}}, patience); err != nil {
		t.Fatal(err)
	}
	if got := s.sizesOf(t, id); got.UniqueBlocks != 0 || got.StoredBytes != all.StoredBytes || got.UniqueBytes > 4096 {
		t.Errorf("beside a copy in another region it takes %+v", got)
	}
	must(north.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: copied}))(t)

	volume := must(s.EC2.CreateVolume(ctx, &ec2.CreateVolumeInput{AvailabilityZone: aws.String(region + "a"), SnapshotId: &id}))(t).VolumeId
	if got := s.diskport(t, "snapshot", id); !strings.Contains(got, "nothing, since 1 volume keeps it all") {
		t.Errorf("with a volume: %s", got)
	}
	must(s.EBS.StartSnapshot(ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1), ParentSnapshotId: &id}))(t)
	if got := s.diskport(t, "snapshot", id); !strings.Contains(got, "nothing, since 1 volume and 1 draft keep it all") {
		t.Errorf("with a volume and a draft: %s", got)
	}
	must(s.EC2.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: volume}))(t)
	if got := s.sizesOf(t, id); got.Volumes != 0 || got.Drafts != 1 || got.UniqueBytes != 0 || got.SharedBytes != all.StoredBytes {
		t.Errorf("with a draft it takes %+v", got)
	}
}
