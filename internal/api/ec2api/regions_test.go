package ec2api

import (
	"encoding/xml"
	"fmt"
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
		"GetEbsEncryptionByDefault", "EnableEbsEncryptionByDefault", "DisableEbsEncryptionByDefault", "CopySnapshot", "CopyImage", "ImportImage"}
	nobodys := []string{"DescribeRegions", "DescribeAvailabilityZones", "DescribeAccountAttributes"}
	for action, params := range good {
		f := populated()
		tasks, records, images, volumes := slices.Clone(f.imports.tasks), slices.Clone(f.snapshots.records), slices.Clone(f.images.list), slices.Clone(f.volumes.list)
		if action == "CreateVolume" { // its zone would be wrong before its snapshot is
			params = append(slices.Clone(params), "AvailabilityZone=eu-west-1a")
		}
		w := f.doIn("eu-west-1", f.principal(), action, params...)
		got := parse(t, w)
		switch {
		case slices.Contains(own, action), slices.Contains(nobodys, action):
			if w.Code != http.StatusOK {
				t.Errorf("%s: got %d %s", action, w.Code, w.Body)
			}
		case action == "CreateTags", action == "DeleteTags": // the store decides
		case strings.HasPrefix(action, "Describe") && !strings.HasSuffix(action, "Attribute"):
			if w.Code != http.StatusOK || len(got.Tasks)+len(got.ImageTask)+len(got.Snapshots)+len(got.Images)+len(got.Tiers)+len(got.Volumes)+len(got.Statuses)+len(got.Modified) != 0 {
				t.Errorf("%s: got %d %s", action, w.Code, w.Body)
			}
		default:
			if !strings.Contains(got.Code, "NotFound") && got.Code != "InvalidConversionTaskId.Malformed" {
				t.Errorf("%s: got %d %s", action, w.Code, w.Body)
			}
		}
		if !reflect.DeepEqual(f.imports.tasks, tasks) || !reflect.DeepEqual(f.snapshots.records, records) || !reflect.DeepEqual(f.images.list, images) || !reflect.DeepEqual(f.volumes.list, volumes) {
			t.Errorf("%s changed what is in another region", action)
		}
	}
}

// TestEveryActionByRegion: a Deny of a region holds for requests in it, and for what is
// in it, whichever way that is written.
func TestEveryActionByRegion(t *testing.T) {
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"},`
	nowhere := []string{"DescribeSnapshots", "DescribeTags", "DescribeImages", "DescribeImportSnapshotTasks", "DescribeImportImageTasks", "DescribeSnapshotTierStatus",
		"DescribeRegions", "DescribeAvailabilityZones", "DescribeAccountAttributes", "DescribeVolumes", "DescribeVolumeStatus", "DescribeVolumesModifications"}
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

// TestRegionsAndZones: the service's regions, each with three zones of its own, behind the
// address that was asked.
func TestRegionsAndZones(t *testing.T) {
	f := populated()
	type region struct {
		Name     string `xml:"regionName"`
		Endpoint string `xml:"regionEndpoint"`
	}
	type zone struct {
		Name string `xml:"zoneName"`
		ID   string `xml:"zoneId"`
	}
	ask := func(in, action string, params ...string) (names, more []string) {
		t.Helper()
		var got struct {
			Regions []region `xml:"regionInfo>item"`
			Zones   []zone   `xml:"availabilityZoneInfo>item"`
		}
		w := f.doIn(in, f.principal(), action, params...)
		if err := xml.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: got %v, %d %s", action, err, w.Code, w.Body)
		}
		for _, r := range got.Regions {
			names, more = append(names, r.Name), append(more, r.Endpoint)
		}
		for _, z := range got.Zones {
			names, more = append(names, z.Name), append(more, z.ID)
		}
		return names, more
	}
	for _, c := range []struct {
		in, action string
		params     []string
		want       string
	}{
		{"us-east-1", "DescribeRegions", []string{"AllRegions=true"}, "[eu-west-1 us-east-1] [disk.example:4580 disk.example:4580]"},
		{"us-east-1", "DescribeRegions", []string{"RegionName.1=eu-west-1"}, "[eu-west-1] [disk.example:4580]"},
		{"us-east-1", "DescribeRegions", []string{"Filter.1.Name=region-name", "Filter.1.Value.1=us-*"}, "[us-east-1] [disk.example:4580]"},
		{"us-east-1", "DescribeRegions", []string{"Filter.1.Name=opt-in-status", "Filter.1.Value.1=not-opted-in"}, "[] []"},
		{"eu-west-1", "DescribeAvailabilityZones", []string{"AllAvailabilityZones=true"}, "[eu-west-1a eu-west-1b eu-west-1c] [euw1-az1 euw1-az2 euw1-az3]"},
		{"us-east-1", "DescribeAvailabilityZones", []string{"ZoneName.1=us-east-1a", "ZoneId.1=use1-az3"}, "[us-east-1a us-east-1c] [use1-az1 use1-az3]"},
		{"us-east-1", "DescribeAvailabilityZones", []string{"Filter.1.Name=zone-id", "Filter.1.Value.1=*2", "Filter.2.Name=state", "Filter.2.Value.1=available"}, "[us-east-1b] [use1-az2]"},
	} {
		names, more := ask(c.in, c.action, c.params...)
		if got := fmt.Sprint(names, more); got != c.want {
			t.Errorf("%s %v in %s: got %s, want %s", c.action, c.params, c.in, got, c.want)
		}
	}
	for name := range regionFields.named {
		if names, _ := ask("us-east-1", "DescribeRegions", "Filter.1.Name="+name, "Filter.1.Value.1=*"); len(names) != 2 {
			t.Errorf("filtered by any %s: %v", name, names)
		}
	}
}
