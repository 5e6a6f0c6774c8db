package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	}
	if diff := cmp.Diff(map[string]struct{ source, code, parameters string }{}, want, cmp.AllowUnexported(struct{ source, code, parameters string }{})); diff != "" {
		t.Errorf("not recorded:\n%s", diff)
	}
}
