package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	ebstypes "github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/client"
)

// cluster is what nodes share: a PostgreSQL, and an S3, which is that of another service
// and holds their blocks and their images.
type cluster struct {
	s3    *service
	flags []string
}

// startCluster starts the S3, and makes the buckets and a user of it for the nodes.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	c := &cluster{s3: start(t, filepath.Join(dir, "s3"))}
	for _, bucket := range []string{"blocks", "images"} {
		if _, err := c.s3.S3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatal(err)
		}
	}
	name := aws.String("nodes")
	if _, err := c.s3.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: name}); err != nil {
		t.Fatal(err)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::blocks","arn:aws:s3:::blocks/nodes/*"]},
		{"Effect":"Allow","Action":"s3:GetObject*","Resource":"arn:aws:s3:::images/*"},{"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation"],"Resource":"arn:aws:s3:::images"}]}`
	if _, err := c.s3.IAM.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: name, PolicyDocument: &policy}); err != nil {
		t.Fatal(err)
	}
	key, err := c.s3.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"STORE", "SOURCE"} {
		elsewhere(t, prefix, aws.ToString(key.AccessKey.AccessKeyId), aws.ToString(key.AccessKey.SecretAccessKey))
	}
	master := filepath.Join(dir, "key")
	if err := os.WriteFile(master, bytes.Repeat([]byte("key."), 8), 0o600); err != nil {
		t.Fatal(err)
	}
	c.flags = []string{
		"--database", postgres.New(t), "--store", "s3://blocks/nodes?endpoint=" + c.s3.endpoint + "&region=" + region,
		"--source-endpoint", c.s3.endpoint, "--source-sts", "none", "--master-key-file", master,
	}
	return c
}

// node starts a node, with a data directory of its own.
func (c *cluster) node(t *testing.T, flags ...string) *service {
	t.Helper()
	return start(t, t.TempDir(), append(append([]string{}, c.flags...), flags...)...)
}

// TestManyNodes: nodes that share a PostgreSQL and an S3 are one service, whichever of
// them is asked, and whatever becomes of their disks.
func TestManyNodes(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	c := startCluster(t)
	raw := smallRaw(t, dir, "disk.raw")
	if _, err := c.s3.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("images"), Key: aws.String("disk.raw"), Body: open(t, raw)}); err != nil {
		t.Fatal(err)
	}
	a, b := c.node(t, "--roles", "api"), c.node(t)
	if err := a.EnsureRole(ctx, "vmimport"); err != nil {
		t.Fatal(err)
	}
	out, err := a.EC2.ImportSnapshot(ctx, importOf("s3://images/disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	task, err := b.Watch(ctx, aws.ToString(out.ImportTaskId), func(client.Task) {})
	if err != nil || task.Status != "completed" {
		t.Fatalf("watched at another node: %v, %+v", err, task)
	}
	b.sameDisk(t, task.SnapshotID, raw)
	b.sameBlock(t, task.SnapshotID, raw)

	written := c.writtenByTwo(t, a, b)
	a.stop(t)
	// Of a node that comes back nothing is left but what it shares.
	a = c.node(t, "--roles", "api")
	a.sameDisk(t, task.SnapshotID, raw)
	a.hasBlocks(t, written, 20)
	if _, err := a.S3.ListBuckets(ctx, &s3.ListBucketsInput{}); errorCode(err) != "NotImplemented" || !strings.Contains(err.Error(), c.s3.endpoint) {
		t.Errorf("a request for the embedded S3: %v", err)
	}
	if a.diskport(t, "verify", "--endpoint", a.endpoint) == "" {
		t.Error("verify says nothing")
	}
	if found := a.diskport(t, "doctor", "--endpoint", a.endpoint); !strings.Contains(found, "--source-endpoint") {
		t.Errorf("doctor does not say where the S3 is:\n%s", found)
	}
}

// writtenByTwo writes a snapshot through one node and completes it through another.
func (c *cluster) writtenByTwo(t *testing.T, a, b *service) (id string) {
	t.Helper()
	ctx := t.Context()
	started, err := a.ebs().StartSnapshot(ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	id = *started.SnapshotId
	sum := sha256.New()
	for i := range int32(20) {
		if err := []*service{a, b}[i%2].putBlock(ctx, id, i*7); err != nil {
			t.Fatal(err)
		}
		d := sha256.Sum256(blockOf(i * 7))
		sum.Write(d[:])
	}
	if _, err := b.ebs().CompleteSnapshot(ctx, &ebs.CompleteSnapshotInput{
		SnapshotId: &id, ChangedBlocksCount: aws.Int32(20), Checksum: aws.String(base64.StdEncoding.EncodeToString(sum.Sum(nil))),
		ChecksumAlgorithm: ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256, ChecksumAggregationMethod: ebstypes.ChecksumAggregationMethodChecksumAggregationLinear,
	}); err != nil {
		t.Fatal(err)
	}
	a.awaitSnapshot(t, id)
	b.hasBlocks(t, id, 20)
	return id
}

// sameBlock compares a block that the AWS CLI reads with the raw disk.
func (s *service) sameBlock(t *testing.T, snapshot, raw string) {
	t.Helper()
	listed := strings.Fields(s.aws(t, "ebs", "list-snapshot-blocks", "--snapshot-id", snapshot, "--max-results", "100", "--query", "Blocks[-1].[BlockIndex,BlockToken]"))
	if len(listed) != 2 {
		t.Fatalf("listed %q", listed)
	}
	index, err := strconv.ParseInt(listed[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "block")
	s.aws(t, "ebs", "get-snapshot-block", "--snapshot-id", snapshot, "--block-index", listed[0], "--block-token", listed[1], path)
	want := make([]byte, blockBytes)
	_, _ = open(t, raw).ReadAt(want, index*blockBytes) // the last one is cut off
	if !bytes.Equal(read(t, path), want) {
		t.Errorf("block %d differs", index)
	}
}

// TestNodesThatDoNotFit: what is missing for many nodes is said by the program, with what
// to do.
func TestNodesThatDoNotFit(t *testing.T) {
	c := startCluster(t)
	c.node(t).stop(t) // makes the service
	without := func(flag string, instead ...string) []string {
		for i, f := range c.flags {
			if f == flag {
				return append(append(append([]string{}, c.flags[:i]...), c.flags[i+2:]...), instead...)
			}
		}
		t.Fatalf("there is no %s", flag)
		return nil
	}
	other := filepath.Join(t.TempDir(), "other.key")
	if err := os.WriteFile(other, make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	at := "?endpoint=" + c.s3.endpoint + "&region=" + region
	for _, tt := range []struct {
		name  string
		flags []string
		env   string
		want  []string
	}{
		{"no store", without("--store"), "", []string{"--store"}},
		{"no source", without("--source-endpoint", "--source-sts="), "", []string{"--source-endpoint"}},
		{"no master key", without("--master-key-file"), "", []string{"--master-key-file", "head -c 32"}},
		{"another master key", without("--master-key-file", "--master-key-file", other), "", []string{other}},
		{"another root key", c.flags, "DISKPORT_ROOT_SECRET_ACCESS_KEY=another", []string{"--replace-root-key"}},
		{"no such bucket", without("--store", "--store", "s3://nowhere/nodes"+at), "", []string{"nowhere", "Let the key s3:ListBucket"}},
		{"no rights on the prefix", without("--store", "--store", "s3://blocks/others"+at), "", []string{"blocks/others"}},
		{"no rights on the bucket", without("--store", "--store", "s3://images/nodes"+at), "", []string{"images/nodes"}},
		{"no such database", without("--database", "--database", strings.Replace(c.flags[1], "/test_", "/none_", 1)), "", []string{"CREATE DATABASE"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command("diskport", serveArgs(t.TempDir(), tt.flags)...)
			cmd.Env = append(os.Environ(), "DISKPORT_ROOT_ACCESS_KEY_ID="+keyID, "DISKPORT_ROOT_SECRET_ACCESS_KEY="+secret)
			if tt.env != "" {
				cmd.Env = append(cmd.Env, tt.env)
			}
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("it ended without an error:\n%s", out)
			}
			for _, part := range tt.want {
				if !strings.Contains(string(out), part) {
					t.Errorf("it does not say %q:\n%s", part, out)
				}
			}
		})
	}
}
