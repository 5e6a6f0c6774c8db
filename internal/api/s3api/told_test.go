package s3api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/api/awshttp"
)

func TestTheAuditLogIsToldWhatIsAskedFor(t *testing.T) {
	c := &call{Call: &awshttp.Call{}, header: http.Header{}, target: target{bucket: "b", key: "k", query: url.Values{
		"versionId": {"v"}, "uploadId": {"u"}, "partNumber": {"3"}, "X-Amz-Signature": {"secret"},
	}}}
	c.header.Set(headerCopySource, "a/b")
	c.tell()
	want := map[string]any{"bucketName": "b", "key": "k", "versionId": "v", "uploadId": "u", "partNumber": "3", "x-amz-copy-source": "a/b"}
	if diff := cmp.Diff(want, c.Parameters); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDocumentTold(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"a policy": {`{"Version":"2012-10-17","Statement":[]}`, `bucketPolicy {"Statement":[],"Version":"2012-10-17"}`},
		"a setting": {`<?xml version="1.0"?><VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>`,
			`VersioningConfiguration {"Status":"Enabled"}`},
		"a list":      {"<Delete>\n<Object><Key>a</Key></Object><Object><Key>b</Key></Object><Object><Key>c</Key></Object></Delete>", `Delete {"Object":[{"Key":"a"},{"Key":"b"},{"Key":"c"}]}`},
		"nothing":     {"", ""},
		"neither":     {"hello", ""},
		"not closed":  {"<a><b>", ""},
		"too deep":    {strings.Repeat("<a>", 20) + strings.Repeat("</a>", 20), ""},
		"too much":    {"<a>" + strings.Repeat("x", maxTold) + "</a>", ""},
		"only a root": {"<a/>", `a ""`},
	} {
		t.Run(name, func(t *testing.T) {
			root, told, ok := documentTold([]byte(tt.text))
			got := ""
			if ok {
				text, err := json.Marshal(told)
				if err != nil {
					t.Fatal(err)
				}
				got = root + " " + string(text)
			}
			if got != tt.want {
				t.Errorf("told %s, want %s", got, tt.want)
			}
		})
	}
}
