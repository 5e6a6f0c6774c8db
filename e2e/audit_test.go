package e2e

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/audit"
)

// TestAuditLog: calls that change something are recorded, whoever made them and whether
// or not they succeeded; reading is not, nor is any secret.
func TestAuditLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "audit.log")
	s := start(t, filepath.Join(dir, "data"), "--audit-log", file)
	image := filepath.Join(dir, "disk.raw")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s.aws(t, "s3", "mb", "s3://images")
	s.aws(t, "s3", "cp", image, "s3://images/a disk.raw")
	signed := s.aws(t, "s3", "presign", "s3://images/a disk.raw")
	s.aws(t, "ec2", "import-snapshot", "--disk-container", "Format=RAW,Url="+signed, "--description", "of a test")
	s.aws(t, "iam", "create-user", "--user-name", "ann")
	key := strings.Fields(s.aws(t, "iam", "create-access-key", "--user-name", "ann", "--query", "AccessKey.[AccessKeyId,SecretAccessKey]"))
	s.aws(t, "kms", "create-key", "--description", "of a test")
	s.aws(t, "ec2", "describe-snapshots")
	if out, err := s.tryAWS("iam", "delete-user", "--user-name", "bob"); err == nil {
		t.Errorf("a user who does not exist was deleted: %s", out)
	}
	s.diskport(t, "gc")

	var text []byte
	for !strings.Contains(string(text), "/-/v1/gc") { // recorded when its answer has been sent
		text = read(t, file)
	}
	for _, secret := range []string{secret, key[1], "X-Amz-Signature", "X-Amz-Credential"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("a secret is in the audit log: %s", secret)
		}
	}
	want := map[string]struct{ source, code, parameters string }{
		"CreateBucket":    {"s3.amazonaws.com", "", `{"bucketName":"images"}`},
		"PutObject":       {"s3.amazonaws.com", "", `{"bucketName":"images","key":"a disk.raw"}`},
		"CreateUser":      {"iam.amazonaws.com", "", `{"userName":"ann"}`},
		"CreateAccessKey": {"iam.amazonaws.com", "", `{"userName":"ann"}`},
		"DeleteUser":      {"iam.amazonaws.com", "NoSuchEntity", `{"userName":"bob"}`},
		"CreateKey":       {"kms.amazonaws.com", "", `{"description":"of a test"}`},
		"ImportSnapshot":  {"ec2.amazonaws.com", "", ""},
		"POST /-/v1/gc":   {"diskport", "", ""},
	}
	for line := range strings.Lines(string(text)) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		x, ok := want[r.EventName]
		if !ok {
			t.Errorf("%s was recorded", r.EventName)
			continue
		}
		delete(want, r.EventName)
		if r.EventSource != x.source || r.ErrorCode != x.code || x.parameters != "" && string(r.RequestParameters) != x.parameters {
			t.Errorf("%s: %s", r.EventName, line)
		}
		if r.UserIdentity.Type != "Root" || r.UserIdentity.AccessKeyID != keyID || r.SourceIPAddress != "127.0.0.1" || r.RequestID == "" || r.AWSRegion == "" {
			t.Errorf("%s was made by somebody else: %s", r.EventName, line)
		}
		if ours := strings.HasPrefix(r.UserAgent, "diskport/") && strings.HasSuffix(r.UserAgent, " ("+runtime.GOOS+"/"+runtime.GOARCH+")"); ours != (x.source == "diskport") {
			t.Errorf("%s was made with %q", r.EventName, r.UserAgent)
		}
	}
	if diff := cmp.Diff(map[string]struct{ source, code, parameters string }{}, want, cmp.AllowUnexported(struct{ source, code, parameters string }{})); diff != "" {
		t.Errorf("not recorded:\n%s", diff)
	}
}

// TestAuditLogInABucket: every record that is in the file is in the bucket once, although the
// service is killed.
func TestAuditLogInABucket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, data := filepath.Join(dir, "audit.log"), filepath.Join(dir, "data")
	flags := []string{"--audit-log", file, "--audit-log", "s3://trail/of tests", "--audit-every", "1s"}
	s := start(t, data, flags...)
	for i, name := range []string{"ann", "bob", "cyd"} {
		if i > 0 {
			s.kill(t)
			s = start(t, data, flags...)
		}
		s.aws(t, "iam", "create-user", "--user-name", name)
		for !strings.Contains(s.metrics(t), `diskport_audit_records_total{end="written",to="spool"} 1`) {
			time.Sleep(20 * time.Millisecond) // it is recorded when its answer has been sent
		}
	}
	want := map[string]int{}
	for line := range strings.Lines(string(read(t, file))) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		want[r.EventID] = 1
	}
	if len(want) != 3 {
		t.Fatalf("recorded are %v", want)
	}
	for {
		got := s.recordsIn(t, "trail", "of tests/AWSLogs/000000000000/CloudTrail/")
		if len(got) < len(want) {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in the bucket (-want +got):\n%s", diff)
		}
		return
	}
}

// recordsIn counts the records in the objects of a bucket by their ids.
func (s *service) recordsIn(t *testing.T, bucket, prefix string) map[string]int {
	t.Helper()
	found := map[string]int{}
	page, err := s.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if none := (*types.NoSuchBucket)(nil); errors.As(err, &none) {
		return found
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range page.Contents {
		got, err := s.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: o.Key})
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		var of struct{ Records []audit.Record }
		if err := json.NewDecoder(z).Decode(&of); err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		for _, r := range of.Records {
			found[r.EventID]++
		}
	}
	return found
}
