package awshttp

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/audit"
	"github.com/diskport/diskport/internal/identity/iam"
)

func TestWhatIsAudited(t *testing.T) {
	tests := []struct {
		service, action, method string
		want                    bool
	}{
		{EC2, "ImportSnapshot", "POST", true},
		{EC2, "DescribeSnapshots", "POST", false},
		{EC2, "", "POST", false},
		{IAM, "CreateUser", "POST", true},
		{IAM, "GetRole", "POST", false},
		{STS, "AssumeRole", "POST", true},
		{STS, "GetFederationToken", "POST", true},
		{STS, "GetCallerIdentity", "POST", false},
		{KMS, "ScheduleKeyDeletion", "POST", true},
		{KMS, "Decrypt", "POST", false},
		{S3, "PutObject", "PUT", true},
		{S3, "HeadObject", "HEAD", false},
		{EBS, "PutSnapshotBlock", "PUT", true},
		{EBS, "ListChangedBlocks", "GET", false},
		{Diskport, "", "POST", true},
		{Diskport, "", "GET", false},
		{page, "", "GET", false},
	}
	for _, tt := range tests {
		if c := (&Call{Service: tt.service, Action: tt.action}); c.isAudited(tt.method) != tt.want {
			t.Errorf("%s %q by %s: want %v", tt.service, tt.action, tt.method, tt.want)
		}
	}
}

func TestAuditedParameters(t *testing.T) {
	tests := map[string]struct {
		call *Call
		want string
	}{
		"a form": {&Call{Service: EC2, Form: url.Values{
			"Action": {"ImportSnapshot"}, "Version": {"2016-11-15"}, "AWSAccessKeyId": {"AKIA"}, "Signature": {"x"}, "X-Amz-Security-Token": {"x"}, "Timestamp": {"x"},
			"DiskContainer.Url": {"https://user:word@s3.example/b/disk.vmdk?X-Amz-Signature=secret#f"}, "RoleName": {"vmimport"}, "UefiData": {"x"},
		}}, `{"diskContainer.Url":"https://s3.example/b/disk.vmdk?HIDDEN_DUE_TO_SECURITY_REASONS","roleName":"vmimport","uefiData":"HIDDEN_DUE_TO_SECURITY_REASONS"}`},
		"what is not served": {&Call{Service: EC2, Form: url.Values{
			"LaunchSpecification.UserData.Data": {"x"}, "Options.TunnelOptions.1.PreSharedKey": {"x"}, "OidcOptions.ClientSecret": {"x"}, "NewPassword": {"x"},
		}}, `{"launchSpecification.UserData.Data":"HIDDEN_DUE_TO_SECURITY_REASONS","newPassword":"HIDDEN_DUE_TO_SECURITY_REASONS",` +
			`"oidcOptions.ClientSecret":"HIDDEN_DUE_TO_SECURITY_REASONS","options.TunnelOptions.1.PreSharedKey":"HIDDEN_DUE_TO_SECURITY_REASONS"}`},
		"a body":       {&Call{Service: KMS, Body: []byte(`{"KeyId":"k","Plaintext":"x","Deep":{"SessionToken":"x","List":[{"Url":"https://a/?b=c"}]}}`)}, `{"deep":{"List":[{"Url":"https://a/?HIDDEN_DUE_TO_SECURITY_REASONS"}],"SessionToken":"HIDDEN_DUE_TO_SECURITY_REASONS"},"keyId":"k","plaintext":"HIDDEN_DUE_TO_SECURITY_REASONS"}`},
		"a path":       {&Call{Service: S3, Parameters: map[string]any{"bucketName": "b", "key": "k"}}, `{"bucketName":"b","key":"k"}`},
		"no JSON":      {&Call{Service: EBS, Body: []byte("block"), Parameters: map[string]any{"snapshotId": "snap-1"}}, `{"snapshotId":"snap-1"}`},
		"nothing":      {&Call{Service: IAM}, ``},
		"too much":     {&Call{Service: IAM, Form: url.Values{"PolicyDocument": {strings.Repeat("x", maxParameters)}}}, ``},
		"one too many": {&Call{Service: IAM, Form: url.Values{"UserName": {"ann"}, "PolicyDocument": {strings.Repeat("x", maxParameters)}}}, `{"userName":"ann"}`},
		"no address":   {&Call{Service: EC2, Form: url.Values{"Url": {"https://[/?Signature=secret"}}}, `{"url":"HIDDEN_DUE_TO_SECURITY_REASONS"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, string(tt.call.parameters())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestIsOfData(t *testing.T) {
	for _, tt := range []struct {
		call *Call
		want bool
	}{
		{&Call{Service: S3, Action: "PutObject", Parameters: map[string]any{"bucketName": "b", "key": "k"}}, true},
		{&Call{Service: S3, Action: "CreateBucket", Parameters: map[string]any{"bucketName": "b"}}, false},
		{&Call{Service: EBS, Action: "PutSnapshotBlock"}, true},
		{&Call{Service: EBS, Action: "StartSnapshot"}, false},
	} {
		if tt.call.isOfData() != tt.want {
			t.Errorf("%s: want %v", tt.call.Action, tt.want)
		}
	}
}

// records are lines of an audit log.
func records(t *testing.T, path string) (all []audit.Record) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var r audit.Record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// TestWhatNobodyIsRefused is not recorded, and records are bounded: else anybody could fill
// the disk.
func TestWhatNobodyIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	file, err := audit.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log := audit.NewLog(audit.Options{Failed: func(err error) { t.Error(err) }}, file)
	f := &Front{opts: Options{Audit: log}}
	agent := strings.Repeat("x", 30<<10)
	for _, tt := range []struct {
		kind   iam.Kind
		status int
	}{{iam.Anonymous, http.StatusForbidden}, {iam.Anonymous, http.StatusOK}, {iam.User, http.StatusForbidden}} {
		c := &Call{Service: S3, Action: "PutObject", Principal: iam.Principal{Kind: tt.kind}, Origin: iam.Origin{UserAgent: agent}}
		f.audit(c, &recorder{status: tt.status}, target{method: http.MethodPut}, time.Now())
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	var codes []string
	for _, r := range records(t, path) {
		if codes = append(codes, r.ErrorCode); len(r.UserAgent) != maxUserAgent {
			t.Errorf("a record has %d bytes of a user agent", len(r.UserAgent))
		}
	}
	if diff := cmp.Diff([]string{"", "403"}, codes); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}
