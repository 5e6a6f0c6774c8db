package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestBlocksInABucket keeps the blocks of one service in the S3 of another: an import, a
// service started anew, one with another database, verify, and what is left at the end.
func TestBlocksInABucket(t *testing.T) {
	dir := t.TempDir()
	elsewhere(t, "STORE", keyID, secret)
	far := start(t, filepath.Join(dir, "far"))
	if _, err := far.S3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("blocks")}); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--store", "s3://blocks/one/store?region=" + region + "&endpoint=" + far.endpoint}
	data := filepath.Join(dir, "data")
	raw := smallRaw(t, dir, "disk.raw")
	s := start(t, data, flags...)
	id := strings.TrimSpace(s.diskport(t, "import", raw))
	s.stop(t)
	s = start(t, data, flags...)
	s.sameDisk(t, id, raw)
	if v := s.verify(t, 0); v.Store == nil || v.Store.Blocks == 0 {
		t.Error("verify has read no block")
	}
	if _, err := os.Stat(filepath.Join(data, "blocks")); !os.IsNotExist(err) {
		t.Errorf("there are blocks in the data directory: %v", err)
	}
	out, err := exec.Command("diskport", serveArgs(filepath.Join(dir, "other"), flags)...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "carries identity") {
		t.Errorf("with another database: %v, %s", err, out)
	}

	before := far.stored(t, "blocks")
	s.diskport(t, "delete", id)
	s.diskport(t, "gc")
	if after := far.stored(t, "blocks"); before < 4<<20 || after > 4<<10 {
		t.Errorf("the bucket has %d bytes with the snapshot, and %d without it", before, after)
	}
}

// stored returns the bytes of all objects in a bucket.
func (s *service) stored(t *testing.T, bucket string) (bytes int64) {
	t.Helper()
	out, err := s.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out.Contents {
		bytes += aws.ToInt64(o.Size)
	}
	return bytes
}
