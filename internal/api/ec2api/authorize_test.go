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
		{"cancel an image", ours, "CancelImportTask", red, []string{"ImportTaskId=" + taskI}, 200},
		{"cancel an image of no team", ours, "CancelImportTask", kept, []string{"ImportTaskId=" + taskI}, 403},
		{"import what is kept", protect, "ImportImage", kept, nil, 403},
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
			f.imports.tasks[0].Tags, f.imports.imageTasks[0].Tags, f.images.list[0].Tags = c.tags, c.tags, c.tags
			w := f.doAs(bound(c.policy), c.action, row{action: c.action, params: c.params}.form()...)
			if w.Code != c.status || c.status == 403 && !strings.Contains(w.Body.String(), "UnauthorizedOperation") {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, c.status)
			}
		})
	}
}

// TestConditionKeys: a Deny holds for each key that AWS tells policies of an action.
func TestConditionKeys(t *testing.T) {
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"},`
	add := []string{"CreateVolumePermission.Add.1.UserId=" + other}
	public := []string{"CreateVolumePermission.Add.1.UserId", "CreateVolumePermission.Add.1.Group=all"}
	const none = "CreateVolumePermission.Add.1.UserId"
	for _, c := range []struct {
		name, action, condition string
		params                  []string // further ones
		denied                  bool
	}{
		{"public", "ModifySnapshotAttribute", `"StringEquals":{"ec2:Add/group":"all"}`, public, true},
		{"public, the second shape", "ModifySnapshotAttribute", `"StringEquals":{"ec2:Add/group":"all"}`, []string{none, "Attribute=createVolumePermission", "OperationType=add", "UserGroup.1=all"}, true},
		{"private", "ModifySnapshotAttribute", `"StringEquals":{"ec2:Add/group":"all"}`, []string{none, "CreateVolumePermission.Remove.1.Group=all"}, false},
		{"not public any more", "ModifySnapshotAttribute", `"StringEquals":{"ec2:Remove/group":"all"}`, []string{none, "CreateVolumePermission.Remove.1.Group=all"}, true},
		{"with an account", "ModifySnapshotAttribute", `"StringEquals":{"ec2:Add/userId":"` + other + `"}`, add, true},
		{"with an account, the second shape", "ModifySnapshotAttribute", `"StringEquals":{"ec2:Add/userId":"` + other + `"}`, []string{none, "OperationType=add", "UserId.1=" + other}, true},
		{"with others", "ModifySnapshotAttribute", `"ForAnyValue:StringNotEquals":{"ec2:Add/userId":"333333333333"}`, []string{"CreateVolumePermission.Add.2.UserId=333333333333"}, true},
		{"without an account", "ModifySnapshotAttribute", `"StringEquals":{"ec2:Remove/userId":"` + other + `"}`, []string{none, "OperationType=remove", "UserId.1=" + other}, true},
		{"an account that is named twice", "ModifySnapshotAttribute", `"StringEquals":{"ec2:Add/userId":"` + other + `"}`, append([]string{"UserId.1=" + other}, add...), true},
		{"an account that is named twice, if it was removing", "ModifySnapshotAttribute", `"StringEquals":{"ec2:Remove/userId":"` + other + `"}`, append([]string{"UserId.1=" + other}, add...), false},
		{"sharing, if it was removing", "ModifySnapshotAttribute", `"StringEquals":{"ec2:Remove/userId":"` + other + `"}`, add, false},
		{"attribute", "ModifySnapshotAttribute", `"StringEquals":{"ec2:Attribute":"CreateVolumePermission"}`, add, true},
		{"attribute of a reset", "ResetSnapshotAttribute", `"StringEquals":{"ec2:Attribute":"createVolumePermission"}`, nil, true},
		{"another attribute", "ResetSnapshotAttribute", `"StringEquals":{"ec2:Attribute":"productCodes"}`, nil, false},
		{"region", "DescribeSnapshots", `"StringEquals":{"ec2:Region":"us-east-1"}`, nil, true},
		{"another region", "DescribeSnapshots", `"StringEquals":{"ec2:Region":"eu-west-1"}`, nil, false},
		{"owner", "DeleteSnapshot", `"StringEquals":{"ec2:Owner":"` + account + `"}`, nil, true},
		{"owner of what is copied", "CopySnapshot", `"StringEquals":{"ec2:Owner":"` + other + `"}`, []string{"SourceSnapshotId=" + snapB}, true},
		{"owner of an image", "DeregisterImage", `"StringEquals":{"ec2:Owner":"` + account + `"}`, nil, true},
		{"resource's account", "CancelImportTask", `"StringEquals":{"aws:ResourceAccount":"` + account + `"}`, nil, true},
		{"resource's account of an image", "CancelImportTask", `"StringEquals":{"aws:ResourceAccount":"` + account + `"}`, []string{"ImportTaskId=" + taskI}, true},
		{"tag of an import", "ImportImage", `"StringEquals":{"aws:RequestTag/team":"red"}`, []string{"TagSpecification.1.ResourceType=import-image-task", "TagSpecification.1.Tag.1.Key=team", "TagSpecification.1.Tag.1.Value=red"}, true},
		{"snapshot of an import", "ImportImage", `"StringEquals":{"ec2:SnapshotID":"` + snapA + `"}`, nil, true},
		{"snapshot", "DeleteSnapshot", `"StringEquals":{"ec2:SnapshotID":"` + snapA + `"}`, nil, true},
		{"age", "DeleteSnapshot", `"DateLessThan":{"ec2:SnapshotTime":"2100-01-01T00:00:00Z"}`, nil, true},
		{"size", "DeleteSnapshot", `"NumericGreaterThan":{"ec2:VolumeSize":"0"}`, nil, true},
		{"encrypted", "DeleteSnapshot", `"Bool":{"ec2:Encrypted":"false"}`, nil, true},
		{"volume", "DeleteSnapshot", `"ArnLike":{"ec2:ParentVolume":"arn:aws:ec2:*:` + account + `:volume/*"}`, nil, true},
		{"image", "DeregisterImage", `"StringEquals":{"ec2:ImageID":"` + imageA + `","ec2:ImageType":"machine","ec2:RootDeviceType":"ebs"},"Bool":{"ec2:Public":"false"}`, nil, true},
		{"one of two tags", "CreateTags", `"StringEquals":{"aws:RequestTag/owner":"ann"}`, []string{"Tag.1.Key=owner", "Tag.1.Value=bob", "Tag.2.Key=Owner", "Tag.2.Value=ann"}, true},
		{"one of two tags, the other", "CreateTags", `"StringEquals":{"aws:RequestTag/owner":"ann"}`, []string{"Tag.1.Key=owner", "Tag.1.Value=ann", "Tag.2.Key=OWNER", "Tag.2.Value=bob"}, true},
		{"one tag", "CreateTags", `"StringEquals":{"aws:RequestTag/owner":"ann"}`, []string{"Tag.1.Key=owner", "Tag.1.Value=bob"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			deny := all + `{"Effect":"Deny","Action":"ec2:` + c.action + `","Resource":"*","Condition":{` + c.condition + `}}`
			f := populated()
			f.snapshots.records[1].SharedWith = []string{account} // snapB
			w := f.doAs(bound(deny), c.action, row{action: c.action, params: c.params}.form()...)
			if denied := w.Code == 403 && strings.Contains(w.Body.String(), "explicit deny"); denied != c.denied {
				t.Errorf("denied %v, want %v: %d %s", denied, c.denied, w.Code, w.Body)
			}
		})
	}
}
