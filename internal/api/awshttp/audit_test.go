package awshttp

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
		"a body":     {&Call{Service: KMS, Body: []byte(`{"KeyId":"k","Plaintext":"x","Deep":{"SessionToken":"x","List":[{"Url":"https://a/?b=c"}]}}`)}, `{"deep":{"List":[{"Url":"https://a/?HIDDEN_DUE_TO_SECURITY_REASONS"}],"SessionToken":"HIDDEN_DUE_TO_SECURITY_REASONS"},"keyId":"k","plaintext":"HIDDEN_DUE_TO_SECURITY_REASONS"}`},
		"a path":     {&Call{Service: S3, Parameters: map[string]any{"bucketName": "b", "key": "k"}}, `{"bucketName":"b","key":"k"}`},
		"no JSON":    {&Call{Service: EBS, Body: []byte("block"), Parameters: map[string]any{"snapshotId": "snap-1"}}, `{"snapshotId":"snap-1"}`},
		"nothing":    {&Call{Service: IAM}, ``},
		"too much":   {&Call{Service: IAM, Form: url.Values{"PolicyDocument": {strings.Repeat("x", maxParameters)}}}, ``},
		"no address": {&Call{Service: EC2, Form: url.Values{"Url": {"https://[/?Signature=secret"}}}, `{"url":"HIDDEN_DUE_TO_SECURITY_REASONS"}`},
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
