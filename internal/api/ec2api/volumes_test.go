package ec2api

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/volume"
)

// TestCreateVolume: what is not said comes from the snapshot, the type and the account's
// settings.
func TestCreateVolume(t *testing.T) {
	const zone = "AvailabilityZone=us-east-1b"
	for name, c := range map[string]struct {
		encrypts bool // by default
		params   []string
		want     volume.Settings
		key      string
	}{
		"of a snapshot":               {false, []string{zone, "SnapshotId=" + snapA}, volume.Settings{Size: 2, Type: "gp2"}, ""},
		"larger":                      {false, []string{zone, "SnapshotId=" + snapA, "Size=9", "VolumeType=gp3"}, volume.Settings{Size: 9, Type: "gp3", Iops: 3000, Throughput: 125}, ""},
		"empty":                       {false, []string{"AvailabilityZoneId=use1-az2", "Size=4", "VolumeType=io2", "Iops=100", "MultiAttachEnabled=true"}, volume.Settings{Size: 4, Type: "io2", Iops: 100, MultiAttach: true}, ""},
		"encrypted":                   {false, []string{zone, "Size=1", "Encrypted=true", "KmsKeyId=alias/k"}, volume.Settings{Size: 1, Type: "gp2"}, keyARN},
		"encrypted by default":        {true, []string{zone, "Size=1"}, volume.Settings{Size: 1, Type: "gp2"}, keyARN},
		"of an encrypted one":         {false, []string{zone, "SnapshotId=" + snapE, "Size=1"}, volume.Settings{Size: 1, Type: "gp2"}, awsKeyARN},
		"of a larger one, with a key": {false, []string{zone, "SnapshotId=" + snapA, "Encrypted=true"}, volume.Settings{Size: 2, Type: "gp2"}, keyARN},
	} {
		f := populated()
		f.volumes.list = nil
		if c.encrypts {
			f.ok(t, "EnableEbsEncryptionByDefault")
		}
		got := f.ok(t, "CreateVolume", c.params...)
		if got.Status != "creating" || got.Volume == "" || len(f.volumes.list) != 1 {
			t.Fatalf("%s: got %+v, %v", name, got, f.volumes.list)
		}
		v := f.volumes.list[0]
		if v.Settings != c.want || v.KMSKey != c.key || v.Zone != "us-east-1b" || v.ID != got.Volume {
			t.Errorf("%s: got %+v", name, v)
		}
		if shown := f.ok(t, "DescribeVolumes", "IncludeManagedResources=true", "Filter.1.Name=status", "Filter.1.Value.1=available").Volumes; len(shown) != 1 || shown[0].ID != got.Volume {
			t.Errorf("%s: shown %+v", name, shown)
		}
	}
}

// TestTokensOfVolumes: a request again gets the volume that there is; another request with
// its token is refused.
func TestTokensOfVolumes(t *testing.T) {
	f := populated()
	f.volumes.list = nil
	params := append(slices.Clone(good["CreateVolume"]), "ClientToken=once")
	id := f.ok(t, "CreateVolume", params...).Volume
	f.copies.err = snapshot.ErrNotFound // what it was made of may be gone by then
	if again := f.ok(t, "CreateVolume", append(params, "DryRun=false")...).Volume; again != id || len(f.volumes.list) != 1 {
		t.Errorf("got %s and %d volumes, want %s", again, len(f.volumes.list), id)
	}
	if got := parse(t, f.do("CreateVolume", append(params, "Size=7")...)); got.Code != "IdempotentParameterMismatch" {
		t.Errorf("another request: got %+v", got)
	}
}

func TestFiltersOfVolumes(t *testing.T) {
	f := populated()
	f.volumes.list[0].Tags, f.volumes.list[0].Snapshot, f.volumes.list[0].Region = tag.Set{{Key: "k", Value: "v"}}, snapA, "us-east-1"
	f.tags.sets[volumeA] = f.volumes.list[0].Tags
	value := map[string]string{
		"availability-zone": "us-east-1a", "availability-zone-id": "use1-az1", "create-time": "2026-03-04T05:06:07.089Z", "encrypted": "false", "multi-attach-enabled": "false",
		"size": "8", "snapshot-id": snapA, "status": "available", "tag-key": "k", "volume-id": volumeA, "volume-type": "gp3", "tag:k": "v",
	}
	for name := range volumeFields.named {
		value[name] += "" // those of attachments find nothing
	}
	for name, v := range value {
		if got := f.ok(t, "DescribeVolumes", "Filter.1.Name="+name, "Filter.1.Value.1="+v).Volumes; (len(got) == 1) != (v != "") {
			t.Errorf("%s=%s: got %v", name, v, got)
		}
		if got := f.ok(t, "DescribeVolumes", "Filter.1.Name="+name, "Filter.1.Value.1=other").Volumes; len(got) != 0 {
			t.Errorf("another %s: got %v", name, got)
		}
	}
	for name, v := range map[string]string{"volume-status.status": "ok", "volume-status.details-name": "io-enabled", "volume-status.details-status": "passed", "availability-zone": "us-east-1a"} {
		if got := f.ok(t, "DescribeVolumeStatus", "Filter.1.Name="+name, "Filter.1.Value.1="+v).Statuses; len(got) != 1 {
			t.Errorf("status, %s=%s: got %v", name, v, got)
		}
		if got := f.ok(t, "DescribeVolumeStatus", "Filter.1.Name="+name, "Filter.1.Value.1=other").Statuses; len(got) != 0 {
			t.Errorf("status, another %s: got %v", name, got)
		}
	}
	for n := range 11 {
		f.volumes.list = append(f.volumes.list, volume.Volume{ID: fmt.Sprintf("vol-%017x", n), Account: account, Created: clock.Add(time.Duration(n) * time.Second)})
	}
	var ids []string
	for params := []string{"MaxResults=5"}; ; {
		got := f.ok(t, "DescribeVolumes", params...)
		for _, v := range got.Volumes {
			ids = append(ids, v.ID)
		}
		if got.NextToken == nil {
			break
		}
		params = []string{"MaxResults=5", "NextToken=" + *got.NextToken}
	}
	if len(ids) != 12 || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 12 {
		t.Errorf("pages: %v", ids)
	}
}

func TestModifyVolume(t *testing.T) {
	was := volume.Settings{Size: 8, Type: "gp3", Iops: 4000, Throughput: 250}
	for name, c := range map[string]struct {
		params []string
		want   volume.Settings
	}{
		"size":            {[]string{"Size=10"}, volume.Settings{Size: 10, Type: "gp3", Iops: 4000, Throughput: 250}},
		"iops":            {[]string{"Iops=5000", "Throughput=300"}, volume.Settings{Size: 8, Type: "gp3", Iops: 5000, Throughput: 300}},
		"the same type":   {[]string{"VolumeType=gp3"}, was},
		"another type":    {[]string{"VolumeType=gp2"}, volume.Settings{Size: 8, Type: "gp2"}},
		"with its own":    {[]string{"VolumeType=io2", "Iops=100", "MultiAttachEnabled=true"}, volume.Settings{Size: 8, Type: "io2", Iops: 100, MultiAttach: true}},
		"larger standard": {[]string{"VolumeType=standard", "Size=1000"}, volume.Settings{Size: 1000, Type: "standard"}},
	} {
		f := populated()
		f.volumes.list[0].Settings = was
		if got := f.ok(t, "DescribeVolumesModifications").Modified; len(got) != 0 {
			t.Errorf("%s: modified before: %v", name, got)
		}
		f.ok(t, "ModifyVolume", append(c.params, "VolumeId="+volumeA)...)
		v := f.volumes.list[0]
		if diff := cmp.Diff(&volume.Modification{From: was, To: c.want, At: clock}, v.Modified); v.Settings != c.want || diff != "" {
			t.Errorf("%s: got %+v\n%s", name, v.Settings, diff)
		}
		for filter := range modificationFields.named {
			if got := f.ok(t, "DescribeVolumesModifications", "Filter.1.Name="+filter, "Filter.1.Value.1=*").Modified; len(got) != 1 || got[0].ID != volumeA {
				t.Errorf("%s, by any %s: %v", name, filter, got)
			}
		}
	}
	f := populated()
	f.volumes.list[0].Settings = volume.Settings{Size: 100, Type: "gp2"}
	if got := f.ok(t, "DescribeVolumes").Volumes; len(got) != 1 || got[0].Iops != 300 {
		t.Errorf("a gp2 volume: %+v", got)
	}
}

func TestSnapshotOfAVolume(t *testing.T) {
	f := populated()
	w := f.do("CreateSnapshot", append(slices.Clone(good["CreateSnapshot"]), "Description=daily", "TagSpecification.1.ResourceType=snapshot", oneTag, oneValue)...)
	got := parse(t, w)
	if got.Snapshot != snapB || got.Volume != volumeA || got.Status != "pending" || len(got.Tags) != 1 {
		t.Errorf("got %s", w.Body)
	}
	if r := f.copies.gotVolume; r.Volume.ID != volumeA || r.Description != "daily" || r.Home.Account != account || !cmp.Equal(r.Tags, tag.Set{{Key: "k", Value: "v"}}) {
		t.Errorf("asked for %+v", r)
	}
	f.snapshots.records[0].Volume = volumeA
	if got := f.ok(t, "DescribeSnapshots", "Filter.1.Name=volume-id", "Filter.1.Value.1="+volumeA).Snapshots; len(got) != 1 || got[0].ID != snapA {
		t.Errorf("found %v", got)
	}
}
