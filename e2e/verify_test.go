package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/client"
)

// verification is what verify --json prints.
type verification struct {
	OK        bool
	Snapshots []client.Verified
	Findings  []client.Finding
	Store     *client.StoreVerified
}

// run runs a diskport command, and returns its exit code and what it prints and says.
func (s *service) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command("diskport", args...)
	cmd.Env = s.env()
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out), errs.String()
}

// verify runs verify --json with more arguments.
func (s *service) verify(t *testing.T, want int, args ...string) (v verification) {
	t.Helper()
	code, out, errs := s.run(t, append([]string{"verify", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != want {
		t.Fatalf("verify %v ended with %d, want %d: %v\n%s%s", args, code, want, err, out, errs)
	}
	return v
}

// files returns the paths of files of the block store.
func (s *service) files(t *testing.T, kind string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.data, "blocks", kind, "*", "*"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	return names
}

// turn turns a bit of a file over.
func turn(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

// TestBitRot: what is damaged is named, to operators and to clients, and what is not can
// be read.
func TestBitRot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"), "--compact-rate", "0")
	raw := filepath.Join(dir, "disk.raw")
	makeNoise(t, raw, series("rot", 12)...)
	id := s.imported(t, raw, "raw").SnapshotID
	if v := s.verify(t, 0); !v.OK || len(v.Findings) != 0 || len(v.Snapshots) != 1 || v.Store.Blocks != 12 {
		t.Errorf("an intact store: %+v", v)
	}
	pack := s.files(t, "pack")[0]
	turn(t, pack, 4096+1000) // in its first frame
	turn(t, pack, 100)       // in its header
	v := s.verify(t, 1)
	parts := map[string]client.Finding{}
	for _, f := range v.Findings {
		parts[f.Part] = f
	}
	data, name := parts["data"], strings.TrimPrefix(pack, filepath.Join(s.data, "blocks")+"/")
	if v.OK || len(v.Findings) != 3 || data.SnapshotID != id || data.BlockIndex == nil || data.File != name || *data.Offset != 4096 || parts["header"].File != name || parts["frame"].BlockID != data.BlockID {
		t.Fatalf("found %+v", v.Findings)
	}
	if v.Snapshots[0].OK || v.Snapshots[0].Findings != 1 {
		t.Errorf("the snapshot is %+v", v.Snapshots[0])
	}
	index := strconv.FormatInt(*data.BlockIndex, 10)
	if v := s.verify(t, 1, id, "snap-00000000000000000"); len(v.Snapshots) != 2 || len(v.Findings) != 1 || v.Findings[0].Text != data.Text && *v.Findings[0].BlockIndex != *data.BlockIndex {
		t.Errorf("one by one: %+v", v)
	}
	code, out, errs := s.run(t, "export", id, filepath.Join(dir, "out.raw"))
	if want := id + ", block " + index + ": " + name + ", at 4096: "; code != 1 || !strings.Contains(errs, want) {
		t.Errorf("export ended with %d: %s%s, want %q", code, out, errs, want)
	}
	for i, token := range s.tokens(t, id) {
		_, err := s.EBS.GetSnapshotBlock(t.Context(), &ebs.GetSnapshotBlockInput{SnapshotId: &id, BlockIndex: aws.Int32(i), BlockToken: &token},
			func(o *ebs.Options) { o.RetryMaxAttempts = 1 })
		if int64(i) != *data.BlockIndex {
			if err != nil {
				t.Errorf("block %d: %v", i, err)
			}
			continue
		}
		if errorCode(err) != "InternalServerException" || !strings.Contains(err.Error(), "Block "+index+" of the snapshot '"+id+"' is damaged") {
			t.Errorf("block %d: %v", i, err)
		}
	}
	if !strings.Contains(s.log.String(), "block "+index) || !strings.Contains(s.log.String(), name) {
		t.Errorf("the log names no block: %s", s.log.tail())
	}
	turn(t, pack, 4096+1000)
	turn(t, pack, 100)
	if v := s.verify(t, 0); len(v.Findings) != 0 || v.Store.Healed != 1 {
		t.Errorf("turned back: %+v", v)
	}
	s.rottenObject(t)
	if v := s.verify(t, 3, id, "snap-00000000000000000"); len(v.Snapshots) != 2 || !v.Snapshots[0].OK || v.Snapshots[1].Error == "" {
		t.Errorf("with one that there is not: %+v", v)
	}
}

// rottenObject turns a bit of an object over, and back.
func (s *service) rottenObject(t *testing.T) {
	t.Helper()
	const content = "what no decoder looks at"
	bucket, key := "rotten", "an/image"
	must(s.S3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}))(t)
	must(s.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(content)}))(t)
	pieces, err := filepath.Glob(filepath.Join(s.data, "objects", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	pieces = slices.DeleteFunc(pieces, func(path string) bool {
		b, err := os.ReadFile(path) // that of the image may have been swept meanwhile
		return err != nil || string(b) != content
	})
	if len(pieces) != 1 {
		t.Fatalf("the object lies in %v", pieces)
	}
	turn(t, pieces[0], 3)
	v := s.verify(t, 1)
	if len(v.Findings) != 1 || v.Findings[0].Part != "object" || v.Findings[0].Object != "s3://rotten/an/image, from byte 0" ||
		filepath.Join(s.data, v.Findings[0].File) != pieces[0] || v.Findings[0].Advice == "" {
		t.Errorf("found %+v", v.Findings)
	}
	turn(t, pieces[0], 3)
}

// TestRepair: damage is mended from what the store has, and from the image again.
func TestRepair(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"), "--compact-rate", "0")
	raw := filepath.Join(dir, "disk.raw")
	makeNoise(t, raw, series("repair", 6)...)
	id := s.imported(t, raw, "raw").SnapshotID
	pack := s.files(t, "pack")[0]
	turn(t, pack, 100) // in its header
	code, out, errs := s.run(t, "verify", "--repair")
	if code != 0 || !strings.Contains(errs, "found 1 finding") || !strings.Contains(errs, "wrote 1 pack anew") || !strings.Contains(out, id+": ok") {
		t.Errorf("repair of a header ended with %d: %s%s", code, out, errs)
	}
	pack = s.files(t, "pack")[0]
	pages := s.files(t, "pages")[0]
	turn(t, pack, 4096+1000)
	if code, out, errs := s.run(t, "verify", "--repair"); code != 1 || !strings.Contains(out, id+": DAMAGED: 1 finding") {
		t.Errorf("repair without another copy ended with %d: %s%s", code, out, errs)
	}
	turn(t, pages, 20)
	code, out, errs = s.run(t, "verify", "--repair", "--from", raw, id)
	if code != 0 || !strings.Contains(out, id+": ok") {
		t.Errorf("repair from the image ended with %d: %s%s", code, out, errs)
	}
	s.sameDisk(t, id, raw)
	s.diskport(t, "gc")
	v := s.verify(t, 0)
	for _, f := range v.Findings {
		if !f.Harmless {
			t.Errorf("left: %+v", f)
		}
	}
	if len(v.Snapshots) != 1 {
		t.Errorf("snapshots are %+v", v.Snapshots)
	}
	tasks := s.diskport(t, "tasks", "--json")
	turn(t, s.files(t, "root")[0], 20)
	code, out, errs = s.run(t, "verify", "--repair", "--from", raw, id)
	if code != 1 || !strings.Contains(out, "import the image again, as another snapshot") || !strings.Contains(errs, "nothing was imported") || s.diskport(t, "tasks", "--json") != tasks {
		t.Errorf("repair of a root from the image ended with %d: %s%s", code, out, errs)
	}
}

// TestRebuild: with the database gone, snapshots come back from the store.
func TestRebuild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	s := start(t, data, "--compact-rate", "0")
	raw := filepath.Join(dir, "disk.raw")
	makeNoise(t, raw, series("rebuild", 5)...)
	id := s.imported(t, raw, "raw").SnapshotID
	secret := must(s.EC2.CopySnapshot(t.Context(), &ec2.CopySnapshotInput{SourceRegion: aws.String(region), SourceSnapshotId: &id, Encrypted: aws.Bool(true)}))(t).SnapshotId
	s.awaitSnapshot(t, *secret)
	s.stop(t)
	lost, err := filepath.Glob(filepath.Join(data, "metadata.db*"))
	if err != nil || len(lost) == 0 {
		t.Fatal(lost, err)
	}
	for _, path := range lost {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (int, string) {
		cmd := exec.Command("diskport", append(args, "--data", data)...)
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	if code, out := run("snapshots"); code != 1 || !strings.Contains(out, "diskport verify --rebuild") {
		t.Errorf("a lost database: %d, %s", code, out)
	}
	// The embedded KMS went with the database, and what is under its keys with it.
	code, out := run("verify", "--rebuild")
	if code != 1 || !strings.Contains(out, id+": ok") || !strings.Contains(out, "entered 1 domain, 1 pack,") || !strings.Contains(out, "its KMS key can't be used") {
		t.Errorf("rebuild ended with %d: %s", code, out)
	}
	if code, out := run("export", id, filepath.Join(dir, "out.raw")); code != 0 {
		t.Errorf("export ended with %d: %s", code, out)
	}
	if !bytes.Equal(read(t, filepath.Join(dir, "out.raw"))[:5*client.BlockSize], read(t, raw)) {
		t.Error("another disk came back")
	}
}

// tokens returns the tokens of a snapshot's blocks.
func (s *service) tokens(t *testing.T, id string) map[int32]string {
	t.Helper()
	tokens := map[int32]string{}
	for _, b := range must(s.EBS.ListSnapshotBlocks(t.Context(), &ebs.ListSnapshotBlocksInput{SnapshotId: &id}))(t).Blocks {
		tokens[*b.BlockIndex] = *b.BlockToken
	}
	return tokens
}
