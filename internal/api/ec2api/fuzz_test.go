package ec2api

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/iam"
)

// FuzzActions: whatever the parameters of an action are, the answer is 200, 412 or a
// 4xx in well-formed XML.
func FuzzActions(f *testing.F) {
	names := Actions()
	for i, name := range names {
		f.Add(byte(i), strings.ReplaceAll(strings.Join(good[name], "&"), "/", "%2F"))
	}
	seeded := map[string]bool{} // one row of each action: what is refused is alike, and a moment must be enough for all seeds
	for _, r := range rows {
		if i := slices.Index(names, r.action); i >= 0 && !seeded[r.action] && len(r.params) < 9 { // long lists are slow, and no help
			seeded[r.action] = true
			form := url.Values{}
			for _, p := range r.form() {
				key, value, _ := strings.Cut(p, "=")
				form.Set(key, value)
			}
			f.Add(byte(i), form.Encode())
		}
	}
	f.Fuzz(func(t *testing.T, which byte, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		fix := populated()
		form["Action"], form["Version"] = []string{names[int(which)%len(names)]}, []string{"2016-11-15"}
		w := httptest.NewRecorder()
		fix.ServeAWS(w, httptest.NewRequest("POST", "http://disk.example:4580/", nil), &awshttp.Call{
			RequestID: "id-1", Region: "us-east-1", Service: awshttp.EC2, Form: form, Principal: fix.principal(), Origin: iam.Origin{Time: clock},
		})
		if w.Code != 200 && (w.Code < 400 || w.Code > 499) {
			t.Fatalf("%v: %d %s; %s", form, w.Code, w.Body, fix.log)
		}
		parse(t, w)
	})
}
