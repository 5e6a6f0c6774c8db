package server

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatIsNotBuilt asks every edge for what AWS does not have, for what it has and
// this service has not, and with parameters that nobody knows. Each says so in its own
// protocol, and does nothing.
func TestWhatIsNotBuilt(t *testing.T) {
	s := run(t, config(filepath.Join(t.TempDir(), "data")))
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	target := func(name string) http.Header {
		return http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {name}}
	}
	const ec2, iam, sts = "&Version=2016-11-15", "&Version=2010-05-08", "&Version=2011-06-15"
	if status, body := answer(t, s.request(t, "s3", "PUT", "/bucket", "", nil)); status != 200 {
		t.Fatalf("making a bucket: %d %s", status, body)
	}
	if status, body := answer(t, s.request(t, "s3", "PUT", "/bucket/k", "as it was", nil)); status != 200 {
		t.Fatalf("making an object: %d %s", status, body)
	}
	for _, c := range []struct {
		name, service, method, path, body string
		header                            http.Header
		status                            int
		code, text                        string
	}{
		{"EC2, no action", "ec2", "POST", "/", "Action=Nonsense" + ec2, form, 400, "<Response><Errors><Error><Code>InvalidAction<", "The action Nonsense is not valid for this web service."},
		{"EC2, not built", "ec2", "POST", "/", "Action=RunInstances" + ec2, form, 400, "<Response><Errors><Error><Code>UnsupportedOperation<", "The operation RunInstances is not supported."},
		{"EC2, parameter", "ec2", "POST", "/", "Action=DescribeSnapshots&Nonsense=1" + ec2, form, 400, "<Code>UnknownParameter<", "The parameter Nonsense is not recognized"},
		{"EC2, member of a parameter", "ec2", "POST", "/", "Action=ImportSnapshot&DiskContainer.Nonsense=1" + ec2, form, 400, "<Code>UnknownParameter<", "DiskContainer.Nonsense"},
		{"IAM, no action", "iam", "POST", "/", "Action=Nonsense" + iam, form, 400, "<Code>InvalidAction<", "Could not find operation Nonsense for version 2010-05-08"},
		{"IAM, not built", "iam", "POST", "/", "Action=CreateGroup&GroupName=g" + iam, form, 400, "<Code>UnsupportedOperation<", "The operation CreateGroup is not supported."},
		{"IAM, parameter", "iam", "POST", "/", "Action=CreateUser&UserName=u&Nonsense=1" + iam, form, 400, "<Code>UnsupportedOperation<", "Nonsense"},
		{"IAM, an action of STS", "iam", "POST", "/", "Action=AssumeRole" + iam, form, 400, "<Code>InvalidAction<", "AssumeRole"},
		{"STS, no action", "sts", "POST", "/", "Action=Nonsense" + sts, form, 400, "<Code>InvalidAction<", "Could not find operation Nonsense for version 2011-06-15"},
		{"STS, not built", "sts", "POST", "/", "Action=AssumeRoleWithSAML" + sts, form, 400, "<Code>UnsupportedOperation<", "The operation AssumeRoleWithSAML is not supported."},
		{"STS, parameter", "sts", "POST", "/", "Action=AssumeRole&SourceIdentity=x" + sts, form, 400, "<Code>UnsupportedOperation<", "SourceIdentity"},
		{"KMS, no action", "kms", "POST", "/", "{}", target("TrentService.Nonsense"), 400, `"__type":"UnknownOperationException"`, ""},
		{"KMS, another's action", "kms", "POST", "/", "{}", target("AmazonSSM.GetParameter"), 400, `"__type":"UnknownOperationException"`, ""},
		{"KMS, not built", "kms", "POST", "/", "{}", target("TrentService.GenerateMac"), 400, `"__type":"UnsupportedOperationException"`, "The operation GenerateMac is not supported."},
		{"KMS, parameter", "kms", "POST", "/", `{"Nonsense":1}`, target("TrentService.CreateKey"), 400, `"__type":"UnsupportedOperationException"`, "Nonsense"},
		{"EBS, no action", "ebs", "GET", "/nonsense", "", nil, 404, "UnknownOperationException", ""},
		{"EBS, no method", "ebs", "PATCH", "/snapshots", "", nil, 404, "UnknownOperationException", ""},
		{"EBS, parameter", "ebs", "POST", "/snapshots", `{"VolumeSize":1,"Nonsense":1}`, nil, 400, "INVALID_PARAMETER_VALUE", "Nonsense"},
		{"S3, no method", "s3", "PATCH", "/bucket", "", nil, 405, "<Code>MethodNotAllowed<", "The specified method is not allowed against this resource."},
		{"S3, not built", "s3", "PUT", "/bucket?website", "", nil, 501, "<Code>NotImplemented<", "PutBucketWebsite"},
		{"S3, not built, of an object", "s3", "PUT", "/bucket/k?annotation&annotationName=a", "another", nil, 501, "<Code>NotImplemented<", "PutObjectAnnotation"},
		{"S3, parameter", "s3", "PUT", "/bucket/k", "another", http.Header{"X-Amz-Server-Side-Encryption-Customer-Algorithm": {"AES256"}}, 501, "<Code>NotImplemented<", "SSE-C"},
		{"no such service, Query", "sns", "POST", "/", "Action=Publish&Version=2010-03-31", form, 400, "<Code>InvalidAction<", "Diskport has no sns."},
		{"no such service, JSON", "ssm", "POST", "/", "{}", target("AmazonSSM.GetParameter"), 400, `"__type":"UnknownOperationException"`, "Diskport has no ssm."},
		{"no such service, REST", "lambda", "GET", "/2015-03-31/functions", "", nil, 404, "UnknownOperationException", "Diskport has no lambda."},
		{"no such service, XML", "route53", "GET", "/2013-04-01/hostedzone", "", nil, 501, "<Code>NotImplemented<", "Diskport has no route53."},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, err := http.DefaultClient.Do(s.request(t, c.service, c.method, c.path, c.body, c.header))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			status, body := resp.StatusCode, resp.Header.Get("X-Amzn-Errortype")+" "+string(text) // where EBS direct has the code
			if status != c.status || !strings.Contains(body, c.code) || !strings.Contains(body, c.text) {
				t.Errorf("%d %s\nwant %d, %s, %s", status, body, c.status, c.code, c.text)
			}
		})
	}
	if status, body := answer(t, s.request(t, "s3", "GET", "/bucket/k", "", nil)); status != 200 || body != "as it was" {
		t.Errorf("the object afterwards: %d %s", status, body)
	}
	if _, body := answer(t, s.request(t, "iam", "POST", "/", "Action=ListUsers"+iam, form)); strings.Contains(body, "UserName") {
		t.Errorf("a user was made: %s", body)
	}
}
