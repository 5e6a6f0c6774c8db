package iamapi

import (
	"maps"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/iam"
)

// FuzzForms checks that every form is answered with 200 or a 4xx, and that nothing
// is logged.
func FuzzForms(f *testing.F) {
	names, b := slices.Sorted(maps.Keys(iamActions)), open(f)
	for i, seed := range []string{
		"RoleName=r&AssumeRolePolicyDocument=" + url.QueryEscape(trust), "UserName=u&Path=/a/&Tags.member.1.Key=k&Tags.member.1.Value=v",
		"PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess&VersionId=v1", "MaxItems=0&Marker=x&PathPrefix=/", "RoleName=r&PolicyName=p&PolicyDocument=%7B",
		"TagKeys.member.1=aws:x", "AccessKeyId=AKIA&Status=Active", "=&.=&Tags.member.x=1",
	} {
		f.Add(byte(i*7), seed)
	}
	root := iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root, ID: account}
	f.Fuzz(func(t *testing.T, which byte, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		name := names[int(which)%len(names)]
		form["Action"], form["Version"] = []string{name}, []string{"2010-05-08"}
		w := httptest.NewRecorder()
		b.edge.ServeAWS(w, httptest.NewRequest("POST", "/", nil), &awshttp.Call{RequestID: "id-1", Principal: root, Service: awshttp.IAM, Region: "us-east-1", Form: form})
		if w.Code != 200 && (w.Code < 400 || w.Code > 499) {
			t.Errorf("%s %q: %d %s; %s", name, query, w.Code, w.Body, b.log)
		}
	})
}
