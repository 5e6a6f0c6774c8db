package ec2api

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

// TestEveryActionInAnotherRegion: what is in us-east-1 is not found from eu-west-1,
// where it can be neither seen nor changed.
func TestEveryActionInAnotherRegion(t *testing.T) {
	// These make something in the region of the call, or say what is set there.
	own := []string{"ImportSnapshot", "GetEbsDefaultKmsKeyId", "ModifyEbsDefaultKmsKeyId", "ResetEbsDefaultKmsKeyId",
		"GetEbsEncryptionByDefault", "EnableEbsEncryptionByDefault", "DisableEbsEncryptionByDefault", "CopySnapshot"}
	for action, params := range good {
		f := populated()
		tasks, records, images := slices.Clone(f.imports.tasks), slices.Clone(f.snapshots.records), slices.Clone(f.images.list)
		w := f.doIn("eu-west-1", f.principal(), action, params...)
		got := parse(t, w)
		switch {
		case slices.Contains(own, action):
			if w.Code != http.StatusOK {
				t.Errorf("%s: got %d %s", action, w.Code, w.Body)
			}
		case action == "CreateTags", action == "DeleteTags": // the store decides
		case strings.HasPrefix(action, "Describe") && action != "DescribeSnapshotAttribute":
			if w.Code != http.StatusOK || len(got.Tasks)+len(got.Snapshots)+len(got.Images)+len(got.Tiers) != 0 {
				t.Errorf("%s: got %d %s", action, w.Code, w.Body)
			}
		default:
			if !strings.Contains(got.Code, "NotFound") && got.Code != "InvalidConversionTaskId.Malformed" {
				t.Errorf("%s: got %d %s", action, w.Code, w.Body)
			}
		}
		if !reflect.DeepEqual(f.imports.tasks, tasks) || !reflect.DeepEqual(f.snapshots.records, records) || !reflect.DeepEqual(f.images.list, images) {
			t.Errorf("%s changed what is in another region", action)
		}
	}
}

// TestEveryActionByRegion: a Deny of a region holds for requests in it, and for what is
// in it, whichever way that is written.
func TestEveryActionByRegion(t *testing.T) {
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"},`
	nowhere := []string{"DescribeSnapshots", "DescribeTags", "DescribeImages", "DescribeImportSnapshotTasks", "DescribeSnapshotTierStatus"}
	for action, params := range good {
		for name, deny := range map[string]string{
			"requested":      `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}}`,
			"requested, not": `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"eu-west-1"}}}`,
			"ec2":            `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"ec2:Region":"us-east-1"}}}`,
			"ARN":            `{"Effect":"Deny","Action":"*","Resource":"arn:aws:ec2:us-east-1:*"}`,
		} {
			if name == "ARN" && (slices.Contains(nowhere, action) || strings.Contains(action, "Ebs")) {
				continue // lists and settings have no ARNs
			}
			if w := populated().doAs(bound(all+deny), action, params...); w.Code != http.StatusForbidden {
				t.Errorf("%s, denied by %s: got %d %s", action, name, w.Code, w.Body)
			}
		}
	}
}

// TestResourcesAreMadeInTheRegion of the call.
func TestResourcesAreMadeInTheRegion(t *testing.T) {
	f := populated()
	f.snapshots.records = append(f.snapshots.records, snapshot.Record{ID: "snap-0123456789abcdeff", Account: account, Region: "eu-west-1", State: snapshot.Completed, StartedAt: clock})
	do := func(action string, params ...string) {
		t.Helper()
		if w := f.doIn("eu-west-1", f.principal(), action, params...); w.Code != http.StatusOK {
			t.Fatalf("%s: got %d %s", action, w.Code, w.Body)
		}
	}
	there := awsid.Home{Account: account, Region: "eu-west-1"}
	do("ImportSnapshot", good["ImportSnapshot"]...)
	if got := f.imports.got; got.Home() != there || got.Origin.Region != there.Region {
		t.Errorf("imported in %+v", got.Home())
	}
	do("RegisterImage", "Name=img", "RootDeviceName=/dev/sda1", "BlockDeviceMapping.1.DeviceName=/dev/sda1", "BlockDeviceMapping.1.Ebs.SnapshotId=snap-0123456789abcdeff")
	if got := f.images.list[len(f.images.list)-1]; got.Home() != there {
		t.Errorf("registered in %+v", got.Home())
	}
	do("CopySnapshot", good["CopySnapshot"]...)
	if got := f.copies.got; got.Home != there || got.SourceRegion != "us-east-1" || got.Caller.Region != there.Region {
		t.Errorf("copied to %+v from %s for %s", got.Home, got.SourceRegion, got.Caller.Region)
	}
	do("EnableEbsEncryptionByDefault")
	if got, err := f.Defaults.Defaults(t.Context(), there); err != nil || !got.Encrypt {
		t.Errorf("set in %+v: %v", got, err)
	}
}

// TestCopyIsJudgedInBothRegions: the source is asked for where it is, with its tags.
func TestCopyIsJudgedInBothRegions(t *testing.T) {
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*",`
	for name, c := range map[string]struct {
		deny   string
		region string
		status int
	}{
		"nothing":                   {`"Resource":"arn:aws:ec2:eu-west-1::snapshot/` + snapB + `"`, "us-east-1", 200},
		"the source":                {`"Resource":"arn:aws:ec2:us-east-1::snapshot/` + snapA + `"`, "us-east-1", 403},
		"the source, misplaced":     {`"Resource":"arn:aws:ec2:us-east-1::snapshot/` + snapA + `"`, "cn-north-1", 400},
		"the region of the source":  {`"Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}`, "us-east-1", 403},
		"the source's ec2:Region":   {`"Resource":"*","Condition":{"StringEquals":{"ec2:Region":"us-east-1"}}`, "us-east-1", 403},
		"the region of the copy":    {`"Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}`, "us-east-1", 403},
		"ARNs of the copy's region": {`"Resource":"arn:aws:ec2:eu-west-1::*"`, "us-east-1", 403},
		"the tag of the source":     {`"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/keep":"yes"}}`, "us-east-1", 403},
	} {
		f := populated()
		f.snapshots.records[0].Tags = tag.Set{{Key: "keep", Value: "yes"}}
		w := f.doIn("eu-west-1", bound(all+c.deny+"}"), "CopySnapshot", "SourceRegion="+c.region, "SourceSnapshotId="+snapA)
		if w.Code != c.status {
			t.Errorf("who may not use %s: got %d %s, want %d", name, w.Code, w.Body, c.status)
		}
	}
}
