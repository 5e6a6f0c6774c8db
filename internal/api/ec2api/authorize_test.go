package ec2api

import (
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/tag"
)

// TestResourceTags: policies may depend on the tags that a resource of the account has.
func TestResourceTags(t *testing.T) {
	const (
		all     = `{"Effect":"Allow","Action":"*","Resource":"*"},`
		protect = all + `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/keep":"yes"}}}`
		ours    = `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"ec2:ResourceTag/team":"red"}}}`
	)
	both, mine := tag.Set{{Key: "KEEP", Value: "no"}, {Key: "keep", Value: "yes"}}, tag.Set{{Key: "Team", Value: "red"}, {Key: "team", Value: "blue"}}
	red, kept := tag.Set{{Key: "team", Value: "red"}}, tag.Set{{Key: "keep", Value: "yes"}}
	for _, c := range []struct {
		name, policy, action string
		tags                 tag.Set
		params               []string
		status               int
	}{
		{"delete", protect, "DeleteSnapshot", nil, nil, 200},
		{"delete what is kept", protect, "DeleteSnapshot", kept, nil, 403},
		{"delete of the team", ours, "DeleteSnapshot", red, nil, 200},
		{"delete of no team", ours, "DeleteSnapshot", nil, nil, 403},
		{"cancel", ours, "CancelImportTask", red, nil, 200},
		{"cancel of no team", ours, "CancelImportTask", nil, nil, 403},
		{"deregister", ours, "DeregisterImage", red, nil, 200},
		{"deregister of no team", ours, "DeregisterImage", kept, nil, 403},
		{"delete what is kept under one of two keys", protect, "DeleteSnapshot", both, nil, 403},
		{"delete of a team under one of two keys", ours, "DeleteSnapshot", mine, nil, 403},
		{"tag what has two keys", ours, "CreateTags", mine, []string{"ResourceId.1=" + snapA}, 403},
		{"tags of two, one kept", protect, "CreateTags", kept, []string{"ResourceId.1=" + taskB, "ResourceId.2=" + snapA}, 403},
		{"another account's tags", protect, "DescribeSnapshotAttribute", kept, []string{"SnapshotId=" + snapB}, 400},
		{"what is not there", protect, "DeleteSnapshot", kept, []string{"SnapshotId=" + unknownSnap}, 400},
		{"the whole list", protect, "DescribeSnapshots", kept, nil, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := populated()
			for i := range f.snapshots.records {
				f.snapshots.records[i].Tags = c.tags
			}
			f.imports.tasks[0].Tags, f.images.list[0].Tags = c.tags, c.tags
			w := f.doAs(bound(c.policy), c.action, row{action: c.action, params: c.params}.form()...)
			if w.Code != c.status || c.status == 403 && !strings.Contains(w.Body.String(), "UnauthorizedOperation") {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, c.status)
			}
		})
	}
}
