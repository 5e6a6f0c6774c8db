package server

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/ebsapi"
	"github.com/diskport/diskport/internal/api/ec2api"
	"github.com/diskport/diskport/internal/api/iamapi"
	"github.com/diskport/diskport/internal/api/kmsapi"
	"github.com/diskport/diskport/internal/api/s3api"
)

// TestDifferencesListWhatIsBuilt: docs/differences.md has the actions of each API, as they are.
func TestDifferencesListWhatIsBuilt(t *testing.T) {
	page, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	for api, actions := range map[string][]string{
		"EC2": ec2api.Actions(), "EBS direct": ebsapi.Actions(), "IAM": iamapi.Actions(awshttp.IAM), "STS": iamapi.Actions(awshttp.STS),
		"KMS": kmsapi.Actions(), "S3": s3api.Actions(),
	} {
		_, section, ok := strings.Cut(string(page), "\n## "+api+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		want := fmt.Sprintf("Built are %d actions: %s.", len(actions), strings.Join(actions, ", "))
		if !ok || !strings.Contains(strings.Join(strings.Fields(section), " "), want) {
			t.Errorf("the section about %s must say:\n%s", api, want)
		}
	}
}
