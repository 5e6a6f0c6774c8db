package e2e

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/diskport/diskport/internal/client"
)

// TestLogLinesSayWhatTheyAreAbout: every line about a request, task, snapshot or account has
// its id under the key for it, whatever else it says.
func TestLogLinesSayWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"), "--log-format", "json", "--log-level", "info")
	id := s.diskport(t, "import", smallRaw(t, dir, "disk.raw"))
	if err := s.EnsureRole(t.Context(), "vmimport"); err != nil {
		t.Fatal(err)
	}
	s.aws(t, "s3", "mb", "s3://images")
	s.aws(t, "s3", "cp", filepath.Join("..", "go.mod"), "s3://images/no.vmdk")
	out, err := s.EC2.ImportSnapshot(t.Context(), importOf("s3://images/no.vmdk"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Watch(t.Context(), aws.ToString(out.ImportTaskId), func(client.Task) {}); err != nil {
		t.Fatal(err)
	}
	started, err := s.EBS.StartSnapshot(t.Context(), &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.EBS.CompleteSnapshot(t.Context(), &ebs.CompleteSnapshotInput{SnapshotId: started.SnapshotId, ChangedBlocksCount: aws.Int32(0)}); err != nil {
		t.Fatal(err)
	}
	s.diskport(t, "verify", id)
	if _, err := s.EC2.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: &id}); err != nil {
		t.Fatal(err)
	}
	s.stop(t)
	seen := map[string]int{}
	for line := range strings.Lines(s.log.String()) {
		var has map[string]any
		if json.Unmarshal([]byte(line), &has) != nil || has["msg"] == nil {
			continue // what the command prints
		}
		text := func(key string) string { v, _ := has[key].(string); return v }
		for key, of := range ids {
			if found := of.FindStringSubmatch(line); found != nil && text("snapshot") != found[1] && text("task") != found[1] {
				t.Errorf("a line about %s has no %s: %s", found[1], key, line)
			}
		}
		switch what := text("msg"); {
		case what == "request":
			if text("request") == "" || text("account") == "" && text("code") == "" && text("service") != "s3" {
				t.Errorf("a line about a request has no request or account: %s", line)
			}
			if a := text("action"); (a == "ImportSnapshot" && text("task") == "") || (a == "DeleteSnapshot" || a == "StartSnapshot" || a == "CompleteSnapshot") && text("snapshot") == "" {
				t.Errorf("a line about %s does not say of what: %s", a, line)
			}
			seen[text("action")]++
		case has["unit"] != nil:
			if text("kind") == "" || (text("task") == "") != (text("account") == "") {
				t.Errorf("a line about a unit has no kind, task or account: %s", line)
			}
			seen["unit of "+text("kind")]++
		}
	}
	for _, what := range []string{"ImportSnapshot", "DeleteSnapshot", "StartSnapshot", "CompleteSnapshot", "unit of plan"} {
		if seen[what] == 0 {
			t.Errorf("there is no line about %s, but %v", what, seen)
		}
	}
}

// ids are the forms of ids, by the key that they stand under.
var ids = map[string]*regexp.Regexp{
	"task":     regexp.MustCompile(`(import-(?:snap|ami)-[0-9a-f]{17})`),
	"snapshot": regexp.MustCompile(`(?:^|[^a-z-])(snap-[0-9a-f]{17})`),
}
