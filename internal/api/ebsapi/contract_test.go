package ebsapi

import (
	"net/url"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

type readCase struct {
	name, method, target string
	status               int
	code, reason, want   string
}

// readCases are the rows of contract §7.5 that concern reading.
func readCases(f *fixture) []readCase {
	list := func(id, query string) string { return "/snapshots/" + id + "/blocks?" + query }
	changed := func(id, query string) string { return "/snapshots/" + id + "/changedblocks?" + query }
	get := func(id, index, token string) string {
		return "/snapshots/" + id + "/blocks/" + index + "?blockToken=" + url.QueryEscape(token)
	}
	good := f.tokens.forBlock(snapA, 3, clock.Add(blockLife))
	late := f.tokens.forBlock(snapA, 3, clock.Add(-1e9))
	absent := f.tokens.forBlock(snapA, 5, clock.Add(blockLife))
	return []readCase{
		{"malformed id", "GET", list("snap-XYZ", ""), 400, "ValidationException", "", ""},
		{"volume id", "GET", list("vol-1", ""), 400, "ValidationException", "", ""},
		{"unknown id", "GET", list(unknown, ""), 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "The snapshot '" + unknown + "' does not exist."},
		{"id that no snapshot has", "GET", list("snap-f0000000000000001", ""), 400, "ValidationException", "INVALID_SNAPSHOT_ID", "Value (snap-f0000000000000001) for parameter snapshotId is invalid. Expected: 'snap-...'."},
		{"block of an id that no snapshot has", "GET", get("snap-f0000000000000001", "3", good), 400, "ValidationException", "INVALID_SNAPSHOT_ID", "Value (snap-f0000000000000001) for parameter snapshotId is invalid. Expected: 'snap-...'."},
		{"somebody else's", "GET", list(foreign, ""), 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "The snapshot '" + foreign + "' does not exist."},
		{"pending", "GET", list(pendingS, ""), 400, "ValidationException", "INVALID_SNAPSHOT_ID", "The snapshot '" + pendingS + "' is not completed."},
		{"few results, unknown id", "GET", list(unknown, "maxResults=99"), 400, "ValidationException", "", ""},
		{"many results", "GET", list(snapA, "maxResults=10001"), 400, "ValidationException", "", ""},
		{"results in words", "GET", list(snapA, "maxResults=all"), 400, "ValidationException", "", ""},
		{"negative start, unknown id", "GET", list(unknown, "startingBlockIndex=-1"), 400, "ValidationException", "", ""},
		{"start past int32", "GET", list(snapA, "startingBlockIndex=2147483648"), 400, "ValidationException", "", ""},
		{"page token", "GET", list(snapA, "pageToken=AAAA"), 400, "ValidationException", "INVALID_PAGE_TOKEN", "The pagination token AAAA is invalid."},
		{"block token as page token", "GET", list(snapA, "pageToken="+url.QueryEscape(good)), 400, "ValidationException", "INVALID_PAGE_TOKEN", "The pagination token " + good + " is invalid."},
		{"damaged", "GET", list(damaged, ""), 500, "InternalServerException", "", "An internal error has occurred"},

		{"no first snapshot", "GET", changed(snapA, ""), 400, "ValidationException", "", ""},
		{"malformed first", "GET", changed(snapA, "firstSnapshotId=x"), 400, "ValidationException", "", ""},
		{"malformed second", "GET", changed("x", "firstSnapshotId="+snapA), 400, "ValidationException", "", ""},
		{"unknown first", "GET", changed(snapA, "firstSnapshotId="+unknown), 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "The snapshot '" + unknown + "' does not exist."},
		{"unknown second", "GET", changed(unknown, "firstSnapshotId="+snapA), 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "The snapshot '" + unknown + "' does not exist."},
		{"changed results", "GET", changed(snapA, "firstSnapshotId="+snapB+"&maxResults=1"), 400, "ValidationException", "", ""},
		{"changed page token", "GET", changed(snapA, "firstSnapshotId="+snapB+"&pageToken=x"), 400, "ValidationException", "INVALID_PAGE_TOKEN", "The pagination token x is invalid."},

		{"block of malformed id", "GET", get("snap-XYZ", "3", good), 400, "ValidationException", "", ""},
		{"block of unknown id", "GET", get(unknown, "3", good), 404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "The snapshot '" + unknown + "' does not exist."},
		{"block beyond", "GET", get(snapA, "6144", good), 400, "ValidationException", "INVALID_BLOCK", "Block index 6144 is beyond the volume size extent"},
		{"block in words", "GET", get(snapA, "three", good), 400, "ValidationException", "", ""},
		{"negative block", "GET", get(snapA, "-1", good), 400, "ValidationException", "", ""},
		{"no token", "GET", get(snapA, "3", ""), 400, "ValidationException", "INVALID_BLOCK_TOKEN", "The block token  is invalid."},
		{"bad token", "GET", get(snapA, "3", "nonsense"), 400, "ValidationException", "INVALID_BLOCK_TOKEN", "The block token nonsense is invalid."},
		{"token of another block", "GET", get(snapA, "0", good), 400, "ValidationException", "INVALID_BLOCK_TOKEN", "The block token " + good + " is invalid."},
		{"token of another snapshot", "GET", get(snapB, "3", good), 400, "ValidationException", "INVALID_BLOCK_TOKEN", "The block token " + good + " is invalid."},
		{"old token", "GET", get(snapA, "3", late), 400, "ValidationException", "INVALID_BLOCK_TOKEN", "The block token " + late + " is invalid."},
		{"no such block", "GET", get(snapA, "5", absent), 400, "ValidationException", "INVALID_BLOCK", "The snapshot '" + snapA + "' has no such block."},
		{"public", "GET", list(public, ""), 400, "ValidationException", "INVALID_SNAPSHOT_ID", "The snapshot '" + public + "' is public. Public snapshots cannot be read."},
		{"compare with a public one", "GET", changed(snapA, "firstSnapshotId="+public), 400, "ValidationException", "INVALID_SNAPSHOT_ID", "The snapshot '" + public + "' is public. Public snapshots cannot be read."},

		{"no operation", "GET", "/volumes", 404, "UnknownOperationException", "", ""},
		{"no method", "DELETE", "/snapshots/" + snapA + "/blocks", 404, "UnknownOperationException", "", ""},
	}
}

func TestContractErrors(t *testing.T) {
	f := newFixture()
	for _, tt := range readCases(f) {
		t.Run(tt.name, func(t *testing.T) {
			f.log.Reset()
			w := f.do(tt.method, tt.target)
			got := parse(t, w)
			if w.Code != tt.status || w.Header().Get("X-Amzn-Errortype") != tt.code || text(got.Reason) != tt.reason || text(got.Message) != tt.want {
				t.Errorf("got %d %s %s", w.Code, w.Header().Get("X-Amzn-Errortype"), w.Body)
			}
			if tt.want == "" && got.Message != nil || tt.reason == "" && got.Reason != nil {
				t.Errorf("got %s, want null for what is absent", w.Body)
			}
			if strings.Contains(w.Body.String(), "on fire") || tt.status == 500 && !strings.Contains(f.log.String(), "on fire") {
				t.Errorf("the cause belongs into the log and not into %s", w.Body)
			}
		})
	}
}

// TestGrants: reading needs permission for each snapshot, before anything is said
// about the request.
func TestGrants(t *testing.T) {
	const arn = "arn:aws:ec2:us-east-1::snapshot/"
	f := newFixture()
	token := "?blockToken=" + url.QueryEscape(f.tokens.forBlock(snapA, 3, clock.Add(blockLife)))
	both := "/snapshots/" + snapA + "/changedblocks?firstSnapshotId=" + snapB
	tests := []struct {
		name, action, resource, target string
		status                         int
	}{
		{"list", "ebs:ListSnapshotBlocks", arn + snapA, "/snapshots/" + snapA + "/blocks", 200},
		{"list another", "ebs:ListSnapshotBlocks", arn + snapB, "/snapshots/" + snapA + "/blocks", 403},
		{"list with the right to get", "ebs:GetSnapshotBlock", "*", "/snapshots/" + snapA + "/blocks", 403},
		{"get", "ebs:GetSnapshotBlock", arn + snapA, "/snapshots/" + snapA + "/blocks/3" + token, 200},
		{"get with the right to list", "ebs:ListSnapshotBlocks", "*", "/snapshots/" + snapA + "/blocks/3" + token, 403},
		{"changed", "ebs:ListChangedBlocks", arn + "*", both, 200},
		{"changed, one of two", "ebs:ListChangedBlocks", arn + snapA, both, 403},
		{"nothing is told", "ebs:Nothing", "*", "/snapshots/" + snapA + "/blocks?maxResults=1", 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.allow(tt.action, tt.resource)
			w := f.do("GET", tt.target)
			if w.Code != tt.status {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, tt.status)
			}
			if tt.status == 403 {
				got := parse(t, w)
				if w.Header().Get("X-Amzn-Errortype") != "AccessDeniedException" || text(got.Reason) != "UNAUTHORIZED_ACCOUNT" {
					t.Errorf("got %v %s", w.Header(), w.Body)
				}
			}
		})
	}
}

func TestStrictComparesNothingUnrelated(t *testing.T) {
	f := newFixture()
	f.Strict = true
	w := f.do("GET", "/snapshots/"+snapA+"/changedblocks?firstSnapshotId="+snapB)
	if got := parse(t, w); w.Code != 400 || text(got.Reason) != "UNRELATED_SNAPSHOTS" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if w := f.do("GET", "/snapshots/"+snapA+"/changedblocks?firstSnapshotId="+snapA); w.Code != 200 {
		t.Errorf("itself: got %d %s", w.Code, w.Body)
	}
}

// TestResourceTags: policies may depend on tags, as in AWS's guide to EBS direct.
func TestResourceTags(t *testing.T) {
	document, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ebs:*","Resource":"arn:aws:ec2:*::snapshot/*","Condition":{"StringEqualsIgnoreCase":{"aws:ResourceTag/Test":["true"]}}}}`, policy.Identity)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture()
	f.who = iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":user/ann", Kind: iam.User, Name: "ann"}.WithPolicies(document)
	all := f.Snapshots.(snapshots)
	for _, id := range []string{snapA, foreign} {
		s := all[id]
		s.Tags = tag.Set{{Key: "Test", Value: "True"}}
		all[id] = s
	}
	for id, want := range map[string]int{snapA: 200, snapB: 403, foreign: 403, unknown: 403} {
		if w := f.do("GET", "/snapshots/"+id+"/blocks"); w.Code != want {
			t.Errorf("%s: got %d %s, want %d", id, w.Code, w.Body, want)
		}
	}
}
